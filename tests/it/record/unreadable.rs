//! Records that cannot be read: each says why, none is touched, and none hides another.

use std::collections::BTreeMap;

use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::error::{Code, Fault};
use marketplace_fulfillment::functions::{reconcile, sweep};
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::store::record::{Row, decode, encode};
use marketplace_fulfillment::store::{PAGE_LIMIT, StoreError};
use marketplace_fulfillment::subscription::{Event, Subscription, SubscriptionId};
use serde_json::json;
use time::Duration;

use super::fixtures::fixture;
use super::{NOW, full, id};
use crate::log::Log;
use crate::subscription::snapshot;
use crate::subscriptions::publisher::Publisher;
use crate::world::{START, World};

/// The code of an error and its text.
fn error(row: &Row) -> (Code, String) {
    let fault = Fault::from(decode(&id("full"), row).unwrap_err());
    (fault.code, fault.private)
}

/// A sound row with a piece of a column replaced.
fn bent(from: &str, to: &str) -> Row {
    let row = encode(&full()).unwrap();
    assert!(row.record.contains(from) || row.history.contains(from), "{from} in {row:?}");
    Row { record: row.record.replace(from, to), history: row.history.replace(from, to), ..row }
}

#[test]
fn a_record_that_cannot_be_read_says_where_and_what_to_do() {
    let table = [
        (bent("\"plan_id\":\"silver\"", "\"plan_id\":7"), "record.known.plan_id"),
        (bent("\"read_at\"", "\"red_at\""), "record"),
        (bent("\"attempts\":1", "\"attempts\":-1"), "record.duties[0].attempts"),
        (bent("\"kind\":\"activate\"", "\"kind\":null"), "record.duties[0].task.kind"),
        (bent("\"duties\":[", "\"duties\":7,\"x\":["), "record.duties"),
        (bent("\"v\":1", "\"v\":0"), "record.v"),
        (bent("\"v\":1", "\"w\":1"), "record.v"),
        (bent("\"by\":\"buyer\"", "\"by\":7"), "history[1].by"),
        (Row { record: "secret".to_owned(), ..bent("\"v\"", "\"v\"") }, "record, line 1, column 1"),
        (Row { history: "{}".to_owned(), ..bent("\"v\"", "\"v\"") }, "history, line 1, column"),
    ];
    for (row, place) in table {
        let (code, why) = error(&row);
        assert_eq!(code, Code::RecordUnreadable, "{why}");
        assert!(why.contains(&format!("the record of full cannot be read at {place}")), "{place}: {why}");
        assert!(!why.contains("secret") && !why.contains("fabrikam"), "{why}");
    }
    let (code, why) = error(&fixture("future", "form-2.json").row);
    assert_eq!(
        (code, why.as_str()),
        (Code::RecordNewer, "the record of full has the form 2, and this version reads forms up to 1")
    );
    assert_eq!(error(&bent("\"v\":1", "\"v\":4294967297")).0, Code::RecordNewer);
}

/// Two sound records, and between them one that is broken and one of a form to come, all overdue.
fn four(world: &World) -> BTreeMap<&'static str, Row> {
    let sound = encode(&full()).unwrap();
    let rows = BTreeMap::from([
        ("a-sound", sound.clone()),
        ("b-broken", Row { record: "{".to_owned(), ..sound.clone() }),
        ("c-newer", Row { due: sound.due, ..fixture("future", "form-2.json").row }),
        ("d-sound", sound),
    ]);
    for (name, row) in &rows {
        world.rows().put(&id(name), row.clone());
    }
    rows
}

