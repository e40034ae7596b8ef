//! Stories of provisioning: with `ACTIVATION` `publisher` the publisher's own software, or its order, comes before the
//! activation; it takes its time, fails, refuses, and nothing is activated without its word.

use std::sync::Arc;

use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::Doorbell;
use marketplace_fulfillment::command::{Provisioning, provisioning};
use marketplace_fulfillment::duty::{Kind, Queue};
use marketplace_fulfillment::functions;
use marketplace_fulfillment::history::{Actor, Entry, Happening};
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::publisher::Answer;
use marketplace_fulfillment::settings::{Activation, Connection, Settings};
use marketplace_fulfillment::subscription::{Status, Subscription};
use serde_json::{Value, json};
use time::Duration;

use crate::receiver::{Receiver, Says, connected, says};
use crate::visitor::Visitor;
use crate::world::{Purchase, World};

const PROVISION: &str = "/provision";

/// The publisher provisions.
const ASKS: &[(&str, &str)] = &[("ACTIVATION", "publisher"), ("PUBLISHER_PROVISION_URL", PROVISION)];

/// The publisher hears of the purchase, and orders the activation by itself.
const ORDERS: &[(&str, &str)] = &[("ACTIVATION", "publisher"), ("PUBLISHER_EVENTS_URL", "/events")];

fn refuses(reason: &str) -> Says {
    says(422).json(&json!({ "reason": reason }))
}

async fn record(world: &World, purchase: &Purchase) -> Subscription {
    world.record(&purchase.id).await.expect("a record")
}

async fn activations(world: &World, purchase: &Purchase) -> u64 {
    world.calls(&purchase.id, "activate").await
}

/// Why the duty is not done, which is still open.
async fn last_error(world: &World, purchase: &Purchase) -> String {
    let record = record(world, purchase).await;
    let duty = record.duty(Kind::Activate).unwrap_or_else(|| panic!("owed: {record:?}"));
    assert_eq!(duty.failed_at, None, "{duty:?}");
    duty.last_error.clone().unwrap_or_default()
}

fn entries(record: &Subscription, what: &Happening) -> Vec<Entry> {
    record.history.entries.iter().filter(|entry| entry.what == *what).cloned().collect()
}

async fn order(world: &World, purchase: &Purchase) -> u16 {
    let url = world.url(&format!("/api/subscriptions/{}/activate", purchase.id));
    world.http.post(url).header("x-acting-person", "Ada").send().await.unwrap().status().as_u16()
}

async fn assert_active(world: &World, purchase: &Purchase) -> Subscription {
    world.settle().await;
    let record = record(world, purchase).await;
    assert_eq!(record.known.status, Status::Subscribed, "{record:?}");
    assert_eq!(activations(world, purchase).await, 1, "{record:?}");
    record
}

#[tokio::test]
async fn the_publishers_software_provisions_before_the_activation() {
    for status in [200, 201, 204] {
        connected(ASKS, async |world, receiver| {
            receiver.answer(PROVISION, says(status).held());
            world.faults(json!({ "activationLag": "PT0S" })).await;
            let purchase = world.silver().await;
            let buyer = world.visitor();
            let page = buyer.arrive(&purchase.landing_url, "buyer").await;
            buyer.confirm_with(&page, &[]).await;
            let asked = receiver.until(PROVISION, 1).await.remove(0);
            assert_eq!(activations(world, &purchase).await, 0, "not before the answer");
            receiver.release(PROVISION);
            world.idle().await;
            let record = record(world, &purchase).await;
            assert_eq!(record.known.status, Status::Subscribed, "in the same attempt: {record:?}");
            assert_eq!((activations(world, &purchase).await, receiver.received_at(PROVISION).len()), (1, 1));
            let provisioned = entries(&record, &Happening::Provisioned);
            assert_eq!((provisioned.len(), &provisioned[0].by), (1, &Actor::Publisher), "{record:?}");

            let confirmed_at = record.confirmed_at.unwrap();
            let id = format!("cmd_provision_{}_{}", purchase.id, confirmed_at.unix_timestamp_nanos() / 1_000_000);
            assert_eq!((asked.attribute("id"), asked.header("webhook-id")), (id.as_str(), Some(id.as_str())));
            assert_eq!(asked.attribute("type"), "marketplace.command.provision");
            assert_eq!(asked.attribute("dataschema"), "urn:marketplace-fulfillment:event:v1:provision");
            assert_eq!((asked.attribute("subject"), &asked.event["sequence"]), (purchase.id.as_str(), &Value::Null));
            let data = &asked.event["data"];
            assert_eq!(data["change"], json!({ "by": "buyer" }));
            assert_eq!(
                (&data["subscription"]["planId"], &data["subscription"]["quantity"]),
                (&json!("silver"), &json!(5))
            );
            assert_eq!(data["subscription"]["status"], "PendingFulfillmentStart");
        })
        .await;
    }
}

