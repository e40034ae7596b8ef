//! `sweep`, every five minutes: rings for every duty that is due. The bells rung when a duty was saved are the fast way;
//! this is the sure one, for bells that were lost between the save and the queue. It also goes on with the resumption of
//! news that was given up.

use time::{Duration, OffsetDateTime};

use crate::app::App;
use crate::error::Fault;
use crate::resumption;

/// Rings for what is due, the longest overdue first, one page of the store at a time: what does not fit waits for the
/// next sweep. A record that cannot be read is told of and left alone.
pub async fn run(app: &App, now: OffsetDateTime) -> Result<(), Fault> {
    let due = app.store.due(now).await?;
    let mut rung = 0_usize;
    for subscription in &due.subscriptions {
        for duty in subscription.duties.iter().filter(|duty| duty.is_due(now)) {
            app.ring(duty.task.id().kind.queue(), &subscription.id, Duration::ZERO).await;
            rung += 1;
        }
    }
    if app.settings.connection.events.is_some() {
        resumption::go_on(app, now).await?;
    }
    tracing::info!(subscriptions = due.subscriptions.len(), rung, unreadable = due.unreadable.len(), "swept");
    Ok(())
}
