//! `webhook`, where Microsoft tells what happened and asks what may happen: from its body only ids, from its API the facts.
//!
//! 2xx means that what was told is on a saved record, at least as a duty to examine it. 400 to a change means that policy
//! refuses it. 503 means come again: it is not decided, or not saved. 401 only for a token proven wrong.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Answer, Refused};
use crate::app::{App, SAVE_TRIES, contended, note_subscription};
use crate::arrival;
use crate::duty::{Queue, Verdict};
use crate::error::{Code, Fault};
use crate::history::Actor;
use crate::marketplace::notification::Notification;
use crate::marketplace::{Action, CallError, CallErrorKind, Operation};
use crate::notice;
use crate::store::{Etag, Stored};
use crate::subscription::{Applied, Decision, Event, Notice, OperationId, Snapshot, Subscription, SubscriptionId};
use crate::web::{Reply, Request};

/// What Microsoft's ten seconds leave for all of it, once the way here and back is taken off.
pub const ANSWER_BUDGET: Duration = Duration::from_secs(8);

/// How long the proof of the caller may take. It takes no time at all but for the first call of an instance, and once a
/// day, when keys are fetched.
pub const VERIFY_BUDGET: Duration = Duration::from_secs(3);

/// How long one look at Microsoft's API may take, both readings side by side. Two looks, after a lost race, and two saves
/// fit the budget.
pub const READ_BUDGET: Duration = Duration::from_secs(3);

/// The longest unknown word of an action that is written to the log, in characters.
const ACTION_LENGTH: usize = 60;

/// Takes in a notification.
pub async fn run(app: &App, request: &Request, now: OffsetDateTime) -> Result<Answer, Refused> {
    match tokio::time::timeout(ANSWER_BUDGET, take_in(app, request, now)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            Err(Fault::passing(Code::StoreUnavailable, "the notification could not be taken in within its time").into())
        }
    }
}

async fn take_in(app: &App, request: &Request, now: OffsetDateTime) -> Result<Answer, Fault> {
    tokio::time::timeout(VERIFY_BUDGET, app.verify_caller(request.header("authorization"), now)).await.map_err(
        |_| Fault::passing(Code::EntraUnavailable, "the keys of Microsoft's callers could not be had in time"),
    )??;
    let notification = Notification::read(&request.body)?;
    note_subscription(&notification.subscription_id);
    if let Action::Other(word) = &notification.action {
        let word: String = word.chars().filter(char::is_ascii_alphanumeric).take(ACTION_LENGTH).collect();
        tracing::error!(action = word, "Microsoft sent an action that this version does not know; it is on the record");
    }
    for _ in 0..SAVE_TRIES {
        let stored = app.store.load(&notification.subscription_id).await?;
        let look = Look::at(app, &notification).await;
        let Some(mut outcome) = conclude(app, &notification, stored, look)? else {
            return Ok(accepted().into());
        };
        if !outcome.is_news {
            return outcome.answer;
        }
        if app.save(&mut outcome.subscription, outcome.etag.as_ref(), outcome.told, &outcome.rings).await? {
            return outcome.answer;
        }
    }
    Err(contended(&notification.subscription_id))
}

/// What Microsoft shows, read after the record was loaded.
struct Look {
    known: Result<Snapshot, CallError>,
    /// `None` where the notification names no operation, or Microsoft knows none of this id.
    operation: Result<Option<Operation>, CallError>,
}

impl Look {
    async fn at(app: &App, notification: &Notification) -> Self {
        let id = &notification.subscription_id;
        let marketplace = app.marketplace.clone().with_timeout(READ_BUDGET);
        let operation = async {
            match &notification.operation_id {
                None => Ok(None),
                Some(operation) => match marketplace.get_operation(id, operation).await {
                    Ok(operation) => Ok(Some(operation)),
                    Err(error) if error.kind == CallErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                },
            }
        };
        let (known, operation) = tokio::join!(marketplace.get_subscription(id), operation);
        Self { known, operation }
    }
}

/// What is to be saved, and what is answered once it is.
struct Outcome {
    subscription: Subscription,
    etag: Option<Etag>,
    told: usize,
    rings: Vec<Queue>,
    /// Whether the record holds anything that is not saved yet. A repeated notification usually brings nothing.
    is_news: bool,
    answer: Result<Answer, Fault>,
}

