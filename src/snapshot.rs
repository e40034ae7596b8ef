//! What Microsoft says of a subscription at one moment, in our words: ids, status, parties, term. Pure.

use std::fmt;

use time::OffsetDateTime;

/// What Microsoft appends to the offer id of a purchase made before the offer went live.
const PREVIEW: &str = "-preview";

/// The longest identifier accepted, in characters. Microsoft's are GUIDs of 36.
const ID_LENGTH: usize = 64;

/// Microsoft's identifier of a subscription: a GUID in everything seen so far.
///
/// It becomes a table key, part of a queue message and of URLs that we make, so it is lower-cased and held to ASCII
/// letters, digits and hyphens, at most 64 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(String);

/// Microsoft's identifier of an operation, held to the same characters as a [`SubscriptionId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId(String);

fn identifier(text: &str) -> Option<String> {
    let text = text.trim();
    let sound = !text.is_empty()
        && text.len() <= ID_LENGTH
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    sound.then(|| text.to_ascii_lowercase())
}

impl SubscriptionId {
    /// The longest identifier accepted, in characters.
    pub const LENGTH: usize = ID_LENGTH;

    /// Reads an identifier; `None` where it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        identifier(text).map(Self)
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OperationId {
    /// Reads an identifier; `None` where it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        identifier(text).map(Self)
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `saasSubscriptionStatus`. An open set: what Microsoft adds is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// In Microsoft's OpenAPI description only; never seen. Treated as not yet activated.
    NotStarted,
    /// Bought, waiting for the publisher's activation. Nothing is billed.
    PendingFulfillmentStart,
    /// Active and billed.
    Subscribed,
    /// The customer's payment failed; 30 days until it is cancelled.
    Suspended,
    /// Cancelled. Final: Microsoft never reactivates a cancelled subscription.
    Unsubscribed,
    /// A word that this version does not know.
    Other(String),
}

impl Status {
    /// Every status that this version knows.
    pub const ALL: [Self; 5] =
        [Self::NotStarted, Self::PendingFulfillmentStart, Self::Subscribed, Self::Suspended, Self::Unsubscribed];

    /// Reads Microsoft's word. The documents pad some with spaces.
    pub fn parse(word: &str) -> Self {
        match word.trim() {
            "NotStarted" => Self::NotStarted,
            "PendingFulfillmentStart" => Self::PendingFulfillmentStart,
            "Subscribed" => Self::Subscribed,
            "Suspended" => Self::Suspended,
            "Unsubscribed" => Self::Unsubscribed,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Microsoft's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::PendingFulfillmentStart => "PendingFulfillmentStart",
            Self::Subscribed => "Subscribed",
            Self::Suspended => "Suspended",
            Self::Unsubscribed => "Unsubscribed",
            Self::Other(word) => word,
        }
    }

    /// Whether the subscription still waits for its activation.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::NotStarted | Self::PendingFulfillmentStart)
    }

    /// Whether knowing `self` proves that `other` is older knowledge, which must not undo it.
    pub(crate) fn outdates(&self, other: &Self) -> bool {
        match self {
            Self::Unsubscribed => *other != Self::Unsubscribed,
            Self::Subscribed | Self::Suspended => other.is_pending(),
            Self::NotStarted | Self::PendingFulfillmentStart | Self::Other(_) => false,
        }
    }
}

/// Who uses (beneficiary) or pays for (purchaser) the subscription. Personal data: `Debug` shows the tenant only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// The e-mail address, as Microsoft gives it.
    pub email: Option<String>,
    /// The user's object id in their tenant.
    pub object_id: Option<String>,
    /// The user's Entra tenant. All personal accounts share one.
    pub tenant_id: Option<String>,
    /// The personal account's id: 16 hexadecimal digits.
    pub puid: Option<String>,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

/// The current term. All absent until the subscription is activated, but for the unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Term {
    /// An ISO 8601 duration such as `P1M`; an open set.
    pub unit: Option<String>,
    /// The first day, midnight UTC.
    pub start: Option<OffsetDateTime>,
    /// The last day, midnight UTC; it renews the day after.
    pub end: Option<OffsetDateTime>,
}

/// What Microsoft said of a subscription at one moment. `Debug` leaves out what may be personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The offer, with the `-preview` suffix that test purchases carry.
    pub offer_id: String,
    /// The plan.
    pub plan_id: String,
    /// Seats; absent for plans that are not sold per seat.
    pub quantity: Option<u32>,
    /// The status.
    pub status: Status,
    /// The name that the customer chose. Personal data by our rules: it may name a person.
    pub name: String,
    /// Who uses it.
    pub beneficiary: Option<Party>,
    /// Who pays.
    pub purchaser: Option<Party>,
    /// The current term.
    pub term: Term,
    /// Whether it renews by itself.
    pub auto_renew: Option<bool>,
    /// Whether a free trial runs.
    pub is_free_trial: bool,
    /// `Read`, `Update`, `Delete`: what the publisher may do with it.
    pub allowed_operations: Vec<String>,
    /// When it was bought.
    pub created: Option<OffsetDateTime>,
    /// The fields that this version does not know, as the text of one JSON object: kept, never read by a rule.
    pub rest: Option<String>,
}

/// What a customer pays for: plan and seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The plan.
    pub plan_id: String,
    /// Seats; absent for plans that are not sold per seat.
    pub quantity: Option<u32>,
}

impl Snapshot {
    /// Plan and seats.
    pub fn terms(&self) -> Terms {
        Terms { plan_id: self.plan_id.clone(), quantity: self.quantity }
    }

    /// Whether Microsoft lets the publisher do this (`Read`, `Update`, `Delete`).
    pub fn allows(&self, operation: &str) -> bool {
        self.allowed_operations.iter().any(|allowed| allowed == operation)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("offer_id", &self.offer_id)
            .field("plan_id", &self.plan_id)
            .field("quantity", &self.quantity)
            .field("status", &self.status)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}

/// The id of the live offer that `offer_id` belongs to: itself, or what Microsoft put `-preview` behind.
pub fn live_offer(offer_id: &str) -> &str {
    offer_id.strip_suffix(PREVIEW).unwrap_or(offer_id)
}
