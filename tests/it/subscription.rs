//! The rules of a subscription: every status met by every event, and the schedule of a duty.

use marketplace_fulfillment::decision::{DECISION_BUDGET, DECISION_PATIENCE};
use marketplace_fulfillment::duty::{self, Duty, Kind, PATIENCE, Queue, Task, backoff};
use marketplace_fulfillment::functions::activate::PROVISION_PATIENCE;
use marketplace_fulfillment::functions::webhook::{ANSWER_BUDGET, ASKING_TAKES, LAST_WORDS, READ_BUDGET};
use marketplace_fulfillment::history::{Actor, HISTORY_LENGTH, Happening};
use marketplace_fulfillment::marketplace::CALL_TIMEOUT;
use marketplace_fulfillment::outbox::News;
use marketplace_fulfillment::subscription::{
    Applied, DELAY_NOTICE, Event, NEWLY_ACTIVE, REASON_LENGTH, Refusal, Snapshot, Stage, Status, Subscription,
    SubscriptionId, Term,
};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

const NOW: OffsetDateTime = datetime!(2026-11-20 09:00 UTC);

const WORDS: [&str; 6] =
    ["NotStarted", "PendingFulfillmentStart", "Subscribed", "Suspended", "Unsubscribed", "Hibernating"];

pub(crate) fn snapshot(status: &str) -> Snapshot {
    Snapshot {
        offer_id: "contoso-offer".to_owned(),
        plan_id: "silver".to_owned(),
        quantity: Some(5),
        status: Status::parse(status),
        name: "Fabrikam".to_owned(),
        beneficiary: None,
        purchaser: None,
        term: Term::default(),
        auto_renew: Some(true),
        is_free_trial: false,
        allowed_operations: vec!["Read".to_owned()],
        created: None,
        rest: Some(r#"{"storeFront":"x"}"#.to_owned()),
    }
}

fn known_as(status: &str) -> Subscription {
    let id = SubscriptionId::parse("b8d6908b-3c77-4b0b-9a53-9e16a1b010a7").unwrap();
    Subscription::discovered(id, snapshot(status), Actor::Marketplace, NOW)
}

/// A subscription in this status that still owes its activation, as if the status had come in past the rules.
fn owing(status: &str) -> Subscription {
    let mut subscription = known_as(status);
    subscription.duties.push(Duty::new(Task::Activate { accepted_at: None, provisioned_at: None }, NOW));
    subscription
}

/// Microsoft received the activation.
pub(crate) fn accepted() -> Event {
    Event::Accepted { duty: Kind::Activate.into(), operation: None, location: None }
}

fn read(status: &str) -> Event {
    Event::Read(Box::new(snapshot(status)))
}

/// What is left of the duty: nothing, an open one, or a failed one.
fn duty_word(subscription: &Subscription) -> &'static str {
    match subscription.duty(Kind::Activate) {
        None => "-",
        Some(duty) if duty.failed_at.is_some() => "failed",
        Some(_) => "open",
    }
}

fn applied_word(applied: &Applied) -> &'static str {
    match applied {
        Applied::Unchanged => "unchanged",
        Applied::Changed { rings } if rings.is_empty() => "changed",
        Applied::Changed { .. } => "rings",
        Applied::Refused(Refusal::Suspended) => "suspended",
        Applied::Refused(Refusal::Cancelled) => "cancelled",
        Applied::Refused(Refusal::UnknownStatus) => "unknown status",
        Applied::Refused(Refusal::NoSuchDuty) => "no duty",
        Applied::Refused(Refusal::NotActive) => "not active",
        Applied::Refused(Refusal::NotAllowed) => "not allowed",
        Applied::Refused(Refusal::Busy) => "busy",
        Applied::Refused(Refusal::AsOrdered) => "as ordered",
        Applied::Refused(Refusal::TooMuchOwed) => "too much",
    }
}

/// Rows: what we know. Columns: what Microsoft says, in the order of `WORDS`. `+` is taken over; `.` is older knowledge.
/// After each: what is left of an open activation.
#[test]
fn what_microsoft_says_in_every_status() {
    let table = [
        ("NotStarted", "+open +open +- +- +- +open"),
        ("PendingFulfillmentStart", "+open +open +- +- +- +open"),
        ("Subscribed", ".open .open +- +- +- +open"),
        ("Suspended", ".open .open +- +- +- +open"),
        ("Unsubscribed", ".open .open .open .open +- .open"),
        ("Hibernating", "+open +open +- +- +- +open"),
    ];
    for (known, row) in table {
        for (said, expected) in WORDS.iter().zip(row.split(' ')) {
            let mut subscription = owing(known);
            let applied = subscription.apply(read(said), NOW);
            let mark = if subscription.known.status == Status::parse(said) { '+' } else { '.' };
            let found = format!("{mark}{}", duty_word(&subscription));
            assert_eq!(found, expected, "known {known}, Microsoft says {said}");
            assert_eq!(applied_word(&applied), "changed", "known {known}, Microsoft says {said}");
        }
    }
}

