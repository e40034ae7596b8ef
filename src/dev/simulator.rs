//! A marketplace on this machine: Microsoft's fulfillment API and the parts of Entra that we call, the customers who
//! buy, and whatever may go wrong. It keeps everything in memory.
//!
//! `market` and its neighbours hold the rules, plain and synchronous. The faces translate them to HTTP: `api` is
//! Microsoft's API, `entra` and `signin` are Entra, `control` is for tests and scripts, `page` for people;
//! `door` is the one file that knows the server, and `courier` the one that calls the publisher, with webhooks. It is somebody else's server: it shares no rule with the program.
//!
//! Three clocks run in it. Subscriptions, purchase tokens and operations live by the simulator's own, which
//! [`Simulator::advance`] moves; people's sign-ins and the tokens of webhooks by [`Options::clock`], as those do who
//! verify them; and
//! access tokens by the machine's, because the client library that caches them reads that one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use url::Url;

use super::receiver::Receiver;
use crate::clock::Clock;
use crate::mishap::Mishaps;

mod api;
mod call;
mod catalog;
mod change;
mod claims;
mod control;
mod courier;
mod credentials;
mod deed;
mod delivery;
mod door;
mod entra;
mod faults;
mod keys;
mod lifecycle;
mod list;
mod market;
mod operation;
mod page;
mod payload;
mod people;
mod refusal;
mod signin;
pub(super) mod span;
mod subscription;
mod trial;
mod webhooks;

pub use call::{Call, HEARD_MAX, Heard};
pub use catalog::{OFFER, PLANS, Plan};
pub use courier::ATTEMPT_WITHIN;
pub use credentials::{Credentials, Federated};
pub use deed::Deed;
pub use delivery::{RETRY_EVERY, TRIES};
pub use faults::{Answer, Effect, Faults, Profile, Rule};
pub use keys::Signature;
pub use market::{Purchase, TOKEN_LIFETIME};
pub use people::{PEOPLE, PERSONAL_TENANT, Party, Person, Who, person};
pub use refusal::Refusal;
pub use subscription::TermUnit;
pub use trial::Trial;
pub use webhooks::{Form, Webhooks};

/// The publisher's tenant, the only one that the token endpoint knows.
pub const TENANT_ID: &str = "3e6a0e0c-7f4d-4a55-9c1b-0f8d2b7c6a10";

/// The publisher's application, as the offer's Technical configuration page names it.
pub const CLIENT_ID: &str = "8c2f9a44-5d1e-4b7a-a3c6-e90b1d7f2584";

/// The client secret of that application. It opens nothing but this simulator.
pub const CLIENT_SECRET: &str = "simulator-secret-that-opens-nothing-else";

/// The multi-tenant application that signs buyers in.
pub const SIGNIN_CLIENT_ID: &str = "b14e7d3a-62c8-49f5-8d0b-57a9c3e6f148";

/// The marketplace API as an audience of tokens.
pub const RESOURCE_ID: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7";

/// Where and when the simulator is.
#[derive(Clone, Debug)]
pub struct Options {
    /// What time it is.
    pub clock: Clock,
    /// Ids, tokens and probabilities follow from it.
    pub seed: u64,
    /// Where it is reached, such as `http://127.0.0.1:7072`.
    pub base_url: Url,
    /// The same server under another host name, such as `http://localhost:7072`: links lead there as Microsoft's lead
    /// to a second host, and people sign in there, so that signing in crosses sites.
    pub second_base_url: Url,
    /// The publisher's landing page. Sign-in answers to its neighbour `signin` only.
    pub landing_url: Url,
    /// The publisher's connection webhook.
    pub webhook_url: Url,
}

/// The simulated marketplace; clones are the same one.
#[derive(Clone)]
pub struct Simulator(Arc<Inner>);

struct Inner {
    options: Options,
    state: Mutex<State>,
    /// Called when there is something else to wait for than before.
    changed: Notify,
    http: reqwest::Client,
    receiver: Receiver,
    /// Who says when a call of the API is taken in, and when its answer leaves.
    mishaps: OnceLock<Mishaps>,
}

/// Everything that changes.
struct State {
    market: market::Market,
    keys: keys::Keys,
    credentials: Credentials,
    /// How far the simulator's clock is ahead of [`Options::clock`].
    ahead: Duration,
    calls: BTreeMap<Call, u32>,
    heard: VecDeque<Heard>,
    pulse: Pulse,
}

/// What the courier, and whoever waits for it, look at.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Pulse {
    next: Option<OffsetDateTime>,
    agenda: Option<OffsetDateTime>,
    waiting: usize,
    under_way: usize,
    ahead: Duration,
}

