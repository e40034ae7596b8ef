//! How a subscription's duties are claimed, put off, taken up again, and left: the three exits are here and nowhere else.

use time::{Duration, OffsetDateTime};

use super::{REASON_LENGTH, Subscription};
use crate::duty::{Duty, DutyId, Kind, Sent, Task};
use crate::event::{Applied, Refusal};
use crate::history::{Actor, Entry, Happening, cut};
use crate::outbox::{Announcement, News};
use crate::snapshot::{OperationId, Status, SubscriptionId};

impl Subscription {
    pub(super) fn retry(&mut self, id: &DutyId, by: Actor, now: OffsetDateTime) -> Applied {
        match self.on_duty(id, |duty, _| duty.retry(now)) {
            Applied::Changed { .. } => {
                self.history.note(Entry::new(by, Happening::DutyRetried, now).about(id.to_string()));
                Applied::ringing(id.kind)
            }
            other => other,
        }
    }

    /// Microsoft received the request of a duty.
    pub(super) fn accept(
        &mut self,
        id: &DutyId,
        operation: Option<OperationId>,
        location: Option<String>,
        now: OffsetDateTime,
    ) -> Applied {
        let applied = self.on_duty(id, |duty, _| match &mut duty.task {
            Task::Activate { accepted_at, .. } => *accepted_at = Some(now),
            Task::Change { sent, .. } | Task::Cancel { sent } => *sent = Some(Sent { at: now, operation, location }),
            Task::Examine { .. } | Task::Acknowledge { .. } | Task::Notify => {}
        });
        if let Applied::Changed { .. } = applied {
            self.history.note(Entry::new(Actor::Marketplace, Happening::Accepted, now).about(id.to_string()));
        }
        applied
    }

    pub(super) fn defer(&mut self, id: &DutyId, why: &str, after: Option<Duration>, now: OffsetDateTime) -> Applied {
        let applied = self.on_duty(id, |duty, subscription| duty.defer(why, after, subscription.as_str(), now));
        self.note_failure(id, now);
        applied
    }

    pub(super) fn give_up(&mut self, id: &DutyId, why: &str, now: OffsetDateTime) -> Applied {
        let applied = self.on_duty(id, |duty, _| duty.give_up(why, now));
        self.note_failure(id, now);
        applied
    }

    fn note_failure(&mut self, id: &DutyId, now: OffsetDateTime) {
        let Some(duty) = self.duty(id.clone()).filter(|duty| duty.failed_at == Some(now)) else { return };
        let why = duty.last_error.clone();
        // Who does not listen is not told that they do not listen.
        if id.kind != Kind::Notify {
            let told = Announcement::new(News::DutyFailed, Actor::Program, now).about(id.to_string());
            self.tell(told.because(why.clone()));
        }
        self.history.note(Entry::new(Actor::Program, Happening::DutyFailed, now).about(id.to_string()).because(why));
    }

    /// Changes an open duty, or refuses where there is none.
    pub(super) fn on_duty(&mut self, id: &DutyId, change: impl FnOnce(&mut Duty, &SubscriptionId)) -> Applied {
        match self.duties.iter_mut().find(|duty| duty.task.id() == *id) {
            Some(duty) => {
                change(duty, &self.id);
                Applied::quietly()
            }
            None => Applied::Refused(Refusal::NoSuchDuty),
        }
    }

    /// Takes a duty off the record, by one of the three exits: the other side shows it done, proves it impossible, or an
    /// operator ends it.
    pub(super) fn leave(
        &mut self,
        id: &DutyId,
        by: Actor,
        how: Happening,
        why: Option<String>,
        now: OffsetDateTime,
    ) -> Applied {
        let Some(duty) = self.take(id) else {
            return Applied::Refused(Refusal::NoSuchDuty);
        };
        if how == Happening::DutyImpossible {
            self.tell_impossible(&duty.task, &by, why.as_deref(), now);
        }
        if duty.task == Task::Notify {
            self.outbox.hush();
        }
        self.history.note(Entry::new(by, how, now).about(told(&duty)).because(why));
        Applied::quietly()
    }

