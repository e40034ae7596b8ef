//! The rule of who may use a subscription: every status, every term, and an operator's word for a time; and who a holder is.

use marketplace_fulfillment::entitlement::{Entitlement, Override, Why};
use marketplace_fulfillment::event::Applied;
use marketplace_fulfillment::history::{Actor, Happening};
use marketplace_fulfillment::outbox::News;
use marketplace_fulfillment::person::{Holder, PERSONAL_TENANT};
use marketplace_fulfillment::subscription::{Event, Party, Snapshot, Subscription, SubscriptionId, Term};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::subscription::snapshot;

const NOW: OffsetDateTime = datetime!(2026-11-20 09:00 UTC);
const LAST_DAY: OffsetDateTime = datetime!(2026-12-19 00:00 UTC);
const END: OffsetDateTime = datetime!(2026-12-20 00:00 UTC);

fn with_term(status: &str, renews: Option<bool>) -> Snapshot {
    let term = Term { unit: Some("P1M".to_owned()), start: None, end: Some(LAST_DAY) };
    Snapshot { term, auto_renew: renews, ..snapshot(status) }
}

fn decided(entitled: bool, until: OffsetDateTime) -> Override {
    Override { entitled, until, reason: "a mistake".to_owned(), at: NOW, person: Some("Ada".to_owned()) }
}

#[test]
fn microsofts_status_decides() {
    let (yes, no) = (true, false);
    let table = [
        ("NotStarted", no, Why::Pending),
        ("PendingFulfillmentStart", no, Why::Pending),
        ("Subscribed", yes, Why::Active),
        ("Suspended", no, Why::Suspended),
        ("Unsubscribed", no, Why::Cancelled),
        ("Hibernating", no, Why::UnknownStatus),
    ];
    for (status, entitled, why) in table {
        for renews in [None, Some(true), Some(false)] {
            let found = Entitlement::of(&with_term(status, renews), None, NOW);
            let (until, renews) = if entitled { (Some(END), renews) } else { (None, None) };
            assert_eq!(found, Entitlement { entitled, why, until, renews }, "{status}");
        }
    }
}

/// Microsoft names the last day of a term. Where it has passed, what Microsoft shows counts, and no end is known.
#[test]
fn a_term_ends_with_its_last_day() {
    let known = with_term("Subscribed", Some(true));
    let at = |now| Entitlement::of(&known, None, now);
    let second = Duration::seconds(1);
    assert_eq!(at(END - second).until, Some(END));
    for later in [END, END + Duration::days(30)] {
        assert_eq!((at(later).entitled, at(later).until), (true, None));
    }
    assert_eq!(Entitlement::of(&snapshot("Subscribed"), None, NOW).until, None);
    let far = Snapshot { term: Term { end: Some(datetime!(9999-12-31 0:00 UTC)), ..Term::default() }, ..known };
    assert_eq!(Entitlement::of(&far, None, NOW).until, None, "a time that cannot be counted on from");
}

#[test]
fn an_operators_word_wins_until_it_ends() {
    let until = NOW + Duration::days(14);
    for status in ["PendingFulfillmentStart", "Subscribed", "Suspended", "Unsubscribed", "Hibernating"] {
        for entitled in [true, false] {
            let decided = decided(entitled, until);
            let known = with_term(status, Some(true));
            let counts = Entitlement { entitled, why: Why::Override, until: Some(until), renews: None };
            assert_eq!(Entitlement::of(&known, Some(&decided), until - Duration::nanoseconds(1)), counts, "{status}");
            assert_eq!(
                Entitlement::of(&known, Some(&decided), until),
                Entitlement::of(&known, None, until),
                "{status}"
            );
        }
    }
}

fn suspended() -> Subscription {
    Subscription::discovered(SubscriptionId::parse("one").unwrap(), snapshot("Suspended"), Actor::Marketplace, NOW)
}

/// What the newest entry of the history and the newest announcement say, which is the same.
fn told(record: &Subscription) -> (Happening, Actor, String, String, Option<String>) {
    let entry = record.history.entries.last().unwrap().clone();
    let news = record.outbox.announcements.last().unwrap().clone();
    assert_eq!(news.news, News::EntitlementOverridden);
    assert_eq!((&news.by, &news.from, &news.to, &news.why), (&entry.by, &entry.from, &entry.to, &entry.why));
    (entry.what, entry.by, entry.from.unwrap(), entry.to.unwrap(), entry.why)
}

