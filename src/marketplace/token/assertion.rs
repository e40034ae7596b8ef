//! What stands in place of a client secret: a signed statement that the application is who it says.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use serde::Serialize;
use time::Duration;
use uuid::Uuid;

use crate::certificate::Certificate;
use crate::clock::Clock;

/// How long a statement counts. Entra reads it at once; five minutes leave room for clocks that differ.
const LIFETIME: Duration = Duration::minutes(5);

/// What a token must be for to count as a statement of a federated credential.
const EXCHANGE: &str = "api://AzureADTokenExchange/.default";

/// Our own statement, signed with the certificate's key.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) certificate: Certificate,
    pub(super) client_id: String,
    /// Who is to read it: the token endpoint.
    pub(super) audience: String,
    pub(super) clock: Clock,
}

/// The claims, as <https://learn.microsoft.com/entra/identity-platform/certificate-credentials> asks for them.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

#[async_trait::async_trait]
impl ClientAssertion for Signed {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let now = self.clock.now();
        let claims = Claims {
            aud: &self.audience,
            iss: &self.client_id,
            sub: &self.client_id,
            jti: Uuid::new_v4().to_string(),
            iat: now.unix_timestamp(),
            nbf: now.unix_timestamp(),
            exp: (now + LIFETIME).unix_timestamp(),
        };
        let words = "the private key of MARKETPLACE_CERTIFICATE cannot sign";
        self.certificate
            .sign(&claims)
            .map_err(|error| azure_core::Error::with_error(ErrorKind::Credential, error, words))
    }
}

/// The managed identity's statement: a token of its own.
#[derive(Debug)]
pub(super) struct VouchedFor {
    pub(super) identity: Arc<dyn TokenCredential>,
}

#[async_trait::async_trait]
impl ClientAssertion for VouchedFor {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.identity.get_token(&[EXCHANGE], None).await?.token.secret().to_owned())
    }
}
