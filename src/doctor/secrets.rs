//! Whether the secrets can be had, and for how long they are good.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Finding, State};
use crate::app::App;
use crate::handoff::Signer;
use crate::rotating::{Inspected, Rotating};
use crate::secrets::EXPIRY_WARNING;

pub(super) async fn secrets(app: &App) -> Vec<Finding> {
    let now = app.clock.now();
    let secrets = &app.secrets;
    let mut inspected = vec![("cookie keys", Some(secrets.cookie_keys.inspect(now).await))];
    inspected.push(("credential", secrets.proof.inspect(now).await));
    if let Some(events) = &secrets.events {
        inspected.push(("events secret", Some(events.inspect(now).await)));
    }
    let mut findings: Vec<Finding> =
        inspected.into_iter().map(|(about, inspected)| finding(about, inspected, now)).collect();
    if app.settings.connection.hands_over()
        && let Some(signer) = &secrets.handoff
    {
        findings.push(handoff(app, signer, now).await);
    }
    findings
}

/// Whether a buyer can be handed over: the keys are there, and one of them signs.
async fn handoff(app: &App, signer: &Rotating<Signer>, now: OffsetDateTime) -> Finding {
    const ABOUT: &str = "hand-off keys";
    let inspected = finding(ABOUT, Some(signer.inspect(now).await), now);
    if inspected.state == State::Bad {
        return inspected;
    }
    match signer.current(now).await.and_then(|signer| signer.value.probe().map(|()| signer)) {
        Err(fault) => Finding::bad(ABOUT, fault.private),
        Ok(signer) => {
            let (signs, published) = (signer.value.key_id(), signer.value.published());
            let at = app.settings.function_url("keys");
            Finding { says: format!("{}; {signs} signs, {published} at {at}", inspected.says), ..inspected }
        }
    }
}

fn finding(about: &'static str, inspected: Option<Inspected>, now: OffsetDateTime) -> Finding {
    let Some(Inspected { name, expires_at }) = inspected else {
        return Finding::good(about, "the managed identity, which has no secret");
    };
    match expires_at {
        Err(fault) => Finding::bad(about, fault.private),
        Ok(None) => Finding::good(about, format!("{name} can be read; it has no date of expiry")),
        Ok(Some(expires_at)) => {
            let date = expires_at.format(&Rfc3339).unwrap_or_default();
            if expires_at <= now {
                Finding::bad(
                    about,
                    format!("{name} expired on {date}: make a new one, and set it; docs/operations.md says how"),
                )
            } else if expires_at - now <= EXPIRY_WARNING {
                Finding::notice(about, format!("{name} expires on {date}: make a new one; docs/operations.md says how"))
            } else {
                Finding::good(about, format!("{name} can be read; it expires on {date}"))
            }
        }
    }
}
