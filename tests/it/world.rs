//! The harness of all stories: everything that `fulfillment dev` runs, on a clock that only the story moves.
//!
//! A story ends in silence or fails: nothing owed, nothing in a poison queue, our records equal to the marketplace's, and
//! nothing activated that nobody confirmed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration as RealDuration;

use marketplace_fulfillment::app::AFTERWARDS_LIMIT;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::host::Account;
use marketplace_fulfillment::dev::{self, Dev};
use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::store::Store;
use marketplace_fulfillment::store::memory::Memory;
use marketplace_fulfillment::subscription::{Status, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::azurite;
use crate::visitor::Visitor;
use crate::wristwatch::Wristwatch;

/// When every story begins.
pub(crate) const START: OffsetDateTime = datetime!(2026-11-20 09:00 UTC);

/// The setting under which reconciliation mends what it finds.
pub(crate) const REPAIR: &[(&str, &str)] = &[("RECONCILE", "repair")];

/// The settings of a publisher who has connected nothing, as before it was possible: a story that connects something says so.
const UNCONNECTED: [(&str, &str); 8] = [
    ("PUBLISHER_EVENTS_URL", ""),
    ("PUBLISHER_PROVISION_URL", ""),
    ("PUBLISHER_SETUP_URL", ""),
    ("PUBLISHER_DECISIONS_URL", ""),
    ("PUBLISHER_HANDOFF_URL", ""),
    ("PUBLISHER_EVENTS_SECRET", ""),
    ("HANDOFF_KEYS", ""),
    ("PUBLISHER_ALLOWED_HOSTS", ""),
];

/// How long a story waits, in real time, for work that is under way. Far above what a loaded machine needs.
const PATIENCE: RealDuration = RealDuration::from_secs(30);

/// The most bells that a story lets ring before it says that the world does not come to rest.
const BELLS: usize = 2_000;

/// How often the sweep runs.
const SWEEP: Duration = Duration::minutes(5);

/// How long after its duty is due a bell of Azure's has rung at the latest: it counts whole seconds, and a margin on top.
const BELL_LATE: Duration = Duration::seconds(4);

/// Set to `azurite`, the stories run on real storage.
const STORAGE: &str = "STORAGE";

pub(crate) struct World {
    pub(crate) dev: Dev,
    pub(crate) http: reqwest::Client,
    clock: Clock,
    /// The clock of a handler that is a process of its own.
    watch: Option<Wristwatch>,
    /// Held while a handler is killed: the clock must not move while the host has not noticed.
    burial: tokio::sync::Mutex<()>,
}

/// What is special about a world.
#[derive(Default)]
struct Setup<'a> {
    settings: &'a [(&'a str, &'a str)],
    /// A storage account; `None` keeps everything in memory.
    storage: Option<String>,
    /// The clock of a handler that is a process of its own; `None` runs it in this one.
    watch: Option<Wristwatch>,
    /// Whether the host traces.
    traceparent: bool,
    /// Whether the publisher's software is connected as `dev` does it by itself.
    connected: bool,
    /// The publisher's software, a process of its own.
    app: Option<Url>,
}

/// What the marketplace tells of a purchase.
pub(crate) struct Purchase {
    pub(crate) id: SubscriptionId,
    pub(crate) token: String,
    pub(crate) landing_url: String,
}

/// Runs a story and looks at what it leaves behind.
pub(crate) async fn story(script: impl AsyncFnOnce(&World)) {
    story_with(&[], script).await;
}

/// Runs a story under these settings and looks at what it leaves behind.
pub(crate) async fn story_with(settings: &[(&str, &str)], script: impl AsyncFnOnce(&World)) {
    let world = World::new(settings).await;
    script(&world).await;
    world.assert_silence().await;
}

/// The storage of a world: in memory, or an account of its own in a real Azurite.
fn storage() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests/run says on which storage the stories run")]
    match std::env::var(STORAGE).as_deref() {
        Err(_) | Ok("memory") => None,
        Ok("azurite") => Some(azurite::account().connection_string()),
        Ok(other) => panic!("{STORAGE} is {other}; it is memory or azurite"),
    }
}

impl World {
    /// A world with these settings in place of those that fit the simulator. Reconciliation only observes, unless they
    /// say otherwise: what it healed, a story could not see.
    pub(crate) async fn new(settings: &[(&str, &str)]) -> Self {
        Self::start(Setup { settings, storage: storage(), ..Setup::default() }).await
    }

    /// The same before a host that traces: it sends a `traceparent` with every invocation.
    pub(crate) async fn traced() -> Self {
        Self::start(Setup { storage: storage(), traceparent: true, ..Setup::default() }).await
    }

