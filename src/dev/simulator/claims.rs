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
        "iss": format!("https://sts.windows.net/{TENANT_ID}/"),
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "appid": CLIENT_ID,
        "appidacr": "1",
        "tid": TENANT_ID,
        "ver": "1.0",
    })
}

/// What a caller sent, short enough to be said back.
pub(super) fn short(text: &str) -> String {
    text.chars().take(SAID_BACK).collect()
}
