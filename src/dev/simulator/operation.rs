//! Operations: every change of a subscription after its activation, as Microsoft keeps them.

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::catalog;
use super::span::instant;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Action {
    ChangePlan,
    ChangeQuantity,
    Reinstate,
    Renew,
    Subscribe,
    Suspend,
    Unsubscribe,
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
    /// The plan it leads to.
    pub plan_id: &'static str,
    /// The seats it leads to.
    pub quantity: Option<u32>,
    /// When it was asked for.
    pub asked_at: OffsetDateTime,
    /// When it turns from `NotStarted` to `InProgress`.
    pub starts_at: OffsetDateTime,
    /// When it ends by itself.
    pub ends_at: OffsetDateTime,
    /// Why it failed: a code and a sentence.
    pub error: Option<(&'static str, &'static str)>,
}

impl Operation {
    /// Whether it still locks its subscription.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::NotStarted | Phase::InProgress)
    }

    /// Ends it without effect.
    pub(super) fn fail(&mut self, code: &'static str, message: &'static str) {
        self.phase = Phase::Failed;
        self.error = Some((code, message));
    }

    /// As Get Operation shows it: `quantity`, `errorStatusCode` and `errorMessage` are absent where unset.
    pub(super) fn to_json(&self, subscription_id: &str, offer_id: &str) -> Value {
        let mut operation = json!({
            "id": self.id,
            "activityId": self.id,
            "publisherId": catalog::PUBLISHER,
            "offerId": offer_id,
            "planId": self.plan_id,
            "operationRequestSource": self.source,
            "subscriptionId": subscription_id,
            "timeStamp": instant(self.asked_at),
            "action": self.action,
            "status": self.phase,
        });
        if let Some(quantity) = self.quantity {
            operation["quantity"] = quantity.into();
        }
        if let Some((code, message)) = self.error {
            operation["errorStatusCode"] = code.into();
            operation["errorMessage"] = message.into();
        }
        operation
    }
}
