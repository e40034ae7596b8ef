//! One exchange with the marketplace, the same for every operation: who may be asked, with what, for how long, how much
//! of the answer is read, what a refusal means, and the one line that the log gets.

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::Url;
use uuid::Uuid;

use super::error::{CallError, CallErrorKind};
use super::refusal::Refusal;
use super::wire::Unreadable;
use super::{Marketplace, PURCHASE_TOKEN_LENGTH, RESPONSE_LIMIT, RETRY_AFTER_LIMIT};
use crate::identity::NoToken;
use crate::outbound::{innermost, retry_after};
use crate::settings::{host_and_port, is_loopback};
use crate::span::{self, CallOut, Failed};
use crate::subscription::SubscriptionId;
use crate::words::scrub;

/// The only version of this API.
const API_VERSION: &str = "2018-08-31";

const REQUEST_ID: &str = "x-ms-requestid";
const CORRELATION_ID: &str = "x-ms-correlationid";
const PURCHASE_TOKEN: &str = "x-ms-marketplace-token";

/// One call, before it is sent.
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) subscription: Option<&'a SubscriptionId>,
    pub(super) purchase_token: Option<&'a str>,
    pub(super) body: Option<Value>,
    pub(super) meaning: Meaning,
}

/// What the statuses mean that do not mean the same everywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// As documented for most calls.
    Usual,
    /// A change of the subscription: 409 says that another operation holds it.
    Change,
    /// A look at one operation: the real API answers 400 where the documents have 404.
    OneOperation,
    /// The list of plans: 403 is also the answer for a cancelled subscription.
    Plans,
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// What was asked: links in the answer may be relative to it.
    pub(super) url: Url,
}

/// A call that failed, before it is signed with its operation and request id.
struct Failure {
    kind: CallErrorKind,
    detail: String,
    retry_after: Option<time::Duration>,
    /// The marketplace's own word for it, for the log.
    code: Option<String>,
}

impl Failure {
    fn new(kind: CallErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, code: None }
    }
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Self {
        Self::new(CallErrorKind::Unreadable, unreadable.to_string())
    }
}

impl From<NoToken> for Failure {
    fn from(none: NoToken) -> Self {
        match none {
            NoToken::Refused(sentence) => Self::new(CallErrorKind::Credential, sentence),
            NoToken::Unavailable(sentence) => {
                Self::new(CallErrorKind::Unreachable { may_have_arrived: false }, sentence)
            }
        }
    }
}

impl Marketplace {
    /// Makes the call, reads its answer with `read`, and logs it once.
    pub(super) async fn call<T>(
        &self,
        call: Call<'_>,
        read: impl FnOnce(&Answer) -> Result<T, Unreadable>,
    ) -> Result<T, CallError> {
        let request_id = Uuid::new_v4().to_string();
        let mut span = self.span(&call, &request_id).begin();
        let result = match self.exchange(&call, &request_id, Instant::now() + self.timeout, &mut span).await {
            Ok(answer) => read(&answer).map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        match &result {
            Ok(_) => span.end(Ok(())),
            Err(Failure { kind, code, .. }) => {
                span.end(Err(Failed { kind: kind.as_str(), code: code.as_deref(), expected: false }));
            }
        }
        result.map_err(|Failure { kind, detail, retry_after, .. }| CallError {
            operation: call.operation,
            kind,
            request_id,
            detail,
            retry_after,
        })
    }

    fn span(&self, call: &Call<'_>, request_id: &str) -> span::Call {
        let correlation_id = self.correlation_id.as_ref().and_then(|id| id.to_str().ok());
        span::Call {
            subscription_id: call.subscription.map(|id| id.as_str().to_owned()),
            request_id: Some(request_id.to_owned()),
            correlation_id: correlation_id.map(str::to_owned),
            ..span::Call::new("The marketplace", call.operation, call.method.as_str(), &call.url)
        }
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        request_id: &str,
        deadline: Instant,
        span: &mut CallOut,
    ) -> Result<Answer, Failure> {
        let request = self.request(call, request_id, deadline).await?;
        let request = span.headers().fold(request, |request, (name, value)| request.header(name, value));
        let mut response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| too_late())?
            .map_err(|error| unreachable_by(&error))?;
        let status = response.status();
        let theirs = text(response.headers(), REQUEST_ID).map(|id| scrub(id, &[])).filter(|id| id != request_id);
        span.answered(status.as_u16(), theirs.as_deref());
        let body = timeout_at(deadline, body_of(&mut response)).await.map_err(|_| too_late())??;
        if status.is_success() {
            return Ok(Answer { status, headers: response.headers().clone(), body, url: call.url.clone() });
        }
        let refusal = Refusal::read(&body, &[call.purchase_token.unwrap_or_default()]);
        Err(refused(call, status, &refusal, retry_after(response.headers(), RETRY_AFTER_LIMIT)))
    }

