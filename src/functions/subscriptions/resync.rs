//! Resync: the record of one subscription becomes what Microsoft shows now, and says what differed.

use serde_json::json;
use time::OffsetDateTime;

use super::input::Objection;
use super::{Stop, answer, serving, shown};
use crate::app::{App, SAVE_TRIES, contended, note_subscription};
use crate::difference::{Difference, differences, is_awaited, reason};
use crate::error::Code;
use crate::history::Actor;
use crate::marketplace::CallErrorKind;
use crate::store::Stored;
use crate::subscription::{Event, Snapshot, Subscription, SubscriptionId};
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
        if app.save(&mut subscription, etag.as_ref(), told, &[]).await? {
            let created = etag.is_none();
            let subscription = shown::subscription(&subscription, app.clock.now());
            let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
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
fn repaired(before: &Subscription, read: Snapshot, now: OffsetDateTime) -> (Subscription, Vec<Difference>) {
    let mut after = before.clone();
    after.apply(Event::Read(Box::new(read)), now);
    let mut differences = differences(&before.known, &after.known);
    differences.retain(|difference| !is_awaited(before, difference, &after.known));
    if !differences.is_empty() {
        after.apply(Event::Repaired { why: reason("resync", &differences) }, now);
    }
    (after, differences)
}
