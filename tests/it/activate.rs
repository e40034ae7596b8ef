//! Stories of the activation: the marketplace refuses, fails, lags, hangs up, and the subscription is active in the end.

use marketplace_fulfillment::duty::Kind;
use marketplace_fulfillment::history::{Entry, Happening};
use marketplace_fulfillment::subscription::{Status, Subscription};
use serde_json::json;
use time::Duration;

use crate::world::{World, story};

fn done(record: &Subscription) -> &Entry {
    let done = record.history.entries.iter().find(|entry| entry.what == Happening::DutyDone);
    done.unwrap_or_else(|| panic!("not done: {record:?}"))
}

const NO_TOKEN: &str = "no token for a while";

/// What the simulator does, and how often the record must say that it was tried.
#[tokio::test]
async fn active_in_the_end_and_the_record_says_how_often_it_was_tried() {
    let rule = |rule: serde_json::Value| json!({ "rules": [rule] });
    let table = [
        ("nothing", json!({}), 2, 1),
        ("no lag", json!({ "activationLag": "PT0S" }), 1, 1),
        (
            "429 three times",
            rule(json!({ "operation": "activate", "times": 3, "answer": "429", "retryAfter": 20 })),
            5,
            4,
        ),
        ("500 three times", rule(json!({ "operation": "activate", "times": 3, "answer": "500" })), 5, 4),
        (
            "500 after the work",
            rule(json!({ "operation": "activate", "times": 1, "answer": "500", "effect": "done" })),
            2,
            1,
        ),
        ("hung up on", rule(json!({ "operation": "activate", "times": 1, "answer": "drop" })), 3, 2),
        (
            "hung up on after the work",
            rule(json!({ "operation": "activate", "times": 1, "answer": "drop", "effect": "done" })),
            2,
            1,
        ),
        ("unreadable reading", rule(json!({ "operation": "get-subscription", "times": 2, "answer": "garbage" })), 3, 1),
        (NO_TOKEN, rule(json!({ "operation": "token", "times": 4, "answer": "503" })), 3, 1),
    ];
    for (name, faults, attempts, activations) in table {
        story(async |world| {
            let purchase = world.silver().await;
            let buyer = world.visitor();
            let page = buyer.arrive(&purchase.landing_url, "buyer").await;
            world.faults(faults.clone()).await;
            if name == NO_TOKEN {
                // A fresh process has no token in its cache.
                world.dev.host.kill_handler().await;
            }
            buyer.confirm(&page).await;
            world.settle().await;
            let record = world.record(&purchase.id).await.unwrap();
            assert_eq!(record.known.status, Status::Subscribed, "{name}: {record:?}");
            let told = done(&record).to.as_deref().unwrap();
            assert_eq!(told, format!("activate, attempts: {attempts}"), "{name}");
            assert_eq!(world.calls(&purchase.id, "activate").await, activations, "{name}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_lag_of_an_hour_is_waited_for_with_one_activation() {
    story(async |world| {
        let purchase = world.silver().await;
        world.faults(json!({ "activationLag": "PT1H" })).await;
        let begun = world.now();
        world.confirmed(&purchase).await;
        world.settle().await;
        let record = world.record(&purchase.id).await.unwrap();
        assert_eq!(record.known.status, Status::Subscribed);
        assert_eq!(world.calls(&purchase.id, "activate").await, 1);
        let waited = done(&record).at - begun;
        assert!(waited >= Duration::hours(1) && waited < Duration::hours(3), "{waited}");
    })
    .await;
}

#[tokio::test]
async fn retry_after_is_honoured() {
    story(async |world| {
        let purchase = world.silver().await;
        let rule = json!({ "operation": "activate", "times": 1, "answer": "429", "retryAfter": 600 });
        world.faults(json!({ "rules": [rule] })).await;
        world.confirmed(&purchase).await;
        let record = world.record(&purchase.id).await.unwrap();
        let duty = record.duty(Kind::Activate).unwrap();
        assert_eq!(duty.not_before, world.now() + Duration::seconds(600), "{duty:?}");
        assert!(duty.last_error.as_deref().unwrap().contains("429"), "{duty:?}");
    })
    .await;
}

#[tokio::test]
async fn an_activation_that_microsoft_fails_ends_as_cancelled() {
    story(async |world| {
        let purchase = world.silver().await;
        world.faults(json!({ "activationFails": true })).await;
        world.confirmed(&purchase).await;
        world.settle().await;
        let record = world.record(&purchase.id).await.unwrap();
        assert_eq!(record.known.status, Status::Unsubscribed);
        assert!(record.history.entries.iter().any(|entry| entry.what == Happening::DutyImpossible), "{record:?}");
    })
    .await;
}

#[tokio::test]
async fn a_subscription_cancelled_before_its_activation_ends_the_duty() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        world.simulator("POST", &format!("/simulator/subscriptions/{}/unsubscribe", purchase.id), &json!({})).await;
        let page = buyer.confirm(&page).await;
        assert!(page.status == 200 || page.status == 409, "{}", page.text());
        world.settle().await;
        let record = world.record(&purchase.id).await.unwrap();
        assert_eq!(record.known.status, Status::Unsubscribed);
        let page = buyer.goto(world.url(&format!("/api/landing?subscription={}", purchase.id)).as_str()).await;
        assert_eq!(page.status, 409);
        assert!(page.text().contains("cancelled"), "{}", page.text());
    })
    .await;
}

#[tokio::test]
async fn an_outage_of_days_fails_the_duty_and_the_buyer_can_ask_again() {
    let world = World::new(&[]).await;
    let purchase = world.silver().await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
    world.faults(json!({ "rules": [{ "operation": "activate", "times": 100_000, "answer": "503" }] })).await;
    buyer.confirm(&page).await;
    world.pass(Duration::minutes(15)).await;
    let page = buyer.goto(page.url.as_str()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.input("form_token").is_none(), "it is still being tried");

    world.settle().await;
    let record = world.record(&purchase.id).await.unwrap();
    let duty = record.duty(Kind::Activate).unwrap();
    assert!(duty.failed_at.is_some() && duty.attempts > 50, "{duty:?}");
    assert!(record.history.entries.iter().any(|entry| entry.what == Happening::DutyFailed));

    world.faults(json!({})).await;
    // The purchase token is three days old by now, and so is the session: the address of our own page still leads here.
    let page = buyer.arrive(page.url.as_str(), "buyer").await;
    assert!(page.input("form_token").is_some(), "the page offers to try again: {}", page.text());
    buyer.confirm(&page).await;
    world.assert_silence().await;
    assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed);
}
