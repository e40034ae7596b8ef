//! The proof of an id token, claim by claim. Pure: the keys and the time are arguments.
//! The claims and their meaning: <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

use super::provider::{Issuer, Key};
use crate::error::{Code, Fault};
use crate::person::Person;

/// The longest id token looked at, in bytes. Entra's have about 1,500; with every optional claim still under 8,000.
const TOKEN_LENGTH: usize = 16 * 1024;

/// By how much Entra's clock and ours may differ; the allowance that Microsoft's own libraries make.
const SKEW: Duration = Duration::minutes(5);

/// The characters of a GUID as Entra writes it.
const GUID_LENGTH: usize = 36;

/// What a token must say to be the answer to our question.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: OffsetDateTime,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    aud: Option<String>,
    tid: Option<String>,
    oid: Option<String>,
    nonce: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    iat: Option<i64>,
    name: Option<String>,
    preferred_username: Option<String>,
}

/// The id of the key that is said to have signed the token.
pub(super) fn key_id(token: &str) -> Result<String, Fault> {
    if token.len() > TOKEN_LENGTH {
        return Err(wrong("the id token is too long"));
    }
    let (encoded, _) = token.split_once('.').ok_or_else(|| wrong("the id token is not a JWT"))?;
    let header: Header = URL_SAFE_NO_PAD
        .decode(encoded)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| wrong("the id token's header cannot be read"))?;
    if header.alg != "RS256" {
        return Err(wrong("the id token is not signed with RS256"));
    }
    // RFC 7515 section 4.1.11: who does not understand what is critical must refuse. Entra marks nothing.
    if header.crit.is_some() {
        return Err(wrong("the id token's header demands an extension"));
    }
    header.kid.ok_or_else(|| wrong("the id token names no key"))
}

/// The person whom the token names, if `key` signed it and every claim is as expected.
pub(super) fn verify(token: &str, key: &Key, expected: &Expected<'_>) -> Result<Person, Fault> {
    let claims = signed_claims(token, key)?;
    let issuer = required(claims.iss, "iss")?;
    let audience = required(claims.aud, "aud")?;
    let tenant_id = required(claims.tid, "tid")?;
    let object_id = required(claims.oid, "oid")?;
    let nonce = required(claims.nonce, "nonce")?;
    let expires = required(claims.exp, "exp")?;
    let not_before = required(claims.nbf, "nbf")?;
    required(claims.iat, "iat")?;

    if audience != expected.client_id {
        return Err(wrong("the id token is for another application"));
    }
    if !is_guid(&tenant_id) {
        return Err(wrong("the id token's tid is not a GUID"));
    }
    if !expected.issuer.is(&issuer, &tenant_id) {
        return Err(wrong("the id token's issuer is not Entra for its tenant"));
    }
    if key.issuer.as_ref().is_some_and(|owner| !owner.is(&issuer, &tenant_id)) {
        return Err(wrong("the id token is signed with another issuer's key"));
    }
    if !is_guid(&object_id) {
        return Err(wrong("the id token's oid is not a GUID"));
    }
    let (now, skew) = (expected.now.unix_timestamp(), SKEW.whole_seconds());
    if expires.saturating_add(skew) <= now {
        return Err(wrong("the id token has expired"));
    }
    if not_before.saturating_sub(skew) > now {
        return Err(wrong("the id token is not valid yet"));
    }
    if verify_slices_are_equal(nonce.as_bytes(), expected.nonce.as_bytes()).is_err() {
        return Err(wrong("the id token answers another sign-in"));
    }
    Ok(Person { tenant_id, object_id, name: claims.name, username: claims.preferred_username })
}

fn signed_claims(token: &str, key: &Key) -> Result<Claims, Fault> {
    let mut signature_only = Validation::new(Algorithm::RS256);
    // Its own checks read the machine's clock and pass over absent claims; ours follow.
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_nbf = false;
    signature_only.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &signature_only);
    decoded.map(|data| data.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => wrong("the id token's signature is not by the key that it names"),
        _ => wrong("the id token's claims cannot be read"),
    })
}

fn required<T>(claim: Option<T>, name: &str) -> Result<T, Fault> {
    claim.ok_or_else(|| wrong(&format!("the id token has no {name}")))
}

/// Only the form with hyphens: the tenant becomes part of the issuer that is compared.
fn is_guid(text: &str) -> bool {
    text.len() == GUID_LENGTH && uuid::Uuid::try_parse(text).is_ok()
}

fn wrong(reason: &str) -> Fault {
    Fault::new(Code::SigninFailed, reason)
}
