//! What no event may do to a record, whatever the record and the event.

use marketplace_fulfillment::duty::{DUTIES, DutyId, Kind, Task};
use marketplace_fulfillment::history::HISTORY_LENGTH;
use marketplace_fulfillment::outbox::KEPT;
use marketplace_fulfillment::subscription::{ANSWERED, Applied, Event, Status, Subscription};

/// Holds the record after an event against the one before it.
#[track_caller]
pub fn hold(before: &Subscription, event: &Event, applied: &Applied, after: &Subscription) {
    if !matches!(applied, Applied::Changed { .. }) {
        assert_eq!(before, after, "{event:?} was {applied:?}, and changed something");
        return;
    }
    bounded(before, after);
    told_in_order(before, after);
    statuses(before, event, after);
    exits(before, event, after);
    verdicts_stand(before, after);
    assert_eq!((&before.id, before.created_at), (&after.id, after.created_at), "{event:?}");
    assert_eq!((&before.unknown_duties, &before.opaque), (&after.unknown_duties, &after.opaque), "{event:?}");
    let confirms = matches!(event, Event::Confirmed(_) | Event::ActivationOrdered);
    assert!(confirms || before.confirmed_at == after.confirmed_at, "{event:?} confirmed");
    if let Applied::Changed { rings } = applied {
        let owed = |queue| after.duties.iter().any(|duty| duty.task.id().kind.queue() == queue && duty.due().is_some());
        assert!(rings.iter().all(|queue| owed(*queue)), "{event:?} rings {rings:?} for nothing");
    }
}

fn bounded(before: &Subscription, after: &Subscription) {
    let owed = |record: &Subscription| {
        record.duties.iter().filter(|duty| duty.task != Task::Notify).count() + record.unknown_duties.len()
    };
    let bounds = [
        ("duties", owed(before), owed(after), DUTIES),
        ("history", before.history.entries.len(), after.history.entries.len(), HISTORY_LENGTH),
        ("announcements", before.outbox.announcements.len(), after.outbox.announcements.len(), KEPT),
        ("answers", before.answered.len(), after.answered.len(), ANSWERED),
    ];
    for (what, before, after, bound) in bounds {
        assert!(after <= bound.max(before), "{after} {what}, over {bound}");
    }
    let mut names: Vec<String> = after.duties.iter().map(|duty| duty.task.id().to_string()).collect();
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two duties of one name: {names:?}");
}

fn told_in_order(before: &Subscription, after: &Subscription) {
    let (old, new) = (&before.outbox, &after.outbox);
    assert!(old.sequence <= new.sequence && new.delivered <= new.sequence.max(old.delivered), "{old:?} {new:?}");
    let in_order = |outbox: &[u64]| outbox.windows(2).all(|pair| pair[0] < pair[1]);
    let numbers = |of: &Subscription| of.outbox.announcements.iter().map(|one| one.sequence).collect::<Vec<_>>();
    // The last number there is stands for all that come after it.
    let numbered = in_order(&numbers(before)) && new.sequence < u64::MAX;
    assert!(!numbered || in_order(&numbers(after)), "{:?}", numbers(after));
    let counted = after.history.dropped < u32::MAX;
    assert!(!counted || before.history.total() <= after.history.total(), "history was lost");
}

/// Older knowledge never undoes newer, and knowledge comes from reading alone.
fn statuses(before: &Subscription, event: &Event, after: &Subscription) {
    let (old, new) = (&before.known.status, &after.known.status);
    assert!(*old != Status::Unsubscribed || new == old, "cancelled, and then {new:?}");
    let active = matches!(old, Status::Subscribed | Status::Suspended);
    assert!(!active || !new.is_pending(), "active, and then {new:?}");
    assert!(matches!(event, Event::Read(_)) || before.known == after.known, "{event:?} changed what Microsoft said");
    assert!(
        before.activated_at.is_none() || before.activated_at == after.activated_at,
        "active for the first time twice"
    );
}

/// A duty leaves because the other side shows it done, proves it impossible, or an operator ends it.
fn exits(before: &Subscription, event: &Event, after: &Subscription) {
    let left = before.duties.iter().map(|duty| duty.task.id()).filter(|id| after.duty(id.clone()).is_none());
    for id in left {
        let may = match event {
            Event::Read(_) => id.kind != Kind::Notify,
            Event::Done { duty, .. } | Event::Impossible { duty, .. } | Event::Ended { duty, .. } => *duty == id,
            Event::Closed { operation, .. } => {
                id == DutyId { kind: Kind::Acknowledge, operation: Some(operation.clone()) }
            }
            Event::ProvisionRefused { .. } => id.kind == Kind::Activate,
            Event::Noticed(notice) | Event::Decided { notice, .. } => {
                id == DutyId { kind: Kind::Examine, operation: notice.operation.clone() }
            }
            Event::Delivered { .. } => id.kind == Kind::Notify,
            _ => false,
        };
        assert!(may, "{id} left by {event:?}");
        let silent = matches!(id.kind, Kind::Examine | Kind::Notify);
        assert!(
            silent || before.history.total() < after.history.total() || before.history.dropped == u32::MAX,
            "{id} left without a word"
        );
    }
}

/// What was answered stays answered, and with the same word.
fn verdicts_stand(before: &Subscription, after: &Subscription) {
    for answered in &after.answered {
        let stood = before.answer_to(&answered.operation);
        assert!(stood.is_none_or(|before| before == answered), "{answered:?} was {stood:?}");
    }
}
