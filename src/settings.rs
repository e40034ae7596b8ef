//! Settings: read once from the environment, typed, with every problem in one message that names its key.

mod change_policy;
mod connection;
mod credential;
mod reader;
mod storage;

use std::fmt;

use url::Url;

pub use self::connection::{Activation, Connection};
pub(crate) use self::credential::{
    CERTIFICATE, CLIENT_SECRET, COOKIE_KEYS, EVENTS_SECRET, HANDOFF_KEYS, SecretSetting,
};
pub use self::credential::{Credential, EventsSecret, HandoffKey, HandoffKeys, Source, vault_name};
use crate::policy::Policy;
use crate::snapshot::live_offer;
use reader::{MICROSOFT_AUTHORITY, Reader, SUPPORT_URL};

pub use storage::{StorageAccess, StorageSettings, find};

/// Everything that can be set. `docs/settings.md` explains each key; a test keeps document, sample and [`KEYS`] equal.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The marketplace and our identity there.
    pub marketplace: MarketplaceSettings,
    /// The sign-in of buyers.
    pub entra: EntraSettings,
    /// The offers that this installation serves, without the `-preview` suffix. `OFFERS`.
    pub offers: Vec<String>,
    /// Which changes of plan and seats customers may make. `CHANGE_POLICY`.
    pub change_policy: Policy,
    /// What becomes of a difference from Microsoft that the hourly comparison finds. `RECONCILE`.
    pub reconciliation: Reconciliation,
    /// Where browsers reach us, without a slash at the end. `PUBLIC_URL`, else `https://` and `WEBSITE_HOSTNAME`.
    pub public_url: Url,
    /// Who sells.
    pub publisher: Publisher,
    /// Seals cookies and forms: the first key seals, every key opens. `COOKIE_KEYS`.
    pub cookie_keys: Source<Vec<CookieKey>>,
    /// Where records and queues are kept; `None` means in this process. `AzureWebJobsStorage`.
    pub storage: Option<StorageSettings>,
    /// How the publisher's own software is connected.
    pub connection: Connection,
    /// The user-assigned identity of this app; without it, its system-assigned one. `AZURE_CLIENT_ID`.
    pub azure_client_id: Option<String>,
    /// Where secrets are that are not given. `KEY_VAULT_URL`.
    pub key_vault_url: Option<Url>,
}

/// What the hourly comparison with Microsoft's list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciliation {
    /// It repairs what differs.
    Repair,
    /// It reports what differs, and changes nothing.
    Observe,
}

/// The fulfillment API and the identity that calls it.
#[derive(Clone, Debug)]
pub struct MarketplaceSettings {
    /// The API, up to and including `/api`. `MARKETPLACE_API_URL`.
    pub api_url: Url,
    /// The hosts (`name` or `name:port`) that may be sent our token. `MARKETPLACE_API_HOSTS` and the API's own.
    pub api_hosts: Vec<String>,
    /// The publisher's tenant. `MARKETPLACE_TENANT_ID`.
    pub tenant_id: String,
    /// The application that the offer names. `MARKETPLACE_CLIENT_ID`.
    pub client_id: String,
    /// How the application proves itself. `MARKETPLACE_CREDENTIAL`.
    pub credential: Credential,
    /// Where tokens come from. `ENTRA_AUTHORITY_URL`.
    pub authority: Url,
}

/// Sign-in of people.
#[derive(Clone, Debug)]
pub struct EntraSettings {
    /// Entra. `ENTRA_AUTHORITY_URL`.
    pub authority: Url,
    /// The multi-tenant application that signs buyers in. `SIGNIN_CLIENT_ID`.
    pub client_id: String,
}

/// What buyers read about the publisher.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// `PUBLISHER_NAME`.
    pub name: String,
    /// `PUBLISHER_SUPPORT_URL`: a page or a `mailto:` address.
    pub support_url: Url,
    /// Where an active subscription leads. `PUBLISHER_APP_URL`.
    pub app_url: Url,
}

