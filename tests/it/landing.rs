//! Stories of the landing page: who arrives, with what, and what they see.

use marketplace_fulfillment::history::Happening;
use marketplace_fulfillment::subscription::Status;
use reqwest::Method;
use serde_json::json;
use time::Duration;
use url::Url;

use crate::world::{World, story};

#[tokio::test]
async fn a_purchase_becomes_an_active_subscription() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = world.visitor();

        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(page.status, 200, "{}", page.body);
        let text = page.text();
        for shown in ["contoso-offer", "silver", "5", "Contoso", "buyer@fabrikam.example"] {
            assert!(text.contains(shown), "{shown} is not on the page: {text}");
        }
        assert_eq!(world.calls(&purchase.id, "activate").await, 0, "nothing happens before the button is pressed");

        let page = buyer.confirm(&page).await;
        assert_eq!(page.status, 200);
        // Two seconds are the marketplace's; the rest is one bell, and far from a sweep.
        world.pass(Duration::seconds(10)).await;

        let page = buyer.goto(page.url.as_str()).await;
        assert!(page.text().contains("active"), "{}", page.text());
        let record = world.record(&purchase.id).await.unwrap();
        assert_eq!(record.known.status, Status::Subscribed);
        assert_eq!(record.known.quantity, Some(5));
        assert_eq!(world.simulated(&purchase.id).await["saasSubscriptionStatus"], "Subscribed");
    })
    .await;
}

#[tokio::test]
async fn coming_twice_confirming_twice_and_two_tabs_give_one_activation() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = world.visitor();
        // Two tabs begin to sign in before either has ended.
        let first = buyer.goto(&purchase.landing_url).await;
        let second = buyer.goto(&purchase.landing_url).await;
        let second = buyer.sign_in(&second.location().unwrap(), "buyer").await;
        let first = buyer.sign_in(&first.location().unwrap(), "buyer").await;
        let first = buyer.post_answer(&first).await;
        let second = buyer.post_answer(&second).await;
        assert_eq!((first.status, second.status), (200, 200), "{}\n{}", first.text(), second.text());

        for page in [&first, &second, &first] {
            let page = buyer.confirm(page).await;
            assert_eq!(page.status, 200, "{}", page.text());
        }
        let again = buyer.arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(again.status, 200);
        world.settle().await;
        buyer.confirm(&first).await;
        world.settle().await;

        assert_eq!(world.calls(&purchase.id, "activate").await, 1);
        assert_eq!(world.records().await.len(), 1);
        let record = world.record(&purchase.id).await.unwrap();
        let confirmed = record.history.entries.iter().filter(|entry| entry.what == Happening::Confirmed).count();
        assert_eq!(confirmed, 1, "{record:?}");
    })
    .await;
}

#[tokio::test]
async fn the_queue_message_three_times_gives_one_activation() {
    story(async |world| {
        let purchase = world.silver().await;
        world.faults(json!({ "activationLag": "PT10M" })).await;
        world.confirmed(&purchase).await;
        for _ in 0..3 {
            let body = format!(r#"{{"v":1,"subscription":"{}"}}"#, purchase.id).into_bytes();
            world.dev.account.put("activations", body, Duration::ZERO).await.unwrap();
        }
        world.settle().await;
        assert_eq!(world.calls(&purchase.id, "activate").await, 1);
        assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed);
    })
    .await;
}

#[tokio::test]
async fn the_session_spares_the_second_sign_in_and_no_url_of_ours_holds_the_token() {
    story(async |world| {
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let first = buyer.goto(&purchase.landing_url).await;
        let authorize = first.location().unwrap();
        assert!(authorize.as_str().starts_with(&format!("http://localhost:{}/", authorize.port().unwrap())));
        let encoded: String = url::form_urlencoded::byte_serialize(purchase.token.as_bytes()).collect();
        assert!(!authorize.as_str().contains(&encoded) && !authorize.as_str().contains(&purchase.token));
        let page = buyer.post_answer(&buyer.sign_in(&authorize, "buyer").await).await;
        assert_eq!(page.url.query(), Some(format!("subscription={}", purchase.id).as_str()));

        assert_eq!(world.calls(&purchase.id, "get-subscription").await, 0, "the first visit makes the record");
        let again = buyer.goto(&purchase.landing_url).await;
        assert_eq!(again.status, 200, "no second sign-in: {:?}", again.location());
        let reads = world.calls(&purchase.id, "get-subscription").await;
        assert_eq!(reads, 1, "what Resolve said is older than the record that was loaded after it");
        assert_eq!(again.url.query(), Some(format!("subscription={}", purchase.id).as_str()));
    })
    .await;
}

