//! Webhooks on their way: which are due, how they were answered, when they are tried again, and what the answers mean
//! for the operations that they tell of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::market::{self, Market};
use super::operation::{Action, Operation, Source, milliseconds};
use super::payload::payload;
use super::span::instant;

/// How many webhooks are sent at once: enough to try a publisher's patience, and no flood for a program on one machine.
const AT_ONCE: usize = 16;

/// How many webhooks wait at once, each of a kilobyte and a half. Of more the oldest are given up.
const WAITING: usize = 20_000;

/// How often Microsoft tries to deliver a webhook that is not received.
pub const TRIES: u32 = 500;

/// How far apart the tries are, on the simulator's clock: 500 tries in 8 hours. Microsoft does not say how they are
/// spread; evenly is a guess.
pub const RETRY_EVERY: Duration = Duration::milliseconds(57_600);

/// How long a webhook that is to arrive after its successor waits for one, on the simulator's clock.
const HELD_AT_MOST: Duration = Duration::minutes(10);

/// How long after its successor a webhook that was held is sent, on the simulator's clock.
const RELEASED_AFTER: Duration = Duration::SECOND;

/// One webhook until it is received or given up.
struct Delivery {
    subscription_id: String,
    operation_id: String,
    action: Action,
    body: Arc<str>,
    tries: u32,
    /// When it was first sent.
    first_at: Option<OffsetDateTime>,
    /// When it was last sent.
    at: OffsetDateTime,
    /// Whether it waits for a successor to go first.
    held: bool,
}

/// All webhooks that are not yet received.
#[derive(Default)]
pub(super) struct Queue {
    /// By when they are due, then by age.
    waiting: BTreeMap<(OffsetDateTime, u64), Delivery>,
    under_way: BTreeMap<u64, Delivery>,
    next: u64,
    /// Whether nothing is sent for now.
    pub paused: bool,
}

/// What the courier carries.
pub(super) struct Errand {
    pub number: u64,
    pub operation_id: String,
    pub action: Action,
    pub body: Arc<str>,
}

/// What came of an attempt: a status, or why there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Status(u16),
    Nothing(&'static str),
}

/// One attempt, for whoever watches.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub operation_id: String,
    action: Action,
    number: u32,
    at: OffsetDateTime,
    answer: Answer,
    answered_after: Duration,
    pub body: Option<Arc<str>>,
}

impl Attempt {
    /// As the simulator's own calls show it. Times are in milliseconds: `answeredAfter` on the machine's clock,
    /// `acknowledgedAfter` on the simulator's.
    pub(super) fn to_json(&self, acknowledged_after: Option<Duration>) -> Value {
        let mut attempt = json!({
            "operationId": self.operation_id,
            "action": self.action.name(),
            "attempt": self.number,
            "at": instant(self.at),
            "answeredAfter": milliseconds(self.answered_after),
        });
        match &self.answer {
            Answer::Status(status) => attempt["status"] = (*status).into(),
            Answer::Nothing(why) => attempt["error"] = (*why).into(),
        }
        if let Some(took) = acknowledged_after {
            attempt["acknowledgedAfter"] = milliseconds(took).into();
        }
        if let Some(body) = &self.body {
            attempt["body"] = serde_json::from_str(body).unwrap_or_default();
        }
        attempt
    }
}

impl Delivery {
    fn attempt(&self, answer: Answer, answered_after: Duration) -> Attempt {
        Attempt {
            operation_id: self.operation_id.clone(),
            action: self.action.clone(),
            number: self.tries,
            at: self.at,
            answer,
            answered_after,
            body: Some(Arc::clone(&self.body)),
        }
    }
}

impl Queue {
    /// When the next attempt is due; what is under way does not count, and nothing is while webhooks are paused.
    pub(super) fn next_due(&self) -> Option<OffsetDateTime> {
        self.waiting.keys().next().filter(|_| !self.paused).map(|(due, _)| *due)
    }

    /// When the next attempt becomes due after `now`.
    pub(super) fn due_after(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let later = self.waiting.range((now, u64::MAX)..).next();
        later.filter(|_| !self.paused).map(|((due, _), _)| *due)
    }

