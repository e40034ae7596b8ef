//! The proof of an id token, claim by claim. Pure: the keys and the time are arguments.
//! The claims and their meaning: <https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference>.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::error::{Code, Fault};
use crate::keys::jwt::{Kind, signed_claims};
use crate::keys::provider::{Issuer, Key};
use crate::person::Person;

/// What Entra posts when a person has signed in.
pub(super) const KIND: Kind = Kind { name: "the id token", code: Code::SigninFailed };

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

/// The person whom the token names, if `key` signed it and every claim is as expected.
pub(super) fn verify(token: &str, key: &Key, expected: &Expected<'_>) -> Result<Person, Fault> {
    let claims: Claims = signed_claims(token, key, &KIND)?;
    let issuer = KIND.required(claims.iss, "iss")?;
    let audience = KIND.required(claims.aud, "aud")?;
    let tenant_id = KIND.required(claims.tid, "tid")?;
    let object_id = KIND.required(claims.oid, "oid")?;
    let nonce = KIND.required(claims.nonce, "nonce")?;
    let expires = KIND.required(claims.exp, "exp")?;
    let not_before = KIND.required(claims.nbf, "nbf")?;
    KIND.required(claims.iat, "iat")?;

    if audience != expected.client_id {
        return Err(KIND.wrong("is for another application"));
    }
    if !is_guid(&tenant_id) {
        return Err(KIND.wrong_part("tid is not a GUID"));
    }
    if !expected.issuer.is(&issuer, &tenant_id) {
        return Err(KIND.wrong_part("issuer is not Entra for its tenant"));
    }
    if key.issuer.as_ref().is_some_and(|owner| !owner.is(&issuer, &tenant_id)) {
        return Err(KIND.wrong("is signed with another issuer's key"));
    }
    if !is_guid(&object_id) {
        return Err(KIND.wrong_part("oid is not a GUID"));
    }
    KIND.in_time(not_before, expires, expected.now)?;
    if verify_slices_are_equal(nonce.as_bytes(), expected.nonce.as_bytes()).is_err() {
        return Err(KIND.wrong("answers another sign-in"));
    }
    Ok(Person { tenant_id, object_id, name: claims.name, username: claims.preferred_username })
}

/// Only the form with hyphens: the tenant becomes part of the issuer that is compared.
fn is_guid(text: &str) -> bool {
    text.len() == GUID_LENGTH && uuid::Uuid::try_parse(text).is_ok()
}
