//! Rows of every form, as the releases wrote them: each is read, and written again as it was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use marketplace_fulfillment::duty::{Kind, Verdict};
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::opaque::Opaque;
use marketplace_fulfillment::outbox::News;
use marketplace_fulfillment::store::record::{COLUMN_BUDGET, READABLE, Row, VERSION, decode, encode};
use marketplace_fulfillment::subscription::{Status, SubscriptionId};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::form::{self, FORM, Held};

/// A stored row, and whose it is.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) id: SubscriptionId,
    pub(crate) row: Row,
    /// The row with its columns as JSON.
    pub(crate) json: Value,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records").join(name)
}

/// A fixture; each says what it is, where it comes from, and when.
pub(crate) fn fixture(folder_name: &str, name: &str) -> Fixture {
    let mut fixture: Value = serde_json::from_slice(&std::fs::read(folder(folder_name).join(name)).unwrap()).unwrap();
    for key in ["note", "source", "date"] {
        assert!(fixture[key].is_string(), "{folder_name}/{name} has no {key}");
    }
    let json = fixture["row"].take();
    let due = json["due"].as_str().map(|due| OffsetDateTime::parse(due, &Rfc3339).unwrap());
    Fixture {
        name: format!("{folder_name}/{name}"),
        id: SubscriptionId::parse(fixture["id"].as_str().unwrap()).unwrap(),
        row: Row {
            record: json["record"].to_string(),
            history: json["history"].to_string(),
            outbox: outbox_of(&json),
            status: json["status"].as_str().unwrap().to_owned(),
            due,
        },
        json,
    }
}

/// All fixtures of a folder.
pub(crate) fn fixtures(folder_name: &str) -> Vec<Fixture> {
    let files = std::fs::read_dir(folder(folder_name)).unwrap_or_else(|error| panic!("{folder_name}: {error}"));
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.iter().map(|name| fixture(folder_name, name)).collect()
}

/// The form that this version writes.
fn current() -> Vec<Fixture> {
    fixtures(&format!("v{VERSION}"))
}

/// A row as a fixture has it.
pub(crate) fn as_json(row: &Row) -> Value {
    let mut shown = json!({
        "record": serde_json::from_str::<Value>(&row.record).unwrap(),
        "history": serde_json::from_str::<Value>(&row.history).unwrap(),
        "status": row.status,
        "due": row.due.map(|due| due.format(&Rfc3339).unwrap()),
    });
    if !row.outbox.is_empty() {
        shown["outbox"] = serde_json::from_str(&row.outbox).unwrap();
    }
    shown
}

#[test]
fn every_form_that_was_ever_written_is_read() {
    for form in 1..=READABLE {
        let fixtures = fixtures(&format!("v{form}"));
        assert!(!fixtures.is_empty(), "no fixture of form {form}");
        for Fixture { name, id, row, json } in fixtures {
            assert_eq!(json["record"]["v"], form, "{name}");
            let read = decode(&id, &row).unwrap_or_else(|error| panic!("{name}: {error}"));
            let written = encode(&read).unwrap();
            assert_eq!(decode(&id, &written).unwrap(), read, "{name}: written again it is the same");
            if form == VERSION {
                assert_eq!(as_json(&written), json, "{name}: written again it is the very row");
            }
        }
    }
}

/// The previous release reads what this one writes, because it reads this form: also of a record that this version made,
/// on which nothing is left of what another one wrote.
#[test]
fn what_is_written_is_what_readers_of_form_1_need() {
    let written: Vec<_> = fixtures("v1").into_iter().chain(fixtures("future")).collect();
    for Fixture { name, id, row, .. } in &written {
        let Ok(mut made) = decode(id, row) else { continue };
        made.opaque = Opaque::default();
        made.unknown_duties.clear();
        made.duties.iter_mut().for_each(|duty| duty.opaque = Opaque::default());
        made.answered.iter_mut().for_each(|answered| answered.opaque = Opaque::default());
        made.history.entries.iter_mut().for_each(|entry| entry.opaque = Opaque::default());
        made.outbox.opaque = Opaque::default();
        made.outbox.announcements.iter_mut().for_each(|told| told.opaque = Opaque::default());
        assert_eq!(form::breaches(&as_json(&encode(&made).unwrap())), BTreeSet::new(), "{name}");
    }
}

