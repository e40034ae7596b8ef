//! `AzureWebJobsStorage`: the storage account, read as the Functions host reads it, so that both use the same one.
//!
//! The rules are those of the host's storage clients (`StorageClientProvider` of azure-sdk-for-net, read 2026-11): a
//! connection string counts before anything else, then an account's name, then the URLs of its services. Nobody can set
//! a secret that is not needed: with an identity there is none.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::reader::Reader;
use super::{Secret, is_loopback};

/// The connection string, and what all keys of the storage account begin with.
pub(super) const KEY: &str = "AzureWebJobsStorage";
pub(super) const ACCOUNT_NAME: &str = "AzureWebJobsStorage__accountName";
pub(super) const QUEUE_URI: &str = "AzureWebJobsStorage__queueServiceUri";
pub(super) const TABLE_URI: &str = "AzureWebJobsStorage__tableServiceUri";
pub(super) const CREDENTIAL: &str = "AzureWebJobsStorage__credential";
pub(super) const CLIENT_ID: &str = "AzureWebJobsStorage__clientId";

/// What the connection string may be, for sentences.
const MEANING: &str = "the storage account's connection string (in the Azure portal: Access keys), or UseDevelopmentStorage=true for Azurite";

/// The account that every Azurite has, with its published key. Nothing secret is behind it.
const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const DEVELOPMENT_QUEUE_PORT: u16 = 10001;
const DEVELOPMENT_TABLE_PORT: u16 = 10002;

/// The storage account of the function app.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// The queue service, without a slash at the end of its path.
    pub queues: Url,
    /// The table service, without a slash at the end of its path.
    pub tables: Url,
    /// How we prove that we may use it.
    pub access: StorageAccess,
}

/// How we prove that we may use the storage account.
#[derive(Clone, Debug)]
pub enum StorageAccess {
    /// One of the account's two keys.
    Key {
        /// The account's name.
        account: String,
        /// The key, in base64.
        key: Secret,
    },
    /// A shared access signature: the query string without its question mark.
    Signature(Secret),
    /// The app's own identity, or the developer's.
    Identity {
        /// Which user-assigned identity; the system-assigned one where there is none.
        client_id: Option<String>,
    },
}

/// The value of `key` in an environment. The host's own keys are found as the host finds them: whatever their case, and
/// with `:` in place of `__`.
pub fn find(environment: &BTreeMap<String, String>, key: &str) -> Option<String> {
    let is_same = |name: &str| name.replace(':', "__").eq_ignore_ascii_case(key);
    let found = environment.get(key);
    let found = found.or_else(|| {
        let (_, value) = environment.iter().find(|(name, _)| key.starts_with(KEY) && is_same(name))?;
        Some(value)
    });
    found.cloned()
}

/// The account, where one is set.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<StorageSettings> {
    let [connection, account, queues, tables, credential, client_id] =
        [KEY, ACCOUNT_NAME, QUEUE_URI, TABLE_URI, CREDENTIAL, CLIENT_ID].map(|key| reader.optional(key));
    let read = match connection {
        Some(connection) => from_connection_string(&connection).map_err(|problem| vec![problem]),
        None if [&account, &queues, &tables, &credential, &client_id].iter().all(|value| value.is_none()) => {
            return None;
        }
        None => from_identity(account.as_deref(), queues, tables, credential.as_deref(), client_id.as_deref()),
    };
    read.map_err(|problems| reader.problems.extend(problems)).ok()
}

fn from_identity(
    account: Option<&str>,
    queues: Option<String>,
    tables: Option<String>,
    credential: Option<&str>,
    client_id: Option<&str>,
) -> Result<StorageSettings, Vec<String>> {
    let mut problems = Vec::new();
    if let Some(other) = credential.filter(|word| !word.eq_ignore_ascii_case("managedidentity")) {
        problems.push(format!("{CREDENTIAL} is \"{other}\"; this program knows \"managedidentity\"."));
    }
    if client_id.is_some_and(|id| uuid::Uuid::try_parse(id).is_err()) {
        problems.push(format!("{CLIENT_ID} is not a GUID; it is the client id of a user-assigned managed identity."));
    }
    let mut service = |key: &str, subdomain: &str, uri: Option<String>| {
        let url = match (account, uri) {
            (Some(account), _) => named(account, ACCOUNT_NAME)
                .and_then(|account| parse(&format!("https://{account}.{subdomain}.core.windows.net"), ACCOUNT_NAME)),
            (None, Some(uri)) => parse(&uri, key),
            (None, None) => Err(format!(
                "{key} is not set; set {ACCOUNT_NAME} to the storage account's name, or {KEY} to {MEANING}."
            )),
        };
        let secure = |url: Url| match url.scheme() {
            "https" => Ok(url),
            _ => Err(format!("{key} must begin with https://: an identity's token is not sent in the clear.")),
        };
        url.and_then(secure).map_err(|problem| problems.push(problem)).ok()
    };
    let (queues, tables) = (service(QUEUE_URI, "queue", queues), service(TABLE_URI, "table", tables));
    problems.dedup();
    let access = StorageAccess::Identity { client_id: client_id.map(str::to_owned) };
    match (queues, tables) {
        (Some(queues), Some(tables)) if problems.is_empty() => Ok(StorageSettings { queues, tables, access }),
        _ => Err(problems),
    }
}

