//! The one HTTP client for every call that leaves this process, but those to the publisher's own software ([`crate::publisher`]),
//! and how Azure's SDK uses it: within bounds, and on the road to a local sign-in server.

mod retry_after;
mod traced;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::redirect::Policy;
use url::Url;

pub use self::retry_after::retry_after;
pub use self::traced::traced;
use crate::settings::is_loopback;

/// How long a connection may take, TLS included. A healthy one in another region takes well under a second; whoever
/// needs more than this is better tried again.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a whole exchange may take, from connecting to the last byte of the body, unless the caller allows less.
/// A backstop: every caller knows its own shorter budget.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// How we introduce ourselves to other servers.
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The host that `azure_identity` asks for tokens unless it is told of another cloud.
const PUBLIC_AUTHORITY_HOST: &str = "login.microsoftonline.com";

/// Makes the HTTP client. Make one and clone it: clones share connections, and each client made reads the machine's
/// certificate store, which costs more than everything else at start-up.
///
/// Redirects are answers, never followed: a redirect would carry a token to a host that nobody checked. The machine's
/// proxy is used, but not for this machine itself: no proxy can reach it.
pub fn client() -> reqwest::Client {
    let machine = Matcher::from_system();
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .user_agent(USER_AGENT)
        .proxy(reqwest::Proxy::custom(move |url| proxy_for(&machine, url)))
        .build()
        .expect("constant options, and a certificate store that every supported platform has")
}

fn proxy_for(machine: &Matcher, url: &Url) -> Option<Url> {
    if is_loopback(url) {
        return None;
    }
    let proxy = machine.intercept(&url.as_str().parse().ok()?)?;
    let mut address = Url::parse(&proxy.uri().to_string()).ok()?;
    if let Some((name, password)) = proxy.basic_auth().and_then(|header| credentials(header.to_str().ok()?)) {
        address.set_username(&name).ok()?;
        address.set_password(Some(&password)).ok()?;
    }
    Some(address)
}

fn credentials(header: &str) -> Option<(String, String)> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// An error and what is under it, outermost first.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| (*cause).source())
}

/// A failure of the HTTP client in the words of its innermost cause. What the client wraps around it names the URL.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let cause = causes(error).filter(|cause| !cause.is::<reqwest::Error>()).last();
    cause.map_or_else(|| "the exchange failed".to_owned(), ToString::to_string)
}

/// The cloud that a credential of Azure's SDK must be told of to ask `authority` for tokens. Always tell it: left alone,
/// the SDK asks the environment for an authority that the settings do not name.
pub(crate) fn cloud(authority: &Url) -> CloudConfiguration {
    if is_local(authority) {
        return CloudConfiguration::AzurePublic;
    }
    let mut sovereign = CustomConfiguration::default();
    authority.as_str().clone_into(&mut sovereign.authority_host);
    sovereign.into()
}

/// The transport for Azure's SDK: `http` itself, but for an authority that is plain http on this machine.
///
/// `azure_identity` insists on https and drops the path of an authority. For a local authority the requests it makes for
/// the public cloud ([`cloud`]) are therefore sent to the local one, path in front, and requests for any other host are refused:
/// nothing meant for a local sign-in server can reach the real one.
pub(crate) fn loopback_transport(http: reqwest::Client, authority: &Url) -> Arc<dyn HttpClient> {
    let http = traced(Arc::new(http), "Entra", "token");
    if is_local(authority) {
        return Arc::new(Loopback { http, authority: authority.clone() });
    }
    http
}

fn is_local(authority: &Url) -> bool {
    authority.scheme() == "http" && is_loopback(authority)
}

#[derive(Debug)]
struct Loopback {
    http: Arc<dyn HttpClient>,
    authority: Url,
}

impl Loopback {
    fn local(&self, url: &Url) -> Option<Url> {
        if url.host_str() != Some(PUBLIC_AUTHORITY_HOST) {
            return None;
        }
        let mut local = self.authority.clone();
        local.set_path(&format!("{}{}", self.authority.path().trim_end_matches('/'), url.path()));
        local.set_query(url.query());
        Some(local)
    }
}

#[async_trait::async_trait]
impl HttpClient for Loopback {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Some(local) = self.local(request.url()) else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "a local authority serves no other host"));
        };
        let mut request = request.clone();
        *request.url_mut() = local;
        self.http.execute_request(&request).await
    }
}

/// The client as a transport for Azure's SDK: each exchange ends in time, each answer has a bound, and no error holds a
/// URL, because a shared access signature is part of one.
#[derive(Debug)]
pub(crate) struct Bounded {
    http: reqwest::Client,
    patience: Duration,
    limit: usize,
}

impl Bounded {
    /// `patience` for one exchange from connecting to the last byte; `limit` for the answer's body, in bytes.
    pub(crate) fn new(http: reqwest::Client, patience: Duration, limit: usize) -> Self {
        Self { http, patience, limit }
    }

    async fn exchange(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.http.execute_request(request).await.map_err(|error| without_url(&error))?;
        let (status, headers, mut stream) = answer.deconstruct();
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            body.extend_from_slice(&chunk.map_err(|error| without_url(&error))?);
            if body.len() > self.limit {
                let sentence = format!("the answer is larger than {} bytes", self.limit);
                return Err(azure_core::Error::with_message(ErrorKind::Other, sentence));
            }
        }
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

#[async_trait::async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        // Of the kind that the SDK tries again.
        let late = || azure_core::Error::with_message(ErrorKind::Io, format!("no answer within {:?}", self.patience));
        tokio::time::timeout(self.patience, self.exchange(request)).await.unwrap_or_else(|_| Err(late()))
    }
}

/// The same failure in the words of its innermost cause. What reqwest wraps around it names the URL.
fn without_url(error: &azure_core::Error) -> azure_core::Error {
    let innermost =
        causes(error).filter(|cause| !cause.is::<reqwest::Error>() && !cause.is::<azure_core::Error>()).last();
    let words = innermost.map_or_else(|| "the exchange failed".to_owned(), ToString::to_string);
    azure_core::Error::with_message(error.kind().clone(), words)
}

/// A transport that reaches one server and no other: whatever address an answer names, no token goes elsewhere.
///
/// Azure's SDK sends tokens over https alone. For a server that is plain http on this machine it is therefore told of
/// https ([`OneServer::address`]), and its requests are sent over http.
#[derive(Debug)]
pub(crate) struct OneServer {
    transport: Bounded,
    server: Url,
}

impl OneServer {
    /// `server` over https, or over http on this machine.
    pub(crate) fn new(transport: Bounded, server: &Url) -> Self {
        Self { transport, server: server.clone() }
    }

    /// The address that the SDK must be told.
    pub(crate) fn address(&self) -> Url {
        let mut address = self.server.clone();
        let port = address.port_or_known_default();
        let told = address.set_scheme("https").and_then(|()| address.set_port(port));
        told.expect("the settings accept http and https alone, and both have hosts");
        address
    }
}

#[async_trait::async_trait]
impl HttpClient for OneServer {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        if request.url().origin() != self.address().origin() {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "an answer names another server"));
        }
        let mut request = request.clone();
        let url = request.url_mut();
        let (scheme, port) = (self.server.scheme(), self.server.port());
        url.set_scheme(scheme).and_then(|()| url.set_port(port)).expect("as above");
        self.transport.execute_request(&request).await
    }
}
