//! What can befall an operation of a store or a bell: a race lost, a failure before or after the deed, the death of the
//! process in the middle. Real storage does all of this; a shaken adapter does it on request, so that every test of the
//! discharge protocol runs on the adapters that `fulfillment dev` uses. Nothing plans a mishap but tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

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

/// A schedule of mishaps, one entry per operation, shared by all adapters of one world.
#[derive(Clone, Debug, Default)]
pub struct Mishaps {
    plan: Arc<Mutex<VecDeque<Option<Mishap>>>>,
    died: Arc<Notify>,
}

impl Mishaps {
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

    /// Takes the entry of the operation that begins now. Does not return where the process dies before the deed.
    pub(crate) async fn begin(&self) -> Option<Mishap> {
        let mishap = self.plan.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten();
        match mishap {
            Some(Mishap::DiesBefore) => self.die().await,
            Some(Mishap::Panics) => panic!("a planned panic"),
            _ => {}
        }
        mishap
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
