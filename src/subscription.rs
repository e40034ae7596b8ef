//! A subscription: what Microsoft last said of it, what a person confirmed, what is still owed, and what happened.
//! Pure and total: [`Subscription::apply`] takes an event and the time, and says what changed. No clock, no I/O, no JSON.

use std::fmt;

use time::{Duration, OffsetDateTime};

use crate::duty::{ACCEPTED_PATIENCE, Duty, Kind, Task};
use crate::history::{Actor, Entry, Happening, History};

/// When a buyer who waits for the activation is told that it takes longer than usual. The documents say "a few minutes".
pub const DELAY_NOTICE: Duration = Duration::minutes(10);

/// How long after its activation a subscription is greeted as new: the length of a buyer's session.
pub const NEWLY_ACTIVE: Duration = Duration::minutes(30);

/// Microsoft's identifier of a subscription: a GUID in everything seen so far.
///
/// It becomes a table key, part of a queue message and of URLs that we make, so it is lower-cased and held to ASCII
/// letters, digits and hyphens, at most [`SubscriptionId::LENGTH`] of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(String);

impl SubscriptionId {
    /// The longest identifier accepted, in characters. A GUID has 36.
    pub const LENGTH: usize = 64;

    /// Reads an identifier; `None` where it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let sound = !text.is_empty()
            && text.len() <= Self::LENGTH
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        sound.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `saasSubscriptionStatus`. An open set: what Microsoft adds is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// In Microsoft's OpenAPI description only; never seen. Treated as not yet activated.
    NotStarted,
    /// Bought, waiting for the publisher's activation. Nothing is billed.
    PendingFulfillmentStart,
    /// Active and billed.
    Subscribed,
    /// The customer's payment failed; 30 days until it is cancelled.
    Suspended,
    /// Cancelled. Final: Microsoft never reactivates a cancelled subscription.
    Unsubscribed,
    /// A word that this version does not know.
    Other(String),
}

impl Status {
    /// Reads Microsoft's word. The documents pad some with spaces.
    pub fn parse(word: &str) -> Self {
        match word.trim() {
            "NotStarted" => Self::NotStarted,
            "PendingFulfillmentStart" => Self::PendingFulfillmentStart,
            "Subscribed" => Self::Subscribed,
            "Suspended" => Self::Suspended,
            "Unsubscribed" => Self::Unsubscribed,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Microsoft's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::PendingFulfillmentStart => "PendingFulfillmentStart",
            Self::Subscribed => "Subscribed",
            Self::Suspended => "Suspended",
            Self::Unsubscribed => "Unsubscribed",
            Self::Other(word) => word,
        }
    }

    /// Whether the subscription still waits for its activation.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::NotStarted | Self::PendingFulfillmentStart)
    }

    /// Whether knowing `self` proves that `other` is older knowledge, which must not undo it.
    fn outdates(&self, other: &Self) -> bool {
        match self {
            Self::Unsubscribed => *other != Self::Unsubscribed,
            Self::Subscribed | Self::Suspended => other.is_pending(),
            Self::NotStarted | Self::PendingFulfillmentStart | Self::Other(_) => false,
        }
    }
}

/// Who uses (beneficiary) or pays for (purchaser) the subscription. Personal data: `Debug` shows the tenant only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// The e-mail address, as Microsoft gives it.
    pub email: Option<String>,
    /// The user's object id in their tenant.
    pub object_id: Option<String>,
    /// The user's Entra tenant. All personal accounts share one.
    pub tenant_id: Option<String>,
    /// The personal account's id: 16 hexadecimal digits.
    pub puid: Option<String>,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

/// The current term. All absent until the subscription is activated, but for the unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Term {
    /// An ISO 8601 duration such as `P1M`; an open set.
    pub unit: Option<String>,
    /// The first day, midnight UTC.
    pub start: Option<OffsetDateTime>,
    /// The last day, midnight UTC; it renews the day after.
    pub end: Option<OffsetDateTime>,
}

/// What Microsoft said of a subscription at one moment. `Debug` leaves out what may be personal.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The offer, with the `-preview` suffix that test purchases carry.
    pub offer_id: String,
    /// The plan.
    pub plan_id: String,
    /// Seats; absent for plans that are not sold per seat.
    pub quantity: Option<u32>,
    /// The status.
    pub status: Status,
    /// The name that the customer chose. Personal data by our rules: it may name a person.
    pub name: String,
    /// Who uses it.
    pub beneficiary: Option<Party>,
    /// Who pays.
    pub purchaser: Option<Party>,
    /// The current term.
    pub term: Term,
    /// Whether it renews by itself.
    pub auto_renew: Option<bool>,
    /// Whether a free trial runs.
    pub is_free_trial: bool,
    /// `Read`, `Update`, `Delete`: what the publisher may do with it.
    pub allowed_operations: Vec<String>,
    /// When it was bought.
    pub created: Option<OffsetDateTime>,
    /// The fields that this version does not know, as the text of one JSON object: kept, never read by a rule.
    pub rest: Option<String>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("offer_id", &self.offer_id)
            .field("plan_id", &self.plan_id)
            .field("quantity", &self.quantity)
            .field("status", &self.status)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}

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

