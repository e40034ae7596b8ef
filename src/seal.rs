//! Sealed values: small secrets that a browser carries for us and can neither read nor change.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::settings::CookieKey;

/// Random bytes in an id: 128 bits cannot be guessed, and never meet by chance.
const ID_BYTES: usize = 16;

/// The characters of a [`random_id`].
pub const ID_LENGTH: usize = 22;

/// Seals and opens values with AES-256-GCM. The nonce is random, which is safe for 2^32 values under one key: a century
/// of one sign-in a second. Clones share the keys.
#[derive(Clone)]
pub struct Seal {
    keys: Arc<[Key]>,
}

struct Key {
    /// Says which key sealed a value, so that opening need not try them all. Derived from the key and not from its
    /// place in the list: rotation moves keys.
    id: u8,
    aead: RandomizedNonceKey,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Key {
    fn new(key: &CookieKey) -> Self {
        let mut labelled = digest::Context::new(&digest::SHA256);
        labelled.update(b"the id of a sealing key");
        labelled.update(&key.0);
        let aead = RandomizedNonceKey::new(&AES_256_GCM, &key.0).expect("AES-256 takes every key of 32 bytes");
        Self { id: labelled.finish().as_ref()[0], aead }
    }
}

impl Seal {
    /// Seals with the first key and opens with all of them, so that a new key can be put in front of the old one.
    pub fn new(keys: &[CookieKey]) -> Self {
        Self { keys: keys.iter().map(Key::new).collect() }
    }

    /// Seals `value` for one purpose: URL-safe base64 of key id, nonce, ciphertext and tag, so 39 characters and a third
    /// more than the value.
    pub fn seal(&self, purpose: &str, value: &[u8]) -> String {
        let key = self.keys.first().expect("the settings are refused without a key");
        let mut ciphertext = value.to_vec();
        let nonce = key
            .aead
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut ciphertext)
            .expect("sealing fails only beyond 64 GiB or when the machine has no randomness left to give");
        let mut sealed = vec![key.id];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut ciphertext);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The value, if one of our keys sealed it for this purpose and nobody changed it since.
    pub fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (id, rest) = sealed.split_first()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>()?;
        // Two keys share an id once in 256 rotations; then both are tried.
        self.keys.iter().filter(|key| key.id == *id).find_map(|key| {
            let mut opened = ciphertext.to_vec();
            let aad = Aad::from(purpose.as_bytes());
            let value = key.aead.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut opened).ok()?;
            Some(value.to_vec())
        })
    }
}

/// An identifier nobody can guess: 128 bits from the machine's cryptographic generator, URL-safe.
pub fn random_id() -> String {
    let mut bytes = [0; ID_BYTES];
    rand::fill(&mut bytes).expect("a machine without randomness can keep no secret");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether `text` has the form of a [`random_id`]; what comes from outside is put into a cookie's name only then.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
