//! The signing keys that another instance kept: whatever is found in their place, nobody passes whose key is not among
//! them.

use std::sync::LazyLock;

use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::marketplace::caller::Caller;
use serde_json::{Value, json};

use super::elsewhere::{RUNTIME, TENANT, header, listed, signed};
use super::{NOW, assert_tellable, settings, text};

/// Where keys would be fetched, if this client spoke plain http: it refuses before anything is sent.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Stands in an input for the number of our key, which is another one in each process.
const OURS: &str = "$OURS";

static HTTP: LazyLock<reqwest::Client> =
    LazyLock::new(|| reqwest::Client::builder().https_only(true).build().expect("a client"));

pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let settings = settings::read(&[("ENTRA_AUTHORITY_URL", NOWHERE)]).expect("good settings");
    let caller = Caller::new(&settings.marketplace, HTTP.clone());
    let ours = listed()["n"].as_str().expect("a number").to_owned();
    caller.adopt(&text.replace(OURS, &ours), NOW);
    assert_eq!(caller.fetched(), None, "what was adopted is not written again");
    let now = NOW.unix_timestamp();
    let claims = json!({
        "aud": settings.marketplace.client_id, "tid": TENANT, "ver": "2.0", "exp": now + 3600,
        "iss": format!("{NOWHERE}/{TENANT}/v2.0"), "azp": "20e940b3-4c77-4b0b-9a53-9e16a1b010a7",
    });
    let token = format!("Bearer {}", signed(&header(), claims.to_string().as_bytes()));
    match RUNTIME.block_on(caller.verify(Some(&token), NOW)) {
        Ok(()) => assert!(lists_ours(text), "believed without its key: {text}"),
        Err(fault) => {
            assert!([Code::CallerRefused, Code::EntraUnavailable].contains(&fault.code), "{fault}");
            assert_tellable(&fault.private);
        }
    }
}

/// Whether the keys were kept for this tenant of this authority, and ours is among them.
fn lists_ours(text: &str) -> bool {
    let Ok(saved) = serde_json::from_str::<Value>(text) else { return false };
    let source = format!("{NOWHERE}/{TENANT}/v2.0/.well-known/openid-configuration");
    let keys = saved["keys"].as_array();
    saved["source"] == *source
        && keys.is_some_and(|keys| keys.iter().any(|key| key["n"] == OURS && key["kid"] == "first"))
}
