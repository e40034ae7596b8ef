//! Queue and timer triggers: the envelope, the judgement, and what becomes of the message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marketplace_fulfillment::dev::host::{Ended, Event, Framing, Outcome};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Semaphore, mpsc};
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

use super::{
    Call, NOON, Stage, calls, client, done, failed, handler, invocations, noting, outcomes, queue_function, start,
    starts, story,
};

/// Short enough for a test, long enough for a loopback call on a busy machine.
const SHORT: Duration = Duration::from_millis(500);

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn at(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap()
}

/// Replaces what differs in every invocation by what the fixture has, after a look at its form.
fn settle(envelope: &mut Value, fixture: &Value, keys: &[&str]) {
    for key in keys {
        let pointer = format!("/Metadata/{key}");
        let value = envelope.pointer_mut(&pointer).unwrap();
        let text = value.as_str().unwrap();
        assert!(*key == "sys/RandGuid" || (text.starts_with('"') && text.ends_with('"')), "{key} is encoded twice");
        *value = fixture["envelope"].pointer(&pointer).unwrap().clone();
    }
}

fn message_of(call: &Call) -> String {
    String::from_utf8(STANDARD.decode(call.json()["Data"]["msg"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn the_envelope_of_a_message_is_the_one_that_the_host_sends() {
    for (text, keys) in [
        (include_str!("../../fixtures/host/queue-string.json"), &["Id", "PopReceipt", "sys/RandGuid"][..]),
        (include_str!("../../fixtures/host/queue-binary.json"), &["Id", "PopReceipt", "sys/RandGuid"]),
        (include_str!("../../fixtures/host/queue-overwriting.json"), &["PopReceipt", "sys/RandGuid"]),
    ] {
        story(async {
            let fixture = fixture(text);
            let inserted = at(&fixture["insertedAt"]);
            let stage = Stage::starting_at(inserted, &[("work", json!([fixture["binding"]]))]);
            stage.put(fixture["message"].as_str().unwrap());
            stage.hands.advance(at(&fixture["receivedAt"]) - inserted);
            let (handler, seen) = noting(done);
            let host = stage.start(handler).await;
            host.idle().await;
            let mut envelope = calls(&seen)[0].json();
            settle(&mut envelope, &fixture, keys);
            assert_eq!(envelope, fixture["envelope"]);
        });
    }
}

#[test]
fn the_envelope_of_a_timer_is_the_one_that_the_host_sends() {
    story(async {
        let fixture = fixture(include_str!("../../fixtures/host/timer.json"));
        let stage = Stage::starting_at(at(&fixture["startedAt"]), &[("work", json!([fixture["binding"]]))]);
        let (handler, seen) = noting(done);
        let host = stage.start(handler).await;
        host.idle().await;
        assert_eq!(calls(&seen).len(), 0, "nothing is due yet");
        for ring in fixture["rings"].as_array().unwrap() {
            stage.hands.advance(at(ring) - stage.clock.now());
            host.idle().await;
        }
        let seen = calls(&seen);
        assert_eq!(seen.len(), 2);
        let mut envelope = seen[1].json();
        settle(&mut envelope, &fixture, &["sys/RandGuid"]);
        assert_eq!(envelope, fixture["envelope"]);
    });
}

#[test]
fn an_invocation_carries_the_hosts_headers_and_framing() {
    for (framing, traceparent) in [(Framing::Chunked, true), (Framing::Sized, false)] {
        story(async move {
            let stage = Stage::new(&[("work", queue_function())]);
            let (handler, seen) = noting(done);
            let mut options = stage.options(handler);
            (options.framing, options.traceparent) = (framing, traceparent);
            stage.put("x");
            let host = start(options).await.unwrap();
            host.idle().await;
            let call = calls(&seen).remove(0);
            assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/work"));
            assert_eq!(call.header("content-type"), Some("application/json; charset=utf-8"));
            assert_eq!(call.header("user-agent"), Some("Azure-Functions-Host/4.1052.200.0"));
            assert_eq!(call.header("x-azure-functions-hostversion"), Some("4.1052.200.0"));
            assert_eq!(call.header("x-azure-functions-invocationid"), Some(invocations(&host)[0].id.as_str()));
            assert!(call.header("host").unwrap().starts_with("127.0.0.1:"));
            let chunked = framing == Framing::Chunked;
            assert_eq!(call.header("transfer-encoding"), chunked.then_some("chunked"));
            assert_eq!(call.header("content-length").is_some(), !chunked);
            assert_eq!(call.header("traceparent").is_some(), traceparent);
        });
    }
}

fn answer(status: u16, media_type: Option<&'static str>, body: &'static str) -> Response {
    let mut response = body.into_response();
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().remove("content-type");
    if let Some(media_type) = media_type {
        response.headers_mut().insert("content-type", media_type.parse().unwrap());
    }
    response
}

#[test]
fn an_answer_is_judged_as_the_host_judges_it() {
    const JSON: Option<&str> = Some("application/json");
    for (good, status, media_type, body) in [
        (true, 200, JSON, "{}"),
        (true, 200, Some("text/json; charset=utf-8"), r#"{"Outputs":{},"Logs":["done"],"ReturnValue":null,"More":1}"#),
        (true, 202, JSON, r#"{"logs":null}"#),
        (false, 200, Some("text/plain"), "{}"),
        (false, 200, None, "{}"),
        (false, 200, JSON, "{"),
        (false, 200, JSON, "[]"),
        (false, 200, JSON, r#"{"Outputs":"x"}"#),
        (false, 303, JSON, "{}"),
        (false, 400, JSON, "{}"),
        (false, 500, JSON, "{}"),
        (false, 503, None, ""),
    ] {
        story(async move {
            let stage = Stage::new(&[("work", queue_function())]);
            stage.put("x");
            let host = stage.start(handler(move |_| std::future::ready(answer(status, media_type, body)))).await;
            host.idle().await;
            let outcomes = outcomes(&host);
            assert_eq!(outcomes.len(), 1, "{status} {media_type:?} {body}");
            assert_eq!(outcomes[0] == Outcome::Succeeded, good, "{status} {media_type:?} {body}: {outcomes:?}");
            assert_eq!(stage.queues.len("jobs"), usize::from(!good), "{status} {media_type:?} {body}");
        });
    }
}

#[test]
fn an_empty_answer_hangs_until_the_handler_is_killed_for_it() {
    for body in ["", "null"] {
        story(async move {
            let stage = Stage::new(&[("work", queue_function())]);
            // Two run out of time together: one kill is enough for both.
            stage.put("x");
            stage.put("y");
            let mut options =
                stage.options(handler(move |_| std::future::ready(answer(200, Some("application/json"), body))));
            options.patience.function = Some(SHORT);
            let host = start(options).await.unwrap();
            host.idle().await;
            let outcomes = outcomes(&host);
            assert!(matches!(&outcomes[..], [Outcome::Failed(_), Outcome::Failed(_)]), "{outcomes:?}");
            assert!(matches!(&outcomes[0], Outcome::Failed(reason) if reason.contains("timeout")), "{outcomes:?}");
            assert!(host.events().contains(&Event::Ended(Ended::Killed)));
            host.until(|events| events.iter().filter(|event| **event == Event::Ready).count() == 2).await;
            assert_eq!((starts(&host), stage.queues.len("jobs")), (2, 2));
        });
    }
}

#[test]
fn a_failing_message_comes_back_after_the_visibility_timeout_and_ends_as_poison() {
    story(async {
        let stage = Stage::new(&[("work", queue_function())]);
        let (handler, seen) = noting(failed);
        let host = stage.start(handler).await;
        stage.put("bitter");
        host.idle().await;
        for tries in 1..5 {
            assert_eq!(calls(&seen).len(), tries);
            assert_eq!(stage.queues.peek("jobs")[0].next_visible_at, stage.clock.now() + time::Duration::seconds(30));
            stage.hands.advance(time::Duration::seconds(29));
            host.idle().await;
            assert_eq!(calls(&seen).len(), tries, "not before its time");
            stage.hands.advance(time::Duration::seconds(1));
            host.idle().await;
        }
        let counts: Vec<_> = invocations(&host).into_iter().map(|invocation| invocation.dequeue_count).collect();
        assert_eq!(counts, (1..=5).map(Some).collect::<Vec<_>>());
        assert_eq!(stage.queues.len("jobs"), 0);
        assert_eq!(stage.queues.peek("jobs-poison")[0].body, b"bitter");
        assert!(host.events().contains(&Event::Poisoned { function: "work".to_owned(), dequeue_count: 5 }));
    });
}

#[test]
fn a_message_received_too_often_goes_to_poison_without_a_run() {
    story(async {
        let stage = Stage::new(&[("work", queue_function())]);
        stage.put("x");
        for _ in 0..5 {
            assert_eq!(stage.queues.receive("jobs", 1, time::Duration::ZERO).len(), 1);
        }
        let (handler, seen) = noting(done);
        let host = stage.start(handler).await;
        host.idle().await;
        assert_eq!((calls(&seen).len(), stage.queues.len("jobs"), stage.queues.len("jobs-poison")), (0, 0, 1));
    });
}

#[test]
fn no_more_messages_run_at_once_than_the_batch_allows() {
    story(async {
        let stage = Stage::new(&[("work", queue_function())]);
        let (heard, mut hear) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let opener = Arc::clone(&gate);
        let handler = handler(move |_| {
            let (heard, gate) = (heard.clone(), Arc::clone(&gate));
            async move {
                heard.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                done()
            }
        });
        for _ in 0..5 {
            stage.put("x");
        }
        let host = stage.start(handler).await;
        for left in [5, 3] {
            hear.recv().await.unwrap();
            hear.recv().await.unwrap();
            let received = stage.queues.peek("jobs").iter().filter(|message| message.dequeue_count == 1).count();
            assert_eq!((stage.queues.len("jobs"), received, host.in_flight()), (left, 2, 2));
            opener.add_permits(2);
        }
        opener.add_permits(1);
        host.idle().await;
        assert_eq!((invocations(&host).len(), stage.queues.len("jobs")), (5, 0));
    });
}

/// A handler whose first call never ends; the receiver hears of every call.
fn stuck_at_first() -> (super::Handler, mpsc::UnboundedReceiver<String>) {
    let (heard, hear) = mpsc::unbounded_channel();
    let count = Arc::new(AtomicUsize::new(0));
    let handler = handler(move |call| {
        let (heard, count) = (heard.clone(), Arc::clone(&count));
        async move {
            heard.send(message_of(&call)).unwrap();
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
            done()
        }
    });
    (handler, hear)
}

#[test]
fn a_handler_killed_at_work_loses_no_message() {
    story(async {
        let stage = Stage::new(&[("work", queue_function())]);
        let (handler, mut hear) = stuck_at_first();
        let host = stage.start(handler).await;
        stage.put("precious");
        assert_eq!(hear.recv().await.unwrap(), "precious");
        assert_eq!(host.in_flight(), 1);
        host.kill_handler().await;
        host.idle().await;
        assert!(matches!(&outcomes(&host)[..], [Outcome::Failed(_)]));
        stage.hands.advance(time::Duration::seconds(30));
        host.idle().await;
        assert_eq!(hear.recv().await.unwrap(), "precious");
        assert_eq!((starts(&host), stage.queues.len("jobs")), (2, 0));
    });
}

#[test]
fn a_killed_handler_does_nothing_any_more() {
    story(async {
        let stage = Stage::new(&[("work", queue_function())]);
        let (alive, mut watch) = mpsc::unbounded_channel::<()>();
        let serve = handler(move |_| {
            let alive = alive.clone();
            async move {
                // Held by a task that nobody waits for: gone only when the runtime is.
                tokio::task::JoinSet::new().spawn(async move {
                    alive.send(()).unwrap();
                    std::future::pending::<()>().await;
                });
                std::future::pending().await
            }
        });
        let host = stage.start(serve).await;
        stage.put("x");
        host.until(|events| events.contains(&Event::Ready)).await;
        drop(host);
        // Every sender was dropped with the runtime and with the closure that makes handlers.
        while watch.recv().await.is_some() {}
    });
}

#[test]
fn a_lost_instance_gives_its_messages_back_after_ten_minutes() {
    story(async {
        let stage = Stage::new(&[("work", queue_function())]);
        let (first, mut hear) = stuck_at_first();
        let host = stage.start(first).await;
        stage.put("precious");
        hear.recv().await.unwrap();
        host.stop().await;
        let (second, seen) = noting(done);
        let host = stage.start(second).await;
        host.idle().await;
        assert_eq!(
            (calls(&seen).len(), stage.queues.peek("jobs")[0].next_visible_at),
            (0, NOON + time::Duration::minutes(10))
        );
        stage.hands.advance(time::Duration::minutes(10));
        host.idle().await;
        assert_eq!((calls(&seen).len(), stage.queues.len("jobs")), (1, 0));
        assert_eq!(invocations(&host)[0].dequeue_count, Some(2));
    });
}

#[test]
fn an_administrator_runs_a_function_without_its_queue() {
    story(async {
        let stage =
            Stage::new(&[("work", queue_function()), ("page", super::http_function("get", "anonymous", "page"))]);
        let (handler, seen) = noting(failed);
        let host = stage.start(handler).await;
        let post = |name: &str, body: &'static str| {
            client().post(host.url().join(&format!("/admin/functions/{name}")).unwrap()).body(body).send()
        };
        assert_eq!(post("work", r#"{"input":"by hand"}"#).await.unwrap().status(), 202);
        assert_eq!(post("work", "nonsense").await.unwrap().status(), 400);
        assert_eq!(post("page", "{}").await.unwrap().status(), 400);
        assert_eq!(post("nobody", "{}").await.unwrap().status(), 404);
        host.idle().await;
        let call = calls(&seen).remove(0);
        assert_eq!(message_of(&call), "by hand");
        let metadata = &call.json()["Metadata"];
        assert_eq!(metadata["DequeueCount"], "0");
        assert_eq!(metadata["ExpirationTime"], "9999-12-31T23:59:59+00:00");
        assert_eq!((metadata.get("Id"), metadata.get("PopReceipt")), (None, None));
        assert_eq!((stage.queues.len("jobs"), stage.queues.len("jobs-poison")), (0, 0));
    });
}
