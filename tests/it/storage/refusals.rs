//! What a storage account refuses, and what the log then says: what to do, and no secret.

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::storage::{Account, CALL_PATIENCE, EXCHANGE_PATIENCE, SEARCH_PATIENCE};
use marketplace_fulfillment::store::{Kept, Store, StoreError};
use marketplace_fulfillment::subscription::SubscriptionId;
use time::Duration;

use super::proxy::{Before, Mischief, Proxy, refusal};
use super::{NOW, PERMISSIONS, Used, open, signature, signed};
use crate::azurite;

/// A key that is no account's.
const WRONG_KEY: &str = "d3JvbmcgaW4gZXZlcnkgYnl0ZQ==";

fn id() -> SubscriptionId {
    SubscriptionId::parse("one").unwrap()
}

/// What store and bell say when they are asked for anything, as text for people and as text for debugging.
async fn said(connection_string: &str) -> [String; 2] {
    let (store, queues) = open(connection_string, &Clock::manual(NOW));
    let of_store = store.load(&id()).await.unwrap_err();
    let of_bell = queues.put("activations", b"x".to_vec(), Duration::ZERO).await.unwrap_err();
    let debug = format!("{store:?}{queues:?}{of_store:?}{of_bell:?}");
    for secret in [azurite::KEY, WRONG_KEY, "sig=", "SharedKey ", "AccountKey"] {
        assert!(!format!("{debug}{of_store}{of_bell}").contains(secret), "{secret} in {debug}");
    }
    assert!(matches!(of_store, StoreError::Unavailable(_)), "{of_store:?}");
    [of_store.to_string(), of_bell.private]
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let used = Used::new().await;
    let good = used.account.connection_string();
    let ports = |to: &str| {
        let [_, queue, table] = used.account.ports;
        good.replace(&format!("127.0.0.1:{queue}"), to).replace(&format!("127.0.0.1:{table}"), to)
    };
    let nobody_listens = {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("127.0.0.1:{}", taken.local_addr().unwrap().port())
    };
    let table = [
        (good.replace(azurite::KEY, WRONG_KEY), "has a key that is not this account's any more"),
        (signed(&used.account, PERMISSIONS, NOW - Duration::hours(1)), "has expired or allows too little"),
        (signed(&used.account, "l", NOW + Duration::hours(1)), "has expired or allows too little"),
        (ports(&nobody_listens), "cannot be reached: Connection refused"),
        (
            "AccountName=nowhere;AccountKey=c3Rvcnk=;EndpointSuffix=storage.invalid".to_owned(),
            ".storage.invalid cannot be reached: ",
        ),
    ];
    for (connection_string, says) in table {
        for sentence in said(&connection_string).await {
            assert!(sentence.contains(says), "{sentence:?} does not say {says:?}");
        }
    }
}

/// What Azure answers and Azurite does not.
#[tokio::test]
async fn refusals_of_azure_itself() {
    let used = Used::new().await;
    let tables = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&tables);
    let table = [
        (403, "AuthenticationFailed", "this machine's clock is more than 15 minutes off"),
        (403, "KeyBasedAuthenticationNotPermitted", "set AzureWebJobsStorage__accountName"),
        (403, "AuthorizationFailure", "firewall"),
        (409, "TableBeingDeleted", "refuses what we ask of the table subscriptions (409 TableBeingDeleted)"),
        (404, "AccountNotFound", "(404 AccountNotFound)"),
    ];
    for (status, code, says) in table {
        tables.always(refusal(status, code));
        for error in [store.load(&id()).await.map(drop).unwrap_err(), store.due(NOW).await.map(drop).unwrap_err()] {
            let StoreError::Unavailable(sentence) = error else { panic!("{error:?}") };
            assert!(sentence.contains(says), "{sentence:?} does not say {says:?}");
            assert!(!sentence.contains("sig="), "{sentence}");
        }
    }
    // The table service need not name its code in a header.
    let body = r#"{"odata.error":{"code":"TableNotFound","message":{"lang":"en-US","value":"sig=x"}}}"#;
    tables.always(Mischief::Says(404, String::new(), body.to_owned()));
    let error = store.load(&id()).await.unwrap_err().to_string();
    assert!(error.contains("`fulfillment doctor` creates it"), "{error}");
    // What cannot be read is not taken for nothing.
    tables.always(Mischief::Says(200, String::new(), "<html>".to_owned()));
    for error in [store.load(&id()).await.map(drop).unwrap_err(), store.due(NOW).await.map(drop).unwrap_err()] {
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}

