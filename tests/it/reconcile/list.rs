//! A list that lags, leaves out, or holds what nobody can read; and records that Microsoft does not know.

use marketplace_fulfillment::functions::reconcile::{Noted, READ_AGAIN_AFTER};
use serde_json::{Value, json};

use super::bent::Bent;
use super::{active, deed, hourly, reason, whats};
use crate::log::Log;
use crate::world::{REPAIR, World};

#[tokio::test]
async fn what_a_fresh_reading_does_not_confirm_is_not_repaired() {
    let bent = Bent::new().await;
    let world = &bent.world;
    let purchase = active(world).await;
    let cancelled = active(world).await;
    deed(world, &cancelled.id, "unsubscribe", json!({})).await;
    hourly(world).await;
    let before = [whats(world, &purchase.id).await, whats(world, &cancelled.id).await];
    let other = cancelled.id.to_string();
    bent.bend(move |list| {
        for entry in list.as_array_mut().unwrap() {
            // The list lags: it shows one that was cancelled as active, and is wrong about the other one's seats.
            if entry["id"] == other.as_str() {
                entry["saasSubscriptionStatus"] = "Subscribed".into();
            } else {
                entry["quantity"] = 500.into();
            }
        }
    });
    let report = hourly(world).await;
    assert_eq!((report.differing, report.repaired.count, report.unread), (2, 0, 0), "{report:?}");
    assert_eq!([whats(world, &purchase.id).await, whats(world, &cancelled.id).await], before);
    assert_eq!(world.record(&purchase.id).await.unwrap().known.quantity, Some(5));
    world.assert_silence().await;
}

#[tokio::test]
async fn entries_that_cannot_be_read_are_counted_and_named_and_hide_nothing() {
    let bent = Bent::new().await;
    let world = &bent.world;
    active(world).await;
    let missed = world.silver().await;
    bent.bend(|list| {
        let list = list.as_array_mut().unwrap();
        list.insert(
            0,
            json!({ "id": "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0009", "beneficiary": { "emailId": "a@b.example" } }),
        );
        list.push(json!({ "planId": 7 }));
        list.push(json!({
            "id": "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0008", "offerId": "contoso-offer", "planId": "silver",
            "saasSubscriptionStatus": "Subscribed"
        }));
    });
    let log = Log::default();
    let _capturing = log.capture();
    let report = hourly(world).await;
    assert_eq!((report.created, report.unreadable.count, report.listed), (1, 2, 5), "{report:?}");
    assert!(report.unreadable.first[0].starts_with("subscriptions[0]."), "{report:?}");
    assert!(report.unreadable.first[1].starts_with("subscriptions[3]"), "{report:?}");
    assert_eq!(
        (report.unread, report.missing.count, report.finished),
        (1, 0, true),
        "listed, and not to be had: {report:?}"
    );
    assert!(world.record(&missed.id).await.is_some());
    assert!(!log.text().contains("a@b.example"));
}

#[tokio::test]
async fn a_record_that_microsoft_does_not_know_is_reported_and_left_as_it_is() {
    let world = World::new(REPAIR).await;
    world.dev.simulator.pause_webhooks(true);
    let purchase = active(&world).await;
    let cancelled = active(&world).await;
    deed(&world, &cancelled.id, "unsubscribe", json!({})).await;
    hourly(&world).await;
    world.simulator("DELETE", "/simulator", &Value::Null).await;
    let record = world.record(&purchase.id).await.unwrap();
    assert_eq!(hourly(&world).await.missing.count, 0, "read a moment ago");
    world.pass(READ_AGAIN_AFTER).await;
    let log = Log::default();
    let _capturing = log.capture();
    let report = hourly(&world).await;
    assert_eq!(report.missing, Noted { count: 1, first: vec![purchase.id.clone()] }, "{report:?}");
    assert_eq!((report.records, report.listed, report.repaired.count, report.finished), (2, 0, 0, true), "{report:?}");
    let lines = log.ours();
    assert!(
        lines.iter().any(|line| line["level"] == "ERROR" && line["fields"]["subscription_id"] == purchase.id.as_str())
    );
    assert_eq!(world.record(&purchase.id).await.unwrap(), record);
}

/// What the list leaves out is found through our own records, a day later at the latest, and is read once a day.
#[tokio::test]
async fn a_subscription_that_the_list_leaves_out_is_read_once_a_day() {
    let bent = Bent::new().await;
    let world = &bent.world;
    let purchase = active(world).await;
    bent.bend(|list| list.as_array_mut().unwrap().clear());
    deed(world, &purchase.id, "change-quantity", json!({ "quantity": 8 })).await;
    let reads = world.calls(&purchase.id, "get-subscription").await;
    world.pass(READ_AGAIN_AFTER).await;
    let reports = [hourly(world).await, hourly(world).await];
    assert_eq!(world.calls(&purchase.id, "get-subscription").await - reads, 1, "{reports:?}");
    assert_eq!(reason(&world.record(&purchase.id).await.unwrap()), Some("reconciliation: seats 5 -> 8"));
    world.assert_silence().await;
}
