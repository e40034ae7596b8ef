//! Orders to their end at both sides.

use marketplace_fulfillment::duty::Kind;
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::marketplace::OperationOutcome;
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::subscription::Status;
use serde_json::json;
use time::Duration;

use super::publisher::Publisher;
use super::{deed, ordered_at_microsoft, silver, spoil, times, told};
use crate::world::{World, story};

#[tokio::test]
async fn an_operator_activates_a_purchase_that_no_buyer_opened() {
    story(async |world| {
        let id = world.silver().await.id;
        let publisher = Publisher::new(world);
        publisher.post(&format!("/{id}/activate")).await.assert_refused(404, "unknown_subscription");
        assert_eq!(publisher.post(&format!("/{id}/resync")).await.body["created"], true);
        publisher.post(&format!("/{id}/activate")).await.assert_accepted("activate");
        world.idle().await;
        assert_eq!(world.calls(&id, "activate").await, 1, "tried at once, before any bell rings");
        publisher.post(&format!("/{id}/activate")).await.assert_accepted("activate");
        world.settle().await;
        let record = world.record(&id).await.unwrap();
        assert_eq!(record.known.status, Status::Subscribed);
        assert_eq!(
            (&told(&record, &Happening::Confirmed).by, times(&record, &Happening::Confirmed)),
            (&Actor::Publisher, 1)
        );
        assert_eq!(world.calls(&id, "activate").await, 1, "two orders, one activation");
        publisher.post(&format!("/{id}/activate")).await.assert_refused(409, "as_ordered");
    })
    .await;
}

/// JSON Schema, and so the document, calls `12.0` an integer.
#[tokio::test]
async fn seats_as_languages_without_integers_write_them() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        for other in [json!(12.5), json!(-1.0), json!(-0.0), json!(4_294_967_296.0), json!(1e300), json!("12")] {
            let said = publisher.patch(&format!("/{id}"), &json!({ "quantity": other })).await;
            said.assert_refused(400, "bad_request");
        }
        let said = publisher.call("PATCH", &format!("/{id}"), r#"{"quantity":12.0}"#).await;
        said.assert_accepted("change");
        world.settle().await;
        assert_eq!(world.record(&id).await.unwrap().known.quantity, Some(12));
    })
    .await;
}

#[tokio::test]
async fn another_plan_other_seats_and_the_end() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        let path = format!("/{id}");

        publisher.patch(&path, &json!({ "planId": "gold" })).await.assert_accepted("change");
        world.idle().await;
        assert_eq!(world.calls(&id, "change-plan").await, 1, "tried at once, before any bell rings");
        world.settle().await;
        let shown = publisher.get(&path).await.body;
        assert_eq!((&shown["planId"], &shown["quantity"], &shown["duties"]), (&json!("gold"), &json!(5), &json!([])));

        publisher.patch(&path, &json!({ "quantity": 12 })).await.assert_accepted("change");
        world.settle().await;
        let shown = publisher.get(&path).await.body;
        assert_eq!((&shown["planId"], &shown["quantity"], &shown["duties"]), (&json!("gold"), &json!(12), &json!([])));

        publisher.delete(&path).await.assert_accepted("cancel");
        world.settle().await;
        let shown = publisher.get(&path).await.body;
        assert_eq!((&shown["status"], &shown["duties"]), (&json!("Unsubscribed"), &json!([])));
        for (call, action) in
            [("change-plan", "ChangePlan"), ("change-quantity", "ChangeQuantity"), ("cancel", "Unsubscribe")]
        {
            assert_eq!(world.calls(&id, call).await, 1, "{call}");
            assert_eq!(ordered_at_microsoft(world, &id, action).await, 1, "{action}");
        }
        let record = world.record(&id).await.unwrap();
        assert_eq!(
            (times(&record, &Happening::Ordered), times(&record, &Happening::DutyImpossible)),
            (3, 0),
            "{record:?}"
        );
    })
    .await;
}

/// The order stands on the record until the subscription is free; nobody is told that it failed.
#[tokio::test]
async fn what_another_operation_holds_is_changed_later() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_accepted("change");
        world.idle().await;
        publisher.delete(&format!("/{id}")).await.assert_accepted("cancel");
        world.idle().await;
        let record = world.record(&id).await.unwrap();
        let duty = record.duty(Kind::Cancel).unwrap();
        assert!(duty.last_error.as_deref().unwrap().contains("locked"), "{duty:?}");
        world.settle().await;
        let record = world.record(&id).await.unwrap();
        assert_eq!(
            (record.known.plan_id.as_str(), &record.known.status),
            ("gold", &Status::Unsubscribed),
            "{record:?}"
        );
        assert_eq!(times(&record, &Happening::DutyImpossible), 0, "{record:?}");
        assert!(world.calls(&id, "cancel").await > 1);
        assert_eq!(ordered_at_microsoft(world, &id, "Unsubscribe").await, 1);
    })
    .await;
}

