//! What the publisher's software is asked, and what its answers mean. A question is sent once; who asks again asks with the
//! same id.

use std::time::Duration as Patience;

use serde_json::Value;
use time::Duration;
use url::Url;

use crate::app::App;
use crate::duty::Verdict;
use crate::history::cut;
use crate::publisher::{Answer, Message};
use crate::subscription::REASON_LENGTH;

/// What the publisher's software says of a purchase that it is to provision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// It is done.
    Done,
    /// It is under way; ask again, not before this wait.
    UnderWay(Option<Duration>),
    /// It will not be, for this reason, which the buyer reads.
    Refused(String),
    /// Nothing that decides anything.
    Unclear {
        /// What it said instead.
        why: String,
        /// The wait that it asks for.
        after: Option<Duration>,
    },
}

/// What the publisher's software says of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its decision.
    pub verdict: Verdict,
    /// Its reason, where it gives one.
    pub why: Option<String>,
}

/// Signs and sends a question, and waits no longer than `patience` for its answer, the reading of the key included.
///
/// # Errors
///
/// Why there is no answer: for log and record.
pub async fn send(app: &App, to: &Url, message: &Message, patience: Patience) -> Result<Answer, String> {
    let Some(keys) = &app.secrets.events else {
        return Err("PUBLISHER_EVENTS_SECRET is not set, and what is not signed is not sent".to_owned());
    };
    let begun = tokio::time::Instant::now();
    let now = app.clock.now();
    let keys = match tokio::time::timeout(patience, keys.fresh(now)).await {
        Ok(Ok(current)) => current.value.clone(),
        Ok(Err(fault)) => return Err(fault.private),
        Err(_) => return Err("the key that signs could not be read in time".to_owned()),
    };
    let left = patience.saturating_sub(begun.elapsed());
    app.publisher.post(to, message, &keys, now, left).await.map_err(|unsent| unsent.why)
}

/// What an answer to `marketplace.command.provision` means. A refusal has a reason: a 404 of a router and a 401 of a
/// gateway have none, and decide nothing.
pub fn provisioning(answer: &Answer) -> Provisioning {
    let after = answer.retry_after;
    match answer.status {
        200 | 201 | 204 => Provisioning::Done,
        202 => Provisioning::UnderWay(after),
        // Too slow, too early, too often: what these say is that it may be asked again.
        408 | 425 | 429 => Provisioning::Unclear { why: unclear(answer, ""), after },
        400..=499 => match reason(answer) {
            Some(reason) => Provisioning::Refused(reason),
            None => Provisioning::Unclear { why: unclear(answer, " without a reason, which is no decision"), after },
        },
        _ => Provisioning::Unclear { why: unclear(answer, ""), after },
    }
}

/// What an answer to `marketplace.command.decide` means.
///
/// # Errors
///
/// Anything but a decision, in words: it counts as silence.
pub fn decision(answer: &Answer) -> Result<Said, String> {
    if answer.status != 200 {
        return Err(format!("the publisher's software answered {}", answer.status));
    }
    let verdict = match said(answer)["decision"].as_str() {
        Some("accept") => Verdict::Success,
        Some("refuse") => Verdict::Failure,
        _ => return Err("the publisher's software answered 200 without a decision".to_owned()),
    };
    Ok(Said { verdict, why: reason(answer) })
}

fn unclear(answer: &Answer, beside: &str) -> String {
    format!("the publisher's software answered {}{beside}; it is asked again", answer.status)
}

/// The reason in an answer, as one line that a page and a record can hold; `None` where nothing is left of it.
fn reason(answer: &Answer) -> Option<String> {
    let said = said(answer);
    let words = said["reason"].as_str()?.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let mut line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    cut(&mut line, REASON_LENGTH);
    (!line.is_empty()).then_some(line)
}

/// The body of an answer; null where it is not JSON.
fn said(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_default()
}
