//! Settings, as lines `KEY=value` over the least that is needed: every problem names a key and holds no secret, and
//! what is taken can be used as it is.

use std::collections::BTreeMap;

use marketplace_fulfillment::settings::{KEYS, Problems, Settings, StorageAccess, is_loopback};
use url::Url;

use super::{SECRET, text};

/// The least that is needed.
pub const LEAST: [(&str, &str); 10] = [
    ("MARKETPLACE_TENANT_ID", "3e6a0e0c-7f4d-4a55-9c1b-0f8d2b7c6a10"),
    ("MARKETPLACE_CLIENT_ID", "8c2f9a44-5d1e-4b7a-a3c6-e90b1d7f2584"),
    ("MARKETPLACE_CLIENT_SECRET", "s3cret-value"),
    ("SIGNIN_CLIENT_ID", "b14e7d3a-62c8-49f5-8d0b-57a9c3e6f148"),
    ("OFFERS", "contoso-offer"),
    ("PUBLIC_URL", "https://landing.contoso.example"),
    ("PUBLISHER_NAME", "Contoso"),
    ("PUBLISHER_SUPPORT_URL", "mailto:help@contoso.example"),
    ("PUBLISHER_APP_URL", "https://app.contoso.example"),
    ("COOKIE_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
];

/// The settings that hold secrets.
const SECRETS: [&str; 6] = [
    "AzureWebJobsStorage",
    "COOKIE_KEYS",
    "HANDOFF_KEYS",
    "MARKETPLACE_CERTIFICATE",
    "MARKETPLACE_CLIENT_SECRET",
    "PUBLISHER_EVENTS_SECRET",
];

/// The least that is needed, with these in place of it.
pub fn read(more: &[(&str, &str)]) -> Result<Settings, Problems> {
    let environment: BTreeMap<&str, &str> = LEAST.iter().chain(more).copied().collect();
    Settings::read(|key| environment.get(key).map(|value| (*value).to_owned()))
}

pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let read = read(&lines);
    let shown = match &read {
        Ok(settings) => {
            usable(settings);
            format!("{settings:?}")
        }
        Err(problems) => {
            for problem in &problems.0 {
                assert!(KEYS.iter().any(|key| problem.contains(key)), "names no key: {problem}");
            }
            problems.to_string()
        }
    };
    let told_elsewhere = lines.iter().any(|(key, value)| !SECRETS.contains(key) && value.contains(SECRET));
    assert!(told_elsewhere || !shown.contains(SECRET), "a secret is told: {shown}");
}

fn usable(settings: &Settings) {
    let ours = Url::parse(&settings.function_url("signin")).expect("the address of a function is a URL");
    assert_eq!(ours.origin(), settings.public_url.origin());
    assert!(ours.path().ends_with("/api/signin"), "{ours}");
    let safe = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    assert!(safe(&settings.public_url) && safe(&settings.marketplace.api_url) && safe(&settings.entra.authority));
    let connection = &settings.connection;
    let called = [&connection.events, &connection.provision, &connection.decisions, &connection.handoff];
    assert!(called.into_iter().flatten().all(safe), "{connection:?}");
    assert!(
        !settings.offers.is_empty() && settings.offers.iter().all(|offer| settings.serves(&format!("{offer}-preview")))
    );
    if let Some(storage) = &settings.storage {
        assert!(safe(&storage.queues) && safe(&storage.tables), "{storage:?}");
        let identity = matches!(storage.access, StorageAccess::Identity { .. });
        assert!(!identity || storage.tables.scheme() == "https", "an identity's token in the clear: {storage:?}");
    }
}
