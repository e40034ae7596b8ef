//! Any events on any record, at any time: nothing panics, every invariant holds after each, what comes twice changes
//! nothing the second time, and what does not depend on each other may come in either order.

use arbitrary::{Result, Unstructured};
use marketplace_fulfillment::subscription::{Applied, Event, Snapshot, Status, Subscription};
use time::OffsetDateTime;

use super::invariants;
use super::made::Made;

/// The most events of one sequence: longer ones tell nothing that shorter ones do not, and take their time.
const EVENTS: usize = 40;

pub fn holds(data: &[u8]) {
    // Bytes that end in the middle end the sequence.
    let _ = sequence(&mut Made(Unstructured::new(data)));
}

fn sequence(made: &mut Made<'_>) -> Result<()> {
    let mut record = made.subscription()?;
    let mut now = made.time()?;
    for _ in 0..EVENTS {
        if made.0.is_empty() {
            break;
        }
        let event = made.event(&record)?;
        let other = made.event(&record)?;
        in_either_order(&record, &event, &other, now);
        let before = record.clone();
        let applied = record.apply(event.clone(), now);
        invariants::hold(&before, &event, &applied, &record);
        twice(&record, &event, now);
        looked_at(&record, now);
        if made.flag()? {
            record.owe_news(made.flag()?, now);
        }
        now = if made.0.ratio(1_u8, 8)? { made.time()? } else { now.saturating_add(made.span()?) };
    }
    Ok(())
}

/// Every question about a record has an answer.
fn looked_at(record: &Subscription, now: OffsetDateTime) {
    let _ = (record.stage(now), record.entitlement(now), record.overriding(now).is_some());
    let _ = (record.should_send_activate(now), record.awaits_provisioning(), record.is_indexed());
    assert_eq!(record.is_due(now), record.due().is_some_and(|due| due <= now));
    let _ = marketplace_fulfillment::deadline::near(record, now);
}

/// Whether an event says that something is so, and not that somebody did something: attempts are counted, facts are
/// not.
fn is_fact(event: &Event, now: OffsetDateTime) -> bool {
    match event {
        Event::Claimed(_)
        | Event::Accepted { .. }
        | Event::Deferred { .. }
        | Event::Retried { .. }
        | Event::GivenUp { .. }
        | Event::Repaired { .. }
        | Event::DecidedLate { .. } => false,
        // What has ended when it is decided is decided anew each time; whoever reads a request refuses it.
        Event::Overridden(decided) => decided.counts(now),
        _ => true,
    }
}

/// The same event once more changes nothing.
fn twice(once: &Subscription, event: &Event, now: OffsetDateTime) {
    let mut twice = once.clone();
    let applied = twice.apply(event.clone(), now);
    if is_fact(event, now) {
        assert_eq!(twice, *once, "{event:?} changed something the second time ({applied:?})");
    } else {
        assert_eq!((&twice.known, &twice.answered), (&once.known, &once.answered), "{event:?}");
        assert_eq!(twice.duties.len(), once.duties.len(), "{event:?}");
    }
}

/// Two events in either order, where the design promises that the order is nothing: two readings of which one outdates
/// the other, and what concerns different things.
fn in_either_order(record: &Subscription, one: &Event, other: &Event, now: OffsetDateTime) {
    let after = |first: &Event, second: &Event| {
        let mut record = record.clone();
        let refused = [first, second].map(|event| matches!(record.apply(event.clone(), now), Applied::Refused(_)));
        (record, refused.contains(&true))
    };
    let ((forth, refused), (back, refused_back)) = (after(one, other), after(other, one));
    match (one, other) {
        (Event::Read(one), Event::Read(other)) if outdates(one, other) || outdates(other, one) => {
            assert_eq!(forth.known.status, back.known.status, "{one:?} and {other:?}");
            let newest = if outdates(one, other) { one } else { other };
            let took = forth.known == **newest;
            assert_eq!(took, back.known == **newest, "{one:?} and {other:?}");
        }
        (Event::Delivered { .. }, Event::Delivered { .. }) => {
            assert_eq!(forth.outbox.delivered, back.outbox.delivered, "{one:?} and {other:?}");
        }
        (Event::Unread(a), Event::Unread(b)) | (Event::Noticed(a), Event::Noticed(b))
            if a.operation != b.operation && !refused && !refused_back =>
        {
            assert_eq!(owed(&forth), owed(&back), "{one:?} and {other:?}");
        }
        (Event::Decided { notice: a, .. }, Event::Decided { notice: b, .. })
            if a.operation != b.operation && !refused && !refused_back =>
        {
            assert_eq!(owed(&forth), owed(&back), "{one:?} and {other:?}");
        }
        (Event::Read(_), Event::Overridden(_) | Event::OverrideEnded { .. } | Event::Delivered { .. }) => {
            assert_eq!(forth.known, back.known);
            assert_eq!(forth.entitlement_override, back.entitlement_override);
            assert_eq!(forth.entitlement(now), back.entitlement(now));
        }
        _ => {}
    }
}

fn outdates(newer: &Snapshot, older: &Snapshot) -> bool {
    match newer.status {
        Status::Unsubscribed => older.status != Status::Unsubscribed,
        Status::Subscribed | Status::Suspended => older.status.is_pending(),
        _ => false,
    }
}

/// What is owed, in an order of its own.
fn owed(record: &Subscription) -> Vec<String> {
    let mut owed: Vec<String> = record.duties.iter().map(|duty| format!("{:?}", duty.task)).collect();
    owed.sort();
    owed
}
