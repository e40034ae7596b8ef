//! Spans: what one invocation and one call to another server were part of, how long they took and how they ended, each
//! as one line of the log, in the words of OpenTelemetry's semantic conventions 1.44.0
//! (<https://opentelemetry.io/docs/specs/semconv/>; HTTP stable, `FaaS`, messaging and Azure in development). Four things
//! are said otherwise. `name`, `kind`, `trace_id`, `span_id`, `parent_span_id` and `duration_ms` are fields, because a
//! line has no other place for them. A call has `url.path` and the server's name, never the whole URL: queries carry
//! tokens and signatures. An invocation has `http.route` in place of the path: a stranger's path may hold anything. And
//! a subscription has no word there, so it is `subscription_id`.

use std::num::{NonZeroU64, NonZeroU128};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;
use url::Url;

use crate::trace::{SpanId, TRACEPARENT, TRACESTATE, TraceContext};

/// The longest id of another server's that is logged, in characters. They are GUIDs.
const FOREIGN_ID_LENGTH: usize = 64;

/// The most of a path that is logged, in characters. Ours are shorter; those that another server names need not be.
const PATH_LENGTH: usize = 256;

/// What ended before it had an answer or an error, because nobody waited any longer: its `error.type`.
pub(crate) const ABANDONED: &str = "cancelled";

tokio::task_local! {
    /// The span of the invocation for which this task works.
    static CURRENT: TraceContext;

    /// Set while each success is one of very many.
    static SPARING: ();
}

/// Does work of which a success is no news: there are as many as there are subscriptions, every hour, and lines cost more
/// than what they tell of. Only debug tells of these; what fails has its line as ever.
pub(crate) fn sparing<F: Future>(work: F) -> impl Future<Output = F::Output> {
    SPARING.scope((), work)
}

/// What work belongs to: the invocation under whose name it logs, and whose children its calls are.
#[derive(Clone, Debug)]
pub struct Scope {
    log: tracing::Span,
    context: TraceContext,
}

impl Scope {
    /// Work that logs under `log`, as part of the span that `context` names.
    pub fn new(log: tracing::Span, context: TraceContext) -> Self {
        Self { log, context }
    }

    /// Does the work.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.context.clone(), work.instrument(self.log.clone()))
    }

    /// Logs within it.
    pub(crate) fn tell(&self, line: impl FnOnce()) {
        self.log.in_scope(line);
    }

    /// The place in the trace.
    pub(crate) fn context(&self) -> &TraceContext {
        &self.context
    }
}

/// A new trace, with its first span.
pub fn root() -> TraceContext {
    TraceContext::root(NonZeroU128::MIN | fastrand::u128(..), random_span_id())
}

/// A new span, begun by `parent`.
pub(crate) fn child(parent: &TraceContext) -> TraceContext {
    parent.child(random_span_id())
}

/// Never zero. An id need not be hard to guess: it opens nothing.
fn random_span_id() -> NonZeroU64 {
    NonZeroU64::MIN | fastrand::u64(..)
}

/// A call to another server, from before it is sent until it is answered: a child of the invocation's span, or the
/// beginning of a trace where there is no invocation.
///
/// Send [`CallOut::headers`] with the request, [`CallOut::answered`] takes the status, and [`CallOut::end`] writes the
/// line. A call that is dropped before its end writes it too, as `cancelled`.
#[derive(Debug)]
pub struct CallOut {
    call: Option<Call>,
    context: TraceContext,
    parent: Option<SpanId>,
    begun: Instant,
    status: Option<u16>,
    service_request_id: Option<String>,
}

