//! Key Vault: the newest version of a secret, and the one before it while it is being changed.

mod refusal;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, Response, RetryOptions, Transport};
use azure_security_keyvault_secrets::models::{SecretAttributes, SecretClientGetSecretOptions};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient, SecretClientOptions};
use futures_util::TryStreamExt as _;
use time::OffsetDateTime;
use url::Url;

use self::refusal::{Refusal, unavailable, unusable};
use crate::error::Fault;
use crate::outbound::{Bounded, OneServer, traced};
use crate::settings::{Secret, is_loopback};

/// How long one exchange with the vault may take. It answers within 100 ms; whoever waits has other calls to make.
pub const EXCHANGE_PATIENCE: Duration = Duration::from_secs(3);

/// How long a whole read may take: the identity's token, the version, the list, the version before it, and repetitions.
pub const READ_PATIENCE: Duration = Duration::from_secs(8);

/// How often an exchange that failed in passing is repeated. The SDK's own default, 8 times within 60 s, would outlast
/// everybody who waits.
pub const RETRIES: u32 = 1;

/// The wait before the repetition.
pub const RETRY_DELAY: Duration = Duration::from_millis(200);

/// The largest answer read, in bytes. A secret has at most 25 KiB, a page of versions less.
const ANSWER_LIMIT: usize = 128 * 1024;

/// The pages of versions looked through, 25 each: a daily change for nearly three years. Versions cannot be deleted one
/// by one; among more than these the one before the newest may be missed, never the newest.
const PAGES: usize = 40;

/// A Key Vault. Clones share its connection and its token.
#[derive(Clone)]
pub struct Vault {
    client: Arc<SecretClient>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vault").field(&self.client.endpoint().as_str()).finish()
    }
}

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its id, unique in the vault.
    pub id: String,
    /// Its value.
    pub value: Secret,
    /// When it was made.
    pub created_at: Option<OffsetDateTime>,
    /// When its owner says that it ends.
    pub expires_at: Option<OffsetDateTime>,
}

/// How many versions are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest.
    Newest,
    /// The newest, and the one before it if there is one that is still good.
    NewestTwo,
}

impl Vault {
    /// The vault at `url`, read as `identity`. Nothing is asked until somebody reads.
    ///
    /// # Errors
    ///
    /// An address that Azure's SDK refuses.
    pub fn new(url: &Url, identity: Arc<dyn TokenCredential>, http: reqwest::Client) -> Result<Self, Fault> {
        let transport = OneServer::new(Bounded::new(http, EXCHANGE_PATIENCE, ANSWER_LIMIT), url);
        let address = transport.address();
        let retry = ExponentialRetryOptions {
            initial_delay: RETRY_DELAY.try_into().expect("a fraction of a second"),
            max_retries: RETRIES,
            max_total_elapsed: READ_PATIENCE.try_into().expect("a few seconds"),
            ..ExponentialRetryOptions::default()
        };
        let options = SecretClientOptions {
            client_options: ClientOptions {
                transport: Some(Transport::new(traced(Arc::new(transport), "Key Vault", "secret"))),
                retry: RetryOptions::exponential(retry),
                ..ClientOptions::default()
            },
            // Which tokens a vault may ask for is told by its name; one on this machine has none.
            verify_challenge_resource: Some(!is_loopback(url)),
            ..SecretClientOptions::default()
        };
        let client = SecretClient::new(address.as_str(), identity, Some(options))
            .map_err(|error| unusable(format!("KEY_VAULT_URL is refused: {error}")))?;
        Ok(Self { client: Arc::new(client) })
    }

