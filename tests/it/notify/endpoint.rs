//! An endpoint that is dead, gone, or back again.

use marketplace_fulfillment::circuit::{Circuit, Failure, Gate, OPEN_FLOOR, PARKED_AFTER, TRIPS};
use marketplace_fulfillment::duty::{BACKOFF_CEILING, Kind};
use marketplace_fulfillment::functions::notify;
use marketplace_fulfillment::subscription::{Status, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::Duration;

use super::{EVENTS, TOLD, active, assert_equal_to_us, assert_in_order, of, words};
use crate::log::Log;
use crate::receiver::{connected, says, silence};
use crate::world::{START, World};

fn id(name: &str) -> SubscriptionId {
    SubscriptionId::parse(name).unwrap()
}

/// What is tried, what happened, and what the circuit lets through then.
#[test]
fn the_circuit_opens_for_many_and_not_for_one() {
    let passing = Failure::Passing("503".to_owned());
    let mut one = Circuit::default();
    for hour in 0..40 {
        one = one.failed(&id("one"), &passing, START + Duration::hours(hour));
    }
    assert_eq!(one.gate(START + Duration::hours(40)), Gate::Try, "one alone keeps nobody waiting");
    let mut many = Circuit::default();
    for number in 0..TRIPS {
        assert_eq!(many.gate(START), Gate::Try, "{number}");
        many = many.failed(&id(&format!("s-{number}")), &passing, START);
    }
    assert_eq!(many.gate(START), Gate::Wait(START + OPEN_FLOOR));
    assert_eq!(many.gate(START + OPEN_FLOOR), Gate::Try, "then one try for all");
    let again = many.failed(&id("s-9"), &passing, START + OPEN_FLOOR);
    assert_eq!(again.gate(START + OPEN_FLOOR), Gate::Wait(START + OPEN_FLOOR * 3), "twice as long");
    let (mut late, mut now) = (again, START + OPEN_FLOOR * 3);
    while now < START + Duration::hours(40) {
        late = late.failed(&id("s-1"), &passing, now);
        let Gate::Wait(until) = late.gate(now) else { panic!("{late:?}") };
        assert!(until - now <= BACKOFF_CEILING, "{late:?}");
        now = until;
    }
    assert_eq!((late.parked_at, late.failing.len()), (None, TRIPS), "and nothing grows");
    assert_eq!(late.succeeded(), Circuit::default());
    let parked = late.failed(&id("s-1"), &passing, START + PARKED_AFTER);
    assert_eq!(parked.gate(START + Duration::days(400)), Gate::Parked);
    let gone = Circuit::default().failed(&id("one"), &Failure::Gone, START);
    assert_eq!(gone.gate(START), Gate::Parked);
    let long = one.failed(&id("one"), &Failure::Passing("x".repeat(1000)), START);
    assert_eq!(long.why.unwrap().len(), 300);
}

async fn endpoint(world: &World) -> Value {
    let answer = world.http.get(world.url("api/subscriptions/events")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json::<Value>().await.unwrap()["endpoint"].clone()
}

async fn resume(world: &World) {
    let answer = world.http.post(world.url("api/subscriptions/events/resume")).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    world.settle().await;
}

/// A buyer confirms while the endpoint holds an event in its hands and does not answer: nobody waits for it.
#[tokio::test]
async fn activation_takes_no_longer_with_a_dead_endpoint() {
    async fn activate(world: &World) -> (Duration, u64, u64) {
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        let begun = world.now();
        buyer.confirm(&page).await;
        let shown = async {
            while world.record(&purchase.id).await.unwrap().known.status != Status::Subscribed {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), shown).await.expect("it becomes active");
        let calls = (world.calls(&purchase.id, "activate").await, world.calls(&purchase.id, "get-subscription").await);
        (world.now() - begun, calls.0, calls.1)
    }
    let world = World::new(&[]).await;
    world.faults(json!({ "activationLag": "PT0S" })).await;
    let without = activate(&world).await;
    connected(TOLD, async |world, receiver| {
        receiver.answer(EVENTS, silence());
        world.faults(json!({ "activationLag": "PT0S" })).await;
        // More than one instance works on at once (`batchSize` in host.json).
        for _ in 0..12 {
            world.visitor().arrive(&world.silver().await.landing_url, "buyer").await;
        }
        world.advance(Duration::seconds(9));
        receiver.until(EVENTS, 4).await;
        assert_eq!(activate(world).await, without, "while nobody answers");
        receiver.answer(EVENTS, says(204));
        // The calls that hang end with their patience, in real time; everything else goes on meanwhile.
        world.settle().await;
        assert_in_order(&world.records().await, &receiver.received());
    })
    .await;
}

#[tokio::test]
async fn a_day_without_an_answer_is_made_up_for_and_costs_few_tries() {
    connected(TOLD, async |world, receiver| {
        receiver.answer(EVENTS, says(503));
        for _ in 0..TRIPS + 4 {
            active_soon(world).await;
        }
        world.pass(Duration::days(1)).await;
        assert!(endpoint(world).await["openUntil"].is_string(), "the circuit opened");
        let tries = receiver.received().len();
        // Alone each would have been tried some thirty times: five minutes of doubling waits, then every hour.
        assert!((10..90).contains(&tries), "{tries}");
        assert!(world.records().await.iter().all(|record| record.known.status == Status::Subscribed));
        receiver.answer(EVENTS, says(200));
        world.settle().await;
        assert_eq!(endpoint(world).await["state"], "good");
        let received = receiver.received().split_off(tries);
        assert_in_order(&world.records().await, &received);
        assert_equal_to_us(&world.records().await, &received);
    })
    .await;
}

/// Confirmed, and active within the next minute; what is told of it may hang.
async fn active_soon(world: &World) {
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    world.pass(Duration::minutes(1)).await;
}

#[tokio::test]
async fn after_two_days_it_is_parked_and_one_call_resumes_it() {
    connected(TOLD, async |world, receiver| {
        receiver.answer(EVENTS, says(500));
        for _ in 0..5 {
            active_soon(world).await;
        }
        world.settle().await;
        assert!(world.now() - START < Duration::days(4), "it comes to rest: {}", world.now());
        let parked = endpoint(world).await;
        assert_eq!((&parked["state"], &parked["isResuming"]), (&json!("parked"), &json!(false)));
        // A purchase goes on as ever, and nobody tries to tell.
        let tries = receiver.received().len();
        active_soon(world).await;
        world.pass(Duration::days(1)).await;
        assert_eq!(receiver.received().len(), tries);
        let failed = |record: &Subscription| record.duty(Kind::Notify).is_some_and(|duty| duty.failed_at.is_some());
        assert!(world.records().await.iter().all(failed), "nothing is lost");

        receiver.answer(EVENTS, says(200));
        resume(world).await;
        assert_eq!(endpoint(world).await["state"], "good");
        let received = receiver.received().split_off(tries);
        assert_in_order(&world.records().await, &received);
        assert_equal_to_us(&world.records().await, &received);
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_parked_at_once() {
    connected(TOLD, async |world, receiver| {
        receiver.answer(EVENTS, says(410));
        let first = world.silver().await;
        world.visitor().arrive(&first.landing_url, "buyer").await;
        let log = Log::default();
        {
            let _captured = log.capture();
            notify::run(&world.dev.app, &first.id).await.unwrap();
        }
        let lines = log.ours();
        let parked: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
        assert_eq!(parked.len(), 1, "the alert looks for it: {lines:#?}");
        let said = parked[0]["fields"]["message"].as_str().unwrap();
        assert!(said.starts_with("the events endpoint is parked"), "{said}");
        let purchase = active(world).await;
        assert_eq!(receiver.received().len(), 1);
        assert_eq!(endpoint(world).await["state"], "parked");
        world.pass(Duration::days(3)).await;
        assert_eq!(receiver.received().len(), 1);
        receiver.answer(EVENTS, says(200));
        resume(world).await;
        assert_eq!(words(&of(receiver, &purchase.id)), ["purchased", "confirmed", "activated"]);
    })
    .await;
}

/// The wait that the endpoint asks for, up to an hour.
#[tokio::test]
async fn retry_after_is_honoured() {
    connected(TOLD, async |world, receiver| {
        receiver.answer_next(EVENTS, [says(429).with("retry-after", "1800"), says(503).with("retry-after", "86400")]);
        let begun = world.now();
        world.visitor().arrive(&world.silver().await.landing_url, "buyer").await;
        world.settle().await;
        let took = world.now() - begun;
        assert!((Duration::minutes(90)..Duration::minutes(92)).contains(&took), "{took}");
        assert_eq!(receiver.received().len(), 3);
    })
    .await;
}

/// One subscription's event that the endpoint cannot take: its own successors wait, and nobody else's.
#[tokio::test]
async fn what_one_event_is_refused_for_holds_up_no_other_subscription() {
    connected(TOLD, async |world, receiver| {
        receiver.answer_next(EVENTS, vec![says(500); 8]);
        let stuck = world.silver().await;
        world.visitor().arrive(&stuck.landing_url, "buyer").await;
        world.pass(Duration::minutes(10)).await;
        assert_eq!(endpoint(world).await["state"], "failing");
        let other = active(world).await;
        // Those of the other one may meet a refusal as well; it is not kept waiting for the first one's.
        let told = words(&of(receiver, &other.id));
        assert!(told.ends_with(&["purchased", "confirmed", "activated"].map(str::to_owned)), "{told:?}");
        assert_in_order(&world.records().await, &receiver.received());
    })
    .await;
}
