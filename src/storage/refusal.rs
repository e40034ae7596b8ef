//! Why storage did not do it: what a caller must know, and one sentence for the log that says what to do. Nothing of what
//! storage itself wrote goes into it but the code: its explanations repeat signatures.

use std::fmt;
use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use serde::Deserialize;

use crate::settings::StorageAccess;

/// The longest code or cause taken over, in characters. Codes have some thirty.
const WORDS_LENGTH: usize = 300;

/// Why storage did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status, where storage answered.
    pub(crate) status: Option<u16>,
    /// Storage's own word for it; empty where it said none.
    pub(crate) code: String,
    sentence: String,
}

impl Refusal {
    /// Reads an error of Azure's SDK. `what` names the table or queue.
    pub(super) fn new(error: &azure_core::Error, access: &StorageAccess, host: &str, what: &str) -> Self {
        let ErrorKind::HttpResponse { status, error_code, raw_response } = error.kind() else {
            let cause = words(&innermost(error).to_string());
            let sentence = match error.kind() {
                ErrorKind::Connection | ErrorKind::Io => format!("storage at {host} cannot be reached: {cause}"),
                ErrorKind::Credential => format!("no token for storage at {host}: {cause}"),
                _ => format!("storage at {host} gave no usable answer: {cause}"),
            };
            return Self { status: None, code: String::new(), sentence };
        };
        let code = raw_response.as_deref().and_then(code_in_body).or_else(|| error_code.clone()).unwrap_or_default();
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(WORDS_LENGTH).collect();
        let sentence = sentence(**status, &code, access, host, what);
        Self { status: Some(**status), code, sentence }
    }

    /// Storage gave no answer in all this time.
    pub(super) fn late(host: &str, patience: Duration) -> Self {
        let sentence = format!("storage at {host} did not answer within {patience:?}");
        Self { status: None, code: String::new(), sentence }
    }

    /// Storage answered, and its answer cannot be read.
    pub(crate) fn unreadable(what: &str) -> Self {
        Self { status: None, code: String::new(), sentence: format!("what storage answered of {what} cannot be read") }
    }

    /// Whether somebody else was faster.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status == Some(412) || self.code == "EntityAlreadyExists"
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

fn sentence(status: u16, code: &str, access: &StorageAccess, host: &str, what: &str) -> String {
    let refused = format!("storage at {host} refuses us ({status} {code})");
    // Azure's word where the network is refused; Azurite says it of signatures as well.
    let firewall = if code == "AuthorizationFailure" { ". Or its firewall does not let us in" } else { "" };
    match (status, code, access) {
        (404, "TableNotFound" | "QueueNotFound" | "ResourceNotFound", _) => {
            format!("{what} does not exist in storage at {host}: `fulfillment doctor` creates it")
        }
        (401 | 403, "KeyBasedAuthenticationNotPermitted", _) => format!(
            "{refused}: this account takes no keys, so set AzureWebJobsStorage__accountName in place of AzureWebJobsStorage"
        ),
        (401 | 403, _, StorageAccess::Key { .. }) => format!(
            "{refused}: AzureWebJobsStorage has a key that is not this account's any more, or this machine's clock is more \
             than 15 minutes off{firewall}"
        ),
        (401 | 403, _, StorageAccess::Signature(_)) => format!(
            "{refused}: the SharedAccessSignature in AzureWebJobsStorage has expired or allows too little; it must allow \
             everything for queues and tables{firewall}"
        ),
        (401 | 403, _, StorageAccess::Identity { .. }) => format!(
            "{refused}: give the identity the roles Storage Queue Data Contributor and Storage Table Data Contributor on \
             this account; a new role counts after some minutes{firewall}"
        ),
        (408 | 429 | 500.., ..) => format!("storage at {host} is busy or failing ({status} {code})"),
        _ => format!("storage at {host} refuses what we ask of {what} ({status} {code})"),
    }
}

/// The code in an answer of the table service, which need not repeat it in a header.
fn code_in_body(answer: &RawResponse) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "odata.error")]
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
    }
    serde_json::from_slice::<Body>(answer.body()).ok().map(|body| body.error.code)
}

/// The cause under what the SDK wrapped around it.
fn innermost(error: &azure_core::Error) -> &(dyn std::error::Error + 'static) {
    let causes = std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |cause| (*cause).source());
    causes.last().expect("the error itself")
}

/// On one line and no longer than a sentence.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(WORDS_LENGTH).collect()
}
