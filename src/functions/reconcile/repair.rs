//! One subscription: is it as Microsoft has it, and if not, what was done about it?

use time::OffsetDateTime;

use crate::app::{App, SAVE_TRIES};
use crate::difference::{differences, is_awaited, reason};
use crate::error::{Code, Fault};
use crate::history::Actor;
use crate::marketplace::{CallError, CallErrorKind};
use crate::span;
use crate::store::{StoreError, Stored};
use crate::subscription::{Applied, Event, Snapshot, Subscription, SubscriptionId};

/// Why a record was made that no buyer and no webhook had brought.
const UNHEARD_OF: &str = "reconciliation: Microsoft lists it, and nobody had told of it";

/// How to look at subscriptions in this run.
#[derive(Clone, Copy)]
pub(super) struct Repair<'a> {
    pub(super) app: &'a App,
    /// Subscriptions that we never heard of are what we begin with, and no fault.
    pub(super) baseline: bool,
    /// Nothing is saved.
    pub(super) observed: bool,
}

/// What came of looking at a subscription. In `observe` mode: what would have come of it.
pub(super) enum Found {
    /// The record is as the list, or as Microsoft just said.
    Alike,
    /// It is of an offer that is not ours.
    Foreign,
    /// The list differed; Microsoft, asked again, did not, or said what newer knowledge had overtaken.
    Unconfirmed,
    /// It differed as open duties had it; they are done.
    Awaited,
    /// There was no record.
    Created,
    /// The record differed, and how.
    Repaired(String),
    /// We have a record, and Microsoft knows no such subscription.
    Missing,
    /// It could not be read or saved.
    Unread(Fault),
}

impl Repair<'_> {
    /// Looks at one subscription. Where `hint` is as the record, Microsoft is not asked; without a hint it always is.
    ///
    /// # Errors
    ///
    /// The store's, unless they are about this record alone.
    pub(super) async fn look_at(&self, id: &SubscriptionId, hint: Option<&Snapshot>) -> Result<Found, Fault> {
        if hint.is_some_and(|hint| !self.app.settings.serves(&hint.offer_id)) {
            return Ok(Found::Foreign);
        }
        match self.look(id, hint).await {
            Err(fault) if is_about_this_record(fault.code) => Ok(Found::Unread(fault)),
            other => other,
        }
    }

    async fn look(&self, id: &SubscriptionId, hint: Option<&Snapshot>) -> Result<Found, Fault> {
        for _ in 0..SAVE_TRIES {
            let stored = span::sparing(self.app.store.load(id)).await?;
            if let (Some(hint), Some(stored)) = (hint, &stored)
                && differences(&stored.subscription.known, hint).is_empty()
            {
                return Ok(Found::Alike);
            }
            let read = match self.app.marketplace.get_subscription(id).await {
                Ok(read) => read,
                Err(error) => return Ok(not_read(error, stored.is_some())),
            };
            if let Some(found) = self.take_in(id, stored, read, hint.is_some()).await? {
                return Ok(found);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Saves what was read; `None` where the race was lost.
    async fn take_in(
        &self,
        id: &SubscriptionId,
        stored: Option<Stored>,
        read: Snapshot,
        hinted: bool,
    ) -> Result<Option<Found>, Fault> {
        let now = self.app.clock.now();
        let (mut record, etag) = match stored {
            Some(stored) => (stored.subscription, Some(stored.etag)),
            None if self.baseline => (Subscription::adopted(id.clone(), read.clone(), now), None),
            None => (Subscription::discovered(id.clone(), read.clone(), Actor::Program, now), None),
        };
        let told = if etag.is_some() { record.history.total() } else { 0 };
        let (found, news) = if etag.is_some() {
            apply(&mut record, &read, hinted, now)
        } else {
            if !self.baseline {
                record.apply(Event::Repaired { why: UNHEARD_OF.to_owned() }, now);
            }
            (Found::Created, true)
        };
        if !news || self.observed || self.app.save(&mut record, etag.as_ref(), told, &[]).await? {
            self.tell(id, &found);
            return Ok(Some(found));
        }
        Ok(None)
    }

    fn tell(&self, id: &SubscriptionId, found: &Found) {
        let why = match found {
            Found::Repaired(why) => why,
            Found::Created if !self.baseline => UNHEARD_OF,
            _ => return,
        };
        if self.observed {
            tracing::warn!(subscription_id = %id, why, "differs; nothing is changed, because RECONCILE is observe");
        } else {
            tracing::warn!(subscription_id = %id, why, "repaired");
        }
    }
}

/// Applies what was read after the record was loaded. Answers what that was, and whether there is anything to save.
fn apply(record: &mut Subscription, read: &Snapshot, hinted: bool, now: OffsetDateTime) -> (Found, bool) {
    let differences = differences(&record.known, read);
    let awaited = differences.iter().all(|difference| is_awaited(record, difference, read));
    if record.apply(Event::Read(Box::new(read.clone())), now) == Applied::Unchanged {
        return (Found::Unconfirmed, false);
    }
    let found = if record.known != *read || (differences.is_empty() && hinted) {
        Found::Unconfirmed
    } else if differences.is_empty() {
        Found::Alike
    } else if awaited {
        Found::Awaited
    } else {
        let why = reason("reconciliation", &differences);
        record.apply(Event::Repaired { why: why.clone() }, now);
        Found::Repaired(why)
    };
    (found, true)
}

/// Whether the store is well, and only this record is not.
pub(super) fn is_about_this_record(code: Code) -> bool {
    matches!(code, Code::Internal | Code::Contended | Code::RecordNewer | Code::RecordUnreadable)
}

fn not_read(error: CallError, has_record: bool) -> Found {
    if error.kind == CallErrorKind::NotFound && has_record { Found::Missing } else { Found::Unread(error.into()) }
}
