//! The reference libraries of Standard Webhooks and CloudEvents, for JavaScript and for Python, judge what we send.
//!
//! `tests/reference/check.cjs` and `check.py` read lines `{"at", "headers", "body", "secret"}`: a request, the receiver's clock
//! in seconds since 1970, and the receiver's secret. For each they write a line `{"accepted"}`, with `why` where it is not.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration as RealDuration;

use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::message::{Message, OTHER_SECRET, SECRET, event, signed, signed_as};

/// How long a checker may take for what it does in a second.
const PATIENCE: RealDuration = RealDuration::from_mins(1);

/// Far from the machine's clock: a check against that one refuses everything.
const NOW: OffsetDateTime = datetime!(2034-05-06 07:08:09 UTC);

/// Where the libraries come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Library {
    Npm,
    PyPi,
}

/// Fails unless both libraries accept every one of these messages.
pub(crate) async fn assert_accepted(secret: &str, messages: &[Message]) {
    for library in [Library::Npm, Library::PyPi] {
        for (message, verdict) in messages.iter().zip(library.verdicts(secret, messages).await) {
            assert_eq!(verdict, Ok(()), "{library:?} refuses {message:#?}");
        }
    }
}

impl Library {
    /// What the library says of each message; the error is its own words.
    pub(crate) async fn verdicts(self, secret: &str, messages: &[Message]) -> Vec<Result<(), String>> {
        let lines: String = messages.iter().map(|message| line(secret, message)).collect();
        let mut child = self.command().stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Side by side: it answers while it reads, and a full pipe would stop both.
        let told = async move {
            stdin.write_all(lines.as_bytes()).await.unwrap();
            drop(stdin);
        };
        let work = async { tokio::join!(told, child.wait_with_output()).1.unwrap() };
        let output = tokio::time::timeout(PATIENCE, work).await.expect("the checker ends");
        assert!(output.status.success(), "{self:?}: {:?}", output.status);
        let verdicts: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(verdict).collect();
        assert_eq!(verdicts.len(), messages.len());
        verdicts
    }

    fn command(self) -> Command {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let (program, script) = match self {
            Self::Npm => {
                let installed = tests.join("node_modules/cloudevents").exists();
                assert!(installed, "the libraries are not installed: npm ci --prefix tests (tests/run does it)");
                (PathBuf::from("node"), "check.cjs")
            }
            Self::PyPi => (python(), "check.py"),
        };
        let mut command = Command::new(program);
        command.arg(tests.join("reference").join(script));
        command
    }
}

/// The Python that has the packages of the receiver and of the checker.
pub(crate) fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join("python/bin/python");
    assert!(python.exists(), "{} is missing: tests/run makes it", python.display());
    python
}

fn line(secret: &str, Message { at, headers, body }: &Message) -> String {
    format!("{}\n", json!({ "at": at.unix_timestamp(), "headers": headers, "body": body, "secret": secret }))
}

fn verdict(line: &str) -> Result<(), String> {
    let verdict: Value = serde_json::from_str(line).unwrap();
    if verdict["accepted"] == true { Ok(()) } else { Err(verdict["why"].as_str().expect("a reason").to_owned()) }
}

/// A good event, as a request, after a change.
fn bent(bend: impl FnOnce(&mut Value)) -> Message {
    let mut event = event("subscription.activated", "8c2f9a44-5d1e-4b7a-a3c6-e90b1d7f2584", 1_763_629_200_001, NOW);
    bend(&mut event);
    signed(&event, &[SECRET], NOW)
}

/// A good request after a change.
fn forged(forge: impl FnOnce(&mut Message)) -> Message {
    let mut message = bent(|_| {});
    forge(&mut message);
    message
}

#[tokio::test]
async fn what_is_right_is_accepted() {
    let (while_rotating, bare) = (signed(&bare(), &[OTHER_SECRET, SECRET], NOW), signed(&bare(), &[SECRET], NOW));
    assert_accepted(SECRET, &[bent(|_| {}), while_rotating, bare, forged(|message| message.at += Duration::MINUTE)])
        .await;
}

/// No more than CloudEvents asks for.
fn bare() -> Value {
    json!({
        "specversion": "1.0", "id": "evt_1", "source": "/subscriptions", "type": "marketplace.test",
        "time": "2034-05-06T07:08:09Z", "data": { "message": "hello" },
    })
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let wrong = [
        ("another body", forged(|message| message.body = message.body.replace("silver", "gold"))),
        ("another id", forged(|message| drop(message.headers.insert("webhook-id".into(), "evt_2".into())))),
        ("no signature", forged(|message| drop(message.headers.remove("webhook-signature")))),
        ("another secret", signed(&bare(), &[OTHER_SECRET], NOW)),
        ("an old one", forged(|message| message.at += Duration::minutes(6))),
        ("one of the future", forged(|message| message.at -= Duration::minutes(6))),
        ("another version", bent(|event| event["specversion"] = json!("2.0"))),
        ("no source", bent(|event| drop(event.as_object_mut().unwrap().remove("source")))),
        ("no type", bent(|event| drop(event.as_object_mut().unwrap().remove("type")))),
        ("no time", bent(|event| drop(event.as_object_mut().unwrap().remove("time")))),
        ("no time of day", bent(|event| event["time"] = json!("yesterday"))),
        ("an empty subject", bent(|event| event["subject"] = json!(""))),
        ("a subject that is a number", bent(|event| event["subject"] = json!(5))),
        ("data under another name", bent(|event| event["data_base64"] = json!("e30="))),
        ("an attribute in camel case", bent(|event| event["sequenceType"] = json!("Integer"))),
        ("an id of its own", signed_as("evt_2", bare().to_string(), &[SECRET], NOW)),
    ];
    let messages: Vec<Message> = wrong.iter().map(|(_, message)| message.clone()).collect();
    for library in [Library::Npm, Library::PyPi] {
        for ((what, _), verdict) in wrong.iter().zip(library.verdicts(SECRET, &messages).await) {
            assert!(verdict.is_err(), "{library:?} accepts {what}");
        }
    }
}
