//! How long another server asks us to wait (RFC 9110, 10.2.3).

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};

/// Reads `Retry-After`, in seconds or as a date, up to `limit`. A date is compared with the answer's own `Date`: both
/// come from the same clock, which ours need not agree with.
pub fn retry_after(headers: &HeaderMap, limit: Duration) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    let wait = match value.parse::<u32>() {
        Ok(seconds) => Duration::seconds(i64::from(seconds)),
        Err(_) => moment(value)? - moment(text(headers, &DATE)?)?,
    };
    Some(wait.clamp(Duration::ZERO, limit))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc2822).ok()
}
