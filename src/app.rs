//! What every function works with, and the two things they all do: record an event, and discharge a duty.
//!
//! Save before ring, always. Whatever is recorded as Microsoft's state was read after the record was loaded; after a lost
//! race it is read again, because two snapshots cannot be put in order.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use tokio::sync::Semaphore;

use crate::bell::{Bell, Doorbell, azure, memory};
use crate::clock::Clock;
use crate::duty::{Duty, DutyId, Kind, Queue};
use crate::endpoint::Endpoint;
use crate::entra::Entra;
use crate::error::{Code, Fault, Retry};
use crate::history::Actor;
use crate::marketplace::caller::Caller;
use crate::marketplace::{CallError, Marketplace};
use crate::outbound;
use crate::pages::Pages;
use crate::publisher::{Lookup, Publisher};
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::storage::Account;
use crate::store::azure::Tables;
use crate::store::memory::Memory;
use crate::store::{Etag, Kept, Store, StoreError, Stored};
use crate::subscription::{Applied, Event, Refusal, Snapshot, Subscription, SubscriptionId};

/// How often a save is tried again after a lost race. Each try is a load, a call to Microsoft and a save; whoever loses
/// five in a row leaves the duty to its next bell.
pub const SAVE_TRIES: u32 = 5;

/// How much work one process does at once after its answers, in duties tried and passes begun. Above it the bell or the
/// timer alone does it: what matters is saved, and this is only the faster way.
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
    /// Who may call the webhook.
    pub caller: Caller,
    /// The publisher's own software.
    pub publisher: Publisher,
    /// What is known of its events endpoint.
    pub endpoint: Endpoint,
    /// Sign-in of people.
    pub entra: Entra,
    /// The secrets, and with them what browsers carry for us.
    pub secrets: Secrets,
    /// What buyers read.
    pub pages: Pages,
    /// Room for the work that this process does after its answers.
    pub afterwards: Arc<Semaphore>,
}

/// What [`App::record`] did.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// The record is saved and these duties have become due. Whoever recorded the event may try them at once.
    Saved {
        /// The record as saved.
        subscription: Subscription,
        /// The queues of those duties.
        rings: Vec<Queue>,
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
    duty: DutyId,
    etag: Etag,
}

/// What an attempt to discharge a duty found out.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the attempt found out of the duty itself.
    pub learnt: Vec<Event>,
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
    /// Try no more until somebody asks for it: the other side wants no more of it.
    GiveUp {
        /// Why.
        why: String,
    },
}

impl Otherwise {
    /// Try again after a call that failed, not before the other side's `Retry-After`.
    pub fn after(error: &CallError) -> Self {
        let after = match error.retry() {
            Retry::Later(after) => after,
            Retry::Never => None,
        };
        Self::Wait { why: error.to_string(), after }
    }
}

impl Attempt {
    /// An attempt that found nothing out.
    pub fn in_vain(otherwise: Otherwise) -> Self {
        Self { learnt: Vec::new(), read: None, otherwise }
    }

    /// An attempt that found out what Microsoft shows, and no more.
    pub fn showing(read: Snapshot, otherwise: Otherwise) -> Self {
        Self { learnt: Vec::new(), read: Some(read), otherwise }
    }
}

impl App {
    /// An app over a store and a bell, with the outside world as the settings name it.
    ///
    /// # Errors
    ///
    /// Settings that a client refuses.
    pub fn new(settings: Settings, clock: Clock, store: Store, bell: Bell) -> Result<Self, Fault> {
        Self::over(outbound::client(), settings, clock, store, bell)
    }

    /// An app on the storage account that the settings name, or in memory where they name none.
    ///
    /// # Errors
    ///
    /// Settings that a client refuses.
    pub fn open(settings: Settings, clock: Clock) -> Result<Self, Fault> {
        let http = outbound::client();
        let (store, bell) = match &settings.storage {
            None => (Store::Memory(Memory::default()), Bell::Memory(memory::Queues::new(clock.clone()))),
            Some(storage) => {
                let account = Account::new(storage, http.clone(), clock.clone())?;
                (Store::Azure(Tables::new(&account)), Bell::Azure(azure::Queues::new(&account)))
            }
        };
        Self::over(http, settings, clock, store, bell)
    }

