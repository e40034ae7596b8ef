//! What must hold in every world, at every save and every answer, and when it has gone quiet. Each is an invariant of
//! `docs/ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use marketplace_fulfillment::dev::receiver::{Endpoint, KEPT, Received};
use marketplace_fulfillment::duty::{Duty, DutyId, Kind, Verdict};
use marketplace_fulfillment::functions::Function;
use marketplace_fulfillment::history::Happening;
use marketplace_fulfillment::store::Store;
use marketplace_fulfillment::subscription::{Decision, OperationId, Status, Subscription, SubscriptionId};
use marketplace_fulfillment::web::{Reply, Request};
use serde_json::Value;

use super::weather::Weather;

/// The laws, with what they remember of the world so far.
pub(super) struct Laws {
    is_fair: bool,
    /// The records as they were saved last.
    seen: BTreeMap<SubscriptionId, Subscription>,
    /// The subscriptions that somebody who may has agreed to.
    consented: BTreeSet<String>,
}

impl Laws {
    pub(super) fn new(weather: &Weather) -> Self {
        Self { is_fair: weather.is_fair, seen: BTreeMap::new(), consented: BTreeSet::new() }
    }

    /// Somebody who may sets out to agree.
    pub(super) fn consent(&mut self, id: &str) {
        self.consented.insert(id.to_owned());
    }

    /// Something was saved, by somebody who has asked Microsoft since they loaded the record, or has not.
    pub(super) fn look(&mut self, store: &Store, reads_afresh: bool) {
        let page = store.page(None).now_or_never().expect("memory answers at once").unwrap();
        for record in page.subscriptions {
            if let Some(before) = self.seen.get(&record.id) {
                let learnt = record.known != before.known;
                assert!(!learnt || reads_afresh, "a reading from before the record was loaded: {record:#?}");
                nothing_is_undone(before, &record);
                duties_leave_by_three_exits(before, &record);
            }
            self.seen.insert(record.id.clone(), record);
        }
    }

    /// Somebody was answered.
    pub(super) fn answered(store: &Store, function: Function, request: &Request, reply: &Reply) {
        if function == Function::Webhook {
            assert_ne!(reply.status, 401, "Microsoft's own token is never proven wrong");
            if reply.status == 200 {
                what_was_told_is_saved(store, request);
                nothing_refused_is_waved_through(store, request);
            }
        }
    }

    /// The world has gone quiet.
    pub(super) fn at_rest(&self, records: &[Subscription], simulated: &[Value], untold: &BTreeSet<String>) {
        for record in records {
            let microsofts = simulated.iter().find(|one| one["id"] == record.id.as_str()).unwrap();
            assert!(record.duties.is_empty(), "still owed: {record:#?}");
            consent_leads_to_an_activation(record);
            orders_were_given_once(record, microsofts);
            if !untold.contains(record.id.as_str()) {
                both_sides_are_equal(record, microsofts);
                every_question_was_answered(record, microsofts);
            }
            answers_were_given_as_decided(record, microsofts);
            self.nobody_was_activated_without_consent(record, microsofts);
            if self.is_fair {
                nothing_was_done_twice(record, microsofts);
            }
        }
    }

    fn nobody_was_activated_without_consent(&self, record: &Subscription, microsofts: &Value) {
        let asked = microsofts["calls"]["activate"].as_u64().unwrap_or_default();
        let agreed = record.confirmed_at.is_some();
        assert!(asked == 0 || agreed, "activated without consent: {record:#?}");
        assert!(!agreed || self.consented.contains(record.id.as_str()), "nobody who may agreed: {record:#?}");
    }

    /// After reconciliation: whatever it repaired, a webhook that was lost had not told of.
    pub(super) fn repairs_are_explained(
        before: &[Subscription],
        after: &[Subscription],
        simulated: &[Value],
        untold: &BTreeSet<String>,
    ) {
        for record in after {
            // What the publisher asked to be read again, it may find before its webhook comes.
            let reconciled = |why: &String| why.starts_with("reconciliation");
            let mut repairs = record.history.entries.iter().filter(|entry| entry.what == Happening::Repaired);
            let repaired = repairs.find(|entry| entry.why.as_ref().is_some_and(reconciled));
            let earlier = before.iter().find(|one| one.id == record.id);
            // What nobody had told of, and nobody had opened, is found in the list.
            if earlier.is_some() && !untold.contains(record.id.as_str()) {
                assert!(repaired.is_none(), "repaired without a reason: {record:#?}\nbefore: {earlier:#?}");
            }
            let microsofts = simulated.iter().find(|one| one["id"] == record.id.as_str()).unwrap();
            both_sides_are_equal(record, microsofts);
            if earlier.is_none() {
                let told = deliveries(microsofts).iter().any(|delivery| delivery["status"] == 200);
                assert!(!told, "a record is missing: {record:#?}");
            }
        }
    }
}

