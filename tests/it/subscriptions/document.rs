//! `docs/openapi.json` says what the code does: the same routes, the same words, and the answers that callers really get.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use marketplace_fulfillment::entitlement::Why;
use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::functions::subscriptions::ROUTES;
use marketplace_fulfillment::history::{Actor, Happening};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::publisher::Said;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

/// What an operation answers whatever it is asked: the host's refusal, and the shell's.
const ALWAYS: [&str; 5] = ["401", "408", "413", "500", "503"];

/// What the validator below leaves aside: words for people, and rules for what is sent and not for what is answered.
const FOR_READERS: [&str; 3] = ["description", "pattern", "example"];

/// Follows a reference within the document.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        None => value,
        Some(to) => {
            let found = DOCUMENT.pointer(to.strip_prefix('#').unwrap());
            resolved(found.unwrap_or_else(|| panic!("{to} leads nowhere")))
        }
    }
}

fn object(value: &'static Value) -> impl Iterator<Item = (&'static str, &'static Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Every operation: method, path, and what is said of it.
fn operations() -> impl Iterator<Item = (String, &'static str, &'static Value)> {
    object(&DOCUMENT["paths"])
        .flat_map(|(path, methods)| object(methods).map(move |(method, said)| (method.to_uppercase(), path, said)))
}

/// Where a value breaks a schema; empty where it does not.
fn breaches(schema: &'static Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(schema);
    let mut found = Vec::new();
    for (rule, wanted) in object(schema).filter(|(rule, _)| !FOR_READERS.contains(rule)) {
        let broken = match rule {
            "type" => !is_of(wanted, value),
            "enum" => !wanted.as_array().unwrap().contains(value),
            "format" => value.as_str().is_some_and(|text| OffsetDateTime::parse(text, &Rfc3339).is_err()),
            "minimum" => value.as_u64() < wanted.as_u64() && value.is_number(),
            "maximum" => value.as_u64() > wanted.as_u64() && value.is_number(),
            "minLength" => value.as_str().is_some_and(|text| text.chars().count() < size(wanted)),
            "maxLength" => value.as_str().is_some_and(|text| text.chars().count() > size(wanted)),
            "maxItems" => value.as_array().is_some_and(|items| items.len() > size(wanted)),
            "required" => {
                let missing =
                    wanted.as_array().unwrap().iter().filter(|key| value.get(key.as_str().unwrap()).is_none());
                found.extend(missing.map(|key| format!("{at}: {key} is missing")));
                false
            }
            "properties" => {
                let given = object(wanted).filter_map(|(key, schema)| Some((key, schema, value.get(key)?)));
                found.extend(given.flat_map(|(key, schema, value)| breaches(schema, value, &format!("{at}/{key}"))));
                false
            }
            "additionalProperties" => {
                assert_eq!(*wanted, Value::Bool(false), "{at}: closed objects only");
                let known = |key: &String| schema["properties"].get(key).is_some();
                value.as_object().is_some_and(|fields| !fields.keys().all(known))
            }
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                found.extend(items.flat_map(|(index, item)| breaches(wanted, item, &format!("{at}/{index}"))));
                false
            }
            "oneOf" => fitting(wanted, value, at) != 1,
            "anyOf" => fitting(wanted, value, at) == 0,
            other => panic!("{at}: the rule {other} is not checked here"),
        };
        if broken {
            found.push(format!("{at}: {value} breaks {rule} {wanted}"));
        }
    }
    found
}

fn size(limit: &Value) -> usize {
    usize::try_from(limit.as_u64().unwrap()).unwrap()
}

fn fitting(schemas: &'static Value, value: &Value, at: &str) -> usize {
    schemas.as_array().unwrap().iter().filter(|schema| breaches(schema, value, at).is_empty()).count()
}

fn is_of(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not checked here"),
    };
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}

/// The operation that answers a request, if the document has it. Of two forms that fit, the one with the fewer parameters
/// counts (OpenAPI 3.1, "Path Templating Matching").
fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let given: Vec<_> = path.trim_matches('/').split('/').collect();
    let is_of_form = |form: &str| {
        let form: Vec<_> = form.trim_start_matches("/subscriptions").trim_matches('/').split('/').collect();
        form.len() == given.len() && form.iter().zip(&given).all(|(form, given)| form.starts_with('{') || form == given)
    };
    let fitting = operations().filter(|(known, form, _)| known == method && is_of_form(form));
    fitting.min_by_key(|(_, form, _)| form.matches('{').count()).map(|(_, _, said)| said)
}