/// Every other event in every status, without and with an open activation: what `apply` answers, and what is owed then.
#[test]
fn every_other_event_in_every_status() {
    let duty = || Kind::Activate.into();
    let why = || "because".to_owned();
    let on_duty = [
        (Event::Claimed(duty()), "changed open"),
        (accepted(), "changed open"),
        (Event::Deferred { duty: duty(), why: why(), after: None }, "changed open"),
        (Event::Done { duty: duty(), why: None }, "changed -"),
        (Event::Impossible { duty: duty(), why: why() }, "changed -"),
        (Event::Ended { duty: duty(), why: why() }, "changed -"),
        (Event::Retried { duty: duty(), by: Actor::Publisher }, "rings open"),
        (Event::Provisioned, "changed open"),
        (Event::ProvisionRefused { why: why() }, "changed -"),
    ];
    for status in WORDS {
        for (event, expected) in &on_duty {
            let mut with = owing(status);
            let applied = with.apply(event.clone(), NOW);
            assert_eq!(format!("{} {}", applied_word(&applied), duty_word(&with)), *expected, "{status}, {event:?}");
            assert_eq!(with.known, snapshot(status), "{status}, {event:?} changed what Microsoft said");

            let mut without = known_as(status);
            let applied = without.apply(event.clone(), NOW);
            assert_eq!(applied_word(&applied), "no duty", "{status}, {event:?}");
            assert_eq!(without, known_as(status), "{status}, {event:?} was refused and changed something");
        }
    }
    let confirmed = [
        ("NotStarted", "rings open"),
        ("PendingFulfillmentStart", "rings open"),
        ("Subscribed", "unchanged -"),
        ("Suspended", "suspended -"),
        ("Unsubscribed", "cancelled -"),
        ("Hibernating", "unknown status -"),
    ];
    for (status, expected) in confirmed {
        let mut subscription = known_as(status);
        let applied = subscription.apply(Event::Confirmed(Actor::Buyer), NOW);
        assert_eq!(format!("{} {}", applied_word(&applied), duty_word(&subscription)), expected, "{status}");
        let mut ordered = known_as(status);
        let applied = ordered.apply(Event::ActivationOrdered, NOW);
        assert_eq!(format!("{} {}", applied_word(&applied), duty_word(&ordered)), expected, "{status}, ordered");
    }
}

