//! The rules of webhooks and orders: what a notice means, what it does to a record, and what the publisher may order.

use marketplace_fulfillment::duty::{DUTIES, Duty, DutyId, Kind, Queue, Task, Verdict, Wanted};
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::marketplace::{Action, Operation, OperationStatus, RequestSource};
use marketplace_fulfillment::notice::{conclude, is_behind};
use marketplace_fulfillment::policy::Policy;
use marketplace_fulfillment::subscription::{
    ANSWERED, Applied, Decision, Event, Notice, OperationId, Refusal, Ruling, Snapshot, Subscription, SubscriptionId,
    Terms,
};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::subscription::snapshot;

const NOW: OffsetDateTime = datetime!(2026-11-20 09:00 UTC);

fn operation_id(text: &str) -> OperationId {
    OperationId::parse(text).unwrap()
}

fn notice(operation: &str, action: &str) -> Notice {
    Notice { operation: Some(operation_id(operation)), action: action.to_owned() }
}

fn known_as(status: &str) -> Subscription {
    let id = SubscriptionId::parse("b8d6908b-3c77-4b0b-9a53-9e16a1b010a7").unwrap();
    let known =
        Snapshot { allowed_operations: ["Read", "Update", "Delete"].map(str::to_owned).to_vec(), ..snapshot(status) };
    Subscription::discovered(id, known, Actor::Marketplace, NOW)
}

fn operation(action: Action, status: OperationStatus, source: RequestSource) -> Operation {
    Operation {
        id: "op-1".to_owned(),
        subscription_id: None,
        action,
        status,
        source: Some(source),
        plan_id: Some("gold".to_owned()),
        quantity: None,
        offer_id: None,
        at: None,
        error_code: None,
        error_message: None,
    }
}

fn decided(operation: &str, verdict: Verdict) -> Event {
    let wanted = Terms { plan_id: "gold".to_owned(), quantity: Some(5) };
    Event::Decided { notice: notice(operation, "ChangePlan"), wanted, ruling: Ruling::by_rule(verdict, None) }
}

fn acknowledge(operation: &str) -> DutyId {
    DutyId { kind: Kind::Acknowledge, operation: Some(operation_id(operation)) }
}

/// Action, how far its operation is, who asked, and what a notice of it means.
#[test]
fn what_a_notice_means() {
    use OperationStatus::{Failed, InProgress, NotStarted, Succeeded};
    use RequestSource::{Azure, Partner};
    let unknown = || Action::Other("Transfer".to_owned());
    let table = [
        (Action::ChangePlan, InProgress, Azure, "Success"),
        (Action::ChangePlan, NotStarted, Azure, "Success"),
        (Action::ChangePlan, Succeeded, Azure, "noticed"),
        (Action::ChangePlan, Failed, Azure, "noticed"),
        (Action::ChangePlan, InProgress, Partner, "noticed"),
        (Action::ChangeQuantity, InProgress, Azure, "Success"),
        (Action::Reinstate, InProgress, Azure, "Success"),
        (Action::Reinstate, Succeeded, Azure, "noticed"),
        (Action::Suspend, InProgress, Azure, "noticed"),
        (Action::Renew, Succeeded, Azure, "noticed"),
        (Action::Unsubscribe, Succeeded, Azure, "noticed"),
        (Action::Subscribe, Succeeded, Azure, "noticed"),
        (unknown(), InProgress, Azure, "noticed"),
    ];
    for (action, status, source, expected) in table {
        let told = format!("{action:?} {status:?} {source:?}");
        let operation = operation(action, status, source);
        let event = conclude(notice("op-1", "lies"), &snapshot("Subscribed"), Some(&operation), &Policy::accept_all());
        let (found, notice) = match event {
            Event::Decided { notice, ruling, .. } => (ruling.verdict.as_str(), notice),
            Event::Noticed(notice) => ("noticed", notice),
            other => panic!("{told}: {other:?}"),
        };
        assert_eq!(found, expected, "{told}");
        assert_eq!(notice.action, operation.action.as_str(), "{told}: the API's word, not the webhook's");
    }
    let event = conclude(notice("op-1", "ChangePlan"), &snapshot("Subscribed"), None, &Policy::accept_all());
    assert!(matches!(event, Event::Noticed(_)), "Microsoft knows no such operation: {event:?}");
}

