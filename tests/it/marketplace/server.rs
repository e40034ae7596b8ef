//! The server that the stories talk to: marketplace and Entra in one, on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::error::Fault;
use marketplace_fulfillment::marketplace::{CallError, Marketplace, Proof};
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::rotating::Rotating;
use marketplace_fulfillment::settings::{Credential, MarketplaceSettings, Secret, Source};
use marketplace_fulfillment::subscription::SubscriptionId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;
use warp::Filter as _;
use warp::http::{HeaderMap, Method, Response, StatusCode};
use warp::hyper::body::Bytes;

use crate::wire::fixture;

pub(crate) const TENANT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub(crate) const CLIENT: &str = "bbbbbbbb-0000-4000-8000-000000000002";
pub(crate) const SECRET: &str = "s3cret~value";
pub(crate) const BEARER: &str = "app-token-of-the-publisher";
pub(crate) const PURCHASE_TOKEN: &str = "pt+/ABC==";
pub(crate) const SUBSCRIPTION: &str = "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0002";
pub(crate) const OPERATION: &str = "38db241d-1777-43b5-ab7d-4bfbcd390001";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Arrived {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}?{}", self.method, self.path, self.query)
    }
}

/// A server that plays marketplace and Entra, and remembers what arrived.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Server {
    /// Answers token requests with [`BEARER`] and everything else with `answer`.
    pub(crate) async fn start(answer: impl Fn(&Arrived) -> Response<String> + Clone + Send + Sync + 'static) -> Self {
        Self::start_whole(move |request| if is_token_request(request) { token() } else { answer(request) }).await
    }

    /// Answers everything with `answer`.
    pub(crate) async fn start_whole(
        answer: impl Fn(&Arrived) -> Response<String> + Clone + Send + Sync + 'static,
    ) -> Self {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&arrived);
        let query = warp::query::raw().or_else(|_| async { Ok::<_, warp::Rejection>((String::new(),)) });
        let routes = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map(move |method, path: warp::path::FullPath, query, headers, body: Bytes| {
                let path = path.as_str().to_owned();
                let request = Arrived { method, path, query, headers, body: body.to_vec() };
                seen.lock().unwrap().push(request.clone());
                answer(&request)
            });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the server lives beside its test and ends with its runtime")]
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { address, arrived }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    pub(crate) fn settings(&self) -> MarketplaceSettings {
        settings(self.address)
    }

    pub(crate) fn client(&self) -> Marketplace {
        client(&self.settings()).unwrap()
    }

    /// The requests that were not for a token.
    pub(crate) fn calls(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().iter().filter(|request| !is_token_request(request)).cloned().collect()
    }

    pub(crate) fn call(&self) -> Arrived {
        self.calls().pop().expect("a call arrived")
    }

    pub(crate) fn token_requests(&self) -> usize {
        self.arrived.lock().unwrap().iter().filter(|request| is_token_request(request)).count()
    }
}

/// A client of these settings that proves itself with [`SECRET`].
pub(crate) fn client(settings: &MarketplaceSettings) -> Result<Marketplace, Fault> {
    let secret = Rotating::given("MARKETPLACE_CLIENT_SECRET", Secret::new(SECRET), None);
    Marketplace::new(settings, Proof::Secret(secret), Clock::System, outbound::client())
}

pub(crate) fn settings(address: SocketAddr) -> MarketplaceSettings {
    MarketplaceSettings {
        api_url: Url::parse(&format!("http://{address}/api")).unwrap(),
        api_hosts: vec![address.to_string()],
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        credential: Credential::Secret(Source::Given(Secret::new(SECRET))),
        authority: Url::parse(&format!("http://{address}/entra")).unwrap(),
    }
}

pub(crate) fn is_token_request(request: &Arrived) -> bool {
    request.path.ends_with("/oauth2/v2.0/token")
}

pub(crate) fn token() -> Response<String> {
    json_answer(200, &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": BEARER }))
}

pub(crate) fn answer(status: u16, body: impl Into<String>) -> Response<String> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

pub(crate) fn json_answer(status: u16, body: &Value) -> Response<String> {
    with(answer(status, body.to_string()), "content-type", "application/json; charset=utf-8")
}

pub(crate) fn with(mut answer: Response<String>, name: &'static str, value: &str) -> Response<String> {
    answer.headers_mut().insert(name, value.parse().unwrap());
    answer
}

pub(crate) fn id() -> SubscriptionId {
    SubscriptionId::parse(SUBSCRIPTION).unwrap()
}

/// The error with which Get Subscription ends when the marketplace gives this answer.
pub(crate) async fn get_answered(response: fn() -> Response<String>) -> CallError {
    let server = Server::start(move |_| response()).await;
    server.client().get_subscription(&id()).await.unwrap_err()
}

/// Plays each operation's documented answer.
pub(crate) fn documented(request: &Arrived) -> Response<String> {
    let operation = format!("/api/saas/subscriptions/{SUBSCRIPTION}/operations/{OPERATION}");
    let tail = request.path.strip_prefix("/api/saas/subscriptions").unwrap_or(&request.path).to_owned();
    let tail = tail.replace(SUBSCRIPTION, "{id}").replace(OPERATION, "{op}");
    match (request.method.as_str(), tail.as_str()) {
        ("POST", "/resolve") => json_answer(200, &fixture("resolve.json")),
        ("POST", "/{id}/activate") | ("PATCH", "/{id}/operations/{op}") => answer(200, ""),
        ("GET", "/{id}") => json_answer(200, &fixture("subscription.json")),
        ("GET", "") => json_answer(200, &json!({ "subscriptions": [fixture("subscription.json")] })),
        ("GET", "/{id}/listAvailablePlans") => json_answer(200, &fixture("plans.json")),
        ("PATCH" | "DELETE", "/{id}") => {
            let location = format!("http://{}{operation}?api-version=2018-08-31", request.header("host").unwrap());
            with(with(answer(202, ""), "operation-location", &location), "retry-after", "10")
        }
        ("GET", "/{id}/operations") => json_answer(200, &fixture("operations.json")),
        ("GET", "/{id}/operations/{op}") => json_answer(200, &fixture("operation.json")),
        _ => json_answer(500, &json!({ "message": format!("{} was not expected", request.line()) })),
    }
}