/// What a customer has in hand after buying.
#[derive(Clone, Debug)]
pub struct Purchased {
    /// The subscription.
    pub subscription_id: String,
    /// The purchase token, not percent-encoded.
    pub token: String,
    /// The landing page with the token.
    pub landing_url: Url,
}

impl Simulator {
    /// An empty marketplace.
    pub fn new(options: Options) -> Self {
        let state = State {
            market: market::Market::new(options.seed),
            keys: keys::Keys::new(),
            credentials: Credentials::default(),
            ahead: Duration::ZERO,
            calls: BTreeMap::new(),
            heard: VecDeque::new(),
            pulse: Pulse::default(),
        };
        let (state, changed) = (Mutex::new(state), Notify::new());
        let url = options.base_url.join("publisher/").expect("a relative path joins any base");
        let receiver = Receiver::new(options.clock.clone(), url);
        let mishaps = OnceLock::new();
        Self(Arc::new(Inner { options, state, changed, http: courier::client(), receiver, mishaps }))
    }

    /// Answers whoever connects to `listener` and sends webhooks, for ever.
    pub async fn serve(self, listener: TcpListener) {
        tokio::join!(courier::run(&self), door::serve(self.clone(), listener));
    }

    /// The publisher's own software, where there is none yet, at `/publisher` of this server.
    pub fn receiver(&self) -> &Receiver {
        &self.0.receiver
    }

    /// The simulator's own time.
    pub fn now(&self) -> OffsetDateTime {
        self.with(|_, now| now)
    }

    /// Moves the simulator's clock forward, at most ten years in all. Answers how far it is ahead now.
    pub fn advance(&self, by: Duration) -> Result<Duration, Refusal> {
        self.with(|state, _| {
            let ahead = state.ahead.saturating_add(by);
            if by.is_negative() || ahead > span::LONGEST {
                let message = "the clock goes forward only, and ten years at most; DELETE /simulator sets it back";
                return Err(Refusal::bad_request("InvalidAdvance", "advance", message));
            }
            state.ahead = ahead;
            Ok(ahead)
        })
    }

    /// When the next attempt to deliver a webhook is due, by [`Options::clock`]; those under way do not count.
    pub fn next_delivery(&self) -> Option<OffsetDateTime> {
        self.with(|state, _| Some(state.market.queue.next_due()? - state.ahead))
    }

    /// Whether a webhook is due and can go at once: one of a subscription waits for the one before it.
    pub fn is_delivery_due(&self) -> bool {
        self.with(|state, now| state.market.queue.startable(now).is_some())
    }

    /// How many webhooks are under way.
    pub fn deliveries_in_flight(&self) -> usize {
        self.with(|state, _| state.market.queue.under_way())
    }

    /// Holds all webhooks back, or lets them go again. Those under way arrive.
    pub fn pause_webhooks(&self, paused: bool) {
        self.with(|state, _| state.market.queue.paused = paused);
    }

