//! `landing`, where the marketplace sends buyers: `?token=` from the marketplace, `?subscription=` from our own pages.
//!
//! A purchase token never appears in a URL of ours: it crosses sign-in sealed in a cookie, and after it was resolved the
//! browser is led to the subscription's id. `&open` and `&setup` hand the person over to the publisher's software: the
//! page that carries the proof of it is answered to whoever may act for the subscription, and stands in no URL.

use time::OffsetDateTime;

use super::Refused;
use crate::app::App;
use crate::arrival::{self, handoff_path, landing_path};
use crate::error::{Code, Fault};
use crate::handoff::{Handoff, Purpose};
use crate::pages::{self, Active, Confirm, Delayed, Progress};
use crate::session::{Destination, Session};
use crate::subscription::{Party, Stage, Subscription, SubscriptionId};
use crate::web::{Reply, Request};

/// Where the forms of our pages go.
const CONFIRM: &str = "/api/confirm";

/// Leads the buyer to sign-in, to the subscription, or shows the page of where the purchase stands.
pub async fn run(app: &App, request: &Request, now: OffsetDateTime) -> Result<Reply, Refused> {
    if let Some(token) = request.query("token").filter(|token| !token.trim().is_empty()) {
        return with_token(app, request, &purchase_token(&token)?, now).await;
    }
    let Some(id) = request.query("subscription") else {
        return Err(Fault::new(Code::TokenMissing, "neither token nor subscription in the query").into());
    };
    let id = SubscriptionId::parse(&id)
        .ok_or_else(|| Fault::new(Code::UnknownSubscription, "the query's subscription is not an id"))?;
    let purpose = Purpose::ALL.into_iter().find(|purpose| request.query(purpose.as_str()).is_some());
    at_subscription(app, request, &id, purpose, now).await
}

async fn with_token(app: &App, request: &Request, token: &str, now: OffsetDateTime) -> Result<Reply, Refused> {
    let Some(session) = app.secrets.sessions(now).await?.open(request, now) else {
        return sign_in(app, request, Destination::Token(token.to_owned()), false, now).await;
    };
    match arrival::with_token(app, &session.person, token).await {
        Ok(subscription) => Ok(Reply::see_other(landing_path(&subscription.id))),
        // Another account may be the right one: the same purchase, once more through sign-in.
        Err(fault) if fault.code == Code::WrongPerson => {
            let destination = Destination::Token(token.to_owned());
            let again = arrival::begin_signin(app, request, destination, true, now).await.ok();
            Err(Refused { fault, again })
        }
        Err(fault) => Err(fault.into()),
    }
}

async fn at_subscription(
    app: &App,
    request: &Request,
    id: &SubscriptionId,
    purpose: Option<Purpose>,
    now: OffsetDateTime,
) -> Result<Reply, Refused> {
    let destination = match purpose {
        Some(purpose) => Destination::Handoff(id.clone(), purpose),
        None => Destination::Subscription(id.clone()),
    };
    let switching = request.query("switch").is_some();
    let sessions = app.secrets.sessions(now).await?;
    let Some(session) = sessions.open(request, now).filter(|_| !switching) else {
        return sign_in(app, request, destination, switching, now).await;
    };
    let subscription = match arrival::at_subscription(app, &session.person, id).await {
        Ok(subscription) => subscription,
        Err(fault) if fault.code == Code::WrongPerson => {
            let again = arrival::begin_signin(app, request, destination, true, now).await.ok();
            return Err(Refused { fault, again });
        }
        Err(fault) => return Err(fault.into()),
    };
    if let Some(purpose) = purpose
        && let Some(reply) = hand_over(app, &session, &subscription, purpose, now).await?
    {
        return Ok(reply);
    }
    let form_token = sessions.form_token(&session, &subscription.id);
    Ok(show(app, &session, form_token, &subscription, now)?)
}

async fn sign_in(
    app: &App,
    request: &Request,
    destination: Destination,
    choose_account: bool,
    now: OffsetDateTime,
) -> Result<Reply, Refused> {
    let start = arrival::begin_signin(app, request, destination, choose_account, now).await?;
    let reply = Reply::see_other(start.url.to_string()).with("cache-control", "no-store");
    let reply = reply.with("referrer-policy", "no-referrer");
    Ok(start.cookies.into_iter().fold(reply, |reply, cookie| reply.with("set-cookie", cookie)))
}

/// The page that hands the person over, where the subscription stands as the purpose needs it.
async fn hand_over(
    app: &App,
    session: &Session,
    subscription: &Subscription,
    purpose: Purpose,
    now: OffsetDateTime,
) -> Result<Option<Reply>, Fault> {
    let address = purpose.address(&app.settings.connection, subscription.stage(now));
    let (Some(address), Some(keys)) = (address, &app.secrets.handoff) else { return Ok(None) };
    let handoff = Handoff {
        issuer: app.settings.public_url.as_str().trim_end_matches('/'),
        audience: address,
        purpose,
        subscription,
        person: &session.person,
    };
    let signed = keys.fresh(now).await?.value.sign(&handoff, now)?;
    tracing::info!(purpose = purpose.as_str(), handoff = %signed.id, "a buyer is handed over");
    Ok(Some(app.pages.handoff(&pages::Handoff {
        address: address.clone(),
        token: signed.token,
        is_setup: purpose == Purpose::Setup,
        reload_url: handoff_path(&subscription.id, purpose),
    })))
}

