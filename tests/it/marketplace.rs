//! The client of the fulfillment API, against a real server on loopback: what goes out, what comes back, what is logged.

mod identity;
mod refusals;
pub(crate) mod server;
mod silence;

use marketplace_fulfillment::marketplace::{CallErrorKind, Cursor, OperationOutcome};
use marketplace_fulfillment::outbound::USER_AGENT;
use serde_json::{Value, json};
use url::Url;

use self::server::{
    BEARER, OPERATION, PURCHASE_TOKEN, SECRET, SUBSCRIPTION, Server, answer, client, documented, id, json_answer, with,
};
use crate::log::Log;
use crate::wire::fixture;

#[tokio::test]
async fn every_operation_is_sent_as_documented() {
    const S: &str = "/api/saas/subscriptions";
    let server = Server::start(documented).await;
    let client = server.client().correlated("c-1");
    let id = id();
    let sent = |line: &str, body: Value| {
        let call = server.call();
        assert_eq!(call.line(), line.replace("{S}", S).replace("{id}", SUBSCRIPTION).replace("{op}", OPERATION));
        let text = if body.is_null() { String::new() } else { body.to_string() };
        assert_eq!(String::from_utf8(call.body.clone()).unwrap(), text, "{line}");
        assert_eq!(call.header("authorization"), Some(format!("Bearer {BEARER}").as_str()));
        assert_eq!(call.header("content-type"), Some("application/json"));
        assert_eq!(call.header("x-ms-correlationid"), Some("c-1"));
        assert_eq!(call.header("user-agent"), Some(USER_AGENT));
        assert!(uuid::Uuid::parse_str(call.header("x-ms-requestid").unwrap()).is_ok());
        call
    };

    assert_eq!(client.resolve(PURCHASE_TOKEN).await.unwrap().snapshot.plan_id, "bronze");
    let call = sent("POST {S}/resolve?api-version=2018-08-31", Value::Null);
    assert_eq!(call.header("x-ms-marketplace-token"), Some(PURCHASE_TOKEN));
    assert_eq!(call.header("content-length"), Some("0"), "gateways refuse a POST without a length");

    client.activate(&id, "gold", Some(20)).await.unwrap();
    let call = sent("POST {S}/{id}/activate?api-version=2018-08-31", json!({ "planId": "gold", "quantity": 20 }));
    assert_eq!(call.header("x-ms-marketplace-token"), None);
    client.activate(&id, "bronze", None).await.unwrap();
    sent("POST {S}/{id}/activate?api-version=2018-08-31", json!({ "planId": "bronze" }));

    assert_eq!(client.get_subscription(&id).await.unwrap().quantity, Some(20));
    sent("GET {S}/{id}?api-version=2018-08-31", Value::Null);

    let page = client.list_subscriptions(None).await.unwrap();
    assert_eq!((page.subscriptions[0].0.as_str(), page.next), (SUBSCRIPTION, None));
    sent("GET {S}?api-version=2018-08-31", Value::Null);

    assert_eq!(client.list_available_plans(&id, None).await.unwrap().len(), 2);
    sent("GET {S}/{id}/listAvailablePlans?api-version=2018-08-31", Value::Null);
    client.list_available_plans(&id, Some("a&b")).await.unwrap();
    sent("GET {S}/{id}/listAvailablePlans?planId=a%26b&api-version=2018-08-31", Value::Null);

    let submitted = client.change_plan(&id, "silver").await.unwrap();
    sent("PATCH {S}/{id}?api-version=2018-08-31", json!({ "planId": "silver" }));
    assert_eq!(submitted.operation_id.as_deref(), Some(OPERATION), "named by the location");
    assert_eq!(submitted.retry_after, Some(time::Duration::seconds(10)));
    assert!(!submitted.already);
    client.change_quantity(&id, 7).await.unwrap();
    sent("PATCH {S}/{id}?api-version=2018-08-31", json!({ "quantity": 7 }));
    client.cancel(&id).await.unwrap();
    sent("DELETE {S}/{id}?api-version=2018-08-31", Value::Null);

    assert_eq!(client.list_operations(&id).await.unwrap().len(), 1);
    sent("GET {S}/{id}/operations?api-version=2018-08-31", Value::Null);
    assert_eq!(client.get_operation(&id, OPERATION).await.unwrap().id, OPERATION);
    sent("GET {S}/{id}/operations/{op}?api-version=2018-08-31", Value::Null);
    assert_eq!(client.follow(&submitted.location.unwrap()).await.unwrap().id, OPERATION);
    sent("GET {S}/{id}/operations/{op}?api-version=2018-08-31", Value::Null);
    for (outcome, word) in [(OperationOutcome::Success, "Success"), (OperationOutcome::Failure, "Failure")] {
        client.update_operation(&id, OPERATION, outcome).await.unwrap();
        sent("PATCH {S}/{id}/operations/{op}?api-version=2018-08-31", json!({ "status": word }));
    }
    assert_eq!(server.token_requests(), 1, "one token serves every call");
}

