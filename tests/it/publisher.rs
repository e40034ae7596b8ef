//! The client for the publisher's own software, against real servers on loopback: what goes out, what comes back, and
//! where it never goes.

mod guard;
mod names;
mod signature;
mod silence;
mod tls;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marketplace_fulfillment::outbound::USER_AGENT;
use marketplace_fulfillment::publisher::{
    ANSWER_LIMIT, Answer, Lookup, MESSAGE_LIMIT, Message, Publisher, RETRY_AFTER_LIMIT, Unsent, UnsentKind,
};
use marketplace_fulfillment::settings::EventsSecret;
use marketplace_fulfillment::span::{Scope, root};
use reqwest::header::HeaderName;
use time::OffsetDateTime;
use time::macros::datetime;
use url::Url;

use crate::log::Log;
use crate::marketplace::server::{Server, answer, with};

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00:00.9 UTC);
/// Longer than any answer on loopback takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who may reach the servers of these stories.
fn publisher(allowed: &[&str]) -> Publisher {
    looking_up(allowed, Lookup::System)
}

fn looking_up(allowed: &[&str], lookup: Lookup) -> Publisher {
    let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
    Publisher::new(&allowed, lookup).unwrap()
}

/// A look-up that answers each in turn and the last one for ever, and how often it was asked.
fn moving(answers: &[&[&str]]) -> (Lookup, Arc<AtomicUsize>) {
    let addresses = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
    let answers: Vec<Vec<IpAddr>> = answers.iter().map(addresses).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup = move |_: &str| answers[count.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1)].clone();
    (Lookup::Fixed(Arc::new(lookup)), asked)
}

