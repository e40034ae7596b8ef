//! What webhooks do to a subscription: a notice is remembered, so that its repetition changes nothing, and an answer once
//! given is never changed.

use time::{Duration, OffsetDateTime};

use super::{ANSWERED, Subscription};
use crate::duty::{Duty, DutyId, Kind, Task};
use crate::event::{Answered, Applied, Decision, Notice, Refusal, Ruling};
use crate::history::{Actor, Entry, Happening};
use crate::opaque::Opaque;
use crate::snapshot::{OperationId, Terms};

/// Microsoft waits this long for an answer, and then takes silence for consent (life-cycle page, 2023).
pub(super) const ANSWER_WITHIN: Duration = Duration::seconds(10);

impl Subscription {
    /// What we answered to an operation, if a webhook told of it before.
    pub fn answer_to(&self, operation: &OperationId) -> Option<&Answered> {
        self.answered.iter().find(|answered| answered.operation == *operation)
    }

    /// Microsoft could not be asked: what the webhook named is examined later.
    pub(super) fn unread(&mut self, notice: Notice, now: OffsetDateTime) -> Applied {
        let answered = notice.operation.as_ref().is_some_and(|operation| self.answer_to(operation).is_some());
        let id = DutyId { kind: Kind::Examine, operation: notice.operation.clone() };
        if answered || self.owes_unknown(&id) || self.duty(id).is_some() {
            return Applied::Unchanged;
        }
        if self.is_full() {
            return Applied::Refused(Refusal::TooMuchOwed);
        }
        let Notice { operation, action } = notice;
        self.duties.push(Duty::new(Task::Examine { operation, action, asked: None }, now));
        Applied::ringing(Kind::Examine)
    }

    /// Somebody sets out to ask the publisher's software. Where somebody else already did, or it is answered, nothing
    /// changes; nobody else works on it before `until`.
    pub(super) fn asked(&mut self, notice: Notice, until: OffsetDateTime, now: OffsetDateTime) -> Applied {
        let id = DutyId { kind: Kind::Examine, operation: notice.operation.clone() };
        let answered = notice.operation.as_ref().is_none_or(|operation| self.answer_to(operation).is_some());
        if answered || self.owes_unknown(&id) || self.is_asked(&id) {
            return Applied::Unchanged;
        }
        if self.duty(id.clone()).is_none() {
            if self.is_full() {
                return Applied::Refused(Refusal::TooMuchOwed);
            }
            let Notice { operation, action } = notice;
            self.duties.push(Duty::new(Task::Examine { operation, action, asked: None }, now));
        }
        self.on_duty(&id, |duty, _| duty.ask(until, now))
    }

    /// Whether somebody set out to ask the publisher's software about what this duty is to examine.
    pub fn is_asked(&self, examine: &DutyId) -> bool {
        self.duty(examine.clone()).is_some_and(|duty| matches!(duty.task, Task::Examine { asked: Some(_), .. }))
    }

    /// The publisher's software said something when the change had been answered without it.
    pub(super) fn decided_late(&mut self, notice: &Notice, ruling: Ruling, now: OffsetDateTime) -> Applied {
        let entry = Entry::new(ruling.by.clone(), Happening::LateDecision, now).about(told(notice, &ruling));
        self.history.note(entry.because(ruling.why));
        Applied::quietly()
    }

    /// What the webhook named was read, and needs no answer.
    pub(super) fn noticed(&mut self, notice: &Notice, now: OffsetDateTime) -> Applied {
        let examined = self.examined(notice);
        let entry = Entry::new(Actor::Marketplace, Happening::Noticed, now).about(notice.action.clone());
        let told = match &notice.operation {
            None => self.history.note_once(entry),
            Some(operation) if self.answer_to(operation).is_some() => false,
            Some(operation) => {
                self.remember(operation, &notice.action, Decision::NotAsked, now);
                self.history.note(entry);
                true
            }
        };
        if told {
            self.tell_notice(notice, now);
        }
        if told || examined { Applied::quietly() } else { Applied::Unchanged }
    }

