//! What the doctor found, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Good,
    /// It works, and somebody should look at it.
    Notice,
    /// It does not work; the finding says what to do.
    Bad,
    /// It could not be looked at because of something else.
    Unknown,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub about: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen, and what to do about it. No secret, no token, no personal data.
    pub says: String,
}

/// Everything that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which a person should read it.
    pub findings: Vec<Finding>,
}

impl State {
    /// The word that begins a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Notice => "look",
            Self::Bad => "FIX",
            Self::Unknown => "?",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Notice => "notice",
            Self::Bad => "broken",
            Self::Unknown => "unknown",
        }
    }
}

impl Finding {
    /// It works.
    pub fn good(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, state: State::Good, says: says.into() }
    }

    /// It works, and somebody should look at it.
    pub fn notice(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, state: State::Notice, says: says.into() }
    }

    /// It does not work.
    pub fn bad(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, state: State::Bad, says: says.into() }
    }

    /// It could not be looked at.
    pub fn unknown(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, state: State::Unknown, says: says.into() }
    }
}

impl Report {
    /// Adds findings.
    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// Whether everything works that was looked at, and everything was.
    pub fn works(&self) -> bool {
        self.findings.iter().all(|finding| matches!(finding.state, State::Good | State::Notice))
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let findings = self
            .findings
            .iter()
            .map(|finding| json!({ "about": finding.about, "state": finding.state.name(), "says": finding.says }));
        json!({ "works": self.works(), "findings": findings.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { about, state, says } in &self.findings {
            writeln!(f, "{:<5} {about:<18} {says}", state.as_str())?;
        }
        let broken = self.findings.iter().filter(|finding| finding.state == State::Bad).count();
        match (self.works(), broken) {
            (true, _) => write!(f, "\nEverything works."),
            (false, 1) => write!(f, "\n1 thing must be fixed."),
            (false, many) => write!(f, "\n{many} things must be fixed."),
        }
    }
}
