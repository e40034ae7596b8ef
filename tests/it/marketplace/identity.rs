//! The token of our application: asked for once, and every refusal explained.

use std::net::SocketAddr;
use std::time::Duration;

use marketplace_fulfillment::duty::ERROR_LENGTH;
use marketplace_fulfillment::error::{Code, Fault, Retry};
use marketplace_fulfillment::marketplace::CallErrorKind;
use marketplace_fulfillment::settings::MarketplaceSettings;
use serde_json::json;
use url::Url;
use warp::http::Response;

use super::server::{CLIENT, SECRET, Server, TENANT, answer, client, documented, id, json_answer, settings};
use super::silence::silent;

#[tokio::test]
async fn the_token_is_asked_for_as_entra_wants_it() {
    let server = Server::start(documented).await;
    server.client().get_subscription(&id()).await.unwrap();
    let request = server.arrived.lock().unwrap()[0].clone();
    assert_eq!(request.line(), format!("POST /entra/{TENANT}/oauth2/v2.0/token?"));
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    for (key, value) in [
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "20e940b3-4c77-4b0b-9a53-9e16a1b010a7/.default"),
    ] {
        assert!(form.contains(&(key.to_owned(), value.to_owned())), "{key} in {form:?}");
    }
}

#[tokio::test]
async fn many_calls_at_once_ask_for_one_token() {
    let server = Server::start(documented).await;
    let client = server.client();
    let id = id();
    let calls = (0..20).map(|_| client.get_subscription(&id));
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!((server.calls().len(), server.token_requests()), (20, 1));
}

/// A refusal with its number in the list of codes or in the description; real ones have it in both.
fn refusal_of_entra(status: u16, code: u32, listed: bool) -> Response<String> {
    let prefix = if listed { String::new() } else { format!("AADSTS{code}: ") };
    let description = format!("{prefix}The app 'x' is refused {SECRET} Trace ID: 1\r\nCorrelation ID: 2");
    let codes = if listed { vec![code] } else { Vec::new() };
    json_answer(status, &json!({ "error": "invalid_client", "error_description": description, "error_codes": codes }))
}

#[tokio::test]
async fn each_refusal_of_entra_names_the_setting_the_place_and_the_fix() {
    let partner_center = "Technical configuration page in Partner Center";
    let entra_page = "Certificates & secrets";
    let table = [
        (400, 700_016, ["MARKETPLACE_CLIENT_ID", "application ID", partner_center]),
        (400, 90_002, ["MARKETPLACE_TENANT_ID", "tenant ID", partner_center]),
        (400, 900_023, ["MARKETPLACE_TENANT_ID", "tenant ID", partner_center]),
        (401, 7_000_215, ["MARKETPLACE_CLIENT_SECRET", "the Value, not the Secret ID", entra_page]),
        (401, 7_000_222, ["MARKETPLACE_CLIENT_SECRET", "expired", entra_page]),
        (400, 500_011, ["MARKETPLACE_TENANT_ID", "az ad sp create", "20e940b3-4c77-4b0b-9a53-9e16a1b010a7"]),
        (400, 53_003, ["AADSTS53003", "The app 'x' is refused", "Trace ID: 1"]),
    ];
    for (status, code, parts) in table {
        for listed in [true, false] {
            let server = Server::start_whole(move |_| refusal_of_entra(status, code, listed)).await;
            let error = server.client().get_subscription(&id()).await.unwrap_err();
            assert_eq!((error.kind, error.retry()), (CallErrorKind::Credential, Retry::Later(None)), "{code}");
            for part in parts.into_iter().chain([format!("AADSTS{code}").as_str()]) {
                assert!(error.detail.contains(part), "{part} in {}", error.detail);
            }
            assert!(!error.detail.contains(SECRET) && error.detail.chars().count() <= ERROR_LENGTH, "{}", error.detail);
            assert!(server.calls().is_empty());
            assert_eq!(server.token_requests(), 1, "a refusal is not repeated");
            assert_eq!(Fault::from(error).code, Code::MarketplaceIdentity);
        }
    }
}

#[tokio::test]
async fn a_failing_entra_is_not_called_a_wrong_setting() {
    for body in ["<html>", "{}"] {
        let server = Server::start_whole(move |_| answer(503, body)).await;
        let error = server.client().get_subscription(&id()).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: false });
        assert_eq!(error.detail, "Entra answered 503 to our token request");
        assert_eq!(server.token_requests(), 2, "repeated once");
    }
    let empty = Server::start_whole(|_| answer(200, "{}")).await;
    let error = empty.client().get_subscription(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: false });

    let settings = silent(false).await;
    let hanging = settings.api_url.join("/entra").unwrap();
    let client = client(&MarketplaceSettings { authority: hanging, ..settings }).unwrap();
    let error = client.with_timeout(Duration::from_millis(300)).get_subscription(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreachable { may_have_arrived: false });
    assert!(error.detail.contains("Entra did not answer"), "{}", error.detail);
}

#[test]
fn a_credential_that_cannot_be_one_is_a_fault_at_the_start() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    for broken in [
        MarketplaceSettings { tenant_id: "a/b".to_owned(), ..settings(address) },
        MarketplaceSettings { authority: Url::parse("http://login.example").unwrap(), ..settings(address) },
    ] {
        let fault = client(&broken).unwrap_err();
        assert_eq!((fault.code, fault.retry), (Code::MarketplaceIdentity, Retry::Never));
        assert!(fault.private.contains("MARKETPLACE_TENANT_ID"), "{fault}");
    }
}

#[test]
fn a_sovereign_cloud_is_asked_itself() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let authority = Url::parse("https://login.microsoftonline.us").unwrap();
    let client = client(&MarketplaceSettings { authority, ..settings(address) }).unwrap();
    let shown = format!("{client:?}");
    assert!(shown.contains("login.microsoftonline.us") && !shown.contains("login.microsoftonline.com"), "{shown}");
    assert!(!shown.contains(SECRET), "{shown}");
}
