//! What the publisher is told, what its answers mean, and how often it is told again.

use super::publisher::DROP;
use super::*;

const EVERY: i64 = 58;

fn gold() -> Deed {
    Deed::ChangePlan("gold".to_owned())
}

#[tokio::test]
async fn a_change_is_told_with_what_is_asked_for_and_what_was_bought() {
    let market = Market::open().await;
    let id = market.active().await;
    let operation = market.act(&id, gold()).await;
    let body = market.publisher.one().body;
    for (field, value) in [
        ("id", json!(operation)),
        ("activityId", json!(operation)),
        ("subscriptionId", json!(id)),
        ("publisherId", json!("contoso")),
        ("offerId", json!("contoso-offer")),
        ("planId", json!("gold")),
        ("quantity", json!(5)),
        ("action", json!("ChangePlan")),
        ("status", json!("InProgress")),
        ("operationRequestSource", json!("Azure")),
        ("timeStamp", json!("2026-01-31T09:30:02.0000000Z")),
        ("purchaseToken", Value::Null),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    let nested = &body["subscription"];
    assert_eq!((&nested["planId"], &nested["quantity"]), (&json!("silver"), &json!(5)));
    assert_eq!(nested["saasSubscriptionStatus"], "Subscribed");
    assert_eq!(nested["beneficiary"]["emailId"], "buyer@fabrikam.example");
    assert_eq!(nested["term"]["chargeDuration"], Value::Null);
    let (_, shown) = market.get(&format!("/{id}/operations/{operation}")).await;
    assert_eq!((&shown["status"], &shown["planId"]), (&json!("InProgress"), &json!("gold")));
    assert_eq!(market.get(&format!("/{id}")).await.1["planId"], "silver", "not applied yet");

    market.answer(&id, &operation, "Success").await;
    market.act(&id, Deed::ChangeQuantity(8)).await;
    let body = market.publisher.one().body;
    assert_eq!((&body["planId"], &body["quantity"]), (&json!("gold"), &json!(8)));
    assert_eq!((&body["subscription"]["planId"], &body["subscription"]["quantity"]), (&json!("gold"), &json!(5)));
}

#[tokio::test]
async fn what_asks_nothing_is_told_after_it_was_done() {
    let market = Market::open().await;
    let id = market.active().await;
    for (deed, action, status) in [
        (Deed::Renew, "Renew", "Subscribed"),
        (Deed::Suspend, "Suspend", "Suspended"),
        (Deed::Transfer, "Transfer", "Suspended"),
        (Deed::Unsubscribe, "Unsubscribe", "Unsubscribed"),
    ] {
        let operation = market.act(&id, deed).await;
        let body = market.publisher.one().body;
        assert_eq!((&body["id"], &body["action"]), (&json!(operation), &json!(action)));
        assert_eq!((&body["status"], &body["operationRequestSource"]), (&json!("Succeeded"), &json!("Azure")));
        let (_, shown) = market.get(&format!("/{id}")).await;
        assert_eq!(shown["saasSubscriptionStatus"], status);
        assert_eq!(body["subscription"]["saasSubscriptionStatus"], status);
        assert_eq!(body["subscription"]["term"]["startDate"], shown["term"]["startDate"]);
        assert_eq!(market.get(&format!("/{id}/operations/{operation}")).await.1["status"], "Succeeded");
    }
    assert!(market.simulator.act(&id, &Deed::Transfer).is_err());
    let flat = market.simulator.purchase(&Purchase { auto_activate: true, ..Purchase::of("bronze", None) }).unwrap();
    market.idle().await;
    let body = market.publisher.one().body;
    assert_eq!((&body["action"], &body["subscriptionId"]), (&json!("Subscribe"), &json!(flat.subscription_id)));
    assert_eq!((&body["quantity"], &body["subscription"]["quantity"]), (&Value::Null, &Value::Null));
    assert!(body["subscription"].get("quantity").is_some(), "null, not absent");
}

#[tokio::test]
async fn tokens_are_of_the_version_that_the_application_asked_for() {
    let market = Market::open().await;
    let id = market.active().await;
    let tenant = format!("{}/entra/{TENANT_ID}", market.base);
    let issuer_v2 = format!("{}/entra/{TENANT_ID}/v2.0", market.second);
    for (version, configuration, issuer, sender, other) in [
        (1, ".well-known", format!("https://sts.windows.net/{TENANT_ID}/"), "appid", "azp"),
        (2, "v2.0/.well-known", issuer_v2, "azp", "appid"),
    ] {
        market.webhooks(Webhooks { token_version: version, ..Webhooks::default() });
        market.act(&id, Deed::Renew).await;
        let token = market.publisher.one().token;
        let address = format!("{tenant}/{configuration}/openid-configuration");
        let (_, configuration) = read(market.client.get(address).send().await.unwrap()).await;
        assert_eq!(configuration["issuer"], issuer.as_str());
        let (_, keys) =
            read(market.client.get(configuration["jwks_uri"].as_str().unwrap()).send().await.unwrap()).await;
        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap();
        assert_eq!(key.get("issuer").is_some(), version == 2);
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[CLIENT_ID]);
        rules.set_issuer(&[&issuer]);
        rules.validate_exp = false;
        let key = DecodingKey::from_jwk(&serde_json::from_value::<Jwk>(key.clone()).unwrap()).unwrap();
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &rules).unwrap().claims;
        assert_eq!(claims, market.simulator.webhook_claims(version));
        assert_eq!((&claims[sender], &claims["tid"]), (&json!(RESOURCE_ID), &json!(TENANT_ID)));
        assert!(claims.get(other).is_none() && claims["ver"] == format!("{version}.0"));
        let now = START.unix_timestamp();
        assert_eq!((&claims["nbf"], &claims["iat"]), (&json!(now), &json!(now)), "by the clock of whoever verifies");
        assert!(claims["exp"].as_i64().unwrap() > now);
    }
}

