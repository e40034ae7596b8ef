//! The fulfillment API: what it shows, when, and to whom.

use super::*;

#[tokio::test]
async fn a_purchase_is_resolved_and_activated_in_its_own_time() {
    let market = Market::open().await;
    let order = json!({ "offerId": "contoso-offer-preview", "planId": "silver", "quantity": 5 }).to_string();
    let (status, bought) = market.control(Method::POST, "/simulator/purchases", order).await;
    assert_eq!(status, 201);
    let (id, token) = (bought["subscriptionId"].as_str().unwrap(), bought["token"].as_str().unwrap());
    assert!(token.len() == 216 && token.contains('+') && token.contains('/') && token.ends_with("=="));
    let landing = Url::parse(bought["landingUrl"].as_str().unwrap()).unwrap();
    assert!(landing.as_str().starts_with("http://127.0.0.1:7071/api/landing?token="));
    assert!(!landing.query().unwrap().contains('+') && !landing.query().unwrap().contains('/'));
    assert_eq!(landing.query_pairs().next().unwrap().1, token);

    for _ in 0..2 {
        let (status, resolved) = market.resolve(token).await;
        assert_eq!(status, 200);
        assert_eq!((&resolved["id"], &resolved["quantity"]), (&json!(id), &json!(5)));
        assert_eq!(resolved["offerId"], "contoso-offer-preview");
        assert_eq!(resolved["subscription"]["saasSubscriptionStatus"], "PendingFulfillmentStart");
        assert_eq!(resolved["subscription"]["term"], json!({ "termUnit": "P1M" }), "no dates before activation");
        assert_eq!(resolved["subscription"]["beneficiary"]["emailId"], "buyer@fabrikam.example");
        assert_eq!(resolved["subscription"]["lastModified"], "0001-01-01T00:00:00");
        assert_eq!(resolved["subscription"]["isTest"], false);
    }

    assert_eq!(market.post(&format!("/{id}/activate")).await, (StatusCode::OK, Value::Null));
    market.later(1);
    assert_eq!(market.get(&format!("/{id}")).await.1["saasSubscriptionStatus"], "PendingFulfillmentStart");
    market.later(1);
    let (_, shown) = market.get(&format!("/{id}")).await;
    assert_eq!(shown["saasSubscriptionStatus"], "Subscribed");
    // A term ends the day before the next begins; from 31 January that is 28 February.
    assert_eq!(shown["term"]["startDate"], "2026-01-31T00:00:00Z");
    assert_eq!(shown["term"]["endDate"], "2026-02-27T00:00:00Z");

    let (_, known) = market.control(Method::GET, &format!("/simulator/subscriptions/{id}"), "").await;
    assert_eq!(known["calls"], json!({ "resolve": 2, "activate": 1, "get-subscription": 2 }));
    assert_eq!((&known["planId"], &known["operations"]), (&json!("silver"), &json!([])));
}

#[tokio::test]
async fn the_order_of_allowed_operations_varies_and_flat_plans_have_no_quantity() {
    let market = Market::open().await;
    let bought = market.simulator.purchase(&Purchase::of("bronze", None)).unwrap();
    let mut orders = BTreeSet::new();
    for _ in 0..20 {
        let (_, shown) = market.get(&format!("/{}", bought.subscription_id)).await;
        assert!(shown.get("quantity").is_none());
        orders.insert(shown["allowedCustomerOperations"].to_string());
    }
    assert!(orders.len() > 1, "{orders:?}");
    let (_, resolved) = market.resolve(&bought.token).await;
    assert!(resolved.get("quantity").is_none() && resolved["subscription"].get("quantity").is_none());
}

