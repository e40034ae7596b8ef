//! A certificate with which an application proves itself to Entra: read from PEM, checked, and used to sign. Pure but
//! for the randomness of its signatures.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use pem::Pem;
use serde::Serialize;
use time::OffsetDateTime;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;

/// The kind of key that Entra takes for signed assertions (RFC 3279, section 2.3.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// How a PFX file begins, in base64: a sequence whose length takes two bytes. Key Vault gives certificates out like this
/// unless they were made as PEM.
const PFX_BEGINS: [u8; 2] = [0x30, 0x82];

/// What to do with a PFX file.
const FROM_PFX: &str = "it is a PFX file (PKCS #12); make PEM of it with `openssl pkcs12 -in certificate.pfx -nodes`, or \
                        give the certificate of the Key Vault the content type application/x-pem-file";

/// A certificate and its private key. `Debug` shows what may be known of it.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    thumbprint: String,
    expires_at: OffsetDateTime,
    key: EncodingKey,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thumbprint, expires_at, .. } = self;
        f.debug_struct("Certificate")
            .field("thumbprint", thumbprint)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads PEM that holds the certificate and its private key, in any order. Of several certificates it is the one
    /// that belongs to the key; the others are those that vouch for it, which Entra does not ask for.
    ///
    /// # Errors
    ///
    /// What is wrong with the text and how to mend it, as the end of a sentence. Nothing of the text is repeated.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Environment variables are often typed on one line.
        let text = text.replace("\\n", "\n");
        let blocks = pem::parse_many(&text).map_err(|_| "its PEM is broken".to_owned())?;
        if blocks.is_empty() {
            let bytes = STANDARD.decode(text.split_whitespace().collect::<String>()).unwrap_or_default();
            let reason = if bytes.starts_with(&PFX_BEGINS) { FROM_PFX } else { "it is not PEM" };
            return Err(reason.to_owned());
        }
        if text.matches("-----BEGIN ").count() != blocks.len() {
            return Err("its PEM is broken".to_owned());
        }
        let key = private_key(&blocks)?;
        let (public, encoding) = key_of(key)?;
        let listed: Vec<Listed> =
            blocks.iter().filter(|block| block.tag() == "CERTIFICATE").map(Listed::read).collect::<Result<_, _>>()?;
        if listed.is_empty() {
            return Err("it holds a private key, and no certificate".to_owned());
        }
        let own = listed.into_iter().find(|listed| listed.public == public);
        let own = own.ok_or("its certificate and its private key do not belong together")?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &own.der));
        Ok(Self { der: own.der, thumbprint, expires_at: own.expires_at, key: encoding })
    }

    /// When it ends; Entra takes nothing that it signs after that.
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// What may be known of it: the certificate without its key, as PEM. This is what is uploaded to Entra.
    pub fn public_pem(&self) -> String {
        pem::encode(&Pem::new("CERTIFICATE", self.der.clone()))
    }

    /// A JSON web token with these claims, signed as Entra asks for it
    /// (<https://learn.microsoft.com/entra/identity-platform/certificate-credentials>).
    pub(crate) fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        let header = Header { x5t_s256: Some(self.thumbprint.clone()), ..Header::new(Algorithm::PS256) };
        jsonwebtoken::encode(&header, claims, &self.key)
    }
}

/// One of the certificates in the text.
struct Listed {
    der: Vec<u8>,
    /// The public key as RFC 8017 writes it.
    public: Vec<u8>,
    expires_at: OffsetDateTime,
}

impl Listed {
    fn read(block: &Pem) -> Result<Self, String> {
        let broken = || "its certificate cannot be read".to_owned();
        let certificate = x509_cert::Certificate::from_der(block.contents()).map_err(|_| broken())?;
        let about = certificate.tbs_certificate();
        let key = about.subject_public_key_info();
        if key.algorithm.oid != RSA {
            return Err("its key is not RSA, the only kind that Entra takes here".to_owned());
        }
        let ends = about.validity().not_after.to_unix_duration().as_secs();
        let expires_at = i64::try_from(ends).ok().and_then(|ends| OffsetDateTime::from_unix_timestamp(ends).ok());
        Ok(Self {
            der: block.contents().to_vec(),
            public: key.subject_public_key.raw_bytes().to_vec(),
            expires_at: expires_at.ok_or_else(broken)?,
        })
    }
}

fn private_key(blocks: &[Pem]) -> Result<&Pem, String> {
    let key = blocks.iter().find(|block| block.tag().ends_with("PRIVATE KEY"));
    let key =
        key.ok_or("it holds a certificate, and no private key; Entra is shown a signature, not the certificate")?;
    match key.tag() {
        "PRIVATE KEY" | "RSA PRIVATE KEY" if key.headers().get("Proc-Type").is_none() => Ok(key),
        "EC PRIVATE KEY" => Err("its key is not RSA, the only kind that Entra takes here".to_owned()),
        _ => Err("its private key is encrypted; decrypt it with `openssl pkey -in key.pem`".to_owned()),
    }
}

/// The public half as RFC 8017 writes it, and the key itself, ready to sign.
fn key_of(block: &Pem) -> Result<(Vec<u8>, EncodingKey), String> {
    let unusable = |_| "its private key is not RSA of 2048 to 8192 bits, or is broken".to_owned();
    let pair = if block.tag() == "PRIVATE KEY" { KeyPair::from_pkcs8 } else { KeyPair::from_der };
    let pair = pair(block.contents()).map_err(unusable)?;
    let encoding = EncodingKey::from_rsa_pem(pem::encode(block).as_bytes())
        .map_err(|_| "its private key cannot be read".to_owned())?;
    Ok((pair.public_key().as_ref().to_vec(), encoding))
}
