//! The custom handler's shell: one port with two doors. Browsers and Microsoft come through `/api` with the host's proxy
//! in front; the host itself posts its triggers to `/<function>`. Decodes, dispatches, encodes, and logs each invocation
//! once. The only production file that knows warp.

mod invocation;
mod protection;

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::net::TcpListener;
use warp::http::{HeaderMap, Method, Response, StatusCode};
use warp::{Filter, Rejection};

use crate::app::App;
use crate::bell::Doorbell;
use crate::bell::memory::Queues;
use crate::duty::Queue;
use crate::error::{Code, Fault, Retry};
use crate::functions::{self, Answer, Function, Then, Trigger, problem};
use crate::host::DONE;
use crate::span::Scope;
use crate::web::{Reply, Request};

use self::invocation::Invocation;
use self::protection::protect;

/// The largest body taken, in bytes. A queue message of 64 KiB needs 88 KiB in its envelope; Entra's form and
/// Microsoft's webhook stay below 16 KiB.
pub const BODY_LIMIT: usize = 256 * 1024;

/// How much of a body over the limit is read and thrown away, in bytes, so that a client which writes before it reads
/// gets its answer and not a reset connection.
const DRAIN_LIMIT: usize = 32 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// How long a bell that could not be answered stays silent; the same as `visibilityTimeout` in host.json.
pub const REDELIVERY: time::Duration = crate::duty::FIRST_BELL;

/// How long [`hear`] sleeps when no bell is set.
const LISTENING: time::Duration = time::Duration::hours(1);

/// A request as it came in, before anything is known of it.
struct Incoming {
    method: Method,
    /// The path below the door's prefix.
    path: String,
    query: String,
    headers: HeaderMap,
    body: Result<Bytes, Fault>,
}

/// Serves until the process ends. The host stops its handlers with SIGKILL, so there is nothing to wind down.
pub async fn serve(app: App, listener: TcpListener) {
    let ready = warp::path::end().and(warp::get()).map(|| encode(Reply::new(200, "text/plain", "ready")));
    let door = |open: fn(App, Incoming) -> BoxFuture<'static, Reply>| {
        let app = app.clone();
        incoming().then(move |incoming| open(app.clone(), incoming).map(encode))
    };
    let http = warp::path("api").and(door(|app, incoming| {
        let over_tls = app.settings.public_url.scheme() == "https";
        http_door(app, incoming).map(move |reply| protect(reply, over_tls)).boxed()
    }));
    let host = warp::post().and(door(|app, incoming| host_door(app, incoming).boxed()));
    let routes = ready.or(http).unify().or(host).unify().recover(unroutable).unify().boxed();
    warp::serve(routes).incoming(listener).run().await;
}

/// Answers the bells of queues in this process, where no host can see them. A bell whose duty could not be looked at
/// comes back after [`REDELIVERY`], as the host would bring it.
pub async fn hear(app: App, queues: Queues) {
    loop {
        // Listened for before the queues are looked at, so that a bell in between is not missed.
        let changed = queues.changed();
        let heard = Queue::ALL.into_iter().flat_map(|queue| {
            let messages = queues.receive(queue.name(), 1, REDELIVERY);
            messages.into_iter().map(move |message| (queue, message))
        });
        let heard: Vec<_> = heard.collect();
        for (queue, message) in &heard {
            let discharged = match Doorbell::decode(*queue, &message.body) {
                Ok(doorbell) => guarded(functions::discharge(&app, &doorbell)).await.and_then(|result| result),
                Err(fault) => Err(fault),
            };
            match discharged {
                Err(fault) if fault.retry != Retry::Never => {
                    tracing::warn!(queue = queue.name(), %fault, "a bell is heard again later");
                }
                result => {
                    if let Err(fault) = result {
                        tracing::error!(queue = queue.name(), %fault, "a bell is dropped");
                    }
                    queues.delete(queue.name(), &message.id, &message.receipt);
                }
            }
        }
        if heard.is_empty() {
            let next = queues.next_visible(&Queue::ALL.map(Queue::name)).unwrap_or_else(|| app.clock.now() + LISTENING);
            tokio::select! { () = app.clock.sleep_until(next) => {}, () = changed => {} }
        }
    }
}

/// Takes a request apart. Bodies may come in chunks without a length (the host sends them so), hence the limit on
/// what is read and not on what is announced.
fn incoming() -> impl Filter<Extract = (Incoming,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::tail())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|method, path: warp::path::Tail, query, headers, body| async move {
            let path = path.as_str().trim_matches('/').to_owned();
            let body = match tokio::time::timeout(BODY_PATIENCE, collect(body)).await {
                Ok(body) => body,
                Err(_) => Err(Fault::new(Code::BodyTooSlow, "the body did not arrive in time")),
            };
            Incoming { method, path, query, headers, body }
        })
}

