//! What must still become true somewhere else, and when to try for it next. Pure: no clock, no I/O.
//!
//! A duty leaves its subscription in one of three ways only: done, impossible, or ended by an operator. Giving up is not
//! an exit: a duty past its limit stays on the record as failed, one call away from another try.

use std::fmt;

use time::{Duration, OffsetDateTime};

use crate::opaque::Opaque;
use crate::snapshot::{OperationId, Terms};

/// How long a claimant has a duty to itself. Longer than the calls of one attempt with all their timeouts together
/// (four calls of at most 15 s), so that a living claimant is never overtaken; short enough that a dead one is
/// replaced within the patience of a buyer who watches.
pub const LEASE: Duration = Duration::seconds(75);

/// How long after a duty was saved its first bell rings. Past the lease that the saving instance may have claimed at
/// once: a bell inside the lease would find nothing due, and nobody would ring again for a claimant that died.
pub const FIRST_BELL: Duration = Duration::seconds(90);

/// The wait after the first attempt that did not finish the duty. Activation takes "a few minutes" by Microsoft's
/// documentation and often only seconds, while the buyer watches.
pub const BACKOFF_FLOOR: Duration = Duration::seconds(5);

/// The longest wait between two attempts: an outage of hours is noticed to be over within one hour.
pub const BACKOFF_CEILING: Duration = Duration::hours(1);

/// How long a duty is tried before it is failed. Three days reach over a weekend, and leave 27 of the 30 days that
/// Microsoft gives to activate a purchase.
pub const PATIENCE: Duration = Duration::days(3);

/// How long the publisher's software is told of something that it does not take, while it takes other things. An endpoint
/// that takes nothing at all is parked after two days ([`crate::circuit::PARKED_AFTER`]); this is longer by some tries, so
/// that the endpoint is spoken of, and not each of a thousand subscriptions.
pub const NOTIFY_PATIENCE: Duration = Duration::hours(51);

/// How long after something is to be told its first bell rings. By then the instance that made it happen has mostly made
/// the next thing happen as well: both are told at once, and nobody loses a race for the record.
pub const NOTIFY_FIRST_BELL: Duration = Duration::seconds(5);

/// How long an accepted activation is watched before it is asked for again. Activate may be repeated (the documents
/// since December 2022 name only Suspended as refused), but a repetition explains nothing that waiting does not.
pub const ACCEPTED_PATIENCE: Duration = Duration::hours(4);

/// The longest error text kept on a duty, in characters: enough for a sentence, small in a table column.
pub const ERROR_LENGTH: usize = 300;

/// How soon Microsoft is asked again after it received a request: the `Retry-After: 10` of its own answers.
pub const POLL: Duration = Duration::seconds(10);

/// The most duties open on one record. Microsoft locks a subscription while an operation runs, so more than a few at a
/// time mean that somebody invents operations.
pub const DUTIES: usize = 20;

/// Something the other side must still show. At most one of each [`DutyId`] is open on a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// What has to become true.
    pub task: Task,
    /// How often it was claimed so far; a claim counts even when the claimant died.
    pub attempts: u32,
    /// When it was taken on, or last taken up again by an operator. [`Kind::patience`] counts from here.
    pub since: OffsetDateTime,
    /// Not due before this: a lease while somebody works on it, a back-off afterwards.
    pub not_before: OffsetDateTime,
    /// Why the last attempt did not finish it; without personal data, at most [`ERROR_LENGTH`] characters.
    pub last_error: Option<String>,
    /// Set when it was tried for longer than its [`Kind::patience`]: nobody tries again until an operator or the buyer asks.
    pub failed_at: Option<OffsetDateTime>,
    /// What a newer version wrote into this duty.
    pub opaque: Opaque,
}

/// A duty that only a newer version of this program understands: its kind, or something that its kind wants. It is never
/// due here and nobody works on it; it stays on the record for the version that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDuty {
    /// The word for the kind.
    pub kind: String,
    /// The operation it is about, where it names one.
    pub operation: Option<String>,
    /// When it was taken on, or last taken up again.
    pub since: OffsetDateTime,
    /// Not due before this, for whoever understands it.
    pub not_before: OffsetDateTime,
    /// Set when it was given up.
    pub failed_at: Option<OffsetDateTime>,
    /// All of it.
    pub opaque: Opaque,
}

