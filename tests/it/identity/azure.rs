//! What Azure gives an app: a managed identity and a Key Vault, on loopback.
//!
//! Azure's client for managed identities reads the process's environment. Such a story therefore runs in a process of its
//! own, which is this test binary once more; the first process only passes on to it what arrives at the identity's
//! endpoint, because that address must be known before the second one begins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::simulator::{Simulator, TENANT_ID};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use url::Url;
use warp::Filter as _;
use warp::http::{HeaderMap, Response};

/// The client id of the user-assigned identity that the app has. It has no system-assigned one.
pub(super) const IDENTITY: &str = "1d5d1f3a-77b2-4a0b-8f43-0c4a5c0e9d21";

/// The identity's service principal.
pub(super) const PRINCIPAL: &str = "c2b6a0f4-5a39-4c87-9a52-7d3e8f1b6c90";

/// What the platform gives the app so that nobody else on the machine may ask.
const IDENTITY_HEADER: &str = "only-this-app-knows-it";

/// Names the file in which a story's process leaves the port of its identity endpoint.
const PORT_FILE: &str = "IDENTITY_PORT_FILE";

/// Marks a story's process that is not in Azure.
const AWAY: &str = "AWAY_FROM_AZURE";

/// What a vault asks for.
const VAULT_RESOURCE: &str = "https://vault.azure.net";

/// Versions on a page of the list: few, so that stories turn pages.
const PAGE: usize = 2;

/// Tells a story in a process whose environment offers a managed identity.
pub(super) async fn in_azure<S: AsyncFnOnce(&Azure)>(story: S) {
    #[expect(clippy::disallowed_methods, reason = "the story's own process has only its environment to read")]
    let port_file = std::env::var(PORT_FILE);
    if let Ok(port_file) = port_file {
        let azure = Azure::start().await;
        std::fs::write(port_file, azure.port.to_string()).unwrap();
        return story(&azure).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let port_file = folder.path().join("port");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/msi/token", listener.local_addr().unwrap());
    let mut child = this_story_again::<S>();
    child.env("IDENTITY_ENDPOINT", endpoint).env("IDENTITY_HEADER", IDENTITY_HEADER).env(PORT_FILE, &port_file);
    tokio::select! {
        () = succeed(child) => {},
        () = pass_on(listener, port_file) => unreachable!("it listens for ever"),
    };
}

/// Tells a story in a process without a managed identity, and on whose path are none of Azure's tools.
pub(super) async fn away_from_azure<S: AsyncFnOnce(&Azure)>(story: S) {
    #[expect(clippy::disallowed_methods, reason = "the story's own process has only its environment to read")]
    let is_away = std::env::var(AWAY).is_ok();
    if is_away {
        return story(&Azure::start().await).await;
    }
    let mut child = this_story_again::<S>();
    child.env(AWAY, "1").env("PATH", "/nowhere").env_remove("IDENTITY_ENDPOINT");
    succeed(child).await;
}

fn this_story_again<S>() -> Command {
    // `it::identity::rotation::a_story::{{closure}}`: the test's own name is in the middle.
    let name = std::any::type_name::<S>().split_once("::").unwrap().1.split("::{{closure}}").next().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([name, "--exact", "--nocapture"]).kill_on_drop(true).stdin(Stdio::null());
    child
}

async fn succeed(mut child: Command) {
    let output = child.output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// Passes every connection on to the port that the file names.
async fn pass_on(listener: TcpListener, port_file: PathBuf) {
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        let port: u16 = std::fs::read_to_string(&port_file).unwrap().parse().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a connection of this test, which ends with its runtime")]
        tokio::spawn(async move {
            if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ended = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            }
        });
    }
}

/// The managed identity and the vault of a story.
pub(super) struct Azure {
    pub(super) vault: Url,
    state: Arc<Mutex<State>>,
    port: u16,
}

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Vec<Version>>,
    mood: Mood,
    identity_mood: Mood,
    /// Makes the identity's tokens for the marketplace, as Entra would.
    entra: Option<Simulator>,
    vault_requests: Vec<String>,
    identity_requests: Vec<String>,
    next_page_elsewhere: bool,
}

/// How a server answers.
#[derive(Clone, Default)]
pub(super) enum Mood {
    /// As it should.
    #[default]
    Open,
    /// With this status and body.
    Refusing(u16, Value),
    /// As above, but lists only.
    RefusingLists(u16, Value),
    /// Not at all.
    Silent,
}

/// A version of a secret, as its owner set it.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) value: String,
    pub(super) enabled: bool,
    pub(super) created: OffsetDateTime,
    pub(super) not_before: Option<OffsetDateTime>,
    pub(super) expires: Option<OffsetDateTime>,
}

