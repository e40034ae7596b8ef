//! The whole way without a secret: the built program gets a token from the platform's endpoint and uses it over TLS.
//! Azurite believes a token's issuer, audience and times, and not its signature.
//!
//! The program runs as a process of its own, because Azure's SDK and the certificate store read the environment.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration as RealDuration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marketplace_fulfillment::bell::azure::Queues;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::storage::Account;
use marketplace_fulfillment::store::Store;
use marketplace_fulfillment::store::azure::Tables;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use warp::Filter as _;

use super::store::owing_at;
use crate::azurite;

/// The client id of the user-assigned identity.
const CLIENT_ID: &str = "b14e7d3a-62c8-49f5-8d0b-57a9c3e6f148";
/// What the platform tells the app, so that nobody else gets its tokens.
const HEADER: &str = "platform-header";
/// How long the program may take for what it does in a moment.
const PATIENCE: RealDuration = RealDuration::from_mins(1);

/// A certificate authority, and a certificate of it for this machine.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let server_key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&server_key, &issuer).unwrap();
    for (name, pem) in
        [("ca.pem", root.pem()), ("server.pem", server.pem()), ("server.key", server_key.serialize_pem())]
    {
        std::fs::write(folder.join(name), pem).unwrap();
    }
}

/// The platform's endpoint for tokens, and what it was asked.
async fn platform() -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let noted = asked.clone();
    let endpoint = warp::path!("msi" / "token").and(warp::query::raw()).and(warp::header("x-identity-header")).map(
        move |query: String, header: String| {
            noted.lock().unwrap().push(query);
            let now = Clock::System.now().unix_timestamp();
            let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let claims = json!({
                "aud": "https://storage.azure.com", "iss": "https://sts.windows.net/3e6a0e0c-7f4d-4a55-9c1b-0f8d2b7c6a10/",
                "iat": now, "nbf": now - 5, "exp": now + 3_600, "oid": "0",
            });
            let token = format!("{}.{}.eA", part(json!({ "typ": "JWT", "alg": "RS256" })), part(claims));
            let answer = json!({
                "access_token": token, "expires_on": (now + 3_600).to_string(), "resource": "https://storage.azure.com",
                "token_type": "Bearer",
            });
            let (status, answer) = if header == HEADER { (200, answer) } else { (400, json!({})) };
            warp::reply::with_status(warp::reply::json(&answer), warp::http::StatusCode::from_u16(status).unwrap())
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/msi/token", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the platform lives as long as the story's runtime")]
    tokio::spawn(warp::serve(endpoint).incoming(listener).run());
    (url, asked)
}

/// An account over TLS, with its tables and queues, and a record that owes something.
struct Secured {
    account: azurite::Account,
    _azurite: azurite::Azurite,
    queues: Queues,
    folder: TempDir,
}

impl Secured {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path());
        let (certificate, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
        let (azurite, account) = azurite::secure(&certificate, &key);
        let root = reqwest::Certificate::from_pem(&std::fs::read(folder.path().join("ca.pem")).unwrap()).unwrap();
        let http = reqwest::Client::builder().tls_certs_merge([root]).no_proxy().build().unwrap();
        let keyed = account.connection_string().replace("http://", "https://");
        let settings = crate::settings::with([("AzureWebJobsStorage", keyed.as_str())]).unwrap().storage.unwrap();
        let opened = Account::new(&settings, http, Clock::System).unwrap();
        let (tables, queues) = (Tables::new(&opened), Queues::new(&opened));
        tables.create().await.unwrap();
        queues.create().await.unwrap();
        Store::Azure(tables).save(&owing_at("one", Clock::System.now()), None).await.unwrap();
        Self { account, _azurite: azurite, queues, folder }
    }

    /// The built program on this account, as the platform's identity.
    async fn serve(&self, endpoint: &str, header: &str) -> Served {
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment"));
        command.arg("serve").env_clear().envs(crate::settings::good());
        let uri = |service: usize| format!("https://127.0.0.1:{}/{}", self.account.ports[service], self.account.name);
        command.envs([
            ("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string()),
            // As somebody may have typed it: the host reads it so.
            ("AZUREWEBJOBSSTORAGE__queueServiceUri", uri(1)),
            ("AzureWebJobsStorage__tableServiceUri", uri(2)),
            ("AzureWebJobsStorage__credential", "managedidentity".to_owned()),
            ("AzureWebJobsStorage__clientId", CLIENT_ID.to_owned()),
            ("IDENTITY_ENDPOINT", endpoint.to_owned()),
            ("IDENTITY_HEADER", header.to_owned()),
            ("SSL_CERT_FILE", self.folder.path().join("ca.pem").display().to_string()),
        ]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let base = format!("http://127.0.0.1:{port}");
        let ready = async {
            while reqwest::get(&base).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("the program listens");
        Served { child, base }
    }
}

struct Served {
    child: Child,
    base: String,
}

impl Served {
    async fn sweep(&self) -> u16 {
        let envelope = json!({ "Data": { "timer": {} }, "Metadata": {} });
        let request = reqwest::Client::new().post(format!("{}/sweep", self.base)).json(&envelope);
        request.send().await.unwrap().status().as_u16()
    }

    /// Ends the program. Everything that it wrote.
    async fn log(mut self) -> String {
        self.child.start_kill().unwrap();
        let mut log = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut log).await.unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
        log
    }
}

#[tokio::test]
async fn the_platforms_identity_opens_both_services() {
    let secured = Secured::new().await;
    let (endpoint, asked) = platform().await;
    let served = secured.serve(&endpoint, HEADER).await;
    let status = served.sweep().await;
    let bells = secured.queues.peek("activations").await.unwrap().len();
    let log = served.log().await;
    assert_eq!((status, bells), (200, 1), "{log}");
    assert!(!log.contains("eyJ") && !log.contains(HEADER), "{log}");
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "one token for both services: {asked:?}");
    for part in ["resource=https%3A%2F%2Fstorage.azure.com&", &format!("client_id={CLIENT_ID}")] {
        assert!(asked[0].contains(part), "{asked:?}");
    }
}

#[tokio::test]
async fn an_identity_that_the_platform_does_not_know_is_said() {
    let secured = Secured::new().await;
    let (endpoint, _) = platform().await;
    let served = secured.serve(&endpoint, "another-header").await;
    let status = served.sweep().await;
    let log = served.log().await;
    assert_eq!(status, 503, "{log}");
    assert!(
        log.contains("no token for storage at 127.0.0.1: the app has no managed identity with the client id of"),
        "{log}"
    );
}
