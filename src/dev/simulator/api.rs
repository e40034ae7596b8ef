//! The fulfillment API, at `/api/saas/subscriptions`.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::call::Call;
use super::change::{Cancelled, Verdict};
use super::market::Market;
use super::refusal::Refusal;
use super::{CLIENT_ID, Options, RESOURCE_ID, State, TENANT_ID};
use crate::clock::Clock;
use crate::web::{Reply, Request};

const VERSION: &str = "2018-08-31";
const JSON: &str = "application/json; charset=utf-8";

/// What Microsoft asks callers to wait before they look again, in seconds; recorded.
const LOOK_AGAIN_AFTER: &str = "10";

/// One sentence for four causes, as seen in production: a bare JSON string.
const DENIED: &str = "The authorization token is invalid, expired, missing or this request is attempting to access a \
    SaaS subscription of an offer that was published with another application ID than the one the token was made for.";

/// A request whose method and path are a call of this API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Which call.
    pub call: Call,
    /// The subscription in the path; empty where there is none.
    pub subscription: String,
    /// The operation in the path; empty where there is none.
    pub operation: String,
}

/// The call that a request makes; `path` is split at slashes, below `api/saas/subscriptions`.
pub(super) fn route(request: &Request, path: &[&str]) -> Option<Route> {
    let lower: Vec<String> = path.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let (call, subscription, operation) = match (request.method.as_str(), lower.as_slice()) {
        ("GET", []) => (Call::ListSubscriptions, "", ""),
        ("POST", ["resolve"]) => (Call::Resolve, "", ""),
        ("GET", [id]) => (Call::GetSubscription, *id, ""),
        ("PATCH", [id]) if body(request).is_some_and(|body| !body["quantity"].is_null()) => {
            (Call::ChangeQuantity, *id, "")
        }
        ("PATCH", [id]) => (Call::ChangePlan, *id, ""),
        ("DELETE", [id]) => (Call::Cancel, *id, ""),
        ("POST", [id, "activate"]) => (Call::Activate, *id, ""),
        ("GET", [id, "listavailableplans"]) => (Call::ListAvailablePlans, *id, ""),
        ("GET", [id, "operations"]) => (Call::ListOperations, *id, ""),
        ("GET", [id, "operations", operation]) => (Call::GetOperation, *id, *operation),
        ("PATCH", [id, "operations", operation]) => (Call::UpdateOperation, *id, *operation),
        _ => return None,
    };
    Some(Route { call, subscription: subscription.to_owned(), operation: operation.to_owned() })
}

/// Answers a call.
pub(super) fn answer(
    state: &mut State,
    options: &Options,
    route: &Route,
    request: &Request,
    now: OffsetDateTime,
) -> Reply {
    let asked = |name| request.header(name).map(str::to_owned);
    let (request_id, correlation_id) = match (asked("x-ms-requestid"), asked("x-ms-correlationid")) {
        (None, None) => {
            let id = state.market.guid();
            (id.clone(), id)
        }
        (request_id, correlation_id) => {
            (request_id.unwrap_or_else(|| state.market.guid()), correlation_id.unwrap_or_else(|| state.market.guid()))
        }
    };
    let reply = refused_version(request).or_else(|| denied(state, request)).unwrap_or_else(|| {
        // As recorded: without a request id of the caller's, the operation's own id stands for it.
        let generated = request.header("x-ms-requestid").is_none();
        let operation_id = if generated { request_id.clone() } else { state.market.guid() };
        let exchange = Exchange { options, route, request, request_id: &request_id, operation_id, now };
        exchange.answer(&mut state.market).unwrap_or_else(|refusal| refusal.as_marketplace())
    });
    reply
        .with("x-ms-requestid", request_id)
        .with("x-ms-correlationid", correlation_id)
        .with("x-ms-activityid", state.market.guid())
        .with("x-content-type-options", "nosniff")
}

/// These two errors alone are written with capitals.
fn refused_version(request: &Request) -> Option<Reply> {
    let (code, message) = match request.query("api-version") {
        Some(version) if version == VERSION => return None,
        None => ("ApiVersionUnspecified", "An API version is required, but was not specified.".to_owned()),
        Some(_) => ("UnsupportedApiVersion", format!("The API version is not supported; use {VERSION}.")),
    };
    Some(Reply::new(400, JSON, json!({ "Error": { "Code": code, "Message": message } }).to_string()))
}

/// 403 unless the bearer token is one that our Entra issued to the offer's application, for this API.
fn denied(state: &State, request: &Request) -> Option<Reply> {
    let now = Clock::System.now().unix_timestamp();
    let good = request
        .header("authorization")
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| state.keys.open(token.trim()))
        .is_some_and(|claims| {
            claims["aud"] == RESOURCE_ID
                && claims["tid"] == TENANT_ID
                && claims["appid"] == CLIENT_ID
                && claims["iss"] == format!("https://sts.windows.net/{TENANT_ID}/")
                && claims["nbf"].as_i64().is_some_and(|nbf| nbf <= now)
                && claims["exp"].as_i64().is_some_and(|exp| now < exp)
        });
    let status = if state.market.faults.denied_401 { 401 } else { 403 };
    (!good).then(|| Reply::new(status, JSON, Value::from(DENIED).to_string()))
}

