//! Carries webhooks to the publisher, and other marketplaces' webhooks with a token of ours.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::header::CONTENT_TYPE;
use tokio::time::Instant;

use super::delivery::{Answer, Errand};
use super::operation::milliseconds;
use super::refusal::Refusal;
use super::{Signature, Simulator, State, claims};
use crate::web::{Reply, Request};

/// How long the publisher has to answer one attempt, on the machine's clock. Microsoft's figure is not published; the
/// time that it gives for a decision is.
pub const ATTEMPT_WITHIN: Duration = Duration::from_secs(10);

/// The most that is read of the publisher's answer to a webhook that is passed on, in bytes: it is shown to people.
const LONGEST_ANSWER: usize = 64 * 1_024;

/// A client without a memory: a connection that the publisher's program closes meanwhile must not fail the next webhook.
pub(super) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ATTEMPT_WITHIN)
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()
        .expect("constant options, and a certificate store that every supported platform has")
}

/// Sends what is due, for ever.
pub(super) async fn run(simulator: &Simulator) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let mut changed = std::pin::pin!(simulator.0.changed.notified());
        // Registered before the state is read, so that no change in between is missed.
        changed.as_mut().enable();
        let (errands, next) = simulator.dispatch();
        under_way.extend(errands.into_iter().map(|(errand, token)| attempt(simulator, errand, token)));
        let wait = async {
            match next {
                Some(next) => simulator.0.options.clock.sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = changed => {}
            () = wait => {}
        }
    }
}

async fn attempt(simulator: &Simulator, errand: Errand, token: String) {
    let begun = Instant::now();
    let sent = post(simulator, token, errand.body.to_string()).await;
    let answer = match &sent {
        Ok(response) => Answer::Status(response.status().as_u16()),
        Err(error) if error.is_timeout() => Answer::Nothing("no answer within ten seconds"),
        Err(error) if error.is_connect() => Answer::Nothing("no connection"),
        Err(_) => Answer::Nothing("the connection broke off"),
    };
    let took = begun.elapsed().try_into().unwrap_or(time::Duration::MAX);
    let (operation_id, action, took_ms) = (&errand.operation_id, errand.action.name(), milliseconds(took));
    match answer {
        Answer::Status(status) => {
            tracing::info!(operation_id, action, status, took_ms, "the simulator sent a webhook");
        }
        Answer::Nothing(error) => {
            tracing::info!(operation_id, action, error, took_ms, "the simulator sent a webhook in vain");
        }
    }
    simulator.with(|state, now| state.market.returned(errand.number, &answer, took, now));
}

async fn post(simulator: &Simulator, token: String, body: String) -> reqwest::Result<reqwest::Response> {
    let request = simulator.0.http.post(simulator.0.options.webhook_url.clone());
    request.bearer_auth(token).header(CONTENT_TYPE, "application/json").body(body).send().await
}

/// A token as Microsoft would send it now.
pub(super) fn token(state: &State, options: &super::Options) -> String {
    let version = state.market.faults.webhooks.token_version;
    state.keys.sign(&claims::webhook_claims(options, version), Signature::Good)
}

/// Passes a webhook on that came without a token, and the publisher's answer back.
pub(super) async fn relay(simulator: &Simulator, request: &Request) -> Reply {
    let body = match serde_json::from_slice::<serde_json::Value>(&request.body) {
        Ok(_) => String::from_utf8_lossy(&request.body).into_owned(),
        Err(error) => {
            let message = format!("a webhook has a JSON body: {error}");
            return Refusal::bad_request("InvalidBody", "", message).as_control();
        }
    };
    let token = simulator.with(|state, _| token(state, &simulator.0.options));
    let unreachable = |status, message| Refusal::conflict("", message).with_status(status).as_control();
    match post(simulator, token, body).await {
        Ok(response) => passed_back(response).await,
        Err(error) if error.is_timeout() => unreachable(504, "the publisher did not answer within ten seconds"),
        Err(_) => unreachable(502, "the publisher cannot be reached"),
    }
}

async fn passed_back(mut response: reqwest::Response) -> Reply {
    let status = response.status().as_u16();
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(LONGEST_ANSWER - body.len())]);
        if body.len() == LONGEST_ANSWER {
            break;
        }
    }
    let headers = media_type.map(|media_type| ("content-type", media_type)).into_iter().collect();
    Reply { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
}
