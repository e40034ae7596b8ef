//! One piece of work of the program: an invocation, or what it left for after its answer.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::{Doorbell, Message};
use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::error::Fault;
use marketplace_fulfillment::functions::{self, Answer, Function, Then};
use marketplace_fulfillment::mishap::Step;
use marketplace_fulfillment::web::{Reply, Request};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id};

/// A piece of work under way. Between its steps it waits; while it goes on, nothing else does.
pub(super) struct Task {
    pub(super) name: String,
    /// The number of the instance that it runs on.
    pub(super) instance: usize,
    pub(super) id: Id,
    /// What its calls carry, so that the marketplace's side of them is known.
    pub(super) correlation: String,
    pub(super) abort: AbortHandle,
    /// The operations of storage that wait for leave.
    pub(super) steps: VecDeque<Step>,
    pub(super) work: Work,
    /// What it has done so far, step by step.
    pub(super) seen: Vec<&'static str>,
}

/// What it is, with what must be done when it has ended.
pub(super) enum Work {
    /// A request is answered.
    Request { function: Function, request: Request, reply: Option<oneshot::Sender<Reply>> },
    /// A message is deleted, or comes again.
    Bell { queue: Queue, message: Message },
    /// A pass of the reconciliation, which looks at several records side by side.
    Pass,
    /// The sweep, or work after an answer.
    Nothing,
}

/// How it ended.
pub(super) enum Ended {
    Answered(Box<Answer>, Option<Fault>),
    Ran(Result<(), Fault>),
    Panicked,
}

/// What a task sends when it has ended.
pub(super) type Report = (Id, Ended);

/// Starts work, which reports when it has ended.
pub(super) fn start(
    reports: &mpsc::UnboundedSender<Report>,
    work: impl Future<Output = Ended> + 'static,
) -> (Id, AbortHandle) {
    let reports = reports.clone();
    let handle = tokio::task::spawn_local(async move {
        let ended = AssertUnwindSafe(work).catch_unwind().await.unwrap_or(Ended::Panicked);
        // The world has ended before it.
        let _ = reports.send((tokio::task::id(), ended));
    });
    (handle.id(), handle.abort_handle())
}

pub(super) async fn answer(app: App, function: Function, request: Request) -> Ended {
    let now = app.clock.now();
    let (answer, fault) = functions::answer(&app, function, &request, now).await;
    Ended::Answered(Box::new(answer), fault)
}

pub(super) async fn discharge(app: App, queue: Queue, message: Vec<u8>) -> Ended {
    let doorbell = match Doorbell::decode(queue, &message) {
        Ok(doorbell) => doorbell,
        Err(fault) => return Ended::Ran(Err(fault)),
    };
    Ended::Ran(functions::discharge(&app, &doorbell).await)
}

pub(super) async fn sweep(app: App) -> Ended {
    let now = app.clock.now();
    Ended::Ran(functions::sweep::run(&app, now).await)
}

/// A whole pass.
pub(super) async fn reconcile(app: App) -> Ended {
    let now = app.clock.now();
    loop {
        match functions::reconcile::run(&app, now).await {
            Ok(report) if !report.finished => {}
            ended => return Ended::Ran(ended.map(drop)),
        }
    }
}

pub(super) async fn follow_up(app: App, then: Then) -> Ended {
    Ended::Ran(functions::follow_up(&app, then).await)
}

impl Task {
    /// Whether it goes on by itself: it waits for no step.
    pub(super) fn goes_on(&self) -> bool {
        self.steps.is_empty()
    }

    /// It takes this step. Nobody rings before something is saved, or was found saved.
    pub(super) fn sees(&mut self, step: &'static str) {
        self.seen.push(step);
        let saved = self.seen.iter().any(|seen| ["save", "due"].contains(seen));
        assert!(step != "ring" || saved, "{} rings before it has saved", self.name);
    }

    /// Whether it has asked Microsoft since it loaded the record; of a pass its steps do not tell.
    pub(super) fn reads_afresh(&self) -> bool {
        let last = |step: &str| self.seen.iter().rposition(|seen| *seen == step);
        matches!(self.work, Work::Pass) || last("get-subscription") > last("load")
    }

    /// Whether Microsoft waits for its answer.
    pub(super) fn is_webhook(&self) -> bool {
        matches!(&self.work, Work::Request { function: Function::Webhook, reply: Some(_), .. })
    }

    /// Whether a person waits for its answer.
    pub(super) fn is_awaited(&self) -> bool {
        !self.is_webhook() && matches!(&self.work, Work::Request { reply: Some(_), .. })
    }
}
