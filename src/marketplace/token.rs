//! The token with which our application calls the marketplace: four ways to prove that it is ours, and what to do when
//! the proof is refused.

mod assertion;
mod claims;
mod entra;
mod refusal;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential};
use reqwest::header::HeaderValue;
use time::OffsetDateTime;

pub use self::claims::TokenClaims;
use self::entra::Entra;
use self::refusal::Refused;
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::error::{Fault, Retry};
use crate::identity::NoToken;
use crate::rotating::{Current, Inspected, Rotating};
use crate::settings::{MarketplaceSettings, Secret};

/// The marketplace API as Entra knows it: the same in every tenant.
pub(super) const RESOURCE: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7";
/// Everything that our application was granted for [`RESOURCE`].
const SCOPE: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7/.default";

/// How long one token request may take, the reading of a secret and its repetition included. Entra answers within a second
/// or not at all; two thirds of a call's default budget leave time for the call itself.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the SDK repeats a token request that failed in passing. Its own default, 8 times within 60 s, would use up
/// the time of every call that waits; the duty behind the call repeats anyway.
pub const TOKEN_RETRIES: u32 = 1;

/// The wait before the SDK's repetition.
pub const TOKEN_RETRY_DELAY: Duration = Duration::from_millis(200);

/// With what the application proves itself to Entra.
#[derive(Clone, Debug)]
pub enum Proof {
    /// It is the managed identity itself.
    ManagedIdentity(Arc<dyn TokenCredential>),
    /// The managed identity vouches for it.
    Federated(Arc<dyn TokenCredential>),
    /// A certificate signs for it.
    Certificate(Rotating<Certificate>),
    /// A client secret.
    Secret(Rotating<Secret>),
}

/// Gives tokens: kept until five minutes before they end, with one request to Entra at a time. Both are the SDK's work.
#[derive(Debug)]
pub(super) struct Tokens {
    proof: Proof,
    entra: Entra,
    clock: Clock,
    /// The credential of a managed identity, or the last one made of a secret.
    made: Mutex<Option<Made>>,
}

/// A credential, and of which version of its secret it was made.
#[derive(Clone, Debug)]
struct Made {
    version: String,
    credential: Arc<dyn TokenCredential>,
}

impl Proof {
    /// Whether a secret that is held should be read again by somebody who keeps nobody waiting.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        match self {
            Self::ManagedIdentity(_) | Self::Federated(_) => false,
            Self::Certificate(certificate) => certificate.is_due(now),
            Self::Secret(secret) => secret.is_due(now),
        }
    }

    /// Who must answer before there is a token.
    fn awaited(&self) -> &'static str {
        match self {
            Self::ManagedIdentity(_) => "the managed identity",
            Self::Federated(_) => "the managed identity or Entra",
            Self::Certificate(certificate) if certificate.is_kept() => "the Key Vault or Entra",
            Self::Secret(secret) if secret.is_kept() => "the Key Vault or Entra",
            Self::Certificate(_) | Self::Secret(_) => "Entra",
        }
    }

    /// How its secret stands, if it has one.
    pub async fn inspect(&self, now: OffsetDateTime) -> Option<Inspected> {
        match self {
            Self::ManagedIdentity(_) | Self::Federated(_) => None,
            Self::Certificate(certificate) => Some(certificate.inspect(now).await),
            Self::Secret(secret) => Some(secret.inspect(now).await),
        }
    }
}

impl Tokens {
    pub(super) fn new(
        settings: &MarketplaceSettings,
        proof: Proof,
        clock: Clock,
        http: reqwest::Client,
    ) -> Result<Self, Fault> {
        let entra = Entra::new(settings, http);
        entra.check()?;
        Ok(Self { proof, entra, clock, made: Mutex::default() })
    }

