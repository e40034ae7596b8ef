//! What the publisher's systems can order. An order is a duty on the record: it is saved before it is answered, and
//! `activate` or `change` follows it to its end.

use serde_json::json;

use super::super::Answer;
use super::{Stop, answer, serving, shown};
use crate::app::{App, Recorded};
use crate::arrival;
use crate::duty::{DutyId, Kind, Queue, Wanted};
use crate::history::Actor;
use crate::settings::Activation;
use crate::subscription::{Event, Refusal, Subscription, SubscriptionId};
use crate::web::Reply;

/// The record after an order, and the queues of the duties that have become due by it.
pub(super) struct Ordered {
    pub(super) subscription: Subscription,
    pub(super) rings: Vec<Queue>,
}

/// Another plan, or another number of seats.
pub(super) async fn order(
    app: &App,
    id: &SubscriptionId,
    wanted: Wanted,
    person: Option<String>,
) -> Result<Answer, Stop> {
    let kind = if wanted == Wanted::Cancellation { Kind::Cancel } else { Kind::Change };
    let ordered = record(app, id, Event::Ordered(wanted), person.as_deref()).await?;
    Ok(accepted(app, ordered, &kind.into()))
}

/// The end of the subscription.
pub(super) async fn cancel(app: &App, id: &SubscriptionId, person: Option<String>) -> Result<Answer, Stop> {
    order(app, id, Wanted::Cancellation, person).await
}

/// The activation, without waiting for the buyer, or for the publisher's own software. Ordered twice it is one order.
pub(super) async fn activate(app: &App, id: &SubscriptionId, person: Option<String>) -> Result<Answer, Stop> {
    let event = match app.settings.connection.activation {
        Activation::Automatic => Event::Confirmed(Actor::Publisher),
        Activation::Publisher => Event::ActivationOrdered,
    };
    let ordered = record(app, id, event, person.as_deref()).await?;
    if ordered.subscription.duty(Kind::Activate).is_none() {
        return Err(arrival::refused(id, Refusal::AsOrdered).into());
    }
    Ok(accepted(app, ordered, &Kind::Activate.into()))
}

/// Another try of a duty that has failed, or waits.
pub(super) async fn retry(
    app: &App,
    id: &SubscriptionId,
    duty: DutyId,
    person: Option<String>,
) -> Result<Answer, Stop> {
    let event = Event::Retried { duty: duty.clone(), by: Actor::Publisher };
    Ok(accepted(app, record(app, id, event, person.as_deref()).await?, &duty))
}

/// The end of a duty, whatever the other side shows.
pub(super) async fn end(
    app: &App,
    id: &SubscriptionId,
    duty: DutyId,
    why: String,
    person: Option<String>,
) -> Result<Reply, Stop> {
    let event = Event::Ended { duty, why };
    let ordered = record(app, id, event, person.as_deref()).await?;
    Ok(answer(&shown::subscription(&ordered.subscription, app.clock.now())))
}

/// 202, with the place to look: the record holds the duty until it is done, and its history tells how it ended.
fn accepted(app: &App, ordered: Ordered, duty: &DutyId) -> Answer {
    let Ordered { subscription, rings } = ordered;
    let id = &subscription.id;
    let body = json!({ "subscription": shown::subscription(&subscription, app.clock.now()), "duty": duty.to_string() });
    let reply =
        Reply::json(202, &body).with("location", format!("/api/subscriptions/{id}")).with("cache-control", "no-store");
    Answer::and_discharge(reply, id, &rings)
}

/// Records an order on a subscription that is ours to serve.
pub(super) async fn record(
    app: &App,
    id: &SubscriptionId,
    event: Event,
    person: Option<&str>,
) -> Result<Ordered, Stop> {
    serving(app, id, &app.subscription(id).await?.known.offer_id)?;
    match app.record(id, event, person).await? {
        Recorded::Saved { subscription, rings } => Ok(Ordered { subscription, rings }),
        Recorded::Known(subscription) => Ok(Ordered { subscription, rings: Vec::new() }),
        Recorded::Refused(refusal) => Err(arrival::refused(id, refusal).into()),
    }
}
