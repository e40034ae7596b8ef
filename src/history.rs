//! What happened to a subscription, when, by whom, from what to what, and why. Pure.

use time::OffsetDateTime;

use crate::opaque::Opaque;

/// How many history entries stay on the record. The log holds all of them; forty tell a year of an ordinary
/// subscription, and fit a table column.
pub const HISTORY_LENGTH: usize = 40;

/// The longest value or reason of an entry, in characters: a sentence or two. Forty of them in ordinary letters fit a
/// table column.
pub const TEXT_LENGTH: usize = 300;

/// What stands at the end of a text that was cut.
pub const CUT: char = '…';

/// Who made something happen. An open set: a newer version of this program may know more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The signed-in person on the landing page.
    Buyer,
    /// Microsoft.
    Marketplace,
    /// The publisher's operator or software.
    Publisher,
    /// This program, on time or by rule.
    Program,
    /// A word of a newer version of this program.
    Other(String),
}

/// One line of history: what happened, when, by whom, from what to what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: OffsetDateTime,
    /// By whom.
    pub by: Actor,
    /// What.
    pub what: Happening,
    /// The value before, where there is one; at most [`TEXT_LENGTH`] characters, like the next two.
    pub from: Option<String>,
    /// The value after, where there is one.
    pub to: Option<String>,
    /// The reason, where one was given; without personal data.
    pub why: Option<String>,
    /// The person whom the publisher's software named as acting. Personal data: on the record, never in the log.
    pub person: Option<String>,
    /// What a newer version wrote into this entry.
    pub opaque: Opaque,
}

/// The longest name of a person kept, in characters.
pub const PERSON_LENGTH: usize = 100;

/// The kinds of history entries. An open set: a newer version of this program may know more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// We heard of it for the first time.
    Discovered,
    /// Microsoft shows another status.
    StatusChanged,
    /// Microsoft shows another plan.
    PlanChanged,
    /// Microsoft shows another number of seats.
    QuantityChanged,
    /// A signed-in buyer confirmed the purchase.
    Confirmed,
    /// Microsoft received our request; it is not done yet.
    Accepted,
    /// A duty was found done.
    DutyDone,
    /// The other side proved that a duty cannot be done.
    DutyImpossible,
    /// A duty was tried for longer than its limit.
    DutyFailed,
    /// An operator ended a duty.
    DutyEnded,
    /// A failed duty was taken up again.
    DutyRetried,
    /// A webhook told of an action that needs no answer.
    Noticed,
    /// We answered the customer's change.
    Answered,
    /// The publisher's software decided about a change when it had been answered without it.
    LateDecision,
    /// The publisher said that the subscription may be activated: its software has provisioned, or it was ordered.
    Provisioned,
    /// Microsoft ended an operation otherwise than we had answered.
    Overtaken,
    /// The publisher ordered something.
    Ordered,
    /// A difference that no webhook had told of was repaired.
    Repaired,
    /// An operator decided for a time who may use it.
    Overridden,
    /// That decision ended.
    OverrideEnded,
    /// Microsoft said something that newer knowledge had already overtaken; it was not recorded.
    OlderKnowledge,
    /// A word of a newer version of this program.
    Other(String),
}

impl Actor {
    /// Every actor that this version knows.
    pub const ALL: [Self; 4] = [Self::Buyer, Self::Marketplace, Self::Publisher, Self::Program];

    /// Reads the word.
    pub fn parse(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|actor| actor.as_str() == word);
        known.unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    /// The word in records and answers.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Buyer => "buyer",
            Self::Marketplace => "marketplace",
            Self::Publisher => "publisher",
            Self::Program => "program",
            Self::Other(word) => word,
        }
    }
}

