//! Where the records of subscriptions are kept.

pub mod azure;
pub mod memory;
pub mod record;
pub mod shaken;

use std::fmt;

use time::OffsetDateTime;

use crate::error::{Code, Fault};
use crate::person::Holder;
use crate::subscription::{Subscription, SubscriptionId};

use memory::Memory;
use record::Row;
use shaken::Shaken;

/// The largest page that [`Store::page`] and [`Store::due`] return: bounds the memory of one call.
pub const PAGE_LIMIT: usize = 100;

/// How many subscriptions of one holder are looked through at most: ten times what the largest customers have, cancelled
/// ones included, and it bounds the time of a look-up.
pub const HELD_LIMIT: usize = 1_000;

/// The store of this process. A closed set: a new one is a new variant.
#[derive(Clone, Debug)]
pub enum Store {
    /// In this process; gone with it.
    Memory(Memory),
    /// In Azure Table storage.
    Azure(azure::Tables),
    /// Another one, shaken by tests.
    Shaken(Shaken),
}

/// What the store keeps beside the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// The last good keys with which Microsoft signs its webhooks' tokens.
    CallerKeys,
    /// Where the reconciliation goes on.
    ReconcileCursor,
    /// What is known of the publisher's events endpoint.
    EventsEndpoint,
    /// Of which ending secrets the publisher's software was told.
    EndingSecrets,
}

impl Kept {
    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerKeys => "caller-keys",
            Self::ReconcileCursor => "reconcile-cursor",
            Self::EventsEndpoint => "events-endpoint",
            Self::EndingSecrets => "ending-secrets",
        }
    }
}

/// The version of a stored record. Only equality matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(pub String);

/// A record with the version that a save must name.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The record.
    pub subscription: Subscription,
    /// Its version.
    pub etag: Etag,
}

/// One page of records. A record that cannot be read is on it and hides none of the others.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The records that can be read.
    pub subscriptions: Vec<Subscription>,
    /// Those that cannot, at most [`PAGE_LIMIT`]. The log tells of each, with the reason.
    pub unreadable: Vec<Unreadable>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<SubscriptionId>,
}

/// A record that cannot be read. Nobody touches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Whose it is.
    pub id: SubscriptionId,
    /// Why.
    pub error: StoreError,
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The record is not at the version that the save named: somebody else was faster.
    Conflict,
    /// The store could not be reached, or failed. A save may have been done all the same.
    Unavailable(String),
    /// What is to be saved does not fit the store: a fault of this program.
    Unfit(String),
    /// The record has a form that only a newer version of this program reads.
    Newer(String),
    /// What is stored is not what any version of this program wrote.
    Unreadable(String),
}

impl Page {
    /// The subscription of a row. One that cannot be read is told of in the log and set aside on this page.
    pub(crate) fn read(&mut self, id: SubscriptionId, row: &Row) -> Option<Subscription> {
        record::decode(&id, row).map_err(|error| self.set_aside(id, error)).ok()
    }

    /// Whether there is no record at all.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty() && self.unreadable.is_empty()
    }

    pub(crate) fn set_aside(&mut self, id: SubscriptionId, error: StoreError) {
        if self.unreadable.len() < PAGE_LIMIT {
            tracing::error!(subscription_id = %id, %error, "a record is left aside");
            self.unreadable.push(Unreadable { id, error });
        }
    }
}

impl Store {
    /// Loads a record; `None` where there is none.
    pub async fn load(&self, id: &SubscriptionId) -> Result<Option<Stored>, StoreError> {
        match self {
            Self::Memory(memory) => memory.load(id),
            Self::Azure(tables) => tables.load(id).await,
            Self::Shaken(shaken) => shaken.load(id).await,
        }
    }

