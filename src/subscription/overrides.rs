//! Who may use a subscription, and the operator who decides it for a time.

use time::OffsetDateTime;

use super::Subscription;
use crate::entitlement::{Entitlement, Override};
use crate::event::Applied;
use crate::history::{Actor, Entry, Happening};
use crate::outbox::{Announcement, News};

impl Subscription {
    /// Whether it may be used.
    pub fn entitlement(&self, now: OffsetDateTime) -> Entitlement {
        Entitlement::of(&self.known, self.entitlement_override.as_ref(), now)
    }

    /// The operator's decision, where one counts.
    pub fn overriding(&self, now: OffsetDateTime) -> Option<&Override> {
        self.entitlement_override.as_ref().filter(|decided| decided.counts(now))
    }

    pub(super) fn decide(&mut self, decided: Override, now: OffsetDateTime) -> Applied {
        if self.overriding(now).is_some_and(|before| before.is_like(&decided)) {
            return Applied::Unchanged;
        }
        let from = word(self.entitlement(now).entitled);
        let to = format!("{} until {}", word(decided.entitled), decided.until.date());
        let why = Some(decided.reason.clone());
        self.note_override(Actor::Publisher, Happening::Overridden, (from, to), why, now);
        self.entitlement_override = Some(decided);
        Applied::quietly()
    }

    /// Ends the decision: an operator's word does at any time, the program's when it is over.
    pub(super) fn end_override(&mut self, by: Actor, now: OffsetDateTime) -> Applied {
        let ends = |decided: &mut Override| by != Actor::Program || !decided.counts(now);
        let Some(ended) = self.entitlement_override.take_if(ends) else { return Applied::Unchanged };
        let to = word(self.entitlement(now).entitled).to_owned();
        self.note_override(by, Happening::OverrideEnded, (word(ended.entitled), to), None, now);
        Applied::quietly()
    }

    fn note_override(
        &mut self,
        by: Actor,
        what: Happening,
        (from, to): (&str, String),
        why: Option<String>,
        now: OffsetDateTime,
    ) {
        let (from, to) = (Some(from.to_owned()), Some(to));
        let told = Announcement::new(News::EntitlementOverridden, by.clone(), now);
        self.tell(told.changing(from.clone(), to.clone()).because(why.clone()));
        self.history.note(Entry::new(by, what, now).changing(from, to).because(why));
    }
}

fn word(entitled: bool) -> &'static str {
    if entitled { "entitled" } else { "not entitled" }
}
