//! How `dev` connects the publisher's own software: to one that `--app` names, else to the simulator's receiver, which shows
//! what came and answers as it is told to.

mod settings;

use std::time::Duration as RealDuration;

use marketplace_fulfillment::dev::EVENTS_SECRET;
use marketplace_fulfillment::dev::receiver::{Endpoint, KEPT, Received, Sender};
use marketplace_fulfillment::dev::simulator::Deed;
use reqwest::Response;
use serde_json::{Value, json};
use time::Duration;

use crate::browser::Browser;
use crate::message::{Message, OTHER_SECRET, event, signed, signed_as};
use crate::receivers::fulfillment::Fulfillment;
use crate::world::{Purchase, START, World};

const SUBSCRIPTION: &str = "8c2f9a44-5d1e-4b7a-a3c6-e90b1d7f2584";

/// The receiver of a world that no program sends to.
struct Receiver {
    world: World,
}

impl Receiver {
    async fn open() -> Self {
        Self { world: World::connected(&[]).await }
    }

    async fn post(&self, path: &str, message: &Message) -> Response {
        let url = self.world.dev.simulator_url.join(path).unwrap();
        let mut request = self.world.http.post(url).body(message.body.clone());
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }

    /// Posts a good message.
    async fn send(&self, path: &str, kind: &str, sequence: u64) -> Response {
        let event = event(kind, SUBSCRIPTION, sequence, START);
        self.post(path, &signed(&event, &[EVENTS_SECRET], START)).await
    }

    async fn answers(&self, answers: Value) -> Value {
        self.world.simulator("PUT", "/publisher/answers", &answers).await
    }

    fn messages(&self) -> Vec<Received> {
        self.world.dev.simulator.receiver().messages()
    }

    fn answered(&self) -> Vec<String> {
        self.messages().into_iter().map(|message| message.answer).collect()
    }

    async fn hand_over(&self, token: &str) -> Response {
        let url = self.world.dev.simulator_url.join("/publisher/handoff").unwrap();
        self.world.http.post(url).form(&[("handoff", token)]).send().await.unwrap()
    }
}

/// The types of what came, without the words that all have.
fn kinds(world: &World) -> Vec<String> {
    let messages = world.dev.simulator.receiver().messages();
    let kind = |message: Received| message.body["type"].as_str().unwrap().replace("marketplace.subscription.", "");
    messages.into_iter().map(kind).collect()
}

async fn bought(world: &World) -> Purchase {
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    world.settle().await;
    purchase
}

