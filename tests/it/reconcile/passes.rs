//! A pass is cut off, and gone on with: by time, by Microsoft, by the store, by death.

use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::functions::reconcile::{self, AT_ONCE, UNANSWERED_LIMIT};
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::store::{Kept, PAGE_LIMIT};
use marketplace_fulfillment::subscription::{Status, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;

use super::{active, bought, deed, hourly, kept, listings, one_page, whats};
use crate::log::Log;
use crate::subscription::snapshot;
use crate::world::{REPAIR, START, World, story_with};

/// A baseline that is cut off stays one, wherever it was cut and however often.
#[tokio::test]
async fn an_interrupted_baseline_goes_on_as_a_baseline() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let all = bought(world, 20).await;
        world.faults(json!({ "partitionSize": 3 })).await;
        let (mut runs, mut created) = (0, 0);
        loop {
            let report = one_page(world).await;
            assert!(report.baseline && report.pages <= 1, "{report:?}");
            created += report.created;
            runs += 1;
            if report.finished {
                break;
            }
            assert_ne!(kept(world).await, "");
        }
        assert!(runs > 5, "{runs} runs");
        assert_eq!(created, 20);
        assert_eq!(kept(world).await, "");
        for id in &all {
            assert_eq!(whats(world, id).await, [Happening::Discovered]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_that_fails_is_where_the_next_run_goes_on() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let first = active(world).await;
        let all = bought(world, 20).await;
        world.faults(json!({ "partitionSize": 3 })).await;
        assert_eq!(one_page(world).await.pages, 1);
        assert_eq!(one_page(world).await.pages, 1);
        let place = kept(world).await;
        assert!(place.contains("continuationToken"), "{place}");
        let rules = json!([{ "operation": "list-subscriptions", "times": 1, "answer": "503" }]);
        world.faults(json!({ "partitionSize": 3, "rules": rules })).await;
        let log = Log::default();
        let _capturing = log.capture();
        let fault = reconcile::run(&world.dev.app, world.now()).await.unwrap_err();
        assert_eq!(fault.code, Code::MarketplaceUnavailable);
        assert_eq!(kept(world).await, place, "the cursor is kept");
        let lines = log.ours();
        let summary = lines.iter().find(|line| line["fields"]["message"] == "reconciled").expect("a summary");
        assert_eq!(summary["fields"]["finished"], false);
        assert!(summary["fields"]["fault"].as_str().unwrap().starts_with("marketplace_unavailable"), "{summary}");

        let before = listings(world);
        let report = hourly(world).await;
        assert!(report.finished && report.pages > 3, "{report:?}");
        let whole = {
            let pages = listings(world) - before;
            hourly(world).await;
            (pages, listings(world) - before - pages)
        };
        assert_eq!(whole.0 + 2, whole.1, "two pages were not read again");
        for id in all.iter().chain([&first.id]) {
            assert!(world.record(id).await.is_some(), "{id} was left out");
        }
    })
    .await;
}

/// Where the time ends in the middle of a page, the page is gone through again: what is done is then alike.
#[tokio::test]
async fn a_run_out_of_time_stops_in_the_middle_of_a_page() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let all = bought(world, 30).await;
        world.faults(json!({ "partitionSize": 100 })).await;
        let report = one_page(world).await;
        assert_eq!((report.pages, report.created, report.finished), (1, AT_ONCE, false), "{report:?}");
        let rest = hourly(world).await;
        assert_eq!((rest.created, rest.finished, rest.baseline), (all.len() - AT_ONCE, true, true), "{rest:?}");
    })
    .await;
}

#[tokio::test]
async fn a_cursor_that_microsoft_has_forgotten_is_dropped_and_the_baseline_is_not() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        bought(world, 20).await;
        world.faults(json!({ "partitionSize": 3 })).await;
        one_page(world).await;
        let place = kept(world).await.replace("continuationToken=", "continuationToken=gone");
        world.dev.store.keep(Kept::ReconcileCursor, &place).await.unwrap();
        let fault = reconcile::run(&world.dev.app, world.now()).await.unwrap_err();
        assert_eq!(fault.code, Code::MarketplaceRefused);
        let report = hourly(world).await;
        assert!(report.finished && report.baseline, "{report:?}");
        assert_eq!(world.records().await.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn a_pass_that_is_too_old_or_unreadable_begins_anew() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        let first = active(world).await;
        bought(world, 20).await;
        world.faults(json!({ "partitionSize": 3 })).await;
        for text in [
            "not JSON",
            "{}",
            r#"{"began":"2026-11-20T09:00:00Z","baseline":true,"observed":false,"place":{"list":"x"}}"#,
        ] {
            world.dev.store.keep(Kept::ReconcileCursor, text).await.unwrap();
            let report = hourly(world).await;
            assert!(report.finished && !report.baseline && report.listed == 21, "{text}: {report:?}");
        }
        for (hours, listed) in [(23, 21 - one_page(world).await.listed), (24, 21)] {
            let mut place: Value = serde_json::from_str(&kept(world).await).unwrap();
            place["began"] = (world.now() - Duration::hours(hours)).format(&Rfc3339).unwrap().into();
            world.dev.store.keep(Kept::ReconcileCursor, &place.to_string()).await.unwrap();
            assert_eq!(hourly(world).await.listed, listed, "{hours} hours old");
            one_page(world).await;
        }
        hourly(world).await;
        assert!(world.record(&first.id).await.is_some());
    })
    .await;
}

