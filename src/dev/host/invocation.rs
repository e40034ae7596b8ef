//! Calling a function that is not an HTTP function: post the envelope, judge the answer, kill the handler when the time
//! is over.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::answer::{Verdict, judge};
use super::envelope::Sys;
use super::journal::{Event, Invocation, Journal, Outcome};
use super::worker::Worker;
use super::{Framing, HOST_VERSION};

/// The longest answer that is read, in bytes. The host reads up to 2 GB; nothing here answers more than a few lines.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Calls functions.
#[derive(Clone, Debug)]
pub(super) struct Invoker {
    pub(super) client: reqwest::Client,
    pub(super) worker: Worker,
    pub(super) journal: Journal,
    pub(super) framing: Framing,
    pub(super) traceparent: bool,
    pub(super) function_timeout: Duration,
}

impl Invoker {
    /// What the host adds to the envelope of the next invocation.
    pub(super) fn sys(function: &str, now: OffsetDateTime) -> Sys {
        Sys { function: function.to_owned(), now, random: Uuid::new_v4().to_string() }
    }

    /// Runs a function; true where it succeeded. An envelope that could not be built fails the invocation.
    pub(super) async fn invoke(
        &self,
        function: &str,
        dequeue_count: Option<u32>,
        envelope: Result<Value, String>,
    ) -> bool {
        let id = Uuid::new_v4();
        let result = match envelope {
            Ok(envelope) => self.call(function, id, &envelope).await,
            Err(reason) => Err(reason),
        };
        let outcome = match result {
            Ok(logs) => {
                for line in logs {
                    tracing::info!(target: "Function.User", function, invocation = %id, "{line}");
                }
                Outcome::Succeeded
            }
            Err(reason) => {
                tracing::warn!(function, invocation = %id, reason, "the invocation failed");
                Outcome::Failed(reason)
            }
        };
        let succeeded = outcome == Outcome::Succeeded;
        let function = function.to_owned();
        self.journal.record(Event::Invoked(Invocation { function, id: id.to_string(), dequeue_count, outcome }));
        succeeded
    }

    async fn call(&self, function: &str, id: Uuid, envelope: &Value) -> Result<Vec<String>, String> {
        let port = self.worker.port().await.map_err(|_| "there is no handler".to_owned())?;
        let exchange = async {
            match self.exchange(port, function, id, envelope).await? {
                Verdict::Succeeded { logs } => Ok(logs),
                Verdict::Failed(reason) => Err(reason),
                Verdict::Hangs => std::future::pending().await,
            }
        };
        if let Ok(result) = tokio::time::timeout(self.function_timeout, exchange).await {
            return result;
        }
        self.worker.kill(Some(port)).await;
        Err(format!(
            "the timeout of {:?} was exceeded (an answer without a body never ends an invocation); the handler was killed",
            self.function_timeout
        ))
    }

    async fn exchange(&self, port: u16, function: &str, id: Uuid, envelope: &Value) -> Result<Verdict, String> {
        let body = Bytes::from(envelope.to_string());
        let mut request = self
            .client
            .post(format!("http://127.0.0.1:{port}/{function}"))
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(USER_AGENT, format!("Azure-Functions-Host/{HOST_VERSION}"))
            .header("x-azure-functions-invocationid", id.to_string())
            .header("x-azure-functions-hostversion", HOST_VERSION)
            .body(match self.framing {
                Framing::Sized => reqwest::Body::from(body),
                Framing::Chunked => reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, Infallible>(body)])),
            });
        if self.traceparent {
            request = request.header("traceparent", traceparent(id));
        }
        let broken = |error: reqwest::Error| format!("the handler could not be called: {}", error.without_url());
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status().as_u16();
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut answer = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(judge(status, media_type.as_deref(), &answer))
    }
}

/// A W3C trace context for the invocation: the trace is the invocation's own id.
pub(super) fn traceparent(id: Uuid) -> String {
    let span = Uuid::new_v4().as_u64_pair().0;
    format!("00-{}-{span:016x}-01", id.simple())
}
