//! The marketplace client and the simulated marketplace, each written from the documents by itself, speak to each other:
//! all eleven operations.

use marketplace_fulfillment::dev::simulator::Deed;
use marketplace_fulfillment::marketplace::{Action, CallErrorKind, OperationOutcome, OperationStatus, RequestSource};
use marketplace_fulfillment::subscription::Status;
use serde_json::json;
use time::Duration;

use crate::world::{World, story};

/// Lets the simulated marketplace work for a while.
async fn a_while(world: &World) {
    world.simulator("POST", "/simulator/clock", &json!({ "advance": "PT30S" })).await;
}

#[tokio::test]
async fn from_resolve_to_cancel() {
    let world = World::new(&[]).await;
    let purchase = world.silver().await;
    let marketplace = &world.dev.app.marketplace;

    let resolved = marketplace.resolve(&purchase.token).await.unwrap();
    assert_eq!(resolved.id, purchase.id);
    assert_eq!((resolved.snapshot.plan_id.as_str(), resolved.snapshot.quantity), ("silver", Some(5)));
    assert_eq!(resolved.snapshot.term.start, None, "no term before the activation");

    let id = &purchase.id;
    marketplace.activate(id, "silver", Some(5)).await.unwrap();
    a_while(&world).await;
    let read = marketplace.get_subscription(id).await.unwrap();
    assert_eq!(read.status, Status::Subscribed);
    let term = (read.term.end.unwrap() - read.term.start.unwrap()).whole_days();
    assert!((27..=30).contains(&term), "a month less a day: {term}");

    let plans = marketplace.list_available_plans(id, None).await.unwrap();
    let plans: Vec<_> = plans.iter().map(|plan| (plan.id.as_str(), plan.is_per_seat)).collect();
    assert_eq!(plans, [("bronze", false), ("silver", true), ("gold", true)]);

    let submitted = marketplace.change_plan(id, "gold").await.unwrap();
    assert_eq!(submitted.retry_after, Some(Duration::seconds(10)));
    let location = submitted.location.unwrap();
    assert_eq!(location.host_str(), Some("localhost"), "the second host");
    let locked = marketplace.change_quantity(id, 7).await.unwrap_err();
    assert_eq!(locked.kind, CallErrorKind::Locked, "{locked}");
    let outstanding = marketplace.list_operations(id).await.unwrap();
    assert!(outstanding.len() <= 1, "{outstanding:?}");
    a_while(&world).await;
    let operation = marketplace.follow(&location).await.unwrap();
    assert_eq!((&operation.action, &operation.status), (&Action::ChangePlan, &OperationStatus::Succeeded));
    assert_eq!(operation.source, Some(RequestSource::Partner));

    let submitted = marketplace.change_quantity(id, 7).await.unwrap();
    a_while(&world).await;
    let operation_id = submitted.operation_id.unwrap();
    let operation = marketplace.get_operation(id, &operation_id).await.unwrap();
    assert_eq!((operation.id.as_str(), operation.quantity), (operation_id.as_str(), Some(7)));

    let theirs = world.dev.simulator.act(id.as_str(), &Deed::ChangeQuantity(9)).unwrap();
    marketplace.update_operation(id, &theirs, OperationOutcome::Success).await.unwrap();
    a_while(&world).await;
    let read = marketplace.get_subscription(id).await.unwrap();
    assert_eq!((read.plan_id.as_str(), read.quantity), ("gold", Some(9)));

    marketplace.cancel(id).await.unwrap();
    a_while(&world).await;
    assert_eq!(marketplace.get_subscription(id).await.unwrap().status, Status::Unsubscribed);
    assert!(marketplace.cancel(id).await.unwrap().already, "a second cancellation finds it done");
    assert_eq!(marketplace.activate(id, "gold", None).await.unwrap_err().kind, CallErrorKind::NotFound);
}

#[tokio::test]
async fn the_list_page_by_page_over_two_hosts() {
    story(async |world| {
        world.faults(json!({ "partitionSize": 7 })).await;
        let mut bought = Vec::new();
        for _ in 0..40 {
            bought.push(world.silver().await.id);
        }
        let (mut listed, mut pages, mut next) = (Vec::new(), 0, None);
        loop {
            let page = world.dev.app.marketplace.list_subscriptions(next.as_ref()).await.unwrap();
            assert!(page.unreadable.is_empty(), "{:?}", page.unreadable);
            listed.extend(page.subscriptions.into_iter().map(|(id, _)| id));
            pages += 1;
            next = page.next;
            match &next {
                Some(cursor) => assert!(cursor.as_str().contains("localhost"), "{}", cursor.as_str()),
                None => break,
            }
        }
        assert!(pages > 2, "{pages} pages");
        bought.sort();
        listed.sort();
        assert_eq!(listed, bought);
    })
    .await;
}
