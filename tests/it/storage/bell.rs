//! Queues of a storage account: when a bell rings, what becomes of a message, and what is refused.

use marketplace_fulfillment::bell::azure::{DELAY_MAX, MARGIN, POISON};
use marketplace_fulfillment::bell::memory::{LIFETIME, MESSAGE_BYTES_MAX, RECEIVE_MAX};
use marketplace_fulfillment::bell::{Bell, Doorbell};
use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::error::{Code, Retry};
use marketplace_fulfillment::storage::RETRIES;
use marketplace_fulfillment::subscription::SubscriptionId;
use time::Duration;

use super::proxy::{Before, Mischief, Proxy, refusal};
use super::{NOW, Used};

const QUEUE: &str = "activations";
const MINUTE: Duration = Duration::MINUTE;

fn doorbell() -> Doorbell {
    Doorbell { queue: Queue::Activations, subscription: SubscriptionId::parse("one").unwrap() }
}

impl Used {
    async fn bodies(&self) -> Vec<Vec<u8>> {
        let received = self.queues.receive(QUEUE, RECEIVE_MAX, MINUTE).await.unwrap();
        received.into_iter().map(|message| message.body).collect()
    }
}

/// A bell before its time would be dropped, and only the sweep would find the duty.
#[tokio::test]
async fn a_bell_rings_when_its_duty_is_due_and_not_before() {
    let used = Used::new().await;
    let bell = Bell::Azure(used.queues.clone());
    let delay = Duration::milliseconds(5_200);
    bell.ring(&doorbell(), delay).await.unwrap();
    used.hands.advance(delay);
    assert!(!used.queues.any_visible(QUEUE).await.unwrap(), "Azure's clock may be behind ours");
    used.hands.advance(MARGIN + Duration::SECOND);
    let heard = used.queues.receive(QUEUE, 1, MINUTE).await.unwrap().remove(0);
    assert_eq!(Doorbell::decode(Queue::Activations, &heard.body), Ok(doorbell()));
    assert!(used.queues.delete(QUEUE, &heard.id, &heard.receipt).await.unwrap());

    let fraction = Duration::milliseconds(1_500);
    used.queues.put(QUEUE, b"x".to_vec(), fraction).await.unwrap();
    used.hands.advance(fraction);
    assert!(used.bodies().await.is_empty(), "a part of a second is a whole one");
    used.hands.advance(Duration::SECOND);
    assert_eq!(used.bodies().await, [b"x"]);
    used.hands.advance(LIFETIME);

    bell.ring(&doorbell(), Duration::ZERO).await.unwrap();
    assert!(used.queues.any_visible(QUEUE).await.unwrap(), "what is due rings at once");
    bell.ring(&doorbell(), Duration::days(30)).await.unwrap();
    used.hands.advance(DELAY_MAX);
    assert_eq!(used.bodies().await.len(), 2, "a long delay is cut short, and the message is still alive");
}

