//! What is refused, and in which words: by the record's state, and for what a request says.

use marketplace_fulfillment::history::PERSON_LENGTH;
use serde_json::{Value, json};

use super::publisher::Publisher;
use super::{active, deed, silver, spoil};
use crate::world::{World, story};

/// Another plan, other seats, the end, the activation: the code of each refusal, or `""` where it is taken.
async fn assert_refusals(world: &World, id: &str, [plan, seats, end, activation]: [&str; 4]) {
    let publisher = Publisher::new(world);
    let path = format!("/{id}");
    let orders = [
        (plan, "PATCH", path.clone(), r#"{"planId":"gold"}"#),
        (seats, "PATCH", path.clone(), r#"{"quantity":7}"#),
        (end, "DELETE", path.clone(), ""),
        (activation, "POST", format!("{path}/activate"), ""),
    ];
    for (code, method, path, body) in orders {
        let said = publisher.call(method, &path, body).await;
        match code {
            "" => assert_eq!(said.status, 202, "{method} {path} {body}: {said:?}"),
            code => said.assert_refused(409, code),
        }
        world.idle().await;
    }
}

#[tokio::test]
async fn a_state_that_does_not_allow_the_order() {
    story(async |world| {
        let pending = world.silver().await;
        world.visitor().arrive(&pending.landing_url, "buyer").await;
        assert_refusals(world, pending.id.as_str(), ["not_active", "not_active", "", ""]).await;
    })
    .await;
    story(async |world| {
        let id = silver(world).await;
        deed(world, &id, "suspend", json!({})).await;
        world.settle().await;
        Publisher::new(world).post(&format!("/{id}/resync")).await;
        assert_refusals(world, id.as_str(), ["suspended", "suspended", "", "suspended"]).await;
    })
    .await;
    story(async |world| {
        let id = silver(world).await;
        Publisher::new(world).delete(&format!("/{id}")).await.assert_accepted("cancel");
        world.settle().await;
        assert_refusals(world, id.as_str(), ["cancelled"; 4]).await;
        Publisher::new(world).get(&format!("/{id}/plans")).await.assert_refused(409, "cancelled");
    })
    .await;
}

#[tokio::test]
async fn what_a_reseller_sold_is_the_resellers_to_change() {
    story(async |world| {
        let order = json!({
            "offerId": "contoso-offer", "planId": "silver", "quantity": 5, "purchaser": "stranger", "beneficiary": "buyer",
        });
        let id = active(world, order).await.id;
        assert_refusals(world, id.as_str(), ["not_allowed", "not_allowed", "not_allowed", "as_ordered"]).await;
        for call in ["change-plan", "change-quantity", "cancel"] {
            assert_eq!(world.calls(&id, call).await, 0, "{call}: Microsoft is not asked for what it would refuse");
        }
    })
    .await;
}

#[tokio::test]
async fn one_order_of_a_kind_at_a_time() {
    story(async |world| {
        let id = silver(world).await;
        spoil(world, json!({ "operation": "change-plan", "answer": "503", "times": 1 })).await;
        let publisher = Publisher::new(world);
        publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await.assert_accepted("change");
        world.idle().await;
        publisher.patch(&format!("/{id}"), &json!({ "planId": "bronze" })).await.assert_refused(409, "busy");
        publisher.patch(&format!("/{id}"), &json!({ "quantity": 7 })).await.assert_refused(409, "busy");
        world.settle().await;
        assert_eq!(world.record(&id).await.unwrap().known.plan_id, "gold");
    })
    .await;
}

#[tokio::test]
async fn what_already_is_as_ordered() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        for order in [json!({ "planId": "silver" }), json!({ "quantity": 5 })] {
            publisher.patch(&format!("/{id}"), &order).await.assert_refused(409, "as_ordered");
        }
        publisher.post(&format!("/{id}/activate")).await.assert_refused(409, "as_ordered");
    })
    .await;
}