#[tokio::test]
async fn bodies_are_thin_partial_strange_or_wrong_where_so_set() {
    let market = Market::open().await;
    let id = market.active().await;
    let told = async |webhooks: Webhooks, deed: Deed| {
        market.webhooks(webhooks);
        let operation = market.act(&id, deed).await;
        (market.publisher.one().body, operation)
    };
    let thin = || Webhooks { payload: Form::Thin, ..Webhooks::default() };
    let (body, operation) = told(thin(), Deed::Suspend).await;
    assert_eq!(
        body,
        json!({
            "id": operation, "activityId": operation, "subscriptionId": id, "action": "Suspend",
            "operationRequestSource": "Azure", "timeStamp": "2026-01-31T09:30:02.0000000Z",
        })
    );
    let (body, _) = told(thin(), Deed::Reinstate).await;
    assert_eq!(body, json!({ "subscriptionId": id, "operationType": "Reinstate" }), "without an operation");

    let (body, _) = told(Webhooks { payload: Form::Partial, ..Webhooks::default() }, Deed::Renew).await;
    let fields: Vec<_> = body["subscription"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((fields, &body["planId"]), (vec!["id", "publisherId", "offerId", "name"], &json!("silver")));

    let (body, _) = told(Webhooks { extra_fields: true, ..Webhooks::default() }, Deed::Renew).await;
    assert!(body["schemaVersion"].is_string() && body["subscription"]["billingAccount"].is_object(), "{body}");

    let (lie, operation) = told(Webhooks { lie: true, ..Webhooks::default() }, Deed::Renew).await;
    let truth = market.simulator.webhook_body(&id, &operation);
    for part in ["", "/subscription"] {
        let (lie, truth) = (lie.pointer(part).unwrap(), truth.pointer(part).unwrap());
        for field in ["planId", "quantity", "status", "saasSubscriptionStatus", "operationRequestSource"] {
            assert!(truth.get(field).is_none() || lie[field] != truth[field], "{field} is true");
        }
        assert_eq!(lie["id"], truth["id"], "ids are true");
    }
    assert_eq!((&truth["planId"], &truth["status"]), (&json!("silver"), &json!("Succeeded")));
    assert_eq!(market.simulator.webhook_body(&id, NOBODY), Value::Null);

    market.webhooks(Webhooks { actions: vec!["Frobnicate".to_owned(), "Migrate".to_owned()], ..Webhooks::default() });
    market.act(&id, Deed::Suspend).await;
    let heard = market.publisher.heard();
    assert_eq!(heard.iter().map(publisher::Heard::action).collect::<Vec<_>>(), ["Suspend", "Frobnicate", "Migrate"]);
    let operation = heard[1].body["id"].as_str().unwrap();
    assert_eq!(market.get(&format!("/{id}/operations/{operation}")).await.1["action"], "Frobnicate");
}

#[tokio::test]
async fn the_time_to_answer_runs_from_the_webhook_that_was_received() {
    let market = Market::open().await;
    let id = market.active().await;
    market.publisher.will_answer(&[503, DROP]);
    let operation = market.act(&id, gold()).await;
    market.pass(11).await;
    assert_eq!(market.operation(&id, &operation)["status"], "InProgress", "not received, so not accepted");
    market.pass(EVERY - 11).await;
    market.pass(EVERY).await;
    let bodies: BTreeSet<_> = market.publisher.heard().iter().map(|heard| heard.body.to_string()).collect();
    assert_eq!(bodies.len(), 1, "the same each time");
    market.pass(9).await;
    assert_eq!(market.operation(&id, &operation)["status"], "InProgress");
    market.pass(1).await;
    let ended = market.operation(&id, &operation);
    assert_eq!(ended["status"], "Succeeded");
    assert!(ended["endedBecause"].as_str().unwrap().contains("Nobody answered"), "{ended}");
    assert_eq!(market.simulator.subscription(&id).unwrap()["planId"], "gold");
    assert_eq!(market.answer(&id, &operation, "Failure").await, 409, "late");
    let deliveries = market.simulator.subscription(&id).unwrap()["deliveries"].clone();
    let told: Vec<_> = deliveries.as_array().unwrap().iter().map(|one| (&one["attempt"], &one["status"])).collect();
    let (one, two, three) = (json!(1), json!(2), json!(3));
    assert_eq!(told, [(&one, &json!(503)), (&two, &Value::Null), (&three, &json!(200))]);
    assert_eq!(deliveries[1]["error"], "the connection broke off");
}

#[tokio::test]
async fn the_publisher_decides_within_the_time() {
    let market = Market::open().await;
    let id = market.active().await;
    let operation = market.act(&id, gold()).await;
    market.pass(3).await;
    assert_eq!(market.answer(&id, &operation, "Failure").await, 200);
    let ended = market.operation(&id, &operation);
    assert_eq!((&ended["status"], &ended["acknowledgedAfter"]), (&json!("Failed"), &json!(3_000)));
    assert_eq!(market.answer(&id, &operation, "Success").await, 409);
    assert_eq!(market.simulator.subscription(&id).unwrap()["planId"], "silver");

    let operation = market.act(&id, gold()).await;
    assert_eq!(market.answer(&id, &operation, "Success").await, 200);
    assert_eq!(market.simulator.subscription(&id).unwrap()["planId"], "gold");
    assert!(market.operation(&id, &operation)["endedBecause"].as_str().unwrap().contains("Success"));

    market.publisher.will_answer(&[400]);
    let operation = market.act(&id, Deed::ChangeQuantity(9)).await;
    let ended = market.operation(&id, &operation);
    assert_eq!((&ended["status"], &ended["errorStatusCode"]), (&json!("Failed"), &json!("Rejected")));
    assert!(ended["endedBecause"].as_str().unwrap().contains("400"));
    assert_eq!(market.simulator.subscription(&id).unwrap()["quantity"], 5);
    assert_eq!(market.answer(&id, &operation, "Success").await, 409, "a refusal stands");
    market.publisher.heard();
    market.pass(EVERY).await;
    assert!(market.publisher.heard().is_empty(), "a refusal is an answer");
}

#[tokio::test]
async fn a_refused_change_is_taken_back_by_a_change_to_what_is_bought() {
    let market = Market::open().await;
    let id = market.active().await;
    market.webhooks(Webhooks { revert: true, ..Webhooks::default() });
    market.publisher.will_answer(&[400]);
    market.act(&id, gold()).await;
    let heard = market.publisher.heard();
    let [asked, reverted] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((asked.action(), reverted.action()), ("ChangePlan", "ChangePlan"));
    assert_eq!(reverted.body["planId"], "silver");
    assert_eq!(reverted.body["subscription"]["planId"], "silver");
    assert_ne!(asked.body["id"], reverted.body["id"]);
    let revert = reverted.body["id"].as_str().unwrap();
    market.pass(10).await;
    assert_eq!(market.operation(&id, revert)["status"], "Succeeded");

    market.publisher.usually_answers(400);
    let operation = market.act(&id, Deed::ChangeQuantity(9)).await;
    assert_eq!(market.publisher.actions(), ["ChangeQuantity", "ChangeQuantity"], "a refused revert is the end");
    assert_eq!(market.operation(&id, &operation)["status"], "Failed");
    assert_eq!(market.simulator.subscription(&id).unwrap()["quantity"], 5);

    market.publisher.usually_answers(200);
    let operation = market.act(&id, gold()).await;
    market.answer(&id, &operation, "Failure").await;
    market.idle().await;
    assert_eq!(market.publisher.actions(), ["ChangePlan", "ChangePlan"]);
}

#[tokio::test]
async fn whoever_does_not_receive_is_told_five_hundred_times_in_eight_hours() {
    let market = Market::open().await;
    assert_eq!(RETRY_EVERY * TRIES, Duration::hours(8));
    let id = market.active().await;
    market.publisher.usually_answers(503);
    let operation = market.act(&id, gold()).await;
    let first = market.simulator.now();
    let mut last = first;
    while let Some(due) = market.simulator.next_delivery() {
        let Clock::Manual(manual) = &market.clock else { unreachable!() };
        manual.advance(due - market.clock.now());
        market.idle().await;
        assert_eq!(market.simulator.now() - last, RETRY_EVERY);
        last = market.simulator.now();
    }
    assert_eq!((market.publisher.heard().len(), last - first), (500, RETRY_EVERY * 499));
    let ended = market.operation(&id, &operation);
    assert_eq!((&ended["status"], &ended["errorStatusCode"]), (&json!("Failed"), &json!("NoAnswer")));
    assert_eq!(market.simulator.subscription(&id).unwrap()["deliveries"].as_array().unwrap().len(), 50, "bounded");

    let every = Duration::minutes(10);
    market.webhooks(Webhooks { retry_every: Some(every), ..Webhooks::default() });
    let operation = market.act(&id, Deed::Suspend).await;
    market.pass(599).await;
    assert_eq!(market.publisher.heard().len(), 1);
    market.pass(1).await;
    assert_eq!(market.publisher.heard().len(), 1);
    market.publisher.usually_answers(404);
    market.pass(600).await;
    market.publisher.usually_answers(200);
    market.pass(600).await;
    assert_eq!(market.publisher.actions(), ["Suspend", "Suspend"], "who is only told has no say, and is told again");
    assert_eq!(market.operation(&id, &operation)["status"], "Succeeded");
    assert_eq!(market.simulator.next_delivery(), None);
}

#[tokio::test]
async fn a_jump_of_the_clock_past_all_tries_leaves_one() {
    let market = Market::open().await;
    let id = market.active().await;
    market.publisher.usually_answers(500);
    let operation = market.act(&id, gold()).await;
    market.pass(24 * 3_600).await;
    assert_eq!(market.publisher.heard().len(), 2);
    assert_eq!(market.operation(&id, &operation)["status"], "Failed");
    assert_eq!(market.simulator.next_delivery(), None);
}

#[tokio::test]
async fn a_reinstatement_waits_as_documented_and_is_done_as_observed() {
    for (profile, status, word, ends) in [
        (Profile::Documented, "Suspended", "Success", "Subscribed"),
        (Profile::Documented, "Suspended", "Failure", "Suspended"),
        (Profile::Documented, "Suspended", "", "Subscribed"),
        (Profile::Observed, "Subscribed", "Failure", "Subscribed"),
        (Profile::Observed, "Subscribed", "", "Subscribed"),
    ] {
        let market = Market::open().await;
        let id = market.active().await;
        market.simulator.set_faults(Faults { profile, ..Faults::default() }).unwrap();
        market.act(&id, Deed::Suspend).await;
        market.publisher.heard();
        let operation = market.act(&id, Deed::Reinstate).await;
        let body = market.publisher.one().body;
        assert_eq!((&body["action"], &body["status"]), (&json!("Reinstate"), &json!("InProgress")));
        assert_eq!(body["subscription"]["saasSubscriptionStatus"], "Suspended");
        assert_eq!(market.status(&id), status, "{profile:?}");
        if !word.is_empty() {
            let expected = if profile == Profile::Documented { 200 } else { 409 };
            assert_eq!(market.answer(&id, &operation, word).await, expected);
        }
        market.pass(10).await;
        assert_eq!(market.status(&id), ends, "{profile:?} {word}");
    }
    let market = Market::open().await;
    let id = market.active().await;
    market.act(&id, Deed::Suspend).await;
    market.publisher.will_answer(&[400]);
    market.act(&id, Deed::Reinstate).await;
    assert_eq!((market.status(&id).as_str(), market.simulator.next_delivery()), ("Subscribed", None), "ignored");
}

#[tokio::test]
async fn the_publishers_own_operations_come_back_as_webhooks() {
    let market = Market::open().await;
    let id = market.active().await;
    let path = format!("/{id}");
    let submit = async |body: Value| header(&market.patch(&path, body).await, "operation-id").to_owned();
    let operation = submit(json!({ "quantity": 7 })).await;
    market.idle().await;
    assert!(market.publisher.heard().is_empty(), "not started yet");
    assert_eq!(market.simulator.next_delivery(), Some(START + Duration::SECOND));
    market.pass(1).await;
    let body = market.publisher.one().body;
    assert_eq!((&body["id"], &body["operationRequestSource"]), (&json!(operation), &json!("Partner")));
    assert_eq!((&body["status"], &body["quantity"]), (&json!("InProgress"), &json!(7)));
    assert_eq!(body["subscription"]["quantity"], 5);
    assert_eq!(market.answer(&id, &operation, "Success").await, 500, "as seen");
    market.pass(4).await;
    assert_eq!(market.simulator.subscription(&id).unwrap()["quantity"], 7);

    market.simulator.set_faults(Faults { profile: Profile::Documented, ..Faults::default() }).unwrap();
    let operation = submit(json!({ "planId": "gold" })).await;
    market.pass(1).await;
    assert_eq!(market.answer(&id, &operation, "Success").await, 200, "as documented");
    assert_eq!(market.simulator.subscription(&id).unwrap()["planId"], "gold");

    market.publisher.will_answer(&[403]);
    let operation = submit(json!({ "quantity": 9 })).await;
    market.pass(1).await;
    assert_eq!(market.operation(&id, &operation)["status"], "Failed", "who refuses their own change has refused it");

    market.publisher.heard();
    let cancelled = market.api(Method::DELETE, &path).send().await.unwrap();
    market.pass(4).await;
    assert!(market.publisher.heard().is_empty());
    market.pass(1).await;
    let body = market.publisher.one().body;
    assert_eq!((&body["id"], &body["action"]), (&json!(header(&cancelled, "operation-id")), &json!("Unsubscribe")));
    assert_eq!((&body["status"], &body["operationRequestSource"]), (&json!("Succeeded"), &json!("Partner")));
    assert_eq!(body["subscription"]["saasSubscriptionStatus"], "Unsubscribed");
}

#[tokio::test]
async fn every_delivery_is_shown_with_its_times() {
    let market = Market::open().await;
    let id = market.active().await;
    let operation = market.act(&id, gold()).await;
    market.pass(2).await;
    market.answer(&id, &operation, "Success").await;
    for _ in 0..3 {
        market.act(&id, Deed::Renew).await;
    }
    let (_, shown) = market.control(Method::GET, &format!("/simulator/subscriptions/{id}"), "").await;
    let deliveries = shown["deliveries"].as_array().unwrap();
    let first = &deliveries[0];
    assert_eq!((&first["operationId"], &first["action"]), (&json!(operation), &json!("ChangePlan")));
    assert_eq!((&first["attempt"], &first["status"]), (&json!(1), &json!(200)));
    assert_eq!((&first["at"], &first["acknowledgedAfter"]), (&json!("2026-01-31T09:30:02.0000000Z"), &json!(2_000)));
    assert!(
        first["answeredAfter"].as_i64().unwrap() >= 0 && first.get("body").is_none(),
        "bodies are kept for a while"
    );
    assert_eq!(deliveries[3]["body"]["action"], "Renew");
    assert!(deliveries[3].get("acknowledgedAfter").is_none(), "nobody was asked");
    let (_, all) = market.control(Method::GET, "/simulator/subscriptions", "").await;
    let listed = all["subscriptions"][0]["deliveries"].as_array().unwrap();
    assert!(listed.len() == 4 && listed.iter().all(|one| one.get("body").is_none()));
}
