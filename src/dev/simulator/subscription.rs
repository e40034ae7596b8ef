//! One subscription as Microsoft keeps it, and how the API shows it.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};
use time::{Date, Duration, OffsetDateTime};

use super::call::Call;
use super::catalog::{self, Plan};
use super::delivery::Attempt;
use super::operation::{Operation, Terms};
use super::people::Party;
use super::span::instant;
use super::trial::Trial;

/// How many operations a subscription remembers; the oldest is forgotten first.
pub(super) const OPERATIONS_KEPT: usize = 50;

/// How many attempts to deliver its webhooks a subscription remembers; the oldest is forgotten first.
const ATTEMPTS_KEPT: usize = 50;

/// How many of those attempts keep the body that was sent, of a kilobyte and a half: enough to see the last ones.
const BODIES_KEPT: usize = 3;

/// Renewals stop here, well before dates can no longer be held.
const LAST_YEAR: i32 = 9_000;

/// `saasSubscriptionStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Standing {
    PendingFulfillmentStart,
    Subscribed,
    Suspended,
    Unsubscribed,
}

/// How long a term lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[expect(missing_docs, reason = "ISO 8601 durations")]
pub enum TermUnit {
    #[default]
    P1M,
    P1Y,
    P2Y,
    P3Y,
}

/// An activation that was received and is not yet done.
#[derive(Clone, Debug)]
pub(super) struct Activation {
    /// When it ends.
    pub due: OffsetDateTime,
    /// The id of the `Unsubscribe` operation that follows where the activation fails.
    pub fails_as: Option<String>,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub id: String,
    pub name: String,
    /// With the `-preview` suffix where it was bought from the offer's preview.
    pub offer_id: String,
    pub plan: &'static Plan,
    pub quantity: Option<u32>,
    pub standing: Standing,
    /// Since when it stands so.
    pub since: OffsetDateTime,
    pub beneficiary: Party,
    pub purchaser: Party,
    pub term_unit: TermUnit,
    /// The first and the last day; absent before activation.
    pub term: Option<(Date, Date)>,
    pub auto_renew: bool,
    /// How long it is free after its activation.
    pub free_trial: Option<Trial>,
    /// When the free trial that is running ends.
    pub trial_ends: Option<OffsetDateTime>,
    /// The id of the private offer that it was bought with.
    pub private_offer: Option<String>,
    pub created: OffsetDateTime,
    pub activation: Option<Activation>,
    /// Oldest first, at most [`OPERATIONS_KEPT`].
    pub operations: VecDeque<Operation>,
    /// Oldest first, at most [`ATTEMPTS_KEPT`].
    pub attempts: VecDeque<Attempt>,
    /// The entry that the agenda holds for it.
    pub scheduled: Option<OffsetDateTime>,
    /// How often each call of the API named this subscription, refused and faulted ones included.
    pub calls: BTreeMap<Call, u32>,
}

impl Subscription {
    /// What is bought.
    pub(super) fn terms(&self) -> Terms {
        (self.plan.id, self.quantity)
    }

    /// Changes its standing.
    pub(super) fn stand(&mut self, standing: Standing, at: OffsetDateTime) {
        self.standing = standing;
        self.since = at;
        if standing == Standing::Unsubscribed {
            self.activation = None;
        }
    }

    /// The subscription becomes active, and its first term begins at midnight of that day, with the free trial if any.
    pub(super) fn begin(&mut self, at: OffsetDateTime) {
        self.stand(Standing::Subscribed, at);
        self.start_term(at.date());
        self.trial_ends = self.free_trial.map(|trial| trial.after(at.date()).midnight().assume_utc());
    }

    /// A term of the usual length from `first`. The last day is the day before the next term begins, as recorded.
    pub(super) fn start_term(&mut self, first: Date) {
        self.term = Some((first, self.term_unit.after(first) - Duration::DAY));
    }

    /// When the next term would begin; `None` before activation, and where the calendar ends.
    pub(super) fn term_ends(&self) -> Option<OffsetDateTime> {
        let (_, last) = self.term?;
        let next = last.next_day().filter(|first| first.year() < LAST_YEAR)?;
        Some(next.midnight().assume_utc())
    }

