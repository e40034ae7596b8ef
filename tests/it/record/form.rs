//! Form 1 of a stored record, as its readers need it: frozen. Whoever reads form 1, this release or one long gone, finds
//! these fields and can do without any other. A later version may write more; where it cannot write these, it writes
//! another form, and may do so only one release after it learnt to read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Path and type; `?` behind a path: it can be absent. Below `task` the path goes on with the kind.
const FORM_1: [(&str, &str); 94] = [
    ("record", "object"),
    ("record.v", "number"),
    ("record.known", "object"),
    ("record.known.offer_id", "text"),
    ("record.known.plan_id", "text"),
    ("record.known.quantity?", "number"),
    ("record.known.status", "text"),
    ("record.known.name", "text"),
    ("record.known.beneficiary?", "object"),
    ("record.known.beneficiary.email?", "text"),
    ("record.known.beneficiary.object_id?", "text"),
    ("record.known.beneficiary.tenant_id?", "text"),
    ("record.known.beneficiary.puid?", "text"),
    ("record.known.purchaser?", "object"),
    ("record.known.purchaser.email?", "text"),
    ("record.known.purchaser.object_id?", "text"),
    ("record.known.purchaser.tenant_id?", "text"),
    ("record.known.purchaser.puid?", "text"),
    ("record.known.term", "object"),
    ("record.known.term.unit?", "text"),
    ("record.known.term.start?", "moment"),
    ("record.known.term.end?", "moment"),
    ("record.known.auto_renew?", "flag"),
    ("record.known.is_free_trial", "flag"),
    ("record.known.allowed_operations", "texts"),
    ("record.known.created?", "moment"),
    ("record.known.rest?", "text"),
    ("record.read_at", "moment"),
    ("record.confirmed_at?", "moment"),
    ("record.refused?", "text"),
    ("record.activated_at?", "moment"),
    ("record.history_dropped?", "number"),
    ("record.entitlement?", "object"),
    ("record.entitlement.entitled", "flag"),
    ("record.entitlement.until", "moment"),
    ("record.entitlement.reason", "text"),
    ("record.entitlement.at", "moment"),
    ("record.entitlement.person?", "text"),
    ("record.indexed_under?", "text"),
    ("record.created_at", "moment"),
    ("record.duties", "list"),
    ("record.duties[].task", "object"),
    ("record.duties[].task.kind", "text"),
    ("record.duties[].attempts", "number"),
    ("record.duties[].since", "moment"),
    ("record.duties[].not_before", "moment"),
    ("record.duties[].last_error?", "text"),
    ("record.duties[].failed_at?", "moment"),
    ("record.duties[].task.activate.accepted_at?", "moment"),
    ("record.duties[].task.activate.provisioned_at?", "moment"),
    ("record.duties[].task.examine.operation?", "text"),
    ("record.duties[].task.examine.action", "text"),
    ("record.duties[].task.examine.asked?", "moment"),
    ("record.duties[].task.acknowledge.operation", "text"),
    ("record.duties[].task.acknowledge.verdict", "text"),
    ("record.duties[].task.change.wanted", "wanted"),
    ("record.duties[].task.change.from", "object"),
    ("record.duties[].task.change.from.plan_id", "text"),
    ("record.duties[].task.change.from.quantity?", "number"),
    ("record.duties[].task.change.sent?", "object"),
    ("record.duties[].task.change.sent.at", "moment"),
    ("record.duties[].task.change.sent.operation?", "text"),
    ("record.duties[].task.change.sent.location?", "text"),
    ("record.duties[].task.cancel.sent?", "object"),
    ("record.duties[].task.cancel.sent.at", "moment"),
    ("record.duties[].task.cancel.sent.operation?", "text"),
    ("record.duties[].task.cancel.sent.location?", "text"),
    ("record.answered?", "list"),
    ("record.answered[].operation", "text"),
    ("record.answered[].action?", "text"),
    ("record.answered[].verdict?", "text"),
    ("record.answered[].at", "moment"),
    ("history", "list"),
    ("history[].at", "moment"),
    ("history[].by", "text"),
    ("history[].what", "text"),
    ("history[].from?", "text"),
    ("history[].to?", "text"),
    ("history[].why?", "text"),
    ("history[].person?", "text"),
    ("outbox?", "object"),
    ("outbox.sequence", "sequence"),
    ("outbox.delivered", "sequence"),
    ("outbox.lost?", "number"),
    ("outbox.deadline?", "moment"),
    ("outbox.announcements", "list"),
    ("outbox.announcements[].sequence", "sequence"),
    ("outbox.announcements[].at", "moment"),
    ("outbox.announcements[].news", "text"),
    ("outbox.announcements[].by", "text"),
    ("outbox.announcements[].from?", "text"),
    ("outbox.announcements[].to?", "text"),
    ("outbox.announcements[].why?", "text"),
    ("outbox.announcements[].operation?", "text"),
];

