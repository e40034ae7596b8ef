//! Things that go wrong on purpose, and requests for what makes no sense.

use super::*;

#[tokio::test]
async fn fault_rules_spoil_answers_with_the_effect_done_or_not() {
    let market = Market::open().await;
    let bought = market.simulator.purchase(&Purchase::of("bronze", None)).unwrap();
    let id = &bought.subscription_id;
    let rules = json!({ "activationLag": "PT1H", "rules": [
        { "operation": "resolve", "times": 2, "answer": "429", "retryAfter": 2 },
        { "operation": "activate", "times": 1, "answer": "drop" },
        { "operation": "activate", "times": 1, "answer": "drop", "effect": "done" },
        { "operation": "get-subscription", "times": 1, "answer": 503 },
        { "operation": "list-subscriptions", "times": 1, "answer": "garbage" },
        { "operation": "cancel", "times": 1, "answer": "hang" },
    ] });
    let (status, set) = market.control(Method::PUT, "/simulator/faults", rules.to_string()).await;
    assert_eq!(
        (status.as_u16(), &set["activationLag"], &set["rules"][0]["answer"]),
        (200, &json!("PT1H"), &json!("429"))
    );

    for _ in 0..2 {
        let refused = market.api(Method::POST, "/resolve").header("x-ms-marketplace-token", &bought.token);
        let refused = refused.send().await.unwrap();
        assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, "2"));
    }
    assert_eq!(market.resolve(&bought.token).await.0, 200, "the rule is used up");

    let activate = || market.api(Method::POST, &format!("/{id}/activate")).send();
    assert!(activate().await.unwrap_err().status().is_none());
    market.later(3_600);
    assert_eq!(market.status(id), "PendingFulfillmentStart", "dropped without effect");
    assert!(activate().await.is_err());
    market.later(3_600);
    assert_eq!(market.status(id), "Subscribed", "dropped with the effect done");
    assert_eq!(market.simulator.subscription(id).unwrap()["calls"]["activate"], 2);

    assert_eq!(market.get(&format!("/{id}")).await.0, 503);
    let garbage = market.api(Method::GET, "").send().await.unwrap();
    assert_eq!(garbage.status(), 200);
    assert!(garbage.json::<Value>().await.is_err());
    let hanging = market.api(Method::DELETE, &format!("/{id}")).timeout(Wait::from_millis(200)).send().await;
    assert!(hanging.unwrap_err().is_timeout());
    assert_eq!(market.status(id), "Subscribed");
    let (_, left) = market.control(Method::GET, "/simulator/faults", "").await;
    assert!(left["rules"].as_array().unwrap().iter().all(|rule| rule["times"] == 0), "{left}");
}

#[tokio::test]
async fn chance_is_seeded() {
    let mut stories = BTreeSet::new();
    for _ in 0..2 {
        let market = Market::open().await;
        let rule = Rule {
            operation: None,
            times: None,
            probability: Some(0.5),
            answer: Answer::Status(500),
            effect: Effect::None,
            retry_after: None,
        };
        market.simulator.set_faults(Faults { rules: vec![rule], ..Faults::default() }).unwrap();
        let mut story = String::new();
        for _ in 0..32 {
            story.push_str(market.get("").await.0.as_str());
        }
        assert!(story.contains("500") && story.contains("200"));
        stories.insert(story);
    }
    assert_eq!(stories.len(), 1);
}

#[tokio::test]
async fn faults_and_times_that_make_no_sense_are_refused() {
    let market = Market::open().await;
    let too_many = vec![json!({ "answer": "drop" }); 101];
    for body in [
        json!({ "rules": [{ "answer": "explode" }] }),
        json!({ "rules": [{ "answer": 200 }] }),
        json!({ "rules": [{ "operation": "unheard-of", "answer": "drop" }] }),
        json!({ "rules": [{ "answer": "drop", "probability": 2 }] }),
        json!({ "rules": [{ "answer": "429", "retryAfter": 100_000 }] }),
        json!({ "rules": too_many }),
        json!({ "activationLag": "soon" }),
        json!({ "partitionSize": 0 }),
        json!({ "unheardOf": true }),
    ] {
        let (status, refusal) = market.control(Method::PUT, "/simulator/faults", body.to_string()).await;
        assert!(status == 400 && refusal["error"]["message"].is_string(), "{body}: {status} {refusal}");
    }
    assert_eq!(market.simulator.faults(), Faults::default());

    for wrong in
        ["24h", "P", "PT", "P1M", "P1Y", "PT1.5S", "PT1S1H", "PT-1S", "P1D1D", "P4000D", "PT99999999999999999999H"]
    {
        let body = json!({ "advance": wrong }).to_string();
        let (status, refusal) = market.control(Method::POST, "/simulator/clock", body).await;
        assert_eq!(status, 400, "{wrong}");
        assert!(refusal["error"]["message"].as_str().unwrap().contains("PT24H"), "{refusal}");
    }
    for (right, ahead) in [("PT24H", "P1D"), ("P1DT2H3M4S", "P2DT2H3M4S"), ("P3650D", "P3652DT2H3M4S")] {
        let body = json!({ "advance": right }).to_string();
        let (status, clock) = market.control(Method::POST, "/simulator/clock", body).await;
        assert_eq!((status.as_u16(), &clock["ahead"]), (200, &json!(ahead)));
    }
    let (status, _) = market.control(Method::POST, "/simulator/clock", json!({ "advance": "P1D" }).to_string()).await;
    assert_eq!(status, 400, "ten years in all");
}
