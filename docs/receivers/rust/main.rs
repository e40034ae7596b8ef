//! Receives what marketplace-fulfillment sends to a publisher's own software: events, commands, and buyers.
//! How to run it: ../README.md. What is to be replaced by your own is marked REPLACE.

#![allow(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout, reason = "rules of another house")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use warp::http::{HeaderMap, HeaderValue, Method, Response};
use warp::path::FullPath;
use warp::{Buf, Filter as _};

/// Bytes; fulfillment sends 64 KiB at most.
const BODY_LIMIT: usize = 256 * 1024;
/// For a client that stops in the middle.
const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds by which two clocks may differ.
const CLOCK_TOLERANCE: u64 = 60;
/// How long the keys of hand-offs are kept.
const KEYS_FRESH: Duration = Duration::from_mins(5);
/// An unknown key id has them fetched again, but no sooner than after this.
const KEYS_PAUSE: Duration = Duration::from_mins(1);

type Answer = Response<String>;

struct Receiver {
    /// Where fulfillment is; what it signs, it signs in this name.
    fulfillment: String,
    /// As it stands in fulfillment's setting of the same name: a hand-off for another address is not for us.
    handoff_url: String,
    /// One, or two while one takes over from the other.
    webhooks: Vec<Webhook>,
    provision: String,
    decide: String,
    known: Mutex<Known>,
    keys: tokio::sync::Mutex<Keys>,
    http: reqwest::Client,
}

/// What is known. REPLACE: this is gone when the process ends, only grows, and no two processes share it. Each field is
/// a table with a unique key in your database, and `receive` is one transaction; ../python/receiver.py shows the SQL.
#[derive(Default)]
struct Known {
    /// Ids of the events that were taken in.
    events: BTreeSet<String>,
    subscriptions: BTreeMap<String, Entry>,
    provisioned: BTreeSet<String>,
    /// By `jti`.
    handoffs: BTreeMap<String, Handoff>,
}

#[derive(Serialize)]
struct Entry {
    sequence: String,
    r#type: String,
    subscription: Value,
}

/// What fulfillment sends, in the form of CloudEvents.
#[derive(Deserialize)]
struct Message {
    id: String,
    r#type: String,
    /// The subscription; none where a message is about no single one.
    #[serde(default)]
    subject: String,
    /// Digits.
    #[serde(default)]
    sequence: String,
    data: Value,
}

/// The claims of a hand-off, those aside that the library checks.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    #[serde(flatten)]
    handoff: Handoff,
}

#[derive(Deserialize, Serialize)]
struct Handoff {
    purpose: String,
    subscription: Value,
    person: Value,
}

#[derive(Default)]
struct Keys {
    set: Option<JwkSet>,
    asked: Option<Instant>,
}

