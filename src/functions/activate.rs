//! `activate`, on a bell: makes Microsoft show a confirmed subscription as `Subscribed`.
//!
//! 200 from Activate means that Microsoft received it, not that it is done: the subscription is read until it says so.
//! Where the publisher has to say that it is provisioned, that comes before, in the same attempt (`activate/provision.rs`).

mod provision;

use time::OffsetDateTime;

pub use self::provision::PROVISION_PATIENCE;
use crate::app::{App, Attempt, Claim, Otherwise};
use crate::duty::{Kind, Queue};
use crate::error::Fault;
use crate::marketplace::{CallError, CallErrorKind};
use crate::subscription::{Event, Subscription, SubscriptionId};

/// Discharges the duty `Activate` of a subscription, if it is due.
pub async fn run(app: &App, id: &SubscriptionId) -> Result<(), Fault> {
    let Some(claim) = app.claim(id, Queue::Activations).await? else {
        return Ok(());
    };
    let asks = provision::is_awaited(app, &claim.subscription);
    // An earlier attempt may have been received although its answer was lost: then there is nothing left to ask for. Nor is
    // there anything to provision where Microsoft has activated or cancelled it by itself.
    if (asks || claim.duty().attempts > 1)
        && let Some(attempt) = look(app, id).await
    {
        return app.settle(claim, attempt).await;
    }
    let claim = if asks { provisioned(app, claim).await? } else { Some(claim) };
    let Some(claim) = claim else { return Ok(()) };
    let attempt = attempt(app, &claim.subscription, app.clock.now()).await;
    app.settle(claim, attempt).await
}

/// Looks whether Microsoft still waits for the activation. `None` where it does; else what becomes of the duty.
async fn look(app: &App, id: &SubscriptionId) -> Option<Attempt> {
    match app.marketplace.get_subscription(id).await {
        Ok(read) if !read.status.is_pending() => {
            let why = format!("Microsoft shows the status {}", read.status.as_str());
            Some(Attempt::showing(read, Otherwise::Wait { why, after: None }))
        }
        Ok(_) => None,
        Err(error) => Some(Attempt::in_vain(Otherwise::after(&error))),
    }
}

/// Has the publisher's software provision. That it did is saved at once, so that a death before the activation does not ask
/// it again. `None` where there is nothing to go on with.
async fn provisioned(app: &App, claim: Claim) -> Result<Option<Claim>, Fault> {
    match provision::ask(app, &claim.subscription).await {
        None => app.go_on(claim, Event::Provisioned).await,
        Some(attempt) => app.settle(claim, attempt).await.map(|()| None),
    }
}

async fn attempt(app: &App, subscription: &Subscription, now: OffsetDateTime) -> Attempt {
    let id = &subscription.id;
    let refusal = if subscription.should_send_activate(now) {
        let known = &subscription.known;
        Some(app.marketplace.activate(id, &known.plan_id, known.quantity).await)
    } else {
        None
    };
    let learnt = match refusal {
        Some(Ok(())) => vec![Event::Accepted { duty: Kind::Activate.into(), operation: None, location: None }],
        _ => Vec::new(),
    };
    let refusal = refusal.and_then(Result::err);
    match app.marketplace.get_subscription(id).await {
        Ok(read) => {
            let otherwise = match &refusal {
                Some(error) => Otherwise::after(error),
                None => Otherwise::Wait {
                    why: format!("Microsoft received the activation and still shows {}", read.status.as_str()),
                    after: None,
                },
            };
            Attempt { learnt, read: Some(read), otherwise }
        }
        Err(error) => Attempt { learnt, read: None, otherwise: after_error(&error, refusal.as_ref()) },
    }
}

/// What becomes of the duty when the last call ended in `error`, and Activate before it in `refusal`.
fn after_error(error: &CallError, refusal: Option<&CallError>) -> Otherwise {
    let unknown = |error: &CallError| matches!(error.kind, CallErrorKind::NotFound);
    if unknown(error) && refusal.is_some_and(unknown) {
        return Otherwise::Impossible { why: "the marketplace knows no such subscription".to_owned() };
    }
    Otherwise::after(refusal.unwrap_or(error))
}
