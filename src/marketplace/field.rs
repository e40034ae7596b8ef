//! The forms in which one field of the marketplace's JSON was seen, each read into one value. Pure.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Text without its padding; `None` where nothing remains. A number is taken as its digits.
pub(super) fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let text = match Value::deserialize(value)? {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err(D::Error::custom("not text")),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Seats: a number, a number as text, or nothing in any of its forms.
pub(super) fn quantity<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u32>, D::Error> {
    let seats = match Value::deserialize(value)? {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        _ => None,
    };
    seats.map(Some).ok_or_else(|| D::Error::custom("not a number of seats"))
}

/// Yes or no, also as text, or nothing.
pub(super) fn flag<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(value)? {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(flag)),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(D::Error::custom("neither true nor false")),
        },
        _ => Err(D::Error::custom("neither true nor false")),
    }
}

/// Reads a date; one that cannot be read stays under its name among the unknown fields.
pub(super) fn moment(field: &str, value: Option<Value>, rest: &mut Map<String, Value>) -> Option<OffsetDateTime> {
    let value = value?;
    let read = value.as_str().and_then(date);
    if read.is_none() {
        rest.insert(field.to_owned(), value);
    }
    read
}

/// Reads a date and time, in UTC where no zone is given, or a date alone as its first moment. The year 1 is .NET's way
/// to say "never set".
pub(super) fn date(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let forms = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z")];
    forms
        .iter()
        .find_map(|form| OffsetDateTime::parse(form, &Rfc3339).ok())
        .and_then(|read| read.checked_to_offset(UtcOffset::UTC))
        .filter(|read| read.year() > 1)
}
