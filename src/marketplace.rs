//! The client of Microsoft's SaaS fulfillment API v2: one method per operation, values in and values out.
//!
//! Nothing is repeated in here. A call that fails says whether it may have arrived and whether trying again can help;
//! the duty behind it decides, because only the record knows whether the call is still wanted.

mod call;
pub mod caller;
mod error;
mod field;
pub mod notification;
mod operation;
pub mod refusal;
mod token;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;
use url::Url;

use self::call::{Answer, Call, Meaning};
pub use self::error::{CallError, CallErrorKind};
pub use self::operation::{Action, Operation, OperationOutcome, OperationStatus, RequestSource};
use self::token::Tokens;
pub use self::token::{Proof, TOKEN_RETRIES, TOKEN_RETRY_DELAY, TOKEN_TIMEOUT, TokenClaims};
use crate::clock::Clock;
use crate::error::{Code, Fault};
use crate::identity::NoToken;
use crate::outbound::retry_after;
use crate::settings::MarketplaceSettings;
use crate::subscription::{Snapshot, SubscriptionId};

/// How long one call may take with everything: the token, the connection, the last byte of the answer. Three of them fit
/// a duty's lease ([`crate::duty::LEASE`]).
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest answer read, in bytes. A recorded page of 89 subscriptions had about 100,000.
pub const RESPONSE_LIMIT: usize = 4 * 1024 * 1024;

/// The longest `Retry-After` believed, as [`crate::duty::BACKOFF_CEILING`]: no header can make us forget a duty.
pub const RETRY_AFTER_LIMIT: time::Duration = time::Duration::hours(1);

/// The longest purchase token sent, in bytes. Recorded ones have a few hundred; servers refuse headers of 8,192 and more
/// in their own ways.
pub const PURCHASE_TOKEN_LENGTH: usize = 4_096;

/// The longest correlation id sent, in bytes: a GUID or a trace id with room to spare.
const CORRELATION_ID_LENGTH: usize = 128;

/// Resolve is the one operation whose refusals are about the buyer's token.
const RESOLVE: &str = "resolve";

/// The client. Clones are cheap and share the token and the connections.
#[derive(Clone, Debug)]
pub struct Marketplace {
    inner: Arc<Inner>,
    timeout: Duration,
    correlation_id: Option<HeaderValue>,
}

#[derive(Debug)]
struct Inner {
    api_url: Url,
    api_hosts: Vec<String>,
    http: reqwest::Client,
    tokens: Tokens,
}

/// The answer to Resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The subscription that the purchase token stands for.
    pub id: SubscriptionId,
    /// Its state.
    pub snapshot: Snapshot,
}

/// One page of the publisher's subscriptions, in no particular order, cancelled ones among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The subscriptions.
    pub subscriptions: Vec<(SubscriptionId, Snapshot)>,
    /// For each entry that could not be read, the path of the field that is missing or wrong.
    pub unreadable: Vec<String>,
    /// Where the next page is; `None` on the last. A short page is not the last one: pages follow Microsoft's partitions.
    pub next: Option<Cursor>,
}

/// A place in the list of subscriptions, as Microsoft names it. May be stored and used later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Url);

impl Cursor {
    fn new(url: Url) -> Self {
        Self(url)
    }

    /// Reads a stored cursor; `None` where it is none. Its host is checked when it is used.
    pub fn parse(text: &str) -> Option<Self> {
        Url::parse(text).ok().map(Self)
    }

    /// The cursor as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A plan to which a customer may move, or the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "Microsoft's own marks, each independent of the others")]
pub struct Plan {
    /// Its identifier.
    pub id: String,
    /// The name that customers read; the identifier where there is none.
    pub name: String,
    /// The description that customers read.
    pub description: Option<String>,
    /// Whether only chosen customers see it.
    pub is_private: bool,
    /// Whether it is sold per seat.
    pub is_per_seat: bool,
    /// Whether it is no longer sold. Such plans are listed all the same.
    pub is_stop_sell: bool,
    /// Whether it begins with a free trial.
    pub has_free_trials: bool,
    /// The fewest seats.
    pub min_quantity: Option<u32>,
    /// The most seats.
    pub max_quantity: Option<u32>,
    /// The customer's market, two letters.
    pub market: Option<String>,
}

/// A change that the marketplace has accepted and now carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The operation to look at.
    pub operation_id: Option<String>,
    /// The address to look at, for [`Marketplace::follow`].
    pub location: Option<Url>,
    /// The wait before the first look that the marketplace suggests, at most [`RETRY_AFTER_LIMIT`].
    pub retry_after: Option<time::Duration>,
    /// Whether there is nothing to wait for, because it was so already.
    pub already: bool,
}

