//! The JSON that the host posts to the handler for a queue message or a timer (`ScriptInvocationContextExtensions.cs`).
//!
//! Byte strings become base64, times ISO 8601, objects nested JSON; every other value is serialized and then put in as a
//! *string*, so that a text arrives encoded twice and a number as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::{datetime, format_description};

use super::function::{QueueTrigger, TimerTrigger};
use crate::bell::Message;

/// Fractions are lost on the way through the host's conversion.
const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+00:00");
/// .NET's round-trip form of a UTC `DateTime`.
const TICKS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
/// .NET's form of a `DateTimeOffset` with its fraction.
const TICKS_WITH_OFFSET: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]+00:00");
/// `DateTimeOffset.MaxValue`: what has no end ends then.
const NEVER: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// What the host adds about an invocation: when and under which random id it runs.
#[derive(Clone, Debug)]
pub(super) struct Sys {
    pub(super) function: String,
    pub(super) now: OffsetDateTime,
    pub(super) random: String,
}

/// Where a timer stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick {
    /// The ring before; `None` where the timer never rang.
    pub(super) last: Option<OffsetDateTime>,
    pub(super) next: OffsetDateTime,
}

/// The envelope of a message that was received from the queue.
pub(super) fn of_message(trigger: &QueueTrigger, message: &Message, sys: &Sys) -> Result<Value, String> {
    let mut metadata = Map::new();
    metadata.insert("DequeueCount".into(), twice(message.dequeue_count.to_string()));
    metadata.insert("ExpirationTime".into(), seconds(message.expires_at));
    metadata.insert("Id".into(), text(&message.id));
    metadata.insert("InsertionTime".into(), seconds(message.inserted_at));
    metadata.insert("NextVisibleTime".into(), seconds(message.next_visible_at));
    metadata.insert("PopReceipt".into(), text(&message.receipt));
    queue_envelope(trigger, &message.body, metadata, sys)
}

/// The envelope of a text given to `POST /admin/functions/{name}`: no message, so no id and no receipt.
pub(super) fn of_input(trigger: &QueueTrigger, input: &str, sys: &Sys) -> Result<Value, String> {
    let mut metadata = Map::new();
    metadata.insert("DequeueCount".into(), twice("0".into()));
    metadata.insert("ExpirationTime".into(), seconds(NEVER));
    metadata.insert("InsertionTime".into(), seconds(sys.now));
    metadata.insert("NextVisibleTime".into(), seconds(NEVER));
    queue_envelope(trigger, input.as_bytes(), metadata, sys)
}

/// The envelope of a timer that rings.
pub(super) fn of_tick(trigger: &TimerTrigger, tick: Tick, sys: &Sys) -> Value {
    let status = json!({
        "Last": tick.last.map_or_else(|| json!("0001-01-01T00:00:00"), ticks_with_offset),
        "Next": seconds(tick.next),
        "LastUpdated": tick.last.map_or_else(|| json!("0001-01-01T00:00:00"), ticks_with_offset),
    });
    let timer = json!({"Schedule": {"AdjustForDST": true}, "ScheduleStatus": status, "IsPastDue": false});
    envelope(&trigger.name, timer, Map::new(), sys)
}

fn queue_envelope(
    trigger: &QueueTrigger,
    body: &[u8],
    mut metadata: Map<String, Value>,
    sys: &Sys,
) -> Result<Value, String> {
    if trigger.binary {
        return Ok(envelope(&trigger.name, STANDARD.encode(body).into(), metadata, sys));
    }
    let body =
        std::str::from_utf8(body).map_err(|_| "the message is not UTF-8, and dataType is not binary".to_owned())?;
    if let Ok(Value::Object(properties)) = serde_json::from_str(body) {
        merge(&mut metadata, properties);
    }
    Ok(envelope(&trigger.name, text(body), metadata, sys))
}

fn envelope(name: &str, data: Value, mut metadata: Map<String, Value>, sys: &Sys) -> Value {
    metadata.insert(
        "sys".to_owned(),
        json!({"MethodName": sys.function, "UtcNow": format(sys.now, TICKS), "RandGuid": sys.random}),
    );
    let data = Map::from_iter([(name.to_owned(), data)]);
    json!({"Data": data, "Metadata": metadata})
}

/// The top-level properties of a message that is a JSON object join the metadata, and replace what is there: the host's
/// dictionary ignores case and keeps the first spelling of a key. Keys that end in "trigger" are never sent.
fn merge(metadata: &mut Map<String, Value>, properties: Map<String, Value>) {
    for (key, value) in properties {
        let value = match value {
            Value::Null | Value::Array(_) => continue,
            Value::Object(_) => value,
            Value::Bool(true) => text("True"),
            Value::Bool(false) => text("False"),
            Value::Number(number) => text(&number.to_string()),
            Value::String(string) => text(&string),
        };
        if key.to_ascii_lowercase().ends_with("trigger") {
            continue;
        }
        let spelled = metadata.keys().find(|known| known.eq_ignore_ascii_case(&key)).cloned();
        metadata.insert(spelled.unwrap_or(key), value);
    }
}

/// A text, serialized to JSON and put into a string.
fn text(value: &str) -> Value {
    twice(Value::from(value).to_string())
}

/// Something serialized already, as a string.
fn twice(serialized: String) -> Value {
    Value::String(serialized)
}

fn seconds(at: OffsetDateTime) -> Value {
    format(at, SECONDS).into()
}

fn ticks_with_offset(at: OffsetDateTime) -> Value {
    format(at, TICKS_WITH_OFFSET).into()
}

fn format(at: OffsetDateTime, description: &[BorrowedFormatItem<'_>]) -> String {
    at.to_offset(time::UtcOffset::UTC).format(description).expect("every part of the format is in a date and time")
}
