//! Who may use what: the look-up for the publisher's app at sign-in, and the operator's word for a time.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{Stop, answer, input, orders};
use crate::app::App;
use crate::history::Actor;
use crate::shown;
use crate::snapshot::live_offer;
use crate::store::{PAGE_LIMIT, StoreError};
use crate::subscription::{Event, Subscription, SubscriptionId};
use crate::web::{Reply, Request};

/// How long the answer to a look-up may be gone by without asking again: an app asks at every sign-in, and what an operator
/// or Microsoft decides counts within a minute.
const LOOK_UP_CACHED_FOR: Duration = Duration::seconds(60);

/// How many records of a holder are loaded side by side. Nearly everybody has one or two.
const AT_ONCE: usize = 16;

/// Answers what a holder may use now, of one offer or of all: what may be used in front, at most [`PAGE_LIMIT`].
pub(super) async fn look_up(app: &App, request: &Request) -> Result<Reply, Stop> {
    let (holder, offer) = input::held(request)?;
    let now = app.clock.now();
    let (mut found, mut unreadable) = (Vec::new(), None);
    for ids in app.store.held_by(&holder).await?.chunks(AT_ONCE) {
        for loaded in join_all(ids.iter().map(|id| app.store.load(id))).await {
            match loaded {
                Ok(stored) => found.extend(stored.map(|stored| stored.subscription)),
                Err(error @ (StoreError::Newer(_) | StoreError::Unreadable(_))) => {
                    tracing::warn!(%error, "a record is left out of a look-up");
                    unreadable = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    // What is written down is a hint: the record says whose it is.
    found.retain(|record| {
        let id = &record.known.offer_id;
        let wanted = offer.as_ref().is_none_or(|offer| live_offer(id).eq_ignore_ascii_case(offer));
        wanted && app.settings.serves(id) && record.holder().as_ref() == Some(&holder)
    });
    let mut held: Vec<_> = found.iter().map(|record| (record.entitlement(now).entitled, record)).collect();
    held.sort_by_key(|(entitled, _)| !entitled);
    held.truncate(PAGE_LIMIT);
    let entitled = held.iter().any(|(entitled, _)| *entitled);
    // A record that nobody can read is not taken for a no.
    if let Some(error) = unreadable.filter(|_| !entitled) {
        return Err(error.into());
    }
    let held: Vec<Value> = held.into_iter().map(|(_, record)| entry(record, now)).collect();
    Ok(cached(request, &json!({ "entitled": entitled, "entitlements": held })))
}

/// Answers whether one subscription may be used.
pub(super) async fn show(app: &App, id: &SubscriptionId) -> Result<Reply, Stop> {
    Ok(answer(&entry(&app.subscription(id).await?, app.clock.now())))
}

/// An operator decides who may use it, for a time. The same decision again changes nothing.
pub(super) async fn decide(app: &App, id: &SubscriptionId, request: &Request) -> Result<Reply, Stop> {
    let decided = input::decision(request, app.clock.now())?;
    let person = decided.person.clone();
    record(app, id, Event::Overridden(decided), person).await
}

/// The operator's decision ends before its time. Where there is none, nothing changes.
pub(super) async fn end(app: &App, id: &SubscriptionId, request: &Request) -> Result<Reply, Stop> {
    input::nothing(request)?;
    record(app, id, Event::OverrideEnded { by: Actor::Publisher }, input::person(request)?).await
}

async fn record(app: &App, id: &SubscriptionId, event: Event, person: Option<String>) -> Result<Reply, Stop> {
    let subscription = orders::record(app, id, event, person.as_deref()).await?.subscription;
    Ok(answer(&entry(&subscription, app.clock.now())))
}

fn entry(record: &Subscription, now: OffsetDateTime) -> Value {
    let known = &record.known;
    let entitlement = record.entitlement(now);
    json!({
        "subscriptionId": record.id.as_str(),
        "offerId": known.offer_id,
        "planId": known.plan_id,
        "quantity": known.quantity,
        "status": known.status.as_str(),
        "entitled": entitlement.entitled,
        "why": entitlement.why.as_str(),
        "until": entitlement.until.map(shown::moment),
        "renews": entitlement.renews,
        "override": record.overriding(now).map(shown::overriding),
    })
}

/// The answer, or that it is the one which the caller still has (RFC 9110, section 13.1.2).
fn cached(request: &Request, body: &Value) -> Reply {
    let tag = URL_SAFE_NO_PAD.encode(digest(&SHA256, body.to_string().as_bytes()));
    let tag = format!("\"{tag}\"");
    let known = request.header("if-none-match").unwrap_or_default();
    let mut known = known.split(',').map(|known| known.trim().trim_start_matches("W/"));
    let is_known = known.any(|known| known == tag || known == "*");
    let reply = if is_known { Reply::not_modified() } else { Reply::json(200, body) };
    let cached = format!("private, max-age={}", LOOK_UP_CACHED_FOR.whole_seconds());
    reply.with("etag", tag).with("cache-control", cached)
}
