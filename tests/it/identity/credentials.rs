//! A client secret and a certificate: each calls the marketplace, and each refusal names the setting and the fix.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marketplace_fulfillment::certificate::Certificate;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::simulator::{CLIENT_ID, Call, Credentials, RESOURCE_ID, TENANT_ID};
use marketplace_fulfillment::duty::ERROR_LENGTH;
use marketplace_fulfillment::error::{Code, Retry};
use marketplace_fulfillment::marketplace::{CallError, CallErrorKind, Marketplace, Proof};
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::rotating::Rotating;
use serde_json::{Value, json};
use time::Duration;

use super::certificate::{Made, some, thumbprint};
use crate::marketplace::server::{Server, answer, json_answer, settings};
use crate::world::{START, World};

async fn called(world: &World) -> Result<(), CallError> {
    world.dev.app.marketplace.list_subscriptions(None).await.map(drop)
}

#[tokio::test]
async fn a_certificate_calls_the_marketplace_and_shows_what_entra_asks_for() {
    let both = some().both();
    let settings = [("MARKETPLACE_CREDENTIAL", "certificate"), ("MARKETPLACE_CERTIFICATE", both.as_str())];
    let world = World::new(&settings).await;
    called(&world).await.unwrap();
    let claims = world.dev.app.marketplace.token_claims().await.unwrap();
    assert_eq!((claims.audience.as_str(), claims.client_id.as_deref()), (RESOURCE_ID, Some(CLIENT_ID)));
    assert_eq!((claims.tenant_id.as_deref(), claims.version.as_deref()), (Some(TENANT_ID), Some("1.0")));
    assert!(claims.expires_at.unwrap() > Clock::System.now() && claims.roles.is_empty(), "{claims:?}");
    assert_eq!(world.dev.simulator.calls(Call::Token), 1, "one token serves both");
}

#[tokio::test]
async fn the_signed_statement_is_short_lived_for_entra_alone_and_never_the_same() {
    let server = Server::start_whole(|_| answer(503, "")).await;
    let settings = settings(server.address);
    let certificate = Certificate::parse(&some().both()).unwrap();
    let proof = Proof::Certificate(Rotating::given("MARKETPLACE_CERTIFICATE", certificate, None));
    let client = Marketplace::new(&settings, proof, Clock::manual(START), outbound::client()).unwrap();
    for _ in 0..2 {
        assert_eq!(client.token_claims().await.unwrap_err().code, Code::EntraUnavailable);
    }
    let mut ids = Vec::new();
    for request in server.arrived.lock().unwrap().iter() {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.iter().find(|(key, _)| key == name).unwrap().1.clone();
        assert_eq!(field("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let assertion = field("client_assertion");
        let part = |index: usize| -> Value {
            let part = assertion.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let expected = json!({ "typ": "JWT", "alg": "PS256", "x5t#S256": thumbprint(&some().certificate) });
        assert_eq!(part(0), expected);
        let (claims, now) = (part(1), START.unix_timestamp());
        let audience = format!("{}/{}/oauth2/v2.0/token", settings.authority, settings.tenant_id);
        assert_eq!(claims["aud"], audience);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(settings.client_id), &json!(settings.client_id)));
        assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(now), &json!(now + 300)));
        ids.push(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 4, "each request is repeated once");
    assert_ne!(ids[0], ids[2]);
}

#[tokio::test]
async fn a_certificate_that_entra_does_not_have_is_said_and_counts_once_it_is_uploaded() {
    let both = some().both();
    let settings = [("MARKETPLACE_CREDENTIAL", "certificate"), ("MARKETPLACE_CERTIFICATE", both.as_str())];
    let world = World::new(&settings).await;
    let uploaded = world.dev.simulator.credentials();
    world.dev.simulator.set_credentials(Credentials::default()).unwrap();
    let error = called(&world).await.unwrap_err();
    assert_eq!((error.kind, error.retry()), (CallErrorKind::Credential, Retry::Later(None)));
    for part in ["MARKETPLACE_CERTIFICATE", "AADSTS700027", "upload its public part", "Certificates & secrets"] {
        assert!(error.detail.contains(part), "{part} in {}", error.detail);
    }
    assert!(error.detail.chars().count() <= ERROR_LENGTH, "{}", error.detail);
    world.simulator("PUT", "/simulator/credentials", &json!(uploaded)).await;
    called(&world).await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_not_shown_to_entra() {
    let both = Made::until(START + Duration::days(1)).both();
    let settings = [("MARKETPLACE_CREDENTIAL", "certificate"), ("MARKETPLACE_CERTIFICATE", both.as_str())];
    let world = World::new(&settings).await;
    world.pass(Duration::days(1)).await;
    let error = called(&world).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Credential);
    assert!(error.detail.starts_with("MARKETPLACE_CERTIFICATE expired on 2026-11-21"), "{}", error.detail);
    assert_eq!(world.dev.simulator.calls(Call::Token), 0);
}

