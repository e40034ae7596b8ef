//! A refusal as a program reads it: problem details for HTTP (RFC 9457).

use serde_json::json;

use crate::error::Code;
use crate::web::Reply;

/// The media type of problem details (RFC 9457, section 3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was refused, as its caller may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of failure; `docs/errors.md` explains each.
    pub code: Code,
    /// What the caller can do better, where there is more to say than the code's own sentence. Nothing from the log.
    pub detail: Option<String>,
    /// The id of the invocation, under which the log tells the cause.
    pub reference: String,
}

impl Problem {
    /// The answer. `type` is `about:blank`, whose title is by rule the words of the HTTP status: this program has no
    /// address of its own at which to explain a type, so `code` is what callers tell failures apart by.
    pub fn reply(&self) -> Reply {
        let status = self.code.status();
        let body = json!({
            "type": "about:blank",
            "title": words(status),
            "status": status,
            "detail": self.detail.as_deref().unwrap_or(self.code.public()),
            "code": self.code.as_str(),
            "reference": self.reference,
        });
        Reply::new(status, MEDIA_TYPE, body.to_string()).with("cache-control", "no-store")
    }
}

/// The words of a status that a [`Code`] has (RFC 9110, section 15).
fn words(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
