//! The doctor: where everything works it says so, and of a set-up that is broken in one place it names that place.

use std::collections::BTreeMap;

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::doctor::{self, Report, State, examine_settings};
use serde_json::{Value, json};
use time::Duration;
use url::Url;
use warp::Filter as _;

use crate::azurite;
use crate::receiver::{Receiver, SECRET, says};
use crate::settings::HANDOFF_KEY;
use crate::world::World;

/// A port that nobody listens on.
const NOBODY: &str = "http://127.0.0.1:1";

const OTHER_GUID: &str = "00000000-1111-2222-3333-444444444444";

/// What is broken.
enum Fault {
    /// A setting has another value; none where it is empty.
    Setting(&'static str, String),
    /// The client secret is in a Key Vault that nobody can reach.
    Vault,
    /// The marketplace or Entra misbehaves.
    Marketplace(Value),
    /// This machine's clock is off by so much.
    Clock(Duration),
}

async fn examine(world: &World, fault: &Fault) -> Report {
    let mut settings: BTreeMap<String, String> = world.dev.settings.clone();
    let mut now = world.now();
    match fault {
        Fault::Setting(key, value) => drop(settings.insert((*key).to_owned(), value.clone())),
        Fault::Vault => settings.extend(
            [("KEY_VAULT_URL", NOBODY), ("MARKETPLACE_CLIENT_SECRET", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        ),
        Fault::Marketplace(faults) => world.faults(faults.clone()).await,
        Fault::Clock(off) => now += *off,
    }
    let report = examine_settings(|key| settings.get(key).cloned(), Clock::manual(now)).await;
    world.faults(json!({})).await;
    report
}

/// Something in front of the app, or in its place, that answers everybody alike.
async fn front_door(status: u16, body: &'static str) -> String {
    let status = warp::http::StatusCode::from_u16(status).unwrap();
    let answer = warp::any().map(move || warp::reply::with_status(body, status));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it stands there as long as the story's runtime")]
    tokio::spawn(warp::serve(answer).incoming(listener).run());
    format!("http://{address}")
}

#[tokio::test]
async fn where_everything_works_the_doctor_says_so() {
    let world = World::on_azurite().await;
    let report = examine(&world, &Fault::Marketplace(json!({}))).await;
    assert!(report.works(), "{report}");
    assert!(report.to_string().ends_with("\nEverything works."), "{report}");
    for about in [
        "version",
        "settings",
        "tables",
        "queues",
        "poison queues",
        "cookie keys",
        "credential",
        "marketplace token",
        "marketplace",
        "webhook keys",
        "sign-in",
        "clock",
        "PUBLIC_URL",
        "headers",
    ] {
        let found = report.findings.iter().filter(|finding| finding.about == about).count();
        assert_eq!(found, 1, "{about}: {report}");
    }
    let token = report.findings.iter().find(|finding| finding.about == "marketplace token").unwrap();
    assert!(token.says.contains(&world.dev.settings["MARKETPLACE_CLIENT_ID"]), "{token:?}");
    assert_eq!(report.to_json()["works"], true);
}

/// Where buyers are handed over, the keys are tried as well.
#[tokio::test]
async fn the_keys_of_a_hand_off_are_tried_where_there_is_one() {
    let world = World::new(&[("HANDOFF_KEYS", HANDOFF_KEY), ("PUBLISHER_HANDOFF_URL", "https://a.example/")]).await;
    let report = examine(&world, &Fault::Marketplace(json!({}))).await;
    let found = report.findings.iter().find(|finding| finding.about == "hand-off keys").unwrap();
    let kid = "Mt_zf6C8xAcynK6YiiIdN8eUrEXFA8iM4_CIWXlFl5I";
    let says =
        format!("HANDOFF_KEYS can be read; it has no date of expiry; {kid} signs, 1 at {}", world.url("/api/keys"));
    assert_eq!((found.state, found.says.as_str()), (State::Good, says.as_str()), "{report}");
    let report = examine(&world, &Fault::Setting("PUBLISHER_HANDOFF_URL", String::new())).await;
    assert!(!report.to_string().contains("hand-off"), "{report}");
    let mut settings = world.dev.settings.clone();
    settings.extend(
        [("HANDOFF_KEYS", ""), ("KEY_VAULT_URL", NOBODY)].map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let report = examine_settings(|key| settings.get(key).cloned(), Clock::manual(world.now())).await;
    let found = report.findings.iter().find(|finding| finding.about == "hand-off keys").unwrap();
    assert!(found.state == State::Bad && found.says.contains("Key Vault"), "{report}");
}

/// The doctor makes what is missing: an account without tables and queues works afterwards.
#[tokio::test]
async fn the_doctor_makes_the_tables_and_queues() {
    let world = World::on_azurite().await;
    let empty = azurite::account().connection_string();
    let report = examine(&world, &Fault::Setting("AzureWebJobsStorage", empty)).await;
    assert!(report.works(), "{report}");
}

#[tokio::test]
async fn a_message_in_a_poison_queue_is_noticed() {
    let world = World::on_azurite().await;
    world.dev.account.put("changes-poison", b"x".to_vec(), Duration::ZERO).await.unwrap();
    let report = examine(&world, &Fault::Marketplace(json!({}))).await;
    assert!(report.works(), "{report}");
    let noticed = report.findings.iter().find(|finding| finding.state == State::Notice).unwrap();
    assert!(noticed.says.contains("changes-poison holds 1"), "{report}");
}

#[tokio::test]
async fn one_thing_is_broken_at_a_time_and_the_doctor_names_it() {
    let world = World::on_azurite().await;
    let storage = world.dev.settings["AzureWebJobsStorage"].clone();
    let simulator = world.dev.simulator_url.as_str().trim_end_matches('/').to_owned();
    let set = |key, value: &str| Fault::Setting(key, value.to_owned());
    let refuse = |status: &str| {
        Fault::Marketplace(json!({ "rules": [{ "operation": "list-subscriptions", "answer": status }] }))
    };
    let table = [
        // Settings
        (set("OFFERS", ""), "settings", "OFFERS is not set"),
        (set("MARKETPLACE_CLIENT_ID", "8c2f9a44-5d1e"), "settings", "MARKETPLACE_CLIENT_ID is not a GUID"),
        (set("CHANGE_POLICY", "{"), "settings", "CHANGE_POLICY"),
        (set("COOKIE_KEYS", "c2hvcnQ="), "settings", "COOKIE_KEYS is not usable"),
        (set("MARKETPLACE_CLIENT_SECRET", ""), "settings", "KEY_VAULT_URL"),
        (set("PUBLIC_URL", "http://landing.contoso.example"), "settings", "PUBLIC_URL must begin with https://"),
        // Storage
        (set("AzureWebJobsStorage", ""), "tables", "set AzureWebJobsStorage"),
        (set("AzureWebJobsStorage", "AccountName=contoso"), "settings", "neither AccountKey nor SharedAccessSignature"),
        (
            set("AzureWebJobsStorage", &storage.replace(azurite::KEY, "b3RoZXI=")),
            "tables",
            "AzureWebJobsStorage has a key that is not this account's",
        ),
        (
            set(
                "AzureWebJobsStorage",
                &format!("AccountName=a00;AccountKey=eA==;QueueEndpoint={NOBODY}/a00;TableEndpoint={NOBODY}/a00"),
            ),
            "tables",
            "storage at 127.0.0.1 cannot be reached",
        ),
        // Secrets
        (Fault::Vault, "credential", "Key Vault"),
        // The marketplace, and our application there
        (set("MARKETPLACE_CLIENT_SECRET", "wrong"), "marketplace token", "AADSTS7000215"),
        (Fault::Marketplace(json!({ "secretExpired": true })), "marketplace token", "AADSTS7000222"),
        (set("MARKETPLACE_CLIENT_ID", OTHER_GUID), "marketplace token", "AADSTS700016"),
        (set("MARKETPLACE_TENANT_ID", OTHER_GUID), "marketplace token", "MARKETPLACE_TENANT_ID names no tenant"),
        (refuse("403"), "marketplace", "Technical configuration page in Partner Center"),
        (refuse("401"), "marketplace", "Technical configuration page in Partner Center"),
        (refuse("503"), "marketplace", "503"),
        (set("MARKETPLACE_API_URL", &format!("{NOBODY}/api")), "marketplace", "Is MARKETPLACE_API_URL right"),
        // Entra
        (set("ENTRA_AUTHORITY_URL", NOBODY), "marketplace token", "ENTRA_AUTHORITY_URL"),
        (set("ENTRA_AUTHORITY_URL", &simulator), "marketplace token", "Entra"),
        (Fault::Clock(Duration::minutes(10)), "clock", "600 seconds ahead of Entra's: tokens are refused"),
        // The way to us
        (set("PUBLIC_URL", NOBODY), "PUBLIC_URL", "cannot be connected to"),
        (set("PUBLIC_URL", &simulator), "PUBLIC_URL", "answers 404: no such function there"),
        (set("PUBLIC_URL", &front_door(302, "").await), "PUBLIC_URL", "turn App Service authentication off"),
        (
            set("PUBLIC_URL", &front_door(401, "").await),
            "PUBLIC_URL",
            "something in front of the app wants to know who",
        ),
        (set("PUBLIC_URL", &front_door(502, "").await), "PUBLIC_URL", "the app does not run"),
        (set("PUBLIC_URL", &front_door(200, "Welcome!").await), "PUBLIC_URL", "something else than this app"),
        (
            set(
                "PUBLIC_URL",
                &front_door(200, r#"{"status":"ok","arrived":["cookie","origin","sec-fetch-site"]}"#).await,
            ),
            "headers",
            "takes away: authorization",
        ),
    ];
    for (fault, about, says) in table {
        let report = examine(&world, &fault).await;
        let first = report.findings.iter().find(|finding| finding.state == State::Bad);
        let first = first.unwrap_or_else(|| panic!("nothing is wrong, instead of {about}: {says}\n{report}"));
        assert_eq!(first.about, about, "{says}\n{report}");
        assert!(first.says.contains(says), "{says}\n{report}");
        assert!(!report.works(), "{report}");
        let secrets = [storage.as_str(), &world.dev.settings["MARKETPLACE_CLIENT_SECRET"], "b3RoZXI="];
        assert!(!secrets.iter().any(|secret| report.to_string().contains(secret)), "{report}");
    }
}

#[tokio::test]
async fn the_same_where_the_app_runs() {
    let world = World::on_azurite().await;
    let url: Url = world.url("/api/doctor");
    let answer = world.http.get(url.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let report: Value = answer.json().await.unwrap();
    assert_eq!(report["works"], true, "{report:#}");
    world.faults(json!({ "rules": [{ "operation": "list-subscriptions", "answer": "403" }] })).await;
    let answer = world.http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let report: Value = answer.json().await.unwrap();
    let broken = report["findings"].as_array().unwrap().iter().find(|finding| finding["state"] == "broken").unwrap();
    assert_eq!(broken["about"], "marketplace", "{report:#}");
}

/// What is set, what befell it, and what the doctor says of the publisher's own software.
#[tokio::test]
async fn the_publishers_software_is_looked_for_and_told_nothing() {
    let receiver = Receiver::start().await;
    let questions = [("ACTIVATION", "publisher"), ("PUBLISHER_PROVISION_URL", "/provision")];
    let world = receiver.world(&[("PUBLISHER_EVENTS_URL", "/events"), questions[0], questions[1]]).await;
    let said = async |about: &str| {
        let report = doctor::examine(&world.dev.app).await;
        let found = report.findings.iter().find(|finding| finding.about == about);
        found.map(|finding| (finding.state, finding.says.clone())).unwrap()
    };
    assert_eq!(said("events endpoint").await.0, State::Good);
    assert_eq!(said("provision endpoint").await.0, State::Good);
    receiver.answer("/events", says(500));
    world.visitor().arrive(&world.silver().await.landing_url, "buyer").await;
    world.pass(Duration::seconds(10)).await;
    let (state, words) = said("events endpoint").await;
    assert!(state == State::Notice && words.contains("nothing has arrived since 2026-11-20"), "{words}");
    receiver.answer("/events", says(410));
    world.pass(Duration::minutes(2)).await;
    let (state, words) = said("events endpoint").await;
    assert!(state == State::Bad && words.contains("parked") && words.contains("events/resume"), "{words}");
    let told = receiver.received().len();
    said("events endpoint").await;
    assert_eq!(receiver.received().len(), told, "nothing is sent");

    let inside = [("PUBLISHER_EVENTS_URL", "https://10.1.2.3/events"), ("PUBLISHER_EVENTS_SECRET", SECRET)];
    let world = World::new(&inside).await;
    let report = doctor::examine(&world.dev.app).await;
    let found = report.findings.iter().find(|finding| finding.about == "events endpoint").unwrap();
    assert!(found.state == State::Bad && found.says.contains("PUBLISHER_ALLOWED_HOSTS"), "{found:?}");
}
