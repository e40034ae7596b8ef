//! What every JWT is held to, whoever sent it: its form, its algorithm, its signature, its times. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::{Duration, OffsetDateTime};

use super::provider::Key;
use crate::error::{Code, Fault};

/// The longest token looked at, in bytes. Entra's have about 1,500; with every optional claim still under 8,000.
const TOKEN_LENGTH: usize = 16 * 1024;

/// By how much Entra's clock and ours may differ; the allowance that Microsoft's own libraries make.
const SKEW: Duration = Duration::minutes(5);

/// What a token is for: how the log calls it, and the code of its refusals.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) code: Code,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Kind {
    /// The refusal of a token that is proven wrong.
    pub(crate) fn wrong(&self, what: &str) -> Fault {
        Fault::new(self.code, format!("{} {what}", self.name))
    }

    /// The refusal of a token of which one part is wrong.
    pub(crate) fn wrong_part(&self, what: &str) -> Fault {
        Fault::new(self.code, format!("{}'s {what}", self.name))
    }

    /// A claim that must be there.
    pub(crate) fn required<T>(&self, claim: Option<T>, name: &str) -> Result<T, Fault> {
        claim.ok_or_else(|| self.wrong(&format!("has no {name}")))
    }

    /// Whether a token that is good from `not_before` to `expires`, in seconds since 1970, is good `now`.
    pub(crate) fn in_time(&self, not_before: i64, expires: i64, now: OffsetDateTime) -> Result<(), Fault> {
        let (now, skew) = (now.unix_timestamp(), SKEW.whole_seconds());
        if expires.saturating_add(skew) <= now {
            return Err(self.wrong("has expired"));
        }
        if not_before.saturating_sub(skew) > now {
            return Err(self.wrong("is not valid yet"));
        }
        Ok(())
    }
}

/// The id of the key that is said to have signed the token.
pub(super) fn key_id(token: &str, kind: &Kind) -> Result<String, Fault> {
    if token.len() > TOKEN_LENGTH {
        return Err(kind.wrong("is too long"));
    }
    let (encoded, _) = token.split_once('.').ok_or_else(|| kind.wrong("is not a JWT"))?;
    let header: Header = URL_SAFE_NO_PAD
        .decode(encoded)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| kind.wrong_part("header cannot be read"))?;
    if header.alg != "RS256" {
        return Err(kind.wrong("is not signed with RS256"));
    }
    // RFC 7515 section 4.1.11: who does not understand what is critical must refuse. Entra marks nothing.
    if header.crit.is_some() {
        return Err(kind.wrong_part("header demands an extension"));
    }
    header.kid.ok_or_else(|| kind.wrong("names no key"))
}

/// The claims, if `key` signed them. None of them is checked.
pub(crate) fn signed_claims<T: DeserializeOwned>(token: &str, key: &Key, kind: &Kind) -> Result<T, Fault> {
    let mut signature_only = Validation::new(Algorithm::RS256);
    // Its own checks read the machine's clock and pass over absent claims; those of each kind of token follow.
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_nbf = false;
    signature_only.validate_aud = false;
    let decoded = jsonwebtoken::decode::<T>(token, &key.decoding, &signature_only);
    decoded.map(|data| data.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => kind.wrong_part("signature is not by the key that it names"),
        _ => kind.wrong_part("claims cannot be read"),
    })
}
