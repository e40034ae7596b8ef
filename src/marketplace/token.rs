//! The token with which our application calls the marketplace, and one sentence for every way in which Entra refuses it.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions, Transport,
};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use futures_util::StreamExt as _;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::error::{Code, Fault};
use crate::outbound;
use crate::settings::{Credential, MarketplaceSettings};
use crate::words::scrub;

/// The marketplace API as Entra knows it: the same in every tenant.
pub(super) const RESOURCE: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7";
/// Everything that our application was granted for [`RESOURCE`].
const SCOPE: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7/.default";

/// How long one token request may take, its repetition included. Entra answers within a second or not at all; two thirds
/// of a call's default budget leave time for the call itself.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the SDK repeats a token request that failed in passing. Its own default, 8 times within 60 s, would use up
/// the time of every call that waits; the duty behind the call repeats anyway.
pub const TOKEN_RETRIES: u32 = 1;

/// The wait before the SDK's repetition.
pub const TOKEN_RETRY_DELAY: Duration = Duration::from_millis(200);

/// The largest answer read from Entra, in bytes. A token has a few thousand.
const TOKEN_ANSWER_LIMIT: usize = 64 * 1024;

/// Gives tokens: kept until five minutes before they end, with one request to Entra at a time. Both are the SDK's work.
#[derive(Debug)]
pub(super) struct Tokens {
    credential: Arc<ClientSecretCredential>,
    secret: crate::settings::Secret,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum NoToken {
    /// Entra refuses our application; the sentence names the setting and the fix.
    Refused(String),
    /// Entra gave no usable answer; the sentence says what happened.
    Unavailable(String),
}

impl Tokens {
    pub(super) fn new(settings: &MarketplaceSettings, http: reqwest::Client) -> Result<Self, Fault> {
        let Credential::Secret(secret) = &settings.credential;
        let retry = ExponentialRetryOptions {
            initial_delay: TOKEN_RETRY_DELAY.try_into().expect("a fraction of a second"),
            max_retries: TOKEN_RETRIES,
            max_total_elapsed: TOKEN_TIMEOUT.try_into().expect("a few seconds"),
            ..ExponentialRetryOptions::default()
        };
        let answers = AnswerReader(outbound::loopback_transport(http, &settings.authority));
        let client_options = ClientOptions {
            transport: Some(Transport::new(Arc::new(answers))),
            cloud: Some(Arc::new(outbound::cloud(&settings.authority))),
            retry: RetryOptions::exponential(retry),
            ..ClientOptions::default()
        };
        let credential = ClientSecretCredential::new(
            &settings.tenant_id,
            settings.client_id.clone(),
            Secret::new(secret.reveal().to_owned()),
            Some(ClientSecretCredentialOptions { client_options }),
        )
        .map_err(|error| {
            let why = scrub(&error.to_string(), &[secret.reveal()]);
            Fault::new(
                Code::MarketplaceIdentity,
                format!(
                    "MARKETPLACE_TENANT_ID, MARKETPLACE_CLIENT_ID, MARKETPLACE_CLIENT_SECRET and ENTRA_AUTHORITY_URL do \
                     not make a usable credential: {why}"
                ),
            )
        })?;
        Ok(Self { credential, secret: secret.clone() })
    }

