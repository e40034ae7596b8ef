//! One subscription as Microsoft keeps it: what time does to it, and how the API shows it.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::{Value, json};
use time::{Date, Duration, OffsetDateTime};

use super::call::Call;
use super::catalog::{self, Plan};
use super::operation::{Action, Operation, Phase, Source};
use super::people::Party;
use super::span::instant;

/// How many operations a subscription remembers; the oldest is forgotten first.
pub(super) const OPERATIONS_KEPT: usize = 50;

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
    pub beneficiary: Party,
    pub purchaser: Party,
    pub term_unit: TermUnit,
    /// The first and the last day; absent before activation.
    pub term: Option<(Date, Date)>,
    pub auto_renew: bool,
    /// The id of the private offer that it was bought with.
    pub private_offer: Option<String>,
    pub created: OffsetDateTime,
    pub activation: Option<Activation>,
    /// Oldest first, at most [`OPERATIONS_KEPT`].
    pub operations: VecDeque<Operation>,
    /// How often each call of the API named this subscription, refused and faulted ones included.
    pub calls: BTreeMap<Call, u32>,
}

impl Subscription {
    /// Brings everything about that has come due by `now`.
    pub(super) fn settle(&mut self, now: OffsetDateTime) {
        if let Some(activation) = self.activation.take_if(|activation| activation.due <= now) {
            match activation.fails_as {
                None => self.begin(activation.due),
                Some(id) => {
                    self.standing = Standing::Unsubscribed;
                    self.record(id, Action::Unsubscribe, Source::Azure, activation.due);
                }
            }
        }
        for index in 0..self.operations.len() {
            let operation = &mut self.operations[index];
            if operation.phase == Phase::NotStarted && operation.starts_at <= now {
                operation.phase = Phase::InProgress;
            }
            if operation.is_pending() && operation.ends_at <= now {
                self.complete(index);
            }
        }
    }

    /// The subscription becomes active, and its first term begins at midnight of that day.
    pub(super) fn begin(&mut self, at: OffsetDateTime) {
        self.standing = Standing::Subscribed;
        self.start_term(at.date());
    }

    /// A term of the usual length from `first`. The last day is the day before the next term begins, as recorded.
    pub(super) fn start_term(&mut self, first: Date) {
        self.term = Some((first, self.term_unit.after(first) - Duration::DAY));
    }

    /// Lets a pending operation take effect, if the subscription still allows it.
    pub(super) fn complete(&mut self, index: usize) {
        let operation = &mut self.operations[index];
        let active = self.standing == Standing::Subscribed;
        match operation.action {
            Action::ChangePlan | Action::ChangeQuantity if !active => {
                operation.fail("BadRequest", "The subscription is not active.");
                return;
            }
            Action::ChangePlan | Action::ChangeQuantity => {
                self.plan = catalog::plan(operation.plan_id).unwrap_or(self.plan);
                self.quantity = operation.quantity;
            }
            Action::Unsubscribe => self.standing = Standing::Unsubscribed,
            Action::Reinstate | Action::Renew | Action::Subscribe | Action::Suspend => {}
        }
        operation.phase = Phase::Succeeded;
    }

    /// Remembers an operation that is already done.
    pub(super) fn record(&mut self, id: String, action: Action, source: Source, at: OffsetDateTime) {
        self.remember(Operation {
            id,
            action,
            source,
            phase: Phase::Succeeded,
            plan_id: self.plan.id,
            quantity: self.quantity,
            asked_at: at,
            starts_at: at,
            ends_at: at,
            error: None,
        });
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
            "isFreeTrial": false,
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

    /// As the simulator's own calls show it: with its operations and how often it was called for.
    pub(super) fn to_control_json(&self, rng: &mut fastrand::Rng) -> Value {
        let mut subscription = self.to_json(rng);
        let operations = self.operations.iter().map(|operation| operation.to_json(&self.id, &self.offer_id));
        subscription["operations"] = operations.collect();
        subscription["calls"] = self.calls.iter().map(|(call, count)| (call.name(), Value::from(*count))).collect();
        subscription
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
