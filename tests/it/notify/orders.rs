//! What the publisher's operator sees of events, and can ask for.

use serde_json::{Value, json};

use super::{EVENTS, TOLD, active, assert_equal_to_us, assert_in_order, of, words};
use crate::receiver::{connected, says};
use crate::subscriptions::publisher::Publisher;
use crate::world::{World, story};

async fn post(world: &World, path: &str, body: &str) -> (u16, Value) {
    let said = Publisher::new(world).call("POST", path, body).await;
    (said.status, said.body)
}

#[tokio::test]
async fn a_test_event_says_what_becomes_of_it() {
    connected(TOLD, async |world, receiver| {
        let (status, said) = post(world, "/events/test", "").await;
        assert_eq!(
            (status, &said["arrived"], &said["status"], &said["why"]),
            (200, &json!(true), &json!(204), &Value::Null)
        );
        receiver.answer(EVENTS, says(302).with("location", "http://127.0.0.1:1/"));
        let (_, said) = post(world, "/events/test", "").await;
        assert_eq!((&said["arrived"], &said["status"]), (&json!(false), &json!(302)));
        let received = receiver.received();
        assert_eq!(received.len(), 2);
        assert_eq!(received[0].attribute("type"), "marketplace.test");
        assert!(received[0].event["subject"].is_null() && received[0].attribute("id") != received[1].attribute("id"));
    })
    .await;
    let dead = [("PUBLISHER_EVENTS_URL", "http://127.0.0.1:9/"), ("PUBLISHER_ALLOWED_HOSTS", "127.0.0.1")];
    connected(&dead, async |world, _| {
        let (_, said) = post(world, "/events/test", "").await;
        assert!(said["why"].as_str().unwrap().contains("127.0.0.1:9 cannot be reached"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn what_has_not_arrived_is_listed_and_goes_out_on_request() {
    connected(TOLD, async |world, receiver| {
        receiver.answer(EVENTS, says(500));
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.pass(time::Duration::minutes(1)).await;
        let publisher = Publisher::new(world);
        let listed = publisher.get("/events").await.body;
        assert_eq!(listed["endpoint"]["state"], "failing");
        assert!(listed["endpoint"]["why"].as_str().unwrap().contains("500"), "{listed}");
        let waiting = &listed["subscriptions"][0];
        let types: Vec<_> = waiting["events"].as_array().unwrap().iter().map(|one| one["type"].clone()).collect();
        let expected =
            ["purchased", "confirmed", "activated"].map(|word| json!(format!("marketplace.subscription.{word}")));
        assert_eq!((types.as_slice(), &waiting["id"]), (&expected[..], &json!(purchase.id.as_str())));
        assert!(waiting["duty"]["attempts"].as_u64().unwrap() > 1, "{waiting}");

        // One that is not at its turn is sent once more and stays owed; the one whose turn it is lets the others follow.
        receiver.answer(EVENTS, says(204));
        let tries = receiver.received().len();
        let number = |index: usize| waiting["events"][index]["sequence"].as_str().unwrap().to_owned();
        let (_, said) = post(world, &format!("/{}/events/{}/replay", purchase.id, number(2)), "").await;
        assert_eq!(
            (&said["arrived"], &said["id"]),
            (&json!(true), &json!(format!("evt_{}_{}", purchase.id, number(2))))
        );
        let kept = publisher.get(&format!("/{}/events", purchase.id)).await.body;
        let arrived: Vec<_> = kept["events"].as_array().unwrap().iter().map(|one| one["arrived"].clone()).collect();
        assert_eq!(arrived, [false, false, false]);
        post(world, &format!("/{}/events/{}/replay", purchase.id, number(0)), "").await;
        // The others follow at once, and not when their next try would have been.
        world.idle().await;
        assert_eq!(words(&receiver.received()[tries..]), ["activated", "purchased", "confirmed", "activated"]);
        assert_eq!(publisher.get("/events").await.body["subscriptions"], json!([]));
    })
    .await;
}

/// Nobody waits for the next try of what is asked for.
#[tokio::test]
async fn what_waits_is_tried_at_once_on_request() {
    connected(TOLD, async |world, receiver| {
        receiver.answer_next(EVENTS, vec![says(500); 4]);
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.pass(time::Duration::minutes(1)).await;
        assert_eq!(words(&receiver.received()), ["purchased"; 4]);
        assert_eq!(post(world, &format!("/{}/events/replay", purchase.id), "").await.0, 202);
        world.idle().await;
        assert_eq!(words(&receiver.received()[4..]), ["purchased", "confirmed", "activated"]);
    })
    .await;
}

#[tokio::test]
async fn what_arrived_is_told_again_from_a_number_on_or_as_it_is() {
    connected(TOLD, async |world, receiver| {
        let purchase = active(world).await;
        let first = of(receiver, &purchase.id)[1].attribute("sequence").to_owned();
        let body = json!({ "from": first }).to_string();
        assert_eq!(post(world, &format!("/{}/events/replay", purchase.id), &body).await.0, 202);
        world.settle().await;
        assert_eq!(words(&of(receiver, &purchase.id)[3..]), ["confirmed", "activated"]);
        let ids: Vec<_> = of(receiver, &purchase.id).iter().map(|one| one.attribute("id").to_owned()).collect();
        assert_eq!((&ids[1], &ids[2]), (&ids[3], &ids[4]), "the same events");
        assert_eq!(post(world, &format!("/{}/events/replay", purchase.id), "").await.0, 202);
        world.settle().await;
        assert_eq!(words(&of(receiver, &purchase.id)[5..]), ["current"]);
        assert_equal_to_us(&world.records().await, &receiver.received()[5..]);
    })
    .await;
}

/// The publisher's database is gone: every subscription tells how it is.
#[tokio::test]
async fn all_subscriptions_can_be_told_again() {
    connected(TOLD, async |world, receiver| {
        for _ in 0..3 {
            active(world).await;
        }
        let before = receiver.received().len();
        let (status, said) = post(world, "/events/replay", "").await;
        assert_eq!((status, &said["status"]), (202, &json!("replaying")));
        world.settle().await;
        let received = receiver.received().split_off(before);
        assert_eq!(words(&received), ["current"; 3]);
        assert_equal_to_us(&world.records().await, &received);
        assert_in_order(&world.records().await, &receiver.received());
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused() {
    connected(TOLD, async |world, _| {
        let purchase = active(world).await;
        let publisher = Publisher::new(world);
        let of_one = |rest: &str| format!("/{}/events/{rest}", purchase.id);
        publisher.post(&of_one("1/replay")).await.assert_refused(404, "unknown_event");
        publisher.post(&of_one("next/replay")).await.assert_refused(404, "unknown_event");
        publisher.call("POST", &of_one("replay"), r#"{"from":12}"#).await.assert_refused(400, "bad_request");
        publisher.call("POST", &of_one("replay"), r#"{"since":"12"}"#).await.assert_refused(400, "bad_request");
        publisher.call("POST", "/events/resume", r#"{"now":true}"#).await.assert_refused(400, "bad_request");
        publisher.post("/nobody/events/replay").await.assert_refused(404, "unknown_subscription");
    })
    .await;
    story(async |world| {
        let publisher = Publisher::new(world);
        for path in ["/events/test", "/events/resume", "/events/replay"] {
            publisher.post(path).await.assert_refused(409, "not_connected");
        }
        assert_eq!(publisher.get("/events").await.body["endpoint"]["state"], "none");
    })
    .await;
}
