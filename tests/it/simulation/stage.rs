//! The world of one seed: the program's functions on a few instances, the marketplace, storage, people, and one who steers
//! them all. One piece of work goes on at a time, from one operation of storage to the next; which one, and what befalls
//! it, is drawn from the seed. So the same seed is the same world.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration as RealDuration, Instant};

use fastrand::Rng;
use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::Bell;
use marketplace_fulfillment::bell::memory::Queues;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::Surroundings;
use marketplace_fulfillment::dev::simulator::Simulator;
use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::functions::{Answer, Function};
use marketplace_fulfillment::mishap::{By, Mishap, Mishaps, Step};
use marketplace_fulfillment::serve::REDELIVERY;
use marketplace_fulfillment::store::Store;
use marketplace_fulfillment::store::memory::Memory;
use marketplace_fulfillment::store::shaken::Shaken;
use marketplace_fulfillment::subscription::Subscription;
use marketplace_fulfillment::web::{Reply, Request};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use url::Url;

use super::door::{self, Arrival};
use super::instance::Instance;
use super::laws::{self, Laws};
use super::script::Script;
use super::settings;
use super::task::{self, Ended, Report, Task, Work};
use super::trace::{Trace, short};
use super::weather::{Fate, Weather};
use crate::world::START;

/// How long work that goes on may take, on the machine's clock. Far above what a loaded machine needs.
const PATIENCE: RealDuration = RealDuration::from_mins(1);

/// After so many looks at work that goes on, others get their turn on the machine for a moment.
const LOOKS: usize = 200;
const A_MOMENT: RealDuration = RealDuration::from_millis(1);

/// The most turns of a world: one that needs more does not come to rest.
const TURNS: usize = 60_000;

/// How often the sweep runs, as its `function.json` has it.
const SWEEP: Duration = Duration::minutes(5);

/// How long the host hides a message that it hands to a function, as Azure's extension does it.
const IN_PROCESS: Duration = Duration::minutes(10);

/// After so many tries the host puts a message aside, as host.json has it.
const TRIES: u32 = 5;

/// The steps that change something.
const WRITES: [&str; 4] = ["save", "keep", "index", "ring"];

/// How many turns of the runtime a deed needs at most, once it is allowed.
const GOES_ON: usize = 20;

/// Everything of one world.
pub(super) struct Stage {
    pub(super) rng: Rng,
    pub(super) trace: Trace,
    pub(super) simulator: Simulator,
    pub(super) store: Store,
    pub(super) weather: Weather,
    pub(super) laws: Laws,
    pub(super) app_url: Url,
    pub(super) http: reqwest::Client,
    pub(super) clock: Clock,
    queues: Queues,
    pub(super) shaken: (Store, Bell),
    steps: mpsc::UnboundedReceiver<Step>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
    pub(super) instances: Vec<Instance>,
    pub(super) started: usize,
    pub(super) tasks: Vec<Task>,
    named: usize,
    people: Vec<JoinHandle<()>>,
    next_sweep: OffsetDateTime,
    pub(super) surroundings: Surroundings,
    door: JoinHandle<()>,
}

/// What can happen next.
enum Choice {
    /// The task at this place takes its next step.
    Step(usize),
    /// A bell of this queue is heard.
    Bell(Queue),
    /// Somebody acts.
    Deed,
    /// The timer of the sweep.
    Sweep,
}