/// `None` where there is nothing of ours to save.
fn conclude(
    app: &App,
    notification: &Notification,
    stored: Option<Stored>,
    look: Look,
) -> Result<Option<Outcome>, Fault> {
    let id = &notification.subscription_id;
    let now = app.clock.now();
    let operation_id = notification.operation_id.as_deref().and_then(OperationId::parse);
    let notice = Notice { operation: operation_id, action: notification.action.as_str().to_owned() };
    let (mut subscription, etag, known) = match (stored, look.known) {
        (_, Ok(known)) if !app.settings.serves(&known.offer_id) => {
            tracing::warn!(subscription_id = %id, "a notification of an offer that OFFERS does not name is left alone");
            return Ok(None);
        }
        (Some(stored), known) => (stored.subscription, Some(stored.etag), Some(known)),
        (None, Ok(known)) => (Subscription::discovered(id.clone(), known, Actor::Marketplace, now), None, None),
        (None, Err(error)) if error.kind == CallErrorKind::NotFound => {
            tracing::warn!(subscription_id = %id, "a notification of a subscription that nobody knows");
            return Ok(None);
        }
        // Without a record and without Microsoft there is nothing to save it on: Microsoft comes again.
        (None, Err(error)) => return Err(Fault::passing(Code::MarketplaceUnavailable, error.to_string())),
    };
    let told = if etag.is_some() { subscription.history.total() } else { 0 };
    let (event, read, undecided) = match (known, look.operation) {
        (Some(Err(error)), _) if error.kind != CallErrorKind::NotFound => (Event::Unread(notice.clone()), None, true),
        (Some(Err(_)), _) => (Event::Noticed(notice.clone()), None, false),
        (known, Err(_)) if notice::needs_operation(&notification.action) => {
            (Event::Unread(notice.clone()), known.and_then(Result::ok), true)
        }
        // Known to Microsoft in a moment, perhaps; a change that policy might refuse is not waved through for that.
        (known, Ok(None))
            if notice.operation.is_some()
                && notice::may_be_refused(&notification.action, &app.settings.change_policy) =>
        {
            (Event::Unread(notice.clone()), known.and_then(Result::ok), true)
        }
        (Some(Ok(known)), _) if notice::is_ahead_of(&notice, &known) => {
            (Event::Unread(notice.clone()), Some(known), false)
        }
        (known, operation) => {
            let read = known.and_then(Result::ok);
            let operation = operation.ok().flatten();
            let current = read.as_ref().unwrap_or(&subscription.known);
            let event = notice::conclude(notice.clone(), current, operation.as_ref(), &app.settings.change_policy);
            (event, read, false)
        }
    };
    let mut rings = Vec::new();
    let mut is_news = etag.is_none() || read.as_ref().is_some_and(|read| *read != subscription.known);
    match subscription.apply(event, now) {
        Applied::Changed { rings: more } => (rings, is_news) = (more, true),
        Applied::Unchanged => {}
        Applied::Refused(refusal) => return Err(arrival::refused(id, refusal)),
    }
    if let Some(read) = read {
        subscription.apply(Event::Read(Box::new(read)), now);
    }
    let must_wait = undecided && notice::may_be_refused(&notification.action, &app.settings.change_policy);
    let answer = answer(&subscription, &notice, must_wait, &rings);
    Ok(Some(Outcome { subscription, etag, told, rings, is_news, answer }))
}

/// What Microsoft hears. An answer once given stands: a repeated notification gets the same. One that only a newer version
/// understands is that version's to repeat.
fn answer(subscription: &Subscription, notice: &Notice, must_wait: bool, rings: &[Queue]) -> Result<Answer, Fault> {
    let id: &SubscriptionId = &subscription.id;
    let answered = notice.operation.as_ref().and_then(|operation| subscription.answer_to(operation));
    let reply = match answered.map(|answered| &answered.decision) {
        Some(Decision::Given(Verdict::Failure)) => {
            Reply::json(400, &serde_json::json!({ "code": "refused", "message": "The publisher refuses this change." }))
        }
        Some(Decision::Other(word)) => {
            let why = format!("a newer version answered an operation of {id} with the word {word}");
            return Err(Fault::passing(Code::RecordNewer, why));
        }
        Some(Decision::NotAsked) | None if must_wait => {
            let why = format!("a change of {id} that policy might refuse cannot be examined yet");
            return Err(Fault::passing(Code::MarketplaceUnavailable, why));
        }
        Some(Decision::Given(Verdict::Success) | Decision::NotAsked) | None => accepted(),
    };
    Ok(Answer::and_discharge(reply, id, rings))
}

fn accepted() -> Reply {
    Reply::json(200, &serde_json::json!({ "status": "accepted" }))
}