fn body(request: &Request) -> Option<Value> {
    serde_json::from_slice(&request.body).ok()
}

fn ok(body: &Value) -> Reply {
    Reply::new(200, JSON, body.to_string())
}

fn empty(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: String::new() }
}

/// One call, with all that it is answered from.
struct Exchange<'a> {
    options: &'a Options,
    route: &'a Route,
    request: &'a Request,
    request_id: &'a str,
    operation_id: String,
    now: OffsetDateTime,
}

impl Exchange<'_> {
    fn answer(&self, market: &mut Market) -> Result<Reply, Refusal> {
        let (id, operation, now) = (self.route.subscription.as_str(), self.route.operation.as_str(), self.now);
        match self.route.call {
            Call::Resolve => {
                let missing =
                    || Refusal::bad_request("HeaderNotPresent", "x-ms-marketplace-token", "Mandatory header missing");
                let token = self.request.header("x-ms-marketplace-token").ok_or_else(missing)?;
                market.resolve(token, now).map(|resolved| ok(&resolved))
            }
            Call::Activate => {
                if !self.request.body.is_empty() && body(self.request).is_none() {
                    return Err(Refusal::bad_request("BadRequest", "activate", "The body is not JSON"));
                }
                market.activate(id, now).map(|()| empty(200))
            }
            Call::ListSubscriptions => self.list(market),
            Call::ListAvailablePlans => {
                market.plans(id, self.request.query("planId").as_deref()).map(|plans| ok(&plans))
            }
            Call::ChangePlan | Call::ChangeQuantity => self.change(market),
            Call::Cancel => match market.cancel(id, self.operation_id.clone(), now)? {
                Cancelled::Submitted(operation_id) => Ok(self.submitted(&operation_id)),
                Cancelled::Already => Ok(empty(200)),
            },
            Call::ListOperations => market.outstanding(id).map(|operations| ok(&operations)),
            Call::GetOperation => market.operation(id, operation).map(|operation| ok(&operation)),
            Call::UpdateOperation => self.update(market),
            Call::GetSubscription => market.get(id).map(|subscription| ok(&subscription)),
            Call::Token | Call::Keys | Call::OpenidConfiguration | Call::Authorize => {
                Err(Refusal::not_found("", "this is a call of Entra's"))
            }
        }
    }

    fn list(&self, market: &mut Market) -> Result<Reply, Refusal> {
        let page = market.page(self.request.query("continuationToken").as_deref())?;
        let mut body = json!({ "subscriptions": page.subscriptions });
        if let Some(next) = page.next {
            let base = self.options.second_base_url.as_str().trim_end_matches('/');
            let token = percent(&next);
            let link = format!("{base}/api/saas/subscriptions/?continuationToken={token}&api-version={VERSION}");
            body["@nextLink"] = link.into();
        }
        Ok(ok(&body))
    }

    fn change(&self, market: &mut Market) -> Result<Reply, Refusal> {
        let refuse = |message| Err(Refusal::bad_request("BadRequest", "update", message));
        let Some(body) = body(self.request).filter(Value::is_object) else {
            return refuse("The request content is null");
        };
        let (id, operation_id) = (self.route.subscription.as_str(), self.operation_id.clone());
        match (&body["planId"], &body["quantity"]) {
            (Value::String(plan_id), Value::Null) => market.change_plan(id, plan_id, operation_id, self.now)?,
            (Value::Null, Value::Number(quantity)) => {
                let Some(quantity) = quantity.as_u64().and_then(|quantity| u32::try_from(quantity).ok()) else {
                    return refuse("The quantity is not a whole number of seats");
                };
                market.change_quantity(id, quantity, operation_id, self.now)?;
            }
            (Value::Null, Value::Null) => return refuse("The request content is null"),
            (Value::String(_), Value::Number(_)) => {
                return refuse("Cannot patch more than one field in the same request");
            }
            _ => return refuse("planId is a string, quantity a number"),
        }
        Ok(self.submitted(&self.operation_id))
    }

    fn update(&self, market: &mut Market) -> Result<Reply, Refusal> {
        let Some(body) = body(self.request).filter(Value::is_object) else {
            return Err(Refusal::bad_request("BadRequest", "update", "The request content is null"));
        };
        let verdict = match body["status"].as_str() {
            Some("Success") => Verdict::Success,
            Some("Failure") => Verdict::Failure,
            _ => Verdict::Other,
        };
        market.update_operation(&self.route.subscription, &self.route.operation, verdict, self.now).map_err(
            |mut refusal| {
                if refusal.status == 409 {
                    // As seen: nothing but the request's id.
                    self.request_id.clone_into(&mut refusal.message);
                }
                refusal
            },
        )?;
        Ok(empty(200))
    }

    fn submitted(&self, operation_id: &str) -> Reply {
        let base = self.options.second_base_url.as_str().trim_end_matches('/');
        let id = &self.route.subscription;
        let location = format!("{base}/api/saas/subscriptions/{id}/operations/{operation_id}?api-version={VERSION}");
        empty(202)
            .with("operation-id", operation_id)
            .with("operation-location", location)
            .with("retry-after", LOOK_AGAIN_AFTER)
    }
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).expect("four bits")
}

/// Percent-encoding with small letters, as recorded in Microsoft's links.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            _ => encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]),
        }
        encoded
    })
}