#[tokio::test]
async fn what_takes_time_is_asked_about_again_as_the_same_question() {
    connected(ASKS, async |world, receiver| {
        let later = || says(202).with("retry-after", "600");
        receiver.answer_next(PROVISION, [later(), later(), later(), later(), says(202), says(200)]);
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        let asked = record(world, &purchase).await;
        assert_eq!(asked.due(), Some(world.now() + Duration::seconds(600)), "{asked:?}");
        let why = last_error(world, &purchase).await;
        assert_eq!(why, "the publisher's software is working on it: it answered 202");
        world.pass(Duration::seconds(599)).await;
        assert_eq!(receiver.received_at(PROVISION).len(), 1, "not before it wants to be asked");
        assert_eq!(activations(world, &purchase).await, 0);
        world.pass(Duration::minutes(40)).await;
        let record = assert_active(world, &purchase).await;
        let ids: Vec<_> = receiver.received_at(PROVISION).iter().map(|one| one.attribute("id").to_owned()).collect();
        assert_eq!(ids, vec![ids[0].clone(); 6], "the same question, six times");
        // What the publisher took its time for is not waited for once more at Microsoft.
        let provisioned = entries(&record, &Happening::Provisioned)[0].at;
        assert!(record.activated_at.unwrap() - provisioned < Duration::minutes(1), "{record:?}");
    })
    .await;
}

/// The page of where the purchase stands, for a buyer who has a session.
async fn look(world: &World, buyer: &Visitor, purchase: &Purchase) -> crate::visitor::Page {
    buyer.goto(world.url(&format!("/api/landing?subscription={}", purchase.id)).as_str()).await
}

#[tokio::test]
async fn a_refusal_is_read_by_the_buyer_who_may_ask_again() {
    let settings = [ASKS, &[("PUBLISHER_EVENTS_URL", "/events")]].concat();
    connected(&settings, async |world, receiver| {
        receiver.answer_next(PROVISION, [refuses("  <b>No</b> billing\u{7}contact & \n no region ")]);
        let purchase = world.silver().await;
        let buyer = world.confirmed(&purchase).await;
        let (reason, first) = ("<b>No</b> billing contact & no region", record(world, &purchase).await);
        assert!(first.duties.iter().all(|duty| duty.task.id().kind == Kind::Notify), "{first:?}");
        assert_eq!(first.refused.as_deref(), Some(reason));
        let exit = entries(&first, &Happening::DutyImpossible).remove(0);
        assert_eq!((exit.by, exit.why.unwrap()), (Actor::Publisher, format!("refused by the publisher: {reason}")));
        let progress = world.url(&format!("/api/progress?subscription={}", purchase.id));
        assert_eq!(buyer.goto(progress.as_str()).await.json()["state"], "refused");

        let page = look(world, &buyer, &purchase).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("&#60;b&#62;No&#60;/b&#62; billing contact &#38; no region"), "{}", page.body);
        assert!(page.text().contains("Your subscription was not set up"), "{}", page.text());
        assert_eq!(look(world, &buyer, &purchase).await.status, 200);
        world.settle().await;
        let told = receiver.received_at("/events").pop().unwrap();
        assert_eq!(told.attribute("type"), "marketplace.subscription.activation_failed");
        assert_eq!(told.event["data"]["change"], json!({ "by": "publisher", "why": reason }));
        assert_eq!((activations(world, &purchase).await, receiver.received_at(PROVISION).len()), (0, 1), "asked once");

        let page = buyer.confirm(&page).await;
        assert!(page.text().contains("Activating") || page.text().contains("active"), "{}", page.text());
        let second = assert_active(world, &purchase).await;
        assert_eq!(second.refused, None);
        assert!(second.confirmed_at > first.confirmed_at, "a new confirmation");
        let asked = receiver.received_at(PROVISION);
        assert_eq!(asked.len(), 2);
        assert_ne!(asked[0].attribute("id"), asked[1].attribute("id"), "and a new question");
    })
    .await;
}