impl Known {
    /// Events: each arrives at least once, those of one subscription in order.
    fn receive(&mut self, event: Message) {
        if self.events.contains(&event.id) {
            return; // sent again, because our answer was lost
        }
        let Message { id, r#type, subject, sequence, mut data } = event;
        let subscription = data.get_mut("subscription").map(Value::take).unwrap_or_default();
        happened(&r#type, &subscription);
        // Every event carries the whole subscription: the newest is all there is to know. A replay brings older ones.
        let number = |sequence: &str| sequence.parse::<u64>().unwrap_or_default();
        let newer = |known: &Entry| number(&sequence) > number(&known.sequence);
        if !subscription.is_null() && self.subscriptions.get(&subject).is_none_or(newer) {
            self.subscriptions.insert(subject, Entry { sequence, r#type, subscription });
        }
        self.events.insert(id);
    }
}

/// REPLACE: once per event, in whatever order: a mail, a line in your audit log. What holds now is in the table.
fn happened(r#type: &str, subscription: &Value) {
    let [id, status, plan] = ["id", "status", "planId"].map(|key| text(&subscription[key]));
    println!("{type} {id} {status} {plan}");
}

impl Receiver {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Commands: somebody waits for the answer.
impl Receiver {
    /// REPLACE: make the account. Asked again about the same subscription, it is still one account.
    fn provision(&self, command: Message) -> Answer {
        if self.provision == "refuse" {
            return json(422, &json!({ "reason": "We cannot serve your country yet" }));
        }
        let new = self.known().provisioned.insert(command.subject);
        if self.provision == "later" && new {
            return with("retry-after", "5", json(202, &json!({})));
        }
        json(200, &json!({}))
    }

    /// REPLACE: may this customer make this change? `from` and `to` have `planId` and `quantity`. Answer at once.
    fn decide(&self, command: &Message) -> Answer {
        if self.decide == "refuse" {
            let reason = format!("Not to {}", text(&command.data["change"]["to"]["planId"]));
            return json(200, &json!({ "decision": "refuse", "reason": reason }));
        }
        json(200, &json!({ "decision": "accept" }))
    }
}

// Hand-off: a buyer's browser brings a token that says who they are and which subscription they come from.
impl Receiver {
    async fn hand_off(&self, token: &str) -> Result<Answer, String> {
        let unsound = |error: jsonwebtoken::errors::Error| error.to_string();
        let header = jsonwebtoken::decode_header(token).map_err(unsound)?;
        let key = self.key(&header.kid.unwrap_or_default()).await.ok_or("signed with an unknown key")?;
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_issuer(&[&self.fulfillment]);
        rules.set_audience(&[&self.handoff_url]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = CLOCK_TOLERANCE;
        let claims: Claims = jsonwebtoken::decode(token, &key, &rules).map_err(unsound)?.claims;
        let mut known = self.known();
        if known.handoffs.contains_key(&claims.jti) {
            return Err("used before".to_owned());
        }
        known.handoffs.insert(claims.jti, claims.handoff);
        // REPLACE: sign the person in with a session of your own. `setup` comes before billing starts, `open` after.
        Ok(with("location", "/", page(303, "")))
    }

    /// The key that fulfillment lists under this id.
    async fn key(&self, id: &str) -> Option<DecodingKey> {
        let mut keys = self.keys.lock().await;
        let known = keys.set.as_ref().is_some_and(|set| set.find(id).is_some());
        let patience = if known { KEYS_FRESH } else { KEYS_PAUSE };
        if keys.asked.is_none_or(|asked| asked.elapsed() > patience) {
            keys.asked = Some(Instant::now());
            match self.fetch_keys().await {
                Ok(set) => keys.set = Some(set),
                Err(error) => eprintln!("keys: {error}"),
            }
        }
        DecodingKey::from_jwk(keys.set.as_ref()?.find(id)?).ok()
    }

    async fn fetch_keys(&self) -> reqwest::Result<JwkSet> {
        let answer = self.http.get(format!("{}/api/keys", self.fulfillment)).send().await?;
        answer.error_for_status()?.json().await
    }
}

// HTTP. The address is this machine's only: `/` and `/state` show names to whoever asks.
impl Receiver {
    /// The message, if one of our secrets signed these very bytes within the last five minutes.
    fn verified(&self, headers: &HeaderMap, body: &[u8]) -> Option<Message> {
        let signed = self.webhooks.iter().any(|webhook| webhook.verify(body, headers).is_ok());
        signed.then(|| serde_json::from_slice(body).ok()).flatten()
    }

    async fn serve(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    ) -> Answer {
        let body = match method {
            Method::GET if path == "/" => return self.page(),
            Method::GET if path == "/state" => return self.state(),
            Method::POST => tokio::time::timeout(PATIENCE, read(body)).await.ok().flatten(),
            _ => return json(404, &json!({ "reason": "not found" })),
        };
        let Some(body) = body else { return json(413, &json!({ "reason": "too large, or too slow" })) };
        if path == "/handoff" {
            let form: BTreeMap<_, _> = url::form_urlencoded::parse(&body).collect();
            let token = form.get("handoff").map_or("", AsRef::as_ref);
            return self.hand_off(token).await.unwrap_or_else(|why| {
                eprintln!("hand-off: {why}");
                page(403, "<p>This way in works once, and not for long. Please go back and open the app again.</p>")
            });
        }
        let Some(message) = self.verified(&headers, &body) else {
            return json(401, &json!({ "reason": "no signature of yours" }));
        };
        match path {
            "/events" => self.known().receive(message),
            "/provision" => return self.provision(message),
            "/decisions" => return self.decide(&message),
            _ => return json(404, &json!({ "reason": "not found" })),
        }
        json(200, &json!({}))
    }

    fn state(&self) -> Answer {
        let Known { events, subscriptions, provisioned, handoffs } = &*self.known();
        let state = json!({
            "events": events.len(),
            "subscriptions": subscriptions,
            "provisioned": provisioned,
            "handoffs": handoffs.values().collect::<Vec<_>>(),
        });
        json(200, &state)
    }

    fn page(&self) -> Answer {
        let Known { subscriptions, handoffs, .. } = &*self.known();
        let mut known = row(["id", "plan", "seats", "status", "event", "sequence"]);
        for Entry { sequence, r#type, subscription } in subscriptions.values() {
            let [id, plan, seats, status] = ["id", "planId", "quantity", "status"].map(|key| text(&subscription[key]));
            known += &row([&id, &plan, &seats, &status, r#type, sequence]);
        }
        let mut people = row(["to", "who", "subscription"]);
        for Handoff { purpose, subscription, person } in handoffs.values() {
            let name = person.get("name").or_else(|| person.get("username")).map(text).unwrap_or_default();
            people += &row([purpose, &name, &text(&subscription["id"])]);
        }
        let title = "<title>Receiver</title>";
        page(
            200,
            &format!("{title}<h1>Subscriptions</h1><table>{known}</table><h1>Handed over</h1><table>{people}</table>"),
        )
    }
}

/// The bytes as they came, if they are not too many: the signature is over them.
async fn read(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.ok()?;
        if bytes.len() + chunk.remaining() > BODY_LIMIT {
            return None;
        }
        bytes.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    Some(bytes)
}

fn json(status: u16, body: &Value) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(body.to_string()).expect("a status and a body")
}

fn page(status: u16, body: &str) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "text/html; charset=utf-8");
    answer.body(format!("<!doctype html>{body}")).expect("a status and a body")
}

fn with(name: &'static str, value: &'static str, mut answer: Answer) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}

fn row<const N: usize>(cells: [&str; N]) -> String {
    let escaped = cells.map(|cell| cell.replace('&', "&amp;").replace('<', "&lt;"));
    format!("<tr><td>{}</td></tr>", escaped.join("</td><td>"))
}

/// Text without its quotes, a number as it is, and nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = |key: &str, default: &str| env::var(key).unwrap_or_else(|_| default.to_owned());
    let port: u16 = setting("PORT", "3000").parse()?;
    let secrets = env::var("PUBLISHER_EVENTS_SECRET").map_err(
        |_| "PUBLISHER_EVENTS_SECRET is missing: what fulfillment signs with; `fulfillment dev` prints its own",
    )?;
    let receiver = Arc::new(Receiver {
        fulfillment: setting("FULFILLMENT_URL", "http://127.0.0.1:7071").trim_end_matches('/').to_owned(),
        handoff_url: setting("PUBLISHER_HANDOFF_URL", &format!("http://127.0.0.1:{port}/handoff")),
        webhooks: secrets.split(',').map(|secret| Webhook::new(secret.trim())).collect::<Result<_, _>>()?,
        provision: setting("PROVISION", "now"),
        decide: setting("DECIDE", "accept"),
        known: Mutex::default(),
        keys: tokio::sync::Mutex::default(),
        http: reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?,
    });
    let request = warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).and(warp::body::stream());
    let routes = request.then(move |method, path: FullPath, headers, body| {
        let receiver = receiver.clone();
        async move { receiver.serve(method, path.as_str(), headers, body).await }
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("receiver: http://127.0.0.1:{port}");
    warp::serve(routes).incoming(listener).run().await;
    Ok(())
}
