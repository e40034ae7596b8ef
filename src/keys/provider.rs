//! What Entra publishes about itself: where to sign in, how it names itself in tokens, and the keys it signs with.

use std::time::Duration;

use jsonwebtoken::DecodingKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Code, Fault};
use crate::settings::is_loopback;
use crate::span::{Call, CallOut, Failed};

/// For each of the two documents, connecting and reading. Entra answers in well under a second; a buyer waits for both.
const FETCH_TIMEOUT: Duration = Duration::from_secs(4);

/// For both documents, which are read one after the other.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(2 * FETCH_TIMEOUT.as_secs());

/// The largest document accepted, in bytes, unpacked. Entra's key list is the larger, with some 20,000.
const DOCUMENT_LENGTH: usize = 256 * 1024;

/// Stands for every organisation and for personal accounts.
const EVERYBODY: &str = "common";

/// Stands in [`EVERYBODY`]'s issuer for the tenant of the person who signs in.
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// Whose keys: where Entra describes itself, for one tenant or for all.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    authority: Url,
    tenant: String,
}

/// Entra as it describes itself.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) issuer: Issuer,
    pub(crate) authorization_endpoint: Url,
    pub(super) keys: Vec<Key>,
}

/// An issuer, with a placeholder for the tenant.
#[derive(Debug)]
pub(crate) struct Issuer(String);

/// A key that Entra signs tokens with.
#[derive(Debug)]
pub(crate) struct Key {
    pub(super) listed: ListedKey,
    /// The issuer that may use it, where the list names one: organisations and personal accounts have different keys.
    pub(crate) issuer: Option<Issuer>,
    pub(super) decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    authorization_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<serde_json::Value>,
}

/// One entry of the list. RFC 7517 section 5: entries that are not understood are ignored.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ListedKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    kid: String,
    n: String,
    e: String,
    issuer: Option<String>,
}

impl Source {
    /// Entra for every organisation and for personal accounts.
    pub(crate) fn everybody(authority: &Url) -> Self {
        Self::tenant(authority, EVERYBODY)
    }

    /// Entra for one tenant.
    pub(crate) fn tenant(authority: &Url, tenant: &str) -> Self {
        Self { authority: authority.clone(), tenant: tenant.to_owned() }
    }

    /// Where the description is.
    pub(super) fn address(&self) -> String {
        let authority = self.authority.as_str().trim_end_matches('/');
        format!("{authority}/{}/v2.0/.well-known/openid-configuration", self.tenant)
    }

    fn issuer(&self, issuer: String) -> Result<Issuer, Fault> {
        // Without its placeholder every tenant's token would carry the same issuer, and the check would prove nothing.
        if self.tenant == EVERYBODY && !issuer.contains(TENANT_PLACEHOLDER) {
            return Err(unavailable("the OpenID configuration's issuer has no place for the tenant"));
        }
        if self.tenant != EVERYBODY && !issuer.contains(&self.tenant) {
            return Err(unavailable("the OpenID configuration's issuer is not the tenant's"));
        }
        Ok(Issuer(issuer))
    }
}

impl Issuer {
    /// How it names itself in a token of this tenant.
    pub(crate) fn of(&self, tenant_id: &str) -> String {
        self.0.replace(TENANT_PLACEHOLDER, tenant_id)
    }

    /// Whether a token of this tenant must name itself so.
    pub(crate) fn is(&self, issuer: &str, tenant_id: &str) -> bool {
        self.of(tenant_id) == issuer
    }

    /// The issuer, with its placeholder.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Provider {
    /// Fetches both documents.
    pub(super) async fn fetch(http: &reqwest::Client, source: &Source) -> Result<Self, Fault> {
        let discovery_url = Url::parse(&source.address())
            .map_err(|error| unavailable(&format!("the authority is no base of a URL: {error}")))?;
        let discovery: Discovery = document(http, &discovery_url, CONFIGURATION).await?;
        // Before the second document: what the first says must be worth it.
        let (issuer, authorization_endpoint) = (discovery.issuer, discovery.authorization_endpoint);
        let described = Self::read(source, issuer, &authorization_endpoint)?;
        let jwks_uri = endpoint("jwks_uri", &discovery.jwks_uri, &source.authority)?;
        let list: KeyList = document(http, &jwks_uri, KEY_LIST).await?;
        described.with(list.keys)
    }