    /// The value of the `authorization` header, marked so that nothing prints it.
    pub(super) async fn header(&self, within: Duration) -> Result<HeaderValue, NoToken> {
        let token = tokio::time::timeout(within.min(TOKEN_TIMEOUT), self.credential.get_token(&[SCOPE], None))
            .await
            .map_err(|_| NoToken::Unavailable("Entra did not answer our token request in time".to_owned()))?
            .map_err(|error| self.explain(&error))?;
        let token = token.token.secret();
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
            .ok()
            .filter(|_| !token.is_empty())
            .ok_or_else(|| NoToken::Unavailable("Entra's answer to our token request holds no token".to_owned()))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn explain(&self, error: &azure_core::Error) -> NoToken {
        let Some((status, code, words)) = refusal(error) else {
            let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
            let why = scrub(&cause, &[self.secret.reveal()]);
            return NoToken::Unavailable(format!("Entra (ENTRA_AUTHORITY_URL) gave no usable answer: {why}"));
        };
        if status >= 500 || status == 429 {
            return NoToken::Unavailable(format!("Entra answered {status} to our token request"));
        }
        NoToken::Refused(sentence(code.as_deref(), &scrub(&words, &[self.secret.reveal()])))
    }
}

/// Reads Entra's answers before the SDK does. `azure_identity` 1.0 cannot read a refusal whose description holds an
/// escaped character, and real ones hold escaped apostrophes and line ends: the number that tells what to mend would
/// be lost. It also bounds what is read.
#[derive(Debug)]
struct AnswerReader(Arc<dyn HttpClient>);

#[async_trait::async_trait]
impl HttpClient for AnswerReader {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (status, headers, mut stream) = self.0.execute_request(request).await?.deconstruct();
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk?);
            if body.len() > TOKEN_ANSWER_LIMIT {
                return Err(azure_core::Error::with_message(ErrorKind::Other, "the answer is too large for a token"));
            }
        }
        match *status {
            200..=299 => Ok(AsyncRawResponse::from_bytes(status, headers, body)),
            // Left to the SDK's repetition, with a body that it can read.
            408 | 429 | 500.. => Ok(AsyncRawResponse::from_bytes(status, headers, "{}")),
            _ => {
                let RefusalBody { error_codes, error_description } = serde_json::from_slice(&body).unwrap_or_default();
                let line = error_description.lines().next().unwrap_or_default().to_owned();
                let code = error_codes.first().map(ToString::to_string).or_else(|| written_code(&line));
                let kind = ErrorKind::HttpResponse { status, error_code: code, raw_response: None };
                Err(azure_core::Error::with_message(kind, line))
            }
        }
    }
}

/// What we read of a refusal.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusalBody {
    error_codes: Vec<u32>,
    error_description: String,
}

fn written_code(description: &str) -> Option<String> {
    let (_, after) = description.split_once("AADSTS")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

/// The status, the AADSTS number and the words of a refusal, from under what the SDK wrapped around it.
fn refusal(error: &azure_core::Error) -> Option<(u16, Option<String>, String)> {
    let innermost = causes(error).filter_map(|cause| cause.downcast_ref::<azure_core::Error>()).last()?;
    match innermost.kind() {
        ErrorKind::HttpResponse { status, error_code, .. } => {
            Some((**status, error_code.clone(), innermost.to_string()))
        }
        _ => None,
    }
}

fn causes(error: &azure_core::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |cause| (*cause).source())
}

/// What an operator must do about a refusal, by its AADSTS number.
fn sentence(code: Option<&str>, words: &str) -> String {
    const PAGE: &str = "on the offer's Technical configuration page in Partner Center";
    const SECRETS: &str = "under \"Certificates & secrets\" of the app registration in the Entra admin center";
    let Some(code) = code else {
        return format!("Entra refuses our application a token: {words}");
    };
    match code {
        "700016" => format!(
            "MARKETPLACE_CLIENT_ID names no application of this tenant (AADSTS{code}): set it to the \"Microsoft Entra \
             application ID\" {PAGE}, and MARKETPLACE_TENANT_ID to that application's tenant."
        ),
        "90002" | "900023" => format!(
            "MARKETPLACE_TENANT_ID names no tenant (AADSTS{code}): set it to the \"Microsoft Entra tenant ID\" {PAGE}."
        ),
        "7000215" => format!(
            "MARKETPLACE_CLIENT_SECRET is wrong (AADSTS{code}): set it to the Value, not the Secret ID, of a client \
             secret {SECRETS}."
        ),
        "7000222" => format!(
            "MARKETPLACE_CLIENT_SECRET has expired (AADSTS{code}): make a new client secret {SECRETS} and set it to its \
             Value."
        ),
        "500011" => format!(
            "The tenant that MARKETPLACE_TENANT_ID names does not know the marketplace API (AADSTS{code}): run `az ad sp \
             create --id {RESOURCE}` there once."
        ),
        _ => format!("Entra refuses our application a token (AADSTS{code}): {words}"),
    }
}
