//! What is told of a subscription, by rule: which change is which news, and what becomes of too much of it.

use marketplace_fulfillment::duty::{Kind, Queue, Verdict, Wanted};
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::outbox::{KEPT, News, Outbox};
use marketplace_fulfillment::store::record::{COLUMN_BUDGET, decode, encode};
use marketplace_fulfillment::subscription::{
    Event, Notice, OperationId, Ruling, Snapshot, Status, Subscription, SubscriptionId, Terms,
};
use time::{Duration, OffsetDateTime};

use crate::subscription::snapshot;
use crate::world::START;

fn known_as(status: &str) -> Subscription {
    let id = SubscriptionId::parse("b8d6908b-3c77-4b0b-9a53-9e16a1b010a7").unwrap();
    let operations = ["Read", "Update", "Delete"].map(str::to_owned).to_vec();
    let known = Snapshot { allowed_operations: operations, ..snapshot(status) };
    let mut record = Subscription::discovered(id, known, Actor::Marketplace, START);
    record.outbox = Outbox::begin(START);
    record
}

fn notice(action: &str) -> Notice {
    Notice { operation: OperationId::parse("op-1"), action: action.to_owned() }
}

fn read(change: impl FnOnce(&mut Snapshot)) -> Event {
    let mut known = known_as("Subscribed").known;
    change(&mut known);
    Event::Read(Box::new(known))
}

fn decided(action: &str, verdict: Verdict) -> Event {
    let wanted = Terms { plan_id: "gold".to_owned(), quantity: Some(9) };
    Event::Decided { notice: notice(action), wanted, ruling: Ruling::by_rule(verdict, Some("why".to_owned())) }
}

fn words(record: &Subscription) -> Vec<String> {
    record.outbox.announcements.iter().map(|told| told.news.as_str().to_owned()).collect()
}

/// What was known, what happens, and what is told of it.
#[test]
fn each_change_is_told_by_its_word() {
    let status = |word: &str| Event::Read(Box::new(known_as(word).known));
    let table: Vec<(&str, Event, &str)> = vec![
        ("PendingFulfillmentStart", Event::Confirmed(Actor::Buyer), "confirmed"),
        ("PendingFulfillmentStart", status("Subscribed"), "activated"),
        ("PendingFulfillmentStart", status("Unsubscribed"), "cancelled"),
        ("Suspended", status("Subscribed"), "reinstated"),
        ("Subscribed", status("Suspended"), "suspended"),
        ("Subscribed", status("Hibernating"), "updated"),
        ("Subscribed", status("Unsubscribed"), "cancelled"),
        ("Unsubscribed", status("Subscribed"), ""),
        ("Subscribed", status("Subscribed"), ""),
        ("Subscribed", read(|known| known.plan_id = "gold".to_owned()), "plan_changed"),
        ("Subscribed", read(|known| known.quantity = Some(99)), "seats_changed"),
        ("Subscribed", read(|known| known.name = "New".to_owned()), "updated"),
        ("Subscribed", read(|known| known.auto_renew = Some(false)), "updated"),
        ("Subscribed", read(|known| known.term.end = Some(START)), "updated"),
        // Nobody is shown what this version does not know.
        ("Subscribed", read(|known| known.rest = Some("{}".to_owned())), ""),
        ("Subscribed", decided("ChangePlan", Verdict::Success), "plan_change_requested"),
        ("Subscribed", decided("ChangePlan", Verdict::Failure), "plan_change_requested plan_change_rejected"),
        ("Subscribed", decided("ChangeQuantity", Verdict::Failure), "seats_change_requested seats_change_rejected"),
        ("Subscribed", decided("Reinstate", Verdict::Success), ""),
        ("Subscribed", Event::Noticed(notice("Renew")), "renewed"),
        ("Subscribed", Event::Noticed(notice("Suspend")), ""),
        ("Subscribed", Event::Noticed(notice("Transfer")), "unknown_notification"),
        ("Subscribed", Event::Ordered(Wanted::Plan("gold".to_owned())), "plan_change_requested"),
        ("Subscribed", Event::Ordered(Wanted::Quantity(9)), "seats_change_requested"),
        ("Subscribed", Event::Ordered(Wanted::Cancellation), ""),
        ("Subscribed", Event::Repaired { why: "seats 5 -> 7".to_owned() }, "repaired"),
        ("Subscribed", Event::DeadlineNear { wanted: "payment", at: START }, "deadline_near"),
        ("Subscribed", Event::Replayed { from: u64::MAX, by: Actor::Publisher }, "current"),
    ];
    for (before, event, expected) in table {
        let mut record = known_as(before);
        if before == "Suspended" {
            record.activated_at = Some(START);
        }
        let told = format!("{before}, {event:?}");
        record.apply(event.clone(), START + Duration::minutes(1));
        assert_eq!(words(&record).join(" "), expected, "{told}");
        record.apply(event.clone(), START + Duration::minutes(2));
        let again = matches!(event, Event::Repaired { .. } | Event::Replayed { .. });
        assert!(again || words(&record).join(" ") == expected, "the same once more is no news: {told}");
    }
}

