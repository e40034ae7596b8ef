//! Changes of a subscription after its activation: the publisher's own, the customer's, and the publisher's answers
//! to the customer's.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::catalog;
use super::faults::Profile;
use super::market::Market;
use super::operation::{Action, Operation, Phase, Source};
use super::refusal::Refusal;
use super::subscription::{Standing, Subscription};

/// How long an operation of the publisher's stays `NotStarted`.
pub(super) const STARTS_AFTER: Duration = Duration::seconds(1);

/// How long an operation of the publisher's takes in all.
pub(super) const ENDS_AFTER: Duration = Duration::seconds(5);

/// How long the publisher has to answer a customer's change; silence accepts it.
pub(super) const ANSWER_WITHIN: Duration = Duration::seconds(10);

/// What a customer, their bank or Microsoft does to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Another plan.
    ChangePlan(String),
    /// Another number of seats.
    ChangeQuantity(u32),
    /// A payment failed.
    Suspend,
    /// It was paid after all.
    Reinstate,
    /// The next term begins.
    Renew,
    /// The end.
    Unsubscribe,
}

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
        let subscription = self.find(subscription_id, now)?;
        may_update(subscription)?;
        let target = plan_target(subscription, plan_id)?;
        subscription.remember(by_publisher(id, Action::ChangePlan, target, now));
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
        let subscription = self.find(subscription_id, now)?;
        may_update(subscription)?;
        let target = quantity_target(subscription, quantity)?;
        subscription.remember(by_publisher(id, Action::ChangeQuantity, target, now));
        Ok(())
    }

    /// Cancel by the publisher. `id` becomes the operation's id.
    pub(super) fn cancel(
        &mut self,
        subscription_id: &str,
        id: String,
        now: OffsetDateTime,
    ) -> Result<Cancelled, Refusal> {
        let subscription = self.find(subscription_id, now)?;
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
        let target = (subscription.plan.id, subscription.quantity);
        subscription.remember(by_publisher(id.clone(), Action::Unsubscribe, target, now));
        Ok(Cancelled::Submitted(id))
    }

    /// List Outstanding Operations: those in progress.
    pub(super) fn outstanding(&mut self, subscription_id: &str, now: OffsetDateTime) -> Result<Value, Refusal> {
        let observed = self.faults.profile == Profile::Observed;
        let subscription = match self.find(subscription_id, now) {
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
    pub(super) fn operation(&mut self, subscription_id: &str, id: &str, now: OffsetDateTime) -> Result<Value, Refusal> {
        let (subscription, index) = self.find_operation(subscription_id, id, now)?;
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
        let (subscription, index) = self.find_operation(subscription_id, id, now)?;
        let operation = &mut subscription.operations[index];
        if operation.source == Source::Partner && observed {
            return Err(Refusal::conflict("", "An unexpected error has occurred.").with_status(500));
        }
        if operation.phase != Phase::InProgress {
            return Err(Refusal::conflict("", "The operation is no longer in progress"));
        }
        match verdict {
            Verdict::Success => subscription.complete(index),
            Verdict::Failure => operation.fail("Rejected", "The publisher refused the change."),
            Verdict::Other => {}
        }
        Ok(())
    }

    /// Something that the customer's side does. Answers the operation's id.
    pub(super) fn act(&mut self, subscription_id: &str, deed: &Deed, now: OffsetDateTime) -> Result<String, Refusal> {
        let id = self.guid();
        let subscription = self.find(subscription_id, now)?;
        let (active, standing) = (subscription.standing == Standing::Subscribed, subscription.standing);
        let wrong = |what: &str| Err(Refusal::conflict("", format!("{what}; this one is {standing:?}")));
        match deed {
            Deed::ChangePlan(_) | Deed::ChangeQuantity(_) if !active => {
                return wrong("only a Subscribed subscription can be changed");
            }
            Deed::ChangePlan(_) | Deed::ChangeQuantity(_) if subscription.is_locked() => {
                return Err(Refusal::conflict("", "another operation is pending on this subscription"));
            }
            Deed::ChangePlan(plan_id) => {
                let target = plan_target(subscription, plan_id)?;
                subscription.remember(by_customer(id.clone(), Action::ChangePlan, target, now));
            }
            Deed::ChangeQuantity(quantity) => {
                let target = quantity_target(subscription, *quantity)?;
                subscription.remember(by_customer(id.clone(), Action::ChangeQuantity, target, now));
            }
            Deed::Suspend if !active => return wrong("only a Subscribed subscription can be suspended"),
            Deed::Suspend => {
                subscription.standing = Standing::Suspended;
                subscription.record(id.clone(), Action::Suspend, Source::Azure, now);
            }
            Deed::Reinstate if standing != Standing::Suspended => {
                return wrong("only a Suspended subscription can be reinstated");
            }
            Deed::Reinstate => {
                subscription.standing = Standing::Subscribed;
                subscription.record(id.clone(), Action::Reinstate, Source::Azure, now);
            }
            Deed::Renew => renew(subscription, id.clone(), now)?,
            Deed::Unsubscribe if standing == Standing::Unsubscribed => {
                return wrong("a subscription is unsubscribed once");
            }
            Deed::Unsubscribe => {
                subscription.standing = Standing::Unsubscribed;
                subscription.activation = None;
                subscription.record(id.clone(), Action::Unsubscribe, Source::Azure, now);
            }
        }
        Ok(id)
    }

    fn find_operation(
        &mut self,
        subscription_id: &str,
        id: &str,
        now: OffsetDateTime,
    ) -> Result<(&mut Subscription, usize), Refusal> {
        // Documented as 404, seen as 400 in both cases.
        let status = if self.faults.profile == Profile::Observed { 400 } else { 404 };
        let unknown = || Refusal::not_found("operationId", "Failed to find operation").with_status(status);
        let subscription = self.find(subscription_id, now).map_err(|_| unknown())?;
        let index = subscription.operations.iter().position(|operation| operation.id == id).ok_or_else(unknown)?;
        Ok((subscription, index))
    }
}

/// The next term follows the last.
fn renew(subscription: &mut Subscription, id: String, now: OffsetDateTime) -> Result<(), Refusal> {
    let standing = subscription.standing;
    let Some((_, last)) = subscription.term.filter(|_| standing == Standing::Subscribed) else {
        return Err(Refusal::conflict("", format!("only a Subscribed subscription renews; this one is {standing:?}")));
    };
    if !subscription.auto_renew {
        return Err(Refusal::conflict("", "this subscription was bought without automatic renewal"));
    }
    let Some(first) = last.next_day().filter(|first| first.year() < LAST_YEAR) else {
        return Err(Refusal::conflict("", format!("the simulator's calendar ends before the year {LAST_YEAR}")));
    };
    subscription.start_term(first);
    subscription.record(id, Action::Renew, Source::Azure, now);
    Ok(())
}

/// Renewals stop here, well before dates can no longer be held.
const LAST_YEAR: i32 = 9_000;

type Target = (&'static str, Option<u32>);

fn plan_target(subscription: &Subscription, plan_id: &str) -> Result<Target, Refusal> {
    let refuse = |message: String| Refusal::bad_request("BadRequest", "update", message);
    let plan = catalog::plan(plan_id).ok_or_else(|| refuse("Request Plan is NOT in Catalog.".to_owned()))?;
    if plan.id == subscription.plan.id {
        return Err(refuse(format!(
            "The customer is already subscribed to plan {plan_id}. Changing plans only supported between two different \
             plans"
        )));
    }
    // Seats are kept where the plan has any; a customer who comes from a flat price begins with the least.
    let quantity = plan.seats.as_ref().map(|seats| subscription.quantity.unwrap_or(*seats.start()));
    Ok((plan.id, quantity))
}

fn quantity_target(subscription: &Subscription, quantity: u32) -> Result<Target, Refusal> {
    if subscription.quantity == Some(quantity) {
        return Err(Refusal::bad_request("BadRequest", "update", "New quantity is the same as on the subscription"));
    }
    subscription.plan.check_quantity(Some(quantity))?;
    Ok((subscription.plan.id, Some(quantity)))
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

fn by_publisher(id: String, action: Action, (plan_id, quantity): Target, now: OffsetDateTime) -> Operation {
    Operation {
        id,
        action,
        source: Source::Partner,
        phase: Phase::NotStarted,
        plan_id,
        quantity,
        asked_at: now,
        starts_at: now + STARTS_AFTER,
        ends_at: now + ENDS_AFTER,
        error: None,
    }
}

fn by_customer(id: String, action: Action, (plan_id, quantity): Target, now: OffsetDateTime) -> Operation {
    Operation {
        id,
        action,
        source: Source::Azure,
        phase: Phase::InProgress,
        plan_id,
        quantity,
        asked_at: now,
        starts_at: now,
        ends_at: now + ANSWER_WITHIN,
        error: None,
    }
}