impl Stage {
    pub(super) async fn new(seed: u64, trace: Trace) -> Self {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::of(&mut rng);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app_url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let door = tokio::task::spawn_local(door::serve(listener, arrived));
        let clock = Clock::manual(START);
        let surroundings = settings::surroundings(seed, &mut rng, &clock, &app_url).await;
        let simulator = surroundings.simulator.clone();
        simulator.set_faults(weather.faults.clone()).unwrap();
        simulator.receiver().set_answers(weather.answers.clone()).unwrap();
        let (mishaps, steps) = Mishaps::steered();
        simulator.steer(mishaps.clone());
        let (store, queues) = (Store::Memory(Memory::default()), Queues::new(clock.clone()));
        let shaken = (
            Store::Shaken(Shaken::new(store.clone(), mishaps.clone())),
            Bell::Shaken(Box::new(Bell::Memory(queues.clone())), mishaps.clone()),
        );
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let mut stage = Self {
            rng,
            trace,
            simulator,
            store,
            laws: Laws::new(&weather),
            weather,
            app_url,
            http,
            clock,
            queues,
            shaken,
            steps,
            arrivals,
            reports: mpsc::unbounded_channel(),
            instances: Vec::new(),
            started: 0,
            tasks: Vec::new(),
            named: 0,
            people: Vec::new(),
            next_sweep: START + SWEEP,
            surroundings,
            door,
        };
        for _ in 0..stage.weather.instances {
            stage.start_instance();
        }
        stage.note(format!("{:?}", stage.weather));
        stage
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    pub(super) fn note(&self, line: impl std::fmt::Display) {
        self.trace.note(self.now(), line);
    }

    /// Goes on until the script is over, nothing is under way, nothing is set to happen and nothing is owed.
    pub(super) async fn run(&mut self, script: &mut Script) {
        for _ in 0..TURNS {
            self.come_to_stand().await;
            if self.rng.f64() < self.weather.jump && !self.tasks.is_empty() {
                self.jump();
                continue;
            }
            let choices = self.choices(script);
            if !choices.is_empty() {
                let choice = self.rng.usize(..choices.len());
                self.take(&choices[choice], script).await;
                continue;
            }
            match self.next(script).await {
                Some(next) => self.advance((next - self.now()).max(Duration::ZERO), "nothing to do"),
                None => return,
            }
        }
        panic!("the world does not come to rest");
    }

    /// Lets everything go on that waits for no step, and takes in what comes of it.
    async fn come_to_stand(&mut self) {
        let begun = Instant::now();
        let (mut quiet, mut looks) = (0, 0);
        // Several looks in a row: what was woken by the last one shows in the next.
        while quiet < 3 {
            looks += 1;
            // Most is done at once; looking up a name, and what the runtime's other threads do, takes longer.
            if looks % LOOKS == 0 {
                tokio::time::sleep(A_MOMENT).await;
            } else {
                tokio::task::yield_now().await;
            }
            self.take_in();
            let webhooks = self.tasks.iter().filter(|task| task.is_webhook()).count();
            let waiting = self.tasks.iter().filter(|task| task.is_awaited()).count();
            self.come_home().await;
            let at_rest = self.tasks.iter().all(|task| !task.goes_on())
                && self.people.len() == waiting
                && self.simulator.deliveries_in_flight() == webhooks
                && !self.simulator.is_delivery_due();
            quiet = if at_rest { quiet + 1 } else { 0 };
            assert!(begun.elapsed() < PATIENCE, "work under way does not end");
        }
    }

    /// Whoever has done what they set out to do; a visit that could not be told has failed.
    async fn come_home(&mut self) {
        while let Some(place) = self.people.iter().position(JoinHandle::is_finished) {
            self.people.remove(place).await.expect("a visit");
        }
    }

    fn take_in(&mut self) {
        while let Ok(step) = self.steps.try_recv() {
            // Of a task that died meanwhile nothing is waited for.
            let waits = |task: &&mut Task| match &step.by {
                By::Task(id) => *id == Some(task.id),
                By::Caller(correlation) => *correlation == task.correlation,
            };
            if let Some(task) = self.tasks.iter_mut().find(waits) {
                task.steps.push_back(step);
            }
        }
        while let Ok((id, ended)) = self.reports.1.try_recv() {
            let Some(place) = self.tasks.iter().position(|task| task.id == id) else { continue };
            let task = self.tasks.remove(place);
            self.end(task, ended);
        }
        let mut arrived: Vec<_> = std::iter::from_fn(|| self.arrivals.try_recv().ok()).collect();
        arrived.sort_by(|one, other| one.request.body.cmp(&other.request.body));
        for Arrival { function, request, reply } in arrived {
            self.receive(function, request, Some(reply));
        }
    }

    /// A request reaches some instance.
    pub(super) fn receive(&mut self, function: Function, request: Request, reply: Option<oneshot::Sender<Reply>>) {
        self.some_instance();
        let work = Work::Request { function, request: request.clone(), reply };
        let what = format!("{} {}/{}", request.method, function.name(), request.path);
        self.start(&what, work, |app, id| task::answer(app, function, Request { invocation_id: id, ..request }));
    }

    fn start<F: Future<Output = Ended> + 'static>(
        &mut self,
        what: &str,
        work: Work,
        begin: impl FnOnce(App, String) -> F,
    ) {
        self.named += 1;
        let correlation = format!("00000000-0000-4000-8000-{:012}", self.named);
        let Instance { number, app, .. } = &self.instances[0];
        let instance = *number;
        let (id, abort) = task::start(&self.reports.0, begin(app.correlated(&correlation), correlation.clone()));
        let name = format!("{}: {what} on {instance}", self.named);
        self.note(format!("begins: {name}"));
        self.tasks.push(Task {
            name,
            instance,
            id,
            correlation,
            abort,
            steps: VecDeque::new(),
            work,
            seen: Vec::new(),
        });
    }

