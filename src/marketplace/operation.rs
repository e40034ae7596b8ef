//! What the marketplace calls an operation: a change of a subscription under way, and how it ended.

use time::OffsetDateTime;

use crate::subscription::SubscriptionId;

/// A change of a subscription, as Get Operation and List Outstanding Operations show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its identifier.
    pub id: String,
    /// The subscription it changes, where the answer says so.
    pub subscription_id: Option<SubscriptionId>,
    /// The offer.
    pub offer_id: Option<String>,
    /// The plan: for a change of plan the target.
    pub plan_id: Option<String>,
    /// The target number of seats; absent where seats are not what changes.
    pub quantity: Option<u32>,
    /// What it does.
    pub action: Action,
    /// How far it is.
    pub status: OperationStatus,
    /// Who asked for it; absent in Microsoft's OpenAPI description, present on the wire.
    pub source: Option<RequestSource>,
    /// When it was asked for, UTC.
    pub at: Option<OffsetDateTime>,
    /// `errorStatusCode` of an operation that failed.
    pub error_code: Option<String>,
    /// `errorMessage` of an operation that failed: Microsoft's words, for the operator.
    pub error_message: Option<String>,
}

/// What an operation does. An open set: what Microsoft adds is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Another plan.
    ChangePlan,
    /// Another number of seats.
    ChangeQuantity,
    /// The customer's payment failed.
    Suspend,
    /// The payment succeeded after all.
    Reinstate,
    /// A new term began.
    Renew,
    /// The end.
    Unsubscribe,
    /// The start of a subscription whose plan activates by itself.
    Subscribe,
    /// A word that this version does not know.
    Other(String),
}

impl Action {
    /// Reads Microsoft's word.
    pub fn parse(word: &str) -> Self {
        match word.trim() {
            "ChangePlan" => Self::ChangePlan,
            "ChangeQuantity" => Self::ChangeQuantity,
            "Suspend" => Self::Suspend,
            "Reinstate" => Self::Reinstate,
            "Renew" => Self::Renew,
            "Unsubscribe" => Self::Unsubscribe,
            "Subscribe" => Self::Subscribe,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Microsoft's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::ChangePlan => "ChangePlan",
            Self::ChangeQuantity => "ChangeQuantity",
            Self::Suspend => "Suspend",
            Self::Reinstate => "Reinstate",
            Self::Renew => "Renew",
            Self::Unsubscribe => "Unsubscribe",
            Self::Subscribe => "Subscribe",
            Self::Other(word) => word,
        }
    }
}

/// How far an operation is. An open set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// Known, not begun.
    NotStarted,
    /// Under way.
    InProgress,
    /// Done.
    Succeeded,
    /// Refused, or not possible.
    Failed,
    /// Ended without effect: the new value is the one it already had.
    Conflict,
    /// A word that this version does not know.
    Other(String),
}

impl OperationStatus {
    /// Reads Microsoft's word. Besides today's words, those of older documents and samples are understood.
    pub fn parse(word: &str) -> Self {
        match word.trim() {
            "NotStarted" => Self::NotStarted,
            "InProgress" => Self::InProgress,
            "Succeeded" | "Succeed" | "Success" => Self::Succeeded,
            "Failed" | "Failure" => Self::Failed,
            "Conflict" => Self::Conflict,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Microsoft's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Conflict => "Conflict",
            Self::Other(word) => word,
        }
    }

    /// Whether nothing can change any more. An unknown word counts as not ended: looking again costs little.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Conflict)
    }
}

/// Who asked for an operation. An open set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestSource {
    /// The customer or Microsoft, through the Azure portal or the Microsoft 365 admin centre.
    Azure,
    /// The publisher: an echo of our own call.
    Partner,
    /// A word that this version does not know.
    Other(String),
}

impl RequestSource {
    /// Reads Microsoft's word.
    pub fn parse(word: &str) -> Self {
        match word.trim() {
            "Azure" => Self::Azure,
            "Partner" => Self::Partner,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Our answer to an operation. Microsoft accepts any text here and acts on these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationOutcome {
    /// We follow the change.
    Success,
    /// We refuse it.
    Failure,
}

impl OperationOutcome {
    /// Microsoft's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Failure => "Failure",
        }
    }
}
