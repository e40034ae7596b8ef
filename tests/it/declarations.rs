//! The files that the Functions host reads: `host.json`, each `function.json`, and `local.settings.sample.json`.
//!
//! They are held to the published JSON schemas, and to tables of our own where the schemas see nothing: the host ignores
//! what it does not know, so a misspelt name is not an error there, but a setting that is not made.

use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use marketplace_fulfillment::functions::Function;
use serde_json::{Map, Value, json};

/// What a binding of each type may hold, and which of that it must. `type`, `direction` and `name` are in all. The host
/// has defaults for some of it (a route, a level of protection); ours are written down.
const BINDINGS: [(&str, &[&str]); 4] = [
    ("httpTrigger", &["authLevel", "methods", "route"]),
    ("http", &[]),
    ("queueTrigger", &["queueName", "connection", "dataType"]),
    ("timerTrigger", &["schedule"]),
];

/// The only connection that the host's settings and ours speak of.
const CONNECTION: &str = "AzureWebJobsStorage";

fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A published schema, made ready.
struct Schema(Schemas, SchemaIndex);

impl Schema {
    fn compile(schema: Value) -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", schema).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        Self(schemas, index)
    }

    fn published(name: &str) -> Self {
        Self::compile(read(&format!("tests/fixtures/schemas/{name}.schema.json")))
    }

    /// The schema of `host.json`, with the one switch that the host knows and the schema does not.
    /// Source: Azure/azure-functions-host#11035 (July 2025).
    fn of_the_host() -> Self {
        let mut schema = read("tests/fixtures/schemas/host.schema.json");
        let handler = &mut schema["definitions"]["version-2"]["properties"]["customHandler"]["properties"];
        assert!(
            handler["enableForwardingHttpRequest"].is_object(),
            "the schema is built otherwise: look for the switch"
        );
        assert!(handler.get("enableProxyingHttpRequest").is_none(), "the schema knows it now: remove this");
        handler["enableProxyingHttpRequest"] = json!({ "type": "boolean" });
        Self::compile(schema)
    }

    /// What the schema finds wrong.
    fn breach(&self, value: &Value) -> Option<String> {
        self.0.validate(value, self.1).err().map(|error| error.to_string())
    }
}

/// What is wrong with a `function.json` in the eyes of whoever meant what it says.
fn misspelt(function: &Value) -> Vec<String> {
    let mut breaches = unknown("the file", function.as_object(), &["bindings"]);
    let bindings = function["bindings"].as_array().map(Vec::as_slice).unwrap_or_default();
    for binding in bindings {
        let kind = binding["type"].as_str().unwrap_or_default();
        let Some((_, own)) = BINDINGS.iter().find(|(name, _)| *name == kind) else {
            breaches.push(format!("the type \"{kind}\" is not in the table"));
            continue;
        };
        let names = [&["type", "direction", "name"], *own].concat();
        breaches.extend(unknown(kind, binding.as_object(), &names));
        let missing = names.iter().filter(|name| binding.get(**name).is_none_or(|value| value == ""));
        breaches.extend(missing.map(|name| format!("{kind} has no \"{name}\"")));
        if let Some(connection) = binding.get("connection").filter(|connection| **connection != CONNECTION) {
            breaches.push(format!("{kind} has the connection {connection}, which no setting gives"));
        }
    }
    let triggers = bindings.iter().filter(|binding| binding["type"].as_str().is_some_and(|t| t.ends_with("Trigger")));
    if triggers.count() != 1 {
        breaches.push("a function has one trigger".to_owned());
    }
    breaches
}

fn unknown(place: &str, object: Option<&Map<String, Value>>, names: &[&str]) -> Vec<String> {
    let keys = object.into_iter().flat_map(Map::keys).filter(|key| !names.contains(&key.as_str()));
    keys.map(|key| format!("{place} has \"{key}\", which the host does not know")).collect()
}

fn functions() -> impl Iterator<Item = (String, Value)> {
    Function::ALL.into_iter().map(|function| {
        let path = format!("functions/{}/function.json", function.name());
        let described = read(&path);
        (path, described)
    })
}

#[test]
fn the_host_finds_what_its_schema_promises() {
    assert_eq!(Schema::of_the_host().breach(&read("host.json")), None);
    assert_eq!(Schema::published("local.settings").breach(&read("local.settings.sample.json")), None);
    let schema = Schema::published("function");
    for (path, function) in functions() {
        assert_eq!(schema.breach(&function), None, "{path}");
    }
}

#[test]
fn every_name_in_a_function_is_one_that_the_host_reads() {
    for (path, function) in functions() {
        assert_eq!(misspelt(&function), [""; 0], "{path}");
    }
}

/// Puts `value` at a JSON pointer, or takes away what is there.
fn bend(mut file: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = file.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")).as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => Some(parent.remove(key).unwrap_or_else(|| panic!("no {pointer} to take away"))),
    };
    file
}

