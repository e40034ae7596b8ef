//! Deadlines are announced before they pass, and a report stays small whatever there is to announce.

use std::collections::BTreeSet;

use marketplace_fulfillment::deadline::{self, Wanted};
use marketplace_fulfillment::functions::reconcile::NAMED;
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::subscription::{Event, Snapshot, Subscription, SubscriptionId};
use serde_json::json;
use time::Duration;

use super::{active, deed, hourly};
use crate::log::Log;
use crate::subscription::snapshot;
use crate::world::{REPAIR, START, World};

#[tokio::test]
async fn deadlines_are_announced_a_week_before_they_pass() {
    let world = World::new(REPAIR).await;
    world.dev.simulator.pause_webhooks(true);
    let pending = world.silver().await;
    world.visitor().arrive(&pending.landing_url, "buyer").await;
    let suspended = active(&world).await;
    active(&world).await;
    deed(&world, &suspended.id, "suspend", json!({})).await;
    hourly(&world).await;
    world.pass(Duration::days(22)).await;
    assert_eq!(hourly(&world).await.deadlines.count, 0);
    world.pass(Duration::days(2)).await;
    let log = Log::default();
    let _capturing = log.capture();
    let report = hourly(&world).await;
    let near: BTreeSet<_> =
        report.deadlines.first.iter().map(|(id, near)| (id.clone(), near.wanted.as_str())).collect();
    let expected = [(pending.id.clone(), "activation"), (suspended.id.clone(), "payment")];
    assert_eq!(near, BTreeSet::from(expected), "{report:?}");
    assert!(report.deadlines.first.iter().all(|(_, near)| near.at > world.now()), "before they pass");
    let lines = log.ours();
    let told = lines.iter().filter(|line| line["level"] == "WARN" && !line["fields"]["wanted"].is_null());
    let told: BTreeSet<_> = told.map(|line| line["fields"]["subscription_id"].as_str().unwrap()).collect();
    assert_eq!(told, BTreeSet::from([pending.id.as_str(), suspended.id.as_str()]));
}

#[test]
fn a_deadline_is_near_for_its_last_week() {
    use Happening::StatusChanged;
    let id = SubscriptionId::parse("b8d6908b-3c77-4b0b-9a53-9e16a1b010a7").unwrap();
    let on_day = |record: &Subscription, day: i64| deadline::near(record, START + Duration::days(day));
    for (status, wanted) in [
        ("NotStarted", Some(Wanted::Activation)),
        ("PendingFulfillmentStart", Some(Wanted::Activation)),
        ("Subscribed", None),
        ("Suspended", Some(Wanted::Payment)),
        ("Unsubscribed", None),
        ("Hibernating", None),
    ] {
        let record = Subscription::discovered(id.clone(), snapshot(status), Actor::Marketplace, START);
        assert_eq!(on_day(&record, 22), None, "{status}");
        for day in [23, 29, 31] {
            let near = on_day(&record, day);
            assert_eq!(near.map(|near| near.wanted), wanted, "{status} on day {day}");
            assert!(near.is_none_or(|near| near.at == START + Duration::days(30)), "{status}: {near:?}");
        }
    }
    let bought = Some(START - Duration::days(10));
    let early = Snapshot { created: bought, ..snapshot("PendingFulfillmentStart") };
    let early = Subscription::discovered(id.clone(), early, Actor::Marketplace, START);
    assert!(on_day(&early, 12).is_none() && on_day(&early, 13).is_some(), "the purchase counts, not our record of it");

    let mut record = Subscription::discovered(id, snapshot("Subscribed"), Actor::Marketplace, START);
    for (day, status) in [(5, "Suspended"), (6, "Subscribed"), (10, "Suspended")] {
        record.apply(Event::Read(Box::new(snapshot(status))), START + Duration::days(day));
    }
    assert!(on_day(&record, 32).is_none() && on_day(&record, 33).is_some(), "the last suspension counts");
    record.history.entries.retain(|entry| entry.what != StatusChanged);
    assert!(on_day(&record, 23).is_some(), "older than all that is known");
}

#[tokio::test]
async fn a_report_names_the_first_of_many() {
    let world = World::new(REPAIR).await;
    world.dev.simulator.pause_webhooks(true);
    for number in 0..(NAMED + 20) {
        let id = SubscriptionId::parse(&format!("b8d6908b-1d2c-4e0f-8a4b-{number:012}")).unwrap();
        let record =
            Subscription::discovered(id, snapshot("Suspended"), Actor::Marketplace, START - Duration::days(29));
        world.dev.store.save(&record, None).await.unwrap();
    }
    let report = hourly(&world).await;
    assert_eq!((report.deadlines.count, report.deadlines.first.len()), (NAMED + 20, NAMED));
    assert_eq!((report.missing.count, report.missing.first.len()), (NAMED + 20, NAMED));
    assert!(report.finished);
}
