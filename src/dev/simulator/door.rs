//! The server: reads a request, aims it at a face, lets faults spoil the answer.

use std::time::Duration;

use azure_core::time::to_rfc7231;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::net::TcpListener;
use warp::Filter as _;
use warp::http::{HeaderMap, Method};
use warp::path::FullPath;

use super::call::{Call, HEARD_MAX, Heard};
use super::faults::{Answer, Effect, Rule};
use super::refusal::Refusal;
use super::{Simulator, api, control, courier, entra, page};
use crate::dev::receiver::LATEST;
use crate::web::{Reply, Request};

/// The longest body read, in bytes. The longest that anybody sends is a list of fault rules.
const LONGEST_BODY: usize = 64 * 1_024;

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How long a hanging call hangs; no caller of ours waits that long.
pub(super) const HANG: Duration = Duration::from_mins(1);

pub(super) async fn serve(simulator: Simulator, listener: TcpListener) {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let routes = warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, path: FullPath, raw_query, headers: HeaderMap, body| {
            let simulator = simulator.clone();
            async move {
                let reply = match tokio::time::timeout(BODY_WITHIN, collect(body)).await {
                    Ok(Ok(body)) => {
                        let path = path.as_str().trim_start_matches('/').to_owned();
                        let headers = visible(&headers);
                        answer(
                            &simulator,
                            Request {
                                invocation_id: String::new(),
                                method: method.to_string(),
                                path,
                                raw_query,
                                headers,
                                body,
                            },
                        )
                        .await
                    }
                    Ok(Err(refusal)) => refusal.as_control(),
                    Err(_) => {
                        Refusal::bad_request("Timeout", "", "the body did not arrive").with_status(408).as_control()
                    }
                };
                respond(&simulator, reply)
            }
        });
    warp::serve(routes).incoming(listener).run().await;
}

async fn collect<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Result<Bytes, Refusal> {
    let mut body = std::pin::pin!(body);
    let mut collected = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| Refusal::bad_request("BrokenBody", "", "the body broke off"))?;
        if collected.len() + chunk.remaining() > LONGEST_BODY {
            let message = format!("the body is longer than {LONGEST_BODY} bytes");
            return Err(Refusal::bad_request("BodyTooLong", "", message).with_status(413));
        }
        while chunk.has_remaining() {
            let piece = chunk.chunk();
            let length = piece.len();
            collected.extend_from_slice(piece);
            chunk.advance(length);
        }
    }
    Ok(collected.freeze())
}

fn visible(headers: &HeaderMap) -> Vec<(String, String)> {
    let text =
        headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    text.collect()
}

/// Every answer says what time it is at Microsoft.
fn respond(simulator: &Simulator, reply: Reply) -> warp::http::Response<String> {
    let now = simulator.with(|_, now| now);
    let mut response = warp::http::Response::builder().status(reply.status).header("date", to_rfc7231(&now));
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(reply.body).expect("statuses and headers are our own, or came in as headers")
}

/// Whom a request is for.
enum Face {
    Api(api::Route),
    Entra(Call, String),
    Control,
    Relay,
    Page,
    Publisher,
    Nobody,
}

fn face(request: &Request) -> Face {
    let path: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match (request.method.as_str(), path.as_slice()) {
        ("GET", []) => Face::Page,
        (_, ["api", "saas", "subscriptions", rest @ ..]) => api::route(request, rest).map_or(Face::Nobody, Face::Api),
        (_, ["entra", tenant, rest @ ..]) => {
            entra::route(request, rest).map_or(Face::Nobody, |call| Face::Entra(call, (*tenant).to_owned()))
        }
        ("POST", ["simulator", "relay"]) => Face::Relay,
        (_, ["simulator", ..]) => Face::Control,
        (_, ["publisher", ..]) => Face::Publisher,
        _ => Face::Nobody,
    }
}

