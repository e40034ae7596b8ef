//! The queue trigger: receives messages, runs the function, and deletes, postpones or poisons.
//!
//! The real listener polls with a growing pause; this one is told of every change, so that a story under a manual clock
//! never waits for real time. How many messages run at once follows the same numbers.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::account::Account;
use super::config::{QueueRules, RECEIVE_VISIBILITY};
use super::envelope;
use super::function::QueueTrigger;
use super::function::check_queue_name;
use super::invocation::Invoker;
use super::journal::{Event, Hold};
use crate::bell::Message;
use crate::clock::Clock;

/// The name of the queue for messages that a function failed on too often.
const POISON: &str = "-poison";

/// Listens to the queue of one function.
pub(super) struct Listener {
    pub(super) function: String,
    pub(super) trigger: QueueTrigger,
    pub(super) rules: QueueRules,
    pub(super) account: Account,
    pub(super) clock: Clock,
    pub(super) invoker: Invoker,
}

impl Listener {
    /// Listens until the host stops.
    pub(super) async fn run(self) {
        let worker = self.invoker.worker.clone();
        tokio::select! {
            () = worker.stopped() => {}
            () = Arc::new(self).listen() => {}
        }
    }

    async fn listen(self: Arc<Self>) {
        let queue = self.trigger.queue.as_str();
        let mut running = JoinSet::new();
        loop {
            let changed = self.account.changed();
            while running.try_join_next().is_some() {}
            if running.len() > self.rules.new_batch_threshold {
                running.join_next().await;
            } else if self.tried("looked at", self.account.any_visible(&[queue]).await) == Some(true) {
                let _receiving = self.invoker.journal.begin();
                let received = self.account.receive(queue, self.rules.batch_size, RECEIVE_VISIBILITY).await;
                for message in self.tried("received", received).unwrap_or_default() {
                    let hold = self.invoker.journal.begin();
                    running.spawn(Arc::clone(&self).process(message, hold));
                }
            } else {
                tokio::select! {
                    () = changed => {}
                    () = self.visible(self.account.next_visible(&[queue])) => {}
                    Some(_) = running.join_next() => {}
                }
            }
        }
    }

    async fn visible(&self, next: Option<OffsetDateTime>) {
        match next {
            Some(next) => self.clock.sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// What the account answered. An account that fails is tried again, as the real host does, and a message that was not
    /// deleted or postponed comes back when its ten minutes of invisibility are over.
    fn tried<T>(&self, deed: &str, answered: Result<T, String>) -> Option<T> {
        answered
            .inspect_err(|why| tracing::warn!(queue = self.trigger.queue, why, "the queue could not be {deed}"))
            .ok()
    }

    /// Runs the function on one message. The receipt stays good all the time: a function that runs into its timeout,
    /// which is below the ten minutes of invisibility, is over before the message comes back. So nothing renews it.
    async fn process(self: Arc<Self>, message: Message, _hold: Hold) {
        let queue = self.trigger.queue.as_str();
        if message.dequeue_count > self.rules.max_dequeue_count {
            return self.poison(&message).await;
        }
        let sys = Invoker::sys(&self.function, self.clock.now());
        let envelope = envelope::of_message(&self.trigger, &message, &sys);
        if self.invoker.invoke(&self.function, Some(message.dequeue_count), envelope).await {
            self.tried("freed of a message", self.account.delete(queue, &message).await);
        } else if message.dequeue_count >= self.rules.max_dequeue_count {
            self.poison(&message).await;
        } else {
            let postponed = self.account.postpone(queue, &message, self.rules.visibility_timeout).await;
            self.tried("given a message back", postponed);
        }
    }

    /// Moves a message to the poison queue. A queue that is one itself, or whose name would become too long, has none:
    /// there the message stays invisible for its ten minutes.
    async fn poison(&self, message: &Message) {
        let queue = self.trigger.queue.as_str();
        let poison = format!("{queue}{POISON}");
        if queue.ends_with(POISON) || check_queue_name(&poison).is_err() {
            return;
        }
        if let Err(why) = self.account.put(&poison, message.body.clone(), time::Duration::ZERO).await {
            tracing::error!(why, "a message could not be moved to the poison queue and comes back");
            return;
        }
        self.tried("freed of a message", self.account.delete(queue, message).await);
        tracing::error!(
            function = self.function,
            "message has reached the dequeue limit; it was moved to the poison queue"
        );
        self.invoker
            .journal
            .record(Event::Poisoned { function: self.function.clone(), dequeue_count: message.dequeue_count });
    }
}
