//! A subscription: what Microsoft last said of it, what a person confirmed, what is still owed, and what happened.
//! Pure and total: [`Subscription::apply`] takes an event and the time, and says what changed. No clock, no I/O, no JSON.

mod duties;
mod news;
mod notices;
mod overrides;

use time::{Duration, OffsetDateTime};

use crate::duty::{ACCEPTED_PATIENCE, DUTIES, Duty, DutyId, Kind, Task, UnknownDuty, Wanted};
use crate::entitlement::Override;
pub use crate::event::{Answered, Applied, Decision, Event, Notice, Refusal, Ruling};
use crate::history::{Actor, Entry, Happening, History, TEXT_LENGTH};
use crate::opaque::Opaque;
use crate::outbox::{Announcement, News, Outbox};
use crate::person::Holder;
pub use crate::snapshot::{OperationId, Party, Snapshot, Status, SubscriptionId, Term, Terms};

/// When a buyer who waits for the activation is told that it takes longer than usual. The documents say "a few minutes".
pub const DELAY_NOTICE: Duration = Duration::minutes(10);

/// How long after its activation a subscription is greeted as new: the length of a buyer's session.
pub const NEWLY_ACTIVE: Duration = Duration::minutes(30);

/// The longest reason of the publisher's software that is kept, in characters: a sentence or two for a buyer.
pub const REASON_LENGTH: usize = TEXT_LENGTH;

/// How many operations a record remembers as answered. Microsoft repeats a notification for eight hours and locks the
/// subscription while an operation runs, so twenty reach far beyond that.
pub const ANSWERED: usize = 20;

/// Where a purchase stands, as a buyer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has confirmed the purchase.
    Unconfirmed,
    /// Confirmed; Microsoft does not show it active yet.
    Activating,
    /// Confirmed at least [`DELAY_NOTICE`] ago, or given up: there is something to explain.
    Delayed {
        /// Nobody tries again until somebody asks for it.
        failed: bool,
    },
    /// Confirmed, and the publisher's software refused to provision it: [`Subscription::refused`] says why.
    Refused,
    /// Active.
    Active {
        /// Since less than [`NEWLY_ACTIVE`]: the person on the page has most likely just confirmed it.
        newly: bool,
    },
    /// Suspended.
    Suspended,
    /// Cancelled.
    Cancelled,
    /// In a status that this version does not know.
    Unknown,
}

/// The record of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Microsoft's identifier.
    pub id: SubscriptionId,
    /// What Microsoft last said.
    pub known: Snapshot,
    /// When Microsoft last said it.
    pub read_at: OffsetDateTime,
    /// When a signed-in buyer confirmed the purchase, or an operator ordered its activation.
    pub confirmed_at: Option<OffsetDateTime>,
    /// Why the publisher's software refused to provision it, in its words for the buyer, at most
    /// [`REASON_LENGTH`] characters; until somebody confirms anew.
    pub refused: Option<String>,
    /// When we first knew it to be active.
    pub activated_at: Option<OffsetDateTime>,
    /// What must still become true, with the next at most [`DUTIES`].
    pub duties: Vec<Duty>,
    /// What only a newer version of this program can make true.
    pub unknown_duties: Vec<UnknownDuty>,
    /// The operations that webhooks told of, oldest first, at most [`ANSWERED`].
    pub answered: Vec<Answered>,
    /// What happened.
    pub history: History,
    /// What the publisher's software is told of it.
    pub outbox: Outbox,
    /// The operator's last decision about who may use it, which may have ended.
    pub entitlement_override: Option<Override>,
    /// Under whom a look-up finds the record: the key of its [`Holder`] when that was last written down.
    pub indexed_under: Option<String>,
    /// When the record was made.
    pub created_at: OffsetDateTime,
    /// What a newer version wrote into the record, beside what it wrote into duties, answers and history.
    pub opaque: Opaque,
}

impl Subscription {
    /// The record of a subscription that we hear of for the first time.
    pub fn discovered(id: SubscriptionId, known: Snapshot, by: Actor, now: OffsetDateTime) -> Self {
        let active = known.status == Status::Subscribed;
        let to = Some(known.status.as_str().to_owned());
        let told = Announcement::new(News::Purchased, by.clone(), now);
        let mut new = Self {
            id,
            known,
            read_at: now,
            confirmed_at: None,
            refused: None,
            activated_at: active.then_some(now),
            duties: Vec::new(),
            unknown_duties: Vec::new(),
            answered: Vec::new(),
            history: History::default(),
            outbox: Outbox::begin(now),
            entitlement_override: None,
            indexed_under: None,
            created_at: now,
            opaque: Opaque::default(),
        };
        new.history.note(Entry::new(by, Happening::Discovered, now).changing(None, to));
        new.tell(told);
        new.tell_status(None, now);
        new
    }

    /// The record of a subscription that was there before this program. It is what we begin with, and no news.
    pub fn adopted(id: SubscriptionId, known: Snapshot, now: OffsetDateTime) -> Self {
        let mut new = Self::discovered(id, known, Actor::Program, now);
        new.outbox = Outbox::begin(now);
        new
    }

