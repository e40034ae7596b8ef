//! How a record is made to fit its columns. What goes first is what comes again or is told elsewhere: a subscription must
//! never become impossible to save for what Microsoft or a visitor wrote.

use serde_json::{Value, json};

use super::{COLUMN_BUDGET, check_text};
use crate::history::{CUT, cut};
use crate::store::StoreError;

/// What is left of a text that has to be cut, in characters: enough to recognise a name or an error by.
const TEXT_LENGTH: usize = 100;

/// What is left of a list of Microsoft's words that has to be cut. Three are known.
const WORDS: usize = 10;

/// The texts of a snapshot that no rule needs whole. An identifier that is longer than a cut text is nobody's.
const TEXTS: [&str; 10] = [
    "/known/name",
    "/known/term/unit",
    "/known/beneficiary/email",
    "/known/beneficiary/object_id",
    "/known/beneficiary/tenant_id",
    "/known/beneficiary/puid",
    "/known/purchaser/email",
    "/known/purchaser/object_id",
    "/known/purchaser/tenant_id",
    "/known/purchaser/puid",
];

/// The column of the history: the newest entries that fit, oldest first, and how many older ones were left out. The log
/// has them all.
pub(super) fn history(entries: &[Value]) -> (String, u32) {
    let left_out = newest(entries, COLUMN_BUDGET - "[".len());
    (Value::from(entries[left_out..].to_vec()).to_string(), u32::try_from(left_out).unwrap_or(u32::MAX))
}

/// How many of the oldest entries must be left out, so that the others fit into `room` units.
pub(super) fn newest(entries: &[Value], mut room: usize) -> usize {
    let fits = |entry: &&Value| {
        // Behind each entry stands a comma or the last bracket.
        let needed = units(&entry.to_string()) + ",".len();
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    entries.len() - entries.iter().rev().take_while(fits).count()
}

/// The units that a column has left beside this.
pub(super) fn room_beside(written: &Value) -> usize {
    COLUMN_BUDGET.saturating_sub(units(&written.to_string()))
}

/// The column of the record. Over its budget it loses, one after the other and no more than needed: Microsoft's unknown
/// fields, which the next reading brings again; the ends of long texts; the addresses at which Microsoft said to look for
/// an order, whose operation is named beside them. Each loss is marked where it is.
///
/// # Errors
///
/// [`StoreError::Unfit`] where that is not enough: what a newer version wrote is never left out.
pub(super) fn record(mut record: Value) -> Result<String, StoreError> {
    let losses: [fn(&mut Value); 3] = [without_rest, with_short_texts, without_locations];
    let mut text = record.to_string();
    for lose in losses {
        if units(&text) <= COLUMN_BUDGET {
            break;
        }
        lose(&mut record);
        text = record.to_string();
    }
    check_text("record", &text)?;
    Ok(text)
}

fn without_rest(record: &mut Value) {
    if let Some(Value::String(rest)) = record.pointer_mut("/known/rest") {
        *rest = json!({ "leftOut": format!("{} characters", rest.chars().count()) }).to_string();
    }
}

fn with_short_texts(record: &mut Value) {
    for path in TEXTS {
        if let Some(text) = record.pointer_mut(path) {
            shorten(text);
        }
    }
    if let Some(Value::Array(words)) = record.pointer_mut("/known/allowed_operations") {
        if words.len() > WORDS {
            words.truncate(WORDS);
            words.push(CUT.to_string().into());
        }
        for word in words {
            shorten(word);
        }
    }
    for duty in duties(record) {
        if let Some(text) = duty.get_mut("last_error") {
            shorten(text);
        }
    }
}

fn without_locations(record: &mut Value) {
    for duty in duties(record) {
        if let Some(Value::Object(sent)) = duty.pointer_mut("/task/sent") {
            sent.remove("location");
        }
    }
}

fn duties(record: &mut Value) -> impl Iterator<Item = &mut Value> {
    record.get_mut("duties").and_then(Value::as_array_mut).into_iter().flatten()
}

/// Cuts a text. Control characters go, because JSON writes each of them as six.
fn shorten(text: &mut Value) {
    if let Value::String(text) = text {
        *text = text.replace(char::is_control, " ");
        cut(text, TEXT_LENGTH);
    }
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
