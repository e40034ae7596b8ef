//! One invocation, for the log: who called which function in which trace, and how it ended.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;
use warp::http::HeaderMap;

use crate::error::Fault;
use crate::functions::{Function, Trigger};
use crate::span::{self, ABANDONED, Scope, milliseconds};
use crate::trace::{SpanId, TRACEPARENT, TRACESTATE, TraceContext};

/// The longest invocation id taken from the host, in characters. It is a GUID.
const ID_LENGTH: usize = 64;

/// The methods that OpenTelemetry lets stand as they are.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

const ID: &str = "x-azure-functions-invocationid";

/// One invocation.
pub(super) struct Invocation {
    /// The host's id; one of our own where it gives none. Buyers see it as their reference.
    pub(super) id: String,
    /// Where its work belongs.
    pub(super) scope: Scope,
    function: Option<Function>,
    method: &'static str,
    parent: Option<SpanId>,
    begun: Instant,
    ended: AtomicBool,
}

impl Invocation {
    /// Begins an invocation of `function`, in the trace that the headers name or in a new one. What is none of our
    /// functions is logged as `unknown`: a path may hold anything.
    pub(super) fn begin(function: Option<Function>, method: &str, headers: &HeaderMap) -> Self {
        let given = headers.get(ID).and_then(|value| value.to_str().ok());
        let sane =
            |id: &&str| id.len() <= ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let id = given.filter(sane).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        let caller = TraceContext::read(values(headers, TRACEPARENT), values(headers, TRACESTATE));
        let context = caller.as_ref().map_or_else(span::root, span::child);
        let log = tracing::info_span!(
            "invocation",
            function = name(function),
            invocation_id = id,
            trace_id = %context.trace_id,
            span_id = %context.span_id,
            subscription_id = tracing::field::Empty
        );
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("_OTHER");
        let parent = caller.map(|caller| caller.span_id);
        let (scope, begun, ended) = (Scope::new(log, context), Instant::now(), AtomicBool::new(false));
        Self { id, scope, function, method, parent, begun, ended }
    }

    /// Logs how the invocation ended: once, with everything an operator needs.
    pub(super) fn end(&self, status: u16, fault: Option<&Fault>) {
        self.ended.store(true, Ordering::Relaxed);
        self.scope.tell(|| self.write(Some(status), fault));
    }

    /// Without a status: nobody waited for the answer.
    fn write(&self, status: Option<u16>, fault: Option<&Fault>) {
        let context = self.scope.context();
        let name = name(self.function);
        let trigger = self.function.map(Function::trigger);
        let queue = if let Some(Trigger::Queue(queue)) = trigger { Some(queue.name()) } else { None };
        // Whoever calls what is no function of ours speaks HTTP.
        let (kind, triggered_by) = match trigger {
            Some(Trigger::Queue(_)) => ("CONSUMER", "pubsub"),
            Some(Trigger::Timer) => ("SERVER", "timer"),
            Some(Trigger::Http { .. }) | None => ("SERVER", "http"),
        };
        let over_http = triggered_by == "http";
        let code = fault.map(|fault| fault.code.as_str());
        // To a browser or a program a refusal is an answer like another; to the host it is a failed invocation.
        let broken = fault.filter(|fault| fault.code.status() >= 500 || !over_http).map(|fault| fault.code.as_str());
        macro_rules! line {
            ($level:ident, $($message:tt)+) => {
                tracing::$level!(
                    trace_id = %context.trace_id,
                    span_id = %context.span_id,
                    parent_span_id = self.parent.map(tracing::field::display),
                    name,
                    kind,
                    duration_ms = milliseconds(self.begun.elapsed()),
                    faas.name = name,
                    faas.trigger = triggered_by,
                    faas.invocation_id = self.id,
                    http.request.method = over_http.then_some(self.method),
                    http.route = self.function.and_then(Function::route),
                    http.response.status_code = status.filter(|_| over_http),
                    messaging.system = queue.map(|_| "azure_queue_storage"),
                    messaging.destination.name = queue,
                    messaging.operation.name = queue.map(|_| "process"),
                    messaging.operation.type = queue.map(|_| "process"),
                    error.type = if status.is_none() { Some(ABANDONED) } else { broken },
                    status,
                    code,
                    $($message)+
                )
            };
        }
        match fault {
            None if status.is_none() => line!(warn, "abandoned: the caller went away before the answer"),
            None => line!(info, "answered"),
            Some(fault) if fault.code.status() < 500 => line!(warn, "refused: {}", fault.private),
            Some(fault) => line!(error, "failed: {}", fault.private),
        }
    }
}

/// Whoever calls goes away in the middle: the host's proxy then drops the connection, and the work with it.
impl Drop for Invocation {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Relaxed) {
            self.scope.tell(|| self.write(None, None));
        }
    }
}

fn name(function: Option<Function>) -> &'static str {
    function.map_or("unknown", Function::name)
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}
