//! What a customer, their bank and Microsoft do to a subscription, each told to the publisher.

use time::OffsetDateTime;

use super::catalog;
use super::faults::Profile;
use super::market::Market;
use super::operation::{Action, Operation, Terms};
use super::refusal::Refusal;
use super::subscription::{Standing, Subscription};

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
    /// Something that is in Microsoft's code and in no document: nothing changes.
    Transfer,
    /// The end.
    Unsubscribe,
}

impl Market {
    /// Something that the customer's side does. Answers the operation's id.
    pub(super) fn act(&mut self, subscription_id: &str, deed: &Deed, now: OffsetDateTime) -> Result<String, Refusal> {
        let id = self.guid();
        let profile = self.faults.profile;
        let operation = self.find(subscription_id)?.undergo(deed, id.clone(), profile, now)?;
        self.announce(subscription_id, operation);
        Ok(id)
    }
}

impl Subscription {
    fn undergo(
        &mut self,
        deed: &Deed,
        id: String,
        profile: Profile,
        now: OffsetDateTime,
    ) -> Result<Operation, Refusal> {
        let standing = self.standing;
        let active = standing == Standing::Subscribed;
        let wrong = |what: &str| Err(Refusal::conflict("", format!("{what}; this one is {standing:?}")));
        let done = |subscription: &Self, id, action| Ok(Operation::done(subscription, id, action, now));
        match deed {
            Deed::ChangePlan(_) | Deed::ChangeQuantity(_) if !active => {
                wrong("only a Subscribed subscription can be changed")
            }
            Deed::ChangePlan(_) | Deed::ChangeQuantity(_) | Deed::Reinstate if self.is_locked() => {
                Err(Refusal::conflict("", "another operation is pending on this subscription"))
            }
            Deed::ChangePlan(plan_id) => {
                let target = plan_target(self, plan_id)?;
                Ok(Operation::asked(self, id, Action::ChangePlan, target, now))
            }
            Deed::ChangeQuantity(quantity) => {
                let target = quantity_target(self, *quantity)?;
                Ok(Operation::asked(self, id, Action::ChangeQuantity, target, now))
            }
            Deed::Suspend if !active => wrong("only a Subscribed subscription can be suspended"),
            Deed::Suspend => {
                self.stand(Standing::Suspended, now);
                done(self, id, Action::Suspend)
            }
            Deed::Reinstate if standing != Standing::Suspended => {
                wrong("only a Suspended subscription can be reinstated")
            }
            Deed::Reinstate if profile == Profile::Documented => {
                Ok(Operation::asked(self, id, Action::Reinstate, self.terms(), now))
            }
            Deed::Reinstate => {
                self.stand(Standing::Subscribed, now);
                done(self, id, Action::Reinstate)
            }
            Deed::Renew if !active => wrong("only a Subscribed subscription renews"),
            Deed::Renew if !self.auto_renew => {
                Err(Refusal::conflict("", "this subscription was bought without automatic renewal"))
            }
            Deed::Renew => {
                self.renew(id, now).ok_or_else(|| Refusal::conflict("", "the simulator's calendar ends here"))
            }
            Deed::Transfer | Deed::Unsubscribe if standing == Standing::Unsubscribed => {
                wrong("a subscription is unsubscribed once, and then nothing happens to it")
            }
            Deed::Transfer => done(self, id, Action::Transfer),
            Deed::Unsubscribe => {
                self.stand(Standing::Unsubscribed, now);
                done(self, id, Action::Unsubscribe)
            }
        }
    }
}

/// What a subscription becomes with this plan.
pub(super) fn plan_target(subscription: &Subscription, plan_id: &str) -> Result<Terms, Refusal> {
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

/// What a subscription becomes with this many seats.
pub(super) fn quantity_target(subscription: &Subscription, quantity: u32) -> Result<Terms, Refusal> {
    if subscription.quantity == Some(quantity) {
        return Err(Refusal::bad_request("BadRequest", "update", "New quantity is the same as on the subscription"));
    }
    subscription.plan.check_quantity(Some(quantity))?;
    Ok((subscription.plan.id, Some(quantity)))
}
