//! The marketplace's answers: whatever comes, what is read can be compared, saved and put into addresses; what cannot
//! be read is told by the name of a field of ours.

use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::marketplace::Operation;
use marketplace_fulfillment::marketplace::wire::{self, ID_LENGTH, REST_LENGTH, Unreadable};
use marketplace_fulfillment::store::record;
use marketplace_fulfillment::subscription::{Snapshot, Subscription, SubscriptionId};
use url::Url;

use super::{NOW, assert_segment, assert_tellable};

pub fn holds(data: &[u8]) {
    let from = Url::parse("https://marketplaceapi.microsoft.com/api/saas/subscriptions").expect("a constant URL");
    if let Some((id, snapshot)) = told(wire::subscription(data)) {
        readable(&id, snapshot);
    }
    if let Some(resolved) = told(wire::resolved(data)) {
        readable(&resolved.id, resolved.snapshot);
    }
    told(wire::operation(data)).iter().for_each(operation);
    told(wire::operations(data)).iter().flatten().for_each(operation);
    for plan in told(wire::plans(data)).into_iter().flatten() {
        comparable(&plan.id);
    }
    if let Some(page) = told(wire::page(data, &from)) {
        page.unreadable.iter().for_each(|field| assert_tellable(field));
        page.subscriptions.into_iter().for_each(|(id, snapshot)| readable(&id, snapshot));
    }
}

fn told<T>(read: Result<T, Unreadable>) -> Option<T> {
    // The one field whose name has such a sign.
    read.map_err(|error| assert_tellable(&error.to_string().replace("@nextLink", "nextLink"))).ok()
}

/// What rules compare is bounded, because it cannot be cut.
fn comparable(word: &str) {
    assert!((1..=ID_LENGTH).contains(&word.chars().count()) && !word.chars().any(char::is_control), "{word:?}");
}

fn operation(operation: &Operation) {
    operation.subscription_id.iter().for_each(|id| assert_segment(id.as_str()));
    [operation.id.as_str(), operation.action.as_str(), operation.status.as_str()].into_iter().for_each(comparable);
    assert!(operation.at.is_none_or(|at| at.year() > 1 && at.offset().is_utc()));
}

/// A subscription that Microsoft shows can be saved, and comes back as it was saved.
fn readable(id: &SubscriptionId, snapshot: Snapshot) {
    assert_segment(id.as_str());
    [snapshot.offer_id.as_str(), &snapshot.plan_id, snapshot.status.as_str()].into_iter().for_each(comparable);
    assert!(snapshot.allowed_operations.is_sorted());
    if let Some(rest) = &snapshot.rest {
        let rest_is_object = serde_json::from_str::<serde_json::Value>(rest).is_ok_and(|rest| rest.is_object());
        assert!(rest_is_object && rest.chars().count() <= REST_LENGTH, "{rest}");
    }
    for at in [snapshot.created, snapshot.term.start, snapshot.term.end].into_iter().flatten() {
        assert!(at.year() > 1 && at.offset().is_utc(), "{at}");
    }
    let new = Subscription::discovered(id.clone(), snapshot, Actor::Marketplace, NOW);
    let row = record::encode(&new).expect("what Microsoft shows can be saved");
    let saved = record::decode(id, &row).expect("what was saved can be read");
    assert_eq!(record::encode(&saved).as_ref(), Ok(&row), "what was saved is saved otherwise");
}
