//! Which of Microsoft's deadlines is near. Pure.

use time::{Duration, OffsetDateTime};

use crate::history::Happening;
use crate::subscription::{Status, Subscription};

/// How long Microsoft waits for an activation, and then for a payment. Both are 30 days (life-cycle page, 2023 and 2026).
pub const PATIENCE_OF_MICROSOFT: Duration = Duration::days(30);

/// How long before its end a deadline is announced: a week has working days in it, wherever the publisher sits.
pub const NOTICE: Duration = Duration::days(7);

/// A day on which Microsoft ends a subscription unless something happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// What must happen.
    pub wanted: Wanted,
    /// By when. For a suspension it is counted from the day on which we first knew of it, so Microsoft's own may be
    /// earlier where a webhook was lost.
    pub at: OffsetDateTime,
}

/// What must happen before a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Somebody must confirm the purchase, so that it is activated.
    Activation,
    /// The customer must pay.
    Payment,
}

impl Wanted {
    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::Payment => "payment",
        }
    }
}

/// The deadline that is at most [`NOTICE`] away or has passed; `None` where nothing is waited for, or time enough is
/// left.
pub fn near(subscription: &Subscription, now: OffsetDateTime) -> Option<Deadline> {
    let (wanted, since) = match &subscription.known.status {
        Status::NotStarted | Status::PendingFulfillmentStart => {
            (Wanted::Activation, subscription.known.created.unwrap_or(subscription.created_at))
        }
        Status::Suspended => (Wanted::Payment, suspended_since(subscription)),
        Status::Subscribed | Status::Unsubscribed | Status::Other(_) => return None,
    };
    let at = since.saturating_add(PATIENCE_OF_MICROSOFT);
    (now >= at - NOTICE).then_some(Deadline { wanted, at })
}

/// When we learnt of the suspension. Where its entry is no longer on the record, it is older than the oldest that is.
fn suspended_since(subscription: &Subscription) -> OffsetDateTime {
    let entries = &subscription.history.entries;
    let suspended = entries.iter().rfind(|entry| {
        matches!(entry.what, Happening::StatusChanged | Happening::Discovered)
            && entry.to.as_deref() == Some(Status::Suspended.as_str())
    });
    suspended.or(entries.first()).map_or(subscription.created_at, |entry| entry.at)
}
