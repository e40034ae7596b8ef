//! The keys with which Entra signs tokens: fetched when they are needed, shared, refreshed, and kept while Entra is away.
//! The sign-in of people and the callers of the webhook ask for them in the same way, each at its own tenant.

pub(crate) mod jwt;
pub(crate) mod provider;
mod saved;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration as Patience;

use time::{Duration, OffsetDateTime};
use tokio::time::timeout;

use self::jwt::Kind;
use self::provider::{FETCH_LIMIT, Key, Provider, Source, unavailable};
use self::saved::Saved;
use crate::error::Fault;

/// How long Entra's description and keys serve before they are fetched again. Microsoft asks for a look every 24 hours.
const FRESH: Duration = Duration::hours(24);

/// The least time between two fetches while we hold keys and the last one failed.
const REFRESH_FLOOR: Duration = Duration::seconds(60);

/// How many fetches there are at most within [`REFRESH_FLOOR`] while we hold keys: a stranger's made-up key id must not
/// become a call each. A key that Entra has just begun to sign with is found at once all the same.
const REFRESHES: usize = 5;

/// How long a token whose key is at hand waits, for its turn and again for the fetch, when the keys are due for a look.
/// Entra answers in well under a second, and the marketplace counts ten seconds for everything.
const REFRESH_PATIENCE: Patience = Patience::from_secs(2);

/// The keys of one tenant, or of all of them. Clones share what was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    http: reqwest::Client,
    state: Mutex<State>,
    /// Held by the one call that fetches; the others wait for its outcome instead of fetching too.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    held: Option<Held>,
    /// The latest tries, oldest first, at most [`REFRESHES`].
    tried: VecDeque<OffsetDateTime>,
    /// Why the last try failed; none if it succeeded.
    failure: Option<Fault>,
    /// How many fetches have ended, well or badly.
    rounds: u64,
    /// Whether what is held was fetched here and not yet given out for keeping.
    unsaved: bool,
}

#[derive(Clone, Debug)]
struct Held {
    provider: Arc<Provider>,
    fetched_at: OffsetDateTime,
    /// Fetched by another instance: stale from the start.
    adopted: bool,
}

