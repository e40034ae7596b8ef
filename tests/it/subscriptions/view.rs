//! What the publisher's systems see: records in pages and one by one, plans, operations.

use std::collections::BTreeSet;

use marketplace_fulfillment::functions::subscriptions::FILTERED_PAGES;
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::store::PAGE_LIMIT;
use marketplace_fulfillment::subscription::{Ruling, Subscription, SubscriptionId, Terms};
use serde_json::{Value, json};

use super::publisher::Publisher;
use super::{deed, silver};
use crate::subscription::snapshot;
use crate::world::{START, World, story};

/// Records past all purchases, numbered from 0.
async fn records(
    world: &World,
    count: usize,
    status: impl Fn(usize) -> &'static str,
    offer: impl Fn(usize) -> &'static str,
) {
    for number in 0..count {
        let mut known = snapshot(status(number));
        offer(number).clone_into(&mut known.offer_id);
        let id = SubscriptionId::parse(&format!("00000000-0000-4000-8000-{number:012}")).unwrap();
        let record = Subscription::discovered(id, known, Actor::Marketplace, START);
        world.dev.store.save(&record, None).await.unwrap();
    }
}

/// All ids of a list, and how many pages it had.
async fn walked(world: &World, query: &str) -> (Vec<String>, usize) {
    let publisher = Publisher::new(world);
    let (mut ids, mut pages, mut next) = (Vec::new(), 0, Some(query.to_owned()));
    while let Some(path) = next {
        let page = publisher.get(&path).await;
        assert_eq!(page.status, 200, "{page:?}");
        let shown = page.body["subscriptions"].as_array().unwrap().clone();
        ids.extend(shown.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
        pages += 1;
        next = page.body["next"].as_str().map(str::to_owned);
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{query}: none twice");
    assert!(ids.is_sorted(), "{query}");
    (ids, pages)
}

#[tokio::test]
async fn a_filtered_list_has_every_record_that_fits_and_no_other() {
    let world = World::new(&[]).await;
    let status = |number: usize| ["Subscribed", "Suspended", "Unsubscribed", "Hibernating"][number % 4];
    let offer = |number: usize| ["contoso-offer", "contoso-offer-preview", "other-offer"][number % 3];
    records(&world, 480, status, offer).await;
    let table = [
        ("", 480, 5),
        ("?status=Suspended", 120, 2),
        ("?status=PendingFulfillmentStart", 0, 1),
        ("?offer=contoso-offer", 320, 4),
        ("?offer=contoso-offer-preview", 320, 4),
        ("?offer=Contoso-Offer", 320, 4),
        ("?offer=contoso", 0, 1),
        ("?offer=other-offer", 160, 2),
        ("?status=Subscribed&offer=other-offer", 40, 1),
        ("?offer=other-offer&status=Subscribed&code=the-function-key", 40, 1),
        ("?after=00000000-0000-4000-8000-000000000469&status=Subscribed", 2, 1),
        ("?after=00000000-0000-4000-8000-000000000479", 0, 1),
    ];
    for (query, count, pages) in table {
        let (ids, walked) = walked(&world, query).await;
        assert_eq!((ids.len(), walked), (count, pages), "{query}");
    }
}

/// One answer looks through so many pages of the store; a caller who goes on finds what is behind them.
#[tokio::test]
async fn what_a_filter_finds_far_away_is_found_on_a_later_page() {
    let world = World::new(&[]).await;
    let near = FILTERED_PAGES * PAGE_LIMIT;
    records(&world, near + 100, |number| if number < near { "Subscribed" } else { "Suspended" }, |_| "contoso-offer")
        .await;
    let first = Publisher::new(&world).get("?status=Suspended").await;
    assert_eq!(first.body["subscriptions"], json!([]));
    assert!(first.body["next"].as_str().unwrap().contains("status=Suspended"), "{first:?}");
    assert_eq!(walked(&world, "?status=Suspended").await.0.len(), 100);
}

/// Exactly one page of records that fit is the last page.
#[tokio::test]
async fn a_full_page_with_nothing_behind_it_is_the_last() {
    let world = World::new(&[]).await;
    records(&world, PAGE_LIMIT, |_| "Suspended", |_| "contoso-offer").await;
    assert_eq!(walked(&world, "?status=Suspended").await, (walked(&world, "").await.0, 1));
}

#[tokio::test]
async fn why_is_this_customer_suspended() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        deed(world, &id, "suspend", json!({})).await;
        world.settle().await;
        assert_eq!(publisher.post(&format!("/{id}/resync")).await.status, 200);
        let shown = publisher.get(&format!("/{id}")).await.body;
        assert_eq!(shown["status"], "Suspended");
        let history = shown["history"].as_array().unwrap();
        let suspended = history.iter().find(|entry| entry["to"] == "Suspended").expect("the history tells");
        assert_eq!((&suspended["what"], &suspended["by"]), (&json!("status_changed"), &json!("marketplace")));
        assert_eq!(suspended["from"], "Subscribed");
        assert!(suspended["at"].as_str().unwrap() >= "2026-11-20T09:00", "{suspended}");
        assert_eq!(publisher.get(&format!("/{}", id.as_str().to_uppercase())).await.body, shown, "ids in any case");
    })
    .await;
}

