//! The secrets among the settings: what each is, and whether it is given or lies in the Key Vault.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::reader::Reader;
use super::{CookieKey, Secret};
use crate::certificate::Certificate;

/// The keys of a kind that may be in use at once: the new one and the one before it, while everybody changes over.
const AT_ONCE: usize = 2;

/// The bytes of a key for signing events (Standard Webhooks, "Signature scheme").
const EVENTS_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// How a key for signing events begins.
const EVENTS_KEY_PREFIX: &str = "whsec_";

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source<T> {
    /// The setting itself.
    Given(T),
    /// The Key Vault that `KEY_VAULT_URL` names: the secret whose name is the setting's, see [`vault_name`].
    Vault,
}

/// How the application proves itself to Entra.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The managed identity is the application.
    ManagedIdentity,
    /// The managed identity vouches for the application, as its federated credential.
    Federated,
    /// A certificate. `MARKETPLACE_CERTIFICATE`.
    Certificate(Source<Certificate>),
    /// A client secret. `MARKETPLACE_CLIENT_SECRET`.
    Secret(Source<Secret>),
}

/// The keys that sign events for the publisher: the first one signs, a receiver takes either.
#[derive(Clone, PartialEq, Eq)]
pub struct EventsSecret(pub Vec<Vec<u8>>);

impl fmt::Debug for EventsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventsSecret")
    }
}

/// The private keys with which a hand-off is signed: a receiver takes either.
#[derive(Clone, PartialEq, Eq)]
pub struct HandoffKeys(pub Vec<HandoffKey>);

/// A private key of the curve P-256, as PKCS#8 in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct HandoffKey(pub Vec<u8>);

impl fmt::Debug for HandoffKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandoffKeys")
    }
}

impl fmt::Debug for HandoffKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandoffKey")
    }
}

/// A setting that is a secret.
pub(crate) struct SecretSetting<T> {
    /// Its key in the environment.
    pub(crate) key: &'static str,
    /// What it is, as the end of a sentence.
    meaning: &'static str,
    /// Reads its value; the error says what is wrong with it, as the middle of a sentence, and repeats nothing of it.
    parse: fn(&str) -> Result<T, String>,
}

/// `MARKETPLACE_CLIENT_SECRET`.
pub(crate) const CLIENT_SECRET: SecretSetting<Secret> = SecretSetting {
    key: "MARKETPLACE_CLIENT_SECRET",
    meaning: "a client secret of the app registration that MARKETPLACE_CLIENT_ID names",
    parse: |value| if value.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(value)) },
};

/// `MARKETPLACE_CERTIFICATE`.
pub(crate) const CERTIFICATE: SecretSetting<Certificate> = SecretSetting {
    key: "MARKETPLACE_CERTIFICATE",
    meaning: "a certificate of the app registration that MARKETPLACE_CLIENT_ID names, with its private key, as PEM",
    parse: Certificate::parse,
};

/// `COOKIE_KEYS`.
pub(crate) const COOKIE_KEYS: SecretSetting<Vec<CookieKey>> = SecretSetting {
    key: "COOKIE_KEYS",
    meaning: "one or two base64 keys of 32 bytes, separated by a comma (make one with: openssl rand -base64 32)",
    parse: cookie_keys,
};

/// `PUBLISHER_EVENTS_SECRET`.
pub(crate) const EVENTS_SECRET: SecretSetting<EventsSecret> = SecretSetting {
    key: "PUBLISHER_EVENTS_SECRET",
    meaning: "one or two keys, separated by a comma, each whsec_ and 24 to 64 bytes in base64 (make one with: echo \
              \"whsec_$(openssl rand -base64 32)\")",
    parse: events_secret,
};

/// `HANDOFF_KEYS`.
pub(crate) const HANDOFF_KEYS: SecretSetting<HandoffKeys> = SecretSetting {
    key: "HANDOFF_KEYS",
    meaning: "one or two private keys of the curve P-256, separated by a comma, each PKCS#8 in DER in base64 (make one \
              with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkcs8 -topk8 -nocrypt -outform DER | base64 -w0)",
    parse: handoff_keys,
};

impl<T> SecretSetting<T> {
    /// Reads a value; `place` names where it was found.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong with it and what it should be.
    pub(crate) fn read(&self, value: &str, place: &str) -> Result<T, String> {
        let unusable = |reason| format!("{place} is not usable: {reason}; it must be {}.", self.meaning);
        (self.parse)(value.trim()).map_err(unusable)
    }
}

/// The name in the Key Vault of the secret that stands for a setting: in small letters, with dashes, because the names
/// of secrets have no underscores.
pub fn vault_name(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-")
}

