//! What can go wrong, said once: what the caller may hear, what the log must hold, and whether trying again can help.

use std::fmt;

use time::Duration;

/// A failure on its way out: to a buyer's page, to the host, or onto a duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of failure; decides the HTTP status and what the caller hears.
    pub code: Code,
    /// For the log and for the operator: the cause, with ids, never with personal data or secrets.
    pub private: String,
    /// Whether trying again can help.
    pub retry: Retry,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call will fail the same way until somebody changes something.
    Never,
    /// It may well work later, not before the given wait where the other side named one.
    Later(Option<Duration>),
}

/// The catalogue of failures. `docs/errors.md` lists every one; a test keeps the two equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request cannot be understood.
    BadRequest,
    /// The request's body is over the limit.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// No such function or route.
    UnknownFunction,
    /// The route exists for another method.
    WrongMethod,
    /// The host's envelope is not what a Functions host sends.
    BadEnvelope,
    /// The landing page was opened without a purchase token.
    TokenMissing,
    /// The marketplace does not accept the purchase token: broken, or older than 24 hours.
    TokenRefused,
    /// The person must sign in first.
    SigninRequired,
    /// Entra's answer does not belong to a sign-in that this browser began in the last minutes.
    SigninExpired,
    /// Entra refused, or its answer was proven wrong.
    SigninFailed,
    /// A call of the webhook that is not proven to come from the marketplace.
    CallerRefused,
    /// The signed-in person is neither of the buyer's nor of the user's organisation.
    WrongPerson,
    /// A form arrived that this session was not shown.
    ForgedForm,
    /// The subscription belongs to an offer that this installation does not serve.
    ForeignOffer,
    /// No record of this subscription.
    UnknownSubscription,
    /// The subscription is suspended.
    Suspended,
    /// The subscription is cancelled.
    Cancelled,
    /// The subscription is not active yet.
    NotActive,
    /// The subscription owes nothing of this kind.
    UnknownDuty,
    /// The record keeps no event of this number.
    UnknownEvent,
    /// Microsoft does not allow the publisher to change this subscription.
    NotAllowed,
    /// An order of the same kind is still under way.
    Busy,
    /// It already is as ordered.
    AsOrdered,
    /// No software of the publisher's is connected for this.
    NotConnected,
    /// The marketplace cannot be reached, is overloaded, or failed.
    MarketplaceUnavailable,
    /// The marketplace refused the call for good.
    MarketplaceRefused,
    /// The marketplace refuses the publisher's identity: a wrong setting.
    MarketplaceIdentity,
    /// The marketplace answered something that cannot be read.
    MarketplaceUnreadable,
    /// Entra cannot be reached or failed.
    EntraUnavailable,
    /// A secret that lies in the Key Vault cannot be had.
    VaultUnavailable,
    /// The state store cannot be reached, or failed.
    StoreUnavailable,
    /// The queue cannot be reached, or failed.
    QueueUnavailable,
    /// Somebody else kept changing the record.
    Contended,
    /// A newer version of this program wrote the record, or what is asked about in it, and this one cannot read it.
    RecordNewer,
    /// The stored record is broken.
    RecordUnreadable,
    /// A fault of this program.
    Internal,
}

impl Code {
    /// Every code, for the document and its test.
    pub const ALL: [Self; 37] = [
        Self::BadRequest,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::UnknownFunction,
        Self::WrongMethod,
        Self::BadEnvelope,
        Self::TokenMissing,
        Self::TokenRefused,
        Self::SigninRequired,
        Self::SigninExpired,
        Self::SigninFailed,
        Self::CallerRefused,
        Self::WrongPerson,
        Self::ForgedForm,
        Self::ForeignOffer,
        Self::UnknownSubscription,
        Self::Suspended,
        Self::Cancelled,
        Self::NotActive,
        Self::UnknownDuty,
        Self::UnknownEvent,
        Self::NotAllowed,
        Self::Busy,
        Self::AsOrdered,
        Self::NotConnected,
        Self::MarketplaceUnavailable,
        Self::MarketplaceRefused,
        Self::MarketplaceIdentity,
        Self::MarketplaceUnreadable,
        Self::EntraUnavailable,
        Self::VaultUnavailable,
        Self::StoreUnavailable,
        Self::QueueUnavailable,
        Self::Contended,
        Self::RecordNewer,
        Self::RecordUnreadable,
        Self::Internal,
    ];

