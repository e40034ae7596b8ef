//! The table of figures, as Markdown: each beside its floor, and each aim beside what came of it.

use std::fmt::Write as _;

use crate::spread::{Pairs, Spread, number};

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Aim {
    /// Where more is better.
    AtLeast(f64),
    /// Where less is better.
    AtMost(f64),
    /// Nothing is asked for.
    None,
}

/// Rows that are printed as they come, and all of them in the end.
pub struct Table {
    text: String,
}

impl Table {
    /// A table without rows.
    pub fn new() -> Self {
        let head = "| figure | unit | floor | fulfillment | ratio | aim |\n|---|---|--:|--:|--:|---|\n";
        Self { text: head.to_owned() }
    }

    /// A row of measurements in pairs.
    pub fn row(&mut self, figure: &str, unit: &str, pairs: &Pairs, aim: Aim) {
        let ratio = pairs.ratio();
        let judged = match aim {
            Aim::None => String::new(),
            Aim::AtLeast(least) => format!("at least {least}: {}", verdict(ratio >= least)),
            Aim::AtMost(most) => format!("at most {most}: {}", verdict(ratio <= most)),
        };
        let (floor, ours) = (Spread::of(&pairs.floor).show(), Spread::of(&pairs.ours).show());
        self.line(&format!("| {figure} | {unit} | {floor} | {ours} | {ratio:.2} | {judged} |"));
    }

    /// A row without a floor of its own.
    pub fn fact(&mut self, figure: &str, unit: &str, value: f64, judged: &str) {
        self.line(&format!("| {figure} | {unit} | | {} | | {judged} |", number(value)));
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn line(&mut self, line: &str) {
        eprintln!("{line}");
        writeln!(self.text, "{line}").expect("a String takes everything");
    }
}

/// One word.
pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
