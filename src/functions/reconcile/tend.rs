//! What a record of ours needs although Microsoft shows nothing new: an override that is over leaves it, and whoever uses the
//! subscription finds it. This is no repair, and is done whatever `RECONCILE` says.

use time::OffsetDateTime;

use crate::app::App;
use crate::error::Fault;
use crate::history::Actor;
use crate::subscription::{Event, Subscription};

/// Whether there is anything to do.
pub(super) fn is_needed(record: &Subscription, now: OffsetDateTime) -> bool {
    is_over(record, now) || !record.is_indexed()
}

/// Does it. A record that cannot be saved waits for the next pass.
pub(super) async fn tend(app: &App, record: &Subscription, now: OffsetDateTime) -> Result<(), Fault> {
    if is_over(record, now) {
        app.record(&record.id, Event::OverrideEnded { by: Actor::Program }, None).await?;
    }
    if record.is_indexed() { Ok(()) } else { app.index(&record.id).await }
}

fn is_over(record: &Subscription, now: OffsetDateTime) -> bool {
    record.entitlement_override.as_ref().is_some_and(|decided| !decided.counts(now))
}
