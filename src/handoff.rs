//! The hand-off of a buyer to the publisher's software: a signed, short-lived statement of who comes and for which
//! subscription, which the buyer's browser carries there, and the public keys that prove it. `docs/handoff.md` tells the
//! receiver's side.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use url::Url;
use uuid::Uuid;

use crate::error::{Code, Fault};
use crate::person::Person;
use crate::settings::{Connection, HandoffKey};
use crate::subscription::{Stage, Subscription};

/// How long a hand-off is good: time for a page to load on a slow line and for clocks that differ, not time to pass it on.
pub const HANDOFF_LIFETIME: Duration = Duration::minutes(2);

/// How long whoever asked for the public keys may go by the answer: a sign-in seldom waits for a second request, and a key
/// that was taken back is forgotten within minutes. A new key signs only when all such answers have ended.
pub const KEYS_CACHED_FOR: Duration = Duration::minutes(5);

/// What a buyer is handed over for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To use an active subscription, or to manage it.
    Open,
    /// To tell the publisher, between the confirmation and the activation, what the activation needs.
    Setup,
}

/// One person, one subscription, one way in.
#[derive(Clone, Copy)]
pub struct Handoff<'a> {
    /// Who says it: our own address without a slash at the end.
    pub issuer: &'a str,
    /// To whom: the address to which it is posted.
    pub audience: &'a Url,
    /// What for.
    pub purpose: Purpose,
    /// The subscription.
    pub subscription: &'a Subscription,
    /// The person, who may act for it.
    pub person: &'a Person,
}

/// A hand-off, signed. It lets its bearer in, so it has no `Debug`.
pub struct Signed {
    /// The JWT.
    pub token: String,
    /// Its unique id, which may be known.
    pub id: Uuid,
}

/// The keys in use. Clones are cheap enough: one or two keys.
#[derive(Clone)]
pub struct Signer {
    key: EncodingKey,
    public: Vec<Jwk>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
    purpose: &'static str,
    subscription: Value,
    person: PersonClaim<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PersonClaim<'a> {
    tenant_id: &'a str,
    object_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 2] = [Self::Open, Self::Setup];

    /// The word that stands in the JWT, and in addresses of ours.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Setup => "setup",
        }
    }

    /// The purpose of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == word)
    }

    /// Where a buyer is handed over for this purpose while the purchase stands at `stage`; `None` where nobody is.
    pub fn address(self, connection: &Connection, stage: Stage) -> Option<&Url> {
        match (self, stage) {
            (Self::Open, Stage::Active { .. }) => connection.handoff.as_ref(),
            (Self::Setup, Stage::Activating | Stage::Delayed { .. }) => connection.setup.as_ref(),
            _ => None,
        }
    }
}

impl Signer {
    /// Signs with the first key; all of them are published.
    pub fn new(keys: &[HandoffKey]) -> Self {
        let mut public: Vec<Jwk> = Vec::new();
        for key in keys {
            let key = public_key(key);
            // A rotation by list names the key before it in two versions of the secret.
            if !public.contains(&key) {
                public.push(key);
            }
        }
        let first = keys.first().expect("the settings are refused without a key");
        Self { key: EncodingKey::from_ec_der(&first.0), public }
    }

    /// Signs a hand-off that begins `now`.
    ///
    /// # Errors
    ///
    /// [`Code::Internal`] on a machine without randomness.
    pub fn sign(&self, handoff: &Handoff<'_>, now: OffsetDateTime) -> Result<Signed, Fault> {
        let id = Uuid::new_v4();
        let token = self.encode(&handoff.claims(id, now))?;
        Ok(Signed { token, id })
    }

    /// Tries whether the keys can sign.
    ///
    /// # Errors
    ///
    /// As [`Signer::sign`].
    pub fn probe(&self) -> Result<(), Fault> {
        self.encode(&json!({})).map(drop)
    }

    /// The id of the key that signs.
    pub fn key_id(&self) -> &str {
        self.public.first().and_then(|key| key.common.key_id.as_deref()).unwrap_or_default()
    }

    /// How many keys are published.
    pub fn published(&self) -> usize {
        self.public.len()
    }

    /// The public keys as a JSON Web Key Set (RFC 7517, section 5).
    pub fn public_keys(&self) -> Value {
        json!({ "keys": self.public })
    }

    fn encode(&self, claims: &impl Serialize) -> Result<String, Fault> {
        let header = Header { kid: Some(self.key_id().to_owned()), ..Header::new(Algorithm::ES256) };
        let unsigned = |error| Fault::new(Code::Internal, format!("a hand-off cannot be signed: {error}"));
        jsonwebtoken::encode(&header, claims, &self.key).map_err(unsigned)
    }
}

/// What is published where no key is set.
pub fn no_public_keys() -> Value {
    json!({ "keys": [] })
}

/// The public part of a key; its id is its thumbprint (RFC 7638), so that every instance gives it the same.
fn public_key(key: &HandoffKey) -> Jwk {
    let sound = "the settings take keys of P-256 only";
    let mut public = Jwk::from_encoding_key(&EncodingKey::from_ec_der(&key.0), Algorithm::ES256).expect(sound);
    public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256).expect(sound));
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    public
}

impl<'a> Handoff<'a> {
    fn claims(&self, id: Uuid, now: OffsetDateTime) -> Claims<'a> {
        let Handoff { issuer, audience, purpose, subscription, person } = *self;
        let known = &subscription.known;
        Claims {
            iss: issuer,
            aud: audience.as_str(),
            sub: format!("{}:{}", person.tenant_id, person.object_id),
            iat: now.unix_timestamp(),
            nbf: now.unix_timestamp(),
            exp: (now + HANDOFF_LIFETIME).unix_timestamp(),
            jti: id.to_string(),
            purpose: purpose.as_str(),
            subscription: json!({
                "id": subscription.id.to_string(),
                "name": known.name,
                "offerId": known.offer_id,
                "planId": known.plan_id,
                "quantity": known.quantity,
                "status": known.status.as_str(),
            }),
            person: PersonClaim {
                tenant_id: &person.tenant_id,
                object_id: &person.object_id,
                username: person.username.as_deref(),
                name: person.name.as_deref(),
            },
        }
    }
}
