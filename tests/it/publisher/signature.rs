//! Signatures against those that others made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marketplace_fulfillment::publisher::Message;
use marketplace_fulfillment::publisher::signature::sign;
use marketplace_fulfillment::settings::EventsSecret;

/// The example of the specification's repository, the same in the tests of all its reference libraries
/// (<https://github.com/standard-webhooks/standard-webhooks>, `libraries/go/webhook_symmetric_test.go`,
/// `TestSymmetricWebhookSign`).
const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// Another key, and what `openssl dgst -sha256 -mac HMAC` makes of the same message with it.
const OTHER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_SIGNATURE: &str = "v1,O4Gjv1HqPqsMrjmczoggs/sWA8gZD0VyHG+fLh4+ktI=";

fn message() -> Message {
    Message { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), body: r#"{"test": 2432232314}"#.to_owned() }
}

fn keys(keys: &[&str]) -> EventsSecret {
    EventsSecret(keys.iter().map(|key| STANDARD.decode(key).unwrap()).collect())
}

#[test]
fn the_specifications_example_is_signed_as_there() {
    assert_eq!(sign(&message(), 1_614_265_330, &keys(&[KEY])), SIGNATURE);
}

#[test]
fn each_key_in_use_signs_the_newest_first() {
    let both = |first, second| sign(&message(), 1_614_265_330, &keys(&[first, second]));
    assert_eq!(both(OTHER_KEY, KEY), format!("{OTHER_SIGNATURE} {SIGNATURE}"));
    assert_eq!(both(KEY, OTHER_KEY), format!("{SIGNATURE} {OTHER_SIGNATURE}"));
}

#[test]
fn everything_that_is_sent_is_signed() {
    let original = (message(), 1_614_265_330);
    let changed = [
        (Message { id: "msg_other".to_owned(), ..message() }, original.1),
        (Message { body: r#"{"test":2432232314}"#.to_owned(), ..message() }, original.1),
        (message(), original.1 + 1),
    ];
    for (message, timestamp) in changed {
        assert_ne!(sign(&message, timestamp, &keys(&[KEY])), SIGNATURE, "{message:?} at {timestamp}");
    }
}
