//! Whether a message is what the sender signed: Standard Webhooks 1.0.0, "Verifying webhook authenticity".

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::{Duration, OffsetDateTime};

use crate::web::Request;

/// The header with the message's id.
pub(super) const ID: &str = "webhook-id";

/// How far the sender's clock may be from ours: what the reference libraries take.
const TOLERANCE: Duration = Duration::minutes(5);

/// The error is a sentence's end that says what is wrong.
pub(super) fn verify(request: &Request, keys: &[Vec<u8>], now: OffsetDateTime) -> Result<(), String> {
    let header = |name: &str| request.header(name).ok_or_else(|| format!("it has no {name}"));
    let (id, timestamp, given) = (header(ID)?, header("webhook-timestamp")?, header("webhook-signature")?);
    let sent: i64 = timestamp.parse().map_err(|_| "its webhook-timestamp is no number of seconds".to_owned())?;
    if now.unix_timestamp().abs_diff(sent) > TOLERANCE.whole_seconds().unsigned_abs() {
        return Err("its webhook-timestamp is more than five minutes away".to_owned());
    }
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
    let signatures = given.split(' ').filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok());
    // Compared in a time that tells nothing of where they differ.
    let signed = |signature: &Vec<u8>, key: &Vec<u8>| {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), &content, signature).is_ok()
    };
    let good = signatures.into_iter().any(|signature| keys.iter().any(|key| signed(&signature, key)));
    if good { Ok(()) } else { Err("no key that is known here made its signature".to_owned()) }
}
