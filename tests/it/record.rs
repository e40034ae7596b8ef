//! The stored form of a subscription: everything survives, nothing outgrows its column, and versions of this program read
//! each other.

mod budget;
mod fixtures;
mod form;
mod future;
mod unreadable;

use marketplace_fulfillment::duty::Kind;
use marketplace_fulfillment::history::{Actor, Entry, Happening};
use marketplace_fulfillment::store::memory::Memory;
use marketplace_fulfillment::store::record::{decode, encode};
use marketplace_fulfillment::store::{Etag, PAGE_LIMIT, Store, StoreError};
use marketplace_fulfillment::subscription::{Event, Party, Snapshot, Status, Subscription, SubscriptionId, Term};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::subscription::{accepted, snapshot};

const NOW: OffsetDateTime = datetime!(2026-11-20 09:00:00.123_456_7 UTC);

fn id(text: &str) -> SubscriptionId {
    SubscriptionId::parse(text).unwrap()
}

fn full() -> Subscription {
    let party = |name: &str| {
        Some(Party {
            email: Some(format!("{name}@fabrikam.example")),
            object_id: Some("0b5dc2a1-6f0c-4d3f-8a86-1f6c3b0c9b11".to_owned()),
            tenant_id: Some("9188040d-6c67-4c5b-b112-36a304b66dad".to_owned()),
            puid: Some("10032001ABCDEF12".to_owned()),
        })
    };
    let known = Snapshot {
        beneficiary: party("user"),
        purchaser: party("buyer"),
        term: Term { unit: Some("P1M".to_owned()), start: Some(NOW), end: Some(NOW + Duration::days(29)) },
        created: Some(NOW - Duration::days(1)),
        ..snapshot("PendingFulfillmentStart")
    };
    let mut full = Subscription::discovered(id("full"), known, Actor::Marketplace, NOW);
    full.apply(Event::Confirmed(Actor::Buyer), NOW);
    full.apply(Event::Claimed(Kind::Activate.into()), NOW);
    full.apply(accepted(), NOW);
    full.apply(Event::Deferred { duty: Kind::Activate.into(), why: "still pending".to_owned(), after: None }, NOW);
    full
}

#[test]
fn everything_survives_storage() {
    for status in ["NotStarted", "PendingFulfillmentStart", "Subscribed", "Suspended", "Unsubscribed", "Hibernating"] {
        let mut subscription = full();
        subscription.known.status = Status::parse(status);
        let row = encode(&subscription).unwrap();
        assert_eq!(decode(&subscription.id, &row).unwrap(), subscription, "{status}");
        assert_eq!(row.status, status);
    }
    let bare = Subscription::discovered(id("bare"), snapshot("Subscribed"), Actor::Program, NOW);
    assert_eq!(decode(&bare.id, &encode(&bare).unwrap()).unwrap(), bare);
}

#[test]
fn every_word_of_history_survives_storage() {
    let mut subscription = full();
    let entry = subscription.history.entries[0].clone();
    let words = Happening::ALL.into_iter().zip(Actor::ALL.into_iter().cycle());
    subscription.history.entries = words.map(|(what, by)| Entry { what, by, ..entry.clone() }).collect();
    assert_eq!(decode(&subscription.id, &encode(&subscription).unwrap()).unwrap(), subscription);
}

#[tokio::test]
async fn two_writers_one_wins() {
    let store = Store::Memory(Memory::default());
    let subscription = full();
    let first = store.save(&subscription, None).await.unwrap();
    assert_eq!(store.save(&subscription, None).await, Err(StoreError::Conflict), "it exists already");
    let second = store.save(&subscription, Some(&first)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(store.save(&subscription, Some(&first)).await, Err(StoreError::Conflict), "somebody was faster");
    let nobody = Subscription { id: id("nobody"), ..full() };
    assert_eq!(store.save(&nobody, Some(&Etag("1".to_owned()))).await, Err(StoreError::Conflict), "it was deleted");
}

#[tokio::test]
async fn pages_and_due_records() {
    let store = Store::Memory(Memory::default());
    let count = PAGE_LIMIT + 20;
    for n in 0..count {
        let mut subscription = Subscription { id: id(&format!("s-{n:04}")), ..full() };
        if n % 2 == 0 {
            subscription.duties.clear();
        }
        store.save(&subscription, None).await.unwrap();
    }
    let first = store.page(None).await.unwrap();
    assert_eq!(first.subscriptions.len(), PAGE_LIMIT);
    let last = store.page(first.next.as_ref()).await.unwrap();
    assert_eq!((last.subscriptions.len(), last.next), (20, None));
    assert_eq!(last.subscriptions[0].id, id(&format!("s-{PAGE_LIMIT:04}")));

    assert!(store.due(NOW).await.unwrap().is_empty(), "backed off");
    assert_eq!(store.due(NOW + Duration::hours(1)).await.unwrap().subscriptions.len(), count / 2);
}
