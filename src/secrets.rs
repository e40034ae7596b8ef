//! The secrets that this installation lives on, wherever they come from: who reads them, who reads them again, and who
//! says that one is about to expire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::certificate::Certificate;
use crate::error::{Code, Fault};
use crate::handoff::{KEYS_CACHED_FOR, Signer};
use crate::identity;
use crate::marketplace::Proof;
use crate::rotating::{Inspected, Rotating, TRUSTED_FOR};
use crate::seal::Seal;
use crate::session::Sessions;
use crate::settings::{
    CERTIFICATE, CLIENT_SECRET, COOKIE_KEYS, CookieKey, Credential, EVENTS_SECRET, EventsSecret, HANDOFF_KEYS,
    HandoffKeys, SecretSetting, Settings, Source, vault_name,
};
use crate::vault::{Vault, Version, Wanted};

/// How long before a secret expires the log begins to say so: time for somebody who is on holiday.
pub const EXPIRY_WARNING: Duration = Duration::days(30);

/// How often the log says it, per instance.
pub const EXPIRY_SAID_EVERY: Duration = Duration::days(1);

/// A secret that ends soon, or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its name.
    pub secret: String,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// The secrets. Clones share them.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// With what the application proves itself to Entra.
    pub proof: Proof,
    /// What seals cookies and forms.
    pub cookie_keys: Rotating<Seal>,
    /// What signs events and questions for the publisher's software, where any are sent.
    pub events: Option<Rotating<EventsSecret>>,
    /// What signs hand-offs, where buyers are handed over.
    pub handoff: Option<Rotating<Signer>>,
    /// When the log said last of a secret that it expires soon, or has expired.
    said: Arc<Mutex<BTreeMap<(String, bool), OffsetDateTime>>>,
}

impl Secrets {
    /// The secrets that `settings` name. Nothing is read until somebody needs it.
    ///
    /// # Errors
    ///
    /// Settings that a client refuses.
    pub fn new(settings: &Settings, http: &reqwest::Client) -> Result<Self, Fault> {
        let client_id = settings.azure_client_id.as_deref();
        let vault = match &settings.key_vault_url {
            Some(url) => Some(Vault::new(url, identity::credential(client_id, http.clone())?, http.clone())?),
            None => None,
        };
        let place = Place { vault };
        let proof = match &settings.marketplace.credential {
            Credential::ManagedIdentity => Proof::ManagedIdentity(identity::managed(client_id, http.clone())?),
            Credential::Federated => Proof::Federated(identity::managed(client_id, http.clone())?),
            Credential::Certificate(source) => {
                let ends = |certificate: &Certificate| Some(certificate.expires_at());
                Proof::Certificate(place.newest(&CERTIFICATE, source, ends)?)
            }
            Credential::Secret(source) => Proof::Secret(place.newest(&CLIENT_SECRET, source, |_| None)?),
        };
        let seal = |lists: Vec<Vec<CookieKey>>| Seal::new(&lists.concat());
        let events = |lists: Vec<EventsSecret>| EventsSecret(lists.into_iter().flat_map(|list| list.0).collect());
        let connection = &settings.connection;
        let events = connection
            .events_secret
            .as_ref()
            .map(|source| place.newest_two(&EVENTS_SECRET, source, TRUSTED_FOR, events));
        let signer =
            |lists: Vec<HandoffKeys>| Signer::new(&lists.into_iter().flat_map(|list| list.0).collect::<Vec<_>>());
        let handoff = connection
            .handoff_keys
            .as_ref()
            .map(|source| place.newest_two(&HANDOFF_KEYS, source, TRUSTED_FOR + KEYS_CACHED_FOR, signer));
        Ok(Self {
            proof,
            cookie_keys: place.newest_two(&COOKIE_KEYS, &settings.cookie_keys, TRUSTED_FOR, seal)?,
            events: events.transpose()?,
            handoff: handoff.transpose()?,
            said: Arc::default(),
        })
    }

    /// What browsers carry for us, sealed with keys that no other instance can have replaced yet.
    ///
    /// # Errors
    ///
    /// `Code::VaultUnavailable` where the keys were never read.
    pub async fn sessions(&self, now: OffsetDateTime) -> Result<Sessions, Fault> {
        Ok(Sessions::new(self.cookie_keys.fresh(now).await?.value.clone()))
    }

    /// Whether something that is held should be read again by somebody who keeps nobody waiting.
    pub fn are_due(&self, now: OffsetDateTime) -> bool {
        let handoff_is_due = self.handoff.as_ref().is_some_and(|signer| signer.is_due(now));
        let events_are_due = self.events.as_ref().is_some_and(|events| events.is_due(now));
        self.cookie_keys.is_due(now) || self.proof.is_due(now) || handoff_is_due || events_are_due
    }

    /// Reads again what is due. What goes wrong is in the log, and what is held serves on.
    pub async fn reread(&self, now: OffsetDateTime) {
        let cookie_keys = async {
            if self.cookie_keys.is_due(now) {
                let _held_or_said = self.cookie_keys.reread(now).await;
            }
        };
        let proof = async {
            if self.proof.is_due(now) {
                let _held_or_said = self.proof.inspect(now).await;
            }
        };
        let handoff = async {
            if let Some(signer) = self.handoff.as_ref().filter(|signer| signer.is_due(now)) {
                let _held_or_said = signer.reread(now).await;
            }
        };
        let events = async {
            if let Some(events) = self.events.as_ref().filter(|events| events.is_due(now)) {
                let _held_or_said = events.reread(now).await;
            }
        };
        tokio::join!(cookie_keys, proof, handoff, events);
    }