#[test]
fn a_decision_and_its_end_are_told_once() {
    let until = NOW + Duration::days(14);
    let mut record = suspended();
    let begun = record.history.total();
    assert_eq!(record.apply(Event::OverrideEnded { by: Actor::Publisher }, NOW), Applied::Unchanged, "there is none");
    record.apply(Event::Overridden(decided(true, until)), NOW);
    let (from, to, why) = ("not entitled".to_owned(), "entitled until 2026-12-04".to_owned(), "a mistake".to_owned());
    assert_eq!(told(&record), (Happening::Overridden, Actor::Publisher, from, to, Some(why)));
    // The same again, by somebody else and later.
    let again = Override { at: NOW + Duration::hours(1), person: None, ..decided(true, until) };
    assert_eq!(record.apply(Event::Overridden(again), NOW + Duration::hours(1)), Applied::Unchanged);
    let ended = Event::OverrideEnded { by: Actor::Program };
    assert_eq!(record.apply(ended.clone(), until - Duration::seconds(1)), Applied::Unchanged, "it still counts");
    record.apply(ended.clone(), until);
    let (from, to) = ("entitled".to_owned(), "not entitled".to_owned());
    assert_eq!(told(&record), (Happening::OverrideEnded, Actor::Program, from, to, None));
    assert_eq!(record.apply(ended, until), Applied::Unchanged);
    assert_eq!((record.history.total() - begun, record.entitlement_override.clone()), (2, None));
    // A new one in place of another, and an operator who ends it before its time.
    record.apply(Event::Overridden(decided(true, until + Duration::days(1))), until);
    record.apply(Event::Overridden(decided(false, until + Duration::days(1))), until);
    assert_eq!(told(&record).2, "entitled");
    record.apply(Event::OverrideEnded { by: Actor::Publisher }, until);
    assert_eq!(told(&record).1, Actor::Publisher);
    // One that is over and still on the record is no reason to refuse the same again.
    record.apply(Event::Overridden(decided(true, until + Duration::days(2))), until);
    let later = until + Duration::days(3);
    assert_ne!(record.apply(Event::Overridden(decided(true, until + Duration::days(2))), later), Applied::Unchanged);
}

const TENANT: &str = "5F0BC2A1-8a52-4c0e-9d51-2a40f3b7c911";
const PERSON: &str = "00000000-0000-0000-0003-4001C7D2E5F6";
const MEMBER: &str = "c1a4d7e2-93b5-4f68-8f1d-70d2b6a9e301";
const PUID: &str = "00034001C7D2E5F6";

/// What Microsoft says of a party, and whom a look-up finds it by.
#[test]
fn who_a_party_is() {
    let (tenant, person) =
        (Some(format!("tenant-{}", TENANT.to_lowercase())), Some(format!("person-{}", PERSON.to_lowercase())));
    let table = [
        (Some(TENANT), Some(MEMBER), Some(PUID), tenant.clone()),
        (Some(TENANT), None, None, tenant),
        (Some(PERSONAL_TENANT), Some(PERSON), Some(PUID), person.clone()),
        (Some(PERSONAL_TENANT), None, Some(PUID), person.clone()),
        (Some(PERSONAL_TENANT), Some(PERSON), None, person.clone()),
        (Some(PERSONAL_TENANT), Some(PERSON), Some("?"), person.clone()),
        // Person::may_act_for takes a party without a tenant for a personal account, too.
        (None, None, Some(PUID), person.clone()),
        (Some(""), Some(PERSON), None, person),
        (Some(PERSONAL_TENANT), Some(MEMBER), None, Some(format!("person-{MEMBER}"))),
        (Some(PERSONAL_TENANT), None, None, None),
        (None, Some(MEMBER), None, None),
        (None, None, None, None),
        (Some("not a tenant' or 1 eq 1"), Some(MEMBER), None, None),
        (Some(PERSONAL_TENANT), Some("'x'"), None, None),
    ];
    for (tenant_id, object_id, puid, key) in table {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let party = Party { email: None, tenant_id: owned(tenant_id), object_id: owned(object_id), puid: owned(puid) };
        assert_eq!(Holder::of(&party).map(|holder| holder.key()), key, "{tenant_id:?} {object_id:?} {puid:?}");
    }
}

#[test]
fn whom_a_caller_can_name() {
    let tenant = Some(Holder::Organisation(TENANT.to_lowercase()));
    let person = Some(Holder::Person(PERSON.to_lowercase()));
    assert_eq!(Holder::named(Some(TENANT), None), tenant);
    assert_eq!(Holder::named(Some(TENANT), Some(MEMBER)), tenant);
    assert_eq!(Holder::named(Some(PERSONAL_TENANT), Some(PERSON)), person);
    assert_eq!(Holder::named(None, Some(PERSON)), person);
    for (tenant, object) in [(None, None), (None, Some(MEMBER)), (Some(PERSONAL_TENANT), None)] {
        assert_eq!(Holder::named(tenant, object), None, "{tenant:?} {object:?}");
    }
}
