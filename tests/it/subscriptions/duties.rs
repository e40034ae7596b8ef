//! An operator takes duties up again, or off the record, and the history keeps who it was.

use marketplace_fulfillment::duty::{Kind, Verdict};
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::subscription::{Event, Notice, OperationId, Ruling, Status, Terms};
use serde_json::json;

use super::publisher::Publisher;
use super::{silver, spoil, told};
use crate::log::Log;
use crate::world::{World, story};

const ADA: &str = "Ada Lovelace-Byron <ada@contoso.example>";

#[tokio::test]
async fn a_duty_that_was_given_up_is_one_call_away_from_another_try() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        spoil(world, json!({ "operation": "change-plan", "answer": "503" })).await;
        publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_accepted("change");
        world.settle().await;
        let duty = publisher.get(&format!("/{id}")).await.body["duties"][0].clone();
        assert!(duty["failedAt"].is_string() && duty["lastError"].as_str().unwrap().contains("503"), "{duty}");

        world.faults(json!({})).await;
        publisher.post(&format!("/{id}/duties/change/retry")).await.assert_accepted("change");
        world.settle().await;
        let record = world.record(&id).await.unwrap();
        assert_eq!(
            (record.known.plan_id.as_str(), &told(&record, &Happening::DutyRetried).by),
            ("gold", &Actor::Publisher)
        );
        publisher.post(&format!("/{id}/duties/change/retry")).await.assert_refused(404, "unknown_duty");
    })
    .await;
}

/// A try at once, long before the back-off ends.
#[tokio::test]
async fn a_duty_that_waits_is_tried_at_once() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        spoil(world, json!({ "operation": "cancel", "answer": "429", "times": 1, "retryAfter": 3000 })).await;
        publisher.delete(&format!("/{id}")).await.assert_accepted("cancel");
        world.idle().await;
        assert_eq!(world.calls(&id, "cancel").await, 1);
        publisher.post(&format!("/{id}/duties/cancel/retry")).await.assert_accepted("cancel");
        world.idle().await;
        assert_eq!(world.calls(&id, "cancel").await, 2);
    })
    .await;
}

#[tokio::test]
async fn an_operator_ends_a_duty_with_a_reason() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::acting_for(world, ADA);
        spoil(world, json!({ "operation": "change-plan", "answer": "503" })).await;
        publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_accepted("change");
        world.idle().await;
        let body = json!({ "reason": " The customer withdrew the order. " }).to_string();
        let said = publisher.call("POST", &format!("/{id}/duties/change/end"), &body).await;
        assert_eq!((said.status, &said.body["duties"]), (200, &json!([])), "{said:?}");
        let record = world.record(&id).await.unwrap();
        let ended = told(&record, &Happening::DutyEnded);
        assert_eq!(ended.why.as_deref(), Some("The customer withdrew the order."));
        assert_eq!((&ended.by, ended.person.as_deref()), (&Actor::Publisher, Some(ADA)));
        publisher.call("POST", &format!("/{id}/duties/change/end"), &body).await.assert_refused(404, "unknown_duty");
        let calls = world.calls(&id, "change-plan").await;
        world.settle().await;
        assert_eq!(world.calls(&id, "change-plan").await, calls, "the bell that still rings finds nothing to do");
    })
    .await;
}

/// A duty about an operation is named with it, its colon encoded or not.
#[tokio::test]
async fn a_duty_about_an_operation_is_named_with_it() {
    let operation = "4c1f7c0b-1a34-4a59-b7f2-91a7a3f2c0de";
    for colon in [":", "%3A", "%3a"] {
        story(async |world| {
            let id = silver(world).await;
            let notice = Notice { operation: OperationId::parse(operation), action: "ChangePlan".to_owned() };
            let wanted = Terms { plan_id: "gold".to_owned(), quantity: Some(5) };
            let event = Event::Decided { notice, wanted, ruling: Ruling::by_rule(Verdict::Failure, None) };
            world.dev.app.record(&id, event, None).await.unwrap();
            let publisher = Publisher::new(world);
            let other = format!("/{id}/duties/acknowledge{colon}00000000-0000-0000-0000-000000000000/end");
            let body = json!({ "reason": "Microsoft's support closed it." }).to_string();
            publisher.call("POST", &other, &body).await.assert_refused(404, "unknown_duty");
            let path = format!("/{id}/duties/acknowledge{colon}{operation}/end");
            let said = publisher.call("POST", &path, &body).await;
            assert_eq!((said.status, &said.body["duties"]), (200, &json!([])), "{said:?}");
        })
        .await;
    }
}

/// Whoever acts through the publisher's software is kept in the history, of every order, and in no log.
#[tokio::test]
async fn the_person_who_acts_is_in_the_history_and_not_in_the_log() {
    let log = Log::default();
    let _captured = log.capture();
    story(async |world| {
        let id = world.silver().await.id;
        let publisher = Publisher::acting_for(world, ADA).at_own_handler().await;
        let path = format!("/{id}");
        assert_eq!(publisher.post(&format!("{path}/resync")).await.status, 200);
        publisher.post(&format!("{path}/activate")).await.assert_accepted("activate");
        world.settle().await;
        spoil(world, json!({ "operation": "change-quantity", "answer": "503", "times": 1, "retryAfter": 3000 })).await;
        publisher.patch(&path, &json!({ "quantity": 7 })).await.assert_accepted("change");
        world.idle().await;
        publisher.post(&format!("{path}/duties/change/retry")).await.assert_accepted("change");
        world.settle().await;
        let record = world.record(&id).await.unwrap();
        assert_eq!((&record.known.status, record.known.quantity), (&Status::Subscribed, Some(7)));
        for what in [Happening::Discovered, Happening::Confirmed, Happening::Ordered, Happening::DutyRetried] {
            assert_eq!(told(&record, &what).person.as_deref(), Some(ADA), "{what:?}");
        }
        let named = record.history.entries.iter().filter(|entry| entry.person.is_some());
        assert!(
            named.clone().all(|entry| entry.by == Actor::Publisher),
            "what Microsoft did has nobody's name: {named:?}"
        );
        let shown = publisher.get(&path).await.body;
        assert_eq!(shown["history"][0]["person"], ADA);

        // Refused orders do not name anybody either.
        publisher.patch(&path, &json!({ "quantity": 7 })).await.assert_refused(409, "as_ordered");
        publisher.patch(&path, &json!({ "quantity": -1 })).await.assert_refused(400, "bad_request");
    })
    .await;
    let text = log.text();
    assert!(text.contains("ordered") && text.contains("the request is refused as it is"), "the log is captured");
    for part in ["Lovelace", "ada@contoso"] {
        assert!(!text.contains(part), "{part} is in the log");
    }
}

/// Two duties of two kinds are owed side by side, and each is named by itself.
#[tokio::test]
async fn ending_one_duty_leaves_the_others() {
    let world = World::new(&[]).await;
    let id = silver(&world).await;
    let publisher = Publisher::new(&world);
    world.faults(json!({ "rules": [{ "operation": "change-plan", "answer": "503" }, { "operation": "cancel", "answer": "503" }] })).await;
    publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_accepted("change");
    world.idle().await;
    publisher.delete(&format!("/{id}")).await.assert_accepted("cancel");
    world.idle().await;
    let body = json!({ "reason": "A slip." }).to_string();
    assert_eq!(publisher.call("POST", &format!("/{id}/duties/cancel/end"), &body).await.status, 200);
    let record = world.record(&id).await.unwrap();
    assert!(record.duty(Kind::Change).is_some() && record.duty(Kind::Cancel).is_none(), "{record:?}");
}
