//! What time alone does to subscriptions, whether anybody looks or not.

use super::*;

const DAY: i64 = 24 * 3_600;

fn active(purchase: Purchase) -> Purchase {
    Purchase { auto_activate: true, ..purchase }
}

#[tokio::test]
async fn a_purchase_that_nobody_activates_is_voided_after_thirty_days() {
    let market = Market::open().await;
    let id = market.simulator.purchase(&Purchase::of("bronze", None)).unwrap().subscription_id;
    market.pass(30 * DAY - 1).await;
    assert_eq!(market.status(&id), "PendingFulfillmentStart");
    market.pass(1).await;
    let body = market.publisher.one().body;
    assert_eq!((&body["action"], &body["subscriptionId"]), (&json!("Unsubscribe"), &json!(id)));
    assert_eq!(market.status(&id), "Unsubscribed");
    assert_eq!(market.post(&format!("/{id}/activate")).await.0, 404);

    market.webhooks(Webhooks { silent_void: true, ..Webhooks::default() });
    let id = market.simulator.purchase(&Purchase::of("bronze", None)).unwrap().subscription_id;
    market.pass(30 * DAY).await;
    assert_eq!(market.status(&id), "Unsubscribed");
    assert!(market.publisher.heard().is_empty());
    assert_eq!(market.simulator.subscription(&id).unwrap()["operations"][0]["action"], "Unsubscribe");
}

#[tokio::test]
async fn a_suspended_subscription_ends_after_thirty_days() {
    let market = Market::open().await;
    let id = market.simulator.purchase(&active(Purchase::of("bronze", None))).unwrap().subscription_id;
    market.act(&id, Deed::Suspend).await;
    market.pass(29 * DAY).await;
    market.publisher.heard();
    market.act(&id, Deed::Reinstate).await;
    let heard = market.publisher.heard();
    let [_, renewed] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(renewed.action(), "Renew", "the term has ended meanwhile, and is followed now that it is paid");
    assert_eq!(renewed.body["timeStamp"], "2026-03-01T09:30:00.0000000Z");
    market.act(&id, Deed::Suspend).await;
    market.publisher.heard();
    market.pass(30 * DAY - 1).await;
    assert_eq!(market.status(&id), "Suspended", "thirty days from the last time; and it does not renew meanwhile");
    assert!(market.publisher.heard().is_empty());
    market.pass(1).await;
    assert_eq!(
        (market.publisher.actions(), market.status(&id)),
        (vec!["Unsubscribe".to_owned()], "Unsubscribed".into())
    );
    market.pass(400 * DAY).await;
    assert!(market.publisher.heard().is_empty(), "and that is all");
}

#[tokio::test]
async fn a_term_is_followed_by_the_next_or_by_the_end() {
    let market = Market::open().await;
    let renews = market.simulator.purchase(&active(Purchase::of("silver", Some(5)))).unwrap().subscription_id;
    let ends = Purchase { auto_renew: false, ..active(Purchase::of("bronze", None)) };
    let ends = market.simulator.purchase(&ends).unwrap().subscription_id;
    let yearly = Purchase { term_unit: TermUnit::P1Y, ..active(Purchase::of("bronze", None)) };
    market.simulator.purchase(&yearly).unwrap();
    market.idle().await;
    market.publisher.heard();
    // From 31 January 09:30 to midnight before 28 February.
    let to_the_end = datetime!(2026-02-28 0:00 UTC) - START;
    market.pass(to_the_end.whole_seconds() - 1).await;
    assert!(market.publisher.heard().is_empty());
    market.pass(1).await;
    let heard = market.publisher.heard();
    let told: BTreeSet<_> =
        heard.iter().map(|one| (one.body["subscriptionId"].as_str().unwrap(), one.action())).collect();
    assert_eq!(told, [(renews.as_str(), "Renew"), (ends.as_str(), "Unsubscribe")].into());
    let renewed = heard.iter().find(|one| one.action() == "Renew").unwrap();
    assert_eq!(renewed.body["timeStamp"], "2026-02-28T00:00:00.0000000Z");
    let term = &renewed.body["subscription"]["term"];
    assert_eq!(term["startDate"], "2026-02-28T00:00:00Z");
    assert_eq!(term["endDate"], "2026-03-27T00:00:00Z");
    assert_eq!(market.simulator.subscription(&renews).unwrap()["term"]["startDate"], term["startDate"]);
    assert_eq!(market.status(&ends), "Unsubscribed");
}