    /// The duty of this name, if it is still owed.
    pub fn duty(&self, id: impl Into<DutyId>) -> Option<&Duty> {
        let id = id.into();
        self.duties.iter().find(|duty| duty.task.id() == id)
    }

    /// Whether a duty of this name is owed that only a newer version understands: nobody else takes one on beside it.
    pub fn owes_unknown(&self, id: &DutyId) -> bool {
        let id = id.to_string();
        self.unknown_duties.iter().any(|duty| duty.id() == id)
    }

    /// Who uses it, as a look-up names them; `None` where Microsoft does not say.
    pub fn holder(&self) -> Option<Holder> {
        self.known.beneficiary.as_ref().and_then(Holder::of)
    }

    /// Whether a look-up for whoever uses it finds the record.
    pub fn is_indexed(&self) -> bool {
        self.holder().is_none_or(|holder| self.indexed_under.as_deref() == Some(holder.key().as_str()))
    }

    /// Whether no further duty has room. News always has.
    fn is_full(&self) -> bool {
        let owed = self.duties.iter().filter(|duty| duty.task != Task::Notify).count();
        owed + self.unknown_duties.len() >= DUTIES
    }

    /// When the next duty falls due; `None` where nothing is owed, or only what has failed or is not understood.
    pub fn due(&self) -> Option<OffsetDateTime> {
        self.duties.iter().filter_map(Duty::due).min()
    }

    /// Whether a duty is due.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Whether Activate must be sent now: it was never accepted, or so long ago that it may have been forgotten.
    pub fn should_send_activate(&self, now: OffsetDateTime) -> bool {
        self.duty(Kind::Activate).is_some_and(|duty| match duty.task {
            Task::Activate { accepted_at, .. } => accepted_at.is_none_or(|at| now - at >= ACCEPTED_PATIENCE),
            _ => false,
        })
    }

    /// Where the purchase stands for the buyer.
    pub fn stage(&self, now: OffsetDateTime) -> Stage {
        match (&self.known.status, self.duty(Kind::Activate)) {
            (Status::Subscribed, _) => Stage::Active {
                newly: self.activated_at.is_some_and(|at| self.confirmed_at.is_some() && now - at < NEWLY_ACTIVE),
            },
            (Status::Suspended, _) => Stage::Suspended,
            (Status::Unsubscribed, _) => Stage::Cancelled,
            (Status::Other(_), _) => Stage::Unknown,
            (Status::NotStarted | Status::PendingFulfillmentStart, None)
                if self.owes_unknown(&Kind::Activate.into()) =>
            {
                Stage::Activating
            }
            (Status::NotStarted | Status::PendingFulfillmentStart, None) if self.refused.is_some() => Stage::Refused,
            (Status::NotStarted | Status::PendingFulfillmentStart, None) => Stage::Unconfirmed,
            (Status::NotStarted | Status::PendingFulfillmentStart, Some(duty)) => match duty.failed_at {
                Some(_) => Stage::Delayed { failed: true },
                None if now - duty.since >= DELAY_NOTICE => Stage::Delayed { failed: false },
                None => Stage::Activating,
            },
        }
    }

    /// Takes in an event. Total: every event has an answer in every state, and the same event a second time changes
    /// nothing that matters.
    pub fn apply(&mut self, event: Event, now: OffsetDateTime) -> Applied {
        match event {
            Event::Read(snapshot) => self.read(*snapshot, now),
            Event::Confirmed(by) => self.confirm(by, now),
            Event::Unread(notice) => self.unread(notice, now),
            Event::Noticed(notice) => self.noticed(&notice, now),
            Event::Decided { notice, wanted, ruling } => self.decided(&notice, &wanted, ruling, now),
            Event::Asked { notice, until } => self.asked(notice, until, now),
            Event::DecidedLate { notice, ruling } => self.decided_late(&notice, ruling, now),
            Event::ActivationOrdered => self.order_activation(now),
            Event::Provisioned => self.provisioned(now),
            Event::ProvisionRefused { why } => self.provision_refused(&why, now),
            Event::Closed { operation, outcome, as_answered } => self.closed(&operation, &outcome, as_answered, now),
            Event::Ordered(wanted) => self.order(wanted, now),
            Event::Claimed(duty) => self.on_duty(&duty, |duty, _| duty.claim(now)),
            Event::Accepted { duty, operation, location } => self.accept(&duty, operation, location, now),
            Event::Deferred { duty, why, after } => self.defer(&duty, &why, after, now),
            Event::Done { duty, why } => self.leave(&duty, Actor::Marketplace, Happening::DutyDone, why, now),
            Event::Impossible { duty, why } => {
                self.leave(&duty, Actor::Marketplace, Happening::DutyImpossible, Some(why), now)
            }
            Event::Ended { duty, why } => self.leave(&duty, Actor::Publisher, Happening::DutyEnded, Some(why), now),
            Event::Retried { duty, by } => self.retry(&duty, by, now),
            Event::Repaired { why } => {
                self.tell(Announcement::new(News::Repaired, Actor::Program, now).because(Some(why.clone())));
                self.history.note(Entry::new(Actor::Program, Happening::Repaired, now).because(Some(why)));
                Applied::quietly()
            }
            Event::DeadlineNear { wanted, at } => self.deadline_near(wanted, at, now),
            Event::Delivered { through } => self.delivered(through, now),
            Event::GivenUp { duty, why } => self.give_up(&duty, &why, now),
            Event::Replayed { from, by } => self.replay(from, by, now),
            Event::Overridden(decided) => self.decide(decided, now),
            Event::OverrideEnded { by } => self.end_override(by, now),
        }
    }