#[tokio::test]
async fn events_are_shown_as_they_come() {
    let world = World::connected(&[]).await;
    let purchase = bought(&world).await;
    world.dev.simulator.act(purchase.id.as_str(), &Deed::ChangePlan("gold".to_owned())).unwrap();
    world.settle().await;
    world.dev.simulator.act(purchase.id.as_str(), &Deed::Unsubscribe).unwrap();
    world.settle().await;

    let kinds = kinds(&world);
    assert_eq!(kinds[..3], ["purchased", "confirmed", "activated"]);
    assert_eq!(kinds[kinds.len() - 2..], ["plan_changed", "cancelled"]);
    let shown = world.simulator("GET", "/publisher/events", &Value::Null).await;
    let messages = shown["messages"].as_array().unwrap();
    assert_eq!(messages.len(), kinds.len());
    for message in messages {
        assert_eq!((&message["problem"], &message["answer"]), (&Value::Null, &json!("200")), "{message}");
        assert_eq!(message["body"]["subject"], purchase.id.as_str());
    }
    let (known, record) = (&shown["subscriptions"][purchase.id.as_str()], world.record(&purchase.id).await.unwrap());
    assert_eq!(known["type"], "marketplace.subscription.cancelled");
    assert_eq!(known["subscription"]["status"], record.known.status.as_str());
    assert_eq!(known["subscription"]["planId"], "gold");
    assert_eq!(known["sequence"].to_string(), messages.last().unwrap()["body"]["sequence"].as_str().unwrap());

    world.simulator("DELETE", "/simulator", &Value::Null).await;
    assert!(world.dev.simulator.receiver().messages().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_fails_gets_its_events_later() {
    let world = World::connected(&[]).await;
    world.simulator("PUT", "/publisher/answers", &json!({ "events": { "answer": "500", "times": 2 } })).await;
    bought(&world).await;
    let receiver = world.dev.simulator.receiver();
    let answered: Vec<_> = receiver.messages().into_iter().map(|message| message.answer).collect();
    assert_eq!(answered, ["500", "500", "200", "200", "200"]);
    assert_eq!(kinds(&world), ["purchased", "purchased", "purchased", "confirmed", "activated"]);
    assert_eq!(receiver.subscriptions().len(), 1);
}

#[tokio::test]
async fn each_address_answers_as_it_is_told_to() {
    let receiver = Receiver::open().await;
    let told = json!({
        "events": { "answer": 503, "retryAfter": 60, "times": 1 },
        "provision": { "answer": "422", "reason": "no" },
        "decisions": { "decision": "refuse", "reason": "never" },
    });
    let shown = receiver.answers(told).await;
    assert_eq!(
        shown["events"],
        json!({ "answer": "503", "decision": "accept", "retryAfter": 60, "late": "PT0S", "times": 1 })
    );
    assert_eq!(receiver.world.simulator("GET", "/publisher/answers", &Value::Null).await, shown);

    let events = receiver.send("/publisher/events", "subscription.renewed", 1).await;
    assert_eq!((events.status().as_u16(), &events.headers()["retry-after"]), (503, &"60".parse().unwrap()));
    assert!(receiver.world.dev.simulator.receiver().subscriptions().is_empty(), "what failed is not known");
    let provision = receiver.send("/publisher/provision", "command.provision", 1).await;
    assert_eq!(provision.status(), 422);
    assert_eq!(provision.json::<Value>().await.unwrap(), json!({ "reason": "no" }));
    let decided = receiver.send("/publisher/decisions", "command.decide", 1).await;
    assert_eq!(decided.status(), 200);
    assert_eq!(decided.json::<Value>().await.unwrap(), json!({ "decision": "refuse", "reason": "never" }));

    // Told for one time, and told to forget.
    assert_eq!(receiver.send("/publisher/events", "subscription.renewed", 1).await.status(), 200);
    receiver.answers(json!({ "events": { "answer": "410" } })).await;
    assert_eq!(receiver.send("/publisher/events", "subscription.renewed", 2).await.status(), 410);
    let decided = receiver.send("/publisher/decisions", "command.decide", 1).await;
    assert_eq!(decided.json::<Value>().await.unwrap(), json!({ "decision": "accept" }));
    assert_eq!(receiver.send("/publisher/provision", "command.provision", 1).await.status(), 200);
    assert_eq!(receiver.answered(), ["503", "422", "200", "200", "410", "200", "200"]);
    let endpoints: Vec<_> = receiver.messages().into_iter().map(|message| message.endpoint).collect();
    assert_eq!(endpoints[..3], [Endpoint::Events, Endpoint::Provision, Endpoint::Decisions]);
    // Questions tell of what somebody wants, not of what is.
    let known = receiver.world.dev.simulator.receiver().subscriptions();
    assert_eq!((known.len(), known[SUBSCRIPTION].sequence), (1, 1));
}

#[tokio::test]
async fn an_event_that_comes_again_or_late_changes_nothing() {
    let receiver = Receiver::open().await;
    for sequence in [5, 5, 4, 6] {
        assert_eq!(receiver.send("/publisher/events", "subscription.renewed", sequence).await.status(), 200);
        let known = receiver.world.dev.simulator.receiver().subscriptions();
        assert_eq!(known[SUBSCRIPTION].sequence, sequence.max(5));
    }
    let repeated: Vec<_> = receiver.messages().into_iter().map(|message| message.repeated).collect();
    assert_eq!(repeated, [false, true, false, false]);
}

#[tokio::test]
async fn what_is_not_to_be_believed_is_shown_with_the_reason() {
    let receiver = Receiver::open().await;
    let event = event("subscription.renewed", SUBSCRIPTION, 1, START);
    let good = || signed(&event, &[EVENTS_SECRET], START);
    let without = |name: &str| {
        let mut message = good();
        message.headers.remove(name);
        message
    };
    let wrong = [
        (signed(&event, &[OTHER_SECRET], START), "no key that is known here"),
        (signed(&event, &[EVENTS_SECRET], START - Duration::minutes(6)), "five minutes"),
        (signed(&event, &[EVENTS_SECRET], START + Duration::minutes(6)), "five minutes"),
        (Message { body: event.to_string().replace("silver", "gold"), ..good() }, "no key that is known here"),
        (without("webhook-id"), "no webhook-id"),
        (without("webhook-timestamp"), "no webhook-timestamp"),
        (without("webhook-signature"), "no webhook-signature"),
        (signed_as("evt_2", event.to_string(), &[EVENTS_SECRET], START), "its id"),
        (signed_as("evt_2", "hello".to_owned(), &[EVENTS_SECRET], START), "no CloudEvent"),
    ];
    for (message, problem) in wrong {
        let answer = receiver.post("/publisher/events", &message).await;
        assert_eq!(answer.status(), 401, "{problem}");
        let shown = receiver.messages().pop().unwrap();
        assert!(shown.problem.as_ref().is_some_and(|shown| shown.contains(problem)), "{shown:?}");
        assert_eq!((shown.answer.as_str(), shown.repeated), ("401", false));
    }
    assert!(receiver.world.dev.simulator.receiver().subscriptions().is_empty());
    let rotating = signed(&event, &[OTHER_SECRET, EVENTS_SECRET], START);
    assert_eq!(receiver.post("/publisher/events", &rotating).await.status(), 200);
}

#[tokio::test]
async fn what_is_shown_is_bounded() {
    let receiver = Receiver::open().await;
    for sequence in 0..KEPT as u64 + 5 {
        receiver.send("/publisher/events", "subscription.renewed", sequence).await;
    }
    let messages = receiver.messages();
    assert_eq!(messages.len(), KEPT);
    assert_eq!(messages[0].body["sequence"], "5");
}

#[tokio::test]
async fn what_it_cannot_be_told_is_refused() {
    let receiver = Receiver::open().await;
    let url = receiver.world.dev.simulator_url.join("/publisher/answers").unwrap();
    let before = receiver.world.simulator("GET", "/publisher/answers", &Value::Null).await;
    for wrong in [
        json!("no"),
        json!({ "event": {} }),
        json!({ "events": { "answer": "199" } }),
        json!({ "events": { "answer": 600 } }),
        json!({ "events": { "answer": "perhaps" } }),
        json!({ "events": { "late": "PT2M" } }),
        json!({ "events": { "late": 5 } }),
        json!({ "events": { "retryAfter": 100_000 } }),
        json!({ "events": { "status": 500 } }),
        json!({ "decisions": { "decision": "perhaps" } }),
        json!({ "provision": { "reason": "x".repeat(501) } }),
    ] {
        let refused = receiver.world.http.put(url.clone()).json(&wrong).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{wrong}");
        assert!(refused.json::<Value>().await.unwrap()["error"]["message"].is_string());
    }
    assert_eq!(receiver.world.simulator("GET", "/publisher/answers", &Value::Null).await, before);
    for (method, path) in [("GET", "/publisher/provision"), ("POST", "/publisher"), ("GET", "/publisher/events/1")] {
        let url = receiver.world.dev.simulator_url.join(path).unwrap();
        let answer = receiver.world.http.request(method.parse().unwrap(), url).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{method} {path}");
    }
}

/// Whoever waits for a silent server in this story waits for nothing.
#[tokio::test(start_paused = true)]
async fn an_answer_can_be_late_or_missing() {
    let receiver = Receiver::open().await;
    receiver.answers(json!({ "events": { "late": "PT20S" }, "provision": { "answer": "nothing" } })).await;
    let begun = tokio::time::Instant::now();
    assert_eq!(receiver.send("/publisher/events", "subscription.renewed", 1).await.status(), 200);
    assert!(begun.elapsed() >= RealDuration::from_secs(20), "{:?}", begun.elapsed());

    let begun = tokio::time::Instant::now();
    let url = receiver.world.dev.simulator_url.join("/publisher/provision").unwrap();
    let message = signed(&event("command.provision", SUBSCRIPTION, 1, START), &[EVENTS_SECRET], START);
    let mut request = receiver.world.http.post(url).body(message.body.clone());
    for (name, value) in &message.headers {
        request = request.header(name, value);
    }
    request.send().await.expect_err("the connection is closed");
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(receiver.answered(), ["200", "nothing"]);
}

#[tokio::test]
async fn a_hand_off_is_taken_once_and_refused_with_the_reason() {
    let receiver = Receiver::open().await;
    let fulfillment = Fulfillment::open().await;
    let elsewhere = Sender { fulfillment: fulfillment.url.clone(), ..Sender::default() };
    receiver.world.dev.simulator.receiver().know(elsewhere);
    let audience = receiver.world.dev.simulator_url.join("/publisher/handoff").unwrap();
    let good = fulfillment.claims(audience.as_str(), START);
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        fulfillment.token(&claims)
    };
    let at = |minutes| json!((START + Duration::minutes(minutes)).unix_timestamp());
    for (token, why) in [
        (String::new(), "not good"),
        (with("aud", json!("http://127.0.0.1:1/handoff")), "not good"),
        (with("iss", json!("http://127.0.0.1:1")), "not good"),
        (with("exp", at(-2)), "has expired"),
        (with("nbf", at(2)), "not good yet"),
        (Fulfillment::stranger().token(&good), "not listed"),
        (fulfillment.impostor().token(&good), "not good"),
        (fulfillment.confused(&good), "not good"),
    ] {
        let refused = receiver.hand_over(&token).await;
        assert_eq!(refused.status(), 403, "{why}");
        let page = refused.text().await.unwrap();
        assert!(page.contains(why), "{why}: {page}");
    }
    let token = fulfillment.token(&good);
    let answer = receiver.hand_over(&token).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &"/publisher".parse().unwrap()));
    let again = receiver.hand_over(&token).await;
    assert_eq!(again.status(), 403);
    assert!(again.text().await.unwrap().contains("used before"));
    let shown = receiver.world.simulator("GET", "/publisher/events", &Value::Null).await;
    let handoffs = shown["handoffs"].as_array().unwrap();
    assert_eq!(handoffs.len(), 1);
    assert_eq!((&handoffs[0]["person"], &handoffs[0]["purpose"]), (&good["person"], &json!("open")));
}

