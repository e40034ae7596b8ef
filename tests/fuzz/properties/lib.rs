//! What must hold of whatever comes from outside: one property in one file, a function of bytes that panics where it
//! does not hold. libFuzzer calls them (`targets/`), and the one test binary does, with every kept input and with
//! seeded ones.

pub mod answer;
pub mod caller;
pub mod cookies;
mod elsewhere;
pub mod envelope;
pub mod events;
pub mod fulfillment;
pub mod guard;
pub mod id_token;
mod invariants;
pub mod keys;
mod made;
pub mod notification;
pub mod pages;
pub mod policy;
pub mod record;
pub mod refusal;
pub mod requests;
pub mod retry_after;
pub mod round_trip;
pub mod settings;

pub mod trace;

use time::OffsetDateTime;
use time::macros::datetime;

/// A property: it panics for bytes for which it does not hold.
pub type Property = fn(&[u8]);

/// Every property, by the name of its file, of its target and of its corpus.
pub const ALL: [(&str, Property); 19] = [
    ("answer", answer::holds),
    ("caller", caller::holds),
    ("cookies", cookies::holds),
    ("envelope", envelope::holds),
    ("events", events::holds),
    ("fulfillment", fulfillment::holds),
    ("guard", guard::holds),
    ("id_token", id_token::holds),
    ("keys", keys::holds),
    ("notification", notification::holds),
    ("pages", pages::holds),
    ("policy", policy::holds),
    ("record", record::holds),
    ("refusal", refusal::holds),
    ("requests", requests::holds),
    ("retry_after", retry_after::holds),
    ("round_trip", round_trip::holds),
    ("settings", settings::holds),
    ("trace", trace::holds),
];

/// When everything happens, unless an input says otherwise.
const NOW: OffsetDateTime = datetime!(2026-11-20 09:00 UTC);

/// Stands for a secret wherever an input holds it: what is told of the input must not hold it.
const SECRET: &str = "Zq7Xw9Kv2LpT4mRb";

/// The longest sentence about an input, in characters: a line of a log that a person reads.
const SENTENCE: usize = 400;

/// Whether a sentence can stand in a log: bounded, on one line, without what the input keeps secret.
#[track_caller]
fn assert_tellable(sentence: &str) {
    assert!(sentence.chars().count() <= SENTENCE, "{} characters: {sentence}", sentence.chars().count());
    assert!(!sentence.chars().any(char::is_control), "not one line: {sentence:?}");
    assert!(!sentence.contains(SECRET), "a secret is told: {sentence}");
    assert!(!sentence.contains('@'), "an address may be told: {sentence}");
}

/// Whether an identifier is one segment of a path, whoever joins it.
#[track_caller]
fn assert_segment(id: &str) {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    assert!((1..=64).contains(&id.len()) && id.bytes().all(sound), "no segment of a path: {id:?}");
}

/// The bytes as text; inputs are made of text, and what is not reaches no reader that takes text.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