#[tokio::test]
async fn every_call_has_a_request_id_of_its_own() {
    let server = Server::start(documented).await;
    let client = server.client();
    client.get_subscription(&id()).await.unwrap();
    client.get_subscription(&id()).await.unwrap();
    let calls = server.calls();
    assert_ne!(calls[0].header("x-ms-requestid"), calls[1].header("x-ms-requestid"));
    assert_eq!(calls[0].header("x-ms-correlationid"), None);
    for odd in ["", "two words", "line\nbreak", "é", &"x".repeat(129)] {
        client.correlated("sane").correlated(odd).get_subscription(&id()).await.unwrap();
        assert_eq!(server.call().header("x-ms-correlationid"), None, "{odd:?}");
    }
}

#[tokio::test]
async fn the_list_is_followed_to_a_second_host_with_the_version_added() {
    let server = Server::start(|request| {
        if request.query.contains("continuationToken") {
            return json_answer(200, &json!({ "subscriptions": [fixture("subscription.json")] }));
        }
        let port = request.header("host").unwrap().rsplit(':').next().unwrap().to_owned();
        let next = format!("http://localhost:{port}/api/saas/subscriptions/?continuationToken=%5b%7b%22a%22%7d%5d");
        json_answer(200, &json!({ "subscriptions": [], "@nextLink": next }))
    })
    .await;
    let mut settings = server.settings();
    settings.api_hosts.push(format!("LOCALHOST:{}", server.address.port()));
    let client = client(&settings).unwrap();
    let cursor = client.list_subscriptions(None).await.unwrap().next.unwrap();
    let stored = Cursor::parse(cursor.as_str()).unwrap();
    let page = client.list_subscriptions(Some(&stored)).await.unwrap();
    assert_eq!((page.subscriptions.len(), page.next), (1, None));
    let call = server.call();
    assert_eq!(call.query, "continuationToken=%5b%7b%22a%22%7d%5d&api-version=2018-08-31");
    assert_eq!(call.header("host"), Some(format!("localhost:{}", server.address.port()).as_str()));
    assert!(call.header("authorization").is_some());
}

#[tokio::test]
async fn no_foreign_host_ever_gets_the_token() {
    let foreign = Server::start(documented).await;
    let location = foreign.url("/api/saas/subscriptions").to_string();
    let named = location.clone();
    let server = Server::start(move |request| match request.method.as_str() {
        "GET" => json_answer(200, &json!({ "subscriptions": [], "@nextLink": named })),
        _ => with(answer(202, ""), "operation-location", &named),
    })
    .await;
    let client = server.client();
    let next = client.list_subscriptions(None).await.unwrap().next.unwrap();
    let refused = client.list_subscriptions(Some(&next)).await.unwrap_err();
    assert_eq!(refused.kind, CallErrorKind::UntrustedHost);
    assert!(refused.detail.contains("MARKETPLACE_API_HOSTS"), "{}", refused.detail);
    let location = client.change_plan(&id(), "silver").await.unwrap().location.unwrap();
    assert_eq!(client.follow(&location).await.unwrap_err().kind, CallErrorKind::UntrustedHost);

    let port = server.address.port();
    for trick in [
        format!("https://127.0.0.1:{port}@evil.example/api"),
        format!("http://user:pass@127.0.0.1:{port}/api"),
        format!("http://localhost:{port}/api"),
        "ftp://127.0.0.1/api".to_owned(),
        "data:text/plain,x".to_owned(),
    ] {
        let error = client.follow(&Url::parse(&trick).unwrap()).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::UntrustedHost, "{trick}");
    }
    assert!(foreign.arrived.lock().unwrap().is_empty(), "the foreign host heard of us");
}

