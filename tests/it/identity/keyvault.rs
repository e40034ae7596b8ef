//! Key Vault: which versions of a secret are read, and what is said where none can be had.

use marketplace_fulfillment::duty::ERROR_LENGTH;
use marketplace_fulfillment::error::{Code, Retry};
use marketplace_fulfillment::marketplace::CallErrorKind;
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::rotating::{REREAD_PATIENCE, TRUSTED_FOR};
use marketplace_fulfillment::secrets::Secrets;
use marketplace_fulfillment::settings::Settings;
use serde_json::{Value, json};
use time::Duration;

use super::azure::{Azure, IDENTITY, Mood, away_from_azure, in_azure};
use crate::log::Log;
use crate::world::{START, World};

pub(super) const CLIENT_SECRET: &str = "marketplace-client-secret";
const EVENTS_SECRET: &str = "publisher-events-secret";

/// With it somebody is told, and the key that signs is needed.
const EVENTS_URL: (&str, &str) = ("PUBLISHER_EVENTS_URL", "https://app.contoso.example/events");

/// A key for events: `whsec_` and 32 times this byte.
pub(super) fn events_key(byte: u8) -> String {
    use base64::Engine as _;
    format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode([byte; 32]))
}

/// An installation that keeps all its secrets in the vault.
pub(super) fn secrets(azure: &Azure, more: &[(&str, &str)]) -> Secrets {
    let given = [
        ("MARKETPLACE_TENANT_ID", "3e6a0e0c-7f4d-4a55-9c1b-0f8d2b7c6a10"),
        ("MARKETPLACE_CLIENT_ID", "8c2f9a44-5d1e-4b7a-a3c6-e90b1d7f2584"),
        ("SIGNIN_CLIENT_ID", "b14e7d3a-62c8-49f5-8d0b-57a9c3e6f148"),
        ("OFFERS", "contoso-offer"),
        ("PUBLIC_URL", "https://landing.contoso.example"),
        ("PUBLISHER_NAME", "Contoso"),
        ("PUBLISHER_SUPPORT_URL", "mailto:help@contoso.example"),
        ("PUBLISHER_APP_URL", "https://app.contoso.example"),
    ];
    let settings = azure.settings(&[&given[..], more].concat());
    let get = |key: &str| settings.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
    Secrets::new(&Settings::read(get).unwrap(), &outbound::client()).unwrap()
}

/// The bytes of which the keys are made that are in use now.
async fn events_in_use(secrets: &Secrets) -> Vec<u8> {
    let current = secrets.events.as_ref().unwrap().current(START).await.unwrap();
    current.value.0.iter().map(|key| key[0]).collect()
}

/// The versions, oldest first: their value, and what is special about them. Then the values in use.
#[tokio::test]
async fn the_newest_version_and_the_one_before_it_are_used_if_they_are_good() {
    type Change = fn(&mut super::azure::Version);
    type Row<'a> = (&'a [(u8, Change)], &'a [u8]);
    let as_it_is: Change = |_| ();
    let disabled: Change = |version| version.enabled = false;
    let expired: Change = |version| version.expires = Some(START);
    let to_come: Change = |version| version.not_before = Some(START + Duration::hours(1));
    let table: [Row<'_>; 8] = [
        (&[(1, as_it_is)], &[1]),
        (&[(1, as_it_is), (2, as_it_is)], &[2, 1]),
        (&[(1, as_it_is), (2, as_it_is), (3, as_it_is), (4, as_it_is), (5, as_it_is)], &[5, 4]),
        (&[(1, as_it_is), (2, disabled), (3, as_it_is)], &[3, 1]),
        (&[(1, as_it_is), (2, as_it_is), (3, disabled)], &[2, 1]),
        (&[(1, expired), (2, as_it_is)], &[2]),
        (&[(1, as_it_is), (2, to_come)], &[1]),
        (&[(1, disabled), (2, expired)], &[2]),
    ];
    in_azure(async |azure| {
        for (index, (versions, used)) in table.into_iter().enumerate() {
            azure.forget(EVENTS_SECRET);
            for (age, (value, change)) in versions.iter().rev().enumerate() {
                let created = START - Duration::days(1 + i64::try_from(age).unwrap());
                azure.set_with(EVENTS_SECRET, &events_key(*value), created, change);
            }
            assert_eq!(events_in_use(&secrets(azure, &[EVENTS_URL])).await, used, "{index}");
        }
        azure.change(EVENTS_SECRET, 0, disabled);
        azure.change(EVENTS_SECRET, 1, disabled);
        let none = secrets(azure, &[EVENTS_URL]).events.unwrap().current(START).await.unwrap_err();
        assert!(none.private.contains("no version of the secret publisher-events-secret is enabled"), "{none}");
    })
    .await;
}

