//! `change`, on a bell: makes Microsoft show what the publisher ordered, another plan, other seats, or the end.
//!
//! Never a blind resend: whoever does not know whether a request arrived reads first. What was ordered is shown: done.
//! Nothing happened since the order: send again; a subscription that is locked says so. Anything else: somebody was
//! faster, and sending again could undo the customer's later change.

use url::Url;

use crate::app::{App, Attempt, Otherwise};
use crate::duty::{DUTIES, Duty, DutyId, Kind, POLL, Queue, Sent, Task, Wanted};
use crate::error::Fault;
use crate::marketplace::{CallErrorKind, Operation, OperationStatus, Submitted};
use crate::subscription::{Event, OperationId, Snapshot, Status, SubscriptionId, Terms};

/// Discharges what is due of a subscription's duties `Change` and `Cancel`, one after the other.
pub async fn run(app: &App, id: &SubscriptionId) -> Result<(), Fault> {
    for _ in 0..DUTIES {
        let Some(claim) = app.claim(id, Queue::Changes).await? else {
            return Ok(());
        };
        let attempt = match Order::of(claim.duty()) {
            Some(order) => order.attempt(app, id).await,
            None => return Ok(()),
        };
        app.settle(claim, attempt).await?;
    }
    Ok(())
}

/// One order, as its duty has it.
struct Order {
    duty: DutyId,
    wanted: Wanted,
    /// Plan and seats when it was ordered; a cancellation does not ask for them.
    from: Option<Terms>,
    sent: Option<Sent>,
    tried_before: bool,
}

impl Order {
    fn of(duty: &Duty) -> Option<Self> {
        let (wanted, from, sent) = match &duty.task {
            Task::Change { wanted, from, sent } => (wanted.clone(), Some(from.clone()), sent.clone()),
            Task::Cancel { sent } => (Wanted::Cancellation, None, sent.clone()),
            Task::Activate { .. } | Task::Examine { .. } | Task::Acknowledge { .. } | Task::Notify => return None,
        };
        Some(Self { duty: duty.task.id(), wanted, from, sent, tried_before: duty.attempts > 1 })
    }

    async fn attempt(&self, app: &App, id: &SubscriptionId) -> Attempt {
        match &self.sent {
            Some(sent) => self.follow(app, id, sent).await,
            None if self.tried_before => match app.marketplace.get_subscription(id).await {
                Ok(known) if self.is_shown_by(&known) => shown(known),
                Ok(known) if self.was_overtaken(&known) => self.superseded(known),
                Ok(_) => self.send(app, id).await,
                Err(error) => Attempt::in_vain(Otherwise::after(&error)),
            },
            None => self.send(app, id).await,
        }
    }

    async fn send(&self, app: &App, id: &SubscriptionId) -> Attempt {
        let submitted = match &self.wanted {
            Wanted::Plan(plan) => app.marketplace.change_plan(id, plan).await,
            Wanted::Quantity(quantity) => app.marketplace.change_quantity(id, *quantity).await,
            Wanted::Cancellation => app.marketplace.cancel(id).await,
        };
        match submitted {
            // A gateway's page, perhaps: whether Microsoft received the order, what the subscription shows next tells.
            Ok(Submitted { operation_id: None, location: None, retry_after, .. }) => {
                let why = "the order was answered without an operation to follow".to_owned();
                Attempt::in_vain(Otherwise::Wait { why, after: Some(retry_after.unwrap_or(POLL)) })
            }
            Ok(Submitted { operation_id, location, retry_after, .. }) => {
                let accepted = Event::Accepted {
                    duty: self.duty.clone(),
                    operation: operation_id.as_deref().and_then(OperationId::parse),
                    location: location.map(String::from),
                };
                let why = "Microsoft received the order".to_owned();
                let after = Some(retry_after.unwrap_or(POLL));
                Attempt { learnt: vec![accepted], read: None, otherwise: Otherwise::Wait { why, after } }
            }
            // Refused for good, or refused because it already is so: what the subscription shows decides.
            Err(error) if matches!(error.kind, CallErrorKind::BadRequest | CallErrorKind::NotFound) => {
                self.refused(app, id, error.to_string()).await
            }
            Err(error) => Attempt::in_vain(Otherwise::after(&error)),
        }
    }

