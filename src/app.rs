//! What every function works with, and the two things they all do: record an event, and discharge a duty.
//!
//! Save before ring, always. Whatever is recorded as Microsoft's state was read after the record was loaded; after a lost
//! race it is read again, because two snapshots cannot be put in order.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use tokio::sync::Semaphore;

use crate::bell::{Bell, Doorbell};
use crate::clock::Clock;
use crate::duty::{FIRST_BELL, Kind};
use crate::entra::Entra;
use crate::error::{Code, Fault};
use crate::history::Actor;
use crate::marketplace::Marketplace;
use crate::outbound;
use crate::pages::Pages;
use crate::seal::Seal;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::store::{Etag, Store, StoreError};
use crate::subscription::{Applied, Event, Refusal, Snapshot, Subscription, SubscriptionId};

/// How often a save is tried again after a lost race. Each try is a load, a call to Microsoft and a save; whoever loses
/// five in a row leaves the duty to its next bell.
pub const SAVE_TRIES: u32 = 5;

/// How many duties one process tries at once after its answers. Above it the bell alone does the work: what matters is
/// saved, and this is only the faster way.
pub const AFTERWARDS_LIMIT: usize = 32;

/// Everything a function can reach. Clones are cheap and share everything.
#[derive(Clone)]
pub struct App {
    /// What was set.
    pub settings: Arc<Settings>,
    /// The time.
    pub clock: Clock,
    /// The records.
    pub store: Store,
    /// The queues.
    pub bell: Bell,
    /// Microsoft's fulfillment API.
    pub marketplace: Marketplace,
    /// Sign-in of people.
    pub entra: Entra,
    /// What browsers carry for us.
    pub sessions: Sessions,
    /// What buyers read.
    pub pages: Pages,
    /// Room for duties that this process tries at once, after the answer that added them.
    pub afterwards: Arc<Semaphore>,
}

/// What [`App::record`] did.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// The record is saved and these duties have become due. Whoever recorded the event may try them at once.
    Saved {
        /// The record as saved.
        subscription: Subscription,
        /// The duties.
        rings: Vec<Kind>,
    },
    /// The event changed nothing.
    Known(Subscription),
    /// The event contradicts the record.
    Refused(Refusal),
}

/// A duty that this caller, and nobody else, works on until the lease ends.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The record, with the claim on it.
    pub subscription: Subscription,
    kind: Kind,
    etag: Etag,
}

/// What an attempt to discharge a duty found out.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Microsoft received the request in this attempt.
    pub accepted: bool,
    /// What Microsoft said last, read after the claim.
    pub read: Option<Snapshot>,
    /// What to do if the duty is still on the record after all that.
    pub otherwise: Otherwise,
}

/// What becomes of a duty that an attempt did not finish.
#[derive(Clone, Debug)]
pub enum Otherwise {
    /// Try again later.
    Wait {
        /// Why it is not done, without personal data.
        why: String,
        /// The other side's `Retry-After`.
        after: Option<Duration>,
    },
    /// The other side proved that it cannot be done.
    Impossible {
        /// The proof.
        why: String,
    },
}

impl App {
    /// An app over a store and a bell, with the outside world as the settings name it.
    ///
    /// # Errors
    ///
    /// Settings that a client refuses.
    pub fn new(settings: Settings, clock: Clock, store: Store, bell: Bell) -> Result<Self, Fault> {
        let http = outbound::client();
        Ok(Self {
            marketplace: Marketplace::new(&settings.marketplace, http.clone())?,
            entra: Entra::new(&settings.entra, http),
            sessions: Sessions::new(Seal::new(&settings.cookie_keys)),
            pages: Pages::new(&settings.publisher),
            afterwards: Arc::new(Semaphore::new(AFTERWARDS_LIMIT)),
            settings: Arc::new(settings),
            clock,
            store,
            bell,
        })
    }

    /// The same app for one invocation, whose id goes out with every call to Microsoft.
    #[must_use]
    pub fn correlated(&self, invocation_id: &str) -> Self {
        Self { marketplace: self.marketplace.correlated(invocation_id), ..self.clone() }
    }

