//! What the publisher's software is told: everything, in order, until it is taken, and never in anybody's way.

mod endpoint;
mod faults;
mod orders;

use std::collections::BTreeMap;

use marketplace_fulfillment::functions::reconcile;
use marketplace_fulfillment::shown;
use marketplace_fulfillment::subscription::{Status, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::Duration;

use crate::receiver::{Received, Receiver, connected};
use crate::world::{Purchase, START, World};

/// Where the events of these stories go.
const EVENTS: &str = "/events";

/// The settings with which they do.
const TOLD: &[(&str, &str)] = &[("PUBLISHER_EVENTS_URL", EVENTS)];

/// The last words of the types, in the order of arrival.
fn words(received: &[Received]) -> Vec<String> {
    received.iter().map(|one| one.attribute("type").rsplit('.').next().unwrap().to_owned()).collect()
}

/// What is at a path, of one subscription.
fn of(receiver: &Receiver, id: &SubscriptionId) -> Vec<Received> {
    let all = receiver.received_at(EVENTS);
    all.into_iter().filter(|one| one.event["subject"] == id.as_str()).collect()
}

/// What a receiver knows that takes every event once and keeps the newest of each subscription, as the examples do.
fn applied(received: &[Received]) -> BTreeMap<String, Value> {
    let mut known: BTreeMap<String, (u64, Value)> = BTreeMap::new();
    for one in received.iter().filter(|one| !one.event["subject"].is_null()) {
        let sequence: u64 = one.attribute("sequence").parse().unwrap();
        let newest = known.get(one.attribute("subject")).is_none_or(|(known, _)| sequence > *known);
        if newest {
            known.insert(one.attribute("subject").to_owned(), (sequence, one.event["data"]["subscription"].clone()));
        }
    }
    known.into_iter().map(|(id, (_, subscription))| (id, subscription)).collect()
}

/// A receiver that applies by sequence knows what we know.
fn assert_equal_to_us(records: &[Subscription], received: &[Received]) {
    let ours: BTreeMap<_, _> =
        records.iter().map(|record| (record.id.to_string(), shown::facts(record, START))).collect();
    assert_eq!(applied(received), ours);
}

/// Everything of every subscription arrived in its order, each the first time after the one before it.
fn assert_in_order(records: &[Subscription], received: &[Received]) {
    for record in records {
        let mut expected: Vec<String> = Vec::new();
        let numbers = received.iter().filter(|one| one.event["subject"] == record.id.as_str());
        for number in numbers.map(|one| one.attribute("sequence").to_owned()) {
            if !expected.contains(&number) {
                expected.push(number);
            }
        }
        let told: Vec<_> = record.outbox.announcements.iter().map(|told| told.sequence.to_string()).collect();
        assert_eq!(expected, told, "{record:?}");
        assert_eq!(record.outbox.delivered, record.outbox.sequence, "{record:?}");
    }
}

async fn deed(world: &World, purchase: &Purchase, deed: &str, body: Value) {
    world.simulator("POST", &format!("/simulator/subscriptions/{}/{deed}", purchase.id), &body).await;
    world.settle().await;
}

/// Compares with Microsoft's list, as every hour.
async fn compare(world: &World) {
    reconcile::run(&world.dev.app, world.now()).await.unwrap();
    world.settle().await;
}

/// A purchase that somebody confirmed and that became active.
async fn active(world: &World) -> Purchase {
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    world.settle().await;
    purchase
}

#[tokio::test]
async fn everything_is_told_from_the_purchase_to_the_cancellation() {
    connected(TOLD, async |world, receiver| {
        let purchase = active(world).await;
        deed(world, &purchase, "change-quantity", json!({ "quantity": 9 })).await;
        deed(world, &purchase, "change-plan", json!({ "planId": "gold" })).await;
        let path = format!("api/subscriptions/{}", purchase.id);
        let ordered = world.http.patch(world.url(&path)).json(&json!({ "quantity": 4 })).send().await.unwrap();
        assert_eq!(ordered.status(), 202);
        world.settle().await;
        deed(world, &purchase, "suspend", json!({})).await;
        deed(world, &purchase, "reinstate", json!({})).await;
        deed(world, &purchase, "renew", json!({})).await;
        deed(world, &purchase, "unsubscribe", json!({})).await;

        let received = of(receiver, &purchase.id);
        let mut told = words(&received);
        // What else changes with a term is not what this story is about.
        told.retain(|word| word != "updated");
        let expected = [
            "purchased",
            "confirmed",
            "activated",
            "seats_change_requested",
            "seats_changed",
            "plan_change_requested",
            "plan_changed",
            "seats_change_requested",
            "seats_changed",
            "suspended",
            "reinstated",
            "renewed",
            "cancelled",
        ];
        assert_eq!(told, expected);
        let record = world.record(&purchase.id).await.unwrap();
        let first: u64 = received[0].attribute("sequence").parse().unwrap();
        let created = u64::try_from(record.created_at.unix_timestamp_nanos() / 1_000_000).unwrap();
        assert_eq!(first, created + 1);
        for (index, one) in received.iter().enumerate() {
            let sequence = first + index as u64;
            assert_eq!(one.attribute("sequence"), sequence.to_string());
            assert_eq!(one.attribute("id"), format!("evt_{}_{sequence}", purchase.id));
            assert_eq!(one.header("webhook-id").unwrap(), one.attribute("id"));
            assert_eq!(one.attribute("source"), world.url("api/subscriptions").as_str());
        }
        assert_equal_to_us(&world.records().await, &received);
        assert_in_order(&world.records().await, &received);
        let change = |word: &str| {
            let found = received.iter().find(|one| one.attribute("type").ends_with(&format!(".{word}")));
            found.unwrap().event["data"]["change"].clone()
        };
        assert_eq!(change("confirmed"), json!({ "by": "buyer" }));
        let asked = change("plan_change_requested");
        assert_eq!(
            (&asked["from"], &asked["to"], &asked["by"]),
            (&json!("silver"), &json!("gold"), &json!("marketplace"))
        );
        assert!(asked["operationId"].is_string(), "{asked}");
        assert_eq!(change("cancelled")["from"], "Subscribed");
        assert!(record.duties.is_empty(), "{record:?}");
    })
    .await;
}

/// What goes wrong, by word: the reason is in the event.
#[tokio::test]
async fn what_fails_is_told_with_its_reason() {
    let policy = r#"{"seatLimits":[{"plan":"silver","max":10}]}"#;
    connected(&[TOLD[0], ("CHANGE_POLICY", policy)], async |world, receiver| {
        let purchase = active(world).await;
        deed(world, &purchase, "change-quantity", json!({ "quantity": 11 })).await;
        let received = of(receiver, &purchase.id);
        assert_eq!(words(&received)[3..], ["seats_change_requested", "seats_change_rejected"]);
        let rejected = &received[4].event["data"]["change"];
        assert_eq!(
            (&rejected["from"], &rejected["to"], &rejected["by"]),
            (&json!("5"), &json!("11"), &json!("program"))
        );
        assert!(rejected["why"].as_str().unwrap().contains("at most 10 seats"), "{rejected}");

        world.faults(json!({ "activationFails": true })).await;
        let failing = active(world).await;
        assert_eq!(words(&of(receiver, &failing.id))[2..], ["cancelled", "activation_failed"]);

        world.faults(json!({ "rules": [{ "operation": "activate", "answer": "500" }] })).await;
        let lasting = active(world).await;
        let received = of(receiver, &lasting.id);
        assert_eq!(words(&received).last().unwrap(), "duty_failed");
        let change = &received.last().unwrap().event["data"]["change"];
        assert!(change["to"] == "activate" && change["why"].as_str().unwrap().contains("500"), "{change}");
        let path = format!("api/subscriptions/{}/duties/activate/retry", lasting.id);
        world.faults(json!({})).await;
        assert_eq!(world.http.post(world.url(&path)).send().await.unwrap().status(), 202);
    })
    .await;
}

#[tokio::test]
async fn a_baseline_is_no_news_and_what_comes_after_it_is() {
    connected(&[TOLD[0], ("RECONCILE", "repair")], async |world, receiver| {
        // Sold before this installation was there.
        world.dev.simulator.pause_webhooks(true);
        let order = json!({ "offerId": "contoso-offer", "planId": "bronze", "autoActivate": true });
        let old = world.purchase(order.clone()).await;
        compare(world).await;
        assert_eq!(world.record(&old.id).await.unwrap().known.status, Status::Subscribed);
        assert_eq!(words(&receiver.received()), Vec::<String>::new(), "adopted in silence");

        deed(world, &old, "suspend", json!({})).await;
        let new = world.purchase(order).await;
        compare(world).await;
        assert_eq!(words(&of(receiver, &old.id)), ["suspended", "repaired"]);
        assert_eq!(words(&of(receiver, &new.id)), ["purchased", "activated", "repaired"]);
        assert_equal_to_us(&world.records().await, &receiver.received());
    })
    .await;
}

#[tokio::test]
async fn who_is_not_connected_owes_nothing_and_is_told_from_then_on() {
    let receiver = Receiver::start().await;
    let world = receiver.world(&[("PUBLISHER_EVENTS_URL", "")]).await;
    let purchase = active(&world).await;
    let record = world.record(&purchase.id).await.unwrap();
    assert!(record.duties.is_empty() && record.outbox.undelivered().is_empty(), "{record:?}");
    assert!(!record.outbox.announcements.is_empty(), "and it could be told again");
    assert!(receiver.received().is_empty());
    world.assert_silence().await;
}

/// A day of silence about a purchase, and a week before Microsoft ends it: told once, however often it is looked at.
#[tokio::test]
async fn a_deadline_is_told_once() {
    connected(&[TOLD[0], ("RECONCILE", "repair")], async |world, receiver| {
        let purchase = world.silver().await;
        world.visitor().arrive(&purchase.landing_url, "buyer").await;
        world.pass(Duration::days(24)).await;
        for _ in 0..3 {
            compare(world).await;
        }
        let received = of(receiver, &purchase.id);
        assert_eq!(words(&received), ["purchased", "deadline_near"]);
        let change = &received[1].event["data"]["change"];
        assert_eq!(change, &json!({ "to": "activation", "by": "program", "why": "activation by 2026-12-20" }));
    })
    .await;
}
