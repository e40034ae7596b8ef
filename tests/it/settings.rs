//! Settings: every problem is one sentence that names its key and the fix, and all come at once.

use std::collections::BTreeMap;

use marketplace_fulfillment::duty::Verdict;
use marketplace_fulfillment::marketplace::CallErrorKind;
use marketplace_fulfillment::settings::{Credential, EventsSecret, Problems, Settings, Source, vault_name};

use crate::world::World;

pub(crate) const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A private key of P-256, made for these tests.
pub(crate) const HANDOFF_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQIWiLe+M7OnMF9zVrlKX8JNHxy7s/+64wfa2Ve86AEOhRANCAAQdeukvYL5lOLQ3zPqFVL19fLZLZxziBPskk/Ca/8LNdH8X6Ge640pays9vkcfakfMrj/Mzv3Xy4ONlrKGukyms";

/// The least that is needed.
pub(crate) fn good() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("MARKETPLACE_TENANT_ID", "3e6a0e0c-7f4d-4a55-9c1b-0f8d2b7c6a10"),
        ("MARKETPLACE_CLIENT_ID", "8C2F9A445D1E4B7AA3C6E90B1D7F2584"),
        ("MARKETPLACE_CLIENT_SECRET", "s3cret-value"),
        ("SIGNIN_CLIENT_ID", "b14e7d3a-62c8-49f5-8d0b-57a9c3e6f148"),
        ("OFFERS", "contoso-offer, other-preview"),
        ("PUBLIC_URL", "https://landing.contoso.example"),
        ("PUBLISHER_NAME", "Contoso"),
        ("PUBLISHER_SUPPORT_URL", "mailto:help@contoso.example"),
        ("PUBLISHER_APP_URL", "https://app.contoso.example"),
        ("COOKIE_KEYS", KEY),
    ])
}

fn read(settings: &BTreeMap<&str, &str>) -> Result<Settings, Problems> {
    Settings::read(|key| settings.get(key).map(|value| (*value).to_owned()))
}

/// The least that is needed, and these.
pub(crate) fn with<'a>(more: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Settings, Problems> {
    let mut settings: BTreeMap<&str, &str> = good();
    settings.extend(more);
    read(&settings)
}

/// The settings with this policy.
pub(crate) fn with_policy(json: &str) -> Result<Settings, Problems> {
    let mut settings = good();
    settings.insert("CHANGE_POLICY", json);
    read(&settings)
}

#[test]
fn the_least_that_is_needed_means_microsoft() {
    let settings = read(&good()).unwrap();
    assert_eq!(settings.marketplace.api_url.as_str(), "https://marketplaceapi.microsoft.com/api");
    let hosts = ["marketplaceapi.microsoft.com", "main.prod.marketplaceapi.azure.com"];
    assert_eq!(settings.marketplace.api_hosts, hosts);
    assert_eq!(settings.entra.authority.as_str(), "https://login.microsoftonline.com/");
    assert_eq!(settings.marketplace.client_id, "8c2f9a44-5d1e-4b7a-a3c6-e90b1d7f2584");
    assert_eq!(settings.function_url("signin"), "https://landing.contoso.example/api/signin");
    for (offer, served) in [
        ("contoso-offer", true),
        ("contoso-offer-preview", true),
        ("Contoso-Offer", true),
        ("other", true),
        ("third", false),
        ("contoso", false),
        ("", false),
    ] {
        assert_eq!(settings.serves(offer), served, "{offer}");
    }
}

