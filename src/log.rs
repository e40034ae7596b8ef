//! The log: JSON lines on stdout, which the Functions host hands to Application Insights. stderr is not for logs: the host
//! takes every line there for an error.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// What is logged unless `RUST_LOG` says otherwise: our own events, and trouble in libraries.
const DEFAULT_FILTER: &str = "warn,marketplace_fulfillment=info";

/// Starts the log of this process. `filter` is the value of `RUST_LOG`; one that cannot be read is left aside.
pub fn start(filter: Option<&str>) {
    let filter = filter.and_then(|filter| EnvFilter::try_new(filter).ok());
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER)))
        .with_writer(BoxMakeWriter::new(io::stdout))
        .finish();
    std::panic::set_hook(Box::new(|panic| {
        // A message that was put together may hold anything, personal data included; a constant one cannot.
        let constant = panic.payload().downcast_ref::<&str>().copied().unwrap_or("a message that is not logged");
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked: {constant}");
    }));
    // A second start in one process keeps the first log, which is what a second start wants.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
