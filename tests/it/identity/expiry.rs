//! A secret that is about to end is said in the log: in time, once a day, and louder when it has ended.

use marketplace_fulfillment::dev::simulator::CLIENT_SECRET;
use marketplace_fulfillment::functions::reconcile;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::azure::in_azure;
use super::certificate::Made;
use super::keyvault::secrets;
use crate::log::Log;
use crate::world::{START, World};

const SOON: &str = "a secret expires soon";
const EXPIRED: &str = "a secret has expired";

/// What the log said of secrets that end: level, message, name and day.
fn said(log: &Log) -> Vec<(String, String, String, String)> {
    let text = |line: &Value, key: &str| line["fields"][key].as_str().unwrap_or_default().to_owned();
    let of_secrets = log.ours().into_iter().filter(|line| line["fields"]["expires_at"].is_string());
    of_secrets
        .map(|line| {
            let level = line["level"].as_str().unwrap().to_owned();
            (level, text(&line, "message"), text(&line, "secret"), text(&line, "expires_at"))
        })
        .collect()
}

fn line(level: &str, message: &str, secret: &str, expires_at: &str) -> (String, String, String, String) {
    [level, message, secret, expires_at].map(str::to_owned).into()
}

#[tokio::test]
async fn a_given_certificate_is_announced_29_days_ahead_and_not_31() {
    let until = START + Duration::days(40);
    let both = Made::until(until).both();
    let settings = [("MARKETPLACE_CREDENTIAL", "certificate"), ("MARKETPLACE_CERTIFICATE", both.as_str())];
    let world = World::new(&settings).await;
    let (log, app) = (Log::default(), &world.dev.app);
    let _captured = log.capture();
    let day = "2026-12-30T09:00:00Z";
    app.secrets.watch(until - Duration::days(31)).await;
    assert!(said(&log).is_empty(), "{:?}", said(&log));
    for (before, told) in [(Duration::days(29), 1), (Duration::hours(29 * 24 - 23), 1), (Duration::days(28), 2)] {
        app.secrets.watch(until - before).await;
        assert_eq!(said(&log).len(), told, "{before}: {:?}", said(&log));
    }
    assert_eq!(said(&log)[0], line("WARN", SOON, "MARKETPLACE_CERTIFICATE", day));
    app.secrets.watch(until - Duration::seconds(1)).await;
    app.secrets.watch(until).await;
    app.secrets.watch(until + Duration::hours(23)).await;
    app.secrets.watch(until + Duration::days(1)).await;
    let expired = line("ERROR", EXPIRED, "MARKETPLACE_CERTIFICATE", day);
    assert_eq!(said(&log)[3..], [expired.clone(), expired], "at once, and then once a day");
    assert!(!log.text().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn each_secret_in_the_vault_is_announced_by_its_date_or_its_own() {
    in_azure(async |azure| {
        let in_days = |days| Some(START + Duration::days(days));
        let set = |name: &str, value: &str, age, expires: Option<OffsetDateTime>| {
            azure.set_with(name, value, START - Duration::days(age), |version| version.expires = expires);
        };
        set("marketplace-client-secret", CLIENT_SECRET, 100, in_days(29));
        // Of two keys the newest counts: the one before it is on its way out.
        set("cookie-keys", crate::settings::KEY, 100, in_days(3));
        set("cookie-keys", crate::settings::KEY, 50, in_days(31));
        set("marketplace-certificate", &Made::until(START + Duration::days(20)).both(), 100, in_days(300));
        set("handoff-keys", crate::settings::HANDOFF_KEY, 100, in_days(5));
        // Nobody is told anything here, so nothing uses it.
        set("publisher-events-secret", &super::keyvault::events_key(1), 100, in_days(1));
        let log = Log::default();
        let _captured = log.capture();
        let installation = secrets(azure, &[]);
        installation.watch(START).await;
        let hands_over = ("PUBLISHER_HANDOFF_URL", crate::handoff::HANDOFF);
        secrets(azure, &[("MARKETPLACE_CREDENTIAL", "certificate"), hands_over]).watch(START).await;
        let expected = [
            line("WARN", SOON, "marketplace-client-secret", "2026-12-19T09:00:00Z"),
            line("WARN", SOON, "marketplace-certificate", "2026-12-10T09:00:00Z"),
            line("WARN", SOON, "handoff-keys", "2026-11-25T09:00:00Z"),
        ];
        assert_eq!(said(&log), expected);

        // A new version ends it.
        set("marketplace-client-secret", "newer", 1, in_days(365));
        installation.watch(START + Duration::days(1)).await;
        let cookies = line("WARN", SOON, "cookie-keys", "2026-12-21T09:00:00Z");
        assert_eq!(said(&log)[3..], [cookies]);
        let text = log.text();
        for value in [CLIENT_SECRET, crate::settings::KEY, "PRIVATE KEY", "newer-", "eyJ"] {
            assert!(!text.contains(value), "{value} in {text}");
        }
    })
    .await;
}

/// The app may be idle: then only its timers run, and the hourly one looks, even where it fails.
#[tokio::test]
async fn reconciliation_looks_every_hour_and_reads_the_vault_once() {
    in_azure(async |azure| {
        azure.set_with("marketplace-client-secret", CLIENT_SECRET, START - Duration::days(90), |version| {
            version.expires = Some(START + Duration::hours(2));
        });
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        world.faults(json!({ "rules": [{ "operation": "list-subscriptions", "answer": "503" }] })).await;
        let log = Log::default();
        let _captured = log.capture();
        for hour in 0..4 {
            let now = START + Duration::hours(hour);
            assert!(reconcile::run(&world.dev.app, now).await.is_err());
        }
        let (soon, expired) = (said(&log)[0].1.clone(), said(&log)[1].1.clone());
        assert_eq!((said(&log).len(), soon.as_str(), expired.as_str()), (2, SOON, EXPIRED));
        let asked = azure.vault_requests();
        let reads = asked.iter().filter(|path| !path.ends_with("versions")).count();
        assert_eq!(reads, 4, "{asked:?}");
    })
    .await;
}