#[tokio::test]
async fn many_at_once_read_once_and_nothing_is_read_at_the_start() {
    in_azure(async |azure| {
        azure.set(CLIENT_SECRET, "value", START);
        let secrets = secrets(azure, &[EVENTS_URL]);
        assert!(azure.vault_requests().is_empty() && azure.identity_requests().is_empty());
        let Secrets { proof, .. } = &secrets;
        let inspected = futures_util::future::join_all((0..20).map(|_| proof.inspect(START))).await;
        assert!(inspected.iter().all(|inspected| inspected.as_ref().unwrap().expires_at == Ok(None)));
        assert_eq!(azure.vault_requests(), [format!("/secrets/{CLIENT_SECRET}/")]);
        assert_eq!(azure.identity_requests(), [format!("https://vault.azure.net {IDENTITY}")]);
    })
    .await;
}

fn vault_error(code: &str, message: &str, inner: &str) -> Value {
    json!({ "error": { "code": code, "message": message, "innererror": { "code": inner } } })
}

#[tokio::test]
async fn each_refusal_of_the_vault_names_the_setting_and_the_fix() {
    in_azure(async |azure| {
        azure.set(CLIENT_SECRET, "s3cret-of-the-vault", START);
        // As Key Vault words it, with the caller's ids and line ends.
        let rbac = "Caller is not authorized to perform action on resource.\r\nCaller: appid=1;oid=2\r\nAction: \
                    'Microsoft.KeyVault/vaults/secrets/getSecret/action'";
        let never = Retry::Never;
        let later = Retry::Later(None);
        let waiting = Retry::Later(Some(Duration::seconds(1)));
        let table = [
            (
                401,
                vault_error("Unauthorized", "AKV10032: Invalid issuer.", ""),
                never,
                ["same tenant", "KEY_VAULT_URL"],
            ),
            (
                403,
                vault_error("Forbidden", rbac, "ForbiddenByRbac"),
                never,
                ["Key Vault Secrets User", "AZURE_CLIENT_ID"],
            ),
            (403, vault_error("Forbidden", "x", "AccessDenied"), never, ["Key Vault Secrets User", "ten minutes"]),
            (403, vault_error("Forbidden", "x", "ForbiddenByFirewall"), never, ["firewall", "Networking"]),
            (403, vault_error("Forbidden", "x", "ForbiddenByConnection"), never, ["firewall", "private endpoint"]),
            (404, vault_error("SecretNotFound", "x", ""), never, [CLIENT_SECRET, "MARKETPLACE_CLIENT_SECRET"]),
            (400, vault_error("BadParameter", "the name is odd", ""), never, ["answered 400", "the name is odd"]),
            (429, vault_error("Throttled", "x", ""), waiting, ["429", "too many calls"]),
            (503, vault_error("x", "x", ""), later, ["answered 503", "cannot be read now"]),
        ];
        for (status, body, retry, parts) in table {
            azure.set_mood(Mood::Refusing(status, body));
            let inspected = secrets(azure, &[EVENTS_URL]).proof.inspect(START).await.unwrap();
            let fault = inspected.expires_at.unwrap_err();
            assert_eq!((fault.code, fault.retry), (Code::VaultUnavailable, retry), "{status}: {fault}");
            for part in parts.into_iter().chain(["KEY_VAULT_URL"]) {
                assert!(fault.private.contains(part), "{part} in {fault}");
            }
            assert!(fault.private.chars().count() <= ERROR_LENGTH && !fault.private.contains('\r'), "{fault}");
        }
        azure.set_mood(Mood::Open);
        let no_identity = secrets(azure, &[("AZURE_CLIENT_ID", "")]).proof.inspect(START).await.unwrap();
        let fault = no_identity.expires_at.unwrap_err();
        assert!(fault.private.contains("system-assigned") && fault.retry == Retry::Never, "{fault}");
        let gone = secrets(azure, &[("KEY_VAULT_URL", "http://127.0.0.1:9")]).proof.inspect(START).await.unwrap();
        let fault = gone.expires_at.unwrap_err();
        assert!(fault.private.contains("KEY_VAULT_URL") && fault.retry == Retry::Later(None), "{fault}");
    })
    .await;
}

#[tokio::test]
async fn a_call_to_the_marketplace_says_what_the_vault_said() {
    in_azure(async |azure| {
        azure.set_mood(Mood::Refusing(403, vault_error("Forbidden", "x", "ForbiddenByRbac")));
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        let log = Log::default();
        let _captured = log.capture();
        let error = world.dev.app.marketplace.list_subscriptions(None).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Credential);
        assert!(error.detail.contains("Key Vault Secrets User"), "{}", error.detail);
        let warned = log.ours().into_iter().find(|line| line["fields"]["secret"] == CLIENT_SECRET).unwrap();
        assert_eq!(warned["fields"]["message"], "a secret cannot be read from the Key Vault");
        azure.set_mood(Mood::Refusing(503, json!({})));
        let error = world.dev.app.marketplace.list_subscriptions(None).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: false });
    })
    .await;
}

