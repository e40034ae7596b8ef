//! What comes from outside, as values: a browser's requests and Microsoft's webhooks wait here until whoever steers the
//! world lets a function take them.

use bytes::Bytes;
use marketplace_fulfillment::functions::Function;
use marketplace_fulfillment::web::{Reply, Request};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use warp::Filter;
use warp::http::{HeaderMap, Method, Response};

/// What the host answers for a handler that died.
const DEAD: u16 = 502;

/// A request that waits. Dropped, it is answered as the host answers for a handler that died.
pub(super) struct Arrival {
    pub(super) function: Function,
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// Takes what comes to the listener, for ever.
pub(super) async fn serve(listener: TcpListener, arrivals: mpsc::UnboundedSender<Arrival>) {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let parts = warp::path("api").and(warp::method()).and(warp::path::tail()).and(query);
    let whole = parts.and(warp::header::headers_cloned()).and(warp::body::bytes());
    let routes = whole.then(move |method, path, query, headers, body| {
        let arrivals = arrivals.clone();
        async move { encode(pass_on(arrivals, method, path, query, headers, body).await) }
    });
    warp::serve(routes).incoming(listener).run().await;
}

async fn pass_on(
    arrivals: mpsc::UnboundedSender<Arrival>,
    method: Method,
    path: warp::path::Tail,
    raw_query: String,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let (name, path) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
    let Some(function) = Function::named(name) else { return Reply::new(404, "text/plain", "no such function") };
    let text = |value: &warp::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let (method, path) = (method.to_string(), path.to_owned());
    let request = Request { invocation_id: String::new(), method, path, raw_query, headers, body };
    let (reply, replied) = oneshot::channel();
    // Nobody takes it any more: the world has ended.
    let _ = arrivals.send(Arrival { function, request, reply });
    replied.await.unwrap_or_else(|_| Reply::new(DEAD, "text/plain", "the handler died"))
}

fn encode(reply: Reply) -> Response<String> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(reply.body).unwrap()
}