/// The publisher's word on an activation: once it may be, nothing takes that back, and what Microsoft received is not
/// held up.
#[test]
fn what_the_publisher_says_of_an_activation() {
    let confirmed = || {
        let mut subscription = known_as("PendingFulfillmentStart");
        subscription.apply(Event::Confirmed(Actor::Buyer), NOW);
        subscription
    };
    let refusal = || Event::ProvisionRefused { why: "No contact.".to_owned() };
    assert!(confirmed().awaits_provisioning());
    for (told, rings) in [(Event::Provisioned, false), (Event::ActivationOrdered, true)] {
        let mut subscription = confirmed();
        for _ in 0..5 {
            subscription.apply(Event::Claimed(Kind::Activate.into()), NOW);
        }
        let later = NOW + Duration::HOUR;
        assert_eq!(applied_word(&subscription.apply(told.clone(), later)) == "rings", rings, "{told:?}");
        assert!(!subscription.awaits_provisioning(), "{told:?}");
        let duty = subscription.duty(Kind::Activate).unwrap();
        assert_eq!((duty.attempts, duty.since), (1, later), "{told:?}: back-off and patience begin anew");
        assert_eq!(duty.is_due(later), rings, "{told:?}: the claimant goes on, or anybody begins");
        let once = subscription.clone();
        for event in [Event::Provisioned, Event::ActivationOrdered, refusal()] {
            subscription.apply(event.clone(), later);
            assert_eq!(subscription, once, "{event:?} after {told:?}");
        }
    }
    for event in [Event::Confirmed(Actor::Publisher), Event::ActivationOrdered] {
        let mut ordered = known_as("PendingFulfillmentStart");
        ordered.apply(event.clone(), NOW);
        assert!(!ordered.awaits_provisioning(), "{event:?}: whoever orders it has made ready");
        assert_eq!(ordered.history.entries.last().unwrap().what, Happening::Confirmed, "{event:?}");
    }
    let mut received = confirmed();
    received.apply(accepted(), NOW);
    assert!(!received.awaits_provisioning(), "Microsoft has received it");

    let mut refused = confirmed();
    refused.apply(refusal(), NOW);
    assert_eq!((refused.stage(NOW), refused.refused.as_deref()), (Stage::Refused, Some("No contact.")));
    let exit = refused.history.entries.last().unwrap();
    assert_eq!((&exit.by, &exit.what), (&Actor::Publisher, &Happening::DutyImpossible));
    assert_eq!(exit.why.as_deref(), Some("refused by the publisher: No contact."));
    let told = refused.outbox.announcements.last().unwrap();
    assert_eq!(
        (&told.news, &told.by, told.why.as_deref()),
        (&News::ActivationFailed, &Actor::Publisher, Some("No contact."))
    );
    for (event, awaits) in [(Event::Confirmed(Actor::Buyer), true), (Event::ActivationOrdered, false)] {
        let mut again = refused.clone();
        assert_eq!(applied_word(&again.apply(event.clone(), NOW + Duration::HOUR)), "rings", "{event:?}");
        assert_eq!((again.refused.clone(), again.stage(NOW)), (None, Stage::Activating), "{event:?}");
        assert_eq!(
            (again.confirmed_at, again.awaits_provisioning()),
            (Some(NOW + Duration::HOUR), awaits),
            "{event:?}"
        );
    }
    let mut long = confirmed();
    long.apply(Event::ProvisionRefused { why: "ä".repeat(REASON_LENGTH * 2) }, NOW);
    assert_eq!(long.refused.unwrap().chars().count(), REASON_LENGTH);
    for (status, stage) in [("Subscribed", Stage::Active { newly: true }), ("Unsubscribed", Stage::Cancelled)] {
        let mut overtaken = refused.clone();
        overtaken.apply(read(status), NOW);
        assert_eq!(overtaken.stage(NOW), stage);
    }
}

#[test]
fn the_same_event_twice_changes_nothing_the_second_time() {
    for status in WORDS {
        for said in WORDS {
            let mut once = owing(status);
            once.apply(read(said), NOW);
            let mut twice = once.clone();
            twice.apply(read(said), NOW);
            assert_eq!(once, twice, "known {status}, Microsoft says {said} twice");
        }
    }
    let mut subscription = known_as("PendingFulfillmentStart");
    subscription.apply(Event::Confirmed(Actor::Buyer), NOW);
    let once = subscription.clone();
    assert_eq!(subscription.apply(Event::Confirmed(Actor::Buyer), NOW + Duration::minutes(1)), Applied::Unchanged);
    assert_eq!(subscription, once);
}

#[test]
fn differences_are_noted_from_what_to_what() {
    let mut subscription = known_as("Subscribed");
    let said = Snapshot { plan_id: "gold".to_owned(), quantity: None, ..snapshot("Suspended") };
    subscription.apply(Event::Read(Box::new(said)), NOW);
    let told: Vec<_> = subscription.history.entries[1..]
        .iter()
        .map(|entry| (entry.what.clone(), entry.from.as_deref(), entry.to.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (Happening::StatusChanged, Some("Subscribed"), Some("Suspended")),
            (Happening::PlanChanged, Some("silver"), Some("gold")),
            (Happening::QuantityChanged, Some("5"), None),
        ]
    );
}

#[test]
fn history_is_bounded_and_counts_what_it_dropped() {
    let mut subscription = known_as("Subscribed");
    for round in 0..HISTORY_LENGTH {
        subscription.apply(read(if round % 2 == 0 { "Suspended" } else { "Subscribed" }), NOW);
    }
    assert_eq!(subscription.history.entries.len(), HISTORY_LENGTH);
    assert_eq!(subscription.history.dropped, 1);
    assert_eq!(subscription.history.entries[0].what, Happening::StatusChanged, "the oldest entry goes first");
}

