//! What the webhook is told: ids and the action, and nothing else. Everything that can be acted on is read from the
//! marketplace itself, because a body is old when it comes, may be repeated, and may say anything. Pure.

use serde_json::Value;

use super::Action;
use crate::error::{Code, Fault};
use crate::subscription::SubscriptionId;

/// The longest action kept, in characters. Microsoft's longest word has 14.
pub const ACTION_LENGTH: usize = 64;

/// The longest operation id accepted, in characters. A GUID has 36.
pub const OPERATION_ID_LENGTH: usize = SubscriptionId::LENGTH;

/// Some programs put it before their JSON, which has no place for it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A call of the webhook, as far as it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What happened, in Microsoft's word; an empty [`Action::Other`] where the body names nothing.
    pub action: Action,
    /// The operation to look at. Some thin bodies name none. It becomes part of a URL, so it is lower-cased and held to ASCII
    /// letters, digits and hyphens, at most [`OPERATION_ID_LENGTH`] of them.
    pub operation_id: Option<String>,
    /// The subscription to look at.
    pub subscription_id: SubscriptionId,
}

impl Notification {
    /// Reads a body of any age: with or without an operation, `operationType` in place of `action`, `operationId` in
    /// place of `id`, the subscription's id at the top or inside `subscription`. All other fields may be anything.
    ///
    /// # Errors
    ///
    /// [`Code::BadRequest`] where no subscription is named, with the field.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        let json = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        let body: Value = serde_json::from_slice(json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            refused(&format!("is not JSON (line {line}, column {column})"))
        })?;
        if !body.is_object() {
            return Err(refused("is not a JSON object"));
        }
        let text = |path: &str| body.pointer(path)?.as_str().map(str::trim).filter(|text| !text.is_empty());
        let id = |path: &str| text(path).and_then(SubscriptionId::parse);
        let word = text("/action").or_else(|| text("/operationType")).unwrap_or_default();
        let word: String = word.chars().filter(|letter| !letter.is_control()).take(ACTION_LENGTH).collect();
        let operation_id = id("/id").or_else(|| id("/operationId"));
        Ok(Self {
            action: Action::parse(&word),
            operation_id: operation_id.map(|id| id.as_str().to_owned()),
            subscription_id: id("/subscriptionId")
                .or_else(|| id("/subscription/id"))
                .ok_or_else(|| refused("has no subscriptionId, nor a subscription.id, that can be read"))?,
        })
    }
}

fn refused(what: &str) -> Fault {
    Fault::new(Code::BadRequest, format!("the webhook's body {what}"))
}
