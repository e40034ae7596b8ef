//! What the publisher's systems can order. An order is a duty on the record: it is saved before it is answered, and
//! `activate` or `change` follows it to its end.

use serde_json::json;

use super::super::{Answer, Then};
use super::{Stop, answer, serving, shown};
use crate::app::{App, SAVE_TRIES};
use crate::arrival;
use crate::bell::Doorbell;
use crate::duty::{DutyId, Kind, Queue, Wanted};
use crate::error::{Code, Fault};
use crate::history::Actor;
use crate::store::Stored;
use crate::subscription::{Applied, Event, Refusal, Subscription, SubscriptionId};
use crate::web::Reply;

/// The record after an order, and the queues of the duties that have become due by it.
struct Ordered {
    subscription: Subscription,
    rings: Vec<Queue>,
}

/// Another plan, or another number of seats.
pub(super) async fn order(
    app: &App,
    id: &SubscriptionId,
    wanted: Wanted,
    person: Option<String>,
) -> Result<Answer, Stop> {
    let kind = if wanted == Wanted::Cancellation { Kind::Cancel } else { Kind::Change };
    let ordered = record(app, id, &Event::Ordered { wanted, person: person.clone() }, person.as_deref()).await?;
    Ok(accepted(ordered, &kind.into()))
}

/// The end of the subscription.
pub(super) async fn cancel(app: &App, id: &SubscriptionId, person: Option<String>) -> Result<Answer, Stop> {
    order(app, id, Wanted::Cancellation, person).await
}

/// The activation, without waiting for the buyer. Ordered twice it is one order.
pub(super) async fn activate(app: &App, id: &SubscriptionId, person: Option<String>) -> Result<Answer, Stop> {
    let ordered = record(app, id, &Event::Confirmed(Actor::Publisher), person.as_deref()).await?;
    if ordered.subscription.duty(Kind::Activate).is_none() {
        return Err(arrival::refused(id, Refusal::AsOrdered).into());
    }
    Ok(accepted(ordered, &Kind::Activate.into()))
}

/// Another try of a duty that has failed, or waits.
pub(super) async fn retry(
    app: &App,
    id: &SubscriptionId,
    duty: DutyId,
    person: Option<String>,
) -> Result<Answer, Stop> {
    let event = Event::Retried { duty: duty.clone(), by: Actor::Publisher };
    Ok(accepted(record(app, id, &event, person.as_deref()).await?, &duty))
}

/// The end of a duty, whatever the other side shows.
pub(super) async fn end(
    app: &App,
    id: &SubscriptionId,
    duty: DutyId,
    why: String,
    person: Option<String>,
) -> Result<Reply, Stop> {
    let event = Event::Ended { duty, why, person: person.clone() };
    let ordered = record(app, id, &event, person.as_deref()).await?;
    Ok(answer(&shown::subscription(&ordered.subscription)))
}

/// 202, with the place to look: the record holds the duty until it is done, and its history tells how it ended.
fn accepted(ordered: Ordered, duty: &DutyId) -> Answer {
    let Ordered { subscription, rings } = ordered;
    let id = &subscription.id;
    let body = json!({ "subscription": shown::subscription(&subscription), "duty": duty.to_string() });
    let reply =
        Reply::json(202, &body).with("location", format!("/api/subscriptions/{id}")).with("cache-control", "no-store");
    Answer {
        reply,
        then: rings.into_iter().map(|queue| Then::Discharge(Doorbell { queue, subscription: id.clone() })).collect(),
    }
}

/// As [`App::record`], with the person named in what the event adds to the history: not every event carries one.
async fn record(app: &App, id: &SubscriptionId, event: &Event, person: Option<&str>) -> Result<Ordered, Stop> {
    for _ in 0..SAVE_TRIES {
        let Stored { mut subscription, etag } = load(app, id).await?;
        let told = subscription.history.total();
        let rings = match subscription.apply(event.clone(), app.clock.now()) {
            Applied::Unchanged => return Ok(Ordered { subscription, rings: Vec::new() }),
            Applied::Refused(refusal) => return Err(arrival::refused(id, refusal).into()),
            Applied::Changed { rings } => rings,
        };
        name(&mut subscription, told, person);
        if app.save(&subscription, Some(&etag), told, &rings).await? {
            return Ok(Ordered { subscription, rings });
        }
    }
    Err(contended(id).into())
}

async fn load(app: &App, id: &SubscriptionId) -> Result<Stored, Stop> {
    tracing::Span::current().record("subscription_id", tracing::field::display(id));
    let stored = app.store.load(id).await?;
    let stored = stored.ok_or_else(|| Fault::new(Code::UnknownSubscription, format!("no record of {id}")))?;
    serving(app, id, &stored.subscription.known.offer_id)?;
    Ok(stored)
}

/// Names the person in what came to the history after the first `told` entries, but for what Microsoft did.
pub(super) fn name(subscription: &mut Subscription, told: usize, person: Option<&str>) {
    let new = subscription.history.since(told).len();
    let theirs = subscription.history.entries.iter_mut().rev().take(new).filter(|entry| entry.by != Actor::Marketplace);
    for entry in theirs {
        entry.person = person.map(str::to_owned);
    }
}

pub(super) fn contended(id: &SubscriptionId) -> Fault {
    Fault::passing(Code::Contended, format!("{SAVE_TRIES} saves of {id} lost their race"))
}
