//! The webhook's body: what is read of it is ids and a short word, and a refusal says nothing of it.

use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::marketplace::notification::{ACTION_LENGTH, Notification};
use serde_json::json;

use super::{assert_segment, assert_tellable};

pub fn holds(data: &[u8]) {
    let read = match Notification::read(data) {
        Ok(read) => read,
        Err(fault) => {
            assert_eq!(fault.code, Code::BadRequest);
            return assert_tellable(&fault.private);
        }
    };
    assert_segment(read.subscription_id.as_str());
    read.operation_id.iter().for_each(|id| assert_segment(id));
    let word = read.action.as_str();
    assert!(word.chars().count() <= ACTION_LENGTH && !word.chars().any(char::is_control), "{word:?}");
    let mut plain = json!({ "action": word, "subscriptionId": read.subscription_id.as_str() });
    if let Some(id) = &read.operation_id {
        plain["id"] = id.as_str().into();
    }
    assert_eq!(Notification::read(plain.to_string().as_bytes()).as_ref(), Ok(&read), "what was read reads otherwise");
}
