//! What is sent to a publisher, made by the words of the specifications and not by our code: CloudEvents, signed as Standard
//! Webhooks.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Two secrets, as a publisher has them while one takes over from the other.
pub(crate) const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
pub(crate) const OTHER_SECRET: &str = "whsec_GBkaGxwdHh8gISIjJCUmJygpKissLS4v";

/// A request to the publisher.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The receiver's time when it comes.
    pub(crate) at: OffsetDateTime,
    /// Their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A message about a subscription.
pub(crate) fn event(kind: &str, subscription: &str, sequence: u64, at: OffsetDateTime) -> Value {
    json!({
        "specversion": "1.0",
        "id": format!("evt_{subscription}_{sequence}"),
        "source": "http://127.0.0.1:7071/api/subscriptions",
        "type": format!("marketplace.{kind}"),
        "subject": subscription,
        "time": at.format(&Rfc3339).unwrap(),
        "datacontenttype": "application/json",
        "dataschema": "urn:marketplace-fulfillment:event:v1:subscription",
        "sequence": sequence.to_string(),
        "data": {
            "change": {
                "from": { "planId": "silver", "quantity": 5 },
                "to": { "planId": "gold", "quantity": 5 },
                "by": "buyer",
            },
            "subscription": {
                "id": subscription,
                "name": "Zoë's 本",
                "offerId": "contoso-offer",
                "planId": "silver",
                "quantity": 5,
                "status": "Subscribed",
                "entitlement": { "entitled": true, "until": null, "override": null },
            },
        },
    })
}

/// The same as a request, signed with each of the secrets.
pub(crate) fn signed(event: &Value, secrets: &[&str], at: OffsetDateTime) -> Message {
    signed_as(event["id"].as_str().unwrap(), event.to_string(), secrets, at)
}

/// A body as a request under this id.
pub(crate) fn signed_as(id: &str, body: String, secrets: &[&str], at: OffsetDateTime) -> Message {
    let timestamp = at.unix_timestamp();
    let signatures: Vec<String> = secrets.iter().map(|secret| signature(secret, id, timestamp, &body)).collect();
    let headers = [
        ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Message { at, headers, body }
}

fn signature(secret: &str, id: &str, timestamp: i64, body: &str) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes())))
}
