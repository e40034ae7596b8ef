//! What the publisher's own software is told of a subscription, in order, and how much of it has arrived. Pure.

use time::OffsetDateTime;

use crate::history::{Actor, TEXT_LENGTH, cut};
use crate::opaque::Opaque;
use crate::snapshot::OperationId;

/// How many announcements stay on the record, those that have arrived included. Microsoft locks a subscription while
/// something happens to it, so sixty that wait tell of weeks; and every one carries the whole subscription when it is
/// sent, so that whoever misses one and hears the next is right all the same.
pub const KEPT: usize = 60;

/// The announcements of one subscription: a sequence, and how far it has been delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// The number of the newest announcement. It begins at the record's creation in milliseconds since 1970, so that it
    /// goes on growing where a record had to be made anew.
    pub sequence: u64,
    /// Everything up to this number has arrived, or was to be told to nobody.
    pub delivered: u64,
    /// How many were dropped before they arrived, because [`KEPT`] newer ones waited.
    pub lost: u32,
    /// The latest, oldest first, at most [`KEPT`].
    pub announcements: Vec<Announcement>,
    /// The deadline that was announced last.
    pub deadline: Option<OffsetDateTime>,
    /// What a newer version wrote beside it.
    pub opaque: Opaque,
}

/// One thing to tell. What is told with it, the subscription as it then is, is added when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its number.
    pub sequence: u64,
    /// When it happened.
    pub at: OffsetDateTime,
    /// What happened.
    pub news: News,
    /// Who made it happen.
    pub by: Actor,
    /// The value before, where there is one; at most [`TEXT_LENGTH`] characters, like the next two.
    pub from: Option<String>,
    /// The value after, or what it is about.
    pub to: Option<String>,
    /// The reason; without personal data.
    pub why: Option<String>,
    /// Microsoft's operation, where it is about one.
    pub operation: Option<OperationId>,
    /// What a newer version wrote beside it.
    pub opaque: Opaque,
}

/// What can be told of a subscription. An open set: a newer version of this program may know more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// We heard of it for the first time.
    Purchased,
    /// A signed-in buyer, or the publisher, said that it may be activated.
    Confirmed,
    /// Microsoft shows it active for the first time: billing has begun.
    Activated,
    /// It can never become active.
    ActivationFailed,
    /// Somebody asks for another plan.
    PlanChangeRequested,
    /// Microsoft shows another plan.
    PlanChanged,
    /// Another plan was asked for, and will not be.
    PlanChangeRejected,
    /// Somebody asks for another number of seats.
    SeatsChangeRequested,
    /// Microsoft shows another number of seats.
    SeatsChanged,
    /// Another number of seats was asked for, and will not be.
    SeatsChangeRejected,
    /// Microsoft shows it suspended: the customer's payment failed.
    Suspended,
    /// Microsoft shows it active again.
    Reinstated,
    /// A new term has begun.
    Renewed,
    /// Microsoft shows it cancelled. Final.
    Cancelled,
    /// Something else of what is told has changed.
    Updated,
    /// Microsoft will end it unless something happens soon.
    DeadlineNear,
    /// It differed from what Microsoft shows, and no webhook had told of it.
    Repaired,
    /// Something that is owed was tried for longer than its limit, and waits for a person.
    DutyFailed,
    /// Microsoft told of an action that this version does not know.
    UnknownNotification,
    /// An operator decided for a time who may use it.
    EntitlementOverridden,
    /// Nothing happened: somebody asked to hear how it is.
    Current,
    /// A word of a newer version of this program.
    Other(String),
}

impl News {
    /// Every word that this version knows.
    pub const ALL: [Self; 21] = [
        Self::Purchased,
        Self::Confirmed,
        Self::Activated,
        Self::ActivationFailed,
        Self::PlanChangeRequested,
        Self::PlanChanged,
        Self::PlanChangeRejected,
        Self::SeatsChangeRequested,
        Self::SeatsChanged,
        Self::SeatsChangeRejected,
        Self::Suspended,
        Self::Reinstated,
        Self::Renewed,
        Self::Cancelled,
        Self::Updated,
        Self::DeadlineNear,
        Self::Repaired,
        Self::DutyFailed,
        Self::UnknownNotification,
        Self::EntitlementOverridden,
        Self::Current,
    ];

