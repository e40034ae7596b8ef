//! Records in this process, for `fulfillment dev` and tests: the same forms, versions and conflicts as real storage.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::record::{self, Row};
use super::{Etag, HELD_LIMIT, Kept, PAGE_LIMIT, Page, StoreError, Stored};
use crate::person::Holder;
use crate::subscription::{Subscription, SubscriptionId};

/// The most records held: a developer's machine never needs more, and a runaway script ends in a clear error.
pub const RECORDS_LIMIT: usize = 200_000;

/// An in-memory store; clones share their records.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: Arc<Mutex<BTreeMap<SubscriptionId, Versioned>>>,
    kept: Arc<Mutex<BTreeMap<Kept, String>>>,
    held: Arc<Mutex<BTreeMap<Holder, BTreeSet<SubscriptionId>>>>,
}

#[derive(Clone, Debug)]
struct Versioned {
    row: Row,
    version: u64,
}

impl Memory {
    /// Takes a record away, as a person with a storage browser can. No function does.
    pub fn remove(&self, id: &SubscriptionId) {
        self.rows().remove(id);
    }

    /// Puts a row in the place of whatever was there, as another version of this program may have written it.
    pub fn put(&self, id: &SubscriptionId, row: Row) {
        let mut rows = self.rows();
        let version = rows.get(id).map(|stored| stored.version).unwrap_or_default() + 1;
        rows.insert(id.clone(), Versioned { row, version });
    }

    /// A row as it is stored.
    pub fn row(&self, id: &SubscriptionId) -> Option<Row> {
        self.rows().get(id).map(|stored| stored.row.clone())
    }

    /// Takes away all hints, as in a store that an earlier release has filled.
    pub fn forget_holders(&self) {
        self.held().clear();
    }

    pub(super) fn load(&self, id: &SubscriptionId) -> Result<Option<Stored>, StoreError> {
        let found = self.rows().get(id).cloned();
        found
            .map(|Versioned { row, version }| {
                Ok(Stored { subscription: record::decode(id, &row)?, etag: Etag(version.to_string()) })
            })
            .transpose()
    }

    pub(super) fn save(&self, subscription: &Subscription, expected: Option<&Etag>) -> Result<Etag, StoreError> {
        let row = record::encode(subscription)?;
        let version = self.replace(&subscription.id, row, expected)?;
        Ok(Etag(version.to_string()))
    }

    fn replace(&self, id: &SubscriptionId, row: Row, expected: Option<&Etag>) -> Result<u64, StoreError> {
        let mut rows = self.rows();
        let stored = rows.get(id).map(|stored| stored.version);
        if stored.map(|version| version.to_string()).as_deref() != expected.map(|etag| etag.0.as_str()) {
            return Err(StoreError::Conflict);
        }
        if stored.is_none() && rows.len() >= RECORDS_LIMIT {
            return Err(StoreError::Unavailable(format!("the memory store is full: {RECORDS_LIMIT} records")));
        }
        let version = stored.unwrap_or_default() + 1;
        rows.insert(id.clone(), Versioned { row, version });
        Ok(version)
    }

    pub(super) fn due(&self, now: OffsetDateTime) -> Page {
        let rows = self.rows();
        let due = rows.iter().filter_map(|(id, stored)| Some((stored.row.due.filter(|due| *due <= now)?, id)));
        let mut due: Vec<_> = due.collect();
        due.sort();
        let mut page = Page::default();
        for (_, id) in due {
            let subscription = rows.get(id).and_then(|stored| page.read(id.clone(), &stored.row));
            page.subscriptions.extend(subscription.filter(|subscription| subscription.is_due(now)));
            if page.subscriptions.len() == PAGE_LIMIT {
                break;
            }
        }
        page
    }

    pub(super) fn page(&self, after: Option<&SubscriptionId>) -> Page {
        let rows = self.rows();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found: Vec<_> = rows.range::<SubscriptionId, _>((from, Bound::Unbounded)).take(PAGE_LIMIT + 1).collect();
        let mut page = Page::default();
        for (id, stored) in found.iter().take(PAGE_LIMIT) {
            let subscription = page.read((*id).clone(), &stored.row);
            page.subscriptions.extend(subscription);
        }
        page.next = (found.len() > PAGE_LIMIT).then(|| found[PAGE_LIMIT - 1].0.clone());
        page
    }

    pub(super) fn kept(&self, name: Kept) -> Option<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }

    pub(super) fn keep(&self, name: Kept, text: &str) -> Result<(), StoreError> {
        record::check_text(name.as_str(), text)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(name, text.to_owned());
        Ok(())
    }

    pub(super) fn index(&self, holder: &Holder, id: &SubscriptionId) -> Result<(), StoreError> {
        let mut held = self.held();
        if held.values().map(BTreeSet::len).sum::<usize>() >= RECORDS_LIMIT {
            return Err(StoreError::Unavailable(format!("the memory store is full: {RECORDS_LIMIT} hints")));
        }
        held.entry(holder.clone()).or_default().insert(id.clone());
        Ok(())
    }

    pub(super) fn held_by(&self, holder: &Holder) -> Vec<SubscriptionId> {
        self.held().get(holder).into_iter().flatten().take(HELD_LIMIT).cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Holder, BTreeSet<SubscriptionId>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<SubscriptionId, Versioned>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