    /// Follows an order that Microsoft received to its end.
    async fn follow(&self, app: &App, id: &SubscriptionId, sent: &Sent) -> Attempt {
        // Without an operation to follow, the subscription alone tells.
        let unseen = "Microsoft received the order and does not show it yet";
        let location = sent.location.as_deref().and_then(|location| Url::parse(location).ok());
        let operation = match (location, &sent.operation) {
            (Some(location), _) => app.marketplace.follow(&location).await,
            (None, Some(operation)) => app.marketplace.get_operation(id, operation.as_str()).await,
            (None, None) => return self.look(app, id, unseen).await,
        };
        match operation {
            Ok(operation) if operation.status.is_ended() => self.ended(app, id, &operation).await,
            Ok(operation) => {
                let why = format!("Microsoft shows the operation as {}", operation.status.as_str());
                Attempt::in_vain(Otherwise::Wait { why, after: Some(POLL) })
            }
            Err(error) if error.kind == CallErrorKind::NotFound => self.look(app, id, unseen).await,
            Err(error) => Attempt::in_vain(Otherwise::after(&error)),
        }
    }

    async fn ended(&self, app: &App, id: &SubscriptionId, operation: &Operation) -> Attempt {
        if operation.status != OperationStatus::Succeeded {
            return self.refused(app, id, format!("Microsoft ended the order as {}", operation.status.as_str())).await;
        }
        self.look(app, id, "Microsoft ended the operation and does not show what was ordered yet").await
    }

    /// What the subscription shows of an order that Microsoft received. While it shows nothing, `unseen` says why to wait.
    async fn look(&self, app: &App, id: &SubscriptionId, unseen: &str) -> Attempt {
        match app.marketplace.get_subscription(id).await {
            Ok(known) if self.is_shown_by(&known) => shown(known),
            Ok(known) if self.was_overtaken(&known) => self.superseded(known),
            Ok(known) => {
                let why = unseen.to_owned();
                Attempt::showing(known, Otherwise::Wait { why, after: Some(POLL) })
            }
            Err(error) => Attempt::in_vain(Otherwise::after(&error)),
        }
    }

    async fn refused(&self, app: &App, id: &SubscriptionId, why: String) -> Attempt {
        match app.marketplace.get_subscription(id).await {
            Ok(known) if self.is_shown_by(&known) => shown(known),
            Ok(known) => Attempt::showing(known, Otherwise::Impossible { why }),
            Err(error) if error.kind == CallErrorKind::NotFound => Attempt::in_vain(Otherwise::Impossible { why }),
            Err(error) => Attempt::in_vain(Otherwise::after(&error)),
        }
    }

    fn is_shown_by(&self, known: &Snapshot) -> bool {
        match self.duty.kind {
            Kind::Cancel => known.status == Status::Unsubscribed,
            _ => self.wanted.is_met_by(&known.terms()),
        }
    }

    fn was_overtaken(&self, known: &Snapshot) -> bool {
        self.from.as_ref().is_some_and(|from| known.terms() != *from)
    }

    fn superseded(&self, known: Snapshot) -> Attempt {
        let why = format!("superseded: the subscription shows neither {} nor what it was before", self.wanted);
        Attempt::showing(known, Otherwise::Impossible { why })
    }
}

/// The subscription shows what was ordered; recording that takes the duty off.
fn shown(known: Snapshot) -> Attempt {
    let why = "the subscription shows it".to_owned();
    Attempt::showing(known, Otherwise::Wait { why, after: Some(POLL) })
}
