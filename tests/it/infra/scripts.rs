//! `infra/register` and `infra/secrets` against a stand-in for `az`: what they make, that they can be repeated, and
//! that no secret is where others can read it.

use std::path::PathBuf;
use std::process::{Command, Output};

use marketplace_fulfillment::settings::Settings;
use serde_json::Value;
use tempfile::TempDir;

const TENANT: &str = "11111111-1111-1111-1111-111111111111";
const IDENTITY: &str = "22222222-2222-2222-2222-222222222222";
const OTHER_IDENTITY: &str = "33333333-3333-3333-3333-333333333333";
const MARKETPLACE_API: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7";
const MARKETPLACE_APP: &str = "aaaaaaaa-0000-0000-0000-000000000001";
const SIGNIN_APP: &str = "aaaaaaaa-0000-0000-0000-000000000002";

/// A tenant and a vault, as the stand-in keeps them.
struct Azure(TempDir);

impl Azure {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let root = super::root();
        let path = std::env::join_paths([
            root.join("tests/it/infra"),
            "/usr/local/bin".into(),
            "/usr/bin".into(),
            "/bin".into(),
        ]);
        Command::new(root.join("infra").join(script))
            .args(arguments)
            .env("PATH", path.unwrap())
            .env("FAKE_AZ", self.0.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn ok(&self, script: &str, arguments: &[&str]) -> String {
        let output = self.run(script, arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {arguments:?}: {told}");
        assert!(!told.contains("password-") && !told.contains("whsec_"), "a secret is told: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn fails(&self, script: &str, arguments: &[&str]) -> String {
        let output = self.run(script, arguments);
        assert_eq!(output.status.code(), Some(1), "{script} {arguments:?}");
        assert!(output.stdout.is_empty(), "{script} {arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A file of the stand-in; empty where there is none.
    fn file(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        self.file("calls").lines().map(str::to_owned).collect()
    }

    /// The calls since the last time that change something.
    fn changes(&self) -> Vec<String> {
        let is_change = |call: &String| {
            let command = call.split(" --").next().unwrap_or_default();
            ["create", "update", "reset", "set", "delete"].contains(&command.rsplit(' ').next().unwrap_or_default())
        };
        let changes = self.calls().into_iter().filter(is_change).collect();
        let _ = std::fs::remove_file(self.path("calls"));
        changes
    }
}

#[test]
fn two_registrations_are_made_from_nothing() {
    let azure = Azure::new();
    let settings = azure.ok("register", &["--name", "contoso", "--public-url", "https://landing.contoso.com/"]);
    let expected = format!(
        "MARKETPLACE_TENANT_ID={TENANT}\nMARKETPLACE_CLIENT_ID={MARKETPLACE_APP}\nSIGNIN_CLIENT_ID={SIGNIN_APP}\n"
    );
    assert_eq!(settings, expected);
    let of = |app: &str, field: &str| azure.file(&format!("apps/{app}/{field}")).trim().to_owned();
    assert_eq!(of(MARKETPLACE_APP, "name"), "contoso marketplace");
    assert_eq!(of(MARKETPLACE_APP, "sign-in-audience"), "AzureADMyOrg");
    assert_eq!(of(SIGNIN_APP, "name"), "contoso sign-in");
    assert_eq!(of(SIGNIN_APP, "sign-in-audience"), "AzureADandPersonalMicrosoftAccount");
    assert_eq!(of(SIGNIN_APP, "requested-access-token-version"), "2");
    assert_eq!(of(SIGNIN_APP, "enable-id-token-issuance"), "true");
    assert_eq!(of(SIGNIN_APP, "web-redirect-uris"), "https://landing.contoso.com/api/signin");
    for principal in [MARKETPLACE_APP, SIGNIN_APP, MARKETPLACE_API] {
        assert!(azure.path("principals").join(principal).exists(), "{principal}");
    }
}

#[test]
fn what_exists_is_kept() {
    for credential in [
        vec![],
        vec!["--credential", "managed-identity"],
        vec!["--credential", "federated", "--identity", IDENTITY],
        vec!["--credential", "certificate", "--vault", "kv"],
        vec!["--credential", "secret", "--vault", "kv"],
    ] {
        let azure = Azure::new();
        let arguments = [vec!["--name", "contoso", "--public-url", "https://landing.contoso.com"], credential].concat();
        let settings = azure.ok("register", &arguments);
        assert!(!azure.changes().is_empty());
        assert_eq!(azure.ok("register", &arguments), settings);
        assert_eq!(azure.changes(), Vec::<String>::new(), "{arguments:?}");
    }
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would_do() {
    let azure = Azure::new();
    let federated = ["--credential", "federated", "--identity", IDENTITY];
    let certificate = ["--credential", "certificate", "--vault", "kv"];
    let secret = ["--credential", "secret", "--vault", "kv"];
    for is_registered in [false, true] {
        for (credential, told) in [
            (federated, "+ az ad app federated-credential create"),
            (certificate, "+ az ad app credential reset"),
            (secret, "+ az keyvault secret set"),
        ] {
            let arguments =
                [&["--name", "contoso", "--public-url", "https://x.com", "--dry-run"], &credential[..]].concat();
            let output = azure.run("register", &arguments);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && stderr.contains(told), "{stderr}");
            assert_eq!(
                stderr.contains("+ az ad app create --display-name contoso\\ marketplace"),
                !is_registered,
                "{stderr}"
            );
            assert_eq!(azure.changes(), Vec::<String>::new(), "{arguments:?}");
        }
        azure.ok("register", &["--name", "contoso"]);
        azure.changes();
    }
    let azure = Azure::new();
    azure.ok("register", &["--name", "other", "--credential", "certificate", "--vault", "kv"]);
    azure.changes();
    let arguments = [&["--name", "contoso", "--dry-run"], &certificate[..]].concat();
    let output = azure.run("register", &arguments);
    assert!(output.status.success() && !azure.file("calls").contains("<new>"), "nothing is asked of what is not there");
    assert_eq!(azure.changes(), Vec::<String>::new());
    let output = azure.run("secrets", &["--vault", "kv", "--dry-run", "cookie-keys"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("+ az keyvault secret set"));
    assert_eq!(azure.changes(), Vec::<String>::new());
}

#[test]
fn an_address_is_added_to_those_that_are_known() {
    let azure = Azure::new();
    azure.ok("register", &["--name", "contoso"]);
    for host in ["test", "landing"] {
        azure.ok("register", &["--name", "contoso", "--public-url", &format!("https://{host}.contoso.com")]);
    }
    let addresses = azure.file(&format!("apps/{SIGNIN_APP}/web-redirect-uris"));
    assert_eq!(addresses, "https://test.contoso.com/api/signin\nhttps://landing.contoso.com/api/signin\n");
}

#[test]
fn a_registration_that_somebody_bent_is_mended() {
    for (field, bent) in [
        ("sign-in-audience", "AzureADMultipleOrgs\n"),
        ("requested-access-token-version", "None\n"),
        ("enable-id-token-issuance", "False\n"),
    ] {
        let azure = Azure::new();
        azure.ok("register", &["--name", "contoso"]);
        let path = format!("apps/{SIGNIN_APP}/{field}");
        let good = azure.file(&path);
        azure.write(&path, bent);
        azure.ok("register", &["--name", "contoso"]);
        assert_eq!(azure.file(&path), good);
    }
}

/// Test and production share the marketplace application, and each has an identity of its own.
#[test]
fn each_identity_may_speak_for_the_application() {
    let azure = Azure::new();
    for identity in [IDENTITY, OTHER_IDENTITY] {
        let federated = ["--name", "contoso", "--credential", "federated", "--identity", identity];
        let settings = azure.ok("register", &federated);
        assert!(settings.contains("\nMARKETPLACE_CREDENTIAL=federated\n"), "{settings}");
    }
    let entries = std::fs::read_dir(azure.path("apps").join(MARKETPLACE_APP)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut credentials: Vec<Value> = names
        .filter(|name| name.starts_with("federated-"))
        .map(|name| serde_json::from_str(&azure.file(&format!("apps/{MARKETPLACE_APP}/{name}"))).unwrap())
        .collect();
    credentials.sort_by_key(|credential| credential["subject"].to_string());
    assert_eq!(credentials.len(), 2);
    for (credential, identity) in credentials.iter().zip([IDENTITY, OTHER_IDENTITY]) {
        assert_eq!(credential["subject"], identity);
        assert_eq!(credential["issuer"], format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
        assert_eq!(credential["audiences"], serde_json::json!(["api://AzureADTokenExchange"]));
        assert!(credential["name"].as_str().unwrap().contains(identity), "{credential}");
    }
}

#[test]
fn a_client_secret_goes_straight_into_the_vault() {
    let azure = Azure::new();
    let arguments = ["--name", "contoso", "--credential", "secret", "--vault", "kv"];
    azure.ok("register", &arguments);
    let first = azure.file("secrets/marketplace-client-secret");
    assert!(first.starts_with("password-") && !first.ends_with('\n'), "{first:?}");
    assert_eq!(azure.file("marketplace-client-secret.expires").trim(), "2027-05-18T10:00:00Z");
    azure.ok("register", &[&arguments[..], &["--rotate"]].concat());
    let second = azure.file("secrets/marketplace-client-secret");
    assert_ne!(second, first, "a new one");
    let passwords = azure.file(&format!("apps/{MARKETPLACE_APP}/passwords"));
    assert_eq!(passwords, format!("{first}\n{second}\n"), "and the old one still counts");
    assert!(!azure.file("calls").contains("password-"), "on no command line");
}

#[test]
fn a_certificate_is_made_in_the_vault_and_known_to_entra() {
    let azure = Azure::new();
    let arguments = ["--name", "contoso", "--credential", "certificate", "--vault", "kv"];
    azure.ok("register", &arguments);
    let policy: Value = serde_json::from_str(&azure.file("policy.json")).unwrap();
    assert_eq!(policy["secretProperties"]["contentType"], "application/x-pem-file");
    assert_eq!(policy["keyProperties"]["exportable"], true);
    assert_eq!(policy["lifetimeActions"][0]["action"]["actionType"], "EmailContacts", "{policy}");
    let known = || azure.file(&format!("apps/{MARKETPLACE_APP}/certificates"));
    let made = || azure.file("certificates/marketplace-certificate").to_lowercase();
    let first = made();
    assert_eq!(known(), first);

    azure.ok("register", &[&arguments[..], &["--rotate"]].concat());
    let second = made();
    assert_ne!(second, first);
    assert_eq!(known(), format!("{first}{second}"), "the old one counts until nobody uses it");

    // As if the run had been cut off before Entra heard of it.
    azure.write(&format!("apps/{MARKETPLACE_APP}/certificates"), &first);
    azure.ok("register", &arguments);
    assert_eq!(known(), format!("{first}{second}"));
}

#[test]
fn a_managed_identity_needs_no_marketplace_application() {
    let azure = Azure::new();
    let settings = azure.ok("register", &["--name", "contoso", "--credential", "managed-identity"]);
    assert!(!settings.contains("MARKETPLACE_CLIENT_ID") && settings.contains("SIGNIN_CLIENT_ID"), "{settings}");
    assert!(!azure.file("calls").contains("contoso marketplace"));
    assert!(azure.path("principals").join(MARKETPLACE_API).exists());
}

#[test]
fn what_is_asked_wrongly_gets_one_sentence_and_no_call() {
    let azure = Azure::new();
    let table: [(&str, &[&str], &str); 17] = [
        ("register", &[], "--name is needed"),
        ("register", &["--name"], "--name needs a value"),
        ("register", &["--name", "--dry-run"], "--name needs a value"),
        ("register", &["contoso"], "contoso is not an option"),
        ("register", &["--name", "o'neill"], "--name may hold"),
        ("register", &["--name", "x", "--public-url", "http://x.com"], "--public-url is https://"),
        ("register", &["--name", "x", "--public-url", "https://x.com/api"], "without a path"),
        ("register", &["--name", "x", "--credential", "password"], "and not password"),
        ("register", &["--name", "x", "--credential", "federated"], "--identity"),
        ("register", &["--name", "x", "--credential", "federated", "--identity", "id-contoso"], "GUID"),
        ("register", &["--name", "x", "--credential", "certificate"], "--vault"),
        ("register", &["--name", "x", "--credential", "secret"], "vaultName"),
        ("secrets", &[], "--vault is needed"),
        ("secrets", &["--vault"], "--vault needs a name"),
        ("secrets", &["--vault", "kv", "--rotate"], "told what"),
        ("secrets", &["--vault", "kv", "cookies"], "neither an option nor a secret"),
        ("secrets", &["--vault", "kv", "marketplace-client-secret"], "infra/register --credential"),
    ];
    for (script, arguments, says) in table {
        let told = azure.fails(script, arguments);
        assert!(told.starts_with(&format!("infra/{script}: ")) && told.contains(says), "{arguments:?}: {told}");
        assert_eq!(azure.calls(), Vec::<String>::new(), "{arguments:?}");
    }
}

#[test]
fn what_azure_refuses_is_explained() {
    let azure = Azure::new();
    azure.write("signed-out", "");
    assert!(azure.fails("register", &["--name", "contoso"]).contains("az login --tenant"));

    let azure = Azure::new();
    azure.write("locked", "");
    for credential in ["certificate", "secret"] {
        let told = azure.fails("register", &["--name", "contoso", "--credential", credential, "--vault", "kv"]);
        assert!(told.contains("operatorId"), "{told}");
    }
    assert!(azure.fails("secrets", &["--vault", "kv", "cookie-keys"]).contains("Key Vault Secrets Officer"));
    assert_eq!(azure.file(&format!("apps/{MARKETPLACE_APP}/passwords")), "", "no secret that nobody keeps");

    let azure = Azure::new();
    azure.ok("register", &["--name", "contoso"]);
    azure.write(&format!("apps/{SIGNIN_APP}/name"), "contoso marketplace\n");
    let told = azure.fails("register", &["--name", "contoso"]);
    assert!(told.contains("--marketplace-app") && told.contains(SIGNIN_APP), "{told}");
    azure.ok("register", &["--marketplace-app", MARKETPLACE_APP, "--signin-app", SIGNIN_APP]);
}

#[test]
fn cookie_keys_are_made_kept_and_rotated() {
    let azure = Azure::new();
    let keys = || azure.file("secrets/cookie-keys");
    azure.ok("secrets", &["--vault", "kv", "cookie-keys", "publisher-events-secret", "handoff-keys"]);
    let first = keys();
    azure.ok("secrets", &["--vault", "kv", "cookie-keys"]);
    assert_eq!(keys(), first);
    azure.ok("secrets", &["--vault", "kv", "--rotate", "cookie-keys"]);
    let second = keys();
    assert!(second.ends_with(&format!(",{first}")), "the new one in front: {second}");
    azure.ok("secrets", &["--vault", "kv", "--rotate", "cookie-keys"]);
    let third = keys();
    let newest = second.split(',').next().unwrap();
    assert!(third.ends_with(&format!(",{newest}")) && third.split(',').count() == 2, "{third}");
    for keys in [first.clone(), second, third] {
        let problems = Settings::read(|key| (key == "COOKIE_KEYS").then(|| keys.clone())).unwrap_err().to_string();
        assert!(!problems.contains("COOKIE_KEYS"), "the program takes them: {problems}");
    }
    assert!(azure.file("secrets/publisher-events-secret").starts_with("whsec_"));
    azure.ok("secrets", &["--vault", "kv", "--rotate", "handoff-keys"]);
    let handoff = azure.file("secrets/handoff-keys");
    assert_eq!(handoff.split(',').count(), 2, "{handoff}");
    let problems = Settings::read(|key| (key == "HANDOFF_KEYS").then(|| handoff.clone())).unwrap_err().to_string();
    assert!(!problems.contains("HANDOFF_KEYS"), "the program takes them: {problems}");
    assert!(!azure.file("calls").contains(&first), "on no command line");
}

#[test]
fn the_list_shows_names_and_no_value() {
    let azure = Azure::new();
    azure.ok("secrets", &["--vault", "kv", "cookie-keys"]);
    let list = azure.ok("secrets", &["--vault", "kv"]);
    assert_eq!(list, "cookie-keys\n");
    assert!(!azure.calls().iter().any(|call| call.starts_with("keyvault secret show")));
}

fn is_option(word: &str) -> bool {
    word.starts_with("--") && word[2..].chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')
}

#[test]
fn the_help_names_every_option() {
    for script in ["register", "secrets"] {
        let help = Azure::new().ok(script, &["--help"]);
        let source = super::read(&format!("infra/{script}"));
        let source = source.split("set -euo pipefail").nth(1).unwrap();
        // The patterns of the one case statement over the arguments.
        let cases = source.lines().map(str::trim).filter_map(|line| line.split_once(')')).map(|(pattern, _)| pattern);
        let options: Vec<&str> =
            cases.flat_map(|pattern| pattern.split(" | ")).filter(|word| is_option(word)).collect();
        assert!(options.len() > 1, "{script}: the options are found");
        for option in options {
            assert!(help.contains(option), "{script} --help does not name {option}");
        }
    }
}