/// One wrong setting, and what its one sentence must say.
#[test]
fn one_wrong_setting_is_one_sentence() {
    let two_and_a_half = format!("{KEY},{KEY},{KEY}");
    let three_events_keys = format!("whsec_{KEY},whsec_{KEY},whsec_{KEY}");
    let table = [
        ("MARKETPLACE_TENANT_ID", "", "Microsoft Entra tenant ID"),
        ("MARKETPLACE_TENANT_ID", "contoso.onmicrosoft.com", "not a GUID"),
        ("MARKETPLACE_CLIENT_ID", "", "Technical configuration page in Partner Center"),
        ("MARKETPLACE_CLIENT_ID", "contoso", "Microsoft Entra application ID"),
        ("MARKETPLACE_CLIENT_SECRET", "", "client secret of the app registration"),
        ("MARKETPLACE_CREDENTIAL", "password", "\"federated\", \"certificate\" or \"secret\""),
        ("MARKETPLACE_CREDENTIAL", "certificate", "MARKETPLACE_CERTIFICATE is not set, and no Key Vault is named"),
        ("AZURE_CLIENT_ID", "contoso-identity", "client id of the user-assigned managed identity"),
        ("KEY_VAULT_URL", "http://contoso.vault.azure.net", "must begin with https://"),
        ("KEY_VAULT_URL", "https://contoso.vault.azure.net/secrets", "Vault URI"),
        ("KEY_VAULT_URL", "https://contoso.vault.azure.net?a=b", "Vault URI"),
        ("PUBLISHER_EVENTS_SECRET", "c2VjcmV0", "does not begin with whsec_"),
        ("PUBLISHER_EVENTS_SECRET", "whsec_%%%", "not base64"),
        ("PUBLISHER_EVENTS_SECRET", "whsec_c2hvcnQ=", "a key has 5 bytes; it must be one or two keys"),
        ("PUBLISHER_EVENTS_SECRET", three_events_keys.as_str(), "it holds 3 keys"),
        ("RECONCILE", "off", "\"repair\" or \"observe\""),
        ("SIGNIN_CLIENT_ID", "", "multi-tenant app registration"),
        ("OFFERS", "", "offer ids"),
        ("OFFERS", " , ,", "names no offer"),
        ("PUBLIC_URL", "", "WEBSITE_HOSTNAME"),
        ("PUBLIC_URL", "landing.contoso.example", "not a URL"),
        ("PUBLIC_URL", "http://landing.contoso.example", "must begin with https://"),
        ("PUBLIC_URL", "mailto:a@b.example", "must begin with https://"),
        ("PUBLIC_URL", "https://landing.contoso.example/?a=b", "without a query"),
        ("PUBLIC_URL", "https://landing.contoso.example/#a", "without a fragment"),
        ("MARKETPLACE_API_URL", "http://10.0.0.1/api", "must begin with https://"),
        ("ENTRA_AUTHORITY_URL", "ftp://x", "must begin with https://"),
        ("PUBLISHER_NAME", " ", "buyers know you"),
        ("PUBLISHER_SUPPORT_URL", "", "https://"),
        ("PUBLISHER_APP_URL", "javascript:alert(1)", "must begin with https://"),
        ("COOKIE_KEYS", "", "openssl rand -base64 32"),
        ("COOKIE_KEYS", ",", "openssl rand -base64 32"),
        ("COOKIE_KEYS", "c2hvcnQ=", "openssl rand -base64 32"),
        ("COOKIE_KEYS", two_and_a_half.as_str(), "one or two"),
        ("CHANGE_POLICY", "accept", "cannot be read: expected value at line 1 column 1"),
        ("CHANGE_POLICY", "{} {}", "cannot be read: trailing characters"),
        ("CHANGE_POLICY", "[]", "cannot be read: invalid"),
        ("CHANGE_POLICY", r#"{"default":"maybe"}"#, ": default cannot be read: unknown variant `maybe`"),
        ("CHANGE_POLICY", r#"{"seatLimit":[]}"#, ": seatLimit cannot be read: unknown field `seatLimit`"),
        ("CHANGE_POLICY", r#"{"default":"accept","default":"refuse"}"#, "duplicate field `default`"),
        (
            "CHANGE_POLICY",
            r#"{"seatLimits":[{"plan":"a","least":1}]}"#,
            ": seatLimits[0].least cannot be read: unknown",
        ),
        ("CHANGE_POLICY", r#"{"seatLimits":[{"plan":"a","min":-1}]}"#, ": seatLimits[0].min cannot be read: invalid"),
        ("CHANGE_POLICY", r#"{"seatLimits":[{"min":1}]}"#, ": seatLimits[0] cannot be read: missing field `plan`"),
        ("CHANGE_POLICY", r#"{"seatLimits":[{"plan":"a"}]}"#, ": seatLimits[0] sets no limit"),
        ("CHANGE_POLICY", r#"{"seatLimits":[{"plan":" ","min":1}]}"#, ": seatLimits[0].plan names no plan"),
        ("CHANGE_POLICY", r#"{"seatLimits":[{"plan":"a","min":3,"max":2}]}"#, ": seatLimits[0].min is greater than"),
        ("CHANGE_POLICY", r#"{"seatLimits":[{"plan":"a","max":0}]}"#, ": seatLimits[0].max is 0"),
        (
            "CHANGE_POLICY",
            r#"{"seatLimits":[{"plan":"a","min":1},{"plan":"A","max":2}]}"#,
            ": seatLimits[1].plan names",
        ),
        ("CHANGE_POLICY", r#"{"allowPlanChanges":[{"from":"a"}]}"#, ": allowPlanChanges[0] cannot be read: missing"),
        ("CHANGE_POLICY", r#"{"allowPlanChanges":[{"from":"a","to":"A"}]}"#, ": allowPlanChanges[0] leads from a plan"),
        ("CHANGE_POLICY", r#"{"allowPlanChanges":[{"from":"a","to":""}]}"#, ": allowPlanChanges[0].to names no plan"),
        ("CHANGE_POLICY", r#"{"blockDowngrades":{}}"#, ": blockDowngrades blocks nothing"),
        (
            "CHANGE_POLICY",
            r#"{"blockDowngrades":{"planOrder":["a"]}}"#,
            ": blockDowngrades.planOrder needs at least two",
        ),
        ("CHANGE_POLICY", r#"{"blockDowngrades":{"planOrder":["a",""]}}"#, ": blockDowngrades.planOrder[1] names no"),
        ("CHANGE_POLICY", r#"{"blockDowngrades":{"planOrder":["a","A "]}}"#, ": blockDowngrades.planOrder[1] names a"),
        (
            "CHANGE_POLICY",
            r#"{"allowPlanChanges":[{"from":"b","to":"a"}],"blockDowngrades":{"planOrder":["a","b"]}}"#,
            ": allowPlanChanges[0] allows what blockDowngrades.planOrder blocks",
        ),
    ];
    for (key, value, says) in table {
        let mut settings = good();
        settings.insert(key, value);
        let problems = read(&settings).expect_err(key).0;
        assert_eq!(problems.len(), 1, "{key}={value:?}: {problems:?}");
        let sentence = &problems[0];
        // A credential may ask for another setting.
        let names = sentence.starts_with(key) || value == "certificate";
        assert!(names, "{key}={value:?}: {sentence}");
        assert!(sentence.contains(says) && sentence.ends_with('.'), "{key}={value:?}: {sentence}");
    }
}
/// Which secrets must be given, by the credential, the vault and what else is set.
#[test]
fn a_secret_is_given_or_in_the_vault_or_a_problem() {
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    const VAULT: (&str, &str) = ("KEY_VAULT_URL", "https://contoso.vault.azure.net");
    const CLIENT: (&str, &str) = ("AZURE_CLIENT_ID", "8c2f9a44-5d1e-4b7a-a3c6-e90b1d7f2584");
    const OTHER: (&str, &str) = ("AZURE_CLIENT_ID", "1d5d1f3a-77b2-4a0b-8f43-0c4a5c0e9d21");
    let by = |value| ("MARKETPLACE_CREDENTIAL", value);
    let broken = ("MARKETPLACE_CERTIFICATE", "not-a-certificate");
    let table: [Row; 11] = [
        (&[], &["MARKETPLACE_CLIENT_SECRET", "COOKIE_KEYS"]),
        (&[VAULT], &[]),
        (&[VAULT, ("COOKIE_KEYS", "not-a-key")], &["COOKIE_KEYS"]),
        (&[VAULT, by("certificate")], &[]),
        (&[VAULT, by("certificate"), broken], &["MARKETPLACE_CERTIFICATE"]),
        (&[VAULT, by("secret"), broken], &[]),
        (&[by("certificate")], &["MARKETPLACE_CERTIFICATE", "COOKIE_KEYS"]),
        (&[by("federated"), ("COOKIE_KEYS", KEY), OTHER], &[]),
        (&[by("managed-identity"), ("COOKIE_KEYS", KEY), CLIENT], &[]),
        (&[by("managed-identity"), ("COOKIE_KEYS", KEY)], &[]),
        (&[by("managed-identity"), ("COOKIE_KEYS", KEY), OTHER], &["MARKETPLACE_CLIENT_ID"]),
    ];
    for (set, wrong) in table {
        let mut settings = good();
        settings.remove("MARKETPLACE_CLIENT_SECRET");
        settings.remove("COOKIE_KEYS");
        settings.extend(set.iter().copied());
        let problems = read(&settings).map_or_else(|problems| problems.0, |_| Vec::new());
        let keys: Vec<&str> = problems.iter().map(|problem| problem.split(' ').next().unwrap()).collect();
        assert_eq!(keys, wrong, "{set:?}: {problems:?}");
    }
    let mut settings = good();
    settings.extend([VAULT]);
    let read = read(&settings).unwrap();
    let given = matches!(read.marketplace.credential, Credential::Secret(Source::Given(_)));
    assert!(given && matches!(read.cookie_keys, Source::Given(_)), "what is set is not looked for in the vault");
    let vault = vault_name("MARKETPLACE_CLIENT_SECRET");
    assert_eq!((vault.as_str(), vault_name("COOKIE_KEYS").as_str()), ("marketplace-client-secret", "cookie-keys"));
}

#[test]
fn one_key_for_events_or_two_are_taken_and_shown_nowhere() {
    let (one, two) = (format!("whsec_{KEY}"), format!(" whsec_{KEY} , whsec_{KEY}"));
    for (value, keys) in [(one.as_str(), 1), (two.as_str(), 2)] {
        let mut settings = good();
        settings.insert("PUBLISHER_EVENTS_SECRET", value);
        let settings = read(&settings).unwrap();
        assert!(!format!("{settings:?}").contains(KEY));
        let Some(Source::Given(EventsSecret(read))) = settings.connection.events_secret else { panic!("{value}") };
        assert_eq!((read.len(), read[0].len()), (keys, 32));
    }
    assert!(read(&good()).unwrap().connection.events_secret.is_none());
}

/// With what the publisher's software is connected, and the one sentence about what is missing or contradicts; empty where
/// nothing is.
#[test]
fn the_publishers_software_is_connected_whole_or_not_at_all() {
    let events_key = format!("whsec_{KEY}");
    let secret = ("PUBLISHER_EVENTS_SECRET", events_key.as_str());
    let inside = ("PUBLISHER_ALLOWED_HOSTS", "127.0.0.1, [::1], app.internal.contoso.example");
    let (events, publisher) =
        (("PUBLISHER_EVENTS_URL", "https://app.contoso.example/events"), ("ACTIVATION", "publisher"));
    let setup = ("PUBLISHER_SETUP_URL", "https://app.contoso.example/setup");
    let keys = ("HANDOFF_KEYS", HANDOFF_KEY);
    let vault = ("KEY_VAULT_URL", "https://contoso.vault.azure.net");
    let table: [(&[(&str, &str)], &str); 23] = [
        (&[], ""),
        (&[events, secret], ""),
        (&[events, vault], ""),
        (&[events], "PUBLISHER_EVENTS_SECRET is not set, and no Key Vault"),
        (&[("PUBLISHER_DECISIONS_URL", "https://a.example/")], "PUBLISHER_EVENTS_SECRET is not set"),
        (&[("PUBLISHER_EVENTS_URL", "http://app.contoso.example/"), secret], "must begin with https://"),
        (&[("PUBLISHER_EVENTS_URL", "http://127.0.0.1:3000/"), secret], "name its host in PUBLISHER_ALLOWED_HOSTS"),
        (&[("PUBLISHER_EVENTS_URL", "https://localhost/"), secret], "name its host in PUBLISHER_ALLOWED_HOSTS"),
        (&[("PUBLISHER_EVENTS_URL", "http://127.0.0.1:3000/"), secret, inside], ""),
        (&[("PUBLISHER_EVENTS_URL", "http://[::1]:3000/"), secret, inside], ""),
        (&[("PUBLISHER_EVENTS_URL", "https://me:secret@a.example/"), secret], "user name, a password"),
        (&[("PUBLISHER_EVENTS_URL", "https://a.example/#x"), secret], "a fragment"),
        (&[("PUBLISHER_ALLOWED_HOSTS", "app.internal:8080")], "names \"app.internal:8080\", which is not a host"),
        (&[("PUBLISHER_ALLOWED_HOSTS", "*.contoso.com")], "names \"*.contoso.com\", which is not a host"),
        (&[("PUBLISHER_DECISIONS_DEFAULT", "maybe")], "\"accept\" or \"refuse\""),
        (&[("ACTIVATION", "manual")], "\"automatic\" or \"publisher\""),
        (&[publisher], "nobody is told of a purchase"),
        (&[publisher, events, secret], ""),
        (&[publisher, setup, keys], ""),
        (&[publisher, setup], "HANDOFF_KEYS is not set, and no Key Vault"),
        (&[setup, keys], "PUBLISHER_SETUP_URL is set, and ACTIVATION is \"automatic\""),
        (&[("HANDOFF_KEYS", "%%%")], "a key is not base64; it must be one or two private keys of the curve P-256"),
        (&[("HANDOFF_KEYS", KEY)], "not a private key of P-256"),
    ];
    for (settings, wanted) in table {
        match with(settings.iter().copied()) {
            Ok(read) => {
                assert!(wanted.is_empty(), "{settings:?}");
                assert!(!format!("{read:?}").contains(HANDOFF_KEY), "shown nowhere");
            }
            Err(Problems(problems)) => {
                assert!(
                    !wanted.is_empty() && problems.len() == 1 && problems[0].contains(wanted),
                    "{settings:?}: {problems:?}"
                );
            }
        }
    }
    let silence = with([("PUBLISHER_DECISIONS_DEFAULT", "refuse")]).unwrap().connection.decisions_default;
    assert_eq!((silence, with([]).unwrap().connection.decisions_default), (Verdict::Failure, Verdict::Success));
}

#[test]
fn every_problem_of_the_policy_is_said() {
    let json = r#"{"seatLimits":[{"plan":"a"},{"plan":"b","min":2,"max":1}],"blockDowngrades":{"planOrder":["a"]}}"#;
    let problems = with_policy(json).unwrap_err().0;
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn all_problems_come_at_once_and_hold_no_secret() {
    let settings = BTreeMap::from([("MARKETPLACE_CLIENT_SECRET", "s3cret-value"), ("COOKIE_KEYS", "not-a-key")]);
    let message = read(&settings).unwrap_err().to_string();
    let keys = ["MARKETPLACE_TENANT_ID", "MARKETPLACE_CLIENT_ID", "SIGNIN_CLIENT_ID", "OFFERS", "PUBLIC_URL"];
    for key in keys.iter().chain(&["PUBLISHER_NAME", "PUBLISHER_SUPPORT_URL", "PUBLISHER_APP_URL", "COOKIE_KEYS"]) {
        assert!(message.contains(key), "{key} is missing in: {message}");
    }
    assert!(!message.contains("s3cret-value") && !message.contains("not-a-key"), "{message}");
    let debug = format!("{:?}", read(&good()).unwrap());
    assert!(!debug.contains("s3cret-value") && !debug.contains(KEY), "{debug}");
}

#[test]
fn the_platform_names_the_public_url_where_nobody_set_it() {
    for (host, url) in [
        ("contoso.azurewebsites.net", "https://contoso.azurewebsites.net/"),
        ("localhost:7071", "http://localhost:7071/"),
    ] {
        let mut settings = good();
        settings.remove("PUBLIC_URL");
        settings.insert("WEBSITE_HOSTNAME", host);
        assert_eq!(read(&settings).unwrap().public_url.as_str(), url);
    }
    for host in ["two words", "localhost:port", "127.0.0.1.example", "contoso.example/#a"] {
        let mut settings = good();
        settings.remove("PUBLIC_URL");
        settings.insert("WEBSITE_HOSTNAME", host);
        let problems = read(&settings).expect_err(host).0;
        assert!(problems.len() == 1 && problems[0].starts_with("WEBSITE_HOSTNAME "), "{host}: {problems:?}");
    }
}

/// A setting that is well formed and wrong: what the log and the record say, in one sentence.
#[tokio::test]
async fn an_identity_that_entra_or_the_marketplace_refuses_names_its_setting() {
    const OTHER: &str = "11111111-1111-1111-1111-111111111111";
    let table = [
        ("MARKETPLACE_CLIENT_ID", OTHER, "Partner Center"),
        ("MARKETPLACE_TENANT_ID", OTHER, "Partner Center"),
        ("MARKETPLACE_CLIENT_SECRET", "wrong-secret", "secret"),
    ];
    for (key, value, says) in table {
        let world = World::new(&[(key, value)]).await;
        let purchase = world.silver().await;
        let error = world.dev.app.marketplace.resolve(&purchase.token).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Credential, "{key}: {error}");
        assert!(error.detail.contains(key) && error.detail.contains(says), "{key}: {}", error.detail);
        assert!(!error.to_string().contains("wrong-secret"), "{error}");
        let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(page.status, 503, "{key}: {}", page.text());
        assert!(!page.body.contains("MARKETPLACE"), "a buyer does not read of our settings");
    }
}
