//! An OpenAPI 3.0 description, and where an exchange differs from it. Read more strictly than OpenAPI asks for: a field, a
//! query parameter or a body that is not described is a difference as well.

use std::collections::BTreeMap;

use boon::{Compiler, Draft, ErrorKind, InstanceToken, SchemaIndex, Schemas, ValidationError};
use reqwest::Method;
use serde_json::Value;
use url::form_urlencoded;

use super::recorder::{Exchange, Said};

/// Under which name the description is known to the validator.
const NAME: &str = "urn:description";

/// The part of the address that the description's server has before every path.
const BEFORE: &str = "/api";

/// A description, ready to judge by.
pub(super) struct Description {
    schemas: Schemas,
    operations: Vec<Operation>,
}

struct Operation {
    /// Its id, without the group before the underscore.
    id: String,
    method: Method,
    path: String,
    parameters: Vec<Parameter>,
    body: Option<SchemaIndex>,
    answers: BTreeMap<u16, Answer>,
}

struct Parameter {
    place: String,
    name: String,
    required: bool,
    schema: SchemaIndex,
}

struct Answer {
    body: Option<SchemaIndex>,
    headers: BTreeMap<String, SchemaIndex>,
}

/// Where an exchange differs from the description.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Which operation it was.
    pub(super) operation: String,
    /// Of the request.
    pub(super) asked: Vec<String>,
    /// Of the answer.
    pub(super) answered: Vec<String>,
}

/// Says of every object that it has no fields but those described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(close);
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// A part of a pointer.
fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

