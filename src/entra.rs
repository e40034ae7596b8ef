//! Sign-in of people with Entra: OpenID Connect, an id token by `form_post`, any organisation and personal accounts.

mod provider;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};
use url::Url;

use crate::error::{Code, Fault};
use crate::person::Person;
use crate::settings::EntraSettings;
use provider::Provider;

/// How long Entra's description and keys serve before they are fetched again. Microsoft asks for a look every 24 hours.
const FRESH: Duration = Duration::hours(24);

/// The least time between two fetches while we hold keys: a stranger's made-up key id must not become a call each.
/// Microsoft publishes a new key long before it signs with it, so nobody waits for this.
const REFRESH_FLOOR: Duration = Duration::seconds(60);

/// What we ask Entra for: who the person is. Both scopes every user may grant; none needs an administrator.
const SCOPE: &str = "openid profile";

/// Entra, as it signs people in. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Entra {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    authority: Url,
    client_id: String,
    http: reqwest::Client,
    state: Mutex<State>,
    /// Held by the one call that fetches; the others wait for its outcome instead of fetching too.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    provider: Option<Arc<Provider>>,
    fetched_at: Option<OffsetDateTime>,
    tried_at: Option<OffsetDateTime>,
    /// Why the last try failed; none if it succeeded.
    failure: Option<Fault>,
    /// How many fetches have ended, well or badly.
    rounds: u64,
}

/// What one sign-in asks of Entra.
#[derive(Clone, Copy)]
pub struct Signin<'a> {
    /// Comes back beside the token: names the attempt.
    pub state: &'a str,
    /// Comes back inside the token: binds it to the attempt.
    pub nonce: &'a str,
    /// Where the answer is posted: our `signin` function, as the app registration lists it.
    pub redirect_uri: &'a str,
    /// Whether the person is to choose an account even if only one is signed in.
    pub choose_account: bool,
}

impl Entra {
    /// Entra at `settings.authority`. Nothing is fetched until somebody signs in.
    pub fn new(settings: &EntraSettings, http: reqwest::Client) -> Self {
        let shared = Shared {
            authority: settings.authority.clone(),
            client_id: settings.client_id.clone(),
            http,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where to send the browser to sign in.
    pub async fn authorize_url(&self, signin: &Signin<'_>, now: OffsetDateTime) -> Result<Url, Fault> {
        let mut url = self.provider(None, now).await?.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &self.shared.client_id)
            .append_pair("response_type", "id_token")
            .append_pair("response_mode", "form_post")
            .append_pair("scope", SCOPE)
            .append_pair("redirect_uri", signin.redirect_uri)
            .append_pair("state", signin.state)
            .append_pair("nonce", signin.nonce);
        if signin.choose_account {
            url.query_pairs_mut().append_pair("prompt", "select_account");
        }
        Ok(url)
    }

    /// The person whom `id_token` names, if Entra signed it for us, for this attempt, and it is valid `now`.
    ///
    /// # Errors
    ///
    /// [`Code::SigninFailed`] if the token is proven wrong; [`Code::EntraUnavailable`] if that cannot be told, because
    /// the keys cannot be had.
    pub async fn verify(&self, id_token: &str, nonce: &str, now: OffsetDateTime) -> Result<Person, Fault> {
        let key_id = token::key_id(id_token)?;
        let provider = self.provider(Some(&key_id), now).await?;
        let expected = token::Expected { issuer: &provider.issuer, client_id: &self.shared.client_id, nonce, now };
        // A key may be listed once for each issuer that signs with it.
        let mut outcome =
            Err(Fault::new(Code::SigninFailed, "the id token is signed with a key that Entra does not list"));
        for key in provider.keys.iter().filter(|key| key.id == key_id) {
            outcome = token::verify(id_token, key, &expected);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Entra's description and keys. Fetched again when they are old or lack `key_id`; old ones serve on while that fails.
    async fn provider(&self, key_id: Option<&str>, now: OffsetDateTime) -> Result<Arc<Provider>, Fault> {
        let seen = self.state().clone();
        if let Some(provider) = seen.serving(key_id, now) {
            return Ok(provider);
        }
        let _turn = self.shared.fetching.lock().await;
        let current = self.state().clone();
        if current.rounds == seen.rounds && current.may_fetch(now) {
            let outcome = Provider::fetch(&self.shared.http, &self.shared.authority).await;
            self.state().record(outcome, now);
        }
        self.state().answer(key_id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is held, if it is fresh and has the key.
    fn serving(&self, key_id: Option<&str>, now: OffsetDateTime) -> Option<Arc<Provider>> {
        // Absolute, so that a clock put back does not keep keys for as long as it was ahead.
        let fresh = self.fetched_at.is_some_and(|at| (now - at).abs() < FRESH);
        self.provider.clone().filter(|provider| fresh && key_id.is_none_or(|id| provider.has(id)))
    }

    fn may_fetch(&self, now: OffsetDateTime) -> bool {
        self.provider.is_none() || self.tried_at.is_none_or(|at| (now - at).abs() >= REFRESH_FLOOR)
    }

    fn record(&mut self, outcome: Result<Provider, Fault>, now: OffsetDateTime) {
        self.rounds += 1;
        self.tried_at = Some(now);
        match outcome {
            Ok(provider) => {
                self.provider = Some(Arc::new(provider));
                self.fetched_at = Some(now);
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

    /// The best that can be said after a fetch, or without one because the last was a moment ago.
    fn answer(&self, key_id: Option<&str>) -> Result<Arc<Provider>, Fault> {
        let never = || Fault::passing(Code::EntraUnavailable, "Entra's keys were never fetched");
        let provider = self.provider.clone().ok_or_else(|| self.failure.clone().unwrap_or_else(never))?;
        match (&self.failure, key_id) {
            // The key may be one that we could not see: nothing is proven.
            (Some(failure), Some(id)) if !provider.has(id) => Err(failure.clone()),
            _ => Ok(provider),
        }
    }
}