/// Older knowledge never undoes newer, an answer once given stands, and nothing is taken out of the outbox.
fn nothing_is_undone(before: &Subscription, after: &Subscription) {
    let (from, to) = (&before.known.status, &after.known.status);
    assert!(*from != Status::Unsubscribed || to == from, "cancelled, and then {to:?}");
    let pending = *to == Status::PendingFulfillmentStart;
    assert!(!pending || *from == Status::PendingFulfillmentStart, "{from:?}, and then pending");
    for answered in &before.answered {
        let now = after.answered.iter().find(|one| one.operation == answered.operation);
        assert!(now.is_none_or(|now| now.decision == answered.decision), "two answers: {answered:?}, {now:?}");
    }
    let operations: BTreeSet<_> = after.answered.iter().map(|one| one.operation.as_str()).collect();
    assert_eq!(operations.len(), after.answered.len(), "an operation was taken in twice: {after:#?}");
    assert!(before.confirmed_at.is_none() || after.confirmed_at.is_some(), "consent is forgotten");
    assert!(before.outbox.sequence <= after.outbox.sequence, "the outbox goes back");
    assert_eq!(after.outbox.lost, 0, "events were dropped");
}

/// Done, impossible, or ended by an operator, and the history tells which.
fn duties_leave_by_three_exits(before: &Subscription, after: &Subscription) {
    let still = |duty: &&Duty| after.duty(duty.task.id()).is_none();
    for duty in before.duties.iter().filter(still) {
        let id = duty.task.id();
        let examined = id.kind == Kind::Examine && id.operation.as_ref().is_none_or(|id| after.answer_to(id).is_some());
        let told = id.kind == Kind::Notify && after.outbox.undelivered().is_empty();
        assert!(examined || told || exit(before, after, &id), "{id} left without a reason: {after:#?}");
    }
}

fn exit(before: &Subscription, after: &Subscription, id: &DutyId) -> bool {
    let exits = [Happening::DutyDone, Happening::DutyImpossible, Happening::DutyEnded];
    let name = format!("{id}, ");
    after
        .history
        .since(before.history.total())
        .iter()
        .any(|entry| exits.contains(&entry.what) && entry.to.as_deref().is_some_and(|to| to.starts_with(&name)))
}

/// The record of which a webhook tells, and the operation, where it names one.
fn told_of(store: &Store, request: &Request) -> (Subscription, Option<OperationId>) {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let id = SubscriptionId::parse(body["subscriptionId"].as_str().unwrap()).unwrap();
    let stored = store.load(&id).now_or_never().expect("memory answers at once").unwrap();
    let record = stored.unwrap_or_else(|| panic!("200 without a record: {body}")).subscription;
    (record, body["id"].as_str().and_then(OperationId::parse))
}

/// No 200 to a change that is refused.
fn nothing_refused_is_waved_through(store: &Store, request: &Request) {
    let (record, operation) = told_of(store, request);
    let answered = operation.and_then(|operation| record.answer_to(&operation).cloned());
    let refused = answered.is_some_and(|answered| answered.decision == Decision::Given(Verdict::Failure));
    assert!(!refused, "200 to what is refused: {record:#?}");
}

/// 2xx means that what was told is on a saved record, at least as a duty to examine it.
fn what_was_told_is_saved(store: &Store, request: &Request) {
    let (record, operation) = told_of(store, request);
    if let Some(operation) = operation {
        let examine = DutyId { kind: Kind::Examine, operation: Some(operation.clone()) };
        let known = record.answer_to(&operation).is_some() || record.duty(examine).is_some();
        // Of a subscription that was cancelled meanwhile nothing is examined any more, and the history says so.
        let told = |to: &str| to.contains(operation.as_str());
        let known = known || record.history.entries.iter().any(|entry| entry.to.as_deref().is_some_and(told));
        assert!(known, "200 and forgotten: {operation} {record:#?}");
    }
}

/// Whoever agreed gets what they bought, or there is a reason why not.
fn consent_leads_to_an_activation(record: &Subscription) {
    let agreed = record.confirmed_at.is_some() && record.known.status == Status::PendingFulfillmentStart;
    assert!(!agreed || record.refused.is_some(), "agreed, and never activated: {record:#?}");
}

