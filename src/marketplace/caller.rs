//! Who calls the webhook: the proof, by the token that Entra gave to the marketplace, that it is the marketplace.
//! The claims: <https://learn.microsoft.com/partner-center/marketplace-offers/pc-saas-fulfillment-webhook>, "Securing your
//! webhooks", and <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>.

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::token::RESOURCE;
use crate::error::{Code, Fault};
use crate::keys::Keys;
use crate::keys::jwt::{Kind, signed_claims};
use crate::keys::provider::{Key, Provider, Source};
use crate::settings::MarketplaceSettings;

const KIND: Kind = Kind { name: "the webhook token", code: Code::CallerRefused };

/// Judges the callers of the webhook. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Caller {
    keys: Keys,
    tenant_id: String,
    client_id: String,
}

/// Absent ones are refused one by one; so is `aud` in a form that is not a text.
#[derive(Deserialize)]
struct Claims {
    aud: Option<Value>,
    tid: Option<String>,
    ver: Option<String>,
    iss: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

impl Caller {
    /// Accepts calls for the application and the tenant that `settings` name. Nothing is fetched until somebody calls.
    pub fn new(settings: &MarketplaceSettings, http: reqwest::Client) -> Self {
        Self {
            keys: Keys::new(Source::tenant(&settings.authority, &settings.tenant_id), http),
            tenant_id: settings.tenant_id.clone(),
            client_id: settings.client_id.clone(),
        }
    }

    /// Whether the value of the `Authorization` header proves that the marketplace calls, `now`. Its clock and ours may
    /// differ by five minutes.
    ///
    /// # Errors
    ///
    /// [`Code::CallerRefused`] if the token is absent or proven wrong, each way with its own reason;
    /// [`Code::EntraUnavailable`] if that cannot be told, because the keys cannot be had.
    pub async fn verify(&self, authorization: Option<&str>, now: OffsetDateTime) -> Result<(), Fault> {
        let token = bearer(authorization)?;
        self.keys.prove(&KIND, token, now, |provider, key| self.judge(token, provider, key, now)).await
    }

    /// How many keys there are to prove that Microsoft calls. Fetches them, unless they are fresh.
    ///
    /// # Errors
    ///
    /// [`Code::EntraUnavailable`] where there are none to be had.
    pub async fn keys_at_hand(&self, now: OffsetDateTime) -> Result<usize, Fault> {
        self.keys.count(now).await
    }

    /// The keys that were fetched since the last call, as text to be kept for [`Caller::adopt`]; under 30,000 bytes.
    /// Once for every fetch that succeeded: about once a day, and after a change of keys.
    pub fn fetched(&self) -> Option<String> {
        self.keys.fetched()
    }

    /// Takes up keys that another instance has kept, unless newer ones are held. They serve where Entra cannot be asked;
    /// it is asked all the same. Keys of another tenant or authority, and what is no such text, are left alone.
    pub fn adopt(&self, saved: &str, now: OffsetDateTime) {
        self.keys.adopt(saved, now);
    }

    fn judge(&self, token: &str, provider: &Provider, key: &Key, now: OffsetDateTime) -> Result<(), Fault> {
        let claims: Claims = signed_claims(token, key, &KIND)?;
        self.is_for_us(&KIND.required(claims.aud, "aud")?)?;
        let tenant_id = KIND.required(claims.tid, "tid")?;
        let version = KIND.required(claims.ver, "ver")?;
        let issuer = KIND.required(claims.iss, "iss")?;
        // RFC 7519 leaves nbf to the issuer, and the one version 2.0 token that a publisher wrote down (issue 70 of
        // Microsoft's .NET client) has none. To refuse it would tell Microsoft that we refuse the change.
        let not_before = claims.nbf.unwrap_or(i64::MIN);
        let expires = KIND.required(claims.exp, "exp")?;
        if !tenant_id.eq_ignore_ascii_case(&self.tenant_id) {
            return Err(KIND.wrong("is of another tenant than MARKETPLACE_TENANT_ID"));
        }
        let (first, second) = (first_issuer(&self.tenant_id), provider.issuer.of(&self.tenant_id));
        // The manifest of the publisher's application chooses the version: `requestedAccessTokenVersion`.
        let (own, claim, caller) = match version.as_str() {
            "1.0" => (&first, "appid", claims.appid),
            "2.0" => (&second, "azp", claims.azp),
            _ => return Err(KIND.wrong_part("ver is neither 1.0 nor 2.0")),
        };
        if issuer != *own {
            return Err(KIND.wrong_part(&format!("issuer is not the tenant's of version {version}")));
        }
        // The list of keys names their issuers in one form, whichever version they sign.
        let owns = |owner: &str| owner == first || owner == second;
        if key.issuer.as_ref().is_some_and(|owner| !owns(&owner.of(&self.tenant_id))) {
            return Err(KIND.wrong("is signed with another issuer's key"));
        }
        if !KIND.required(caller, claim)?.eq_ignore_ascii_case(RESOURCE) {
            return Err(KIND.wrong(&format!("was given to another application than the marketplace ({claim})")));
        }
        KIND.in_time(not_before, expires, now)
    }

    /// The other ways to write our application are possible in general and were never seen here: they are told apart so
    /// that the log says it if one comes.
    fn is_for_us(&self, audience: &Value) -> Result<(), Fault> {
        let Some(audience) = audience.as_str() else {
            return Err(KIND.wrong_part("aud is not a text"));
        };
        if audience.eq_ignore_ascii_case(&self.client_id) {
            return Ok(());
        }
        let written = audience.to_ascii_lowercase();
        Err(match written.strip_prefix("api://") {
            Some(id) if id == self.client_id => {
                KIND.wrong_part("aud is our application's identifier URI (api://) in place of its id")
            }
            _ if written.contains(&self.client_id) => KIND.wrong_part("aud is our application's id in an unknown form"),
            _ => KIND.wrong("is for another application than MARKETPLACE_CLIENT_ID"),
        })
    }
}

/// The issuer of version 1.0 tokens: the same for every authority of the public cloud.
fn first_issuer(tenant_id: &str) -> String {
    format!("https://sts.windows.net/{tenant_id}/")
}

fn bearer(authorization: Option<&str>) -> Result<&str, Fault> {
    let refused = |reason: &str| Fault::new(Code::CallerRefused, reason);
    let value = authorization.ok_or_else(|| refused("the webhook was called without a token"))?.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused("the webhook was called with an authorization that is not a bearer token"));
    }
    Some(token.trim()).filter(|token| !token.is_empty()).ok_or_else(|| refused("the webhook token is empty"))
}
