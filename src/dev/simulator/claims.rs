//! What the simulated Entra says of itself and of people: issuers, and the claims of its tokens.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::people::{PEOPLE, PERSONAL_TENANT, Person};
use super::{CLIENT_ID, Options, RESOURCE_ID, SIGNIN_CLIENT_ID, TENANT_ID};

/// The most of what a caller sent that is said back, in characters.
const SAID_BACK: usize = 80;

/// How long tokens are good for, in seconds.
pub(super) const LIFETIME: i64 = 3_600;

/// Where Entra is for people: the second host, so that signing in crosses sites.
pub(super) fn authority(options: &Options) -> String {
    format!("{}/entra", options.second_base_url.as_str().trim_end_matches('/'))
}

/// The tenant in the issuer that a tenant's configuration names; `None` where there is no such tenant.
pub(super) fn issuer_tenant(tenant: &str) -> Option<&str> {
    match tenant {
        "common" | "organizations" => Some("{tenantid}"),
        "consumers" => Some(PERSONAL_TENANT),
        _ => (tenant == TENANT_ID || PEOPLE.iter().any(|person| person.tenant_id == tenant)).then_some(tenant),
    }
}

/// The issuer of a tenant's tokens; with a placeholder where the tenant stands for all.
pub(super) fn issuer(options: &Options, tenant: &str) -> String {
    format!("{}/{}/v2.0", authority(options), issuer_tenant(tenant).unwrap_or(tenant))
}

/// The issuer of a tenant's v1.0 tokens. It is Microsoft's own: programs compare it, and never call it.
pub(super) fn v1_issuer(tenant: &str) -> String {
    format!("https://sts.windows.net/{}/", issuer_tenant(tenant).unwrap_or(tenant))
}

/// The claims of a v2.0 id token.
pub(super) fn id_token_claims(options: &Options, person: &Person, nonce: &str) -> Value {
    let now = options.clock.now().unix_timestamp();
    json!({
        "ver": "2.0",
        "iss": issuer(options, person.tenant_id),
        "sub": format!("subject-of-{}", person.key),
        "aud": SIGNIN_CLIENT_ID,
        "exp": now + LIFETIME,
        "iat": now,
        "nbf": now,
        "name": person.name,
        "preferred_username": person.email,
        "oid": person.object_id,
        "tid": person.tenant_id,
        "nonce": nonce,
    })
}

/// The claims of a v1.0 access token for the marketplace API.
pub(super) fn access_token_claims(now: OffsetDateTime) -> Value {
    let now = now.unix_timestamp();
    json!({
        "aud": RESOURCE_ID,
        "iss": v1_issuer(TENANT_ID),
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "appid": CLIENT_ID,
        "appidacr": "1",
        "tid": TENANT_ID,
        "ver": "1.0",
    })
}

/// Microsoft's service principal in the publisher's tenant, which sends webhooks.
const SENDER_ID: &str = "7d2b4c10-6e5f-4a3d-9b8c-1f0e2d3c4b5a";

/// The claims of a token that comes with a webhook. Its audience is the publisher's application, and its version the one
/// that this application is registered for: 1 names the sender as `appid`, 2 as `azp`.
pub(super) fn webhook_claims(options: &Options, version: u8) -> Value {
    let now = options.clock.now().unix_timestamp();
    let mut claims = json!({
        "aud": CLIENT_ID,
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "oid": SENDER_ID,
        "sub": SENDER_ID,
        "tid": TENANT_ID,
    });
    let own = if version == 1 {
        json!({ "iss": v1_issuer(TENANT_ID), "appid": RESOURCE_ID, "appidacr": "2", "ver": "1.0" })
    } else {
        json!({ "iss": issuer(options, TENANT_ID), "azp": RESOURCE_ID, "azpacr": "2", "ver": "2.0" })
    };
    for (name, value) in own.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}

/// What a caller sent, short enough to be said back.
pub(super) fn short(text: &str) -> String {
    text.chars().take(SAID_BACK).collect()
}