    fn choices(&mut self, script: &Script) -> Vec<Choice> {
        let now = self.now();
        let mut choices: Vec<_> = (0..self.tasks.len()).map(Choice::Step).collect();
        let rings = Queue::ALL.into_iter().filter(|queue| self.queues.any_visible(&[queue.name()]));
        choices.extend(rings.map(Choice::Bell));
        if script.next().is_some_and(|at| at <= now) {
            choices.push(Choice::Deed);
        }
        if self.next_sweep <= now {
            choices.push(Choice::Sweep);
        }
        choices
    }

    async fn take(&mut self, choice: &Choice, script: &mut Script) {
        match *choice {
            Choice::Step(place) => self.step(place).await,
            Choice::Bell(queue) => self.hear(queue),
            Choice::Deed => script.act(self),
            Choice::Sweep => {
                self.next_sweep = self.now() + SWEEP;
                self.some_instance();
                self.start("sweep", Work::Nothing, |app, _| task::sweep(app));
            }
        }
    }

    /// The task at this place takes its next step, and whatever befalls it there.
    async fn step(&mut self, place: usize) {
        let Some(step) = self.tasks[place].steps.pop_front() else { return };
        let fate = match (self.weather.fate(&mut self.rng), &step.by) {
            // What befalls the calls of the marketplace, its own faults say.
            (Fate::Mishap(_), By::Caller(_)) => Fate::Done,
            // Nobody sees whether something was read before the death. What is asked of the marketplace may be done.
            (Fate::DiesAfter, By::Task(_)) if !WRITES.contains(&step.operation) => Fate::DiesBefore,
            (fate, _) => fate,
        };
        let of = step.subscription.as_deref().map(short).unwrap_or_default();
        let saves = step.operation == "save";
        self.tasks[place].sees(step.operation);
        let reads_afresh = self.tasks[place].reads_afresh();
        let line = format!("{}: {} {of}", self.tasks[place].name, step.operation);
        let instance = self.tasks[place].instance;
        match fate {
            Fate::Done => self.note(line),
            fate => self.note(format!("{line} !! {fate:?}")),
        }
        match fate {
            Fate::Done => _ = step.leave.send(None),
            Fate::Mishap(mishap) => _ = step.leave.send(Some(mishap)),
            Fate::DiesBefore => self.die(instance),
            Fate::DiesAfter => {
                let _ = step.leave.send(Some(Mishap::DiesAfter));
                self.let_go_on().await;
                self.die(instance);
            }
        }
        self.come_to_stand().await;
        if saves {
            self.laws.look(&self.store, reads_afresh);
        }
    }

    /// Lets what was allowed be done.
    async fn let_go_on(&self) {
        for _ in 0..GOES_ON {
            tokio::task::yield_now().await;
        }
    }

    /// A message of the queue is handed to a function, or to two, or lost on the way.
    fn hear(&mut self, queue: Queue) {
        let Some(message) = self.queues.receive(queue.name(), 1, IN_PROCESS).pop() else { return };
        if self.rng.f64() < self.weather.lost_bell {
            self.note(format!("lost: a bell of {}", queue.name()));
            self.queues.delete(queue.name(), &message.id, &message.receipt);
            return;
        }
        let body = message.body.clone();
        let what = format!("bell {}", queue.name());
        if self.rng.f64() < self.weather.doubled_bell {
            let body = body.clone();
            self.some_instance();
            self.start(&what, Work::Nothing, |app, _| task::discharge(app, queue, body));
        }
        self.some_instance();
        self.start(&what, Work::Bell { queue, message }, |app, _| task::discharge(app, queue, body));
    }

