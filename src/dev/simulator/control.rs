//! What customers and Microsoft do, for tests, scripts and the page: `/simulator/...`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::Duration;

use super::deed::Deed;
use super::market::{Purchase, SUBSCRIPTIONS};
use super::refusal::Refusal;
use super::span::instant;
use super::{Purchased, Simulator, span};
use crate::web::{Reply, Request};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    #[serde(with = "span")]
    advance: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlanChange {
    plan_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuantityChange {
    quantity: u32,
}

/// Answers a call; `path` is split at slashes, below `simulator`.
pub(super) fn answer(simulator: &Simulator, request: &Request, path: &[&str]) -> Reply {
    routed(simulator, request, path).unwrap_or_else(|refusal| refusal.as_control())
}

fn routed(simulator: &Simulator, request: &Request, path: &[&str]) -> Result<Reply, Refusal> {
    match (request.method.as_str(), path) {
        ("DELETE", []) => {
            simulator.forget();
            Ok(Reply { status: 204, headers: Vec::new(), body: String::new() })
        }
        ("POST", ["purchases"]) => {
            let bought = simulator.purchase(&read::<Purchase>(request)?)?;
            let mut body = token(&bought);
            body["subscriptionId"] = bought.subscription_id.into();
            Ok(Reply::json(201, &body))
        }
        ("GET", ["subscriptions"]) => {
            let last = request.query("last").and_then(|last| last.parse().ok()).unwrap_or(SUBSCRIPTIONS);
            let subscriptions = simulator.with(|state, _| state.market.overview(last));
            Ok(Reply::json(200, &json!({ "subscriptions": subscriptions })))
        }
        ("GET", ["subscriptions", id]) => Ok(Reply::json(200, &simulator.subscription(&id.to_ascii_lowercase())?)),
        ("POST", ["subscriptions", id, "token"]) => {
            Ok(Reply::json(200, &token(&simulator.token(&id.to_ascii_lowercase())?)))
        }
        ("POST", ["subscriptions", id, deed]) => {
            let deed = read_deed(request, deed)?;
            let operation_id = simulator.act(&id.to_ascii_lowercase(), &deed)?;
            Ok(Reply::json(202, &json!({ "operationId": operation_id })))
        }
        ("GET", ["faults"]) => Ok(faults(simulator)),
        ("PUT", ["faults"]) => {
            simulator.set_faults(read(request)?)?;
            Ok(faults(simulator))
        }
        ("GET", ["credentials"]) => Ok(Reply::json(200, &json!(simulator.credentials()))),
        ("PUT", ["credentials"]) => {
            simulator.set_credentials(read(request)?)?;
            Ok(Reply::json(200, &json!(simulator.credentials())))
        }
        ("GET", ["clock"]) => Ok(clock(simulator)),
        ("POST", ["clock"]) => {
            simulator.advance(read::<Advance>(request)?.advance)?;
            Ok(clock(simulator))
        }
        (method, _) => Err(unknown(method, &request.path)),
    }
}

/// Nothing is at this address.
pub(super) fn unknown(method: &str, path: &str) -> Refusal {
    let path: String = path.chars().take(120).collect();
    Refusal::not_found("", format!("the simulator has no {method} /{path}"))
}

fn read_deed(request: &Request, name: &str) -> Result<Deed, Refusal> {
    match name {
        "change-plan" => Ok(Deed::ChangePlan(read::<PlanChange>(request)?.plan_id)),
        "change-quantity" => Ok(Deed::ChangeQuantity(read::<QuantityChange>(request)?.quantity)),
        "suspend" => Ok(Deed::Suspend),
        "reinstate" => Ok(Deed::Reinstate),
        "renew" => Ok(Deed::Renew),
        "transfer" => Ok(Deed::Transfer),
        "unsubscribe" => Ok(Deed::Unsubscribe),
        _ => Err(unknown(&request.method, &request.path)),
    }
}

fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| {
        Refusal::bad_request("InvalidBody", "", format!("the body is not what is expected here: {error}"))
    })
}

fn token(bought: &Purchased) -> Value {
    json!({ "token": bought.token, "landingUrl": bought.landing_url.as_str() })
}

fn faults(simulator: &Simulator) -> Reply {
    Reply::json(200, &json!(simulator.faults()))
}

fn clock(simulator: &Simulator) -> Reply {
    let (now, ahead) = simulator.with(|state, now| (now, state.ahead));
    Reply::json(200, &json!({ "now": instant(now), "ahead": span::write(ahead) }))
}
