//! With what the publisher's application may prove itself: what Entra keeps under "Certificates & secrets".

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::claims::short;
use super::refusal::Refusal;
use super::{CLIENT_ID, CLIENT_SECRET};

/// How many of each kind there may be. Entra allows twenty federated credentials.
const MOST: usize = 20;

/// What counts as a proof. As JSON every field may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Credentials {
    /// Client secrets.
    pub secrets: Vec<String>,
    /// Certificates as PEM, without their private keys.
    pub certificates: Vec<String>,
    /// Identities that vouch for the application.
    pub federated: Vec<Federated>,
}

/// An identity that vouches for the application. Its tokens are compared and not verified: no identity on this machine
/// publishes keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Federated {
    /// Who made the token.
    pub issuer: String,
    /// About whom: the identity's object id.
    pub subject: String,
    /// For whom.
    pub audience: String,
}

/// Why a proof is none: the number behind `AADSTS`, and Entra's words.
pub(super) type Unproven = (u32, String);

impl Default for Credentials {
    fn default() -> Self {
        Self { secrets: vec![CLIENT_SECRET.to_owned()], certificates: Vec::new(), federated: Vec::new() }
    }
}

impl Credentials {
    /// Whether this can be applied.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::bad_request("InvalidCredentials", "", message));
        if [self.secrets.len(), self.certificates.len(), self.federated.len()].into_iter().any(|count| count > MOST) {
            return refuse("at most 20 of each kind");
        }
        if self.certificates.iter().any(|text| Uploaded::read(text).is_none()) {
            return refuse("certificates: each a certificate as PEM");
        }
        Ok(())
    }

    /// Whether this is one of the client secrets.
    pub(super) fn know(&self, secret: &str) -> bool {
        self.secrets.iter().any(|known| known == secret)
    }

    /// Whether a signed statement proves the application. `audiences` are Entra's own names.
    pub(super) fn accept(&self, assertion: &str, audiences: &[String], now: OffsetDateTime) -> Result<(), Unproven> {
        let malformed = || (50_027, "Invalid JWT token. The token is malformed.".to_owned());
        let assertion = Assertion::read(assertion).ok_or_else(malformed)?;
        if assertion.claims["iss"] == CLIENT_ID {
            self.signed(&assertion, audiences, now)
        } else {
            self.vouched(&assertion)
        }
    }

    fn signed(&self, assertion: &Assertion<'_>, audiences: &[String], now: OffsetDateTime) -> Result<(), Unproven> {
        let uploaded = self.certificates.iter().filter_map(|text| Uploaded::read(text));
        let mut named = uploaded.filter(|uploaded| assertion.header["x5t#S256"] == uploaded.thumbprint.as_str());
        let Some(certificate) = named.next() else {
            return Err(bad_key("The key was not found."));
        };
        if certificate.expires_at <= now.unix_timestamp() {
            return Err(bad_key("The key used is expired."));
        }
        if !certificate.has_signed(assertion) {
            return Err((700_027, "Client assertion failed signature validation.".to_owned()));
        }
        let claims = &assertion.claims;
        if claims["sub"] != CLIENT_ID || !claims["jti"].is_string() {
            return Err((
                700_021,
                "Client assertion application identifier doesn't match 'client_id' parameter.".to_owned(),
            ));
        }
        if !audiences.iter().any(|audience| claims["aud"] == audience.as_str()) {
            return Err((700_023, "Client assertion audience claim does not match Realm issuer.".to_owned()));
        }
        let (from, until) = (claims["nbf"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
        if !(from..until).contains(&now.unix_timestamp()) {
            return Err((700_024, "Client assertion is not within its valid time range.".to_owned()));
        }
        Ok(())
    }

    fn vouched(&self, assertion: &Assertion<'_>) -> Result<(), Unproven> {
        if self.federated.is_empty() {
            let message = format!("The client '{CLIENT_ID}' has no configured federated identity credentials.");
            return Err((70_025, message));
        }
        let mut left: Vec<&Federated> = self.federated.iter().collect();
        for (code, name, claim) in
            [(700_211, "issuer", "iss"), (700_213, "subject", "sub"), (700_212, "audience", "aud")]
        {
            let presented = assertion.claims[claim].as_str().unwrap_or_default();
            left.retain(|Federated { issuer, subject, audience }| {
                let expected = [("iss", issuer), ("sub", subject), ("aud", audience)];
                expected.iter().any(|(of, value)| *of == claim && *value == presented)
            });
            if left.is_empty() {
                let presented = short(presented);
                let message = format!(
                    "No matching federated identity record found for presented assertion {name} '{presented}'."
                );
                return Err((code, message));
            }
        }
        Ok(())
    }
}

fn bad_key(reason: &str) -> Unproven {
    let message = format!(
        "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - \
         {reason}]"
    );
    (700_027, message)
}

/// A JSON web token, taken apart.
struct Assertion<'a> {
    header: Value,
    claims: Value,
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> Assertion<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { header: json(header)?, claims: json(claims)?, message, signature })
    }
}

/// A certificate that was uploaded.
struct Uploaded {
    thumbprint: String,
    /// The public key as RFC 8017 writes it.
    key: Vec<u8>,
    expires_at: i64,
}

impl Uploaded {
    fn read(text: &str) -> Option<Self> {
        let block = pem::parse(text).ok().filter(|block| block.tag() == "CERTIFICATE")?;
        let certificate = Certificate::from_der(block.contents()).ok()?;
        let about = certificate.tbs_certificate();
        Some(Self {
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, block.contents())),
            key: about.subject_public_key_info().subject_public_key.raw_bytes().to_vec(),
            expires_at: i64::try_from(about.validity().not_after.to_unix_duration().as_secs()).ok()?,
        })
    }

    fn has_signed(&self, assertion: &Assertion<'_>) -> bool {
        let algorithm: &RsaParameters = match assertion.header["alg"].as_str() {
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            _ => return false,
        };
        let key = UnparsedPublicKey::new(algorithm, &self.key);
        key.verify(assertion.message.as_bytes(), &assertion.signature).is_ok()
    }
}
