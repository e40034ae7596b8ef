//! Every action of Microsoft's table from the purchase to the same state at both ends, as the simulated marketplace
//! posts it: both token versions, full, thin and partial payloads that lie, documented and observed behaviour.

use marketplace_fulfillment::dev::simulator::Deed;
use marketplace_fulfillment::history::Happening;
use marketplace_fulfillment::subscription::{Status, Subscription};
use serde_json::{Value, json};
use time::Duration;

use crate::world::{Purchase, World, story};

async fn active(world: &World) -> Purchase {
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    world.settle().await;
    purchase
}

async fn record(world: &World, purchase: &Purchase) -> Subscription {
    world.record(&purchase.id).await.expect("a record")
}

/// Every way in which Microsoft's webhooks come.
fn ways() -> Vec<Value> {
    let mut ways = Vec::new();
    for profile in ["documented", "observed"] {
        for (version, payload) in [(1, "full"), (2, "full"), (1, "thin"), (2, "thin"), (2, "partial")] {
            let webhooks = json!({ "tokenVersion": version, "payload": payload, "lie": true, "extraFields": true });
            ways.push(json!({ "profile": profile, "webhooks": webhooks }));
        }
    }
    ways
}

fn plan(name: &str) -> Deed {
    Deed::ChangePlan(name.to_owned())
}