#[test]
fn what_cannot_be_any_more_is_told_with_its_reason() {
    let mut record = known_as("PendingFulfillmentStart");
    record.apply(Event::Confirmed(Actor::Buyer), START);
    record.apply(Event::Impossible { duty: Kind::Activate.into(), why: "refused".to_owned() }, START);
    assert_eq!(words(&record), ["confirmed", "activation_failed"]);
    assert_eq!(record.outbox.announcements[1].why.as_deref(), Some("refused"));

    let mut record = known_as("Subscribed");
    record.apply(decided("ChangePlan", Verdict::Success), START);
    let operation = OperationId::parse("op-1").unwrap();
    record.apply(Event::Closed { operation, outcome: "Failed".to_owned(), as_answered: false }, START);
    assert_eq!(words(&record), ["plan_change_requested", "plan_change_rejected"]);
}

#[test]
fn what_nobody_takes_is_owed_once_and_left_with_the_last() {
    let mut record = known_as("Subscribed");
    record.apply(Event::Noticed(notice("Renew")), START);
    record.apply(read(|known| known.quantity = Some(7)), START);
    assert_eq!(record.owe_news(true, START), Some(Queue::Notifications));
    assert_eq!(record.owe_news(true, START), None, "it is owed already");
    let first = record.outbox.announcements[0].sequence;
    record.apply(Event::Delivered { through: first }, START);
    assert!(record.duty(Kind::Notify).is_some(), "the second has not arrived");
    record.apply(Event::Delivered { through: first - 5 }, START);
    assert_eq!(record.outbox.delivered, first, "nothing arrives backwards");
    record.apply(Event::Delivered { through: u64::MAX }, START);
    assert_eq!((record.duty(Kind::Notify), record.outbox.delivered), (None, first + 1));

    record.apply(read(|known| known.quantity = Some(8)), START);
    assert_eq!(record.owe_news(false, START), None);
    assert!(record.outbox.undelivered().is_empty(), "nobody listens");
    assert_eq!(record.owe_news(true, START), None, "and who listens later is not told of before");
}

/// Weeks of news that nobody takes: the newest are kept, and what was dropped is counted.
#[test]
fn too_much_that_nobody_takes_is_counted() {
    let mut record = known_as("Subscribed");
    let (told, delivered) = (KEPT + 20, 5);
    for index in 0..told {
        let why = format!("{index} {}", "\u{1}".repeat(280));
        record.apply(Event::Repaired { why }, START);
        if index + 1 == delivered {
            record.apply(Event::Delivered { through: u64::MAX }, START);
        }
    }
    assert_eq!(record.outbox.announcements.len(), KEPT);
    assert_eq!(record.outbox.lost as usize, told - KEPT - delivered, "what had arrived is not lost");
    // So many of the longest do not fit the column: the oldest go, and are counted as well.
    let row = encode(&record).unwrap();
    assert!(row.outbox.encode_utf16().count() <= COLUMN_BUDGET);
    let stored = decode(&record.id, &row).unwrap();
    let kept = stored.outbox.announcements.len();
    assert!(kept > 0 && kept < KEPT, "{kept}");
    assert_eq!(stored.outbox.lost as usize, told - delivered - kept);
    assert_eq!(stored.outbox.sequence, record.outbox.sequence, "the numbers go on");
    assert_eq!(encode(&stored).unwrap(), row, "and it stays so");
}

#[test]
fn a_sequence_begins_with_the_records_creation() {
    let begun = |at: OffsetDateTime| Outbox::begin(at).sequence;
    assert_eq!(begun(START), 1_795_165_200_000);
    assert!(begun(START + Duration::milliseconds(1)) > begun(START));
    let adopted = Subscription::adopted(
        SubscriptionId::parse("b8d6908b-3c77-4b0b-9a53-9e16a1b010a7").unwrap(),
        snapshot("Subscribed"),
        START,
    );
    assert_eq!((adopted.outbox.sequence, words(&adopted)), (begun(START), Vec::new()), "a baseline is no news");
    assert_eq!(adopted.known.status, Status::Subscribed);
    assert_eq!(News::parse("sold"), News::Other("sold".to_owned()));
}