    /// A world on real storage, whatever the others are on.
    pub(crate) async fn on_azurite() -> Self {
        Self::start(Setup { storage: Some(azurite::account().connection_string()), ..Setup::default() }).await
    }

    /// A world with these settings on this storage account.
    pub(crate) async fn on(storage: String, settings: &[(&str, &str)]) -> Self {
        Self::start(Setup { settings, storage: Some(storage), ..Setup::default() }).await
    }

    /// A world whose handler is a process of its own, on real storage.
    pub(crate) async fn of_process() -> Self {
        let (storage, watch) = (Some(azurite::account().connection_string()), Some(Wristwatch::new(START)));
        Self::start(Setup { storage, watch, ..Setup::default() }).await
    }

    /// A world as `dev` makes it: the simulator's receiver stands for the publisher's software.
    pub(crate) async fn connected(settings: &[(&str, &str)]) -> Self {
        Self::start(Setup { settings, storage: storage(), connected: true, ..Setup::default() }).await
    }

    /// A world beside an app that lives by the machine's clock. It begins at that time, and may run ahead of it by the
    /// few minutes that signatures allow.
    pub(crate) async fn beside(app: Url, settings: &[(&str, &str)]) -> Self {
        let app = Some(app);
        Self::start(Setup { settings, storage: storage(), connected: true, app, ..Setup::default() }).await
    }

    async fn start(setup: Setup<'_>) -> Self {
        let Setup { settings, storage, watch, traceparent, connected, app } = setup;
        let clock = Clock::manual(if app.is_some() { Clock::System.now() } else { START });
        let unconnected: &[(&str, &str)] = if connected { &[] } else { &UNCONNECTED };
        let settings = unconnected.iter().chain(&[("RECONCILE", "observe")]).chain(settings);
        let environment: BTreeMap<_, _> =
            settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let options = dev::Options {
            port: 0,
            simulator_port: 0,
            enable_auth: false,
            seed: 7,
            app_root: Some(Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()),
            traceparent,
            clock: clock.clone(),
            app,
            environment,
            storage,
            program: watch.as_ref().map(Wristwatch::program),
        };
        let dev = dev::start(options).await.expect("the world starts");
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { dev, http, clock, watch, burial: tokio::sync::Mutex::default() }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// A URL of the host stand-in.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.dev.host_url.join(path).unwrap()
    }

