//! Certificates: which are taken, what is said of the others, and what they sign.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use marketplace_fulfillment::certificate::Certificate;
use pem::Pem;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use time::{Duration, OffsetDateTime};

use crate::world::START;

/// A certificate and its key, each as PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Made {
    /// A certificate that ends at `until`.
    pub(super) fn until(until: OffsetDateTime) -> Self {
        Self::of(&rsa(), until)
    }

    fn of(pair: &KeyPair, until: OffsetDateTime) -> Self {
        let mut params = CertificateParams::new(vec!["contoso.example".to_owned()]).unwrap();
        params.not_before = START - Duration::days(365);
        params.not_after = until;
        let certificate = params.self_signed(pair).unwrap();
        Self {
            certificate: pem::encode(&Pem::new("CERTIFICATE", certificate.der().to_vec())),
            key: pem::encode(&Pem::new("PRIVATE KEY", pair.serialize_der())),
        }
    }

    /// Key and certificate, as Key Vault has them.
    pub(super) fn both(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }
}

/// A new key. It takes a tenth of a second.
fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

/// One certificate for all stories that need no other, good for a year.
pub(super) fn some() -> &'static Made {
    static SOME: OnceLock<Made> = OnceLock::new();
    SOME.get_or_init(|| Made::until(START + Duration::days(365)))
}

#[test]
fn pem_in_any_order_is_taken_and_the_certificate_of_the_key_is_found() {
    let (some, other) = (some(), Made::until(START));
    let rsa_only = {
        // What OpenSSL writes with -traditional: the key as PKCS #1, which is the octets inside PKCS #8.
        let pkcs8 = pem::parse(&some.key).unwrap();
        let at = pkcs8.contents().windows(4).skip(1).position(|window| window[..2] == [0x30, 0x82] && window[2] >= 4);
        pem::encode(&Pem::new("RSA PRIVATE KEY", pkcs8.contents()[at.unwrap() + 1..].to_vec()))
    };
    for text in [
        some.both(),
        format!("{}{}", some.certificate, some.key),
        format!("{}{}{}", some.key, other.certificate, some.certificate),
        some.both().replace('\n', "\\n"),
        some.both().replace('\n', "\r\n"),
        format!("Bag Attributes\n    friendlyName: x\n{}", some.both()),
        format!("{rsa_only}{}", some.certificate),
    ] {
        let certificate = Certificate::parse(&text).unwrap();
        assert_eq!(certificate.expires_at(), START + Duration::days(365));
        assert_eq!(certificate.public_pem(), some.certificate);
        let shown = format!("{certificate:?}");
        assert!(!shown.contains(&some.key[60..80]) && shown.contains("expires_at"), "{shown}");
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let (some, other) = (some(), Made::until(START));
    let elliptic = Made::of(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), START);
    let retagged = |tag: &str| some.both().replace("PRIVATE KEY", tag);
    let pfx = STANDARD.encode([&[0x30, 0x82, 0x09, 0x51, 0x02, 0x01, 0x03][..], &[7; 200]].concat());
    let cut = format!("{}{}", some.key, &some.certificate[..400]);
    let garbled = pem::encode(&Pem::new("CERTIFICATE", vec![0x30, 0x03, 1, 2, 3]));
    let table = [
        (pfx.as_str().to_owned(), "PFX file"),
        (pfx, "openssl pkcs12"),
        ("not a certificate".to_owned(), "not PEM"),
        (String::new(), "not PEM"),
        (cut, "PEM is broken"),
        (some.certificate.clone(), "no private key"),
        (some.key.clone(), "no certificate"),
        (format!("{}{}", other.key, some.certificate), "do not belong together"),
        (elliptic.both(), "not RSA"),
        (elliptic.both().replace("PRIVATE KEY", "EC PRIVATE KEY"), "not RSA"),
        (format!("{}{}", some.key, elliptic.certificate), "not RSA"),
        (retagged("ENCRYPTED PRIVATE KEY"), "encrypted"),
        (format!("{}{garbled}", some.key), "certificate cannot be read"),
    ];
    for (text, says) in table {
        let reason = Certificate::parse(&text).unwrap_err();
        assert!(reason.contains(says), "{says}: {reason}");
        assert!(!reason.contains(&some.key[60..80]), "{reason}");
    }
}

/// The thumbprint under which Entra looks for a certificate.
pub(super) fn thumbprint(certificate: &str) -> String {
    let der = pem::parse(certificate).unwrap();
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der.contents()))
}