impl Reader<'_> {
    /// The Key Vault, if there is one.
    pub(super) fn key_vault(&mut self) -> Option<Url> {
        const KEY: &str = "KEY_VAULT_URL";
        self.optional(KEY)?;
        let url = self.url(KEY, None);
        if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
            self.problems.push(format!(
                "{KEY} is not the address of a Key Vault alone; it is its Vault URI, for example \
                 https://contoso.vault.azure.net."
            ));
        }
        Some(url)
    }

    /// The user-assigned identity, if there is one.
    pub(super) fn azure_client_id(&mut self) -> Option<String> {
        const KEY: &str = "AZURE_CLIENT_ID";
        self.optional(KEY)?;
        Some(self.guid(KEY, "the client id of the user-assigned managed identity"))
    }

    pub(super) fn credential(&mut self, client_id: &str, azure_client_id: Option<&str>, vault: bool) -> Credential {
        let (secret, certificate) = (self.optional(CLIENT_SECRET.key), self.optional(CERTIFICATE.key));
        match self.optional("MARKETPLACE_CREDENTIAL").as_deref() {
            Some("managed-identity") => {
                if azure_client_id.is_some_and(|id| id != client_id) {
                    self.problems.push(
                        "MARKETPLACE_CLIENT_ID is not AZURE_CLIENT_ID; with MARKETPLACE_CREDENTIAL \"managed-identity\" \
                         both are the client id of the identity, which the offer's Technical configuration page in \
                         Partner Center names as well."
                            .to_owned(),
                    );
                }
                Credential::ManagedIdentity
            }
            Some("federated") => Credential::Federated,
            Some("certificate") => Credential::Certificate(self.source(&CERTIFICATE, certificate, vault)),
            None | Some("secret") => Credential::Secret(self.source(&CLIENT_SECRET, secret, vault)),
            Some(other) => {
                self.problems.push(format!(
                    "MARKETPLACE_CREDENTIAL is \"{other}\"; it is \"managed-identity\", \"federated\", \"certificate\" or \
                     \"secret\"."
                ));
                Credential::ManagedIdentity
            }
        }
    }

    pub(super) fn cookie_keys(&mut self, vault: bool) -> Source<Vec<CookieKey>> {
        let given = self.optional(COOKIE_KEYS.key);
        self.source(&COOKIE_KEYS, given, vault)
    }

    /// A secret that is needed only where something uses it. `None` where nothing does and no value is given.
    pub(super) fn optional_source<T>(
        &mut self,
        setting: &SecretSetting<T>,
        needed: bool,
        vault: bool,
    ) -> Option<Source<T>> {
        let given = self.optional(setting.key);
        (given.is_some() || needed).then(|| self.source(setting, given, vault))
    }

    fn source<T>(&mut self, setting: &SecretSetting<T>, given: Option<String>, vault: bool) -> Source<T> {
        let SecretSetting { key, meaning, .. } = setting;
        let problem = match given.map(|value| setting.read(&value, key)) {
            Some(Ok(value)) => return Source::Given(value),
            Some(Err(problem)) => problem,
            None if vault => return Source::Vault,
            None => format!(
                "{key} is not set, and no Key Vault is named that could hold it (KEY_VAULT_URL); it is {meaning}."
            ),
        };
        self.problems.push(problem);
        Source::Vault
    }
}

fn cookie_keys(value: &str) -> Result<Vec<CookieKey>, String> {
    let keys = parts(value)?;
    let key = |part: &str| STANDARD.decode(part).ok()?.try_into().ok().map(CookieKey);
    keys.into_iter().map(key).collect::<Option<_>>().ok_or_else(|| "a key is not 32 bytes in base64".to_owned())
}

fn events_secret(value: &str) -> Result<EventsSecret, String> {
    let key = |part: &str| {
        let bytes = part.strip_prefix(EVENTS_KEY_PREFIX).ok_or("a key does not begin with whsec_")?;
        let bytes = STANDARD.decode(bytes).map_err(|_| "what follows whsec_ is not base64")?;
        let fits = EVENTS_KEY_BYTES.contains(&bytes.len());
        if fits { Ok(bytes) } else { Err(format!("a key has {} bytes", bytes.len())) }
    };
    parts(value)?.into_iter().map(key).collect::<Result<_, _>>().map(EventsSecret)
}

fn handoff_keys(value: &str) -> Result<HandoffKeys, String> {
    let key = |part: &str| {
        let der = STANDARD.decode(part).map_err(|_| "a key is not base64")?;
        let sound = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).is_ok();
        if sound { Ok(HandoffKey(der)) } else { Err("a key is not a private key of P-256 as PKCS#8".to_owned()) }
    };
    parts(value)?.into_iter().map(key).collect::<Result<_, _>>().map(HandoffKeys)
}

/// The keys of a list.
fn parts(value: &str) -> Result<Vec<&str>, String> {
    let parts: Vec<&str> = value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    match parts.len() {
        0 => Err("it holds no key".to_owned()),
        1..=AT_ONCE => Ok(parts),
        many => Err(format!("it holds {many} keys")),
    }
}
