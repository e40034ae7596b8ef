//! An alert that looks for a line which nobody writes is silent for ever: the queries name only what the program logs.

use std::collections::BTreeSet;
use std::path::Path;

use marketplace_fulfillment::error::Code;

use super::bicep::Bicep;
use super::read;
use crate::tidy::source::Source;

/// What the Functions host writes: Azure/azure-sdk-for-net, `QueueProcessor.cs`, read in August 2026.
const HOST_MESSAGES: [&str; 1] = ["Message has reached MaxDequeueCount of {0}. Moving message to queue '{1}'."];

/// What every line has, by the format that src/log.rs chooses.
const OF_EVERY_LINE: [&str; 4] = ["level", "message", "span", "timestamp"];

const LEVELS: [&str; 5] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];

/// What the program can log.
struct Vocabulary {
    lines: Vec<Line>,
    span_fields: BTreeSet<String>,
}

/// One call of a macro that writes a line.
struct Line {
    /// As it stands in the source.
    text: String,
    fields: BTreeSet<String>,
}

/// One alert: its name, its query, and the line where it begins.
struct Alert<'a> {
    name: &'a str,
    query: &'a str,
    reads_host: bool,
    line: usize,
}

/// The names of the alerts.
pub(super) fn names(files: &[Bicep]) -> Vec<String> {
    alerts(files).into_iter().map(|(_, alert)| alert.name.to_owned()).collect()
}

fn alerts(files: &[Bicep]) -> Vec<(&Bicep, Alert<'_>)> {
    let mut alerts = Vec::new();
    for file in files {
        let rules = file.declarations().into_iter().find(|declaration| declaration.name == "rules");
        let Some(array) = rules.and_then(|rules| rules.value).filter(|value| value.kind() == "array") else { continue };
        let mut cursor = array.walk();
        for object in array.named_children(&mut cursor).filter(|item| item.kind() == "object") {
            let properties = file.own_properties(object);
            let find = |wanted: &str| properties.iter().find(|(key, ..)| *key == wanted).map(|(_, value, _)| *value);
            let text = |wanted: &str| find(wanted).and_then(|value| file.literal(value)).unwrap_or_default();
            let reads_host = find("lines").is_some_and(|lines| file.text_of(lines) == "hostLines");
            let line = object.start_position().row + 1;
            alerts.push((file, Alert { name: text("name"), query: text("query"), reads_host, line }));
        }
    }
    alerts
}

/// A piece of a query: a path such as `line.span.function`, a literal, or a sign.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Path(String),
    Literal(String),
    Sign(char),
}

