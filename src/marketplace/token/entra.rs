//! Azure's credentials, set up for the Entra of the settings, and the reading of its answers before the SDK does.

use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions, Transport,
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};
use futures_util::StreamExt as _;
use serde::Deserialize;
use url::Url;

use super::assertion::{Signed, VouchedFor};
use super::refusal::written_code;
use super::{TOKEN_RETRIES, TOKEN_RETRY_DELAY, TOKEN_TIMEOUT};
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::error::{Code, Fault};
use crate::identity::NoToken;
use crate::outbound;
use crate::settings::{self, MarketplaceSettings};
use crate::words::scrub;

/// The largest answer read from Entra, in bytes. A token has a few thousand.
const TOKEN_ANSWER_LIMIT: usize = 64 * 1024;

/// Makes credentials for one application of one tenant.
#[derive(Debug)]
pub(super) struct Entra {
    tenant_id: String,
    client_id: String,
    authority: Url,
    http: reqwest::Client,
}

type Made = Result<Arc<dyn TokenCredential>, NoToken>;

impl Entra {
    pub(super) fn new(settings: &MarketplaceSettings, http: reqwest::Client) -> Self {
        let MarketplaceSettings { tenant_id, client_id, authority, .. } = settings.clone();
        Self { tenant_id, client_id, authority, http }
    }

    /// Whether a credential can be made at all, which does not depend on the secret.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let unusable = |none: NoToken| Fault::new(Code::MarketplaceIdentity, none.to_string());
        self.knowing(&settings::Secret::new("any")).map(drop).map_err(unusable)
    }

    /// A credential that shows a client secret.
    pub(super) fn knowing(&self, secret: &settings::Secret) -> Made {
        let secret = Secret::new(secret.reveal().to_owned());
        let options = ClientSecretCredentialOptions { client_options: self.client_options() };
        ClientSecretCredential::new(&self.tenant_id, self.client_id.clone(), secret, Some(options))
            .map(|credential| -> Arc<dyn TokenCredential> { credential })
            .map_err(|error| unusable(&error))
    }

    /// A credential that shows a statement signed with a certificate.
    pub(super) fn signed_for_by(&self, certificate: Certificate, clock: Clock) -> Made {
        let authority = self.authority.as_str().trim_end_matches('/');
        let audience = format!("{authority}/{}/oauth2/v2.0/token", self.tenant_id);
        self.asserted(Signed { certificate, client_id: self.client_id.clone(), audience, clock })
    }

    /// A credential that shows a token of the managed identity.
    pub(super) fn vouched_for_by(&self, identity: Arc<dyn TokenCredential>) -> Made {
        self.asserted(VouchedFor { identity })
    }

    fn asserted(&self, assertion: impl ClientAssertion + 'static) -> Made {
        let options = ClientAssertionCredentialOptions { client_options: self.client_options() };
        let (tenant_id, client_id) = (self.tenant_id.clone(), self.client_id.clone());
        ClientAssertionCredential::new(tenant_id, client_id, assertion, Some(options))
            .map(|credential| -> Arc<dyn TokenCredential> { credential })
            .map_err(|error| unusable(&error))
    }

    fn client_options(&self) -> ClientOptions {
        let retry = ExponentialRetryOptions {
            initial_delay: TOKEN_RETRY_DELAY.try_into().expect("a fraction of a second"),
            max_retries: TOKEN_RETRIES,
            max_total_elapsed: TOKEN_TIMEOUT.try_into().expect("a few seconds"),
            ..ExponentialRetryOptions::default()
        };
        let answers = AnswerReader(outbound::loopback_transport(self.http.clone(), &self.authority));
        ClientOptions {
            transport: Some(Transport::new(Arc::new(answers))),
            cloud: Some(Arc::new(outbound::cloud(&self.authority))),
            retry: RetryOptions::exponential(retry),
            ..ClientOptions::default()
        }
    }
}

fn unusable(error: &azure_core::Error) -> NoToken {
    NoToken::Refused(format!(
        "MARKETPLACE_TENANT_ID, MARKETPLACE_CLIENT_ID and ENTRA_AUTHORITY_URL do not make a usable credential: {}",
        scrub(&error.to_string(), &[])
    ))
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