/// A record remembers so many answers. One that Microsoft has not taken yet is not among those that go.
#[test]
fn an_answer_that_is_still_owed_is_not_forgotten_and_not_given_twice() {
    let mut record = known_as("Subscribed");
    record.apply(decided("op-owed", Verdict::Failure), NOW);
    for number in 0..=ANSWERED {
        record.apply(Event::Noticed(notice(&format!("op-{number}"), "Renew")), NOW);
    }
    assert_eq!(record.answered.len(), ANSWERED);
    let answer = record.answer_to(&operation_id("op-owed")).map(|answered| answered.decision.clone());
    assert_eq!(answer, Some(Decision::Given(Verdict::Failure)));
    assert!(record.answer_to(&operation_id("op-0")).is_none(), "the oldest that needs nothing any more went");

    // Also where an earlier release forgot it.
    record.answered.clear();
    let before = record.clone();
    assert_eq!(record.apply(decided("op-owed", Verdict::Success), NOW), Applied::Unchanged);
    assert_eq!(record, before);
}

/// What the operation shows, the plan that was read beside it, and whether that reading is the older one.
#[test]
fn a_change_between_two_readings_is_seen() {
    use OperationStatus::{Failed, InProgress, Succeeded};
    let table = [
        (Action::ChangePlan, Succeeded, "silver", true),
        (Action::ChangePlan, Succeeded, "gold", false),
        (Action::ChangePlan, InProgress, "silver", false),
        (Action::ChangePlan, Failed, "silver", false),
        (Action::ChangeQuantity, Succeeded, "silver", true),
        (Action::Renew, Succeeded, "silver", false),
    ];
    for (action, status, plan, expected) in table {
        let known = Snapshot { plan_id: plan.to_owned(), ..snapshot("Subscribed") };
        let operation = operation(action, status, RequestSource::Azure);
        assert_eq!(is_behind(&known, Some(&operation)), expected, "{operation:?} {plan}");
    }
    assert!(!is_behind(&snapshot("Subscribed"), None));
}

#[test]
fn a_policy_that_refuses_is_a_failure_with_a_reason_and_a_revert_is_accepted() {
    let policy = Policy { accepts_the_rest: false, ..Policy::accept_all() };
    let asked = operation(Action::ChangePlan, OperationStatus::InProgress, RequestSource::Azure);
    match conclude(notice("op-1", "ChangePlan"), &snapshot("Subscribed"), Some(&asked), &policy) {
        Event::Decided { ruling: Ruling { verdict: Verdict::Failure, why: Some(why), .. }, .. } => {
            assert!(!why.is_empty());
        }
        other => panic!("{other:?}"),
    }
    let revert = Operation { plan_id: Some("silver".to_owned()), ..asked };
    let event = conclude(notice("op-2", "ChangePlan"), &snapshot("Subscribed"), Some(&revert), &policy);
    let accepted = matches!(&event, Event::Decided { ruling, .. } if ruling.verdict == Verdict::Success);
    assert!(accepted, "{event:?}");
}

#[test]
fn an_answer_once_given_is_never_changed() {
    let mut record = known_as("Subscribed");
    assert_eq!(
        record.apply(decided("op-1", Verdict::Failure), NOW),
        Applied::Changed { rings: vec![Queue::Acknowledgements] }
    );
    let once = record.clone();
    for event in [
        decided("op-1", Verdict::Success),
        decided("op-1", Verdict::Failure),
        Event::Noticed(notice("op-1", "ChangePlan")),
        Event::Unread(notice("op-1", "ChangePlan")),
    ] {
        assert_eq!(record.apply(event.clone(), NOW), Applied::Unchanged, "{event:?}");
        assert_eq!(record, once, "{event:?}");
    }
    assert_eq!(record.answer_to(&operation_id("op-1")).unwrap().decision, Decision::Given(Verdict::Failure));
}

