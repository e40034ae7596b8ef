//! The words with which the marketplace refuses a call, in whichever shape they come. Pure.

use serde_json::{Map, Value};

use crate::words::{WORDS_LENGTH, scrub};

/// What a refusal says, read from any of the four shapes that the marketplace uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Microsoft's word for the error.
    pub code: Option<String>,
    /// The field or step that it concerns.
    pub target: Option<String>,
    /// Microsoft's sentence.
    pub message: Option<String>,
}

impl Refusal {
    /// Reads the body of a refusal: an object with `code`, `message` and `target`, the same inside `error`, the same
    /// with capital letters, or a bare JSON string. Anything else says nothing: a gateway's page is not for a log.
    ///
    /// `secrets` are the texts that must not be repeated, whatever the other side echoes.
    pub fn read(body: &[u8], secrets: &[&str]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::String(message)) => {
                Self { message: Some(scrub(&message, secrets)).filter(|text| !text.is_empty()), ..Self::default() }
            }
            Ok(Value::Object(body)) => {
                let fields = named(&body, "error").and_then(Value::as_object).unwrap_or(&body);
                let words = |name| match named(fields, name)? {
                    Value::String(text) => Some(scrub(text, secrets)).filter(|text| !text.is_empty()),
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                };
                Self { code: words("code"), target: words("target"), message: words("message") }
            }
            _ => Self::default(),
        }
    }

    /// Whether it says that another operation holds the subscription.
    pub fn says_locked(&self) -> bool {
        [&self.code, &self.message].into_iter().flatten().any(|text| text.to_ascii_lowercase().contains("locked"))
    }

    /// Code, target and message in one line; empty where it says nothing.
    pub fn words(&self) -> String {
        let target = self.target.as_ref().map(|target| format!("({target})"));
        let words = [self.code.as_deref(), target.as_deref(), self.message.as_deref()];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ").chars().take(WORDS_LENGTH).collect()
    }
}

fn named<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
