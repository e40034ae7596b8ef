//! Passing an HTTP request through to the handler and its answer back, both streamed, as the host's reverse proxy does
//! with `enableProxyingHttpRequest`. One difference: dot segments in a path are resolved on the way.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use tokio::time::Instant;
use uuid::Uuid;
use warp::http::StatusCode;
use warp::reply::Response;

use super::HOST_VERSION;
use super::invocation::traceparent;
use super::journal::Hold;
use super::worker::Worker;

/// The largest request body, in bytes (`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`).
pub(super) const REQUEST_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// A handler that refuses the connection is tried this often again (`RetryProxyHandler`).
const RETRIES: u32 = 10;
/// The first pause between tries, and what each further pause adds (`RetryProxyHandler`).
const PAUSE_STEP: Duration = Duration::from_millis(50);
/// The longest pause between tries (`RetryProxyHandler`).
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Headers that belong to one connection and are not passed on.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What only the platform's sign-in may say; from outside it would be a forged identity.
const EASY_AUTH: [&str; 2] = ["x-ms-client-principal", "x-ms-token-"];

/// A failure that ends a body.
pub(super) type Broken = Box<dyn Error + Send + Sync>;
/// The pieces of a body.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>;

/// A request as it came through the door.
pub(super) struct Passing {
    pub(super) method: reqwest::Method,
    /// Path and query as they came.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// The client's IP address.
    pub(super) client: String,
    pub(super) body: Pieces,
}

/// Why a request was not answered by the handler.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The handler is down, or broke off.
    Down,
    /// The body is over [`REQUEST_BYTES_MAX`].
    TooLarge,
    /// Nothing moved for too long.
    Stalled,
    /// The function ran out of time; the handler was killed.
    TimedOut,
    /// What came in cannot be passed on.
    Malformed,
}

/// The way to the handler.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    pub(super) client: reqwest::Client,
    pub(super) worker: Worker,
    pub(super) function_timeout: Duration,
    /// How long a request or an answer may stand still.
    pub(super) activity: Duration,
    pub(super) traceparent: bool,
}

/// How far an upload has come. Shared with the stream that the client reads, which may outlive a try.
struct Progress {
    moved: Instant,
    bytes: u64,
}

impl Proxy {
    /// Passes a request to the handler. `hold` is kept until the answer's last byte is sent.
    pub(super) async fn forward(&self, id: Uuid, passing: Passing, hold: Hold) -> Result<Response, Trouble> {
        let port = self.worker.port().await.map_err(|_| Trouble::Down)?;
        let url =
            url::Url::parse(&format!("http://127.0.0.1:{port}{}", passing.target)).map_err(|_| Trouble::Malformed)?;
        let headers = self.outgoing(id, &passing.headers, &passing.client);
        let progress = Arc::new(Mutex::new(Progress { moved: Instant::now(), bytes: 0 }));
        let body =
            has_body(&passing.headers).then(|| Arc::new(Mutex::new(counted(passing.body, Arc::clone(&progress)))));
        let exchange = self.exchange(passing.method, url, headers, body);
        let answer = self
            .in_time(port, &progress, exchange)
            .await
            .map_err(|trouble| if lock(&progress).bytes > REQUEST_BYTES_MAX { Trouble::TooLarge } else { trouble })?;
        Ok(self.returned(answer, hold))
    }

    async fn exchange(
        &self,
        method: reqwest::Method,
        url: url::Url,
        headers: HeaderMap,
        body: Option<Arc<Mutex<Pieces>>>,
    ) -> Result<reqwest::Response, Trouble> {
        let mut tries = 0;
        loop {
            let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(body) = &body {
                request = request.body(reqwest::Body::wrap_stream(shared(Arc::clone(body))));
            }
            match request.send().await {
                Ok(response) => return Ok(response),
                // Nothing of the body was read without a connection, so the next try sends all of it.
                Err(error) if error.is_connect() && tries < RETRIES => {
                    tries += 1;
                    tokio::time::sleep((PAUSE_STEP * tries).min(PAUSE_MAX)).await;
                }
                Err(_) => return Err(Trouble::Down),
            }
        }
    }

