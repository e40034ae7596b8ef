//! What befalls a world, drawn from its seed: how often storage fails, processes die, webhooks are lost, clocks jump.

use fastrand::Rng;
use marketplace_fulfillment::dev::receiver::{self, Answers};
use marketplace_fulfillment::dev::simulator::{Answer, Call, Effect, Faults, Form, Profile, Rule, Webhooks};
use marketplace_fulfillment::mishap::Mishap;
use time::Duration;

/// What befalls one step of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing: it is done.
    Done,
    /// This.
    Mishap(Mishap),
    /// The instance dies before it.
    DiesBefore,
    /// The instance dies after it.
    DiesAfter,
}

/// Probabilities, each for one occasion.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// Nothing fails here: work is only doubled, interleaved and late, and what is counted must be exact.
    pub(super) is_fair: bool,
    /// Instances at a time.
    pub(super) instances: usize,
    /// A step of storage fails.
    storage: f64,
    /// An instance dies at a step.
    death: f64,
    /// Time jumps while work is under way.
    pub(super) jump: f64,
    /// A bell that was answered rings again.
    pub(super) doubled_bell: f64,
    /// A bell is lost.
    pub(super) lost_bell: f64,
    /// Work after an answer is not done.
    pub(super) too_busy: f64,
    /// How far the clocks of instances go apart, in seconds.
    pub(super) skew: i64,
    /// How the marketplace behaves.
    pub(super) faults: Faults,
    /// How the publisher's software answers.
    pub(super) answers: Answers,
}

/// The calls of the fulfillment API and of Entra that a world spoils.
const SPOILT: [Call; 11] = [
    Call::Resolve,
    Call::Activate,
    Call::GetSubscription,
    Call::ChangePlan,
    Call::ChangeQuantity,
    Call::Cancel,
    Call::GetOperation,
    Call::UpdateOperation,
    Call::ListOperations,
    Call::Token,
    Call::Keys,
];

impl Weather {
    pub(super) fn of(rng: &mut Rng) -> Self {
        let is_fair = rng.u8(..5) == 0;
        let often = |rng: &mut Rng, most: f64| if is_fair || rng.bool() { 0.0 } else { rng.f64() * most };
        Self {
            is_fair,
            instances: rng.usize(1..=3),
            storage: often(rng, 0.15),
            death: often(rng, 0.03),
            jump: often(rng, 0.02),
            doubled_bell: if rng.bool() { rng.f64() * 0.4 } else { 0.0 },
            lost_bell: often(rng, 0.4),
            too_busy: rng.f64() * 0.5,
            skew: if is_fair { 0 } else { rng.i64(0..=20) },
            faults: faults(rng, is_fair),
            answers: answers(rng, is_fair),
        }
    }

    /// What befalls the next step.
    pub(super) fn fate(&self, rng: &mut Rng) -> Fate {
        if rng.f64() < self.death {
            return if rng.bool() { Fate::DiesBefore } else { Fate::DiesAfter };
        }
        if rng.f64() >= self.storage {
            return Fate::Done;
        }
        Fate::Mishap(match rng.u8(..16) {
            0 => Mishap::Panics,
            1..=5 => Mishap::LostRace,
            6..=10 => Mishap::Refused,
            _ => Mishap::Unanswered,
        })
    }

    /// The storm is over.
    pub(super) fn calm(&mut self) {
        (self.storage, self.death, self.jump) = (0.0, 0.0, 0.0);
        (self.doubled_bell, self.lost_bell, self.too_busy) = (0.0, 0.0, 0.0);
        let earlier = std::mem::take(&mut self.faults);
        let webhooks = Webhooks { lost: 0.0, doubled: 0.0, reordered: 0.0, ..earlier.webhooks };
        self.faults = Faults { activation_fails: false, rules: Vec::new(), webhooks, ..earlier };
        self.answers = Answers::default();
    }
}

fn faults(rng: &mut Rng, is_fair: bool) -> Faults {
    let probability = |rng: &mut Rng, most: f64| if rng.bool() { 0.0 } else { rng.f64() * most };
    let lost = if is_fair || rng.u8(..3) > 0 { 0.0 } else { rng.f64() * 0.4 };
    let webhooks = Webhooks {
        payload: [Form::Full, Form::Full, Form::Thin, Form::Partial][rng.usize(..4)],
        token_version: rng.u8(1..=2),
        extra_fields: rng.bool(),
        lie: rng.bool(),
        lost,
        doubled: probability(rng, 0.5),
        reordered: probability(rng, 0.4),
        late: Duration::seconds(if rng.bool() { 0 } else { rng.i64(0..120) }),
        revert: rng.bool(),
        retry_every: Some(Duration::minutes(rng.i64(1..30))),
        silent_void: false,
        actions: if rng.u8(..6) == 0 { vec!["Teleport".to_owned()] } else { Vec::new() },
    };
    Faults {
        activation_lag: Duration::seconds([0, 2, 20, 400][rng.usize(..4)]),
        activation_fails: !is_fair && rng.u8(..12) == 0,
        denied_401: false,
        secret_expired: false,
        profile: if rng.bool() { Profile::Observed } else { Profile::Documented },
        partition_size: rng.u32(1..4),
        webhooks,
        rules: if is_fair || rng.u8(..3) == 0 { Vec::new() } else { (0..rng.u8(1..4)).map(|_| rule(rng)).collect() },
    }
}

/// A refusal, throttling, a broken answer or none, with the deed done or not.
fn rule(rng: &mut Rng) -> Rule {
    let answers = [
        Answer::Status(429),
        Answer::Status(500),
        Answer::Status(503),
        Answer::Status(404),
        Answer::Drop,
        Answer::Garbage,
    ];
    let operation = SPOILT[rng.usize(..SPOILT.len())];
    let answer = answers[rng.usize(..answers.len())];
    let answer = match (answer, operation) {
        // Nothing that is there is unknown for ever.
        (Answer::Status(404), Call::GetOperation) => answer,
        // Whatever else it says, Azure's SDK asks again, in real time.
        (_, Call::Token) => Answer::Status(400),
        (Answer::Status(404), _) => Answer::Status(502),
        _ => answer,
    };
    let is_proof = answer == Answer::Status(404);
    Rule {
        operation: Some(operation),
        times: is_proof.then_some(1),
        probability: Some(0.1 + rng.f64() * 0.5),
        answer,
        effect: if rng.bool() { Effect::Done } else { Effect::None },
        retry_after: (rng.u8(..3) == 0).then(|| rng.u32(1..300)),
    }
}

fn answers(rng: &mut Rng, is_fair: bool) -> Answers {
    let mut spoil = |answer: &mut receiver::Answer| {
        if !is_fair && rng.u8(..3) == 0 {
            answer.says = receiver::Says::Status([500, 503, 429, 400][rng.usize(..4)]);
            answer.times = Some(rng.u32(1..5));
            answer.retry_after = rng.bool().then(|| rng.u32(1..600));
        }
    };
    let mut answers = Answers::default();
    spoil(&mut answers.events);
    spoil(&mut answers.provision);
    answers
}
