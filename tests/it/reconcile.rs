//! The hourly comparison with Microsoft's list. No webhook arrives in these stories: whatever happens at Microsoft is
//! unknown to us until a run finds it.

mod bent;
mod deadlines;
mod list;
mod passes;

use std::collections::BTreeSet;

use marketplace_fulfillment::app::App;
use marketplace_fulfillment::dev::simulator::Call;
use marketplace_fulfillment::duty::{Kind, Wanted};
use marketplace_fulfillment::functions::reconcile::{self, RUN_BUDGET, Report};
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::settings::{Reconciliation, Settings};
use marketplace_fulfillment::store::Kept;
use marketplace_fulfillment::subscription::{Event, Snapshot, Status, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::Duration;

use crate::log::Log;
use crate::subscription::snapshot;
use crate::world::{Purchase, REPAIR, START, World, story_with};

/// A whole run, with all the time that it may take.
async fn hourly(world: &World) -> Report {
    reconcile::run(&world.dev.app, world.now()).await.unwrap()
}

/// A run whose time is over as soon as it begins: it does one page.
async fn one_page(world: &World) -> Report {
    reconcile::run(&world.dev.app, world.now() - RUN_BUDGET).await.unwrap()
}

async fn deed(world: &World, id: &SubscriptionId, deed: &str, body: Value) {
    world.simulator("POST", &format!("/simulator/subscriptions/{id}/{deed}"), &body).await;
}

/// Something that the customer or Microsoft does, with what it needs.
type Deed = (&'static str, Value);

/// A purchase that is active at both ends.
async fn active(world: &World) -> Purchase {
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    world.settle().await;
    purchase
}

async fn bought(world: &World, number: usize) -> BTreeSet<SubscriptionId> {
    let mut ids = BTreeSet::new();
    for _ in 0..number {
        ids.insert(world.silver().await.id);
    }
    ids
}

async fn whats(world: &World, id: &SubscriptionId) -> Vec<Happening> {
    let record = world.record(id).await.unwrap();
    record.history.entries.iter().map(|entry| entry.what.clone()).collect()
}

fn reason(record: &Subscription) -> Option<&str> {
    record.history.entries.iter().rfind(|entry| entry.what == Happening::Repaired)?.why.as_deref()
}

async fn kept(world: &World) -> String {
    world.dev.store.kept(Kept::ReconcileCursor).await.unwrap().unwrap_or_default()
}

fn listings(world: &World) -> u32 {
    world.dev.simulator.calls(Call::ListSubscriptions)
}

#[tokio::test]
async fn every_kind_of_lost_webhook_is_healed_by_one_run_with_its_reason() {
    let table: [(&[Deed], &str); 6] = [
        (&[("suspend", json!({}))], "reconciliation: status Subscribed -> Suspended"),
        (&[("unsubscribe", json!({}))], "reconciliation: status Subscribed -> Unsubscribed"),
        (&[("change-plan", json!({ "planId": "gold" }))], "reconciliation: plan silver -> gold"),
        (&[("change-quantity", json!({ "quantity": 7 }))], "reconciliation: seats 5 -> 7"),
        (&[("renew", json!({}))], "reconciliation: term end 2026-12-19 -> 2027-01-19"),
        (
            &[("change-quantity", json!({ "quantity": 9 })), ("suspend", json!({}))],
            "reconciliation: status Subscribed -> Suspended, seats 5 -> 9",
        ),
    ];
    story_with(REPAIR, async |world| {
        world.faults(json!({ "webhooks": { "lost": 1.0 } })).await;
        let untouched = active(world).await;
        let mut subscriptions = Vec::new();
        for _ in &table {
            subscriptions.push(active(world).await.id);
        }
        for (id, (deeds, _)) in subscriptions.iter().zip(&table) {
            for (name, body) in *deeds {
                deed(world, id, name, body.clone()).await;
                // Microsoft waits ten seconds for an answer and then takes silence for consent.
                world.pass(Duration::seconds(15)).await;
            }
        }
        let before = world.calls(&untouched.id, "get-subscription").await;
        let log = Log::default();
        let _capturing = log.capture();
        let report = hourly(world).await;
        assert_eq!((report.repaired.count, report.differing, report.created), (6, 6, 0), "{report:?}");
        assert!(report.finished && !report.baseline && !report.observed, "{report:?}");
        for (id, (_, why)) in subscriptions.iter().zip(&table) {
            let record = world.record(id).await.unwrap();
            assert_eq!(reason(&record), Some(*why));
            assert!(report.repaired.first.contains(&(id.clone(), (*why).to_owned())), "{report:?}");
            let lines = log.ours();
            let told = lines.iter().filter(|line| line["fields"]["message"] == "repaired");
            let told: Vec<_> = told.filter(|line| line["fields"]["subscription_id"] == id.as_str()).collect();
            assert!(told.len() == 1 && told[0]["fields"]["why"] == *why, "{told:?}");
        }
        let lines = log.ours();
        let summaries: Vec<_> = lines.iter().filter(|line| line["fields"]["message"] == "reconciled").collect();
        assert_eq!(summaries.len(), 1, "{summaries:?}");
        assert_eq!(summaries[0]["fields"]["repaired"], 6);
        assert!(!log.text().contains('@'), "no personal data");
        let calls = world.calls(&untouched.id, "get-subscription").await - before;
        assert_eq!(calls, 0, "what the list shows as it is recorded is not asked for");
        let again = hourly(world).await;
        assert_eq!((again.repaired.count, again.differing, again.finished), (0, 0, true), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn a_reinstatement_nobody_told_of_is_found() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let purchase = active(world).await;
        deed(world, &purchase.id, "suspend", json!({})).await;
        hourly(world).await;
        deed(world, &purchase.id, "reinstate", json!({})).await;
        let report = hourly(world).await;
        assert_eq!(report.repaired.first[0].1, "reconciliation: status Suspended -> Subscribed");
    })
    .await;
}

#[tokio::test]
async fn purchases_that_never_arrived_get_their_records_and_wait_for_their_buyers() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        active(world).await;
        let missed = bought(world, 12).await;
        let order = json!({ "offerId": "contoso-offer-preview", "planId": "bronze", "autoActivate": true });
        let activated = world.purchase(order).await;
        let report = hourly(world).await;
        assert_eq!((report.created, report.repaired.count, report.baseline), (13, 0, false), "{report:?}");
        for id in missed.iter().chain([&activated.id]) {
            assert_eq!(whats(world, id).await, [Happening::Discovered, Happening::Repaired]);
            let record = world.record(id).await.unwrap();
            assert!(reason(&record).unwrap().starts_with("reconciliation: "), "{record:?}");
            assert_eq!(record.history.entries[0].by, Actor::Program);
            assert!(record.duties.is_empty() && record.confirmed_at.is_none(), "nobody has confirmed it");
        }
        assert_eq!(world.record(&activated.id).await.unwrap().known.status, Status::Subscribed);
        world.settle().await;
        for id in &missed {
            assert_eq!(world.calls(id, "activate").await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn the_first_run_on_an_empty_store_adopts_what_there_is_in_silence() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let all = bought(world, 9).await;
        let cancelled = all.first().unwrap();
        deed(world, cancelled, "unsubscribe", json!({})).await;
        let log = Log::default();
        let _capturing = log.capture();
        let report = hourly(world).await;
        assert!(report.baseline && report.finished, "{report:?}");
        assert_eq!((report.created, report.repaired.count, report.differing), (9, 0, 0), "{report:?}");
        for id in &all {
            assert_eq!(whats(world, id).await, [Happening::Discovered]);
        }
        let loud: Vec<_> =
            log.ours().into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect();
        assert!(loud.is_empty(), "{loud:?}");
        let late = world.silver().await;
        let second = hourly(world).await;
        assert!(!second.baseline && second.created == 1, "{second:?}");
        assert_eq!(whats(world, &late.id).await, [Happening::Discovered, Happening::Repaired]);
    })
    .await;
}

#[tokio::test]
async fn observe_reports_and_changes_nothing() {
    let world = World::new(&[("RECONCILE", "observe")]).await;
    world.dev.simulator.pause_webhooks(true);
    let purchase = active(&world).await;
    world.dev.store.keep(Kept::ReconcileCursor, "").await.unwrap();
    let unheard_of = world.silver().await;
    deed(&world, &purchase.id, "suspend", json!({})).await;
    let before = world.dev.store.load(&purchase.id).await.unwrap().unwrap();
    for _ in 0..2 {
        let log = Log::default();
        let _capturing = log.capture();
        let report = hourly(&world).await;
        assert!(report.observed && report.finished && !report.baseline, "{report:?}");
        assert_eq!((report.repaired.count, report.created), (1, 1), "{report:?}");
        assert_eq!(report.repaired.first[0].1, "reconciliation: status Subscribed -> Suspended");
        let lines = log.ours();
        let told = lines.iter().filter(|line| line["fields"]["message"].as_str().unwrap().contains("observe"));
        assert_eq!(told.count(), 2, "{lines:?}");
        assert!(!lines.iter().any(|line| line["fields"]["message"] == "history"), "{lines:?}");
    }
    let after = world.dev.store.load(&purchase.id).await.unwrap().unwrap();
    assert_eq!((before.etag, before.subscription), (after.etag, after.subscription));
    assert!(world.record(&unheard_of.id).await.is_none());
}

#[tokio::test]
async fn a_baseline_that_was_only_observed_is_still_to_be_adopted() {
    let world = World::new(&[("RECONCILE", "observe")]).await;
    world.dev.simulator.pause_webhooks(true);
    let all = bought(&world, 4).await;
    world.faults(json!({ "partitionSize": 1 })).await;
    let report = hourly(&world).await;
    assert!(report.baseline && report.finished && report.created == 4, "{report:?}");
    assert!(one_page(&world).await.baseline);
    // A buyer arrives, so that the store is not empty any more; then the operator turns the repairs on.
    let buyer = world.silver().await;
    world.confirmed(&buyer).await;
    let mut settings: Settings = (*world.dev.app.settings).clone();
    settings.reconciliation = Reconciliation::Repair;
    let app = App { settings: settings.into(), ..world.dev.app.clone() };
    let report = reconcile::run(&app, world.now()).await.unwrap();
    assert!(report.baseline && report.finished && report.listed == 5, "from the first page on: {report:?}");
    for id in &all {
        assert_eq!(whats(&world, id).await, [Happening::Discovered]);
    }
    assert!(!reconcile::run(&app, world.now()).await.unwrap().baseline);
}

#[tokio::test]
async fn foreign_offers_are_left_alone() {
    let world = World::new(&[("RECONCILE", "repair"), ("OFFERS", "another-offer")]).await;
    world.dev.simulator.pause_webhooks(true);
    let all = bought(&world, 5).await;
    let report = hourly(&world).await;
    assert_eq!((report.foreign, report.listed, report.created), (5, 5, 0), "{report:?}");
    assert!(world.records().await.is_empty());
    // A record of an offer that we do not serve any more is not looked at either.
    let id = all.first().unwrap();
    let record = Subscription::discovered(id.clone(), old(snapshot("Suspended")), Actor::Marketplace, START);
    world.dev.store.save(&record, None).await.unwrap();
    world.pass(Duration::days(40)).await;
    let report = hourly(&world).await;
    assert_eq!((report.records, report.deadlines.count, report.foreign), (0, 0, 5), "{report:?}");
    for id in &all {
        assert_eq!(world.calls(id, "get-subscription").await, 0);
    }
    assert_eq!(world.record(id).await.unwrap(), record);
}

fn old(snapshot: Snapshot) -> Snapshot {
    Snapshot { offer_id: "contoso-offer".to_owned(), ..snapshot }
}

#[tokio::test]
async fn a_difference_that_a_duty_awaits_ends_the_duty_and_is_no_repair() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let purchase = world.silver().await;
        world.faults(json!({ "activationLag": "PT10S" })).await;
        world.confirmed(&purchase).await;
        assert!(world.record(&purchase.id).await.unwrap().duty(Kind::Activate).is_some());
        world.dev.simulator.advance(Duration::minutes(1)).unwrap();
        let report = hourly(world).await;
        assert_eq!((report.differing, report.repaired.count), (1, 0), "{report:?}");
        let record = world.record(&purchase.id).await.unwrap();
        assert_eq!((&record.known.status, record.duties.len()), (&Status::Subscribed, 0), "{record:?}");
        assert_eq!(reason(&record), None);

        // A duty accounts for its own effect only: this suspension is nobody's order.
        let ordered = Event::Ordered(Wanted::Quantity(6));
        world.dev.app.record(&purchase.id, ordered, None).await.unwrap();
        deed(world, &purchase.id, "suspend", json!({})).await;
        let report = hourly(world).await;
        assert_eq!(report.repaired.first[0].1, "reconciliation: status Subscribed -> Suspended", "{report:?}");
        deed(world, &purchase.id, "reinstate", json!({})).await;
        hourly(world).await;
    })
    .await;
}

