//! Azure Storage queues in memory, with the parts of their behaviour that the Functions host relies on: a message that
//! is received becomes invisible, comes back unless it is deleted in time, and counts how often it was received.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};
use tokio::sync::watch;
use uuid::Uuid;

use super::Message;
use crate::clock::Clock;

/// The most messages that one queue holds. Azure has no such limit; memory has.
pub const QUEUE_MESSAGES_MAX: usize = 10_000;
/// The largest message, in bytes: the 64 KiB that Azure allows, less what base64 adds.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 / 4 * 3;
/// The most messages that one receive answers: Azure's own limit.
pub const RECEIVE_MAX: usize = 32;
/// How long a message lives when its sender names no other time: Azure's default.
pub const LIFETIME: Duration = Duration::days(7);

/// Queues by name, on one clock; clones are the same queues. A queue begins with its first message. The names come
/// from code and `function.json`, so their number needs no bound.
#[derive(Clone, Debug)]
pub struct Queues {
    clock: Clock,
    account: Arc<Mutex<Account>>,
    version: watch::Sender<u64>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The queue holds [`QUEUE_MESSAGES_MAX`] messages.
    #[error("the queue \"{0}\" holds {QUEUE_MESSAGES_MAX} messages already")]
    Queue(String),
    /// The message is larger than [`MESSAGE_BYTES_MAX`].
    #[error("a message of {0} bytes is larger than the {MESSAGE_BYTES_MAX} bytes that a queue takes")]
    Message(usize),
    /// The message would vanish before it could be received: Azure refuses a delay that is not below [`LIFETIME`].
    #[error("a message cannot be delayed for {0}, because it lives for {LIFETIME}")]
    Delay(Duration),
}

#[derive(Debug, Default)]
struct Account {
    queues: BTreeMap<String, Vec<Message>>,
    /// Counts ids and receipts, so that the same story always has the same ones.
    issued: u128,
}

impl Queues {
    /// No queues yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, account: Arc::default(), version: watch::Sender::new(0) }
    }

    /// Puts a message that becomes visible after `delay`.
    ///
    /// # Errors
    ///
    /// Where the queue is full, the message too large, or the delay longer than a message lives.
    pub fn put(&self, queue: &str, body: Vec<u8>, delay: Duration) -> Result<(), Full> {
        let now = self.clock.now();
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(Full::Message(body.len()));
        }
        if delay >= LIFETIME {
            return Err(Full::Delay(delay));
        }
        let mut account = self.account();
        let message = Message {
            id: account.issue(),
            receipt: account.issue(),
            body,
            dequeue_count: 0,
            inserted_at: now,
            expires_at: now + LIFETIME,
            next_visible_at: now + delay.max(Duration::ZERO),
        };
        let messages = account.queue(queue, now);
        if messages.len() >= QUEUE_MESSAGES_MAX {
            return Err(Full::Queue(queue.to_owned()));
        }
        messages.push(message);
        drop(account);
        self.announce();
        Ok(())
    }

    /// Takes up to `max` visible messages, the longest visible first, and hides them for `visibility`.
    pub fn receive(&self, queue: &str, max: usize, visibility: Duration) -> Vec<Message> {
        let now = self.clock.now();
        let mut account = self.account();
        let visible: Vec<_> = visible(account.queue(queue, now), now).into_iter().take(max.min(RECEIVE_MAX)).collect();
        let mut received = Vec::with_capacity(visible.len());
        for place in visible {
            let receipt = account.issue();
            let message = &mut account.queue(queue, now)[place];
            message.receipt = receipt;
            message.dequeue_count += 1;
            message.next_visible_at = now + visibility;
            received.push(message.clone());
        }
        received
    }

    /// Removes a message. False where the receipt is not the latest one any more, or the message is gone.
    pub fn delete(&self, queue: &str, id: &str, receipt: &str) -> bool {
        let now = self.clock.now();
        let mut account = self.account();
        let messages = account.queue(queue, now);
        let Some(place) = find(messages, id, receipt) else { return false };
        messages.remove(place);
        drop(account);
        self.announce();
        true
    }

    /// Loses every message of a queue, visible or not. No function does.
    pub fn clear(&self, queue: &str) {
        self.account().queue(queue, self.clock.now()).clear();
        self.announce();
    }

    /// Makes a received message visible again after `visibility`, and its receipt useless. False as in
    /// [`Queues::delete`].
    pub fn postpone(&self, queue: &str, id: &str, receipt: &str, visibility: Duration) -> bool {
        let now = self.clock.now();
        let mut account = self.account();
        let fresh = account.issue();
        let messages = account.queue(queue, now);
        let Some(place) = find(messages, id, receipt) else { return false };
        messages[place].receipt = fresh;
        messages[place].next_visible_at = now + visibility;
        drop(account);
        self.announce();
        true
    }

    /// How many messages a queue holds, visible or not.
    pub fn len(&self, queue: &str) -> usize {
        self.account().queue(queue, self.clock.now()).len()
    }

    /// The messages of a queue, visible or not, without receiving them.
    pub fn peek(&self, queue: &str) -> Vec<Message> {
        self.account().queue(queue, self.clock.now()).clone()
    }

    /// When the next message of these queues can be received: now or earlier where one is visible already.
    pub fn next_visible(&self, queues: &[&str]) -> Option<OffsetDateTime> {
        let now = self.clock.now();
        let mut account = self.account();
        queues
            .iter()
            .filter_map(|queue| account.queue(queue, now).iter().map(|message| message.next_visible_at).min())
            .min()
    }

    /// Whether one of these queues has a message that could be received now.
    pub fn any_visible(&self, queues: &[&str]) -> bool {
        self.next_visible(queues).is_some_and(|at| at <= self.clock.now())
    }

    /// Resolves when a message is put, deleted or postponed after this call. Call first, look then, await last: no
    /// change in between is missed.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut version = self.version.subscribe();
        async move {
            // An error means that the queues themselves are gone: nothing will ever change again, so look once more.
            let _ = version.changed().await;
        }
    }

    fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// The queue without the messages whose time is over.
    fn queue(&mut self, name: &str, now: OffsetDateTime) -> &mut Vec<Message> {
        let messages = self.queues.entry(name.to_owned()).or_default();
        messages.retain(|message| message.expires_at > now);
        messages
    }

    fn issue(&mut self) -> String {
        self.issued += 1;
        Uuid::from_u128(self.issued).to_string()
    }
}

/// The places of the visible messages, the longest visible first, then the longest waiting.
fn visible(messages: &[Message], now: OffsetDateTime) -> Vec<usize> {
    let mut places: Vec<usize> = (0..messages.len()).filter(|&place| messages[place].next_visible_at <= now).collect();
    places.sort_by_key(|&place| messages[place].next_visible_at);
    places
}

fn find(messages: &[Message], id: &str, receipt: &str) -> Option<usize> {
    messages.iter().position(|message| message.id == id && message.receipt == receipt)
}