#[tokio::test]
async fn an_unreadable_record_hides_no_other_and_is_told_of() {
    let world = World::in_memory(&[("RECONCILE", "repair")]).await;
    let rows = four(&world);
    let (app, now) = (&world.dev.app, world.now() + Duration::hours(1));
    let log = Log::default();
    let capturing = log.capture();
    sweep::run(app, now).await.unwrap();
    let told = |name: &str| {
        let lines = log.ours();
        let left_aside = lines.iter().filter(|line| line["fields"]["message"] == "a record is left aside");
        left_aside.filter(|line| line["level"] == "ERROR" && line["fields"]["subscription_id"] == name).count()
    };
    assert_eq!((told("b-broken"), told("c-newer"), told("a-sound")), (1, 1, 0));
    drop(capturing);
    assert_eq!(world.dev.account.count(Queue::Activations.name()).await, Ok(2), "the others are rung for");

    let report = reconcile::run(app, world.now()).await.unwrap();
    assert_eq!(
        (report.broken.first, report.records),
        (vec![id("b-broken"), id("c-newer")], 2),
        "the walk goes on behind"
    );
    let shown = Publisher::new(&world).get("").await.body;
    let ids: Vec<_> =
        shown["subscriptions"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a-sound", "d-sound"]);
    let unreadable: Vec<_> = shown["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["code"].as_str().unwrap()))
        .collect();
    assert_eq!(unreadable, [("b-broken", "record_unreadable"), ("c-newer", "record_newer")]);
    let filtered = Publisher::new(&world).get("?status=Suspended").await.body;
    assert_eq!((&filtered["subscriptions"], &filtered["unreadable"]), (&json!([]), &shown["unreadable"]));
    for name in ["b-broken", "c-newer"] {
        assert_eq!(world.rows().row(&id(name)).as_ref(), Some(&rows[name]), "{name} is as it was");
    }
}

#[tokio::test]
async fn nobody_writes_over_what_cannot_be_read() {
    let world = World::in_memory(&[]).await;
    let rows = four(&world);
    let (app, publisher) = (&world.dev.app, Publisher::new(&world));
    for (name, status, code) in [("b-broken", 500, "record_unreadable"), ("c-newer", 503, "record_newer")] {
        let id = id(name);
        publisher.get(&format!("/{id}")).await.assert_refused(status, code);
        publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_refused(status, code);
        publisher.delete(&format!("/{id}")).await.assert_refused(status, code);
        for order in ["activate", "resync", "duties/activate/retry"] {
            publisher.post(&format!("/{id}/{order}")).await.assert_refused(status, code);
        }
        let code = |fault: Fault| fault.code.as_str();
        assert_eq!(code(app.record(&id, Event::Confirmed(Actor::Buyer), None).await.unwrap_err()), code_of(name));
        assert_eq!(code(app.learn(&id, snapshot("Subscribed")).await.unwrap_err()), code_of(name));
        assert_eq!(code(app.claim(&id, Queue::Activations).await.unwrap_err()), code_of(name));
        let new = Subscription::discovered(id.clone(), snapshot("Subscribed"), Actor::Marketplace, NOW);
        assert_eq!(world.dev.store.save(&new, None).await, Err(StoreError::Conflict));
        assert_eq!(world.rows().row(&id).as_ref(), Some(&rows[name]), "{name} is as it was");
    }
}

fn code_of(name: &str) -> &'static str {
    if name == "b-broken" { "record_unreadable" } else { "record_newer" }
}

/// Hundreds of them, before and between: each shown once, and what is behind them found.
#[tokio::test]
async fn a_page_full_of_unreadable_records_ends_no_list_and_no_sweep() {
    let world = World::in_memory(&[]).await;
    let sound = encode(&full()).unwrap();
    let broken = Row { record: "{".to_owned(), ..sound.clone() };
    let count = PAGE_LIMIT * 4 + 30;
    for number in 0..count {
        world.rows().put(&id(&format!("s-{number:04}")), if number % 3 == 2 { sound.clone() } else { broken.clone() });
    }
    for number in 0..=PAGE_LIMIT {
        world.rows().put(&id(&format!("a-{number:04}")), broken.clone());
    }
    let first = world.dev.store.page(None).await.unwrap();
    assert_eq!((first.subscriptions.len(), first.unreadable.len()), (0, PAGE_LIMIT));
    assert!(!first.is_empty(), "unreadable records are records");
    assert_eq!(first.next, Some(id("a-0099")));

    let due = world.dev.store.due(START + Duration::hours(1)).await.unwrap();
    assert_eq!((due.subscriptions.len(), due.unreadable.len()), (PAGE_LIMIT, PAGE_LIMIT), "as many as can be rung for");

    let (mut ids, mut next) = (Vec::new(), Some(String::new()));
    while let Some(path) = next {
        let page = Publisher::new(&world).get(&path).await.body;
        for list in ["subscriptions", "unreadable"] {
            ids.extend(page[list].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        }
        next = page["next"].as_str().map(str::to_owned);
    }
    ids.sort();
    let all = ids.len();
    ids.dedup();
    assert_eq!((ids.len(), all), (count + PAGE_LIMIT + 1, count + PAGE_LIMIT + 1), "every one, and none twice");
}

/// A store that holds only what cannot be read is not empty: what Microsoft lists is not adopted in silence.
#[tokio::test]
async fn unreadable_records_are_no_empty_store() {
    let world = World::in_memory(&[("RECONCILE", "repair")]).await;
    let sold: SubscriptionId = world.silver().await.id;
    world.rows().put(&sold, fixture("future", "form-2.json").row);
    let report = reconcile::run(&world.dev.app, world.now()).await.unwrap();
    assert!(!report.baseline && report.finished, "{report:?}");
    assert_eq!((report.created, report.unread, report.broken.count), (0, 1, 1), "{report:?}");
}
