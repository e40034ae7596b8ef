//! A secret is changed in the vault while the program runs: when it is read again, and what happens when it cannot be.

use marketplace_fulfillment::dev::simulator::{CLIENT_SECRET as OLD, Call, Credentials};
use marketplace_fulfillment::duty::ERROR_LENGTH;
use marketplace_fulfillment::marketplace::CallErrorKind;
use marketplace_fulfillment::rotating::{REREAD_AFTER, REREAD_FLOOR};
use serde_json::{Value, json};
use time::Duration;

use super::azure::{Mood, in_azure};
use super::certificate::{Made, some};
use super::keyvault::CLIENT_SECRET;
use crate::log::Log;
use crate::world::{START, World};

const NEW: &str = "another-secret-that-opens-nothing-else";

fn only(secret: &str) -> Credentials {
    Credentials { secrets: vec![secret.to_owned()], ..Credentials::default() }
}

/// How often the vault was asked for a secret.
fn reads(azure: &super::azure::Azure, name: &str) -> usize {
    azure.vault_requests().iter().filter(|path| **path == format!("/secrets/{name}/")).count()
}

#[tokio::test]
async fn a_client_secret_that_entra_refuses_is_read_again_at_once() {
    in_azure(async |azure| {
        azure.set(CLIENT_SECRET, OLD, START - Duration::days(100));
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        let app = &world.dev.app;
        app.secrets.watch(world.now()).await;
        azure.set(CLIENT_SECRET, NEW, START);
        world.dev.simulator.set_credentials(only(NEW)).unwrap();
        world.pass(REREAD_FLOOR).await;
        let log = Log::default();
        let captured = log.capture();
        app.marketplace.list_subscriptions(None).await.unwrap();
        drop(captured);
        assert_eq!((world.dev.simulator.calls(Call::Token), reads(azure, CLIENT_SECRET)), (2, 2));
        let text = log.text();
        assert!(text.contains("a secret has changed in the Key Vault"), "{text}");
        for secret in [OLD, NEW, "eyJ"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_is_wrong_in_the_vault_too_is_said_and_the_vault_is_not_asked_each_time() {
    in_azure(async |azure| {
        azure.set(CLIENT_SECRET, "wrong-value", START);
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        for _ in 0..5 {
            let error = world.dev.app.marketplace.list_subscriptions(None).await.unwrap_err();
            assert_eq!(error.kind, CallErrorKind::Credential);
            let place = "MARKETPLACE_CLIENT_SECRET (the secret marketplace-client-secret in the Key Vault) is wrong";
            assert!(error.detail.starts_with(place), "{}", error.detail);
            assert!(error.detail.chars().count() <= ERROR_LENGTH, "{}", error.detail);
            assert!(!error.to_string().contains("wrong-value"), "{error}");
        }
        assert_eq!(reads(azure, CLIENT_SECRET), 1);
        world.pass(REREAD_FLOOR).await;
        azure.set(CLIENT_SECRET, OLD, world.now());
        world.dev.app.marketplace.list_subscriptions(None).await.unwrap();
        assert_eq!(reads(azure, CLIENT_SECRET), 2);
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_was_changed_quietly_is_picked_up_by_who_has_just_answered() {
    in_azure(async |azure| {
        azure.set(CLIENT_SECRET, OLD, START - Duration::days(100));
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        let visitor = world.visitor();
        let purchase = world.silver().await;
        assert_eq!(visitor.arrive(&purchase.landing_url, "buyer").await.status, 200);
        assert_eq!((world.dev.simulator.calls(Call::Token), reads(azure, CLIENT_SECRET)), (1, 1));

        azure.set(CLIENT_SECRET, NEW, START);
        world.dev.simulator.set_credentials(only(NEW)).unwrap();
        let health = world.url("/api/health");
        world.pass(REREAD_AFTER - Duration::seconds(1)).await;
        visitor.goto(health.as_str()).await;
        world.idle().await;
        assert_eq!(reads(azure, CLIENT_SECRET), 1, "not yet");
        world.pass(Duration::seconds(1)).await;
        visitor.goto(health.as_str()).await;
        world.idle().await;
        assert_eq!(reads(azure, CLIENT_SECRET), 2);
        visitor.goto(health.as_str()).await;
        world.idle().await;
        assert_eq!(reads(azure, CLIENT_SECRET), 2, "once");

        let another = world.silver().await;
        assert_eq!(visitor.goto(&another.landing_url).await.status, 200);
        assert_eq!(world.dev.simulator.calls(Call::Token), 2, "the new secret has a token of its own, and no refusal");
    })
    .await;
}

#[tokio::test]
async fn a_queue_function_reads_again_as_well() {
    in_azure(async |azure| {
        azure.set(CLIENT_SECRET, OLD, START - Duration::days(100));
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        world.faults(json!({ "activationLag": "PT1H" })).await;
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        assert_eq!(reads(azure, CLIENT_SECRET), 1);
        // The bells that look whether the activation has come ring all the time; nobody opens a page.
        world.pass(Duration::hours(1)).await;
        let read = reads(azure, CLIENT_SECRET);
        assert!((3..=6).contains(&read), "{read} times in an hour");
    })
    .await;
}

#[tokio::test]
async fn the_last_good_value_serves_while_the_vault_is_away() {
    in_azure(async |azure| {
        azure.set(CLIENT_SECRET, OLD, START - Duration::days(100));
        azure.set_with("cookie-keys", crate::settings::KEY, START - Duration::days(100), |version| {
            version.expires = Some(START + Duration::minutes(15));
        });
        let settings = azure.settings(&[("MARKETPLACE_CLIENT_SECRET", ""), ("COOKIE_KEYS", "")]);
        let world = World::new(&settings).await;
        let visitor = world.visitor();
        let purchase = world.silver().await;
        assert_eq!(visitor.arrive(&purchase.landing_url, "buyer").await.status, 200);
        azure.set_mood(Mood::Refusing(503, Value::Null));
        world.pass(Duration::minutes(29)).await;
        let asked = azure.vault_requests().len();
        let page = visitor.goto(&purchase.landing_url).await;
        assert_eq!(page.status, 200, "{}", page.text());
        visitor.confirm(&page).await;
        world.settle().await;
        assert!(azure.vault_requests().len() > asked, "it was tried");
        world.assert_silence().await;

        let cold = World::new(&settings).await;
        let purchase = cold.silver().await;
        let page = cold.visitor().goto(&purchase.landing_url).await;
        assert_eq!(page.status, 503);
        assert!(!page.body.contains("Vault") && !page.body.contains("KEY_VAULT_URL"), "{}", page.body);
        azure.set_mood(Mood::Open);
        let page = cold.visitor().arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(page.status, 200, "as soon as it is back");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_is_changed_in_the_vault() {
    in_azure(async |azure| {
        let next = Made::until(START + Duration::days(700));
        azure.set("marketplace-certificate", &some().both(), START - Duration::days(100));
        let world = World::new(&azure.settings(&[("MARKETPLACE_CREDENTIAL", "certificate")])).await;
        let app = &world.dev.app;
        let upload = |made: &Made| {
            let certificates = vec![made.certificate.clone()];
            world.dev.simulator.set_credentials(Credentials { certificates, ..Credentials::default() }).unwrap();
        };
        upload(&next);
        app.secrets.watch(world.now()).await;
        let error = app.marketplace.list_subscriptions(None).await.unwrap_err();
        let place =
            "MARKETPLACE_CERTIFICATE (the secret marketplace-certificate in the Key Vault) is not a certificate";
        assert!(error.detail.starts_with(place), "{}", error.detail);
        assert!(error.detail.chars().count() <= ERROR_LENGTH, "{}", error.detail);
        azure.set("marketplace-certificate", &next.both(), START);
        world.pass(REREAD_FLOOR).await;
        app.marketplace.list_subscriptions(None).await.unwrap();
    })
    .await;
}

/// The vault is asked before a certificate is used that has ended.
#[tokio::test]
async fn a_certificate_that_has_ended_is_replaced_before_it_is_shown() {
    in_azure(async |azure| {
        let short = Made::until(START + Duration::hours(1));
        azure.set("marketplace-certificate", &short.both(), START - Duration::days(100));
        let world = World::new(&azure.settings(&[("MARKETPLACE_CREDENTIAL", "certificate")])).await;
        world.dev.app.secrets.watch(world.now()).await;
        azure.set("marketplace-certificate", &some().both(), START);
        let certificates = vec![some().certificate.clone()];
        world.dev.simulator.set_credentials(Credentials { certificates, ..Credentials::default() }).unwrap();
        world.pass(Duration::hours(1)).await;
        let shown = world.dev.simulator.calls(Call::Token);
        world.dev.app.marketplace.list_subscriptions(None).await.unwrap();
        assert_eq!(world.dev.simulator.calls(Call::Token), shown + 1, "the old one was not shown");
    })
    .await;
}
