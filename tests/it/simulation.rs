//! Simulated worlds: from one seed come buyers, customers, a publisher, the marketplace and everything that can befall
//! them. When the world has gone quiet every invariant of the design must hold, first without reconciliation, which would
//! heal what it should not hide, and then with it.
//!
//! `tests/run --seeds N` goes through as many worlds as anybody likes; `tests/run --seed S` goes through one and prints
//! what happened in it.

mod door;
mod instance;
mod laws;
mod script;
mod settings;
mod stage;
mod task;
mod trace;
mod weather;

use std::panic::{AssertUnwindSafe, catch_unwind};

use time::Duration;
use tokio::task::LocalSet;

use self::laws::Laws;
use self::script::Script;
use self::stage::Stage;
use self::trace::Trace;

/// How many worlds the tests go through, unless `SEEDS` says otherwise.
const WORLDS: u64 = 240;

/// In how many shares, so that machines with more cores are done sooner.
const SHARES: u64 = 4;

/// After so many broken worlds a share has shown enough.
const ENOUGH: usize = 3;

/// How long the world stays quiet before it is judged: longer than Microsoft waits for an answer.
const AFTER: Duration = Duration::minutes(1);

#[expect(clippy::disallowed_methods, reason = "tests/run says which worlds there are")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}; it is a number")))
}

/// Goes through the world of this seed. Answers what happened in it, and why it broke.
fn world(seed: u64) -> (Trace, Option<String>) {
    let trace = Trace::default();
    let lines = trace.clone();
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, live(seed, lines));
    }));
    let broken = outcome.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    });
    (trace, broken)
}

async fn live(seed: u64, trace: Trace) {
    let mut stage = Stage::new(seed, trace).await;
    let mut script = Script::of(&mut stage.rng);
    stage.run(&mut script).await;
    stage.calm();
    stage.run(&mut script).await;
    stage.advance(AFTER, "Microsoft ends what nobody answered");
    stage.run(&mut script).await;

    let untold = stage.untold();
    let before = stage.records().await;
    stage.laws.at_rest(&before, &stage.simulator.subscriptions(), &untold);
    stage.events_are_complete().await;

    stage.reconcile();
    stage.run(&mut Script::empty()).await;
    let after = stage.records().await;
    let simulated = stage.simulator.subscriptions();
    Laws::repairs_are_explained(&before, &after, &simulated, &untold);
    stage.laws.at_rest(&after, &simulated, &untold);
    stage.events_are_complete().await;
}

/// Every `SHARES`th world.
#[expect(clippy::print_stdout, reason = "a world that broke is told of at once, and not after the last one")]
fn share(of: u64) {
    if setting("SEED").is_some() {
        return;
    }
    let mut broken = Vec::new();
    for seed in (of..setting("SEEDS").unwrap_or(WORLDS)).step_by(SHARES.try_into().unwrap()) {
        let (trace, why) = world(seed);
        if let Some(why) = why {
            println!("seed {seed} broke: {why}\n{}\nagain: tests/run --seed {seed}\n", trace.end());
            broken.push(seed);
        }
        if broken.len() == ENOUGH {
            break;
        }
    }
    assert!(broken.is_empty(), "the worlds of these seeds broke: {broken:?}");
}

#[test]
fn the_first_share_of_worlds() {
    share(0);
}

#[test]
fn the_second_share_of_worlds() {
    share(1);
}

#[test]
fn the_third_share_of_worlds() {
    share(2);
}

#[test]
fn the_fourth_share_of_worlds() {
    share(3);
}

/// Whoever replays a seed sees what the first run saw.
#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..4 {
        let (first, second) = (world(seed).0.lines(), world(seed).0.lines());
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        assert_eq!(differs.map(|line| (&first[line], &second[line])), None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

/// `tests/run --seed S`.
#[test]
#[expect(clippy::print_stdout, reason = "what happened is what was asked for")]
fn one_world() {
    let Some(seed) = setting("SEED") else { return };
    let (trace, why) = world(seed);
    println!("{}", trace.lines().join("\n"));
    assert_eq!(why, None, "the world of seed {seed} broke");
}
