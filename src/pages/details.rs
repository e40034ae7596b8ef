//! The list of facts on a page: each row a label and a value, a row that has no value left out.

use time::OffsetDateTime;

use super::Inner;
use super::sentences::{TermUnit, term_unit};

/// One row.
pub(super) struct Detail {
    pub(super) label: String,
    pub(super) value: String,
}

/// Rows in the order in which they are added.
pub(super) struct Details<'a> {
    pages: &'a Inner,
    rows: Vec<Detail>,
}

impl<'a> Details<'a> {
    pub(super) fn new(pages: &'a Inner) -> Self {
        Self { pages, rows: Vec::new() }
    }

    pub(super) fn text(&mut self, label: &str, value: &str) -> &mut Self {
        if !value.trim().is_empty() {
            self.rows.push(Detail { label: self.pages.say(label), value: value.to_owned() });
        }
        self
    }

    pub(super) fn optional(&mut self, label: &str, value: Option<&str>) -> &mut Self {
        self.text(label, value.unwrap_or_default())
    }

    pub(super) fn seats(&mut self, seats: Option<u32>) -> &mut Self {
        self.optional("label-seats", seats.map(|seats| self.pages.say_count("seats", seats)).as_deref())
    }

    pub(super) fn term(&mut self, unit: Option<&str>) -> &mut Self {
        let value = unit.map(|unit| match term_unit(unit) {
            TermUnit::Months(months) => self.pages.say_count("term-months", months),
            TermUnit::Years(years) => self.pages.say_count("term-years", years),
            TermUnit::Other => unit.to_owned(),
        });
        self.optional("label-term", value.as_deref())
    }

    pub(super) fn time(&mut self, label: &str, time: OffsetDateTime) -> &mut Self {
        self.text(label, &self.pages.say_time("time", time))
    }

    pub(super) fn finish(self) -> Vec<Detail> {
        self.rows
    }
}
