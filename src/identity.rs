//! The identity with which this program calls Azure: the app's managed identity where the platform gives it one, the
//! developer's own elsewhere. There is no secret in either.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};

use crate::error::{Code, Fault};
use crate::outbound::{Bounded, traced};
use crate::words::scrub;

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
        let credential = DeveloperToolsCredential::new(None).map_err(unusable)?;
        return Ok(Arc::new(Explained { credential, who: Who::Developer }));
    }
    let transport = Bounded::new(http, TOKEN_PATIENCE, TOKEN_ANSWER_LIMIT);
    let retry = ExponentialRetryOptions {
        initial_delay: TOKEN_RETRY_DELAY.try_into().expect("a fraction of a second"),
        max_retries: TOKEN_RETRIES,
        ..ExponentialRetryOptions::default()
    };
    let client_options = ClientOptions {
        transport: Some(Transport::new(traced(Arc::new(transport), "The managed identity", "token"))),
        retry: RetryOptions::exponential(retry),
        ..ClientOptions::default()
    };
    let user_assigned_id = client_id.map(|id| UserAssignedId::ClientId(id.to_owned()));
    let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
    let credential = ManagedIdentityCredential::new(Some(options)).map_err(unusable)?;
    let who = if client_id.is_some() { Who::UserAssigned } else { Who::SystemAssigned };
    Ok(Arc::new(Explained { credential, who }))
}

/// The credential for what only a managed identity can do: to be the application itself, or to vouch for it.
///
/// # Errors
///
/// As [`credential`].
pub(crate) fn managed(client_id: Option<&str>, http: reqwest::Client) -> Result<Arc<dyn TokenCredential>, Fault> {
    if is_given_by_the_platform() { credential(client_id, http) } else { Ok(Arc::new(Absent)) }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoToken {
    /// It is refused; the sentence names the setting and the fix.
    #[error("{0}")]
    Refused(String),
    /// No usable answer came; the sentence says what happened.
    #[error("{0}")]
    Unavailable(String),
}

impl NoToken {
    /// The one that Azure's SDK has wrapped up in an error of its own, if it did.
    pub(crate) fn among(error: &azure_core::Error) -> Option<&Self> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }
}

/// An error of Azure's SDK and what is under it, outermost first.
pub(crate) fn causes(error: &azure_core::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |cause| (*cause).source())
}

/// Whose token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    SystemAssigned,
    UserAssigned,
    Developer,
}

/// A credential whose errors hold a [`NoToken`], whoever wraps them up.
#[derive(Debug)]
struct Explained {
    credential: Arc<dyn TokenCredential>,
    who: Who,
}

#[async_trait::async_trait]
impl TokenCredential for Explained {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.credential.get_token(scopes, options).await.map_err(|error| wrapped(self.who.explain(&error)))
    }
}

/// Stands for the managed identity where there is none.
#[derive(Debug)]
struct Absent;

#[async_trait::async_trait]
impl TokenCredential for Absent {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Err(wrapped(NoToken::Refused(format!(
            "MARKETPLACE_CREDENTIAL asks for a managed identity, and there is none ({IDENTITY_ENDPOINT} is not set): in \
             Azure assign one to the app, elsewhere set MARKETPLACE_CREDENTIAL to \"certificate\" or \"secret\""
        ))))
    }
}

fn wrapped(none: NoToken) -> azure_core::Error {
    let words = none.to_string();
    azure_core::Error::with_error(ErrorKind::Credential, none, words)
}

impl Who {
    fn explain(self, error: &azure_core::Error) -> NoToken {
        if self == Self::Developer {
            return NoToken::Refused(format!(
                "there is no managed identity ({IDENTITY_ENDPOINT} is not set), and nobody is signed in to Azure's tools: \
                 in Azure assign an identity to the app, on your own machine run `az login`"
            ));
        }
        let answered = causes(error).filter_map(|cause| cause.downcast_ref::<azure_core::Error>()).last();
        let Some(ErrorKind::HttpResponse { status, raw_response, .. }) = answered.map(azure_core::Error::kind) else {
            let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
            return NoToken::Unavailable(format!("the managed identity cannot be asked: {}", scrub(&cause, &[])));
        };
        let body = raw_response.as_ref().map(|answer| String::from_utf8_lossy(answer.body()).into_owned());
        let body = body.unwrap_or_default();
        match (**status, self) {
            (408 | 429 | 500.., _) => NoToken::Unavailable(format!("the managed identity answered {}", **status)),
            // Entra's own refusal, passed on.
            _ if body.contains("AADSTS") => NoToken::Refused(format!(
                "Entra gives the managed identity no token for this: {}",
                scrub(&body[body.find("AADSTS").unwrap_or_default()..], &[])
            )),
            (400, Self::UserAssigned) => NoToken::Refused(
                "the app has no managed identity with the client id of AZURE_CLIENT_ID (for storage: \
                 AzureWebJobsStorage__clientId): set it to the Client ID, not the Object ID, of an identity that is \
                 listed under Identity, User assigned, of the function app"
                    .to_owned(),
            ),
            (400, _) => NoToken::Refused(
                "the app has no system-assigned managed identity: turn it on under Identity of the function app, or set \
                 AZURE_CLIENT_ID (for storage: AzureWebJobsStorage__clientId) to the Client ID of a user-assigned one"
                    .to_owned(),
            ),
            (status, _) => NoToken::Refused(format!("the managed identity answered {status}: {}", scrub(&body, &[]))),
        }
    }
}

/// Azure's SDK reads the process's own environment for where to ask, whatever the settings were read from; so only that
/// environment tells which credential can work.
fn is_given_by_the_platform() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the SDK reads this key from the process as well")]
    std::env::var_os(IDENTITY_ENDPOINT).is_some()
}
