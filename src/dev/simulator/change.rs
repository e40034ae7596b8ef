//! What the publisher does to a subscription after its activation: own changes, and answers to the customer's.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::deed::{plan_target, quantity_target};
use super::faults::Profile;
use super::market::Market;
use super::operation::{Action, Operation, Phase, Source, Terms};
use super::refusal::Refusal;
use super::subscription::{Standing, Subscription};

/// How long an operation of the publisher's stays `NotStarted`.
pub(super) const STARTS_AFTER: Duration = Duration::seconds(1);

/// How long an operation of the publisher's takes in all.
pub(super) const ENDS_AFTER: Duration = Duration::seconds(5);

/// What the publisher says to a customer's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes.
    Success,
    /// No.
    Failure,
    /// Something else, which the real API lets pass without effect.
    Other,
}

/// What came of the publisher's Cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// The operation with this id will do it.
    Submitted(String),
    /// It was cancelled already.
    Already,
}

impl Market {
    /// Change Plan by the publisher. `id` becomes the operation's id.
    pub(super) fn change_plan(
        &mut self,
        subscription_id: &str,
        plan_id: &str,
        id: String,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let subscription = self.find(subscription_id)?;
        may_update(subscription)?;
        let target = plan_target(subscription, plan_id)?;
        let operation = by_publisher(subscription, id, Action::ChangePlan, target, now);
        self.announce(subscription_id, operation);
        Ok(())
    }

    /// Change Quantity by the publisher. `id` becomes the operation's id.
    pub(super) fn change_quantity(
        &mut self,
        subscription_id: &str,
        quantity: u32,
        id: String,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let subscription = self.find(subscription_id)?;
        may_update(subscription)?;
        let target = quantity_target(subscription, quantity)?;
        let operation = by_publisher(subscription, id, Action::ChangeQuantity, target, now);
        self.announce(subscription_id, operation);
        Ok(())
    }

    /// Cancel by the publisher. `id` becomes the operation's id.
    pub(super) fn cancel(
        &mut self,
        subscription_id: &str,
        id: String,
        now: OffsetDateTime,
    ) -> Result<Cancelled, Refusal> {
        let subscription = self.find(subscription_id)?;
        if subscription.standing == Standing::Unsubscribed {
            return Ok(Cancelled::Already);
        }
        if subscription.is_resold() {
            return Err(Refusal::bad_request("BadRequest", "delete", "Delete is not in allowedCustomerOperations"));
        }
        if subscription.is_locked() {
            let locked = "Delete cannot be completed because subscription is locked due to pending operation(s)";
            return Err(Refusal::conflict("delete", locked));
        }
        let target = subscription.terms();
        let operation = by_publisher(subscription, id.clone(), Action::Unsubscribe, target, now);
        self.announce(subscription_id, operation);
        Ok(Cancelled::Submitted(id))
    }

    /// List Outstanding Operations: those in progress.
    pub(super) fn outstanding(&mut self, subscription_id: &str) -> Result<Value, Refusal> {
        let observed = self.faults.profile == Profile::Observed;
        let subscription = match self.find(subscription_id) {
            Err(_) if observed => return Ok(json!({ "operations": [] })),
            found => found?,
        };
        let operations = subscription
            .operations
            .iter()
            .filter(|operation| operation.phase == Phase::InProgress)
            .map(|operation| operation.to_json(&subscription.id, &subscription.offer_id));
        Ok(json!({ "operations": operations.collect::<Vec<_>>() }))
    }

    /// Get Operation.
    pub(super) fn operation(&mut self, subscription_id: &str, id: &str) -> Result<Value, Refusal> {
        let (subscription, index) = self.find_operation(subscription_id, id)?;
        Ok(subscription.operations[index].to_json(&subscription.id, &subscription.offer_id))
    }

    /// Update Operation: the publisher's answer to a customer's change.
    pub(super) fn update_operation(
        &mut self,
        subscription_id: &str,
        id: &str,
        verdict: Verdict,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        let observed = self.faults.profile == Profile::Observed;
        let (subscription, index) = self.find_operation(subscription_id, id)?;
        let operation = &subscription.operations[index];
        if operation.source == Source::Partner && observed {
            return Err(Refusal::conflict("", "An unexpected error has occurred.").with_status(500));
        }
        if operation.phase != Phase::InProgress {
            return Err(Refusal::conflict("", "The operation is no longer in progress"));
        }
        match verdict {
            Verdict::Success => subscription.complete(index, now, "The publisher answered Success."),
            Verdict::Failure => self.reject(subscription_id, id, "The publisher answered Failure.", now),
            Verdict::Other => {}
        }
        Ok(())
    }

    fn find_operation(&mut self, subscription_id: &str, id: &str) -> Result<(&mut Subscription, usize), Refusal> {
        // Documented as 404, seen as 400 in both cases.
        let status = if self.faults.profile == Profile::Observed { 400 } else { 404 };
        let unknown = || Refusal::not_found("operationId", "Failed to find operation").with_status(status);
        let subscription = self.find(subscription_id).map_err(|_| unknown())?;
        let index = subscription.operations.iter().position(|operation| operation.id == id).ok_or_else(unknown)?;
        Ok((subscription, index))
    }
}

fn may_update(subscription: &Subscription) -> Result<(), Refusal> {
    let refuse = |code, message| Err(Refusal::bad_request(code, "update", message));
    if subscription.standing != Standing::Subscribed {
        return refuse("BadRequest", "Only a subscription in the state Subscribed can be updated");
    }
    if subscription.is_resold() {
        return refuse("BadRequest", "Update is not in allowedCustomerOperations");
    }
    if subscription.is_locked() {
        return refuse(
            "Failed",
            "Patch cannot be completed because the subscription is locked due to pending operations",
        );
    }
    Ok(())
}

/// The publisher is told of a change when it begins, and of a cancellation when it is done.
fn by_publisher(
    subscription: &Subscription,
    id: String,
    action: Action,
    target: Terms,
    now: OffsetDateTime,
) -> Operation {
    let (starts_at, ends_at) = (now + STARTS_AFTER, now + ENDS_AFTER);
    Operation {
        told_at: if action.is_change() { starts_at } else { ends_at },
        source: Source::Partner,
        phase: Phase::NotStarted,
        starts_at,
        ends_at: Some(ends_at),
        ..Operation::asked(subscription, id, action, target, now)
    }
}
