//! What Entra publishes about itself: where to sign in, how it names itself in tokens, and the keys it signs with.

use std::time::Duration;

use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{Code, Fault};
use crate::settings::is_loopback;

/// For each of the two documents, connecting and reading. Entra answers in well under a second; a buyer waits for both.
const FETCH_TIMEOUT: Duration = Duration::from_secs(4);

/// The largest document accepted, in bytes, unpacked. Entra's key list is the larger, with some 20,000.
const DOCUMENT_LENGTH: usize = 256 * 1024;

/// Below the authority: Entra for every organisation and for personal accounts.
const DISCOVERY: &str = "common/v2.0/.well-known/openid-configuration";

/// Stands in `common`'s issuer for the tenant of the person who signs in.
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// Entra as it describes itself.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) issuer: Issuer,
    pub(super) authorization_endpoint: Url,
    pub(super) keys: Vec<Key>,
}

/// An issuer, with a placeholder for the tenant.
#[derive(Debug)]
pub(super) struct Issuer(String);

/// A key that Entra signs id tokens with.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: String,
    /// The issuer that may use it, where the list names one: organisations and personal accounts have different keys.
    pub(super) issuer: Option<Issuer>,
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
#[derive(Deserialize)]
struct ListedKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    kid: String,
    n: String,
    e: String,
    issuer: Option<String>,
}

impl Issuer {
    /// Whether a token of this tenant must name itself so.
    pub(super) fn is(&self, issuer: &str, tenant_id: &str) -> bool {
        self.0.replace(TENANT_PLACEHOLDER, tenant_id) == issuer
    }
}

impl Provider {
    /// Fetches both documents.
    pub(super) async fn fetch(http: &reqwest::Client, authority: &Url) -> Result<Self, Fault> {
        let discovery_url = Url::parse(&format!("{}/{DISCOVERY}", authority.as_str().trim_end_matches('/')))
            .map_err(|error| unavailable(&format!("the authority is no base of a URL: {error}")))?;
        let discovery: Discovery = document(http, &discovery_url, "OpenID configuration").await?;
        let authorization_endpoint = endpoint("authorization_endpoint", &discovery.authorization_endpoint, authority)?;
        let jwks_uri = endpoint("jwks_uri", &discovery.jwks_uri, authority)?;
        // Without its placeholder every tenant's token would carry the same issuer, and the check would prove nothing.
        if !discovery.issuer.contains(TENANT_PLACEHOLDER) {
            return Err(unavailable("the OpenID configuration's issuer has no place for the tenant"));
        }
        let list: KeyList = document(http, &jwks_uri, "key list").await?;
        let keys: Vec<Key> = list.keys.into_iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err(unavailable("the key list holds no RSA key for signatures"));
        }
        Ok(Self { issuer: Issuer(discovery.issuer), authorization_endpoint, keys })
    }

    /// Whether the key of this id is known.
    pub(super) fn has(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| key.id == key_id)
    }
}

impl Key {
    fn read(entry: serde_json::Value) -> Option<Self> {
        let listed: ListedKey = serde_json::from_value(entry).ok()?;
        let fits = listed.kty == "RSA"
            && listed.usage.is_none_or(|usage| usage == "sig")
            && listed.alg.is_none_or(|algorithm| algorithm == "RS256");
        let decoding = DecodingKey::from_rsa_components(&listed.n, &listed.e).ok().filter(|_| fits)?;
        Some(Self { id: listed.kid, issuer: listed.issuer.map(Issuer), decoding })
    }
}

/// Reads one JSON document, with its size and time limited, and only from the very URL that was asked: a redirect
/// could lead through plain http, where anybody may answer with keys of their own.
async fn document<T: DeserializeOwned>(http: &reqwest::Client, url: &Url, name: &str) -> Result<T, Fault> {
    let failed = |error: reqwest::Error| unavailable(&format!("{name}: {}", reason(&error)));
    let mut response = http.get(url.clone()).timeout(FETCH_TIMEOUT).send().await.map_err(failed)?;
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
    serde_json::from_slice(&body).map_err(|error| unavailable(&format!("{name}: not the expected JSON: {error}")))
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

fn unavailable(reason: &str) -> Fault {
    Fault::passing(Code::EntraUnavailable, reason)
}
