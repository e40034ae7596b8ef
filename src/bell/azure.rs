//! Queues of a storage account. A message is put with a delay and a limited life; a repetition after a lost answer puts it
//! twice, which is harmless, because whoever hears a bell looks whether anything is owed.

use std::fmt;
use std::sync::Arc;

use azure_core::http::{RequestContent, XmlFormat};
use azure_storage_queue::models::{
    PeekedMessage, QueueClientGetPropertiesResultHeaders as _, QueueClientPeekMessagesOptions,
    QueueClientReceiveMessagesOptions, QueueClientSendMessageOptions, QueueMessage, ReceivedMessage,
};
use azure_storage_queue::{QueueClient, QueueServiceClient, QueueServiceClientOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use time::{Duration, OffsetDateTime};

use super::Message;
use super::memory::{LIFETIME, MESSAGE_BYTES_MAX, RECEIVE_MAX};
use crate::duty::Queue;
use crate::error::{Code, Fault};
use crate::storage::{Account, Patience, Refusal, Service};

/// The version of the service that we speak. The SDK's own choice is newer than what Azurite knows; Azure keeps all.
const API_VERSION: &str = "2025-11-05";

/// What a bell is late on purpose, beside being rounded up to whole seconds. One that rings before its duty is due is
/// dropped, and only the sweep would find the duty: queues keep time in whole seconds, and the clocks of two instances
/// differ by less than one.
pub const MARGIN: Duration = Duration::seconds(2);

/// The longest delay of a bell: its message must outlive it with time to be heard. No duty waits this long; a bell that
/// was cut short finds nothing due, and the sweep takes over.
pub const DELAY_MAX: Duration = Duration::days(6);

/// What the host appends to a queue's name for messages that it gave up.
pub const POISON: &str = "-poison";

/// The doctor's own queue, which no function hears.
const PROBE: &str = "doctor";

/// How long the doctor's message is hidden from another doctor: it is deleted at once.
const PROBE_VISIBILITY: Duration = Duration::seconds(30);

/// The largest answer read, in bytes: as many messages as one receive answers, each of 64 KiB and in XML.
const ANSWER_LIMIT: usize = (RECEIVE_MAX + 1) * 64 * 1024;

/// The queues of a storage account. Clones share its connections.
#[derive(Clone)]
pub struct Queues {
    account: Account,
    service: Arc<QueueServiceClient>,
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Queues {
    /// The queues of an account, which must exist before the first bell is rung: [`Queues::create`].
    pub fn new(account: &Account) -> Self {
        let options = QueueServiceClientOptions {
            client_options: account.options(Service::Queues, Patience::CALL, ANSWER_LIMIT),
            version: API_VERSION.to_owned(),
        };
        let address = account.endpoint(Service::Queues).clone();
        let service = QueueServiceClient::new(address, account.credential(), Some(options));
        let service = service.expect("an http address, and https where there is a credential");
        Self { account: account.clone(), service: Arc::new(service) }
    }

    /// Creates the queues of all bells, and those for messages that the host gives up, unless they exist.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn create(&self) -> Result<(), Fault> {
        for queue in Queue::ALL.map(Queue::name) {
            for name in [queue.to_owned(), format!("{queue}{POISON}")] {
                self.ask(&name, async |client| client.create(None).await.map(drop))
                    .await
                    .map_err(|refusal| unavailable(&refusal))?;
            }
        }
        Ok(())
    }

    /// About how many messages a queue holds, visible or not; never fewer than it does.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn count(&self, queue: &str) -> Result<u64, Fault> {
        let count = async |client: QueueClient| client.get_properties(None).await?.approximate_messages_count();
        let count = self.ask(queue, count).await.map_err(|refusal| unavailable(&refusal))?;
        Ok(count.and_then(|count| count.try_into().ok()).unwrap_or_default())
    }

    pub(super) async fn probe(&self) -> Result<Vec<(String, u64)>, Fault> {
        self.create().await?;
        self.ask(PROBE, async |client| client.create(None).await.map(drop))
            .await
            .map_err(|refusal| unavailable(&refusal))?;
        self.put(PROBE, b"probe".to_vec(), Duration::ZERO).await?;
        // All that are there: another doctor may have died before it deleted its own.
        for message in self.receive(PROBE, RECEIVE_MAX, PROBE_VISIBILITY).await? {
            self.delete(PROBE, &message.id, &message.receipt).await?;
        }
        let mut poisoned = Vec::new();
        for queue in Queue::ALL {
            let name = format!("{}{POISON}", queue.name());
            let messages = self.count(&name).await?;
            poisoned.push((name, messages));
        }
        Ok(poisoned)
    }

    /// Loses every message of a queue, visible or not. No function does.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn clear(&self, queue: &str) -> Result<(), Fault> {
        self.ask(queue, async |client| client.clear(None).await.map(drop))
            .await
            .map_err(|refusal| unavailable(&refusal))
    }

    /// Puts a bell that rings once its duty is due, and not before.
    pub(super) async fn ring(&self, queue: &str, body: Vec<u8>, delay: Duration) -> Result<(), Fault> {
        let delay = if delay.is_positive() { (delay + MARGIN).min(DELAY_MAX) } else { Duration::ZERO };
        self.put(queue, body, delay).await
    }

    /// Puts a message that becomes visible after `delay`, in whole seconds rounded up.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] where the message is larger than [`MESSAGE_BYTES_MAX`] or the delay not below [`LIFETIME`], else
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn put(&self, queue: &str, body: Vec<u8>, delay: Duration) -> Result<(), Fault> {
        let unfit = |why: String| Fault::new(Code::Internal, format!("the message for {queue} {why}"));
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(unfit(format!("has {} bytes; a queue takes {MESSAGE_BYTES_MAX}", body.len())));
        }
        if delay >= LIFETIME {
            return Err(unfit(format!("cannot be delayed for {delay}, because it lives for {LIFETIME}")));
        }
        let message = QueueMessage { message_text: Some(STANDARD.encode(body)) };
        let message: RequestContent<QueueMessage, XmlFormat> =
            message.try_into().map_err(|_| unfit("cannot be written as XML".to_owned()))?;
        let options = QueueClientSendMessageOptions {
            message_time_to_live: Some(seconds(LIFETIME)),
            visibility_timeout: Some(seconds(delay)),
            ..QueueClientSendMessageOptions::default()
        };
        let send = async |client: QueueClient| client.send_message(message, Some(options)).await.map(drop);
        self.ask(queue, send).await.map_err(|refusal| unavailable(&refusal))
    }

    /// Takes up to `max` visible messages, at most [`RECEIVE_MAX`], and hides them for `visibility`, at least a second.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn receive(&self, queue: &str, max: usize, visibility: Duration) -> Result<Vec<Message>, Fault> {
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: Some(batch(max)),
            visibility_timeout: Some(seconds(visibility).max(1)),
            ..QueueClientReceiveMessagesOptions::default()
        };
        let receive = async |client: QueueClient| client.receive_messages(Some(options)).await?.into_model();
        let received = self.ask(queue, receive).await.map_err(|refusal| unavailable(&refusal))?;
        received.items.unwrap_or_default().into_iter().map(|message| taken(message, queue)).collect()
    }

    /// Removes a message. False where the receipt is not the latest one any more, or the message is gone.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn delete(&self, queue: &str, id: &str, receipt: &str) -> Result<bool, Fault> {
        let delete = async |client: QueueClient| client.delete_message(id, receipt, None).await.map(drop);
        known(self.ask(queue, delete).await)
    }

    /// Makes a received message visible again after `visibility`, and its receipt useless. False as in
    /// [`Queues::delete`].
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn postpone(&self, queue: &str, id: &str, receipt: &str, visibility: Duration) -> Result<bool, Fault> {
        let visibility = seconds(visibility);
        let postpone = async |client: QueueClient| client.update_message(id, receipt, visibility, None).await.map(drop);
        known(self.ask(queue, postpone).await)
    }

    /// Up to [`RECEIVE_MAX`] visible messages of a queue, without receiving them.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn peek(&self, queue: &str) -> Result<Vec<Message>, Fault> {
        self.look(queue, RECEIVE_MAX).await
    }

    /// Whether a queue has a message that could be received now.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn any_visible(&self, queue: &str) -> Result<bool, Fault> {
        Ok(!self.look(queue, 1).await?.is_empty())
    }

    async fn look(&self, queue: &str, max: usize) -> Result<Vec<Message>, Fault> {
        let options = QueueClientPeekMessagesOptions {
            number_of_messages: Some(batch(max)),
            ..QueueClientPeekMessagesOptions::default()
        };
        let peek = async |client: QueueClient| client.peek_messages(Some(options)).await?.into_model();
        let peeked = self.ask(queue, peek).await.map_err(|refusal| unavailable(&refusal))?;
        peeked.items.unwrap_or_default().into_iter().map(|message| seen(message, queue)).collect()
    }

    async fn ask<T>(
        &self,
        queue: &str,
        call: impl AsyncFnOnce(QueueClient) -> azure_core::Result<T>,
    ) -> Result<T, Refusal> {
        let asked = Box::pin(async { call(self.service.queue_client(queue)?).await });
        self.account.wait(Service::Queues, &format!("the queue {queue}"), Patience::CALL, asked).await
    }
}

