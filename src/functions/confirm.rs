//! `confirm`, the button: a signed-in buyer agrees to the purchase, and the duty to activate it begins.

use time::OffsetDateTime;

use super::{Answer, Refused};
use crate::app::{App, Recorded};
use crate::arrival::{self, handoff_path, landing_path};
use crate::error::{Code, Fault};
use crate::handoff::Purpose;
use crate::history::Actor;
use crate::session::{self, Destination};
use crate::subscription::{Event, SubscriptionId};
use crate::web::{Reply, Request};

/// Records the buyer's consent. A second press of the button changes nothing and leads to the same page: where the
/// publisher asks the buyer something first, the one that leads there.
pub async fn run(app: &App, request: &Request, now: OffsetDateTime) -> Result<Answer, Refused> {
    session::same_origin(request, &app.settings.public_url)?;
    let id = request.form("subscription").as_deref().and_then(SubscriptionId::parse);
    let id = id.ok_or_else(|| Fault::new(Code::BadRequest, "the form names no subscription"))?;
    let sessions = app.secrets.sessions(now).await?;
    let Some(session) = sessions.open(request, now) else {
        let fault = Fault::new(Code::SigninRequired, "the form came without a session, or with one that has ended");
        let again = arrival::begin_signin(app, request, Destination::Subscription(id), false, now).await.ok();
        return Err(Refused { fault, again });
    };
    sessions.check_form(&session, &id, request.form("form_token").as_deref().unwrap_or_default(), now)?;
    arrival::at_subscription(app, &session.person, &id).await?;
    let rings = match app.record(&id, Event::Confirmed(Actor::Buyer), None).await? {
        Recorded::Saved { rings, .. } => rings,
        Recorded::Known(_) => Vec::new(),
        Recorded::Refused(refusal) => return Err(arrival::refused(&id, refusal).into()),
    };
    let asks_first = app.settings.connection.setup.is_some();
    let location = if asks_first { handoff_path(&id, Purpose::Setup) } else { landing_path(&id) };
    let reply = Reply::see_other(location).with("cache-control", "no-store");
    Ok(Answer::and_discharge(reply, &id, &rings))
}
