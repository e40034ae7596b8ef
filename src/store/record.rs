//! The stored form of a subscription: JSON in a few columns, with a version, and a budget for each column.
//!
//! A newer version of this program may have written more than this one knows. Fields, words and duties that are not
//! understood are carried along and written again (`beyond.rs`). `docs/ARCHITECTURE.md` says under "Upgrade and rollback"
//! what a version may change.

mod beyond;
mod duty;
mod fit;
mod outbox;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use self::duty::Owed;
use super::StoreError;
use crate::entitlement::Override;
use crate::history::{Actor, Entry, Happening, History};
use crate::subscription::{Party, Snapshot, Status, Subscription, SubscriptionId, Term};

/// The form that this program writes. It grows only where a reader of the form before would misread the new one; a field,
/// a word or a kind of duty more is no new form.
pub const VERSION: u32 = 1;

/// The newest form that this program reads. It grows one release before [`VERSION`] does, so that whoever goes back by
/// one release can read everything.
pub const READABLE: u32 = 1;

const _: () = assert!(VERSION <= READABLE, "what is written must be readable");

/// The most in one column, in UTF-16 units. A string property of a table entity holds 64 KiB of UTF-16, 32,768 units; the
/// rest is a margin.
pub const COLUMN_BUDGET: usize = 30_000;

/// How much of the column of the record, in UTF-16 units, a later version may fill with fields that this one does not
/// know: so much is left when all that this one writes is as long as it can be. What is not understood is never cut.
pub const OPAQUE_ROOM: usize = 5_000;

/// One stored subscription. A store keeps columns that it does not find here, because a newer version may have added
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// All but the history and the outbox.
    pub record: String,
    /// The history.
    pub history: String,
    /// What the publisher's software is told; empty where nothing ever was.
    pub outbox: String,
    /// Microsoft's word, for filters.
    pub status: String,
    /// When the next duty falls due, for the sweep: any duty, also one that only a newer version understands. That
    /// version finds it so as soon as it is back, and [`super::Store::due`] leaves it aside until then.
    pub due: Option<OffsetDateTime>,
}

/// Writes a record, each column within [`COLUMN_BUDGET`] whatever Microsoft sent: what does not fit is left out in the
/// order that `fit.rs` gives, and the record says so.
///
/// # Errors
///
/// [`StoreError::Unfit`] where only what a newer version wrote is left to be left out, or a time has no written form.
pub fn encode(subscription: &Subscription) -> Result<Row, StoreError> {
    let entries = subscription.history.entries.iter().map(written_entry).collect::<Result<Vec<_>, _>>()?;
    let (history, left_out) = fit::history(&entries);
    let mut form = RecordForm::from(subscription);
    form.history_dropped = form.history_dropped.saturating_add(left_out);
    let mut record = tree(&form)?;
    beyond::restore(&mut record, &subscription.opaque);
    record["duties"] = duty::written_all(subscription)?.into();
    if !subscription.answered.is_empty() {
        let answered = subscription.answered.iter().map(duty::written_answered).collect::<Result<Vec<_>, _>>()?;
        record["answered"] = answered.into();
    }
    Ok(Row {
        record: fit::record(record)?,
        history,
        outbox: outbox::written(subscription)?,
        status: subscription.known.status.as_str().to_owned(),
        due: due(subscription),
    })
}

/// Reads a record.
///
/// # Errors
///
/// [`StoreError::Newer`] for a form that this program cannot read, [`StoreError::Unreadable`] for a record that is not
/// what any version wrote.
pub fn decode(id: &SubscriptionId, row: &Row) -> Result<Subscription, StoreError> {
    let unreadable = |at: String| StoreError::Unreadable(format!("the record of {id} cannot be read at {at}"));
    let record: Map<String, Value> = column("record", &row.record).map_err(unreadable)?;
    match record.get("v").and_then(Value::as_u64) {
        Some(v) if v > u64::from(READABLE) => {
            let why = format!("the record of {id} has the form {v}, and this version reads forms up to {READABLE}");
            return Err(StoreError::Newer(why));
        }
        Some(1..) => {}
        _ => return Err(unreadable("record.v".to_owned())),
    }
    let history: Vec<Value> = column("history", &row.history).map_err(unreadable)?;
    read(id, record, history, &row.outbox).map_err(unreadable)
}

