//! The simulated marketplace, over loopback HTTP: it must be as strict and as odd as the real one, or nothing that is
//! tested against it is tested.

use std::collections::BTreeSet;
use std::time::Duration as Wait;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::simulator::{
    Answer, CLIENT_ID, CLIENT_SECRET, Call, Deed, Effect, Faults, Form, Options, PERSONAL_TENANT, Profile, Purchase,
    RESOURCE_ID, RETRY_EVERY, Rule, SIGNIN_CLIENT_ID, Signature, Simulator, TENANT_ID, TRIES, TermUnit, Trial,
    Webhooks, Who, person,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use url::Url;

mod api;
mod change;
mod credentials;
mod entra;
mod faults;
mod lifecycle;
mod publisher;
mod relay;
mod webhooks;
mod withheld;

use publisher::Publisher;

/// When every story begins.
const START: OffsetDateTime = datetime!(2026-01-31 09:30 UTC);

/// An id that nothing has.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A running simulator and somebody who calls it. Ends with the test.
struct Market {
    simulator: Simulator,
    client: Client,
    base: String,
    second: String,
    bearer: String,
    clock: Clock,
    publisher: Publisher,
}

impl Market {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (base, second) = (format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}"));
        let (clock, publisher) = (Clock::manual(START), Publisher::open().await);
        let simulator = Simulator::new(Options {
            clock: clock.clone(),
            seed: 7,
            base_url: Url::parse(&base).unwrap(),
            second_base_url: Url::parse(&second).unwrap(),
            landing_url: Url::parse("http://127.0.0.1:7071/api/landing").unwrap(),
            webhook_url: publisher.url.clone(),
        });
        #[expect(clippy::disallowed_methods, reason = "the server of this test, which ends with the test's runtime")]
        tokio::spawn(simulator.clone().serve(listener));
        let client = Client::builder().no_proxy().timeout(Wait::from_secs(20)).build().unwrap();
        let bearer = simulator.sign_id_token(&simulator.access_token_claims());
        Self { simulator, client, base, second, bearer, clock, publisher }
    }

    /// A call of the fulfillment API; `path` is what follows `/saas/subscriptions`.
    fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let mark = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}/api/saas/subscriptions{path}{mark}api-version=2018-08-31", self.base);
        self.client.request(method, url).bearer_auth(&self.bearer)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.api(Method::GET, path).send().await.unwrap()).await
    }

    async fn post(&self, path: &str) -> (StatusCode, Value) {
        read(self.api(Method::POST, path).send().await.unwrap()).await
    }

    async fn patch(&self, path: &str, body: Value) -> Response {
        self.api(Method::PATCH, path).json(&body).send().await.unwrap()
    }

    async fn resolve(&self, token: &str) -> (StatusCode, Value) {
        let request = self.api(Method::POST, "/resolve").header("x-ms-marketplace-token", token);
        read(request.send().await.unwrap()).await
    }

    /// A call of the simulator's own; `path` begins with `/simulator` or `/entra`.
    async fn control(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        read(self.client.request(method, format!("{}{path}", self.base)).body(body).send().await.unwrap()).await
    }

    /// A subscription that is active: silver with five seats.
    async fn active(&self) -> String {
        let id = self.simulator.purchase(&Purchase::of("silver", Some(5))).unwrap().subscription_id;
        assert_eq!(self.post(&format!("/{id}/activate")).await.0, 200);
        self.later(2);
        id
    }

    fn later(&self, seconds: i64) {
        self.simulator.advance(Duration::seconds(seconds)).unwrap();
    }

    /// The simulator's clock moves, and the publisher hears of what is then due.
    async fn pass(&self, seconds: i64) {
        self.later(seconds);
        self.idle().await;
    }

    async fn idle(&self) {
        let idle = self.simulator.idle();
        tokio::time::timeout(Wait::from_secs(30), idle).await.expect("webhooks under way arrive");
    }

    /// The customer's side does something, and the publisher hears of it. Answers the operation's id.
    async fn act(&self, id: &str, deed: Deed) -> String {
        let operation = self.simulator.act(id, &deed).unwrap();
        self.idle().await;
        operation
    }

    fn webhooks(&self, webhooks: Webhooks) {
        self.simulator.set_faults(Faults { webhooks, ..Faults::default() }).unwrap();
    }

    /// An operation as the simulator's own calls show it.
    fn operation(&self, id: &str, operation: &str) -> Value {
        let shown = self.simulator.subscription(id).unwrap()["operations"].as_array().unwrap().clone();
        shown.into_iter().find(|one| one["id"] == operation).unwrap_or_default()
    }

    async fn answer(&self, id: &str, operation: &str, word: &str) -> StatusCode {
        self.patch(&format!("/{id}/operations/{operation}"), json!({ "status": word })).await.status()
    }

    fn status(&self, id: &str) -> String {
        self.simulator.subscription(id).unwrap()["saasSubscriptionStatus"].as_str().unwrap().to_owned()
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let url = format!("{}/entra/{TENANT_ID}/oauth2/v2.0/token", self.base);
        read(self.client.post(url).form(fields).send().await.unwrap()).await
    }

    /// The claims of an id token, if the published keys and a strict verifier accept it.
    async fn verify(&self, token: &str) -> Option<Value> {
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let (_, keys) = self.control(Method::GET, "/entra/common/discovery/v2.0/keys", "").await;
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str())?.clone();
        assert_eq!(key["issuer"], format!("{}/entra/{{tenantid}}/v2.0", self.second));
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[SIGNIN_CLIENT_ID]);
        rules.validate_exp = false;
        let key = DecodingKey::from_jwk(&serde_json::from_value::<Jwk>(key).unwrap()).unwrap();
        Some(jsonwebtoken::decode::<Value>(token, &key, &rules).ok()?.claims)
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.bytes().await.unwrap();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_purchase_that_cannot_be_is_refused_with_its_reason() {
    let market = Market::open().await;
    let cases = [
        (json!({ "offerId": "other", "planId": "gold", "quantity": 1 }), "UnknownOffer", "contoso-offer"),
        (json!({ "offerId": "contoso-offer", "planId": "tin" }), "UnknownPlan", "bronze"),
        (json!({ "offerId": "contoso-offer", "planId": "gold" }), "QuantityRequired", "per seat"),
        (json!({ "offerId": "contoso-offer", "planId": "gold", "quantity": 0 }), "QuantityOutOfRange", "1 to 1000"),
        (json!({ "offerId": "contoso-offer", "planId": "gold", "quantity": 1001 }), "QuantityOutOfRange", "1 to 1000"),
        (json!({ "offerId": "contoso-offer", "planId": "bronze", "quantity": 1 }), "QuantityNotAllowed", "flat"),
        (json!({ "offerId": "contoso-offer" }), "InvalidBody", "planId"),
        (json!({ "offerId": "contoso-offer", "planId": "bronze", "seats": 1 }), "InvalidBody", "seats"),
        (json!({ "offerId": "contoso-offer", "planId": "bronze", "purchaser": "nobody" }), "InvalidBody", "stranger"),
        (json!({ "offerId": "contoso-offer", "planId": "bronze", "purchaser": { "mail": "" } }), "InvalidBody", "mail"),
        (json!({ "offerId": "contoso-offer", "planId": "bronze", "name": "" }), "InvalidName", "name"),
        (json!("gold"), "InvalidBody", "expected"),
    ];
    for (order, code, reason) in cases {
        let (status, refusal) = market.control(Method::POST, "/simulator/purchases", order.to_string()).await;
        assert_eq!((status.as_u16(), &refusal["error"]["code"]), (400, &json!(code)), "{order}");
        assert!(refusal["error"]["message"].as_str().unwrap().contains(reason), "{refusal}");
    }
    let (status, refusal) = market.control(Method::POST, "/simulator/purchases", "{\"offerId\":").await;
    assert_eq!((status.as_u16(), &refusal["error"]["code"]), (400, &json!("InvalidBody")));
    let (status, _) = market.control(Method::POST, "/simulator/purchases", vec![b' '; 70_000]).await;
    assert_eq!(status, 413);
    assert!(market.simulator.subscriptions().is_empty());
}

