//! Which words belong to which failure. A message's value is the title of the page; its attributes `text` and `advice`
//! say what happened and what to do.

use crate::error::Code;

/// The message of a code. Codes share one where a buyer would do the same about them.
pub(super) fn message(code: Code) -> &'static str {
    match code {
        Code::TokenMissing => "fault-token-missing",
        Code::TokenRefused => "fault-token-refused",
        Code::SigninRequired => "fault-signin-required",
        Code::SigninExpired => "fault-signin-expired",
        Code::SigninFailed => "fault-signin-failed",
        Code::WrongPerson => "fault-wrong-person",
        Code::ForgedForm => "fault-forged-form",
        Code::ForeignOffer => "fault-foreign-offer",
        Code::UnknownSubscription => "fault-unknown-subscription",
        Code::Suspended => "fault-suspended",
        Code::Cancelled => "fault-cancelled",
        Code::MarketplaceUnavailable => "fault-marketplace-unavailable",
        Code::MarketplaceRefused | Code::MarketplaceIdentity | Code::MarketplaceUnreadable => {
            "fault-marketplace-misunderstood"
        }
        Code::EntraUnavailable => "fault-entra-unavailable",
        Code::StoreUnavailable | Code::QueueUnavailable | Code::Contended => "fault-not-saved",
        Code::BodyTooLarge => "fault-body-too-large",
        Code::BodyTooSlow => "fault-body-too-slow",
        // The last ones answer programs only; a buyer who met one could do no more about it.
        Code::BadRequest
        | Code::BadEnvelope
        | Code::CallerRefused
        | Code::NotActive
        | Code::UnknownDuty
        | Code::UnknownEvent
        | Code::NotAllowed
        | Code::Busy
        | Code::AsOrdered
        | Code::NotConnected => "fault-bad-request",
        Code::UnknownFunction => "fault-unknown-page",
        Code::WrongMethod => "fault-wrong-method",
        Code::RecordNewer | Code::RecordUnreadable | Code::VaultUnavailable | Code::Internal => "fault-internal",
    }
}

/// What the link says that leads on from the page.
pub(super) fn action(code: Code) -> &'static str {
    match code {
        Code::SigninRequired => "action-sign-in",
        Code::SigninExpired | Code::SigninFailed => "action-sign-in-again",
        Code::WrongPerson => "action-another-account",
        _ => "action-try-again",
    }
}
