//! `acknowledge`, on a bell: examines what a webhook named while Microsoft could not be asked, and delivers our answers to
//! the customer's changes.
//!
//! An answer is delivered when Microsoft shows that the operation has ended, not when it took the answer. 409 and 500 say
//! that it ended, or was never ours to answer: then the operation is read instead of insisted upon.

use crate::app::{App, Attempt, Claim, Otherwise};
use crate::decision::{self, Asking, DECISION_PATIENCE};
use crate::duty::{DUTIES, LEASE, Queue, Task, Verdict};
use crate::error::Fault;
use crate::marketplace::{CallErrorKind, Operation, OperationOutcome, OperationStatus};
use crate::notice;
use crate::subscription::{Event, Notice, OperationId, SubscriptionId};

/// From which attempt on an operation that Microsoft does not know is taken for none. Engineers saw operations appear
/// with a delay (MicrosoftDocs/azure-docs 41979); three attempts reach over a quarter of a minute.
const KNOWN_BY: u32 = 3;

/// From which attempt on a state that Microsoft announced and does not show is taken as it is. Five attempts reach over a
/// minute, many times the ten seconds in which Microsoft makes up its mind.
const SHOWN_BY: u32 = 5;

/// Discharges what is due of a subscription's duties `Examine` and `Acknowledge`, one after the other.
pub async fn run(app: &App, id: &SubscriptionId) -> Result<(), Fault> {
    for _ in 0..DUTIES {
        let Some(claim) = app.claim(id, Queue::Acknowledgements).await? else {
            return Ok(());
        };
        let duty = claim.duty();
        match &duty.task {
            Task::Acknowledge { operation, verdict } => {
                let attempt = acknowledge(app, id, operation, *verdict, duty.attempts > 1).await;
                app.settle(claim, attempt).await?;
            }
            Task::Examine { operation, action, .. } => {
                let notice = Notice { operation: operation.clone(), action: action.clone() };
                let attempt = examine(app, id, notice, duty.attempts).await;
                if let Some((claim, attempt)) = with_publisher(app, claim, attempt).await? {
                    app.settle(claim, attempt).await?;
                }
            }
            Task::Activate { .. } | Task::Change { .. } | Task::Cancel { .. } | Task::Notify => return Ok(()),
        }
    }
    Ok(())
}

/// The same attempt, but for a change about which the publisher's software is asked. Nobody waits for it here, so that it
/// has longer than at the webhook. `None` where the duty is somebody else's by now.
async fn with_publisher(app: &App, claim: Claim, attempt: Attempt) -> Result<Option<(Claim, Attempt)>, Fault> {
    let (connection, concluded) = (&app.settings.connection, attempt.learnt.first().zip(attempt.read.as_ref()));
    let question = concluded.and_then(|(event, known)| notice::question(event, known));
    let (Some(to), Some(question)) = (&connection.decisions, question) else {
        return Ok(Some((claim, attempt)));
    };
    let (claim, ruling) = if claim.subscription.is_asked(&question.examine()) {
        (claim, decision::unheard(connection.decisions_default))
    } else {
        let now = app.clock.now();
        let Some(claim) = app.go_on(claim, Event::Asked { notice: question.notice(), until: now + LEASE }).await?
        else {
            return Ok(None);
        };
        let asking = Asking::begin(app, to, &claim.subscription, &question, now);
        let (ruling, _nobody_listens) = asking.within(DECISION_PATIENCE, connection.decisions_default).await;
        (claim, ruling)
    };
    Ok(Some((claim, Attempt { learnt: vec![question.decided(ruling)], ..attempt })))
}

