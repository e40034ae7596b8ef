//! The discharge protocol under everything that can befall it: claims, lost races, failures and deaths at every step.

use marketplace_fulfillment::app::{Attempt, Otherwise};
use marketplace_fulfillment::bell::Doorbell;
use marketplace_fulfillment::duty::{Kind, LEASE, Queue};
use marketplace_fulfillment::functions;
use marketplace_fulfillment::history::Happening;
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::subscription::Status;
use serde_json::json;
use time::Duration;

use crate::world::{Purchase, World, story};

/// More operations than a purchase takes; the tables below say when a mishap was planned past the last one.
const OPERATIONS: usize = 60;

/// A buyer confirms, looks again, and confirms again if the page asks for it, as people do when a page fails.
async fn confirm_stubbornly(world: &World, purchase: &Purchase) {
    let buyer = world.visitor();
    for _ in 0..3 {
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        if page.status == 200 {
            if page.input("form_token").is_none() {
                return;
            }
            buyer.confirm(&page).await;
        }
        // Nobody is as fast as this loop: without a breath, all three looks meet the same handler, which is being killed.
        world.idle().await;
    }
}

/// Runs a purchase with one mishap after each number of operations in turn, and hands every world to `judge`.
async fn at_every_operation(mishap: Mishap, judge: impl AsyncFn(&World, &Purchase)) {
    for after in 0..OPERATIONS {
        let world = World::new(&[]).await;
        let purchase = world.silver().await;
        world.dev.mishaps.plan(after, mishap);
        world
            .with_undertaker(async {
                confirm_stubbornly(&world, &purchase).await;
                world.settle().await;
            })
            .await;
        let struck = world.dev.mishaps.is_over();
        world.dev.mishaps.cancel();
        judge(&world, &purchase).await;
        world.assert_silence().await;
        if !struck {
            assert!(after > 8, "a purchase takes more than {after} operations");
            return;
        }
    }
    panic!("a purchase takes more than {OPERATIONS} operations");
}

async fn active_once(world: &World, purchase: &Purchase) {
    let record = world.record(&purchase.id).await.expect("a record");
    assert_eq!(record.known.status, Status::Subscribed, "{record:?}");
    assert_eq!(world.records().await.len(), 1);
    assert_eq!(world.calls(&purchase.id, "activate").await, 1, "{record:?}");
}

#[tokio::test]
async fn a_race_lost_at_each_operation() {
    at_every_operation(Mishap::LostRace, active_once).await;
}

#[tokio::test]
async fn a_failure_at_each_operation() {
    at_every_operation(Mishap::Refused, active_once).await;
}

#[tokio::test]
async fn an_answer_lost_at_each_operation() {
    at_every_operation(Mishap::Unanswered, active_once).await;
}

#[tokio::test]
async fn a_panic_at_each_operation() {
    at_every_operation(Mishap::Panics, active_once).await;
}

/// Whoever died may have died after Microsoft received the activation and before that was saved: then it is asked for
/// once more, which changes nothing at Microsoft.
#[tokio::test]
async fn a_death_before_each_operation() {
    at_every_operation(Mishap::DiesBefore, active_at_most_twice).await;
}

#[tokio::test]
async fn a_death_after_each_operation() {
    at_every_operation(Mishap::DiesAfter, active_at_most_twice).await;
}

async fn active_at_most_twice(world: &World, purchase: &Purchase) {
    let record = world.record(&purchase.id).await.expect("a record");
    assert_eq!(record.known.status, Status::Subscribed, "{record:?}");
    assert_eq!(world.records().await.len(), 1);
    let calls = world.calls(&purchase.id, "activate").await;
    assert!((1..=2).contains(&calls), "{calls} activations: {record:?}");
}

