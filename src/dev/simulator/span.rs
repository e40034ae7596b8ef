//! Time as text. Spans as ISO 8601 writes them: `P1DT2H3M4S`; months and years are refused, because their length depends
//! on where they begin. Moments as Microsoft writes them.

use serde::{Deserialize as _, Deserializer, Serializer, de};
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

/// The longest span that is accepted: ten years. It keeps every date within what `time` can hold.
pub(super) const LONGEST: Duration = Duration::days(3_653);

/// Reads days, hours, minutes and whole seconds, at most [`LONGEST`].
///
/// # Errors
///
/// One sentence that says what is accepted.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    read(text).filter(|span| *span <= LONGEST).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        format!(
            "\"{shown}\" is not a duration of days, hours, minutes and seconds such as PT24H, P30D or P1DT12H, of at \
             most ten years"
        )
    })
}

fn read(text: &str) -> Option<Duration> {
    let (date, clock) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some((date, clock)) => (date, clock),
        None => (text.strip_prefix('P')?, ""),
    };
    if date.is_empty() && clock.is_empty() {
        return None;
    }
    let days = units(date, &[('D', 86_400)])?;
    let seconds = units(clock, &[('H', 3_600), ('M', 60), ('S', 1)])?;
    Some(Duration::seconds(days.checked_add(seconds)?))
}

/// The seconds of a run of numbers with units, each unit at most once and in the order given.
fn units(mut text: &str, known: &[(char, i64)]) -> Option<i64> {
    let mut sum: i64 = 0;
    for (unit, seconds) in known {
        let Some((number, rest)) = text.split_once(*unit) else { continue };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(*seconds)?)?;
        text = rest;
    }
    text.is_empty().then_some(sum)
}

/// Writes a span with the largest units that fit.
pub(super) fn write(span: Duration) -> String {
    let seconds = span.whole_seconds();
    let mut text = String::from("P");
    if seconds >= 86_400 {
        text += &(seconds / 86_400).to_string();
        text.push('D');
    }
    let clock = [(seconds / 3_600 % 24, 'H'), (seconds / 60 % 60, 'M'), (seconds % 60, 'S')];
    if seconds == 0 || clock.iter().any(|(count, _)| *count > 0) {
        text.push('T');
    }
    for (count, unit) in clock {
        if count > 0 || (seconds == 0 && unit == 'S') {
            text += &count.to_string();
            text.push(unit);
        }
    }
    text
}

/// For `#[serde(with = "span")]`.
pub(in super::super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&write(*span))
}

/// For `#[serde(with = "span")]`.
pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// For `#[serde(with = "span::optional")]`.
pub(super) mod optional {
    use serde::{Deserialize as _, Deserializer, Serializer, de};
    use time::Duration;

    /// Writes `null` for none.
    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(in super::super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads `null` as none.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text)).transpose().map_err(de::Error::custom)
    }
}

/// A moment as Microsoft writes it: seven digits after the second.
pub(super) fn instant(at: OffsetDateTime) -> String {
    let digits = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
    at.to_offset(time::UtcOffset::UTC).format(&digits).expect("every field is present")
}