    fn read(&mut self, snapshot: Snapshot, now: OffsetDateTime) -> Applied {
        if self.known.status.outdates(&snapshot.status) {
            let to = Some(snapshot.status.as_str().to_owned());
            let from = Some(self.known.status.as_str().to_owned());
            let entry = Entry::new(Actor::Marketplace, Happening::OlderKnowledge, now).changing(from, to);
            return if self.history.note_once(entry) { Applied::quietly() } else { Applied::Unchanged };
        }
        let before = std::mem::replace(&mut self.known, snapshot);
        self.read_at = now;
        self.note_differences(&before, now);
        self.tell_differences(&before, now);
        if self.known.status == Status::Subscribed && self.activated_at.is_none() {
            self.activated_at = Some(now);
        }
        self.leave_what_shows(now);
        Applied::quietly()
    }

    fn note_differences(&mut self, before: &Snapshot, now: OffsetDateTime) {
        let seats = |quantity: Option<u32>| quantity.map(|seats| seats.to_string());
        let known = &self.known;
        let differences = [
            (Happening::StatusChanged, Some(before.status.as_str().to_owned()), Some(known.status.as_str().to_owned())),
            (Happening::PlanChanged, Some(before.plan_id.clone()), Some(known.plan_id.clone())),
            (Happening::QuantityChanged, seats(before.quantity), seats(known.quantity)),
        ];
        for (what, from, to) in differences {
            if from != to {
                self.history.note(Entry::new(Actor::Marketplace, what, now).changing(from, to));
            }
        }
    }

    fn confirm(&mut self, by: Actor, now: OffsetDateTime) -> Applied {
        match self.known.status {
            Status::Subscribed => return Applied::Unchanged,
            Status::Suspended => return Applied::Refused(Refusal::Suspended),
            Status::Unsubscribed => return Applied::Refused(Refusal::Cancelled),
            Status::Other(_) => return Applied::Refused(Refusal::UnknownStatus),
            Status::NotStarted | Status::PendingFulfillmentStart => {}
        }
        if let Some(duty) = self.duty(Kind::Activate) {
            return match duty.failed_at {
                Some(_) => self.retry(&Kind::Activate.into(), by, now),
                None => Applied::Unchanged,
            };
        }
        if self.owes_unknown(&Kind::Activate.into()) {
            return Applied::Unchanged;
        }
        if self.is_full() {
            return Applied::Refused(Refusal::TooMuchOwed);
        }
        self.confirmed_at = Some(now);
        self.refused = None;
        // Whoever orders an activation has made ready for it.
        let provisioned_at = (by == Actor::Publisher).then_some(now);
        self.tell(Announcement::new(News::Confirmed, by.clone(), now));
        self.history.note(Entry::new(by, Happening::Confirmed, now));
        self.duties.push(Duty::new(Task::Activate { accepted_at: None, provisioned_at }, now));
        Applied::ringing(Kind::Activate)
    }

    /// Takes on what the publisher orders, where Microsoft could allow it.
    fn order(&mut self, wanted: Wanted, now: OffsetDateTime) -> Applied {
        let (kind, allowed) = match wanted {
            Wanted::Cancellation => (Kind::Cancel, self.known.allows("Delete")),
            Wanted::Plan(_) | Wanted::Quantity(_) => (Kind::Change, self.known.allows("Update")),
        };
        let refusal = match self.known.status {
            Status::Unsubscribed => Some(Refusal::Cancelled),
            Status::Suspended if kind == Kind::Change => Some(Refusal::Suspended),
            Status::NotStarted | Status::PendingFulfillmentStart if kind == Kind::Change => Some(Refusal::NotActive),
            Status::Other(_) => Some(Refusal::UnknownStatus),
            _ if self.duty(kind).is_some() || self.owes_unknown(&kind.into()) => Some(Refusal::Busy),
            _ if wanted.is_met_by(&self.known.terms()) => Some(Refusal::AsOrdered),
            _ if !allowed => Some(Refusal::NotAllowed),
            _ if self.is_full() => Some(Refusal::TooMuchOwed),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return Applied::Refused(refusal);
        }
        self.history.note(Entry::new(Actor::Publisher, Happening::Ordered, now).about(wanted.to_string()));
        self.tell_order(&wanted, now);
        let task = match wanted {
            Wanted::Cancellation => Task::Cancel { sent: None },
            wanted => Task::Change { wanted, from: self.known.terms(), sent: None },
        };
        self.duties.push(Duty::new(task, now));
        Applied::ringing(kind)
    }
}