/// An installation that no longer serves an offer leaves its subscriptions alone.
#[tokio::test]
async fn the_subscriptions_of_another_offer_are_left_alone() {
    let world = World::new(&[]).await;
    let id = silver(&world).await;
    let stored = world.dev.store.load(&id).await.unwrap().unwrap();
    let mut foreign = stored.subscription;
    foreign.known.offer_id = "another-offer".to_owned();
    world.dev.store.save(&foreign, Some(&stored.etag)).await.unwrap();
    let publisher = Publisher::new(&world);
    let table = [
        ("PATCH", "", r#"{"planId":"gold"}"#),
        ("DELETE", "", ""),
        ("POST", "/activate", ""),
        ("POST", "/resync", ""),
        ("POST", "/duties/change/retry", ""),
        ("POST", "/duties/change/end", r#"{"reason":"x"}"#),
        ("GET", "/plans", ""),
        ("GET", "/operations", ""),
    ];
    let before = (world.record(&id).await, world.simulated(&id).await["calls"].clone());
    for (method, path, body) in table {
        publisher.call(method, &format!("/{id}{path}"), body).await.assert_refused(403, "foreign_offer");
    }
    assert_eq!((world.record(&id).await, world.simulated(&id).await["calls"].clone()), before);
}

/// Method, path below the subscription, body, and a word that the answer must hold: which part is wrong.
#[tokio::test]
async fn a_request_that_is_wrong_hears_which_part_of_it() {
    story(async |world| {
        let id = silver(world).await;
        let long = |field: &str, length: usize| json!({ field: "x".repeat(length) }).to_string();
        let (plan, reason) = (long("planId", 101), long("reason", 301));
        let end = "/duties/change/end";
        let table = [
            ("PATCH", "", "", "JSON"),
            ("PATCH", "", "{", "line 1, column 1"),
            ("PATCH", "", "[]", "object"),
            ("PATCH", "", r#""gold""#, "object"),
            ("PATCH", "", "{}", "exactly one of planId and quantity"),
            ("PATCH", "", r#"{"planId":"gold","quantity":7}"#, "exactly one of planId and quantity"),
            ("PATCH", "", r#"{"planId":"gold","plan":1}"#, "the field plan,"),
            ("PATCH", "", r#"{"quantity":7,"Seats for Ada":1}"#, "a field,"),
            ("PATCH", "", r#"{"planId":""}"#, "planId"),
            ("PATCH", "", r#"{"planId":"two words"}"#, "planId"),
            ("PATCH", "", r#"{"planId":"tab\t"}"#, "planId"),
            ("PATCH", "", r#"{"planId":7}"#, "planId"),
            ("PATCH", "", r#"{"planId":null}"#, "planId"),
            ("PATCH", "", &plan, "planId"),
            ("PATCH", "", r#"{"quantity":0}"#, "quantity"),
            ("PATCH", "", r#"{"quantity":-1}"#, "quantity"),
            ("PATCH", "", r#"{"quantity":2.5}"#, "quantity"),
            ("PATCH", "", r#"{"quantity":"7"}"#, "quantity"),
            ("PATCH", "", r#"{"quantity":4294967296}"#, "quantity"),
            ("DELETE", "", r#"{"planId":"gold"}"#, "the field planId,"),
            ("POST", "/activate", r#"{"planId":"gold"}"#, "known here: none"),
            ("POST", "/activate", "yes", "JSON"),
            ("POST", "/resync", "[]", "object"),
            ("POST", "/duties/change/retry", r#"{"reason":"x"}"#, "the field reason,"),
            ("POST", end, "", "JSON"),
            ("POST", end, "{}", "reason"),
            ("POST", end, r#"{"reason":"  "}"#, "reason"),
            ("POST", end, r#"{"reason":7}"#, "reason"),
            ("POST", end, r#"{"reason":"two\nlines"}"#, "reason"),
            ("POST", end, r#"{"reason":"x","by":"y"}"#, "the field by,"),
            ("POST", end, &reason, "reason"),
        ];
        let before = world.record(&id).await;
        for (method, path, body, word) in table {
            let said = Publisher::new(world).call(method, &format!("/{id}{path}"), body).await;
            said.assert_refused(400, "bad_request");
            assert!(said.body["detail"].as_str().unwrap().contains(word), "{method} {path} {body}: {said:?}");
        }
        assert_eq!(world.record(&id).await, before);
        for (query, word) in [
            ("after=%2F", "after"),
            ("after=", "after"),
            ("status=suspended", "Suspended"),
            ("status=", "status"),
            ("offer=", "offer"),
            ("offer=-preview", "offer"),
        ] {
            let said = Publisher::new(world).get(&format!("?{query}")).await;
            said.assert_refused(400, "bad_request");
            assert!(said.body["detail"].as_str().unwrap().contains(word), "{query}: {said:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_person_that_cannot_be_kept_is_refused() {
    story(async |world| {
        let id = silver(world).await;
        let long: &'static str = "x".repeat(PERSON_LENGTH + 1).leak();
        for person in [long, "Ada\tLovelace", "Zoë", "\u{84}"] {
            let publisher = Publisher::acting_for(world, person);
            let said = publisher.patch(&format!("/{id}"), &json!({ "planId": "gold" })).await;
            said.assert_refused(400, "bad_request");
            assert!(said.body["detail"].as_str().unwrap().contains("x-acting-person"), "{said:?}");
        }
        let record = world.record(&id).await.unwrap();
        assert!(record.duties.is_empty(), "no order is taken without the person on whose behalf it is: {record:?}");
        let most: &'static str = "x".repeat(PERSON_LENGTH).leak();
        Publisher::acting_for(world, most).delete(&format!("/{id}")).await.assert_accepted("cancel");
        world.settle().await;
    })
    .await;
}

#[tokio::test]
async fn a_path_or_a_method_that_is_not_there() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        let unknown =
            ["/{id}/nothing", "/{id}/duties", "/{id}/duties/change", "/{id}/duties/change/retry/now", "/{id}//plans"];
        for path in unknown.map(|path| path.replace("{id}", id.as_str())) {
            for method in ["GET", "POST"] {
                publisher.call(method, &path, "").await.assert_refused(404, "unknown_function");
            }
        }
        let table = [
            ("POST", "", "GET"),
            ("POST", "/{id}", "GET, PATCH, DELETE"),
            ("DELETE", "/{id}/plans", "GET"),
            ("GET", "/{id}/activate", "POST"),
            ("PATCH", "/{id}/duties/change/end", "POST"),
        ];
        for (method, path, allowed) in table {
            let said = publisher.call(method, &path.replace("{id}", id.as_str()), "").await;
            said.assert_refused(405, "wrong_method");
            assert_eq!(said.header("allow"), Some(allowed), "{method} {path}");
        }
        for path in ["/no-such", "/no_such", "/%2F..", "/no-such/plans", "/no-such/operations"] {
            publisher.get(path).await.assert_refused(404, "unknown_subscription");
        }
        publisher.patch("/no-such", &json!({ "quantity": 7 })).await.assert_refused(404, "unknown_subscription");
        publisher.post(&format!("/{id}/duties/nonsense/retry")).await.assert_refused(404, "unknown_duty");
        publisher.post(&format!("/{id}/duties/change/retry")).await.assert_refused(404, "unknown_duty");
        let said = publisher.call("PATCH", &format!("/{id}"), &"x".repeat(300_000)).await;
        said.assert_refused(413, "body_too_large");
        assert_ne!(said.body["reference"], Value::Null);
    })
    .await;
}
