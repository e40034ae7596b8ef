//! What time it is. Read once per call and handed on as a value: no rule and no decision asks twice.

use std::sync::{Arc, Mutex, PoisonError};

use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;

/// The clock that the program lives by.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock, in UTC.
    System,
    /// A clock that stands still until somebody moves it: tests wait for days without waiting.
    Manual(Manual),
}

/// The hands of a [`Clock::Manual`]; clones move together.
#[derive(Clone, Debug)]
pub struct Manual {
    now: Arc<Mutex<OffsetDateTime>>,
    moved: Arc<Notify>,
}

impl Clock {
    /// A manual clock that shows `start`.
    pub fn manual(start: OffsetDateTime) -> Self {
        Self::Manual(Manual { now: Arc::new(Mutex::new(start)), moved: Arc::new(Notify::new()) })
    }

    /// The time, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Self::System => OffsetDateTime::now_utc(),
            Self::Manual(manual) => manual.now(),
        }
    }

    /// Returns once this clock shows `deadline` or later. A manual clock waits until it has been moved that far.
    pub async fn sleep_until(&self, deadline: OffsetDateTime) {
        match self {
            Self::System => {
                let wait = deadline - self.now();
                tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
            }
            Self::Manual(manual) => manual.reach(deadline).await,
        }
    }
}

impl Manual {
    fn now(&self) -> OffsetDateTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock by `by`, back where that is negative, and wakes everybody who waits for a time that has now come.
    pub fn advance(&self, by: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) += by;
        self.moved.notify_waiters();
    }

    async fn reach(&self, deadline: OffsetDateTime) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            // Registered before the clock is read, so that a move in between is not missed.
            moved.as_mut().enable();
            if self.now() >= deadline {
                return;
            }
            moved.await;
        }
    }
}