/// Holds an answer against the document.
#[track_caller]
pub(super) fn hold(method: &str, path: &str, said: &Said) {
    let media_type = said.header("content-type").unwrap_or_default();
    let Some(operation) = operation(method, path) else {
        assert!([404, 405].contains(&said.status), "{method} {path} is answered, and not in the document: {said:?}");
        let found = breaches(&DOCUMENT["components"]["schemas"]["Problem"], &said.body, "");
        assert!(found.is_empty() && media_type == "application/problem+json", "{method} {path}: {found:#?}");
        return;
    };
    let response = resolved(&operation["responses"][said.status.to_string()]);
    assert!(response.is_object(), "{method} {path}: {} is not in the document: {said:?}", said.status);
    for (name, _) in object(&response["headers"]) {
        assert!(said.header(name).is_some(), "{method} {path}: no header {name}: {said:?}");
    }
    if said.status == 304 {
        return;
    }
    let content = &response["content"][media_type];
    assert!(content.is_object(), "{method} {path}: {media_type} is not in the document: {said:?}");
    let found = breaches(&content["schema"], &said.body, "");
    assert!(found.is_empty(), "{method} {path}: {found:#?} in {said:?}");
    if let Some(code) = said.body["code"].as_str() {
        assert!(content["examples"][code].is_object(), "{method} {path}: {code} is not in the document");
    }
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let described: BTreeSet<_> = operations().map(|(method, path, _)| (method, path.to_owned())).collect();
    let path = |template: &str| format!("/subscriptions/{template}").trim_end_matches('/').to_owned();
    let answered: BTreeSet<_> = ROUTES.iter().map(|route| (route.method.to_owned(), path(route.template))).collect();
    assert_eq!(described, answered);
    assert_eq!(answered.len(), ROUTES.len(), "no route twice");
}

#[test]
fn every_operation_documents_its_parameters_and_its_answers() {
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}: an id of its own");
        assert!(operation["summary"].is_string() && operation["description"].is_string(), "{at}");
        let is_described = |tag: &Value| DOCUMENT["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag);
        let tags = operation["tags"].as_array().unwrap();
        assert!(!tags.is_empty() && tags.iter().all(is_described), "{at}: {tags:?}");
        let parameters = operation["parameters"].as_array().into_iter().flatten().map(resolved);
        let in_path = parameters.filter(|parameter| parameter["in"] == "path");
        let parameters: BTreeSet<_> = in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        let segments = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(parameters, segments.collect(), "{at}");
        let statuses: BTreeSet<_> = object(&operation["responses"]).map(|(status, _)| status).collect();
        let missing = ALWAYS.iter().filter(|status| !statuses.contains(*status));
        assert_eq!(missing.count(), 0, "{at}: {statuses:?}");
        assert_eq!(statuses.iter().filter(|status| status.starts_with('2')).count(), 1, "{at}: {statuses:?}");
        assert_eq!(statuses.contains("404"), path.contains("{id}"), "{at}: {statuses:?}");
        assert!(method == "GET" || statuses.contains("400"), "{at}: {statuses:?}");
        let about_one = method != "GET" && path.contains("{id}");
        assert!(!about_one || statuses.contains("403"), "{at}: {statuses:?}");
        for (status, response) in object(&operation["responses"]) {
            let response = resolved(response);
            assert!(response["description"].is_string(), "{at} {status}");
            assert_eq!(
                response["content"].is_object(),
                !["304", "401"].contains(&status),
                "{at} {status}: the host's refusal has no body, nor what the caller has already"
            );
        }
    }
}

#[test]
fn every_example_is_one() {
    let mut examples = 0;
    let mut judge = |content: &'static Value, at: &str| {
        for (media_type, said) in object(content) {
            let several = object(&said["examples"]).map(|(_, example)| &example["value"]);
            for example in several.chain(said.get("example")) {
                let found = breaches(&said["schema"], example, at);
                assert!(found.is_empty(), "{at} {media_type}: {found:#?}");
                examples += 1;
            }
        }
    };
    for (method, path, operation) in operations() {
        judge(&operation["requestBody"]["content"], &format!("{method} {path}"));
        for (status, response) in object(&operation["responses"]) {
            judge(&resolved(response)["content"], &format!("{method} {path} {status}"));
        }
    }
    assert!(examples > 100, "{examples}");
}