/// The customer's change holds the subscription, and is refused: the publisher's goes through.
#[tokio::test]
async fn a_customers_change_that_is_refused_lets_the_publishers_through() {
    let world = World::new(&[("CHANGE_POLICY", r#"{ "default": "refuse" }"#)]).await;
    let id = silver(&world).await;
    let operation = deed(&world, &id, "change-quantity", json!({ "quantity": 9 })).await;
    let publisher = Publisher::new(&world);
    publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_accepted("change");
    world.idle().await;
    // Refused by the webhook already, where it has been delivered by now.
    let _ = world.dev.app.marketplace.update_operation(&id, &operation, OperationOutcome::Failure).await;
    world.assert_silence().await;
    let record = world.record(&id).await.unwrap();
    assert_eq!((record.known.plan_id.as_str(), record.known.quantity), ("gold", Some(5)), "{record:?}");
    assert_eq!(ordered_at_microsoft(&world, &id, "ChangePlan").await, 1);
}

/// What is ordered, the call that Microsoft refuses, and what the order names.
#[tokio::test]
async fn what_microsoft_refuses_for_good_is_over_with_the_reason() {
    let table = [
        (
            json!({ "offerId": "contoso-offer", "planId": "silver", "quantity": 5 }),
            json!({ "planId": "platinum" }),
            "Catalog",
        ),
        (json!({ "offerId": "contoso-offer", "planId": "silver", "quantity": 5 }), json!({ "quantity": 5000 }), "1000"),
        (json!({ "offerId": "contoso-offer", "planId": "bronze" }), json!({ "quantity": 3 }), "flat price"),
    ];
    for (bought, order, reason) in table {
        story(async |world| {
            let id = super::active(world, bought).await.id;
            let before = world.record(&id).await.unwrap().known;
            Publisher::new(world).patch(&format!("/{id}"), &order).await.assert_accepted("change");
            world.settle().await;
            let record = world.record(&id).await.unwrap();
            let why = told(&record, &Happening::DutyImpossible).why.as_deref().unwrap();
            assert!(why.contains(reason), "{order}: {why}");
            assert_eq!(record.known.terms(), before.terms(), "{order}");
        })
        .await;
    }
}

/// Whatever became of the request whose answer was lost, Microsoft carries the order out once.
#[tokio::test]
async fn an_order_whose_answer_was_lost_is_done_once() {
    let calls = [
        ("change-plan", "ChangePlan", Some(json!({ "planId": "gold" }))),
        ("change-quantity", "ChangeQuantity", Some(json!({ "quantity": 7 }))),
        ("cancel", "Unsubscribe", None),
    ];
    let losses = ["drop", "500", "garbage"].into_iter().flat_map(|answer| [(answer, "done"), (answer, "none")]);
    let losses: Vec<_> = losses.collect();
    for (call, action, order) in &calls {
        for (answer, effect) in &losses {
            story(async |world| {
                let id = silver(world).await;
                spoil(world, json!({ "operation": call, "times": 1, "answer": answer, "effect": effect })).await;
                let (publisher, path) = (Publisher::new(world), format!("/{id}"));
                match order {
                    Some(order) => publisher.patch(&path, order).await.assert_accepted("change"),
                    None => publisher.delete(&path).await.assert_accepted("cancel"),
                }
                world.settle().await;
                let record = world.record(&id).await.unwrap();
                assert_eq!(times(&record, &Happening::DutyDone), 2, "{call} {answer} {effect}: {record:?}");
                assert_eq!(ordered_at_microsoft(world, &id, action).await, 1, "{call} {answer} {effect}");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_seat_change_whose_answer_was_lost_gives_way_to_the_customers_own() {
    story(async |world| {
        let id = silver(world).await;
        spoil(world, json!({ "operation": "change-quantity", "times": 1, "answer": "drop", "effect": "done" })).await;
        Publisher::new(world).patch(&format!("/{id}"), &json!({ "quantity": 7 })).await.assert_accepted("change");
        world.pass(Duration::seconds(5)).await;
        let operation = deed(world, &id, "change-quantity", json!({ "quantity": 9 })).await;
        // Accepted by the webhook already, where it has been delivered by now.
        let _ = world.dev.app.marketplace.update_operation(&id, &operation, OperationOutcome::Success).await;
        world.settle().await;
        assert_eq!(world.simulated(&id).await["quantity"], 9);
        assert_eq!(world.record(&id).await.unwrap().known.quantity, Some(9));
        assert_eq!(ordered_at_microsoft(world, &id, "ChangeQuantity").await, 1, "nothing undoes the customer's change");
    })
    .await;
}

/// A mishap at each operation in turn, a look at the offer, a load, a save and a ring: the order is on the record once, or
/// not at all.
#[tokio::test]
async fn an_order_is_saved_once_or_refused() {
    for (after, mishap, status) in [
        (0, Mishap::Refused, 503),
        (1, Mishap::Refused, 503),
        (2, Mishap::LostRace, 202),
        (2, Mishap::Refused, 503),
        (2, Mishap::Unanswered, 503),
        (3, Mishap::Refused, 202),
    ] {
        let world = World::new(&[]).await;
        let id = silver(&world).await;
        world.dev.mishaps.plan(after, mishap);
        let publisher = Publisher::new(&world);
        let said = publisher.patch(&format!("/{id}"), &json!({ "quantity": 7 })).await;
        assert_eq!(said.status, status, "{after} {mishap:?}: {said:?}");
        world.idle().await;
        world.dev.mishaps.cancel();
        world.assert_silence().await;
        let record = world.record(&id).await.unwrap();
        let saved = status == 202 || mishap == Mishap::Unanswered;
        assert_eq!(times(&record, &Happening::Ordered), usize::from(saved), "{after} {mishap:?}: {record:?}");
        assert_eq!(record.known.quantity, Some(if saved { 7 } else { 5 }), "{after} {mishap:?}");
    }
}
