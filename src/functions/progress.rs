//! `progress`, for the script of the progress page: where the purchase stands, as JSON.

use time::OffsetDateTime;

use super::Refused;
use crate::app::App;
use crate::arrival::{self, landing_path};
use crate::error::{Code, Fault};
use crate::subscription::{Stage, SubscriptionId};
use crate::web::{Reply, Request};

/// Answers `{"state", "location"}`; the page goes to `location` when the state is no longer its own.
pub async fn run(app: &App, request: &Request, now: OffsetDateTime) -> Result<Reply, Refused> {
    let id = request.query("subscription").as_deref().and_then(SubscriptionId::parse);
    let id = id.ok_or_else(|| Fault::new(Code::BadRequest, "the query names no subscription"))?;
    let session = app.secrets.sessions(now).await?.open(request, now);
    let session = session.ok_or_else(|| Fault::new(Code::SigninRequired, "no session, or one that has ended"))?;
    let subscription = arrival::at_subscription(app, &session.person, &id).await?;
    let body = serde_json::json!({ "state": word(subscription.stage(now)), "location": landing_path(&id) });
    Ok(Reply::json(200, &body).with("cache-control", "no-store"))
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Unconfirmed => "unconfirmed",
        Stage::Activating => "activating",
        Stage::Delayed { .. } => "delayed",
        Stage::Refused => "refused",
        Stage::Active { .. } => "active",
        Stage::Suspended => "suspended",
        Stage::Cancelled => "cancelled",
        Stage::Unknown => "unknown",
    }
}
