//! The two forms of timer schedule that the stand-in knows, out of all that NCRONTAB can say.

use time::{Duration, OffsetDateTime};

/// When a timer rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// `0 */N * * * *`: at every minute of the hour that N divides.
    Every(u8),
    /// `0 M * * * *`: at minute M of every hour.
    Hourly(u8),
}

impl Schedule {
    /// Reads the six fields (second, minute, hour, day, month, day of week); `None` where they say anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let ["0", minute, "*", "*", "*", "*"] = fields.as_slice() else { return None };
        let within_hour = |text: &str| text.parse().ok().filter(|minute: &u8| *minute < 60);
        match minute.strip_prefix("*/") {
            Some(step) => within_hour(step).filter(|step| *step > 0).map(Self::Every),
            None if *minute == "*" => Some(Self::Every(1)),
            None => within_hour(minute).map(Self::Hourly),
        }
    }

    /// The first time after `after`.
    pub(super) fn next(self, after: OffsetDateTime) -> OffsetDateTime {
        let second = i64::from(after.second());
        let mut next =
            after - Duration::seconds(second) - Duration::nanoseconds(after.nanosecond().into()) + Duration::MINUTE;
        while !self.includes(next.minute()) {
            next += Duration::MINUTE;
        }
        next
    }

    fn includes(self, minute: u8) -> bool {
        match self {
            Self::Every(step) => minute.is_multiple_of(step),
            Self::Hourly(at) => minute == at,
        }
    }
}
