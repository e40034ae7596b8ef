//! What to make of a webhook's notice, once Microsoft was asked about it. Pure: whoever examines later concludes the same.

use crate::duty::Verdict;
use crate::marketplace::{Action, Operation, RequestSource};
use crate::policy::{self, Policy};
use crate::subscription::{Event, Notice, Snapshot, Status, Terms};

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

/// Whether the publisher's policy has a say in this action.
pub fn may_be_refused(action: &Action, policy: &Policy) -> bool {
    policy.can_refuse() && matches!(action, Action::ChangePlan | Action::ChangeQuantity)
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
            let (verdict, why) = match policy.decide(&known.terms(), &wanted) {
                policy::Verdict::Accept => (Verdict::Success, None),
                policy::Verdict::Refuse { why } => (Verdict::Failure, Some(why)),
            };
            Event::Decided { notice, wanted, verdict, why }
        }
        Action::Reinstate => Event::Decided { notice, wanted: known.terms(), verdict: Verdict::Success, why: None },
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