#[test]
fn a_duty_waits_longer_each_time_and_never_forever() {
    let mut subscription = owing("PendingFulfillmentStart");
    let mut now = NOW;
    let mut last = Duration::ZERO;
    let mut attempts = 0;
    while subscription.duty(Kind::Activate).unwrap().failed_at.is_none() {
        subscription.apply(Event::Claimed(Kind::Activate.into()), now);
        let leased = subscription.due().unwrap() - now;
        assert_eq!(leased, duty::LEASE);
        subscription.apply(Event::Deferred { duty: Kind::Activate.into(), why: "503".to_owned(), after: None }, now);
        attempts += 1;
        if let Some(due) = subscription.due() {
            let wait = due - now;
            assert!(wait > last * 0.9 && wait <= duty::BACKOFF_CEILING, "attempt {attempts} waits {wait}");
            assert!(wait >= duty::BACKOFF_FLOOR * 0.75, "attempt {attempts} waits {wait}");
            last = wait.min(duty::BACKOFF_CEILING * 0.75);
            now = due;
        }
    }
    let duty = subscription.duty(Kind::Activate).unwrap();
    assert!(now - NOW >= PATIENCE && now - NOW < PATIENCE + duty::BACKOFF_CEILING);
    assert_eq!(duty.attempts, attempts);
    assert_eq!(subscription.due(), None, "a failed duty is not due");
    assert_eq!(subscription.history.entries.last().unwrap().what, Happening::DutyFailed);

    assert_eq!(
        subscription.apply(Event::Confirmed(Actor::Buyer), now),
        Applied::Changed { rings: vec![Queue::Activations] }
    );
    assert_eq!(subscription.due(), Some(now), "the buyer's second confirmation takes it up again");
}

#[test]
fn retry_after_lengthens_a_wait_and_cannot_make_us_forget() {
    let wait = |after: Option<Duration>| {
        let mut subscription = owing("PendingFulfillmentStart");
        subscription.apply(Event::Claimed(Kind::Activate.into()), NOW);
        subscription.apply(Event::Deferred { duty: Kind::Activate.into(), why: "429".to_owned(), after }, NOW);
        subscription.due().unwrap() - NOW
    };
    assert!(wait(None) <= duty::BACKOFF_FLOOR);
    assert_eq!(wait(Some(Duration::seconds(1))), wait(None), "shorter than the back-off");
    assert_eq!(wait(Some(Duration::minutes(7))), Duration::minutes(7));
    assert_eq!(wait(Some(Duration::days(400))), duty::BACKOFF_CEILING);
}

#[test]
fn waits_are_spread_over_subscriptions_and_repeatable() {
    let waits: Vec<_> = (0..50).map(|n| backoff(4, &format!("subscription-{n}"))).collect();
    let mut distinct = waits.clone();
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > 40, "{} different waits", distinct.len());
    assert_eq!(backoff(4, "subscription-7"), waits[7]);
    assert_eq!(backoff(u32::MAX, "x").max(duty::BACKOFF_CEILING), duty::BACKOFF_CEILING);
}

#[test]
fn an_accepted_activation_is_not_asked_for_again_soon() {
    let mut subscription = owing("PendingFulfillmentStart");
    assert!(subscription.should_send_activate(NOW));
    subscription.apply(accepted(), NOW);
    assert!(!subscription.should_send_activate(NOW + duty::ACCEPTED_PATIENCE - Duration::SECOND));
    assert!(subscription.should_send_activate(NOW + duty::ACCEPTED_PATIENCE));
    assert!(!known_as("PendingFulfillmentStart").should_send_activate(NOW), "nobody confirmed it");
}

/// Were one of these false, a living claimant would be overtaken, or a bell would find nothing due and be gone.
#[test]
fn calls_lease_first_bell_and_redelivery_fit_together() {
    let calls = Duration::try_from(CALL_TIMEOUT * 4).unwrap();
    assert!(calls < duty::LEASE, "an attempt makes four calls");
    let asking = Duration::try_from(CALL_TIMEOUT + PROVISION_PATIENCE).unwrap();
    assert!(asking < duty::LEASE, "looking and asking the publisher come before them, with a lease of their own");
    let examining = Duration::try_from(CALL_TIMEOUT * 2).unwrap();
    let deciding = Duration::try_from(CALL_TIMEOUT + DECISION_PATIENCE).unwrap();
    assert!(examining < duty::LEASE && deciding < duty::LEASE, "two readings; then asking, and reading once more");
    assert!(READ_BUDGET + DECISION_BUDGET + LAST_WORDS < ANSWER_BUDGET, "a look, a question, and the last save");
    assert!(ASKING_TAKES > LAST_WORDS && ASKING_TAKES < LAST_WORDS + DECISION_BUDGET);
    assert!(duty::LEASE < duty::FIRST_BELL, "the first bell rings when a dead claimant's lease is over");
    let host: serde_json::Value = serde_json::from_str(include_str!("../../host.json")).unwrap();
    let redelivery = host["extensions"]["queues"]["visibilityTimeout"].as_str().unwrap();
    let [hours, minutes, seconds] = redelivery.split(':').map(|part| part.parse().unwrap()).collect::<Vec<_>>()[..]
    else {
        panic!("{redelivery} is not hh:mm:ss");
    };
    let redelivery = Duration::hours(hours) + Duration::minutes(minutes) + Duration::seconds(seconds);
    assert_eq!(redelivery, duty::FIRST_BELL, "a failed invocation comes back when its own lease is over");
}