    /// How many attempts are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// How many webhooks wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets all webhooks; answers to those under way mean nothing any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.paused = false;
    }

    /// Takes in a webhook. Answers the one that is given up for it where too many wait.
    fn push(&mut self, delivery: Delivery, due: OffsetDateTime) -> Option<Delivery> {
        let surplus = if self.waiting.len() >= WAITING { self.waiting.pop_first() } else { None };
        self.next += 1;
        self.waiting.insert((due, self.next), delivery);
        surplus.map(|(_, delivery)| delivery)
    }

    /// Lets webhooks of a subscription go that were held until a successor is due.
    fn release(&mut self, subscription_id: &str, successor_due: OffsetDateTime) -> bool {
        let is_held = |delivery: &Delivery| delivery.held && delivery.subscription_id == subscription_id;
        let held: Vec<_> = self.waiting.iter().filter(|(_, one)| is_held(one)).map(|(key, _)| *key).collect();
        for (due, number) in &held {
            if let Some(mut delivery) = self.waiting.remove(&(*due, *number)) {
                delivery.held = false;
                self.waiting.insert((successor_due + RELEASED_AFTER, *number), delivery);
            }
        }
        !held.is_empty()
    }

    /// The first webhook that is due and may go: those of one subscription go one after the other, but for copies.
    pub(super) fn startable(&self, now: OffsetDateTime) -> Option<(OffsetDateTime, u64)> {
        if self.paused || self.under_way.len() >= AT_ONCE {
            return None;
        }
        let busy: BTreeSet<_> = self.under_way.values().map(|one| (&one.subscription_id, &one.operation_id)).collect();
        let is_free = |delivery: &Delivery| {
            busy.iter().all(|(id, operation)| **id != delivery.subscription_id || **operation == delivery.operation_id)
        };
        let mut due = self.waiting.range(..=(now, u64::MAX));
        due.find(|(_, delivery)| is_free(delivery)).map(|(key, _)| *key)
    }
}

impl Market {
    /// Remembers an operation and tells the publisher of it, with whatever befalls webhooks on the way.
    pub(super) fn announce(&mut self, id: &str, operation: Operation) {
        let extra = self.faults.webhooks.actions.clone();
        let (told_at, is_revert) = (operation.told_at, operation.is_revert);
        self.tell(id, operation);
        for name in extra.iter().filter(|_| !is_revert) {
            let operation_id = self.guid();
            let Some(subscription) = self.subscriptions.get(id) else { return };
            self.tell(id, Operation::done(subscription, operation_id, Action::Other(name.as_str().into()), told_at));
        }
    }

    fn tell(&mut self, id: &str, mut operation: Operation) {
        let Self { subscriptions, rng, faults, queue, .. } = self;
        let Some(subscription) = subscriptions.get_mut(id) else { return };
        let webhooks = &faults.webhooks;
        let chance = |probability: f64, rng: &mut fastrand::Rng| probability > 0.0 && rng.f64() < probability;
        let body = payload(subscription, &operation, webhooks, rng).to_string();
        let mut due = operation.told_at + webhooks.late;
        let new = |held| Delivery {
            subscription_id: id.to_owned(),
            operation_id: operation.id.clone(),
            action: operation.action.clone(),
            body: body.as_str().into(),
            tries: 0,
            first_at: None,
            at: due,
            held,
        };
        if chance(webhooks.lost, rng) {
            // Somebody on the way took it: for Microsoft it was received.
            subscription.log(new(false).attempt(Answer::Nothing("lost on the way"), Duration::ZERO));
            operation.delivered_at = Some(due);
            operation.received(due);
            subscription.remember(operation);
            return;
        }
        let copies = if chance(webhooks.doubled, rng) { 2 } else { 1 };
        let follows = webhooks.reordered > 0.0 && queue.release(id, due);
        let held = !follows && chance(webhooks.reordered, rng);
        let deliveries: Vec<_> = (0..copies).map(|_| new(held)).collect();
        if held {
            due += HELD_AT_MOST;
        }
        subscription.remember(operation);
        for delivery in deliveries {
            if let Some(surplus) = self.queue.push(delivery, due) {
                self.give_up(&surplus, due, "Too many webhooks waited.");
            }
        }
    }