impl Marketplace {
    /// A client for the API and the identity that `settings` name, which proves itself with `proof`, over `http`.
    ///
    /// # Errors
    ///
    /// Settings with which no token can be asked for.
    pub fn new(
        settings: &MarketplaceSettings,
        proof: Proof,
        clock: Clock,
        http: reqwest::Client,
    ) -> Result<Self, Fault> {
        if settings.api_url.cannot_be_a_base() {
            return Err(Fault::new(Code::MarketplaceRefused, "MARKETPLACE_API_URL is not the URL of an API"));
        }
        let inner = Inner {
            api_url: settings.api_url.clone(),
            api_hosts: settings.api_hosts.clone(),
            tokens: Tokens::new(settings, proof, clock, http.clone())?,
            http,
        };
        Ok(Self { inner: Arc::new(inner), timeout: CALL_TIMEOUT, correlation_id: None })
    }

    /// The same client with another limit than [`CALL_TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same client whose calls carry `correlation_id`, so that Microsoft's support finds them together. An id that
    /// is no plain short text is not sent.
    #[must_use]
    pub fn correlated(&self, correlation_id: &str) -> Self {
        let sane = !correlation_id.is_empty()
            && correlation_id.len() <= CORRELATION_ID_LENGTH
            && correlation_id.bytes().all(|byte| byte.is_ascii_graphic());
        let correlation_id = Some(correlation_id).filter(|_| sane).and_then(|id| HeaderValue::from_str(id).ok());
        Self { correlation_id, ..self.clone() }
    }

    /// Resolve: what a purchase token stands for. The token is the query parameter `token` of the landing page, with its
    /// percent escapes undone; it may be resolved again within its 24 hours, whatever the subscription's status.
    pub async fn resolve(&self, token: &str) -> Result<Resolved, CallError> {
        let call = Call { purchase_token: Some(token), ..self.to(RESOLVE, Method::POST, &["resolve"]) };
        self.call(call, |answer| wire::resolved(&answer.body)).await
    }

    /// Activate: the publisher is ready to serve. Success means that the marketplace received it and no more: look until
    /// the status is `Subscribed`. Plan and seats must be those that were bought; some versions of the documents ask
    /// for them, and the others ignore them.
    pub async fn activate(&self, id: &SubscriptionId, plan_id: &str, quantity: Option<u32>) -> Result<(), CallError> {
        let mut body = json!({ "planId": plan_id });
        if let Some(seats) = quantity {
            body["quantity"] = seats.into();
        }
        let call = self.about(id, "activate", Method::POST, &["activate"]);
        self.call(Call { body: Some(body), ..call }, |_| Ok(())).await
    }

    /// Get Subscription.
    pub async fn get_subscription(&self, id: &SubscriptionId) -> Result<Snapshot, CallError> {
        let call = self.about(id, "get_subscription", Method::GET, &[]);
        self.call(call, |answer| wire::subscription(&answer.body).map(|(_, snapshot)| snapshot)).await
    }

    /// List Subscriptions: the first page, or the page at `cursor`.
    pub async fn list_subscriptions(&self, cursor: Option<&Cursor>) -> Result<Page, CallError> {
        let mut call = self.to("list_subscriptions", Method::GET, &[]);
        if let Some(Cursor(url)) = cursor {
            call.url = url.clone();
        }
        self.call(call, |answer| wire::page(&answer.body, &answer.url)).await
    }

    /// List Available Plans: where the customer may move, and the current plan; or, of those, one plan alone.
    pub async fn list_available_plans(
        &self,
        id: &SubscriptionId,
        plan_id: Option<&str>,
    ) -> Result<Vec<Plan>, CallError> {
        let call = self.about(id, "list_available_plans", Method::GET, &["listAvailablePlans"]);
        let mut call = Call { meaning: Meaning::Plans, ..call };
        if let Some(plan_id) = plan_id {
            call.url.query_pairs_mut().append_pair("planId", plan_id);
        }
        self.call(call, |answer| wire::plans(&answer.body)).await
    }

    /// Change Plan, with the customer's consent.
    pub async fn change_plan(&self, id: &SubscriptionId, plan_id: &str) -> Result<Submitted, CallError> {
        let call = self.about(id, "change_plan", Method::PATCH, &[]);
        let body = Some(json!({ "planId": plan_id }));
        self.call(Call { body, meaning: Meaning::Change, ..call }, |answer| Ok(submitted(answer))).await
    }