    /// The value of the `authorization` header, marked so that nothing prints it.
    pub(super) async fn header(&self, within: Duration) -> Result<HeaderValue, NoToken> {
        let token = self.token(within).await?;
        let token = token.token.secret();
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
            .ok()
            .filter(|_| !token.is_empty())
            .ok_or_else(|| NoToken::Unavailable("Entra's answer to our token request holds no token".to_owned()))?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// What the token says of us.
    pub(super) async fn claims(&self, within: Duration) -> Result<TokenClaims, NoToken> {
        let token = self.token(within).await?;
        let unreadable = || NoToken::Unavailable("Entra gave a token whose claims cannot be read".to_owned());
        TokenClaims::read(token.token.secret()).ok_or_else(unreadable)
    }

    async fn token(&self, within: Duration) -> Result<AccessToken, NoToken> {
        let awaited = self.proof.awaited();
        let too_late = |_| NoToken::Unavailable(format!("{awaited} did not answer our token request in time"));
        tokio::time::timeout(within.min(TOKEN_TIMEOUT), self.proven()).await.map_err(too_late)?
    }

    async fn proven(&self) -> Result<AccessToken, NoToken> {
        match &self.proof {
            Proof::ManagedIdentity(identity) => ask(&**identity, "", "").await.map_err(|refused| refused.none),
            Proof::Federated(identity) => {
                let credential = self.made("", || self.entra.vouched_for_by(Arc::clone(identity)))?;
                ask(&*credential, "", "").await.map_err(|refused| refused.none)
            }
            Proof::Certificate(certificate) => {
                let credential = |current: &Current<Certificate>| {
                    refusal::check_expiry(&certificate.place(), &current.value, self.clock.now())?;
                    let made = || self.entra.signed_for_by(current.value.clone(), self.clock.clone());
                    self.made(&current.version, made)
                };
                self.renewed(certificate, credential, |_| "").await
            }
            Proof::Secret(secret) => {
                let credential =
                    |current: &Current<Secret>| self.made(&current.version, || self.entra.knowing(&current.value));
                self.renewed(secret, credential, Secret::reveal).await
            }
        }
    }

    /// A token by a secret that somebody may just have changed: where Entra refuses it, the secret is read again, and a
    /// new one is tried once.
    async fn renewed<T>(
        &self,
        secret: &Rotating<T>,
        credential: impl Fn(&Current<T>) -> Result<Arc<dyn TokenCredential>, NoToken>,
        reveal: fn(&T) -> &str,
    ) -> Result<AccessToken, NoToken> {
        let (now, place) = (self.clock.now(), secret.place());
        let current = secret.current(now).await.map_err(no_secret)?;
        let refused = match ask(&*credential(&current)?, &place, reveal(&current.value)).await {
            Err(refused) if refused.doubts_the_secret() => refused,
            outcome => return outcome.map_err(|refused| refused.none),
        };
        let newer = secret.after_refusal(&current, now).await.map_err(no_secret)?;
        if newer.version == current.version {
            return Err(refused.none);
        }
        let token = ask(&*credential(&newer)?, &place, reveal(&newer.value)).await;
        token.map_err(|refused| refused.none)
    }

    /// The credential of this version of the secret: a new one for a new version, because it keeps its token.
    fn made(
        &self,
        version: &str,
        make: impl FnOnce() -> Result<Arc<dyn TokenCredential>, NoToken>,
    ) -> Result<Arc<dyn TokenCredential>, NoToken> {
        let mut last = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = last.as_ref().filter(|made| made.version == version) {
            return Ok(Arc::clone(&made.credential));
        }
        let credential = make()?;
        *last = Some(Made { version: version.to_owned(), credential: Arc::clone(&credential) });
        Ok(credential)
    }
}

async fn ask(credential: &dyn TokenCredential, place: &str, secret: &str) -> Result<AccessToken, Refused> {
    credential.get_token(&[SCOPE], None).await.map_err(|error| Refused::read(&error, place, secret))
}

/// There is nothing with which to ask Entra.
fn no_secret(fault: Fault) -> NoToken {
    match fault.retry {
        Retry::Never => NoToken::Refused(fault.private),
        Retry::Later(_) => NoToken::Unavailable(fault.private),
    }
}
