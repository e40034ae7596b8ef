//! What happened in the host, for those who watch it: the latest events, and how much is under way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How many events are kept; older ones are forgotten.
pub const EVENTS_MAX: usize = 1_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handler was started, for the first time or again.
    Started {
        /// The loopback port it is to listen on.
        port: u16,
    },
    /// The handler answered for the first time since it was started.
    Ready,
    /// The handler is gone.
    Ended(Ended),
    /// A line that the handler process wrote.
    Said {
        /// How the host grades it.
        level: Level,
        /// The line, cut at a limit.
        line: String,
    },
    /// An invocation is over.
    Invoked(Invocation),
    /// A message went to the poison queue.
    Poisoned {
        /// The function that could not handle it.
        function: String,
        /// How often it had been received.
        dequeue_count: u32,
    },
    /// The host gave up and serves nothing any more.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited by itself with this code.
    Exited(i32),
    /// A signal ended it that the host did not send.
    Signalled,
    /// The host killed it: a function ran out of time, or somebody asked for it.
    Killed,
    /// It did not answer in time after its start, and was killed.
    NeverReady,
}

/// The level at which the host logs a line of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// From stdout.
    Information,
    /// From stderr, with "warn" in it.
    Warning,
    /// From stderr.
    Error,
}

/// One invocation of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The function's name.
    pub function: String,
    /// The id that the handler was given in `X-Azure-Functions-InvocationId`.
    pub id: String,
    /// How often the message had been received; `None` where no queue message was the trigger.
    pub dequeue_count: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function did what it was called for.
    Succeeded,
    /// It did not, for this reason.
    Failed(String),
    /// An HTTP function answered with this status; any status is a success to the host.
    Answered(u16),
}

/// The events and the count of what is under way; clones are the same journal.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    pages: Arc<Mutex<Pages>>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Pages {
    events: VecDeque<Event>,
    in_flight: usize,
    begun: u64,
}

/// Stands for work under way; dropping it ends the work.
#[derive(Debug)]
pub(super) struct Hold(Journal);

impl Journal {
    pub(super) fn record(&self, event: Event) {
        let mut pages = self.pages();
        if pages.events.len() == EVENTS_MAX {
            pages.events.pop_front();
        }
        pages.events.push_back(event);
        drop(pages);
        self.announce();
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.pages().events.iter().cloned().collect()
    }

    /// Counts work as under way. Taken before a message is received: a message is never hidden and yet not counted.
    pub(super) fn begin(&self) -> Hold {
        let mut pages = self.pages();
        pages.in_flight += 1;
        pages.begun += 1;
        Hold(self.clone())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.pages().in_flight
    }

    /// How much work was ever begun.
    pub(super) fn begun(&self) -> u64 {
        self.pages().begun
    }

    /// Follows every change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.pages().in_flight -= 1;
        self.0.announce();
    }
}
