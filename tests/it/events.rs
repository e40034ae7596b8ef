//! The forms of what is sent: the schemas in `docs/events/`, the words of the document, and the reference libraries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use marketplace_fulfillment::cloud_event::{DECIDE, Form, PROVISION, SECRET_EXPIRING, SUBSCRIPTION, TEST};
use marketplace_fulfillment::ending_secrets;
use marketplace_fulfillment::outbox::News;
use marketplace_fulfillment::secrets::Ending;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::message::Message;
use crate::receiver::{Received, SECRET, connected};
use crate::reference;
use crate::world::START;

/// The name of the form of a subscription, which others refer to.
const FACTS: &str = "facts";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events/v1")
}

fn schema(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

fn urn(form: &str) -> String {
    format!("urn:marketplace-fulfillment:event:v1:{form}")
}

struct Forms {
    schemas: Schemas,
    compiled: Vec<(String, SchemaIndex)>,
}

static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    for name in Form::ALL.iter().map(|form| form.as_str()).chain([FACTS]) {
        compiler.add_resource(&urn(name), schema(name)).unwrap();
    }
    let compile = |form: &Form| (urn(form.as_str()), compiler.compile(&urn(form.as_str()), &mut schemas).unwrap());
    let compiled = Form::ALL.iter().map(compile).collect();
    Forms { schemas, compiled }
});

/// In what a message breaks the schema that it names; `None` where it does not.
pub(crate) fn breach(event: &Value) -> Option<String> {
    let form = FORMS.compiled.iter().find(|(name, _)| event["dataschema"] == name.as_str());
    let Some((_, index)) = form else {
        return Some(format!("there is no schema {}", event["dataschema"]));
    };
    FORMS.schemas.validate(event, *index).err().map(|error| error.to_string())
}

#[test]
fn every_form_has_its_schema_and_every_word_is_in_it() {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let forms = Form::ALL.iter().map(|form| form.as_str()).chain([FACTS]).map(|name| format!("{name}.json"));
    assert_eq!(files.collect::<BTreeSet<_>>(), forms.collect());
    let types: Vec<_> = News::ALL.iter().map(|news| format!("{SUBSCRIPTION}{}", news.as_str())).collect();
    assert_eq!(schema("subscription")["properties"]["type"]["enum"], json!(types));
    for (form, kind) in [("secret", SECRET_EXPIRING), ("test", TEST), ("provision", PROVISION), ("decide", DECIDE)] {
        assert_eq!(schema(form)["properties"]["type"]["const"], kind);
    }
    let document = std::fs::read_to_string(folder().join("../../events.md")).unwrap();
    let words = types.iter().map(String::as_str).chain([SECRET_EXPIRING, TEST, PROVISION, DECIDE]);
    let missing: Vec<_> = words.filter(|word| !document.contains(&format!("`{word}`"))).collect();
    assert!(missing.is_empty(), "docs/events.md does not explain {missing:?}");
    for name in Form::ALL.iter().map(|form| form.as_str()).chain([FACTS]) {
        assert_eq!(schema(name)["$id"], urn(name));
    }
}

/// The schema sees a breach: whoever adds or takes away a member changes it, on purpose.
#[tokio::test]
async fn a_bent_event_breaks_its_schema() {
    connected(&[("PUBLISHER_EVENTS_URL", "/events")], async |world, receiver| {
        world.visitor().arrive(&world.silver().await.landing_url, "buyer").await;
        world.settle().await;
        let sound = receiver.received_at("/events").remove(0).event;
        assert_eq!(breach(&sound), None);
        let table: [(&str, Value); 8] = [
            ("/type", json!("marketplace.subscription.sold")),
            ("/sequence", json!(12)),
            ("/sequence", json!("12")),
            ("/time", json!("yesterday")),
            ("/id", json!("evt.1")),
            ("/data/subscription/quantity", json!("5")),
            ("/data/subscription/term", Value::Null),
            ("/dataschema", json!(urn("test"))),
        ];
        for (pointer, value) in table {
            let mut bent = sound.clone();
            *bent.pointer_mut(pointer).unwrap() = value;
            assert!(breach(&bent).is_some(), "{pointer}");
        }
        let members: Vec<_> = sound["data"]["subscription"].as_object().unwrap().keys().cloned().collect();
        for member in members {
            let mut bent = sound.clone();
            bent["data"]["subscription"].as_object_mut().unwrap().remove(&member);
            assert!(breach(&bent).is_some(), "without {member}");
        }
        let documented: BTreeSet<_> = schema(FACTS)["properties"].as_object().unwrap().keys().cloned().collect();
        let sent: BTreeSet<_> = sound["data"]["subscription"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(sent, documented, "every member is explained");
    })
    .await;
}

/// A message as the receiver's server got it, for the checkers.
fn as_sent(received: &Received) -> Message {
    let seconds = received.header("webhook-timestamp").unwrap().parse().unwrap();
    let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
    Message {
        at: OffsetDateTime::from_unix_timestamp(seconds).unwrap(),
        headers: received.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: received.text.clone(),
    }
}

/// Everything that there is to send, sent for real, and accepted by the libraries of others.
#[tokio::test]
async fn the_reference_libraries_accept_every_event() {
    let settings = [
        ("PUBLISHER_EVENTS_URL", "/events"),
        ("RECONCILE", "repair"),
        (
            "CHANGE_POLICY",
            r#"{"seatLimits":[{"plan":"silver","max":10}],"allowPlanChanges":[{"from":"silver","to":"gold"}]}"#,
        ),
    ];
    connected(&settings, async |world, receiver| {
        let deed = async |id: &str, deed: &str, body: Value| {
            world.simulator("POST", &format!("/simulator/subscriptions/{id}/{deed}"), &body).await;
            world.settle().await;
        };
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.settle().await;
        let id = purchase.id.as_str();
        deed(id, "change-quantity", json!({ "quantity": 11 })).await;
        deed(id, "change-quantity", json!({ "quantity": 7 })).await;
        deed(id, "change-plan", json!({ "planId": "bronze" })).await;
        deed(id, "change-plan", json!({ "planId": "gold" })).await;
        deed(id, "suspend", json!({})).await;
        deed(id, "reinstate", json!({})).await;
        deed(id, "renew", json!({})).await;
        let api = |path: &str| world.url(&format!("api/subscriptions/{path}"));
        world.http.post(api(&format!("{id}/events/replay"))).send().await.unwrap();
        world.http.post(api("events/test")).send().await.unwrap();
        let ending =
            [30, -1].map(|days| Ending { secret: "cookie-keys".to_owned(), expires_at: START + Duration::days(days) });
        for _ in 0..2 {
            ending_secrets::tell(&world.dev.app, &ending, world.now()).await;
        }
        deed(id, "unsubscribe", json!({})).await;
        let unconfirmed = world.silver().await;
        world.visitor().arrive(&unconfirmed.landing_url, "buyer").await;
        world.pass(Duration::days(25)).await;

        let received = receiver.received();
        let secrets = received.iter().filter(|one| one.attribute("type") == SECRET_EXPIRING);
        let secrets: Vec<_> = secrets.map(|one| one.event["data"]["expiresAt"].clone()).collect();
        assert_eq!(secrets, ["2026-12-20T09:00:00Z", "2026-11-19T09:00:00Z"], "each once");
        let types: BTreeSet<_> = received.iter().map(|one| one.attribute("type").to_owned()).collect();
        assert!(types.len() > 15, "{types:?}");
        let messages: Vec<_> = received.iter().map(as_sent).collect();
        reference::assert_accepted(SECRET, &messages).await;
    })
    .await;
}
