//! The storage account whose queues the host serves.

use std::time::Duration;

use futures_util::future::Either;
use time::OffsetDateTime;

use crate::bell::memory::Queues;
use crate::bell::{Message, azure};

/// How long between two looks at a real account's queues. The real host's shortest pause is twice that; an Azurite on this
/// machine is not paid by the look.
const POLLING_INTERVAL: Duration = Duration::from_millis(50);

/// A storage account, as far as its queues. A closed set: another one is another variant.
#[derive(Clone, Debug)]
pub enum Account {
    /// Queues in this process, which tell of every change.
    Memory(Queues),
    /// A real account's, which must be asked.
    Azure(azure::Queues),
}

impl Account {
    /// Puts a message that becomes visible after `delay`.
    ///
    /// # Errors
    ///
    /// A sentence that says why the account did not take it.
    pub async fn put(&self, queue: &str, body: Vec<u8>, delay: time::Duration) -> Result<(), String> {
        match self {
            Self::Memory(queues) => queues.put(queue, body, delay).map_err(|full| full.to_string()),
            Self::Azure(queues) => queues.put(queue, body, delay).await.map_err(|fault| fault.private),
        }
    }

    /// Takes up to `max` visible messages, the longest visible first, and hides them for `visibility`.
    pub(super) async fn receive(&self, queue: &str, max: usize, visibility: Duration) -> Result<Vec<Message>, String> {
        let visibility = visibility.try_into().unwrap_or(time::Duration::MAX);
        match self {
            Self::Memory(queues) => Ok(queues.receive(queue, max, visibility)),
            Self::Azure(queues) => queues.receive(queue, max, visibility).await.map_err(|fault| fault.private),
        }
    }

    /// Removes a message, unless its receipt is not the latest one any more.
    pub(super) async fn delete(&self, queue: &str, message: &Message) -> Result<(), String> {
        match self {
            Self::Memory(queues) => {
                queues.delete(queue, &message.id, &message.receipt);
                Ok(())
            }
            Self::Azure(queues) => {
                queues.delete(queue, &message.id, &message.receipt).await.map(drop).map_err(|fault| fault.private)
            }
        }
    }

    /// Makes a received message visible again after `visibility`, unless its receipt is not the latest one any more.
    pub(super) async fn postpone(&self, queue: &str, message: &Message, visibility: Duration) -> Result<(), String> {
        let visibility = visibility.try_into().unwrap_or(time::Duration::MAX);
        match self {
            Self::Memory(queues) => {
                queues.postpone(queue, &message.id, &message.receipt, visibility);
                Ok(())
            }
            Self::Azure(queues) => {
                let postponed = queues.postpone(queue, &message.id, &message.receipt, visibility).await;
                postponed.map(drop).map_err(|fault| fault.private)
            }
        }
    }

    /// The messages of a queue, without receiving them. Azure shows those that are visible.
    ///
    /// # Errors
    ///
    /// A sentence that says why the account did not tell.
    pub async fn peek(&self, queue: &str) -> Result<Vec<Message>, String> {
        match self {
            Self::Memory(queues) => Ok(queues.peek(queue)),
            Self::Azure(queues) => queues.peek(queue).await.map_err(|fault| fault.private),
        }
    }

    /// How many messages a queue holds, visible or not.
    ///
    /// # Errors
    ///
    /// A sentence that says why the account did not tell.
    pub async fn count(&self, queue: &str) -> Result<usize, String> {
        match self {
            Self::Memory(queues) => Ok(queues.len(queue)),
            Self::Azure(queues) => {
                let count = queues.count(queue).await.map_err(|fault| fault.private)?;
                Ok(usize::try_from(count).unwrap_or(usize::MAX))
            }
        }
    }

    /// Loses every message of a queue, visible or not, as a person with a storage browser can.
    ///
    /// # Errors
    ///
    /// A sentence that says why the account did not do it.
    pub async fn clear(&self, queue: &str) -> Result<(), String> {
        match self {
            Self::Memory(queues) => {
                queues.clear(queue);
                Ok(())
            }
            Self::Azure(queues) => queues.clear(queue).await.map_err(|fault| fault.private),
        }
    }

    /// Whether one of these queues has a message that could be received now.
    ///
    /// # Errors
    ///
    /// A sentence that says why the account did not tell.
    pub async fn any_visible(&self, queues: &[&str]) -> Result<bool, String> {
        match self {
            Self::Memory(account) => Ok(account.any_visible(queues)),
            Self::Azure(account) => {
                for queue in queues {
                    if account.any_visible(queue).await.map_err(|fault| fault.private)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Resolves when it is worth to look again. Call first, look then, await last: no change in between is missed.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        match self {
            Self::Memory(queues) => Either::Left(queues.changed()),
            Self::Azure(_) => Either::Right(tokio::time::sleep(POLLING_INTERVAL)),
        }
    }

    /// When the next message of these queues can be received, where the account tells.
    pub(super) fn next_visible(&self, queues: &[&str]) -> Option<OffsetDateTime> {
        match self {
            Self::Memory(account) => account.next_visible(queues),
            Self::Azure(_) => None,
        }
    }
}
