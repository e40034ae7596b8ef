//! What a newer version of this program wrote: after going back to this one, everything that it does not know is kept,
//! through whatever happens to the subscription, and nobody works on it or waits for it.

use std::collections::BTreeSet;

use marketplace_fulfillment::duty::{DUTIES, DutyId, Kind, Queue, UnknownDuty, Wanted};
use marketplace_fulfillment::functions::reconcile;
use marketplace_fulfillment::functions::sweep;
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::opaque::Opaque;
use marketplace_fulfillment::store::memory::Memory;
use marketplace_fulfillment::store::record::{Row, decode, encode};
use marketplace_fulfillment::store::{PAGE_LIMIT, Store};
use marketplace_fulfillment::subscription::{
    Applied, Decision, Event, Notice, OperationId, Party, Refusal, Stage, Subscription, SubscriptionId,
};
use serde_json::{Value, json};
use time::Duration;

use super::fixtures::{Fixture, as_json, fixture, fixtures};
use super::{NOW, full, id};
use crate::record::form::beyond;
use crate::subscription::snapshot;
use crate::subscriptions::publisher::Publisher;
use crate::world::{Purchase, START, World};

/// The fixtures of form 1.
fn readable() -> Vec<Fixture> {
    fixtures("future").into_iter().filter(|fixture| fixture.json["record"]["v"] == 1).collect()
}

