//! The story's time, for a program that runs as a process of its own: libfaketime reads it from a file at every look at the
//! clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use marketplace_fulfillment::dev::Program;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::format_description;

/// The library that tells a process what time it is.
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"];

/// The time, in a file.
pub(crate) struct Wristwatch {
    folder: TempDir,
}

impl Wristwatch {
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        let watch = Self { folder: TempDir::new().unwrap() };
        watch.set(now);
        watch
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("now")
    }

    pub(crate) fn set(&self, now: OffsetDateTime) {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");
        let next = self.folder.path().join("next");
        std::fs::write(&next, now.format(format).unwrap()).unwrap();
        // In one step: a reader sees the old time or the new one, and no half of either.
        std::fs::rename(next, self.file()).unwrap();
    }

    /// The built program, which lives by this watch.
    pub(crate) fn program(&self) -> Program {
        let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
        let library = library.expect("libfaketime is not installed: apt-get install libfaketime (tests/run does it)");
        let file = self.file();
        let environment = [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            // Timeouts run on the machine's clock, as everywhere in these stories.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("TZ", "UTC"),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Program { path: env!("CARGO_BIN_EXE_fulfillment").into(), environment: BTreeMap::from(environment) }
    }
}
