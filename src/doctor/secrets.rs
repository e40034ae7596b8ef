//! Whether the secrets can be had, and for how long they are good.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Finding;
use crate::app::App;
use crate::rotating::Inspected;
use crate::secrets::EXPIRY_WARNING;

pub(super) async fn secrets(app: &App) -> Vec<Finding> {
    let now = app.clock.now();
    let secrets = &app.secrets;
    let mut inspected = vec![("cookie keys", Some(secrets.cookie_keys.inspect(now).await))];
    inspected.push(("credential", secrets.proof.inspect(now).await));
    if let Some(events) = &secrets.events {
        inspected.push(("events secret", Some(events.inspect(now).await)));
    }
    inspected.into_iter().map(|(about, inspected)| finding(about, inspected, now)).collect()
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