    /// Remembers an operation.
    pub(super) fn remember(&mut self, operation: Operation) {
        if self.operations.len() == OPERATIONS_KEPT {
            self.operations.pop_front();
        }
        self.operations.push_back(operation);
    }

    /// Whether an operation is pending: Microsoft allows one at a time.
    pub(super) fn is_locked(&self) -> bool {
        self.operations.iter().any(Operation::is_pending)
    }

    /// Whether a reseller bought it for a customer: then the publisher may only read it.
    pub(super) fn is_resold(&self) -> bool {
        self.purchaser.tenant_id != self.beneficiary.tenant_id
    }

    /// As Get Subscription shows it.
    pub(super) fn to_json(&self, rng: &mut fastrand::Rng) -> Value {
        let mut allowed = if self.is_resold() { vec!["Read"] } else { vec!["Read", "Update", "Delete"] };
        rng.shuffle(&mut allowed);
        let mut term = json!({ "termUnit": self.term_unit });
        if let Some((first, last)) = self.term {
            term["startDate"] = format!("{first}T00:00:00Z").into();
            term["endDate"] = format!("{last}T00:00:00Z").into();
        }
        let mut subscription = json!({
            "id": self.id,
            "publisherId": catalog::PUBLISHER,
            "offerId": self.offer_id,
            "name": self.name,
            "saasSubscriptionStatus": self.standing,
            "beneficiary": self.beneficiary,
            "purchaser": self.purchaser,
            "planId": self.plan.id,
            "term": term,
            "autoRenew": self.auto_renew,
            "isTest": false,
            "isFreeTrial": self.trial_ends.is_some(),
            "allowedCustomerOperations": allowed,
            "sandboxType": "None",
            "created": instant(self.created),
            "lastModified": "0001-01-01T00:00:00",
            "sessionMode": "None",
        });
        if let Some(quantity) = self.quantity {
            subscription["quantity"] = quantity.into();
        }
        subscription
    }

    /// Remembers an attempt to tell the publisher something.
    pub(super) fn log(&mut self, attempt: Attempt) {
        if self.attempts.len() == ATTEMPTS_KEPT {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
        if let Some(older) = self.attempts.len().checked_sub(BODIES_KEPT + 1) {
            self.attempts[older].body = None;
        }
    }

    /// As the simulator's own calls show it: with its operations, its last `attempts` webhooks, and how often it was
    /// called for.
    pub(super) fn to_control_json(&self, attempts: usize, rng: &mut fastrand::Rng) -> Value {
        let mut subscription = self.to_json(rng);
        let operations = self.operations.iter().map(|operation| operation.to_control_json(&self.id, &self.offer_id));
        subscription["operations"] = operations.collect();
        let skipped = self.attempts.len().saturating_sub(attempts);
        subscription["deliveries"] = self.attempts.iter().skip(skipped).map(|attempt| self.attempt(attempt)).collect();
        subscription["calls"] = self.calls.iter().map(|(call, count)| (call.name(), Value::from(*count))).collect();
        subscription
    }

    fn attempt(&self, attempt: &Attempt) -> Value {
        let operation = self.operations.iter().find(|operation| operation.id == attempt.operation_id);
        attempt.to_json(operation.and_then(Operation::acknowledged_after))
    }
}

impl TermUnit {
    fn months(self) -> u8 {
        match self {
            Self::P1M => 1,
            Self::P1Y => 12,
            Self::P2Y => 24,
            Self::P3Y => 36,
        }
    }

    /// The day a term after `first`; the last day of the month where the month is too short.
    pub fn after(self, first: Date) -> Date {
        let months = u8::from(first.month()) - 1 + self.months();
        let year = first.year() + i32::from(months / 12);
        let month = first.month().nth_next(self.months());
        let day = first.day().min(month.length(year));
        Date::from_calendar_date(year, month, day).expect("the day is within its month, the clock within ten years")
    }
}