    /// What the webhook asked was decided. The first decision stands.
    pub(super) fn decided(&mut self, notice: &Notice, wanted: &Terms, ruling: Ruling, now: OffsetDateTime) -> Applied {
        let verdict = ruling.verdict;
        let Some(operation) = &notice.operation else {
            return self.noticed(notice, now);
        };
        let examined = self.examined(notice);
        if self.answer_to(operation).is_some() || self.is_to_acknowledge(operation) {
            return if examined { Applied::quietly() } else { Applied::Unchanged };
        }
        if self.is_full() {
            return Applied::Refused(Refusal::TooMuchOwed);
        }
        self.duties.push(Duty::new(Task::Acknowledge { operation: operation.clone(), verdict }, now));
        self.remember(operation, &notice.action, Decision::Given(verdict), now);
        self.tell_decision(notice, wanted, &ruling, now);
        let entry = Entry::new(ruling.by.clone(), Happening::Answered, now).about(told(notice, &ruling));
        self.history.note(entry.because(ruling.why));
        Applied::ringing(Kind::Acknowledge)
    }

    /// Microsoft shows an operation as ended: our answer is delivered, or was overtaken.
    pub(super) fn closed(
        &mut self,
        operation: &OperationId,
        outcome: &str,
        as_answered: bool,
        now: OffsetDateTime,
    ) -> Applied {
        let id = DutyId { kind: Kind::Acknowledge, operation: Some(operation.clone()) };
        let Some(duty) = self.duty(id.clone()) else {
            return Applied::Refused(Refusal::NoSuchDuty);
        };
        let late = now - duty.since > ANSWER_WITHIN;
        if !as_answered {
            let entry = Entry::new(Actor::Marketplace, Happening::Overtaken, now).about(id.to_string());
            let why = format!("Microsoft ended the operation as {outcome}");
            self.tell_overtaken(operation, &why, now);
            self.history.note(entry.because(Some(why)));
        }
        let why = if late { format!("{outcome}, seen after the ten seconds") } else { outcome.to_owned() };
        self.leave(&id, Actor::Marketplace, Happening::DutyDone, Some(why), now)
    }

    /// Takes off the duty to examine what has now been examined. Answers whether there was one.
    fn examined(&mut self, notice: &Notice) -> bool {
        let id = DutyId { kind: Kind::Examine, operation: notice.operation.clone() };
        let before = self.duties.len();
        self.duties.retain(|duty| duty.task.id() != id);
        self.duties.len() < before
    }

    fn remember(&mut self, operation: &OperationId, action: &str, decision: Decision, now: OffsetDateTime) {
        let (operation, action) = (operation.clone(), Some(action.to_owned()));
        self.answered.push(Answered { operation, action, decision, at: now, opaque: Opaque::default() });
        // What is still to be told to Microsoft is not forgotten: a repeated webhook would be answered otherwise.
        let told = self.answered.iter().position(|answered| !self.is_to_acknowledge(&answered.operation));
        if let Some(oldest) = told.filter(|_| self.answered.len() > ANSWERED) {
            self.answered.remove(oldest);
        }
    }

    /// Whether our answer to an operation has not arrived yet.
    fn is_to_acknowledge(&self, operation: &OperationId) -> bool {
        self.duty(DutyId { kind: Kind::Acknowledge, operation: Some(operation.clone()) }).is_some()
    }
}

/// How the history tells of an answer.
fn told(notice: &Notice, ruling: &Ruling) -> String {
    let told = format!("{}: {}", notice.action, ruling.verdict.as_str());
    match ruling.took {
        // Whole milliseconds: what is below them is noise.
        Some(took) => format!("{told}, after {} ms", took.whole_milliseconds()),
        None => told,
    }
}
