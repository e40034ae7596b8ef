//! The policy: which changes of plan and seats are accepted, and that the document explains it with rules that work.

use marketplace_fulfillment::policy::{PlanChange, Policy, SeatLimit, Verdict};
use marketplace_fulfillment::subscription::Terms;

use crate::settings::with_policy;

fn terms(plan: &str, seats: u32) -> Terms {
    Terms { plan_id: plan.to_owned(), quantity: (seats > 0).then_some(seats) }
}

fn pair(from: &str, to: &str) -> PlanChange {
    PlanChange { from: from.to_owned(), to: to.to_owned() }
}

fn limit(plan: &str, min: u32, max: Option<u32>) -> SeatLimit {
    SeatLimit { plan_id: plan.to_owned(), min, max }
}

/// A change, with 0 for plans without seats, and why it is refused; nothing where it is accepted.
type Row<'a> = ((&'a str, u32), (&'a str, u32), &'a str);

fn hold(policy: &Policy, rows: &[Row<'_>]) {
    for ((from, before), (to, after), refusal) in rows {
        let verdict = policy.decide(&terms(from, *before), &terms(to, *after));
        let expected = match *refusal {
            "" => Verdict::Accept,
            why => Verdict::Refuse { why: why.to_owned() },
        };
        assert_eq!(verdict, expected, "{from} {before} -> {to} {after}");
    }
}

#[test]
fn without_rules_everything_is_accepted() {
    let policy = Policy::accept_all();
    assert!(!policy.can_refuse());
    hold(
        &policy,
        &[
            (("gold", 9), ("bronze", 0), ""),
            (("bronze", 0), ("gold", 1), ""),
            (("gold", 9), ("gold", 1), ""),
            (("gold", 1), ("gold", u32::MAX), ""),
            (("", 0), ("unheard", 0), ""),
        ],
    );
}

#[test]
fn only_the_listed_changes_of_plan_are_accepted() {
    let policy =
        Policy { plan_changes: Some(vec![pair("bronze", "silver"), pair("Silver", "GOLD")]), ..Policy::accept_all() };
    assert!(policy.can_refuse());
    let not_listed = "this change of plan is not among the accepted ones";
    hold(
        &policy,
        &[
            (("bronze", 0), ("silver", 0), ""),
            (("BRONZE", 0), ("silver", 5), ""),
            (("silver", 5), ("gold", 5), ""),
            (("silver", 5), ("bronze", 0), &format!("{not_listed} (from silver with 5 seats to bronze)")),
            (("bronze", 0), ("gold", 0), &format!("{not_listed} (from bronze to gold)")),
            (("silver", 5), ("silver", 6), ""),
            (("silver", 5), ("silver", 5), ""),
        ],
    );
    let none = Policy { plan_changes: Some(Vec::new()), ..Policy::accept_all() };
    assert!(none.can_refuse());
    hold(&none, &[(("bronze", 0), ("silver", 0), &format!("{not_listed} (from bronze to silver)"))]);
}

#[test]
fn seats_stay_within_the_plans_limits_after_any_change() {
    let seat_limits = vec![limit("silver", 5, Some(500)), limit("gold", 10, None)];
    let policy = Policy { seat_limits, ..Policy::accept_all() };
    assert!(policy.can_refuse());
    hold(
        &policy,
        &[
            (("silver", 10), ("silver", 5), ""),
            (("silver", 10), ("SILVER", 4), "silver has at least 5 seats, not 4"),
            (("silver", 10), ("silver", 500), ""),
            (("silver", 10), ("silver", 501), "silver has at most 500 seats, not 501"),
            (("silver", 9), ("gold", 9), "gold has at least 10 seats, not 9"),
            (("silver", 10), ("gold", 10), ""),
            (("gold", 10), ("gold", u32::MAX), ""),
            (("silver", 10), ("bronze", 0), ""),
            (("bronze", 0), ("bronze", 1), ""),
            (("bronze", 0), ("silver", 0), ""),
            (("silver", 2), ("silver", 3), "silver has at least 5 seats, not 3"),
            (("silver", 2), ("silver", 2), ""),
        ],
    );
}

#[test]
fn downgrades_are_blocked_by_plan_and_by_seats() {
    let plan_order = ["bronze", "silver", "gold"].map(str::to_owned).to_vec();
    let by_plan = Policy { plan_order, ..Policy::accept_all() };
    let by_seats = Policy { blocks_fewer_seats: true, ..Policy::accept_all() };
    let lower = "nobody may move to a lower plan";
    let fewer = "nobody may have fewer seats than before";
    assert!(by_plan.can_refuse() && by_seats.can_refuse());
    hold(
        &by_plan,
        &[
            (("bronze", 0), ("gold", 3), ""),
            (("Gold", 3), ("silver", 3), &format!("{lower} (from Gold with 3 seats to silver with 3 seats)")),
            (("silver", 3), ("BRONZE", 0), &format!("{lower} (from silver with 3 seats to BRONZE)")),
            (("gold", 3), ("other", 3), ""),
            (("other", 3), ("bronze", 3), ""),
            (("gold", 3), ("gold", 1), ""),
        ],
    );
    hold(
        &by_seats,
        &[
            (("silver", 3), ("silver", 4), ""),
            (("silver", 3), ("silver", 2), &format!("{fewer} (from silver with 3 seats to silver with 2 seats)")),
            (("gold", 3), ("silver", 2), &format!("{fewer} (from gold with 3 seats to silver with 2 seats)")),
            (("gold", 3), ("bronze", 0), ""),
            (("bronze", 0), ("gold", 1), ""),
        ],
    );
}

#[test]
fn the_default_decides_what_no_rule_speaks_of() {
    let rest = "no rule accepts this change of";
    let strict = Policy { accepts_the_rest: false, ..Policy::accept_all() };
    assert!(strict.can_refuse());
    hold(
        &strict,
        &[
            (("silver", 3), ("silver", 3), ""),
            (("Silver", 3), ("silver", 3), ""),
            (
                ("bronze", 0),
                ("silver", 3),
                &format!("{rest} plan, and the others are refused (from bronze to silver with 3 seats)"),
            ),
            (
                ("silver", 3),
                ("silver", 4),
                &format!("{rest} seats, and the others are refused (from silver with 3 seats to silver with 4 seats)"),
            ),
        ],
    );
    let some = Policy {
        plan_changes: Some(vec![pair("bronze", "silver")]),
        seat_limits: vec![limit("silver", 2, None)],
        blocks_fewer_seats: true,
        ..strict
    };
    hold(
        &some,
        &[
            (("bronze", 0), ("silver", 3), ""),
            (("bronze", 0), ("silver", 1), "silver has at least 2 seats, not 1"),
            (("silver", 3), ("silver", 4), ""),
            (
                ("silver", 4),
                ("silver", 3),
                "nobody may have fewer seats than before (from silver with 4 seats to silver with 3 seats)",
            ),
            (
                ("gold", 3),
                ("gold", 4),
                &format!("{rest} seats, and the others are refused (from gold with 3 seats to gold with 4 seats)"),
            ),
            (
                ("silver", 3),
                ("silver", 0),
                &format!("{rest} seats, and the others are refused (from silver with 3 seats to silver)"),
            ),
        ],
    );
}

/// Every policy of a few rules meets every change of a few plans and seats: always an answer, the way back always open,
/// and a policy that says it cannot refuse does not.
#[test]
fn every_change_has_an_answer() {
    let plans = ["bronze", "silver", "gold"];
    let all: Vec<Terms> = plans.iter().flat_map(|plan| [0, 1, 5, u32::MAX].map(|seats| terms(plan, seats))).collect();
    for bits in 0..32_u8 {
        let on = |bit: u8| bits & (1 << bit) != 0;
        let policy = Policy {
            plan_changes: on(0).then(|| vec![pair("bronze", "gold")]),
            seat_limits: if on(1) { vec![limit("silver", 2, Some(6))] } else { Vec::new() },
            plan_order: if on(2) { plans.map(str::to_owned).to_vec() } else { Vec::new() },
            blocks_fewer_seats: on(3),
            accepts_the_rest: !on(4),
        };
        let mut refused = 0;
        for current in &all {
            for wanted in &all {
                let verdict = policy.decide(current, wanted);
                assert!(current != wanted || verdict == Verdict::Accept, "{policy:?} {current:?}");
                refused += usize::from(verdict != Verdict::Accept);
            }
        }
        assert_eq!(policy.can_refuse(), refused > 0, "{policy:?}");
    }
}

#[test]
fn the_setting_says_what_the_policy_does() {
    let json = r#"{
        "default": "refuse",
        "allowPlanChanges": [{ "from": "bronze", "to": " silver " }],
        "seatLimits": [{ "plan": "silver", "min": 5, "max": 500 }, { "plan": "gold", "max": 9 }],
        "blockDowngrades": { "planOrder": ["bronze", "silver", "gold"], "fewerSeats": true }
    }"#;
    let expected = Policy {
        plan_changes: Some(vec![pair("bronze", "silver")]),
        seat_limits: vec![limit("silver", 5, Some(500)), limit("gold", 0, Some(9))],
        plan_order: ["bronze", "silver", "gold"].map(str::to_owned).to_vec(),
        blocks_fewer_seats: true,
        accepts_the_rest: false,
    };
    assert_eq!(with_policy(json).unwrap().change_policy, expected);
    for nothing in ["", "{}", r#"{"default":"accept"}"#] {
        assert_eq!(with_policy(nothing).unwrap().change_policy, Policy::accept_all(), "{nothing}");
    }
}

#[test]
fn the_examples_in_the_document_are_rules_that_work() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md")).unwrap();
    let (_, section) = document.split_once("### `CHANGE_POLICY`").unwrap();
    let section = section.split_once("\n## ").unwrap().0;
    let examples = section.split("```json\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let policies: Vec<Policy> = examples.map(|json| with_policy(json).unwrap().change_policy).collect();
    let [seats_and_order, one_way] = &policies[..] else { panic!("two examples, not {}", policies.len()) };
    hold(
        seats_and_order,
        &[
            (("silver", 5), ("silver", 501), "silver has at most 500 seats, not 501"),
            (
                ("gold", 5),
                ("silver", 5),
                "nobody may move to a lower plan (from gold with 5 seats to silver with 5 seats)",
            ),
            (("bronze", 0), ("gold", 5), ""),
        ],
    );
    hold(
        one_way,
        &[
            (("bronze", 0), ("silver", 5), ""),
            (
                ("silver", 5),
                ("silver", 6),
                "no rule accepts this change of seats, and the others are refused \
                 (from silver with 5 seats to silver with 6 seats)",
            ),
        ],
    );
}