#[tokio::test]
async fn of_two_claimants_one_works() {
    // Which operation is the fifth is certain in memory alone: real storage leaves room for another one between two.
    let world = World::in_memory(&[]).await;
    let purchase = world.silver().await;
    world.faults(json!({ "activationLag": "PT10M" })).await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
    // The instance that took the confirmation dies before it can claim, so that the duty lies open. Nobody follows to the
    // page behind the form, whose look at the record could be the fifth operation as well.
    world.dev.mishaps.plan(5, Mishap::Refused);
    buyer.confirm_with(&page, &[]).await;
    world.idle().await;
    world.dev.mishaps.cancel();

    let doorbell = Doorbell { queue: Queue::Activations, subscription: purchase.id.clone() };
    let app = &world.dev.app;
    let claims = tokio::join!(app.claim(&purchase.id, Queue::Activations), app.claim(&purchase.id, Queue::Activations));
    let claims = [claims.0.unwrap(), claims.1.unwrap()];
    assert_eq!(claims.iter().flatten().count(), 1, "one claim");
    // Both had loaded the record before either saved its claim: the slower one stops.
    let other = world.silver().await;
    let page = buyer.arrive(&other.landing_url, "buyer").await;
    world.dev.mishaps.plan(5, Mishap::Refused);
    buyer.confirm_with(&page, &[]).await;
    world.idle().await;
    world.dev.mishaps.cancel();
    assert!(world.record(&other.id).await.unwrap().duty(Kind::Activate).unwrap().is_due(world.now()));
    world.dev.mishaps.plan(1, Mishap::LostRace);
    let claim = app.claim(&other.id, Queue::Activations).await.unwrap();
    assert!(claim.is_some(), "somebody was faster, with something else: the duty is still due");
    functions::discharge(app, &doorbell).await.unwrap();
    assert_eq!(world.calls(&purchase.id, "activate").await, 0, "leased: the second bell finds nothing due");
    // The claimant never comes back; the lease ends, and a bell finds the duty, long before the sweep would.
    world.pass(Duration::minutes(4)).await;
    world.simulator("POST", "/simulator/clock", &json!({ "advance": "PT10M" })).await;
    assert_eq!(world.calls(&purchase.id, "activate").await, 1);
    world.assert_silence().await;
}

#[tokio::test]
async fn whoever_lost_the_claim_records_nothing_of_its_attempt() {
    story(async |world| {
        let purchase = world.silver().await;
        world.faults(json!({ "rules": [{ "operation": "activate", "times": 1, "answer": "503" }] })).await;
        world.confirmed(&purchase).await;
        // Nobody else comes: the bell is lost.
        world.dev.account.clear("activations").await.unwrap();
        let app = &world.dev.app;
        let mut claims = Vec::new();
        for _ in 0..2 {
            world.advance(LEASE + Duration::SECOND);
            claims.push(app.claim(&purchase.id, Queue::Activations).await.unwrap().expect("due, or its lease is over"));
        }
        for (claim, name) in claims.into_iter().zip(["first", "second"]).rev() {
            let otherwise = Otherwise::Wait { why: name.to_owned(), after: None };
            app.settle(claim, Attempt::in_vain(otherwise)).await.unwrap();
        }
        let record = world.record(&purchase.id).await.unwrap();
        let duty = record.duty(Kind::Activate).unwrap();
        assert_eq!((duty.last_error.as_deref(), duty.attempts), (Some("second"), 3), "{duty:?}");
    })
    .await;
}

/// Two snapshots cannot be put in order: whoever lost a race asks Microsoft once more.
#[tokio::test]
async fn after_a_lost_race_microsoft_is_read_again() {
    // Confirming saves once; then the claim loads and saves, and the attempt saves what it found out.
    const SAVES_WHAT_IT_FOUND: usize = 6;
    story(async |world| {
        for (mishap, reads) in [(None, 1), (Some(Mishap::LostRace), 2)] {
            let purchase = world.silver().await;
            world.faults(json!({ "activationLag": "PT0S" })).await;
            let buyer = world.visitor();
            let page = buyer.arrive(&purchase.landing_url, "buyer").await;
            if let Some(mishap) = mishap {
                world.dev.mishaps.plan(SAVES_WHAT_IT_FOUND, mishap);
            }
            buyer.confirm_with(&page, &[]).await;
            world.idle().await;
            assert!(world.dev.mishaps.is_over());
            assert_eq!(world.calls(&purchase.id, "get-subscription").await, reads, "{mishap:?}");
            assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed, "{mishap:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_slow_claimant_does_not_undo_what_a_faster_one_learnt() {
    story(async |world| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        // A second confirmation's worth of duty cannot exist; take the record back to the moment of the claim instead.
        let app = &world.dev.app;
        let stored = app.store.load(&purchase.id).await.unwrap().unwrap();
        world.settle().await;
        let stale = app.store.save(&stored.subscription, Some(&stored.etag)).await;
        assert!(stale.is_err(), "a save with an old version is refused");
        let record = world.record(&purchase.id).await.unwrap();
        assert_eq!(record.known.status, Status::Subscribed);
        assert!(!record.history.entries.iter().any(|entry| entry.what == Happening::OlderKnowledge), "{record:?}");
    })
    .await;
}

#[tokio::test]
async fn a_lost_bell_is_found_by_the_sweep() {
    story(async |world| {
        let purchase = world.silver().await;
        world.faults(json!({ "rules": [{ "operation": "activate", "times": 1, "answer": "503" }] })).await;
        world.confirmed(&purchase).await;
        world.dev.account.clear("activations").await.unwrap();
        assert_ne!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed);
        let swept = world.now() + Duration::minutes(5);
        world.settle().await;
        assert!(world.now() >= swept, "nothing else rings");
        assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed);
    })
    .await;
}