/// The program's own hand-off and its own questions, from end to end.
#[tokio::test]
async fn a_publisher_sees_what_a_refusal_would_do() {
    let world = World::connected(&[("ACTIVATION", "publisher")]).await;
    let told = json!({ "provision": { "answer": "422", "reason": "We cannot serve your country yet." } });
    world.simulator("PUT", "/publisher/answers", &told).await;
    let purchase = world.silver().await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
    let page = buyer.confirm(&page).await;
    let at = page.attribute("<form", "action").unwrap();
    assert_eq!(at, world.dev.simulator_url.join("/publisher/handoff").unwrap().as_str());
    let form = [("handoff", page.input("handoff").unwrap())];
    assert_eq!(world.http.post(at).form(&form).send().await.unwrap().status(), 303);
    let handoffs = world.dev.simulator.receiver().handoffs();
    assert_eq!(
        (handoffs[0].purpose.as_str(), &handoffs[0].subscription["id"]),
        ("setup", &json!(purchase.id.as_str()))
    );

    world.pass(Duration::minutes(1)).await;
    let page = buyer.goto(world.url(&format!("/api/landing?subscription={}", purchase.id)).as_str()).await;
    assert!(page.text().contains("We cannot serve your country yet."), "{}", page.text());
    assert_eq!(world.calls(&purchase.id, "activate").await, 0);
    assert!(kinds(&world).contains(&"marketplace.command.provision".to_owned()), "{:?}", kinds(&world));
}