async fn answer(simulator: &Simulator, request: Request) -> Reply {
    let face = face(&request);
    match face {
        Face::Relay => return courier::relay(simulator, &request).await,
        Face::Publisher => return publisher(simulator, &request).await,
        _ => {}
    }
    stand(simulator, &face, &request).await;
    let answered = match strike(simulator, &face, &request) {
        None => Ok(plain(simulator, &face, &request)),
        Some(rule) => {
            if rule.effect == Effect::Done {
                plain(simulator, &face, &request);
            }
            Err(rule)
        }
    };
    stand(simulator, &face, &request).await;
    match answered {
        Ok(reply) => reply,
        Err(rule) => spoilt(&rule).await,
    }
}

/// A call of the API, or its answer, waits where somebody steers.
async fn stand(simulator: &Simulator, face: &Face, request: &Request) {
    if let (Face::Api(route), Some(mishaps)) = (face, simulator.0.mishaps.get()) {
        let caller = request.header("x-ms-correlationid").unwrap_or_default();
        mishaps.stand(route.call.name(), &route.subscription, caller).await;
    }
}

/// Counts the call and draws the fault that spoils it.
fn strike(simulator: &Simulator, face: &Face, request: &Request) -> Option<Rule> {
    let (call, subscription) = match face {
        Face::Api(route) => (route.call, route.subscription.as_str()),
        Face::Entra(call, _) => (*call, ""),
        Face::Control | Face::Relay | Face::Page | Face::Publisher | Face::Nobody => return None,
    };
    simulator.with(|state, _| {
        *state.calls.entry(call).or_default() += 1;
        if state.heard.len() == HEARD_MAX {
            state.heard.pop_front();
        }
        let said = |name| request.header(name).map(str::to_owned);
        let (traceparent, tracestate) = (said("traceparent"), said("tracestate"));
        state.heard.push_back(Heard { call, traceparent, tracestate });
        let token = request.header("x-ms-marketplace-token").filter(|_| call == Call::Resolve);
        let resolved = token.and_then(|token| state.market.subscription_of(token)).map(str::to_owned);
        state.market.count(resolved.as_deref().unwrap_or(subscription), call);
        state.market.strike(call)
    })
}

fn plain(simulator: &Simulator, face: &Face, request: &Request) -> Reply {
    let options = &simulator.0.options;
    match face {
        Face::Api(route) => simulator.with(|state, now| api::answer(state, options, route, request, now)),
        Face::Entra(call, tenant) => simulator.with(|state, _| entra::answer(state, options, *call, tenant, request)),
        Face::Control => {
            let path: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).skip(1).collect();
            control::answer(simulator, request, &path)
        }
        Face::Page => page::answer(options),
        Face::Relay | Face::Publisher | Face::Nobody => control::unknown(&request.method, &request.path).as_control(),
    }
}

/// The publisher's software answers, or does not until nobody waits any longer.
async fn publisher(simulator: &Simulator, request: &Request) -> Reply {
    let path: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).skip(1).collect();
    if let Some(reply) = simulator.receiver().answer(request, &path).await {
        return reply;
    }
    tokio::time::sleep(LATEST).await;
    drop_connection()
}

/// Unwinding ends the connection's task, and with it the connection; nothing is printed.
fn drop_connection() -> ! {
    std::panic::resume_unwind(Box::new("the connection is dropped on purpose"))
}

async fn spoilt(rule: &Rule) -> Reply {
    let status = match rule.answer {
        Answer::Status(status) => status,
        Answer::Drop => drop_connection(),
        Answer::Hang => {
            tokio::time::sleep(HANG).await;
            504
        }
        Answer::Garbage => return Reply::new(200, "application/json; charset=utf-8", "{\"id\": \"unfinis"),
    };
    let body =
        serde_json::json!({ "error": { "code": "UnexpectedError", "message": "An unexpected error has occurred." } });
    let reply = Reply::json(status, &body);
    match rule.retry_after {
        Some(seconds) => reply.with("retry-after", seconds.to_string()),
        None => reply,
    }
}
