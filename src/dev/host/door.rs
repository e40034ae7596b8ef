//! The host's HTTP side: routes, keys, the home page, and the two admin calls that are of use here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tokio::task::JoinSet;
use uuid::Uuid;
use warp::http::{Method, StatusCode};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::envelope::{self, Tick};
use super::function::{AuthLevel, Function, HttpTrigger, Trigger};
use super::invocation::Invoker;
use super::journal::{Event, Invocation, Outcome};
use super::proxy::{Broken, Passing, Pieces, Proxy, REQUEST_BYTES_MAX, announced};
use crate::bell::memory::MESSAGE_BYTES_MAX;
use crate::clock::Clock;

/// Invocations that admin calls may have under way at a time.
const ADMIN_INVOCATIONS_MAX: usize = 32;
/// The longest body of an admin call, in bytes: the largest message, escaped as JSON.
const ADMIN_BYTES_MAX: usize = 6 * MESSAGE_BYTES_MAX;

/// Answers HTTP requests.
pub(super) struct Door {
    /// The function key that is asked for; `None` asks for none, as `func start` does.
    pub(super) key: Option<String>,
    pub(super) functions: Vec<Function>,
    pub(super) proxy: Proxy,
    pub(super) invoker: Invoker,
    pub(super) clock: Clock,
    /// What admin calls started; ends with the door.
    pub(super) started: Mutex<JoinSet<()>>,
}

#[derive(Deserialize)]
struct AdminInput {
    #[serde(default)]
    input: Option<String>,
}