/// Something that happened to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What Microsoft says, read after the record was loaded.
    Read(Box<Snapshot>),
    /// A signed-in buyer pressed the button.
    Confirmed,
    /// Somebody starts to work on the duty.
    Claimed(Kind),
    /// Microsoft received the request of this duty.
    Accepted(Kind),
    /// The attempt did not finish the duty.
    Deferred {
        /// Which duty.
        kind: Kind,
        /// Why, without personal data.
        why: String,
        /// The other side's `Retry-After`.
        after: Option<Duration>,
    },
    /// The other side proved that the duty cannot be done.
    Impossible {
        /// Which duty.
        kind: Kind,
        /// The proof, without personal data.
        why: String,
    },
    /// An operator ends a duty.
    Ended {
        /// Which duty.
        kind: Kind,
        /// The operator's reason.
        why: String,
    },
    /// A duty is taken up again before its time, or after it failed.
    Retried {
        /// Which duty.
        kind: Kind,
        /// By whom.
        by: Actor,
    },
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: it was known already, or cannot matter any more.
    Unchanged,
    /// The record must be saved, and the bells of these duties rung.
    Changed {
        /// Duties that have become due by this event.
        rings: Vec<Kind>,
    },
    /// The event contradicts the state; nothing was changed.
    Refused(Refusal),
}

/// Why an event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Only a pending subscription can be confirmed, and this one is suspended.
    Suspended,
    /// It was cancelled, which is final.
    Cancelled,
    /// Its status is a word that this version does not know.
    UnknownStatus,
    /// There is no such duty.
    NoSuchDuty,
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
    /// When a signed-in buyer confirmed the purchase.
    pub confirmed_at: Option<OffsetDateTime>,
    /// When we first knew it to be active.
    pub activated_at: Option<OffsetDateTime>,
    /// What must still become true.
    pub duties: Vec<Duty>,
    /// What happened.
    pub history: History,
    /// When the record was made.
    pub created_at: OffsetDateTime,
}

impl Subscription {
    /// The record of a subscription that we hear of for the first time.
    pub fn discovered(id: SubscriptionId, known: Snapshot, by: Actor, now: OffsetDateTime) -> Self {
        let active = known.status == Status::Subscribed;
        let to = Some(known.status.as_str().to_owned());
        let mut new = Self {
            id,
            known,
            read_at: now,
            confirmed_at: None,
            activated_at: active.then_some(now),
            duties: Vec::new(),
            history: History::default(),
            created_at: now,
        };
        new.history.note(Entry::new(by, Happening::Discovered, now).changing(None, to));
        new
    }

    /// The duty of this kind, if it is still owed.
    pub fn duty(&self, kind: Kind) -> Option<&Duty> {
        self.duties.iter().find(|duty| duty.task.kind() == kind)
    }

    /// When the next duty falls due; `None` where nothing is owed, or only what has failed.
    pub fn due(&self) -> Option<OffsetDateTime> {
        self.duties.iter().filter_map(Duty::due).min()
    }