fn pieces(query: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
        if first == '\'' {
            let (literal, after) = rest[1..].split_once('\'').expect("a literal ends");
            pieces.push(Piece::Literal(literal.to_owned()));
            rest = after;
        } else if is_word(first) {
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            pieces.push(Piece::Path(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() {
                pieces.push(Piece::Sign(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    pieces
}

/// What a query asks of each line: the fields that it names, and the values that it compares them with.
fn asked(query: &str) -> (BTreeSet<String>, Vec<(String, String)>) {
    let pieces = pieces(query);
    let mut fields = BTreeSet::new();
    let mut compared = Vec::new();
    let mut last = String::new();
    for piece in pieces {
        match piece {
            Piece::Path(path) if path == "message" || path.starts_with("line.") => {
                fields.insert(path.clone());
                last = path;
            }
            Piece::Literal(literal) => compared.push((last.clone(), literal)),
            Piece::Path(_) | Piece::Sign(_) => {}
        }
    }
    (fields, compared)
}

fn queries_name_what_is_logged(files: &[Bicep], vocabulary: &Vocabulary) -> Vec<String> {
    let mut found = Vec::new();
    for (file, alert) in alerts(files) {
        let (fields, compared) = asked(alert.query);
        let mut breach = |breach: String| found.push(format!("{}:{}: {}: {breach}", file.path, alert.line, alert.name));
        if alert.name.is_empty() || compared.is_empty() {
            breach("it has no name, or asks for nothing".to_owned());
        }
        let message = compared.iter().find(|(field, _)| field == "line.message").map(|(_, message)| message.as_str());
        // A message that is to come, or none at all, has its own breach.
        let message = message.filter(|message| vocabulary.has_message(message));
        for field in fields.iter().filter(|field| !vocabulary.has_field(field, message, alert.reads_host)) {
            breach(format!("no line has {field}"));
        }
        for (field, value) in compared.iter().filter(|(field, value)| !vocabulary.has_value(field, value)) {
            breach(format!("{field} is never '{value}'"));
        }
    }
    found
}

impl Vocabulary {
    fn of(sources: &[Source]) -> Self {
        let lines = sources.iter().flat_map(|source| calls(source, &["trace", "debug", "info", "warn", "error"]));
        let spans = sources.iter().flat_map(|source| calls(source, &["info_span"]));
        Self { lines: lines.collect(), span_fields: spans.flat_map(|span| span.fields).collect() }
    }

    /// Whether a line can have a field: one with this message, if the query names one.
    fn has_field(&self, path: &str, message: Option<&str>, of_host: bool) -> bool {
        let Some(name) = path.strip_prefix("line.") else { return of_host };
        let in_line = |line: &Line| message.is_none_or(|message| line.says(message)) && line.fields.contains(name);
        match name.split_once('.') {
            Some(("span", name)) => self.span_fields.contains(name),
            Some(_) => false,
            None => OF_EVERY_LINE.contains(&name) || self.lines.iter().any(in_line),
        }
    }

    fn has_value(&self, field: &str, value: &str) -> bool {
        match field {
            "line.message" => self.has_message(value),
            "line.code" => Code::ALL.iter().any(|code| code.as_str() == value),
            "line.level" => LEVELS.contains(&value),
            "line.span.function" => super::root().join("functions").join(value).is_dir(),
            "message" => HOST_MESSAGES.iter().any(|message| message.starts_with(value)),
            _ => false,
        }
    }

    fn has_message(&self, message: &str) -> bool {
        self.lines.iter().any(|line| line.says(message))
    }
}

impl Line {
    fn says(&self, message: &str) -> bool {
        self.text.contains(&format!("\"{message}\""))
    }
}

/// The calls of some of tracing's macros, with their fields: `name = value`, `%name`, and `name` alone.
fn calls(source: &Source, macros: &[&str]) -> Vec<Line> {
    let direct = macros.iter().flat_map(|name| lines(source, &["tracing", ":", ":", name, "!", "("]));
    // A file that writes many lines with the same fields has a macro for them, whose callers name level and message.
    let shared: BTreeSet<String> = lines(source, &["tracing", ":", ":", "$", "level", "!", "("])
        .into_iter()
        .flat_map(|line| line.fields)
        .collect();
    let named = macros.iter().flat_map(|name| lines(source, &["line", "!", "(", name, ","]));
    let named = named.map(|line| Line { fields: shared.clone(), ..line });
    direct.chain(named).collect()
}

fn lines(source: &Source, call: &[&str]) -> Vec<Line> {
    let text: Vec<&str> = source.text.lines().collect();
    let mut calls = Vec::new();
    let open = call.iter().position(|word| *word == "(").expect("a call has a bracket");
    for at in 0..source.tokens.len() {
        let called = source.reads(at, call);
        let Some(close) = called.then(|| source.find_outside_brackets(at + open, &[")"])).flatten() else { continue };
        let token = |index: usize| source.tokens[index].text.as_str();
        let mut fields = BTreeSet::new();
        let mut depth = 0;
        for index in at + open + 1..close {
            depth += i32::from(token(index) == "(") - i32::from(token(index) == ")");
            let begins = [",", "(", "%", "?"].contains(&token(index - 1));
            let ends = [",", ")", "="].contains(&token(index + 1));
            let is_name = token(index).chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
            if depth == 0 && begins && ends && is_name {
                fields.insert(token(index).to_owned());
            }
        }
        let text = text[source.tokens[at].line - 1..source.tokens[close].line].join("\n");
        calls.push(Line { text, fields });
    }
    calls
}

fn sources() -> Vec<Source> {
    Source::tree(Path::new(env!("CARGO_MANIFEST_DIR")), "src")
}

#[test]
fn the_queries_ask_for_lines_that_the_program_writes() {
    let files = Bicep::tree(&super::root());
    assert!(alerts(&files).len() >= 6, "the alerts are found");
    let breaches = queries_name_what_is_logged(&files, &Vocabulary::of(&sources()));
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// Sampling drops lines when many come at once, which is when something is wrong.
#[test]
fn the_lines_of_alerts_are_not_sampled_away() {
    let host: serde_json::Value = serde_json::from_str(&read("host.json")).expect("JSON");
    let sampling = &host["logging"]["applicationInsights"]["samplingSettings"];
    let kept = sampling["excludedTypes"].as_str().unwrap_or_default();
    assert!(kept.split(';').any(|kind| kind == "Trace"), "{sampling}");
}

#[test]
fn a_query_that_asks_for_nothing_that_is_logged_is_seen() {
    let log = "fn f() { let s = tracing::info_span!(\"invocation\", function, id = f(a, b)); }
        fn g() { tracing::warn!(status, %why, n = 1, \"swept\"); }
        fn h() { tracing::info!(rung, \"rung\"); }";
    let vocabulary = Vocabulary::of(&[Source::new("src/a.rs", log)]);
    let swept = vocabulary.lines.iter().find(|line| line.says("swept")).unwrap();
    assert_eq!(swept.fields, ["n", "status", "why"].map(str::to_owned).into());
    assert_eq!(vocabulary.span_fields, ["function", "id"].map(str::to_owned).into());
    let table = [
        ("programLines", "| where tostring(line.message) == 'swept'", 0),
        ("programLines", "| where tostring(line.message) == 'sweeped'", 1),
        ("programLines", "| where tostring(line.mesage) == 'swept'", 2),
        ("programLines", "| where line.level == 'ERROR' | project line.why, line.span.id, line.n", 0),
        ("programLines", "| where tostring(line.message) == 'swept' | project line.why, line.timestamp", 0),
        ("programLines", "| where tostring(line.message) == 'swept' | project line.rung", 1),
        ("programLines", "| where line.level == 'Error'", 1),
        ("programLines", "| where line.level == 'ERROR' | project line.span.why", 1),
        ("programLines", "| where line.level == 'ERROR' | project line.function", 1),
        ("programLines", "| where tostring(line.code) == 'caller_refused'", 1),
        ("programLines", "| where tostring(line.span.function) == 'webhook' and toint(line.status) >= 500", 0),
        ("programLines", "| where tostring(line.span.function) == 'webhooks'", 1),
        ("programLines", "| where line.why == 'because'", 1),
        ("programLines", "| where message startswith 'Message has'", 1),
        ("hostLines", "| where message startswith 'Message has reached'", 0),
        ("hostLines", "| where message startswith 'A message has reached'", 1),
        ("programLines", "| project line.why", 1),
    ];
    for (lines, query, breaches) in table {
        let text =
            format!("var rules = [\n  {{\n    name: 'x'\n    lines: {lines}\n    query: '''\n{query}\n'''\n  }}\n]");
        let found = queries_name_what_is_logged(&[Bicep::new("a.bicep", text)], &vocabulary);
        assert_eq!(found.len(), breaches, "{query}: {found:?}");
        assert!(found.iter().all(|breach| breach.starts_with("a.bicep:2: x: ")), "{found:?}");
    }
}