async fn examine(app: &App, id: &SubscriptionId, notice: Notice, attempts: u32) -> Attempt {
    let mut known = match app.marketplace.get_subscription(id).await {
        Ok(known) => known,
        Err(error) if error.kind == CallErrorKind::NotFound => {
            let why = "the marketplace knows no such subscription".to_owned();
            return Attempt::in_vain(Otherwise::Impossible { why });
        }
        Err(error) => return Attempt::in_vain(Otherwise::after(&error)),
    };
    if attempts < SHOWN_BY && notice::is_ahead_of(&notice, &known) {
        let why = "Microsoft does not show yet what it told of".to_owned();
        return Attempt::showing(known, Otherwise::Wait { why, after: None });
    }
    let operation = match &notice.operation {
        None => None,
        Some(operation) => match app.marketplace.get_operation(id, operation.as_str()).await {
            Ok(operation) => Some(operation),
            Err(error) if error.kind == CallErrorKind::NotFound && attempts >= KNOWN_BY => None,
            Err(error) => return Attempt::showing(known, Otherwise::after(&error)),
        },
    };
    if notice::is_behind(&known, operation.as_ref()) {
        match app.marketplace.get_subscription(id).await {
            Ok(read) => known = read,
            Err(error) => return Attempt::in_vain(Otherwise::after(&error)),
        }
    }
    let learnt = vec![notice::conclude(notice, &known, operation.as_ref(), &app.settings.change_policy)];
    let why = "what was concluded did not end the duty".to_owned();
    Attempt { learnt, read: Some(known), otherwise: Otherwise::Wait { why, after: None } }
}

async fn acknowledge(
    app: &App,
    id: &SubscriptionId,
    operation: &OperationId,
    verdict: Verdict,
    tried_before: bool,
) -> Attempt {
    // An earlier attempt may have been received although its answer was lost: an answer is not given twice.
    if tried_before
        && let Ok(shown) = app.marketplace.get_operation(id, operation.as_str()).await
        && shown.status.is_ended()
    {
        return closed(app, id, operation, verdict, &shown).await;
    }
    let outcome = match verdict {
        Verdict::Success => OperationOutcome::Success,
        Verdict::Failure => OperationOutcome::Failure,
    };
    let answered = app.marketplace.update_operation(id, operation.as_str(), outcome).await;
    match app.marketplace.get_operation(id, operation.as_str()).await {
        Ok(shown) if shown.status.is_ended() => closed(app, id, operation, verdict, &shown).await,
        Ok(_) => {
            let otherwise = answered.as_ref().err().map_or_else(
                || {
                    let why = "Microsoft received the answer and does not show the operation as ended".to_owned();
                    Otherwise::Wait { why, after: None }
                },
                Otherwise::after,
            );
            Attempt::in_vain(otherwise)
        }
        Err(error) if error.kind == CallErrorKind::NotFound => {
            let why = "the marketplace knows no such operation".to_owned();
            let read = app.marketplace.get_subscription(id).await.ok();
            Attempt { learnt: Vec::new(), read, otherwise: Otherwise::Impossible { why } }
        }
        Err(error) => Attempt::in_vain(Otherwise::after(&error)),
    }
}

/// Microsoft shows the operation as ended. What it did to the subscription is read at once.
async fn closed(
    app: &App,
    id: &SubscriptionId,
    operation: &OperationId,
    verdict: Verdict,
    shown: &Operation,
) -> Attempt {
    let as_answered = match verdict {
        // `Conflict` means that the new value is the one it already had.
        Verdict::Success => matches!(shown.status, OperationStatus::Succeeded | OperationStatus::Conflict),
        Verdict::Failure => shown.status == OperationStatus::Failed,
    };
    if !as_answered {
        tracing::warn!(
            subscription_id = %id, operation_id = %operation, verdict = verdict.as_str(), status = shown.status.as_str(),
            "Microsoft ended an operation otherwise than we had answered"
        );
    }
    let read = match app.marketplace.get_subscription(id).await {
        Ok(read) => read,
        Err(error) => return Attempt::in_vain(Otherwise::after(&error)),
    };
    let outcome = shown.status.as_str().to_owned();
    let learnt = vec![Event::Closed { operation: operation.clone(), outcome, as_answered }];
    let why = "the operation has ended".to_owned();
    Attempt { learnt, read: Some(read), otherwise: Otherwise::Wait { why, after: None } }
}