fn object(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The schemas of a description, by their place in it. What OpenAPI 3.0 calls a schema is close to draft 4.
struct Reader {
    compiler: Compiler,
    schemas: Schemas,
}

impl Reader {
    fn schema(&mut self, at: &str) -> SchemaIndex {
        self.compiler
            .compile(&format!("{NAME}#{at}"), &mut self.schemas)
            .unwrap_or_else(|error| panic!("{at}: {error:#}"))
    }

    fn operation(&mut self, path: &str, method: &str, said: &Value) -> Operation {
        let at = format!("/paths/{}/{method}", escaped(path));
        let id = said["operationId"].as_str().expect("an operation has an id");
        let parameters = said["parameters"].as_array().into_iter().flatten().enumerate();
        let parameters = parameters.map(|(index, parameter)| Parameter {
            place: parameter["in"].as_str().unwrap().to_owned(),
            name: parameter["name"].as_str().unwrap().to_owned(),
            required: parameter["required"] == true,
            schema: self.schema(&format!("{at}/parameters/{index}/schema")),
        });
        let parameters = parameters.collect();
        let in_json = |said: &Value| said["content"]["application/json"]["schema"].is_object();
        let json = "content/application~1json/schema";
        let body = in_json(&said["requestBody"]).then(|| self.schema(&format!("{at}/requestBody/{json}")));
        let answers = object(&said["responses"]).map(|(status, answer)| {
            let at = format!("{at}/responses/{status}");
            let body = in_json(answer).then(|| self.schema(&format!("{at}/{json}")));
            let headers = object(&answer["headers"])
                .map(|(name, _)| (name.to_owned(), self.schema(&format!("{at}/headers/{name}/schema"))));
            let headers = headers.collect();
            (status.parse().expect("a status"), Answer { body, headers })
        });
        let answers = answers.collect();
        let id = id.rsplit('_').next().unwrap_or(id).to_owned();
        Operation {
            id,
            method: method.to_uppercase().parse().unwrap(),
            path: path.to_owned(),
            parameters,
            body,
            answers,
        }
    }
}

impl Description {
    pub(super) fn new(mut document: Value) -> Self {
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.0.")), "OpenAPI 3.0");
        close(&mut document);
        let mut reader = Reader { compiler: Compiler::new(), schemas: Schemas::new() };
        reader.compiler.set_default_draft(Draft::V4);
        reader.compiler.enable_format_assertions();
        reader.compiler.add_resource(NAME, document.clone()).unwrap();
        let mut operations = Vec::new();
        for (path, methods) in object(&document["paths"]) {
            operations.extend(object(methods).map(|(method, said)| reader.operation(path, method, said)));
        }
        Self { schemas: reader.schemas, operations }
    }

    /// The ids of all operations.
    pub(super) fn operations(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().map(|operation| operation.id.as_str())
    }

    /// Where this exchange differs; `None` where the description has no such operation.
    pub(super) fn judge(&self, exchange: &Exchange) -> Option<Judged> {
        let fitting =
            |operation: &&Operation| operation.method == exchange.method && operation.parts(&exchange.path).is_some();
        let operation =
            self.operations.iter().filter(fitting).min_by_key(|operation| operation.path.matches('{').count())?;
        let asked = self.request(operation, exchange);
        let answered = self.answer(operation, exchange);
        Some(Judged { operation: operation.id.clone(), asked, answered })
    }

    fn request(&self, operation: &Operation, exchange: &Exchange) -> Vec<String> {
        let mut found = Vec::new();
        let path = exchange.path.strip_prefix(BEFORE).unwrap_or_default();
        match (path.ends_with('/'), operation.path.ends_with('/')) {
            (false, true) => found.push("path: no slash at its end".to_owned()),
            (true, false) => found.push("path: a slash at its end".to_owned()),
            _ => {}
        }
        let in_path: BTreeMap<String, String> =
            operation.parts(&exchange.path).unwrap_or_default().into_iter().collect();
        let in_query: BTreeMap<String, String> =
            form_urlencoded::parse(exchange.query.as_bytes()).into_owned().collect();
        for Parameter { place, name, required, schema } in &operation.parameters {
            let value = match place.as_str() {
                "path" => in_path.get(name).cloned(),
                "query" => in_query.get(name).cloned(),
                _ => exchange.asked.header(name).map(str::to_owned),
            };
            match value {
                Some(value) => found.extend(self.breaches(*schema, &Value::from(value), name)),
                None if *required => found.push(format!("{name}: missing")),
                None => {}
            }
        }
        let described = |place: &str, name: &str| {
            operation.parameters.iter().any(|known| known.place == place && known.name.eq_ignore_ascii_case(name))
        };
        let strange = in_query.keys().filter(|name| !described("query", name)).map(String::as_str);
        let theirs = exchange.asked.headers.keys().map(reqwest::header::HeaderName::as_str);
        let strange = strange.chain(theirs.filter(|name| name.starts_with("x-ms-") && !described("header", name)));
        found.extend(strange.map(|name| format!("{name}: not described")));
        if !exchange.asked.header("authorization").is_some_and(|value| value.starts_with("Bearer ")) {
            found.push("authorization: missing".to_owned());
        }
        found.extend(self.body(operation.body, &exchange.asked));
        found
    }

    fn answer(&self, operation: &Operation, exchange: &Exchange) -> Vec<String> {
        let Some(answer) = operation.answers.get(&exchange.status) else {
            return vec![format!("status {}", exchange.status)];
        };
        let mut found = self.body(answer.body, &exchange.answered);
        for (name, schema) in &answer.headers {
            match exchange.answered.header(name) {
                Some(value) => found.extend(self.breaches(*schema, &Value::from(value), name)),
                None => found.push(format!("{name}: missing")),
            }
        }
        found
    }

    fn body(&self, described: Option<SchemaIndex>, said: &Said) -> Vec<String> {
        let Some(schema) = described else {
            return if said.body.is_empty() { Vec::new() } else { vec!["body: not described".to_owned()] };
        };
        if said.body.is_empty() {
            return vec!["body: missing".to_owned()];
        }
        let media_type = said.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
        match said.json() {
            Some(body) if media_type == "application/json" => self.breaches(schema, &body, "body"),
            _ => vec!["body: not JSON".to_owned()],
        }
    }

    /// Where a value breaks a schema; `name` is what the value itself is called.
    fn breaches(&self, schema: SchemaIndex, value: &Value, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Err(error) = self.schemas.validate(value, schema) {
            collect(&error, value, name, &mut found);
        }
        found
    }
}

impl Operation {
    /// What stands in a path for the parts in braces, where the path is of this form; a slash at the end aside.
    fn parts(&self, path: &str) -> Option<Vec<(String, String)>> {
        let path = path.strip_prefix(BEFORE)?;
        let form: Vec<_> = self.path.trim_matches('/').split('/').collect();
        let path: Vec<_> = path.trim_matches('/').split('/').collect();
        let name = |segment: &str| Some(segment.strip_prefix('{')?.strip_suffix('}')?.to_owned());
        let fits = form.len() == path.len()
            && form.iter().zip(&path).all(|(form, given)| name(form).is_some() || form == given);
        fits.then(|| form.iter().zip(path).filter_map(|(form, given)| Some((name(form)?, given.to_owned()))).collect())
    }
}

/// The causes that have no cause themselves, each as one phrase that does not name the place in a list.
fn collect(error: &ValidationError<'_, '_>, value: &Value, name: &str, found: &mut Vec<String>) {
    for cause in &error.causes {
        collect(cause, value, name, found);
    }
    if !error.causes.is_empty() {
        return;
    }
    let (mut field, mut wrong) = (name.to_owned(), value);
    for token in &error.instance_location.tokens {
        wrong = match token {
            InstanceToken::Prop(key) => &wrong[key.as_ref()],
            InstanceToken::Item(index) => &wrong[*index],
        };
        if let InstanceToken::Prop(key) = token {
            field = key.clone().into_owned();
        }
    }
    match &error.kind {
        ErrorKind::AdditionalProperties { got } => {
            found.extend(got.iter().map(|key| format!("{key}: not described")));
        }
        ErrorKind::Required { want } => found.extend(want.iter().map(|key| format!("{key}: missing"))),
        ErrorKind::Enum { .. } => found.push(format!("{field}: the word {}", wrong.as_str().unwrap_or("that is none"))),
        ErrorKind::Format { want, .. } => found.push(format!("{field}: no {want}")),
        kind => found.push(format!("{field}: {kind}")),
    }
}
