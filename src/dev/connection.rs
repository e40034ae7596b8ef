//! How `dev` connects the publisher's own software: the one that somebody names, else the receiver that is part of the
//! simulator's server.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::Url;

use super::{Options, join};
use crate::publisher::Witness;

/// What signs messages to the publisher's software, unless the environment says otherwise. It opens nothing but what runs on
/// this machine.
pub const EVENTS_SECRET: &str = "whsec_ZGV2LXNlY3JldC10aGF0LW9wZW5zLW5vdGhpbmctZWxzZQ==";

pub(super) const EVENTS_URL: &str = "PUBLISHER_EVENTS_URL";
pub(super) const EVENTS_SECRET_KEY: &str = "PUBLISHER_EVENTS_SECRET";

/// How this machine is named where the publisher's software may be on it.
const THIS_MACHINE: &str = "127.0.0.1,localhost,[::1]";

/// The settings of the connection, under those that the environment gives.
///
/// # Errors
///
/// The address of the publisher's software is none.
pub(super) fn connection(options: &Options, simulator_url: &Url) -> Result<BTreeMap<String, String>, String> {
    let base = match &options.app {
        None => join(simulator_url, "publisher/"),
        Some(app) => below(app)?,
    };
    let at = |path| join(&base, path).to_string();
    let mut settings = vec![
        (EVENTS_URL, at("events")),
        ("PUBLISHER_HANDOFF_URL", at("handoff")),
        (EVENTS_SECRET_KEY, EVENTS_SECRET.to_owned()),
        ("PUBLISHER_ALLOWED_HOSTS", allowed(&base)),
        ("HANDOFF_KEYS", handoff_key()),
    ];
    // A question costs time at each change, and so is for those who named their software.
    if options.app.is_some() {
        settings.push(("PUBLISHER_DECISIONS_URL", at("decisions")));
    }
    // Without it nobody is asked before an activation, and these would be refused.
    if options.environment.get("ACTIVATION").is_some_and(|activation| activation == "publisher") {
        settings.push(("PUBLISHER_PROVISION_URL", at("provision")));
        settings.push(("PUBLISHER_SETUP_URL", at("handoff")));
    }
    Ok(settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The address with a slash at its end, so that words can be put below it.
fn below(app: &Url) -> Result<Url, String> {
    if !["http", "https"].contains(&app.scheme()) || app.query().is_some() || app.fragment().is_some() {
        return Err(format!(
            "--app is {app}; it is an address below which your software answers, for example http://127.0.0.1:3000"
        ));
    }
    let mut base = app.clone();
    base.set_path(&format!("{}/", app.path().trim_end_matches('/')));
    Ok(base)
}

fn allowed(base: &Url) -> String {
    base.host_str().map_or_else(|| THIS_MACHINE.to_owned(), |host| format!("{THIS_MACHINE},{host}"))
}

/// Prints each message to the publisher's software, and what became of it.
pub(super) fn witness() -> Witness {
    Witness(Arc::new(|message, outcome| {
        let event: Value = serde_json::from_str(&message.body).unwrap_or_default();
        let [kind, subject, sequence] =
            ["type", "subject", "sequence"].map(|name| event[name].as_str().unwrap_or_default());
        let answer = match outcome {
            Ok(answer) => answer.status.to_string(),
            Err(unsent) => unsent.kind.as_str().to_owned(),
        };
        tracing::info!(r#type = kind, subject, sequence, answer, "sent to the publisher's software");
    }))
}

/// A key of its own for each run: a hand-off ends with it.
fn handoff_key() -> String {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
    STANDARD.encode(key.expect("the machine has randomness"))
}
