//! What happened in a world, line by line, for whoever must understand why it broke.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use time::OffsetDateTime;

use crate::world::START;

/// The most lines that are printed of a world that broke: its end, which is where it broke.
const PRINTED: usize = 600;

/// The lines of a world; clones share them.
#[derive(Clone, Default)]
pub(super) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub(super) fn note(&self, now: OffsetDateTime, line: impl Display) {
        let at = (now - START).whole_milliseconds();
        let (seconds, milliseconds) = (at / 1000, at % 1000);
        let line = format!("{seconds:>6}.{milliseconds:03}  {line}");
        self.0.lock().unwrap().push(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The end of it.
    pub(super) fn end(&self) -> String {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(PRINTED);
        let head = if skipped > 0 { format!("... {skipped} lines before\n") } else { String::new() };
        format!("{head}{}", lines[skipped..].join("\n"))
    }
}

/// The first eight characters of an id, which tell it from the others of its world.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
