//! `CHANGE_POLICY`: what is refused is told by its key, and what is taken has an answer to every change.

use marketplace_fulfillment::policy::{Policy, Verdict};
use marketplace_fulfillment::subscription::Terms;

use super::settings;
use super::text;

const KEY: &str = "CHANGE_POLICY";

pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match settings::read(&[(KEY, text)]) {
        Ok(settings) => judges(&settings.change_policy),
        Err(problems) => assert!(!problems.0.is_empty() && problems.0.iter().all(|problem| problem.starts_with(KEY))),
    }
}

fn judges(policy: &Policy) {
    let listed = policy.plan_changes.iter().flatten().flat_map(|pair| [&pair.from, &pair.to]);
    let limited = policy.seat_limits.iter().map(|limit| &limit.plan_id);
    let mut plans: Vec<String> = listed.chain(limited).chain(&policy.plan_order).take(4).cloned().collect();
    plans.push("unheard-of".to_owned());
    let seats = policy.seat_limits.iter().flat_map(|limit| [Some(limit.min), limit.max]).take(4);
    let seats: Vec<Option<u32>> = [None, Some(0), Some(u32::MAX)].into_iter().chain(seats).collect();
    let terms = plans.iter().flat_map(|plan| seats.iter().map(|quantity| (plan.clone(), *quantity)));
    let terms: Vec<Terms> = terms.map(|(plan_id, quantity)| Terms { plan_id, quantity }).collect();
    for current in &terms {
        assert_eq!(policy.decide(current, current), Verdict::Accept, "what the customer has already");
        for wanted in &terms {
            let verdict = policy.decide(current, wanted);
            assert!(policy.can_refuse() || verdict == Verdict::Accept, "{verdict:?}");
            // Names of plans are the same in either case.
            let shouted = Terms { plan_id: wanted.plan_id.to_ascii_uppercase(), ..wanted.clone() };
            let same = std::mem::discriminant(&verdict) == std::mem::discriminant(&policy.decide(current, &shouted));
            assert!(same, "{current:?} to {wanted:?} is judged otherwise in capitals");
            if let Verdict::Refuse { why } = verdict {
                assert!(!why.is_empty());
            }
        }
    }
}
