//! Changes of active subscriptions, by the publisher and by the customer.

use super::*;

#[tokio::test]
async fn the_publishers_changes_are_submitted_lock_the_subscription_and_end() {
    let market = Market::open().await;
    let id = market.active().await;
    let path = format!("/{id}");

    let answer = market.patch(&path, json!({ "planId": "gold" })).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(header(&answer, "retry-after"), "10");
    let operation = header(&answer, "operation-id").to_owned();
    assert_eq!(header(&answer, "x-ms-requestid"), operation);
    let location = header(&answer, "operation-location").to_owned();
    assert!(location.starts_with(&format!("{}/api/saas/subscriptions/{id}/operations/{operation}?", market.second)));
    let follow =
        || async { read(market.client.get(&location).bearer_auth(&market.bearer).send().await.unwrap()).await.1 };

    let shown = follow().await;
    assert_eq!((&shown["status"], &shown["action"]), (&json!("NotStarted"), &json!("ChangePlan")));
    assert_eq!((&shown["operationRequestSource"], &shown["activityId"]), (&json!("Partner"), &shown["id"]));
    assert!(shown.get("errorStatusCode").is_none());
    let (status, locked) = read(market.patch(&path, json!({ "quantity": 6 })).await).await;
    assert_eq!((status.as_u16(), &locked["code"]), (400, &json!("Failed")));
    assert!(locked["message"].as_str().unwrap().contains("locked"));
    assert_eq!(market.api(Method::DELETE, &path).send().await.unwrap().status(), 409);

    assert_eq!(market.get(&format!("{path}/operations")).await.1, json!({ "operations": [] }));
    market.later(1);
    assert_eq!(follow().await["status"], "InProgress");
    assert_eq!(market.get(&format!("{path}/operations")).await.1["operations"][0]["id"], operation);
    let own = market.patch(&format!("{path}/operations/{operation}"), json!({ "status": "Success" })).await;
    assert_eq!(own.status(), 500, "as seen: our own operation takes no answer");
    market.later(4);
    assert_eq!(follow().await["status"], "Succeeded");
    let (_, shown) = market.get(&path).await;
    assert_eq!((&shown["planId"], &shown["quantity"]), (&json!("gold"), &json!(5)), "seats are kept");

    assert_eq!(market.api(Method::DELETE, &path).send().await.unwrap().status(), 202);
    market.later(5);
    assert_eq!(market.status(&id), "Unsubscribed");
    assert_eq!(market.api(Method::DELETE, &path).send().await.unwrap().status(), 200, "already");
    assert_eq!(market.get(&format!("{path}/listAvailablePlans")).await.0, 403);
}

#[tokio::test]
async fn changes_that_make_no_sense_are_refused() {
    let market = Market::open().await;
    let id = market.active().await;
    for (body, reason) in [
        (json!({ "planId": "silver" }), "already subscribed"),
        (json!({ "planId": "tin" }), "NOT in Catalog"),
        (json!({ "quantity": 5 }), "same"),
        (json!({ "quantity": 1001 }), "1 to 1000"),
        (json!({ "quantity": -1 }), "whole number"),
        (json!({ "planId": "gold", "quantity": 6 }), "more than one field"),
        (json!({}), "null"),
        (json!(null), "null"),
        (json!({ "planId": 1 }), "string"),
    ] {
        let (status, refusal) = read(market.patch(&format!("/{id}"), body.clone()).await).await;
        assert_eq!(status, 400, "{body}");
        assert!(refusal["message"].as_str().unwrap().contains(reason), "{body}: {refusal}");
    }
    let pending = market.simulator.purchase(&Purchase::of("silver", Some(5))).unwrap().subscription_id;
    assert_eq!(market.patch(&format!("/{pending}"), json!({ "quantity": 6 })).await.status(), 400);
    assert_eq!(market.patch(&format!("/{NOBODY}"), json!({ "quantity": 6 })).await.status(), 404);
    assert_eq!(market.api(Method::DELETE, &format!("/{NOBODY}")).send().await.unwrap().status(), 404);
    assert_eq!(market.simulator.subscription(&id).unwrap()["operations"], json!([]));
    assert_eq!(market.simulator.calls(Call::ChangeQuantity), 6);
}

