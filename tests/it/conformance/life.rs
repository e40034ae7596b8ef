//! A rich life of many subscriptions: what the program asks while it lives with them, and what anybody may ask in every
//! state, rightly and wrongly.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;

use super::recorder::{Exchange, Recorder};
use crate::subscriptions::publisher::Publisher;
use crate::world::{REPAIR, World};

/// An id that nothing has.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// The program refuses to sell more seats than this, so that it has something to refuse.
const POLICY: (&str, &str) = ("CHANGE_POLICY", r#"{"seatLimits":[{"plan":"silver","min":1,"max":50}]}"#);

/// The query that every call needs.
const VERSION: &str = "api-version=2018-08-31";

/// A world whose marketplace is reached through two recorders.
pub(super) struct Life {
    world: World,
    /// What the program asks passes here.
    program: Recorder,
    /// What the story asks for itself passes here: any of it may be wrong.
    stranger: Recorder,
    bearer: String,
}

impl Life {
    /// Lives through everything under one of the simulator's profiles. Answers what the program asked, and what the story
    /// asked.
    pub(super) async fn lived(profile: &str) -> [Vec<Exchange>; 2] {
        let (program, stranger) = (Recorder::open().await, Recorder::open().await);
        let api = program.url.join("api").unwrap();
        let hosts = format!("{}:{}", program.url.host_str().unwrap(), program.url.port().unwrap());
        let ours = [("MARKETPLACE_API_URL", api.as_str()), ("MARKETPLACE_API_HOSTS", hosts.as_str())];
        let world = World::in_memory(&[&ours[..], &[POLICY], REPAIR].concat()).await;
        for recorder in [&program, &stranger] {
            recorder.stand_before(&world.dev.simulator_url);
        }
        let simulator = &world.dev.simulator;
        let bearer = simulator.sign_id_token(&simulator.access_token_claims());
        let life = Self { world, program, stranger, bearer };
        life.behave(profile, json!({})).await;
        life.buy_and_order().await;
        life.customers_change_their_minds().await;
        life.ask_in_every_state(profile).await;
        life.ask_wrongly(profile).await;
        life.world.settle().await;
        [life.program.exchanges(), life.stranger.exchanges()]
    }

    /// How the marketplace behaves from now on. A page of the list holds two.
    async fn behave(&self, profile: &str, more: Value) {
        let mut faults = json!({ "profile": profile, "partitionSize": 2 });
        faults.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.world.faults(faults).await;
    }

    async fn bought(&self, order: Value) -> String {
        let mut whole = json!({ "offerId": "contoso-offer", "planId": "silver" });
        whole.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
        if whole["planId"] != "bronze" && whole["quantity"].is_null() {
            whole["quantity"] = json!(5);
        }
        self.world.purchase(whole).await.id.as_str().to_owned()
    }

    async fn active(&self) -> String {
        self.bought(json!({ "autoActivate": true })).await
    }

    async fn deed(&self, id: &str, deed: &str, body: Value) -> String {
        let done = self.world.simulator("POST", &format!("/simulator/subscriptions/{id}/{deed}"), &body).await;
        done["operationId"].as_str().unwrap().to_owned()
    }

    /// Purchases of every kind, and what the publisher orders.
    async fn buy_and_order(&self) {
        let (world, publisher) = (&self.world, Publisher::new(&self.world));
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        for order in [
            json!({ "planId": "bronze", "offerId": "contoso-offer-preview" }),
            json!({ "planId": "gold", "quantity": 3, "autoActivate": true, "privateOffer": true, "termUnit": "P1Y" }),
            json!({ "planId": "bronze", "autoActivate": true, "freeTrial": "P1M" }),
            json!({ "purchaser": "stranger", "autoActivate": true }),
            json!({ "beneficiary": "personal", "purchaser": "personal", "autoActivate": true, "autoRenew": false }),
            json!({ "beneficiary": { "tenantId": "5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911" }, "autoActivate": true }),
        ] {
            let id = self.bought(order).await;
            publisher.post(&format!("/{id}/resync")).await;
        }
        world.settle().await;
        let id = &purchase.id;
        for order in [json!({ "planId": "gold" }), json!({ "quantity": 12 })] {
            publisher.get(&format!("/{id}/plans")).await;
            publisher.patch(&format!("/{id}"), &order).await.assert_accepted("change");
            world.idle().await;
            publisher.get(&format!("/{id}/operations")).await;
            world.settle().await;
        }
        publisher.post("/reconcile").await;
        world.settle().await;
        publisher.delete(&format!("/{id}")).await.assert_accepted("cancel");
        world.settle().await;
    }

    /// What customers and Microsoft do, which the program hears of, looks at and answers.
    async fn customers_change_their_minds(&self) {
        let purchase = self.world.silver().await;
        self.world.confirmed(&purchase).await;
        self.world.settle().await;
        for (deed, body) in [
            ("change-plan", json!({ "planId": "gold" })),
            ("change-plan", json!({ "planId": "silver" })),
            ("change-quantity", json!({ "quantity": 7 })),
            ("change-quantity", json!({ "quantity": 70 })),
            ("suspend", json!({})),
            ("reinstate", json!({})),
            ("renew", json!({})),
            ("transfer", json!({})),
            ("unsubscribe", json!({})),
        ] {
            self.deed(purchase.id.as_str(), deed, body).await;
            self.world.settle().await;
        }
    }

    /// One call by the story; `path` is what follows `/saas/subscriptions`, with its query.
    async fn ask(&self, method: Method, path: &str, body: Option<&str>) -> (u16, Value) {
        let mark = if path.contains('?') { '&' } else { '?' };
        self.ask_as(Some(&self.bearer), method, &format!("{path}{mark}{VERSION}"), body, None).await
    }

    async fn ask_as(
        &self,
        bearer: Option<&str>,
        method: Method,
        path: &str,
        body: Option<&str>,
        token: Option<&str>,
    ) -> (u16, Value) {
        let url = self.stranger.url.join(&format!("/api/saas/subscriptions{path}")).unwrap();
        let mut request = self.world.http.request(method, url);
        request = bearer.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        request = token.into_iter().fold(request, |request, token| request.header("x-ms-marketplace-token", token));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Every operation at subscriptions in every state, with nobody else about. Changes come last.
    async fn ask_in_every_state(&self, profile: &str) {
        self.world.dev.simulator.pause_webhooks(true);
        let (pending, active) = (self.bought(json!({})).await, self.active().await);
        let (suspended, cancelled) = (self.active().await, self.active().await);
        self.deed(&suspended, "suspend", json!({})).await;
        self.deed(&cancelled, "unsubscribe", json!({})).await;
        let all = [pending.as_str(), &active, &suspended, &cancelled, NOBODY];
        for id in all {
            for path in ["", "/listAvailablePlans", "/listAvailablePlans?planId=silver", "/operations"] {
                self.ask(Method::GET, &format!("/{id}{path}"), None).await;
            }
            self.ask(Method::GET, &format!("/{id}/operations/{NOBODY}"), None).await;
            self.ask(Method::PATCH, &format!("/{id}/operations/{NOBODY}"), Some(r#"{"status":"Success"}"#)).await;
        }
        for id in all {
            self.ask(Method::POST, &format!("/{id}/activate"), None).await;
            self.ask(Method::POST, &format!("/{id}/activate"), Some(r#"{"planId":"silver","quantity":5}"#)).await;
            for change in
                ["{}", "[", r#"{"planId":"gold","quantity":6}"#, r#"{"planId":"tin"}"#, r#"{"quantity":5000}"#]
            {
                self.ask(Method::PATCH, &format!("/{id}"), Some(change)).await;
            }
        }
        self.ask_about_operations(&active, profile).await;
        for id in all {
            for _ in 0..2 {
                self.ask(Method::DELETE, &format!("/{id}"), None).await;
                self.world.dev.simulator.advance(Duration::minutes(1)).unwrap();
            }
        }
        self.world.dev.simulator.pause_webhooks(false);
        self.world.settle().await;
    }

    /// An active subscription through all that its operations can become.
    async fn ask_about_operations(&self, id: &str, profile: &str) {
        let (success, failure) = (r#"{"status":"Success"}"#, r#"{"status":"Failure"}"#);
        for (verdict, plan) in [(failure, "gold"), ("{}", "gold"), (success, "silver")] {
            let path = format!("/{id}/operations/{}", self.deed(id, "change-plan", json!({ "planId": plan })).await);
            self.ask(Method::GET, &format!("/{id}/operations"), None).await;
            assert_eq!(self.ask(Method::PATCH, &format!("/{id}"), Some(r#"{"quantity":9}"#)).await.0, 400, "locked");
            assert_eq!(self.ask(Method::DELETE, &format!("/{id}"), None).await.0, 409, "locked");
            self.ask(Method::PATCH, &path, Some("[")).await;
            assert_eq!(self.ask(Method::PATCH, &path, Some(verdict)).await.0, 200);
            self.ask(Method::PATCH, &path, Some(success)).await;
            assert_eq!(self.ask(Method::PATCH, &path, Some(success)).await.0, 409, "it has ended");
            self.ask(Method::GET, &path, None).await;
        }
        assert_eq!(self.ask(Method::PATCH, &format!("/{id}"), Some(r#"{"quantity":9}"#)).await.0, 202);
        self.world.dev.simulator.advance(Duration::seconds(2)).unwrap();
        let (_, outstanding) = self.ask(Method::GET, &format!("/{id}/operations"), None).await;
        let own = format!("/{id}/operations/{}", outstanding["operations"][0]["id"].as_str().unwrap());
        let (status, _) = self.ask(Method::PATCH, &own, Some(success)).await;
        assert_eq!(status, if profile == "observed" { 500 } else { 200 }, "our own operation needs no answer");
        self.world.dev.simulator.advance(Duration::minutes(1)).unwrap();
        for (deed, ends) in [("suspend", false), ("reinstate", true), ("renew", false), ("transfer", false)] {
            let path = format!("/{id}/operations/{}", self.deed(id, deed, json!({})).await);
            self.ask(Method::GET, &path, None).await;
            if ends {
                self.ask(Method::PATCH, &path, Some(success)).await;
            }
        }
        let known = self.world.simulator("GET", &format!("/simulator/subscriptions/{id}"), &Value::Null).await;
        for operation in known["operations"].as_array().unwrap() {
            self.ask(Method::GET, &format!("/{id}/operations/{}", operation["id"].as_str().unwrap()), None).await;
        }
    }

    /// What is wrong with the request itself, at every operation; tokens of purchases; the list to its end.
    async fn ask_wrongly(&self, profile: &str) {
        let id = self.active().await;
        let calls = [
            (Method::POST, "/resolve".to_owned(), None),
            (Method::GET, String::new(), None),
            (Method::GET, format!("/{id}"), None),
            (Method::PATCH, format!("/{id}"), Some(r#"{"planId":"gold"}"#)),
            (Method::DELETE, format!("/{id}"), None),
            (Method::GET, format!("/{id}/listAvailablePlans"), None),
            (Method::POST, format!("/{id}/activate"), None),
            (Method::GET, format!("/{id}/operations"), None),
            (Method::GET, format!("/{id}/operations/{NOBODY}"), None),
            (Method::PATCH, format!("/{id}/operations/{NOBODY}"), Some(r#"{"status":"Success"}"#)),
        ];
        let foreign = self.world.dev.simulator.sign_id_token(&json!({ "aud": "somebody else" }));
        for denied in [false, true] {
            self.behave(profile, json!({ "denied401": denied })).await;
            let status = if denied { 401 } else { 403 };
            for (method, path, body) in &calls {
                let path = format!("{path}?{VERSION}");
                for bearer in [None, Some("nonsense"), Some(foreign.as_str())] {
                    assert_eq!(
                        self.ask_as(bearer, method.clone(), &path, *body, None).await.0,
                        status,
                        "{method} {path}"
                    );
                }
            }
        }
        for (method, path, body) in &calls {
            for query in ["", "?api-version=2017-04-15"] {
                let path = format!("{path}{query}");
                assert_eq!(self.ask_as(Some(&self.bearer), method.clone(), &path, *body, None).await.0, 400, "{path}");
            }
        }
        for status in ["429", "500", "503"] {
            let rule = json!({ "operation": "get-subscription", "times": 1, "answer": status, "retryAfter": 1 });
            self.behave(profile, json!({ "rules": [rule] })).await;
            assert_eq!(self.ask(Method::GET, &format!("/{id}"), None).await.0.to_string(), status);
        }
        self.behave(profile, json!({})).await;
        self.resolve_tokens().await;
        self.turn_every_page().await;
    }

    async fn resolve_tokens(&self) {
        let token = self.world.silver().await.token;
        let resolve = async |token: Option<&str>| {
            self.ask_as(Some(&self.bearer), Method::POST, &format!("/resolve?{VERSION}"), None, token).await.0
        };
        assert_eq!(
            [resolve(Some(&token)).await, resolve(Some("nonsense")).await, resolve(None).await],
            [200, 400, 400]
        );
        self.world.dev.simulator.advance(Duration::hours(25)).unwrap();
        assert_eq!(resolve(Some(&token)).await, 400, "it has expired");
    }

    async fn turn_every_page(&self) {
        let (mut pages, mut next) = (0, Some(String::new()));
        while let Some(query) = next {
            let (status, page) = self.ask(Method::GET, &query, None).await;
            assert_eq!(status, 200);
            let link = page["@nextLink"].as_str().and_then(|link| url::Url::parse(link).ok());
            let fields: BTreeMap<_, _> = link.iter().flat_map(|link| link.query_pairs().into_owned()).collect();
            next = fields.get("continuationToken").map(|token| {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                format!("/?{}", query.append_pair("continuationToken", token).finish())
            });
            pages += 1;
        }
        assert!(pages > 3, "{pages}");
        assert_eq!(self.ask(Method::GET, "/?continuationToken=nonsense", None).await.0, 400);
    }
}