    async fn request(
        &self,
        call: &Call<'_>,
        request_id: &str,
        deadline: Instant,
    ) -> Result<reqwest::RequestBuilder, Failure> {
        let inner = &*self.inner;
        if !is_trusted(&call.url, &inner.api_hosts) {
            let host = scrub(&host_and_port(&call.url), &[]);
            return Err(Failure::new(
                CallErrorKind::UntrustedHost,
                format!(
                    "the address names {host}, which may not have our token; if it is Microsoft's, add it to \
                     MARKETPLACE_API_HOSTS"
                ),
            ));
        }
        let purchase_token = call.purchase_token.map(purchase_token).transpose()?;
        let bearer = inner.tokens.header(deadline.saturating_duration_since(Instant::now())).await?;
        let mut request = inner
            .http
            .request(call.method.clone(), versioned(call.url.clone()))
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .header(REQUEST_ID, request_id);
        request = match &call.body {
            Some(body) => request.body(body.to_string()),
            // Left out where there is nothing to send, and gateways refuse a POST without it.
            None if call.method == Method::POST => request.header(CONTENT_LENGTH, 0),
            None => request,
        };
        if let Some(id) = &self.correlation_id {
            request = request.header(CORRELATION_ID, id);
        }
        if let Some(token) = purchase_token {
            request = request.header(PURCHASE_TOKEN, token);
        }
        Ok(request)
    }
}

/// Whether our token may be sent to `url`: a host of the list, over https or on this machine. Checked for every call,
/// because pages and operations are found by following addresses from answers.
fn is_trusted(url: &Url, hosts: &[String]) -> bool {
    let protected = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    let listed = hosts.iter().any(|host| host.eq_ignore_ascii_case(&host_and_port(url)));
    protected && listed && url.username().is_empty() && url.password().is_none()
}

fn versioned(mut url: Url) -> Url {
    if !url.query_pairs().any(|(name, _)| name == "api-version") {
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
    }
    url
}

fn purchase_token(token: &str) -> Result<HeaderValue, Failure> {
    let sound = !token.is_empty() && token.len() <= PURCHASE_TOKEN_LENGTH;
    let mut header = Some(token)
        .filter(|_| sound)
        .and_then(|token| HeaderValue::from_str(token).ok())
        .ok_or_else(|| Failure::new(CallErrorKind::BadRequest, "the purchase token is none; it was not sent"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Reads a body up to [`RESPONSE_LIMIT`], whatever length it announces.
async fn body_of(response: &mut reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable_by(&error))? {
        if body.len() + chunk.len() > RESPONSE_LIMIT {
            return Err(Failure::new(
                CallErrorKind::Unreadable,
                format!("the answer's body is longer than {RESPONSE_LIMIT} bytes"),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_late() -> Failure {
    Failure::new(CallErrorKind::Unreachable { may_have_arrived: true }, "the marketplace did not answer in time")
}

fn unreachable_by(error: &reqwest::Error) -> Failure {
    let may_have_arrived = !(error.is_connect() || error.is_builder());
    Failure::new(
        CallErrorKind::Unreachable { may_have_arrived },
        format!("the marketplace cannot be reached: {}", scrub(&innermost(error), &[])),
    )
}

fn refused(call: &Call<'_>, status: StatusCode, refusal: &Refusal, retry_after: Option<time::Duration>) -> Failure {
    let kind = match status.as_u16() {
        401 | 403 => CallErrorKind::Identity,
        400 if refusal.says_locked() => CallErrorKind::Locked,
        400 if call.meaning == Meaning::OneOperation => CallErrorKind::NotFound,
        404 => CallErrorKind::NotFound,
        409 if call.meaning == Meaning::Change => CallErrorKind::Locked,
        409 => CallErrorKind::Conflict,
        429 => CallErrorKind::Throttled,
        // Redirects are among them: whoever answers one is not the API that we know.
        status @ (..=399 | 408 | 500..) => CallErrorKind::Failed { status },
        _ => CallErrorKind::BadRequest,
    };
    let words = refusal.words();
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let detail = if kind == CallErrorKind::Identity {
        let also = if call.meaning == Meaning::Plans && status == StatusCode::FORBIDDEN {
            "the subscription is cancelled, or "
        } else {
            ""
        };
        format!(
            "{} from the marketplace: {also}MARKETPLACE_CLIENT_ID and MARKETPLACE_TENANT_ID are not the application and \
             tenant on the offer's Technical configuration page in Partner Center; make them equal and publish the \
             offer{said}",
            status.as_u16()
        )
    } else {
        format!("the marketplace answered {}{said}", status.as_u16())
    };
    Failure { kind, detail, retry_after, code: refusal.code.clone() }
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