    /// A description, still without keys.
    pub(super) fn read(source: &Source, issuer: String, authorization_endpoint: &str) -> Result<Self, Fault> {
        let authorization_endpoint = endpoint("authorization_endpoint", authorization_endpoint, &source.authority)?;
        Ok(Self { issuer: source.issuer(issuer)?, authorization_endpoint, keys: Vec::new() })
    }

    /// The same with the entries of a key list.
    pub(super) fn with(mut self, list: Vec<serde_json::Value>) -> Result<Self, Fault> {
        self.keys = list.into_iter().filter_map(Key::read).collect();
        if self.keys.is_empty() {
            return Err(unavailable("the key list holds no RSA key for signatures"));
        }
        Ok(self)
    }

    /// The keys of this id.
    pub(super) fn keys_of(&self, key_id: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.listed.kid == key_id)
    }

    /// Whether the key of this id is known.
    pub(super) fn has(&self, key_id: &str) -> bool {
        self.keys_of(key_id).next().is_some()
    }
}

impl Key {
    fn read(entry: serde_json::Value) -> Option<Self> {
        let listed: ListedKey = serde_json::from_value(entry).ok()?;
        let fits = listed.kty == "RSA"
            && listed.usage.as_ref().is_none_or(|usage| usage == "sig")
            && listed.alg.as_ref().is_none_or(|algorithm| algorithm == "RS256");
        let decoding = DecodingKey::from_rsa_components(&listed.n, &listed.e).ok().filter(|_| fits)?;
        Some(Self { issuer: listed.issuer.clone().map(Issuer), listed, decoding })
    }
}

/// What is fetched: as sentences name it, and as its span is named.
type Document = (&'static str, &'static str);

const CONFIGURATION: Document = ("OpenID configuration", "openid_configuration");
const KEY_LIST: Document = ("key list", "key_list");

/// Reads one JSON document, with its size and time limited, and only from the very URL that was asked: a redirect
/// could lead through plain http, where anybody may answer with keys of their own.
async fn document<T: DeserializeOwned>(http: &reqwest::Client, url: &Url, document: Document) -> Result<T, Fault> {
    let (name, operation) = document;
    let mut span = Call::new("Entra", operation, "GET", url).begin();
    let body = body_of(http, url, name, &mut span).await;
    let read = body.and_then(|body| serde_json::from_slice(&body).map_err(|error| unexpected(name, &error)));
    span.end(read.as_ref().map(drop).map_err(|fault| Failed { kind: fault.code.as_str(), ..Failed::default() }));
    read
}

async fn body_of(http: &reqwest::Client, url: &Url, name: &str, span: &mut CallOut) -> Result<Vec<u8>, Fault> {
    let failed = |error: reqwest::Error| unavailable(&format!("{name}: {}", reason(&error)));
    let request = http.get(url.clone()).timeout(FETCH_TIMEOUT);
    let request = span.headers().fold(request, |request, (name, value)| request.header(name, value));
    let mut response = request.send().await.map_err(failed)?;
    let request_id = response.headers().get("x-ms-request-id").and_then(|id| id.to_str().ok());
    span.answered(response.status().as_u16(), request_id);
    if response.url() != url {
        return Err(unavailable(&format!("{name}: Entra answers with a redirect")));
    }
    if response.status() != reqwest::StatusCode::OK {
        return Err(unavailable(&format!("{name}: Entra answers {}", response.status().as_u16())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > DOCUMENT_LENGTH {
            return Err(unavailable(&format!("{name}: larger than {DOCUMENT_LENGTH} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads an address that the configuration names. Keys and sign-in travel over TLS, except between programs of one
/// machine during development.
fn endpoint(name: &str, text: &str, authority: &Url) -> Result<Url, Fault> {
    let local = |url: &Url| url.scheme() == "http" && is_loopback(url);
    let url = Url::parse(text)
        .map_err(|error| unavailable(&format!("the OpenID configuration's {name} is not a URL: {error}")))?;
    if url.scheme() == "https" || (local(&url) && local(authority)) {
        return Ok(url);
    }
    Err(unavailable(&format!("the OpenID configuration's {name} is not https")))
}

fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    }
}

/// JSON of another form: where it stands, and never its words, which may be as long as the whole of it.
pub(super) fn unexpected(name: &str, error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    unavailable(&format!("{name}: not the expected JSON: line {line}, column {column}"))
}

pub(super) fn unavailable(reason: &str) -> Fault {
    Fault::passing(Code::EntraUnavailable, reason)
}
