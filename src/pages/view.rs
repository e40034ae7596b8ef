//! What the pages show, as plain values. They hold personal data and secrets, so none of them has `Debug`.

use time::OffsetDateTime;
use url::Url;

/// A purchase that waits for its confirmation.
#[derive(Clone)]
pub struct Confirm {
    /// Microsoft's identifier; sent back with the form.
    pub subscription_id: String,
    /// The name that the customer gave the subscription; empty where it has none.
    pub subscription_name: String,
    /// The offer.
    pub offer: String,
    /// The plan.
    pub plan: String,
    /// Seats; absent for plans that are not sold per seat.
    pub seats: Option<u32>,
    /// The billing term as an ISO 8601 duration such as `P1M`; what cannot be read is shown as it is.
    pub term_unit: Option<String>,
    /// Who pays: the purchaser's e-mail address.
    pub buyer: Option<String>,
    /// Who uses it: the beneficiary's e-mail address.
    pub user: Option<String>,
    /// Whether it begins with a free trial, so that the confirmation does not yet begin the billing.
    pub free_trial: bool,
    /// The account that is signed in.
    pub signed_in_as: Option<String>,
    /// Proves that the form came from this page; sent back as [`super::FORM_TOKEN_FIELD`].
    pub form_token: String,
    /// Where the form is posted: a URL of ours.
    pub action: String,
    /// Where somebody signs in with another account: a URL of ours.
    pub switch_account: String,
}

/// A confirmed purchase whose activation is under way.
#[derive(Clone)]
pub struct Progress {
    /// Microsoft's identifier; what support asks for.
    pub subscription_id: String,
    /// The offer.
    pub offer: String,
    /// The plan.
    pub plan: String,
    /// When it was confirmed, or taken up again.
    pub since: OffsetDateTime,
    /// Where the script asks for the state: a URL of ours on the origin of the page. It answers with JSON
    /// `{"state": "activating"}`, or any other state with `"location"`, a path of ours where the page goes then. On
    /// 401 and 403, and on a state without such a place, the page stops asking and offers `reload_url` as a link.
    pub progress_url: String,
    /// The page's own address: loaded again where scripts are off, and offered as a link when the script gives up.
    pub reload_url: String,
    /// Where the publisher asks the buyer what the activation needs: a URL of ours; absent where nothing is asked.
    pub setup_url: Option<String>,
}

/// A confirmed purchase whose activation does not come about.
#[derive(Clone)]
pub struct Delayed {
    /// Microsoft's identifier; what support asks for.
    pub subscription_id: String,
    /// The offer.
    pub offer: String,
    /// The plan.
    pub plan: String,
    /// When it was confirmed, or taken up again.
    pub since: OffsetDateTime,
    /// Whether nobody tries any more. The page then has a form that asks for another try; until then it has a link
    /// to look again, because a form would change nothing.
    pub given_up: bool,
    /// Proves that the form came from this page; sent back as [`super::FORM_TOKEN_FIELD`].
    pub form_token: String,
    /// Where the form is posted: a URL of ours.
    pub action: String,
    /// The page's own address.
    pub reload_url: String,
    /// Where the publisher asks the buyer what the activation needs: a URL of ours; absent where nothing is asked.
    pub setup_url: Option<String>,
}

/// A confirmed purchase that the publisher's own software refused to set up.
#[derive(Clone)]
pub struct Refused {
    /// Microsoft's identifier; what support asks for.
    pub subscription_id: String,
    /// The offer.
    pub offer: String,
    /// The plan.
    pub plan: String,
    /// When it was confirmed last.
    pub since: OffsetDateTime,
    /// The publisher's words, as their software wrote them.
    pub reason: String,
    /// Proves that the form came from this page; sent back as [`super::FORM_TOKEN_FIELD`].
    pub form_token: String,
    /// Where the form that asks again is posted: a URL of ours.
    pub action: String,
}

/// A subscription that is active.
#[derive(Clone)]
pub struct Active {
    /// Microsoft's identifier; what support asks for.
    pub subscription_id: String,
    /// The name that the customer gave the subscription; empty where it has none.
    pub subscription_name: String,
    /// The offer.
    pub offer: String,
    /// The plan.
    pub plan: String,
    /// Seats; absent for plans that are not sold per seat.
    pub seats: Option<u32>,
    /// The billing term as an ISO 8601 duration such as `P1M`; what cannot be read is shown as it is.
    pub term_unit: Option<String>,
    /// Where the buyer is handed over to the publisher's app: a URL of ours. Without it the app's own address is shown.
    pub open_url: Option<String>,
}

/// The way into the publisher's software, which the page goes by itself.
#[derive(Clone)]
pub struct Handoff {
    /// Where the form is posted: the publisher's, and the only place to which the page may post.
    pub address: Url,
    /// What lets the buyer in; sent as [`super::HANDOFF_FIELD`], and nowhere else.
    pub token: String,
    /// Whether the publisher asks for something before the activation; else the subscription is active.
    pub is_setup: bool,
    /// The page's own address, for a fresh token where the buyer stays.
    pub reload_url: String,
}

/// Something that went wrong.
#[derive(Clone)]
pub struct Trouble {
    /// What support needs to find the cause in the log: the invocation's id. Empty where there is none.
    pub reference: String,
    /// Where to try again, or to sign in again or with another account: a URL of ours.
    pub sign_in_again: Option<String>,
}