#[tokio::test]
async fn what_decides_nothing_is_asked_again() {
    let reason = || json!({ "reason": "No." });
    let answers = [
        says(404),
        says(401).text("<html>who are you?</html>"),
        says(403).json(&json!({ "error": "forbidden" })),
        says(400).json(&json!({ "reason": " \n\t" })),
        says(422).json(&json!({ "reason": 7 })),
        says(410),
        says(408).json(&reason()),
        says(425).json(&reason()),
        says(429).json(&reason()),
        says(500).json(&reason()),
        says(302).with("location", "/elsewhere"),
        says(203),
    ];
    connected(ASKS, async |world, receiver| {
        receiver.answer(PROVISION, says(500));
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        for (before, answer) in answers.into_iter().enumerate() {
            let told = format!("{answer:?}");
            receiver.answer(PROVISION, answer);
            world.pass(record(world, &purchase).await.due().unwrap() - world.now() + Duration::seconds(4)).await;
            assert_eq!(receiver.received_at(PROVISION).len(), before + 2, "{told}");
            let why = last_error(world, &purchase).await;
            let said: u16 = why.split("answered ").nth(1).unwrap()[..3].parse().unwrap();
            assert!(told.contains(&format!("status: {said}")) && why.contains("asked again"), "{told}: {why}");
            let decides = (400..500).contains(&said) && ![408, 425, 429].contains(&said);
            assert_eq!(why.contains("without a reason, which is no decision"), decides, "{why}");
        }
        assert_eq!(activations(world, &purchase).await, 0);
        receiver.answer(PROVISION, says(200));
        assert_active(world, &purchase).await;
        assert!(receiver.received_at("/elsewhere").is_empty());
    })
    .await;
}

#[tokio::test]
async fn software_that_is_not_there_is_asked_again() {
    let world = World::new(&[
        ("ACTIVATION", "publisher"),
        ("PUBLISHER_PROVISION_URL", "http://127.0.0.1:9/provision-secret"),
        ("PUBLISHER_ALLOWED_HOSTS", "127.0.0.1"),
        ("PUBLISHER_EVENTS_SECRET", crate::receiver::SECRET),
    ])
    .await;
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    let why = last_error(&world, &purchase).await;
    assert!(why.contains("127.0.0.1:9 cannot be reached") && !why.contains("secret"), "{why}");
    assert_eq!(activations(&world, &purchase).await, 0);
}

#[tokio::test]
async fn without_an_address_to_ask_the_publishers_order_is_waited_for() {
    for settings in [ORDERS, &[("ACTIVATION", "publisher"), ("PUBLISHER_PROVISION_URL", PROVISION)]] {
        connected(settings, async |world, receiver| {
            receiver.answer(PROVISION, says(202));
            let purchase = world.silver().await;
            world.confirmed(&purchase).await;
            world.pass(Duration::hours(30)).await;
            assert_eq!(activations(world, &purchase).await, 0, "nothing is activated without a word");
            if settings == ORDERS {
                let reads = world.calls(&purchase.id, "get-subscription").await;
                assert!(reads < 40, "waiting is cheap: {reads}");
                assert!(last_error(world, &purchase).await.contains("has not ordered"));
            }
            let (begun, asked) = (world.now(), receiver.received_at(PROVISION).len());
            assert_eq!(order(world, &purchase).await, 202);
            let record = assert_active(world, &purchase).await;
            assert!(record.activated_at.unwrap() - begun < Duration::minutes(1), "at once: {record:?}");
            assert_eq!(receiver.received_at(PROVISION).len(), asked, "nobody is asked any more");
            let provisioned = entries(&record, &Happening::Provisioned).remove(0);
            assert_eq!((provisioned.by, provisioned.person.as_deref()), (Actor::Publisher, Some("Ada")));
            assert_eq!(order(world, &purchase).await, 409, "it is as ordered");
        })
        .await;
    }
}