#[test]
fn each_schema_sees_its_breach() {
    let (schema, host) = (Schema::of_the_host(), read("host.json"));
    let breaches = [
        ("/customHandlr", Some(json!({}))),
        ("/customHandler/enableProxyingHttpRequests", Some(json!(true))),
        ("/customHandler/enableProxyingHttpRequest", Some(json!("true"))),
        ("/customHandler/description/arguments", Some(json!("serve"))),
        ("/extensions/queues/batchSize", Some(json!(33))),
        ("/extensions/queues/visibilityTimeout", Some(json!("90"))),
        ("/extensions/queues/messageEncoding", Some(json!("utf8"))),
        ("/extensions/queues/maxDequeuCount", Some(json!(5))),
        ("/functionTimeout", Some(json!("5 minutes"))),
        ("/extensionBundle/versions", Some(json!("[4.*, 5.0.0)"))),
        ("/version", Some(json!("3.0"))),
        ("/version", None),
    ];
    for (pointer, value) in breaches {
        let bent = bend(host.clone(), pointer, value);
        assert!(schema.breach(&bent).is_some(), "host.json with another {pointer} passes");
    }
    let schema = Schema::published("function");
    let (http, queue, timer) = (read("functions/health/function.json"), queue(), read("functions/sweep/function.json"));
    let breaches = [
        (&http, "/bindings/0/authLevel", Some(json!("everybody"))),
        (&http, "/bindings/0/methods", Some(json!("get"))),
        (&http, "/bindings/0/direction", Some(json!("inwards"))),
        (&queue, "/bindings/0/name", None),
        (&queue, "/bindings/0/dataType", Some(json!("bytes"))),
        (&timer, "/bindings/0/direction", None),
        (&timer, "/disabled", Some(json!("no"))),
    ];
    for (file, pointer, value) in breaches {
        let bent = bend(file.clone(), pointer, value);
        assert!(schema.breach(&bent).is_some(), "function.json with another {pointer} passes");
    }
    let (schema, settings) = (Schema::published("local.settings"), read("local.settings.sample.json"));
    let breaches = [("/Values/FUNCTIONS_WORKER_RUNTIME", json!("rust")), ("/IsEncrypted", json!("false"))];
    for (pointer, value) in breaches {
        let bent = bend(settings.clone(), pointer, Some(value));
        assert!(schema.breach(&bent).is_some(), "local settings with another {pointer} pass");
    }
}

fn queue() -> Value {
    read("functions/activate/function.json")
}

#[test]
fn each_misspelling_is_seen() {
    let (http, timer) = (read("functions/health/function.json"), read("functions/sweep/function.json"));
    let table = [
        (queue(), "/bindings/0/queueNam", Some(json!("activations")), "queueTrigger has \"queueNam\""),
        (queue(), "/bindings/0/queueName", None, "queueTrigger has no \"queueName\""),
        (queue(), "/bindings/0/queueName", Some(json!("")), "queueTrigger has no \"queueName\""),
        (queue(), "/bindings/0/connection", None, "queueTrigger has no \"connection\""),
        (queue(), "/bindings/0/connection", Some(json!("Storage")), "queueTrigger has the connection \"Storage\""),
        (queue(), "/bindings/0/datatype", Some(json!("binary")), "queueTrigger has \"datatype\""),
        (queue(), "/bindings/0/schedule", Some(json!("0 * * * * *")), "queueTrigger has \"schedule\""),
        (queue(), "/bindings/0/type", Some(json!("queuetrigger")), "the type \"queuetrigger\" is not in the table"),
        (queue(), "/bindings/0/type", Some(json!("queue")), "the type \"queue\" is not in the table"),
        (queue(), "/binding", Some(json!([])), "the file has \"binding\""),
        (queue(), "/bindings", Some(json!([])), "a function has one trigger"),
        (http.clone(), "/bindings/0/routes", Some(json!("health")), "httpTrigger has \"routes\""),
        (http.clone(), "/bindings/0/authLevel", None, "httpTrigger has no \"authLevel\""),
        (http.clone(), "/bindings/0/method", Some(json!(["get"])), "httpTrigger has \"method\""),
        (http, "/bindings/1/route", Some(json!("health")), "http has \"route\""),
        (timer.clone(), "/bindings/0/shedule", Some(json!("0 * * * * *")), "timerTrigger has \"shedule\""),
        (timer.clone(), "/bindings/0/schedule", None, "timerTrigger has no \"schedule\""),
        (timer, "/bindings/0/runOnStartup", Some(json!(true)), "timerTrigger has \"runOnStartup\""),
    ];
    for (file, pointer, value, says) in table {
        let found = misspelt(&bend(file, pointer, value));
        assert!(found.iter().any(|breach| breach.starts_with(says)), "{pointer}: {found:?}");
    }
}