/// The refusals that only some credentials meet; those of a client secret are told with the client's own stories.
#[tokio::test]
async fn each_refusal_of_a_statement_names_the_setting_and_the_fix() {
    let federated = ["MARKETPLACE_CLIENT_ID", "Federated credentials", "AZURE_CLIENT_ID", "Object ID"];
    let table = [
        (700_027, ["MARKETPLACE_CERTIFICATE", "MARKETPLACE_CLIENT_ID", "upload", "public part"]),
        (700_024, ["outside of its time", "clock", "machine", "wrong"]),
        (70_021, federated),
        (70_025, federated),
        (700_211, federated),
        (700_212, federated),
        (700_213, federated),
    ];
    for (code, parts) in table {
        let refusal = json!({ "error": "invalid_client", "error_codes": [code], "error_description": "no" });
        let server = Server::start_whole(move |_| json_answer(401, &refusal)).await;
        let certificate = Certificate::parse(&some().both()).unwrap();
        let proof = Proof::Certificate(Rotating::given("MARKETPLACE_CERTIFICATE", certificate, None));
        let settings = settings(server.address);
        let client = Marketplace::new(&settings, proof, Clock::manual(START), outbound::client()).unwrap();
        let fault = client.token_claims().await.unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::MarketplaceIdentity, Retry::Never), "{code}");
        for part in parts.into_iter().chain([format!("AADSTS{code}").as_str()]) {
            assert!(fault.private.contains(part), "{part} in {}", fault.private);
        }
        assert!(fault.private.chars().count() <= ERROR_LENGTH, "{}", fault.private);
        assert_eq!(server.token_requests(), 1, "a given certificate is not tried twice");
    }
}

/// Without the managed identity that they need, in a process whose environment offers none.
#[tokio::test]
async fn credentials_of_a_managed_identity_say_that_there_is_none() {
    for credential in ["managed-identity", "federated"] {
        let world = World::new(&[("MARKETPLACE_CREDENTIAL", credential)]).await;
        let error = called(&world).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Credential, "{credential}");
        assert!(error.detail.contains("MARKETPLACE_CREDENTIAL"), "{}", error.detail);
        assert!(error.detail.contains("IDENTITY_ENDPOINT is not set"), "{}", error.detail);
        assert_eq!(world.dev.simulator.calls(Call::Token), 0);
    }
}

#[tokio::test]
async fn the_claims_of_either_version_are_told_and_never_the_token() {
    let now = Clock::System.now().replace_nanosecond(0).unwrap();
    let claims = json!({
        "aud": RESOURCE_ID, "azp": CLIENT_ID, "tid": TENANT_ID, "oid": "o", "roles": ["Marketplace.Read"], "ver": "2.0",
        "exp": (now + Duration::hours(1)).unix_timestamp(),
    });
    let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let body = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token });
    let server = Server::start_whole(move |_| json_answer(200, &body)).await;
    let told = server.client().token_claims().await.unwrap();
    assert_eq!((told.client_id.as_deref(), told.version.as_deref()), (Some(CLIENT_ID), Some("2.0")));
    assert_eq!((told.object_id.as_deref(), told.roles.as_slice()), (Some("o"), &["Marketplace.Read".to_owned()][..]));
    assert_eq!(told.expires_at, Some(now + Duration::hours(1)));
    assert!(!format!("{told:?}").contains(&token[4..20]));

    let opaque = Server::start(|_| answer(200, "")).await;
    let fault = opaque.client().token_claims().await.unwrap_err();
    assert!(fault.private.contains("claims cannot be read"), "{fault}");
}