impl Door {
    /// Serves until it is dropped.
    pub(super) async fn serve(self: Arc<Self>, listener: tokio::net::TcpListener) {
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let routes = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::addr::remote())
            .and(warp::body::stream())
            .then(
                move |method, path: warp::path::FullPath, query: String, headers, remote: Option<SocketAddr>, body| {
                    let door = Arc::clone(&self);
                    let passing = Passing {
                        method,
                        target: if query.is_empty() {
                            path.as_str().to_owned()
                        } else {
                            format!("{}?{query}", path.as_str())
                        },
                        headers,
                        client: remote.map_or_else(String::new, |remote| remote.ip().to_string()),
                        body: pieces(body),
                    };
                    async move { door.answer(path.as_str(), passing).await }
                },
            );
        warp::serve(routes).incoming(listener).run().await;
    }

    async fn answer(&self, path: &str, passing: Passing) -> Response {
        if self.proxy.worker.is_stopped() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "Function host is not running.");
        }
        if let Some(rest) = path.strip_prefix("/admin/") {
            return self.admin(rest, passing).await;
        }
        let Some((name, trigger)) = self.route(path, &passing.method) else {
            // A function whose route is the root itself would have been found.
            let home = path == "/" && passing.method == Method::GET;
            return if home { home_page() } else { plain(StatusCode::NOT_FOUND, "") };
        };
        if trigger.level != AuthLevel::Anonymous && !self.may_enter(&passing) {
            return plain(StatusCode::UNAUTHORIZED, "");
        }
        if announced(&passing.headers).is_some_and(|length| length > REQUEST_BYTES_MAX) {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "");
        }
        let id = Uuid::new_v4();
        let hold = self.invoker.journal.begin();
        let (response, outcome) = match self.proxy.forward(id, passing, hold).await {
            Ok(response) => {
                let status = response.status().as_u16();
                (response, Outcome::Answered(status))
            }
            Err(trouble) => (plain(trouble.status(), ""), Outcome::Failed(format!("{trouble:?}"))),
        };
        let (function, id) = (name.to_owned(), id.to_string());
        self.invoker.journal.record(Event::Invoked(Invocation { function, id, dequeue_count: None, outcome }));
        response
    }

    /// The most exact route that matches. A method that the function does not list makes the route another one: 404, not
    /// 405.
    fn route(&self, path: &str, method: &Method) -> Option<(&str, &HttpTrigger)> {
        let http = self.functions.iter().filter_map(|function| match &function.trigger {
            Trigger::Http(trigger) => Some((function.name.as_str(), trigger)),
            _ => None,
        });
        http.filter(|(_, trigger)| {
            trigger.methods.is_empty() || trigger.methods.iter().any(|listed| listed == method.as_str())
        })
        .filter(|(_, trigger)| trigger.route.matches(path))
        .min_by_key(|(_, trigger)| trigger.route.exactness())
    }

    /// Whether the request carries the key, as a header or in the query. One key opens functions and administration:
    /// the stand-in does not tell host keys and function keys apart.
    fn may_enter(&self, passing: &Passing) -> bool {
        let Some(key) = &self.key else { return true };
        let header = passing.headers.get("x-functions-key").and_then(|value| value.to_str().ok());
        let query = passing.target.split_once('?').map_or("", |(_, query)| query);
        let mut codes = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "code");
        header == Some(key) || codes.any(|(_, code)| code == key.as_str())
    }

    async fn admin(&self, path: &str, passing: Passing) -> Response {
        match (path.split_once('/'), passing.method.as_str()) {
            (Some(("host", "ping")), "GET") => plain(StatusCode::OK, ""),
            _ if !self.may_enter(&passing) => plain(StatusCode::UNAUTHORIZED, ""),
            (Some(("functions", name)), "POST") => match read(passing.body, ADMIN_BYTES_MAX).await {
                Some(body) => self.start(name, &body),
                None => plain(StatusCode::BAD_REQUEST, "The body is too large, or broke off."),
            },
            _ => plain(StatusCode::NOT_FOUND, ""),
        }
    }

    /// Runs a function that is not an HTTP function, with the given input and without a queue: nothing is deleted, and
    /// nothing goes to poison.
    fn start(&self, name: &str, body: &[u8]) -> Response {
        let Some(function) = self.functions.iter().find(|function| function.name.eq_ignore_ascii_case(name)) else {
            return plain(StatusCode::NOT_FOUND, "");
        };
        let input = if body.is_empty() { Ok(AdminInput { input: None }) } else { serde_json::from_slice(body) };
        let Ok(AdminInput { input }) = input else {
            return plain(StatusCode::BAD_REQUEST, "The body must be an object with \"input\", a text.");
        };
        let now = self.clock.now();
        let sys = Invoker::sys(&function.name, now);
        let envelope = match &function.trigger {
            Trigger::Http(_) => return plain(StatusCode::BAD_REQUEST, "Call an HTTP function at its route."),
            Trigger::Queue(trigger) => envelope::of_input(trigger, &input.unwrap_or_default(), &sys),
            Trigger::Timer(trigger) => {
                Ok(envelope::of_tick(trigger, Tick { last: None, next: trigger.schedule.next(now) }, &sys))
            }
        };
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        while started.try_join_next().is_some() {}
        if started.len() >= ADMIN_INVOCATIONS_MAX {
            return plain(StatusCode::TOO_MANY_REQUESTS, "");
        }
        let (invoker, name, hold) = (self.invoker.clone(), function.name.clone(), self.invoker.journal.begin());
        started.spawn(async move {
            let _hold = hold;
            invoker.invoke(&name, None, envelope).await;
        });
        plain(StatusCode::ACCEPTED, "")
    }
}

fn pieces(body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static) -> Pieces {
    Box::pin(body.map(|piece| match piece {
        Ok(mut piece) => Ok(piece.copy_to_bytes(piece.remaining())),
        Err(error) => Err(Broken::from(error)),
    }))
}

/// The whole body, unless it is longer than `max` bytes or breaks off.
async fn read(mut body: Pieces, max: usize) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.ok().filter(|piece| whole.len() + piece.len() <= max)?;
        whole.extend_from_slice(&piece);
    }
    Some(whole.freeze())
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    warp::reply::with_status(text, status).into_response()
}

fn home_page() -> Response {
    let page = "<!DOCTYPE html><title>Functions</title><p>Your Functions app is up and running (stand-in host).</p>";
    warp::reply::with_header(page, CONTENT_TYPE, "text/html; charset=utf-8").into_response()
}