    /// Returns once no webhook is due and none is under way. It is [`Simulator::serve`] that sends them.
    pub async fn idle(&self) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Registered before the state is read, so that no change in between is missed.
            changed.as_mut().enable();
            let quiet = self.with(|state, now| {
                let queue = &state.market.queue;
                queue.under_way() == 0 && queue.next_due().is_none_or(|due| due > now)
            });
            if quiet {
                return;
            }
            changed.await;
        }
    }

    /// Whoever steers these mishaps also says when a call of the fulfillment API is taken in, and when its answer leaves:
    /// what happens in between is older than what the caller then knows. Counts once.
    pub fn steer(&self, mishaps: Mishaps) {
        let _ = self.0.mishaps.set(mishaps);
    }

    /// Somebody buys.
    pub fn purchase(&self, purchase: &Purchase) -> Result<Purchased, Refusal> {
        let id = self.with(|state, now| state.market.purchase(purchase, now))?;
        self.token(&id)
    }

    /// A fresh purchase token, as "Configure account now" and "Manage account" hand out.
    pub fn token(&self, id: &str) -> Result<Purchased, Refusal> {
        let token = self.with(|state, now| state.market.token(id, now))?;
        let mut landing_url = self.0.options.landing_url.clone();
        landing_url.query_pairs_mut().append_pair("token", &token);
        Ok(Purchased { subscription_id: id.to_owned(), token, landing_url })
    }

    /// The customer's side does something. Answers the operation's id.
    pub fn act(&self, id: &str, deed: &Deed) -> Result<String, Refusal> {
        self.with(|state, now| state.market.act(id, deed, now))
    }

    /// All subscriptions as `GET /simulator/subscriptions` shows them, oldest first.
    pub fn subscriptions(&self) -> Vec<Value> {
        self.with(|state, _| state.market.overview(usize::MAX))
    }

    /// One subscription as `GET /simulator/subscriptions/{id}` shows it.
    pub fn subscription(&self, id: &str) -> Result<Value, Refusal> {
        self.with(|state, _| state.market.inspect(id))
    }

    /// How often a call was made in all, refused and faulted ones included. For one subscription see its `calls`.
    pub fn calls(&self, call: Call) -> u32 {
        self.with(|state, _| state.calls.get(&call).copied().unwrap_or(0))
    }

    /// The latest calls, oldest first, refused and faulted ones included; at most [`HEARD_MAX`].
    pub fn heard(&self) -> Vec<Heard> {
        self.with(|state, _| state.heard.iter().cloned().collect())
    }

    /// What goes wrong on purpose, with the times that rules have left.
    pub fn faults(&self) -> Faults {
        self.with(|state, _| state.market.faults.clone())
    }

    /// Replaces what goes wrong on purpose.
    pub fn set_faults(&self, faults: Faults) -> Result<(), Refusal> {
        faults.check()?;
        self.with(|state, _| state.market.faults = faults);
        Ok(())
    }

    /// With what the publisher's application may prove itself.
    pub fn credentials(&self) -> Credentials {
        self.with(|state, _| state.credentials.clone())
    }

    /// Replaces with what the publisher's application may prove itself.
    pub fn set_credentials(&self, credentials: Credentials) -> Result<(), Refusal> {
        credentials.check()?;
        self.with(|state, _| state.credentials = credentials);
        Ok(())
    }

    /// Forgets every subscription, token, fault and count, and what the publisher was sent, and sets the clock back. Keys
    /// and credentials stay.
    pub fn forget(&self) {
        self.0.receiver.forget();
        self.with(|state, _| {
            state.market.forget();
            state.calls.clear();
            state.heard.clear();
            state.ahead = Duration::ZERO;
        });
    }

    /// The claims with which `person` signs in to our application.
    pub fn id_token_claims(&self, person: &Person, nonce: &str) -> Value {
        claims::id_token_claims(&self.0.options, person, nonce)
    }

    /// The claims of an access token that the API accepts for an hour.
    pub fn access_token_claims(&self) -> Value {
        claims::access_token_claims(Clock::System.now())
    }

    /// The claims of a token that comes with a webhook, of version 1 or 2.
    pub fn webhook_claims(&self, version: u8) -> Value {
        claims::webhook_claims(&self.0.options, version)
    }

    /// What a webhook about this operation says, in the full form and true; null where there is no such operation.
    pub fn webhook_body(&self, subscription_id: &str, operation_id: &str) -> Value {
        self.with(|state, _| state.market.webhook_body(subscription_id, operation_id))
    }

    /// A token with these claims, well signed.
    pub fn sign_id_token(&self, claims: &Value) -> String {
        self.sign(claims, Signature::Good)
    }

    /// A token with these claims, signed well or badly.
    pub fn sign(&self, claims: &Value, signature: Signature) -> String {
        self.with(|state, _| state.keys.sign(claims, signature))
    }

    /// A new key signs from now on; the one before it stays published, older ones do not.
    pub fn rotate_keys(&self) {
        self.with(|state, _| state.keys.rotate());
    }

    /// The webhooks to be sent now, each with its token, and when to look again by [`Options::clock`].
    fn dispatch(&self) -> (Vec<(delivery::Errand, String)>, Option<OffsetDateTime>) {
        self.with(|state, now| {
            let (errands, next) = state.market.dispatch(now);
            let sign = |errand| (errand, courier::token(state, &self.0.options));
            (errands.into_iter().map(sign).collect(), next.map(|next| next - state.ahead))
        })
    }

    /// Works on the state at one moment, after all that has come due by then. Nothing waits while the state is held.
    fn with<T>(&self, work: impl FnOnce(&mut State, OffsetDateTime) -> T) -> T {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.options.clock.now();
        let moment = now + state.ahead;
        state.market.settle(moment);
        let done = work(&mut state, moment);
        let moment = now + state.ahead;
        state.market.settle(moment);
        let pulse = state.pulse();
        if std::mem::replace(&mut state.pulse, pulse) != pulse {
            self.0.changed.notify_waiters();
        }
        let reports = std::mem::take(&mut state.market.reports);
        drop(state);
        for report in reports {
            let (operation_id, action, status) = (&report.operation_id, report.action.name(), report.phase);
            let acknowledged_after_ms = operation::milliseconds(report.acknowledged_after);
            tracing::info!(operation_id, action, ?status, acknowledged_after_ms, "the simulator's operation ended");
        }
        done
    }
}

impl State {
    fn pulse(&self) -> Pulse {
        let queue = &self.market.queue;
        Pulse {
            next: queue.next_due(),
            agenda: self.market.agenda.first().map(|(at, _)| *at),
            waiting: queue.waiting(),
            under_way: queue.under_way(),
            ahead: self.ahead,
        }
    }
}
