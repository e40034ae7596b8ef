//! What can happen to a subscription, and what that does to its record. Pure.

use time::{Duration, OffsetDateTime};

use crate::duty::{DutyId, Kind, Queue, Verdict, Wanted};
use crate::entitlement::Override;
use crate::history::Actor;
use crate::opaque::Opaque;
use crate::snapshot::{OperationId, Snapshot, Terms};

/// Something that happened to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What Microsoft says, read after the record was loaded.
    Read(Box<Snapshot>),
    /// A signed-in buyer pressed the button, or an operator ordered the activation.
    Confirmed(Actor),
    /// A webhook named something that Microsoft could not be asked about yet.
    Unread(Notice),
    /// A webhook told of something that needs no answer, or whose operation has already ended.
    Noticed(Notice),
    /// A webhook asked whether a change may be, and this is the answer.
    Decided {
        /// What was asked.
        notice: Notice,
        /// Plan and seats that it would lead to.
        wanted: Terms,
        /// The answer, which nothing changes any more.
        ruling: Ruling,
    },
    /// The publisher's software is about to be asked whether a change may be. Whoever saves this asks, and nobody else.
    Asked {
        /// What is asked.
        notice: Notice,
        /// How long whoever asks is waited for.
        until: OffsetDateTime,
    },
    /// The publisher's software decided when it had been decided without it. It is remembered, and changes nothing.
    DecidedLate {
        /// What was asked.
        notice: Notice,
        /// What it said.
        ruling: Ruling,
    },
    /// The publisher orders the activation, which counts as provisioned.
    ActivationOrdered,
    /// The publisher's software answered that it has provisioned.
    Provisioned,
    /// The publisher's software refuses to provision.
    ProvisionRefused {
        /// Its words for the buyer.
        why: String,
    },
    /// Microsoft shows that the operation of an answer has ended.
    Closed {
        /// The operation.
        operation: OperationId,
        /// Microsoft's word for how.
        outcome: String,
        /// Whether that is the answer that we gave.
        as_answered: bool,
    },
    /// The publisher orders something of Microsoft.
    Ordered(Wanted),
    /// Somebody starts to work on the duty.
    Claimed(DutyId),
    /// Microsoft received the request of this duty.
    Accepted {
        /// Which duty.
        duty: DutyId,
        /// The operation that Microsoft made of it.
        operation: Option<OperationId>,
        /// Where Microsoft says to look for it.
        location: Option<String>,
    },
    /// The attempt did not finish the duty.
    Deferred {
        /// Which duty.
        duty: DutyId,
        /// Why, without personal data.
        why: String,
        /// The other side's `Retry-After`.
        after: Option<Duration>,
    },
    /// The other side shows the duty done.
    Done {
        /// Which duty.
        duty: DutyId,
        /// How it is known.
        why: Option<String>,
    },
    /// The other side proved that the duty cannot be done.
    Impossible {
        /// Which duty.
        duty: DutyId,
        /// The proof, without personal data.
        why: String,
    },
    /// An operator ends a duty.
    Ended {
        /// Which duty.
        duty: DutyId,
        /// The operator's reason.
        why: String,
    },
    /// A duty is taken up again before its time, or after it failed.
    Retried {
        /// Which duty.
        duty: DutyId,
        /// By whom.
        by: Actor,
    },
    /// What was read repaired a difference that no webhook had told of.
    Repaired {
        /// What differed.
        why: String,
    },
    /// One of Microsoft's deadlines is near.
    DeadlineNear {
        /// What must happen before it: a word.
        wanted: &'static str,
        /// When it is.
        at: OffsetDateTime,
    },
    /// The publisher's software has taken every announcement up to this number.
    Delivered {
        /// The number.
        through: u64,
    },
    /// Nobody tries the duty again until somebody asks for it, because the other side asked for that.
    GivenUp {
        /// Which duty.
        duty: DutyId,
        /// Why.
        why: String,
    },
    /// An operator decides for a time who may use it.
    Overridden(Override),
    /// That decision ends.
    OverrideEnded {
        /// Who says so.
        by: Actor,
    },
    /// The publisher's software wants to hear again what it was told from this number on.
    Replayed {
        /// The number.
        from: u64,
        /// Who asked for it.
        by: Actor,
    },
}

/// What a webhook named: ids and the action, never facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The operation. Old, thin notifications have none.
    pub operation: Option<OperationId>,
    /// Microsoft's word for the action.
    pub action: String,
}

/// An answer to a change that the customer asks for, with what is to be known of it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The answer.
    pub verdict: Verdict,
    /// Who gave it.
    pub by: Actor,
    /// The reason; without personal data.
    pub why: Option<String>,
    /// How long the publisher's software took for it, where it was asked.
    pub took: Option<Duration>,
}

impl Ruling {
    /// An answer by rule.
    pub fn by_rule(verdict: Verdict, why: Option<String>) -> Self {
        Self { verdict, by: Actor::Program, why, took: None }
    }
}

/// What we answered to an operation, kept so that a repeated webhook gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The operation.
    pub operation: OperationId,
    /// Microsoft's word for what it was about; records of before this was kept have none.
    pub action: Option<String>,
    /// What we decided.
    pub decision: Decision,
    /// When.
    pub at: OffsetDateTime,
    /// What a newer version wrote beside it.
    pub opaque: Opaque,
}

/// What was decided about an operation, once and for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No answer was asked for.
    NotAsked,
    /// This answer.
    Given(Verdict),
    /// A word of a newer version of this program. What that version means to tell Microsoft is not known here.
    Other(String),
}

impl Decision {
    /// The verdict that was given; `None` where none was, or this version does not know it.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Given(verdict) => Some(*verdict),
            Self::NotAsked | Self::Other(_) => None,
        }
    }
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: it was known already, or cannot matter any more.
    Unchanged,
    /// The record must be saved, and these queues rung for what has become due.
    Changed {
        /// The queues.
        rings: Vec<Queue>,
    },
    /// The event contradicts the state; nothing was changed.
    Refused(Refusal),
}

impl Applied {
    /// The record changed, and nothing has become due.
    pub(crate) fn quietly() -> Self {
        Self::Changed { rings: Vec::new() }
    }

    /// The record changed, and a duty of this kind has become due.
    pub(crate) fn ringing(kind: Kind) -> Self {
        Self::Changed { rings: vec![kind.queue()] }
    }
}

/// Why an event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The subscription is suspended, and this needs one that is not.
    Suspended,
    /// It was cancelled, which is final.
    Cancelled,
    /// It is not active yet.
    NotActive,
    /// Its status is a word that this version does not know.
    UnknownStatus,
    /// There is no such duty.
    NoSuchDuty,
    /// Microsoft does not allow the publisher to do this: the customer bought from a reseller.
    NotAllowed,
    /// Another order of the same kind is not done yet.
    Busy,
    /// It already is as ordered.
    AsOrdered,
    /// More is owed than a record can hold.
    TooMuchOwed,
}