#[tokio::test]
async fn resolve_refuses_everything_but_a_fresh_token_to_the_letter() {
    let market = Market::open().await;
    let bought = market.simulator.purchase(&Purchase::of("bronze", None)).unwrap();
    let (status, refusal) = market.post("/resolve").await;
    assert_eq!((status.as_u16(), &refusal["code"]), (400, &json!("HeaderNotPresent")));
    assert_eq!(refusal["target"], "x-ms-marketplace-token");
    let encoded = bought.landing_url.query().unwrap().trim_start_matches("token=").to_owned();
    let forged = format!("AAAA{}", &bought.token[4..]);
    for wrong in ["garbage", "", &bought.token.replace('+', " "), &encoded, &forged] {
        let (status, refusal) = market.resolve(wrong).await;
        assert_eq!((status.as_u16(), &refusal["code"]), (400, &json!("InvalidValue")), "{wrong}");
    }
    market.later(24 * 3_600 - 1);
    assert_eq!(market.resolve(&bought.token).await.0, 200);
    market.later(1);
    assert_eq!(market.resolve(&bought.token).await.0, 400, "a day old");
    let path = format!("/simulator/subscriptions/{}/token", bought.subscription_id);
    let (_, fresh) = market.control(Method::POST, &path, "").await;
    assert_eq!(market.resolve(fresh["token"].as_str().unwrap()).await.0, 200);
}

#[tokio::test]
async fn activate_answers_by_the_state_of_the_subscription() {
    let market = Market::open().await;
    let id = market.active().await;
    let path = format!("/{id}/activate");
    let mismatched = market.api(Method::POST, &path).json(&json!({ "planId": "gold", "quantity": 1 }));
    assert_eq!(mismatched.send().await.unwrap().status(), 200, "received again; the plan is not compared");
    assert_eq!(market.api(Method::POST, &path).body("{").send().await.unwrap().status(), 400);
    market.simulator.act(&id, &Deed::Suspend).unwrap();
    assert_eq!(market.post(&path).await.0, 400);
    market.simulator.act(&id, &Deed::Unsubscribe).unwrap();
    assert_eq!(market.post(&path).await.0, 404);
    assert_eq!(market.post(&format!("/{NOBODY}/activate")).await.0, 404);
    assert_eq!(market.get(&format!("/{NOBODY}")).await.0, 404);

    market.simulator.set_faults(Faults { activation_fails: true, ..Faults::default() }).unwrap();
    let id = market.simulator.purchase(&Purchase::of("bronze", None)).unwrap().subscription_id;
    assert_eq!(market.post(&format!("/{id}/activate")).await.0, 200, "received all the same");
    assert_eq!(market.status(&id), "PendingFulfillmentStart");
    market.later(2);
    assert_eq!(market.status(&id), "Unsubscribed");
    assert_eq!(market.simulator.subscription(&id).unwrap()["operations"][0]["action"], "Unsubscribe");
}