#[tokio::test]
async fn a_customers_change_waits_ten_seconds_for_the_publishers_word() {
    let market = Market::open().await;
    let id = market.active().await;
    let ask = |name: &'static str, body: Value| {
        let path = format!("/simulator/subscriptions/{id}/{name}");
        let market = &market;
        async move {
            let (status, answer) = market.control(Method::POST, &path, body.to_string()).await;
            (status.as_u16(), answer["operationId"].as_str().unwrap_or_default().to_owned())
        }
    };
    let answer = |operation: String, word: &'static str| {
        let path = format!("/{id}/operations/{operation}");
        let market = &market;
        async move { read(market.patch(&path, json!({ "status": word })).await).await }
    };
    let shown = |field: &str| market.simulator.subscription(&id).unwrap()[field].clone();

    let (status, operation) = ask("change-plan", json!({ "planId": "gold" })).await;
    assert_eq!(status, 202);
    let (_, detail) = market.get(&format!("/{id}/operations/{operation}")).await;
    assert_eq!((&detail["status"], &detail["operationRequestSource"]), (&json!("InProgress"), &json!("Azure")));
    assert_eq!(ask("change-quantity", json!({ "quantity": 9 })).await.0, 409, "one at a time");
    assert_eq!(answer(operation.clone(), "blah").await.0, 200, "as seen: any word is received");
    assert_eq!(shown("planId"), "silver");
    assert_eq!(answer(operation.clone(), "Failure").await.0, 200);
    assert_eq!((shown("planId"), shown("operations")[0]["status"].clone()), (json!("silver"), json!("Failed")));
    let late = market.patch(&format!("/{id}/operations/{operation}"), json!({ "status": "Success" })).await;
    let request_id = header(&late, "x-ms-requestid").to_owned();
    let (status, body) = read(late).await;
    assert_eq!((status.as_u16(), &body["message"]), (409, &json!(request_id)), "nothing but the request's id");

    let (_, operation) = ask("change-quantity", json!({ "quantity": 9 })).await;
    assert_eq!(answer(operation, "Success").await.0, 200);
    assert_eq!(shown("quantity"), 9);

    ask("change-plan", json!({ "planId": "bronze" })).await;
    market.idle().await;
    market.later(9);
    assert_eq!(shown("planId"), "silver");
    market.later(1);
    assert_eq!((shown("planId"), shown("quantity")), (json!("bronze"), Value::Null), "silence accepts");
    assert_eq!(ask("change-plan", json!({ "planId": "tin" })).await.0, 400);
    assert_eq!(ask("change-plan", json!({})).await.0, 400);
}

#[tokio::test]
async fn unknown_operations_are_400_as_seen_and_404_as_documented() {
    let market = Market::open().await;
    let id = market.active().await;
    for (profile, status, listed) in [(Profile::Observed, 400, 200), (Profile::Documented, 404, 404)] {
        market.simulator.set_faults(Faults { profile, ..Faults::default() }).unwrap();
        for subscription in [id.as_str(), NOBODY] {
            let path = format!("/{subscription}/operations/{NOBODY}");
            assert_eq!(market.get(&path).await.0, status);
            assert_eq!(market.patch(&path, json!({ "status": "Success" })).await.status(), status);
        }
        assert_eq!(market.get(&format!("/{NOBODY}/operations")).await.0, listed);
    }
}

#[tokio::test]
async fn the_customers_side_suspends_reinstates_renews_and_ends() {
    let market = Market::open().await;
    let id = market.active().await;
    let act = |name: &'static str| {
        let path = format!("/simulator/subscriptions/{id}/{name}");
        let market = &market;
        async move { market.control(Method::POST, &path, "").await }
    };
    assert_eq!(act("reinstate").await.0, 409);
    assert_eq!(act("suspend").await.0, 202);
    assert_eq!(market.status(&id), "Suspended");
    let (status, refusal) = act("renew").await;
    assert_eq!((status.as_u16(), &refusal["error"]["code"]), (409, &json!("Conflict")));
    assert_eq!(act("suspend").await.0, 409);
    assert_eq!(act("reinstate").await.0, 202);
    assert_eq!(act("renew").await.0, 202);
    let term = market.simulator.subscription(&id).unwrap()["term"].clone();
    assert_eq!(
        (&term["startDate"], &term["endDate"]),
        (&json!("2026-02-28T00:00:00Z"), &json!("2026-03-27T00:00:00Z"))
    );
    assert_eq!(act("unsubscribe").await.0, 202);
    assert_eq!(market.status(&id), "Unsubscribed");
    assert_eq!(act("unsubscribe").await.0, 409);
    let operations = market.simulator.subscription(&id).unwrap()["operations"].clone();
    let actions: Vec<_> = operations.as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["Suspend", "Reinstate", "Renew", "Unsubscribe"]);
    assert_eq!(act("explode").await.0, 404);
    let (status, _) = market.control(Method::POST, &format!("/simulator/subscriptions/{NOBODY}/suspend"), "").await;
    assert_eq!(status, 404);
}
