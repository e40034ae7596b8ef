//! The process dies: the built program, started as the Functions host starts it, on real storage, killed with SIGKILL at
//! random moments while people buy, change and cancel. What it had answered with 2xx must have come true in the end.

use std::cell::{Cell, RefCell};
use std::time::Duration as RealDuration;

use marketplace_fulfillment::dev::host::Event;
use marketplace_fulfillment::dev::simulator::Deed;
use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::history::Happening;
use marketplace_fulfillment::subscription::{Status, SubscriptionId};
use serde_json::{Value, json};
use time::Duration;

use crate::world::{Purchase, World};

/// How often the process dies.
const KILLS: usize = 200;

/// The longest life of a handler, in invocations that ended: enough for a purchase.
const LONGEST_LIFE: u64 = 12;

/// How long a kill may come after the end of an invocation, in milliseconds of real time: some ten steps of the next one.
const MOMENT: u64 = 25;

/// People who buy and change at the same time.
const CUSTOMERS: u32 = 5;

/// How much time passes in the story between two looks at what is going on, and in real time.
const TICK: (Duration, RealDuration) = (Duration::seconds(6), RealDuration::from_millis(30));

/// How long the whole may take in real time, some ten times what it does.
const PATIENCE: RealDuration = RealDuration::from_mins(10);

/// What somebody was told with a 2xx.
enum Promise {
    /// A buyer's confirmation was taken.
    Confirmed(SubscriptionId),
    /// The publisher's order was taken.
    Ordered(SubscriptionId),
}

struct Story<'a> {
    world: &'a World,
    dice: RefCell<fastrand::Rng>,
    promises: RefCell<Vec<Promise>>,
    bought: RefCell<Vec<SubscriptionId>>,
    over: Cell<bool>,
}

impl Story<'_> {
    fn roll(&self, below: u64) -> u64 {
        self.dice.borrow_mut().u64(..below)
    }

    /// Time goes on until the last kill.
    async fn clock(&self) {
        while !self.over.get() {
            tokio::time::sleep(TICK.1).await;
            self.world.advance(TICK.0);
        }
    }

    /// Kills after a random number of invocations, and a moment: at work, not at rest, however fast the machine is. Every
    /// tenth handler dies while it starts.
    async fn killer(&self) {
        for _ in 0..KILLS {
            if self.roll(10) > 0 {
                let ended = self.roll(LONGEST_LIFE);
                self.world.dev.host.until(|events| invocations_of_this_life(events) >= Some(ended)).await;
            }
            tokio::time::sleep(RealDuration::from_millis(self.roll(MOMENT))).await;
            self.world.dev.host.kill_handler().await;
        }
        self.over.set(true);
    }

    /// Buys, confirms, changes this and that, perhaps cancels, and buys again.
    async fn customer(&self) {
        while !self.over.get() {
            let purchase = self.world.silver().await;
            self.bought.borrow_mut().push(purchase.id.clone());
            self.confirm(&purchase).await;
            for _ in 0..3 {
                self.pause().await;
                self.do_something(&purchase.id).await;
            }
        }
    }

    async fn pause(&self) {
        tokio::time::sleep(TICK.1 * u32::try_from(self.roll(12)).unwrap()).await;
    }

    async fn confirm(&self, purchase: &Purchase) {
        let buyer = self.world.visitor();
        while !self.over.get() {
            let page = buyer.arrive(&purchase.landing_url, "buyer").await;
            if page.input("form_token").is_none() {
                if page.status == 200 {
                    return;
                }
                self.pause().await;
                continue;
            }
            let answer = buyer.confirm_with(&page, &[("sec-fetch-site", "same-origin")]).await;
            if answer.status < 400 {
                self.promises.borrow_mut().push(Promise::Confirmed(purchase.id.clone()));
                return;
            }
        }
    }

    async fn do_something(&self, id: &SubscriptionId) {
        let seats = 1 + u32::try_from(self.roll(50)).unwrap();
        let deed = match self.roll(7) {
            0 => Deed::ChangePlan("gold".to_owned()),
            1 => Deed::ChangeQuantity(seats),
            2 => Deed::Suspend,
            3 => Deed::Reinstate,
            4 => Deed::Unsubscribe,
            _ => return self.order(id, seats).await,
        };
        // Microsoft refuses what does not fit the moment, and so do we.
        let _ = self.world.dev.simulator.act(id.as_str(), &deed);
    }

    async fn order(&self, id: &SubscriptionId, seats: u32) {
        let url = self.world.url(&format!("/api/subscriptions/{id}"));
        let answer = self.world.http.patch(url).json(&json!({ "quantity": seats })).send().await.unwrap();
        if answer.status() == 202 {
            self.promises.borrow_mut().push(Promise::Ordered(id.clone()));
        }
    }
}

