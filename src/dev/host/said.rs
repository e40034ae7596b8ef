//! What a handler process writes, line by line, graded as the host grades it.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::journal::{Event, Journal, Level};

/// The longest line that is forwarded, in bytes; the rest of a longer one is left out.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Everything on stdout is information.
pub(super) fn grade_stdout(_line: &str) -> Level {
    Level::Information
}

/// Everything on stderr is an error, unless it speaks of a warning (`WorkerProcess.cs`).
pub(super) fn grade_stderr(line: &str) -> Level {
    if line.to_ascii_lowercase().contains("warn") { Level::Warning } else { Level::Error }
}

/// Forwards the lines of `pipe` to our log and the journal, until it is closed.
pub(super) async fn forward(pipe: impl AsyncRead + Unpin, grade: fn(&str) -> Level, journal: Journal) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    while let Ok(chunk) = reader.fill_buf().await {
        if chunk.is_empty() {
            break;
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let piece = &chunk[..end.unwrap_or(chunk.len())];
        line.extend_from_slice(&piece[..piece.len().min(LINE_BYTES_MAX - line.len())]);
        let taken = end.map_or(chunk.len(), |end| end + 1);
        reader.consume(taken);
        if end.is_some() {
            say(&line, grade, &journal);
            line.clear();
        }
    }
    if !line.is_empty() {
        say(&line, grade, &journal);
    }
}

fn say(line: &[u8], grade: fn(&str) -> Level, journal: &Journal) {
    let line = String::from_utf8_lossy(line).trim_end().to_owned();
    let level = grade(&line);
    match level {
        Level::Information => tracing::info!(target: "Host.Function.Console", "{line}"),
        Level::Warning => tracing::warn!(target: "Host.Function.Console", "{line}"),
        Level::Error => tracing::error!(target: "Host.Function.Console", "{line}"),
    }
    journal.record(Event::Said { level, line });
}