/// The page of where the purchase stands.
fn show(
    app: &App,
    session: &Session,
    form_token: String,
    subscription: &Subscription,
    now: OffsetDateTime,
) -> Result<Reply, Fault> {
    let stage = subscription.stage(now);
    let way = |purpose: Purpose| {
        purpose.address(&app.settings.connection, stage).map(|_| handoff_path(&subscription.id, purpose))
    };
    match stage {
        Stage::Unconfirmed => Ok(app.pages.confirm(&confirm_view(session, form_token, subscription))),
        Stage::Activating => Ok(app.pages.progress(&progress_view(subscription, way(Purpose::Setup), now))),
        Stage::Delayed { failed } => {
            Ok(app.pages.delayed(&delayed_view(form_token, subscription, failed, way(Purpose::Setup), now)))
        }
        Stage::Refused => Ok(app.pages.refused(&refused_view(form_token, subscription, now))),
        Stage::Active { newly: true } => Ok(app.pages.done(&active_view(subscription, way(Purpose::Open)))),
        Stage::Active { newly: false } => Ok(app.pages.manage(&active_view(subscription, way(Purpose::Open)))),
        Stage::Suspended => Err(Fault::new(Code::Suspended, format!("{} is suspended", subscription.id))),
        Stage::Cancelled => Err(Fault::new(Code::Cancelled, format!("{} is cancelled", subscription.id))),
        Stage::Unknown => Err(Fault::passing(
            Code::MarketplaceUnavailable,
            format!("{} is in the unknown status {}", subscription.id, subscription.known.status.as_str()),
        )),
    }
}

fn confirm_view(session: &Session, form_token: String, subscription: &Subscription) -> Confirm {
    let known = &subscription.known;
    let email = |party: &Option<Party>| party.as_ref().and_then(|party| party.email.clone());
    Confirm {
        subscription_id: subscription.id.to_string(),
        subscription_name: known.name.clone(),
        offer: known.offer_id.clone(),
        plan: known.plan_id.clone(),
        seats: known.quantity,
        term_unit: known.term.unit.clone(),
        buyer: email(&known.purchaser),
        user: email(&known.beneficiary),
        free_trial: known.is_free_trial,
        signed_in_as: session.person.username.clone().or_else(|| session.person.name.clone()),
        form_token,
        action: CONFIRM.to_owned(),
        switch_account: format!("{}&switch=1", landing_path(&subscription.id)),
    }
}

fn progress_view(subscription: &Subscription, setup_url: Option<String>, now: OffsetDateTime) -> Progress {
    Progress {
        subscription_id: subscription.id.to_string(),
        offer: subscription.known.offer_id.clone(),
        plan: subscription.known.plan_id.clone(),
        since: subscription.confirmed_at.unwrap_or(now),
        progress_url: format!("/api/progress?subscription={}", subscription.id),
        reload_url: landing_path(&subscription.id),
        setup_url,
    }
}

fn delayed_view(
    form_token: String,
    subscription: &Subscription,
    given_up: bool,
    setup_url: Option<String>,
    now: OffsetDateTime,
) -> Delayed {
    Delayed {
        subscription_id: subscription.id.to_string(),
        offer: subscription.known.offer_id.clone(),
        plan: subscription.known.plan_id.clone(),
        since: subscription.confirmed_at.unwrap_or(now),
        given_up,
        form_token,
        action: CONFIRM.to_owned(),
        reload_url: landing_path(&subscription.id),
        setup_url,
    }
}

fn refused_view(form_token: String, subscription: &Subscription, now: OffsetDateTime) -> pages::Refused {
    pages::Refused {
        subscription_id: subscription.id.to_string(),
        offer: subscription.known.offer_id.clone(),
        plan: subscription.known.plan_id.clone(),
        since: subscription.confirmed_at.unwrap_or(now),
        reason: subscription.refused.clone().unwrap_or_default(),
        form_token,
        action: CONFIRM.to_owned(),
    }
}

fn active_view(subscription: &Subscription, open_url: Option<String>) -> Active {
    Active {
        subscription_id: subscription.id.to_string(),
        subscription_name: subscription.known.name.clone(),
        offer: subscription.known.offer_id.clone(),
        plan: subscription.known.plan_id.clone(),
        seats: subscription.known.quantity,
        term_unit: subscription.known.term.unit.clone(),
        open_url,
    }
}

/// The purchase token out of the query. It is standard base64: where a proxy turned `%2B` into `+` and the parser that
/// into a space, the space was a plus.
fn purchase_token(decoded: &str) -> Result<String, Fault> {
    let token = decoded.trim().replace(' ', "+");
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err(Fault::new(Code::TokenRefused, "the purchase token holds characters that no token has"))
    }
}