#[tokio::test]
async fn two_hundred_kills_at_random_moments_lose_nothing() {
    let world = World::of_process().await;
    world.faults(json!({ "webhooks": { "doubled": 0.5, "reordered": 0.2 }, "activationLag": "PT20S" })).await;
    let story = Story {
        world: &world,
        dice: RefCell::new(fastrand::Rng::with_seed(20_261_120)),
        promises: RefCell::default(),
        bought: RefCell::default(),
        over: Cell::new(false),
    };
    let customers = futures_util::future::join_all((0..CUSTOMERS).map(|_| story.customer()));
    let lived = async { tokio::join!(story.killer(), story.clock(), customers) };
    tokio::time::timeout(PATIENCE, lived).await.expect("the story comes to its end");

    // A bell whose function died five times is given up by the host. Nothing is lost by that: what it rang for is on the
    // record, and the sweep rings again.
    for queue in Queue::ALL {
        world.dev.account.clear(&format!("{}-poison", queue.name())).await.unwrap();
    }
    world.assert_silence().await;

    let bought = story.bought.take();
    assert!(bought.len() > 20, "only {} purchases between all the kills", bought.len());
    for id in &bought {
        assert_every_webhook_came_true(&world.simulated(id).await);
    }
    let promises = story.promises.take();
    for promise in &promises {
        let (Promise::Confirmed(id) | Promise::Ordered(id)) = promise;
        let record = world.record(id).await.expect("what was promised is on a record");
        let told = |what| record.history.entries.iter().any(|entry| entry.what == what);
        match promise {
            Promise::Confirmed(_) => {
                assert!(record.confirmed_at.is_some(), "{record:?}");
                let activated = world.calls(id, "activate").await > 0;
                assert!(activated || record.known.status == Status::Unsubscribed, "{record:?}");
            }
            Promise::Ordered(_) => assert!(told(Happening::Ordered), "{record:?}"),
        }
    }
    assert!(promises.len() > 20, "only {} promises", promises.len());
}

/// How many invocations ended since the handler got ready; `None` while it is not.
fn invocations_of_this_life(events: &[Event]) -> Option<u64> {
    let mut ended = 0;
    for event in events.iter().rev() {
        match event {
            Event::Ready => return Some(ended),
            Event::Ended(_) | Event::Started { .. } => return None,
            Event::Invoked(_) => ended += 1,
            _ => {}
        }
    }
    Some(ended)
}

/// Whatever Microsoft was told with 200 is done: none of its operations waits for us any more.
fn assert_every_webhook_came_true(simulated: &Value) {
    let operations = simulated["operations"].as_array().unwrap();
    for delivery in simulated["deliveries"].as_array().unwrap() {
        if delivery["status"] == 200 {
            let operation = operations.iter().find(|operation| operation["id"] == delivery["operationId"]);
            let status = operation.and_then(|operation| operation["status"].as_str());
            assert!(!matches!(status, Some("InProgress" | "NotStarted")), "{delivery} of {operation:?}");
        }
    }
}
