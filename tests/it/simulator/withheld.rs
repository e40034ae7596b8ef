//! What befalls webhooks on the way, and how stories hold them back.

use super::*;

#[tokio::test]
async fn a_lost_webhook_was_received_as_far_as_microsoft_knows() {
    let market = Market::open().await;
    let id = market.active().await;
    market.webhooks(Webhooks { lost: 1.0, ..Webhooks::default() });
    let operation = market.act(&id, Deed::ChangeQuantity(6)).await;
    market.pass(9).await;
    assert_eq!(market.operation(&id, &operation)["status"], "InProgress");
    market.pass(24 * 3_600).await;
    assert_eq!(market.simulator.subscription(&id).unwrap()["quantity"], 6);
    assert!(market.publisher.heard().is_empty());
    let shown = market.simulator.subscription(&id).unwrap()["deliveries"].clone();
    assert_eq!((&shown[0]["error"], shown.as_array().unwrap().len()), (&json!("lost on the way"), 1));
}

#[tokio::test]
async fn webhooks_are_doubled_late_or_out_of_order() {
    let market = Market::open().await;
    let id = market.active().await;
    market.webhooks(Webhooks { doubled: 1.0, ..Webhooks::default() });
    market.act(&id, Deed::Suspend).await;
    assert_eq!(market.publisher.actions(), ["Suspend", "Suspend"]);

    market.webhooks(Webhooks { late: Duration::days(1), ..Webhooks::default() });
    market.act(&id, Deed::Reinstate).await;
    market.pass(24 * 3_600 - 1).await;
    assert!(market.publisher.heard().is_empty());
    assert_eq!(market.simulator.next_delivery(), Some(START + Duration::SECOND), "by the clock of the options");
    market.pass(1).await;
    assert_eq!(market.publisher.one().body["timeStamp"], "2026-01-31T09:30:02.0000000Z", "a day ago");

    market.webhooks(Webhooks { reordered: 1.0, ..Webhooks::default() });
    market.act(&id, Deed::Suspend).await;
    assert!(market.publisher.heard().is_empty());
    market.act(&id, Deed::Reinstate).await;
    assert_eq!(market.publisher.actions(), ["Reinstate"]);
    market.pass(1).await;
    assert_eq!(market.publisher.actions(), ["Suspend"]);
    market.act(&id, Deed::Renew).await;
    market.pass(600).await;
    assert_eq!(market.publisher.actions(), ["Renew"], "nothing follows, so it goes alone");
}

#[tokio::test]
async fn webhooks_that_are_held_back_go_in_order_when_they_may() {
    let market = Market::open().await;
    let id = market.active().await;
    market.simulator.pause_webhooks(true);
    for deed in [Deed::Suspend, Deed::Reinstate, Deed::Renew, Deed::Unsubscribe] {
        market.act(&id, deed).await;
    }
    for _ in 0..10 {
        // Time enough for the simulator to send what it should not.
        market.get("").await;
    }
    assert!(market.publisher.heard().is_empty());
    assert_eq!((market.simulator.next_delivery(), market.simulator.deliveries_in_flight()), (None, 0));
    market.publisher.keep_waiting(true);
    market.simulator.pause_webhooks(false);
    let mut actions = Vec::new();
    while actions.is_empty() {
        actions = market.publisher.actions();
        tokio::task::yield_now().await;
    }
    assert_eq!(market.simulator.deliveries_in_flight(), 1, "those of one subscription go one after the other");
    market.publisher.keep_waiting(false);
    market.idle().await;
    actions.extend(market.publisher.actions());
    assert_eq!(actions, ["Suspend", "Reinstate", "Renew", "Unsubscribe"]);
}

#[tokio::test]
async fn some_are_under_way_at_once_and_no_more() {
    let market = Market::open().await;
    market.publisher.keep_waiting(true);
    for _ in 0..20 {
        market.simulator.purchase(&Purchase { auto_activate: true, ..Purchase::of("bronze", None) }).unwrap();
    }
    let mut heard = 0;
    while heard < 16 {
        heard += market.publisher.heard().len();
        tokio::task::yield_now().await;
    }
    assert_eq!(market.simulator.deliveries_in_flight(), 16);
    assert_eq!(market.simulator.next_delivery(), Some(START), "four wait, and are due");
    market.publisher.keep_waiting(false);
    market.idle().await;
    assert_eq!((market.publisher.heard().len(), market.simulator.deliveries_in_flight()), (4, 0));
}

#[tokio::test]
async fn what_is_under_way_when_all_is_forgotten_means_nothing() {
    let market = Market::open().await;
    let id = market.active().await;
    market.publisher.keep_waiting(true);
    market.publisher.usually_answers(503);
    market.simulator.act(&id, &Deed::Suspend).unwrap();
    while market.publisher.heard().is_empty() {
        tokio::task::yield_now().await;
    }
    market.simulator.forget();
    market.publisher.keep_waiting(false);
    market.idle().await;
    assert_eq!((market.simulator.next_delivery(), market.simulator.subscriptions().len()), (None, 0));
}

#[tokio::test]
async fn settings_of_webhooks_that_make_no_sense_are_refused() {
    let market = Market::open().await;
    for webhooks in [
        json!({ "payload": "fat" }),
        json!({ "tokenVersion": 3 }),
        json!({ "lost": 1.5 }),
        json!({ "doubled": -1 }),
        json!({ "reordered": "often" }),
        json!({ "late": "soon" }),
        json!({ "retryEvery": "PT0S" }),
        json!({ "actions": [""] }),
        json!({ "actions": vec!["x"; 11] }),
        json!({ "unheardOf": true }),
    ] {
        let body = json!({ "webhooks": webhooks }).to_string();
        let (status, refusal) = market.control(Method::PUT, "/simulator/faults", body.clone()).await;
        assert!(status == 400 && refusal["error"]["message"].is_string(), "{body}: {status} {refusal}");
    }
    assert_eq!(market.simulator.faults(), Faults::default());
    let all = json!({
        "payload": "thin", "tokenVersion": 2, "extraFields": true, "lie": true, "lost": 0.1, "doubled": 0.2,
        "late": "PT1H", "reordered": 0.3, "revert": true, "retryEvery": "PT5S", "silentVoid": true, "actions": ["New"],
    });
    let (status, set) = market.control(Method::PUT, "/simulator/faults", json!({ "webhooks": all }).to_string()).await;
    assert_eq!((status.as_u16(), &set["webhooks"]), (200, &all));
    let (status, again) = market.control(Method::PUT, "/simulator/faults", set.to_string()).await;
    assert_eq!((status.as_u16(), again), (200, set), "what is shown can be set");
}
