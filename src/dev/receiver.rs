//! The publisher's own software, where there is none yet: it takes what is sent, shows it to people, and answers as it is
//! told to, so that a publisher sees what would happen. Part of the simulator's server, under `/publisher`.
//!
//! It is somebody else's server and shares no rule with the program: it knows what the receivers in `docs/receivers/` know.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use url::Url;

use super::simulator::Refusal;
use crate::clock::Clock;
use crate::web::{Reply, Request};

mod answers;
mod handoff;
mod page;
mod signature;

pub use answers::{Answer, Answers, Decision, LATEST, Says};
pub use handoff::Handoff;

/// How many messages are kept to be shown, and how many hand-offs.
pub const KEPT: usize = 200;

/// How many subscriptions are known at once; the one that was told of first is forgotten first. More than anybody buys at a
/// simulator.
const SUBSCRIPTIONS: usize = 1_000;

/// How long fulfillment may take to list its keys. It is on this machine.
const KEYS_WITHIN: Duration = Duration::from_secs(5);

/// The built-in receiver; clones are the same one.
#[derive(Clone)]
pub struct Receiver(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Where it is reached, with a slash at the end.
    url: Url,
    http: reqwest::Client,
    state: Mutex<State>,
}

/// What it was told of the program that sends.
#[derive(Clone, Debug, Default)]
pub struct Sender {
    /// The keys that may have signed a message.
    pub keys: Vec<Vec<u8>>,
    /// In whose name hand-offs are, without a slash at the end; the keys that prove them are listed below it.
    pub fulfillment: String,
    /// Where events go, if not here.
    pub elsewhere: Option<Url>,
}

#[derive(Default)]
struct State {
    sender: Sender,
    answers: Answers,
    messages: VecDeque<Received>,
    subscriptions: BTreeMap<String, Known>,
    handoffs: VecDeque<Handoff>,
}

/// To which of its addresses something is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `/publisher/events`.
    Events,
    /// `/publisher/provision`.
    Provision,
    /// `/publisher/decisions`.
    Decisions,
}

/// A message as it came.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    /// When, as RFC 3339 has it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Where to.
    pub endpoint: Endpoint,
    /// What is wrong with its signature or its form; `None` where nothing is.
    pub problem: Option<String>,
    /// Whether an event of this id was taken before.
    pub repeated: bool,
    /// What it was answered: a status, or `nothing`.
    pub answer: String,
    /// The `CloudEvents` attributes and the data; the text where it is no JSON.
    pub body: Value,
}

/// What is known of a subscription: the newest that came.
#[derive(Clone, Debug, Serialize)]
pub struct Known {
    /// The number of the event.
    pub sequence: u64,
    /// Its type.
    pub r#type: String,
    /// The subscription as it came with it.
    pub subscription: Value,
}

/// The attributes that count here.
#[derive(Deserialize)]
struct Envelope {
    id: String,
    r#type: String,
    subject: Option<String>,
    sequence: Option<String>,
}

impl Receiver {
    /// One that knows nobody yet and believes nobody, at `url`, which ends with a slash.
    pub fn new(clock: Clock, url: Url) -> Self {
        let http = reqwest::Client::builder().timeout(KEYS_WITHIN).no_proxy().build();
        let http = http.expect("constant options, and a certificate store that every supported platform has");
        Self(Arc::new(Inner { clock, url, http, state: Mutex::default() }))
    }

    /// Whether this address is one of its own.
    pub fn is_at(&self, url: &Url) -> bool {
        url.as_str().starts_with(self.0.url.as_str())
    }

    /// Tells it who sends.
    pub fn know(&self, sender: Sender) {
        self.with(|state| state.sender = sender);
    }

    /// How it answers from now on.
    pub fn set_answers(&self, answers: Answers) -> Result<(), Refusal> {
        answers.check()?;
        self.with(|state| state.answers = answers);
        Ok(())
    }

    /// The newest messages, oldest first, at most [`KEPT`].
    pub fn messages(&self) -> Vec<Received> {
        self.with(|state| state.messages.iter().cloned().collect())
    }

    /// What it knows of each subscription.
    pub fn subscriptions(&self) -> BTreeMap<String, Known> {
        self.with(|state| state.subscriptions.clone())
    }

    /// Who was handed over, oldest first, at most [`KEPT`].
    pub fn handoffs(&self) -> Vec<Handoff> {
        self.with(|state| state.handoffs.iter().cloned().collect())
    }

    /// Forgets everything but who sends.
    pub fn forget(&self) {
        self.with(|state| *state = State { sender: std::mem::take(&mut state.sender), ..State::default() });
    }