#[tokio::test]
async fn a_token_whose_plus_became_a_space_is_mended() {
    story(async |world| {
        let mut spaced = None;
        for _ in 0..20 {
            let purchase = world.silver().await;
            if purchase.token.contains('+') {
                spaced = Some(purchase);
                break;
            }
        }
        let purchase = spaced.expect("one of twenty tokens holds a plus");
        let url = world.url(&format!("/api/landing?token={}", purchase.token.replace('+', "%20").replace('=', "%3D")));
        let page = world.visitor().arrive(url.as_str(), "buyer").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains("silver"));
    })
    .await;
}

/// Query, and what the landing page answers to a visitor who signs in as the buyer.
#[tokio::test]
async fn tokens_that_lead_nowhere() {
    story(async |world| {
        let long = format!("token={}", "A".repeat(5_000));
        let table = [
            ("", 400, "token_missing"),
            ("token=", 400, "token_missing"),
            ("token=%20", 400, "token_missing"),
            ("other=1", 400, "token_missing"),
            ("token=garbage", 400, "token_refused"),
            ("token=%00%01", 400, "token_refused"),
            ("token=%C3%A4%C3%B6", 400, "token_refused"),
            (long.as_str(), 400, "token_refused"),
            ("subscription=..%2F..", 404, "unknown_subscription"),
            ("subscription=00000000-0000-0000-0000-000000000000", 404, "unknown_subscription"),
        ];
        for (query, status, code) in table {
            let url = world.url(&format!("/api/landing?{query}"));
            let page = world.visitor().arrive(url.as_str(), "buyer").await;
            assert_eq!(page.status, status, "{query}: {}", page.text());
            assert!(page.header("content-type").unwrap().starts_with("text/html"), "{query} ({code})");
            assert!(page.body.contains("<h1"), "{query}: a page, not a code");
        }
        assert!(world.records().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_token_expires_after_a_day() {
    story(async |world| {
        let purchase = world.silver().await;
        world.pass(Duration::hours(24) + Duration::seconds(1)).await;
        let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(page.status, 400, "{}", page.text());
        assert!(page.text().contains("24 hours"), "{}", page.text());

        let fresh =
            world.simulator("POST", &format!("/simulator/subscriptions/{}/token", purchase.id), &json!({})).await;
        let page = world.visitor().arrive(fresh["landingUrl"].as_str().unwrap(), "buyer").await;
        assert_eq!(page.status, 200, "{}", page.text());
    })
    .await;
}

/// Who bought, who signs in, and whether they may go on.
#[tokio::test]
async fn who_may_continue() {
    story(async |world| {
        let table = [
            ("buyer", "buyer", true),
            ("buyer", "colleague", true),
            ("buyer", "stranger", false),
            ("buyer", "personal", false),
            ("personal", "personal", true),
            ("personal", "buyer", false),
            ("stranger", "stranger", true),
        ];
        for (bought_by, signs_in, may) in table {
            let order = json!({
                "offerId": "contoso-offer", "planId": "bronze", "beneficiary": bought_by, "purchaser": bought_by,
            });
            let purchase = world.purchase(order).await;
            let visitor = world.visitor();
            let page = visitor.arrive(&purchase.landing_url, signs_in).await;
            if may {
                assert_eq!(page.status, 200, "{bought_by} bought, {signs_in} signs in: {}", page.text());
                continue;
            }
            assert_eq!(page.status, 403, "{bought_by} bought, {signs_in} signs in: {}", page.text());
            assert!(world.record(&purchase.id).await.is_none(), "a stranger's visit leaves no record");
            assert!(!page.body.contains("fabrikam.example"), "the page names the buyer to a stranger");
            // The page offers to sign in with another account, without the purchase token in its address.
            let again = page.attribute("<a", "href").unwrap();
            assert!(again.contains("prompt=select_account"), "{again}");
            let page = visitor.post_answer(&visitor.sign_in(&Url::parse(&again).unwrap(), bought_by).await).await;
            assert_eq!(page.status, 200, "{}", page.text());
        }
    })
    .await;
}

#[tokio::test]
async fn another_personal_account_is_somebody_else() {
    story(async |world| {
        let order = json!({
            "offerId": "contoso-offer", "planId": "bronze",
            "beneficiary": {
                "emailId": "other@outlook.example", "objectId": "00000000-0000-0000-1003-20aaaabbbbcc",
                "tenantId": "9188040d-6c67-4c5b-b112-36a304b66dad", "puid": "100320AAAABBBBCC",
            },
            "purchaser": {
                "emailId": "other@outlook.example", "objectId": "00000000-0000-0000-1003-20aaaabbbbcc",
                "tenantId": "9188040d-6c67-4c5b-b112-36a304b66dad", "puid": "100320AAAABBBBCC",
            },
        });
        let purchase = world.purchase(order).await;
        let page = world.visitor().arrive(&purchase.landing_url, "personal").await;
        assert_eq!(page.status, 403, "all personal accounts share a tenant: {}", page.text());
    })
    .await;
}

#[tokio::test]
async fn an_active_subscription_leads_to_account_management() {
    story(async |world| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.settle().await;
        world.pass(Duration::hours(30)).await;
        let fresh =
            world.simulator("POST", &format!("/simulator/subscriptions/{}/token", purchase.id), &json!({})).await;
        let page = world.visitor().arrive(fresh["landingUrl"].as_str().unwrap(), "colleague").await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains(world.dev.simulator_url.as_str()), "it leads to the publisher's app");
        assert!(page.input("form_token").is_none(), "there is nothing left to confirm");
        assert_eq!(world.calls(&purchase.id, "activate").await, 1);
    })
    .await;
}

#[tokio::test]
async fn suspended_and_cancelled_subscriptions_have_their_own_pages() {
    story(async |world| {
        for (deed, status, word) in [("suspend", 409, "suspended"), ("unsubscribe", 409, "cancelled")] {
            let purchase = world.silver().await;
            world.confirmed(&purchase).await;
            world.settle().await;
            world.simulator("POST", &format!("/simulator/subscriptions/{}/{deed}", purchase.id), &json!({})).await;
            let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
            assert_eq!(page.status, status, "{}", page.text());
            assert!(page.text().contains(word), "{}", page.text());
        }
    })
    .await;
}

#[tokio::test]
async fn a_purchase_of_another_offer_is_left_alone() {
    let world = World::new(&[("OFFERS", "another-offer")]).await;
    let purchase = world.silver().await;
    let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(world.records().await.is_empty());
    world.assert_silence().await;
}

#[tokio::test]
async fn a_preview_purchase_belongs_to_its_offer() {
    story(async |world| {
        let order = json!({ "offerId": "contoso-offer-preview", "planId": "bronze" });
        let purchase = world.purchase(order).await;
        world.confirmed(&purchase).await;
        world.settle().await;
        let record = world.record(&purchase.id).await.unwrap();
        assert_eq!((record.known.offer_id.as_str(), record.known.quantity), ("contoso-offer-preview", None));
        assert_eq!(record.known.status, Status::Subscribed);
    })
    .await;
}

#[tokio::test]
async fn a_reseller_buys_and_the_customer_confirms() {
    story(async |world| {
        let order = json!({
            "offerId": "contoso-offer", "planId": "gold", "quantity": 10,
            "purchaser": "stranger", "beneficiary": "buyer",
        });
        let purchase = world.purchase(order).await;
        let customer = world.visitor();
        let page = customer.arrive(&purchase.landing_url, "colleague").await;
        assert_eq!(page.status, 200, "{}", page.text());
        let reseller = world.visitor().arrive(&purchase.landing_url, "stranger").await;
        assert_eq!(reseller.status, 200, "{}", reseller.text());
        customer.confirm(&page).await;
        world.settle().await;
        assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed);
    })
    .await;
}

#[tokio::test]
async fn pages_leave_no_trace_in_caches_and_referrers() {
    story(async |world| {
        let purchase = world.silver().await;
        let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
        let redirect = world.visitor().send(Method::GET, &Url::parse(&purchase.landing_url).unwrap(), None, &[]).await;
        assert_eq!(redirect.header("referrer-policy"), Some("no-referrer"), "the token must not travel to Entra");
        assert_eq!(redirect.header("cache-control"), Some("no-store"));
    })
    .await;
}
