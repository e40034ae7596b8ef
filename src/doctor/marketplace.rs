//! Whether Microsoft gives us a token and takes it, and whether we can tell its webhooks from a stranger's.

use time::format_description::well_known::Rfc3339;

use super::Finding;
use crate::app::App;
use crate::marketplace::{CallErrorKind, TokenClaims};

const TOKEN: &str = "marketplace token";
const API: &str = "marketplace";
const WEBHOOK: &str = "webhook keys";

pub(super) async fn marketplace(app: &App) -> Vec<Finding> {
    let token = match app.marketplace.token_claims().await {
        Ok(claims) => judge(app, &claims),
        Err(fault) => Finding::bad(TOKEN, fault.private),
    };
    let api = match app.marketplace.list_subscriptions(None).await {
        Ok(page) => {
            let listed = page.subscriptions.len();
            Finding::good(API, format!("it takes our token; the first page of its list has {listed} subscriptions"))
        }
        Err(error) => match error.kind {
            CallErrorKind::Credential => Finding::unknown(API, "not asked, because there is no token"),
            CallErrorKind::Unreachable { .. } => {
                Finding::bad(API, format!("{error}. Is MARKETPLACE_API_URL right, and may this app call out?"))
            }
            _ => Finding::bad(API, error.to_string()),
        },
    };
    let webhook = match app.caller.keys_at_hand(app.clock.now()).await {
        Ok(keys) => Finding::good(WEBHOOK, format!("{keys} of the tenant's keys, which prove that Microsoft calls")),
        Err(fault) => {
            Finding::bad(WEBHOOK, format!("{}: see MARKETPLACE_TENANT_ID and ENTRA_AUTHORITY_URL", fault.private))
        }
    };
    vec![token, api, webhook]
}

/// The claims, which are what Microsoft compares with the offer's technical configuration.
fn judge(app: &App, claims: &TokenClaims) -> Finding {
    let settings = &app.settings.marketplace;
    let client_id = claims.client_id.as_deref().unwrap_or("no application");
    let tenant_id = claims.tenant_id.as_deref().unwrap_or("no tenant");
    let until = claims.expires_at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
    let told = format!(
        "for {}, application {client_id}, tenant {tenant_id}, object {}, version {}, until {until}",
        claims.audience,
        claims.object_id.as_deref().unwrap_or("none"),
        claims.version.as_deref().unwrap_or("none"),
    );
    if !client_id.eq_ignore_ascii_case(&settings.client_id) {
        return Finding::bad(
            TOKEN,
            format!(
                "the token is another application's than MARKETPLACE_CLIENT_ID: {told}. With a managed identity that \
                 setting, and the offer's Technical configuration, must name the identity's client id"
            ),
        );
    }
    if !tenant_id.eq_ignore_ascii_case(&settings.tenant_id) {
        return Finding::bad(TOKEN, format!("the token is of another tenant than MARKETPLACE_TENANT_ID: {told}"));
    }
    Finding::good(TOKEN, told)
}
