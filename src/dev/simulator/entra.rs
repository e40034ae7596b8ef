//! The parts of Entra that programs call: tokens for the publisher's application, the OpenID configuration, the keys.

use serde_json::{Value, json};
use time::macros::format_description;

use super::call::Call;
use super::claims::{LIFETIME, access_token_claims, authority, issuer, issuer_tenant, short, v1_issuer};
use super::{CLIENT_ID, Options, RESOURCE_ID, State, TENANT_ID, signin};
use crate::clock::Clock;
use crate::web::{Reply, Request};

/// The one kind of statement there is (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The call that a request makes; `path` is split at slashes, below `entra/{tenant}`.
pub(super) fn route(request: &Request, path: &[&str]) -> Option<Call> {
    match (request.method.as_str(), path) {
        ("POST", ["oauth2", "v2.0", "token"]) => Some(Call::Token),
        ("GET", ["v2.0", ".well-known", "openid-configuration"] | [".well-known", "openid-configuration"]) => {
            Some(Call::OpenidConfiguration)
        }
        ("GET", ["discovery", "v2.0", "keys"] | ["discovery", "keys"]) => Some(Call::Keys),
        ("GET" | "POST", ["oauth2", "v2.0", "authorize"]) => Some(Call::Authorize),
        _ => None,
    }
}

/// Answers a call to a tenant.
pub(super) fn answer(state: &mut State, options: &Options, call: Call, tenant: &str, request: &Request) -> Reply {
    let tenant = tenant.to_ascii_lowercase();
    let tenant = tenant.as_str();
    let answer = match call {
        Call::Token => token(state, options, tenant, request),
        _ if issuer_tenant(tenant).is_none() => Err(EntraError::unknown_tenant(tenant)),
        Call::OpenidConfiguration if is_v1(request) => Ok(Reply::json(200, &v1_configuration(options, tenant))),
        Call::OpenidConfiguration => Ok(Reply::json(200, &configuration(options, tenant))),
        Call::Keys if is_v1(request) => Ok(Reply::json(200, &state.keys.published(None))),
        Call::Keys => Ok(Reply::json(200, &state.keys.published(Some(&issuer(options, tenant))))),
        _ => return signin::answer(state, options, tenant, request),
    };
    answer.unwrap_or_else(|error| error.reply(state, options))
}

/// The addresses of version 1 are those without a version.
fn is_v1(request: &Request) -> bool {
    !request.path.split('/').any(|segment| segment == "v2.0")
}

/// What version 1 says of itself: webhooks come with its tokens unless the application asks for version 2.
fn v1_configuration(options: &Options, tenant: &str) -> Value {
    let base = format!("{}/{tenant}", authority(options));
    json!({
        "issuer": v1_issuer(tenant),
        "jwks_uri": format!("{base}/discovery/keys"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

fn configuration(options: &Options, tenant: &str) -> Value {
    let base = format!("{}/{tenant}", authority(options));
    json!({
        "issuer": issuer(options, tenant),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "response_modes_supported": ["form_post"],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver"],
    })
}

/// Client credentials.
fn token(state: &State, options: &Options, tenant: &str, request: &Request) -> Result<Reply, EntraError> {
    let field = |name: &str| request.form(name).filter(|value| !value.is_empty());
    let needed = |name: &str| {
        let message = format!("The request body must contain the following parameter: '{name}'.");
        field(name).ok_or(EntraError { status: 400, error: "invalid_request", code: 900_144, message })
    };
    if tenant != TENANT_ID {
        return Err(EntraError::unknown_tenant(tenant));
    }
    if needed("grant_type")? != "client_credentials" {
        let message = "The app requested an unsupported grant type.".to_owned();
        return Err(EntraError { status: 400, error: "unsupported_grant_type", code: 70_003, message });
    }
    let (client_id, scope) = (needed("client_id")?, needed("scope")?);
    if !client_id.eq_ignore_ascii_case(CLIENT_ID) {
        let message =
            format!("Application with identifier '{}' was not found in the directory '{tenant}'.", short(&client_id));
        return Err(EntraError { status: 400, error: "unauthorized_client", code: 700_016, message });
    }
    prove(state, options, request)?;
    let Some(resource) = scope.strip_suffix("/.default") else {
        let message = format!("The provided value for scope {} is not valid.", short(&scope));
        return Err(EntraError { status: 400, error: "invalid_scope", code: 1_002_012, message });
    };
    if resource != RESOURCE_ID {
        let message = format!("The resource principal named {} was not found in the tenant.", short(resource));
        return Err(EntraError { status: 400, error: "invalid_resource", code: 500_011, message });
    }
    let access_token = state.keys.sign(&access_token_claims(Clock::System.now()), super::Signature::Good);
    let body = json!({
        "token_type": "Bearer",
        "expires_in": LIFETIME - 1,
        "ext_expires_in": LIFETIME - 1,
        "access_token": access_token,
    });
    Ok(Reply::json(200, &body).with("cache-control", "no-store"))
}

/// Whether the application proves itself, by a secret or by a signed statement.
fn prove(state: &State, options: &Options, request: &Request) -> Result<(), EntraError> {
    let field = |name: &str| request.form(name).filter(|value| !value.is_empty());
    let unproven = |code, message| EntraError { status: 401, error: "invalid_client", code, message };
    match (field("client_assertion"), field("client_secret")) {
        (Some(assertion), _) if field("client_assertion_type").as_deref() == Some(ASSERTION_TYPE) => {
            // Both name Entra, and the documents have used either.
            let audiences = [
                format!("{}/{TENANT_ID}/oauth2/v2.0/token", authority(options)),
                format!("{}/{TENANT_ID}/v2.0", authority(options)),
            ];
            let accepted = state.credentials.accept(&assertion, &audiences, options.clock.now());
            accepted.map_err(|(code, message)| unproven(code, message))
        }
        (_, Some(secret)) if state.credentials.know(&secret) => {
            let message = format!("The provided client secret keys for app '{CLIENT_ID}' are expired.");
            if state.market.faults.secret_expired { Err(unproven(7_000_222, message)) } else { Ok(()) }
        }
        (_, Some(_)) => {
            let message = "Invalid client secret provided. Ensure the secret being sent in the request is the client \
                           secret value, not the client secret ID.";
            Err(unproven(7_000_215, message.to_owned()))
        }
        (_, None) => {
            let message =
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            Err(unproven(7_000_218, message.to_owned()))
        }
    }
}

/// An error as Entra writes it.
struct EntraError {
    status: u16,
    error: &'static str,
    /// The number behind `AADSTS`.
    code: u32,
    message: String,
}

impl EntraError {
    fn unknown_tenant(tenant: &str) -> Self {
        let message =
            format!("Tenant '{}' not found. Check to make sure you have the correct tenant ID.", short(tenant));
        Self { status: 400, error: "invalid_request", code: 90_002, message }
    }

    fn reply(&self, state: &mut State, options: &Options) -> Reply {
        let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
        let timestamp = options.clock.now().format(&form).expect("every field is present");
        let (trace_id, correlation_id) = (state.market.guid(), state.market.guid());
        let description = format!(
            "AADSTS{}: {} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
            self.code, self.message
        );
        let body = json!({
            "error": self.error,
            "error_description": description,
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        Reply::json(self.status, &body)
    }
}
