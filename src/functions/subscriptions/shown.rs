//! What the publisher's systems read beside the facts of a subscription: what is owed, what happened, plans, operations.

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cloud_event::SUBSCRIPTION;
use crate::duty::{Duty, Kind, Sent, Task, UnknownDuty, Wanted};
use crate::error::Fault;
use crate::history::Entry;
use crate::marketplace::{Operation, Plan, RequestSource};
use crate::outbox::Announcement;
use crate::shown::{facts, moment};
use crate::store::Unreadable;
use crate::subscription::{Answered, Decision, OperationId, Subscription};

pub(super) fn subscription(subscription: &Subscription, now: OffsetDateTime) -> Value {
    let mut shown = facts(subscription, now);
    shown["readAt"] = moment(subscription.read_at).into();
    shown["duties"] = subscription.duties.iter().map(duty).collect();
    shown["unknownDuties"] = subscription.unknown_duties.iter().map(unknown_duty).collect();
    shown["answered"] = subscription.answered.iter().map(answered).collect();
    shown["history"] = subscription.history.entries.iter().map(entry).collect();
    shown["historyDropped"] = subscription.history.dropped.into();
    shown
}

/// A record that cannot be read; the log tells where.
pub(super) fn unreadable(record: &Unreadable) -> Value {
    let code = Fault::from(record.error.clone()).code;
    json!({ "id": record.id.as_str(), "code": code.as_str(), "detail": code.public() })
}

/// What was told of a subscription, oldest first.
pub(super) fn told(subscription: &Subscription) -> Value {
    let outbox = &subscription.outbox;
    let told = |announcement: &Announcement| {
        let mut shown = event(announcement);
        shown["arrived"] = (announcement.sequence <= outbox.delivered).into();
        shown
    };
    json!({
        "id": subscription.id.as_str(),
        "events": outbox.announcements.iter().map(told).collect::<Vec<_>>(),
        "lost": outbox.lost,
        "duty": subscription.duty(Kind::Notify).map(duty),
    })
}

/// What has not arrived of a subscription, oldest first.
pub(super) fn undelivered(subscription: &Subscription) -> Value {
    let outbox = &subscription.outbox;
    json!({
        "id": subscription.id.as_str(),
        "events": outbox.undelivered().iter().map(event).collect::<Vec<_>>(),
        "lost": outbox.lost,
        "duty": subscription.duty(Kind::Notify).map(duty),
    })
}

fn event(announcement: &Announcement) -> Value {
    json!({
        "sequence": announcement.sequence.to_string(),
        "type": format!("{SUBSCRIPTION}{}", announcement.news.as_str()),
        "at": moment(announcement.at),
        "by": announcement.by.as_str(),
        "from": announcement.from,
        "to": announcement.to,
        "why": announcement.why,
        "operationId": announcement.operation.as_ref().map(OperationId::as_str),
    })
}

fn duty(duty: &Duty) -> Value {
    json!({
        "id": duty.task.id().to_string(),
        "kind": duty.task.id().kind.as_str(),
        "task": task(&duty.task),
        "attempts": duty.attempts,
        "since": moment(duty.since),
        "notBefore": moment(duty.not_before),
        "lastError": duty.last_error,
        "failedAt": duty.failed_at.map(moment),
    })
}

/// Of a duty that only a newer version understands, what every duty has.
fn unknown_duty(duty: &UnknownDuty) -> Value {
    json!({
        "id": duty.id(),
        "kind": duty.kind,
        "since": moment(duty.since),
        "notBefore": moment(duty.not_before),
        "failedAt": duty.failed_at.map(moment),
    })
}

/// What is known of a duty beside its kind.
fn task(task: &Task) -> Value {
    match task {
        Task::Activate { accepted_at, .. } => json!({ "acceptedAt": accepted_at.map(moment) }),
        Task::Examine { operation, action, .. } => {
            json!({ "operationId": operation.as_ref().map(OperationId::as_str), "action": action })
        }
        Task::Acknowledge { operation, verdict } => {
            json!({ "operationId": operation.as_str(), "verdict": verdict.as_str() })
        }
        Task::Change { wanted, from, sent } => {
            let mut shown = match wanted {
                Wanted::Plan(plan) => json!({ "planId": plan }),
                Wanted::Quantity(quantity) => json!({ "quantity": quantity }),
                Wanted::Cancellation => json!({}),
            };
            shown["from"] = json!({ "planId": from.plan_id, "quantity": from.quantity });
            shown["sent"] = sent.as_ref().map_or(Value::Null, request);
            shown
        }
        Task::Cancel { sent } => json!({ "sent": sent.as_ref().map(request) }),
        Task::Notify => json!({}),
    }
}

fn request(sent: &Sent) -> Value {
    json!({ "at": moment(sent.at), "operationId": sent.operation.as_ref().map(OperationId::as_str) })
}

pub(super) fn answered(answered: &Answered) -> Value {
    let verdict = match &answered.decision {
        Decision::NotAsked => None,
        Decision::Given(verdict) => Some(verdict.as_str()),
        Decision::Other(word) => Some(word.as_str()),
    };
    json!({
        "operationId": answered.operation.as_str(),
        "action": answered.action,
        "verdict": verdict,
        "at": moment(answered.at),
    })
}

fn entry(entry: &Entry) -> Value {
    json!({
        "at": moment(entry.at),
        "by": entry.by.as_str(),
        "what": entry.what.as_str(),
        "from": entry.from,
        "to": entry.to,
        "why": entry.why,
        "person": entry.person,
    })
}

pub(super) fn plan(plan: &Plan, current: &str) -> Value {
    json!({
        "planId": plan.id,
        "displayName": plan.name,
        "description": plan.description,
        "isCurrent": plan.id == current,
        "isPrivate": plan.is_private,
        "isPricePerSeat": plan.is_per_seat,
        "isStopSell": plan.is_stop_sell,
        "hasFreeTrials": plan.has_free_trials,
        "minQuantity": plan.min_quantity,
        "maxQuantity": plan.max_quantity,
        "market": plan.market,
    })
}

pub(super) fn operation(operation: &Operation) -> Value {
    let source = operation.source.as_ref().map(|source| match source {
        RequestSource::Azure => "Azure",
        RequestSource::Partner => "Partner",
        RequestSource::Other(word) => word,
    });
    json!({
        "id": operation.id,
        "action": operation.action.as_str(),
        "status": operation.status.as_str(),
        "operationRequestSource": source,
        "planId": operation.plan_id,
        "quantity": operation.quantity,
        "timeStamp": operation.at.map(moment),
        "errorStatusCode": operation.error_code,
        "errorMessage": operation.error_message,
    })
}
