//! `webhook`, where Microsoft tells what happened and asks what may happen: from its body only ids, from its API the facts.
//!
//! 2xx means that what was told is on a saved record, at least as a duty to examine it. 400 to a change means that policy
//! refuses it. 503 means come again: it is not decided, or not saved. 401 only for a token proven wrong.

mod part;

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use self::part::{Part, Put, wait};
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

/// What is left of [`ANSWER_BUDGET`] for the last save and the way back, once the publisher's software was heard, or
/// waited for.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// With less of [`ANSWER_BUDGET`] left the publisher's software is not asked any more: half a second for it to answer, and
/// a save before and after. Microsoft comes again.
pub const ASKING_TAKES: Duration = Duration::from_millis(2_500);

/// How often the record is looked at for the verdict that somebody else is about to save: often enough that Microsoft
/// hears it at once, and few loads in the three seconds that it takes.
pub const VERDICT_POLL: Duration = Duration::from_millis(200);

/// The longest unknown word of an action that is written to the log, in characters.
const ACTION_LENGTH: usize = 60;

/// Takes in a notification.
pub async fn run(app: &App, request: &Request, now: OffsetDateTime) -> Result<Answer, Refused> {
    let deadline = Instant::now() + ANSWER_BUDGET;
    match timeout_at(deadline, take_in(app, request, now, deadline)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            Err(Fault::passing(Code::StoreUnavailable, "the notification could not be taken in within its time").into())
        }
    }
}

async fn take_in(app: &App, request: &Request, now: OffsetDateTime, deadline: Instant) -> Result<Answer, Fault> {
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
        let in_time = deadline.saturating_duration_since(Instant::now()) >= ASKING_TAKES;
        let Some(mut outcome) = conclude(app, &notification, stored, look, in_time)? else {
            return Ok(accepted().into());
        };
        let saved = if outcome.is_news {
            app.save_as(&mut outcome.subscription, outcome.etag.as_ref(), outcome.told, &outcome.rings).await?
        } else {
            outcome.etag
        };
        let Some(etag) = saved else { continue };
        match outcome.next {
            Next::Answer(answer) => return answer,
            Next::Ask(put) => return put.ask(app, outcome.subscription, etag, deadline).await,
            Next::Wait(notice) => {
                if let Some(answer) = wait(app, &outcome.subscription.id, &notice, deadline - LAST_WORDS).await? {
                    return Ok(answer);
                }
            }
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
        let (mut known, operation) = tokio::join!(marketplace.get_subscription(id), operation);
        if let (Ok(read), Ok(operation)) = (&known, &operation)
            && notice::is_behind(read, operation.as_ref())
        {
            known = marketplace.get_subscription(id).await;
        }
        Self { known, operation }
    }
}

/// What is to be saved, and what is done once it is.
struct Outcome {
    subscription: Subscription,
    etag: Option<Etag>,
    told: usize,
    rings: Vec<Queue>,
    /// Whether the record holds anything that is not saved yet. A repeated notification usually brings nothing.
    is_news: bool,
    next: Next,
}

/// What is done once the record is saved.
enum Next {
    /// Microsoft is answered.
    Answer(Result<Answer, Fault>),
    /// The publisher's software is asked.
    Ask(Put),
    /// Somebody else is asking it about this.
    Wait(Notice),
}

/// What Microsoft's answers mean for the record.
struct Conclusion {
    event: Event,
    read: Option<Snapshot>,
    /// Whether nothing is decided yet about what may be refused.
    undecided: bool,
    /// What the publisher's software has to do with it.
    part: Option<Part>,
}

/// `None` where there is nothing of ours to save.
fn conclude(
    app: &App,
    notification: &Notification,
    stored: Option<Stored>,
    look: Look,
    in_time: bool,
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
    let Conclusion { event, read, undecided, part } =
        meaning(app, notification, &notice, &subscription, known, look.operation).with_publisher(
            app,
            &subscription,
            in_time,
            now,
        );
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
    let next = match part {
        Some(Part::Ask(put)) => Next::Ask(put),
        Some(Part::Wait) => Next::Wait(notice),
        None => Next::Answer(answer(&subscription, &notice, undecided, &rings)),
    };
    Ok(Some(Outcome { subscription, etag, told, rings, is_news, next }))
}

/// What a notification means by what Microsoft answered. `known` is `None` where the record was made of it.
fn meaning(
    app: &App,
    notification: &Notification,
    notice: &Notice,
    subscription: &Subscription,
    known: Option<Result<Snapshot, CallError>>,
    operation: Result<Option<Operation>, CallError>,
) -> Conclusion {
    let policy = &app.settings.change_policy;
    let is_asked = app.settings.connection.decisions.is_some();
    let may_be_refused = notice::may_be_refused(&notification.action, policy, is_asked);
    let unread = |read, undecided| Conclusion { event: Event::Unread(notice.clone()), read, undecided, part: None };
    let read = |event, read| Conclusion { event, read, undecided: false, part: None };
    match (known, operation) {
        (Some(Err(error)), _) if error.kind != CallErrorKind::NotFound => unread(None, may_be_refused),
        (Some(Err(_)), _) => read(Event::Noticed(notice.clone()), None),
        (known, Err(_)) if notice::needs_operation(&notification.action) => {
            unread(known.and_then(Result::ok), may_be_refused)
        }
        // Known to Microsoft in a moment, perhaps. Nothing is concluded from that: what it does would be missed, and a change
        // that may be refused is not waved through.
        (known, Ok(None)) if notice.operation.is_some() && notice::needs_operation(&notification.action) => {
            unread(known.and_then(Result::ok), may_be_refused)
        }
        (Some(Ok(known)), _) if notice::is_ahead_of(notice, &known) => unread(Some(known), false),
        (known, operation) => {
            let known = known.and_then(Result::ok);
            let current = known.as_ref().unwrap_or(&subscription.known);
            read(notice::conclude(notice.clone(), current, operation.ok().flatten().as_ref(), policy), known)
        }
    }
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
