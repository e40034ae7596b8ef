//! An endpoint with moods, deaths in the middle, and records that had to be made anew.

use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::subscription::SubscriptionId;
use serde_json::json;
use time::Duration;

use super::{EVENTS, TOLD, active, assert_equal_to_us, assert_in_order, compare, deed, of, words};
use crate::receiver::{Receiver, Says, connected, says};
use crate::world::World;

/// What the endpoint says in its moods, drawn from the seed.
fn mood(random: &mut fastrand::Rng) -> Says {
    match random.u32(0..10) {
        0 => says(500),
        1 => says(503).with("retry-after", "20"),
        2 => says(302).with("location", "http://169.254.169.254/latest"),
        3 => says(404),
        4 => says(429),
        _ => says(204),
    }
}

#[tokio::test]
async fn an_endpoint_with_moods_hears_everything_in_order() {
    for seed in 0..4 {
        connected(TOLD, async |world, receiver| {
            let mut random = fastrand::Rng::with_seed(seed);
            receiver.answer_next(EVENTS, (0..200).map(|_| mood(&mut random)));
            let mut bought = Vec::new();
            for _ in 0..4 {
                bought.push(active(world).await);
            }
            for _ in 0..12 {
                let purchase = &bought[random.usize(0..bought.len())];
                let (what, body) = match random.u32(0..4) {
                    0 => ("change-quantity", json!({ "quantity": random.u32(1..99) })),
                    1 => ("change-plan", json!({ "planId": if random.bool() { "gold" } else { "silver" } })),
                    2 => ("renew", json!({})),
                    _ => ("suspend", json!({})),
                };
                // What cannot be, such as a change of what is suspended, is refused by the simulator.
                let path = format!("simulator/subscriptions/{}/{what}", purchase.id);
                let url = world.dev.simulator_url.join(&path).unwrap();
                world.http.post(url).json(&body).send().await.unwrap();
                if random.bool() {
                    world.settle().await;
                }
            }
            world.settle().await;
            assert_in_order(&world.records().await, &receiver.received());
            assert_equal_to_us(&world.records().await, &receiver.received());
        })
        .await;
    }
}

/// One mishap after each operation of store and bell in turn, from the first event to the last.
async fn at_every_operation(mishap: Mishap) {
    for after in 0..60 {
        let receiver = Receiver::start().await;
        let world = receiver.world(TOLD).await;
        let purchase = world.silver().await;
        world.visitor().arrive(&purchase.landing_url, "buyer").await;
        world.idle().await;
        world.dev.mishaps.plan(after, mishap);
        world.with_undertaker(world.settle()).await;
        deed_unless_dead(&world, &purchase.id).await;
        let struck = world.dev.mishaps.is_over();
        world.dev.mishaps.cancel();
        world.settle().await;
        assert_in_order(&world.records().await, &receiver.received());
        assert_equal_to_us(&world.records().await, &receiver.received());
        world.assert_silence().await;
        if !struck {
            assert!(after > 3, "telling takes more than {after} operations");
            return;
        }
    }
    panic!("telling takes more operations than there are");
}

async fn deed_unless_dead(world: &World, id: &SubscriptionId) {
    let path = format!("/simulator/subscriptions/{id}/unsubscribe");
    world.simulator("POST", &path, &json!({})).await;
    world.with_undertaker(world.settle()).await;
}

#[tokio::test]
async fn a_death_before_each_operation_loses_no_event() {
    at_every_operation(Mishap::DiesBefore).await;
}

#[tokio::test]
async fn a_death_after_each_operation_loses_no_event() {
    at_every_operation(Mishap::DiesAfter).await;
}

#[tokio::test]
async fn a_race_lost_at_each_operation_loses_no_event() {
    at_every_operation(Mishap::LostRace).await;
}

#[tokio::test]
async fn a_failure_at_each_operation_loses_no_event() {
    at_every_operation(Mishap::Refused).await;
}

/// Records are deleted and made anew: their numbers go on growing, so that the newest is still the newest.
#[tokio::test]
async fn a_record_that_was_made_anew_is_told_with_greater_numbers() {
    let receiver = Receiver::start().await;
    let settings = receiver.settings(&[TOLD[0], ("RECONCILE", "repair")]);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let world = World::in_memory(&settings).await;
    let (lost, kept) = (active(&world).await, active(&world).await);
    deed(&world, &lost, "change-quantity", json!({ "quantity": 8 })).await;
    world.pass(Duration::seconds(1)).await;
    let before = of(&receiver, &lost.id);
    world.rows().remove(&lost.id);
    world.dev.simulator.pause_webhooks(true);
    deed(&world, &lost, "suspend", json!({})).await;
    compare(&world).await;
    let after = of(&receiver, &lost.id).split_off(before.len());
    assert_eq!(words(&after), ["purchased", "suspended", "repaired"]);
    assert!(after[0].attribute("sequence") > before.last().unwrap().attribute("sequence"), "{after:?}");
    assert_eq!(words(&of(&receiver, &kept.id)), ["purchased", "confirmed", "activated"]);
    assert_equal_to_us(&world.records().await, &receiver.received());
}
