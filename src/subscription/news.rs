//! What the publisher's software is told of a subscription, and that telling it is owed.

use time::OffsetDateTime;

use super::Subscription;
use crate::duty::{Duty, Kind, Queue, Task, Verdict, Wanted};
use crate::event::{Applied, Notice, Ruling};
use crate::history::Actor;
use crate::outbox::{Announcement, News};
use crate::snapshot::{OperationId, Snapshot, Status, Terms};

/// Microsoft's words for actions that this version knows (webhook page, 2026).
const ACTIONS: [&str; 7] =
    ["ChangePlan", "ChangeQuantity", "Reinstate", "Renew", "Subscribe", "Suspend", "Unsubscribe"];

/// What somebody asks to change.
#[derive(Clone, Copy)]
enum Asked {
    Plan,
    Seats,
}

impl Asked {
    fn by(action: &str) -> Option<Self> {
        match action {
            "ChangePlan" => Some(Self::Plan),
            "ChangeQuantity" => Some(Self::Seats),
            _ => None,
        }
    }

    fn requested(self) -> News {
        match self {
            Self::Plan => News::PlanChangeRequested,
            Self::Seats => News::SeatsChangeRequested,
        }
    }

    fn rejected(self) -> News {
        match self {
            Self::Plan => News::PlanChangeRejected,
            Self::Seats => News::SeatsChangeRejected,
        }
    }

    fn of(self, terms: &Terms) -> Option<String> {
        match self {
            Self::Plan => Some(terms.plan_id.clone()),
            Self::Seats => terms.quantity.map(|seats| seats.to_string()),
        }
    }
}

impl Subscription {
    /// Owes the publisher's software what it has not heard; where nobody listens, it is told to nobody. Answers whom to
    /// ring.
    pub fn owe_news(&mut self, somebody_listens: bool, now: OffsetDateTime) -> Option<Queue> {
        if !somebody_listens {
            self.outbox.hush();
            return None;
        }
        let owes = self.duty(Kind::Notify).is_some() || self.owes_unknown(&Kind::Notify.into());
        if owes || self.outbox.undelivered().is_empty() {
            return None;
        }
        self.duties.push(Duty::new(Task::Notify, now));
        Some(Kind::Notify.queue())
    }

    /// Everything up to this number has arrived. With the last of it the duty leaves; until then it begins anew, because
    /// the other side is there.
    pub(super) fn delivered(&mut self, through: u64, now: OffsetDateTime) -> Applied {
        if !self.outbox.deliver(through) {
            return Applied::Unchanged;
        }
        if self.outbox.undelivered().is_empty() {
            self.duties.retain(|duty| duty.task.id().kind != Kind::Notify);
        } else {
            self.on_duty(&Kind::Notify.into(), |duty, _| {
                duty.retry(now);
                duty.attempts = 0;
            });
        }
        Applied::quietly()
    }

    /// Somebody wants to hear again what arrived from this number on, or, where nothing is left of it, how things are.
    pub(super) fn replay(&mut self, from: u64, by: Actor, now: OffsetDateTime) -> Applied {
        self.outbox.rewind(from);
        if self.outbox.undelivered().is_empty() {
            self.tell(Announcement::new(News::Current, by, now));
        }
        match self.duty(Kind::Notify) {
            Some(_) => {
                self.on_duty(&Kind::Notify.into(), |duty, _| duty.retry(now));
                Applied::ringing(Kind::Notify)
            }
            None => Applied::quietly(),
        }
    }

    pub(super) fn tell(&mut self, announcement: Announcement) {
        self.outbox.tell(announcement);
    }

    /// Tells of a status that Microsoft shows now, and did not before.
    pub(super) fn tell_status(&mut self, before: Option<&Status>, now: OffsetDateTime) {
        let news = match (&self.known.status, before) {
            (Status::NotStarted | Status::PendingFulfillmentStart, None) => return,
            (Status::Subscribed, _) if self.activated_at.is_some() && before.is_some() => News::Reinstated,
            (Status::Subscribed, _) => News::Activated,
            (Status::Suspended, _) => News::Suspended,
            (Status::Unsubscribed, _) => News::Cancelled,
            (Status::NotStarted | Status::PendingFulfillmentStart | Status::Other(_), _) => News::Updated,
        };
        let from = before.map(|status| status.as_str().to_owned());
        let to = Some(self.known.status.as_str().to_owned());
        self.tell(Announcement::new(news, Actor::Marketplace, now).changing(from, to));
    }

