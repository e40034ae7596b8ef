//! Servers that say nothing, too little or too much.

use std::time::Duration;

use marketplace_fulfillment::error::Retry;
use marketplace_fulfillment::marketplace::{CallErrorKind, RESPONSE_LIMIT};
use marketplace_fulfillment::settings::MarketplaceSettings;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::server::{Server, answer, client, documented, get_answered, id, json_answer, settings};

/// A server that answers token requests, and hands every other connection's request to nobody: it is closed (`close`) or
/// left without an answer.
pub(super) async fn silent(close: bool) -> MarketplaceSettings {
    let entra = Server::start(documented).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the server lives beside its test and ends with its runtime")]
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 1024]).await;
            if !close {
                kept.push(connection);
            }
        }
    });
    MarketplaceSettings { authority: entra.url("/entra"), ..settings(address) }
}

#[tokio::test]
async fn a_dropped_connection_may_have_delivered_the_call() {
    let client = client(&silent(true).await).unwrap();
    let error = client.activate(&id(), "gold", None).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: true });
    assert_eq!(error.retry(), Retry::Later(None));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let client = client(&silent(false).await).unwrap();
    let error = client.with_timeout(Duration::from_millis(300)).get_subscription(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: true });
    assert!(error.detail.contains("in time"), "{}", error.detail);
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_given_up() {
    let entra = Server::start(documented).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = MarketplaceSettings { authority: entra.url("/entra"), ..settings(listener.local_addr().unwrap()) };
    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":").await.unwrap();
        std::future::pending::<()>().await;
    };
    let client = client(&settings).unwrap().with_timeout(Duration::from_millis(300));
    let id = id();
    let error = tokio::select! {
        () = server => unreachable!(),
        result = client.get_subscription(&id) => result.unwrap_err(),
    };
    assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: true });
    assert!(error.detail.contains("in time"), "within our limit, not the client's: {}", error.detail);
}

#[tokio::test]
async fn a_closed_port_was_surely_not_reached() {
    let entra = Server::start(documented).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = MarketplaceSettings { authority: entra.url("/entra"), ..settings(closed) };
    let error = client(&settings).unwrap().cancel(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: false });
    assert!(error.detail.contains("refused") && !error.detail.contains("http"), "{}", error.detail);
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit() {
    let server = Server::start(|request| {
        let fits = request.path.ends_with("operations");
        let length = RESPONSE_LIMIT - r#"{"x":""}"#.len() + usize::from(!fits);
        answer(200, format!(r#"{{"x":"{}"}}"#, "x".repeat(length)))
    })
    .await;
    assert!(server.client().list_operations(&id()).await.unwrap().is_empty());
    let error = server.client().get_subscription(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreadable);
    assert!(error.detail.contains(&RESPONSE_LIMIT.to_string()), "{}", error.detail);
}

#[tokio::test]
async fn an_unreadable_answer_names_its_field() {
    let error = get_answered(|| json_answer(200, &json!({ "id": "a", "offerId": "o", "planId": {} }))).await;
    assert_eq!(error.kind, CallErrorKind::Unreadable);
    assert_eq!(error.detail, "the answer's field planId is missing or cannot be read");
}
