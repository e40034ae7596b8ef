//! Records in Azure Table storage: the table `subscriptions` with one entity for each and one that says whose it may be, the
//! table `system` for what is kept beside them.
//!
//! A save sets the columns that this program knows and leaves the others as they are, so that what a newer release has
//! written survives a rollback. Such a merge cannot take a column away; a record that owes nothing therefore has the word
//! `never` in its column `due`.

mod table;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use uuid::Uuid;

use super::record::{self, Row};
use super::{Etag, HELD_LIMIT, Kept, PAGE_LIMIT, Page, StoreError, Stored};
use crate::person::Holder;
use crate::storage::{Account, Refusal, SEARCH_PATIENCE};
use crate::subscription::{Subscription, SubscriptionId};

use table::{Continuation, Found, Key, Table};

/// The tables, by name.
pub const TABLES: [&str; 2] = ["subscriptions", "system"];

/// The row of a subscription's record. Its partition, the subscription's id, has room for rows of other kinds.
const RECORD: &str = "record";

/// The partition of what is kept beside the records.
const KEPT: &str = "kept";

/// What the doctor writes, among what is kept.
const PROBE: &str = "probe";

/// Stands for a due time that never comes: in the order of texts it is behind every one.
const NEVER: &str = "never";

/// A due time as text of one width, so that the order of texts is the order of times.
const DUE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");

/// What a search answers of a record.
const COLUMNS: &str = "PartitionKey,record,history,outbox,status,due";

/// What a search answers of a hint. Its partition is the holder's key, its row the subscription's id, and that is all of it.
const HINT: &str = "RowKey";

/// A store in Azure Table storage. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Tables {
    subscriptions: Table,
    system: Table,
}

/// A record on its way out.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "PartitionKey")]
    partition: &'a str,
    #[serde(rename = "RowKey")]
    row: &'a str,
    record: &'a str,
    history: &'a str,
    outbox: &'a str,
    status: &'a str,
    due: &'a str,
    /// Another one for each save: whoever finds it knows that this save was done.
    mark: &'a str,
}

/// A record as it is stored. A column that somebody emptied by hand counts as absent.
#[derive(Deserialize)]
struct Read {
    #[serde(rename = "PartitionKey")]
    partition: String,
    record: Option<String>,
    history: Option<String>,
    outbox: Option<String>,
    status: Option<String>,
    due: Option<String>,
    mark: Option<String>,
}

#[derive(Serialize)]
struct Hint<'a> {
    #[serde(rename = "PartitionKey")]
    holder: &'a str,
    #[serde(rename = "RowKey")]
    subscription: &'a str,
}

#[derive(Deserialize)]
struct Hinted {
    #[serde(rename = "RowKey")]
    subscription: String,
}

#[derive(Serialize)]
struct Keeping<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
struct KeptText {
    text: Option<String>,
}

impl Tables {
    /// The tables of an account, which must exist before the first record is saved: [`Tables::create`].
    pub fn new(account: &Account) -> Self {
        let [subscriptions, system] = TABLES.map(|name| Table::new(account, name));
        Self { subscriptions, system }
    }

    /// Creates the tables that do not exist.
    pub async fn create(&self) -> Result<(), StoreError> {
        self.subscriptions.create().await?;
        Ok(self.system.create().await?)
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        self.create().await?;
        // One row for whoever probes: two at a time disturb each other, and the one that lost looks at its own version.
        let key = Key { partition: KEPT, row: PROBE };
        let mark = Uuid::new_v4().simple().to_string();
        let old = self.system.merge(key, &Keeping { text: &mark }, None).await?;
        let Some((KeptText { text: Some(_) }, _)) = self.system.get::<KeptText>(key).await? else {
            return Err(StoreError::Unavailable("what was written a moment ago cannot be read".to_owned()));
        };
        self.system.merge(key, &Keeping { text: "probed" }, None).await?;
        match self.system.merge(key, &Keeping { text: "lost" }, Some(&old)).await {
            Err(refusal) if refusal.is_conflict() => Ok(()),
            Err(refusal) => Err(refusal.into()),
            Ok(_) => Err(StoreError::Unavailable("it takes a save of an old version, and so loses changes".to_owned())),
        }
    }

    pub(super) async fn load(&self, id: &SubscriptionId) -> Result<Option<Stored>, StoreError> {
        let Some((read, etag)) = self.subscriptions.get::<Read>(key(id)).await? else { return Ok(None) };
        Ok(Some(Stored { subscription: record::decode(id, &read.into_row()?)?, etag: Etag(etag) }))
    }