#[tokio::test]
async fn a_person_watches_and_says_how_to_answer() {
    let world = World::connected(&[]).await;
    let purchase = bought(&world).await;
    let browser = Browser::desktop().await;
    browser.goto(world.dev.simulator_url.as_str()).await;
    browser.press("Your software: what it is sent, and how it answers").await;
    browser.wait_for_text("marketplace.subscription.activated").await;
    browser.wait_for_text("silver, 5 seats").await;

    let choose = "const field = document.querySelector('[name=events]');
        field.selectedIndex = [...field.options].findIndex((option) => option.text === '500');
        field.dispatchEvent(new Event('change', { bubbles: true }));";
    browser.script(choose).await;
    let told = async {
        while world.simulator("GET", "/publisher/answers", &Value::Null).await["events"]["answer"] != "500" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(RealDuration::from_secs(15), told).await.expect("the choice arrives");
    world.dev.simulator.act(purchase.id.as_str(), &Deed::Suspend).unwrap();
    world.pass(Duration::seconds(10)).await;
    browser.wait_for("#messages .Failed").await;
    // The driver does not see the words of a summary as text of the page.
    let failed = browser.script("return document.querySelector('#messages .Failed summary').textContent").await;
    let failed = failed.as_str().unwrap();
    assert!(failed.contains(&format!("marketplace.subscription.suspended {}", purchase.id)), "{failed}");
    assert!(failed.ends_with(": 500"), "{failed}");
    world.simulator("PUT", "/publisher/answers", &json!({})).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}
