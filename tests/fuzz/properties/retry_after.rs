//! `Retry-After`: never before now, never beyond the limit, and a date counts by the other server's own clock.

use marketplace_fulfillment::outbound::retry_after;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use time::Duration;

/// The longest wait that is honoured here: an hour, as for the marketplace's answers.
const LIMIT: Duration = Duration::hours(1);

pub fn holds(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [RETRY_AFTER, DATE] {
        if let Some(value) = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok()) {
            headers.insert(name, value);
        }
    }
    let wait = retry_after(&headers, LIMIT);
    assert!(wait.is_none_or(|wait| (Duration::ZERO..=LIMIT).contains(&wait)), "{wait:?}");
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(seconds) = text.and_then(|text| text.parse::<u32>().ok()) {
        assert_eq!(wait, Some(Duration::seconds(seconds.into()).min(LIMIT)));
    }
    headers.remove(DATE);
    let undated = retry_after(&headers, LIMIT);
    assert!(undated.is_none() || undated == wait, "a date counts without the other server's clock");
}
