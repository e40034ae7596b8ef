//! `subscriptions`, for the publisher's systems: every record as JSON, one or page by page. The host checks the function
//! key before it calls.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Refused;
use crate::app::App;
use crate::duty::Duty;
use crate::error::{Code, Fault};
use crate::history::Entry;
use crate::subscription::{Party, Subscription, SubscriptionId};
use crate::web::{Reply, Request};

/// `GET subscriptions` lists, with `?after=` for the next page; `GET subscriptions/{id}` shows one.
pub async fn run(app: &App, request: &Request) -> Result<Reply, Refused> {
    if request.path.is_empty() {
        return list(app, request).await;
    }
    let unknown = || Fault::new(Code::UnknownSubscription, "the path names no subscription");
    let id = SubscriptionId::parse(&request.path).ok_or_else(unknown)?;
    Ok(answer(&shown(&app.subscription(&id).await?)))
}

async fn list(app: &App, request: &Request) -> Result<Reply, Refused> {
    let after = match request.query("after") {
        None => None,
        Some(after) => Some(
            SubscriptionId::parse(&after)
                .ok_or_else(|| Fault::new(Code::BadRequest, "the query's after is not a subscription id"))?,
        ),
    };
    let page = app.store.page(after.as_ref()).await.map_err(Fault::from)?;
    let subscriptions: Vec<Value> = page.subscriptions.iter().map(shown).collect();
    let next = page.next.map(|id| format!("/api/subscriptions?after={id}"));
    Ok(answer(&json!({ "subscriptions": subscriptions, "next": next })))
}

fn answer(body: &Value) -> Reply {
    Reply::json(200, body).with("cache-control", "no-store")
}

fn shown(subscription: &Subscription) -> Value {
    let known = &subscription.known;
    json!({
        "id": subscription.id.as_str(),
        "name": known.name,
        "offerId": known.offer_id,
        "planId": known.plan_id,
        "quantity": known.quantity,
        "status": known.status.as_str(),
        "beneficiary": known.beneficiary.as_ref().map(party),
        "purchaser": known.purchaser.as_ref().map(party),
        "term": {
            "termUnit": known.term.unit,
            "startDate": known.term.start.map(moment),
            "endDate": known.term.end.map(moment),
        },
        "autoRenew": known.auto_renew,
        "isFreeTrial": known.is_free_trial,
        "readAt": moment(subscription.read_at),
        "confirmedAt": subscription.confirmed_at.map(moment),
        "activatedAt": subscription.activated_at.map(moment),
        "duties": subscription.duties.iter().map(duty).collect::<Vec<_>>(),
        "history": subscription.history.entries.iter().map(entry).collect::<Vec<_>>(),
        "historyDropped": subscription.history.dropped,
    })
}

fn party(party: &Party) -> Value {
    json!({
        "emailId": party.email,
        "objectId": party.object_id,
        "tenantId": party.tenant_id,
        "puid": party.puid,
    })
}

fn duty(duty: &Duty) -> Value {
    json!({
        "kind": duty.task.kind().to_string(),
        "attempts": duty.attempts,
        "since": moment(duty.since),
        "notBefore": moment(duty.not_before),
        "lastError": duty.last_error,
        "failedAt": duty.failed_at.map(moment),
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
    })
}

fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a time of this era has an RFC 3339 form")
}
