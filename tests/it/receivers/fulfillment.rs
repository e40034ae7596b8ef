//! What a receiver knows of fulfillment when a buyer is handed over: the list of keys, and the tokens signed with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use uuid::Uuid;
use warp::Filter as _;

pub(crate) struct Fulfillment {
    pub(crate) url: String,
    key: Key,
    asked: Arc<AtomicUsize>,
}

/// A key under an id.
pub(crate) struct Key {
    id: String,
    private: Vec<u8>,
    public: Vec<u8>,
}

impl Key {
    fn new(id: String) -> Self {
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref()).unwrap();
        Self { id, private: private.as_ref().to_vec(), public: pair.public_key().as_ref().to_vec() }
    }

    /// As RFC 7518 section 6.2.1 has it: the point without its first byte, in two halves.
    fn listed(&self) -> Value {
        let [x, y] = [1..33, 33..65].map(|half| URL_SAFE_NO_PAD.encode(&self.public[half]));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y })
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.private)).unwrap()
    }
}

impl Fulfillment {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (key, asked) = (Key::new("listed".to_owned()), Arc::<AtomicUsize>::default());
        let (list, count) = (json!({ "keys": [key.listed()] }), asked.clone());
        let keys = warp::path!("api" / "keys").map(move || {
            count.fetch_add(1, Ordering::SeqCst);
            warp::reply::json(&list)
        });
        #[expect(clippy::disallowed_methods, reason = "the server lives as long as the story's runtime")]
        tokio::spawn(warp::serve(keys).incoming(listener).run());
        Self { url, key, asked }
    }

    /// How often the keys were fetched.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What a good token says to this address.
    pub(crate) fn claims(&self, audience: &str, now: OffsetDateTime) -> Value {
        json!({
            "iss": self.url,
            "aud": audience,
            "iat": now.unix_timestamp(),
            "nbf": now.unix_timestamp(),
            "exp": (now + Duration::minutes(2)).unix_timestamp(),
            "jti": Uuid::new_v4().to_string(),
            "sub": "3f4e2b9c-0c8f-4a55-8b0e-6a1f8f0f2d10:b2b0f2cc-1e7e-4b6a-a7f8-3b1b9f6f0c77",
            "purpose": "open",
            "subscription": {
                "id": Uuid::new_v4().to_string(), "name": "Contoso", "offerId": "contoso-offer", "planId": "silver", "quantity": 5,
                "status": "Subscribed",
            },
            "person": { "tenantId": "3f4e2b9c-0c8f-4a55-8b0e-6a1f8f0f2d10", "username": "buyer@contoso.example" },
        })
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.key.token(claims)
    }

    /// A key under an id that nobody lists.
    pub(crate) fn stranger() -> Key {
        Key::new(Uuid::new_v4().to_string())
    }

    /// Another key under the listed id.
    pub(crate) fn impostor(&self) -> Key {
        Key::new(self.key.id.clone())
    }

    /// Signed by HMAC with the public key, for a receiver that lets the token choose the algorithm.
    pub(crate) fn confused(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.key.id.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(&self.key.public)).unwrap()
    }

    pub(crate) fn unsigned(claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT", "kid": "listed" })), part(claims))
    }
}
