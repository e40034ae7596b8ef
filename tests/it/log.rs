//! The log of one test.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};

/// Never anybody's default. While it exists `tracing` asks every subscriber whether an event matters; with a single one
/// it would ask the thread that happens to meet the event first, which may be a test that captures nothing.
static LISTENER: OnceLock<Dispatch> = OnceLock::new();

/// Everything logged on this thread down to debug, by us and by the libraries.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures until the guard is dropped.
    pub(crate) fn capture(&self) -> DefaultGuard {
        LISTENER.get_or_init(|| {
            Dispatch::new(tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::sink).finish())
        });
        let log = self.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_max_level(Level::DEBUG).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Our own events.
    pub(crate) fn ours(&self) -> Vec<Value> {
        let lines: Vec<Value> = self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.into_iter().filter(|line| line["target"].as_str().unwrap().starts_with("marketplace_ful")).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