    /// Reads a secret, `within` [`READ_PATIENCE`] or less: the newest version first, never none. Versions that are disabled
    /// or out of their time are passed over, unless there is nothing else: the vault's dates are its owner's notes, and
    /// whether a value still counts is for the other side to say.
    ///
    /// # Errors
    ///
    /// One sentence that names the setting and the fix, as `Code::VaultUnavailable`.
    pub async fn read(
        &self,
        name: &str,
        wanted: Wanted,
        within: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Version>, Fault> {
        let versions = tokio::time::timeout(within, self.read_versions(name, wanted, now)).await;
        versions.unwrap_or_else(|_| Err(unavailable("it did not answer in time")))
    }

    async fn read_versions(&self, name: &str, wanted: Wanted, now: OffsetDateTime) -> Result<Vec<Version>, Fault> {
        let newest = match self.version(name, None).await {
            Ok(found) => Some(found),
            // The newest was turned off: an older one may be on.
            Err(refusal) if refusal.is_disabled() => None,
            Err(refusal) => return Err(refusal.explain(name)),
        };
        let is_good = newest.as_ref().is_some_and(|(_, attributes)| is_good(attributes, now));
        if is_good && wanted == Wanted::Newest {
            return Ok(newest.into_iter().map(|(version, _)| version).collect());
        }
        let newest_id = newest.as_ref().map(|(version, _)| version.id.clone());
        let others = match self.good_versions(name, now).await {
            Ok(listed) => listed.into_iter().filter(|id| Some(id) != newest_id.as_ref()),
            Err(refusal) if newest.is_some() && refusal.is_forbidden() => {
                tracing::warn!(
                    secret = name,
                    "the app may not list the versions of a secret; the newest alone is used"
                );
                return Ok(newest.into_iter().map(|(version, _)| version).collect());
            }
            Err(refusal) => return Err(refusal.explain(name)),
        };
        let mut versions: Vec<Version> = Vec::new();
        let (first, last_resort) = if is_good { (newest, None) } else { (None, newest) };
        versions.extend(first.map(|(version, _)| version));
        let missing = if wanted == Wanted::NewestTwo { 2 } else { 1 } - versions.len();
        for id in others.take(missing) {
            let (version, _) = self.version(name, Some(id)).await.map_err(|refusal| refusal.explain(name))?;
            versions.push(version);
        }
        if versions.is_empty() {
            versions.extend(last_resort.map(|(version, _)| version));
        }
        if versions.is_empty() {
            return Err(unusable(format!("no version of the secret {name} is enabled; enable one, or add a new one")));
        }
        Ok(versions)
    }

    async fn version(&self, name: &str, id: Option<String>) -> Result<(Version, SecretAttributes), Refusal> {
        let options = SecretClientGetSecretOptions { secret_version: id, ..SecretClientGetSecretOptions::default() };
        let found = self.client.get_secret(name, Some(options)).await.and_then(Response::into_model);
        let found = found.map_err(Refusal)?;
        let id = found.resource_id().map_err(Refusal)?.version.unwrap_or_default();
        let attributes = found.attributes.unwrap_or_default();
        let version = Version {
            id,
            value: Secret::new(found.value.unwrap_or_default()),
            created_at: attributes.created,
            expires_at: attributes.expires,
        };
        Ok((version, attributes))
    }

    /// The ids of the versions that are enabled and within their time, newest first.
    async fn good_versions(&self, name: &str, now: OffsetDateTime) -> Result<Vec<String>, Refusal> {
        let mut pages = self.client.list_secret_properties_versions(name, None).map_err(Refusal)?.into_pages();
        let mut good = Vec::new();
        for _ in 0..PAGES {
            let Some(page) = pages.try_next().await.map_err(Refusal)? else { break };
            for listed in page.into_model().map_err(Refusal)?.value {
                let id = listed.resource_id().map_err(Refusal)?.version;
                let attributes = listed.attributes.unwrap_or_default();
                good.extend(id.filter(|_| is_good(&attributes, now)).map(|id| (attributes.created, id)));
            }
        }
        good.sort_by(|one, other| other.cmp(one));
        Ok(good.into_iter().map(|(_, id)| id).collect())
    }
}

/// Whether a version is enabled and within its time.
fn is_good(attributes: &SecretAttributes, now: OffsetDateTime) -> bool {
    attributes.enabled != Some(false)
        && attributes.not_before.is_none_or(|from| from <= now)
        && attributes.expires.is_none_or(|until| until > now)
}
