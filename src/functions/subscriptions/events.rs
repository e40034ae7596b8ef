//! What the publisher's software was told, and was not: lists, once more, on trial, and on again.

use serde_json::{Value, json};

use super::super::{Answer, Then};
use super::input;
use super::{FILTERED_PAGES, Stop, answer, orders, shown};
use crate::app::App;
use crate::circuit::Gate;
use crate::cloud_event;
use crate::duty::Queue;
use crate::endpoint::{EVENT_PATIENCE, State, Wanted};
use crate::error::{Code, Fault};
use crate::history::Actor;
use crate::publisher::{Message, Unsent};
use crate::shown::moment;
use crate::store::PAGE_LIMIT;
use crate::subscription::{Event, Subscription, SubscriptionId};
use crate::web::{Reply, Request};

/// Every subscription with something that has not arrived, and how the endpoint is.
pub(super) async fn list(app: &App, request: &Request) -> Result<Reply, Stop> {
    let (mut after, mut found): (_, Vec<Value>) = (input::filter(request)?.after, Vec::new());
    for _ in 0..FILTERED_PAGES {
        let page = app.store.page(after.as_ref()).await?;
        let waits = |subscription: &&Subscription| !subscription.outbox.undelivered().is_empty();
        let mut waiting = page.subscriptions.iter().filter(waits);
        found.extend(waiting.by_ref().take(PAGE_LIMIT - found.len()).map(shown::undelivered));
        after = match waiting.next() {
            // There is more on this page than the answer has room for.
            Some(_) => found.last().and_then(|last| SubscriptionId::parse(last["id"].as_str()?)),
            None => page.next,
        };
        if after.is_none() || found.len() == PAGE_LIMIT {
            break;
        }
    }
    let state = app.endpoint.read(app.clock.now()).await?;
    let next = after.map(|id| format!("/api/subscriptions/events?after={id}"));
    Ok(answer(&json!({ "endpoint": endpoint(app, &state), "subscriptions": found, "next": next })))
}

/// What was told of one subscription, as far as it is kept.
pub(super) async fn of(app: &App, id: &SubscriptionId) -> Result<Reply, Stop> {
    Ok(answer(&shown::told(&app.subscription(id).await?)))
}

/// An event that says that events arrive, sent now.
pub(super) async fn test(app: &App, request: &Request) -> Result<Reply, Stop> {
    input::nothing(request)?;
    let message = cloud_event::test(&app.settings, app.clock.now());
    let (_, said) = send(app, &message).await?;
    Ok(answer(&said))
}

/// One event once more, sent now. Where it is the next that should arrive, the ones behind it follow.
pub(super) async fn once_more(
    app: &App,
    id: &SubscriptionId,
    sequence: &str,
    request: &Request,
) -> Result<Answer, Stop> {
    input::nothing(request)?;
    let subscription = app.subscription(id).await?;
    super::serving(app, id, &subscription.known.offer_id)?;
    let told = sequence.parse().ok().and_then(|sequence| subscription.outbox.announcement(sequence));
    let Some(told) = told else {
        return Err(Fault::new(Code::UnknownEvent, format!("the record of {id} keeps no event of this number")).into());
    };
    let message = cloud_event::announcement(&app.settings, &subscription, told, app.clock.now());
    let (arrived, said) = send(app, &message).await?;
    let is_next = subscription.outbox.undelivered().first().is_some_and(|next| next.sequence == told.sequence);
    if arrived && is_next {
        app.record(id, Event::Delivered { through: told.sequence }, None).await?;
        app.ring(Queue::Notifications, id, Queue::Notifications.first_bell()).await;
        return Ok(Answer::and_discharge(answer(&said), id, &[Queue::Notifications]));
    }
    Ok(answer(&said).into())
}

/// What has not arrived is tried now, and on request what arrived from a number on as well. Where there is nothing to
/// tell, how things are is told.
pub(super) async fn replay(app: &App, id: &SubscriptionId, request: &Request) -> Result<Answer, Stop> {
    connected(app)?;
    let (from, person) = (input::sequence(request)?, input::person(request)?);
    let event = Event::Replayed { from: from.unwrap_or(u64::MAX), by: Actor::Publisher };
    let ordered = orders::record(app, id, event, person.as_deref()).await?;
    let body = shown::told(&ordered.subscription);
    let reply = Reply::json(202, &body).with("cache-control", "no-store");
    Ok(Answer::and_discharge(reply, id, &ordered.rings))
}

/// The same for all subscriptions, in the background.
pub(super) async fn replay_all(app: &App, request: &Request) -> Result<Answer, Stop> {
    begin(app, request, Wanted::Everything, "replaying").await
}

/// The endpoint is there again: what was given up is taken up, in the background.
pub(super) async fn resume(app: &App, request: &Request) -> Result<Answer, Stop> {
    begin(app, request, Wanted::GivenUp, "resuming").await
}

async fn begin(app: &App, request: &Request, wanted: Wanted, word: &str) -> Result<Answer, Stop> {
    connected(app)?;
    input::nothing(request)?;
    input::person(request)?;
    app.endpoint.resume(wanted, app.clock.now()).await?;
    tracing::info!(?wanted, "the events endpoint is resumed");
    let reply = Reply::json(202, &json!({ "status": word })).with("cache-control", "no-store");
    Ok(Answer { reply, then: vec![Then::Resume] })
}

/// Sends a message past all duties. Answers whether it arrived, and what to show of it.
async fn send(app: &App, message: &Message) -> Result<(bool, Value), Stop> {
    connected(app)?;
    let (Some(url), Some(keys)) = (&app.settings.connection.events, &app.secrets.events) else {
        return Err(not_connected().into());
    };
    let now = app.clock.now();
    let keys = keys.fresh(now).await?;
    let sent = app.publisher.post(url, message, &keys.value, now, EVENT_PATIENCE).await;
    let (status, why) = match sent {
        Ok(answer) => (Some(answer.status), None),
        Err(Unsent { why, .. }) => (None, Some(why)),
    };
    let arrived = status.is_some_and(|status| (200..300).contains(&status));
    Ok((arrived, json!({ "id": message.id, "arrived": arrived, "status": status, "why": why })))
}

fn endpoint(app: &App, state: &State) -> Value {
    let circuit = &state.circuit;
    let word = match (&app.settings.connection.events, circuit.gate(app.clock.now())) {
        (None, _) => "none",
        (Some(_), Gate::Parked) => "parked",
        (Some(_), Gate::Wait(_)) => "waiting",
        (Some(_), Gate::Try) if circuit.failing_since.is_some() => "failing",
        (Some(_), Gate::Try) => "good",
    };
    json!({
        "state": word,
        "failingSince": circuit.failing_since.map(moment),
        "openUntil": circuit.open_until.map(moment),
        "parkedAt": circuit.parked_at.map(moment),
        "why": circuit.why,
        "isResuming": state.resuming.is_some(),
    })
}

fn connected(app: &App) -> Result<(), Fault> {
    if app.settings.connection.events.is_some() { Ok(()) } else { Err(not_connected()) }
}

fn not_connected() -> Fault {
    Fault::new(Code::NotConnected, "PUBLISHER_EVENTS_URL is not set: nobody is told anything")
}
