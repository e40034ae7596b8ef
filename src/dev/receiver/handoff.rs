//! Whether a person comes with a hand-off that is meant for us and is still good.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// By how much two clocks may differ.
const TOLERANCE: Duration = Duration::minutes(1);

/// A person who was handed over.
#[derive(Clone, Debug, Serialize)]
pub struct Handoff {
    /// The token's own id.
    #[serde(skip)]
    pub id: String,
    /// When they came.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What for: `open` or `setup`.
    pub purpose: String,
    /// The subscription that they come from.
    pub subscription: Value,
    /// The person.
    pub person: Value,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    nbf: i64,
    exp: i64,
    purpose: String,
    subscription: Value,
    person: Value,
}

/// The error is a sentence's end that says what is wrong.
pub(super) fn verify(
    token: &str,
    keys: &JwkSet,
    issuer: &str,
    audience: &str,
    now: OffsetDateTime,
) -> Result<Handoff, String> {
    let unsound = |error: jsonwebtoken::errors::Error| format!("it is not good: {error}");
    let id = jsonwebtoken::decode_header(token).map_err(unsound)?.kid.unwrap_or_default();
    let key = keys.find(&id).ok_or("its key is not listed")?;
    let key = DecodingKey::from_jwk(key).map_err(unsound)?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    // By the clock of this place, below.
    rules.validate_exp = false;
    let claims: Claims = jsonwebtoken::decode(token, &key, &rules).map_err(unsound)?.claims;
    if now.unix_timestamp() >= claims.exp.saturating_add(TOLERANCE.whole_seconds()) {
        return Err("it has expired".to_owned());
    }
    if now.unix_timestamp() < claims.nbf.saturating_sub(TOLERANCE.whole_seconds()) {
        return Err("it is not good yet".to_owned());
    }
    let Claims { jti: id, purpose, subscription, person, .. } = claims;
    Ok(Handoff { id, at: now, purpose, subscription, person })
}