    /// Looks at every secret that is in use, and says in the log which expires within [`EXPIRY_WARNING`] or has expired.
    /// Answers those.
    pub async fn watch(&self, now: OffsetDateTime) -> Vec<Ending> {
        let (events, handoff) = (looked_at(self.events.as_ref(), now), looked_at(self.handoff.as_ref(), now));
        let (cookie_keys, proof, events, handoff) =
            tokio::join!(self.cookie_keys.inspect(now), self.proof.inspect(now), events, handoff);
        let mut ending = Vec::new();
        for inspected in [Some(cookie_keys), proof, events, handoff].into_iter().flatten() {
            // One that cannot be read has been said.
            if let Ok(Some(expires_at)) = inspected.expires_at
                && now + EXPIRY_WARNING >= expires_at
            {
                self.say(&inspected.name, expires_at, now);
                ending.push(Ending { secret: inspected.name, expires_at });
            }
        }
        ending
    }

    fn say(&self, secret: &str, expires_at: OffsetDateTime, now: OffsetDateTime) {
        let has_expired = expires_at <= now;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let last = said.get(&(secret.to_owned(), has_expired));
        if last.is_some_and(|at| (now - *at).abs() < EXPIRY_SAID_EVERY) {
            return;
        }
        said.insert((secret.to_owned(), has_expired), now);
        let expires_at = expires_at.format(&Rfc3339).unwrap_or_default();
        if has_expired {
            tracing::error!(secret, expires_at, "a secret has expired");
        } else {
            tracing::warn!(secret, expires_at, "a secret expires soon");
        }
    }
}

/// How a secret stands that not every installation has.
async fn looked_at<T>(secret: Option<&Rotating<T>>, now: OffsetDateTime) -> Option<Inspected> {
    match secret {
        Some(secret) => Some(secret.inspect(now).await),
        None => None,
    }
}

/// Where secrets are that are not given.
struct Place {
    vault: Option<Vault>,
}

impl Place {
    /// A secret of which one value is in use at a time. It ends when the vault says so, or by itself, if `ends` knows.
    fn newest<T: Clone>(
        &self,
        setting: &'static SecretSetting<T>,
        source: &Source<T>,
        ends: fn(&T) -> Option<OffsetDateTime>,
    ) -> Result<Rotating<T>, Fault> {
        match source {
            Source::Given(value) => Ok(Rotating::given(setting.key, value.clone(), ends(value))),
            Source::Vault => {
                let make = move |versions: &[Version], _| {
                    let newest = versions.first().ok_or("the Key Vault gave no version")?;
                    let value = setting.read(newest.value.reveal(), &place(setting.key))?;
                    let ends = [newest.expires_at, ends(&value)].into_iter().flatten().min();
                    Ok((value, ends))
                };
                Ok(Rotating::kept(setting.key, self.vault()?, Wanted::Newest, make))
            }
        }
    }

    /// A secret of which the newest value and the one before it are in use side by side. A new one seals or signs from
    /// `settled` after it was made.
    fn newest_two<T: Clone + 'static, U: 'static>(
        &self,
        setting: &'static SecretSetting<T>,
        source: &Source<T>,
        settled: Duration,
        join: fn(Vec<T>) -> U,
    ) -> Result<Rotating<U>, Fault> {
        match source {
            Source::Given(value) => Ok(Rotating::given(setting.key, join(vec![value.clone()]), None)),
            Source::Vault => {
                let make = move |versions: &[Version], now| {
                    both(setting, versions, settled, now).map(|(all, ends)| (join(all), ends))
                };
                Ok(Rotating::kept(setting.key, self.vault()?, Wanted::NewestTwo, make))
            }
        }
    }

    fn vault(&self) -> Result<Vault, Fault> {
        self.vault.clone().ok_or_else(|| Fault::new(Code::VaultUnavailable, "KEY_VAULT_URL is not set"))
    }
}

/// The values of the versions, the one to seal or sign with in front.
///
/// A new value counts from the start where it comes in; it goes out once whoever meets it must have read it, which is
/// `settled` after it was made: for our own instances [`TRUSTED_FOR`]. A version that cannot be used is left out if there
/// is another.
fn both<T>(
    setting: &SecretSetting<T>,
    versions: &[Version],
    settled: Duration,
    now: OffsetDateTime,
) -> Result<(Vec<T>, Option<OffsetDateTime>), String> {
    let mut values = Vec::new();
    let mut problem = "the Key Vault gave no version".to_owned();
    for version in versions {
        match setting.read(version.value.reveal(), &place(setting.key)) {
            Ok(value) => values.push((version, value)),
            Err(sentence) => {
                let (secret, version) = (vault_name(setting.key), &version.id);
                tracing::warn!(secret, version, reason = sentence, "a version of a secret is left out");
                problem = sentence;
            }
        }
    }
    let (newest, _) = values.first().ok_or(problem)?;
    let (ends, is_new) = (newest.expires_at, newest.created_at.is_some_and(|at| now - at < settled));
    if is_new {
        values.rotate_left(1);
    }
    Ok((values.into_iter().map(|(_, value)| value).collect(), ends))
}

/// Where a value was found that cannot be used.
fn place(key: &str) -> String {
    format!("{key}, the secret {} in the Key Vault (KEY_VAULT_URL),", vault_name(key))
}
