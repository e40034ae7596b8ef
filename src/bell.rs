//! Doorbells: queue messages that say where something is owed, and never what. Whoever hears one reloads the record.

pub mod azure;
pub mod memory;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::duty::Queue;
use crate::error::{Code, Fault};
use crate::mishap::{Mishap, Mishaps};
use crate::subscription::SubscriptionId;

use memory::Queues;

/// The version of the message's form.
const VERSION: u32 = 1;

/// The bell of this process. A closed set: a new one is a new variant.
#[derive(Clone, Debug)]
pub enum Bell {
    /// Queues in this process, served by the host stand-in of `fulfillment dev`.
    Memory(Queues),
    /// Queues of a storage account, served by the Functions host.
    Azure(azure::Queues),
    /// Another one, shaken by tests: messages are refused, or accepted without an answer.
    Shaken(Box<Bell>, Mishaps),
}

/// What a bell says: look at this subscription, you who hear this queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// Which queue, and so which function.
    pub queue: Queue,
    /// Whose.
    pub subscription: SubscriptionId,
}

/// A message, as its receiver or somebody who peeks sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message's id: a GUID.
    pub id: String,
    /// Proves the latest receipt of the message; whoever deletes or postpones it must show it.
    pub receipt: String,
    /// What was put, without base64.
    pub body: Vec<u8>,
    /// How often the message was received, this time included.
    pub dequeue_count: u32,
    /// When it was put.
    pub inserted_at: OffsetDateTime,
    /// When it vanishes, deleted or not.
    pub expires_at: OffsetDateTime,
    /// When it can be received (again).
    pub next_visible_at: OffsetDateTime,
}

/// The message's form. No field may be named like a queue trigger's metadata: the host would overwrite one with the
/// other.
#[derive(Serialize, Deserialize)]
struct Form {
    v: u32,
    subscription: String,
}

impl Doorbell {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let form = Form { v: VERSION, subscription: self.subscription.as_str().to_owned() };
        serde_json::to_vec(&form).expect("two plain fields are always JSON")
    }

    /// Reads a message from `queue`.
    ///
    /// # Errors
    ///
    /// [`Code::BadEnvelope`] where it is not a message of ours, or of a newer form. The message then ends in the poison
    /// queue, where a person can read it.
    pub fn decode(queue: Queue, message: &[u8]) -> Result<Self, Fault> {
        let bad = |why: String| Fault::new(Code::BadEnvelope, format!("message in {}: {why}", queue.name()));
        let form: Form = serde_json::from_slice(message).map_err(|error| {
            // Its own words repeat what stands there, which nobody here wrote.
            bad(format!("line {}, column {}: not of our form", error.line(), error.column()))
        })?;
        if form.v != VERSION {
            return Err(bad(format!("form {} is not {VERSION}", form.v)));
        }
        let subscription = SubscriptionId::parse(&form.subscription);
        let subscription = subscription.ok_or_else(|| bad("not a subscription id".to_owned()))?;
        Ok(Self { queue, subscription })
    }
}

impl Bell {
    /// Whether bells can be rung and heard: makes what is missing, puts a message, receives and deletes it. Answers about
    /// how many messages each poison queue holds.
    ///
    /// # Errors
    ///
    /// [`Code::QueueUnavailable`], with what to do.
    pub async fn probe(&self) -> Result<Vec<(String, u64)>, Fault> {
        match self {
            Self::Memory(_) => {
                let why = "bells are kept in memory, where no Functions host hears them: see tables";
                Err(Fault::new(Code::QueueUnavailable, why))
            }
            Self::Azure(queues) => queues.probe().await,
            Self::Shaken(bell, _) => Box::pin(bell.probe()).await,
        }
    }

    /// Rings after `delay`.
    pub async fn ring(&self, doorbell: &Doorbell, delay: Duration) -> Result<(), Fault> {
        match self {
            Self::Memory(queues) => queues
                .put(doorbell.queue.name(), doorbell.encode(), delay)
                .map_err(|full| Fault::passing(Code::QueueUnavailable, full.to_string())),
            Self::Azure(queues) => queues.ring(doorbell.queue.name(), doorbell.encode(), delay).await,
            Self::Shaken(bell, mishaps) => {
                let mishap = mishaps.begin("ring", Some(doorbell.subscription.as_str())).await;
                let lost = || Fault::passing(Code::QueueUnavailable, "the message was not accepted");
                if mishap == Some(Mishap::Refused) {
                    return Err(lost());
                }
                Box::pin(bell.ring(doorbell, delay)).await?;
                mishaps.end(mishap).await;
                if mishap == Some(Mishap::Unanswered) { Err(lost()) } else { Ok(()) }
            }
        }
    }
}