/// What a duty is about, with what is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Microsoft must show the subscription as `Subscribed`.
    Activate {
        /// When Microsoft last answered 200 to Activate, which means received and no more.
        accepted_at: Option<OffsetDateTime>,
        /// When the publisher said that it may be activated: its software has provisioned, or it ordered the activation.
        /// Nobody looks at it where the buyer's confirmation is enough.
        provisioned_at: Option<OffsetDateTime>,
    },
    /// What a webhook named must be read and recorded.
    Examine {
        /// The operation. Old, thin notifications have none.
        operation: Option<OperationId>,
        /// Microsoft's word for the action, as the webhook had it: a hint and no more.
        action: String,
        /// When somebody set out to ask the publisher's software about it. It is asked once: whoever finds this, and is
        /// not the one who asks, takes its silence for what silence means.
        asked: Option<OffsetDateTime>,
    },
    /// Microsoft must show that the operation has ended.
    Acknowledge {
        /// The operation.
        operation: OperationId,
        /// Our answer to it.
        verdict: Verdict,
    },
    /// Microsoft must show what the publisher ordered, or something newer.
    Change {
        /// What was ordered.
        wanted: Wanted,
        /// Plan and seats when it was ordered: whoever finds them as they were knows that nothing happened since.
        from: Terms,
        /// What became of the request, once Microsoft received it.
        sent: Option<Sent>,
    },
    /// Microsoft must show the subscription as `Unsubscribed`.
    Cancel {
        /// What became of the request, once Microsoft received it.
        sent: Option<Sent>,
    },
    /// The publisher's software must have taken what is in the outbox, in its order. It takes no room among [`DUTIES`].
    Notify,
}

/// Our answer to a change that the customer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// We follow.
    Success,
    /// We refuse.
    Failure,
}

/// What the publisher can order of Microsoft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Another plan.
    Plan(String),
    /// Another number of seats.
    Quantity(u32),
    /// The end of the subscription.
    Cancellation,
}

/// A request that Microsoft received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: OffsetDateTime,
    /// The operation that Microsoft made of it.
    pub operation: Option<OperationId>,
    /// Where Microsoft says to look for it.
    pub location: Option<String>,
}

/// The kinds of duties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// See [`Task::Activate`].
    Activate,
    /// See [`Task::Examine`].
    Examine,
    /// See [`Task::Acknowledge`].
    Acknowledge,
    /// See [`Task::Change`].
    Change,
    /// See [`Task::Cancel`].
    Cancel,
    /// See [`Task::Notify`].
    Notify,
}

/// Which duty of a subscription: its kind, and the operation where there can be several of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DutyId {
    /// The kind.
    pub kind: Kind,
    /// The operation it is about.
    pub operation: Option<OperationId>,
}

/// The storage queues, one for each queue function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Rings for `activate`.
    Activations,
    /// Rings for `acknowledge`.
    Acknowledgements,
    /// Rings for `change`.
    Changes,
    /// Rings for `notify`.
    Notifications,
}

impl Queue {
    /// Every queue.
    pub const ALL: [Self; 4] = [Self::Activations, Self::Acknowledgements, Self::Changes, Self::Notifications];

    /// The queue's name in storage and in `function.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activations => "activations",
            Self::Acknowledgements => "acknowledgements",
            Self::Changes => "changes",
            Self::Notifications => "notifications",
        }
    }

    /// How long after a duty was saved its bell rings.
    pub fn first_bell(self) -> Duration {
        match self {
            Self::Activations | Self::Acknowledgements | Self::Changes => FIRST_BELL,
            Self::Notifications => NOTIFY_FIRST_BELL,
        }
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Activate, Self::Examine, Self::Acknowledge, Self::Change, Self::Cancel, Self::Notify];

    /// How long a duty of this kind is tried before it is failed.
    pub fn patience(self) -> Duration {
        match self {
            Self::Activate | Self::Examine | Self::Acknowledge | Self::Change | Self::Cancel => PATIENCE,
            Self::Notify => NOTIFY_PATIENCE,
        }
    }

    /// The queue whose function discharges this kind.
    pub fn queue(self) -> Queue {
        match self {
            Self::Activate => Queue::Activations,
            Self::Examine | Self::Acknowledge => Queue::Acknowledgements,
            Self::Change | Self::Cancel => Queue::Changes,
            Self::Notify => Queue::Notifications,
        }
    }

    /// The word in records and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Examine => "examine",
            Self::Acknowledge => "acknowledge",
            Self::Change => "change",
            Self::Cancel => "cancel",
            Self::Notify => "notify",
        }
    }
}

impl From<Kind> for DutyId {
    /// The duty of a kind of which there is only one.
    fn from(kind: Kind) -> Self {
        Self { kind, operation: None }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for DutyId {
    /// As in an address: `activate`, `acknowledge:<operation>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operation {
            None => write!(f, "{}", self.kind),
            Some(operation) => write!(f, "{}:{operation}", self.kind),
        }
    }
}

