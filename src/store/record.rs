//! The stored form of a subscription: JSON in a few columns, with a version, and a budget for each column.

mod duty;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use self::duty::{AnsweredForm, DutyForm};
use super::StoreError;
use crate::history::{Actor, Entry, HISTORY_LENGTH, Happening, History};
use crate::subscription::{Party, Snapshot, Status, Subscription, SubscriptionId, Term};

/// The version of the form that this program writes.
pub const VERSION: u32 = 1;

/// The most characters in one column. A string property of a table entity holds 64 KiB of UTF-16, 32,768 characters;
/// the rest is room for characters that take two units.
pub const COLUMN_BUDGET: usize = 30_000;

/// One stored subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// All but the history.
    pub record: String,
    /// The history.
    pub history: String,
    /// Microsoft's word, for filters.
    pub status: String,
    /// When the next duty falls due, for the sweep.
    pub due: Option<OffsetDateTime>,
}

/// Writes a record.
pub fn encode(subscription: &Subscription) -> Result<Row, StoreError> {
    let history: Vec<EntryForm> = subscription.history.entries.iter().map(EntryForm::from).collect();
    Ok(Row {
        record: column("record", &RecordForm::from(subscription))?,
        history: column("history", &history)?,
        status: subscription.known.status.as_str().to_owned(),
        due: subscription.due(),
    })
}

/// Reads a record.
pub fn decode(id: &SubscriptionId, row: &Row) -> Result<Subscription, StoreError> {
    let record: RecordForm = parse("record", id, &row.record)?;
    let history: Vec<EntryForm> = parse("history", id, &row.history)?;
    if record.v > VERSION {
        return Err(StoreError::Unfit(format!("record {id} has version {}, newer than this program", record.v)));
    }
    Ok(Subscription {
        id: id.clone(),
        known: record.known.into(),
        read_at: record.read_at,
        confirmed_at: record.confirmed_at,
        activated_at: record.activated_at,
        duties: record.duties.into_iter().map(DutyForm::read).collect::<Result<_, _>>()?,
        answered: record.answered.into_iter().map(AnsweredForm::read).collect::<Result<_, _>>()?,
        history: History {
            entries: history.into_iter().take(HISTORY_LENGTH).map(EntryForm::read).collect::<Result<_, _>>()?,
            dropped: record.history_dropped,
        },
        created_at: record.created_at,
    })
}

fn column(name: &str, form: &impl Serialize) -> Result<String, StoreError> {
    let text = serde_json::to_string(form).map_err(|error| StoreError::Unfit(format!("column {name}: {error}")))?;
    check_text(name, &text)?;
    Ok(text)
}

/// Whether a text fits into a column.
pub(super) fn check_text(name: &str, text: &str) -> Result<(), StoreError> {
    let length = text.encode_utf16().count();
    if length > COLUMN_BUDGET {
        return Err(StoreError::Unfit(format!("column {name} has {length} characters, over {COLUMN_BUDGET}")));
    }
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(name: &str, id: &SubscriptionId, text: &'a str) -> Result<T, StoreError> {
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| StoreError::Unfit(format!("column {name} of {id} at {}: not readable", error.path())))
}

#[derive(Serialize, Deserialize)]
struct RecordForm {
    v: u32,
    known: SnapshotForm,
    #[serde(with = "time::serde::rfc3339")]
    read_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    activated_at: Option<OffsetDateTime>,
    duties: Vec<DutyForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answered: Vec<AnsweredForm>,
    #[serde(default)]
    history_dropped: u32,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

#[derive(Serialize, Deserialize)]
struct SnapshotForm {
    offer_id: String,
    plan_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantity: Option<u32>,
    status: String,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beneficiary: Option<PartyForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purchaser: Option<PartyForm>,
    term: TermForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auto_renew: Option<bool>,
    is_free_trial: bool,
    allowed_operations: Vec<String>,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    created: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct PartyForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    puid: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct TermForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    start: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    end: Option<OffsetDateTime>,
}

#[derive(Serialize, Deserialize)]
struct EntryForm {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    by: String,
    what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<String>,
}

impl From<&Subscription> for RecordForm {
    fn from(subscription: &Subscription) -> Self {
        Self {
            v: VERSION,
            known: SnapshotForm::from(&subscription.known),
            read_at: subscription.read_at,
            confirmed_at: subscription.confirmed_at,
            activated_at: subscription.activated_at,
            duties: subscription.duties.iter().map(DutyForm::from).collect(),
            answered: subscription.answered.iter().map(AnsweredForm::from).collect(),
            history_dropped: subscription.history.dropped,
            created_at: subscription.created_at,
        }
    }
}

impl From<&Snapshot> for SnapshotForm {
    fn from(known: &Snapshot) -> Self {
        let known = known.clone();
        Self {
            offer_id: known.offer_id,
            plan_id: known.plan_id,
            quantity: known.quantity,
            status: known.status.as_str().to_owned(),
            name: known.name,
            beneficiary: known.beneficiary.map(PartyForm::from),
            purchaser: known.purchaser.map(PartyForm::from),
            term: TermForm { unit: known.term.unit, start: known.term.start, end: known.term.end },
            auto_renew: known.auto_renew,
            is_free_trial: known.is_free_trial,
            allowed_operations: known.allowed_operations,
            created: known.created,
            rest: known.rest,
        }
    }
}

impl From<SnapshotForm> for Snapshot {
    fn from(form: SnapshotForm) -> Self {
        Self {
            offer_id: form.offer_id,
            plan_id: form.plan_id,
            quantity: form.quantity,
            status: Status::parse(&form.status),
            name: form.name,
            beneficiary: form.beneficiary.map(Party::from),
            purchaser: form.purchaser.map(Party::from),
            term: Term { unit: form.term.unit, start: form.term.start, end: form.term.end },
            auto_renew: form.auto_renew,
            is_free_trial: form.is_free_trial,
            allowed_operations: form.allowed_operations,
            created: form.created,
            rest: form.rest,
        }
    }
}

impl From<Party> for PartyForm {
    fn from(party: Party) -> Self {
        Self { email: party.email, object_id: party.object_id, tenant_id: party.tenant_id, puid: party.puid }
    }
}

impl From<PartyForm> for Party {
    fn from(form: PartyForm) -> Self {
        Self { email: form.email, object_id: form.object_id, tenant_id: form.tenant_id, puid: form.puid }
    }
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        Self {
            at: entry.at,
            by: entry.by.as_str().to_owned(),
            what: entry.what.as_str().to_owned(),
            from: entry.from.clone(),
            to: entry.to.clone(),
            why: entry.why.clone(),
            person: entry.person.clone(),
        }
    }
}

impl EntryForm {
    fn read(self) -> Result<Entry, StoreError> {
        let by = Actor::ALL.into_iter().find(|actor| actor.as_str() == self.by);
        let what = Happening::ALL.into_iter().find(|what| what.as_str() == self.what);
        let unknown = |word: &str| StoreError::Unfit(format!("history holds the unknown word {word}"));
        Ok(Entry {
            at: self.at,
            by: by.ok_or_else(|| unknown(&self.by))?,
            what: what.ok_or_else(|| unknown(&self.what))?,
            from: self.from,
            to: self.to,
            why: self.why,
            person: self.person,
        })
    }
}
