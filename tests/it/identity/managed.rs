//! The managed identity: as the application itself, and as the one that vouches for it.

use marketplace_fulfillment::dev::simulator::{Call, Credentials, Federated, RESOURCE_ID, TENANT_ID};
use marketplace_fulfillment::duty::ERROR_LENGTH;
use marketplace_fulfillment::error::Retry;
use marketplace_fulfillment::marketplace::CallErrorKind;
use serde_json::json;

use super::azure::{IDENTITY, Mood, PRINCIPAL, in_azure};
use crate::world::World;

fn federated() -> Federated {
    Federated {
        issuer: format!("https://login.microsoftonline.com/{TENANT_ID}/v2.0"),
        subject: PRINCIPAL.to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
    }
}

const AS_ITSELF: &[(&str, &str)] = &[
    ("MARKETPLACE_CREDENTIAL", "managed-identity"),
    ("MARKETPLACE_CLIENT_ID", IDENTITY),
    ("AZURE_CLIENT_ID", IDENTITY),
];

const VOUCHING: &[(&str, &str)] = &[("MARKETPLACE_CREDENTIAL", "federated"), ("AZURE_CLIENT_ID", IDENTITY)];

#[tokio::test]
async fn the_managed_identity_is_the_application() {
    in_azure(async |azure| {
        let world = World::new(AS_ITSELF).await;
        azure.trust(&world.dev.simulator);
        let marketplace = &world.dev.app.marketplace;
        for _ in 0..2 {
            marketplace.list_subscriptions(None).await.unwrap();
        }
        assert_eq!(azure.identity_requests(), [format!("{RESOURCE_ID} {IDENTITY}")], "one token, without Entra");
        assert_eq!(world.dev.simulator.calls(Call::Token), 0);
        assert_eq!(marketplace.token_claims().await.unwrap().object_id.as_deref(), Some(PRINCIPAL));
    })
    .await;
}

#[tokio::test]
async fn the_managed_identity_vouches_for_the_application() {
    in_azure(async |azure| {
        let world = World::new(VOUCHING).await;
        let credentials = Credentials { federated: vec![federated()], ..Credentials::default() };
        world.dev.simulator.set_credentials(credentials).unwrap();
        for _ in 0..2 {
            world.dev.app.marketplace.list_subscriptions(None).await.unwrap();
        }
        assert_eq!(azure.identity_requests(), [format!("api://AzureADTokenExchange {IDENTITY}")]);
        assert_eq!(world.dev.simulator.calls(Call::Token), 1);
    })
    .await;
}

#[tokio::test]
async fn a_federated_credential_that_does_not_fit_is_said_part_by_part() {
    in_azure(async |_| {
        let table = [
            (Vec::new(), "no federated credential (AADSTS70025)"),
            (vec![Federated { issuer: "https://other".to_owned(), ..federated() }], "issuer (AADSTS700211)"),
            (vec![Federated { subject: IDENTITY.to_owned(), ..federated() }], "subject (AADSTS700213)"),
            (vec![Federated { audience: "api://other".to_owned(), ..federated() }], "audience (AADSTS700212)"),
        ];
        let world = World::new(VOUCHING).await;
        for (federated, says) in table {
            world.dev.simulator.set_credentials(Credentials { federated, ..Credentials::default() }).unwrap();
            let error = world.dev.app.marketplace.list_subscriptions(None).await.unwrap_err();
            assert_eq!(error.kind, CallErrorKind::Credential);
            assert!(error.detail.contains(says), "{says} in {}", error.detail);
            assert!(!error.detail.contains("eyJ") && error.detail.chars().count() <= ERROR_LENGTH, "{}", error.detail);
        }
    })
    .await;
}

/// What the endpoint answers, and what the sentence must say.
#[tokio::test]
async fn each_refusal_of_the_identity_names_the_setting_and_the_fix() {
    const NOT_THERE: &str = "11111111-1111-1111-1111-111111111111";
    in_azure(async |azure| {
        let unknown = "AADSTS500011: The resource principal was not found in the tenant. Trace ID: 1";
        let table = [
            (VOUCHING, Some(NOT_THERE), Mood::Open, ["AZURE_CLIENT_ID", "Client ID, not the Object ID"], true),
            (VOUCHING, None, Mood::Open, ["no system-assigned managed identity", "AZURE_CLIENT_ID"], true),
            (AS_ITSELF, Some(IDENTITY), refusing(400, unknown), ["az ad sp create", "AADSTS500011"], true),
            (AS_ITSELF, Some(IDENTITY), refusing(403, "not for you"), ["answered 403", "not for you"], true),
            (AS_ITSELF, Some(IDENTITY), refusing(500, "x"), ["the managed identity answered 500", ""], false),
            (VOUCHING, Some(IDENTITY), refusing(429, "x"), ["the managed identity answered 429", ""], false),
        ];
        for (settings, identity, mood, parts, refused) in table {
            let identity = [("AZURE_CLIENT_ID", identity.unwrap_or_default())];
            let settings: Vec<_> = settings.iter().chain(&identity).copied().collect();
            let world = World::new(&settings).await;
            azure.set_identity_mood(mood);
            let error = world.dev.app.marketplace.list_subscriptions(None).await.unwrap_err();
            let unreachable = CallErrorKind::Unreachable { may_have_arrived: false };
            let kind = if refused { CallErrorKind::Credential } else { unreachable };
            assert_eq!((error.kind, error.retry()), (kind, Retry::Later(None)), "{}", error.detail);
            for part in parts {
                assert!(error.detail.contains(part), "{part} in {}", error.detail);
            }
            assert!(error.detail.chars().count() <= ERROR_LENGTH, "{}", error.detail);
        }
    })
    .await;
}

fn refusing(status: u16, message: &str) -> Mood {
    Mood::Refusing(status, json!({ "statusCode": status, "message": message }))
}
