//! What can befall an operation of a store or a bell: a race lost, a failure before or after the deed, the death of the
//! process in the middle. Real storage does all of this; a shaken adapter does it on request, so that every test of the
//! discharge protocol runs on the adapters that `fulfillment dev` uses. Nothing plans a mishap, or steers, but tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};

/// What befalls one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Somebody else changed the record in between. An operation without an etag ignores it.
    LostRace,
    /// It fails, and nothing was done.
    Refused,
    /// It is done, and the answer is an error all the same.
    Unanswered,
    /// It panics, as code with a fault does; nothing was done.
    Panics,
    /// The process dies before the deed: the operation never returns.
    DiesBefore,
    /// The process dies after the deed: the operation never returns.
    DiesAfter,
}

/// A schedule of mishaps, one entry per operation, shared by all adapters of one world; or somebody who steers: who says
/// of each operation when it may begin, and what befalls it.
#[derive(Clone, Debug, Default)]
pub struct Mishaps {
    plan: Arc<Mutex<VecDeque<Option<Mishap>>>>,
    died: Arc<Notify>,
    steered: Option<mpsc::UnboundedSender<Step>>,
}

/// An operation that waits for whoever steers.
#[derive(Debug)]
pub struct Step {
    /// What it does: a word for a trace.
    pub operation: &'static str,
    /// Whose record it is about, where it is about one.
    pub subscription: Option<String>,
    /// Who waits.
    pub by: By,
    /// Lets it begin, and says what befalls it. Dropped, it lets it begin, and nothing does.
    pub leave: oneshot::Sender<Option<Mishap>>,
}

/// Who waits for leave. Whoever does several things side by side has several steps at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A task of the program, outside of every task where there is none.
    Task(Option<tokio::task::Id>),
    /// The marketplace, for whoever calls it with this correlation id.
    Caller(String),
}

impl Mishaps {
    /// Mishaps that somebody steers, step by step. Every operation waits until its step is answered, so that one at a
    /// time goes on and the same answers make the same story. There are no more steps at a time than operations.
    pub fn steered() -> (Self, mpsc::UnboundedReceiver<Step>) {
        let (steps, waiting) = mpsc::unbounded_channel();
        (Self { steered: Some(steps), ..Self::default() }, waiting)
    }

    /// Lets `after` more operations pass, then strikes the next one.
    pub fn plan(&self, after: usize, mishap: Mishap) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.resize(after, None);
        plan.push_back(Some(mishap));
    }

    /// Whether the planned mishap has struck, or none was planned.
    pub fn is_over(&self) -> bool {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Forgets what was planned.
    pub fn cancel(&self) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until an operation has died: the moment to drop the future that waits for it.
    pub async fn death(&self) {
        self.died.notified().await;
    }

    /// Takes the entry of the operation that begins now, or asks whoever steers. Does not return where the process dies
    /// before the deed.
    pub(crate) async fn begin(&self, operation: &'static str, subscription: Option<&str>) -> Option<Mishap> {
        let mishap = match &self.steered {
            None => self.plan.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten(),
            Some(steps) => steer(steps, operation, subscription, By::Task(tokio::task::try_id())).await,
        };
        match mishap {
            Some(Mishap::DiesBefore) => self.die().await,
            Some(Mishap::Panics) => panic!("a planned panic"),
            _ => {}
        }
        mishap
    }

    /// Waits for leave in a call of somebody else's, if anybody steers.
    pub(crate) async fn stand(&self, operation: &'static str, subscription: &str, caller: &str) {
        if let Some(steps) = &self.steered {
            steer(steps, operation, Some(subscription), By::Caller(caller.to_owned())).await;
        }
    }

    /// Ends an operation whose deed is done. Does not return where the process dies after the deed.
    pub(crate) async fn end(&self, mishap: Option<Mishap>) {
        if mishap == Some(Mishap::DiesAfter) {
            self.die().await;
        }
    }

    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }
}

async fn steer(
    steps: &mpsc::UnboundedSender<Step>,
    operation: &'static str,
    subscription: Option<&str>,
    by: By,
) -> Option<Mishap> {
    let (leave, left) = oneshot::channel();
    let subscription = subscription.map(str::to_owned);
    let step = Step { operation, subscription, by, leave };
    // Where nobody steers any more, everything goes on.
    let _ = steps.send(step);
    left.await.ok().flatten()
}
