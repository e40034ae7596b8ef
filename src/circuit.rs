//! Whether the publisher's endpoint is worth another try. Pure.
//!
//! Every subscription has its own duty with its own back-off. Where nobody answers for any of them, the circuit opens:
//! then one try in a while stands for all. Where that goes on for [`PARKED_AFTER`], or the endpoint says that it is gone,
//! it is parked until somebody resumes it.

use time::{Duration, OffsetDateTime};

use crate::duty::BACKOFF_CEILING;
use crate::subscription::SubscriptionId;

/// How many different subscriptions must fail one after the other, with no success in between, before the circuit opens.
/// One that fails alone is a fault of its own event, and keeps nobody else waiting.
pub const TRIPS: usize = 3;

/// How long the circuit stays open at first. It doubles with each try that fails, up to [`BACKOFF_CEILING`].
pub const OPEN_FLOOR: Duration = Duration::minutes(1);

/// After how long without any success the endpoint is parked: a weekend, and Standard Webhooks advises a few days.
pub const PARKED_AFTER: Duration = Duration::days(2);

/// The longest reason kept, in characters.
const WHY_LENGTH: usize = 300;

/// What is known of the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circuit {
    /// Since when nothing has arrived.
    pub failing_since: Option<OffsetDateTime>,
    /// The subscriptions that failed since then, at most [`TRIPS`].
    pub failing: Vec<SubscriptionId>,
    /// How often a try failed while the circuit was open, or opened it.
    pub opened: u32,
    /// Nobody tries before this.
    pub open_until: Option<OffsetDateTime>,
    /// Set while nobody tries at all.
    pub parked_at: Option<OffsetDateTime>,
    /// Why the last try failed.
    pub why: Option<String>,
}

/// What the circuit lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Try.
    Try,
    /// Not before this.
    Wait(OffsetDateTime),
    /// Not until somebody resumes it.
    Parked,
}

/// How a try failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may go better another time.
    Passing(String),
    /// The endpoint answered 410: it wants no more (Standard Webhooks, "Removing a webhook").
    Gone,
}

impl Circuit {
    /// Whether to try now.
    pub fn gate(&self, now: OffsetDateTime) -> Gate {
        match (self.parked_at, self.open_until) {
            (Some(_), _) => Gate::Parked,
            (None, Some(until)) if now < until => Gate::Wait(until),
            _ => Gate::Try,
        }
    }

    /// Something arrived: everything is as it should be.
    #[must_use]
    pub fn succeeded(&self) -> Self {
        Self::default()
    }

    /// A try for `subscription` failed.
    #[must_use]
    pub fn failed(&self, subscription: &SubscriptionId, failure: &Failure, now: OffsetDateTime) -> Self {
        let mut next = self.clone();
        let since = *next.failing_since.get_or_insert(now);
        if next.failing.len() < TRIPS && !next.failing.contains(subscription) {
            next.failing.push(subscription.clone());
        }
        let why = match failure {
            Failure::Passing(why) => why,
            Failure::Gone => "the endpoint answered 410: it is gone",
        };
        next.why = Some(why.chars().take(WHY_LENGTH).collect());
        if next.failing.len() >= TRIPS {
            let wait = (OPEN_FLOOR * 2_i32.pow(next.opened.min(16))).min(BACKOFF_CEILING);
            next.opened = next.opened.saturating_add(1);
            next.open_until = Some(now + wait);
        }
        if *failure == Failure::Gone || now - since >= PARKED_AFTER {
            next.parked_at.get_or_insert(now);
        }
        next
    }
}
