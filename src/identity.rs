//! The identity with which this program calls Azure: the app's managed identity where the platform gives it one, the
//! developer's own elsewhere. There is no secret in either.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};

use crate::error::{Code, Fault};
use crate::outbound::Bounded;

/// Where the platform gives out its tokens. App Service and Functions set it where the app has a managed identity.
const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";

/// How long the platform's endpoint may take for one answer. It answers from the same machine, in well under a second
/// but for the first token of a cold instance.
pub const TOKEN_PATIENCE: Duration = Duration::from_secs(4);

/// How often a token request that failed in passing is repeated. A cold instance's endpoint refuses connections for a
/// moment; whoever needs the token has a few seconds.
pub const TOKEN_RETRIES: u32 = 2;

/// The wait before the first repetition.
pub const TOKEN_RETRY_DELAY: Duration = Duration::from_millis(200);

/// The largest answer read from the endpoint, in bytes. A token has a few thousand.
const TOKEN_ANSWER_LIMIT: usize = 64 * 1024;

/// The credential for everything that belongs to this installation in Azure. `client_id` names a user-assigned
/// identity; without it the platform uses the system-assigned one. Make one and share it: it keeps its tokens until five
/// minutes before they end.
///
/// Away from Azure it is whoever is signed in to the Azure CLI or the Azure Developer CLI.
///
/// # Errors
///
/// A platform whose managed identity Azure's SDK does not know.
pub(crate) fn credential(client_id: Option<&str>, http: reqwest::Client) -> Result<Arc<dyn TokenCredential>, Fault> {
    let unusable = |error: azure_core::Error| Fault::new(Code::Internal, format!("no identity for Azure: {error}"));
    if !is_given_by_the_platform() {
        return Ok(DeveloperToolsCredential::new(None).map_err(unusable)?);
    }
    let retry = ExponentialRetryOptions {
        initial_delay: TOKEN_RETRY_DELAY.try_into().expect("a fraction of a second"),
        max_retries: TOKEN_RETRIES,
        ..ExponentialRetryOptions::default()
    };
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(Bounded::new(http, TOKEN_PATIENCE, TOKEN_ANSWER_LIMIT)))),
        retry: RetryOptions::exponential(retry),
        ..ClientOptions::default()
    };
    let user_assigned_id = client_id.map(|id| UserAssignedId::ClientId(id.to_owned()));
    let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
    Ok(ManagedIdentityCredential::new(Some(options)).map_err(unusable)?)
}

/// Azure's SDK reads the process's own environment for where to ask, whatever the settings were read from; so only that
/// environment tells which credential can work.
fn is_given_by_the_platform() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the SDK reads this key from the process as well")]
    std::env::var_os(IDENTITY_ENDPOINT).is_some()
}