    /// Change Quantity, with the customer's consent.
    pub async fn change_quantity(&self, id: &SubscriptionId, quantity: u32) -> Result<Submitted, CallError> {
        let call = self.about(id, "change_quantity", Method::PATCH, &[]);
        let body = Some(json!({ "quantity": quantity }));
        self.call(Call { body, meaning: Meaning::Change, ..call }, |answer| Ok(submitted(answer))).await
    }

    /// Cancel the subscription.
    pub async fn cancel(&self, id: &SubscriptionId) -> Result<Submitted, CallError> {
        let call = self.about(id, "cancel", Method::DELETE, &[]);
        self.call(Call { meaning: Meaning::Change, ..call }, |answer| Ok(submitted(answer))).await
    }

    /// List Outstanding Operations. Real ones appear late or not at all: a hint, never a proof that there are none.
    pub async fn list_operations(&self, id: &SubscriptionId) -> Result<Vec<Operation>, CallError> {
        let call = self.about(id, "list_operations", Method::GET, &["operations"]);
        self.call(call, |answer| wire::operations(&answer.body)).await
    }

    /// Get Operation.
    pub async fn get_operation(&self, id: &SubscriptionId, operation_id: &str) -> Result<Operation, CallError> {
        let call = self.about(id, "get_operation", Method::GET, &["operations", operation_id]);
        self.call(Call { meaning: Meaning::OneOperation, ..call }, |answer| wire::operation(&answer.body)).await
    }

    /// Get Operation at the address that the answer to a change named. Only hosts of the allow-list are asked.
    pub async fn follow(&self, location: &Url) -> Result<Operation, CallError> {
        let call = self.to("follow", Method::GET, &[]);
        let call = Call { url: location.clone(), meaning: Meaning::OneOperation, ..call };
        self.call(call, |answer| wire::operation(&answer.body)).await
    }

    /// Update Operation: our answer to a change.
    pub async fn update_operation(
        &self,
        id: &SubscriptionId,
        operation_id: &str,
        outcome: OperationOutcome,
    ) -> Result<(), CallError> {
        let call = self.about(id, "update_operation", Method::PATCH, &["operations", operation_id]);
        let body = Some(json!({ "status": outcome.as_str() }));
        self.call(Call { body, ..call }, |_| Ok(())).await
    }

    /// What Entra says of us in the token that goes out with every call; never the token itself.
    ///
    /// # Errors
    ///
    /// [`Code::MarketplaceIdentity`] where Entra refuses a token, [`Code::EntraUnavailable`] where it gives none now; in
    /// one sentence that names the setting and the fix.
    pub async fn token_claims(&self) -> Result<TokenClaims, Fault> {
        self.inner.tokens.claims(self.timeout).await.map_err(|none| match none {
            NoToken::Refused(sentence) => Fault::new(Code::MarketplaceIdentity, sentence),
            NoToken::Unavailable(sentence) => Fault::passing(Code::EntraUnavailable, sentence),
        })
    }

    fn about<'a>(&self, id: &'a SubscriptionId, operation: &'static str, method: Method, path: &[&str]) -> Call<'a> {
        let path: Vec<&str> = std::iter::once(id.as_str()).chain(path.iter().copied()).collect();
        Call { subscription: Some(id), ..self.to(operation, method, &path) }
    }

    fn to<'a>(&self, operation: &'static str, method: Method, path: &[&str]) -> Call<'a> {
        let mut url = self.inner.api_url.clone();
        url.path_segments_mut()
            .expect("checked when the client was made")
            .pop_if_empty()
            .extend(["saas", "subscriptions"])
            .extend(path);
        Call { operation, method, url, subscription: None, purchase_token: None, body: None, meaning: Meaning::Usual }
    }
}

fn submitted(answer: &Answer) -> Submitted {
    let header = |name| call::text(&answer.headers, name).map(str::trim).filter(|value| !value.is_empty());
    let location = header("operation-location").and_then(|location| answer.url.join(location).ok());
    let named = location.as_ref().and_then(|url| {
        let mut segments = url.path_segments()?.skip_while(|segment| *segment != "operations").skip(1);
        segments.next().filter(|id| !id.is_empty())
    });
    Submitted {
        operation_id: header("operation-id").or(named).map(str::to_owned),
        retry_after: retry_after(&answer.headers, RETRY_AFTER_LIMIT),
        already: answer.status == reqwest::StatusCode::OK,
        location,
    }
}