/// The frozen form says of every field whether the reader needs it; the reader agrees, field by field.
#[test]
fn the_frozen_form_is_the_one_that_is_read() {
    let mut tried = BTreeSet::new();
    let short = fixtures("v1").into_iter().filter(|fixture| fixture.row.record.len() < COLUMN_BUDGET);
    for Fixture { name, id, json, .. } in short {
        let whole = decode(&id, &row_of(&json)).unwrap();
        for Held { path, pointer, .. } in form::held(&json) {
            let Some(field) = FORM.get(path.as_str()).filter(|_| pointer.matches('/').count() > 1) else { continue };
            tried.insert(path.clone());
            let mut less = json.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            less.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
            assert_eq!(
                !form::breaches(&less).is_empty(),
                field.required,
                "{name} without {pointer}: what the form says"
            );
            let read = decode(&id, &row_of(&less));
            let missed = read.as_ref().map_or(true, |read| read.unknown_duties != whole.unknown_duties);
            assert_eq!(missed, field.required, "{name} without {pointer}: {read:?}");
        }
    }
    let known: BTreeSet<_> = FORM.keys().filter(|path| path.contains('.')).map(|path| (*path).to_owned()).collect();
    assert_eq!(tried, known, "every field is in a fixture of its form");
}

fn row_of(json: &Value) -> Row {
    let due = json["due"].as_str().map(|due| OffsetDateTime::parse(due, &Rfc3339).unwrap());
    Row {
        record: json["record"].to_string(),
        history: json["history"].to_string(),
        outbox: outbox_of(json),
        status: json["status"].as_str().unwrap().to_owned(),
        due,
    }
}

/// The column of what is told, which is empty where nothing ever was.
fn outbox_of(row: &Value) -> String {
    if row["outbox"].is_null() { String::new() } else { row["outbox"].to_string() }
}

/// Nobody adds a kind, a word or a field without a fixture that holds it.
#[test]
fn the_fixtures_hold_everything_that_can_be_written() {
    let fixtures = current();
    let held: Vec<_> = fixtures.iter().flat_map(|fixture| form::held(&fixture.json)).collect();
    let words = |path: &str| -> BTreeSet<String> {
        let found = held.iter().filter(|held| held.path == path);
        found.filter_map(|held| held.value.as_str()).map(str::to_owned).collect()
    };
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(words("record.duties[].task.kind"), owned(&Kind::ALL.map(Kind::as_str)));
    assert_eq!(words("history[].by"), Actor::ALL.iter().map(|actor| actor.as_str().to_owned()).collect());
    assert_eq!(words("history[].what"), Happening::ALL.iter().map(|what| what.as_str().to_owned()).collect());
    assert_eq!(words("outbox.announcements[].news"), News::ALL.iter().map(|news| news.as_str().to_owned()).collect());
    let verdicts: BTreeSet<_> = Verdict::ALL.map(|verdict| verdict.as_str().to_lowercase()).into();
    assert_eq!(words("record.duties[].task.acknowledge.verdict"), verdicts);
    assert_eq!(words("record.answered[].verdict"), verdicts);
    let statuses = words("record.known.status");
    assert!(statuses.is_superset(&owned(&Status::ALL.each_ref().map(Status::as_str))), "{statuses:?}");
    let unknown = statuses.iter().filter(|word| matches!(Status::parse(word), Status::Other(_)));
    assert_eq!(unknown.count(), 1, "and one of which nobody knows");

    let keys: BTreeSet<String> = fixtures.iter().flat_map(|fixture| keys(&fixture.json)).collect();
    let missing: Vec<_> = written_names().into_iter().filter(|name| !keys.contains(name)).collect();
    assert!(missing.is_empty(), "in no fixture of form {VERSION}: {missing:?}");
}

#[test]
fn a_fixture_fills_both_columns() {
    let full = fixture("v1", "at-the-budget.json").row;
    assert_eq!((full.record.len(), full.history.len()), (COLUMN_BUDGET, COLUMN_BUDGET));
}

/// Every name of a field and every word in a value, at any depth.
fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| [BTreeSet::from([key.clone()]), keys(value)]).flatten().collect()
        }
        Value::Array(items) => items.iter().flat_map(keys).collect(),
        Value::String(word) => BTreeSet::from([word.clone()]),
        _ => BTreeSet::new(),
    }
}

/// The names of all fields and variants of the stored forms, out of their source.
fn written_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in ["src/store/record.rs", "src/store/record/duty.rs", "src/store/record/outbox.rs"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).unwrap();
        let mut inside = false;
        for line in text.lines() {
            let begins =
                ["struct ", "enum "].iter().any(|word| line.trim_start_matches("pub(super) ").starts_with(word));
            inside = (inside || begins && line.ends_with("Form {")) && line != "}";
            let name: String =
                line.trim().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            let is_named = line.trim()[name.len()..].starts_with([':', ',', ' ', '(']) && !begins;
            if inside && is_named && !name.is_empty() {
                names.insert(snake(&name));
            }
        }
    }
    assert!(names.contains("since") && names.contains("acknowledge") && names.contains("plan"), "{names:?}");
    names
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