#[tokio::test]
async fn a_year_at_once_is_a_year_in_order() {
    let market = Market::open().await;
    let id = market.simulator.purchase(&active(Purchase::of("bronze", None))).unwrap().subscription_id;
    market.idle().await;
    market.publisher.heard();
    market.pass(365 * DAY).await;
    let heard = market.publisher.heard();
    let times: Vec<_> = heard.iter().map(|one| one.body["timeStamp"].as_str().unwrap().to_owned()).collect();
    assert!(heard.len() == 12 && heard.iter().all(|one| one.action() == "Renew") && times.is_sorted(), "{times:?}");
    assert_eq!(times[11], "2027-01-28T00:00:00.0000000Z");
    assert_eq!(market.simulator.subscription(&id).unwrap()["term"]["endDate"], "2027-02-27T00:00:00Z");
}

#[tokio::test]
async fn a_free_trial_becomes_paid() {
    let market = Market::open().await;
    let order = json!({ "offerId": "contoso-offer", "planId": "bronze", "freeTrial": "P1M", "autoActivate": true });
    let (status, bought) = market.control(Method::POST, "/simulator/purchases", order.to_string()).await;
    assert_eq!(status, 201);
    let path = format!("/{}", bought["subscriptionId"].as_str().unwrap());
    assert_eq!(market.get(&path).await.1["isFreeTrial"], true);
    market.later(27 * DAY);
    assert_eq!(market.get(&path).await.1["isFreeTrial"], true);
    market.later(DAY);
    let (_, paid) = market.get(&path).await;
    assert_eq!((&paid["isFreeTrial"], &paid["saasSubscriptionStatus"]), (&json!(false), &json!("Subscribed")));

    let week = Purchase { free_trial: Some(Trial::Days(7)), ..Purchase::of("bronze", None) };
    let path = format!("/{}", market.simulator.purchase(&week).unwrap().subscription_id);
    assert_eq!(market.get(&path).await.1["isFreeTrial"], false, "it begins with the activation");
    market.post(&format!("{path}/activate")).await;
    market.later(2);
    assert_eq!(market.get(&path).await.1["isFreeTrial"], true);
    market.later(7 * DAY);
    assert_eq!(market.get(&path).await.1["isFreeTrial"], false);
    for wrong in ["P1Y", "P181D", "PT1H", "P0D", "P1DT1H"] {
        let order = json!({ "offerId": "contoso-offer", "planId": "bronze", "freeTrial": wrong });
        let (status, refusal) = market.control(Method::POST, "/simulator/purchases", order.to_string()).await;
        assert!(status == 400 && refusal["error"]["message"].as_str().unwrap().contains("P180D"), "{wrong}: {refusal}");
    }
}

#[tokio::test]
async fn an_activation_that_fails_is_told_when_it_has() {
    let market = Market::open().await;
    market.simulator.set_faults(Faults { activation_fails: true, ..Faults::default() }).unwrap();
    let id = market.simulator.purchase(&Purchase::of("bronze", None)).unwrap().subscription_id;
    market.post(&format!("/{id}/activate")).await;
    market.pass(1).await;
    assert!(market.publisher.heard().is_empty());
    let Clock::Manual(manual) = &market.clock else { unreachable!() };
    manual.advance(Duration::SECOND);
    market.idle().await;
    let body = market.publisher.one().body;
    assert_eq!((&body["action"], &body["status"]), (&json!("Unsubscribe"), &json!("Succeeded")));
    assert_eq!(body["subscription"]["saasSubscriptionStatus"], "Unsubscribed");
}