    /// The code as it stands in logs, documents and JSON answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::UnknownFunction => "unknown_function",
            Self::WrongMethod => "wrong_method",
            Self::BadEnvelope => "bad_envelope",
            Self::TokenMissing => "token_missing",
            Self::TokenRefused => "token_refused",
            Self::SigninRequired => "signin_required",
            Self::SigninExpired => "signin_expired",
            Self::SigninFailed => "signin_failed",
            Self::CallerRefused => "caller_refused",
            Self::WrongPerson => "wrong_person",
            Self::ForgedForm => "forged_form",
            Self::ForeignOffer => "foreign_offer",
            Self::UnknownSubscription => "unknown_subscription",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::NotActive => "not_active",
            Self::UnknownDuty => "unknown_duty",
            Self::UnknownEvent => "unknown_event",
            Self::NotAllowed => "not_allowed",
            Self::Busy => "busy",
            Self::AsOrdered => "as_ordered",
            Self::NotConnected => "not_connected",
            Self::MarketplaceUnavailable => "marketplace_unavailable",
            Self::MarketplaceRefused => "marketplace_refused",
            Self::MarketplaceIdentity => "marketplace_identity",
            Self::MarketplaceUnreadable => "marketplace_unreadable",
            Self::EntraUnavailable => "entra_unavailable",
            Self::VaultUnavailable => "vault_unavailable",
            Self::StoreUnavailable => "store_unavailable",
            Self::QueueUnavailable => "queue_unavailable",
            Self::Contended => "contended",
            Self::RecordNewer => "record_newer",
            Self::RecordUnreadable => "record_unreadable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that the caller gets.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::BadEnvelope | Self::TokenMissing | Self::TokenRefused | Self::SigninExpired => 400,
            Self::SigninRequired | Self::SigninFailed | Self::CallerRefused => 401,
            Self::WrongPerson | Self::ForgedForm | Self::ForeignOffer => 403,
            Self::UnknownFunction | Self::UnknownSubscription | Self::UnknownDuty | Self::UnknownEvent => 404,
            Self::WrongMethod => 405,
            Self::BodyTooSlow => 408,
            Self::Suspended
            | Self::Cancelled
            | Self::NotActive
            | Self::NotAllowed
            | Self::Busy
            | Self::AsOrdered
            | Self::NotConnected => 409,
            Self::BodyTooLarge => 413,
            Self::Internal | Self::RecordUnreadable => 500,
            Self::MarketplaceUnavailable
            | Self::MarketplaceRefused
            | Self::MarketplaceIdentity
            | Self::MarketplaceUnreadable
            | Self::EntraUnavailable
            | Self::VaultUnavailable
            | Self::StoreUnavailable
            | Self::QueueUnavailable
            | Self::Contended
            | Self::RecordNewer => 503,
        }
    }

    /// One sentence for a caller that is a program. People get a page instead.
    pub fn public(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be understood.",
            Self::BodyTooLarge => "The request's body is too large.",
            Self::BodyTooSlow => "The request's body did not arrive in time.",
            Self::UnknownFunction => "There is no such function or route.",
            Self::WrongMethod => "This route does not answer this method.",
            Self::BadEnvelope => "The body is not an Azure Functions invocation.",
            Self::TokenMissing => "The purchase token is missing.",
            Self::TokenRefused => "The marketplace does not accept the purchase token.",
            Self::SigninRequired => "Sign in first.",
            Self::SigninExpired => "The sign-in took too long, or was begun in another browser.",
            Self::SigninFailed => "The sign-in failed.",
            Self::CallerRefused => "The call is not proven to come from the marketplace.",
            Self::WrongPerson => "This account may not manage this subscription.",
            Self::ForgedForm => "The form was not sent from our page, or is too old.",
            Self::ForeignOffer => "This subscription belongs to another offer.",
            Self::UnknownSubscription => "There is no such subscription.",
            Self::Suspended => "The subscription is suspended.",
            Self::Cancelled => "The subscription is cancelled.",
            Self::NotActive => "The subscription is not active yet.",
            Self::UnknownDuty => "The subscription owes nothing of this kind.",
            Self::UnknownEvent => "No event of this number is kept.",
            Self::NotAllowed => "Microsoft does not allow the publisher to change this subscription.",
            Self::Busy => "An order of the same kind is still under way.",
            Self::AsOrdered => "The subscription already is as ordered.",
            Self::NotConnected => "No events endpoint is set.",
            Self::MarketplaceUnavailable
            | Self::MarketplaceRefused
            | Self::MarketplaceIdentity
            | Self::MarketplaceUnreadable => "The marketplace cannot answer at the moment. Try again later.",
            Self::EntraUnavailable => "Entra cannot be reached at the moment. Try again later.",
            Self::VaultUnavailable => "The service cannot answer at the moment. Try again later.",
            Self::StoreUnavailable | Self::QueueUnavailable | Self::Contended => {
                "The request could not be saved. Try again later."
            }
            Self::RecordNewer => "A newer version of this program has to answer. Try again later.",
            Self::RecordUnreadable => "The record of this subscription cannot be read.",
            Self::Internal => "Something went wrong on our side. Try again later.",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fault {
    /// A failure that the same call would meet again.
    pub fn new(code: Code, private: impl Into<String>) -> Self {
        Self { code, private: private.into(), retry: Retry::Never }
    }

    /// A failure that may pass.
    pub fn passing(code: Code, private: impl Into<String>) -> Self {
        Self { code, private: private.into(), retry: Retry::Later(None) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.private)
    }
}

impl std::error::Error for Fault {}