fn unavailable(refusal: &Refusal) -> Fault {
    Fault::passing(Code::QueueUnavailable, refusal.to_string())
}

/// Whether the message was still the receiver's.
fn known(asked: Result<(), Refusal>) -> Result<bool, Fault> {
    match asked {
        Ok(()) => Ok(true),
        Err(refusal) if ["MessageNotFound", "PopReceiptMismatch"].contains(&refusal.code.as_str()) => Ok(false),
        Err(refusal) => Err(unavailable(&refusal)),
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> i32 {
    let whole = duration.whole_seconds();
    let whole = if duration.subsec_nanoseconds() > 0 { whole + 1 } else { whole };
    whole.clamp(0, LIFETIME.whole_seconds()).try_into().expect("seven days are few seconds")
}

fn batch(max: usize) -> i32 {
    max.clamp(1, RECEIVE_MAX).try_into().expect("a small number")
}

/// What was put. A text that is not base64 comes from somebody else and stays as it is.
fn body(text: Option<String>) -> Vec<u8> {
    let text = text.unwrap_or_default();
    STANDARD.decode(&text).unwrap_or_else(|_| text.into_bytes())
}

fn taken(message: ReceivedMessage, queue: &str) -> Result<Message, Fault> {
    let times = (message.insertion_time, message.expiration_time, message.time_next_visible);
    let (id, receipt) = (message.message_id, message.pop_receipt);
    let (Some(id), Some(receipt), (Some(inserted_at), Some(expires_at), Some(next_visible_at))) = (id, receipt, times)
    else {
        return Err(unreadable(queue));
    };
    let dequeue_count = count(message.dequeue_count);
    let body = body(message.message_text);
    Ok(Message { id, receipt, body, dequeue_count, inserted_at, expires_at, next_visible_at })
}

/// A message that was only looked at. It is visible, since when is not said.
fn seen(message: PeekedMessage, queue: &str) -> Result<Message, Fault> {
    let (Some(id), Some(inserted_at), Some(expires_at)) =
        (message.message_id, message.insertion_time, message.expiration_time)
    else {
        return Err(unreadable(queue));
    };
    let (dequeue_count, body) = (count(message.dequeue_count), body(message.message_text));
    let next_visible_at: OffsetDateTime = inserted_at;
    Ok(Message { id, receipt: String::new(), body, dequeue_count, inserted_at, expires_at, next_visible_at })
}

fn count(count: Option<i64>) -> u32 {
    count.and_then(|count| count.try_into().ok()).unwrap_or_default()
}

fn unreadable(queue: &str) -> Fault {
    unavailable(&Refusal::unreadable(&format!("the queue {queue}")))
}
