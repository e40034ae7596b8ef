//! The budget of a column: whatever Microsoft, a webhook or an operator wrote, a subscription can be saved. What is left
//! out goes in a fixed order, and the record says so.

use marketplace_fulfillment::duty::{DUTIES, Duty, DutyId, ERROR_LENGTH, Kind, PATIENCE, Sent, Task, Verdict, Wanted};
use marketplace_fulfillment::entitlement::Override;
use marketplace_fulfillment::history::{Actor, Entry, HISTORY_LENGTH, Happening, PERSON_LENGTH, TEXT_LENGTH};
use marketplace_fulfillment::marketplace::wire::{ID_LENGTH, REST_LENGTH};
use marketplace_fulfillment::opaque::Opaque;
use marketplace_fulfillment::store::StoreError;
use marketplace_fulfillment::store::record::{COLUMN_BUDGET, OPAQUE_ROOM, Row, decode, encode};
use marketplace_fulfillment::subscription::{
    ANSWERED, Answered, Decision, Event, OperationId, Party, REASON_LENGTH, Status, Subscription, SubscriptionId, Term,
    Terms,
};
use serde_json::{Value, json};

use super::{NOW, full, id};

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn column(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn fits(row: &Row) -> bool {
    units(&row.record) <= COLUMN_BUDGET && units(&row.history) <= COLUMN_BUDGET
}

fn operation(number: usize) -> OperationId {
    OperationId::parse(&format!("{number:0>64}")).unwrap()
}

/// Everything as long as it can become, in the letters that take the most room.
fn worst() -> Subscription {
    let huge = || "\u{1}".repeat(COLUMN_BUDGET / 6);
    let name = || "😀".repeat(ID_LENGTH);
    let mut worst = full();
    worst.id = SubscriptionId::parse(&"f".repeat(SubscriptionId::LENGTH)).unwrap();
    let party =
        || Some(Party { email: Some(huge()), object_id: Some(huge()), tenant_id: Some(huge()), puid: Some(huge()) });
    let known = &mut worst.known;
    (known.offer_id, known.plan_id, known.status) = (name(), name(), Status::Other(name()));
    (known.name, known.beneficiary, known.purchaser) = (huge(), party(), party());
    known.term = Term { unit: Some(huge()), start: Some(NOW), end: Some(NOW) };
    known.allowed_operations = vec![huge(); 12];
    known.rest = Some("\\\"".repeat(REST_LENGTH / 2));
    worst.entitlement_override = Some(Override {
        entitled: false,
        until: NOW,
        reason: "😀".repeat(300),
        at: NOW,
        person: Some("😀".repeat(PERSON_LENGTH)),
    });
    worst.indexed_under = Some("t".repeat(47));
    (worst.confirmed_at, worst.activated_at) = (Some(NOW), Some(NOW));
    worst.refused = Some("😀".repeat(REASON_LENGTH));
    let sent = || Some(Sent { at: NOW, operation: Some(operation(0)), location: Some(huge()) });
    let from = Terms { plan_id: name(), quantity: Some(u32::MAX) };
    worst.duties = vec![
        Duty::new(Task::Activate { accepted_at: Some(NOW), provisioned_at: Some(NOW) }, NOW),
        Duty::new(Task::Change { wanted: Wanted::Plan("p".repeat(100)), from, sent: sent() }, NOW),
        Duty::new(Task::Cancel { sent: sent() }, NOW),
    ];
    worst.duties.extend((worst.duties.len()..DUTIES).map(|number| {
        Duty::new(Task::Examine { operation: Some(operation(number)), action: "😀".repeat(64), asked: Some(NOW) }, NOW)
    }));
    for duty in &mut worst.duties {
        duty.attempts = u32::MAX;
        duty.last_error = Some("\u{1}".repeat(ERROR_LENGTH));
        duty.failed_at = Some(NOW);
    }
    let answered = |number| Answered {
        operation: operation(number),
        action: Some("ChangeQuantity".to_owned()),
        decision: Decision::Given(Verdict::Success),
        at: NOW,
        opaque: Opaque::default(),
    };
    worst.answered = (0..ANSWERED).map(answered).collect();
    worst
}

#[test]
fn the_worst_of_everything_can_be_saved_and_read() {
    let worst = worst();
    let row = encode(&worst).unwrap();
    assert!(fits(&row), "{} and {}", units(&row.record), units(&row.history));
    let read = decode(&worst.id, &row).unwrap();
    assert_eq!(read.known.terms(), worst.known.terms(), "what rules read is whole");
    assert_eq!((&read.known.offer_id, &read.known.status), (&worst.known.offer_id, &worst.known.status));
    let names = |of: &Subscription| of.duties.iter().map(|duty| duty.task.id()).collect::<Vec<_>>();
    assert_eq!(names(&read), names(&worst), "no duty is lost");
    assert_eq!(read.answered, worst.answered, "no answer is lost");
    assert_eq!(encode(&read).unwrap(), row, "and it stays so");
}

/// Beside the worst there is room for what a later version adds; it may count on that, and is never cut.
#[test]
fn a_newer_version_has_its_room_beside_the_worst() {
    let with = |length: usize| {
        let worst = worst();
        let row = encode(&worst).unwrap();
        let mut record = json!({ "v": 1, "later": "l".repeat(length) });
        for (name, value) in column(&row.record).as_object().unwrap() {
            record[name] = value.clone();
        }
        record["duties"][3]["last_error"] = "long".repeat(ERROR_LENGTH / 4).into();
        let row = Row { record: record.to_string(), ..row };
        (record["later"].clone(), encode(&decode(&worst.id, &row).unwrap()))
    };
    let (later, row) = with(OPAQUE_ROOM - r#""later":"","#.len());
    let row = row.unwrap();
    assert!(fits(&row));
    assert_eq!(column(&row.record)["later"], later);
    let (_, refused) = with(COLUMN_BUDGET);
    assert!(matches!(refused, Err(StoreError::Unfit(why)) if why.contains("column record")));
}

/// One thing after the other, and no more than needed.
#[test]
fn what_goes_first() {
    let over = |alter: &dyn Fn(&mut Subscription)| {
        let mut subscription = full();
        alter(&mut subscription);
        let row = encode(&subscription).unwrap();
        assert!(fits(&row));
        column(&row.record)
    };
    let rest = |of: &Value| of["known"]["rest"].as_str().unwrap().to_owned();
    let left_out = r#"{"leftOut":"4000 characters"}"#;
    let long_rest = |subscription: &mut Subscription| subscription.known.rest = Some("r".repeat(REST_LENGTH));

    let name = "n".repeat(COLUMN_BUDGET - REST_LENGTH);
    let record = over(&|subscription| {
        long_rest(subscription);
        subscription.known.name = name.clone();
    });
    assert_eq!((rest(&record).as_str(), &record["known"]["name"]), (left_out, &json!(name)), "the rest first");

    let record = over(&|subscription| {
        long_rest(subscription);
        subscription.known.name = "n".repeat(COLUMN_BUDGET);
        subscription.duties[0].last_error = Some("e".repeat(ERROR_LENGTH));
    });
    let cut = |letter: &str| json!(format!("{}…", letter.repeat(99)));
    assert_eq!((rest(&record).as_str(), &record["known"]["name"]), (left_out, &cut("n")), "then long texts");
    assert_eq!(record["duties"][0]["last_error"], cut("e"));
    assert_eq!(record["known"]["plan_id"], "silver");

    let location = format!("https://marketplaceapi.microsoft.com/{}", "l".repeat(COLUMN_BUDGET));
    let record = over(&|subscription| {
        let sent = Some(Sent { at: NOW, operation: Some(operation(1)), location: Some(location.clone()) });
        subscription.duties.push(Duty::new(Task::Cancel { sent }, NOW));
    });
    let sent = &record["duties"][1]["task"]["sent"];
    assert_eq!((&sent["operation"], sent.get("location")), (&json!(operation(1).as_str()), None), "then addresses");

    let record = over(&|subscription| subscription.known.rest = Some("r".repeat(REST_LENGTH)));
    assert_eq!(rest(&record).len(), REST_LENGTH, "what fits stays");
}

#[test]
fn the_oldest_of_a_history_that_is_too_long_goes_and_is_counted() {
    let mut subscription = full();
    let text = || Some("😀".repeat(TEXT_LENGTH));
    let before = subscription.history.total();
    for number in 0..HISTORY_LENGTH {
        let entry = Entry {
            person: Some("😀".repeat(PERSON_LENGTH)),
            ..Entry::new(Actor::Publisher, Happening::Ordered, NOW)
                .changing(text(), Some(number.to_string()))
                .because(text())
        };
        subscription.history.entries.push(entry);
    }
    let row = encode(&subscription).unwrap();
    assert!(fits(&row) && units(&row.history) > COLUMN_BUDGET - 2_000, "{}", units(&row.history));
    let read = decode(&subscription.id, &row).unwrap().history;
    assert_eq!(read.total(), before + HISTORY_LENGTH);
    assert_eq!(read.entries.last().unwrap().to.as_deref(), Some("39"), "the newest stay");
    assert!(read.entries.len() > 10, "{}", read.entries.len());

    subscription.history.entries =
        vec![Entry { person: Some("p".repeat(COLUMN_BUDGET)), ..subscription.history.entries[0].clone() }];
    let row = encode(&subscription).unwrap();
    assert_eq!(row.history, "[]", "one that would not fit alone");
    assert_eq!(column(&row.record)["history_dropped"], subscription.history.dropped + 1);
}

/// What an entry tells is bounded when it is noted, so that one entry cannot push out all the others.
#[test]
fn an_entry_is_bounded_and_says_where_it_was_cut() {
    let mut subscription = full();
    let duty: DutyId = Kind::Activate.into();
    subscription.apply(Event::Impossible { duty, why: "w".repeat(TEXT_LENGTH * 2) }, NOW);
    let why = subscription.history.entries.last().unwrap().why.clone().unwrap();
    assert_eq!((why.chars().count(), why.chars().last()), (TEXT_LENGTH, Some('…')));

    let mut suspended = full();
    let long = |letter: char| suspended_as(letter);
    suspended.known.status = Status::Unsubscribed;
    suspended.apply(long('a'), NOW);
    let told = suspended.history.total();
    suspended.apply(long('a'), NOW);
    assert_eq!(suspended.history.total(), told, "a source that repeats a long word is still told once");
}

fn suspended_as(letter: char) -> Event {
    let word: String = std::iter::repeat_n(letter, TEXT_LENGTH * 2).collect();
    Event::Read(Box::new(crate::subscription::snapshot(&word)))
}

#[test]
fn a_history_as_long_as_rules_make_it_is_whole() {
    let mut subscription = full();
    let why = "w".repeat(ERROR_LENGTH);
    for _ in 0..100 {
        subscription.apply(Event::Retried { duty: Kind::Activate.into(), by: Actor::Publisher }, NOW);
        let late = NOW + PATIENCE;
        subscription.apply(Event::Deferred { duty: Kind::Activate.into(), why: why.clone(), after: None }, late);
    }
    let row = encode(&subscription).unwrap();
    assert_eq!(decode(&id("full"), &row).unwrap().history, subscription.history);
}
