//! Answers that are small on their way and large unpacked: whoever reads one stops at its bound. Each is good but for its
//! length, so that without the bound it would be believed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret as Token, TokenCredential, TokenRequestOptions};
use flate2::Compression;
use flate2::write::GzEncoder;
use marketplace_fulfillment::bell::azure::Queues;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::doctor::{State, examine_settings};
use marketplace_fulfillment::entra::Entra;
use marketplace_fulfillment::marketplace::{CallErrorKind, RESPONSE_LIMIT};
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::publisher::{ANSWER_LIMIT, Lookup, Message, Publisher};
use marketplace_fulfillment::settings::{EntraSettings, EventsSecret};
use marketplace_fulfillment::storage::Account;
use marketplace_fulfillment::vault::{Vault, Wanted};
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use url::Url;

use crate::entra::{CLIENT, key, key_list, listed};
use crate::marketplace::server::{client, id, settings};
use crate::wire::fixture;
use crate::world::World;

const NOW: OffsetDateTime = datetime!(2026-11-20 09:00 UTC);

/// How much white space stands behind each answer, in bytes: over every bound of an answer.
const PADDING: usize = RESPONSE_LIMIT + 1024 * 1024;

fn packed(body: &str) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(body.as_bytes()).unwrap();
    writer.write_all(" ".repeat(PADDING).as_bytes()).unwrap();
    let packed = writer.finish().unwrap();
    assert!(packed.len() < PADDING / 100, "{} bytes", packed.len());
    packed
}

/// A server that answers each request with what `answer` makes of its address and path: packed, or as it is.
async fn server(answer: impl Fn(&str, &str) -> Result<String, String> + Clone + Send + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let url = Url::parse(&base).unwrap();
    #[expect(clippy::disallowed_methods, reason = "it answers as long as the story's runtime")]
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                if connection.read_buf(&mut request).await.unwrap_or_default() == 0 {
                    break;
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (coding, body) = match answer(&base, path) {
                Ok(body) => ("content-encoding: gzip\r\n", packed(&body)),
                Err(body) => ("", body.into_bytes()),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\n{coding}content-length: {length}\r\nconnection: close\r\n\r\n");
            let _gone = connection.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    url
}

fn token() -> String {
    json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "a.b.c" }).to_string()
}

#[tokio::test]
async fn the_marketplaces_answer() {
    let api =
        server(
            |_, path| {
                if path.ends_with("/token") { Err(token()) } else { Ok(fixture("subscription.json").to_string()) }
            },
        )
        .await;
    let address = api.socket_addrs(|| None).unwrap()[0];
    let error = client(&settings(address)).unwrap().get_subscription(&id()).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Unreadable);
    assert!(error.detail.contains(&format!("longer than {RESPONSE_LIMIT} bytes")), "{}", error.detail);
}

#[tokio::test]
async fn a_token_of_ours() {
    let entra =
        server(
            |_, path| {
                if path.ends_with("/token") { Ok(token()) } else { Err(fixture("subscription.json").to_string()) }
            },
        )
        .await;
    let address = entra.socket_addrs(|| None).unwrap()[0];
    let error = client(&settings(address)).unwrap().get_subscription(&id()).await.unwrap_err();
    assert!(error.detail.contains("too large for a token"), "{}", error.detail);
}

#[tokio::test]
async fn entras_keys_and_its_description() {
    for large in ["/keys", "/common/v2.0/.well-known/openid-configuration"] {
        let entra = server(move |base, path| {
            let answer = match path {
                "/keys" => key_list(&[listed("first", key(0))]),
                _ => json!({
                    "issuer": format!("{base}/{{tenantid}}/v2.0"), "jwks_uri": format!("{base}/keys"),
                    "authorization_endpoint": format!("{base}/authorize"),
                })
                .to_string(),
            };
            if path == large { Ok(answer) } else { Err(answer) }
        })
        .await;
        let settings = EntraSettings { authority: entra, client_id: CLIENT.to_owned() };
        let fault = Entra::new(&settings, outbound::client()).keys_at_hand(NOW).await.unwrap_err();
        assert!(fault.private.contains("larger than"), "{large}: {fault}");
    }
}

#[tokio::test]
async fn what_answers_in_our_name() {
    let front = server(|_, _| {
        Ok(json!({ "status": "ok", "arrived": ["authorization", "cookie", "origin", "sec-fetch-site"] }).to_string())
    })
    .await;
    let world = World::in_memory(&[]).await;
    let mut settings: BTreeMap<String, String> = world.dev.settings.clone();
    settings.insert("PUBLIC_URL".to_owned(), front.to_string());
    let report = examine_settings(|key| settings.get(key).cloned(), Clock::manual(world.now())).await;
    let found = report.findings.iter().find(|finding| finding.about == "PUBLIC_URL").unwrap();
    assert!(found.state == State::Bad && found.says.contains("something else than this app"), "{report}");
}

#[tokio::test]
async fn storages_answer() {
    let storage = server(|_, _| Ok("<?xml version=\"1.0\"?><QueueMessagesList></QueueMessagesList>".to_owned())).await;
    let base = storage.as_str().trim_end_matches('/');
    let connection = format!("AccountName=a00;AccountKey=eA==;QueueEndpoint={base}/a00;TableEndpoint={base}/a00");
    let settings = crate::settings::with([("AzureWebJobsStorage", connection.as_str())]).unwrap();
    let account = Account::new(&settings.storage.unwrap(), outbound::client(), Clock::System).unwrap();
    let fault = Queues::new(&account).peek("activations").await.unwrap_err();
    assert!(fault.private.contains("the answer is larger than"), "{fault}");
}

/// Whoever it is.
#[derive(Debug)]
struct Anybody;

#[async_trait::async_trait]
impl TokenCredential for Anybody {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(Token::new("a.b.c"), NOW + time::Duration::hours(1)))
    }
}

#[tokio::test]
async fn a_secret_in_the_vault() {
    let keys = server(|base, _| {
        Ok(json!({ "value": "s3cret", "id": format!("{base}/secrets/cookie-keys/1"), "attributes": { "enabled": true } })
            .to_string())
    })
    .await;
    let vault = Vault::new(&keys, Arc::new(Anybody), outbound::client()).unwrap();
    let fault = vault.read("cookie-keys", Wanted::Newest, Duration::from_secs(8), NOW).await.unwrap_err();
    assert!(fault.private.contains("larger than"), "{fault}");
}

/// The publisher's software is not asked to pack anything, and what it packs all the same is not unpacked.
#[tokio::test]
async fn the_publishers_answer() {
    let app = server(|_, _| Ok("{\"decision\":\"accept\"}".to_owned())).await;
    let publisher = Publisher::new(&["127.0.0.1".to_owned()], Lookup::System).unwrap();
    let message = Message { id: "evt_1".to_owned(), body: "{}".to_owned() };
    let keys = EventsSecret(vec![vec![7; 32]]);
    let said = publisher.post(&app, &message, &keys, NOW, Duration::from_secs(8)).await.unwrap();
    assert_eq!(said.status, 200);
    assert!(!said.body.contains("accept") && said.body.chars().count() <= ANSWER_LIMIT, "{} bytes", said.body.len());
}
