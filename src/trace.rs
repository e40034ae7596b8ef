//! W3C Trace Context: which trace a request belongs to, read from its headers and written for the next server.
//!
//! Version 00 of the Recommendation "Trace Context" (level 1), with the flag for random ids of its level 2. Where the two
//! headers are not what they should be, the trace begins anew: they are a hint of where we stand, and nothing that
//! matters depends on them.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// The request header that names the trace, the caller's span, and the flags.
pub const TRACEPARENT: &str = "traceparent";

/// The request header with what tracing systems add for themselves.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00, in characters. Later versions may only be longer.
const TRACEPARENT_LENGTH: usize = 55;

/// The most that is passed on of a `tracestate`, in characters: what every participant must be able to carry. Whole
/// entries are left out from the end, where the oldest stand.
const TRACESTATE_LENGTH: usize = 512;

/// The most entries that a `tracestate` may have, by the Recommendation.
const TRACESTATE_ENTRIES: usize = 32;

/// The caller may have recorded its part.
const SAMPLED: u8 = 0b01;

/// The trace id is random throughout (level 2).
const RANDOM: u8 = 0b10;

/// Identifies one trace: everything that happened because of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(NonZeroU128);

/// Identifies one span: one server's or client's part in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(NonZeroU64);

/// A place in a trace: a span, and what goes with it to the next server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    flags: u8,
    state: Option<String>,
}

impl TraceContext {
    /// The first span of a new trace whose ids are random.
    pub fn root(trace_id: NonZeroU128, span_id: NonZeroU64) -> Self {
        Self { trace_id: TraceId(trace_id), span_id: SpanId(span_id), flags: SAMPLED | RANDOM, state: None }
    }

    /// The caller's place, from all the values of its two headers. `None` where a new trace begins.
    ///
    /// A header that a proxy has doubled, as two fields or as one with a comma, still counts if all that can be read name
    /// one trace: the last of them was written nearest to us. Two traces are none.
    pub fn read<'a>(
        traceparent: impl IntoIterator<Item = &'a str>,
        tracestate: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut places = traceparent.into_iter().flat_map(|field| field.split(',')).filter_map(place);
        let first = places.next()?;
        let last = places.try_fold(first, |(trace, ..), next| (next.0 == trace).then_some(next));
        let (trace_id, span_id, flags) = last?;
        Some(Self { trace_id, span_id, flags, state: state(tracestate) })
    }

    /// The span `span_id` in the same trace, begun by this one.
    #[must_use]
    pub fn child(&self, span_id: NonZeroU64) -> Self {
        Self { span_id: SpanId(span_id), ..self.clone() }
    }

    /// The `traceparent` of a request that this span makes.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// The `tracestate` of a request that this span makes; `None` where there is none to pass on.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Reads one `traceparent`. One of a later version is read as far as this version goes.
fn place(text: &str) -> Option<(TraceId, SpanId, u8)> {
    let text = text.trim_matches([' ', '\t']);
    let (known, rest) = text.split_at_checked(TRACEPARENT_LENGTH)?;
    let mut fields = known.split('-');
    let mut field = |length: usize| fields.next().filter(|field| field.len() == length && field.bytes().all(is_hex));
    let (version, trace_id, span_id, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let fits = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let trace_id = NonZeroU128::new(u128::from_str_radix(trace_id, 16).ok()?)?;
    let span_id = NonZeroU64::new(u64::from_str_radix(span_id, 16).ok()?)?;
    let flags = u8::from_str_radix(flags, 16).ok()? & (SAMPLED | RANDOM);
    fits.then_some((TraceId(trace_id), SpanId(span_id), flags))
}

/// Capital letters are not allowed: two spellings would be two ids to whoever compares them as text.
fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Reads the `tracestate` and keeps what may be passed on. One wrong entry makes all of them doubtful, so that nothing is.
fn state<'a>(fields: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let entries = fields.into_iter().flat_map(|field| field.split(','));
    let entries: Vec<&str> = entries.map(|entry| entry.trim_matches([' ', '\t'])).filter(|it| !it.is_empty()).collect();
    if entries.len() > TRACESTATE_ENTRIES || !entries.iter().all(|entry| is_entry(entry)) {
        return None;
    }
    let mut kept = String::new();
    for entry in entries {
        let comma = usize::from(!kept.is_empty());
        if kept.len() + comma + entry.len() > TRACESTATE_LENGTH {
            break;
        }
        kept.extend([",", entry].into_iter().skip(1 - comma));
    }
    Some(kept).filter(|kept| !kept.is_empty())
}

/// `key=value`: a key of small letters, digits and a few signs, and a value that can be printed.
fn is_entry(entry: &str) -> bool {
    entry.split_once('=').is_some_and(|(key, value)| {
        let starts = key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
        let key_bytes =
            key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte));
        let value_bytes = value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=');
        starts && key_bytes && value_bytes && !value.is_empty()
    })
}
