//! `notify`, on a bell: posts to the publisher's software what it has not heard of a subscription, oldest first.
//!
//! The next event goes out when the one before it was taken. Nothing here waits for the marketplace, and nothing of the
//! marketplace waits for this: the bells have a queue of their own, and an endpoint that does not answer costs no other
//! duty anything.

use std::time::Duration as Patience;

use time::OffsetDateTime;

use crate::app::{App, Attempt, Claim, Otherwise};
use crate::circuit::{Failure, Gate};
use crate::cloud_event;
use crate::duty::Queue;
use crate::endpoint::EVENT_PATIENCE;
use crate::error::Fault;
use crate::publisher::Answer;
use crate::settings::EventsSecret;
use crate::subscription::{Event, SubscriptionId};

/// How long one claim goes on with the next event. With the save before and after it stays within
/// [`crate::duty::LEASE`]; what is left then has a bell of its own.
pub const BUDGET: Patience = Patience::from_secs(50);

/// Discharges the duty `Notify` of a subscription, if it is due.
pub async fn run(app: &App, id: &SubscriptionId) -> Result<(), Fault> {
    let Some(claim) = app.claim(id, Queue::Notifications).await? else {
        return Ok(());
    };
    let now = app.clock.now();
    let attempt = match app.endpoint.gate(now).await {
        Gate::Try => attempt(app, &claim, now).await,
        Gate::Wait(until) => {
            let why = "nobody answers at the events endpoint; one try in a while stands for all".to_owned();
            Attempt::in_vain(Otherwise::Wait { why, after: Some(until - now) })
        }
        Gate::Parked => given_up("the events endpoint is parked until somebody resumes it"),
    };
    app.settle(claim, attempt).await
}

async fn attempt(app: &App, claim: &Claim, now: OffsetDateTime) -> Attempt {
    let Some(keys) = &app.secrets.events else {
        return Attempt::in_vain(Otherwise::Impossible { why: "no events endpoint is set any more".to_owned() });
    };
    let keys = match keys.fresh(now).await {
        Ok(current) => current.value.clone(),
        Err(fault) => return Attempt::in_vain(Otherwise::Wait { why: fault.private, after: None }),
    };
    let mut delivery = Delivery { app, keys, through: None };
    let why = "there is more to tell".to_owned();
    let otherwise = match tokio::time::timeout(BUDGET, delivery.go_through(claim)).await {
        Ok(Some(otherwise)) => otherwise,
        Ok(None) | Err(_) => Otherwise::Wait { why, after: None },
    };
    let delivered = delivery.through.map(|through| Event::Delivered { through });
    Attempt { learnt: delivered.into_iter().collect(), read: None, otherwise }
}

/// The events of one claim, on their way.
struct Delivery<'a> {
    app: &'a App,
    keys: EventsSecret,
    /// The number of the last event that arrived.
    through: Option<u64>,
}

impl Delivery<'_> {
    /// Posts what has not arrived. Answers what becomes of the duty where one did not.
    async fn go_through(&mut self, claim: &Claim) -> Option<Otherwise> {
        let (app, subscription) = (self.app, &claim.subscription);
        let Some(url) = &app.settings.connection.events else {
            return Some(Otherwise::Impossible { why: "no events endpoint is set any more".to_owned() });
        };
        for told in subscription.outbox.undelivered() {
            let now = app.clock.now();
            let message = cloud_event::announcement(&app.settings, subscription, told, now);
            let sent = app.publisher.post(url, &message, &self.keys, now, EVENT_PATIENCE).await;
            let now = app.clock.now();
            let (failure, after) = match sent {
                Ok(Answer { status: 200..=299, .. }) => {
                    tracing::info!(event_id = message.id, news = told.news.as_str(), "an event arrived");
                    self.through = Some(told.sequence);
                    app.endpoint.succeeded(now).await;
                    continue;
                }
                Ok(Answer { status: 410, .. }) => (Failure::Gone, None),
                Ok(Answer { status, retry_after, .. }) => {
                    (Failure::Passing(format!("the events endpoint answered {status}")), retry_after)
                }
                Err(unsent) => (Failure::Passing(unsent.why), None),
            };
            if app.endpoint.failed(&subscription.id, &failure, now).await {
                tracing::error!("the events endpoint is parked: nothing is sent until somebody resumes it");
            }
            return Some(match failure {
                Failure::Gone => Otherwise::GiveUp { why: "the events endpoint answered 410: it is gone".to_owned() },
                Failure::Passing(why) => Otherwise::Wait { why, after },
            });
        }
        None
    }
}

/// Nobody tries again until somebody asks for it.
fn given_up(why: &str) -> Attempt {
    Attempt::in_vain(Otherwise::GiveUp { why: why.to_owned() })
}
