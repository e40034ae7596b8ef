//! Values of any shape, written and read again: records, doorbells, names of duties, and what is passed on to others.

use arbitrary::{Result, Unstructured};
use marketplace_fulfillment::bell::Doorbell;
use marketplace_fulfillment::duty::{DutyId, Queue};
use marketplace_fulfillment::shown;
use marketplace_fulfillment::store::record::{COLUMN_BUDGET, decode, encode};
use marketplace_fulfillment::subscription::Subscription;

use super::NOW;
use super::made::Made;

pub fn holds(data: &[u8]) {
    let _ = values(&mut Made(Unstructured::new(data)));
}

fn values(made: &mut Made<'_>) -> Result<()> {
    let record = made.subscription()?;
    saved(&record);
    for queue in Queue::ALL {
        let bell = Doorbell { queue, subscription: record.id.clone() };
        assert_eq!(Doorbell::decode(queue, &bell.encode()), Ok(bell));
    }
    for id in record.duties.iter().map(|duty| duty.task.id()) {
        assert_eq!(DutyId::parse(&id.to_string()), Some(id));
    }
    let facts = shown::facts(&record, NOW);
    assert_eq!(facts["id"], record.id.as_str());
    Ok(())
}

/// A record comes back as it was; where it is too large for its columns it comes back smaller, and then stays so.
fn saved(record: &Subscription) {
    let row = encode(record).expect("a record without anything of a newer version always fits");
    let columns = [&row.record, &row.history, &row.outbox].map(|column| column.encode_utf16().count());
    assert!(columns.iter().all(|units| *units <= COLUMN_BUDGET), "{columns:?}");
    let read = decode(&record.id, &row).expect("what was written can be read");
    assert_eq!(encode(&read).as_ref(), Ok(&row), "what was read is written otherwise");
    let whole = read.history.entries.len() == record.history.entries.len()
        && read.outbox.announcements.len() == record.outbox.announcements.len()
        && columns[0] < COLUMN_BUDGET / 2;
    if whole {
        assert_eq!(read, *record);
    }
}
