//! What a token says of the application that it was given to. For people who look for a mistake: nothing is verified,
//! and nothing is decided by it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use time::OffsetDateTime;

/// The claims of our token for the marketplace, of version 1 or 2
/// (<https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// Whom it is for: the marketplace's resource id.
    pub audience: String,
    /// Which application it was given to; must be the one that the offer names.
    pub client_id: Option<String>,
    /// Of which tenant; must be the one that the offer names.
    pub tenant_id: Option<String>,
    /// The application's service principal, or the managed identity.
    pub object_id: Option<String>,
    /// What the application was granted; the marketplace asks for nothing.
    pub roles: Vec<String>,
    /// When it ends.
    pub expires_at: Option<OffsetDateTime>,
    /// The version of its form, 1.0 or 2.0.
    pub version: Option<String>,
}

#[derive(Deserialize)]
struct Wire {
    aud: String,
    appid: Option<String>,
    azp: Option<String>,
    tid: Option<String>,
    oid: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    exp: Option<i64>,
    ver: Option<String>,
}

impl TokenClaims {
    /// `None` for a token that is not a JSON web token, which Entra may give for a resource of its own.
    pub(super) fn read(token: &str) -> Option<Self> {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let wire: Wire = serde_json::from_slice(&claims).ok()?;
        Some(Self {
            audience: wire.aud,
            client_id: wire.appid.or(wire.azp),
            tenant_id: wire.tid,
            object_id: wire.oid,
            roles: wire.roles,
            expires_at: wire.exp.and_then(|exp| OffsetDateTime::from_unix_timestamp(exp).ok()),
            version: wire.ver,
        })
    }
}
