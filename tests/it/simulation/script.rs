//! Who does what, and when: buyers, customers, Microsoft and the publisher, drawn from the seed.

use std::collections::VecDeque;

use fastrand::Rng;
use marketplace_fulfillment::dev::simulator::{Deed, Purchase, Purchased, Who};
use marketplace_fulfillment::functions::Function;
use marketplace_fulfillment::web::Request;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::stage::Stage;
use super::trace::short;
use crate::visitor::Visitor;
use crate::world::START;

/// The most that happens in a world, beside its purchases: as much as twenty operations that a record remembers allow.
const SCENES: usize = 12;

/// What is still to happen, in its order.
pub(super) struct Script {
    scenes: VecDeque<(OffsetDateTime, Scene)>,
    bought: Vec<Purchased>,
}

/// One thing that somebody does. Subscriptions are named by the order of their purchase.
#[derive(Clone, Debug)]
enum Scene {
    /// Somebody buys.
    Buys(Box<Purchase>),
    /// Somebody comes to the landing page, signs in, and confirms where there is a button.
    Visits(usize, &'static str),
    /// The customer's side does something.
    Acts(usize, Deed),
    /// The publisher's software calls.
    Orders(usize, &'static str, &'static str, Value),
    /// Entra signs with another key from now on.
    Rotates,
}

impl Script {
    pub(super) fn of(rng: &mut Rng) -> Self {
        let mut at = START;
        let purchases = rng.usize(1..=2);
        let mut scenes = VecDeque::new();
        for which in 0..purchases {
            scenes.push_back((at, Scene::Buys(Box::new(purchase(rng)))));
            if rng.u8(..8) > 0 {
                scenes.push_back((at, Scene::Visits(which, "buyer")));
            }
        }
        let busy = rng.bool();
        let many = rng.usize(2..=SCENES);
        // Once: tokens of ours that the key before the last one signed would be good for nothing.
        let rotates = rng.usize(..SCENES * 3);
        for number in 0..many {
            // Close together, so that one meets the other, or far apart.
            at += if busy { Duration::seconds(rng.i64(0..30)) } else { Duration::seconds(rng.i64(0..12_000)) };
            let scene = if number == rotates { Scene::Rotates } else { scene(rng, purchases) };
            scenes.push_back((at, scene));
        }
        Self { scenes, bought: Vec::new() }
    }

    /// A script in which nothing happens.
    pub(super) fn empty() -> Self {
        Self { scenes: VecDeque::new(), bought: Vec::new() }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<OffsetDateTime> {
        self.scenes.front().map(|(at, _)| *at)
    }

    /// The next thing happens.
    pub(super) fn act(&mut self, stage: &mut Stage) {
        let Some((_, scene)) = self.scenes.pop_front() else { return };
        match scene {
            Scene::Buys(purchase) => {
                let bought = stage.simulator.purchase(&purchase).unwrap();
                stage.note(format!("bought: {} {purchase:?}", short(&bought.subscription_id)));
                self.bought.push(bought);
            }
            Scene::Visits(which, person) => {
                let id = self.bought[which].subscription_id.clone();
                if let Ok(Purchased { landing_url, .. }) = stage.simulator.token(&id) {
                    if person != "personal" {
                        stage.laws.consent(&id);
                    }
                    let visitor = Visitor::new(stage.http.clone(), stage.app_url.clone());
                    let what = format!("{person} visits {}", short(&id));
                    stage.set_out(&what, visit(visitor, landing_url.into(), person));
                }
            }
            Scene::Acts(which, deed) => {
                let id = &self.bought[which].subscription_id;
                // What is not possible now, Microsoft refuses, and nothing comes of it.
                let done = stage.simulator.act(id, &deed);
                let what = done.map_or_else(|_| "in vain".to_owned(), |operation| short(&operation).to_owned());
                stage.note(format!("the customer of {}: {deed:?}: {what}", short(id)));
            }
            Scene::Orders(which, method, path, body) => {
                let id = self.bought[which].subscription_id.clone();
                if path == "/activate" {
                    stage.laws.consent(&id);
                }
                stage.note(format!("the publisher: {method} {}{path} {body}", short(&id)));
                stage.receive(Function::Subscriptions, order(method, &format!("{id}{path}"), &body), None);
            }
            Scene::Rotates => {
                stage.note("Entra signs with another key");
                stage.simulator.rotate_keys();
            }
        }
    }
}

fn purchase(rng: &mut Rng) -> Purchase {
    let (plan, quantity) = [("bronze", None), ("silver", Some(5)), ("gold", Some(3))][rng.usize(..3)];
    let resold = rng.u8(..6) == 0;
    Purchase {
        auto_activate: rng.u8(..6) == 0,
        purchaser: if resold { Who::named("stranger").unwrap() } else { Who::default() },
        private_offer: rng.bool(),
        ..Purchase::of(plan, quantity)
    }
}

fn scene(rng: &mut Rng, purchases: usize) -> Scene {
    let which = rng.usize(..purchases);
    let plans = ["bronze", "silver", "gold"];
    match rng.u8(..23) {
        0..=2 => Scene::Visits(which, ["buyer", "buyer", "colleague", "personal"][rng.usize(..4)]),
        3..=5 => Scene::Acts(which, Deed::ChangePlan(plans[rng.usize(..3)].to_owned())),
        6..=9 => Scene::Acts(which, Deed::ChangeQuantity(rng.u32(1..30))),
        10..=11 => Scene::Acts(which, Deed::Suspend),
        12..=13 => Scene::Acts(which, Deed::Reinstate),
        14 => Scene::Acts(which, Deed::Renew),
        15 => Scene::Acts(which, Deed::Unsubscribe),
        16 => Scene::Orders(which, "PATCH", "", json!({ "planId": plans[rng.usize(..3)] })),
        17..=18 => Scene::Orders(which, "PATCH", "", json!({ "quantity": rng.u32(1..30) })),
        19 => Scene::Orders(which, "POST", "/activate", Value::Null),
        20 => Scene::Orders(which, "POST", "/resync", Value::Null),
        21 => Scene::Orders(which, "DELETE", "", Value::Null),
        _ => Scene::Orders(which, "POST", "/events/replay", json!({})),
    }
}

fn order(method: &str, path: &str, body: &Value) -> Request {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.into(),
        ..Request::default()
    }
}

async fn visit(visitor: Visitor, landing_url: String, person: &'static str) {
    let page = visitor.arrive(&landing_url, person).await;
    if page.input("form_token").is_some() {
        visitor.confirm(&page).await;
    }
}
