//! Why the simulated marketplace says no. Each face has its own way of writing it.

use serde_json::json;

use crate::web::Reply;

/// A refusal, as the model gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// One word for programs.
    pub code: &'static str,
    /// Which part of the request is meant; empty where it is the request as a whole.
    pub target: &'static str,
    /// One sentence for people.
    pub message: String,
}

impl Refusal {
    /// The request itself is wrong.
    pub fn bad_request(code: &'static str, target: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, target, message: message.into() }
    }

    /// What was asked for is not here.
    pub fn not_found(target: &'static str, message: impl Into<String>) -> Self {
        Self { status: 404, code: "NotFound", target, message: message.into() }
    }

    /// The subscription's state does not allow it.
    pub fn conflict(target: &'static str, message: impl Into<String>) -> Self {
        Self { status: 409, code: "Conflict", target, message: message.into() }
    }

    /// The same refusal with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// As the fulfillment API writes it.
    pub fn as_marketplace(&self) -> Reply {
        let body = json!({ "code": self.code, "message": self.message, "target": self.target });
        Reply::new(self.status, "application/json; charset=utf-8", body.to_string())
    }

    /// As the simulator's own calls write it.
    pub fn as_control(&self) -> Reply {
        Reply::json(self.status, &json!({ "error": { "code": self.code, "message": self.message } }))
    }
}