    /// A save whose answer is lost is tried again by the SDK, and then loses a race against itself. Whoever loses one
    /// therefore looks whose save it lost to.
    pub(super) async fn save(&self, subscription: &Subscription, expected: Option<&Etag>) -> Result<Etag, StoreError> {
        let id = &subscription.id;
        let row = record::encode(subscription)?;
        let due = row.due.map_or_else(|| NEVER.to_owned(), due_text);
        let mark = Uuid::new_v4().simple().to_string();
        let Row { record, history, outbox, status, .. } = &row;
        let written =
            Written { partition: id.as_str(), row: RECORD, record, history, outbox, status, due: &due, mark: &mark };
        let saved = match expected {
            None => self.subscriptions.insert(&written).await,
            Some(Etag(etag)) => self.subscriptions.merge(key(id), &written, Some(etag)).await,
        };
        match saved {
            Ok(etag) => Ok(Etag(etag)),
            Err(refusal) if refusal.is_conflict() => match self.subscriptions.get::<Read>(key(id)).await? {
                Some((read, etag)) if read.mark.as_deref() == Some(&mark) => Ok(Etag(etag)),
                _ => Err(StoreError::Conflict),
            },
            // Somebody has deleted the record: it is not at the version that the save named.
            Err(refusal) if refusal.code == "ResourceNotFound" && expected.is_some() => Err(StoreError::Conflict),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Azure finds what is due, in the order of ids. Which is overdue longest is known at the end of the search, so the
    /// search goes through all of it, within [`SEARCH_PATIENCE`], and holds no more than a page.
    pub(super) async fn due(&self, now: OffsetDateTime) -> Result<Page, StoreError> {
        let filter = format!("RowKey eq '{RECORD}' and due le '{}'", due_text(now));
        let mut page = Page::default();
        let mut longest: BTreeMap<(String, SubscriptionId), Subscription> = BTreeMap::new();
        self.search(&filter, COLUMNS, |mut read: Read| {
            let due = read.due.take().unwrap_or_default();
            if let Some(subscription) = read.onto(&mut page).filter(|subscription| subscription.is_due(now)) {
                longest.insert((due, subscription.id.clone()), subscription);
            }
            if longest.len() > PAGE_LIMIT {
                longest.pop_last();
            }
            true
        })
        .await?;
        page.subscriptions = longest.into_values().collect();
        Ok(page)
    }

    pub(super) async fn page(&self, after: Option<&SubscriptionId>) -> Result<Page, StoreError> {
        let after = after.map(|id| format!(" and PartitionKey gt '{id}'")).unwrap_or_default();
        let mut found = Vec::new();
        self.search(&format!("RowKey eq '{RECORD}'{after}"), COLUMNS, |read: Read| {
            found.push(read);
            found.len() <= PAGE_LIMIT
        })
        .await?;
        let more = found.len() > PAGE_LIMIT;
        found.truncate(PAGE_LIMIT);
        let next = found.last().filter(|_| more).and_then(|last| SubscriptionId::parse(&last.partition));
        let mut page = Page { next, ..Page::default() };
        for read in found {
            let subscription = read.onto(&mut page);
            page.subscriptions.extend(subscription);
        }
        Ok(page)
    }

    pub(super) async fn kept(&self, name: Kept) -> Result<Option<String>, StoreError> {
        let found = self.system.get::<KeptText>(Key { partition: KEPT, row: name.as_str() }).await?;
        Ok(found.and_then(|(kept, _)| kept.text))
    }

    pub(super) async fn keep(&self, name: Kept, text: &str) -> Result<(), StoreError> {
        record::check_text(name.as_str(), text)?;
        let key = Key { partition: KEPT, row: name.as_str() };
        self.system.merge(key, &Keeping { text }, None).await?;
        Ok(())
    }

    pub(super) async fn index(&self, holder: &Holder, id: &SubscriptionId) -> Result<(), StoreError> {
        let holder = holder.key();
        let key = Key { partition: &holder, row: id.as_str() };
        self.subscriptions.merge(key, &Hint { holder: &holder, subscription: id.as_str() }, None).await?;
        Ok(())
    }

    pub(super) async fn held_by(&self, holder: &Holder) -> Result<Vec<SubscriptionId>, StoreError> {
        let mut found = Vec::new();
        self.search(&format!("PartitionKey eq '{}'", holder.key()), HINT, |hinted: Hinted| {
            found.extend(SubscriptionId::parse(&hinted.subscription));
            found.len() < HELD_LIMIT
        })
        .await?;
        found.truncate(HELD_LIMIT);
        Ok(found)
    }

    /// Hands on what is found until `take` has enough.
    async fn search<T: DeserializeOwned>(
        &self,
        filter: &str,
        columns: &str,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), StoreError> {
        let search = async {
            let mut from: Option<Continuation> = None;
            loop {
                let Found { entities, next } = self.subscriptions.search(filter, columns, from.as_ref()).await?;
                if !entities.into_iter().all(&mut take) || next.is_none() {
                    return Ok(());
                }
                from = next;
            }
        };
        let late = || StoreError::Unavailable(format!("a search took more than {SEARCH_PATIENCE:?}"));
        tokio::time::timeout(SEARCH_PATIENCE, search).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Read {
    fn into_row(self) -> Result<Row, StoreError> {
        let Self { partition, record, history, outbox, .. } = self;
        let (Some(record), Some(history)) = (record, history) else {
            let why = format!("the entity of {partition} lacks its column record or history");
            return Err(StoreError::Unreadable(why));
        };
        let (outbox, status) = (outbox.unwrap_or_default(), self.status.unwrap_or_default());
        Ok(Row { record, history, outbox, status, due: None })
    }

    /// The record; `None` where it cannot be read, which `page` and the log then tell.
    fn onto(self, page: &mut Page) -> Option<Subscription> {
        let Some(id) = SubscriptionId::parse(&self.partition) else {
            tracing::error!("an entity of the table is left aside: its partition key is not a subscription's id");
            return None;
        };
        match self.into_row() {
            Ok(row) => page.read(id, &row),
            Err(error) => {
                page.set_aside(id, error);
                None
            }
        }
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal.status {
            _ if refusal.is_conflict() => Self::Conflict,
            Some(400 | 413) => Self::Unfit(refusal.to_string()),
            _ => Self::Unavailable(refusal.to_string()),
        }
    }
}

fn key(id: &SubscriptionId) -> Key<'_> {
    Key { partition: id.as_str(), row: RECORD }
}

fn due_text(due: OffsetDateTime) -> String {
    due.to_offset(time::UtcOffset::UTC).format(DUE).expect("a year of four digits and what belongs to a time")
}