#[test]
fn what_could_not_be_read_is_owed_until_it_is() {
    for (event, rings) in
        [(decided("op-1", Verdict::Success), true), (Event::Noticed(notice("op-1", "Suspend")), false)]
    {
        let mut record = known_as("Subscribed");
        let ring = Applied::Changed { rings: vec![Queue::Acknowledgements] };
        assert_eq!(record.apply(Event::Unread(notice("op-1", "ChangePlan")), NOW), ring);
        assert_eq!(record.apply(Event::Unread(notice("op-1", "ChangePlan")), NOW), Applied::Unchanged);
        let examine = DutyId { kind: Kind::Examine, operation: Some(operation_id("op-1")) };
        assert!(record.duty(examine.clone()).is_some());
        let applied = record.apply(event, NOW);
        assert_eq!(applied == ring, rings, "{applied:?}");
        assert!(record.duty(examine).is_none(), "examined");
    }
    let mut thin = known_as("Suspended");
    let without = || Notice { operation: None, action: "Reinstate".to_owned() };
    thin.apply(Event::Unread(without()), NOW);
    assert_eq!(thin.duties.len(), 1);
    thin.apply(Event::Noticed(without()), NOW);
    assert!(thin.duties.is_empty());
}

#[test]
fn an_answer_is_delivered_or_overtaken_and_says_when_it_was_late() {
    for (as_answered, after, happenings, why) in [
        (true, Duration::seconds(2), vec![Happening::DutyDone], "Succeeded"),
        (true, Duration::seconds(11), vec![Happening::DutyDone], "Succeeded, seen after the ten seconds"),
        (false, Duration::seconds(2), vec![Happening::Overtaken, Happening::DutyDone], "Succeeded"),
    ] {
        let mut record = known_as("Subscribed");
        record.apply(decided("op-1", Verdict::Failure), NOW);
        let told = record.history.total();
        let closed = Event::Closed { operation: operation_id("op-1"), outcome: "Succeeded".to_owned(), as_answered };
        record.apply(closed, NOW + after);
        let news: Vec<_> = record.history.since(told).iter().map(|entry| entry.what.clone()).collect();
        assert_eq!(news, happenings, "{as_answered} {after}");
        assert_eq!(record.history.entries.last().unwrap().why.as_deref(), Some(why));
        assert!(record.duty(acknowledge("op-1")).is_none());
    }
}

/// What the publisher orders of a subscription in each status, and why not.
#[test]
fn what_can_be_ordered_when() {
    let plan = || Wanted::Plan("gold".to_owned());
    let table = [
        ("Subscribed", plan(), Ok("change")),
        ("Subscribed", Wanted::Quantity(7), Ok("change")),
        ("Subscribed", Wanted::Cancellation, Ok("cancel")),
        ("Subscribed", Wanted::Plan("silver".to_owned()), Err(Refusal::AsOrdered)),
        ("Subscribed", Wanted::Quantity(5), Err(Refusal::AsOrdered)),
        ("PendingFulfillmentStart", plan(), Err(Refusal::NotActive)),
        ("NotStarted", Wanted::Quantity(7), Err(Refusal::NotActive)),
        ("PendingFulfillmentStart", Wanted::Cancellation, Ok("cancel")),
        ("Suspended", plan(), Err(Refusal::Suspended)),
        ("Suspended", Wanted::Cancellation, Ok("cancel")),
        ("Unsubscribed", plan(), Err(Refusal::Cancelled)),
        ("Unsubscribed", Wanted::Cancellation, Err(Refusal::Cancelled)),
        ("Hibernating", plan(), Err(Refusal::UnknownStatus)),
    ];
    for (status, wanted, expected) in table {
        let mut record = known_as(status);
        let before = record.clone();
        let order = Event::Ordered(wanted.clone());
        match (record.apply(order.clone(), NOW), expected) {
            (Applied::Changed { rings }, Ok(kind)) => {
                assert_eq!(rings, [Queue::Changes], "{status} {wanted}");
                assert_eq!(record.duties[0].task.id().to_string(), kind, "{status} {wanted}");
                assert_eq!(record.history.entries.last().unwrap().what, Happening::Ordered);
                assert_eq!(record.apply(order, NOW), Applied::Refused(Refusal::Busy), "{status} {wanted}");
            }
            (Applied::Refused(refusal), Err(expected)) => {
                assert_eq!(refusal, expected, "{status} {wanted}");
                assert_eq!(record, before, "{status} {wanted}");
            }
            (applied, expected) => panic!("{status} {wanted}: {applied:?}, not {expected:?}"),
        }
    }
    let mut resold = known_as("Subscribed");
    resold.known.allowed_operations = vec!["Read".to_owned()];
    let order = Event::Ordered(plan());
    assert_eq!(resold.apply(order, NOW), Applied::Refused(Refusal::NotAllowed));
}