/// The second half is gone on with as the first is: its place is a record.
#[tokio::test]
async fn our_own_records_are_gone_through_page_by_page() {
    let world = World::new(REPAIR).await;
    world.dev.simulator.pause_webhooks(true);
    for number in 0..(2 * PAGE_LIMIT + 5) {
        let id = SubscriptionId::parse(&format!("b8d6908b-1d2c-4e0f-8a4b-{number:012}")).unwrap();
        let record = Subscription::discovered(id, snapshot("PendingFulfillmentStart"), Actor::Marketplace, START);
        world.dev.store.save(&record, None).await.unwrap();
    }
    let counts = [one_page(&world).await, one_page(&world).await, one_page(&world).await, one_page(&world).await];
    let counts = counts.map(|report| (report.pages, report.records, report.finished));
    assert_eq!(counts, [(1, 0, false), (0, 100, false), (0, 100, false), (0, 5, true)]);
}

#[tokio::test]
async fn a_marketplace_that_does_not_answer_ends_the_run_and_one_bad_subscription_does_not() {
    story_with(REPAIR, async |world| {
        world.dev.simulator.pause_webhooks(true);
        active(world).await;
        bought(world, 6).await;
        let rule =
            |times: usize| json!({ "rules": [{ "operation": "get-subscription", "times": times, "answer": "503" }] });
        world.faults(rule(UNANSWERED_LIMIT - 1)).await;
        let report = hourly(world).await;
        assert_eq!((report.unread, report.finished), (UNANSWERED_LIMIT - 1, true), "{report:?}");
        assert_eq!(hourly(world).await.created, UNANSWERED_LIMIT - 1, "the next pass tries again");
        bought(world, 20).await;
        world.faults(rule(1_000)).await;
        let fault = reconcile::run(&world.dev.app, world.now()).await.unwrap_err();
        assert_eq!(fault.code, Code::MarketplaceUnavailable);
        assert_ne!(kept(world).await, "", "the next run goes on from here");
        world.faults(json!({})).await;
        assert_eq!(hourly(world).await.created, 20);
    })
    .await;
}

/// Whatever befalls any operation of the store, later runs bring the world to rest, and no reason is told twice.
#[tokio::test]
async fn a_mishap_at_each_operation() {
    const OPERATIONS: usize = 60;
    let mishaps = [Mishap::LostRace, Mishap::Refused, Mishap::Unanswered, Mishap::DiesBefore, Mishap::DiesAfter];
    for mishap in mishaps {
        let mut struck_all = false;
        for after in 0..OPERATIONS {
            let world = World::new(REPAIR).await;
            world.dev.simulator.pause_webhooks(true);
            let purchase = active(&world).await;
            deed(&world, &purchase.id, "suspend", json!({})).await;
            let missed = world.silver().await;
            world.dev.mishaps.plan(after, mishap);
            tokio::select! {
                _ = reconcile::run(&world.dev.app, world.now()) => {}
                () = world.dev.mishaps.death() => {}
            }
            let struck = world.dev.mishaps.is_over();
            world.dev.mishaps.cancel();
            if mishap == Mishap::LostRace {
                let record = world.record(&purchase.id).await.unwrap();
                assert_eq!(record.known.status, Status::Suspended, "a lost race is run again at once, after {after}");
            }
            assert!(hourly(&world).await.finished, "{mishap:?} after {after}");
            for id in [&purchase.id, &missed.id] {
                let told = whats(&world, id).await.into_iter().filter(|what| *what == Happening::Repaired).count();
                assert_eq!(told, 1, "{mishap:?} after {after}");
            }
            world.assert_silence().await;
            if !struck {
                struck_all = after > 5;
                break;
            }
        }
        assert!(struck_all, "{mishap:?}: a run has some operations, and fewer than {OPERATIONS}");
    }
}
