//! The calls that a publisher makes, by name: what is counted and what faults are aimed at.

use serde::{Deserialize, Serialize};

/// A call of the fulfillment API, or of Entra.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names of Microsoft's operations")]
pub enum Call {
    Resolve,
    Activate,
    ListSubscriptions,
    GetSubscription,
    ListAvailablePlans,
    ChangePlan,
    ChangeQuantity,
    Cancel,
    ListOperations,
    GetOperation,
    UpdateOperation,
    Token,
    Keys,
    OpenidConfiguration,
    Authorize,
}

/// How many calls are remembered with their headers; older ones are forgotten.
pub const HEARD_MAX: usize = 1_000;

/// A call with what its headers said of the trace that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Which call.
    pub call: Call,
    /// Its `traceparent`.
    pub traceparent: Option<String>,
    /// Its `tracestate`.
    pub tracestate: Option<String>,
}

impl Call {
    /// The name, as fault rules and counts spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Activate => "activate",
            Self::ListSubscriptions => "list-subscriptions",
            Self::GetSubscription => "get-subscription",
            Self::ListAvailablePlans => "list-available-plans",
            Self::ChangePlan => "change-plan",
            Self::ChangeQuantity => "change-quantity",
            Self::Cancel => "cancel",
            Self::ListOperations => "list-operations",
            Self::GetOperation => "get-operation",
            Self::UpdateOperation => "update-operation",
            Self::Token => "token",
            Self::Keys => "keys",
            Self::OpenidConfiguration => "openid-configuration",
            Self::Authorize => "authorize",
        }
    }
}