fn read(
    id: &SubscriptionId,
    mut record: Map<String, Value>,
    history: Vec<Value>,
    outbox: &str,
) -> Result<Subscription, String> {
    let duties = record.remove("duties").ok_or("record.duties")?;
    let answered = record.remove("answered").unwrap_or_else(|| Vec::<Value>::new().into());
    let record = Value::Object(record);
    let form: RecordForm = read_form("record", &record)?;
    let opaque = beyond::of(&record, &form);
    let owed = read_list("record.duties", duties, duty::read)?;
    let mut subscription = Subscription {
        id: id.clone(),
        known: form.known.into(),
        read_at: form.read_at,
        confirmed_at: form.confirmed_at,
        refused: form.refused,
        activated_at: form.activated_at,
        duties: Vec::with_capacity(owed.len()),
        unknown_duties: Vec::new(),
        answered: read_list("record.answered", answered, duty::read_answered)?,
        history: History { entries: read_list("history", history.into(), read_entry)?, dropped: form.history_dropped },
        outbox: outbox::read(outbox, form.created_at)?,
        entitlement_override: form.entitlement.map(Override::from),
        indexed_under: form.indexed_under,
        created_at: form.created_at,
        opaque,
    };
    for owed in owed {
        match owed {
            Owed::Known(duty) => subscription.duties.push(duty),
            Owed::Unknown(duty) => subscription.unknown_duties.push(duty),
        }
    }
    Ok(subscription)
}

/// Whether a text fits into a column.
pub(super) fn check_text(name: &str, text: &str) -> Result<(), StoreError> {
    let length = text.encode_utf16().count();
    if length > COLUMN_BUDGET {
        return Err(StoreError::Unfit(format!("column {name} has {length} characters, over {COLUMN_BUDGET}")));
    }
    Ok(())
}

/// When the next duty falls due for whoever understands it.
fn due(subscription: &Subscription) -> Option<OffsetDateTime> {
    let unknown = subscription.unknown_duties.iter().filter(|duty| duty.failed_at.is_none());
    unknown.map(|duty| duty.not_before).chain(subscription.due()).min()
}

fn tree(form: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_value(form).map_err(|error| StoreError::Unfit(format!("the record cannot be written: {error}")))
}

/// The content of a column; where it is not JSON of its kind, the place and never the value.
fn column<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{name}, line {}, column {}", error.line(), error.column()))
}

/// Reads a form; where it cannot be read, the path of the field below `at`.
fn read_form<T: DeserializeOwned>(at: &str, stored: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(stored).map_err(|error| format!("{at}.{}", error.path()))
}

fn read_list<T>(at: &str, stored: Value, one: impl Fn(&str, &Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    let Value::Array(stored) = stored else {
        return Err(at.to_owned());
    };
    stored.iter().enumerate().map(|(index, stored)| one(&format!("{at}[{index}]"), stored)).collect()
}

/// All but the lists of duties and answers, which stand beside it.
#[derive(Serialize, Deserialize)]
struct RecordForm {
    v: u32,
    known: SnapshotForm,
    #[serde(with = "time::serde::rfc3339")]
    read_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    activated_at: Option<OffsetDateTime>,
    #[serde(default)]
    history_dropped: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entitlement: Option<OverrideForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    indexed_under: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// An operator's decision about who may use it.
#[derive(Serialize, Deserialize)]
struct OverrideForm {
    entitled: bool,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    reason: String,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<String>,
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
            refused: subscription.refused.clone(),
            activated_at: subscription.activated_at,
            history_dropped: subscription.history.dropped,
            entitlement: subscription.entitlement_override.as_ref().map(OverrideForm::from),
            indexed_under: subscription.indexed_under.clone(),
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

impl From<&Override> for OverrideForm {
    fn from(decided: &Override) -> Self {
        let Override { entitled, until, reason, at, person, .. } = decided.clone();
        Self { entitled, until, reason, at, person }
    }
}

impl From<OverrideForm> for Override {
    fn from(form: OverrideForm) -> Self {
        let OverrideForm { entitled, until, reason, at, person } = form;
        Self { entitled, until, reason, at, person }
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

fn written_entry(entry: &Entry) -> Result<Value, StoreError> {
    let mut written = tree(&EntryForm::from(entry))?;
    beyond::restore(&mut written, &entry.opaque);
    Ok(written)
}

fn read_entry(at: &str, stored: &Value) -> Result<Entry, String> {
    let form: EntryForm = read_form(at, stored)?;
    let opaque = beyond::of(stored, &form);
    Ok(Entry {
        at: form.at,
        by: Actor::parse(&form.by),
        what: Happening::parse(&form.what),
        from: form.from,
        to: form.to,
        why: form.why,
        person: form.person,
        opaque,
    })
}