impl DutyId {
    /// Reads what [`fmt::Display`] writes; `None` where it names no duty.
    pub fn parse(text: &str) -> Option<Self> {
        let (word, operation) = match text.split_once(':') {
            None => (text, None),
            Some((word, operation)) => (word, Some(OperationId::parse(operation)?)),
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word)?;
        Some(Self { kind, operation })
    }
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 2] = [Self::Success, Self::Failure];

    /// The word in records and answers, which is also Microsoft's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Failure => "Failure",
        }
    }
}

impl Wanted {
    /// Whether these terms are what was ordered. A cancellation shows in the status.
    pub fn is_met_by(&self, terms: &Terms) -> bool {
        match self {
            Self::Plan(plan) => terms.plan_id == *plan,
            Self::Quantity(quantity) => terms.quantity == Some(*quantity),
            Self::Cancellation => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(plan) => write!(f, "plan {plan}"),
            Self::Quantity(quantity) => write!(f, "{quantity} seats"),
            Self::Cancellation => f.write_str("cancellation"),
        }
    }
}

impl Task {
    /// Which duty this is.
    pub fn id(&self) -> DutyId {
        match self {
            Self::Activate { .. } => Kind::Activate.into(),
            Self::Examine { operation, .. } => DutyId { kind: Kind::Examine, operation: operation.clone() },
            Self::Acknowledge { operation, .. } => {
                DutyId { kind: Kind::Acknowledge, operation: Some(operation.clone()) }
            }
            Self::Change { .. } => Kind::Change.into(),
            Self::Cancel { .. } => Kind::Cancel.into(),
            Self::Notify => Kind::Notify.into(),
        }
    }
}

impl Duty {
    /// A duty that is due at once.
    pub fn new(task: Task, now: OffsetDateTime) -> Self {
        Self {
            task,
            attempts: 0,
            since: now,
            not_before: now,
            last_error: None,
            failed_at: None,
            opaque: Opaque::default(),
        }
    }

    /// Whether somebody should work on it now.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.failed_at.is_none() && self.not_before <= now
    }

    /// When the next attempt may begin, unless the duty has failed.
    pub fn due(&self) -> Option<OffsetDateTime> {
        self.failed_at.is_none().then_some(self.not_before)
    }

    /// Microsoft may be asked to activate, and whoever claimed the duty goes on to do so. Patience and back-off begin
    /// anew: what took long was another's work.
    pub(crate) fn provision(&mut self, now: OffsetDateTime) {
        if let Task::Activate { provisioned_at, .. } = &mut self.task {
            *provisioned_at = Some(now);
        }
        self.attempts = self.attempts.min(1);
        self.since = now;
        self.not_before = now.saturating_add(LEASE);
    }

    /// Somebody sets out to ask the publisher's software about what is to be examined, and is alone with it until then.
    pub(crate) fn ask(&mut self, until: OffsetDateTime, now: OffsetDateTime) {
        if let Task::Examine { asked, .. } = &mut self.task {
            *asked = Some(now);
        }
        self.failed_at = None;
        self.not_before = until;
    }

    /// Takes the duty for [`LEASE`].
    pub(crate) fn claim(&mut self, now: OffsetDateTime) {
        self.attempts = self.attempts.saturating_add(1);
        self.not_before = now.saturating_add(LEASE);
    }

    /// Puts the duty off after an attempt that did not finish it, and fails it past its [`Kind::patience`].
    ///
    /// `after` is the other side's `Retry-After`: it can lengthen the wait and never shorten it, up to
    /// [`BACKOFF_CEILING`], so that no foreign header can make us forget a duty. `salt` spreads the waits of different
    /// subscriptions.
    pub(crate) fn defer(&mut self, why: &str, after: Option<Duration>, salt: &str, now: OffsetDateTime) {
        self.last_error = Some(why.chars().take(ERROR_LENGTH).collect());
        if now - self.since >= self.task.id().kind.patience() {
            self.failed_at = Some(now);
            return;
        }
        let wait = backoff(self.attempts, salt).max(after.unwrap_or_default());
        self.not_before = now.saturating_add(wait.min(BACKOFF_CEILING));
    }

    /// Nobody tries again until somebody asks for it.
    pub(crate) fn give_up(&mut self, why: &str, now: OffsetDateTime) {
        self.last_error = Some(why.chars().take(ERROR_LENGTH).collect());
        self.failed_at = Some(now);
    }

    /// Takes a duty up again that had failed or waits: due at once, with fresh patience.
    pub(crate) fn retry(&mut self, now: OffsetDateTime) {
        self.failed_at = None;
        self.since = now;
        self.not_before = now;
    }
}

impl UnknownDuty {
    /// Its name in addresses, as [`DutyId`] writes it.
    pub fn id(&self) -> String {
        match &self.operation {
            None => self.kind.clone(),
            Some(operation) => format!("{}:{operation}", self.kind),
        }
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