#[tokio::test]
async fn a_token_that_is_not_the_publishers_is_denied_with_a_bare_string() {
    let market = Market::open().await;
    let good = market.simulator.access_token_claims();
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        market.simulator.sign_id_token(&claims)
    };
    let past = good["nbf"].as_i64().unwrap() - 10;
    let wrong = [
        String::new(),
        "garbage".to_owned(),
        with("appid", json!(NOBODY)),
        with("tid", json!(NOBODY)),
        with("aud", json!(SIGNIN_CLIENT_ID)),
        with("iss", json!("https://sts.windows.net/other/")),
        with("exp", json!(past)),
        with("nbf", json!(good["exp"])),
        market.simulator.sign(&good, Signature::ForeignKey),
        market.simulator.sign(&good, Signature::UnpublishedKey),
        market.simulator.sign(&good, Signature::None),
        market.simulator.sign(&good, Signature::HmacWithPublicKey),
    ];
    let url = format!("{}/api/saas/subscriptions?api-version=2018-08-31", market.base);
    let (status, body) = read(market.client.get(&url).send().await.unwrap()).await;
    assert_eq!(status, 403);
    assert!(body.as_str().unwrap().starts_with("The authorization token is invalid, expired, missing"));
    for token in &wrong {
        let (status, body) = read(market.client.get(&url).bearer_auth(token).send().await.unwrap()).await;
        assert!(status == 403 && body.is_string(), "{status} {body} {token}");
    }
    assert_eq!(market.get("").await.0, 200);
    market.simulator.set_faults(Faults { denied_401: true, ..Faults::default() }).unwrap();
    assert_eq!(market.client.get(&url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_version_is_demanded_and_request_ids_come_back() {
    let market = Market::open().await;
    let bare = format!("{}/api/saas/subscriptions", market.base);
    for (url, code) in
        [(bare.clone(), "ApiVersionUnspecified"), (format!("{bare}?api-version=2017-01-01"), "UnsupportedApiVersion")]
    {
        let (status, body) = read(market.client.get(url).bearer_auth(&market.bearer).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &body["Error"]["Code"]), (400, &json!(code)));
    }
    let answer = market.api(Method::GET, "").send().await.unwrap();
    assert_eq!(header(&answer, "x-ms-requestid"), header(&answer, "x-ms-correlationid"));
    assert_eq!(header(&answer, "x-ms-requestid").len(), 36);
    let asked = market.api(Method::GET, "").header("x-ms-requestid", "mine").header("x-ms-correlationid", "ours");
    let answer = asked.send().await.unwrap();
    assert_eq!((header(&answer, "x-ms-requestid"), header(&answer, "x-ms-correlationid")), ("mine", "ours"));
}

#[tokio::test]
async fn the_list_comes_in_pages_of_any_size_that_lead_to_the_second_host() {
    let market = Market::open().await;
    assert_eq!(market.get("").await.1, json!({ "subscriptions": [] }));
    market.simulator.set_faults(Faults { partition_size: 120, ..Faults::default() }).unwrap();
    let mut bought = BTreeSet::new();
    for _ in 0..300 {
        bought.insert(market.simulator.purchase(&Purchase::of("bronze", None)).unwrap().subscription_id);
    }
    let (mut listed, mut sizes) = (BTreeSet::new(), Vec::new());
    let mut next = Some(format!("{}/api/saas/subscriptions/?api-version=2018-08-31", market.base));
    while let Some(url) = next {
        let (status, page) = read(market.client.get(url).bearer_auth(&market.bearer).send().await.unwrap()).await;
        assert_eq!(status, 200);
        let subscriptions = page["subscriptions"].as_array().unwrap();
        sizes.push(subscriptions.len());
        listed.extend(subscriptions.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        next = page.get("@nextLink").map(|link| link.as_str().unwrap().to_owned());
        if let Some(link) = &next {
            let start = format!("{}/api/saas/subscriptions/?continuationToken=%5b%7b", market.second);
            assert!(link.starts_with(&start), "{link}");
        }
    }
    assert_eq!(listed, bought);
    assert!(sizes.len() == 3 && sizes.iter().collect::<BTreeSet<_>>().len() > 1, "{sizes:?}");
    assert_eq!(market.get("?continuationToken=garbage").await.0, 400);
}

#[tokio::test]
async fn plans_are_listed_and_a_private_offer_shows_for_the_bought_plan_only() {
    let market = Market::open().await;
    let private = Purchase { private_offer: true, ..Purchase::of("silver", Some(1)) };
    let id = market.simulator.purchase(&private).unwrap().subscription_id;
    let path = format!("/{id}/listAvailablePlans");
    let (_, all) = market.get(&path).await;
    let plans = all["plans"].as_array().unwrap();
    let ids: Vec<_> = plans.iter().map(|plan| plan["planId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["bronze", "silver", "gold"]);
    assert!(plans[0].get("maxQuantity").is_none() && plans[1]["maxQuantity"] == 1000);
    assert!(plans.iter().all(|plan| plan.get("sourceOffers").is_none()));
    let (_, bought) = market.get(&format!("{path}?planId=silver")).await;
    assert!(bought["plans"][0]["sourceOffers"][0]["externalId"].is_string());
    let (_, other) = market.get(&format!("{path}?planId=gold")).await;
    assert!(other["plans"][0].get("sourceOffers").is_none());
    assert_eq!(market.get(&format!("{path}?planId=tin")).await.1, json!({ "plans": [] }));
    assert_eq!(market.get(&format!("/{NOBODY}/listAvailablePlans")).await.0, 404);
}