/// The parts of a connection string, by their names in small letters.
struct Parts<'a>(BTreeMap<String, &'a str>);

impl<'a> Parts<'a> {
    fn parse(connection: &'a str) -> Result<Self, String> {
        let mut parts = BTreeMap::new();
        for part in connection.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            // The part itself is not said: it may be a key that lost its name.
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{KEY} holds a part that is not of the form name=value; it is {MEANING}."))?;
            if parts.insert(name.trim().to_ascii_lowercase(), value.trim()).is_some() {
                return Err(format!("{KEY} holds one of its parts twice."));
            }
        }
        Ok(Self(parts))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(&name.to_ascii_lowercase()).copied().filter(|value| !value.is_empty())
    }
}

fn from_connection_string(connection: &str) -> Result<StorageSettings, String> {
    let parts = Parts::parse(connection)?;
    match parts.get("UseDevelopmentStorage") {
        Some(word) if word.eq_ignore_ascii_case("true") => return development(parts.get("DevelopmentStorageProxyUri")),
        Some(_) => return Err(format!("{KEY} holds UseDevelopmentStorage with another value than true.")),
        None => {}
    }
    Ok(StorageSettings {
        access: access(&parts)?,
        queues: endpoint(&parts, "QueueEndpoint", "queue")?,
        tables: endpoint(&parts, "TableEndpoint", "table")?,
    })
}

/// Azurite on its own ports, on this machine or behind the proxy that the string names.
fn development(proxy: Option<&str>) -> Result<StorageSettings, String> {
    let base = parse(proxy.unwrap_or("http://127.0.0.1"), "DevelopmentStorageProxyUri")?;
    let service = |port: u16| {
        let host = base.host_str().unwrap_or_default();
        parse(&format!("{}://{host}:{port}/{DEVELOPMENT_ACCOUNT}", base.scheme()), "DevelopmentStorageProxyUri")
    };
    Ok(StorageSettings {
        queues: service(DEVELOPMENT_QUEUE_PORT)?,
        tables: service(DEVELOPMENT_TABLE_PORT)?,
        access: StorageAccess::Key { account: DEVELOPMENT_ACCOUNT.to_owned(), key: Secret::new(DEVELOPMENT_KEY) },
    })
}

fn access(parts: &Parts<'_>) -> Result<StorageAccess, String> {
    match (parts.get("AccountKey"), parts.get("SharedAccessSignature")) {
        (Some(_), Some(_)) => Err(format!("{KEY} holds both AccountKey and SharedAccessSignature; one is enough.")),
        (None, None) => Err(format!("{KEY} holds neither AccountKey nor SharedAccessSignature; it is {MEANING}.")),
        (Some(key), None) => {
            let account = parts.get("AccountName").ok_or_else(|| format!("{KEY} holds no AccountName."))?;
            if STANDARD.decode(key).is_err() {
                return Err(format!("{KEY} holds an AccountKey that is not base64, so it was not copied whole."));
            }
            Ok(StorageAccess::Key { account: named(account, KEY)?.to_owned(), key: Secret::new(key) })
        }
        (None, Some(signature)) => {
            let signature = signature.trim_start_matches('?');
            if !signature.split('&').any(|pair| pair.starts_with("sig=")) {
                return Err(format!("{KEY} holds a SharedAccessSignature without sig=, so it was not copied whole."));
            }
            Ok(StorageAccess::Signature(Secret::new(signature)))
        }
    }
}

fn endpoint(parts: &Parts<'_>, name: &str, subdomain: &str) -> Result<Url, String> {
    if let Some(endpoint) = parts.get(name) {
        return parse(endpoint, name);
    }
    let account = parts.get("AccountName").ok_or_else(|| format!("{KEY} holds neither {name} nor AccountName."))?;
    let protocol = parts.get("DefaultEndpointsProtocol").unwrap_or("https");
    let suffix = parts.get("EndpointSuffix").unwrap_or("core.windows.net");
    parse(&format!("{protocol}://{}.{subdomain}.{suffix}", named(account, KEY)?), "DefaultEndpointsProtocol")
}

/// An account's name is part of a host's name.
fn named<'a>(account: &'a str, key: &str) -> Result<&'a str, String> {
    let sound = account.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if sound && (3..=24).contains(&account.len()) {
        return Ok(account);
    }
    Err(format!("{key} names an account that cannot be: 3 to 24 small letters and digits make a name."))
}

/// The address of a service. `part` is where it was written.
fn parse(text: &str, part: &str) -> Result<Url, String> {
    let place = if part.starts_with(KEY) { part.to_owned() } else { format!("{KEY} holds {part}, which") };
    let mut url = Url::parse(text).map_err(|error| format!("{place} is not a URL: {error}."))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(format!("{place} must begin with https:// (http is accepted for addresses of this machine only)."));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{place} must be an address without a query and without a password."));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}
