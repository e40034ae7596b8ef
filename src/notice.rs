//! What to make of a webhook's notice, once Microsoft was asked about it. Pure: whoever examines later concludes the same.

use crate::duty::{DutyId, Kind, Verdict};
use crate::marketplace::{Action, Operation, OperationStatus, RequestSource};
use crate::policy::{self, Policy};
use crate::subscription::{Event, Notice, OperationId, Ruling, Snapshot, Status, Terms};

/// Whether nothing can be concluded from this action without reading its operation: it may ask for an answer.
pub fn needs_operation(action: &Action) -> bool {
    match action {
        Action::ChangePlan | Action::ChangeQuantity | Action::Reinstate | Action::Other(_) => true,
        Action::Suspend | Action::Renew | Action::Unsubscribe | Action::Subscribe => false,
    }
}

/// Whether a notice speaks of something that Microsoft does not show yet, and names no operation that could be followed:
/// the old, thin `Reinstate`, while the subscription is still suspended (life-cycle page of 2021).
pub fn is_ahead_of(notice: &Notice, known: &Snapshot) -> bool {
    notice.operation.is_none() && notice.action == "Reinstate" && known.status == Status::Suspended
}

/// Whether Microsoft shows a change as made that the subscription, read beside it, does not show: the change was made
/// between the two readings. Whoever recorded what the older one says would have nothing left to look for.
pub fn is_behind(known: &Snapshot, operation: Option<&Operation>) -> bool {
    operation.is_some_and(|operation| {
        operation.status == OperationStatus::Succeeded
            && matches!(operation.action, Action::ChangePlan | Action::ChangeQuantity)
            && wanted(known, operation) != known.terms()
    })
}

/// Whether the publisher has a say in this action: by policy, or because its software is asked.
pub fn may_be_refused(action: &Action, policy: &Policy, is_asked: bool) -> bool {
    (is_asked || policy.can_refuse()) && matches!(action, Action::ChangePlan | Action::ChangeQuantity)
}

/// A change that policy accepts, and about which the publisher's software is asked where it wants to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The operation that waits for an answer.
    pub operation: OperationId,
    /// Microsoft's word for the action.
    pub action: String,
    /// The terms that it would lead to.
    pub wanted: Terms,
}

impl Question {
    /// The notice that raised it.
    pub fn notice(&self) -> Notice {
        Notice { operation: Some(self.operation.clone()), action: self.action.clone() }
    }

    /// The duty that stands for it until it is decided.
    pub fn examine(&self) -> DutyId {
        DutyId { kind: Kind::Examine, operation: Some(self.operation.clone()) }
    }

    /// It is decided.
    pub fn decided(&self, ruling: Ruling) -> Event {
        Event::Decided { notice: self.notice(), wanted: self.wanted.clone(), ruling }
    }
}

/// The question that a conclusion leaves open: a change that needs an answer, that policy accepts, and that leads to
/// something else than what is. What Microsoft takes back leads to what is.
pub fn question(event: &Event, known: &Snapshot) -> Option<Question> {
    let Event::Decided { notice, wanted, ruling } = event else { return None };
    let open = ruling.verdict == Verdict::Success && *wanted != known.terms();
    let operation = notice.operation.clone().filter(|_| open)?;
    Some(Question { operation, action: notice.action.clone(), wanted: wanted.clone() })
}

/// What a notice means, given what Microsoft now shows.
///
/// Our own change that comes back (`operationRequestSource` is `Partner`) needs no answer: Microsoft answers one with 500.
/// A notice whose operation Microsoft does not know, or that names none, asks for nothing.
pub fn conclude(notice: Notice, known: &Snapshot, operation: Option<&Operation>, policy: &Policy) -> Event {
    let Some(operation) = operation else {
        return Event::Noticed(notice);
    };
    // The action as the API has it; the webhook's was a hint.
    let notice = Notice { action: operation.action.as_str().to_owned(), ..notice };
    if operation.status.is_ended() || operation.source == Some(RequestSource::Partner) {
        return Event::Noticed(notice);
    }
    match operation.action {
        Action::ChangePlan | Action::ChangeQuantity => {
            let wanted = wanted(known, operation);
            let ruling = match policy.decide(&known.terms(), &wanted) {
                policy::Verdict::Accept => Ruling::by_rule(Verdict::Success, None),
                policy::Verdict::Refuse { why } => Ruling::by_rule(Verdict::Failure, Some(why)),
            };
            Event::Decided { notice, wanted, ruling }
        }
        Action::Reinstate => {
            let ruling = Ruling::by_rule(Verdict::Success, None);
            Event::Decided { notice, wanted: known.terms(), ruling }
        }
        Action::Suspend | Action::Renew | Action::Unsubscribe | Action::Subscribe | Action::Other(_) => {
            Event::Noticed(notice)
        }
    }
}

/// The terms that the operation would lead to. It names plan and seats only as far as they matter to it.
fn wanted(known: &Snapshot, operation: &Operation) -> Terms {
    let plan_id = operation.plan_id.clone().filter(|plan| !plan.is_empty());
    Terms { plan_id: plan_id.unwrap_or_else(|| known.plan_id.clone()), quantity: operation.quantity.or(known.quantity) }
}