#[tokio::test]
async fn every_action_ends_equal_at_both_ends() {
    let table: [(&[Deed], Status, &str, u32); 9] = [
        (&[plan("gold")], Status::Subscribed, "gold", 5),
        (&[Deed::ChangeQuantity(9)], Status::Subscribed, "silver", 9),
        (&[Deed::Suspend], Status::Suspended, "silver", 5),
        (&[Deed::Suspend, Deed::Reinstate], Status::Subscribed, "silver", 5),
        (&[Deed::Renew], Status::Subscribed, "silver", 5),
        (&[Deed::Transfer], Status::Subscribed, "silver", 5),
        (&[Deed::Unsubscribe], Status::Unsubscribed, "silver", 5),
        (&[Deed::Suspend, Deed::Unsubscribe], Status::Unsubscribed, "silver", 5),
        (
            &[plan("gold"), Deed::ChangeQuantity(2), Deed::Renew, Deed::Suspend, Deed::Reinstate],
            Status::Subscribed,
            "gold",
            2,
        ),
    ];
    for way in ways() {
        story(async |world| {
            world.faults(way.clone()).await;
            let mut bought = Vec::new();
            for _ in &table {
                bought.push(active(world).await);
            }
            for (purchase, (deeds, status, plan, seats)) in bought.iter().zip(&table) {
                for deed in *deeds {
                    world.dev.simulator.act(purchase.id.as_str(), deed).unwrap();
                    world.settle().await;
                }
                let record = record(world, purchase).await;
                let told = format!("{way} {deeds:?}: {record:?}");
                assert_eq!(record.known.status, *status, "{told}");
                assert_eq!((record.known.plan_id.as_str(), record.known.quantity), (*plan, Some(*seats)), "{told}");
                let asked = deeds.iter().filter(|deed| matches!(deed, Deed::ChangePlan(_) | Deed::ChangeQuantity(_)));
                let answers = world.calls(&purchase.id, "update-operation").await;
                assert!(answers >= asked.count() as u64, "{told}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_plan_that_activates_itself_is_born_active() {
    for way in ways() {
        story(async |world| {
            world.faults(way.clone()).await;
            let order = json!({ "offerId": "contoso-offer", "planId": "bronze", "autoActivate": true });
            let purchase = world.purchase(order).await;
            world.settle().await;
            let record = record(world, &purchase).await;
            assert_eq!(record.known.status, Status::Subscribed, "{way}");
            assert_eq!(world.calls(&purchase.id, "activate").await, 0);
            let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
            assert_eq!((page.status, page.input("form_token")), (200, None), "account set-up: {}", page.text());
        })
        .await;
    }
}

/// Webhooks doubled, reordered, late: with nothing that reconciles, the record ends equal to Microsoft's.
#[tokio::test]
async fn what_befalls_webhooks_on_their_way_does_not_matter() {
    for webhooks in [
        json!({ "doubled": 1.0 }),
        json!({ "reordered": 1.0 }),
        json!({ "late": "PT24H" }),
        json!({ "doubled": 0.5, "reordered": 0.5, "late": "PT5S", "lie": true, "actions": ["Transfer", "Sublimate"] }),
    ] {
        story(async |world| {
            let purchase = active(world).await;
            world.faults(json!({ "webhooks": webhooks.clone() })).await;
            for deed in [plan("gold"), Deed::Suspend, Deed::Reinstate, Deed::Renew] {
                // Locked, while an earlier change is not ended: the customer waits, as Microsoft makes them.
                world.dev.simulator.act(purchase.id.as_str(), &deed).ok();
                world.pass(Duration::seconds(30)).await;
            }
            world.settle().await;
            let record = record(world, &purchase).await;
            // The story's end compares both ends; here only that one change got at most one answer.
            assert_eq!(record.duties, [], "{webhooks}: {record:?}");
            assert!(world.calls(&purchase.id, "update-operation").await <= 2, "{webhooks}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_change_that_policy_refuses_stays_refused_and_its_revert_is_accepted() {
    for way in ways() {
        let world = World::new(&[("CHANGE_POLICY", r#"{"seatLimits":[{"plan":"silver","min":1,"max":7}]}"#)]).await;
        let mut faults = way.clone();
        faults["webhooks"]["revert"] = json!(true);
        world.faults(faults).await;
        let purchase = active(&world).await;
        world.dev.simulator.act(purchase.id.as_str(), &Deed::ChangeQuantity(9)).unwrap();
        world.settle().await;
        assert_eq!(record(&world, &purchase).await.known.quantity, Some(5), "{way}");
        world.dev.simulator.act(purchase.id.as_str(), &Deed::ChangeQuantity(7)).unwrap();
        world.settle().await;
        assert_eq!(record(&world, &purchase).await.known.quantity, Some(7), "{way}");
        world.assert_silence().await;
    }
}

/// Microsoft comes again until we have saved what it says.
#[tokio::test]
async fn an_app_that_was_away_hears_it_when_it_is_back() {
    story(async |world| {
        let purchase = active(world).await;
        world
            .faults(json!({ "rules": [
                { "operation": "get-subscription", "times": 4, "answer": "503" },
                { "operation": "get-operation", "times": 4, "answer": "503" },
            ] }))
            .await;
        world.dev.simulator.act(purchase.id.as_str(), &Deed::Suspend).unwrap();
        world.settle().await;
        let record = record(world, &purchase).await;
        assert_eq!(record.known.status, Status::Suspended);
        assert!(record.history.entries.iter().any(|entry| entry.what == Happening::Noticed), "{record:?}");
    })
    .await;
}

/// Thirty days unpaid, the end of a term, the end of a trial: nobody does anything, and both ends agree.
#[tokio::test]
async fn time_passes_at_both_ends() {
    story(async |world| {
        let suspended = active(world).await;
        let renewed = active(world).await;
        let ends = record(world, &renewed).await.known.term.end;
        world.dev.simulator.act(suspended.id.as_str(), &Deed::Suspend).unwrap();
        world.settle().await;
        for _ in 0..32 {
            world.simulator("POST", "/simulator/clock", &json!({ "advance": "P1D" })).await;
            world.idle().await;
        }
        world.settle().await;
        assert_eq!(record(world, &suspended).await.known.status, Status::Unsubscribed);
        let record = record(world, &renewed).await;
        assert_eq!(record.known.status, Status::Subscribed);
        assert!(record.known.term.end > ends, "renewed: {record:?}");
    })
    .await;
}
