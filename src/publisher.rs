//! The publisher's own software, as we call it: one signed message, one attempt, one answer.
//!
//! Nothing is repeated in here, and nothing is decided: what an answer means and when the next attempt is made, whoever
//! owes the message knows. What this keeps is the road: no way into a network that is not public ([`guard`]), no
//! redirect, no proxy, and an end to everything.

pub mod guard;
mod lookup;
pub mod signature;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response, retry};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use self::guard::{Forbidden, Guard, Road};
use self::lookup::Guarded;
pub use self::lookup::{FixedLookup, Lookup};
use crate::duty::BACKOFF_CEILING;
use crate::error::{Code, Fault};
use crate::outbound::{CONNECT_TIMEOUT, USER_AGENT, causes, innermost, retry_after};
use crate::settings::{EventsSecret, host_and_port};
use crate::span::{Call, CallOut, Failed};
use crate::words::scrub;

/// The longest message sent, in bytes. Ours have a few thousand, and the smallest limit that a common server comes with
/// is 100 kB (Express); Standard Webhooks asks for less than 20 kB.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// How much of an answer is read, in bytes. A verdict and a reason have a few hundred.
pub const ANSWER_LIMIT: usize = 16 * 1024;

/// The longest `Retry-After` believed, as [`BACKOFF_CEILING`]: no header can make us forget what we owe.
pub const RETRY_AFTER_LIMIT: time::Duration = BACKOFF_CEILING;

/// How long a connection is kept that nobody uses. Its address was judged when it was made, so this is also how long a
/// name that has moved still leads to where it was: long enough for a burst of events, and shorter than what servers
/// and load balancers wait before they close one.
pub const POOL_IDLE: Duration = Duration::from_secs(30);

/// How many unused connections are kept for each host: events of different subscriptions go out side by side, and more
/// than this at once is seldom.
pub const POOL_SIZE: usize = 8;

/// What every message is: an event in structured mode (CloudEvents 1.0, HTTP protocol binding, 3.2).
pub const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The client. Clones are cheap and share the connections.
#[derive(Clone, Debug)]
pub struct Publisher {
    inner: Arc<Inner>,
    witness: Option<Witness>,
}

/// Somebody who sees each message and what became of it: `dev` shows it to whoever connects their software.
#[derive(Clone)]
pub struct Witness(pub Arc<See>);

/// What a [`Witness`] does.
pub type See = dyn Fn(&Message, &Result<Answer, Unsent>) + Send + Sync;

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

#[derive(Debug)]
struct Inner {
    guard: Arc<Guard>,
    lookup: Lookup,
    /// Made with the first message: the machine's certificates are read then, which no start should wait for.
    secured: OnceLock<Client>,
    this_machine: OnceLock<Client>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The event's id, the same in every attempt; without a full stop (Standard Webhooks, "Signature scheme").
    pub id: String,
    /// The event: CloudEvents 1.0 as JSON, at most [`MESSAGE_LIMIT`] bytes.
    pub body: String,
}

/// What the publisher's server said, whatever it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status; a redirect is one like any other.
    pub status: u16,
    /// The wait that it asks for, at most [`RETRY_AFTER_LIMIT`].
    pub retry_after: Option<time::Duration>,
    /// The body, as much of it as came in time, at most [`ANSWER_LIMIT`] bytes: a status is not taken back by a body that
    /// is too long, or has no end.
    pub body: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// What kind of failure.
    pub kind: UnsentKind,
    /// The cause, for log and record: no path and no query, no secret, no personal data.
    pub why: String,
}

/// The kinds of failure without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsentKind {
    /// The URL leads where we do not go. Nothing was sent.
    Forbidden,
    /// No connection, or one that broke. The message may have arrived.
    Unreachable,
    /// No answer in time. The message may have arrived.
    Late,
    /// The message is longer than [`MESSAGE_LIMIT`]. Nothing was sent.
    TooLarge,
}

impl UnsentKind {
    /// The kind as one word, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unreachable => "unreachable",
            Self::Late => "late",
            Self::TooLarge => "too_large",
        }
    }
}

impl Publisher {
    /// A client that reaches public servers, and those of `allowed_hosts` in private networks too
    /// (`PUBLISHER_ALLOWED_HOSTS`).
    ///
    /// # Errors
    ///
    /// An allowed host that is none.
    pub fn new(allowed_hosts: &[String], lookup: Lookup) -> Result<Self, Fault> {
        let unusable = |why| Fault::new(Code::Internal, format!("PUBLISHER_ALLOWED_HOSTS: {why}"));
        let guard = Arc::new(Guard::new(allowed_hosts).map_err(unusable)?);
        let inner = Inner { guard, lookup, secured: OnceLock::new(), this_machine: OnceLock::new() };
        Ok(Self { inner: Arc::new(inner), witness: None })
    }

