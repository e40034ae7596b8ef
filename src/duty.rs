//! What must still become true somewhere else, and when to try for it next. Pure: no clock, no I/O.
//!
//! A duty leaves its subscription in one of three ways only: done, impossible, or ended by an operator. Giving up is not
//! an exit: a duty past its limit stays on the record as failed, one call away from another try.

use std::fmt;

use time::{Duration, OffsetDateTime};

/// How long a claimant has a duty to itself. Longer than the calls of one attempt with all their timeouts together
/// (three calls of at most 15 s), so that a living claimant is never overtaken; short enough that a dead one is
/// replaced within the patience of a buyer who watches.
pub const LEASE: Duration = Duration::seconds(60);

/// How long after a duty was saved its first bell rings. Past the lease that the saving instance may have claimed at
/// once: a bell inside the lease would find nothing due, and nobody would ring again for a claimant that died.
pub const FIRST_BELL: Duration = Duration::seconds(75);

/// The wait after the first attempt that did not finish the duty. Activation takes "a few minutes" by Microsoft's
/// documentation and often only seconds, while the buyer watches.
pub const BACKOFF_FLOOR: Duration = Duration::seconds(5);

/// The longest wait between two attempts: an outage of hours is noticed to be over within one hour.
pub const BACKOFF_CEILING: Duration = Duration::hours(1);

/// How long a duty is tried before it is failed. Three days reach over a weekend, and leave 27 of the 30 days that
/// Microsoft gives to activate a purchase.
pub const PATIENCE: Duration = Duration::days(3);

/// How long an accepted activation is watched before it is asked for again. Activate may be repeated (the documents
/// since December 2022 name only Suspended as refused), but a repetition explains nothing that waiting does not.
pub const ACCEPTED_PATIENCE: Duration = Duration::hours(4);

/// The longest error text kept on a duty, in characters: enough for a sentence, small in a table column.
pub const ERROR_LENGTH: usize = 300;

/// Something the other side must still show. At most one of each [`Kind`] is open on a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// What has to become true.
    pub task: Task,
    /// How often it was claimed so far; a claim counts even when the claimant died.
    pub attempts: u32,
    /// When it was taken on, or last taken up again by an operator. [`PATIENCE`] counts from here.
    pub since: OffsetDateTime,
    /// Not due before this: a lease while somebody works on it, a back-off afterwards.
    pub not_before: OffsetDateTime,
    /// Why the last attempt did not finish it; without personal data, at most [`ERROR_LENGTH`] characters.
    pub last_error: Option<String>,
    /// Set when it was tried for longer than [`PATIENCE`]: nobody tries again until an operator or the buyer asks.
    pub failed_at: Option<OffsetDateTime>,
}

/// What a duty is about, with what is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Microsoft must show the subscription as `Subscribed`.
    Activate {
        /// When Microsoft last answered 200 to Activate, which means received and no more.
        accepted_at: Option<OffsetDateTime>,
    },
}

/// The name of a duty, and of the queue function that discharges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// See [`Task::Activate`].
    Activate,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::Activate];

    /// The storage queue whose messages ring for this kind.
    pub fn queue(self) -> &'static str {
        match self {
            Self::Activate => "activations",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Activate => "activate",
        })
    }
}

impl Task {
    /// The kind of this task.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Activate { .. } => Kind::Activate,
        }
    }
}

impl Duty {
    /// A duty that is due at once.
    pub fn new(task: Task, now: OffsetDateTime) -> Self {
        Self { task, attempts: 0, since: now, not_before: now, last_error: None, failed_at: None }
    }

    /// Whether somebody should work on it now.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.failed_at.is_none() && self.not_before <= now
    }

    /// When the next attempt may begin, unless the duty has failed.
    pub fn due(&self) -> Option<OffsetDateTime> {
        self.failed_at.is_none().then_some(self.not_before)
    }

    /// Takes the duty for [`LEASE`].
    pub(crate) fn claim(&mut self, now: OffsetDateTime) {
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = now + LEASE;
    }

    /// Puts the duty off after an attempt that did not finish it, and fails it past [`PATIENCE`].
    ///
    /// `after` is the other side's `Retry-After`: it can lengthen the wait and never shorten it, up to
    /// [`BACKOFF_CEILING`], so that no foreign header can make us forget a duty. `salt` spreads the waits of different
    /// subscriptions.
    pub(crate) fn defer(&mut self, why: &str, after: Option<Duration>, salt: &str, now: OffsetDateTime) {
        self.last_error = Some(why.chars().take(ERROR_LENGTH).collect());
        if now - self.since >= PATIENCE {
            self.failed_at = Some(now);
            return;
        }
        let wait = backoff(self.attempts, salt).max(after.unwrap_or_default());
        self.not_before = now + wait.min(BACKOFF_CEILING);
    }

    /// Takes a duty up again that had failed or waits: due at once, with fresh [`PATIENCE`].
    pub(crate) fn retry(&mut self, now: OffsetDateTime) {
        self.failed_at = None;
        self.since = now;
        self.not_before = now;
    }
}

/// The wait after the `attempts`-th attempt: doubling from [`BACKOFF_FLOOR`] up to [`BACKOFF_CEILING`], then shortened
/// by up to a quarter. The quarter follows from the attempt and `salt` alone: two subscriptions that failed together do
/// not return together, and the same history always gives the same schedule.
pub fn backoff(attempts: u32, salt: &str) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let wait = (BACKOFF_FLOOR * 2_i32.pow(doublings)).min(BACKOFF_CEILING);
    let spread = fnv1a(salt, attempts) % 1000;
    wait - wait * i32::try_from(spread).unwrap_or_default() / 4000
}

/// The 64-bit Fowler-Noll-Vo hash: well spread, the same on every machine and in every release.
fn fnv1a(text: &str, number: u32) -> u64 {
    text.bytes()
        .chain(number.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
