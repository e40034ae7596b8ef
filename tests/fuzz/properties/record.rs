//! Stored columns, whatever stands in them: what can be read is written and read again as the same record, within its
//! columns, and every event has an answer on it; what cannot be read is told by its place.

use std::collections::BTreeSet;

use arbitrary::Unstructured;
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::opaque::Opaque;
use marketplace_fulfillment::store::record::{COLUMN_BUDGET, OPAQUE_ROOM, Row, decode, encode};
use marketplace_fulfillment::subscription::{Event, Subscription, SubscriptionId};
use serde_json::Value;

use super::made::Made;
use super::{NOW, assert_tellable, invariants, text};

/// The three columns, one in a line: JSON needs no line ends.
pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut columns = text.splitn(3, '\n').map(str::to_owned);
    let [record, history, outbox] = [(); 3].map(|()| columns.next().unwrap_or_default());
    let row = Row { record, history, outbox, status: String::new(), due: None };
    let id = SubscriptionId::parse("37f9dea2-4345-438f-b0bd-03d40d28c7e0").expect("a GUID");
    let read = match decode(&id, &row) {
        Ok(read) => read,
        Err(error) => return assert_tellable(&error.to_string()),
    };
    happens(&read, data);
    // The form says that numbers are whole; those with a fraction have more than one spelling.
    if [&row.record, &row.history, &row.outbox].into_iter().any(|column| has_fractions(column)) {
        return;
    }
    let Ok(written) = encode(&read) else {
        assert!(text.len() > OPAQUE_ROOM, "what is small can be written");
        return;
    };
    let fits = |column: &str| column.encode_utf16().count() <= COLUMN_BUDGET;
    assert!(fits(&written.record) && fits(&written.history) && fits(&written.outbox));
    let again = decode(&id, &written).expect("what was written can be read");
    assert_eq!(encode(&again).as_ref(), Ok(&written), "what was read is written otherwise");
    if text.len() < COLUMN_BUDGET / 3 {
        assert_eq!(understood(again), understood(read), "what was written reads otherwise");
    }
}

/// Events that the same bytes make, each on the record as it was read.
fn happens(read: &Subscription, data: &[u8]) {
    let mut made = Made(Unstructured::new(data));
    let replayed = Event::Replayed { from: 0, by: Actor::Publisher };
    let made = (0..4).filter_map(|_| made.event(read).ok());
    for event in made.chain([replayed, Event::Repaired { why: "because".to_owned() }]) {
        let mut after = read.clone();
        let applied = after.apply(event.clone(), NOW);
        if is_sound(read) {
            invariants::hold(read, &event, &applied, &after);
        }
    }
}

/// Whether a version of this program could have written it: one duty of each name, one answer to each operation,
/// numbers in their order.
fn is_sound(read: &Subscription) -> bool {
    let numbers: Vec<u64> = read.outbox.announcements.iter().map(|one| one.sequence).collect();
    let in_order = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    let newest = numbers.last().is_none_or(|newest| *newest <= read.outbox.sequence);
    let duties = read.duties.iter().map(|duty| duty.task.id().to_string());
    let answers = read.answered.iter().map(|answered| answered.operation.to_string());
    in_order && newest && read.outbox.sequence < u64::MAX - 100 && differ(duties) && differ(answers)
}

fn differ(mut names: impl Iterator<Item = String>) -> bool {
    let mut seen = BTreeSet::new();
    names.all(|name| seen.insert(name))
}

fn has_fractions(column: &str) -> bool {
    fn any(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(values) => values.iter().any(any),
            Value::Object(fields) => fields.values().any(any),
            _ => false,
        }
    }
    serde_json::from_str(column).is_ok_and(|value| any(&value))
}

/// The record without what a newer version wrote: it is carried as text, which may be spelled otherwise.
fn understood(mut record: Subscription) -> Subscription {
    record.opaque = Opaque::default();
    record.outbox.opaque = Opaque::default();
    record.duties.iter_mut().for_each(|duty| duty.opaque = Opaque::default());
    record.unknown_duties.iter_mut().for_each(|duty| duty.opaque = Opaque::default());
    record.answered.iter_mut().for_each(|answered| answered.opaque = Opaque::default());
    record.history.entries.iter_mut().for_each(|entry| entry.opaque = Opaque::default());
    record.outbox.announcements.iter_mut().for_each(|one| one.opaque = Opaque::default());
    record
}
