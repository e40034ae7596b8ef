//! Stories of the publisher's systems: what they see, what they order, and how an order ends. Every answer in them is held
//! against `docs/openapi.json`.

mod document;
mod duties;
mod entitlement;
mod orders;
pub(crate) mod publisher;
mod refusals;
mod resync;
mod view;

use marketplace_fulfillment::history::{Entry, Happening};
use marketplace_fulfillment::subscription::{Subscription, SubscriptionId};
use serde_json::{Value, json};

use crate::world::{Purchase, World};

/// A subscription that its buyer confirmed and Microsoft activated.
async fn active(world: &World, order: Value) -> Purchase {
    let purchase = world.purchase(order).await;
    world.confirmed(&purchase).await;
    world.settle().await;
    purchase
}

/// Five seats of `silver`, active.
async fn silver(world: &World) -> SubscriptionId {
    active(world, json!({ "offerId": "contoso-offer", "planId": "silver", "quantity": 5 })).await.id
}

/// What happens at Microsoft's side.
async fn deed(world: &World, id: &SubscriptionId, deed: &str, body: Value) -> String {
    let done = world.simulator("POST", &format!("/simulator/subscriptions/{id}/{deed}"), &body).await;
    done["operationId"].as_str().unwrap().to_owned()
}

/// How many operations of this action Microsoft made of the publisher's requests.
async fn ordered_at_microsoft(world: &World, id: &SubscriptionId, action: &str) -> usize {
    let simulated = world.simulated(id).await;
    let ours = |operation: &&Value| operation["operationRequestSource"] == "Partner" && operation["action"] == action;
    simulated["operations"].as_array().unwrap().iter().filter(ours).count()
}

/// One rule that spoils the answers to a call.
async fn spoil(world: &World, rule: Value) {
    world.faults(json!({ "rules": [rule] })).await;
}

/// The newest entry of this kind.
fn told<'a>(record: &'a Subscription, what: &Happening) -> &'a Entry {
    let entry = record.history.entries.iter().rev().find(|entry| entry.what == *what);
    entry.unwrap_or_else(|| panic!("no {what:?} in {record:?}"))
}

fn times(record: &Subscription, what: &Happening) -> usize {
    record.history.entries.iter().filter(|entry| entry.what == *what).count()
}
