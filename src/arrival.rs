//! A signed-in person arrives with a purchase token, or at a subscription: may they, and what do we know?

use time::OffsetDateTime;
use url::Url;

use crate::app::App;
use crate::entra::Signin;
use crate::error::{Code, Fault, Retry};
use crate::handoff::Purpose;
use crate::person::Person;
use crate::session::Destination;
use crate::subscription::{Refusal, Subscription, SubscriptionId};
use crate::web::Request;

/// A sign-in that is ready to begin: the browser keeps the cookies and goes to the URL.
#[derive(Clone, Debug)]
pub struct SigninStart {
    /// Entra's page. It holds random values of this attempt, and nothing of the purchase.
    pub url: Url,
    /// `set-cookie` values.
    pub cookies: Vec<String>,
}

/// Prepares a sign-in that leads back to `destination`.
pub async fn begin_signin(
    app: &App,
    request: &Request,
    destination: Destination,
    choose_account: bool,
    now: OffsetDateTime,
) -> Result<SigninStart, Fault> {
    let (attempt, cookies) = app.secrets.sessions(now).await?.begin(request, destination, now)?;
    let redirect_uri = app.settings.function_url("signin");
    let signin = Signin { state: &attempt.state, nonce: &attempt.nonce, redirect_uri: &redirect_uri, choose_account };
    Ok(SigninStart { url: app.entra.authorize_url(&signin, now).await?, cookies })
}

/// Where browsers see a subscription: an address that may stand in any history or bookmark.
pub fn landing_path(id: &SubscriptionId) -> String {
    format!("/api/landing?subscription={id}")
}

/// Where a buyer of ours goes on to the publisher's software. It holds nothing that lets anybody in, and shows the
/// subscription's page where nobody is handed over.
pub fn handoff_path(id: &SubscriptionId, purpose: Purpose) -> String {
    format!("{}&{}", landing_path(id), purpose.as_str())
}

/// Resolves a purchase token for a signed-in person and takes in what Microsoft says of the subscription.
///
/// # Errors
///
/// [`Code::TokenRefused`] for a token that is broken or older than 24 hours, [`Code::ForeignOffer`] and
/// [`Code::WrongPerson`] before anything is recorded, and the marketplace's and the store's own.
pub async fn with_token(app: &App, person: &Person, token: &str) -> Result<Subscription, Fault> {
    let resolved = app.marketplace.resolve(token).await?;
    serving(app, &resolved.id, &resolved.snapshot.offer_id)?;
    if !person.may_act_for(&resolved.snapshot) {
        return Err(wrong_person(&resolved.id));
    }
    app.learn(&resolved.id, resolved.snapshot).await
}

/// The record of a subscription, for a signed-in person who came from one of our own pages.
///
/// # Errors
///
/// [`Code::UnknownSubscription`], [`Code::ForeignOffer`] and [`Code::WrongPerson`].
pub async fn at_subscription(app: &App, person: &Person, id: &SubscriptionId) -> Result<Subscription, Fault> {
    let subscription = app.subscription(id).await?;
    serving(app, id, &subscription.known.offer_id)?;
    if !person.may_act_for(&subscription.known) {
        return Err(wrong_person(id));
    }
    Ok(subscription)
}

/// Refuses what is of another installation: it is neither asked for at Microsoft nor changed.
///
/// # Errors
///
/// [`Code::ForeignOffer`].
pub fn serving(app: &App, id: &SubscriptionId, offer_id: &str) -> Result<(), Fault> {
    if app.settings.serves(offer_id) {
        return Ok(());
    }
    let why = format!("subscription {id} is of the offer {offer_id}, which OFFERS does not name");
    Err(Fault::new(Code::ForeignOffer, why))
}

fn wrong_person(id: &SubscriptionId) -> Fault {
    Fault::new(Code::WrongPerson, format!("the account that signed in is neither beneficiary nor purchaser of {id}"))
}

/// What a caller hears whose order or confirmation the record's state refuses.
pub fn refused(id: &SubscriptionId, refusal: Refusal) -> Fault {
    let (code, why) = match refusal {
        Refusal::Suspended => (Code::Suspended, "is suspended"),
        Refusal::Cancelled => (Code::Cancelled, "is cancelled"),
        Refusal::NotActive => (Code::NotActive, "is not active yet"),
        Refusal::UnknownStatus => (Code::MarketplaceUnavailable, "is in a status that this version does not know"),
        Refusal::NoSuchDuty => (Code::UnknownDuty, "does not owe this"),
        Refusal::NotAllowed => (Code::NotAllowed, "is not the publisher's to change: allowedCustomerOperations"),
        Refusal::Busy => (Code::Busy, "still has an order of this kind under way"),
        Refusal::AsOrdered => (Code::AsOrdered, "already is as ordered"),
        Refusal::TooMuchOwed => (Code::Contended, "owes more than a record can hold"),
    };
    let retry = if matches!(code, Code::Contended | Code::Busy) { Retry::Later(None) } else { Retry::Never };
    Fault { code, private: format!("{id} {why}"), retry }
}