    /// Reads the word.
    pub fn parse(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|news| news.as_str() == word);
        known.unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    /// The word in records, and at the end of an event's type.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Purchased => "purchased",
            Self::Confirmed => "confirmed",
            Self::Activated => "activated",
            Self::ActivationFailed => "activation_failed",
            Self::PlanChangeRequested => "plan_change_requested",
            Self::PlanChanged => "plan_changed",
            Self::PlanChangeRejected => "plan_change_rejected",
            Self::SeatsChangeRequested => "seats_change_requested",
            Self::SeatsChanged => "seats_changed",
            Self::SeatsChangeRejected => "seats_change_rejected",
            Self::Suspended => "suspended",
            Self::Reinstated => "reinstated",
            Self::Renewed => "renewed",
            Self::Cancelled => "cancelled",
            Self::Updated => "updated",
            Self::DeadlineNear => "deadline_near",
            Self::Repaired => "repaired",
            Self::DutyFailed => "duty_failed",
            Self::UnknownNotification => "unknown_notification",
            Self::EntitlementOverridden => "entitlement_overridden",
            Self::Current => "current",
            Self::Other(word) => word,
        }
    }
}

impl Announcement {
    /// An announcement without values and reason; its number is given when it is told.
    pub fn new(news: News, by: Actor, at: OffsetDateTime) -> Self {
        Self { sequence: 0, at, news, by, from: None, to: None, why: None, operation: None, opaque: Opaque::default() }
    }

    /// The value before and after.
    #[must_use]
    pub fn changing(self, from: Option<String>, to: Option<String>) -> Self {
        Self { from, to, ..self }
    }

    /// What it is about.
    #[must_use]
    pub fn about(self, to: impl Into<String>) -> Self {
        Self { to: Some(to.into()), ..self }
    }

    /// The reason.
    #[must_use]
    pub fn because(self, why: Option<String>) -> Self {
        Self { why, ..self }
    }

    /// Microsoft's operation.
    #[must_use]
    pub fn of(self, operation: Option<&OperationId>) -> Self {
        Self { operation: operation.cloned(), ..self }
    }
}

impl Outbox {
    /// The outbox of a record that is made now.
    pub fn begin(now: OffsetDateTime) -> Self {
        let sequence = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        Self {
            sequence,
            delivered: sequence,
            lost: 0,
            announcements: Vec::new(),
            deadline: None,
            opaque: Opaque::default(),
        }
    }

    /// What has not arrived, oldest first.
    pub fn undelivered(&self) -> &[Announcement] {
        let delivered = self.announcements.partition_point(|one| one.sequence <= self.delivered);
        &self.announcements[delivered..]
    }

    /// The announcement of this number, if it is still here.
    pub fn announcement(&self, sequence: u64) -> Option<&Announcement> {
        self.announcements.iter().find(|one| one.sequence == sequence)
    }

    /// Tells one more thing, its texts cut to [`TEXT_LENGTH`]; the oldest makes room for it.
    pub(crate) fn tell(&mut self, mut announcement: Announcement) {
        for text in [&mut announcement.from, &mut announcement.to, &mut announcement.why].into_iter().flatten() {
            cut(text, TEXT_LENGTH);
        }
        self.sequence = self.sequence.saturating_add(1);
        announcement.sequence = self.sequence;
        self.announcements.push(announcement);
        while self.announcements.len() > KEPT {
            let dropped = self.announcements.remove(0);
            if dropped.sequence > self.delivered {
                self.lost = self.lost.saturating_add(1);
            }
        }
    }

    /// Everything up to this number has arrived. Answers whether that is news.
    pub(crate) fn deliver(&mut self, through: u64) -> bool {
        let before = self.delivered;
        self.delivered = self.delivered.max(through.min(self.sequence));
        self.delivered > before
    }

    /// Takes back what arrived from this number on, as far as it is still here.
    pub(crate) fn rewind(&mut self, from: u64) {
        if let Some(first) = self.announcements.iter().find(|one| one.sequence >= from) {
            self.delivered = self.delivered.min(first.sequence.saturating_sub(1));
        }
    }

    /// Nobody is to hear of anything so far.
    pub(crate) fn hush(&mut self) {
        self.delivered = self.sequence;
    }
}