    /// The record of a subscription that must exist.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Subscription, Fault> {
        note_subscription(id);
        let stored = self.store.load(id).await?;
        stored
            .map(|stored| stored.subscription)
            .ok_or_else(|| Fault::new(Code::UnknownSubscription, format!("no record of {id}")))
    }

    /// Records an event on an existing record, then rings for what has become due. Not for [`Event::Read`]: a snapshot
    /// must be read again after a lost race, which [`App::learn`] and [`App::settle`] do.
    pub async fn record(&self, id: &SubscriptionId, event: Event) -> Result<Recorded, Fault> {
        for _ in 0..SAVE_TRIES {
            let Some(stored) = self.store.load(id).await? else {
                return Err(Fault::new(Code::UnknownSubscription, format!("no record of {id}")));
            };
            let mut subscription = stored.subscription;
            let told = subscription.history.total();
            let rings = match subscription.apply(event.clone(), self.clock.now()) {
                Applied::Unchanged => return Ok(Recorded::Known(subscription)),
                Applied::Refused(refusal) => return Ok(Recorded::Refused(refusal)),
                Applied::Changed { rings } => rings,
            };
            match self.store.save(&subscription, Some(&stored.etag)).await {
                Ok(_) => {
                    log_history(&subscription, told);
                    for kind in &rings {
                        self.ring(*kind, id, FIRST_BELL).await;
                    }
                    return Ok(Recorded::Saved { subscription, rings });
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(id))
    }

    /// Takes in what the marketplace has just said of a subscription, known or not.
    ///
    /// `said` creates the record where there is none. A record that exists takes nothing from it: `said` was read before
    /// the record was loaded, so Microsoft is asked once more.
    pub async fn learn(&self, id: &SubscriptionId, said: Snapshot) -> Result<Subscription, Fault> {
        note_subscription(id);
        for _ in 0..SAVE_TRIES {
            let now = self.clock.now();
            let (subscription, etag, told) = match self.store.load(id).await? {
                None => (Subscription::discovered(id.clone(), said.clone(), Actor::Marketplace, now), None, 0),
                Some(stored) => {
                    let mut subscription = stored.subscription;
                    let told = subscription.history.total();
                    let read = self.marketplace.get_subscription(id).await?;
                    subscription.apply(Event::Read(Box::new(read)), self.clock.now());
                    (subscription, Some(stored.etag), told)
                }
            };
            match self.store.save(&subscription, etag.as_ref()).await {
                Ok(_) => {
                    log_history(&subscription, told);
                    return Ok(subscription);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(id))
    }

    /// Steps 1 and 2 of discharging a duty: is it due, and is it ours? `None` where there is nothing to do, or somebody
    /// else does it.
    pub async fn claim(&self, id: &SubscriptionId, kind: Kind) -> Result<Option<Claim>, Fault> {
        note_subscription(id);
        let Some(stored) = self.store.load(id).await? else {
            tracing::warn!(%kind, "a bell rang for a subscription without a record");
            return Ok(None);
        };
        let now = self.clock.now();
        let mut subscription = stored.subscription;
        if !subscription.duty(kind).is_some_and(|duty| duty.is_due(now)) {
            return Ok(None);
        }
        subscription.apply(Event::Claimed(kind), now);
        match self.store.save(&subscription, Some(&stored.etag)).await {
            Ok(etag) => Ok(Some(Claim { subscription, kind, etag })),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Steps 4 and 5: records what the attempt found out, and rings again for what is still owed.
    pub async fn settle(&self, claim: Claim, attempt: Attempt) -> Result<(), Fault> {
        let Claim { mut subscription, kind, mut etag } = claim;
        let id = subscription.id.clone();
        let attempts = subscription.duty(kind).map(|duty| duty.attempts);
        let mut read = attempt.read;
        for _ in 0..SAVE_TRIES {
            let now = self.clock.now();
            let told = subscription.history.total();
            apply_attempt(&mut subscription, kind, attempt.accepted, read, &attempt.otherwise, now);
            match self.store.save(&subscription, Some(&etag)).await {
                Ok(_) => {
                    log_history(&subscription, told);
                    self.ring_again(&subscription, kind, now).await;
                    return Ok(());
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(stored) = self.store.load(&id).await? else {
                return Err(Fault::new(Code::UnknownSubscription, format!("the record of {id} was deleted")));
            };
            if stored.subscription.duty(kind).map(|duty| duty.attempts) != attempts {
                tracing::info!(subscription_id = %id, %kind, "the duty is done, or somebody else's by now");
                return Ok(());
            }
            subscription = stored.subscription;
            etag = stored.etag;
            read = self.marketplace.get_subscription(&id).await.ok();
        }
        Err(contended(&id))
    }

    async fn ring_again(&self, subscription: &Subscription, kind: Kind, now: OffsetDateTime) {
        let subscription_id = &subscription.id;
        let Some(duty) = subscription.duty(kind) else {
            tracing::info!(%subscription_id, %kind, "the duty is discharged");
            return;
        };
        let (attempts, why) = (duty.attempts, duty.last_error.as_deref());
        let Some(due) = duty.due() else {
            tracing::error!(
                %subscription_id, %kind, attempts, why,
                "the duty failed: nobody tries again until an operator or the buyer asks for it"
            );
            return;
        };
        let delay = due - now;
        tracing::info!(%subscription_id, %kind, attempts, %delay, why, "the duty is put off");
        self.ring(kind, subscription_id, delay).await;
    }

    /// Rings; a bell that cannot be rung is logged and no more, because the duty is saved and the sweep rings for what
    /// is due.
    pub async fn ring(&self, kind: Kind, id: &SubscriptionId, delay: Duration) {
        let doorbell = Doorbell { kind, subscription: id.clone() };
        if let Err(fault) = self.bell.ring(&doorbell, delay).await {
            tracing::warn!(subscription_id = %id, %kind, %fault, "the bell did not ring; the sweep will");
        }
    }
}

fn apply_attempt(
    subscription: &mut Subscription,
    kind: Kind,
    accepted: bool,
    read: Option<Snapshot>,
    otherwise: &Otherwise,
    now: OffsetDateTime,
) {
    if accepted {
        subscription.apply(Event::Accepted(kind), now);
    }
    if let Some(read) = read {
        subscription.apply(Event::Read(Box::new(read)), now);
    }
    if subscription.duty(kind).is_some() {
        let event = match otherwise.clone() {
            Otherwise::Wait { why, after } => Event::Deferred { kind, why, after },
            Otherwise::Impossible { why } => Event::Impossible { kind, why },
        };
        subscription.apply(event, now);
    }
}

/// Writes what has just been saved of the history to the log, which keeps it all.
fn log_history(subscription: &Subscription, told: usize) {
    for entry in subscription.history.since(told) {
        tracing::info!(
            subscription_id = %subscription.id,
            what = entry.what.as_str(), by = entry.by.as_str(), from = entry.from, to = entry.to, why = entry.why,
            "history"
        );
    }
}

/// Puts the subscription into the log lines of this invocation.
fn note_subscription(id: &SubscriptionId) {
    tracing::Span::current().record("subscription_id", tracing::field::display(id));
}

fn contended(id: &SubscriptionId) -> Fault {
    Fault::passing(Code::Contended, format!("{SAVE_TRIES} saves of {id} lost their race"))
}