/// What Microsoft shows, and which of all kinds of duties are still owed then.
#[test]
fn what_microsoft_shows_ends_what_it_shows() {
    let owing_all = || {
        let mut record = known_as("Subscribed");
        let from = Terms { plan_id: "bronze".to_owned(), quantity: None };
        let tasks = [
            Task::Activate { accepted_at: None, provisioned_at: None },
            Task::Examine { operation: Some(operation_id("op-1")), action: "Renew".to_owned(), asked: None },
            Task::Acknowledge { operation: operation_id("op-2"), verdict: Verdict::Success },
            Task::Change { wanted: Wanted::Plan("gold".to_owned()), from, sent: None },
            Task::Cancel { sent: None },
        ];
        record.duties = tasks.into_iter().map(|task| Duty::new(task, NOW)).collect();
        record
    };
    let gold = |status| Snapshot { plan_id: "gold".to_owned(), ..snapshot(status) };
    for (said, owed) in [
        (snapshot("Subscribed"), "examine:op-1 acknowledge:op-2 change cancel"),
        (gold("Subscribed"), "examine:op-1 acknowledge:op-2 cancel"),
        (snapshot("Suspended"), "examine:op-1 acknowledge:op-2 change cancel"),
        (snapshot("Unsubscribed"), ""),
    ] {
        let mut record = owing_all();
        record.apply(Event::Read(Box::new(said.clone())), NOW);
        let left: Vec<_> = record.duties.iter().map(|duty| duty.task.id().to_string()).collect();
        assert_eq!(left.join(" "), owed, "{said:?}");
    }
    let mut cancelled = owing_all();
    cancelled.apply(Event::Read(Box::new(snapshot("Unsubscribed"))), NOW);
    let exits: Vec<_> = cancelled.history.entries.iter().filter(|entry| entry.what == Happening::DutyDone).collect();
    assert_eq!(exits.len(), 1, "only the cancellation is done, the rest impossible: {:?}", cancelled.history);
}

#[test]
fn nothing_grows_without_a_bound() {
    let mut record = known_as("Subscribed");
    for n in 0..DUTIES * 2 {
        record.apply(Event::Unread(notice(&format!("op-{n}"), "ChangePlan")), NOW);
    }
    assert_eq!(record.duties.len(), DUTIES);
    assert_eq!(record.apply(decided("op-x", Verdict::Success), NOW), Applied::Refused(Refusal::TooMuchOwed));
    let mut record = known_as("Subscribed");
    for n in 0..ANSWERED * 2 {
        record.apply(Event::Noticed(notice(&format!("op-{n}"), "Renew")), NOW);
    }
    assert_eq!(record.answered.len(), ANSWERED);
    assert!(record.answer_to(&operation_id("op-0")).is_none(), "the oldest goes first");
}

#[test]
fn the_names_of_duties_are_read_back() {
    for name in ["activate", "examine", "examine:op-1", "acknowledge:0a1b-2c", "change", "cancel"] {
        assert_eq!(DutyId::parse(name).unwrap().to_string(), name);
    }
    for wrong in ["", "other", "acknowledge:", "acknowledge:a b", "acknowledge:../x"] {
        assert!(DutyId::parse(wrong).is_none(), "{wrong}");
    }
}
