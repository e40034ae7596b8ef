//! Resync: the record becomes what Microsoft shows, and says what was wrong.

use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::subscription::{Status, SubscriptionId};
use serde_json::json;
use time::Duration;

use super::publisher::Publisher;
use super::{silver, spoil, times, told};
use crate::world::{World, story};

/// Puts something on the record that Microsoft never said.
async fn falsify(world: &World, id: &SubscriptionId) {
    let stored = world.dev.store.load(id).await.unwrap().unwrap();
    let mut wrong = stored.subscription;
    wrong.known.status = Status::Suspended;
    "bronze".clone_into(&mut wrong.known.plan_id);
    wrong.known.quantity = None;
    world.dev.store.save(&wrong, Some(&stored.etag)).await.unwrap();
}

#[tokio::test]
async fn a_wrong_record_is_healed_and_says_what_was_wrong() {
    story(async |world| {
        let id = silver(world).await;
        falsify(world, &id).await;
        let said = Publisher::acting_for(world, "ada").post(&format!("/{id}/resync")).await;
        let differences = ["status Suspended -> Subscribed", "plan bronze -> silver", "seats none -> 5"];
        assert_eq!((said.status, &said.body["differences"]), (200, &json!(differences)), "{said:?}");
        assert_eq!(said.body["subscription"]["status"], "Subscribed");
        let record = world.record(&id).await.unwrap();
        let repaired = told(&record, &Happening::Repaired);
        assert_eq!(repaired.why.as_deref(), Some(format!("resync: {}", differences.join(", ")).as_str()));
        assert_eq!((&repaired.by, repaired.person.as_deref()), (&Actor::Program, Some("ada")));

        let again = Publisher::new(world).post(&format!("/{id}/resync")).await;
        assert_eq!((&again.body["differences"], &again.body["created"]), (&json!([]), &json!(false)));
        assert_eq!(
            times(&world.record(&id).await.unwrap(), &Happening::Repaired),
            1,
            "nothing to repair, nothing told"
        );
    })
    .await;
}

#[tokio::test]
async fn what_a_duty_waits_for_is_no_repair() {
    story(async |world| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.pass(Duration::seconds(3)).await;
        assert_eq!(world.record(&purchase.id).await.unwrap().duties.len(), 1, "Microsoft has not been asked again");
        let said = Publisher::new(world).post(&format!("/{}/resync", purchase.id)).await;
        assert_eq!(
            (&said.body["differences"], &said.body["subscription"]["duties"]),
            (&json!([]), &json!([])),
            "{said:?}"
        );
        assert_eq!(said.body["subscription"]["status"], "Subscribed");
    })
    .await;
}

/// A cancellation at Microsoft's side makes what is owed impossible, and is a repair.
#[tokio::test]
async fn a_cancellation_that_nobody_told_of_is_a_repair() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        spoil(world, json!({ "operation": "change-plan", "answer": "503" })).await;
        publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_accepted("change");
        world.idle().await;
        world.dev.simulator.act(id.as_str(), &marketplace_fulfillment::dev::simulator::Deed::Unsubscribe).unwrap();
        let said = publisher.post(&format!("/{id}/resync")).await;
        assert_eq!(said.body["subscription"]["duties"], json!([]), "{said:?}");
        let record = world.record(&id).await.unwrap();
        assert_eq!(record.known.status, Status::Unsubscribed);
        assert_eq!(times(&record, &Happening::DutyImpossible), 1, "{record:?}");
    })
    .await;
}

/// Cancelled is final: a source that lags does not undo it.
#[tokio::test]
async fn older_knowledge_undoes_nothing() {
    let world = World::new(&[]).await;
    let id = silver(&world).await;
    let stored = world.dev.store.load(&id).await.unwrap().unwrap();
    let mut cancelled = stored.subscription;
    cancelled.known.status = Status::Unsubscribed;
    world.dev.store.save(&cancelled, Some(&stored.etag)).await.unwrap();
    let said = Publisher::new(&world).post(&format!("/{id}/resync")).await;
    assert_eq!((&said.body["subscription"]["status"], &said.body["differences"]), (&json!("Unsubscribed"), &json!([])));
}

#[tokio::test]
async fn a_subscription_that_nobody_told_of_gets_its_record() {
    story(async |world| {
        let id = world.silver().await.id;
        let said = Publisher::new(world).post(&format!("/{id}/resync")).await;
        assert_eq!((&said.body["created"], &said.body["differences"]), (&json!(true), &json!([])), "{said:?}");
        world.settle().await;
        let record = world.record(&id).await.unwrap();
        assert_eq!((&record.known.status, record.duties.len()), (&Status::PendingFulfillmentStart, 0));
        assert_eq!(world.calls(&id, "activate").await, 0, "a record is no consent");
    })
    .await;
}

#[tokio::test]
async fn what_is_not_ours_or_nowhere_gets_no_record() {
    let world = World::new(&[("OFFERS", "another-offer")]).await;
    let id = world.silver().await.id;
    let publisher = Publisher::new(&world);
    publisher.post(&format!("/{id}/resync")).await.assert_refused(403, "foreign_offer");
    let said = publisher.post("/00000000-0000-4000-8000-000000000000/resync").await;
    said.assert_refused(404, "unknown_subscription");
    assert!(said.body["detail"].as_str().unwrap().contains("Microsoft"), "{said:?}");
    assert_eq!(world.records().await.len(), 0);
}

#[tokio::test]
async fn without_microsoft_nothing_is_recorded() {
    story(async |world| {
        let id = silver(world).await;
        let before = world.record(&id).await;
        spoil(world, json!({ "operation": "get-subscription", "answer": "503" })).await;
        Publisher::new(world).post(&format!("/{id}/resync")).await.assert_refused(503, "marketplace_unavailable");
        assert_eq!(world.record(&id).await, before);
    })
    .await;
}

/// Two snapshots cannot be put in order, so a lost race reads Microsoft again.
#[tokio::test]
async fn after_a_lost_race_microsoft_is_read_again() {
    story(async |world| {
        let id = silver(world).await;
        falsify(world, &id).await;
        let before = world.calls(&id, "get-subscription").await;
        world.dev.mishaps.plan(1, Mishap::LostRace);
        assert_eq!(Publisher::new(world).post(&format!("/{id}/resync")).await.status, 200);
        assert_eq!(world.calls(&id, "get-subscription").await, before + 2);
        assert_eq!(times(&world.record(&id).await.unwrap(), &Happening::Repaired), 1);
    })
    .await;
}
