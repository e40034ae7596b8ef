//! The doctor: does everything work that this app needs, and what is to be done about what does not? The same examination
//! runs as a command on an engineer's machine and as a function where the app runs.
//!
//! It changes nothing but what it makes where it is missing: the tables and queues. It shows no secret, no token and no
//! customer.

mod front_door;
mod marketplace;
mod publisher;
mod report;
mod secrets;
mod sign_in;
mod storage;

use std::time::Duration;

pub use report::{Finding, Report, State};

use crate::app::App;
use crate::clock::Clock;
use crate::outbound;
use crate::settings::{KEYS, Settings};
use crate::store::record;

/// How long one check may take. Every call in it has its own, shorter patience; this bounds what they add up to, and a
/// request to the function must end within the host's 230 seconds.
pub const CHECK_PATIENCE: Duration = Duration::from_secs(30);

/// Examines an installation that may not even have usable settings.
///
/// `get` answers a setting with its value.
pub async fn examine_settings(get: impl Fn(&str) -> Option<String>, clock: Clock) -> Report {
    let settings = match Settings::read(&get) {
        Ok(settings) => settings,
        Err(problems) => {
            let mut report = Report::default();
            report.extend(version());
            report.extend(problems.0.into_iter().map(|problem| Finding::bad("settings", problem)));
            report.extend([Finding::unknown("everything else", "looked at once the settings can be read")]);
            return report;
        }
    };
    match App::open(settings, clock) {
        // Boxed: it asks everybody at once, and whoever waits for it would carry the room for that.
        Ok(app) => Box::pin(examine(&app)).await,
        Err(fault) => {
            let mut report = Report::default();
            report.extend(version());
            report.extend([Finding::bad("settings", fault.private)]);
            report
        }
    }
}

/// Examines a running app.
pub async fn examine(app: &App) -> Report {
    let http = outbound::client();
    let (tables, queues, secrets, marketplace, sign_in, clock, front_door, publisher) = tokio::join!(
        within("tables", storage::tables(app)),
        within("queues", storage::queues(app)),
        // Boxed, like the last: it asks several in turn, and whoever waits for all checks would carry the room for that.
        within("secrets", Box::pin(secrets::secrets(app))),
        within("marketplace", marketplace::marketplace(app)),
        within("sign-in", sign_in::keys(app)),
        within("clock", sign_in::clock(app, &http)),
        within("front door", front_door::front_door(app, &http)),
        within("publisher", Box::pin(publisher::publisher(app))),
    );
    let mut report = Report::default();
    report.extend(version());
    report.extend([settings(app)]);
    for findings in [tables, queues, secrets, marketplace, sign_in, clock, front_door, publisher] {
        report.extend(findings);
    }
    report
}

async fn within(about: &'static str, check: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = || Finding::bad(about, format!("not known after {} seconds; try again", CHECK_PATIENCE.as_secs()));
    tokio::time::timeout(CHECK_PATIENCE, check).await.unwrap_or_else(|_| vec![late()])
}

fn version() -> [Finding; 1] {
    let says = format!(
        "{} {} for {}, records of form {}",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        record::VERSION
    );
    [Finding::good("version", says)]
}

fn settings(app: &App) -> Finding {
    let settings = &app.settings;
    let offers = settings.offers.join(", ");
    Finding::good("settings", format!("all {} that are read are usable; this app serves {offers}", KEYS.len()))
}
