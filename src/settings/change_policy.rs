//! `CHANGE_POLICY`: the publisher's rules for changes of plan and seats, as JSON.

use serde::Deserialize;

use crate::policy::{PlanChange, Policy, SeatLimit};

/// The setting, which every problem names.
pub(super) const KEY: &str = "CHANGE_POLICY";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rules {
    #[serde(default)]
    default: Rest,
    allow_plan_changes: Option<Vec<Pair>>,
    #[serde(default)]
    seat_limits: Vec<Limit>,
    block_downgrades: Option<Downgrades>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Rest {
    #[default]
    Accept,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    from: String,
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    plan: String,
    min: Option<u32>,
    max: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Downgrades {
    #[serde(default)]
    plan_order: Vec<String>,
    #[serde(default)]
    fewer_seats: bool,
}

/// Reads the rules. No text means that every change is accepted.
///
/// # Errors
///
/// Every problem, one sentence each, with the key of the JSON that is wrong.
pub(super) fn read(text: Option<&str>) -> Result<Policy, Vec<String>> {
    let Some(text) = text else { return Ok(Policy::accept_all()) };
    let mut json = serde_json::Deserializer::from_str(text);
    let rules: Rules = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { String::new() } else { format!(": {path}") };
        vec![format!("{KEY}{place} cannot be read: {}.", error.inner())]
    })?;
    json.end().map_err(|error| vec![format!("{KEY} cannot be read: {error}.")])?;
    let problems: Vec<String> = rules.problems().into_iter().map(|problem| format!("{KEY}: {problem}.")).collect();
    if problems.is_empty() { Ok(rules.policy()) } else { Err(problems) }
}

impl Rules {
    fn problems(&self) -> Vec<String> {
        let mut problems = self.seat_problems();
        let order: &[String] = self.block_downgrades.as_ref().map_or(&[], |downgrades| &downgrades.plan_order);
        for (index, pair) in self.allow_plan_changes.iter().flatten().enumerate() {
            let place = format!("allowPlanChanges[{index}]");
            for (end, plan) in [("from", &pair.from), ("to", &pair.to)] {
                problems.extend(blank(plan).then(|| format!("{place}.{end} names no plan")));
            }
            if !blank(&pair.from) && same(&pair.from, &pair.to) {
                problems.push(format!("{place} leads from a plan to itself"));
            }
            if let (Some(from), Some(to)) = (rank(order, &pair.from), rank(order, &pair.to))
                && to < from
            {
                problems.push(format!("{place} allows what blockDowngrades.planOrder blocks"));
            }
        }
        if let Some(downgrades) = &self.block_downgrades {
            if downgrades.plan_order.is_empty() && !downgrades.fewer_seats {
                problems.push("blockDowngrades blocks nothing; it needs planOrder, fewerSeats, or both".to_owned());
            }
            if downgrades.plan_order.len() == 1 {
                problems.push("blockDowngrades.planOrder needs at least two plans, the lowest first".to_owned());
            }
        }
        for (index, plan) in order.iter().enumerate() {
            let place = format!("blockDowngrades.planOrder[{index}]");
            if blank(plan) {
                problems.push(format!("{place} names no plan"));
            } else if rank(order, plan).is_some_and(|first| first < index) {
                problems.push(format!("{place} names a plan that was named before"));
            }
        }
        problems
    }

    fn seat_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, limit) in self.seat_limits.iter().enumerate() {
            let place = format!("seatLimits[{index}]");
            if blank(&limit.plan) {
                problems.push(format!("{place}.plan names no plan"));
            } else if self.seat_limits[..index].iter().any(|earlier| same(&earlier.plan, &limit.plan)) {
                problems.push(format!("{place}.plan names a plan that was named before"));
            }
            match (limit.min, limit.max) {
                (None, None) => problems.push(format!("{place} sets no limit; it needs min, max, or both")),
                (_, Some(0)) => problems.push(format!("{place}.max is 0, which no number of seats fulfils")),
                (Some(min), Some(max)) if min > max => problems.push(format!("{place}.min is greater than its max")),
                _ => {}
            }
        }
        problems
    }

    fn policy(self) -> Policy {
        let plan = |name: String| name.trim().to_owned();
        let pair = |pair: Pair| PlanChange { from: plan(pair.from), to: plan(pair.to) };
        let limit = |limit: Limit| SeatLimit { plan_id: plan(limit.plan), min: limit.min.unwrap_or(0), max: limit.max };
        let downgrades = self.block_downgrades.unwrap_or(Downgrades { plan_order: Vec::new(), fewer_seats: false });
        Policy {
            plan_changes: self.allow_plan_changes.map(|pairs| pairs.into_iter().map(pair).collect()),
            seat_limits: self.seat_limits.into_iter().map(limit).collect(),
            plan_order: downgrades.plan_order.into_iter().map(plan).collect(),
            blocks_fewer_seats: downgrades.fewer_seats,
            accepts_the_rest: self.default == Rest::Accept,
        }
    }
}

fn blank(plan: &str) -> bool {
    plan.trim().is_empty()
}

fn same(one: &str, other: &str) -> bool {
    one.trim().eq_ignore_ascii_case(other.trim())
}

fn rank(order: &[String], plan: &str) -> Option<usize> {
    order.iter().position(|listed| same(listed, plan))
}
