//! In what two readings of a subscription differ, as far as a lost webhook could tell it, and what accounts for it. Pure.

use std::fmt;

use time::OffsetDateTime;

use crate::duty::{Task, Verdict};
use crate::subscription::{Snapshot, Status, Subscription};

/// The longest reason, in characters: five differences of ordinary length, and small in a table column.
const REASON_LENGTH: usize = 300;

/// One difference, shown as the history and the log tell it: `plan bronze -> silver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    what: What,
    from: String,
    to: String,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Status,
    Plan,
    Seats,
    TermEnd,
    Renewal,
}

/// What `new` shows otherwise than `old`. The list and Get Subscription show all of it.
pub fn differences(old: &Snapshot, new: &Snapshot) -> Vec<Difference> {
    let shown = |of: &Snapshot| {
        [
            (What::Status, of.status.as_str().to_owned()),
            (What::Plan, of.plan_id.clone()),
            (What::Seats, of.quantity.map_or_else(nothing, |seats| seats.to_string())),
            (What::TermEnd, of.term.end.map_or_else(nothing, day)),
            (What::Renewal, of.auto_renew.map_or_else(nothing, |on| if on { "on" } else { "off" }.to_owned())),
        ]
    };
    let pairs = shown(old).into_iter().zip(shown(new));
    let differences = pairs.map(|((what, from), (_, to))| Difference { what, from, to });
    differences.filter(|difference| difference.from != difference.to).collect()
}

/// Whether duties that are open on the record account for `difference`, in what Microsoft shows now: then no webhook was
/// lost, and noting it is no repair.
pub fn is_awaited(record: &Subscription, difference: &Difference, new: &Snapshot) -> bool {
    record.duties.iter().any(|duty| accounts_for(&duty.task, difference.what, new))
}

/// Why a record is repaired: what was compared, and in what it differed. The length is bounded for the history's sake.
pub fn reason(by: &str, differences: &[Difference]) -> String {
    let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
    format!("{by}: {}", differences.join(", ")).chars().take(REASON_LENGTH).collect()
}

fn accounts_for(task: &Task, what: What, new: &Snapshot) -> bool {
    match (task, what) {
        (Task::Examine { .. }, _) => true,
        (Task::Activate { .. }, What::Status | What::TermEnd | What::Renewal) => new.status == Status::Subscribed,
        (Task::Cancel { .. }, What::Status | What::TermEnd | What::Seats) => new.status == Status::Unsubscribed,
        (Task::Change { wanted, .. }, What::Plan | What::Seats) => wanted.is_met_by(&new.terms()),
        (Task::Acknowledge { verdict, .. }, What::Plan | What::Seats) => *verdict == Verdict::Success,
        _ => false,
    }
}

fn nothing() -> String {
    "none".to_owned()
}

fn day(at: OffsetDateTime) -> String {
    at.date().to_string()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Status => "status",
            What::Plan => "plan",
            What::Seats => "seats",
            What::TermEnd => "term end",
            What::Renewal => "renewal",
        };
        write!(f, "{what} {} -> {}", self.from, self.to)
    }
}
