//! Whether the publisher's own software can be reached where the settings say it is, and takes what it is told.

use url::Url;

use super::Finding;
use crate::app::App;
use crate::circuit::Gate;
use crate::endpoint::State;
use crate::shown::moment;

const EVENTS: &str = "events endpoint";

/// Sends nothing: a message would have to be taken for one.
pub(super) async fn publisher(app: &App) -> Vec<Finding> {
    let connection = &app.settings.connection;
    let mut findings = Vec::new();
    if let Some(url) = &connection.events {
        findings.push(match app.publisher.admits(url).await {
            Err(why) => Finding::bad(EVENTS, format!("PUBLISHER_EVENTS_URL: {why}")),
            Ok(()) => events(app).await,
        });
    }
    let questions = [
        ("provision endpoint", "PUBLISHER_PROVISION_URL", &connection.provision),
        ("decisions endpoint", "PUBLISHER_DECISIONS_URL", &connection.decisions),
    ];
    for (about, key, url) in questions {
        if let Some(url) = url {
            findings.push(road(app, about, key, url).await);
        }
    }
    findings
}

async fn road(app: &App, about: &'static str, key: &str, url: &Url) -> Finding {
    match app.publisher.admits(url).await {
        Ok(()) => Finding::good(about, "its address may be called"),
        Err(why) => Finding::bad(about, format!("{key}: {why}")),
    }
}

async fn events(app: &App) -> Finding {
    let now = app.clock.now();
    let State { circuit, resuming } = match app.endpoint.read(now).await {
        Ok(state) => state,
        Err(error) => return Finding::unknown(EVENTS, format!("what is known of it cannot be read: {error}")),
    };
    let why = circuit.why.clone().unwrap_or_default();
    match (circuit.gate(now), circuit.failing_since) {
        (Gate::Parked, _) => {
            let sentence = "nothing is sent to it: mend it, see that POST /api/subscriptions/events/test arrives, then";
            Finding::bad(EVENTS, format!("parked ({why}); {sentence} POST /api/subscriptions/events/resume"))
        }
        (_, Some(since)) => Finding::notice(EVENTS, format!("nothing has arrived since {}: {why}", moment(since))),
        (_, None) if resuming.is_some() => Finding::good(EVENTS, "what was given up is on its way again"),
        (_, None) => Finding::good(EVENTS, "its address may be called, and the last event arrived"),
    }
}
