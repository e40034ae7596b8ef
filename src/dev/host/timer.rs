//! The timer trigger: rings by its schedule, one invocation at a time.

use time::OffsetDateTime;
use tokio::sync::watch;

use super::envelope::{self, Tick};
use super::function::TimerTrigger;
use super::invocation::Invoker;
use crate::clock::Clock;

/// One function's timer.
pub(super) struct Timer {
    pub(super) function: String,
    pub(super) trigger: TimerTrigger,
    pub(super) clock: Clock,
    pub(super) invoker: Invoker,
    /// When it rings next, for whoever wants to know whether something is due.
    pub(super) next: watch::Sender<OffsetDateTime>,
}

impl Timer {
    /// Rings until the host stops. Where the clock jumped over several rings, it rings once, as a host does that was
    /// away.
    pub(super) async fn run(self) {
        let worker = self.invoker.worker.clone();
        tokio::select! {
            () = worker.stopped() => {}
            () = self.ring() => {}
        }
    }

    async fn ring(&self) {
        let mut last = None;
        loop {
            let due = *self.next.borrow();
            self.clock.sleep_until(due).await;
            let _hold = self.invoker.journal.begin();
            let now = self.clock.now();
            self.next.send_replace(self.trigger.schedule.next(now));
            // The status is the one before this ring: "next" is the ring that was due.
            self.invoke(Tick { last, next: due }).await;
            last = Some(now);
        }
    }

    async fn invoke(&self, tick: Tick) {
        let sys = Invoker::sys(&self.function, self.clock.now());
        let envelope = envelope::of_tick(&self.trigger, tick, &sys);
        self.invoker.invoke(&self.function, None, Ok(envelope)).await;
    }
}
