//! A store that meets mishaps: real storage loses races, fails, and leaves its callers without an answer; this one does it
//! when a test has planned it, whatever store is underneath.

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use super::{Etag, Kept, Page, Store, StoreError, Stored};
use crate::mishap::{Mishap, Mishaps};
use crate::person::Holder;
use crate::subscription::{Subscription, SubscriptionId};

/// Boxed, because what is underneath is a store again.
type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Another store, and what is about to befall it.
#[derive(Clone, Debug)]
pub struct Shaken {
    store: Box<Store>,
    mishaps: Mishaps,
}

impl Shaken {
    /// `store`, with these mishaps.
    pub fn new(store: Store, mishaps: Mishaps) -> Self {
        Self { store: Box::new(store), mishaps }
    }

    pub(super) fn load<'a>(&'a self, id: &'a SubscriptionId) -> Answer<'a, Option<Stored>> {
        Box::pin(async move {
            self.begin("load", Some(id)).await?;
            self.store.load(id).await
        })
    }

    pub(super) fn save<'a>(&'a self, subscription: &'a Subscription, expected: Option<&'a Etag>) -> Answer<'a, Etag> {
        Box::pin(async move {
            let mishap = self.begin("save", Some(&subscription.id)).await?;
            if mishap == Some(Mishap::LostRace) {
                return Err(StoreError::Conflict);
            }
            let etag = self.store.save(subscription, expected).await?;
            self.end(mishap).await?;
            Ok(etag)
        })
    }

    pub(super) fn due(&self, now: OffsetDateTime) -> Answer<'_, Page> {
        Box::pin(async move {
            self.begin("due", None).await?;
            self.store.due(now).await
        })
    }

    pub(super) fn kept(&self, name: Kept) -> Answer<'_, Option<String>> {
        Box::pin(async move {
            self.begin("kept", None).await?;
            self.store.kept(name).await
        })
    }

    pub(super) fn keep<'a>(&'a self, name: Kept, text: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mishap = self.begin("keep", None).await?;
            self.store.keep(name, text).await?;
            self.end(mishap).await
        })
    }

    pub(super) fn index<'a>(&'a self, holder: &'a Holder, id: &'a SubscriptionId) -> Answer<'a, ()> {
        Box::pin(async move {
            let mishap = self.begin("index", Some(id)).await?;
            self.store.index(holder, id).await?;
            self.end(mishap).await
        })
    }

    pub(super) fn held_by<'a>(&'a self, holder: &'a Holder) -> Answer<'a, Vec<SubscriptionId>> {
        Box::pin(async move {
            self.begin("held_by", None).await?;
            self.store.held_by(holder).await
        })
    }

    pub(super) fn probe(&self) -> Answer<'_, ()> {
        Box::pin(self.store.probe())
    }

    pub(super) fn page<'a>(&'a self, after: Option<&'a SubscriptionId>) -> Answer<'a, Page> {
        Box::pin(async move {
            self.begin("page", None).await?;
            self.store.page(after).await
        })
    }

    async fn begin(
        &self,
        operation: &'static str,
        subscription: Option<&SubscriptionId>,
    ) -> Result<Option<Mishap>, StoreError> {
        match self.mishaps.begin(operation, subscription.map(SubscriptionId::as_str)).await {
            Some(Mishap::Refused) => Err(StoreError::Unavailable("refused".to_owned())),
            mishap => Ok(mishap),
        }
    }

    async fn end(&self, mishap: Option<Mishap>) -> Result<(), StoreError> {
        self.mishaps.end(mishap).await;
        match mishap {
            Some(Mishap::Unanswered) => Err(StoreError::Unavailable("the answer was lost".to_owned())),
            _ => Ok(()),
        }
    }
}
