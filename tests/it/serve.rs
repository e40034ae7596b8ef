//! Stories of the custom handler's shell, spoken to as the Functions host and as the world speak to it.

use marketplace_fulfillment::functions::{Function, Trigger};
use marketplace_fulfillment::mishap::Mishap;
use reqwest::{Body, Method};
use serde_json::{Value, json};

use crate::world::{World, story};

/// A handler of its own, without the host stand-in in front.
pub(crate) async fn handler(world: &World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the handler lives as long as the story's runtime")]
    tokio::spawn(marketplace_fulfillment::serve::serve(world.dev.app.clone(), listener));
    base
}

struct Said {
    status: u16,
    media_type: String,
    body: String,
}

async fn say(world: &World, method: Method, url: String, headers: &[(&str, &str)], body: Body) -> Said {
    let mut request = world.http.request(method, url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let media_type = answer.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    Said { status: answer.status().as_u16(), media_type, body: answer.text().await.unwrap() }
}

/// A body that is sent in chunks, without a length, as the host in Azure sends its envelopes.
fn chunked(body: String) -> Body {
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        body.into_bytes().chunks(7).map(|chunk| Ok(chunk.to_vec())).collect();
    Body::wrap_stream(futures_util::stream::iter(chunks))
}

#[tokio::test]
async fn the_readiness_probe_is_answered_at_once() {
    story(async |world| {
        let base = handler(world).await;
        let said = say(world, Method::GET, format!("{base}/"), &[], Body::default()).await;
        assert_eq!(said.status, 200);
    })
    .await;
}

#[tokio::test]
async fn every_way_in_which_the_host_can_send_a_queue_message() {
    story(async |world| {
        let base = handler(world).await;
        let purchase = world.silver().await;
        let message = json!({ "v": 1, "subscription": purchase.id.as_str() }).to_string();
        let base64 = {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(&message)
        };
        let envelope = |value: Value| json!({ "Data": { "message": value }, "Metadata": { "DequeueCount": "1" } });
        let forms = [
            ("dataType binary", envelope(json!(base64))),
            ("double-encoded", envelope(json!(json!(message).to_string()))),
            ("a raw string", envelope(json!(message))),
            ("a nested object", envelope(serde_json::from_str(&message).unwrap())),
            ("no metadata", json!({ "Data": { "message": base64 } })),
        ];
        for (name, envelope) in forms {
            for body in [chunked(envelope.to_string()), Body::from(envelope.to_string())] {
                let headers = [("x-azure-functions-invocationid", "7f0a6d6e-3c0e-4d0e-8b0e-0c6f3a1b2c3d")];
                let said = say(world, Method::POST, format!("{base}/activate"), &headers, body).await;
                assert_eq!((said.status, said.body.as_str()), (200, "{}"), "{name}");
                assert!(said.media_type.starts_with("application/json"), "{name}");
            }
        }
    })
    .await;
}

/// Method, path, body, and what the shell answers.
#[tokio::test]
async fn what_cannot_be_understood_gets_a_clear_answer() {
    story(async |world| {
        let base = handler(world).await;
        let table = [
            (Method::POST, "/activate", "not json", 400, "bad_envelope"),
            (Method::POST, "/activate", "", 400, "bad_envelope"),
            (Method::POST, "/activate", "[]", 400, "bad_envelope"),
            (Method::POST, "/activate", "{}", 400, "bad_envelope"),
            (Method::POST, "/activate", r#"{"Data":{"message":"bm90IG91cnM="}}"#, 400, "bad_envelope"),
            (Method::POST, "/activate", r#"{"Data":{"message":{"v":2,"subscription":"x"}}}"#, 400, "bad_envelope"),
            (Method::POST, "/activate", r#"{"Data":{"message":{"v":1,"subscription":"../x"}}}"#, 400, "bad_envelope"),
            (Method::POST, "/nobody", "{}", 404, "unknown_function"),
            (Method::POST, "/landing", "{}", 404, "unknown_function"),
            (Method::GET, "/activate", "", 405, "wrong_method"),
            (Method::GET, "/api/nobody", "", 404, "unknown_function"),
            (Method::GET, "/api/activate", "", 404, "unknown_function"),
            (Method::GET, "/api", "", 404, "unknown_function"),
            (Method::POST, "/api/health", "", 405, "wrong_method"),
            (Method::GET, "/api/progress", "", 400, "bad_request"),
            (Method::GET, "/api/subscriptions/no-such", "", 404, "unknown_subscription"),
            (Method::GET, "/api/subscriptions?after=%2F", "", 400, "bad_request"),
        ];
        for (method, path, body, status, code) in table {
            let said = say(world, method.clone(), format!("{base}{path}"), &[], Body::from(body)).await;
            assert_eq!(said.status, status, "{method} {path} {body}: {}", said.body);
            let problem: Value = serde_json::from_str(&said.body).unwrap();
            assert_eq!(problem["code"], code, "{method} {path} {body}");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{problem}");
            assert_eq!((&problem["status"], &problem["type"]), (&json!(status), &json!("about:blank")), "{problem}");
            assert_eq!(said.media_type, "application/problem+json", "{method} {path} {body}");
        }
        let page = say(world, Method::GET, format!("{base}/api/confirm"), &[], Body::default()).await;
        assert_eq!((page.status, page.media_type.as_str()), (405, "text/html; charset=utf-8"), "people get a page");
    })
    .await;
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused_and_not_kept() {
    story(async |world| {
        let base = handler(world).await;
        for path in ["/activate", "/api/signin", "/api/confirm"] {
            for body in [Body::from("x".repeat(10_000_000)), chunked("x".repeat(1_000_000))] {
                let said = say(world, Method::POST, format!("{base}{path}"), &[], body).await;
                assert_eq!(said.status, 413, "{path}: {}", said.body);
            }
        }
        // The same through the host stand-in, as the world would send it.
        let url = world.url("/api/signin").to_string();
        let said = say(world, Method::POST, url, &[], Body::from("x".repeat(10_000_000))).await;
        assert_eq!(said.status, 413);
    })
    .await;
}

#[tokio::test]
async fn the_publishers_systems_see_every_record() {
    story(async |world| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.settle().await;
        let visitor = world.visitor();
        let list = visitor.goto(world.url("/api/subscriptions").as_str()).await.json();
        assert_eq!(list["subscriptions"].as_array().unwrap().len(), 1);
        let one = visitor.goto(world.url(&format!("/api/subscriptions/{}", purchase.id)).as_str()).await.json();
        assert_eq!(one, list["subscriptions"][0]);
        for (key, value) in [
            ("id", json!(purchase.id.as_str())),
            ("offerId", json!("contoso-offer")),
            ("planId", json!("silver")),
            ("quantity", json!(5)),
            ("status", json!("Subscribed")),
            ("duties", json!([])),
        ] {
            assert_eq!(one[key], value, "{key}");
        }
        assert!(one["confirmedAt"].is_string());
        let told: Vec<_> = one["history"].as_array().unwrap().iter().map(|entry| entry["what"].clone()).collect();
        assert_eq!(told, ["discovered", "confirmed", "accepted", "status_changed", "duty_done"]);
    })
    .await;
}

#[tokio::test]
async fn a_subscription_page_by_page() {
    story(async |world| {
        let visitor = world.visitor();
        for _ in 0..105 {
            let purchase = world.silver().await;
            visitor.arrive(&purchase.landing_url, "buyer").await;
        }
        let first = visitor.goto(world.url("/api/subscriptions").as_str()).await.json();
        assert_eq!(first["subscriptions"].as_array().unwrap().len(), 100);
        let next = world.url(first["next"].as_str().unwrap());
        let last = visitor.goto(next.as_str()).await.json();
        assert_eq!((last["subscriptions"].as_array().unwrap().len(), &last["next"]), (5, &Value::Null));
    })
    .await;
}

/// What the host is told in `function.json`, and what the code believes, are one.
#[test]
fn function_json_says_what_the_code_says() {
    for function in Function::ALL {
        let path = format!("{}/functions/{}/function.json", env!("CARGO_MANIFEST_DIR"), function.name());
        let described: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let trigger = &described["bindings"][0];
        let text = |key: &str| trigger[key].as_str().unwrap_or_else(|| panic!("{path}: no {key}")).to_owned();
        match function.trigger() {
            Trigger::Http { methods, .. } => {
                assert_eq!(text("type"), "httpTrigger", "{path}");
                let methods: Vec<_> = methods.iter().map(|method| method.to_ascii_lowercase()).collect();
                assert_eq!(trigger["methods"], json!(methods), "{path}");
                assert_eq!(function.route(), Some(format!("/api/{}", text("route")).as_str()), "{path}");
                let level = match function {
                    Function::Subscriptions => "function",
                    Function::Doctor => "admin",
                    _ => "anonymous",
                };
                assert_eq!(text("authLevel"), level, "{path}");
                assert_eq!(described["bindings"][1]["type"], "http", "{path}: passed through, not wrapped in JSON");
                assert_eq!(described["bindings"].as_array().unwrap().len(), 2, "{path}");
            }
            Trigger::Queue(queue) => {
                assert_eq!(text("type"), "queueTrigger", "{path}");
                assert_eq!(text("queueName"), queue.name(), "{path}");
                assert_eq!(text("name"), "message", "{path}");
                assert_eq!(text("dataType"), "binary", "{path}: nothing of the message ends in the metadata");
            }
            Trigger::Timer => assert_eq!(text("type"), "timerTrigger", "{path}"),
        }
    }
}

/// A panic is answered, told in the log by its place, and the process lives.
#[tokio::test]
async fn a_panic_is_an_answer_and_not_an_end() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        world.dev.mishaps.plan(0, Mishap::Panics);
        let failed = buyer.goto(page.url.as_str()).await;
        assert_eq!(failed.status, 500, "{}", failed.text());
        assert!(!failed.body.contains("planned"), "what went wrong is not the buyer's to read");
        assert_eq!(buyer.goto(page.url.as_str()).await.status, 200);
    })
    .await;
}