/// The host's own timer, and an administrator who does not want to wait for it.
#[tokio::test]
async fn the_timer_and_an_administrator_start_a_run() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let purchase = active(world).await;
        deed(world, &purchase.id, "suspend", json!({})).await;
        let answer = world.http.post(world.url("/admin/functions/reconcile")).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        world.idle().await;
        assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Suspended);
        deed(world, &purchase.id, "reinstate", json!({})).await;
        world.pass(Duration::hours(1)).await;
        assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed);
    })
    .await;
}

/// Half of the records are gone, and somebody asks for the repair at once.
#[tokio::test]
async fn half_of_the_records_deleted_are_healed_by_one_run_that_was_asked_for() {
    let world = World::in_memory(REPAIR).await;
    let mut bought = Vec::new();
    for _ in 0..8 {
        bought.push(active(&world).await.id);
    }
    for id in bought.iter().step_by(2) {
        world.rows().remove(id);
    }
    assert_eq!(world.records().await.len(), 4);
    let asked = world.http.post(world.url("/api/subscriptions/reconcile")).send().await.unwrap();
    assert_eq!(asked.status(), 202);
    world.settle().await;
    assert_eq!(world.records().await.len(), 8);
    for id in bought.iter().step_by(2) {
        let record = world.record(id).await.unwrap();
        assert_eq!(record.known.status, Status::Subscribed);
        assert!(reason(&record).is_some_and(|why| why.starts_with("reconciliation")), "{record:?}");
    }
}
