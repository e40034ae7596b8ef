//! Whether buyers can sign in, and whether our clock agrees with Entra's.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::Finding;
use crate::app::App;

const SIGN_IN: &str = "sign-in";
const CLOCK: &str = "clock";

/// How long Entra may take to say what time it is. It answers within a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// How far the clocks may differ before somebody should look: tokens and storage bear more.
const NOTICED: time::Duration = time::Duration::minutes(1);

/// How far the clocks may differ at all: what we grant the times in a token.
const BORNE: time::Duration = time::Duration::minutes(5);

pub(super) async fn keys(app: &App) -> Vec<Finding> {
    vec![match app.entra.keys_at_hand(app.clock.now()).await {
        Ok(keys) => Finding::good(SIGN_IN, format!("{keys} of Entra's keys, which prove who signs in")),
        Err(fault) => {
            Finding::bad(SIGN_IN, format!("{}: see ENTRA_AUTHORITY_URL, and may this app call out?", fault.private))
        }
    }]
}

/// Entra writes the time on every answer.
pub(super) async fn clock(app: &App, http: &reqwest::Client) -> Vec<Finding> {
    let authority = app.settings.entra.authority.as_str().trim_end_matches('/');
    let url = format!("{authority}/common/v2.0/.well-known/openid-configuration");
    let answer = http.get(url).timeout(PATIENCE).send().await;
    let date = answer.ok().and_then(|answer| {
        let date = answer.headers().get("date")?.to_str().ok()?;
        OffsetDateTime::parse(date, &Rfc2822).ok()
    });
    let Some(date) = date else {
        return vec![Finding::unknown(CLOCK, "not compared: Entra did not say what time it is")];
    };
    let ours = app.clock.now();
    let ahead = ours - date;
    let seconds = ahead.whole_seconds();
    vec![if ahead.abs() > BORNE {
        let says =
            format!("this machine's clock is {seconds} seconds ahead of Entra's: tokens are refused. Set it by NTP");
        Finding::bad(CLOCK, says)
    } else if ahead.abs() > NOTICED {
        Finding::notice(CLOCK, format!("this machine's clock is {seconds} seconds ahead of Entra's"))
    } else {
        Finding::good(CLOCK, "agrees with Entra's")
    }]
}