    fn end(&mut self, task: Task, ended: Ended) {
        let failed = match &ended {
            Ended::Answered(_, fault) => fault.clone().map(|fault| fault.to_string()),
            Ended::Ran(result) => result.as_ref().err().map(ToString::to_string),
            Ended::Panicked => Some("panicked".to_owned()),
        };
        let status = if let Ended::Answered(answer, _) = &ended { answer.reply.status } else { 0 };
        // What follows are ids that are drawn anew in every run.
        let why = failed.as_deref().map(|why| why.split(" (").next().unwrap_or(why)).unwrap_or_default();
        self.note(format!("ends: {} {status} {why}", task.name));
        match task.work {
            Work::Request { function, request, reply } => {
                self.answered(task.instance, function, &request, reply, ended);
            }
            Work::Bell { queue, message } => {
                let name = queue.name();
                if failed.is_none() {
                    let again = self.rng.f64() < self.weather.doubled_bell;
                    if !again {
                        self.queues.delete(name, &message.id, &message.receipt);
                    }
                } else if message.dequeue_count >= TRIES {
                    self.queues.delete(name, &message.id, &message.receipt);
                } else {
                    self.queues.postpone(name, &message.id, &message.receipt, REDELIVERY);
                }
            }
            Work::Pass | Work::Nothing => {}
        }
    }

    fn answered(
        &mut self,
        instance: usize,
        function: Function,
        request: &Request,
        reply: Option<oneshot::Sender<Reply>>,
        ended: Ended,
    ) {
        let Answer { reply: said, then } = match ended {
            Ended::Answered(answer, _) => *answer,
            _ => Reply::new(500, "text/plain", "panicked").into(),
        };
        Laws::answered(&self.store, function, request, &said);
        if let Some(reply) = reply {
            // Whoever asked has gone.
            let _ = reply.send(said);
        }
        for then in then {
            if self.rng.f64() < self.weather.too_busy {
                continue;
            }
            let Some(place) = self.instances.iter().position(|one| one.number == instance) else { continue };
            self.instances.swap(0, place);
            let what = format!("after the answer: {then:?}");
            self.start(&what, Work::Nothing, |app, _| task::follow_up(app, then));
        }
    }

    /// When something happens next; `None` where nothing ever will.
    async fn next(&mut self, script: &Script) -> Option<OffsetDateTime> {
        let names = Queue::ALL.map(Queue::name);
        let set = [script.next(), self.queues.next_visible(&names), self.simulator.next_delivery()];
        let due = self.records().await.iter().filter_map(Subscription::due).min();
        // The sweeps before it would find nothing.
        while due.is_some_and(|due| self.next_sweep < due) {
            self.next_sweep += SWEEP;
        }
        set.into_iter().flatten().chain(due.map(|_| self.next_sweep)).min()
    }

    pub(super) fn advance(&mut self, by: Duration, why: &str) {
        self.note(format!("{why}: {by} pass"));
        for clock in self.instances.iter().map(|instance| &instance.clock).chain([&self.clock]) {
            let Clock::Manual(manual) = clock else { unreachable!("worlds run on manual clocks") };
            manual.advance(by);
        }
    }

    /// A person sets out to do something with a browser.
    pub(super) fn set_out(&mut self, what: &str, deed: impl Future<Output = ()> + 'static) {
        self.note(what);
        self.people.push(tokio::task::spawn_local(deed));
    }

    /// The storm is over: nothing fails any more, and every instance is a new one.
    pub(super) fn calm(&mut self) {
        self.note("---- the world goes quiet");
        self.weather.calm();
        self.simulator.set_faults(self.weather.faults.clone()).unwrap();
        self.simulator.receiver().set_answers(self.weather.answers.clone()).unwrap();
    }

    pub(super) async fn records(&self) -> Vec<Subscription> {
        self.store.page(None).await.unwrap().subscriptions
    }

    pub(super) async fn events_are_complete(&self) {
        let received = self.simulator.receiver().messages();
        laws::events_are_complete(
            &self.records().await,
            &received,
            self.surroundings.settings.connection.events.is_some(),
        );
    }

    /// The timer of the reconciliation, which nothing else sets off in these worlds.
    pub(super) fn reconcile(&mut self) {
        self.note("---- reconciliation");
        self.some_instance();
        self.start("reconcile", Work::Pass, |app, _| task::reconcile(app));
    }

    /// The subscriptions that webhooks told of in vain.
    pub(super) fn untold(&self) -> BTreeSet<String> {
        let lost = |subscription: &serde_json::Value| {
            let deliveries = subscription["deliveries"].as_array().unwrap();
            deliveries.iter().any(|delivery| delivery["error"] == "lost on the way")
        };
        let all = self.simulator.subscriptions().into_iter();
        all.filter(lost).map(|subscription| subscription["id"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.door.abort();
    }
}
