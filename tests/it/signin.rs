//! Stories of sign-in and of the confirm form: whom the app believes, and what it says to the others.

use marketplace_fulfillment::dev::simulator::{PEOPLE, Signature, person};
use reqwest::Method;
use serde_json::{Value, json};
use time::Duration;
use url::Url;

use crate::visitor::{SigninAnswer, Visitor};
use crate::world::{Purchase, World, story};

/// Changes the claims of a good token, and says how to sign them.
type Forgery = Box<dyn Fn(&mut Value) -> Signature>;

/// A visitor stands on Entra's page: the authorize URL, and the nonce in it.
async fn at_entra(world: &World, purchase: &Purchase) -> (Visitor, Url, String) {
    let visitor = world.visitor();
    let authorize = visitor.goto(&purchase.landing_url).await.location().expect("a redirect to Entra");
    let nonce = authorize.query_pairs().find(|(key, _)| key == "nonce").unwrap().1.into_owned();
    (visitor, authorize, nonce)
}

/// Entra's answer with another token in it.
fn with_token(answer: &SigninAnswer, token: &str) -> SigninAnswer {
    let state = answer.fields.iter().find(|(name, _)| name == "state").unwrap().clone();
    SigninAnswer { action: answer.action.clone(), fields: vec![("id_token".to_owned(), token.to_owned()), state] }
}