/// One field of the form.
pub(crate) struct Field {
    pub(crate) required: bool,
    of: &'static str,
}

/// The form, by path.
pub(crate) static FORM: LazyLock<BTreeMap<&'static str, Field>> = LazyLock::new(|| {
    let field =
        |(path, of): (&'static str, _)| (path.trim_end_matches('?'), Field { required: !path.ends_with('?'), of });
    FORM_1.into_iter().map(field).collect()
});

/// What a row holds: path in the form, place in the row, value.
pub(crate) struct Held {
    pub(crate) path: String,
    pub(crate) pointer: String,
    pub(crate) value: Value,
}

/// Everything in a row down to what the form does not know, which is taken whole.
pub(crate) fn held(row: &Value) -> Vec<Held> {
    let mut found = Vec::new();
    for column in ["record", "history", "outbox"].into_iter().filter(|column| !row[column].is_null()) {
        walk(&row[column], column, &format!("/{column}"), &mut found);
    }
    found
}

fn walk(value: &Value, path: &str, pointer: &str, found: &mut Vec<Held>) {
    found.push(Held { path: path.to_owned(), pointer: pointer.to_owned(), value: value.clone() });
    if !FORM.contains_key(path) && !path.ends_with("[]") {
        return;
    }
    match value {
        Value::Array(items) if FORM.get(path).is_some_and(|field| field.of == "list") => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[]"), &format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(fields) if FORM.get(path).is_none_or(|field| field.of == "object") => {
            for (name, value) in fields {
                walk(value, &format!("{}.{name}", of_kind(path, name, fields)), &format!("{pointer}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// The path below which a field of an object stands: in a task its kind comes between.
fn of_kind(path: &str, name: &str, fields: &Map<String, Value>) -> String {
    match fields.get("kind").and_then(Value::as_str) {
        Some(kind) if path == "record.duties[].task" && name != "kind" => format!("{path}.{kind}"),
        _ => path.to_owned(),
    }
}

/// What the form does not know: path and value, each as often as it is there.
pub(crate) fn beyond(row: &Value) -> Vec<(String, String)> {
    let unknown = held(row).into_iter().filter(|held| !FORM.contains_key(held.path.as_str()));
    let unknown = unknown.filter(|held| !held.path.ends_with("[]"));
    let mut unknown: Vec<_> = unknown.map(|held| (held.path, held.value.to_string())).collect();
    unknown.sort();
    unknown
}

/// Why somebody who reads form 1 could not read this row; empty where they can.
pub(crate) fn breaches(row: &Value) -> BTreeSet<String> {
    let held = held(row);
    let mut found = BTreeSet::new();
    for Held { path, value, .. } in &held {
        if let Some(field) = FORM.get(path.as_str())
            && !is_of(field.of, value)
        {
            found.insert(format!("{path} is no {}", field.of));
        }
        let Value::Object(fields) = value else { continue };
        for (wanted, _) in FORM.iter().filter(|(_, field)| field.required) {
            let Some((parent, name)) = wanted.rsplit_once('.') else { continue };
            if of_kind(path, name, fields) == parent && fields.get(name).is_none() {
                found.insert(format!("{wanted} is missing"));
            }
        }
    }
    found
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "list" => value.is_array(),
        "text" => value.is_string(),
        "texts" => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        "number" => value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
        "sequence" => value.is_u64(),
        "flag" => value.is_boolean(),
        "moment" => value.as_str().is_some_and(|text| OffsetDateTime::parse(text, &Rfc3339).is_ok()),
        "wanted" => value == "cancellation" || value["plan"].is_string() || value["quantity"].is_u64(),
        other => panic!("no such type: {other}"),
    }
}
