//! What a call to the marketplace can end in besides its answer.

use std::fmt;

use time::Duration;

use crate::error::{Code, Fault, Retry};

/// A call that did not give its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// Which call.
    pub operation: &'static str,
    /// What happened.
    pub kind: CallErrorKind,
    /// The identifier that we sent with it, for a support ticket with Microsoft.
    pub request_id: String,
    /// A sentence for the operator: bounded, without personal data and tokens.
    pub detail: String,
    /// The wait that the marketplace asked for, at most [`super::RETRY_AFTER_LIMIT`].
    pub retry_after: Option<Duration>,
}

/// The ways in which a call can end without its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The marketplace refuses the request as it is (400 and its like); for Resolve: the purchase token is broken or
    /// older than 24 hours.
    BadRequest,
    /// Another operation holds the subscription. It passes when that one ends.
    Locked,
    /// The marketplace does not accept our application (401 or 403): a setting here or in Partner Center. For List
    /// Available Plans 403 may also mean that the subscription is cancelled.
    Identity,
    /// No such subscription or operation; for Activate also a subscription that is cancelled.
    NotFound,
    /// Something newer has overtaken the request: read the state instead of insisting.
    Conflict,
    /// Too many calls.
    Throttled,
    /// The marketplace failed, or answered with a status that this API does not have.
    Failed {
        /// The HTTP status.
        status: u16,
    },
    /// No answer arrived in time.
    Unreachable {
        /// Whether the request may have arrived and been carried out: read before sending again.
        may_have_arrived: bool,
    },
    /// The call succeeded, but its answer cannot be read.
    Unreadable,
    /// An address that the marketplace named is not on the allow-list. Nothing was sent there.
    UntrustedHost,
    /// Entra refuses to give our application a token: a setting.
    Credential,
}

impl CallErrorKind {
    /// The kind as it stands in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Locked => "locked",
            Self::Identity => "identity",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Failed { .. } => "failed",
            Self::Unreachable { .. } => "unreachable",
            Self::Unreadable => "unreadable",
            Self::UntrustedHost => "untrusted_host",
            Self::Credential => "credential",
        }
    }
}

impl CallError {
    /// Whether the same call can succeed later.
    ///
    /// That includes what a person must mend first: a wrong identity, credential or allow-list, and an answer that a
    /// newer version may read. The duty that needs the call waits with its back-off meanwhile, and goes on by itself
    /// once the setting is right; a duty given up would need every subscription to be taken up again by hand.
    pub fn retry(&self) -> Retry {
        match self.kind {
            CallErrorKind::BadRequest | CallErrorKind::NotFound | CallErrorKind::Conflict => Retry::Never,
            CallErrorKind::Locked
            | CallErrorKind::Identity
            | CallErrorKind::Throttled
            | CallErrorKind::Failed { .. }
            | CallErrorKind::Unreachable { .. }
            | CallErrorKind::Unreadable
            | CallErrorKind::UntrustedHost
            | CallErrorKind::Credential => Retry::Later(self.retry_after),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, request id {})", self.detail, self.operation, self.request_id)
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        let code = match error.kind {
            CallErrorKind::BadRequest | CallErrorKind::NotFound if error.operation == super::RESOLVE => {
                Code::TokenRefused
            }
            CallErrorKind::BadRequest | CallErrorKind::Conflict => Code::MarketplaceRefused,
            CallErrorKind::NotFound => Code::UnknownSubscription,
            CallErrorKind::Identity | CallErrorKind::Credential => Code::MarketplaceIdentity,
            CallErrorKind::Locked
            | CallErrorKind::Throttled
            | CallErrorKind::Failed { .. }
            | CallErrorKind::Unreachable { .. } => Code::MarketplaceUnavailable,
            CallErrorKind::Unreadable | CallErrorKind::UntrustedHost => Code::MarketplaceUnreadable,
        };
        Self { code, private: error.to_string(), retry: error.retry() }
    }
}
