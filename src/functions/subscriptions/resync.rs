//! Resync: the record of one subscription becomes what Microsoft shows now, and says what differed.

use serde_json::json;
use time::OffsetDateTime;

use super::input::Objection;
use super::{Stop, answer, serving, shown};
use crate::app::{App, SAVE_TRIES, contended, note_subscription};
use crate::duty::{ERROR_LENGTH, Kind};
use crate::error::Code;
use crate::history::Actor;
use crate::marketplace::CallErrorKind;
use crate::store::Stored;
use crate::subscription::{Event, Snapshot, Status, Subscription, SubscriptionId};
use crate::web::Reply;

/// Reads Microsoft after the record was loaded, again after each lost race, and records what it says. A subscription of a
/// served offer that we never heard of gets its record.
pub(super) async fn run(app: &App, id: &SubscriptionId, person: Option<String>) -> Result<Reply, Stop> {
    note_subscription(id);
    for _ in 0..SAVE_TRIES {
        let stored = app.store.load(id).await?;
        if let Some(stored) = &stored {
            serving(app, id, &stored.subscription.known.offer_id)?;
        }
        let read = read(app, id).await?;
        serving(app, id, &read.offer_id)?;
        let now = app.clock.now();
        let (mut subscription, etag, told, differences) = match stored {
            None => (Subscription::discovered(id.clone(), read, Actor::Publisher, now), None, 0, Vec::new()),
            Some(Stored { subscription: before, etag }) => {
                let (after, differences) = repaired(&before, read, now);
                (after, Some(etag), before.history.total(), differences)
            }
        };
        subscription.history.name(told, person.as_deref());
        if app.save(&subscription, etag.as_ref(), told, &[]).await? {
            let created = etag.is_none();
            let subscription = shown::subscription(&subscription);
            let body = json!({ "subscription": subscription, "created": created, "differences": differences });
            return Ok(answer(&body));
        }
    }
    Err(contended(id).into())
}

async fn read(app: &App, id: &SubscriptionId) -> Result<Snapshot, Stop> {
    app.marketplace.get_subscription(id).await.map_err(|error| match error.kind {
        CallErrorKind::NotFound => Objection {
            code: Code::UnknownSubscription,
            part: "id",
            detail: "Microsoft knows no subscription of this id.".to_owned(),
        }
        .into(),
        _ => error.into(),
    })
}

/// The record after reading, and what the reading repaired.
fn repaired(before: &Subscription, read: Snapshot, now: OffsetDateTime) -> (Subscription, Vec<String>) {
    let mut after = before.clone();
    after.apply(Event::Read(Box::new(read)), now);
    let differences = differences(before, &after);
    if !differences.is_empty() {
        let why = format!("resync: {}", differences.join(", ")).chars().take(ERROR_LENGTH).collect();
        after.apply(Event::Repaired { why }, now);
    }
    (after, differences)
}

/// What differs in what Microsoft shows, but for what a duty was waiting for: that is no repair.
fn differences(before: &Subscription, after: &Subscription) -> Vec<String> {
    let done = |kind: Kind| before.duty(kind).is_some() && after.duty(kind).is_none();
    let status = &after.known.status;
    let activated = done(Kind::Activate) && *status == Status::Subscribed;
    let cancelled = done(Kind::Cancel) && *status == Status::Unsubscribed;
    let changed = done(Kind::Change) && *status != Status::Unsubscribed;
    let (from, to) = (told(&before.known), told(&after.known));
    let expected = [activated || cancelled, changed, changed, activated, activated];
    let pairs = from.into_iter().zip(to).zip(expected);
    let differing = pairs.filter(|((from, to), expected)| !expected && from != to);
    differing.map(|(((what, from), (_, to)), _)| format!("{what} {from} -> {to}")).collect()
}

fn told(known: &Snapshot) -> [(&'static str, String); 5] {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    [
        ("status", known.status.as_str().to_owned()),
        ("plan", known.plan_id.clone()),
        ("seats", or_none(known.quantity.map(|seats| seats.to_string()))),
        ("term end", or_none(known.term.end.map(|end| end.date().to_string()))),
        ("automatic renewal", or_none(known.auto_renew.map(|renews| renews.to_string()))),
    ]
}