    /// Waits for the head of the answer as long as something moves and the function has time.
    async fn in_time(
        &self,
        port: u16,
        progress: &Mutex<Progress>,
        exchange: impl Future<Output = Result<reqwest::Response, Trouble>>,
    ) -> Result<reqwest::Response, Trouble> {
        let over = Instant::now() + self.function_timeout;
        let mut exchange = std::pin::pin!(exchange);
        loop {
            let stalled = lock(progress).moved + self.activity;
            if let Ok(answer) = tokio::time::timeout_at(stalled.min(over), &mut exchange).await {
                return answer;
            }
            let now = Instant::now();
            if now >= over {
                self.worker.kill(Some(port)).await;
                return Err(Trouble::TimedOut);
            }
            if lock(progress).moved + self.activity <= now {
                return Err(Trouble::Stalled);
            }
        }
    }

    fn outgoing(&self, id: Uuid, incoming: &HeaderMap, client: &str) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(incoming.len() + 8);
        for (name, value) in incoming {
            let kept = is_end_to_end(incoming, name)
                && name != "host"
                && !name.as_str().starts_with("x-forwarded-")
                && !EASY_AUTH.iter().any(|prefix| name.as_str().starts_with(prefix));
            if kept {
                headers.append(name, value.clone());
            }
        }
        let mut set = |name: &'static str, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        };
        let id_text = HeaderValue::try_from(id.to_string()).ok();
        set("x-forwarded-host", incoming.get("host").cloned());
        set("x-forwarded-for", HeaderValue::try_from(client).ok());
        set("x-forwarded-proto", Some(HeaderValue::from_static("http")));
        set("x-azure-functions-hostversion", Some(HeaderValue::from_static(HOST_VERSION)));
        set("x-azure-functions-invocationid", id_text.clone());
        set("x-ms-invocation-id", id_text);
        if self.traceparent {
            set("traceparent", HeaderValue::try_from(traceparent(id)).ok());
        }
        headers
    }

    /// The handler's answer as ours: status, headers and body as they are.
    fn returned(&self, answer: reqwest::Response, hold: Hold) -> Response {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = warp::Reply::into_response(warp::reply::stream(sync(self.pieces(answer, hold))));
        *response.status_mut() = status;
        for (name, value) in &headers {
            if is_end_to_end(&headers, name) {
                response.headers_mut().append(name, value.clone());
            }
        }
        response
    }

    fn pieces(&self, answer: reqwest::Response, hold: Hold) -> Pieces {
        let activity = self.activity;
        let pieces = stream::unfold(Some((answer, hold)), move |state| async move {
            let (mut answer, hold) = state?;
            match tokio::time::timeout(activity, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => Some((Ok(chunk), Some((answer, hold)))),
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some((Err(Broken::from(error.without_url())), None)),
                Err(stalled) => Some((Err(Broken::from(stalled)), None)),
            }
        });
        Box::pin(pieces)
    }
}

/// Whether a header concerns both ends, and not only the connection it came through.
fn is_end_to_end(headers: &HeaderMap, name: &HeaderName) -> bool {
    let named = headers.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    let mut named = named.flat_map(|list| list.split(',')).map(str::trim);
    !HOP_BY_HOP.contains(&name.as_str()) && !named.any(|listed| listed.eq_ignore_ascii_case(name.as_str()))
}

/// The size that a body announces.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || announced(headers).is_some_and(|length| length > 0)
}

/// The same pieces, with their progress noted; they end with an error where there are too many.
fn counted(body: Pieces, progress: Arc<Mutex<Progress>>) -> Pieces {
    Box::pin(body.map(move |piece| {
        let piece = piece?;
        let mut progress = lock(&progress);
        progress.moved = Instant::now();
        progress.bytes += piece.len() as u64;
        if progress.bytes > REQUEST_BYTES_MAX { Err(Broken::from("the body is too large")) } else { Ok(piece) }
    }))
}

/// A stream that a try reads and leaves for the next one.
fn shared(body: Arc<Mutex<Pieces>>) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
    stream::poll_fn(move |context| lock(&body).as_mut().poll_next(context))
}

/// The same stream for warp, which wants to be able to share it between threads, though nobody does.
fn sync(body: Pieces) -> impl Stream<Item = Result<Bytes, Broken>> + Send + Sync {
    let mut body = Mutex::new(body);
    stream::poll_fn(move |context| body.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(context))
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trouble {
    /// What the client is told.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Down => StatusCode::BAD_GATEWAY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled => StatusCode::GATEWAY_TIMEOUT,
            Self::TimedOut => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }
}