#[tokio::test]
async fn forged_tokens_are_refused_each_with_its_page() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = person("buyer").unwrap();
        let now = world.now().unix_timestamp();
        let change = |key: &'static str, value: Value| {
            move |claims: &mut Value| {
                claims[key] = value.clone();
                Signature::Good
            }
        };
        let without = |key: &'static str| {
            move |claims: &mut Value| {
                claims.as_object_mut().unwrap().remove(key);
                Signature::Good
            }
        };
        let forgeries: Vec<(&str, Forgery)> = vec![
            ("foreign key", Box::new(|_| Signature::ForeignKey)),
            ("unpublished key", Box::new(|_| Signature::UnpublishedKey)),
            ("unsigned", Box::new(|_| Signature::None)),
            ("HMAC with the public key", Box::new(|_| Signature::HmacWithPublicKey)),
            ("expired", Box::new(change("exp", json!(now - 3_600)))),
            ("not yet valid", Box::new(change("nbf", json!(now + 3_600)))),
            ("for another application", Box::new(change("aud", json!("11111111-1111-1111-1111-111111111111")))),
            ("another nonce", Box::new(change("nonce", json!("another")))),
            ("another issuer", Box::new(change("iss", json!("https://login.example/x/v2.0")))),
            ("another tenant than the issuer's", Box::new(change("tid", json!(PEOPLE[2].tenant_id)))),
            ("no aud", Box::new(without("aud"))),
            ("no exp", Box::new(without("exp"))),
            ("no nonce", Box::new(without("nonce"))),
            ("no oid", Box::new(without("oid"))),
            ("no tid", Box::new(without("tid"))),
        ];
        for (name, forge) in forgeries {
            let (visitor, authorize, nonce) = at_entra(world, &purchase).await;
            let mut claims = world.dev.simulator.id_token_claims(buyer, &nonce);
            let signature = forge(&mut claims);
            let token = world.dev.simulator.sign(&claims, signature);
            let answer = with_token(&visitor.sign_in(&authorize, "buyer").await, &token);
            let page = visitor.post_answer(&answer).await;
            assert_eq!(page.status, 401, "{name}: {}", page.text());
            assert!(page.body.contains("<h1"), "{name}");
            assert!(!visitor.cookies().iter().any(|(name, _)| name == "__Host-session"), "{name}: no session");
            assert!(!page.body.contains(&token), "{name}: the token is on the page");
        }
        assert!(world.records().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_answer_works_once_and_in_its_own_browser() {
    story(async |world| {
        let purchase = world.silver().await;
        let (visitor, authorize, _) = at_entra(world, &purchase).await;
        let answer = visitor.sign_in(&authorize, "buyer").await;

        let thief = world.visitor();
        let page = thief.post_answer(&answer).await;
        assert_eq!(page.status, 400, "another browser: {}", page.text());

        let page = visitor.post_answer(&answer).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = visitor.post_answer(&answer).await;
        assert_eq!(page.status, 400, "replayed: {}", page.text());

        // The same token in an attempt of its own has the wrong nonce.
        let (visitor, authorize, _) = at_entra(world, &purchase).await;
        let replayed = &answer.fields.iter().find(|(name, _)| name == "id_token").unwrap().1;
        let answer = with_token(&visitor.sign_in(&authorize, "buyer").await, replayed);
        assert_eq!(visitor.post_answer(&answer).await.status, 401);
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_takes_a_quarter_of_an_hour_at_most() {
    story(async |world| {
        let purchase = world.silver().await;
        let (visitor, authorize, _) = at_entra(world, &purchase).await;
        let answer = visitor.sign_in(&authorize, "buyer").await;
        world.pass(Duration::minutes(16)).await;
        let page = visitor.post_answer(&answer).await;
        assert_eq!(page.status, 400, "{}", page.text());
    })
    .await;
}

#[tokio::test]
async fn a_buyer_who_cancels_at_entra_can_try_again() {
    story(async |world| {
        let purchase = world.silver().await;
        let (visitor, authorize, _) = at_entra(world, &purchase).await;
        let page = visitor.post_answer(&visitor.sign_in(&authorize, "cancel").await).await;
        assert_eq!(page.status, 401, "{}", page.text());
        let again = Url::parse(&page.attribute("<a", "href").unwrap()).unwrap();
        let page = visitor.post_answer(&visitor.sign_in(&again, "buyer").await).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains("silver"));
    })
    .await;
}

#[tokio::test]
async fn entra_or_the_marketplace_down_means_try_again_later_and_then_works() {
    story(async |world| {
        let purchase = world.silver().await;
        world.faults(json!({ "rules": [{ "operation": "openid-configuration", "times": 1, "answer": "503" }] })).await;
        let visitor = world.visitor();
        let page = visitor.goto(&purchase.landing_url).await;
        assert_eq!(page.status, 503, "{}", page.text());
        let authorize = visitor.goto(&purchase.landing_url).await.location().expect("back again");

        world.faults(json!({ "rules": [{ "operation": "resolve", "times": 1, "answer": "500" }] })).await;
        let page = visitor.post_answer(&visitor.sign_in(&authorize, "buyer").await).await;
        assert_eq!(page.status, 503, "{}", page.text());
        let again = Url::parse(&page.attribute("<a", "href").unwrap()).unwrap();
        assert!(!again.as_str().contains("token="), "{again}");
        let page = visitor.post_answer(&visitor.sign_in(&again, "buyer").await).await;
        assert_eq!(page.status, 200, "{}", page.text());
    })
    .await;
}

#[tokio::test]
async fn the_form_is_taken_from_our_own_page_only() {
    story(async |world| {
        let purchase = world.silver().await;
        let other = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        let other_page = buyer.arrive(&other.landing_url, "buyer").await;

        for headers in [[("origin", "https://evil.example")].as_slice(), &[("sec-fetch-site", "cross-site")]] {
            let refused = buyer.confirm_with(&page, headers).await;
            assert_eq!(refused.status, 403, "{headers:?}: {}", refused.text());
        }

        let form = |subscription: &str, token: &str| {
            vec![("subscription".to_owned(), subscription.to_owned()), ("form_token".to_owned(), token.to_owned())]
        };
        let token = page.input("form_token").unwrap();
        let others = other_page.input("form_token").unwrap();
        let confirm = world.url("/api/confirm");
        for (name, form) in [
            ("the form of another subscription", form(purchase.id.as_str(), &others)),
            ("no form token", form(purchase.id.as_str(), "")),
            ("an invented form token", form(purchase.id.as_str(), "AAAA")),
        ] {
            let refused = buyer.send(Method::POST, &confirm, Some(&form), &[]).await;
            assert_eq!(refused.status, 403, "{name}: {}", refused.text());
        }
        let thief = world.visitor();
        let refused = thief.send(Method::POST, &confirm, Some(&form(purchase.id.as_str(), &token)), &[]).await;
        assert_eq!(refused.status, 401, "no session: {}", refused.text());
        thief.arrive(&purchase.landing_url, "colleague").await;
        let refused = thief.send(Method::POST, &confirm, Some(&form(purchase.id.as_str(), &token)), &[]).await;
        assert_eq!(refused.status, 403, "another session's form: {}", refused.text());

        assert_eq!(world.calls(&purchase.id, "activate").await, 0);
        assert_eq!(world.record(&purchase.id).await.unwrap().confirmed_at, None);
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_and_signing_in_again_leads_back_to_the_purchase() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        world.pass(Duration::minutes(31)).await;

        let progress = world.url(&format!("/api/progress?subscription={}", purchase.id));
        let refused = buyer.goto(progress.as_str()).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("signin_required")));

        let refused = buyer.confirm_with(&page, &[]).await;
        assert_eq!(refused.status, 401, "{}", refused.text());
        let again = Url::parse(&refused.attribute("<a", "href").unwrap()).unwrap();
        let page = buyer.post_answer(&buyer.sign_in(&again, "buyer").await).await;
        assert_eq!(page.status, 200);
        buyer.confirm(&page).await;
        world.settle().await;
        assert_eq!(world.calls(&purchase.id, "activate").await, 1);
    })
    .await;
}

#[tokio::test]
async fn progress_is_told_to_those_who_may_know() {
    story(async |world| {
        let purchase = world.silver().await;
        world.faults(json!({ "activationLag": "PT1M" })).await;
        let buyer = world.confirmed(&purchase).await;
        let progress = world.url(&format!("/api/progress?subscription={}", purchase.id));
        let told = buyer.goto(progress.as_str()).await;
        assert_eq!((told.status, &told.json()["state"]), (200, &json!("activating")));
        world.settle().await;
        let told = buyer.goto(progress.as_str()).await;
        assert_eq!(told.json()["state"], "active");
        assert_eq!(told.json()["location"], format!("/api/landing?subscription={}", purchase.id));

        let stranger = world.visitor();
        let theirs = world.purchase(json!({
            "offerId": "contoso-offer", "planId": "bronze", "beneficiary": "stranger", "purchaser": "stranger",
        }));
        stranger.arrive(&theirs.await.landing_url, "stranger").await;
        let refused = stranger.goto(progress.as_str()).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("wrong_person")));
        let refused = buyer.goto(world.url("/api/progress").as_str()).await;
        assert_eq!(refused.status, 400);
    })
    .await;
}

#[tokio::test]
async fn switching_accounts_asks_entra_for_a_choice() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        let switch = world.url(&format!("/api/landing?subscription={}&switch=1", purchase.id));
        assert!(page.body.contains("switch=1"), "the page offers it");
        let authorize = buyer.goto(switch.as_str()).await.location().expect("Entra");
        assert!(authorize.query().unwrap().contains("prompt=select_account"));
        let page = buyer.post_answer(&buyer.sign_in(&authorize, "colleague").await).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("colleague@fabrikam.example"), "{}", page.text());
    })
    .await;
}