/// A row as JSON; the order of duties says nothing.
fn unordered(mut json: Value) -> Value {
    json["record"]["duties"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    json
}

/// Puts what is known of `known` into `fixture`, beside what is not.
fn overlay(fixture: &mut Value, known: &Value) {
    match (fixture, known) {
        (Value::Object(fixture), Value::Object(known)) => {
            for (name, value) in known {
                overlay(fixture.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (fixture, known) => *fixture = known.clone(),
    }
}

/// Puts the fixture's row in the place of a purchase's record, with what Microsoft says of the purchase.
async fn put(world: &World, purchase: &Purchase, fixture: Fixture) -> Value {
    let known = world.dev.app.marketplace.get_subscription(&purchase.id).await.unwrap();
    let record = Subscription::discovered(purchase.id.clone(), known, Actor::Marketplace, START);
    let mut json = fixture.json;
    overlay(&mut json["record"]["known"], &as_json(&encode(&record).unwrap())["record"]["known"]);
    let row = Row { record: json["record"].to_string(), ..fixture.row };
    world.rows().put(&purchase.id, row);
    json
}

fn stored(world: &World, id: &SubscriptionId) -> Value {
    as_json(&world.rows().row(id).unwrap())
}

#[test]
fn everything_is_written_again_as_it_was() {
    for Fixture { name, id, row, json } in readable() {
        let read = decode(&id, &row).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(unordered(as_json(&encode(&read).unwrap())), unordered(json), "{name}");
        let shown = format!("{read:?}");
        assert!(
            !shown.contains("verified") && !shown.contains("00-1"),
            "{name}: what is not known may be personal: {shown}"
        );
    }
}

/// Everything that can happen to a subscription, on the way through the app, one after the other.
#[tokio::test]
async fn nothing_is_lost_whatever_happens() {
    let world = World::in_memory(&[("RECONCILE", "repair")]).await;
    world.dev.simulator.pause_webhooks(true);
    let app = &world.dev.app;
    let operation = |number: u32| OperationId::parse(&format!("4c1f7c0b-1a34-4a59-b7f2-91a7a3f2c00{number}"));
    let examine = DutyId { kind: Kind::Examine, operation: operation(1) };
    let why = || "503".to_owned();
    let events = [
        Event::Claimed(examine.clone()),
        Event::Deferred { duty: examine, why: why(), after: None },
        Event::Retried { duty: Kind::Change.into(), by: Actor::Publisher },
        Event::Noticed(Notice { operation: operation(8), action: "Renew".to_owned() }),
        Event::Unread(Notice { operation: operation(9), action: "ChangePlan".to_owned() }),
        Event::Ordered(Wanted::Cancellation),
        Event::Repaired { why: why() },
    ];
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    world.settle().await;
    let before = put(&world, &purchase, fixture("future", "fields.json")).await;
    let unknown = beyond(&before);
    let parts: BTreeSet<_> = unknown.iter().map(|(path, _)| path.rsplit_once('.').unwrap().0).collect();
    let task = "record.duties[].task";
    let expected = ["", ".known", ".known.beneficiary", ".known.purchaser", ".known.term", ".duties[]", ".answered[]"];
    let expected = expected.map(|part| format!("record{part}")).into_iter();
    let tasks = ["examine", "acknowledge", "change", "change.from", "change.sent"].map(|part| format!("{task}.{part}"));
    let expected: BTreeSet<_> = expected.chain(tasks).chain(["history[]".to_owned()]).collect();
    assert_eq!(parts, expected.iter().map(String::as_str).collect(), "unknown fields in every part");
    let id = &purchase.id;
    for event in events {
        let before = stored(&world, id);
        app.record(id, event.clone(), Some("Ada")).await.unwrap();
        assert_ne!(stored(&world, id), before, "{event:?} was saved");
        assert_eq!(beyond(&stored(&world, id)), unknown, "{event:?}");
    }
    world.simulator("POST", &format!("/simulator/subscriptions/{id}/suspend"), &json!({})).await;
    app.learn(id, snapshot("Subscribed")).await.unwrap();
    assert_eq!(stored(&world, id)["status"], "Suspended");
    assert_eq!(beyond(&stored(&world, id)), unknown, "another status");
    world.simulator("POST", &format!("/simulator/subscriptions/{id}/reinstate"), &json!({})).await;
    world.simulator("POST", "/simulator/clock", &json!({ "advance": "PT1M" })).await;
    let report = reconcile::run(app, world.now()).await.unwrap();
    assert_eq!((report.differing, report.unread), (1, 0), "{report:?}");
    assert_eq!(beyond(&stored(&world, id)), unknown, "reconciliation");
    assert_eq!(Publisher::new(&world).post(&format!("/{id}/resync")).await.status, 200);
    assert_eq!(beyond(&stored(&world, id)), unknown, "resync");
}

/// A part that was replaced does not inherit what was said of the one before.
#[test]
fn what_was_said_of_another_value_goes_with_it() {
    let Fixture { id, row, .. } = fixture("future", "fields.json");
    let mut record = decode(&id, &row).unwrap();
    let mut said = record.known.clone();
    said.purchaser = Some(Party { email: Some("other@fabrikam.example".to_owned()), ..Party::default() });
    said.beneficiary = None;
    said.name = "Another name".to_owned();
    record.apply(Event::Read(Box::new(said)), NOW);
    let change = Event::Accepted { duty: Kind::Change.into(), operation: None, location: None };
    assert!(matches!(record.apply(change, NOW), Applied::Changed { .. }));
    let written = as_json(&encode(&record).unwrap())["record"].take();
    let known = &written["known"];
    assert_eq!(known["purchaser"], json!({ "email": "other@fabrikam.example" }), "another person");
    assert!(known.get("beneficiary").is_none(), "nobody any more: {known}");
    assert_eq!((&known["term"]["months"], &known["price"]["currency"]), (&json!(1), &json!("EUR")), "as it was");
    let change = &written["duties"][2]["task"];
    assert!(change["sent"].get("request").is_none(), "another request: {change}");
    assert_eq!((&change["from"]["price"], &change["ordered_by"]), (&json!("12.50"), &json!("crm")));
}

/// The duties between them that this version knows are discharged; the others are nobody's business here.
#[tokio::test]
async fn unknown_duties_stay_and_hold_up_nothing() {
    let world = World::in_memory(&[]).await;
    let purchase = world.silver().await;
    let mut unknown = beyond(&put(&world, &purchase, fixture("future", "duties.json")).await);
    world.settle().await;
    // The activation began a term: it is not the one of which this was said.
    unknown.retain(|(path, _)| path != "record.known.term.months");
    let (id, publisher) = (&purchase.id, Publisher::new(&world));
    let active = stored(&world, id);
    assert_eq!((&active["status"], world.calls(id, "activate").await), (&json!("Subscribed"), 1));
    let kinds = |record: &Value| -> Vec<String> {
        let duties = record["duties"].as_array().unwrap();
        duties.iter().map(|duty| duty["task"]["kind"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(&active["record"]), ["settle", "provision", "change", "acknowledge", "notify_once"]);
    assert_eq!(beyond(&active), unknown);
    assert_eq!(active["due"], "2026-11-20T09:00:02Z", "whoever knows the duty finds it when it is due");

    let shown = publisher.get(&format!("/{id}")).await.body;
    assert_eq!(shown["duties"], json!([]));
    let ids: Vec<_> =
        shown["unknownDuties"].as_array().unwrap().iter().map(|duty| duty["id"].as_str().unwrap()).collect();
    let operation = |number: u32| format!("4c1f7c0b-1a34-4a59-b7f2-91a7a3f2c00{number}");
    let (provision, acknowledge) = (format!("provision:{}", operation(5)), format!("acknowledge:{}", operation(6)));
    assert_eq!(ids, ["settle", &provision, "change", &acknowledge, "notify_once"]);
    assert_eq!(shown["unknownDuties"][0]["notBefore"], "2026-11-20T09:00:02Z");
    for duty in ids {
        publisher.post(&format!("/{id}/duties/{duty}/retry")).await.assert_refused(503, "record_newer");
        let end = publisher.call("POST", &format!("/{id}/duties/{duty}/end"), r#"{"reason":"no"}"#).await;
        end.assert_refused(503, "record_newer");
    }
    publisher.post(&format!("/{id}/duties/unheard_of/retry")).await.assert_refused(404, "unknown_duty");
    publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_refused(409, "busy");

    world.pass(Duration::days(4)).await;
    assert_eq!(stored(&world, id), active, "nobody claims, fails or drops what only a newer version knows");
    let mut bells = 0;
    for queue in Queue::ALL {
        bells += world.dev.account.count(queue.name()).await.unwrap();
    }
    assert_eq!(bells, 0, "no bell is rung for it, sweep after sweep");
}

/// A page full of records that are due only for a newer version would hide every other one, at every sweep.
#[tokio::test]
async fn what_only_a_newer_version_sees_due_takes_no_room_in_a_sweep() {
    let world = World::in_memory(&[]).await;
    let newer = fixture("future", "duties.json");
    let mut json = newer.json;
    json["record"]["duties"].as_array_mut().unwrap().retain(|duty| duty["task"]["kind"] != "activate");
    let row = Row { record: json["record"].to_string(), ..newer.row };
    for number in 0..PAGE_LIMIT + 5 {
        world.rows().put(&id(&format!("newer-{number:04}")), row.clone());
    }
    let ours = Subscription { id: id("ours"), ..full() };
    let now = START + Duration::hours(1);
    world.dev.store.save(&ours, None).await.unwrap();
    let due = world.dev.store.due(now).await.unwrap();
    assert_eq!(due.subscriptions.iter().map(|due| due.id.as_str()).collect::<Vec<_>>(), ["ours"]);
    sweep::run(&world.dev.app, now).await.unwrap();
    assert_eq!(world.dev.account.count(Queue::Activations.name()).await, Ok(1));
}

#[tokio::test]
async fn words_of_a_newer_version_are_shown_as_they_came() {
    let world = World::in_memory(&[]).await;
    let Fixture { id, row, .. } = fixture("future", "words.json");
    world.rows().put(&id, row);
    let shown = Publisher::new(&world).get(&format!("/{id}")).await.body;
    assert_eq!(shown["answered"][0]["verdict"], "deferred");
    let told: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|entry| (&entry["by"], &entry["what"])).collect();
    assert!(told.contains(&(&json!("copilot"), &json!("notified"))), "{told:?}");
}

/// A duty of a kind that this version knows, with content that it does not, is owed all the same: no second one is taken
/// on beside it.
#[test]
fn what_is_owed_unknown_is_not_owed_twice() {
    let owing = |kind: &str, operation: Option<&str>| {
        let mut owing = Subscription::discovered(id("owing"), snapshot("PendingFulfillmentStart"), Actor::Program, NOW);
        owing.unknown_duties.push(UnknownDuty {
            kind: kind.to_owned(),
            operation: operation.map(str::to_owned),
            since: NOW,
            not_before: NOW,
            failed_at: None,
            opaque: Opaque::new("{}".to_owned()),
        });
        owing
    };
    let mut activating = owing("activate", None);
    assert_eq!(activating.apply(Event::Confirmed(Actor::Buyer), NOW), Applied::Unchanged);
    assert_eq!(activating.stage(NOW), Stage::Activating);
    assert_eq!(owing("settle", None).stage(NOW), Stage::Unconfirmed);

    let notice =
        |operation| Event::Unread(Notice { operation: OperationId::parse(operation), action: "Renew".to_owned() });
    let mut examining = owing("examine", Some("op-1"));
    assert_eq!(examining.apply(notice("op-1"), NOW), Applied::Unchanged);
    assert!(matches!(examining.apply(notice("op-2"), NOW), Applied::Changed { .. }));

    let mut many = owing("settle", None);
    many.unknown_duties = vec![many.unknown_duties[0].clone(); DUTIES];
    for event in [Event::Confirmed(Actor::Buyer), notice("op-1")] {
        assert_eq!(many.apply(event, NOW), Applied::Refused(Refusal::TooMuchOwed));
    }
    assert_eq!(many.due(), None);
}

/// A record is not asked for its decision twice because the word for it is new.
#[test]
fn an_unknown_verdict_is_an_answer() {
    let Fixture { id, row, .. } = fixture("future", "words.json");
    let record = decode(&id, &row).unwrap();
    let answered = &record.answered[0];
    assert_eq!((&answered.decision, answered.decision.verdict()), (&Decision::Other("deferred".to_owned()), None));
    assert!(record.answer_to(&answered.operation).is_some());
}

/// A later version may keep a longer history: this one keeps the newest of it.
#[tokio::test]
async fn of_a_longer_history_the_newest_entries_stay() {
    let Fixture { id, row, json, .. } = fixture("future", "words.json");
    let one = json["history"][0].clone();
    let long: Vec<_> = (0..70)
        .map(|number| {
            let mut entry = one.clone();
            entry["to"] = number.to_string().into();
            entry
        })
        .collect();
    let mut record = decode(&id, &Row { history: Value::from(long).to_string(), ..row }).unwrap();
    assert_eq!((record.history.entries.len(), record.history.total()), (70, 82), "reading loses nothing");
    record.apply(Event::Repaired { why: "x".to_owned() }, NOW);
    let store = Store::Memory(Memory::default());
    store.save(&record, None).await.unwrap();
    let history = store.load(&id).await.unwrap().unwrap().subscription.history;
    assert_eq!(history.total(), 83);
    assert_eq!(history.entries.iter().rev().nth(1).unwrap().to.as_deref(), Some("69"));
}