#[tokio::test]
async fn values_that_cannot_be_used_are_said_and_not_repeated() {
    in_azure(async |azure| {
        for (name, value) in [
            (CLIENT_SECRET, " "),
            ("marketplace-certificate", "not-a-certificate"),
            ("cookie-keys", "not-a-key"),
            (EVENTS_SECRET, "not-an-events-key"),
        ] {
            azure.set(name, value, START);
        }
        let secrets = secrets(azure, &[EVENTS_URL]);
        let certificate = self::secrets(azure, &[("MARKETPLACE_CREDENTIAL", "certificate")]);
        for (inspected, key) in [
            (secrets.proof.inspect(START).await.unwrap(), "MARKETPLACE_CLIENT_SECRET"),
            (certificate.proof.inspect(START).await.unwrap(), "MARKETPLACE_CERTIFICATE"),
            (secrets.cookie_keys.inspect(START).await, "COOKIE_KEYS"),
            (secrets.events.as_ref().unwrap().inspect(START).await, "PUBLISHER_EVENTS_SECRET"),
        ] {
            let fault = inspected.expires_at.unwrap_err();
            let place = format!("{key}, the secret {} in the Key Vault", inspected.name);
            assert!(fault.private.starts_with(&place) && fault.private.ends_with('.'), "{fault}");
            assert!(!fault.private.contains("not-a"), "{fault}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_token_follows_a_list_to_another_server_and_a_list_that_is_forbidden_is_done_without() {
    in_azure(async |azure| {
        for day in 1..=4 {
            azure.set(EVENTS_SECRET, &events_key(day), START - Duration::days(10 - i64::from(day)));
        }
        azure.set_mood(Mood::RefusingLists(403, vault_error("Forbidden", "x", "ForbiddenByRbac")));
        assert_eq!(events_in_use(&secrets(azure, &[EVENTS_URL])).await, [4]);
        azure.set_mood(Mood::Open);
        azure.lead_lists_elsewhere();
        let fault = secrets(azure, &[EVENTS_URL]).events.unwrap().current(START).await.unwrap_err();
        assert!(fault.private.contains("an answer names another server"), "{fault}");
    })
    .await;
}

/// A vault that hangs costs whoever holds a value two seconds, once a minute.
#[tokio::test]
async fn a_silent_vault_is_not_waited_for_where_a_value_is_at_hand() {
    in_azure(async |azure| {
        azure.set("cookie-keys", crate::settings::KEY, START - Duration::days(100));
        let secrets = secrets(azure, &[EVENTS_URL]);
        secrets.sessions(START).await.unwrap();
        azure.set_mood(Mood::Silent);
        let begun = std::time::Instant::now();
        let asked = azure.vault_requests().len();
        for second in 0..30 {
            secrets.sessions(START + TRUSTED_FOR + Duration::seconds(second)).await.unwrap();
        }
        assert!(begun.elapsed() < 2 * REREAD_PATIENCE, "{:?}", begun.elapsed());
        assert_eq!(azure.vault_requests().len(), asked + 1);
    })
    .await;
}

#[tokio::test]
async fn whoever_is_waited_for_is_named() {
    in_azure(async |azure| {
        azure.set_mood(Mood::Silent);
        let soon = std::time::Duration::from_millis(300);
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        let impatient = world.dev.app.marketplace.clone().with_timeout(soon);
        let error = impatient.list_subscriptions(None).await.unwrap_err();
        assert_eq!(error.detail, "the Key Vault or Entra did not answer our token request in time");
        azure.set_identity_mood(Mood::Silent);
        for (credential, who) in
            [("managed-identity", "the managed identity"), ("federated", "the managed identity or Entra")]
        {
            let settings = [("MARKETPLACE_CREDENTIAL", credential), ("MARKETPLACE_CLIENT_ID", IDENTITY)];
            let world = World::new(&azure.settings(&settings)).await;
            let impatient = world.dev.app.marketplace.clone().with_timeout(soon);
            let error = impatient.list_subscriptions(None).await.unwrap_err();
            assert_eq!(error.detail, format!("{who} did not answer our token request in time"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_developer_who_is_not_signed_in_is_told_how() {
    away_from_azure(async |azure| {
        azure.set(CLIENT_SECRET, "value", START);
        let inspected = secrets(azure, &[("AZURE_CLIENT_ID", "")]).proof.inspect(START).await.unwrap();
        let fault = inspected.expires_at.unwrap_err();
        assert!(fault.private.contains("az login") && fault.retry == Retry::Never, "{fault}");
        assert!(azure.vault_requests().is_empty());
    })
    .await;
}

/// A receiver that was told a new key must not be sent the old signature for ever.
#[tokio::test]
async fn a_new_key_for_events_signs_beside_the_old_one_within_minutes() {
    in_azure(async |azure| {
        azure.set(EVENTS_SECRET, &events_key(1), START - Duration::days(100));
        azure.set("cookie-keys", crate::settings::KEY, START - Duration::days(100));
        let secrets = secrets(azure, &[EVENTS_URL]);
        assert_eq!(events_in_use(&secrets).await, [1]);
        let later = START + Duration::minutes(11);
        azure.set(EVENTS_SECRET, &events_key(2), later);
        assert!(secrets.are_due(later));
        secrets.reread(later).await;
        assert_eq!(events_in_use(&secrets).await, [1, 2]);
    })
    .await;
}
