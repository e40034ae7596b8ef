//! Where the records of subscriptions are kept.

pub mod azure;
pub mod memory;
pub mod record;
pub mod shaken;

use std::fmt;

use time::OffsetDateTime;

use crate::error::{Code, Fault};
use crate::subscription::{Subscription, SubscriptionId};

use memory::Memory;
use shaken::Shaken;

/// The largest page that [`Store::page`] and [`Store::due`] return: bounds the memory of one call.
pub const PAGE_LIMIT: usize = 100;

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
}

impl Kept {
    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerKeys => "caller-keys",
            Self::ReconcileCursor => "reconcile-cursor",
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

/// One page of records.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records, in the order of their ids.
    pub subscriptions: Vec<Subscription>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<SubscriptionId>,
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The record is not at the version that the save named: somebody else was faster.
    Conflict,
    /// The store could not be reached, or failed. A save may have been done all the same.
    Unavailable(String),
    /// The record does not fit the store, or what is stored cannot be read: a fault of this program.
    Unfit(String),
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

    /// At most [`PAGE_LIMIT`] subscriptions with a duty that is due, the longest overdue first.
    pub async fn due(&self, now: OffsetDateTime) -> Result<Vec<Subscription>, StoreError> {
        match self {
            Self::Memory(memory) => memory.due(now),
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

    /// Whether records can be kept: makes what is missing, writes, reads, and sees a save of an old version refused.
    ///
    /// # Errors
    ///
    /// What does not work, with what to do.
    pub async fn probe(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Azure(tables) => tables.probe().await,
            Self::Shaken(shaken) => shaken.probe().await,
        }
    }

    /// A page of all records that come after `after`, at most [`PAGE_LIMIT`].
    pub async fn page(&self, after: Option<&SubscriptionId>) -> Result<Page, StoreError> {
        match self {
            Self::Memory(memory) => memory.page(after),
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
            Self::Unfit(why) => write!(f, "the record and the store do not fit: {why}"),
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
        };
        Self::passing(code, error.to_string())
    }
}