#[tokio::test]
async fn parties_are_people_or_particulars_and_a_reseller_leaves_the_publisher_read_only() {
    let market = Market::open().await;
    let order = json!({
        "offerId": "contoso-offer", "planId": "silver", "quantity": 2, "autoActivate": true, "purchaser": "stranger",
        "beneficiary": { "emailId": "ada@tailspin.example", "objectId": NOBODY, "tenantId": NOBODY, "puid": "1" },
    });
    let (_, bought) = market.control(Method::POST, "/simulator/purchases", order.to_string()).await;
    let id = bought["subscriptionId"].as_str().unwrap();
    let (_, shown) = market.get(&format!("/{id}")).await;
    assert_eq!(shown["beneficiary"]["emailId"], "ada@tailspin.example");
    assert_eq!(shown["purchaser"]["emailId"], "stranger@northwind.example");
    assert_eq!(shown["allowedCustomerOperations"], json!(["Read"]));
    assert_eq!(shown["saasSubscriptionStatus"], "Subscribed", "activated by itself");
    assert_eq!(market.simulator.subscription(id).unwrap()["operations"][0]["action"], "Subscribe");
    assert_eq!(market.patch(&format!("/{id}"), json!({ "quantity": 3 })).await.status(), 400);
    assert_eq!(market.api(Method::DELETE, &format!("/{id}")).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn forgetting_leaves_an_empty_marketplace() {
    let market = Market::open().await;
    let before = market.simulator.now();
    let id = market.active().await;
    market.simulator.set_faults(Faults { activation_fails: true, ..Faults::default() }).unwrap();
    let (status, _) = market.control(Method::DELETE, "/simulator", "").await;
    assert_eq!(status, 204);
    assert_eq!(market.control(Method::GET, "/simulator/subscriptions", "").await.1, json!({ "subscriptions": [] }));
    let (status, refusal) = market.control(Method::GET, &format!("/simulator/subscriptions/{id}"), "").await;
    assert_eq!((status.as_u16(), &refusal["error"]["code"]), (404, &json!("NotFound")));
    assert_eq!((market.simulator.now(), market.simulator.faults()), (before, Faults::default()));
    assert_eq!(market.simulator.calls(Call::Activate), 0);
}

#[tokio::test]
async fn addresses_that_do_not_exist_are_404_in_json() {
    let market = Market::open().await;
    for (method, path) in [
        (Method::GET, "/nothing"),
        (Method::POST, "/"),
        (Method::GET, "/api/saas/subscriptions/a/b/c/d/e"),
        (Method::PUT, "/api/saas/subscriptions/resolve"),
        (Method::GET, "/entra/common/nothing"),
        (Method::GET, "/simulator/nothing"),
        (Method::POST, "/simulator/faults"),
    ] {
        let (status, refusal) = market.control(method, path, "").await;
        assert!(status == 404 && refusal["error"]["message"].is_string(), "{path}: {status} {refusal}");
    }
}

#[tokio::test]
async fn the_page_for_people_offers_every_plan_and_person() {
    let market = Market::open().await;
    let page = market.client.get(&market.base).send().await.unwrap().text().await.unwrap();
    for word in ["bronze", "silver", "gold", "buyer", "colleague", "stranger", "personal", "Configure account now"] {
        assert!(page.contains(word), "{word}");
    }
    market
        .simulator
        .purchase(&Purchase { beneficiary: Who::named("personal").unwrap(), ..Purchase::of("gold", Some(3)) })
        .unwrap();
    market.simulator.purchase(&Purchase::of("bronze", None)).unwrap();
    let (_, newest) = market.control(Method::GET, "/simulator/subscriptions?last=1", "").await;
    assert_eq!(newest["subscriptions"].as_array().unwrap().len(), 1);
}
