//! May a customer change plan or seats? The publisher's rules, and what they say of one change.
//! Pure and total: every change of every subscription has an answer. No clock, no I/O, no JSON.

use crate::snapshot::Terms;

/// What the policy says of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The customer may.
    Accept,
    /// The customer may not.
    Refuse {
        /// The rule, as a sentence for the operator: plans and seats, nothing personal.
        why: String,
    },
}

/// From one plan to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanChange {
    /// The plan before.
    pub from: String,
    /// The plan after.
    pub to: String,
}

/// How many seats a plan may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatLimit {
    /// The plan.
    pub plan_id: String,
    /// The fewest.
    pub min: u32,
    /// The most; absent where only Microsoft's own limit holds.
    pub max: Option<u32>,
}

/// The publisher's rules. A change must break none of them; one that no rule speaks of follows `accepts_the_rest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The only changes of plan that are accepted. Absent: no rule speaks of them.
    pub plan_changes: Option<Vec<PlanChange>>,
    /// The seats that a plan may have after any change. Of plans that are not listed no rule speaks.
    pub seat_limits: Vec<SeatLimit>,
    /// Plans from the lowest to the highest: nobody may move down. Of plans that are not listed no rule speaks.
    pub plan_order: Vec<String>,
    /// Whether nobody may have fewer seats than before.
    pub blocks_fewer_seats: bool,
    /// What becomes of a change that no rule speaks of.
    pub accepts_the_rest: bool,
}

impl Policy {
    /// No rules: every change is accepted.
    pub fn accept_all() -> Self {
        Self {
            plan_changes: None,
            seat_limits: Vec::new(),
            plan_order: Vec::new(),
            blocks_fewer_seats: false,
            accepts_the_rest: true,
        }
    }

    /// Whether any change may be refused. Where there is none, the marketplace can be answered before
    /// the change is known.
    pub fn can_refuse(&self) -> bool {
        *self != Self::accept_all()
    }

    /// Whether the customer may go from `current` to `wanted`. What the customer has already is always accepted: after a
    /// refusal the marketplace may announce the way back in the form of a change.
    pub fn decide(&self, current: &Terms, wanted: &Terms) -> Verdict {
        let moves = !current.plan_id.eq_ignore_ascii_case(&wanted.plan_id);
        if !moves && current.quantity == wanted.quantity {
            return Verdict::Accept;
        }
        if let Some(why) = self.objection(current, wanted) {
            return Verdict::Refuse { why };
        }
        let listed = if moves { self.plan_changes.is_some() } else { self.limit(wanted).is_some() };
        if listed || self.accepts_the_rest {
            return Verdict::Accept;
        }
        let what = if moves { "this change of plan" } else { "this change of seats" };
        Verdict::Refuse {
            why: format!("no rule accepts {what}, and the others are refused ({})", change(current, wanted)),
        }
    }

    /// The rule that the change breaks.
    fn objection(&self, current: &Terms, wanted: &Terms) -> Option<String> {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        if let Some(pairs) = self.plan_changes.as_ref().filter(|_| !same(&current.plan_id, &wanted.plan_id)) {
            let listed = |pair: &PlanChange| same(&pair.from, &current.plan_id) && same(&pair.to, &wanted.plan_id);
            if !pairs.iter().any(listed) {
                return Some(format!(
                    "this change of plan is not among the accepted ones ({})",
                    change(current, wanted)
                ));
            }
        }
        if let (Some(limit), Some(seats)) = (self.limit(wanted), wanted.quantity) {
            if seats < limit.min {
                return Some(format!("{} has at least {} seats, not {seats}", limit.plan_id, limit.min));
            }
            if let Some(max) = limit.max.filter(|max| seats > *max) {
                return Some(format!("{} has at most {max} seats, not {seats}", limit.plan_id));
            }
        }
        let rank = |plan: &str| self.plan_order.iter().position(|listed| same(listed, plan));
        if let (Some(before), Some(after)) = (rank(&current.plan_id), rank(&wanted.plan_id))
            && after < before
        {
            return Some(format!("nobody may move to a lower plan ({})", change(current, wanted)));
        }
        let fewer = matches!((current.quantity, wanted.quantity), (Some(before), Some(after)) if after < before);
        (self.blocks_fewer_seats && fewer)
            .then(|| format!("nobody may have fewer seats than before ({})", change(current, wanted)))
    }

    /// The limit that speaks of these terms.
    fn limit(&self, terms: &Terms) -> Option<&SeatLimit> {
        let own = |limit: &&SeatLimit| limit.plan_id.eq_ignore_ascii_case(&terms.plan_id);
        self.seat_limits.iter().find(own).filter(|_| terms.quantity.is_some())
    }
}

fn change(current: &Terms, wanted: &Terms) -> String {
    let text = |terms: &Terms| match terms.quantity {
        Some(seats) => format!("{} with {seats} seats", terms.plan_id),
        None => terms.plan_id.clone(),
    };
    format!("from {} to {}", text(current), text(wanted))
}