    /// What is to be sent now, and when to look again.
    pub(super) fn dispatch(&mut self, now: OffsetDateTime) -> (Vec<Errand>, Option<OffsetDateTime>) {
        let mut errands = Vec::new();
        while let Some(key) = self.queue.startable(now) {
            let Some(mut delivery) = self.queue.waiting.remove(&key) else { break };
            delivery.tries += 1;
            delivery.at = now;
            delivery.first_at.get_or_insert(now);
            if let Some(operation) = self.operation_mut(&delivery.subscription_id, &delivery.operation_id) {
                operation.delivered_at.get_or_insert(now);
            }
            errands.push(Errand {
                number: key.1,
                operation_id: delivery.operation_id.clone(),
                action: delivery.action.clone(),
                body: Arc::clone(&delivery.body),
            });
            self.queue.under_way.insert(key.1, delivery);
        }
        let agenda = self.agenda.first().map(|(at, _)| *at);
        let next = [self.queue.due_after(now), agenda].into_iter().flatten().min();
        (errands, next)
    }

    /// An attempt has come back.
    pub(super) fn returned(&mut self, number: u64, answer: &Answer, answered_after: Duration, now: OffsetDateTime) {
        let Some(delivery) = self.queue.under_way.remove(&number) else { return };
        self.touched.push(delivery.subscription_id.clone());
        if let Some(subscription) = self.subscriptions.get_mut(&delivery.subscription_id) {
            subscription.log(delivery.attempt(answer.clone(), answered_after));
        }
        match answer {
            Answer::Status(200..=299) => {
                if let Some(operation) = self.operation_mut(&delivery.subscription_id, &delivery.operation_id) {
                    operation.received(delivery.at);
                }
            }
            // Whoever is asked says no with such a status. Whoever is only told has no say, and is told again.
            Answer::Status(status @ 400..=499) if delivery.action.asks() => {
                let because = format!("The publisher answered the webhook with {status}.");
                self.reject(&delivery.subscription_id, &delivery.operation_id, &because, now);
            }
            _ => self.retry(delivery, number, now),
        }
    }

    fn retry(&mut self, delivery: Delivery, number: u64, now: OffsetDateTime) {
        let every = self.faults.webhooks.retry_every.unwrap_or(RETRY_EVERY);
        let first_at = delivery.first_at.unwrap_or(delivery.at);
        if delivery.tries >= TRIES || delivery.at - first_at >= every * TRIES {
            self.give_up(&delivery, now, "The publisher did not receive the webhook, however often it was sent.");
        } else if self.subscriptions.contains_key(&delivery.subscription_id) {
            self.queue.waiting.insert((delivery.at + every, number), delivery);
        }
    }

    fn give_up(&mut self, delivery: &Delivery, now: OffsetDateTime, because: &str) {
        self.touched.push(delivery.subscription_id.clone());
        let operation = self.operation_mut(&delivery.subscription_id, &delivery.operation_id);
        if let Some(operation) = operation.filter(|operation| operation.is_pending()) {
            operation.fail(("NoAnswer", "The publisher could not be reached."), now, because);
        }
    }

    /// The publisher refuses. Where they are so set, the customer's side then takes back what it asked for.
    pub(super) fn reject(&mut self, id: &str, operation_id: &str, because: &str, now: OffsetDateTime) {
        let revert = self.faults.webhooks.revert;
        let new_id = market::guid(&mut self.rng);
        let Some(operation) = self.operation_mut(id, operation_id).filter(|operation| operation.is_pending()) else {
            return;
        };
        operation.fail(("Rejected", "The publisher refused the change."), now, because);
        let action = operation.action.clone();
        let revert = revert && action.is_change() && operation.source == Source::Azure && !operation.is_revert;
        let Some(subscription) = self.subscriptions.get(id).filter(|_| revert) else { return };
        let taken_back = Operation::asked(subscription, new_id, action, subscription.terms(), now);
        self.announce(id, Operation { is_revert: true, ..taken_back });
    }

    fn operation_mut(&mut self, id: &str, operation_id: &str) -> Option<&mut Operation> {
        let subscription = self.subscriptions.get_mut(id)?;
        subscription.operations.iter_mut().find(|operation| operation.id == operation_id)
    }
}
