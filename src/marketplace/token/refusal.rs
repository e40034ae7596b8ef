//! One sentence for every way in which Entra refuses our application a token: the setting, the place and the fix.

use azure_core::error::ErrorKind;
use time::OffsetDateTime;

use super::RESOURCE;
use crate::certificate::Certificate;
use crate::identity::{NoToken, causes};
use crate::words::scrub;

/// The codes that say that the secret or the certificate is not, or no longer, the application's: somebody may have put
/// a new one into the Key Vault.
const DOUBTS: [&str; 3] = ["700027", "7000215", "7000222"];

/// A token request that was not answered with a token.
pub(super) struct Refused {
    /// The number behind `AADSTS`.
    code: Option<String>,
    pub(super) none: NoToken,
}

impl Refused {
    /// Reads an error of Azure's SDK. `place` is where the secret is found, and `secret` what must not be repeated.
    pub(super) fn read(error: &azure_core::Error, place: &str, secret: &str) -> Self {
        if let Some(none) = NoToken::among(error) {
            return Self::of_the_identity(none);
        }
        let Some((status, code, words)) = refusal(error) else {
            let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
            let why = scrub(&cause, &[secret]);
            let none = NoToken::Unavailable(format!("Entra (ENTRA_AUTHORITY_URL) gave no usable answer: {why}"));
            return Self { code: None, none };
        };
        if status >= 500 || status == 429 {
            let none = NoToken::Unavailable(format!("Entra answered {status} to our token request"));
            return Self { code: None, none };
        }
        let none = NoToken::Refused(sentence(code.as_deref(), &scrub(&words, &[secret]), place));
        Self { code, none }
    }

    /// The managed identity gave no token, neither for the marketplace nor for the exchange.
    fn of_the_identity(none: &NoToken) -> Self {
        let words = none.to_string();
        let code = written_code(&words);
        let none = match none {
            NoToken::Refused(_) if code.is_some() => NoToken::Refused(sentence(code.as_deref(), &words, "")),
            none => none.clone(),
        };
        Self { code: None, none }
    }

    /// Whether it is the secret that is refused, and a newer one may be taken.
    pub(super) fn doubts_the_secret(&self) -> bool {
        self.code.as_deref().is_some_and(|code| DOUBTS.contains(&code))
    }
}

/// A certificate that has expired is not shown to anybody: Entra would call its signature wrong.
pub(super) fn check_expiry(place: &str, certificate: &Certificate, now: OffsetDateTime) -> Result<(), NoToken> {
    let expires_at = certificate.expires_at();
    if now < expires_at {
        return Ok(());
    }
    Err(NoToken::Refused(format!(
        "{place} expired on {}: make a new certificate, upload its public part {CERTIFICATES}, and set it",
        expires_at.date()
    )))
}

/// The number in Entra's words.
pub(super) fn written_code(description: &str) -> Option<String> {
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

const PAGE: &str = "on the offer's Technical configuration page in Partner Center";
const SECRETS: &str = "under \"Certificates & secrets\" of the app registration in the Entra admin center";
const CERTIFICATES: &str = "under \"Certificates & secrets\" of the app registration";
const FEDERATED: &str = "under \"Certificates & secrets\", Federated credentials, of the app registration";

/// What an operator must do about a refusal, by its AADSTS number
/// (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>).
fn sentence(code: Option<&str>, words: &str, place: &str) -> String {
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
            "{place} is wrong (AADSTS{code}): set it to the Value, not the Secret ID, of a client secret {SECRETS}."
        ),
        "7000222" => {
            format!("{place} has expired (AADSTS{code}): make a new client secret {SECRETS} and set it to its Value.")
        }
        "700027" => format!(
            "{place} is not a certificate of the application that MARKETPLACE_CLIENT_ID names (AADSTS{code}): upload its \
             public part {CERTIFICATES}."
        ),
        "700024" => format!(
            "Entra finds our signed statement outside of its time (AADSTS{code}): the clock of this machine is wrong."
        ),
        "70021" | "70025" | "700211" | "700212" | "700213" => federated(code),
        "500011" => format!(
            "The tenant that MARKETPLACE_TENANT_ID names does not know the marketplace API (AADSTS{code}): run `az ad sp \
             create --id {RESOURCE}` there once."
        ),
        _ => format!("Entra refuses our application a token (AADSTS{code}): {words}"),
    }
}

/// Which part of the federated credential does not fit the managed identity's token.
fn federated(code: &str) -> String {
    let wrong = match code {
        "70025" => "has no federated credential",
        "700211" => "has no federated credential with this issuer",
        "700212" => "has no federated credential with this audience",
        "700213" => "has no federated credential with this subject",
        _ => "has no federated credential that fits",
    };
    format!(
        "MARKETPLACE_CLIENT_ID {wrong} (AADSTS{code}): {FEDERATED} add the managed identity of AZURE_CLIENT_ID (subject: \
         its Object ID, audience: api://AzureADTokenExchange)."
    )
}
