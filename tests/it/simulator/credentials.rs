//! With what the publisher's application proves itself at the simulated Entra.

use marketplace_fulfillment::dev::simulator::Credentials;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::*;

/// A registered certificate and whoever signs with its key.
struct Signer {
    key: jsonwebtoken::EncodingKey,
    certificate: String,
    thumbprint: String,
}

impl Signer {
    fn until(until: OffsetDateTime) -> Self {
        use base64::Engine as _;
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let mut params = CertificateParams::new(vec!["contoso.example".to_owned()]).unwrap();
        params.not_after = until;
        let der = params.self_signed(&pair).unwrap().der().to_vec();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        let key = pem::encode(&pem::Pem::new("PRIVATE KEY", pair.serialize_der()));
        Self {
            key: jsonwebtoken::EncodingKey::from_rsa_pem(key.as_bytes()).unwrap(),
            certificate: pem::encode(&pem::Pem::new("CERTIFICATE", der)),
            thumbprint: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest),
        }
    }

    fn sign(&self, algorithm: Algorithm, claims: &Value) -> String {
        let x5t_s256 = Some(self.thumbprint.clone());
        let header = jsonwebtoken::Header { x5t_s256, ..jsonwebtoken::Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

async fn ask(market: &Market, assertion: &str) -> (StatusCode, Value) {
    let scope = format!("{RESOURCE_ID}/.default");
    market
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT_ID),
            ("client_assertion", assertion),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("scope", &scope),
        ])
        .await
}

#[tokio::test]
async fn only_a_sound_statement_signed_with_an_uploaded_certificate_counts() {
    let market = Market::open().await;
    let (uploaded, expired) = (Signer::until(START + Duration::days(1)), Signer::until(START));
    let stranger = Signer::until(START + Duration::days(1));
    let body = json!({ "certificates": [uploaded.certificate, expired.certificate] }).to_string();
    assert_eq!(market.control(Method::PUT, "/simulator/credentials", body).await.0, 200);
    let now = START.unix_timestamp();
    let endpoint = format!("{}/entra/{TENANT_ID}/oauth2/v2.0/token", market.second);
    let good = json!({
        "aud": endpoint, "iss": CLIENT_ID, "sub": CLIENT_ID, "jti": "1", "nbf": now, "iat": now, "exp": now + 300,
    });
    let with = |key: &str, value: Value| {
        let mut claims = good.clone();
        claims[key] = value;
        claims
    };
    for algorithm in [Algorithm::PS256, Algorithm::RS256] {
        let (status, issued) = ask(&market, &uploaded.sign(algorithm, &good)).await;
        assert_eq!(status, 200, "{issued}");
    }
    let authority = format!("{}/entra/{TENANT_ID}/v2.0", market.second);
    assert_eq!(ask(&market, &uploaded.sign(Algorithm::PS256, &with("aud", json!(authority)))).await.0, 200);

    let sign = |claims: &Value| uploaded.sign(Algorithm::PS256, claims);
    let forged = Signer { thumbprint: uploaded.thumbprint.clone(), ..Signer::until(START) };
    let table = [
        ("nonsense".to_owned(), 50_027),
        (stranger.sign(Algorithm::PS256, &good), 700_027),
        (expired.sign(Algorithm::PS256, &good), 700_027),
        (forged.sign(Algorithm::PS256, &good), 700_027),
        (uploaded.sign(Algorithm::PS384, &good), 700_027),
        (sign(&with("sub", json!(NOBODY))), 700_021),
        (sign(&with("jti", Value::Null)), 700_021),
        (sign(&with("aud", json!("https://login.microsoftonline.com"))), 700_023),
        (sign(&with("exp", json!(now))), 700_024),
        (sign(&with("nbf", json!(now + 1))), 700_024),
        (sign(&with("iss", json!(NOBODY))), 70_025),
    ];
    for (assertion, code) in table {
        let (status, refused) = ask(&market, &assertion).await;
        assert_eq!((status.as_u16(), &refused["error_codes"]), (401, &json!([code])), "{refused}");
    }
}

#[tokio::test]
async fn credentials_are_checked_shown_and_replaced() {
    let market = Market::open().await;
    assert_eq!(market.simulator.credentials(), Credentials::default());
    let secrets = vec!["one".to_owned(), "two".to_owned()];
    let body = json!({ "secrets": secrets, "federated": [{ "issuer": "i", "subject": "s", "audience": "a" }] });
    let (status, shown) = market.control(Method::PUT, "/simulator/credentials", body.to_string()).await;
    assert_eq!((status.as_u16(), &shown["secrets"], &shown["certificates"]), (200, &json!(secrets), &json!([])));
    assert_eq!(market.control(Method::GET, "/simulator/credentials", "").await.1, shown);
    for wrong in [
        json!({ "certificates": ["not PEM"] }),
        json!({ "secrets": vec!["x"; 21] }),
        json!({ "passwords": [] }),
        json!({ "federated": [{ "issuer": "i" }] }),
    ] {
        let (status, refused) = market.control(Method::PUT, "/simulator/credentials", wrong.to_string()).await;
        assert_eq!(status, 400, "{refused}");
    }
    assert_eq!(market.simulator.credentials().secrets, secrets, "nothing was changed by those");
    market.simulator.forget();
    assert_eq!(market.simulator.credentials().secrets, secrets, "credentials stay");
}