    /// The same, with the HTTP client that store and bell use already.
    ///
    /// # Errors
    ///
    /// As [`App::new`].
    pub fn over(
        http: reqwest::Client,
        settings: Settings,
        clock: Clock,
        store: Store,
        bell: Bell,
    ) -> Result<Self, Fault> {
        let secrets = Secrets::new(&settings, &http)?;
        let proof = secrets.proof.clone();
        Ok(Self {
            marketplace: Marketplace::new(&settings.marketplace, proof, clock.clone(), http.clone())?,
            caller: Caller::new(&settings.marketplace, http.clone()),
            publisher: Publisher::new(&settings.connection.allowed_hosts, Lookup::System)?,
            endpoint: Endpoint::new(store.clone(), settings.connection.events.as_ref()),
            entra: Entra::new(&settings.entra, http),
            secrets,
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

    /// Verifies that Microsoft calls. A cold instance that cannot fetch the keys uses those that another one kept; an
    /// instance that has fetched keys keeps them for the others.
    pub async fn verify_caller(&self, authorization: Option<&str>, now: OffsetDateTime) -> Result<(), Fault> {
        let mut verified = self.caller.verify(authorization, now).await;
        if verified.as_ref().is_err_and(|fault| fault.code == Code::EntraUnavailable)
            && let Ok(Some(kept)) = self.store.kept(Kept::CallerKeys).await
        {
            self.caller.adopt(&kept, now);
            verified = self.caller.verify(authorization, now).await;
        }
        if let Some(fetched) = self.caller.fetched()
            && let Err(error) = self.store.keep(Kept::CallerKeys, &fetched).await
        {
            tracing::warn!(%error, "the keys of Microsoft's callers could not be kept for other instances");
        }
        verified
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
    ///
    /// `person` is whom the publisher's software names as acting; the history keeps it.
    pub async fn record(&self, id: &SubscriptionId, event: Event, person: Option<&str>) -> Result<Recorded, Fault> {
        note_subscription(id);
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
            subscription.history.name(told, person);
            if self.save(&mut subscription, Some(&stored.etag), told, &rings).await? {
                return Ok(Recorded::Saved { subscription, rings });
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
            let (mut subscription, etag, told) = match self.store.load(id).await? {
                None => (Subscription::discovered(id.clone(), said.clone(), Actor::Marketplace, now), None, 0),
                Some(stored) => {
                    let mut subscription = stored.subscription;
                    let told = subscription.history.total();
                    let read = self.marketplace.get_subscription(id).await?;
                    subscription.apply(Event::Read(Box::new(read)), self.clock.now());
                    (subscription, Some(stored.etag), told)
                }
            };
            if self.save(&mut subscription, etag.as_ref(), told, &[]).await? {
                return Ok(subscription);
            }
        }
        Err(contended(id))
    }

    /// Saves a record once more where a look-up could not find it yet: an earlier release made it, or somebody else uses
    /// it by now.
    pub async fn index(&self, id: &SubscriptionId) -> Result<(), Fault> {
        for _ in 0..SAVE_TRIES {
            let Some(mut stored) = self.store.load(id).await? else { return Ok(()) };
            let told = stored.subscription.history.total();
            if stored.subscription.is_indexed()
                || self.save(&mut stored.subscription, Some(&stored.etag), told, &[]).await?
            {
                return Ok(());
            }
        }
        Err(contended(id))
    }

    /// Saves a record with what the publisher's software is to hear of it, then writes its history to the log and rings for
    /// what has become due, in that order: `told` entries of its history are known. `false` where the race was lost.
    pub async fn save(
        &self,
        subscription: &mut Subscription,
        expected: Option<&Etag>,
        told: usize,
        rings: &[Queue],
    ) -> Result<bool, Fault> {
        self.save_as(subscription, expected, told, rings).await.map(|etag| etag.is_some())
    }

    /// The same, for whoever goes on to save the record once more; `None` where the race was lost.
    pub async fn save_as(
        &self,
        subscription: &mut Subscription,
        expected: Option<&Etag>,
        told: usize,
        rings: &[Queue],
    ) -> Result<Option<Etag>, Fault> {
        // Before the record: one that nobody can find would stay so, a hint without a record counts for nothing.
        if let Some(holder) = subscription.holder().filter(|_| !subscription.is_indexed()) {
            self.store.index(&holder, &subscription.id).await?;
            subscription.indexed_under = Some(holder.key());
        }
        let listens = self.settings.connection.events.is_some();
        let news = subscription.owe_news(listens, self.clock.now());
        match self.store.save(subscription, expected).await {
            Ok(etag) => {
                log_history(subscription, told);
                for queue in rings.iter().copied().chain(news) {
                    self.ring(queue, &subscription.id, queue.first_bell()).await;
                }
                Ok(Some(etag))
            }
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Steps 1 and 2 of discharging a duty: is one of this queue's due, and is it ours? `None` where there is nothing to
    /// do, or somebody else does it.
    pub async fn claim(&self, id: &SubscriptionId, queue: Queue) -> Result<Option<Claim>, Fault> {
        note_subscription(id);
        for _ in 0..SAVE_TRIES {
            let Some(stored) = self.store.load(id).await? else {
                tracing::warn!(queue = queue.name(), "a bell rang for a subscription without a record");
                return Ok(None);
            };
            let now = self.clock.now();
            let mut subscription = stored.subscription;
            let due = |duty: &&Duty| duty.task.id().kind.queue() == queue && duty.is_due(now);
            let Some(duty) = subscription.duties.iter().find(due).map(|duty| duty.task.id()) else {
                return Ok(None);
            };
            subscription.apply(Event::Claimed(duty.clone()), now);
            match self.store.save(&subscription, Some(&stored.etag)).await {
                Ok(etag) => return Ok(Some(Claim { subscription, duty, etag })),
                // Whoever was faster may have had another duty of this record in hand: this bell is the only one for ours.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(id))
    }

    /// Saves at once what a claimant has found out or is about to do, so that nobody does it again, and lets it go on.
    /// `None` where the duty is somebody else's by now, or done.
    pub async fn go_on(&self, claim: Claim, event: Event) -> Result<Option<Claim>, Fault> {
        let claimed = claim.duty().clone();
        let Claim { mut subscription, duty, mut etag } = claim;
        for _ in 0..SAVE_TRIES {
            let told = subscription.history.total();
            subscription.apply(event.clone(), self.clock.now());
            if let Some(etag) = self.save_as(&mut subscription, Some(&etag), told, &[]).await? {
                return Ok(Some(Claim { subscription, duty, etag }));
            }
            let Some(stored) = self.still_claimed(&subscription.id, &claimed).await? else { return Ok(None) };
            (subscription, etag) = (stored.subscription, stored.etag);
        }
        Err(contended(&subscription.id))
    }

    /// The record after a lost race, where the claim on the duty still is what it was.
    async fn still_claimed(&self, id: &SubscriptionId, claimed: &Duty) -> Result<Option<Stored>, Fault> {
        let duty = claimed.task.id();
        let Some(stored) = self.store.load(id).await? else {
            return Err(Fault::new(Code::UnknownSubscription, format!("the record of {id} was deleted")));
        };
        let found = stored.subscription.duty(duty.clone());
        if found.is_some_and(|found| found.attempts == claimed.attempts && found.task == claimed.task) {
            return Ok(Some(stored));
        }
        tracing::info!(subscription_id = %id, %duty, "the duty is done, or somebody else's by now");
        Ok(None)
    }

    /// Steps 4 and 5: records what the attempt found out, and rings again for what is still owed.
    pub async fn settle(&self, claim: Claim, attempt: Attempt) -> Result<(), Fault> {
        let claimed = claim.duty().clone();
        let Claim { mut subscription, duty, mut etag } = claim;
        let id = subscription.id.clone();
        let mut read = attempt.read;
        for _ in 0..SAVE_TRIES {
            let now = self.clock.now();
            let told = subscription.history.total();
            let rings = apply_attempt(&mut subscription, &duty, &attempt.learnt, read, &attempt.otherwise, now);
            if self.save(&mut subscription, Some(&etag), told, &rings).await? {
                self.ring_again(&subscription, &duty, &attempt.otherwise, now).await;
                return Ok(());
            }
            let Some(stored) = self.still_claimed(&id, &claimed).await? else { return Ok(()) };
            (subscription, etag) = (stored.subscription, stored.etag);
            // What the publisher's software took says nothing of what Microsoft shows.
            let asks = duty.kind != Kind::Notify;
            read = if asks { self.marketplace.get_subscription(&id).await.ok() } else { None };
        }
        Err(contended(&id))
    }

    async fn ring_again(&self, subscription: &Subscription, id: &DutyId, otherwise: &Otherwise, now: OffsetDateTime) {
        let subscription_id = &subscription.id;
        let Some(duty) = subscription.duty(id.clone()) else {
            tracing::info!(%subscription_id, duty = %id, "the duty is discharged");
            return;
        };
        let (attempts, why) = (duty.attempts, duty.last_error.as_deref());
        let Some(due) = duty.due() else {
            if let Otherwise::GiveUp { why } = otherwise {
                tracing::warn!(%subscription_id, duty = %id, why, "the duty is given up until somebody takes it up");
                return;
            }
            tracing::error!(
                %subscription_id, duty = %id, attempts, why,
                "the duty failed: nobody tries again until an operator or the buyer asks for it"
            );
            return;
        };
        let delay = due - now;
        tracing::info!(%subscription_id, duty = %id, attempts, %delay, why, "the duty is put off");
        self.ring(id.kind.queue(), subscription_id, delay).await;
    }

    /// Rings; a bell that cannot be rung is logged and no more, because the duty is saved and the sweep rings for what
    /// is due.
    pub async fn ring(&self, queue: Queue, id: &SubscriptionId, delay: Duration) {
        let doorbell = Doorbell { queue, subscription: id.clone() };
        if let Err(fault) = self.bell.ring(&doorbell, delay).await {
            tracing::warn!(subscription_id = %id, queue = queue.name(), %fault, "the bell did not ring; the sweep will");
        }
    }
}

impl Claim {
    /// The duty, as it was claimed.
    pub fn duty(&self) -> &Duty {
        self.subscription.duty(self.duty.clone()).expect("a claim is on a duty of its record")
    }
}

/// Applies what an attempt found out; answers which queues must be rung for other duties that became due by it.
fn apply_attempt(
    subscription: &mut Subscription,
    duty: &DutyId,
    learnt: &[Event],
    read: Option<Snapshot>,
    otherwise: &Otherwise,
    now: OffsetDateTime,
) -> Vec<Queue> {
    let mut rings = Vec::new();
    let read = read.map(|read| Event::Read(Box::new(read)));
    for event in learnt.iter().cloned().chain(read) {
        if let Applied::Changed { rings: more } = subscription.apply(event, now) {
            rings.extend(more);
        }
    }
    if subscription.duty(duty.clone()).is_some() {
        let duty = duty.clone();
        let event = match otherwise.clone() {
            Otherwise::Wait { why, after } => Event::Deferred { duty, why, after },
            Otherwise::Impossible { why } => Event::Impossible { duty, why },
            Otherwise::GiveUp { why } => Event::GivenUp { duty, why },
        };
        subscription.apply(event, now);
    }
    rings
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
pub fn note_subscription(id: &SubscriptionId) {
    tracing::Span::current().record("subscription_id", tracing::field::display(id));
}

/// What a caller hears whose saves all lost their race.
pub fn contended(id: &SubscriptionId) -> Fault {
    Fault::passing(Code::Contended, format!("{SAVE_TRIES} saves of {id} lost their race"))
}
