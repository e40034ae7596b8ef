//! What a vault answers in place of a secret, as one sentence that names the setting and the fix.

use azure_core::error::{ErrorKind, ErrorResponse};
use time::Duration;

use crate::error::{Code, Fault, Retry};
use crate::identity::{NoToken, causes};
use crate::words::scrub;

/// The longest `Retry-After` believed: a vault that is asked every few minutes is asked again by itself.
const LONGEST_RETRY_AFTER: Duration = Duration::minutes(10);

/// An exchange with the vault that did not give its answer.
pub(super) struct Refusal(pub(super) azure_core::Error);

impl Refusal {
    /// Whether the version that was asked for is turned off.
    pub(super) fn is_disabled(&self) -> bool {
        self.status() == Some(403) && self.inner_code().is_some_and(|code| code == "SecretDisabled")
    }

    /// Whether the vault answers us, and refuses this.
    pub(super) fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// What an operator must do.
    pub(super) fn explain(&self, name: &str) -> Fault {
        if let Some(none) = NoToken::among(&self.0) {
            return match none {
                NoToken::Refused(sentence) => unusable(sentence.clone()),
                NoToken::Unavailable(sentence) => unavailable(sentence),
            };
        }
        let Some(status) = self.status() else {
            let cause = causes(&self.0).last().map(ToString::to_string).unwrap_or_default();
            return unavailable(&format!(
                "{}; see whether KEY_VAULT_URL is the vault's own address, and whether the app's network leads there",
                scrub(&cause, &[])
            ));
        };
        match (status, self.inner_code().as_deref()) {
            (401, _) => unusable(
                "it does not accept the token of the app's identity; KEY_VAULT_URL must name a vault of the same tenant",
            ),
            (403, Some("ForbiddenByFirewall" | "ForbiddenByConnection")) => unusable(
                "its firewall keeps the app out; under its Networking allow the app's subnet, a private endpoint, or \
                 public access",
            ),
            (403, _) => unusable(
                "the app's identity may not read its secrets; give that identity, which AZURE_CLIENT_ID names, the role \
                 Key Vault Secrets User on the vault, and wait up to ten minutes",
            ),
            (404, _) => unusable(format!(
                "it has no secret named {name}; make one, or set {} instead",
                name.to_ascii_uppercase().replace('-', "_")
            )),
            (429, _) => {
                let retry = Retry::Later(self.retry_after());
                Fault { retry, ..unavailable("it answered 429: too many calls, of this app or of others") }
            }
            (408 | 500.., _) => unavailable(&format!("it answered {status}")),
            _ => unusable(format!("it answered {status}: {}", scrub(&self.0.to_string(), &[]))),
        }
    }

    fn status(&self) -> Option<u16> {
        self.0.http_status().map(|status| *status)
    }

    /// The vault's own word for what is wrong, from inside the general one.
    fn inner_code(&self) -> Option<String> {
        let ErrorKind::HttpResponse { raw_response: Some(answer), .. } = self.0.kind() else { return None };
        let told: ErrorResponse = serde_json::from_slice(answer.body()).ok()?;
        told.error?.inner_error?.code
    }

    fn retry_after(&self) -> Option<Duration> {
        let ErrorKind::HttpResponse { raw_response: Some(answer), .. } = self.0.kind() else { return None };
        let seconds = answer.headers().get_optional_str(&"retry-after".into())?.parse().ok()?;
        Some(Duration::seconds(seconds).clamp(Duration::ZERO, LONGEST_RETRY_AFTER))
    }
}

/// Somebody must change something.
pub(super) fn unusable(reason: impl std::fmt::Display) -> Fault {
    Fault::new(Code::VaultUnavailable, format!("the Key Vault (KEY_VAULT_URL) cannot be used: {reason}"))
}

/// It may pass.
pub(super) fn unavailable(reason: &str) -> Fault {
    Fault::passing(Code::VaultUnavailable, format!("the Key Vault (KEY_VAULT_URL) cannot be read now: {reason}"))
}
