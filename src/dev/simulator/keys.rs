//! The keys of the simulated Entra: RS256 signatures, and every wrong kind of signature that a verifier must refuse.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How many keys are published: the one that signs, and the one before it.
const PUBLISHED: usize = 2;

/// How many keys the simulators of a process share.
const SHARED_KEYS: usize = 4;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// As Entra does it.
    Good,
    /// By somebody else, who claims our key's id.
    ForeignKey,
    /// By a key that was never published, under its own id.
    UnpublishedKey,
    /// Not at all: `alg` is `none`.
    None,
    /// With HMAC, and our public key as the shared secret.
    HmacWithPublicKey,
}

/// The keys.
pub(super) struct Keys {
    /// Newest last.
    published: Vec<Arc<Key>>,
    made: usize,
}

struct Key {
    id: String,
    pair: KeyPair,
}

impl Key {
    fn generate() -> Arc<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("the machine's random numbers are at hand");
        let print = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &modulus(&pair));
        Arc::new(Self { id: URL_SAFE_NO_PAD.encode(&print.as_ref()[..20]), pair })
    }

    /// The key of this number. Making one takes a tenth of a second, and tests make many simulators: the first ones are
    /// made once for all of this process.
    fn numbered(number: usize) -> Arc<Self> {
        static SHARED: [OnceLock<Arc<Key>>; SHARED_KEYS] = [const { OnceLock::new() }; SHARED_KEYS];
        SHARED.get(number).map_or_else(Self::generate, |key| Arc::clone(key.get_or_init(Self::generate)))
    }

    fn foreign() -> &'static Self {
        static FOREIGN: OnceLock<Arc<Key>> = OnceLock::new();
        FOREIGN.get_or_init(Self::generate)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("the buffer is as long as the modulus");
        signature
    }

    fn hmac(&self, message: &[u8]) -> Vec<u8> {
        let public: PublicKeyX509Der<'_> = self.pair.public_key().as_der().expect("a public key of our own making");
        let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_ref());
        hmac::sign(&key, message).as_ref().to_vec()
    }
}

fn modulus(pair: &KeyPair) -> Vec<u8> {
    pair.public_key().modulus().big_endian_without_leading_zero().to_vec()
}

impl Keys {
    /// One key.
    pub(super) fn new() -> Self {
        Self { published: vec![Key::numbered(0)], made: 1 }
    }

    /// A new key signs from now on. The one before it stays published, older ones do not.
    pub(super) fn rotate(&mut self) {
        self.published.push(Key::numbered(self.made));
        self.made += 1;
        let surplus = self.published.len().saturating_sub(PUBLISHED);
        self.published.drain(..surplus);
    }

    /// A JSON web token with these claims.
    pub(super) fn sign(&self, claims: &Value, signature: Signature) -> String {
        let ours = self.published.last().expect("there is always a key");
        let (algorithm, id) = match signature {
            Signature::Good | Signature::ForeignKey => ("RS256", &ours.id),
            Signature::UnpublishedKey => ("RS256", &Key::foreign().id),
            Signature::None => ("none", &ours.id),
            Signature::HmacWithPublicKey => ("HS256", &ours.id),
        };
        let header = json!({ "typ": "JWT", "alg": algorithm, "kid": id });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signed = match signature {
            Signature::Good => ours.sign(message.as_bytes()),
            Signature::ForeignKey | Signature::UnpublishedKey => Key::foreign().sign(message.as_bytes()),
            Signature::None => Vec::new(),
            Signature::HmacWithPublicKey => ours.hmac(message.as_bytes()),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signed))
    }

    /// The claims of a token that one of the published keys signed.
    pub(super) fn open(&self, token: &str) -> Option<Value> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        if header["alg"] != "RS256" {
            return None;
        }
        let key = self.published.iter().find(|key| header["kid"] == key.id.as_str())?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.pair.public_key().as_ref())
            .verify(message.as_bytes(), &decode(signature)?)
            .ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }

    /// The published keys; one is of a kind that nobody knows yet. As with Entra each names its issuer, but for those of
    /// version 1.
    pub(super) fn published(&self, issuer: Option<&str>) -> Value {
        let mut keys: Vec<Value> = self.published.iter().map(|key| published(key)).collect();
        keys.insert(0, json!({ "kty": "LATTICE", "use": "sig", "kid": "a-kind-to-come", "v": "AAEC" }));
        for key in &mut keys {
            if let Some(issuer) = issuer {
                key["issuer"] = issuer.into();
            }
        }
        json!({ "keys": keys })
    }
}

fn published(key: &Key) -> Value {
    json!({
        "kty": "RSA",
        "use": "sig",
        "kid": key.id,
        "x5t": key.id,
        "n": URL_SAFE_NO_PAD.encode(modulus(&key.pair)),
        "e": URL_SAFE_NO_PAD.encode(key.pair.public_key().exponent().big_endian_without_leading_zero()),
    })
}
