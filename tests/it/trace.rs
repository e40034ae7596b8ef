//! One trace from the host through the handler to Microsoft: what is read, what goes out, what the log says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration as RealDuration;

use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use marketplace_fulfillment::dev::host::Event;
use marketplace_fulfillment::dev::simulator::{Call, Heard};
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::trace::TraceContext;
use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;
use url::Url;

use crate::log::Log;
use crate::serve::handler;
use crate::world::{World, story};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
/// A well-formed `traceparent`, sampled.
const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Reads `traceparent` headers; what a child with the id 1 would send on, and the span that is its parent.
fn read(traceparent: &[&str]) -> Option<(String, String)> {
    let context = TraceContext::read(traceparent.iter().copied(), [])?;
    Some((context.child(1.try_into().unwrap()).traceparent(), context.span_id.to_string()))
}

#[test]
fn a_traceparent_that_is_one_is_taken_up() {
    let sent = |flags: &str| format!("00-{TRACE}-0000000000000001-{flags}");
    let table: &[(&[&str], &str, &str, &str)] = &[
        (&[GIVEN], "01", SPAN, "as it should be"),
        (&[" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\t"], "00", SPAN, "not sampled; spaces around"),
        (&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff"], "03", SPAN, "unknown flags are not passed on"),
        (&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02"], "02", SPAN, "random, not sampled"),
        (&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], "01", SPAN, "a later version"),
        (&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-new-field"], "01", SPAN, "a later, longer version"),
        (&[GIVEN, GIVEN], "01", SPAN, "doubled"),
        (&[GIVEN, "00-4bf92f3577b34da6a3ce929d0e0e4736-00000000000000aa-00"], "00", "00000000000000aa", "the nearest"),
        (
            &[
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, 00-4bf92f3577b34da6a3ce929d0e0e4736-00000000000000aa-01",
            ],
            "01",
            "00000000000000aa",
            "joined with a comma",
        ),
        (&["nonsense", GIVEN], "01", SPAN, "one of two"),
        (&[GIVEN, ""], "01", SPAN, "and an empty one"),
    ];
    for (headers, flags, parent, name) in table {
        assert_eq!(read(headers), Some((sent(flags), (*parent).to_owned())), "{name}: {headers:?}");
    }
}

#[test]
fn what_is_no_traceparent_begins_a_new_trace() {
    let table: &[&[&str]] = &[
        &[],
        &[""],
        &["00"],
        &["é-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01é"],
        &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        &["0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
        &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01"],
        &["00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-011"],
        &["00-4bf92f3577b34da6a3ce929d0e0e47366-0f067aa0ba902b7-01"],
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"],
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x"],
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-"],
        &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"],
        &["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more"],
        &["00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"],
        &["00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        &[GIVEN, "00-00000000000000000000000000000abc-00f067aa0ba902b7-01"],
    ];
    for headers in table {
        assert_eq!(read(headers), None, "{headers:?}");
    }
}

#[test]
fn a_tracestate_is_passed_on_up_to_its_bound() {
    let state = |fields: &[&str]| {
        let context = TraceContext::read([GIVEN], fields.iter().copied()).unwrap();
        context.tracestate().map(str::to_owned)
    };
    let long = format!("a={}", "x".repeat(300));
    let many: Vec<String> = (0..33).map(|index| format!("k{index}=v")).collect();
    let table: &[(&[&str], Option<&str>)] = &[
        (&[], None),
        (&[""], None),
        (&["az=1"], Some("az=1")),
        (&["az=1 ,\tb@c=2,, "], Some("az=1,b@c=2")),
        (&["az=1", "b=2"], Some("az=1,b=2")),
        (&[&long, &long, "c=3"], Some(&long)),
        (&[&many[..32].join(",")], Some(&many[..32].join(","))),
        (&[&many.join(",")], None),
        (&["az=1,broken"], None),
        (&["az="], None),
        (&["=1"], None),
        (&["AZ=1"], None),
        (&["az=a=b"], None),
        (&["az=line\u{1}end"], None),
    ];
    for (fields, passed) in table {
        assert_eq!(state(fields).as_deref(), *passed, "{fields:?}");
    }
    assert_eq!(TraceContext::read(["broken"], ["az=1"]), None, "no state without a trace");
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// The ids in a `traceparent`: trace, span.
fn ids(heard: &Heard) -> (String, String) {
    let traceparent = heard.traceparent.as_deref().unwrap_or_else(|| panic!("no traceparent: {heard:?}"));
    let parts: Vec<&str> = traceparent.split('-').collect();
    (parts[1].to_owned(), parts[2].to_owned())
}

/// For each function the traces of its invocations. The host stand-in takes the invocation's id for the trace's.
fn traces(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut traces: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for event in world.dev.host.events() {
        if let Event::Invoked(invocation) = event {
            traces.entry(invocation.function).or_default().insert(invocation.id.replace('-', ""));
        }
    }
    traces
}

/// Our own calls; people open the authorize page themselves.
fn calls(world: &World) -> Vec<Heard> {
    world.dev.simulator.heard().into_iter().filter(|heard| heard.call != Call::Authorize).collect()
}

#[tokio::test]
async fn every_call_belongs_to_the_invocation_that_made_it() {
    let world = World::traced().await;
    let purchase = world.silver().await;
    // The attempt after the answer fails, so that the queue's invocation has something to do.
    let fault = json!({ "operation": "activate", "times": 1, "answer": "503" });
    world.faults(json!({ "rules": [fault] })).await;
    world.confirmed(&purchase).await;
    world.pass(Duration::minutes(3)).await;
    world.simulator("POST", &format!("/simulator/subscriptions/{}/suspend", purchase.id), &json!({})).await;
    world.assert_silence().await;

    let (calls, traces) = (calls(&world), traces(&world));
    let spans: BTreeSet<_> = calls.iter().map(|heard| ids(heard).1).collect();
    assert_eq!(spans.len(), calls.len(), "each call is a span of its own");
    let made_by = |call: Call| -> Vec<&str> {
        let made = calls.iter().filter(|heard| heard.call == call).map(|heard| ids(heard).0);
        made.map(|trace| traces.iter().find(|(_, ids)| ids.contains(&trace)).map_or("nobody", |(name, _)| name))
            .collect()
    };
    assert_eq!(made_by(Call::Resolve), ["signin"]);
    assert_eq!(made_by(Call::Activate), ["confirm", "activate"], "after an answer, and by the queue");
    assert_eq!(made_by(Call::Token), ["signin"], "through the SDK");
    assert!(made_by(Call::Keys).contains(&"webhook") && made_by(Call::OpenidConfiguration).contains(&"webhook"));
    let readers = made_by(Call::GetSubscription);
    assert!(readers.contains(&"webhook") && readers.contains(&"activate"), "{readers:?}");
    for call in [Call::Keys, Call::OpenidConfiguration, Call::GetSubscription] {
        assert!(!made_by(call).contains(&"nobody"), "{call:?}: {:?}", made_by(call));
    }
}

/// A handler of its own, a subscription that it knows, and what it says of one `resync` with these headers.
async fn resync(world: &World, base: &str, id: &str, headers: Headers<'_>) -> (Vec<Value>, Heard, reqwest::Response) {
    let log = Log::default();
    let guard = log.capture();
    let mut request = world.http.request(Method::POST, format!("{base}/api/subscriptions/{id}/resync"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    drop(guard);
    assert_eq!(answer.status(), 200);
    let heard = calls(world).into_iter().rfind(|heard| heard.call == Call::GetSubscription).unwrap();
    (log.ours(), heard, answer)
}

#[tokio::test]
async fn a_clients_headers_are_taken_up_where_they_can_be() {
    story(async |world| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        let base = handler(world).await;
        let (first, second) = ("traceparent", "tracestate");
        let other = "00-00000000000000000000000000000abc-00f067aa0ba902b7-01";
        // What is sent, whether it is the given trace that goes on, and what of the state.
        let table: &[(Headers<'_>, bool, Option<&str>)] = &[
            (&[], false, None),
            (&[(first, GIVEN)], true, None),
            (&[(first, GIVEN), (second, "az=1,b=2")], true, Some("az=1,b=2")),
            (&[(first, GIVEN), (first, GIVEN), (second, "az=1"), (second, "b=2")], true, Some("az=1,b=2")),
            (&[(first, GIVEN), (first, other)], false, None),
            (&[(first, "00-x"), (second, "az=1")], false, None),
            (&[(first, "\u{e9}"), (second, "az=1")], false, None),
            (&[(first, GIVEN), (second, "NOT ONE")], true, None),
        ];
        for (headers, goes_on, state) in table {
            let (lines, heard, answer) = resync(world, &base, purchase.id.as_str(), headers).await;
            let (trace, span) = ids(&heard);
            assert_eq!(trace == TRACE, *goes_on, "{headers:?}: {heard:?}");
            assert!(trace.len() == 32 && trace != "0".repeat(32) && span.len() == 16, "{heard:?}");
            assert_eq!(heard.tracestate.as_deref(), *state, "{headers:?}");
            assert!(heard.traceparent.unwrap().ends_with(if *goes_on { "-01" } else { "-03" }));
            for name in [first, second, "traceresponse"] {
                assert!(!answer.headers().contains_key(name), "{name} is nothing for a client");
            }

            let call = lines.iter().rfind(|line| line["fields"]["operation"] == "get_subscription").unwrap();
            let invocation = lines.iter().find(|line| line["fields"]["kind"] == "SERVER").unwrap();
            let (call, invocation) = (&call["fields"], &invocation["fields"]);
            assert_eq!((&call["trace_id"], &call["span_id"]), (&json!(trace), &json!(span)), "{headers:?}");
            assert_eq!(call["parent_span_id"], invocation["span_id"]);
            assert_eq!(invocation["trace_id"], trace);
            assert_ne!(invocation["span_id"], SPAN);
            assert_eq!(invocation["parent_span_id"], if *goes_on { json!(SPAN) } else { Value::Null });
            for line in &lines {
                assert_eq!(line["span"]["trace_id"], trace, "{line}");
                assert_eq!(line["span"]["span_id"], invocation["span_id"], "{line}");
                assert_eq!(line["span"]["invocation_id"], invocation["faas.invocation_id"], "{line}");
            }
        }
    })
    .await;
}

/// No argument passes through the SDK's pipelines; the trace does.
#[tokio::test]
async fn storage_is_asked_in_the_trace_of_the_invocation() {
    let world = World::on_azurite().await;
    let purchase = world.silver().await;
    world.visitor().arrive(&purchase.landing_url, "buyer").await;
    let base = handler(&world).await;
    let (lines, ..) = resync(&world, &base, purchase.id.as_str(), &[("traceparent", GIVEN)]).await;
    let invocation = lines.iter().find(|line| line["fields"]["kind"] == "SERVER").unwrap();
    let tables: Vec<_> = lines.iter().filter(|line| line["fields"]["operation"] == "tables").collect();
    assert!(!tables.is_empty(), "{lines:?}");
    for call in tables {
        assert_eq!(call["fields"]["trace_id"], TRACE, "{call}");
        assert_eq!(call["fields"]["parent_span_id"], invocation["fields"]["span_id"], "{call}");
        assert!(call["fields"]["azure.service.request.id"].is_string(), "{call}");
    }
}

#[tokio::test]
async fn an_invocations_line_has_the_words_of_the_conventions() {
    story(async |world| {
        let purchase = world.silver().await;
        let base = handler(world).await;
        let log = Log::default();
        let guard = log.capture();
        let queue = json!({ "Data": { "message": { "v": 1, "subscription": purchase.id.as_str() } } });
        let said = |method: &str, path: &str, body: &Value| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            world.http.request(method, format!("{base}{path}")).body(body.to_string()).send()
        };
        for (method, path, body) in [
            ("GET", "/api/health", &Value::Null),
            ("GET", "/api/subscriptions/no-such?token=secret-token", &Value::Null),
            ("BREW", "/api/personal%20name?token=secret-token", &Value::Null),
            ("POST", "/activate", &queue),
            ("POST", "/activate", &json!({})),
            ("POST", "/sweep", &json!({ "Data": {} })),
        ] {
            said(method, path, body).await.unwrap();
        }
        drop(guard);
        let lines: Vec<Value> =
            log.ours().iter().map(|line| line["fields"].clone()).filter(|line| line["kind"] != Value::Null).collect();
        let told = |words: &[&str]| -> Vec<Value> {
            lines.iter().map(|line| words.iter().map(|word| line[*word].clone()).collect()).collect()
        };
        assert_eq!(
            told(&["kind", "name", "faas.name", "faas.trigger", "messaging.destination.name", "message"]),
            [
                json!(["SERVER", "health", "health", "http", null, "answered"]),
                json!(["SERVER", "subscriptions", "subscriptions", "http", null, "refused: no record of no-such"]),
                json!(["SERVER", "unknown", "unknown", "http", null, "refused: no such route"]),
                json!(["CONSUMER", "activate", "activate", "pubsub", "activations", "answered"]),
                json!(["CONSUMER", "activate", "activate", "pubsub", "activations", lines[4]["message"]]),
                json!(["SERVER", "sweep", "sweep", "timer", null, "answered"]),
            ]
        );
        assert_eq!(
            told(&["http.request.method", "http.route", "http.response.status_code", "error.type", "code", "status"]),
            [
                json!(["GET", "/api/health", 200, null, null, 200]),
                json!(["GET", "/api/subscriptions/{*path}", 404, null, "unknown_subscription", 404]),
                json!(["_OTHER", null, 404, null, "unknown_function", 404]),
                json!([null, null, null, null, null, 200]),
                json!([null, null, null, "bad_envelope", "bad_envelope", 400]),
                json!([null, null, null, null, null, 200]),
            ]
        );
        for secret in ["secret-token", "personal"] {
            assert!(!log.text().contains(&format!("{secret}\"")), "{secret} in {}", log.text());
        }
    })
    .await;
}

/// A server that the SDK talks to: answers with a status, or with nothing.
#[derive(Debug)]
struct Storage(Option<u16>, Mutex<Vec<Request>>);

#[async_trait::async_trait]
impl HttpClient for Storage {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.1.lock().unwrap().push(request.clone());
        let nobody = || azure_core::Error::with_message(azure_core::error::ErrorKind::Io, "no connection");
        let mut headers = azure_core::http::headers::Headers::new();
        headers.insert("x-ms-request-id", "theirs-1");
        self.0.map(|status| AsyncRawResponse::from_bytes(status.into(), headers, "")).ok_or_else(nobody)
    }
}

#[tokio::test]
async fn every_request_of_the_sdk_is_a_span() {
    let table = [
        (Some(200), "INFO", "Table storage answered entity.", json!(null)),
        (Some(404), "INFO", "Table storage answered entity.", json!("404")),
        (Some(409), "INFO", "Table storage answered entity.", json!("409")),
        (Some(412), "INFO", "Table storage answered entity.", json!("412")),
        (Some(403), "WARN", "Table storage did not answer entity.", json!("403")),
        (Some(503), "WARN", "Table storage did not answer entity.", json!("503")),
        (None, "WARN", "Table storage did not answer entity.", json!("unreachable")),
    ];
    for (status, level, message, error) in table {
        let storage = Arc::new(Storage(status, Mutex::default()));
        let url = Url::parse("https://account.table.core.windows.net/subscriptions?sig=secret").unwrap();
        let request = Request::new(url, azure_core::http::Method::Put);
        let log = Log::default();
        let guard = log.capture();
        let answer = outbound::traced(storage.clone(), "Table storage", "entity").execute_request(&request).await;
        drop(guard);
        assert_eq!(answer.ok().map(|answer| u16::from(answer.status())), status);
        let [line] = &log.ours()[..] else { panic!("one line: {}", log.text()) };
        let fields = &line["fields"];
        assert_eq!(
            (&line["level"], &fields["message"], &fields["error.type"]),
            (&json!(level), &json!(message), &error)
        );
        assert_eq!(fields["http.response.status_code"], json!(status));
        assert_eq!((&fields["name"], &fields["url.path"]), (&json!("PUT entity"), &json!("/subscriptions")));
        assert_eq!(fields["server.address"], "account.table.core.windows.net");
        assert_eq!(fields["azure.service.request.id"], json!(status.map(|_| "theirs-1")));
        assert!(!log.text().contains("secret"));
        let sent = storage.1.lock().unwrap()[0].clone();
        let traceparent = sent.headers().get_optional_str(&"traceparent".into()).unwrap().to_owned();
        let (trace, span) = (fields["trace_id"].as_str().unwrap(), fields["span_id"].as_str().unwrap());
        assert_eq!(traceparent, format!("00-{trace}-{span}-03"), "outside of an invocation a trace begins");
    }
}

/// Whoever is not waited for any longer still has a line: the call to Microsoft, and the invocation that made it.
#[tokio::test]
async fn what_nobody_waits_for_is_logged_as_cancelled() {
    story(async |world| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        let base = handler(world).await;
        let hang = json!({ "operation": "get-subscription", "times": 1, "answer": "hang" });
        world.faults(json!({ "rules": [hang] })).await;
        let asked = || world.dev.simulator.calls(Call::GetSubscription);
        let before = asked();
        let log = Log::default();
        let guard = log.capture();
        let url = format!("{base}/api/subscriptions/{}/resync", purchase.id);
        let mut asking = Box::pin(world.http.post(url).send());
        while asked() == before {
            tokio::select! {
                answer = &mut asking => panic!("answered: {answer:?}"),
                () = tokio::time::sleep(RealDuration::from_millis(1)) => {}
            }
        }
        drop(asking);
        let cancelled = || -> Vec<Value> {
            let lines = log.ours().into_iter().map(|line| line["fields"].clone());
            lines.filter(|line| line["error.type"] == "cancelled").collect()
        };
        let told = async {
            while cancelled().len() < 2 {
                tokio::time::sleep(RealDuration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(RealDuration::from_secs(30), told).await.expect("both lines");
        drop(guard);
        let lines = cancelled();
        let kinds: Vec<_> = lines.iter().map(|line| &line["kind"]).collect();
        assert!(kinds.contains(&&json!("CLIENT")) && kinds.contains(&&json!("SERVER")), "{lines:?}");
        assert!(lines.iter().all(|line| line["trace_id"] == lines[0]["trace_id"]), "{lines:?}");
    })
    .await;
}
