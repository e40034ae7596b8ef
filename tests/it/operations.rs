//! `docs/operations.md` is read at three in the morning: what it quotes must be there.

use std::collections::BTreeSet;
use std::path::Path;

use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::functions::Function;
use serde_json::Value;

use crate::tidy::source::Source;

fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn document() -> String {
    file("docs/operations.md").unwrap()
}

/// The program's sources, without what runs on a developer's machine only.
fn sources() -> Vec<Source> {
    let mut sources = Source::tree(Path::new(env!("CARGO_MANIFEST_DIR")), "src");
    sources.retain(|source| source.top() != "dev");
    sources
}

/// What stands between `open` and `close` after each `before`.
fn quoted<'a>(text: &'a str, before: &'a str, open: char, close: char) -> impl Iterator<Item = &'a str> {
    let rest = text.split(before).skip(1);
    rest.filter_map(move |rest| Some(rest.strip_prefix(open)?.split_once(close)?.0))
}

/// Everything in backticks.
fn code_spans(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn queries(text: &str) -> Vec<&str> {
    text.split("```kusto\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

fn appears(sources: &[Source], text: &str) -> bool {
    sources.iter().any(|source| source.text.contains(text))
}

/// What is written into a macro of `tracing`: the level as the source has it, and everything between the brackets.
struct Line<'a> {
    level: &'a str,
    inside: &'a str,
    /// The last text in it: the message.
    message: &'a str,
}

fn lines(source: &str) -> impl Iterator<Item = Line<'_>> {
    source.match_indices("tracing::").filter_map(|(at, name)| {
        let rest = &source[at + name.len()..];
        let (level, rest) = rest.split_once("!(").filter(|(level, _)| !level.contains(char::is_whitespace))?;
        let (mut message, mut text, mut depth, mut escaped) = ("", None, 0_usize, false);
        for (at, next) in rest.char_indices() {
            match (text, next) {
                (Some(start), '"') if !escaped => (text, message) = (None, &rest[start..at]),
                (None, '"') => text = Some(at + 1),
                (None, ')') if depth == 0 => return Some(Line { level, inside: &rest[..at], message }),
                (None, '(') => depth += 1,
                (None, ')') => depth -= 1,
                _ => {}
            }
            escaped = next == '\\' && !escaped;
        }
        None
    })
}

/// Whether a line has a field of this name.
fn is_field(sources: &[Source], name: &str) -> bool {
    let has = |line: Line<'_>| {
        let fields = line.inside.split([',', '\n']).map(|field| field.split('=').next().unwrap_or_default());
        fields.map(|field| field.trim().trim_start_matches(['%', '?'])).any(|field| field == name)
    };
    ["level", "message"].contains(&name) || sources.iter().any(|source| lines(&source.text).any(has))
}

#[test]
fn every_line_that_a_query_asks_for_is_logged() {
    let (document, sources) = (document(), sources());
    let queries = queries(&document);
    assert!(queries.len() > 8, "{queries:?}");
    for query in &queries {
        let asked = ["said == ", "said startswith ", "said !startswith "];
        for said in asked.iter().flat_map(|before| quoted(query, before, '\'', '\'')) {
            assert!(appears(&sources, &format!("\"{said}")), "nobody logs {said:?}");
        }
        for function in quoted(query, "fn == ", '\'', '\'') {
            assert!(Function::named(function).is_some(), "there is no function {function}");
        }
        for field in quoted(query, "line[", '\'', '\'') {
            assert!(is_field(&sources, field), "no line has {field}");
        }
        let fields = query.split("line.").skip(1).map(|rest| rest.strip_prefix("span.").unwrap_or(rest));
        for field in fields.map(|rest| rest.split(|next: char| !next.is_alphanumeric() && next != '_').next().unwrap())
        {
            assert!(is_field(&sources, field), "no line has {field}");
        }
    }
}

#[test]
fn every_error_line_is_explained() {
    let (document, sources) = (document(), sources());
    let (_, table) = document.split_once("### `errors`").unwrap();
    let rows: Vec<&str> = quoted(table.split("\n## ").next().unwrap(), "\n| ", '`', '`').collect();
    assert!(rows.len() > 4, "{rows:?}");
    for row in &rows {
        assert!(appears(&sources, &format!("\"{row}")), "nobody logs {row:?}");
    }
    let errors = sources.iter().flat_map(|source| lines(&source.text).map(|line| (&source.path, line)));
    for (path, line) in errors.filter(|(_, line)| line.level == "error") {
        let explained = rows.iter().any(|row| line.message.starts_with(row));
        assert!(explained, "{path}: docs/operations.md does not explain {:?}", line.message);
    }
}

