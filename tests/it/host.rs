//! The Functions host stand-in: what it does to a handler, a queue and a client.

mod config;
mod door;
mod process;
mod queue;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use marketplace_fulfillment::bell::memory::Queues;
use marketplace_fulfillment::clock::{Clock, Manual};
use marketplace_fulfillment::dev::host::{
    Account, Event, Framing, Handler, Host, InProcess, Invocation, Options, Outcome, Patience, StartError,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;
use warp::http::HeaderMap;
use warp::reply::Response;
use warp::{Filter, Reply};

/// Nothing in these stories takes as long; what does is stuck.
const STORY_MAX: Duration = Duration::from_mins(1);
const NOON: OffsetDateTime = datetime!(2026-10-02 12:00 UTC);

/// A request as the handler got it.
#[derive(Clone, Debug)]
struct Call {
    method: String,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// An app in a folder of its own, with a clock to move and queues to fill.
struct Stage {
    folder: TempDir,
    queues: Queues,
    clock: Clock,
    hands: Manual,
}

impl Stage {
    fn new(functions: &[(&str, Value)]) -> Self {
        Self::starting_at(NOON, functions)
    }

    fn starting_at(start: OffsetDateTime, functions: &[(&str, Value)]) -> Self {
        let folder = TempDir::new().unwrap();
        write(folder.path(), "host.json", &host_json());
        for (name, bindings) in functions {
            write(folder.path(), &format!("functions/{name}/function.json"), &json!({"bindings": bindings}));
        }
        let clock = Clock::manual(start);
        let Clock::Manual(hands) = clock.clone() else { unreachable!("made as a manual clock") };
        Self { folder, queues: Queues::new(clock.clone()), clock, hands }
    }

    fn options(&self, handler: Handler) -> Options {
        Options {
            app_root: self.folder.path().to_owned(),
            handler,
            account: Account::Memory(self.queues.clone()),
            clock: self.clock.clone(),
            enable_auth: None,
            framing: Framing::Chunked,
            traceparent: false,
            patience: Patience::default(),
        }
    }

    async fn start(&self, handler: Handler) -> Host {
        start(self.options(handler)).await.unwrap()
    }

    fn put(&self, text: &str) {
        self.queues.put("jobs", text.as_bytes().to_vec(), time::Duration::ZERO).unwrap();
    }
}

async fn start(options: Options) -> Result<Host, StartError> {
    Host::start(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), options).await
}

fn host_json() -> Value {
    json!({
        "version": "2.0",
        "functionTimeout": "00:05:00",
        "customHandler": {
            "description": {"defaultExecutablePath": "handler"},
            "enableProxyingHttpRequest": true,
            "enableForwardingHttpRequest": true
        },
        "extensions": {"queues": {"visibilityTimeout": "00:00:30", "batchSize": 2, "newBatchThreshold": 0}}
    })
}

fn write(root: &Path, name: &str, content: &Value) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_vec_pretty(content).unwrap()).unwrap();
}

fn queue_function() -> Value {
    json!([{"type": "queueTrigger", "direction": "in", "name": "msg", "queueName": "jobs", "dataType": "binary"}])
}

fn http_function(method: &str, level: &str, route: &str) -> Value {
    json!([
        {"type": "httpTrigger", "direction": "in", "name": "req", "methods": [method], "authLevel": level, "route": route},
        {"type": "http", "direction": "out", "name": "res"}
    ])
}

/// A handler that answers `GET /` at once and everything else with `answer`.
fn handler<F, A>(answer: F) -> Handler
where
    F: Fn(Call) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    serving(move || {
        let answer = answer.clone();
        let ready = warp::path::end().and(warp::get()).map(|| warp::reply().into_response());
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let call = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .then(move |method: warp::http::Method, path: warp::path::FullPath, query: String, headers, body| {
                let mark = if query.is_empty() { "" } else { "?" };
                let target = format!("{}{mark}{query}", path.as_str());
                answer(Call { method: method.to_string(), target, headers, body })
            });
        ready.or(call).unify().boxed()
    })
}

/// A handler that serves these routes, made anew for every start.
fn serving(routes: impl Fn() -> warp::filters::BoxedFilter<(Response,)> + Send + Sync + 'static) -> Handler {
    let serve: InProcess = Arc::new(move |listener| {
        let routes = routes();
        Box::pin(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            warp::serve(routes).incoming(listener).run().await;
        })
    });
    Handler::InProcess(serve)
}

/// A handler that notes every call and answers all of them the same.
fn noting(answer: fn() -> Response) -> (Handler, Calls) {
    let calls = Calls::default();
    let noted = Arc::clone(&calls);
    let handler = handler(move |call| {
        noted.lock().unwrap().push(call);
        std::future::ready(answer())
    });
    (handler, calls)
}

fn done() -> Response {
    warp::reply::json(&json!({})).into_response()
}

fn failed() -> Response {
    warp::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn calls(calls: &Calls) -> Vec<Call> {
    calls.lock().unwrap().clone()
}

fn invocations(host: &Host) -> Vec<Invocation> {
    let invoked = host.events().into_iter().filter_map(|event| match event {
        Event::Invoked(invocation) => Some(invocation),
        _ => None,
    });
    invoked.collect()
}

fn outcomes(host: &Host) -> Vec<Outcome> {
    invocations(host).into_iter().map(|invocation| invocation.outcome).collect()
}

fn starts(host: &Host) -> usize {
    host.events().iter().filter(|event| matches!(event, Event::Started { .. })).count()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().no_gzip().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Tells a story; one that would wait for ever fails.
fn story(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async { tokio::time::timeout(STORY_MAX, story).await });
    assert!(told.is_ok(), "the story did not come to its end within {STORY_MAX:?}");
}
