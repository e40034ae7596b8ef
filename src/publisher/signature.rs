//! Signatures by Standard Webhooks 1.0.0, "Signature scheme": symmetric, `v1`
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Message;
use crate::settings::EventsSecret;

/// The header with the message's id, the same in every attempt.
pub const ID: &str = "webhook-id";

/// The header with the time of the attempt, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";

/// The header with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// The value of [`SIGNATURE`] for an attempt at `timestamp`, in Unix seconds: one signature for each key, in their
/// order. A receiver believes any that it can make itself, so that a key is changed without a gap.
pub fn sign(message: &Message, timestamp: i64, keys: &EventsSecret) -> String {
    let content = format!("{}.{timestamp}.{}", message.id, message.body);
    let signature = |key: &Vec<u8>| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, content.as_bytes())))
    };
    keys.0.iter().map(signature).collect::<Vec<_>>().join(" ")
}