    /// Saves a record that is at version `expected` in the store, `None` for a new one. Answers the new version.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] where the store holds another version, or a new record exists already.
    pub async fn save(&self, subscription: &Subscription, expected: Option<&Etag>) -> Result<Etag, StoreError> {
        match self {
            Self::Memory(memory) => memory.save(subscription, expected),
            Self::Azure(tables) => tables.save(subscription, expected).await,
            Self::Shaken(shaken) => shaken.save(subscription, expected).await,
        }
    }

    /// At most [`PAGE_LIMIT`] subscriptions with a duty that is due, the longest overdue first; what is left waits for the
    /// next call, and `next` is not set.
    ///
    /// A record in which only a newer version sees something due takes no room, nor does one that cannot be read: neither
    /// goes away while this version runs, and a page full of them would hide what is behind it for ever.
    pub async fn due(&self, now: OffsetDateTime) -> Result<Page, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.due(now)),
            Self::Azure(tables) => tables.due(now).await,
            Self::Shaken(shaken) => shaken.due(now).await,
        }
    }

    /// What outlives an instance and is no subscription, by name: keys, cursors. `None` where nothing was kept.
    pub async fn kept(&self, name: Kept) -> Result<Option<String>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.kept(name)),
            Self::Azure(tables) => tables.kept(name).await,
            Self::Shaken(shaken) => shaken.kept(name).await,
        }
    }

    /// Keeps a text under a name, in place of what was there. The last writer wins: what is kept so is a help and never
    /// the truth.
    pub async fn keep(&self, name: Kept, text: &str) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.keep(name, text),
            Self::Azure(tables) => tables.keep(name, text).await,
            Self::Shaken(shaken) => shaken.keep(name, text).await,
        }
    }

    /// Writes down that this holder may have this subscription, so that [`Store::held_by`] finds it. It is a hint: the
    /// record decides, and a hint without a record that agrees counts for nothing. Written again it changes nothing.
    pub async fn index(&self, holder: &Holder, id: &SubscriptionId) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.index(holder, id),
            Self::Azure(tables) => tables.index(holder, id).await,
            Self::Shaken(shaken) => shaken.index(holder, id).await,
        }
    }

    /// The subscriptions that a holder may have, in the order of their ids, at most [`HELD_LIMIT`]. What it costs does not
    /// grow with what others have.
    pub async fn held_by(&self, holder: &Holder) -> Result<Vec<SubscriptionId>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.held_by(holder)),
            Self::Azure(tables) => tables.held_by(holder).await,
            Self::Shaken(shaken) => shaken.held_by(holder).await,
        }
    }

    /// Whether records can be kept: makes what is missing, writes, reads, and sees a save of an old version refused.
    ///
    /// # Errors
    ///
    /// What does not work, with what to do.
    pub async fn probe(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Err(StoreError::Unavailable(
                "records are kept in memory and lost with this process: set AzureWebJobsStorage, or \
                 AzureWebJobsStorage__accountName"
                    .to_owned(),
            )),
            Self::Azure(tables) => tables.probe().await,
            Self::Shaken(shaken) => shaken.probe().await,
        }
    }

    /// A page of all records that come after `after`, at most [`PAGE_LIMIT`], in the order of their ids.
    pub async fn page(&self, after: Option<&SubscriptionId>) -> Result<Page, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.page(after)),
            Self::Azure(tables) => tables.page(after).await,
            Self::Shaken(shaken) => shaken.page(after).await,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("the record was changed by somebody else"),
            Self::Unavailable(why) => write!(f, "the store is not available: {why}"),
            Self::Unfit(why) => write!(f, "the record does not fit the store: {why}"),
            Self::Newer(why) | Self::Unreadable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Conflict => Code::Contended,
            StoreError::Unavailable(_) => Code::StoreUnavailable,
            StoreError::Unfit(_) => return Self::new(Code::Internal, error.to_string()),
            StoreError::Newer(_) => return Self::new(Code::RecordNewer, error.to_string()),
            StoreError::Unreadable(_) => return Self::new(Code::RecordUnreadable, error.to_string()),
        };
        Self::passing(code, error.to_string())
    }
}