impl Azure {
    async fn start() -> Self {
        let (identity, vault) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        let (identity, vault) = (identity.unwrap(), vault.unwrap());
        let (port, vault_port) = (identity.local_addr().unwrap().port(), vault.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(State::default()));
        serve(identity, Arc::clone(&state), State::give_token);
        serve(vault, Arc::clone(&state), move |state, request| state.give_secret(request, vault_port));
        let vault = Url::parse(&format!("http://127.0.0.1:{vault_port}")).unwrap();
        Self { vault, state, port }
    }

    /// The settings of an app that reads its secrets from the vault, and these.
    pub(super) fn settings<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = [("KEY_VAULT_URL", self.vault.as_str()), ("AZURE_CLIENT_ID", IDENTITY)];
        own.iter().chain(more).copied().collect()
    }

    /// Adds a version, made at `created`.
    pub(super) fn set(&self, name: &str, value: &str, created: OffsetDateTime) {
        self.set_with(name, value, created, |_| ());
    }

    pub(super) fn set_with(&self, name: &str, value: &str, created: OffsetDateTime, change: impl FnOnce(&mut Version)) {
        let mut state = self.state();
        let versions = state.secrets.entry(name.to_owned()).or_default();
        // Ids say nothing about age, and the list is in their order.
        let id = (versions.len() as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = format!("{id:032x}");
        let (value, enabled) = (value.to_owned(), true);
        versions.push(Version { id, value, enabled, created, not_before: None, expires: None });
        change(versions.last_mut().unwrap());
    }

    /// Takes a secret away.
    pub(super) fn forget(&self, name: &str) {
        self.state().secrets.remove(name);
    }

    /// Changes a version that is there; 0 was set first.
    pub(super) fn change(&self, name: &str, index: usize, change: impl FnOnce(&mut Version)) {
        change(&mut self.state().secrets.get_mut(name).unwrap()[index]);
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(super) fn set_identity_mood(&self, mood: Mood) {
        self.state().identity_mood = mood;
    }

    /// The identity's tokens for the marketplace are made by this Entra.
    pub(super) fn trust(&self, simulator: &Simulator) {
        self.state().entra = Some(simulator.clone());
    }

    /// The next page of every list is on another server.
    pub(super) fn lead_lists_elsewhere(&self) {
        self.state().next_page_elsewhere = true;
    }

    /// The authorised requests that arrived at the vault, by path.
    pub(super) fn vault_requests(&self) -> Vec<String> {
        self.state().vault_requests.clone()
    }

    /// What tokens were asked for.
    pub(super) fn identity_requests(&self) -> Vec<String> {
        self.state().identity_requests.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

struct Arrived {
    path: String,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
}

/// The answer; none where there is silence.
type Reply = Option<(u16, Value)>;

fn serve(
    listener: TcpListener,
    state: Arc<Mutex<State>>,
    answer: impl Fn(&mut State, &Arrived) -> Reply + Clone + Send + Sync + 'static,
) {
    let query = warp::query::<BTreeMap<String, String>>();
    let parts = warp::get().and(warp::path::full()).and(query).and(warp::header::headers_cloned());
    let routes = parts.then(move |path: warp::path::FullPath, query, headers| {
        let (state, answer) = (Arc::clone(&state), answer.clone());
        async move {
            let arrived = Arrived { path: path.as_str().to_owned(), query, headers };
            let reply = answer(&mut state.lock().unwrap(), &arrived);
            let Some((status, body)) = reply else { std::future::pending().await };
            let response = Response::builder().status(status).header("content-type", "application/json");
            let challenge = format!(
                "Bearer authorization=\"https://login.microsoftonline.com/{TENANT_ID}\", resource=\"{VAULT_RESOURCE}\""
            );
            let response = if status == 401 { response.header("www-authenticate", challenge) } else { response };
            let response = if status == 429 { response.header("retry-after", "1") } else { response };
            response.body(body.to_string()).unwrap()
        }
    });
    #[expect(clippy::disallowed_methods, reason = "the server lives beside its test and ends with its runtime")]
    tokio::spawn(warp::serve(routes).incoming(listener).run());
}

impl State {
    /// The endpoint of App Service (<https://learn.microsoft.com/azure/app-service/overview-managed-identity>).
    fn give_token(&mut self, request: &Arrived) -> Reply {
        assert_eq!(request.path, "/msi/token");
        assert_eq!(request.headers["x-identity-header"], IDENTITY_HEADER);
        let (resource, client_id) = (&request.query["resource"], request.query.get("client_id"));
        self.identity_requests.push(format!("{resource} {}", client_id.map_or("", String::as_str)));
        match self.identity_mood.clone() {
            Mood::Silent => return None,
            Mood::Refusing(status, body) => return Some((status, body)),
            Mood::Open | Mood::RefusingLists(..) => {}
        }
        if client_id.is_none_or(|id| id != IDENTITY) {
            let message =
                "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.";
            return Some((400, json!({ "statusCode": 400, "message": message })));
        }
        let ends = Clock::System.now().unix_timestamp() + 86_400;
        let claims = json!({
            "aud": resource,
            "iss": format!("https://login.microsoftonline.com/{TENANT_ID}/v2.0"),
            "sub": PRINCIPAL,
            "oid": PRINCIPAL,
            "appid": IDENTITY,
            "tid": TENANT_ID,
            "exp": ends,
            "ver": "1.0",
        });
        let token = match &self.entra {
            Some(entra) if !resource.starts_with("http") && !resource.starts_with("api:") => {
                let mut claims = entra.access_token_claims();
                claims["oid"] = PRINCIPAL.into();
                entra.sign_id_token(&claims)
            }
            _ => unsigned(&claims),
        };
        Some((
            200,
            json!({ "access_token": token, "expires_on": ends.to_string(), "resource": resource, "token_type": "Bearer" }),
        ))
    }

    fn give_secret(&mut self, request: &Arrived, port: u16) -> Reply {
        let bearer = request.headers.get("authorization").map(|header| header.to_str().unwrap().to_owned());
        let Some(bearer) = bearer else {
            return Some((401, json!({ "error": { "code": "Unauthorized", "message": "AKV10000: no token" } })));
        };
        let claims = bearer.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], VAULT_RESOURCE, "a token for something else came to the vault");
        self.vault_requests.push(request.path.clone());
        let path: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
        let lists = path.last() == Some(&"versions");
        match self.mood.clone() {
            Mood::Silent => return None,
            Mood::Refusing(status, body) => return Some((status, body)),
            Mood::RefusingLists(status, body) if lists => return Some((status, body)),
            Mood::Open | Mood::RefusingLists(..) => {}
        }
        let missing =
            |code: &str, message: String| Some((404, json!({ "error": { "code": code, "message": message } })));
        let (name, versions) = match path.as_slice() {
            ["secrets", name, ..] if self.secrets.contains_key(*name) => (*name, self.secrets[*name].clone()),
            _ => {
                return missing(
                    "SecretNotFound",
                    "A secret with this name was not found in this key vault.".to_owned(),
                );
            }
        };
        if lists {
            let skip = request.query.get("$skiptoken").map_or(0, |skip| skip.parse().unwrap());
            let next = skip + PAGE;
            let host =
                if self.next_page_elsewhere { "vault.evil.example".to_owned() } else { format!("127.0.0.1:{port}") };
            let next_link = (next < versions.len())
                .then(|| format!("https://{host}/secrets/{name}/versions?api-version=1&$skiptoken={next}"));
            let mut listed = versions;
            listed.sort_by(|one, other| one.id.cmp(&other.id));
            let page: Vec<Value> =
                listed.iter().skip(skip).take(PAGE).map(|version| shown(name, version, false)).collect();
            return Some((200, json!({ "value": page, "nextLink": next_link })));
        }
        let version = match path.as_slice() {
            [_, _, id] => versions.into_iter().find(|version| version.id == *id),
            _ => versions.into_iter().max_by_key(|version| version.created),
        };
        let Some(version) = version else { return missing("SecretNotFound", "no such version".to_owned()) };
        if !version.enabled {
            return Some((
                403,
                json!({ "error": { "code": "Forbidden",
                "message": "Operation get is not allowed on a disabled secret.",
                "innererror": { "code": "SecretDisabled" } } }),
            ));
        }
        Some((200, shown(name, &version, true)))
    }
}

/// A version as the vault shows it: with its value, or in a list without.
fn shown(name: &str, version: &Version, with_value: bool) -> Value {
    let Version { id, value, enabled, created, not_before, expires } = version;
    let seconds = |at: &Option<OffsetDateTime>| at.map(OffsetDateTime::unix_timestamp);
    let mut attributes =
        json!({ "enabled": enabled, "created": created.unix_timestamp(), "updated": created.unix_timestamp() });
    for (key, at) in [("nbf", seconds(not_before)), ("exp", seconds(expires))] {
        if let Some(at) = at {
            attributes[key] = at.into();
        }
    }
    let mut shown =
        json!({ "id": format!("https://story.vault.azure.net/secrets/{name}/{id}"), "attributes": attributes });
    if with_value {
        shown["value"] = value.as_str().into();
    }
    shown
}

fn unsigned(claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", encode(&json!({ "alg": "RS256", "typ": "JWT" })), encode(claims))
}