/// Somebody else may write into the queue, and the refusal goes to the log.
#[test]
fn what_is_no_bell_is_told_by_its_place_and_not_by_its_words() {
    let long = "secret".repeat(1_000);
    let messages = [
        format!(r#"{{"v":"{long}","subscription":"one"}}"#),
        format!(r#"{{"v":1,"subscription":"{long}"}}"#),
        format!(r#""{long}""#),
        format!("{long}{{"),
    ];
    for message in messages {
        let fault = Doorbell::decode(Queue::Activations, message.as_bytes()).expect_err("no bell");
        assert_eq!(fault.code, Code::BadEnvelope);
        assert!(fault.private.starts_with("message in activations: "), "{}", fault.private);
        assert!(!fault.private.contains("secret") && fault.private.len() < 100, "{}", fault.private);
    }
}

#[tokio::test]
async fn a_received_message_comes_back_unless_it_is_deleted() {
    let used = Used::new().await;
    let text = "<a>&\"'\u{1F600}\n\u{0}]]>".as_bytes().to_vec();
    used.queues.put(QUEUE, text.clone(), Duration::ZERO).await.unwrap();
    let first = used.queues.receive(QUEUE, 1, Duration::minutes(10)).await.unwrap().remove(0);
    assert_eq!((&first.body, first.dequeue_count), (&text, 1));
    let whole = NOW.replace_nanosecond(0).unwrap();
    assert_eq!((first.inserted_at, first.expires_at), (whole, whole + LIFETIME));
    assert_eq!(first.next_visible_at, whole + Duration::minutes(10));
    assert!(used.bodies().await.is_empty());
    used.hands.advance(Duration::minutes(10));
    let second = used.queues.receive(QUEUE, 1, MINUTE).await.unwrap().remove(0);
    assert_eq!((&second.id, second.dequeue_count), (&first.id, 2));
    assert!(!used.queues.delete(QUEUE, &first.id, &first.receipt).await.unwrap(), "an old receipt opens nothing");
    assert!(!used.queues.postpone(QUEUE, &first.id, &first.receipt, MINUTE).await.unwrap());
    assert!(used.queues.postpone(QUEUE, &second.id, &second.receipt, Duration::seconds(5)).await.unwrap());
    assert!(!used.queues.delete(QUEUE, &second.id, &second.receipt).await.unwrap(), "postponing takes the receipt");
    used.hands.advance(Duration::seconds(5));
    let third = used.queues.receive(QUEUE, 1, MINUTE).await.unwrap().remove(0);
    assert!(used.queues.delete(QUEUE, &third.id, &third.receipt).await.unwrap());
    assert!(!used.queues.delete(QUEUE, &third.id, &third.receipt).await.unwrap(), "it is gone");
    assert_eq!(used.queues.count(QUEUE).await.unwrap(), 0);
}

#[tokio::test]
async fn whoever_peeks_takes_nothing() {
    let used = Used::new().await;
    for n in 0..RECEIVE_MAX + 3 {
        used.queues.put(QUEUE, vec![n.try_into().unwrap()], Duration::ZERO).await.unwrap();
    }
    used.queues.put(QUEUE, b"later".to_vec(), MINUTE).await.unwrap();
    let peeked = used.queues.peek(QUEUE).await.unwrap();
    assert_eq!((peeked.len(), &peeked[3].body, peeked[3].dequeue_count), (RECEIVE_MAX, &vec![3], 0));
    assert_eq!(used.queues.count(QUEUE).await.unwrap(), 36);
    assert_eq!(used.queues.receive(QUEUE, 1_000, MINUTE).await.unwrap().len(), RECEIVE_MAX);
    assert_eq!(used.bodies().await.len(), 3);
    assert!(used.queues.peek(QUEUE).await.unwrap().is_empty());
    assert!(!used.queues.any_visible(QUEUE).await.unwrap());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_reason() {
    let used = Used::new().await;
    used.queues.put(QUEUE, vec![255; MESSAGE_BYTES_MAX], Duration::ZERO).await.unwrap();
    assert_eq!(used.bodies().await, [vec![255; MESSAGE_BYTES_MAX]]);
    for (bytes, delay, says) in [
        (MESSAGE_BYTES_MAX + 1, Duration::ZERO, "has 49153 bytes; a queue takes 49152"),
        (1, LIFETIME, "cannot be delayed for 7d"),
    ] {
        let fault = used.queues.put(QUEUE, vec![0; bytes], delay).await.unwrap_err();
        assert!(fault.private.contains(says) && fault.retry == Retry::Never, "{fault}");
    }
}

/// Whoever hears a bell looks whether anything is owed, so that the second one does no harm.
#[tokio::test]
async fn a_message_whose_answer_was_lost_is_put_again() {
    let used = Used::new().await;
    let proxy = Proxy::new(&used.account, Before::Queues).await;
    let (_, queues) = used.through(&proxy);
    proxy.plan([Mischief::AnswerLost]);
    queues.put(QUEUE, b"x".to_vec(), Duration::ZERO).await.unwrap();
    assert_eq!(used.bodies().await.len(), 2);
    proxy.plan([refusal(503, "ServerBusy"), Mischief::Broken]);
    queues.put(QUEUE, b"y".to_vec(), Duration::ZERO).await.unwrap();
    assert_eq!(used.bodies().await.len(), 1);
    proxy.always(refusal(503, "ServerBusy"));
    let fault = queues.put(QUEUE, b"z".to_vec(), Duration::ZERO).await.unwrap_err();
    assert!(fault.private.contains("busy or failing (503 ServerBusy)"), "{fault}");
    assert_eq!((fault.code, fault.retry), (Code::QueueUnavailable, Retry::Later(None)));
    assert_eq!(proxy.seen().len(), 1 + RETRIES as usize);
}

#[tokio::test]
async fn a_deleted_queue_says_how_it_comes_back() {
    let used = Used::bare();
    let bell = Bell::Azure(used.queues.clone());
    for fault in [
        bell.ring(&doorbell(), MINUTE).await.unwrap_err(),
        used.queues.receive(QUEUE, 1, MINUTE).await.map(drop).unwrap_err(),
        used.queues.peek(QUEUE).await.map(drop).unwrap_err(),
        used.queues.count(QUEUE).await.map(drop).unwrap_err(),
        used.queues.delete(QUEUE, "b8d6908b-3c77-4b0b-9a53-9e16a1b010a7", "AgAAAA==").await.map(drop).unwrap_err(),
    ] {
        let expected = "the queue activations does not exist";
        assert!(fault.private.starts_with(expected) && fault.private.contains("`fulfillment doctor`"), "{fault}");
    }
    used.queues.create().await.unwrap();
    used.queues.create().await.unwrap();
    bell.ring(&doorbell(), MINUTE).await.unwrap();
    for queue in Queue::ALL.map(Queue::name) {
        assert_eq!(used.queues.count(&format!("{queue}{POISON}")).await.unwrap(), 0);
    }
}