#[test]
fn every_alert_is_explained_and_every_script_is_there() {
    let document = document();
    let (_, alerts) = document.split_once("## The alerts").unwrap();
    let explained: BTreeSet<&str> = quoted(alerts.split("\n## ").next().unwrap(), "\n### ", '`', '`').collect();
    let Some(bicep) = file("infra/modules/alerts.bicep") else { return };
    let (_, rules) = bicep.split_once("var rules = [").expect("the list of rules");
    let rules = rules.split("\n]").next().unwrap();
    let named: BTreeSet<&str> = quoted(rules, "\n    name: ", '\'', '\'').collect();
    assert_eq!(explained, named, "the alerts of infra/modules/alerts.bicep and those that docs/operations.md explains");
    for script in code_spans(&document).iter().filter_map(|span| span.split(' ').next()?.strip_prefix("infra/")) {
        assert!(script.is_empty() || file(&format!("infra/{script}")).is_some(), "there is no infra/{script}");
    }
}

#[test]
fn every_address_code_field_and_setting_is_real() {
    let (document, sources) = (document(), sources());
    let openapi: Value = serde_json::from_str(&file("docs/openapi.json").unwrap()).unwrap();
    let routes: BTreeSet<&str> = openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for rest in document.split("/api/subscriptions").skip(1) {
        let path = rest.split([' ', '`', '\n', '?', '"']).next().unwrap().trim_end_matches(['.', ',', ')', ':', ';']);
        let path = path.replace("$ID", "{id}").replace("<id>", "{id}");
        let path = ["activate", "change"]
            .iter()
            .fold(path, |path, duty| path.replace(&format!("duties/{duty}"), "duties/{duty}"));
        assert!(routes.contains(format!("/subscriptions{path}").as_str()), "there is no /api/subscriptions{path}");
    }
    for function in document.split("/admin/functions/").skip(1) {
        let name = function.split(|next: char| !next.is_alphanumeric()).next().unwrap();
        assert!(Function::named(name).is_some(), "there is no function {name}");
    }
    let settings = file("docs/settings.md").unwrap();
    for span in code_spans(&document) {
        let letters = |also: char| move |next: char| next.is_ascii_lowercase() || next == '_' || next == also;
        if span.contains('_') && span.chars().all(|next| next.is_ascii_uppercase() || next == '_') {
            assert!(settings.contains(&format!("### `{span}`")), "there is no setting {span}");
        } else if span.contains('.') && span.chars().all(letters('.')) && file(span).is_none() {
            assert!(span == "faas.invocation.id" || is_field(&sources, span), "no line has {span}");
        } else if span.contains('_') && span.chars().all(letters('_')) {
            let code = Code::ALL.iter().any(|code| code.as_str() == span);
            assert!(code || is_field(&sources, span), "{span} is no code, and no line has it");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let document = document();
    let slug = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|next| next.is_alphanumeric() || "-_".contains(*next)).collect()
    };
    let headings =
        document.lines().filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches(['#', ' '])));
    let headings: BTreeSet<String> = headings.collect();
    let flat = document.replace('\n', " ");
    for link in flat.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        match link.strip_prefix('#') {
            Some(heading) => assert!(headings.contains(heading), "no heading {heading} in {headings:?}"),
            None if link.starts_with("https://") => {}
            None => assert!(file(&format!("docs/{link}")).is_some(), "there is no docs/{link}"),
        }
    }
}

/// Alerts and histories are made of log lines: none may be sampled away, and none filtered.
#[test]
fn the_host_hands_on_every_line() {
    let host: Value = serde_json::from_str(&file("host.json").unwrap()).unwrap();
    let excluded = host["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"].as_str().unwrap();
    assert!(excluded.split(';').any(|kind| kind == "Trace"), "{excluded}");
    assert_eq!(host["logging"]["logLevel"]["default"], "Information");
    assert!(host["logging"]["logLevel"]["Host.Function.Console"].is_null());
}

/// A landing page's address holds a purchase token, and whoever calls `subscriptions` may put the function key into its
/// query. The host's line of a request leaves queries out unless it is told otherwise; its line of what it passes on to
/// us (a dependency, to it) has them (Azure/azure-functions-host#11602, mended in hosts of 2026 only).
#[test]
fn the_host_writes_no_query_down() {
    let host: Value = serde_json::from_str(&file("host.json").unwrap()).unwrap();
    let insights = &host["logging"]["applicationInsights"];
    assert_eq!(insights["enableDependencyTracking"], false, "{insights}");
    assert!(insights["httpAutoCollectionOptions"].is_null() && insights["enableQueryStringTracing"].is_null());
}
