//! `traceparent` and `tracestate`: what is passed on is what may be passed on, and reads as the same place again.

use marketplace_fulfillment::trace::TraceContext;

use super::text;

/// What every participant must be able to carry, in characters, by the Recommendation.
const STATE: usize = 512;

pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    // The first line is the one header, the others are the fields of the other.
    let mut fields = text.split('\n');
    let Some(read) = TraceContext::read(fields.next(), fields) else { return };
    let (parent, state) = (read.traceparent(), read.tracestate());
    let sound = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    assert!(parent.len() == 55 && parent.starts_with("00-") && parent.bytes().all(sound), "{parent}");
    assert!(state.is_none_or(|state| (1..=STATE).contains(&state.len())), "{state:?}");
    assert!(state.is_none_or(|state| state.bytes().all(|byte| (b' '..=b'~').contains(&byte))), "{state:?}");
    assert_eq!(TraceContext::read([parent.as_str()], state).as_ref(), Some(&read));
}