    /// Tells of what Microsoft shows now, and did not before.
    pub(super) fn tell_differences(&mut self, before: &Snapshot, now: OffsetDateTime) {
        let told = self.outbox.sequence;
        if before.status != self.known.status {
            self.tell_status(Some(&before.status), now);
        }
        let (old, new) = (before.terms(), self.known.terms());
        for (asked, news) in [(Asked::Plan, News::PlanChanged), (Asked::Seats, News::SeatsChanged)] {
            let (from, to) = (asked.of(&old), asked.of(&new));
            if from != to {
                self.tell(Announcement::new(news, Actor::Marketplace, now).changing(from, to));
            }
        }
        if self.outbox.sequence == told && self.shows_something_else(before) {
            self.tell(Announcement::new(News::Updated, Actor::Marketplace, now));
        }
    }

    /// Whether what is told with every announcement differs.
    fn shows_something_else(&self, before: &Snapshot) -> bool {
        let told = |known: &Snapshot| {
            let Snapshot { offer_id, name, beneficiary, purchaser, term, .. } = known.clone();
            let Snapshot { auto_renew, is_free_trial, allowed_operations, .. } = known.clone();
            (offer_id, name, beneficiary, purchaser, term, auto_renew, is_free_trial, allowed_operations)
        };
        told(before) != told(&self.known)
    }

    /// Tells of a notification that asks for nothing.
    pub(super) fn tell_notice(&mut self, notice: &Notice, now: OffsetDateTime) {
        let news = match notice.action.as_str() {
            "Renew" => News::Renewed,
            known if ACTIONS.contains(&known) => return,
            _ => News::UnknownNotification,
        };
        let about = (news == News::UnknownNotification).then(|| notice.action.clone());
        let told = Announcement::new(news, Actor::Marketplace, now).changing(None, about);
        self.tell(told.of(notice.operation.as_ref()));
    }

    /// Tells of a change that the customer asks for, and of its refusal.
    pub(super) fn tell_decision(&mut self, notice: &Notice, wanted: &Terms, ruling: &Ruling, now: OffsetDateTime) {
        let Some(asked) = Asked::by(&notice.action) else { return };
        let (from, to) = (asked.of(&self.known.terms()), asked.of(wanted));
        let told = |news, by| {
            let told = Announcement::new(news, by, now).changing(from.clone(), to.clone());
            told.of(notice.operation.as_ref())
        };
        let (requested, rejected) =
            (told(asked.requested(), Actor::Marketplace), told(asked.rejected(), ruling.by.clone()));
        self.tell(requested);
        if ruling.verdict == Verdict::Failure {
            self.tell(rejected.because(ruling.why.clone()));
        }
    }

    /// Tells that Microsoft did not do what we had accepted.
    pub(super) fn tell_overtaken(&mut self, operation: &OperationId, why: &str, now: OffsetDateTime) {
        let Some(answered) = self.answer_to(operation) else { return };
        let asked = answered.action.as_deref().and_then(Asked::by);
        if let Some(asked) = asked.filter(|_| answered.decision.verdict() == Some(Verdict::Success)) {
            let told = Announcement::new(asked.rejected(), Actor::Marketplace, now).of(Some(operation));
            self.tell(told.because(Some(why.to_owned())));
        }
    }

    /// Tells of a change that the publisher orders.
    pub(super) fn tell_order(&mut self, wanted: &Wanted, now: OffsetDateTime) {
        let (asked, to) = match wanted {
            Wanted::Plan(plan) => (Asked::Plan, plan.clone()),
            Wanted::Quantity(seats) => (Asked::Seats, seats.to_string()),
            Wanted::Cancellation => return,
        };
        let from = asked.of(&self.known.terms());
        self.tell(Announcement::new(asked.requested(), Actor::Publisher, now).changing(from, Some(to)));
    }

    /// Tells that what was owed cannot be done any more.
    pub(super) fn tell_impossible(&mut self, task: &Task, by: &Actor, why: Option<&str>, now: OffsetDateTime) {
        let (news, to) = match task {
            Task::Activate { .. } => (News::ActivationFailed, None),
            Task::Change { wanted: Wanted::Plan(plan), .. } => (News::PlanChangeRejected, Some(plan.clone())),
            Task::Change { wanted: Wanted::Quantity(seats), .. } => {
                (News::SeatsChangeRejected, Some(seats.to_string()))
            }
            _ => return,
        };
        let told = Announcement::new(news, by.clone(), now).changing(None, to);
        self.tell(told.because(why.map(str::to_owned)));
    }

    /// Tells once that a deadline is near.
    pub(super) fn deadline_near(&mut self, wanted: &str, at: OffsetDateTime, now: OffsetDateTime) -> Applied {
        if self.outbox.deadline == Some(at) {
            return Applied::Unchanged;
        }
        self.outbox.deadline = Some(at);
        let why = format!("{wanted} by {}", at.date());
        self.tell(Announcement::new(News::DeadlineNear, Actor::Program, now).about(wanted).because(Some(why)));
        Applied::quietly()
    }
}