#[tokio::test]
async fn an_order_without_a_buyer_asks_nobody() {
    connected(ASKS, async |world, receiver| {
        let purchase = world.silver().await;
        let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
        assert!(page.input("form_token").is_some(), "not confirmed");
        assert_eq!(order(world, &purchase).await, 202);
        assert_active(world, &purchase).await;
        assert!(receiver.received_at(PROVISION).is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_order_counts_after_a_refusal_and_while_the_software_is_asked() {
    connected(ASKS, async |world, receiver| {
        receiver.answer(PROVISION, refuses("No."));
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        assert!(record(world, &purchase).await.refused.is_some());
        assert_eq!(order(world, &purchase).await, 202);
        assert_eq!(assert_active(world, &purchase).await.refused, None);
    })
    .await;
    // The publisher's software orders the activation before it answers, whatever it then answers.
    for says in [says(200), says(202).with("retry-after", "3600"), refuses("No."), says(500)] {
        connected(ASKS, async |world, receiver| {
            receiver.answer(PROVISION, says.clone().held());
            world.faults(json!({ "activationLag": "PT0S" })).await;
            let purchase = world.silver().await;
            let buyer = world.visitor();
            let page = buyer.arrive(&purchase.landing_url, "buyer").await;
            buyer.confirm_with(&page, &[]).await;
            receiver.until(PROVISION, 1).await;
            assert_eq!(order(world, &purchase).await, 202, "{says:?}");
            receiver.release(PROVISION);
            world.idle().await;
            let record = record(world, &purchase).await;
            assert_eq!((&record.known.status, &record.refused), (&Status::Subscribed, &None), "{says:?}: {record:?}");
            assert_eq!(
                (activations(world, &purchase).await, receiver.received_at(PROVISION).len()),
                (1, 1),
                "{says:?}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn after_three_days_it_waits_for_a_person() {
    connected(ASKS, async |world, receiver| {
        receiver.answer(PROVISION, says(202).with("retry-after", "3600"));
        let purchase = world.silver().await;
        let buyer = world.confirmed(&purchase).await;
        world.pass(Duration::hours(75)).await;
        let failed = record(world, &purchase).await;
        assert!(failed.duty(Kind::Activate).unwrap().failed_at.is_some(), "{failed:?}");
        assert_eq!(activations(world, &purchase).await, 0);
        receiver.answer(PROVISION, says(200));
        let address = world.url(&format!("/api/landing?subscription={}", purchase.id));
        let page = buyer.arrive(address.as_str(), "buyer").await;
        buyer.confirm(&page).await;
        assert_active(world, &purchase).await;
        let asked = receiver.received_at(PROVISION);
        assert_eq!(asked[0].attribute("id"), asked[asked.len() - 1].attribute("id"), "the same confirmation");
    })
    .await;
}

#[tokio::test]
async fn what_microsoft_activates_or_cancels_by_itself_is_not_asked_about() {
    connected(ASKS, async |world, receiver| {
        let order = json!({ "offerId": "contoso-offer", "planId": "bronze", "autoActivate": true });
        let purchase = world.purchase(order).await;
        world.idle().await;
        assert_eq!(record(world, &purchase).await.known.status, Status::Subscribed);
        // And where the confirmation comes from a page that was open before Microsoft did it.
        world.dev.simulator.pause_webhooks(true);
        world.faults(json!({ "activationLag": "PT0S" })).await;
        for cancels in [false, true] {
            let purchase = world.silver().await;
            let buyer = world.visitor();
            let page = buyer.arrive(&purchase.landing_url, "buyer").await;
            if cancels {
                world
                    .simulator("POST", &format!("/simulator/subscriptions/{}/unsubscribe", purchase.id), &json!({}))
                    .await;
            } else {
                world.dev.app.marketplace.activate(&purchase.id, "silver", Some(5)).await.unwrap();
            }
            buyer.confirm(&page).await;
            world.idle().await;
            let record = record(world, &purchase).await;
            assert!(record.duties.is_empty() && !record.known.status.is_pending(), "{record:?}");
        }
        assert!(receiver.received_at(PROVISION).is_empty());
        world.dev.simulator.pause_webhooks(false);
    })
    .await;
}

/// The app with another setting, over the same records and queues.
fn app_with(world: &World, change: impl FnOnce(&mut Connection)) -> App {
    let app = &world.dev.app;
    let mut settings = Settings::clone(&app.settings);
    change(&mut settings.connection);
    App { settings: Arc::new(settings), ..app.clone() }
}

async fn ring(app: &App, purchase: &Purchase) {
    let doorbell = Doorbell { queue: Queue::Activations, subscription: purchase.id.clone() };
    functions::discharge(app, &doorbell).await.unwrap();
}

#[tokio::test]
async fn a_setting_that_changes_counts_from_the_next_attempt() {
    connected(ORDERS, async |world, _| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.advance(Duration::hours(1));
        ring(&app_with(world, |connection| connection.activation = Activation::Automatic), &purchase).await;
        assert_active(world, &purchase).await;
    })
    .await;
    connected(&[("PUBLISHER_EVENTS_URL", "/events")], async |world, receiver| {
        let asks = |connection: &mut Connection| {
            connection.activation = Activation::Publisher;
            connection.provision = Some(receiver.url(PROVISION).parse().unwrap());
        };
        // What Microsoft has received is not held up any more.
        world.faults(json!({ "activationLag": "PT10M" })).await;
        let received = world.silver().await;
        world.confirmed(&received).await;
        world.advance(Duration::minutes(1));
        ring(&app_with(world, asks), &received).await;
        assert!(receiver.received_at(PROVISION).is_empty());

        world.faults(json!({ "rules": [{ "operation": "activate", "times": 1, "answer": "503" }] })).await;
        let refused = world.silver().await;
        world.confirmed(&refused).await;
        world.advance(Duration::minutes(1));
        ring(&app_with(world, asks), &refused).await;
        assert_eq!(receiver.received_at(PROVISION).len(), 1, "from now on the publisher is asked");
        world.simulator("POST", "/simulator/clock", &json!({ "advance": "PT10M" })).await;
    })
    .await;
}

/// What befalls the attempt costs one more question at most, and none once the answer is saved.
async fn at_every_operation(mishap: Mishap) {
    for after in 0..20 {
        let receiver = Receiver::start().await;
        let world = receiver.world(ASKS).await;
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        let told = format!("{mishap:?} after {after}");
        let known = std::cell::Cell::new(None);
        world.dev.mishaps.plan(after, mishap);
        world
            .with_undertaker(async {
                buyer.confirm_with(&page, &[]).await;
                world.idle().await;
                let record = world.record(&purchase.id).await.unwrap();
                if !entries(&record, &Happening::Provisioned).is_empty() {
                    known.set(Some(receiver.received_at(PROVISION).len()));
                }
                // Whoever died before the confirmation was saved is asked by the buyer once more.
                if record.confirmed_at.is_none() {
                    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
                    buyer.confirm(&page).await;
                }
                world.settle().await;
            })
            .await;
        let struck = world.dev.mishaps.is_over();
        world.dev.mishaps.cancel();
        world.assert_silence().await;
        let record = record(&world, &purchase).await;
        assert_eq!(record.known.status, Status::Subscribed, "{told}: {record:?}");
        assert_eq!(entries(&record, &Happening::Provisioned).len(), 1, "{told}: {record:?}");
        let asked = receiver.received_at(PROVISION);
        assert!((1..=2).contains(&asked.len()), "{told}: {asked:?}");
        assert!(asked.iter().all(|one| one.attribute("id") == asked[0].attribute("id")), "{told}: {asked:?}");
        assert!(known.get().is_none_or(|known| known == asked.len()), "{told}: asked although it was known");
        if !struck {
            assert!(after > 7, "a confirmation takes more than {after} operations");
            return;
        }
    }
    panic!("a confirmation takes fewer operations");
}

#[tokio::test]
async fn a_lost_race_at_each_operation_asks_nothing_that_is_known() {
    at_every_operation(Mishap::LostRace).await;
}

#[tokio::test]
async fn a_death_after_each_operation_asks_nothing_that_is_known() {
    at_every_operation(Mishap::DiesAfter).await;
}

#[test]
fn what_an_answer_means() {
    let said = |status, body: &str| {
        let retry_after = Some(Duration::seconds(7));
        provisioning(&Answer { status, retry_after, body: body.to_owned() })
    };
    let refused = |reason: &str| Provisioning::Refused(reason.to_owned());
    assert_eq!(said(200, "whatever"), Provisioning::Done);
    assert_eq!(said(202, r#"{"reason":"No."}"#), Provisioning::UnderWay(Some(Duration::seconds(7))));
    for status in [400, 401, 403, 404, 409, 410, 422, 451, 499] {
        assert_eq!(said(status, r#"{"reason":"No."}"#), refused("No."), "{status}");
    }
    let reason = |reason: &str| said(409, &json!({ "reason": reason, "more": 1 }).to_string());
    assert_eq!(reason("\u{0}a\u{1b}[31m\r\n b\u{85} "), refused("a [31m b"), "one line, no control characters");
    assert_eq!(reason("x"), refused("x"));
    let Provisioning::Refused(long) = reason(&"ä".repeat(5_000)) else { panic!("no refusal") };
    assert_eq!((long.chars().count(), long.ends_with('…')), (300, true));
    for (status, body) in [
        (404, ""),
        (404, "{\"reason\":\"cut off"),
        (404, r#"["reason"]"#),
        (404, r#"{"reason":null}"#),
        (404, r#"{"reason":""}"#),
        (408, r#"{"reason":"No."}"#),
        (100, ""),
        (203, ""),
        (206, ""),
        (301, r#"{"reason":"No."}"#),
        (500, r#"{"reason":"No."}"#),
    ] {
        let Provisioning::Unclear { after, .. } = said(status, body) else { panic!("{status} {body}") };
        assert_eq!(after, Some(Duration::seconds(7)));
    }
}