#[tokio::test]
async fn the_plans_of_a_customer() {
    story(async |world| {
        let id = silver(world).await;
        let said = Publisher::new(world).get(&format!("/{id}/plans")).await;
        let plans = said.body["plans"].as_array().unwrap();
        let shown: Vec<_> = plans
            .iter()
            .map(|plan| (&plan["planId"], &plan["isCurrent"], &plan["isPricePerSeat"], &plan["maxQuantity"]))
            .collect();
        let (yes, no, none, most) = (json!(true), json!(false), Value::Null, json!(1000));
        let (bronze, silver, gold) = (json!("bronze"), json!("silver"), json!("gold"));
        assert_eq!(shown, [(&bronze, &no, &no, &none), (&silver, &yes, &yes, &most), (&gold, &no, &yes, &most)]);
    })
    .await;
}

#[tokio::test]
async fn the_operations_under_way_and_those_that_were_answered() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        let said = publisher.get(&format!("/{id}/operations")).await;
        assert_eq!(said.body["outstanding"], json!([]), "{said:?}");

        world.faults(json!({ "rules": [{ "operation": "get-operation", "answer": "503", "times": 1 }] })).await;
        publisher.patch(&format!("/{id}"), &json!({ "quantity": 9 })).await.assert_accepted("change");
        world.pass(time::Duration::seconds(2)).await;
        let said = publisher.get(&format!("/{id}/operations")).await;
        let operation = &said.body["outstanding"][0];
        assert_eq!(
            (&operation["action"], &operation["status"], &operation["quantity"], &operation["operationRequestSource"]),
            (&json!("ChangeQuantity"), &json!("InProgress"), &json!(9), &json!("Partner")),
            "{said:?}"
        );
        let sent = &publisher.get(&format!("/{id}")).await.body["duties"][0]["task"]["sent"];
        assert_eq!(sent["operationId"], operation["id"], "the duty names Microsoft's operation");
    })
    .await;
}

#[tokio::test]
async fn what_was_answered_to_an_operation_is_shown() {
    use marketplace_fulfillment::duty::Verdict;
    use marketplace_fulfillment::subscription::{Event, Notice, OperationId};
    let world = World::new(&[]).await;
    let id = silver(&world).await;
    let operation = OperationId::parse("4c1f7c0b-1a34-4a59-b7f2-91a7a3f2c0de").unwrap();
    let notice = Notice { operation: Some(operation.clone()), action: "ChangePlan".to_owned() };
    let wanted = Terms { plan_id: "gold".to_owned(), quantity: Some(5) };
    let why = Some("not for sale".to_owned());
    let event = Event::Decided { notice, wanted, ruling: Ruling::by_rule(Verdict::Failure, why) };
    world.dev.app.record(&id, event, None).await.unwrap();
    let publisher = Publisher::new(&world);
    let answered = json!([{ "operationId": operation.as_str(), "action": "ChangePlan", "verdict": "Failure", "at": "2026-11-20T09:00:00Z" }]);
    for (path, key) in [(format!("/{id}"), "answered"), (format!("/{id}/operations"), "answered")] {
        let mut said = publisher.get(&path).await.body[key].clone();
        said[0]["at"] = "2026-11-20T09:00:00Z".into();
        assert_eq!(said, answered, "{path}");
    }
    let duty = &publisher.get(&format!("/{id}")).await.body["duties"][0];
    assert_eq!(duty["id"], format!("acknowledge:{operation}"));
    assert_eq!(duty["task"], json!({ "operationId": operation.as_str(), "verdict": "Failure" }));
}

#[tokio::test]
async fn what_only_microsoft_knows_needs_microsoft() {
    story(async |world| {
        let id = silver(world).await;
        let publisher = Publisher::new(world);
        for (path, operation) in [("plans", "list-available-plans"), ("operations", "list-operations")] {
            world.faults(json!({ "rules": [{ "operation": operation, "answer": "503" }] })).await;
            publisher.get(&format!("/{id}/{path}")).await.assert_refused(503, "marketplace_unavailable");
            assert_eq!(publisher.get(&format!("/{id}")).await.status, 200, "the record is ours");
        }
    })
    .await;
}