fn message() -> Message {
    Message { id: "evt_1_1700000000000".to_owned(), body: r#"{"specversion":"1.0"}"#.to_owned() }
}

fn keys() -> EventsSecret {
    EventsSecret(vec![vec![1; 32], vec![2; 32]])
}

async fn post(publisher: &Publisher, to: &str) -> Result<Answer, Unsent> {
    publisher.post(&Url::parse(to).unwrap(), &message(), &keys(), NOW, PATIENCE).await
}

async fn refused(publisher: &Publisher, to: &str) -> Unsent {
    post(publisher, to).await.expect_err(to)
}

#[tokio::test]
async fn what_is_sent() {
    let server = Server::start_whole(|_| answer(204, "")).await;
    let to = server.url("/in/events?code=secret-code").to_string();
    let publisher = publisher(&["127.0.0.1"]);
    let invocation = Scope::new(tracing::Span::none(), root());
    let said = invocation.run(post(&publisher, &to)).await.unwrap();
    assert_eq!(said, Answer { status: 204, retry_after: None, body: String::new() });

    let arrived = server.arrived.lock().unwrap().pop().unwrap();
    assert_eq!(arrived.line(), "POST /in/events?code=secret-code");
    assert_eq!(String::from_utf8(arrived.body.clone()).unwrap(), message().body);
    let mut names: Vec<&str> = arrived.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected =
        ["accept", "content-length", "content-type", "host", "user-agent", "webhook-id", "webhook-signature"];
    assert_eq!(names, [&expected[..], &["webhook-timestamp"]].concat(), "no trace, no cookie, no referer");
    for (name, value) in [
        ("content-type", "application/cloudevents+json; charset=utf-8"),
        ("user-agent", USER_AGENT),
        ("webhook-id", "evt_1_1700000000000"),
        ("webhook-timestamp", "1772366400"),
    ] {
        assert_eq!(arrived.header(name), Some(value), "{name}");
    }
    let signatures = arrived.header("webhook-signature").unwrap();
    let expected = marketplace_fulfillment::publisher::signature::sign(&message(), 1_772_366_400, &keys());
    assert_eq!(signatures, expected);
}

#[test]
fn the_machines_proxy_is_asked_for_nothing() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "publisher::what_is_sent"])
        .envs(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:9")))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn every_status_is_an_answer() {
    for status in [200, 202, 204, 304, 400, 404, 410, 429, 500, 503, 599] {
        let body = if [204, 304].contains(&status) { "" } else { "{\"reason\":\"é\"}" };
        let server = Server::start_whole(move |_| answer(status, body)).await;
        let said = post(&publisher(&["127.0.0.1"]), server.url("/").as_str()).await.unwrap();
        assert_eq!(said, Answer { status, retry_after: None, body: body.to_owned() });
        assert_eq!(server.arrived.lock().unwrap().len(), 1, "{status} is not tried again");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_leads_nowhere() {
    let elsewhere = Server::start_whole(|_| answer(200, "")).await;
    let forbidden = "http://169.254.169.254/metadata/instance".to_owned();
    for target in [elsewhere.url("/").to_string(), forbidden, "https://10.0.0.1/".to_owned(), "/other".to_owned()] {
        for status in [300, 301, 302, 303, 307, 308] {
            let location = target.clone();
            let server = Server::start_whole(move |_| with(answer(status, ""), "location", &location)).await;
            let said = post(&publisher(&["127.0.0.1"]), server.url("/").as_str()).await.unwrap();
            assert_eq!(said.status, status, "{target}");
            assert_eq!(server.arrived.lock().unwrap().len(), 1, "{status} to {target}");
        }
    }
    assert!(elsewhere.arrived.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_wait_is_read_in_both_forms_and_bounded() {
    let table = [
        ("120", "", Some(120)),
        ("0", "", Some(0)),
        ("Sun, 01 Mar 2026 12:05:00 GMT", "Sun, 01 Mar 2026 12:00:00 GMT", Some(300)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", "Sun, 01 Mar 2026 12:00:00 GMT", Some(0)),
        ("999999", "", Some(RETRY_AFTER_LIMIT.whole_seconds())),
        ("-1", "", None),
        ("soon", "", None),
    ];
    for (wait, date, expected) in table {
        let server = Server::start_whole(move |_| {
            let said = with(answer(503, ""), "retry-after", wait);
            if date.is_empty() { said } else { with(said, "date", date) }
        })
        .await;
        let said = post(&publisher(&["127.0.0.1"]), server.url("/").as_str()).await.unwrap();
        assert_eq!(said.retry_after.map(time::Duration::whole_seconds), expected, "{wait} {date}");
    }
}

#[tokio::test]
async fn a_message_has_a_bound() {
    let server = Server::start_whole(|_| answer(200, "")).await;
    let publisher = publisher(&["127.0.0.1"]);
    let sized = |length: usize| Message { body: "x".repeat(length), ..message() };
    let to = server.url("/");
    publisher.post(&to, &sized(MESSAGE_LIMIT), &keys(), NOW, PATIENCE).await.unwrap();
    let unsent = publisher.post(&to, &sized(MESSAGE_LIMIT + 1), &keys(), NOW, PATIENCE).await.unwrap_err();
    assert_eq!((unsent.kind, unsent.why.as_str()), (UnsentKind::TooLarge, "the message has 65537 bytes, over 65536"));
    assert_eq!(server.arrived.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound() {
    for extra in [0, 1, 1024 * 1024] {
        let server = Server::start_whole(move |_| answer(200, "x".repeat(ANSWER_LIMIT + extra))).await;
        let said = post(&publisher(&["127.0.0.1"]), server.url("/").as_str()).await.unwrap();
        assert_eq!((said.status, said.body.len()), (200, ANSWER_LIMIT), "{extra} bytes over");
    }
}

/// What one attempt writes to the log.
async fn logged(publisher: &Publisher, to: &str) -> (serde_json::Value, String) {
    let log = Log::default();
    let guard = log.capture();
    let _answered_or_not = post(publisher, to).await;
    drop(guard);
    let mut lines = log.ours();
    assert_eq!(lines.len(), 1, "{to}: {lines:?}");
    (lines.remove(0)["fields"].take(), log.text())
}

#[tokio::test]
async fn each_attempt_is_one_line_without_secrets() {
    let statuses: Arc<Mutex<Vec<u16>>> = Arc::new(Mutex::new(vec![410, 302, 202]));
    let server = Server::start_whole(move |_| answer(statuses.lock().unwrap().pop().unwrap(), "their-words")).await;
    let publisher = publisher(&["127.0.0.1"]);
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (open, closed) = (server.url("/path-secret?code=query-secret"), format!("http://{closed}/path-secret"));
    let table = [
        (open.as_str(), Some(202), None),
        (open.as_str(), Some(302), Some("302")),
        (open.as_str(), Some(410), Some("410")),
        (&closed, None, Some("unreachable")),
        ("https://10.0.0.1/path-secret?code=query-secret", None, Some("forbidden")),
    ];
    for (to, status, error) in table {
        let (line, text) = logged(&publisher, to).await;
        assert_eq!(line["name"], "POST event", "{line}");
        assert_eq!(line["kind"], "CLIENT");
        assert_eq!(line["request_id"], "evt_1_1700000000000", "found again by the webhook's id");
        assert_eq!(line["http.response.status_code"].as_u64(), status, "{to}");
        assert_eq!(line["error.type"].as_str(), error, "{to}");
        assert_eq!(line["server.address"], Url::parse(to).unwrap().host_str().unwrap());
        for secret in ["path-secret", "query-secret", "their-words", "v1,"] {
            // What hyper itself says on debug is off in production.
            assert!(!line.to_string().contains(secret), "{secret} in {line}");
        }
        assert!(!text.contains("query-secret"), "{text}");
        let unsent = if error == Some("unreachable") { refused(&publisher, to).await.why } else { String::new() };
        assert!(!unsent.contains("path-secret"), "{unsent}");
    }
}

#[test]
fn an_allowed_host_that_is_none_is_named() {
    for entry in ["https://app.contoso.example", "app:8080", "10.0.0.0/8", "", "a b", "*.contoso.example"] {
        let fault = Publisher::new(&[entry.to_owned()], Lookup::System).unwrap_err();
        assert!(fault.private.contains(&format!("PUBLISHER_ALLOWED_HOSTS: {entry:?} is no host")), "{fault}");
    }
}
