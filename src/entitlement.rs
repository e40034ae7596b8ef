//! Who may use a subscription now, how long, and why or why not. Pure.
//!
//! Microsoft's status decides, and an operator's override for a time: a customer suspended by mistake goes on working.

use time::{Duration, OffsetDateTime};

use crate::snapshot::{Snapshot, Status};

/// How far ahead an override may end: a quarter of a year outlasts every dispute about a payment, and what is to last
/// longer should become true at Microsoft.
pub const OVERRIDE_LIMIT: Duration = Duration::days(90);

/// An operator's decision, for a time, in place of what Microsoft's status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Whether it may be used.
    pub entitled: bool,
    /// When the decision ends; Microsoft's status counts from then on.
    pub until: OffsetDateTime,
    /// The operator's reason, without personal data.
    pub reason: String,
    /// When it was decided.
    pub at: OffsetDateTime,
    /// The person whom the publisher's software named as acting. Personal data: on the record, never in the log.
    pub person: Option<String>,
}

/// Whether a subscription may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Whether it may be used now.
    pub entitled: bool,
    /// Why, or why not.
    pub why: Why,
    /// When this ends, or has to be looked at again: the end of the override, or of the term. `None` where no end is known.
    pub until: Option<OffsetDateTime>,
    /// Whether the term begins anew by itself when it ends, as Microsoft last said.
    pub renews: Option<bool>,
}

/// Why a subscription may be used, or may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Microsoft shows it active.
    Active,
    /// It is not activated yet.
    Pending,
    /// Microsoft suspended it: the customer's payment failed.
    Suspended,
    /// It has ended.
    Cancelled,
    /// Microsoft shows a status that this version does not know.
    UnknownStatus,
    /// An operator decided so.
    Override,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::Pending, Self::Suspended, Self::Cancelled, Self::UnknownStatus, Self::Override];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::UnknownStatus => "unknown_status",
            Self::Override => "override",
        }
    }

    fn of(status: &Status) -> Self {
        match status {
            Status::Subscribed => Self::Active,
            Status::NotStarted | Status::PendingFulfillmentStart => Self::Pending,
            Status::Suspended => Self::Suspended,
            Status::Unsubscribed => Self::Cancelled,
            Status::Other(_) => Self::UnknownStatus,
        }
    }
}

impl Override {
    /// Whether it still counts.
    pub fn counts(&self, now: OffsetDateTime) -> bool {
        now < self.until
    }

    /// Whether it is the same decision, whoever made it and when.
    pub fn is_like(&self, other: &Self) -> bool {
        self.entitled == other.entitled && self.until == other.until && self.reason == other.reason
    }
}

impl Entitlement {
    /// Whether what Microsoft shows may be used; `decided` wins until it ends.
    pub fn of(known: &Snapshot, decided: Option<&Override>, now: OffsetDateTime) -> Self {
        if let Some(Override { entitled, until, .. }) = decided.filter(|decided| decided.counts(now)) {
            return Self { entitled: *entitled, why: Why::Override, until: Some(*until), renews: None };
        }
        let why = Why::of(&known.status);
        let entitled = why == Why::Active;
        let (until, renews) = if entitled { (term_ends(known, now), known.auto_renew) } else { (None, None) };
        Self { entitled, why, until, renews }
    }
}

/// When the term ends, if that lies ahead: Microsoft names its last day. Where that has passed and Microsoft shows the
/// subscription active all the same, the status counts: a customer who pays is not locked out for a late reading.
fn term_ends(known: &Snapshot, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let ends = known.term.end?.checked_add(Duration::days(1))?;
    (now < ends).then_some(ends)
}