impl Keys {
    /// The keys that `source` publishes. Nothing is fetched until somebody asks.
    pub(crate) fn new(source: Source, http: reqwest::Client) -> Self {
        let shared = Shared { source, http, state: Mutex::default(), fetching: tokio::sync::Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// What `judge` says of the token, given the key that the token names and what Entra says of itself.
    ///
    /// # Errors
    ///
    /// The code of `kind` if the token is proven wrong; `Code::EntraUnavailable` if that cannot be told, because the
    /// keys cannot be had.
    pub(crate) async fn prove<T>(
        &self,
        kind: &Kind,
        token: &str,
        now: OffsetDateTime,
        judge: impl Fn(&Provider, &Key) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let key_id = jwt::key_id(token, kind)?;
        let provider = self.provider(Some(&key_id), now).await?;
        // A key may be listed once for each issuer that signs with it.
        let mut outcome = Err(kind.wrong("is signed with a key that Entra does not list"));
        for key in provider.keys_of(&key_id) {
            outcome = judge(&provider, key);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Entra's description and keys. Fetched again when they are old or lack `key_id`; old ones serve on while that fails.
    pub(crate) async fn provider(&self, key_id: Option<&str>, now: OffsetDateTime) -> Result<Arc<Provider>, Fault> {
        let seen = self.state().clone();
        if let Some(provider) = seen.serving(key_id, now) {
            return Ok(provider);
        }
        let patience = if seen.suffices(key_id) { REFRESH_PATIENCE } else { FETCH_LIMIT };
        self.refresh(&seen, patience, now).await;
        self.state().answer(key_id, seen.rounds)
    }

    /// How many keys are at hand, fetched where they are not fresh.
    pub(crate) async fn count(&self, now: OffsetDateTime) -> Result<usize, Fault> {
        Ok(self.provider(None, now).await?.keys.len())
    }

    /// What was fetched since the last call, as text for [`Keys::adopt`]: once for every fetch that succeeded.
    pub(crate) fn fetched(&self) -> Option<String> {
        let mut state = self.state();
        if !std::mem::take(&mut state.unsaved) {
            return None;
        }
        let held = state.held.as_ref()?;
        Saved::new(&self.shared.source, &held.provider, held.fetched_at).write()
    }

    /// Takes up what [`Keys::fetched`] of another instance gave out, unless something newer is held. It serves for the
    /// keys that it lists while nothing better can be had; the next call tries to fetch all the same.
    pub(crate) fn adopt(&self, saved: &str, now: OffsetDateTime) {
        match Saved::read(saved, &self.shared.source) {
            // An instance whose clock ran ahead must not outdo all later ones.
            Ok((provider, fetched_at)) => self.state().adopt(provider, fetched_at.min(now)),
            Err(fault) => tracing::warn!(reason = fault.private, "the saved keys are of no use"),
        }
    }

    /// Fetches, unless somebody has just done so, waiting at most `patience` for the turn and as long for the fetch.
    async fn refresh(&self, seen: &State, patience: Patience, now: OffsetDateTime) {
        let Ok(_turn) = timeout(patience, self.shared.fetching.lock()).await else { return };
        let current = self.state().clone();
        if current.rounds == seen.rounds && current.may_fetch(now) {
            let fetch = Provider::fetch(&self.shared.http, &self.shared.source);
            let too_slow = |_| Err(unavailable("Entra's keys do not come in time"));
            let outcome = timeout(patience, fetch).await.unwrap_or_else(too_slow);
            self.state().record(outcome, now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is held, if it is fresh and has the key.
    fn serving(&self, key_id: Option<&str>, now: OffsetDateTime) -> Option<Arc<Provider>> {
        let held = self.held.as_ref().filter(|_| self.suffices(key_id))?;
        // Absolute, so that a clock put back does not keep keys for as long as it was ahead.
        let fresh = !held.adopted && (now - held.fetched_at).abs() < FRESH;
        fresh.then(|| Arc::clone(&held.provider))
    }

    /// Whether what is held, however old, has the key.
    fn suffices(&self, key_id: Option<&str>) -> bool {
        self.held.as_ref().is_some_and(|held| key_id.is_none_or(|id| held.provider.has(id)))
    }

    fn may_fetch(&self, now: OffsetDateTime) -> bool {
        let allowed = if self.failure.is_some() { 1 } else { REFRESHES };
        let lately = self.tried.iter().filter(|at| (now - **at).abs() < REFRESH_FLOOR).count();
        self.held.is_none() || lately < allowed
    }

    fn record(&mut self, outcome: Result<Provider, Fault>, now: OffsetDateTime) {
        self.rounds += 1;
        if self.tried.len() == REFRESHES {
            self.tried.pop_front();
        }
        self.tried.push_back(now);
        match outcome {
            Ok(provider) => {
                self.held = Some(Held { provider: Arc::new(provider), fetched_at: now, adopted: false });
                self.unsaved = true;
                self.failure = None;
            }
            Err(fault) => {
                tracing::warn!(
                    reason = fault.private,
                    "Entra's configuration and keys cannot be fetched; what is held serves on"
                );
                self.failure = Some(fault);
            }
        }
    }

    fn adopt(&mut self, provider: Provider, fetched_at: OffsetDateTime) {
        if self.held.as_ref().is_none_or(|held| held.fetched_at < fetched_at) {
            self.held = Some(Held { provider: Arc::new(provider), fetched_at, adopted: true });
            self.unsaved = false;
        }
    }

    /// The best that can be said after a fetch, or without one because the last was a moment ago: `seen` were the rounds
    /// before.
    fn answer(&self, key_id: Option<&str>, seen: u64) -> Result<Arc<Provider>, Fault> {
        let never = || unavailable("Entra's keys were never fetched");
        let failure = || self.failure.clone().unwrap_or_else(never);
        let provider = self.held.as_ref().map(|held| Arc::clone(&held.provider)).ok_or_else(failure)?;
        match (&self.failure, key_id) {
            // The key may be one that we could not see: nothing is proven.
            (Some(failure), Some(id)) if !provider.has(id) => Err(failure.clone()),
            // Entra may have begun to sign with it since.
            (None, Some(id)) if !provider.has(id) && self.rounds == seen => {
                Err(unavailable("Entra's keys were fetched a moment ago, without the token's; it may be new"))
            }
            _ => Ok(provider),
        }
    }
}
