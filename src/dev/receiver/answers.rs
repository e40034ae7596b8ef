//! How the receiver answers: well, unless it was told otherwise.

use std::fmt;
use std::time::Duration as Wait;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};
use time::Duration;

use super::Endpoint;
use crate::dev::simulator::{Refusal, span};
use crate::web::Reply;

/// How late an answer may be at most, and how long nothing is answered before the connection is closed. Nobody who sends
/// waits so long.
pub const LATEST: Wait = Wait::from_mins(1);

/// The longest `Retry-After`, in seconds: a day.
const LONGEST_RETRY_AFTER: u32 = 86_400;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// How each address answers. As JSON every field may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answers {
    /// Events.
    pub events: Answer,
    /// The question whether a purchase may be activated.
    pub provision: Answer,
    /// The question whether a change may be made.
    pub decisions: Answer,
}

/// How one address answers. As JSON every field may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Answer {
    /// What it says.
    #[serde(rename = "answer")]
    pub says: Says,
    /// Why it refuses, for whoever asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The verdict on a change; counts for decisions.
    pub decision: Decision,
    /// The `Retry-After`, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// How long it waits before it answers, on the machine's clock, at most [`LATEST`].
    #[serde(with = "span")]
    pub late: Duration,
    /// How often still; after that it answers well. `None` means for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// A status from 200 to 599, or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// This status.
    Status(u16),
    /// Nothing until the connection is closed, after [`LATEST`].
    Nothing,
}

/// The verdict on a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may be made.
    #[default]
    Accept,
    /// It may not.
    Refuse,
}

impl Answers {
    /// What was sent to `PUT /publisher/answers`.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body).map_err(|error| {
            Refusal::bad_request("InvalidBody", "", format!("the body is not what is expected here: {error}"))
        })
    }

    /// Whether this can be applied.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let refuse = |target, message: String| Err(Refusal::bad_request("InvalidAnswers", target, message));
        for answer in [&self.events, &self.provision, &self.decisions] {
            if answer.late > LATEST {
                return refuse("late", format!("late: at most {} seconds", LATEST.as_secs()));
            }
            if answer.retry_after.is_some_and(|seconds| seconds > LONGEST_RETRY_AFTER) {
                return refuse("retryAfter", format!("retryAfter: at most {LONGEST_RETRY_AFTER} seconds"));
            }
            if answer.reason.as_ref().is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
                return refuse("reason", format!("reason: at most {LONGEST_REASON} characters"));
            }
        }
        Ok(())
    }

    /// The answer to the next message; it is used up by one.
    pub(super) fn next(&mut self, endpoint: Endpoint) -> Answer {
        let answer = match endpoint {
            Endpoint::Events => &mut self.events,
            Endpoint::Provision => &mut self.provision,
            Endpoint::Decisions => &mut self.decisions,
        };
        let now = if answer.times == Some(0) { Answer::default() } else { answer.clone() };
        match answer.times {
            Some(0 | 1) => *answer = Answer::default(),
            Some(times) => answer.times = Some(times - 1),
            None => {}
        }
        now
    }
}

impl Answer {
    /// To a message that is not to be believed.
    pub(super) fn refusal(problem: &str) -> Self {
        Self { says: Says::Status(401), reason: Some(problem.to_owned()), ..Self::default() }
    }

    /// The answer as HTTP; `None` for nothing.
    pub(super) fn reply(&self, endpoint: Endpoint) -> Option<Reply> {
        let Says::Status(status) = self.says else { return None };
        let mut body = json!({});
        if let Some(reason) = &self.reason {
            body["reason"] = reason.as_str().into();
        }
        if endpoint == Endpoint::Decisions && self.says.is_success() {
            body["decision"] = json!(self.decision);
        }
        let reply = Reply::json(status, &body);
        Some(match self.retry_after {
            Some(seconds) => reply.with("retry-after", seconds.to_string()),
            None => reply,
        })
    }
}

impl Says {
    /// Whether the message is taken.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }
}

impl Default for Says {
    fn default() -> Self {
        Self::Status(200)
    }
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

impl Serialize for Says {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Says {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = match Value::deserialize(deserializer)? {
            Value::String(word) => word,
            other => other.to_string(),
        };
        match (word.as_str(), word.parse()) {
            ("nothing", _) => Ok(Self::Nothing),
            (_, Ok(status @ 200..=599)) => Ok(Self::Status(status)),
            _ => Err(de::Error::custom("answer: a status from 200 to 599, or \"nothing\"")),
        }
    }
}