/// A value that no log may hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A key for sealing: 256 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieKey(pub [u8; 32]);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey")
    }
}

/// Every key that [`Settings::read`] looks at.
pub const KEYS: [&str; 36] = [
    storage::KEY,
    storage::ACCOUNT_NAME,
    storage::CLIENT_ID,
    storage::CREDENTIAL,
    storage::QUEUE_URI,
    storage::TABLE_URI,
    connection::ACTIVATION,
    "AZURE_CLIENT_ID",
    change_policy::KEY,
    "COOKIE_KEYS",
    "ENTRA_AUTHORITY_URL",
    "HANDOFF_KEYS",
    "KEY_VAULT_URL",
    "MARKETPLACE_API_HOSTS",
    "MARKETPLACE_API_URL",
    "MARKETPLACE_CERTIFICATE",
    "MARKETPLACE_CLIENT_ID",
    "MARKETPLACE_CLIENT_SECRET",
    "MARKETPLACE_CREDENTIAL",
    "MARKETPLACE_TENANT_ID",
    "OFFERS",
    "PUBLIC_URL",
    connection::ALLOWED_HOSTS,
    "PUBLISHER_APP_URL",
    connection::DECISIONS_DEFAULT,
    connection::DECISIONS_URL,
    "PUBLISHER_EVENTS_SECRET",
    connection::EVENTS_URL,
    connection::HANDOFF_URL,
    "PUBLISHER_NAME",
    connection::PROVISION_URL,
    connection::SETUP_URL,
    "PUBLISHER_SUPPORT_URL",
    "RECONCILE",
    "SIGNIN_CLIENT_ID",
    "WEBSITE_HOSTNAME",
];

impl Settings {
    /// Reads the settings from `get`, which answers a key with its value. Empty values count as absent.
    ///
    /// # Errors
    ///
    /// Every problem at once, one line each, each naming its key and the fix.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut reader = Reader { get: &get, problems: Vec::new() };
        let authority = reader.url("ENTRA_AUTHORITY_URL", Some(MICROSOFT_AUTHORITY));
        let (azure_client_id, key_vault_url) = (reader.azure_client_id(), reader.key_vault());
        let vault = key_vault_url.is_some();
        let settings = Self {
            marketplace: reader.marketplace(&authority, azure_client_id.as_deref(), vault),
            entra: EntraSettings {
                authority,
                client_id: reader.guid(
                    "SIGNIN_CLIENT_ID",
                    "the application (client) id of the multi-tenant app registration that signs buyers in",
                ),
            },
            offers: reader.offers(),
            change_policy: reader.change_policy(),
            reconciliation: reader.reconciliation(),
            public_url: reader.public_url(),
            publisher: Publisher {
                name: reader.required("PUBLISHER_NAME", "the name under which buyers know you"),
                support_url: reader.url(SUPPORT_URL, None),
                app_url: reader.url("PUBLISHER_APP_URL", None),
            },
            storage: storage::read(&mut reader),
            cookie_keys: reader.cookie_keys(vault),
            connection: reader.connection(vault),
            azure_client_id,
            key_vault_url,
        };
        if reader.problems.is_empty() { Ok(settings) } else { Err(Problems(reader.problems)) }
    }

    /// Whether this installation serves `offer_id`. A preview purchase belongs to its offer.
    pub fn serves(&self, offer_id: &str) -> bool {
        let offer = live_offer(offer_id);
        self.offers.iter().any(|served| served.eq_ignore_ascii_case(offer))
    }

    /// The URL of one of our functions, as browsers reach it.
    pub fn function_url(&self, function: &str) -> String {
        format!("{}/api/{function}", self.public_url.as_str().trim_end_matches('/'))
    }
}

/// What is wrong with the settings, one sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings are not usable:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// The host of a URL with its port where it is not the scheme's own, as the allow-list spells it.
pub fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    url.port().map_or(host.clone(), |port| format!("{host}:{port}"))
}

/// Whether a URL points to this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
