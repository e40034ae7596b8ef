//! `signin`, where Entra posts its answer: verifies who came, and leads on to the purchase they came for.

use time::OffsetDateTime;

use super::Refused;
use crate::app::App;
use crate::arrival::{self, handoff_path, landing_path};
use crate::error::{Code, Fault};
use crate::session::{Attempt, Destination};
use crate::web::{Reply, Request};

/// The longest error code of Entra's that is written to the log, in characters.
const ERROR_CODE_LENGTH: usize = 60;

/// Ends a sign-in attempt of this browser. Each attempt works once: its cookie goes with the answer.
pub async fn run(app: &App, request: &Request, now: OffsetDateTime) -> Result<Reply, Refused> {
    let state = request
        .form("state")
        .ok_or_else(|| Fault::new(Code::BadRequest, "the answer to a sign-in came without its state"))?;
    let (attempt, used_up) = app.secrets.sessions(now).await?.finish(request, &state, now)?;
    match enter(app, request, &attempt, now).await {
        Ok(reply) => Ok(reply.with("set-cookie", used_up)),
        Err(fault) => {
            let choose_account = matches!(fault.code, Code::WrongPerson | Code::SigninFailed);
            // With a token that the marketplace refuses, no sign-in leads anywhere.
            let again = match fault.code {
                Code::TokenRefused | Code::ForeignOffer | Code::UnknownSubscription => None,
                _ => arrival::begin_signin(app, request, attempt.destination, choose_account, now).await.ok(),
            };
            let again = again.map(|mut start| {
                start.cookies.push(used_up);
                start
            });
            Err(Refused { fault, again })
        }
    }
}

async fn enter(app: &App, request: &Request, attempt: &Attempt, now: OffsetDateTime) -> Result<Reply, Fault> {
    if let Some(error) = request.form("error") {
        let error: String =
            error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(ERROR_CODE_LENGTH).collect();
        return Err(Fault::new(Code::SigninFailed, format!("Entra answered the error {error}")));
    }
    let id_token = request
        .form("id_token")
        .ok_or_else(|| Fault::new(Code::SigninFailed, "the answer holds neither an id_token nor an error"))?;
    let person = app.entra.verify(&id_token, &attempt.nonce, now).await?;
    let location = match &attempt.destination {
        Destination::Token(token) => landing_path(&arrival::with_token(app, &person, token).await?.id),
        Destination::Subscription(id) => landing_path(&arrival::at_subscription(app, &person, id).await?.id),
        Destination::Handoff(id, purpose) => {
            handoff_path(&arrival::at_subscription(app, &person, id).await?.id, *purpose)
        }
    };
    let (_, cookie) = app.secrets.sessions(now).await?.start(person, now);
    Ok(Reply::see_other(location).with("cache-control", "no-store").with("set-cookie", cookie))
}
