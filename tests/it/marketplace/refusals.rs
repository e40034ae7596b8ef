//! What the marketplace refuses, and what we make of it.

use marketplace_fulfillment::error::{Code, Fault, Retry};
use marketplace_fulfillment::marketplace::{CallErrorKind, OperationOutcome, PURCHASE_TOKEN_LENGTH, RETRY_AFTER_LIMIT};
use serde_json::json;

use super::server::{OPERATION, PURCHASE_TOKEN, Server, answer, documented, get_answered, id, json_answer, with};
use crate::wire::fixture;

#[tokio::test]
async fn statuses_become_kinds() {
    let locked = r#"{"code":"Failed","message":"the subscription is locked due to pending operations"}"#;
    let later = Retry::Later(None);
    let table = [
        ("get", 400, "", CallErrorKind::BadRequest, Retry::Never, Code::MarketplaceRefused),
        ("get", 401, "", CallErrorKind::Identity, later, Code::MarketplaceIdentity),
        ("get", 403, "", CallErrorKind::Identity, later, Code::MarketplaceIdentity),
        ("get", 404, "", CallErrorKind::NotFound, Retry::Never, Code::UnknownSubscription),
        ("get", 408, "", CallErrorKind::Failed { status: 408 }, later, Code::MarketplaceUnavailable),
        ("get", 422, "", CallErrorKind::BadRequest, Retry::Never, Code::MarketplaceRefused),
        ("get", 429, "", CallErrorKind::Throttled, later, Code::MarketplaceUnavailable),
        ("get", 500, "<html>", CallErrorKind::Failed { status: 500 }, later, Code::MarketplaceUnavailable),
        ("get", 200, "<html>", CallErrorKind::Unreadable, later, Code::MarketplaceUnreadable),
        ("resolve", 400, "", CallErrorKind::BadRequest, Retry::Never, Code::TokenRefused),
        ("resolve", 404, "", CallErrorKind::NotFound, Retry::Never, Code::TokenRefused),
        ("change", 400, "{}", CallErrorKind::BadRequest, Retry::Never, Code::MarketplaceRefused),
        ("change", 400, locked, CallErrorKind::Locked, later, Code::MarketplaceUnavailable),
        ("change", 409, "", CallErrorKind::Locked, later, Code::MarketplaceUnavailable),
        ("cancel", 409, "", CallErrorKind::Locked, later, Code::MarketplaceUnavailable),
        ("operation", 400, "", CallErrorKind::NotFound, Retry::Never, Code::UnknownSubscription),
        ("operation", 404, "", CallErrorKind::NotFound, Retry::Never, Code::UnknownSubscription),
        ("answer", 409, "", CallErrorKind::Conflict, Retry::Never, Code::MarketplaceRefused),
        ("answer", 500, "", CallErrorKind::Failed { status: 500 }, later, Code::MarketplaceUnavailable),
    ];
    for (call, status, body, kind, retry, code) in table {
        let server = Server::start(move |_| answer(status, body)).await;
        let (client, id) = (server.client(), id());
        let error = match call {
            "get" => client.get_subscription(&id).await.map(drop),
            "resolve" => client.resolve(PURCHASE_TOKEN).await.map(drop),
            "change" => client.change_quantity(&id, 2).await.map(drop),
            "cancel" => client.cancel(&id).await.map(drop),
            "operation" => client.get_operation(&id, OPERATION).await.map(drop),
            _ => client.update_operation(&id, OPERATION, OperationOutcome::Success).await,
        }
        .unwrap_err();
        assert_eq!((error.kind, error.retry()), (kind, retry), "{call} {status}");
        let fault = Fault::from(error);
        assert_eq!((fault.code, fault.retry), (code, retry), "{call} {status}");
    }
}

#[tokio::test]
async fn a_refused_identity_says_what_to_compare_and_where() {
    let error = get_answered(|| json_answer(403, &fixture("refusals.json")[3])).await;
    assert_eq!(error.kind, CallErrorKind::Identity);
    for part in ["MARKETPLACE_CLIENT_ID", "MARKETPLACE_TENANT_ID", "Technical configuration", "publish the offer"] {
        assert!(error.detail.contains(part), "{part} in {}", error.detail);
    }
    assert!(error.detail.contains("The authorization token is invalid"), "{}", error.detail);
    assert!(!error.detail.contains("cancelled"), "{}", error.detail);
    let server = Server::start(|_| answer(403, "")).await;
    let plans = server.client().list_available_plans(&id(), None).await.unwrap_err();
    assert!(plans.detail.contains("the subscription is cancelled, or"), "{}", plans.detail);
}

#[tokio::test]
async fn a_refusal_does_not_repeat_the_purchase_token() {
    let server = Server::start(|request| {
        let token = request.header("x-ms-marketplace-token").unwrap();
        json_answer(400, &json!({ "code": "InvalidValue", "target": "token", "message": format!("bad {token}!") }))
    })
    .await;
    let error = server.client().resolve(PURCHASE_TOKEN).await.unwrap_err();
    assert_eq!(error.detail, "the marketplace answered 400: InvalidValue (token) bad [...]!");
    assert_eq!(error.operation, "resolve");
    assert_eq!(server.call().header("x-ms-requestid"), Some(error.request_id.as_str()));
}

#[tokio::test]
async fn what_is_no_purchase_token_is_not_sent() {
    let server = Server::start(documented).await;
    for token in ["", "line\nbreak", &"x".repeat(PURCHASE_TOKEN_LENGTH + 1)] {
        let error = server.client().resolve(token).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::BadRequest);
        assert_eq!(Fault::from(error).code, Code::TokenRefused);
    }
    assert!(server.calls().is_empty());
    server.client().resolve(&"x".repeat(PURCHASE_TOKEN_LENGTH)).await.unwrap();
}

#[tokio::test]
async fn the_wait_that_the_marketplace_asks_for_is_honoured_within_reason() {
    let date = "Fri, 20 Nov 2026 08:00:00 GMT";
    let table = [
        (Some("10"), Some(time::Duration::seconds(10))),
        (Some(" 0 "), Some(time::Duration::ZERO)),
        (Some("86400"), Some(RETRY_AFTER_LIMIT)),
        (Some("Fri, 20 Nov 2026 08:01:30 GMT"), Some(time::Duration::seconds(90))),
        (Some("Fri, 20 Nov 2026 07:00:00 GMT"), Some(time::Duration::ZERO)),
        (Some("Sat, 20 Nov 2027 08:00:00 GMT"), Some(RETRY_AFTER_LIMIT)),
        (Some("soon"), None),
        (Some("-5"), None),
        (None, None),
    ];
    for (value, wait) in table {
        let server = Server::start(move |_| {
            let throttled = with(answer(429, ""), "date", date);
            value.map_or(throttled.clone(), |value| with(throttled, "retry-after", value))
        })
        .await;
        let error = server.client().get_subscription(&id()).await.unwrap_err();
        assert_eq!(error.retry_after, wait, "{value:?}");
        assert_eq!(error.retry(), Retry::Later(wait));
    }
    let busy = get_answered(|| with(answer(503, ""), "retry-after", "7")).await;
    assert_eq!(busy.retry(), Retry::Later(Some(time::Duration::seconds(7))));
}

#[tokio::test]
async fn a_cancellation_of_a_cancelled_subscription_is_already_done() {
    let server = Server::start(|_| with(answer(200, ""), "operation-id", " op-1 ")).await;
    let submitted = server.client().cancel(&id()).await.unwrap();
    assert!(submitted.already);
    assert_eq!((submitted.operation_id.as_deref(), submitted.location), (Some("op-1"), None));
}