impl Happening {
    /// Every kind that this version knows.
    pub const ALL: [Self; 21] = [
        Self::Discovered,
        Self::StatusChanged,
        Self::PlanChanged,
        Self::QuantityChanged,
        Self::Confirmed,
        Self::Accepted,
        Self::DutyDone,
        Self::DutyImpossible,
        Self::DutyFailed,
        Self::DutyEnded,
        Self::DutyRetried,
        Self::Noticed,
        Self::Answered,
        Self::LateDecision,
        Self::Provisioned,
        Self::Overtaken,
        Self::Ordered,
        Self::Repaired,
        Self::Overridden,
        Self::OverrideEnded,
        Self::OlderKnowledge,
    ];

    /// Reads the word.
    pub fn parse(word: &str) -> Self {
        let known = Self::ALL.into_iter().find(|what| what.as_str() == word);
        known.unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    /// The word in records and answers.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Discovered => "discovered",
            Self::StatusChanged => "status_changed",
            Self::PlanChanged => "plan_changed",
            Self::QuantityChanged => "quantity_changed",
            Self::Confirmed => "confirmed",
            Self::Accepted => "accepted",
            Self::DutyDone => "duty_done",
            Self::DutyImpossible => "duty_impossible",
            Self::DutyFailed => "duty_failed",
            Self::DutyEnded => "duty_ended",
            Self::DutyRetried => "duty_retried",
            Self::Noticed => "noticed",
            Self::Answered => "answered",
            Self::LateDecision => "late_decision",
            Self::Provisioned => "provisioned",
            Self::Overtaken => "overtaken",
            Self::Ordered => "ordered",
            Self::Repaired => "repaired",
            Self::Overridden => "overridden",
            Self::OverrideEnded => "override_ended",
            Self::OlderKnowledge => "older_knowledge",
            Self::Other(word) => word,
        }
    }
}

/// The history of one subscription: bounded here, complete in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Oldest first, at most [`HISTORY_LENGTH`].
    pub entries: Vec<Entry>,
    /// How many older entries are in the log only.
    pub dropped: u32,
}

impl Entry {
    /// An entry without values and reason.
    pub fn new(by: Actor, what: Happening, at: OffsetDateTime) -> Self {
        Self { at, by, what, from: None, to: None, why: None, person: None, opaque: Opaque::default() }
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

    fn cut(&mut self) {
        for text in [&mut self.from, &mut self.to, &mut self.why].into_iter().flatten() {
            cut(text, TEXT_LENGTH);
        }
    }
}

impl History {
    /// How many entries there ever were.
    pub fn total(&self) -> usize {
        self.entries.len() + usize::try_from(self.dropped).unwrap_or(usize::MAX)
    }

    /// The entries after the first `total`, as far as they are still here.
    pub fn since(&self, total: usize) -> &[Entry] {
        let new = self.total().saturating_sub(total).min(self.entries.len());
        &self.entries[self.entries.len() - new..]
    }

    /// Names the person whom the publisher's software names as acting, in the entries after the first `total`, but for
    /// what Microsoft did.
    pub(crate) fn name(&mut self, total: usize, person: Option<&str>) {
        let new = self.since(total).len();
        let person: Option<String> = person.map(|person| person.chars().take(PERSON_LENGTH).collect());
        for entry in self.entries.iter_mut().rev().take(new).filter(|entry| entry.by != Actor::Marketplace) {
            entry.person.clone_from(&person);
        }
    }

    /// Adds an entry, its texts cut to [`TEXT_LENGTH`]; the oldest makes room for it.
    pub(crate) fn note(&mut self, mut entry: Entry) {
        entry.cut();
        self.entries.push(entry);
        while self.entries.len() > HISTORY_LENGTH {
            self.entries.remove(0);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Adds an entry, unless the newest already says the same: a source that lags repeats itself. Answers whether it
    /// was added.
    pub(crate) fn note_once(&mut self, mut entry: Entry) -> bool {
        entry.cut();
        let said = self.entries.last().is_some_and(|last| last.what == entry.what && last.to == entry.to);
        if !said {
            self.note(entry);
        }
        !said
    }
}

/// Cuts a text to at most `length` characters, the last of them [`CUT`].
pub(crate) fn cut(text: &mut String, length: usize) {
    if text.chars().count() > length {
        *text = text.chars().take(length - 1).chain([CUT]).collect();
    }
}