#[tokio::test]
async fn plain_http_is_for_this_machine_alone() {
    let server = Server::start(documented).await;
    let mut settings = server.settings();
    settings.api_url = Url::parse("http://marketplaceapi.microsoft.com/api").unwrap();
    settings.api_hosts = vec!["marketplaceapi.microsoft.com".to_owned()];
    let client = client(&settings).unwrap();
    assert_eq!(client.get_subscription(&id()).await.unwrap_err().kind, CallErrorKind::UntrustedHost);
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(documented).await;
    let target = elsewhere.url("/api").to_string();
    let server = Server::start(move |_| with(answer(307, ""), "location", &target)).await;
    let error = server.client().get_subscription(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Failed { status: 307 });
    assert!(elsewhere.arrived.lock().unwrap().is_empty());
}

#[test]
fn the_machines_proxy_is_not_asked_to_reach_this_machine() {
    let run = |filter: &str| {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", filter])
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("ALL_PROXY", "http://127.0.0.1:9")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .output()
            .unwrap()
    };
    let output = run("marketplace::every_operation_is_sent_as_documented");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn each_call_is_logged_once_and_without_secrets() {
    let server = Server::start(|request| {
        if request.path.ends_with("operations") {
            let refusal = json!({ "code": "Odd", "message": "user@contoso.example is locked out" });
            return with(json_answer(400, &refusal), "x-ms-requestid", "theirs-1");
        }
        let ours = request.header("x-ms-requestid").unwrap().to_owned();
        with(documented(request), "x-ms-requestid", &ours)
    })
    .await;
    let log = Log::default();
    let guard = log.capture();
    let client = server.client().correlated("c-1");
    let resolved = client.resolve(PURCHASE_TOKEN).await.unwrap();
    client.get_subscription(&id()).await.unwrap();
    let error = client.list_operations(&id()).await.unwrap_err();
    let shown = format!("{client:?} {error:?} {error}");
    drop(guard);

    let events = log.ours();
    assert_eq!(events.len(), 4, "{events:?}");
    let [token, resolve, get, list] = [&events[0], &events[1], &events[2], &events[3]];
    assert_eq!(token["fields"]["message"], "Entra answered token.");
    assert_eq!(resolve["level"], "INFO");
    assert_eq!(resolve["fields"]["message"], "The marketplace answered resolve.");
    assert_eq!(resolve["fields"]["http.response.status_code"], 200);
    assert_eq!((&resolve["fields"]["name"], &resolve["fields"]["kind"]), (&json!("POST resolve"), &json!("CLIENT")));
    assert!(resolve["fields"]["error.type"].is_null());
    assert_eq!(get["fields"]["operation"], "get_subscription");
    assert_eq!(get["fields"]["subscription_id"], SUBSCRIPTION);
    assert_eq!(get["fields"]["correlation_id"], "c-1");
    assert_eq!(get["fields"]["request_id"].as_str(), server.calls()[1].header("x-ms-requestid"));
    assert!(get["fields"]["duration_ms"].is_u64());
    assert_eq!(get["fields"]["url.path"], format!("/api/saas/subscriptions/{SUBSCRIPTION}"));
    assert_eq!(get["fields"]["server.address"], "127.0.0.1");
    assert!(get["fields"]["azure.service.request.id"].is_null(), "only where it differs");
    assert_eq!(list["level"], "WARN");
    assert_eq!(list["fields"]["azure.service.request.id"], "theirs-1");
    assert_eq!((&list["fields"]["error.type"], &list["fields"]["error_code"]), (&json!("locked"), &json!("Odd")));

    let everything = log.text() + shown.as_str();
    let person = resolved.snapshot.beneficiary.unwrap();
    for secret in [PURCHASE_TOKEN, BEARER, SECRET, "contoso.example", "my-sub", &person.puid.unwrap(), "api-version"] {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
    assert!(everything.contains("azure_core") || everything.contains("typespec"), "the SDK's own log was captured too");
}
