//! How long a subscription is free: a month, or 1 to 180 days.

use serde::{Deserialize, Deserializer, de};
use time::{Date, Duration};

use super::span;
use super::subscription::TermUnit;

/// The longest free trial in days, as Partner Center offers it.
const LONGEST: i64 = 180;

/// The length of a free trial, as a purchase names it: `P1M`, or days such as `P7D`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A month of the calendar.
    Month,
    /// Whole days.
    Days(i64),
}

impl Trial {
    /// The first day that is paid for.
    pub fn after(self, first: Date) -> Date {
        match self {
            Self::Month => TermUnit::P1M.after(first),
            Self::Days(days) => first.saturating_add(Duration::days(days)),
        }
    }
}

impl<'de> Deserialize<'de> for Trial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "P1M" {
            return Ok(Self::Month);
        }
        let days = span::parse(&text).ok().filter(|span| *span == Duration::days(span.whole_days()));
        let days = days.map(Duration::whole_days).filter(|days| (1..=LONGEST).contains(days));
        days.map(Self::Days)
            .ok_or_else(|| de::Error::custom(format!("a free trial lasts P1M, or P1D to P{LONGEST}D in whole days")))
    }
}
