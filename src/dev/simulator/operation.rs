//! Operations: every change of a subscription after its activation, as Microsoft keeps them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::catalog;
use super::span::instant;
use super::subscription::Subscription;

/// How long the publisher has to answer a change that Microsoft told of; silence accepts it.
pub(super) const ANSWER_WITHIN: Duration = Duration::seconds(10);

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    ChangePlan,
    ChangeQuantity,
    Reinstate,
    Renew,
    Subscribe,
    Suspend,
    Transfer,
    Unsubscribe,
    /// Something that Microsoft may invent.
    Other(Arc<str>),
}

impl Action {
    /// As Microsoft spells it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::ChangePlan => "ChangePlan",
            Self::ChangeQuantity => "ChangeQuantity",
            Self::Reinstate => "Reinstate",
            Self::Renew => "Renew",
            Self::Subscribe => "Subscribe",
            Self::Suspend => "Suspend",
            Self::Transfer => "Transfer",
            Self::Unsubscribe => "Unsubscribe",
            Self::Other(name) => name,
        }
    }

    /// Whether the publisher is asked; of everything else they are only told.
    pub(super) fn asks(&self) -> bool {
        self.is_change() || *self == Self::Reinstate
    }

    /// Whether the plan or the seats change.
    pub(super) fn is_change(&self) -> bool {
        matches!(self, Self::ChangePlan | Self::ChangeQuantity)
    }
}

/// Who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Source {
    /// The customer or Microsoft.
    Azure,
    /// The publisher.
    Partner,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Phase {
    /// Received.
    NotStarted,
    /// Waits for the publisher's word, or for Microsoft itself.
    InProgress,
    /// Done.
    Succeeded,
    /// Refused, or no longer possible.
    Failed,
}

/// A plan, and seats where it is sold per seat.
pub(super) type Terms = (&'static str, Option<u32>);

/// How an operation came to its end.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub at: OffsetDateTime,
    /// One sentence for people.
    pub because: String,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// A GUID.
    pub id: String,
    /// What it does.
    pub action: Action,
    /// Who asked for it.
    pub source: Source,
    /// How far it is.
    pub phase: Phase,
    /// What was bought before.
    pub before: Terms,
    /// What it leads to.
    pub target: Terms,
    /// When it was asked for.
    pub asked_at: OffsetDateTime,
    /// When the publisher is told of it, at the earliest.
    pub told_at: OffsetDateTime,
    /// When it turns from `NotStarted` to `InProgress`.
    pub starts_at: OffsetDateTime,
    /// When it ends by itself; `None` while the publisher, who is asked, has not yet received the question.
    pub ends_at: Option<OffsetDateTime>,
    /// When the first webhook about it was sent.
    pub delivered_at: Option<OffsetDateTime>,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Whether its end was reported to the log.
    pub reported: bool,
    /// Whether it takes back what the publisher refused.
    pub is_revert: bool,
    /// Why it failed: a code and a sentence.
    pub error: Option<(&'static str, &'static str)>,
}

impl Operation {
    /// One that is done already, by the customer or Microsoft.
    pub(super) fn done(subscription: &Subscription, id: String, action: Action, at: OffsetDateTime) -> Self {
        let terms = subscription.terms();
        let mut operation = Self::asked(subscription, id, action, terms, at);
        operation.end(Phase::Succeeded, at, "It was done at once.");
        operation
    }

    /// One that the customer asks for, and that waits for the publisher's word.
    pub(super) fn asked(
        subscription: &Subscription,
        id: String,
        action: Action,
        target: Terms,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            action,
            source: Source::Azure,
            phase: Phase::InProgress,
            before: subscription.terms(),
            target,
            asked_at: at,
            told_at: at,
            starts_at: at,
            ends_at: None,
            delivered_at: None,
            ended: None,
            reported: false,
            is_revert: false,
            error: None,
        }
    }

    /// Whether it still locks its subscription.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::NotStarted | Phase::InProgress)
    }

    /// When time next moves it.
    pub(super) fn next_change(&self) -> Option<OffsetDateTime> {
        match self.phase {
            Phase::NotStarted => Some(self.starts_at),
            Phase::InProgress => self.ends_at,
            Phase::Succeeded | Phase::Failed => None,
        }
    }

    /// The publisher has received a webhook that was sent at `at`: the time to answer runs from there.
    pub(super) fn received(&mut self, at: OffsetDateTime) {
        if self.is_pending() && self.source == Source::Azure {
            self.ends_at.get_or_insert(at + ANSWER_WITHIN);
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self, phase: Phase, at: OffsetDateTime, because: impl Into<String>) {
        self.phase = phase;
        self.ended = Some(Ended { at, because: because.into() });
    }

    /// Ends it without effect.
    pub(super) fn fail(
        &mut self,
        (code, message): (&'static str, &'static str),
        at: OffsetDateTime,
        because: impl Into<String>,
    ) {
        self.end(Phase::Failed, at, because);
        self.error = Some((code, message));
    }

    /// How long it took from the first webhook to the end; `None` where it had ended before, or still goes on.
    pub(super) fn acknowledged_after(&self) -> Option<Duration> {
        let took = self.ended.as_ref()?.at - self.delivered_at?;
        (self.action.asks() && !took.is_negative()).then_some(took)
    }

    /// As Get Operation shows it: `quantity`, `errorStatusCode` and `errorMessage` are absent where unset.
    pub(super) fn to_json(&self, subscription_id: &str, offer_id: &str) -> Value {
        let (plan_id, quantity) = self.target;
        let mut operation = json!({
            "id": self.id,
            "activityId": self.id,
            "publisherId": catalog::PUBLISHER,
            "offerId": offer_id,
            "planId": plan_id,
            "operationRequestSource": self.source,
            "subscriptionId": subscription_id,
            "timeStamp": instant(self.asked_at),
            "action": self.action.name(),
            "status": self.phase,
        });
        if let Some(quantity) = quantity {
            operation["quantity"] = quantity.into();
        }
        if let Some((code, message)) = self.error {
            operation["errorStatusCode"] = code.into();
            operation["errorMessage"] = message.into();
        }
        operation
    }

    /// As the simulator's own calls show it: with how it ended, when and why, and what the publisher took to answer.
    pub(super) fn to_control_json(&self, subscription_id: &str, offer_id: &str) -> Value {
        let mut operation = self.to_json(subscription_id, offer_id);
        if let Some(Ended { at, because }) = &self.ended {
            operation["endedAt"] = instant(*at).into();
            operation["endedBecause"] = because.as_str().into();
        }
        if let Some(took) = self.acknowledged_after() {
            operation["acknowledgedAfter"] = milliseconds(took).into();
        }
        operation
    }
}

/// Whole milliseconds, for JSON.
pub(super) fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.whole_milliseconds()).unwrap_or(i64::MAX)
}
