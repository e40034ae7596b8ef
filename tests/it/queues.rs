//! Queues in memory behave as Azure Storage queues do.

use marketplace_fulfillment::bell::memory::{
    Full, LIFETIME, MESSAGE_BYTES_MAX, QUEUE_MESSAGES_MAX, Queues, RECEIVE_MAX,
};
use marketplace_fulfillment::clock::{Clock, Manual};
use time::Duration;
use time::macros::datetime;

fn queues() -> (Queues, Manual) {
    let clock = Clock::manual(datetime!(2026-10-02 12:00 UTC));
    let Clock::Manual(hands) = clock.clone() else { unreachable!("made as a manual clock") };
    (Queues::new(clock), hands)
}

fn bodies(queues: &Queues, max: usize) -> Vec<String> {
    let received = queues.receive("bells", max, Duration::minutes(1));
    received.into_iter().map(|message| String::from_utf8(message.body).unwrap()).collect()
}

#[test]
fn a_delayed_message_is_there_but_not_to_be_had_before_its_time() {
    let (queues, hands) = queues();
    queues.put("bells", b"late".to_vec(), Duration::seconds(30)).unwrap();
    queues.put("bells", b"now".to_vec(), Duration::ZERO).unwrap();
    assert_eq!((queues.len("bells"), bodies(&queues, 9)), (2, vec!["now".to_owned()]));
    assert_eq!(queues.next_visible(&["bells", "other"]), Some(datetime!(2026-10-02 12:00:30 UTC)));
    hands.advance(Duration::seconds(29));
    assert!(!queues.any_visible(&["bells"]));
    hands.advance(Duration::seconds(1));
    assert!(queues.any_visible(&["bells"]));
    assert_eq!(bodies(&queues, 9), ["late"]);
}

#[test]
fn a_received_message_comes_back_unless_it_is_deleted() {
    let (queues, hands) = queues();
    queues.put("bells", b"x".to_vec(), Duration::ZERO).unwrap();
    let first = queues.receive("bells", 1, Duration::minutes(10)).remove(0);
    assert_eq!((first.dequeue_count, first.next_visible_at), (1, datetime!(2026-10-02 12:10 UTC)));
    assert!(queues.receive("bells", 1, Duration::minutes(10)).is_empty());
    hands.advance(Duration::minutes(10));
    let second = queues.receive("bells", 1, Duration::minutes(10)).remove(0);
    assert_eq!((second.id.clone(), second.dequeue_count), (first.id.clone(), 2));
    assert!(!queues.delete("bells", &first.id, &first.receipt), "an old receipt opens nothing");
    assert!(queues.delete("bells", &second.id, &second.receipt));
    assert_eq!(queues.len("bells"), 0);
}

#[test]
fn postponing_sets_the_time_of_return_and_takes_the_receipt() {
    let (queues, hands) = queues();
    queues.put("bells", b"x".to_vec(), Duration::ZERO).unwrap();
    let message = queues.receive("bells", 1, Duration::minutes(10)).remove(0);
    assert!(queues.postpone("bells", &message.id, &message.receipt, Duration::seconds(5)));
    assert!(!queues.delete("bells", &message.id, &message.receipt));
    assert!(bodies(&queues, 1).is_empty());
    hands.advance(Duration::seconds(5));
    assert_eq!(bodies(&queues, 1), ["x"]);
}

#[test]
fn the_longest_visible_message_comes_first_and_a_batch_has_its_limit() {
    let (queues, hands) = queues();
    queues.put("bells", b"second".to_vec(), Duration::seconds(2)).unwrap();
    queues.put("bells", b"first".to_vec(), Duration::seconds(1)).unwrap();
    hands.advance(Duration::seconds(2));
    assert_eq!(bodies(&queues, 2), ["first", "second"]);
    for _ in 0..=RECEIVE_MAX {
        queues.put("bells", b"many".to_vec(), Duration::ZERO).unwrap();
    }
    assert_eq!(bodies(&queues, 1_000).len(), RECEIVE_MAX);
}

#[test]
fn nobody_gets_a_message_whose_life_is_over() {
    let (queues, hands) = queues();
    queues.put("bells", b"x".to_vec(), Duration::ZERO).unwrap();
    hands.advance(LIFETIME);
    assert_eq!((queues.len("bells"), queues.next_visible(&["bells"]), queues.peek("bells").len()), (0, None, 0));
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let (queues, _) = queues();
    let put = |bytes, delay| queues.put("bells", vec![0; bytes], delay);
    assert_eq!(put(MESSAGE_BYTES_MAX, Duration::ZERO), Ok(()));
    assert_eq!(put(MESSAGE_BYTES_MAX + 1, Duration::ZERO), Err(Full::Message(MESSAGE_BYTES_MAX + 1)));
    assert_eq!(put(1, LIFETIME), Err(Full::Delay(LIFETIME)));
    for _ in 1..QUEUE_MESSAGES_MAX {
        put(0, Duration::ZERO).unwrap();
    }
    assert_eq!(put(0, Duration::ZERO), Err(Full::Queue("bells".to_owned())));
    assert_eq!(queues.put("other", Vec::new(), Duration::ZERO), Ok(()));
}

#[tokio::test]
async fn no_change_is_missed_between_looking_and_waiting() {
    let (queues, _) = queues();
    let changed = queues.changed();
    queues.put("bells", b"x".to_vec(), Duration::ZERO).unwrap();
    changed.await;
    let message = queues.receive("bells", 1, Duration::minutes(1)).remove(0);
    let changed = queues.changed();
    queues.delete("bells", &message.id, &message.receipt);
    changed.await;
}
