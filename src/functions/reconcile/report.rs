//! What a run did, for the log and for whoever asked for it.

use super::repair::Found;
use crate::deadline::Deadline;
use crate::error::Fault;
use crate::subscription::SubscriptionId;

/// How many of a kind a report names. The rest are counted, and all of them are in the log; a report stays small
/// whatever went wrong.
pub const NAMED: usize = 100;

/// Things of a kind: all counted, the first [`NAMED`] named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted<T> {
    /// How many there were.
    pub count: usize,
    /// The first of them.
    pub first: Vec<T>,
}

/// What a run did. In `observe` mode: what it would have done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The pages of Microsoft's list that were read.
    pub pages: usize,
    /// The entries on them.
    pub listed: usize,
    /// Records made of subscriptions that we had never heard of.
    pub created: usize,
    /// Records that differed from Microsoft with no duty to account for it, and how.
    pub repaired: Noted<(SubscriptionId, String)>,
    /// Subscriptions that differed at all: repaired, done as a duty had it, or not confirmed by a fresh reading.
    pub differing: usize,
    /// Entries of offers that `OFFERS` does not name.
    pub foreign: usize,
    /// For each entry that cannot be read the field that is missing or wrong.
    pub unreadable: Noted<String>,
    /// Subscriptions that could not be read or saved. The next pass tries again.
    pub unread: usize,
    /// Our own records that were looked at.
    pub records: usize,
    /// Records of ours that cannot be read. Nothing is changed on them.
    pub broken: Noted<SubscriptionId>,
    /// Duties on our records that only a newer version of this program understands.
    pub unknown_duties: usize,
    /// Records of subscriptions that Microsoft does not know. Nothing is changed on them.
    pub missing: Noted<SubscriptionId>,
    /// Deadlines that are near.
    pub deadlines: Noted<(SubscriptionId, Deadline)>,
    /// Whether the pass is finished; if not, the next run goes on with it.
    pub finished: bool,
    /// Whether this was part of the first pass on an empty store, which adopts what there is.
    pub baseline: bool,
    /// Whether nothing was to be changed.
    pub observed: bool,
}

impl<T> Noted<T> {
    /// Counts one more, and names it where there is room.
    pub(super) fn note(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(one);
        }
    }
}

impl<T> Default for Noted<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

impl Report {
    /// Counts what was found at a subscription, and writes to the log what is not on its record.
    pub(super) fn count(&mut self, id: &SubscriptionId, found: Found) {
        match found {
            Found::Alike => {}
            Found::Foreign => self.foreign += 1,
            Found::Unconfirmed | Found::Awaited => self.differing += 1,
            Found::Created => self.created += 1,
            Found::Repaired(why) => {
                self.differing += 1;
                self.repaired.note((id.clone(), why));
            }
            Found::Missing => {
                tracing::error!(subscription_id = %id, "we have a record, and Microsoft knows no such subscription");
                self.missing.note(id.clone());
            }
            Found::Unread(fault) => {
                tracing::warn!(subscription_id = %id, %fault, "could not be compared; the next pass tries again");
                self.unread += 1;
            }
        }
    }

    /// The one line of a run.
    pub(super) fn tell(&self, fault: Option<&Fault>) {
        tracing::info!(
            pages = self.pages,
            listed = self.listed,
            created = self.created,
            repaired = self.repaired.count,
            differing = self.differing,
            foreign = self.foreign,
            unreadable = self.unreadable.count,
            unread = self.unread,
            records = self.records,
            broken = self.broken.count,
            unknown_duties = self.unknown_duties,
            missing = self.missing.count,
            deadlines = self.deadlines.count,
            finished = self.finished,
            baseline = self.baseline,
            observed = self.observed,
            fault = fault.map(tracing::field::display),
            "reconciled"
        );
    }
}
