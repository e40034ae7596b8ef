//! Who may use what: the look-up for the publisher's app, its index, and an operator's word for a time.

use marketplace_fulfillment::functions::reconcile;
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::outbox::News;
use marketplace_fulfillment::person::Holder;
use marketplace_fulfillment::store::PAGE_LIMIT;
use marketplace_fulfillment::store::record::{Row, encode};
use marketplace_fulfillment::subscription::{Event, Party, Snapshot, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;

use super::publisher::Publisher;
use super::{active, deed, silver, times, told};
use crate::log::Log;
use crate::subscription::snapshot;
use crate::world::{START, World, story};

const FABRIKAM: &str = "5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911";
const NORTHWIND: &str = "a7d3e914-26fb-4d7c-8b39-6e15c8f2d022";
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const PIA: &str = "00000000-0000-0000-0003-4001c7d2e5f6";

async fn look_up(world: &World, query: &str) -> Value {
    let said = Publisher::new(world).get(&format!("/entitlements?{query}")).await;
    assert_eq!(said.status, 200, "{query}: {said:?}");
    said.body
}

/// Whether they may use anything, and what, in the order of the answer.
async fn found(world: &World, query: &str) -> (bool, Vec<String>) {
    let said = look_up(world, query).await;
    let ids = said["entitlements"].as_array().unwrap().iter();
    (said["entitled"].as_bool().unwrap(), ids.map(|held| held["subscriptionId"].as_str().unwrap().to_owned()).collect())
}

fn decision(entitled: bool, until: time::OffsetDateTime) -> Value {
    json!({ "entitled": entitled, "until": until.format(&Rfc3339).unwrap(), "reason": "Suspended by mistake." })
}

#[tokio::test]
async fn an_app_asks_at_sign_in_what_its_visitor_may_use() {
    story(async |world| {
        let nobody = json!({ "entitled": false, "entitlements": [] });
        assert_eq!(look_up(world, &format!("tenantId={FABRIKAM}")).await, nobody);
        let id = silver(world).await;
        let bronze = json!({ "offerId": "contoso-offer-preview", "planId": "bronze" });
        let preview = active(world, bronze).await.id;
        let personal = json!({
            "offerId": "contoso-offer", "planId": "bronze", "beneficiary": "personal", "purchaser": "stranger",
        });
        let personal = world.purchase(personal).await;
        world.visitor().arrive(&personal.landing_url, "personal").await;

        let said = look_up(world, &format!("tenantId={FABRIKAM}&objectId=c1a4d7e2-93b5-4f68-8f1d-70d2b6a9e301")).await;
        assert_eq!(said["entitled"], true);
        let held = said["entitlements"].as_array().unwrap().iter().find(|held| held["subscriptionId"] == id.as_str());
        let expected = json!({
            "subscriptionId": id.as_str(), "offerId": "contoso-offer", "planId": "silver", "quantity": 5,
            "status": "Subscribed", "entitled": true, "why": "active", "until": "2026-12-20T00:00:00Z", "renews": true,
            "override": null,
        });
        assert_eq!(held, Some(&expected));

        let mut both = vec![id.to_string(), preview.to_string()];
        both.sort();
        for query in [
            format!("tenantId={FABRIKAM}"),
            format!("tenantId={}", FABRIKAM.to_uppercase()),
            format!("tenantId={FABRIKAM}&offerId=Contoso-Offer"),
            format!("tenantId={FABRIKAM}&offerId=contoso-offer-preview&code=the-hosts"),
        ] {
            assert_eq!(found(world, &query).await, (true, both.clone()), "{query}");
        }
        for query in [format!("objectId={PIA}"), format!("tenantId={PERSONAL}&objectId={PIA}")] {
            assert_eq!(found(world, &query).await, (false, vec![personal.id.to_string()]), "not confirmed: {query}");
        }
        for query in [
            format!("tenantId={FABRIKAM}&offerId=another"),
            // Who pays for it and does not use it.
            format!("tenantId={NORTHWIND}"),
            format!("tenantId={PERSONAL}&objectId=00000000-0000-0000-0003-4001c7d2e5f7"),
        ] {
            assert_eq!(found(world, &query).await, (false, vec![]), "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_look_up_names_somebody() {
    story(async |world| {
        let table = [
            ("", "names nobody"),
            ("offerId=contoso-offer", "names nobody"),
            ("tenantId=fabrikam.example", "The parameter tenantId is not a GUID."),
            ("tenantId=", "The parameter tenantId is not a GUID."),
            ("objectId=1", "The parameter objectId is not a GUID."),
            ("objectId=c1a4d7e2-93b5-4f68-8f1d-70d2b6a9e301", "name the organisation by tenantId"),
            ("tenantId=9188040D-6c67-4c5b-b112-36a304b66dad", "name the person by objectId as well"),
            ("tenantId=5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911&offerId=", "The parameter offerId is empty"),
        ];
        for (query, detail) in table {
            let said = Publisher::new(world).get(&format!("/entitlements?{query}")).await;
            said.assert_refused(400, "bad_request");
            assert!(said.body["detail"].as_str().unwrap().contains(detail), "{query}: {said:?}");
        }
        Publisher::new(world).call("POST", "/entitlements", "{}").await.assert_refused(405, "wrong_method");
    })
    .await;
}

#[tokio::test]
async fn whoever_has_the_answer_is_told_that_it_stands() {
    story(async |world| {
        let id = silver(world).await;
        let path = format!("/entitlements?tenantId={FABRIKAM}");
        let first = Publisher::new(world).get(&path).await;
        let etag = first.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        for has in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = Publisher::having(world, &has).get(&path).await;
            assert_eq!((again.status, &again.body), (304, &Value::Null), "{has}");
            assert_eq!(again.header("etag"), Some(etag.as_str()), "{has}");
        }
        for has in ["\"other\"", "", "*x"] {
            assert_eq!(Publisher::having(world, has).get(&path).await.status, 200, "{has}");
        }
        deed(world, &id, "suspend", json!({})).await;
        world.settle().await;
        let changed = Publisher::having(world, &etag).get(&path).await;
        assert_eq!((changed.status, &changed.body["entitled"]), (200, &json!(false)));
        assert_ne!(changed.header("etag"), Some(etag.as_str()));
        deed(world, &id, "reinstate", json!({})).await;
        world.settle().await;
        assert_eq!(Publisher::having(world, &etag).get(&path).await.status, 304, "it is as it was");
    })
    .await;
}

#[tokio::test]
async fn the_status_says_why() {
    story(async |world| {
        let pending = world.silver().await;
        world.visitor().arrive(&pending.landing_url, "buyer").await;
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        let why = async |id: &SubscriptionId| {
            let said = publisher.get(&format!("/{id}/entitlement")).await.body;
            let record = publisher.get(&format!("/{id}")).await.body;
            for name in ["entitled", "until", "override"] {
                assert_eq!(record["entitlement"][name], said[name], "{name}");
            }
            (said["entitled"].as_bool().unwrap(), said["why"].as_str().unwrap().to_owned(), said["until"].clone())
        };
        assert_eq!(why(&pending.id).await, (false, "pending".to_owned(), Value::Null));
        assert_eq!(why(&id).await, (true, "active".to_owned(), json!("2026-12-20T00:00:00Z")));
        deed(world, &id, "suspend", json!({})).await;
        world.settle().await;
        assert_eq!(why(&id).await, (false, "suspended".to_owned(), Value::Null));
        assert!(!found(world, &format!("tenantId={FABRIKAM}")).await.0);
        deed(world, &id, "unsubscribe", json!({})).await;
        world.settle().await;
        assert_eq!(why(&id).await, (false, "cancelled".to_owned(), Value::Null));
        publisher.get("/nobody/entitlement").await.assert_refused(404, "unknown_subscription");
    })
    .await;
}

#[tokio::test]
async fn a_customer_who_was_suspended_by_mistake_goes_on_for_a_time() {
    story(async |world| {
        let id = silver(world).await;
        deed(world, &id, "suspend", json!({})).await;
        world.settle().await;
        let (tenant, path) = (format!("tenantId={FABRIKAM}"), format!("/{id}/entitlement"));
        let until = world.now() + Duration::days(3);
        let log = Log::default();
        let captured = log.capture();
        let ada = Publisher::acting_for(world, "Ada from support").at_own_handler().await;
        let said = ada.call("PUT", &path, &decision(true, until).to_string()).await;
        drop(captured);
        assert_eq!(
            (said.status, &said.body["why"], &said.body["status"]),
            (200, &json!("override"), &json!("Suspended"))
        );
        let shown = said.body["override"].clone();
        assert_eq!((&shown["reason"], &shown["person"]), (&json!("Suspended by mistake."), &json!("Ada from support")));
        assert_eq!(said.body["until"], shown["until"]);
        assert!(log.text().contains("Suspended by mistake.") && !log.text().contains("Ada"), "{}", log.text());
        assert_eq!(look_up(world, &tenant).await["entitlements"][0], said.body);
        assert!(found(world, &tenant).await.0);

        // Again: as it is. A webhook in between does not undo it.
        assert_eq!(ada.call("PUT", &path, &decision(true, until).to_string()).await.body["override"], shown);
        let record = world.record(&id).await.unwrap();
        assert_eq!(times(&record, &Happening::Overridden), 1);
        let entry = told(&record, &Happening::Overridden);
        assert_eq!(
            (entry.person.as_deref(), entry.why.as_deref()),
            (Some("Ada from support"), Some("Suspended by mistake."))
        );
        let announced = record.outbox.announcements.last().unwrap();
        assert_eq!((&announced.news, &announced.by), (&News::EntitlementOverridden, &Actor::Publisher));
        Publisher::new(world).post(&format!("/{id}/resync")).await;
        assert!(found(world, &tenant).await.0);

        // It ends by itself, at once for whoever asks, and within the hour on the record.
        world.advance(until - world.now());
        let over = look_up(world, &tenant).await;
        assert_eq!((&over["entitled"], &over["entitlements"][0]["override"]), (&json!(false), &Value::Null));
        reconcile::run(&world.dev.app, world.now()).await.unwrap();
        let record = world.record(&id).await.unwrap();
        assert_eq!((record.entitlement_override.clone(), times(&record, &Happening::OverrideEnded)), (None, 1));
        assert_eq!(told(&record, &Happening::OverrideEnded).by, Actor::Program);
        assert_eq!(record.outbox.announcements.last().unwrap().news, News::EntitlementOverridden);
        reconcile::run(&world.dev.app, world.now()).await.unwrap();
        assert_eq!(times(&world.record(&id).await.unwrap(), &Happening::OverrideEnded), 1, "once");
    })
    .await;
}

#[tokio::test]
async fn an_operator_can_lock_out_and_take_it_back() {
    story(async |world| {
        let id = silver(world).await;
        let (tenant, path) = (format!("tenantId={FABRIKAM}"), format!("/{id}/entitlement"));
        let publisher = Publisher::new(world);
        let locked = decision(false, world.now() + Duration::days(90)).to_string();
        assert_eq!(publisher.call("PUT", &path, &locked).await.body["entitled"], false);
        assert_eq!(found(world, &tenant).await, (false, vec![id.to_string()]));
        let ended = publisher.delete(&path).await;
        assert_eq!((&ended.body["entitled"], &ended.body["why"]), (&json!(true), &json!("active")));
        assert_eq!(publisher.delete(&path).await.body, ended.body, "there is nothing to end");
        let record = world.record(&id).await.unwrap();
        assert_eq!(told(&record, &Happening::OverrideEnded).by, Actor::Publisher);
        assert_eq!(times(&record, &Happening::OverrideEnded), 1);
    })
    .await;
}

#[tokio::test]
async fn a_decision_has_a_reason_and_an_end() {
    story(async |world| {
        let id = silver(world).await;
        let path = format!("/{id}/entitlement");
        let at = |days: i64| (world.now() + Duration::days(days)).format(&Rfc3339).unwrap();
        let body = |entitled: Value, until: Value, reason: Value| {
            json!({ "entitled": entitled, "until": until, "reason": reason })
        };
        let (yes, soon, why) = (json!(true), json!(at(1)), json!("Because."));
        let too_late = (world.now() + Duration::days(90) + Duration::seconds(1)).format(&Rfc3339).unwrap();
        let table = [
            (json!([]), "not a JSON object"),
            (json!({}), "The field entitled is true or false."),
            (body(json!("yes"), soon.clone(), why.clone()), "The field entitled is true or false."),
            (body(yes.clone(), json!(null), why.clone()), "The field until is a time (RFC 3339) ahead, at most 90 days."),
            (body(yes.clone(), json!("tomorrow"), why.clone()), "The field until is a time"),
            (body(yes.clone(), json!(at(0)), why.clone()), "The field until is a time"),
            (body(yes.clone(), json!(too_late), why.clone()), "The field until is a time"),
            (body(yes.clone(), json!("9999-12-31T23:59:59Z"), why.clone()), "The field until is a time"),
            (body(yes.clone(), soon.clone(), json!("")), "The field reason is a text"),
            (body(yes.clone(), soon.clone(), json!("x".repeat(301))), "The field reason is a text"),
            (json!({ "entitled": true, "until": at(1), "reason": "x", "seats": 7 }), "seats"),
        ];
        for (body, detail) in table {
            let said = Publisher::new(world).call("PUT", &path, &body.to_string()).await;
            said.assert_refused(400, "bad_request");
            assert!(said.body["detail"].as_str().unwrap().contains(detail), "{body}: {said:?}");
        }
        assert_eq!(world.record(&id).await.unwrap().entitlement_override, None);
        let publisher = Publisher::new(world);
        publisher.call("DELETE", &path, "{\"reason\":\"x\"}").await.assert_refused(400, "bad_request");
        // Another offset is the same time.
        let local = (world.now() + Duration::hours(5)).to_offset(time::macros::offset!(+2)).format(&Rfc3339).unwrap();
        let said = publisher.call("PUT", &path, &body(yes, json!(local), why).to_string()).await;
        assert_eq!(said.body["until"], (world.now() + Duration::hours(5)).format(&Rfc3339).unwrap());
        let unknown = format!("/{}/entitlement", "00000000-0000-0000-0000-000000000000");
        let body = decision(true, START + Duration::days(1)).to_string();
        publisher.call("PUT", &unknown, &body).await.assert_refused(404, "unknown_subscription");
        publisher.delete(&unknown).await.assert_refused(404, "unknown_subscription");
    })
    .await;
}

/// A record that `world` knows of no purchase for.
fn record(id: &str, status: &str, tenant: &str) -> Subscription {
    let party = Party { tenant_id: Some(tenant.to_owned()), ..Party::default() };
    let known = Snapshot { beneficiary: Some(party), ..snapshot(status) };
    Subscription::discovered(SubscriptionId::parse(id).unwrap(), known, Actor::Program, START)
}

async fn save(world: &World, record: &Subscription) {
    assert!(world.dev.app.save(&mut record.clone(), None, 0, &[]).await.unwrap());
}

fn organisation(tenant: &str) -> Holder {
    Holder::Organisation(tenant.to_owned())
}

/// What is written down of whose a record may be is a hint.
#[tokio::test]
async fn the_record_decides_whose_it_is() {
    let world = World::new(&[]).await;
    save(&world, &record("one", "Subscribed", FABRIKAM)).await;
    let store = &world.dev.app.store;
    for (holder, id) in [(organisation(NORTHWIND), "one"), (organisation(FABRIKAM), "nobody")] {
        store.index(&holder, &SubscriptionId::parse(id).unwrap()).await.unwrap();
    }
    let (fabrikam, northwind) = (format!("tenantId={FABRIKAM}"), format!("tenantId={NORTHWIND}"));
    assert_eq!(found(&world, &fabrikam).await, (true, vec!["one".to_owned()]));
    assert_eq!(found(&world, &northwind).await, (false, vec![]));

    // Somebody else uses it by now.
    let id = SubscriptionId::parse("one").unwrap();
    let stored = store.load(&id).await.unwrap().unwrap();
    let mut moved = stored.subscription;
    moved.apply(Event::Read(Box::new(record("one", "Subscribed", NORTHWIND).known)), START);
    assert!(world.dev.app.save(&mut moved, Some(&stored.etag), 0, &[]).await.unwrap());
    assert_eq!(found(&world, &fabrikam).await, (false, vec![]));
    assert_eq!(found(&world, &northwind).await, (true, vec!["one".to_owned()]));
}

#[tokio::test]
async fn what_may_be_used_comes_first_and_a_page_is_enough() {
    let world = World::new(&[]).await;
    for number in 0..PAGE_LIMIT + 30 {
        let status = if number < PAGE_LIMIT + 10 { "Unsubscribed" } else { "Subscribed" };
        save(&world, &record(&format!("s-{number:04}"), status, FABRIKAM)).await;
    }
    save(&world, &record("another", "Subscribed", NORTHWIND)).await;
    let said = look_up(&world, &format!("tenantId={FABRIKAM}")).await;
    let held = said["entitlements"].as_array().unwrap();
    assert_eq!((held.len(), &said["entitled"]), (PAGE_LIMIT, &json!(true)));
    let usable = held.iter().take_while(|held| held["entitled"] == true).count();
    assert_eq!((usable, &held[0]["subscriptionId"]), (20, &json!("s-0110")));
    assert!(held[usable..].iter().all(|held| held["entitled"] == false));
}

#[tokio::test]
async fn what_is_not_ours_to_serve_is_not_looked_up() {
    let world = World::new(&[("OFFERS", "another-offer")]).await;
    save(&world, &record("one", "Subscribed", FABRIKAM)).await;
    assert_eq!(found(&world, &format!("tenantId={FABRIKAM}")).await, (false, vec![]));
    let body = decision(true, START + Duration::days(1)).to_string();
    Publisher::new(&world).call("PUT", "/one/entitlement", &body).await.assert_refused(403, "foreign_offer");
}

/// A record of an earlier release is found once the hourly pass has gone through it, whatever `RECONCILE` says.
#[tokio::test]
async fn records_of_before_are_found_after_the_hourly_pass() {
    let world = World::in_memory(&[]).await;
    let of_before = Subscription { read_at: START, ..record("one", "Subscribed", FABRIKAM) };
    assert_eq!(of_before.indexed_under, None);
    world.rows().put(&of_before.id, encode(&of_before).unwrap());
    let tenant = format!("tenantId={FABRIKAM}");
    assert_eq!(found(&world, &tenant).await, (false, vec![]));
    reconcile::run(&world.dev.app, world.now()).await.unwrap();
    assert_eq!(found(&world, &tenant).await, (true, vec!["one".to_owned()]));
    let row = world.rows().row(&of_before.id);
    world.advance(Duration::hours(1));
    reconcile::run(&world.dev.app, world.now()).await.unwrap();
    assert_eq!(world.rows().row(&of_before.id), row, "once");
}

/// A record that cannot be read is not taken for a no, and does not lock out whoever has another one.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_no_refusal() {
    let world = World::in_memory(&[]).await;
    save(&world, &record("broken", "Subscribed", FABRIKAM)).await;
    let row = world.rows().row(&SubscriptionId::parse("broken").unwrap()).unwrap();
    let broken = Row { record: row.record.replace("\"v\":1", "\"v\":99"), ..row };
    world.rows().put(&SubscriptionId::parse("broken").unwrap(), broken);
    let path = format!("/entitlements?tenantId={FABRIKAM}");
    Publisher::new(&world).get(&path).await.assert_refused(503, "record_newer");
    save(&world, &record("cancelled", "Unsubscribed", FABRIKAM)).await;
    Publisher::new(&world).get(&path).await.assert_refused(503, "record_newer");
    save(&world, &record("sound", "Subscribed", FABRIKAM)).await;
    assert!(found(&world, &format!("tenantId={FABRIKAM}")).await.0);
}

/// The hint is written before a record that nobody could find otherwise, and costs no later save anything.
#[tokio::test]
async fn a_hint_is_written_once_and_before_the_record() {
    let world = World::in_memory(&[]).await;
    let (app, one) = (&world.dev.app, record("one", "Subscribed", FABRIKAM));
    let mishaps = &world.dev.mishaps;
    // The hint fails: no record. The record fails: a hint alone.
    mishaps.plan(0, Mishap::Refused);
    assert!(app.save(&mut one.clone(), None, 0, &[]).await.is_err());
    assert!(world.record(&one.id).await.is_none());
    assert_eq!(world.dev.store.held_by(&organisation(FABRIKAM)).await.unwrap(), []);
    mishaps.plan(1, Mishap::Refused);
    assert!(app.save(&mut one.clone(), None, 0, &[]).await.is_err());
    assert!(world.record(&one.id).await.is_none());
    assert_eq!(found(&world, &format!("tenantId={FABRIKAM}")).await, (false, vec![]));
    save(&world, &one).await;
    // Two operations, a load and a save: the third would have been struck.
    let decided = |entitled| {
        let until = START + Duration::days(1);
        let (reason, at) = ("x".to_owned(), START);
        Event::Overridden(marketplace_fulfillment::entitlement::Override { entitled, until, reason, at, person: None })
    };
    mishaps.plan(2, Mishap::Refused);
    app.record(&one.id, decided(true), None).await.unwrap();
    assert!(!mishaps.is_over());
    mishaps.cancel();
    mishaps.plan(1, Mishap::Refused);
    assert!(app.record(&one.id, decided(false), None).await.is_err() && mishaps.is_over());
}