    /// Whether Activate must be sent now: it was never accepted, or so long ago that it may have been forgotten.
    pub fn should_send_activate(&self, now: OffsetDateTime) -> bool {
        self.duty(Kind::Activate).is_some_and(|duty| match duty.task {
            Task::Activate { accepted_at } => accepted_at.is_none_or(|at| now - at >= ACCEPTED_PATIENCE),
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
            Event::Confirmed => self.confirm(now),
            Event::Retried { kind, by } => self.retry(kind, by, now),
            Event::Claimed(kind) => self.on_duty(kind, |duty, _| duty.claim(now)),
            Event::Accepted(kind) => self.accept(kind, now),
            Event::Deferred { kind, why, after } => self.defer(kind, &why, after, now),
            Event::Impossible { kind, why } => {
                self.leave(kind, Actor::Marketplace, Happening::DutyImpossible, Some(why), now)
            }
            Event::Ended { kind, why } => self.leave(kind, Actor::Publisher, Happening::DutyEnded, Some(why), now),
        }
    }

    fn read(&mut self, snapshot: Snapshot, now: OffsetDateTime) -> Applied {
        if self.known.status.outdates(&snapshot.status) {
            let to = Some(snapshot.status.as_str().to_owned());
            let from = Some(self.known.status.as_str().to_owned());
            let entry = Entry::new(Actor::Marketplace, Happening::OlderKnowledge, now).changing(from, to);
            let told = self.history.note_once(entry);
            return if told { Applied::Changed { rings: Vec::new() } } else { Applied::Unchanged };
        }
        let before = std::mem::replace(&mut self.known, snapshot);
        self.read_at = now;
        self.note_differences(&before, now);
        if self.known.status == Status::Subscribed && self.activated_at.is_none() {
            self.activated_at = Some(now);
        }
        match self.known.status {
            Status::Subscribed | Status::Suspended => {
                self.leave(Kind::Activate, Actor::Marketplace, Happening::DutyDone, None, now);
            }
            Status::Unsubscribed => {
                let why = Some("the subscription was cancelled".to_owned());
                self.leave(Kind::Activate, Actor::Marketplace, Happening::DutyImpossible, why, now);
            }
            Status::NotStarted | Status::PendingFulfillmentStart | Status::Other(_) => {}
        }
        Applied::Changed { rings: Vec::new() }
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

    fn confirm(&mut self, now: OffsetDateTime) -> Applied {
        match self.known.status {
            Status::Subscribed => return Applied::Unchanged,
            Status::Suspended => return Applied::Refused(Refusal::Suspended),
            Status::Unsubscribed => return Applied::Refused(Refusal::Cancelled),
            Status::Other(_) => return Applied::Refused(Refusal::UnknownStatus),
            Status::NotStarted | Status::PendingFulfillmentStart => {}
        }
        if let Some(duty) = self.duty(Kind::Activate) {
            return match duty.failed_at {
                Some(_) => self.retry(Kind::Activate, Actor::Buyer, now),
                None => Applied::Unchanged,
            };
        }
        self.confirmed_at = Some(now);
        self.history.note(Entry::new(Actor::Buyer, Happening::Confirmed, now));
        self.duties.push(Duty::new(Task::Activate { accepted_at: None }, now));
        Applied::Changed { rings: vec![Kind::Activate] }
    }

    fn retry(&mut self, kind: Kind, by: Actor, now: OffsetDateTime) -> Applied {
        match self.on_duty(kind, |duty, _| duty.retry(now)) {
            Applied::Changed { .. } => {
                self.history.note(Entry::new(by, Happening::DutyRetried, now).about(kind.to_string()));
                Applied::Changed { rings: vec![kind] }
            }
            other => other,
        }
    }

    fn accept(&mut self, kind: Kind, now: OffsetDateTime) -> Applied {
        let applied = self.on_duty(kind, |duty, _| match &mut duty.task {
            Task::Activate { accepted_at } => *accepted_at = Some(now),
        });
        if let Applied::Changed { .. } = applied {
            self.history.note(Entry::new(Actor::Marketplace, Happening::Accepted, now).about(kind.to_string()));
        }
        applied
    }

    fn defer(&mut self, kind: Kind, why: &str, after: Option<Duration>, now: OffsetDateTime) -> Applied {
        let applied = self.on_duty(kind, |duty, id| duty.defer(why, after, id.as_str(), now));
        if self.duty(kind).is_some_and(|duty| duty.failed_at == Some(now)) {
            let entry = Entry::new(Actor::Program, Happening::DutyFailed, now).about(kind.to_string());
            self.history.note(entry.because(self.duty(kind).and_then(|duty| duty.last_error.clone())));
        }
        applied
    }

    /// Changes an open duty, or refuses where there is none.
    fn on_duty(&mut self, kind: Kind, change: impl FnOnce(&mut Duty, &SubscriptionId)) -> Applied {
        match self.duties.iter_mut().find(|duty| duty.task.kind() == kind) {
            Some(duty) => {
                change(duty, &self.id);
                Applied::Changed { rings: Vec::new() }
            }
            None => Applied::Refused(Refusal::NoSuchDuty),
        }
    }

    /// Takes a duty off the record, by one of the three exits.
    fn leave(&mut self, kind: Kind, by: Actor, how: Happening, why: Option<String>, now: OffsetDateTime) -> Applied {
        let Some(at) = self.duties.iter().position(|duty| duty.task.kind() == kind) else {
            return Applied::Refused(Refusal::NoSuchDuty);
        };
        let duty = self.duties.remove(at);
        let about = format!("{kind}, attempts: {}", duty.attempts);
        self.history.note(Entry::new(by, how, now).about(about).because(why));
        Applied::Changed { rings: Vec::new() }
    }
}