async fn collect<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) -> Result<Bytes, Fault> {
    let mut body = std::pin::pin!(body);
    let mut collected = BytesMut::new();
    let mut length = 0_usize;
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| Fault::new(Code::BadRequest, "the body broke off"))?;
        length = length.saturating_add(chunk.remaining());
        if length > DRAIN_LIMIT {
            break;
        }
        if length <= BODY_LIMIT {
            collected.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        }
    }
    if length > BODY_LIMIT {
        return Err(Fault::new(Code::BodyTooLarge, format!("the body has more than {BODY_LIMIT} bytes")));
    }
    Ok(collected.freeze())
}

/// `/api/<function>[/...]`: requests that the host passes on from outside.
async fn http_door(app: App, incoming: Incoming) -> Reply {
    let (name, path) = incoming.path.split_once('/').unwrap_or((&incoming.path, ""));
    let function = Function::named(name).filter(|function| matches!(function.trigger(), Trigger::Http { .. }));
    let invocation = Invocation::begin(function, incoming.method.as_str(), &incoming.headers);
    let Some(function) = function else {
        return invocation.refuse(&Fault::new(Code::UnknownFunction, "no such route"));
    };
    let request = match incoming.body {
        Ok(body) => Request {
            invocation_id: invocation.id.clone(),
            method: incoming.method.to_string(),
            path: path.to_owned(),
            raw_query: incoming.query,
            headers: plain_headers(&incoming.headers),
            body,
        },
        Err(fault) => return invocation.refuse_for(&app, function, fault),
    };
    if let Trigger::Http { methods, .. } = function.trigger()
        && !methods.contains(&request.method.as_str())
    {
        let allowed = methods.join(", ");
        let fault = Fault::new(Code::WrongMethod, format!("{name} answers {allowed} only"));
        return invocation.refuse_for(&app, function, fault).with("allow", allowed);
    }
    let app = app.correlated(&invocation.id);
    let now = app.clock.now();
    let answered = invocation.scope.run(guarded(functions::answer(&app, function, &request, now))).await;
    match answered {
        Ok((answer, fault)) => {
            let Answer { reply, then } = answer;
            invocation.end(reply.status, fault.as_ref());
            afterwards(&app, then, &invocation.scope);
            reply
        }
        Err(fault) => invocation.refuse_for(&app, function, fault),
    }
}

/// `POST /<function>`: the host's queue and timer triggers. Never an empty body: the invocation would hang.
async fn host_door(app: App, incoming: Incoming) -> Reply {
    let function = Function::named(&incoming.path);
    let function = function.filter(|function| !matches!(function.trigger(), Trigger::Http { .. }));
    let invocation = Invocation::begin(function, incoming.method.as_str(), &incoming.headers);
    let Some(function) = function else {
        return invocation.refuse(&Fault::new(Code::UnknownFunction, "no such function"));
    };
    let body = match incoming.body {
        Ok(body) => body,
        Err(fault) => return invocation.refuse(&fault),
    };
    let app = app.correlated(&invocation.id);
    let now = app.clock.now();
    let run = invocation.scope.run(guarded(functions::triggered(&app, function, &body, now))).await;
    match run.and_then(|result| result) {
        Ok(()) => {
            invocation.end(200, None);
            Reply::new(200, "application/json", DONE)
        }
        Err(fault) => invocation.refuse(&fault),
    }
}

/// Does the work that a function left for after its answer: on a warm instance a buyer sees the result in a second, where
/// a cold queue function may need a minute to start.
fn afterwards(app: &App, then: Vec<Then>, scope: &Scope) {
    for then in then {
        let Ok(permit) = app.afterwards.clone().try_acquire_owned() else {
            scope
                .tell(|| tracing::info!(?then, "too busy to try at once; the bell will ring, and the timer will come"));
            return;
        };
        let app = app.clone();
        let work = async move {
            let _permit = permit;
            let what = format!("{then:?}");
            let result = guarded(functions::follow_up(&app, then)).await.and_then(|result| result);
            if let Err(fault) = result {
                tracing::warn!(then = what, code = %fault.code, "{}", fault.private);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the one place where work outlives its request")]
        tokio::spawn(scope.run(work));
    }
}

impl Invocation {
    fn refuse(&self, fault: &Fault) -> Reply {
        self.end(fault.code.status(), Some(fault));
        problem(fault.code, &self.id)
    }

    fn refuse_for(&self, app: &App, function: Function, fault: Fault) -> Reply {
        self.end(fault.code.status(), Some(&fault));
        functions::refuse(app, function, &self.id, fault.into())
    }
}

/// Turns a panic into a fault: the caller gets an answer, and the process lives. The log says where it was.
async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, Fault> {
    let panicked = |_| Fault::passing(Code::Internal, "panicked; the line before this one says where");
    AssertUnwindSafe(work).catch_unwind().await.map_err(panicked)
}

async fn unroutable(rejection: Rejection) -> Result<Response<String>, Infallible> {
    let wrong_method = rejection.find::<warp::reject::MethodNotAllowed>().is_some();
    let code = if wrong_method { Code::WrongMethod } else { Code::UnknownFunction };
    Ok(encode(problem(code, "")))
}

fn plain_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &warp::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn encode(reply: Reply) -> Response<String> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(reply.body).unwrap_or_else(|_| {
        let mut failed = Response::new(String::new());
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        failed
    })
}
