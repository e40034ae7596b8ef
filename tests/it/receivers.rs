//! The receivers that a publisher copies (`docs/receivers/`), as processes, against messages of the tests' own making.

mod following;
pub(crate) mod fulfillment;
mod process;

use futures_util::future::join_all;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use self::following::{answers_the_questions, follows_a_subscription};
use self::fulfillment::Fulfillment;
use self::process::{Receiver, Runtime};
use crate::message::{Message, OTHER_SECRET, SECRET, event, signed, signed_as};

/// Milliseconds since 1970, as the first event of a record has them.
const FIRST: u64 = 1_763_629_200_001;

/// The receivers live by the machine's clock.
fn now() -> OffsetDateTime {
    marketplace_fulfillment::clock::Clock::System.now()
}

fn subscription() -> String {
    Uuid::new_v4().to_string()
}

fn good(kind: &str, id: &str, sequence: u64) -> Message {
    signed(&event(kind, id, sequence, now()), &[SECRET], now())
}

/// A good message after a change.
fn forged(forge: impl FnOnce(&mut Message)) -> Message {
    let mut message = good("subscription.activated", &subscription(), FIRST);
    forge(&mut message);
    message
}

/// The story of each receiver whose runtime is on this machine.
macro_rules! for_each_runtime {
    ($($story:ident),+) => {
        mod node { $(#[tokio::test] async fn $story() { super::$story(super::Runtime::Node).await; })+ }
        mod python { $(#[tokio::test] async fn $story() { super::$story(super::Runtime::Python).await; })+ }
        mod rust { $(#[tokio::test] async fn $story() { super::$story(super::Runtime::Rust).await; })+ }
        mod csharp { $(#[tokio::test] async fn $story() { super::$story(super::Runtime::Dotnet).await; })+ }
    };
}

for_each_runtime!(
    keeps_the_newest,
    takes_no_message_of_somebody_else,
    takes_either_secret,
    answers_commands,
    refuses_commands,
    takes_each_hand_off_once,
    takes_no_hand_off_of_somebody_else,
    complains_in_one_line,
    fetches_keys_seldom,
    follows_a_subscription,
    answers_the_questions
);

async fn keeps_the_newest(runtime: Runtime) {
    let Some(receiver) = Receiver::start(runtime, "http://127.0.0.1:1", &[]).await else { return };
    let (one, other) = (subscription(), subscription());
    let newest = async || receiver.state().await["subscriptions"][&one].clone();

    receiver.takes("/events", &good("subscription.purchased", &one, FIRST)).await;
    let first = newest().await;
    assert_eq!(first["sequence"], FIRST.to_string());
    assert_eq!(first["type"], "marketplace.subscription.purchased");
    assert_eq!(first["subscription"]["name"], "Zoë's 本");

    let mut active = event("subscription.activated", &one, FIRST + 5, now());
    active["data"]["subscription"]["quantity"] = json!(7);
    receiver.takes("/events", &signed(&active, &[SECRET], now())).await;
    let second = newest().await;
    assert_eq!(
        (&second["sequence"], &second["subscription"]["quantity"]),
        (&json!((FIRST + 5).to_string()), &json!(7))
    );
    assert_eq!(receiver.state().await["events"], 2);

    // Again, older, and as old under another id: taken, and nothing changes.
    receiver.takes("/events", &signed(&active, &[SECRET], now() + Duration::SECOND)).await;
    assert_eq!(receiver.state().await["events"], 2);
    receiver.takes("/events", &good("subscription.confirmed", &one, FIRST + 4)).await;
    active["id"] = json!("evt_again");
    active["data"]["subscription"]["quantity"] = json!(8);
    receiver.takes("/events", &signed(&active, &[SECRET], now())).await;
    assert_eq!(newest().await, second);
    assert_eq!(receiver.state().await["events"], 4);

    // Ten times at once.
    let renewed = good("subscription.renewed", &one, FIRST + 6);
    join_all((0..10).map(|_| receiver.takes("/events", &renewed))).await;
    assert_eq!(newest().await["sequence"], (FIRST + 6).to_string());
    assert_eq!(receiver.state().await["events"], 5);

    // Another subscription has a sequence of its own, and some events are about none.
    receiver.takes("/events", &good("subscription.purchased", &other, 5)).await;
    let test = json!({
        "specversion": "1.0", "id": "evt_test", "source": "/", "type": "marketplace.test", "data": { "message": "hello" },
    });
    receiver.takes("/events", &signed(&test, &[SECRET], now())).await;
    let state = receiver.state().await;
    assert_eq!((&state["events"], &state["subscriptions"][&other]["sequence"]), (&json!(7), &json!("5")));
    assert_eq!(state["subscriptions"].as_object().unwrap().len(), 2);

    // It acted upon each event once: what is to be done for an old one is done, and for a repeated one not again.
    let acted = receiver.printed_until("marketplace.test").await;
    let kinds: Vec<_> = acted.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let of = ["purchased", "activated", "confirmed", "activated", "renewed", "purchased"]
        .map(|kind| format!("marketplace.subscription.{kind}"));
    assert_eq!(kinds, of);

    let page = receiver.page().await;
    assert!(page.contains(&one) && page.contains(&other) && page.contains("Subscribed"), "{page}");
}

async fn takes_no_message_of_somebody_else(runtime: Runtime) {
    let Some(receiver) = Receiver::start(runtime, "http://127.0.0.1:1", &[]).await else { return };
    let id = subscription();
    let event = event("subscription.activated", &id, FIRST, now());
    let mut wrong = vec![
        ("another body", forged(|message| message.body = message.body.replace("silver", "gold"))),
        ("another id", forged(|message| drop(message.headers.insert("webhook-id".into(), "evt_2".into())))),
        ("another time", forged(|message| drop(message.headers.insert("webhook-timestamp".into(), "1".into())))),
        (
            "a time that is none",
            forged(|message| drop(message.headers.insert("webhook-timestamp".into(), "now".into()))),
        ),
        (
            "another version",
            forged(|message| {
                let signature = message.headers.get_mut("webhook-signature").unwrap();
                *signature = signature.replace("v1,", "v1a,");
            }),
        ),
        ("half a signature", forged(|message| message.headers.get_mut("webhook-signature").unwrap().truncate(20))),
        ("no comma", forged(|message| drop(message.headers.insert("webhook-signature".into(), "v1".into())))),
        ("another secret", signed(&event, &[OTHER_SECRET], now())),
        ("no secret", signed(&event, &[], now())),
        ("an old one", signed(&event, &[SECRET], now() - Duration::minutes(6))),
        ("one of the future", signed(&event, &[SECRET], now() + Duration::minutes(6))),
    ];
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        wrong.push((header, forged(|message| drop(message.headers.remove(header)))));
    }
    for (what, message) in wrong {
        for path in ["/events", "/provision", "/decisions"] {
            let status = receiver.post(path, &message).await.status();
            assert_eq!(status, 401, "{path}: {what}");
        }
    }
    let large = signed_as("evt_1", "x".repeat(1024 * 1024), &[SECRET], now());
    // Who writes on after the answer may find the connection closed before they read it.
    if let Ok(answer) = receiver.try_post("/events", &large).await {
        assert_eq!(answer.status(), 413);
    }
    assert_eq!(receiver.state().await, json!({ "events": 0, "subscriptions": {}, "provisioned": [], "handoffs": [] }));
}

async fn takes_either_secret(runtime: Runtime) {
    let both = format!("{SECRET},{OTHER_SECRET}");
    let of = |sequence| event("subscription.activated", &subscription(), sequence, now());
    for (secrets, signing) in [
        (SECRET, &[SECRET, OTHER_SECRET] as &[&str]),
        (OTHER_SECRET, &[SECRET, OTHER_SECRET]),
        (&both, &[SECRET]),
        (&both, &[OTHER_SECRET]),
    ] {
        let settings = [("PUBLISHER_EVENTS_SECRET", secrets)];
        let Some(receiver) = Receiver::start(runtime, "http://127.0.0.1:1", &settings).await else { return };
        receiver.takes("/events", &signed(&of(FIRST), signing, now())).await;
    }
}

async fn answers_commands(runtime: Runtime) {
    let Some(receiver) = Receiver::start(runtime, "http://127.0.0.1:1", &[("PROVISION", "later")]).await else {
        return;
    };
    let id = subscription();
    let first = receiver.post("/provision", &good("command.provision", &id, FIRST)).await;
    assert_eq!(first.status(), 202);
    assert!(first.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(receiver.post("/provision", &good("command.provision", &id, FIRST)).await.status(), 200);

    let decided = receiver.post("/decisions", &good("command.decide", &id, FIRST + 1)).await;
    assert_eq!(decided.status(), 200);
    assert_eq!(decided.json::<Value>().await.unwrap()["decision"], "accept");
    // What somebody would like to happen has not happened.
    let known = json!({ "events": 0, "subscriptions": {}, "provisioned": [id], "handoffs": [] });
    assert_eq!(receiver.state().await, known);

    let Some(receiver) = Receiver::start(runtime, "http://127.0.0.1:1", &[]).await else { return };
    assert_eq!(receiver.post("/provision", &good("command.provision", &id, FIRST)).await.status(), 200);
    assert_eq!(receiver.state().await["provisioned"], json!([id]));
}

async fn refuses_commands(runtime: Runtime) {
    let settings = [("PROVISION", "refuse"), ("DECIDE", "refuse")];
    let Some(receiver) = Receiver::start(runtime, "http://127.0.0.1:1", &settings).await else { return };
    let id = subscription();
    let refused = receiver.post("/provision", &good("command.provision", &id, FIRST)).await;
    assert!(refused.status().is_client_error());
    assert!(!refused.json::<Value>().await.unwrap()["reason"].as_str().unwrap().is_empty());
    assert_eq!(receiver.state().await["provisioned"], json!([]));

    let decided = receiver.post("/decisions", &good("command.decide", &id, FIRST)).await;
    assert_eq!(decided.status(), 200);
    let verdict: Value = decided.json().await.unwrap();
    assert_eq!(verdict["decision"], "refuse");
    assert!(verdict["reason"].as_str().unwrap().contains("gold"), "{verdict}");
}

async fn takes_each_hand_off_once(runtime: Runtime) {
    let fulfillment = Fulfillment::open().await;
    let Some(receiver) = Receiver::start(runtime, &fulfillment.url, &[]).await else { return };
    let mut claims = fulfillment.claims(&receiver.handoff_url(), now());
    claims["person"]["name"] = json!("<script>alert(1)</script>");
    let token = fulfillment.token(&claims);

    let answer = receiver.hand_over(&token).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/".parse().unwrap()));
    let handoffs = json!([{
        "purpose": "open", "subscription": claims["subscription"], "person": claims["person"],
    }]);
    assert_eq!(receiver.state().await["handoffs"], handoffs);
    let page = receiver.page().await;
    assert!(page.contains("alert(1)") && !page.contains("<script"), "{page}");

    assert_eq!(receiver.hand_over(&token).await.status(), 403);
    assert_eq!(receiver.state().await["handoffs"], handoffs);

    claims["jti"] = json!(Uuid::new_v4().to_string());
    claims["purpose"] = json!("setup");
    assert_eq!(receiver.hand_over(&fulfillment.token(&claims)).await.status(), 303);
    assert_eq!(receiver.state().await["handoffs"].as_array().unwrap().len(), 2);
}

async fn takes_no_hand_off_of_somebody_else(runtime: Runtime) {
    let fulfillment = Fulfillment::open().await;
    let Some(receiver) = Receiver::start(runtime, &fulfillment.url, &[]).await else { return };
    let good = fulfillment.claims(&receiver.handoff_url(), now());
    let wrong = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        fulfillment.token(&claims)
    };
    let without = |claim: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(claim);
        fulfillment.token(&claims)
    };
    let minutes = |minutes| json!((now() + Duration::minutes(minutes)).unix_timestamp());
    let tokens = [
        ("nothing", String::new()),
        ("no token", "a.b.c".to_owned()),
        ("for somebody else", wrong("aud", json!("http://127.0.0.1:3000/other"))),
        ("from somebody else", wrong("iss", json!("https://example.com"))),
        ("expired", wrong("exp", minutes(-2))),
        ("of the future", wrong("nbf", minutes(2))),
        ("without an end", without("exp")),
        ("without an id", without("jti")),
        ("without an audience", without("aud")),
        ("without an issuer", without("iss")),
        ("of a key that is not listed", Fulfillment::stranger().token(&good)),
        ("of a key that says it is listed", fulfillment.impostor().token(&good)),
        ("signed with what everybody knows", fulfillment.confused(&good)),
        ("not signed", Fulfillment::unsigned(&good)),
        ("changed", {
            let (token, other) = (fulfillment.token(&good), wrong("purpose", json!("setup")));
            let part = |token: &str, part| token.split('.').nth(part).unwrap().to_owned();
            [part(&token, 0), part(&other, 1), part(&token, 2)].join(".")
        }),
    ];
    for (what, token) in tokens {
        assert_eq!(receiver.hand_over(&token).await.status(), 403, "{what}");
    }
    assert_eq!(receiver.state().await["handoffs"], json!([]));
    assert_eq!(receiver.hand_over(&fulfillment.token(&good)).await.status(), 303);
}

/// Anybody can send a header, and an old way of writing one folds it over lines.
async fn complains_in_one_line(runtime: Runtime) {
    let Some(receiver) = Receiver::start(runtime, "http://127.0.0.1:1", &[]).await else { return };
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n";
    for id in ["evt\r\n FORGED: paid", "evt\r\n\tFORGED: paid", "evt\u{1b}[31mFORGED"] {
        let signed = "webhook-timestamp: 1\r\nwebhook-signature: v1,x\r\n";
        receiver.send_raw(&format!("{head}webhook-id: {id}\r\n{signed}\r\n{{}}")).await;
    }
    let complaints = receiver.complaints();
    assert!(!complaints.lines().any(|line| line.trim_start().starts_with("FORGED")), "{complaints}");
    assert!(!complaints.contains('\u{1b}'), "{complaints:?}");
    assert_eq!(receiver.state().await["events"], 0);
}

async fn fetches_keys_seldom(runtime: Runtime) {
    let fulfillment = Fulfillment::open().await;
    let Some(receiver) = Receiver::start(runtime, &fulfillment.url, &[]).await else { return };
    let token = || fulfillment.token(&fulfillment.claims(&receiver.handoff_url(), now()));
    for _ in 0..3 {
        assert_eq!(receiver.hand_over(&token()).await.status(), 303);
    }
    assert_eq!(fulfillment.asked(), 1);
    for _ in 0..5 {
        let unknown = Fulfillment::stranger().token(&fulfillment.claims(&receiver.handoff_url(), now()));
        assert_eq!(receiver.hand_over(&unknown).await.status(), 403);
    }
    assert!(fulfillment.asked() <= 2, "asked {} times within a minute", fulfillment.asked());
    assert_eq!(receiver.hand_over(&token()).await.status(), 303);
}

/// Who follows the page by hand has the secret that `dev` signs with.
#[test]
fn the_secret_of_dev_is_in_the_page() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/receivers/README.md");
    assert!(std::fs::read_to_string(page).unwrap().contains(marketplace_fulfillment::dev::EVENTS_SECRET));
}

/// Who copies the receiver in Rust gets the crates that it is compiled with here.
#[test]
fn the_copy_in_rust_names_our_crates() {
    let read =
        |path: &str| std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (ours, copy) = (read("Cargo.toml"), read("docs/receivers/rust/Cargo.toml"));
    let version = |line: &str| {
        let (name, requirement) = line.split_once(" = ")?;
        Some((name.to_owned(), requirement.split('"').nth(1)?.to_owned()))
    };
    let dependencies = copy.split("[dependencies]\n").nth(1).unwrap();
    assert!(dependencies.lines().count() > 5);
    for line in dependencies.lines() {
        let wanted = version(line);
        assert!(wanted.is_some() && ours.lines().any(|line| version(line) == wanted), "{line}");
    }
}
