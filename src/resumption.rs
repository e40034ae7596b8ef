//! News that was given up, or is wanted once more, is taken up again: all subscriptions, one page after the other, over as
//! many runs as it takes. Begun by an operator, gone on with by the sweep.

use time::OffsetDateTime;

use crate::app::App;
use crate::duty::Kind;
use crate::endpoint::{Resuming, Wanted};
use crate::error::Fault;
use crate::history::Actor;
use crate::subscription::{Event, Subscription};

/// How many pages of the store one run goes through: fifty thousand subscriptions, most of which owe nothing and cost no
/// more than their reading. With the slowest reading it ends before the host's `functionTimeout`.
pub const PAGES: usize = 500;

/// Goes on with what was begun; nothing where nothing was.
///
/// # Errors
///
/// The store's. What was taken up by then is, and the next run goes on from there.
pub async fn go_on(app: &App, now: OffsetDateTime) -> Result<(), Fault> {
    let Some(resuming) = app.endpoint.read(now).await?.resuming else {
        return Ok(());
    };
    let Resuming { mut after, wanted } = resuming;
    for _ in 0..PAGES {
        let page = app.store.page(after.as_ref()).await?;
        for subscription in &page.subscriptions {
            take_up(app, subscription, wanted).await?;
        }
        let Some(next) = page.next else {
            app.endpoint.keep_resuming(None, now).await?;
            tracing::info!("all news that was given up is on its way again");
            return Ok(());
        };
        app.endpoint.keep_resuming(Some(Resuming { after: Some(next.clone()), wanted }), now).await?;
        after = Some(next);
    }
    Ok(())
}

async fn take_up(app: &App, subscription: &Subscription, wanted: Wanted) -> Result<(), Fault> {
    let given_up = subscription.duty(Kind::Notify).is_some_and(|duty| duty.failed_at.is_some());
    let event = match wanted {
        _ if !app.settings.serves(&subscription.known.offer_id) => return Ok(()),
        Wanted::Everything => Event::Replayed { from: u64::MAX, by: Actor::Publisher },
        Wanted::GivenUp if given_up => Event::Retried { duty: Kind::Notify.into(), by: Actor::Publisher },
        Wanted::GivenUp => return Ok(()),
    };
    app.record(&subscription.id, event, None).await.map(drop)
}