/// What the publisher ordered reached Microsoft once at most, whatever became of the answers.
fn orders_were_given_once(record: &Subscription, microsofts: &Value) {
    let changes = ["ChangePlan", "ChangeQuantity", "Unsubscribe"];
    let own =
        |one: &&Value| one["operationRequestSource"] == "Partner" && changes.contains(&one["action"].as_str().unwrap());
    let reached = operations(microsofts).iter().filter(own).count();
    let ordered = record.history.entries.iter().filter(|entry| entry.what == Happening::Ordered).count();
    assert!(reached <= ordered || record.history.dropped > 0, "{reached} changes for {ordered} orders: {record:#?}");
}

fn both_sides_are_equal(record: &Subscription, microsofts: &Value) {
    let ours = (record.known.status.as_str(), record.known.plan_id.as_str(), record.known.quantity.map(u64::from));
    let status = microsofts["saasSubscriptionStatus"].as_str().unwrap();
    let theirs = (status, microsofts["planId"].as_str().unwrap(), microsofts["quantity"].as_u64());
    assert_eq!(ours, theirs, "ours, theirs: {record:#?} {microsofts:#}");
}

fn deliveries(microsofts: &Value) -> &Vec<Value> {
    microsofts["deliveries"].as_array().unwrap()
}

fn operations(microsofts: &Value) -> &Vec<Value> {
    microsofts["operations"].as_array().unwrap()
}

/// Whether the customer's side asked, and waits for an answer.
fn asks(operation: &Value) -> bool {
    let asking = ["ChangePlan", "ChangeQuantity", "Reinstate"].contains(&operation["action"].as_str().unwrap());
    asking && operation["operationRequestSource"] == "Azure"
}

fn every_question_was_answered(record: &Subscription, microsofts: &Value) {
    for operation in operations(microsofts).iter().filter(|one| asks(one)) {
        let id = OperationId::parse(operation["id"].as_str().unwrap()).unwrap();
        let ended = ["Succeeded", "Failed"].contains(&operation["status"].as_str().unwrap());
        assert!(ended, "not ended: {operation}");
        // The old, thin webhooks name no operation.
        let told = deliveries(microsofts).iter().any(|one| one["body"]["id"] == id.as_str() && one["status"] == 200);
        assert!(!told || record.answer_to(&id).is_some(), "not answered: {operation} {record:#?}");
    }
}

/// What Microsoft heard is what was decided.
fn answers_were_given_as_decided(record: &Subscription, microsofts: &Value) {
    for answered in &record.answered {
        let all = operations(microsofts);
        let Some(operation) = all.iter().find(|one| one["id"] == answered.operation.as_str()) else { continue };
        let because = operation["endedBecause"].as_str().unwrap_or_default();
        let heard = match because {
            "The publisher answered Success." => Some(Verdict::Success),
            "The publisher answered Failure." => Some(Verdict::Failure),
            refused if refused.starts_with("The publisher answered the webhook with 400") => Some(Verdict::Failure),
            _ => None,
        };
        let Some(heard) = heard else { continue };
        assert_eq!(answered.decision, Decision::Given(heard), "{because} {operation} {record:#?}");
    }
}

/// Where nothing fails, work that is doubled and interleaved asks Microsoft once.
fn nothing_was_done_twice(record: &Subscription, microsofts: &Value) {
    let calls = |name: &str| microsofts["calls"][name].as_u64().unwrap_or_default();
    assert!(calls("activate") <= 1, "{} activations: {record:#?}", calls("activate"));
    let asked = operations(microsofts).iter().filter(|one| asks(one)).count();
    let answers = calls("update-operation");
    assert!(answers <= asked as u64, "{answers} answers to {asked} questions: {record:#?}");
}

/// Everything arrived, each for the first time after the one before it, and none is missing.
pub(super) fn events_are_complete(records: &[Subscription], received: &[Received], somebody_listens: bool) {
    assert!(received.len() < KEPT, "the receiver has forgotten what it was sent first");
    for one in received.iter().filter(|one| one.endpoint == Endpoint::Events) {
        assert_eq!(one.problem, None, "{one:?}");
    }
    for record in records.iter().filter(|_| somebody_listens) {
        let mut expected: Vec<u64> = Vec::new();
        for one in received.iter().filter(|one| one.endpoint == Endpoint::Events && one.answer.starts_with('2')) {
            let number = one.body["sequence"].as_str().and_then(|number| number.parse().ok());
            let number = number.filter(|_| one.body["subject"] == record.id.as_str());
            expected.extend(number.filter(|number| !expected.contains(number)));
        }
        let told: Vec<_> = record.outbox.announcements.iter().map(|told| told.sequence).collect();
        assert_eq!(expected, told, "arrived, told: {record:#?}");
    }
}
