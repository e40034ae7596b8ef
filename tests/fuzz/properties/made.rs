//! Values of any shape, made from bytes: the same bytes always make the same values, so that an input is a case.

use arbitrary::{Result, Unstructured};
use marketplace_fulfillment::duty::{Duty, DutyId, Kind, Sent, Task, UnknownDuty, Verdict, Wanted};
use marketplace_fulfillment::entitlement::Override;
use marketplace_fulfillment::history::{Actor, Entry, Happening, History};
use marketplace_fulfillment::opaque::Opaque;
use marketplace_fulfillment::outbox::{Announcement, News, Outbox};
use marketplace_fulfillment::subscription::{
    Answered, Decision, Event, Notice, OperationId, Party, Ruling, Snapshot, Status, Subscription, SubscriptionId,
    Term, Terms,
};
use time::{Duration, OffsetDateTime};

use super::NOW;

/// The most entries of a list that a record keeps: enough for every bound of a record to be passed.
const LIST: usize = 70;

/// Where bytes end, everything is as small as it can be.
pub struct Made<'a>(pub Unstructured<'a>);

impl Made<'_> {
    fn at_most(&mut self, most: usize) -> Result<usize> {
        self.0.int_in_range(0..=most)
    }

    pub fn flag(&mut self) -> Result<bool> {
        self.0.ratio(1_u8, 2)
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { make(self).map(Some) } else { Ok(None) }
    }

    /// Mostly a few; now and then as many as there may be, and more.
    fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let most = if self.0.ratio(1_u8, 8)? { LIST } else { 4 };
        let length = self.at_most(most)?;
        (0..length).map(|_| make(self)).collect()
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> Result<T> {
        self.0.choose(choices).cloned()
    }

    /// Mostly around now; sometimes the ends of time.
    pub fn time(&mut self) -> Result<OffsetDateTime> {
        Ok(match self.at_most(15)? {
            0 => time::macros::datetime!(0000-01-01 00:00 UTC),
            1 => time::macros::datetime!(9999-12-31 23:59:59.999999999 UTC),
            2 => time::macros::datetime!(1969-12-31 23:59:59.5 UTC),
            3 => NOW.to_offset(time::macros::offset!(+5:30)),
            4..=7 => NOW,
            _ => NOW + Duration::seconds(self.0.int_in_range(-40_000_000..=40_000_000)?),
        })
    }

    pub fn span(&mut self) -> Result<Duration> {
        Ok(match self.at_most(7)? {
            0 => Duration::ZERO,
            1 => Duration::MAX,
            2 => Duration::MIN,
            _ => Duration::milliseconds(self.0.int_in_range(-1_000..=400_000_000)?),
        })
    }

    /// Short ones that meet again, and long and odd ones.
    pub fn text(&mut self) -> Result<String> {
        Ok(match self.at_most(9)? {
            0 => String::new(),
            1 => "\u{1}".repeat(self.at_most(400)?),
            2 => "😀".repeat(self.at_most(400)?),
            3 => self.0.arbitrary::<String>()?,
            4 => " \"\\</x> ".to_owned(),
            _ => self.one_of(&["silver", "gold", "bronze", "contoso-offer", "because"])?.to_owned(),
        })
    }

    pub fn operation(&mut self) -> Result<OperationId> {
        let number = self.at_most(25)?;
        Ok(OperationId::parse(&format!("op-{number}")).expect("letters, a digit and a hyphen"))
    }

    pub fn id(&mut self) -> Result<SubscriptionId> {
        let number = self.at_most(3)?;
        Ok(SubscriptionId::parse(&format!("37f9dea2-4345-438f-b0bd-03d40d28c7e{number}")).expect("a GUID"))
    }

    fn actor(&mut self) -> Result<Actor> {
        if self.0.ratio(1_u8, 8)? { Ok(Actor::parse(&self.text()?)) } else { self.one_of(&Actor::ALL) }
    }

    fn status(&mut self) -> Result<Status> {
        if self.0.ratio(1_u8, 8)? { Ok(Status::parse(&self.text()?)) } else { self.one_of(&Status::ALL) }
    }

    fn party(&mut self) -> Result<Party> {
        Ok(Party {
            email: self.maybe(Self::text)?,
            object_id: self.maybe(Self::text)?,
            tenant_id: self.maybe(Self::text)?,
            puid: self.maybe(Self::text)?,
        })
    }

    pub fn terms(&mut self) -> Result<Terms> {
        Ok(Terms { plan_id: self.text()?, quantity: self.maybe(|made| made.0.arbitrary())? })
    }

    pub fn snapshot(&mut self) -> Result<Snapshot> {
        let Terms { plan_id, quantity } = self.terms()?;
        Ok(Snapshot {
            offer_id: self.text()?,
            plan_id,
            quantity,
            status: self.status()?,
            name: self.text()?,
            beneficiary: self.maybe(Self::party)?,
            purchaser: self.maybe(Self::party)?,
            term: Term { unit: self.maybe(Self::text)?, start: self.maybe(Self::time)?, end: self.maybe(Self::time)? },
            auto_renew: self.maybe(Self::flag)?,
            is_free_trial: self.flag()?,
            allowed_operations: self.list(|made| made.one_of(&["Read", "Update", "Delete"]).map(str::to_owned))?,
            created: self.maybe(Self::time)?,
            rest: self.maybe(|_| Ok(r#"{"storeFront":"x"}"#.to_owned()))?,
        })
    }

    fn wanted(&mut self) -> Result<Wanted> {
        Ok(match self.at_most(2)? {
            0 => Wanted::Cancellation,
            1 => Wanted::Plan(self.text()?),
            _ => Wanted::Quantity(self.0.arbitrary()?),
        })
    }

    fn sent(&mut self) -> Result<Sent> {
        Ok(Sent { at: self.time()?, operation: self.maybe(Self::operation)?, location: self.maybe(Self::text)? })
    }

    fn task(&mut self) -> Result<Task> {
        Ok(match self.at_most(5)? {
            0 => Task::Notify,
            1 => Task::Activate { accepted_at: self.maybe(Self::time)?, provisioned_at: self.maybe(Self::time)? },
            2 => Task::Cancel { sent: self.maybe(Self::sent)? },
            3 => {
                let wanted =
                    if self.flag()? { Wanted::Plan(self.text()?) } else { Wanted::Quantity(self.0.arbitrary()?) };
                Task::Change { wanted, from: self.terms()?, sent: self.maybe(Self::sent)? }
            }
            4 => Task::Acknowledge { operation: self.operation()?, verdict: self.one_of(&Verdict::ALL)? },
            _ => Task::Examine {
                operation: self.maybe(Self::operation)?,
                action: self.text()?,
                asked: self.maybe(Self::time)?,
            },
        })
    }

    fn duty(&mut self) -> Result<Duty> {
        let mut duty = Duty::new(self.task()?, self.time()?);
        duty.attempts = if self.flag()? { self.0.int_in_range(0..=9)? } else { u32::MAX };
        duty.not_before = self.time()?;
        duty.last_error = self.maybe(Self::text)?;
        duty.failed_at = self.maybe(Self::time)?;
        Ok(duty)
    }

    /// At most one of each name, as the rules keep them.
    fn duties(&mut self) -> Result<Vec<Duty>> {
        let mut duties: Vec<Duty> = Vec::new();
        for duty in self.list(Self::duty)? {
            if duties.iter().all(|other| other.task.id() != duty.task.id()) {
                duties.push(duty);
            }
        }
        Ok(duties)
    }

    fn unknown_duty(&mut self) -> Result<UnknownDuty> {
        let kind = self.one_of(&["activate", "examine", "migrate"])?.to_owned();
        let operation = self.maybe(|made| made.operation().map(|id| id.to_string()))?;
        let (since, not_before) = (NOW, NOW);
        // A wish that nobody here understands.
        let mut task = serde_json::json!({ "kind": kind, "wish": 1, "accepted_at": "later", "action": 1 });
        if let Some(operation) = &operation {
            task["operation"] = operation.clone().into();
        }
        let at = "2026-11-20T09:00:00Z";
        let stored = serde_json::json!({ "task": task, "attempts": 0, "since": at, "not_before": at });
        let opaque = Opaque::new(stored.to_string());
        Ok(UnknownDuty { kind, operation, since, not_before, failed_at: None, opaque })
    }

    fn answered(&mut self) -> Result<Answered> {
        let decision = match self.at_most(4)? {
            0 => Decision::NotAsked,
            1 => Decision::Other("postponed".to_owned()),
            _ => Decision::Given(self.one_of(&Verdict::ALL)?),
        };
        let action = self.maybe(Self::text)?;
        Ok(Answered { operation: self.operation()?, action, decision, at: self.time()?, opaque: Opaque::default() })
    }

    fn entry(&mut self) -> Result<Entry> {
        let what = self.one_of(&Happening::ALL)?;
        let mut entry = Entry::new(self.actor()?, what, self.time()?);
        (entry.from, entry.to) = (self.maybe(Self::text)?, self.maybe(Self::text)?);
        (entry.why, entry.person) = (self.maybe(Self::text)?, self.maybe(Self::text)?);
        Ok(entry)
    }

    fn outbox(&mut self) -> Result<Outbox> {
        let mut outbox = Outbox::begin(self.time()?);
        if self.0.ratio(1_u8, 8)? {
            outbox.sequence = u64::MAX - 1;
        }
        for mut announcement in self.list(Self::announcement)? {
            if outbox.sequence == u64::MAX {
                break;
            }
            outbox.sequence += 1;
            announcement.sequence = outbox.sequence;
            outbox.announcements.push(announcement);
        }
        outbox.delivered = outbox.sequence.saturating_sub(self.0.int_in_range(0..=9)?);
        outbox.lost = self.one_of(&[0, 1, u32::MAX])?;
        outbox.deadline = self.maybe(Self::time)?;
        Ok(outbox)
    }

    fn announcement(&mut self) -> Result<Announcement> {
        let news = self.one_of(&News::ALL)?;
        let mut announcement = Announcement::new(news, self.actor()?, self.time()?);
        (announcement.from, announcement.to) = (self.maybe(Self::text)?, self.maybe(Self::text)?);
        (announcement.why, announcement.operation) = (self.maybe(Self::text)?, self.maybe(Self::operation)?);
        Ok(announcement)
    }

    pub fn decision(&mut self) -> Result<Override> {
        Ok(Override {
            entitled: self.flag()?,
            until: self.time()?,
            reason: self.text()?,
            at: self.time()?,
            person: self.maybe(Self::text)?,
        })
    }

    /// A record of any shape that a store can hold.
    pub fn subscription(&mut self) -> Result<Subscription> {
        let (id, known, created_at) = (self.id()?, self.snapshot()?, self.time()?);
        let mut made = Subscription::adopted(id, known, created_at);
        made.read_at = self.time()?;
        (made.confirmed_at, made.activated_at) = (self.maybe(Self::time)?, self.maybe(Self::time)?);
        made.refused = self.maybe(Self::text)?;
        made.duties = self.duties()?;
        if self.0.ratio(1_u8, 4)? {
            made.unknown_duties = self.list(Self::unknown_duty)?;
        }
        for answered in self.list(Self::answered)? {
            if made.answer_to(&answered.operation).is_none() {
                made.answered.push(answered);
            }
        }
        made.history = History { entries: self.list(Self::entry)?, dropped: self.one_of(&[0, 3, u32::MAX])? };
        made.outbox = self.outbox()?;
        made.entitlement_override = self.maybe(Self::decision)?;
        made.indexed_under = self.maybe(Self::text)?;
        Ok(made)
    }

    pub fn notice(&mut self) -> Result<Notice> {
        let action = self.one_of(&["ChangePlan", "ChangeQuantity", "Renew", "Suspend", "Hibernate"])?;
        Ok(Notice { operation: self.maybe(Self::operation)?, action: action.to_owned() })
    }

    fn ruling(&mut self) -> Result<Ruling> {
        Ok(Ruling {
            verdict: self.one_of(&Verdict::ALL)?,
            by: self.actor()?,
            why: self.maybe(Self::text)?,
            took: self.maybe(Self::span)?,
        })
    }

    /// One of those that are owed, or any other.
    fn duty_id(&mut self, record: &Subscription) -> Result<DutyId> {
        let owed: Vec<DutyId> = record.duties.iter().map(|duty| duty.task.id()).collect();
        if !owed.is_empty() && self.0.ratio(3_u8, 4)? {
            return self.one_of(&owed);
        }
        Ok(DutyId { kind: self.one_of(&Kind::ALL)?, operation: self.maybe(Self::operation)? })
    }

    /// Anything that can happen to a record.
    pub fn event(&mut self, record: &Subscription) -> Result<Event> {
        let duty = self.duty_id(record)?;
        Ok(match self.at_most(25)? {
            0 => Event::Read(Box::new(self.snapshot()?)),
            1 => Event::Confirmed(self.actor()?),
            2 => Event::Unread(self.notice()?),
            3 => Event::Noticed(self.notice()?),
            4 => Event::Decided { notice: self.notice()?, wanted: self.terms()?, ruling: self.ruling()? },
            5 => Event::Asked { notice: self.notice()?, until: self.time()? },
            6 => Event::DecidedLate { notice: self.notice()?, ruling: self.ruling()? },
            7 => Event::ActivationOrdered,
            8 => Event::Provisioned,
            9 => Event::ProvisionRefused { why: self.text()? },
            10 => Event::Closed {
                operation: duty.operation.map_or_else(|| self.operation(), Ok)?,
                outcome: self.text()?,
                as_answered: self.flag()?,
            },
            11 => Event::Ordered(self.wanted()?),
            12 => Event::Claimed(duty),
            13 => Event::Accepted { duty, operation: self.maybe(Self::operation)?, location: self.maybe(Self::text)? },
            14 => Event::Deferred { duty, why: self.text()?, after: self.maybe(Self::span)? },
            15 => Event::Done { duty, why: self.maybe(Self::text)? },
            16 => Event::Impossible { duty, why: self.text()? },
            17 => Event::Ended { duty, why: self.text()? },
            18 => Event::Retried { duty, by: self.actor()? },
            19 => Event::Repaired { why: self.text()? },
            20 => Event::DeadlineNear { wanted: "activation", at: self.time()? },
            21 => Event::Delivered { through: self.sequence(record)? },
            22 => Event::GivenUp { duty, why: self.text()? },
            23 => Event::Overridden(self.decision()?),
            24 => Event::OverrideEnded { by: self.actor()? },
            _ => Event::Replayed { from: self.sequence(record)?, by: self.actor()? },
        })
    }

    fn sequence(&mut self, record: &Subscription) -> Result<u64> {
        let back = self.0.int_in_range(0..=9)?;
        self.one_of(&[0, u64::MAX, record.outbox.sequence.saturating_sub(back)])
    }
}
