//! The settings by which `dev` connects the publisher's software.

use std::collections::BTreeMap;
use std::path::Path;

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::{self, Dev, EVENTS_SECRET};

async fn dev(app: Option<&str>, environment: &[(&str, &str)]) -> Result<Dev, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let options = dev::Options {
        port: 0,
        simulator_port: 0,
        enable_auth: false,
        seed: 7,
        app_root: Some(Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()),
        traceparent: false,
        clock: Clock::System,
        app: app.map(|app| app.parse().unwrap()),
        environment: environment.iter().map(owned).collect(),
        storage: None,
        program: None,
    };
    dev::start(options).await
}

/// The addresses of the publisher's software, by the last words of their settings.
async fn addresses(app: Option<&str>, environment: &[(&str, &str)]) -> (String, BTreeMap<&'static str, String>) {
    let dev = dev(app, environment).await.expect("dev starts");
    let set = ["EVENTS", "PROVISION", "SETUP", "DECISIONS", "HANDOFF"].into_iter().filter_map(|name| {
        let value = dev.settings.get(&format!("PUBLISHER_{name}_URL")).filter(|value| !value.is_empty())?;
        Some((name, value.clone()))
    });
    (dev.simulator_url.to_string(), set.collect())
}

fn expected(addresses: &[(&'static str, &str)]) -> BTreeMap<&'static str, String> {
    addresses.iter().map(|(name, address)| (*name, (*address).to_owned())).collect()
}

#[tokio::test]
async fn without_an_app_the_simulator_receives() {
    let (simulator, set) = addresses(None, &[]).await;
    let at = |path: &str| format!("{simulator}publisher/{path}");
    assert_eq!(set, expected(&[("EVENTS", &at("events")), ("HANDOFF", &at("handoff"))]));

    let (simulator, set) = addresses(None, &[("ACTIVATION", "publisher")]).await;
    let at = |path: &str| format!("{simulator}publisher/{path}");
    let (events, provision, handoff) = (at("events"), at("provision"), at("handoff"));
    let all = [("EVENTS", &*events), ("PROVISION", &provision), ("SETUP", &handoff), ("HANDOFF", &handoff)];
    assert_eq!(set, expected(&all));
}

#[tokio::test]
async fn an_app_gets_everything_below_its_address() {
    for app in ["http://127.0.0.1:3000", "http://127.0.0.1:3000/"] {
        let (_, set) = addresses(Some(app), &[]).await;
        let all = [
            ("EVENTS", "http://127.0.0.1:3000/events"),
            ("DECISIONS", "http://127.0.0.1:3000/decisions"),
            ("HANDOFF", "http://127.0.0.1:3000/handoff"),
        ];
        assert_eq!(set, expected(&all), "{app}");
    }
    let (_, set) = addresses(Some("http://localhost:3000/app/"), &[("ACTIVATION", "publisher")]).await;
    let all = [
        ("EVENTS", "http://localhost:3000/app/events"),
        ("PROVISION", "http://localhost:3000/app/provision"),
        ("SETUP", "http://localhost:3000/app/handoff"),
        ("DECISIONS", "http://localhost:3000/app/decisions"),
        ("HANDOFF", "http://localhost:3000/app/handoff"),
    ];
    assert_eq!(set, expected(&all));
    for wrong in
        ["ftp://127.0.0.1", "http://127.0.0.1:3000/?a=b", "http://127.0.0.1:3000/#a", "mailto:me@contoso.example"]
    {
        let problem = dev(Some(wrong), &[]).await.err().expect("no address of an app");
        assert!(problem.starts_with("--app is "), "{problem}");
    }
}

#[tokio::test]
async fn the_environment_has_the_last_word() {
    let environment = [
        ("PUBLISHER_EVENTS_URL", "http://localhost:9/in"),
        ("PUBLISHER_HANDOFF_URL", ""),
        ("PUBLISHER_DECISIONS_URL", "http://[::1]:9/decide"),
    ];
    let (_, set) = addresses(None, &environment).await;
    assert_eq!(set, expected(&[("EVENTS", "http://localhost:9/in"), ("DECISIONS", "http://[::1]:9/decide")]));
}

#[tokio::test]
async fn the_secret_is_told_unless_it_is_somebodys_own() {
    let open = dev(None, &[]).await.unwrap();
    let events = format!("{}publisher/events", open.simulator_url);
    assert_eq!(open.connection_line().unwrap(), format!("events go to {events}, signed with {EVENTS_SECRET}"));
    let own = dev(None, &[("PUBLISHER_EVENTS_SECRET", crate::message::SECRET)]).await.unwrap();
    assert_eq!(own.connection_line(), None);
    let nobody = dev(None, &[("PUBLISHER_EVENTS_URL", "")]).await.unwrap();
    assert_eq!(nobody.connection_line(), None);
    // Each run has a key of its own for hand-offs.
    assert_ne!(open.settings["HANDOFF_KEYS"], own.settings["HANDOFF_KEYS"]);
}