/// The webhook has ten seconds in all.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let used = Used::bare();
    let (tables, queues) =
        (Proxy::new(&used.account, Before::Tables).await, Proxy::new(&used.account, Before::Queues).await);
    let (store, _) = used.through(&tables);
    let (_, bells) = used.through(&queues);
    let slow = Mischief::Says(503, "retry-after: 600\r\n".to_owned(), String::new());
    for mischief in [Mischief::Silent, slow] {
        tables.always(mischief.clone());
        queues.always(mischief.clone());
        let start = tokio::time::Instant::now();
        let error = store.load(&id()).await.unwrap_err();
        assert!(start.elapsed() <= CALL_PATIENCE, "{mischief:?}: {:?}, {error}", start.elapsed());
        let start = tokio::time::Instant::now();
        let fault = bells.put("activations", b"x".to_vec(), Duration::ZERO).await.unwrap_err();
        assert!(start.elapsed() <= CALL_PATIENCE, "{mischief:?}: {:?}, {fault}", start.elapsed());
        let start = tokio::time::Instant::now();
        let error = store.due(NOW).await.unwrap_err();
        assert!(start.elapsed() <= SEARCH_PATIENCE, "{mischief:?}: {:?}, {error}", start.elapsed());
    }
}

/// Whoever does not answer in time is asked again: a lost answer costs two seconds and not the call.
#[tokio::test(start_paused = true)]
async fn a_silent_exchange_is_not_the_end_of_a_call() {
    let used = Used::bare();
    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&proxy);
    let kept = Mischief::Says(200, "etag: x\r\n".to_owned(), r#"{"text":"kept"}"#.to_owned());
    proxy.plan([Mischief::Silent, kept]);
    let start = tokio::time::Instant::now();
    assert_eq!(store.kept(Kept::CallerKeys).await, Ok(Some("kept".to_owned())));
    assert!(start.elapsed() >= EXCHANGE_PATIENCE, "{:?}", start.elapsed());
}

/// A search whose parts each end in time, and which has no end.
#[tokio::test(start_paused = true)]
async fn a_search_without_an_end_is_ended() {
    let used = Used::bare();
    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&proxy);
    let headers = "x-ms-continuation-NextPartitionKey: a\r\ncontent-type: application/json\r\n".to_owned();
    let part = std::time::Duration::from_secs(5);
    proxy.always(Mischief::SaysLate(part, 200, headers, "{\"value\":[]}".to_owned()));
    let start = tokio::time::Instant::now();
    let error = store.page(None).await.unwrap_err();
    assert!(start.elapsed() <= SEARCH_PATIENCE + part, "{:?}", start.elapsed());
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("a search took more than")), "{error}");
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read() {
    let used = Used::bare();
    let proxy = Proxy::new(&used.account, Before::Queues).await;
    let (_, queues) = used.through(&proxy);
    proxy.always(Mischief::Says(200, String::new(), "x".repeat(4 * 1024 * 1024)));
    let fault = queues.peek("activations").await.unwrap_err();
    assert!(fault.private.contains("the answer is larger than"), "{fault}");
    assert_eq!(proxy.seen().len(), 1, "asking again does not help");
}

#[test]
fn an_identity_sends_no_token_in_the_clear() {
    let uri = |service: &str| format!("https://contoso.{service}.core.windows.net");
    let (queues, tables) = (uri("queue"), uri("table"));
    let set = [
        ("AzureWebJobsStorage__queueServiceUri", queues.as_str()),
        ("AzureWebJobsStorage__tableServiceUri", tables.as_str()),
    ];
    let mut storage = crate::settings::with(set).unwrap().storage.unwrap();
    Account::new(&storage, outbound::client(), Clock::System).unwrap();
    storage.tables.set_scheme("http").unwrap();
    let fault = Account::new(&storage, outbound::client(), Clock::System).unwrap_err();
    assert!(fault.private.contains("in the clear"), "{fault}");
}

#[tokio::test]
async fn a_signature_is_in_no_error() {
    let used = Used::bare();
    let signature = signature(&used.account, PERMISSIONS, NOW + Duration::hours(1));
    let connection = signed(&used.account, PERMISSIONS, NOW + Duration::hours(1));
    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let [_, _, table] = used.account.ports;
    let connection = connection.replace(&format!(":{table}/"), &format!(":{}/", proxy.ports()[2]));
    let (store, _) = open(&connection, &used.clock);
    let Store::Azure(tables) = &store else { unreachable!("made so") };
    let busy = refusal(503, "ServerBusy");
    for mischief in [refusal(403, "AuthenticationFailed"), refusal(400, "InvalidInput"), Mischief::Broken, busy] {
        proxy.always(mischief);
        let error = tables.create().await.unwrap_err();
        let text = format!("{error} {error:?} {store:?}");
        assert!(!text.contains("sig") && !text.contains(&signature), "{text}");
    }
    let sent: Vec<usize> = proxy.seen().iter().map(|line| line.matches("&sig=").count()).collect();
    assert_eq!(sent, [1, 1, 1], "once on every try");
}