/// Whoever follows a link gets what the other operation asks for, out of the request or the answer.
#[test]
fn every_link_leads_from_an_answer_to_an_operation() {
    let mut links = 0;
    for (method, path, operation) in operations() {
        for (status, response) in object(&operation["responses"]) {
            let response = resolved(response);
            let (_, content) = object(&response["content"]).next().unwrap_or(("", &Value::Null));
            for (name, link) in object(&response["links"]) {
                let (at, link) = (format!("{method} {path} {status} {name}"), resolved(link));
                let target = operations().find(|(_, _, target)| target["operationId"] == link["operationId"]);
                let (_, form, target) = target.unwrap_or_else(|| panic!("{at}: leads nowhere"));
                let known = target["parameters"].as_array().into_iter().flatten().map(resolved);
                let known: BTreeSet<_> = known.map(|parameter| parameter["name"].as_str().unwrap()).collect();
                let given: BTreeSet<_> = object(&link["parameters"]).map(|(name, _)| name).collect();
                assert!(given.is_subset(&known), "{at}: {given:?} of {known:?}");
                let asked = form.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
                assert!(asked.into_iter().all(|name| given.contains(name)), "{at}: {given:?}");
                for (name, from) in object(&link["parameters"]) {
                    let from = from.as_str().unwrap();
                    let found = match from.strip_prefix("$response.body#") {
                        Some(pointer) => content["example"].pointer(pointer).is_some_and(Value::is_string),
                        None => {
                            from.strip_prefix("$request.path.").is_some_and(|of| path.contains(&format!("{{{of}}}")))
                        }
                    };
                    assert!(found, "{at}: {name} is not at {from}");
                }
                links += 1;
            }
        }
    }
    assert!(links > 20, "{links}");
}

#[test]
fn every_problem_is_a_code_with_its_status_and_its_sentence() {
    for (method, path, operation) in operations() {
        for (status, response) in object(&operation["responses"]) {
            for (name, example) in object(&resolved(response)["content"]["application/problem+json"]["examples"]) {
                let at = format!("{method} {path} {status} {name}");
                let code = Code::ALL.into_iter().find(|code| code.as_str() == name);
                let code = code.unwrap_or_else(|| panic!("{at}: no such code"));
                assert_eq!(code.status().to_string(), status, "{at}");
                assert_eq!(example["value"]["code"], name, "{at}");
                assert_eq!(example["value"]["status"], code.status(), "{at}");
                let own = code == Code::BadRequest || path.ends_with("/resync") && code == Code::UnknownSubscription;
                assert!(own || example["value"]["detail"] == code.public(), "{at}");
            }
        }
    }
}

#[test]
fn the_words_of_the_document_are_those_of_the_code() {
    let words = |pointer: &str| -> BTreeSet<&str> {
        let words = DOCUMENT.pointer(&format!("/components/schemas/{pointer}/enum")).unwrap().as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap()).collect()
    };
    assert_eq!(words("Entry/properties/what/anyOf/0"), Happening::ALL.iter().map(Happening::as_str).collect());
    assert_eq!(words("Entitlement/properties/why"), Why::ALL.iter().map(|why| why.as_str()).collect());
    assert_eq!(words("Entry/properties/by/anyOf/0"), Actor::ALL.iter().map(Actor::as_str).collect());
}

/// Nothing is left over in the document, and the validator sees a breach.
#[test]
fn every_part_of_the_document_is_used() {
    let text = DOCUMENT.to_string();
    for (kind, parts) in object(&DOCUMENT["components"]).filter(|(kind, _)| *kind != "securitySchemes") {
        for (name, _) in object(parts) {
            assert!(text.contains(&format!("\"#/components/{kind}/{name}\"")), "{kind} {name} is not used");
        }
    }
    let schema = &DOCUMENT["components"]["schemas"]["Answered"];
    let sound =
        serde_json::json!({ "operationId": "x", "action": null, "verdict": null, "at": "2026-11-20T09:00:00Z" });
    assert_eq!(breaches(schema, &sound, ""), Vec::<String>::new());
    for (key, value) in
        [("operationId", Value::Null), ("verdict", 7.into()), ("at", "today".into()), ("more", 1.into())]
    {
        let mut unsound = sound.clone();
        unsound[key] = value;
        assert!(!breaches(schema, &unsound, "").is_empty(), "{unsound}");
    }
    let schema_of_words = &DOCUMENT["components"]["schemas"]["UnreadableRecord"];
    let record = |code: &str| serde_json::json!({ "id": "x", "code": code, "detail": "" });
    assert_eq!(breaches(schema_of_words, &record("record_newer"), ""), Vec::<String>::new());
    assert!(!breaches(schema_of_words, &record("another"), "").is_empty());
    let mut short = sound.clone();
    short.as_object_mut().unwrap().remove("at");
    assert!(!breaches(schema, &short, "").is_empty());
}