    /// Whether Microsoft was not asked to activate yet, and the publisher has not said that it may be.
    pub fn awaits_provisioning(&self) -> bool {
        let open = Task::Activate { accepted_at: None, provisioned_at: None };
        self.duty(Kind::Activate).is_some_and(|duty| duty.task == open)
    }

    /// The publisher orders the activation: whatever was waited for on its side is done.
    pub(super) fn order_activation(&mut self, now: OffsetDateTime) -> Applied {
        let applied = self.confirm(Actor::Publisher, now);
        if matches!(applied, Applied::Refused(_)) || !self.awaits_provisioning() {
            return applied;
        }
        self.on_duty(&Kind::Activate.into(), |duty, _| {
            duty.provision(now);
            duty.retry(now);
        });
        self.history.note(Entry::new(Actor::Publisher, Happening::Provisioned, now).about("by order"));
        Applied::ringing(Kind::Activate)
    }

    /// The publisher's software has provisioned: whoever asked it goes on to the activation.
    pub(super) fn provisioned(&mut self, now: OffsetDateTime) -> Applied {
        if self.duty(Kind::Activate).is_none() {
            return Applied::Refused(Refusal::NoSuchDuty);
        }
        if !self.awaits_provisioning() {
            return Applied::Unchanged;
        }
        self.history.note(Entry::new(Actor::Publisher, Happening::Provisioned, now).about("as asked"));
        self.on_duty(&Kind::Activate.into(), |duty, _| duty.provision(now))
    }

    /// The publisher's software will not provision, which proves that there is nothing to activate. The buyer reads why,
    /// and may ask again.
    pub(super) fn provision_refused(&mut self, why: &str, now: OffsetDateTime) -> Applied {
        let awaited = self.awaits_provisioning().then(|| self.take(&Kind::Activate.into())).flatten();
        let Some(duty) = awaited else {
            return Applied::Refused(Refusal::NoSuchDuty);
        };
        let mut reason = why.to_owned();
        cut(&mut reason, REASON_LENGTH);
        self.tell_impossible(&duty.task, &Actor::Publisher, Some(&reason), now);
        let entry = Entry::new(Actor::Publisher, Happening::DutyImpossible, now).about(told(&duty));
        self.history.note(entry.because(Some(format!("refused by the publisher: {reason}"))));
        self.refused = Some(reason);
        Applied::quietly()
    }

    /// Leaves every duty that what Microsoft now shows has done, or made impossible.
    pub(super) fn leave_what_shows(&mut self, now: OffsetDateTime) {
        let cancelled = || Some("the subscription was cancelled".to_owned());
        let shown = self.duties.iter().map(|duty| duty.task.id()).filter(|id| id.kind != Kind::Notify);
        for id in shown.collect::<Vec<_>>() {
            let exit = match (&self.known.status, id.kind) {
                (Status::Unsubscribed, Kind::Cancel) | (Status::Subscribed | Status::Suspended, Kind::Activate) => {
                    Some((Happening::DutyDone, None))
                }
                // Also where both became visible at once: a change that was made, and then a cancellation.
                (_, Kind::Change) if self.shows_the_change() => Some((Happening::DutyDone, None)),
                (Status::Unsubscribed, _) => Some((Happening::DutyImpossible, cancelled())),
                _ => None,
            };
            if let Some((how, why)) = exit {
                self.leave(&id, Actor::Marketplace, how, why, now);
            }
        }
    }

    fn shows_the_change(&self) -> bool {
        self.duty(Kind::Change).is_some_and(|duty| match &duty.task {
            Task::Change { wanted, .. } => wanted.is_met_by(&self.known.terms()),
            _ => false,
        })
    }

    fn take(&mut self, id: &DutyId) -> Option<Duty> {
        let at = self.duties.iter().position(|duty| duty.task.id() == *id)?;
        Some(self.duties.remove(at))
    }
}

/// How the history tells of a duty that left.
fn told(duty: &Duty) -> String {
    format!("{}, attempts: {}", duty.task.id(), duty.attempts)
}