    /// The same client, with a witness.
    #[must_use]
    pub fn witnessed(self, witness: Witness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Whether this URL may be called now: what it is, and where its name leads. Nothing is sent.
    ///
    /// # Errors
    ///
    /// Why not, as the end of a sentence.
    pub async fn admits(&self, url: &Url) -> Result<(), String> {
        let Inner { guard, lookup, .. } = &*self.inner;
        let road = guard.admit(url).map_err(|Forbidden(why)| why)?;
        if let Some(Host::Domain(name)) = url.host() {
            let looked_up = timeout_at(Instant::now() + CONNECT_TIMEOUT, lookup.addresses(name)).await;
            let addresses = looked_up.map_err(|_| format!("{name} could not be looked up in time"))?;
            let addresses = addresses.map_err(|error| format!("{name} cannot be looked up: {error}"))?;
            guard.admit_all(name, &addresses, road).map_err(|Forbidden(why)| why)?;
        }
        Ok(())
    }

    /// Signs a message and posts it once, with everything within `patience`: look-up, connection, answer.
    ///
    /// # Errors
    ///
    /// Where nobody answered. An answer is none, whatever its status.
    pub async fn post(
        &self,
        to: &Url,
        message: &Message,
        keys: &EventsSecret,
        now: OffsetDateTime,
        patience: Duration,
    ) -> Result<Answer, Unsent> {
        // Products that take webhooks put their secret into the path, so that no log may hold it.
        let hides_path = true;
        let request_id = Some(message.id.clone());
        let mut span = Call { request_id, hides_path, ..Call::new("The publisher", "event", "POST", to) }.begin();
        let outcome = self.exchange(to, message, keys, now, patience, &mut span).await;
        match &outcome {
            Ok(answer) if answer.status < 300 => span.end(Ok(())),
            Ok(answer) => span.end(Err(Failed { kind: &answer.status.to_string(), ..Failed::default() })),
            Err(unsent) => span.end(Err(Failed { kind: unsent.kind.as_str(), ..Failed::default() })),
        }
        if let Some(Witness(see)) = &self.witness {
            see(message, &outcome);
        }
        outcome
    }

    async fn exchange(
        &self,
        to: &Url,
        message: &Message,
        keys: &EventsSecret,
        now: OffsetDateTime,
        patience: Duration,
        span: &mut CallOut,
    ) -> Result<Answer, Unsent> {
        let deadline = Instant::now() + patience;
        if message.body.len() > MESSAGE_LIMIT {
            let why = format!("the message has {} bytes, over {MESSAGE_LIMIT}", message.body.len());
            return Err(Unsent { kind: UnsentKind::TooLarge, why });
        }
        let road = self.inner.guard.admit(to).map_err(forbidden)?;
        let timestamp = now.unix_timestamp();
        // The trace ends here: its headers would tell a server outside of this installation what hangs together inside.
        // What joins both logs is the message's id.
        let request = self
            .client(road)
            .post(to.clone())
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .header(signature::ID, &message.id)
            .header(signature::TIMESTAMP, timestamp)
            .header(signature::SIGNATURE, signature::sign(message, timestamp, keys))
            .body(message.body.clone());
        let late = |_| Unsent {
            kind: UnsentKind::Late,
            why: format!("{} did not answer within {patience:?}", host_and_port(to)),
        };
        let sent = timeout_at(deadline, request.send()).await.map_err(late)?;
        let mut response = sent.map_err(|error| unsent(to, &error))?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers(), RETRY_AFTER_LIMIT));
        span.answered(status, None);
        let mut body = Vec::new();
        // However the reading ends, what the status says has been said.
        let _whole_or_not = timeout_at(deadline, read(&mut response, &mut body)).await;
        Ok(Answer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn client(&self, road: Road) -> &Client {
        let Inner { guard, lookup, secured, this_machine } = &*self.inner;
        let resolver = || Guarded { guard: Arc::clone(guard), lookup: lookup.clone(), road };
        match road {
            Road::Secured => secured.get_or_init(|| client(resolver(), |builder| builder.https_only(true))),
            // It meets no certificate, and so needs none of the machine's.
            Road::ThisMachine => this_machine.get_or_init(|| client(resolver(), |builder| builder.tls_certs_only([]))),
        }
    }
}

/// A client of its own, because three things differ from the one for all other servers: it asks no proxy, which would
/// look names up where nobody judges them; it connects to judged addresses alone; and it sends once what it is told to
/// send once.
fn client(resolver: Guarded, on: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    let builder = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_gzip()
        .dns_resolver(resolver)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE)
        .user_agent(USER_AGENT);
    on(builder).build().expect("constant options, and a certificate store that every supported platform has")
}

/// Reads a body up to [`ANSWER_LIMIT`], whatever length it announces.
async fn read(response: &mut Response, body: &mut Vec<u8>) -> reqwest::Result<()> {
    while body.len() < ANSWER_LIMIT
        && let Some(chunk) = response.chunk().await?
    {
        let room = ANSWER_LIMIT - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(())
}

fn forbidden(Forbidden(why): Forbidden) -> Unsent {
    Unsent { kind: UnsentKind::Forbidden, why: format!("the URL is forbidden: {why}") }
}

fn unsent(to: &Url, error: &reqwest::Error) -> Unsent {
    match causes(error).find_map(|cause| cause.downcast_ref::<Forbidden>()) {
        Some(refusal) => forbidden(refusal.clone()),
        None => Unsent {
            kind: UnsentKind::Unreachable,
            why: format!("{} cannot be reached: {}", host_and_port(to), scrub(&innermost(error), &[])),
        },
    }
}