    /// Somebody with a browser that keeps cookies.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::new(self.http.clone(), self.dev.host_url.clone())
    }

    /// `GET`, `POST` or `PUT` on the simulator; must succeed.
    pub(crate) async fn simulator(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = self.dev.simulator_url.join(path).unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method.clone(), url);
        let request = if method == reqwest::Method::GET { request } else { request.json(body) };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    pub(crate) async fn purchase(&self, order: Value) -> Purchase {
        let made = self.simulator("POST", "/simulator/purchases", &order).await;
        let text = |key: &str| made[key].as_str().unwrap_or_else(|| panic!("no {key} in {made}")).to_owned();
        Purchase {
            id: SubscriptionId::parse(&text("subscriptionId")).unwrap(),
            token: text("token"),
            landing_url: text("landingUrl"),
        }
    }

    /// The buyer buys five seats of `silver`.
    pub(crate) async fn silver(&self) -> Purchase {
        self.purchase(json!({ "offerId": "contoso-offer", "planId": "silver", "quantity": 5 })).await
    }

    pub(crate) async fn faults(&self, faults: Value) {
        self.simulator("PUT", "/simulator/faults", &faults).await;
    }

    /// All that the simulator knows of a subscription.
    pub(crate) async fn simulated(&self, id: &SubscriptionId) -> Value {
        self.simulator("GET", &format!("/simulator/subscriptions/{id}"), &Value::Null).await
    }

    /// How often an operation of the fulfillment API was called for this subscription.
    pub(crate) async fn calls(&self, id: &SubscriptionId, operation: &str) -> u64 {
        self.simulated(id).await["calls"][operation].as_u64().unwrap_or_default()
    }

    pub(crate) async fn record(&self, id: &SubscriptionId) -> Option<Subscription> {
        self.dev.store.load(id).await.unwrap().map(|stored| stored.subscription)
    }

    /// A world whose records are in memory, where a story can put rows that no version of ours writes.
    pub(crate) async fn in_memory(settings: &[(&str, &str)]) -> Self {
        Self::start(Setup { settings, ..Setup::default() }).await
    }

    /// The rows as they are stored in memory, past the program: for what another version may have written.
    pub(crate) fn rows(&self) -> &Memory {
        let Store::Memory(memory) = &self.dev.store else { unreachable!("a world of World::in_memory") };
        memory
    }

    pub(crate) async fn records(&self) -> Vec<Subscription> {
        self.dev.store.page(None).await.unwrap().subscriptions
    }

    /// A signed-in visitor has confirmed the purchase, and the handler has done what it does after its answer.
    pub(crate) async fn confirmed(&self, purchase: &Purchase) -> Visitor {
        let buyer = self.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        buyer.confirm(&page).await;
        self.idle().await;
        buyer
    }

    /// Moves the clock and lets everything happen that is then due.
    pub(crate) async fn pass(&self, by: Duration) {
        let until = self.now() + by;
        for _ in 0..BELLS {
            self.idle().await;
            match self.next().await.filter(|next| *next <= until) {
                Some(next) if next > self.now() => self.advance(next - self.now()),
                Some(_) => {}
                None => break,
            }
        }
        self.idle().await;
        self.advance(until - self.now());
        self.idle().await;
    }

    /// Lets bells ring until none is set.
    pub(crate) async fn settle(&self) {
        for _ in 0..BELLS {
            self.idle().await;
            match self.next().await {
                Some(next) => self.advance((next - self.now()).max(Duration::ZERO)),
                // No bell is set for what is owed: the sweep's turn.
                None if self.records().await.iter().any(|record| record.due().is_some()) => self.advance(SWEEP),
                None => return,
            }
        }
        panic!("the world does not come to rest: {:?}", self.records().await);
    }

    /// When a bell rings or Microsoft posts a webhook next.
    async fn next(&self) -> Option<OffsetDateTime> {
        let bell = match &self.dev.account {
            Account::Memory(queues) => queues.next_visible(&Queue::ALL.map(Queue::name)),
            // Nobody tells when a message of Azure's becomes visible. A bell is set for what is owed; one that did not ring
            // in time is lost, or somebody holds a lease, and both are the sweep's.
            Account::Azure(_) => {
                let now = self.now();
                let duties = self.records().await.into_iter().flat_map(|record| record.duties);
                // What is new has its first bell, whether or not somebody tries it at once.
                let rings = duties.filter_map(|duty| {
                    let due = duty.due()? + BELL_LATE;
                    Some([due, due + duty.task.id().kind.queue().first_bell()])
                });
                rings.flatten().filter(|rings| *rings > now).min()
            }
        };
        [bell, self.dev.simulator.next_delivery()].into_iter().flatten().min()
    }

    /// Moves the clock, and waits for nothing.
    pub(crate) fn advance(&self, by: Duration) {
        let Clock::Manual(manual) = &self.clock else { unreachable!("stories run on a manual clock") };
        if by.is_positive() {
            manual.advance(by);
        }
        if let Some(watch) = &self.watch {
            watch.set(self.now());
        }
    }

    /// Waits, in real time, until nothing is under way: no invocation, no visible message, no duty tried after an answer.
    pub(crate) async fn idle(&self) {
        let quiet = async {
            loop {
                self.dev.simulator.idle().await;
                self.dev.host.idle().await;
                let _nobody_dies = self.burial.lock().await;
                let tried = self.dev.app.afterwards.available_permits() == AFTERWARDS_LIMIT;
                if tried && self.dev.host.in_flight() == 0 && self.dev.simulator.deliveries_in_flight() == 0 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, quiet).await.expect("work under way ends");
    }

    /// Runs a script whose handler may die in the middle: the platform kills what hangs and starts it anew.
    pub(crate) async fn with_undertaker(&self, script: impl Future<Output = ()>) {
        let undertaker = async {
            loop {
                self.dev.mishaps.death().await;
                let _burial = self.burial.lock().await;
                self.dev.host.kill_handler().await;
            }
        };
        tokio::select! { () = script => {}, () = undertaker => {} }
    }

    /// What must hold when the world has gone quiet.
    pub(crate) async fn assert_silence(&self) {
        self.settle().await;
        for queue in Queue::ALL {
            let poison = format!("{}-poison", queue.name());
            let poisoned = self.dev.account.peek(&poison).await.unwrap();
            assert!(poisoned.is_empty(), "messages in {poison}: {:#?}", self.dev.host.events());
        }
        for record in self.records().await {
            assert!(record.duties.is_empty(), "still owed: {record:?}");
            let simulated = self.simulated(&record.id).await;
            assert_eq!(simulated["saasSubscriptionStatus"], record.known.status.as_str(), "{record:?}");
            assert_eq!(simulated["planId"], record.known.plan_id, "{record:?}");
            assert_eq!(simulated["quantity"].as_u64(), record.known.quantity.map(u64::from), "{record:?}");
            let consent = record.confirmed_at.is_some() || record.known.status != Status::Subscribed;
            assert!(consent || self.calls(&record.id, "activate").await == 0, "activated without consent: {record:?}");
        }
    }
}