#[test]
fn the_stage_that_a_buyer_sees() {
    assert_eq!(known_as("PendingFulfillmentStart").stage(NOW), Stage::Unconfirmed);
    assert_eq!(known_as("Suspended").stage(NOW), Stage::Suspended);
    assert_eq!(known_as("Unsubscribed").stage(NOW), Stage::Cancelled);
    assert_eq!(known_as("Hibernating").stage(NOW), Stage::Unknown);
    assert_eq!(known_as("Subscribed").stage(NOW), Stage::Active { newly: false }, "active before we knew of it");

    let mut subscription = known_as("PendingFulfillmentStart");
    subscription.apply(Event::Confirmed(Actor::Buyer), NOW);
    assert_eq!(subscription.stage(NOW), Stage::Activating);
    assert_eq!(subscription.stage(NOW + DELAY_NOTICE), Stage::Delayed { failed: false });
    let failing = Event::Deferred { duty: Kind::Activate.into(), why: "500".to_owned(), after: None };
    let mut failed = subscription.clone();
    failed.apply(failing, NOW + PATIENCE);
    assert_eq!(failed.stage(NOW + PATIENCE), Stage::Delayed { failed: true });

    subscription.apply(read("Subscribed"), NOW);
    assert_eq!(subscription.stage(NOW), Stage::Active { newly: true });
    assert_eq!(subscription.stage(NOW + NEWLY_ACTIVE), Stage::Active { newly: false });
}

#[test]
fn ids_are_held_to_what_keys_and_urls_can_carry() {
    let id = |text: &str| SubscriptionId::parse(text).map(|id| id.to_string());
    assert_eq!(id(" B8D6908B-3C77-4B0B-9A53-9E16A1B010A7 ").as_deref(), Some("b8d6908b-3c77-4b0b-9a53-9e16a1b010a7"));
    let too_long = "a".repeat(SubscriptionId::LENGTH + 1);
    for wrong in ["", " ", "a/b", "a b", "a?b", "ä", "a\nb", "../x", too_long.as_str()] {
        assert_eq!(id(wrong), None, "{wrong:?}");
    }
}

/// The rules are total: the last moment and the last number there are have an answer too.
#[test]
fn the_ends_of_time_and_of_numbers_are_no_exception() {
    let last = datetime!(9999-12-31 23:59:59.999_999_999 UTC);
    let duty = || Kind::Activate.into();
    for event in [Event::Claimed(duty()), Event::Deferred { duty: duty(), why: "why".to_owned(), after: None }] {
        let mut subscription = owing("PendingFulfillmentStart");
        subscription.duties[0].since = last;
        assert_eq!(applied_word(&subscription.apply(event, last)), "changed");
        assert_eq!(subscription.due(), Some(last));
    }
    let mut provisioned = owing("PendingFulfillmentStart");
    provisioned.apply(Event::Provisioned, last);
    assert_eq!(provisioned.due(), Some(last));

    let mut told = known_as("Subscribed");
    told.outbox.sequence = u64::MAX;
    told.apply(Event::Repaired { why: "why".to_owned() }, NOW);
    assert_eq!(told.outbox.sequence, u64::MAX);
    told.outbox.announcements[0].sequence = 0;
    told.apply(Event::Replayed { from: 0, by: Actor::Publisher }, NOW);
    assert_eq!(told.outbox.delivered, 0);
}

#[test]
fn an_error_text_on_a_duty_is_bounded() {
    let mut subscription = owing("PendingFulfillmentStart");
    let why = "ä".repeat(duty::ERROR_LENGTH * 2);
    subscription.apply(Event::Deferred { duty: Kind::Activate.into(), why, after: None }, NOW);
    let kept = subscription.duty(Kind::Activate).unwrap().last_error.clone().unwrap();
    assert_eq!(kept.chars().count(), duty::ERROR_LENGTH);
}