/// What is called. The name of the span is the method and the operation.
#[derive(Clone, Debug)]
pub struct Call {
    /// The other side, as a sentence begins with it: "Entra", "The marketplace".
    pub whom: &'static str,
    /// What is asked for; one of few words.
    pub operation: &'static str,
    /// The method.
    pub method: String,
    /// The address. Of its query nothing is ever logged.
    pub url: Url,
    /// The marketplace subscription that it is about.
    pub subscription_id: Option<String>,
    /// The id under which the other side logs the call, where we choose it.
    pub request_id: Option<String>,
    /// The id by which the other side finds calls together, where we choose it.
    pub correlation_id: Option<String>,
    /// Whether the path may hold a secret: then nothing of it is logged either.
    pub hides_path: bool,
}

/// How a call failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failed<'a> {
    /// The class of failure, one of few words: `error.type`.
    pub kind: &'a str,
    /// The other side's own code.
    pub code: Option<&'a str>,
    /// Whether such an answer is part of daily work: a record that is not there, a race that was lost.
    pub expected: bool,
}

impl Call {
    /// A call of `operation` at `whom`.
    pub fn new(whom: &'static str, operation: &'static str, method: impl Into<String>, url: &Url) -> Self {
        let (method, url) = (method.into(), url.clone());
        Self {
            whom,
            operation,
            method,
            url,
            subscription_id: None,
            request_id: None,
            correlation_id: None,
            hides_path: false,
        }
    }

    /// Begins it.
    pub fn begin(self) -> CallOut {
        let parent = CURRENT.try_with(Clone::clone).ok();
        CallOut {
            context: parent.as_ref().map_or_else(root, child),
            parent: parent.map(|parent| parent.span_id),
            call: Some(self),
            begun: Instant::now(),
            status: None,
            service_request_id: None,
        }
    }
}

impl CallOut {
    /// The headers that tell the other side where the call belongs. For servers that the settings name, never for a
    /// browser.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let state = self.context.tracestate().map(|state| (TRACESTATE, state.to_owned()));
        [(TRACEPARENT, self.context.traceparent())].into_iter().chain(state)
    }

    /// The answer has begun: its status, and the id that the other side gave to the call.
    pub fn answered(&mut self, status: u16, service_request_id: Option<&str>) {
        let sane = |id: &&str| id.len() <= FOREIGN_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_graphic());
        self.status = Some(status);
        self.service_request_id = service_request_id.filter(sane).map(str::to_owned);
    }

    /// Writes the line.
    pub fn end(mut self, outcome: Result<(), Failed<'_>>) {
        self.write(outcome);
    }

    fn write(&mut self, outcome: Result<(), Failed<'_>>) {
        let Some(call) = self.call.take() else { return };
        let Call { whom, operation, method, url, subscription_id, request_id, correlation_id, hides_path } = call;
        let path = (!hides_path).then(|| url.path().get(..PATH_LENGTH).unwrap_or(url.path()));
        let failed = outcome.err();
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    trace_id = %self.context.trace_id,
                    span_id = %self.context.span_id,
                    parent_span_id = self.parent.map(tracing::field::display),
                    name = format_args!("{method} {operation}"),
                    kind = "CLIENT",
                    duration_ms = milliseconds(self.begun.elapsed()),
                    http.request.method = method,
                    http.response.status_code = self.status,
                    server.address = url.host_str(),
                    server.port = url.port_or_known_default(),
                    url.scheme = url.scheme(),
                    url.path = path,
                    error.type = failed.map(|failed| failed.kind),
                    azure.service.request.id = self.service_request_id,
                    operation,
                    subscription_id,
                    request_id,
                    correlation_id,
                    error_code = failed.and_then(|failed| failed.code),
                    $message
                )
            };
        }
        match failed {
            None if SPARING.try_with(|()| ()).is_ok() => line!(debug, "{whom} answered {operation}."),
            None => line!(info, "{whom} answered {operation}."),
            Some(Failed { expected: true, .. }) => line!(info, "{whom} answered {operation}."),
            Some(_) => line!(warn, "{whom} did not answer {operation}."),
        }
    }
}

impl Drop for CallOut {
    fn drop(&mut self) {
        self.write(Err(Failed { kind: ABANDONED, ..Failed::default() }));
    }
}

/// A duration as the log has it.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
