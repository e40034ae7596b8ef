//! What the Functions host sends for triggers other than HTTP, and what it needs to hear. Serde only.
//!
//! Read from the host's source (`ScriptInvocationContextExtensions`): a binding with `dataType: binary` arrives as one
//! base64 string; any other string is JSON inside a JSON string; the documents' samples, older than the code, show the
//! string itself. All three are read. `Metadata` is not looked at: a message can overwrite it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Code, Fault};

/// An invocation as the host posts it.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    #[serde(rename = "Data", default)]
    data: Map<String, Value>,
}

/// The least that the host accepts as success. An empty body would leave the invocation hanging until its timeout, and
/// then kill this process.
pub const DONE: &str = "{}";

impl Envelope {
    /// Reads an invocation.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(body).map_err(|error| {
            Fault::new(
                Code::BadEnvelope,
                format!("line {}, column {}: not an invocation", error.line(), error.column()),
            )
        })
    }

    /// The bytes of a queue message that the binding `name` received with `dataType: binary`, or as a string.
    pub fn message(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let value = self.data.get(name);
        let value = value.ok_or_else(|| Fault::new(Code::BadEnvelope, format!("no binding named {name}")))?;
        let Value::String(text) = value else {
            return Ok(value.to_string().into_bytes());
        };
        if let Ok(Value::String(inner)) = serde_json::from_str(text) {
            return Ok(inner.into_bytes());
        }
        // Our messages are JSON objects, whose braces no base64 text contains.
        Ok(STANDARD.decode(text).unwrap_or_else(|_| text.clone().into_bytes()))
    }
}