    /// Answers a request; `path` is split at slashes, below `publisher`. `None` is no answer at all: the caller waits.
    pub(super) async fn answer(&self, request: &Request, path: &[&str]) -> Option<Reply> {
        let routed = match (request.method.as_str(), path) {
            ("POST", ["events"]) => return self.take(Endpoint::Events, request).await,
            ("POST", ["provision"]) => return self.take(Endpoint::Provision, request).await,
            ("POST", ["decisions"]) => return self.take(Endpoint::Decisions, request).await,
            ("POST", ["handoff"]) => Ok(self.accept(request).await),
            ("GET", []) => Ok(page::answer(&self.with(|state| state.sender.clone()))),
            ("GET", ["events"]) => Ok(Reply::json(200, &self.with(|state| state.shown()))),
            ("GET", ["answers"]) => Ok(self.answers()),
            ("PUT", ["answers"]) => Answers::read(&request.body).and_then(|answers| {
                self.set_answers(answers)?;
                Ok(self.answers())
            }),
            ("DELETE", []) => {
                self.forget();
                Ok(Reply { status: 204, headers: Vec::new(), body: String::new() })
            }
            (method, _) => {
                let path: String = request.path.chars().take(120).collect();
                Err(Refusal::not_found("", format!("the publisher has no {method} /{path}")))
            }
        };
        Some(routed.unwrap_or_else(|refusal| refusal.as_control()))
    }

    fn answers(&self) -> Reply {
        Reply::json(200, &json!(self.with(|state| state.answers.clone())))
    }

    /// Takes a message, and waits as long as it was told to before it answers.
    async fn take(&self, endpoint: Endpoint, request: &Request) -> Option<Reply> {
        let now = self.0.clock.now();
        let (late, reply) = self.with(|state| state.take(endpoint, request, now));
        tokio::time::sleep(late).await;
        reply
    }

    /// Takes a person with a hand-off.
    async fn accept(&self, request: &Request) -> Reply {
        let sender = self.with(|state| state.sender.clone());
        let token = request.form("handoff").unwrap_or_default();
        let audience = self.0.url.join("handoff").expect("a word joins any base");
        let handoff = self.keys(&sender).await.and_then(|keys| {
            handoff::verify(&token, &keys, &sender.fulfillment, audience.as_str(), self.0.clock.now())
        });
        match handoff.and_then(|handoff| self.with(|state| state.accept(handoff))) {
            Ok(()) => Reply::see_other(self.0.url.path().trim_end_matches('/')),
            Err(why) => page::refused(&why),
        }
    }

    /// The keys that prove hand-offs. Asked for each time: nobody is in a hurry here, and a new key counts at once.
    async fn keys(&self, sender: &Sender) -> Result<jsonwebtoken::jwk::JwkSet, String> {
        let url = format!("{}/api/keys", sender.fulfillment);
        let list = async { self.0.http.get(&url).send().await?.error_for_status()?.json().await };
        list.await.map_err(|error: reqwest::Error| format!("the keys cannot be had: {error}"))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Takes a message that came `now`: how long to wait, and then what to answer.
    fn take(&mut self, endpoint: Endpoint, request: &Request, now: OffsetDateTime) -> (Duration, Option<Reply>) {
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&request.body).into_owned()));
        let read = signature::verify(request, &self.sender.keys, now).and_then(|()| envelope(request, &body));
        let known = |id: &str| self.messages.iter().any(|message| message.took(id));
        let repeated = read.as_ref().is_ok_and(|envelope| known(&envelope.id));
        let (answer, problem) = match &read {
            Ok(_) => (self.answers.next(endpoint), None),
            Err(problem) => (Answer::refusal(problem), Some(problem.clone())),
        };
        if let (Ok(envelope), Endpoint::Events, true) = (read, endpoint, answer.says.is_success()) {
            self.apply(envelope, &body);
        }
        let answered = answer.says.to_string();
        keep(&mut self.messages, Received { at: now, endpoint, problem, repeated, answer: answered, body });
        (answer.late.try_into().unwrap_or(LATEST), answer.reply(endpoint))
    }

    /// The newest subscription is all there is to know of it.
    fn apply(&mut self, envelope: Envelope, body: &Value) {
        let Envelope { r#type, subject: Some(subject), sequence: Some(sequence), .. } = envelope else { return };
        let (Ok(sequence), subscription) = (sequence.parse(), &body["data"]["subscription"]) else { return };
        if subscription.is_null() || self.subscriptions.get(&subject).is_some_and(|known| known.sequence >= sequence) {
            return;
        }
        self.subscriptions.insert(subject, Known { sequence, r#type, subscription: subscription.clone() });
        if self.subscriptions.len() > SUBSCRIPTIONS {
            let oldest = self.subscriptions.iter().min_by_key(|(_, known)| known.sequence).map(|(id, _)| id.clone());
            oldest.map(|id| self.subscriptions.remove(&id));
        }
    }

    /// Each hand-off is good once.
    fn accept(&mut self, handoff: Handoff) -> Result<(), String> {
        if self.handoffs.iter().any(|known| known.id == handoff.id) {
            return Err("it was used before".to_owned());
        }
        keep(&mut self.handoffs, handoff);
        Ok(())
    }

    fn shown(&self) -> Value {
        json!({ "messages": self.messages, "subscriptions": self.subscriptions, "handoffs": self.handoffs })
    }
}

impl Received {
    /// Whether this is an event of that id, and was taken.
    fn took(&self, id: &str) -> bool {
        self.body["id"] == id && self.problem.is_none() && self.answer.starts_with('2')
    }
}

fn envelope(request: &Request, body: &Value) -> Result<Envelope, String> {
    let envelope = Envelope::deserialize(body).map_err(|error| format!("it is no CloudEvent: {error}"))?;
    if request.header(signature::ID) != Some(envelope.id.as_str()) {
        return Err("its id is not the event's".to_owned());
    }
    Ok(envelope)
}

fn keep<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}
