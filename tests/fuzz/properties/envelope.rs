//! The Functions host's envelopes and the doorbells in them: what is heard is an id, rung again it is the same bell in
//! each form that a host sends, and a refusal says nothing of the message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marketplace_fulfillment::bell::Doorbell;
use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::error::{Code, Fault};
use marketplace_fulfillment::host::Envelope;
use serde_json::{Value, json};

use super::{assert_segment, assert_tellable, text};

const BINDING: &str = "message";

pub fn holds(data: &[u8]) {
    for queue in Queue::ALL {
        let heard = heard(queue, data);
        let direct = Doorbell::decode(queue, data);
        for bell in [told(heard), told(direct)].into_iter().flatten() {
            assert_segment(bell.subscription.as_str());
            assert_eq!(Doorbell::decode(queue, &bell.encode()).as_ref(), Ok(&bell));
        }
    }
    // Whatever a message is, it comes out of the envelope as the bytes that were put.
    let binary = json!({ "Data": { BINDING: STANDARD.encode(data) } });
    assert_eq!(message(&binary).as_deref(), Ok(data), "binary");
    if let Some(text) = text(data).filter(|text| serde_json::from_str::<Value>(text).is_ok_and(|json| json.is_object()))
    {
        let quoted = json!({ "Data": { BINDING: Value::from(text).to_string() } });
        assert_eq!(message(&quoted).as_deref(), Ok(data), "a string of JSON");
        assert_eq!(message(&json!({ "Data": { BINDING: text } })).as_deref(), Ok(data), "the string itself");
    }
}

fn message(envelope: &Value) -> Result<Vec<u8>, Fault> {
    Envelope::parse(envelope.to_string().as_bytes())?.message(BINDING)
}

fn heard(queue: Queue, data: &[u8]) -> Result<Doorbell, Fault> {
    Doorbell::decode(queue, &Envelope::parse(data)?.message(BINDING)?)
}

fn told(heard: Result<Doorbell, Fault>) -> Option<Doorbell> {
    heard
        .map_err(|fault| {
            assert_eq!(fault.code, Code::BadEnvelope);
            assert_tellable(&fault.private);
        })
        .ok()
}
