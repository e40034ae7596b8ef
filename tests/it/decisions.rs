//! Stories of decisions: a change that policy accepts is put to the publisher's software once, within what Microsoft's ten
//! seconds leave; everybody else waits for its verdict, silence takes the default, and what comes late changes nothing.

use std::sync::Arc;
use std::time::{Duration as Patience, Instant};

use futures_util::future::join_all;
use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::Doorbell;
use marketplace_fulfillment::command::decision;
use marketplace_fulfillment::decision::{Asking, DECISION_BUDGET};
use marketplace_fulfillment::dev::simulator::Deed;
use marketplace_fulfillment::duty::{DutyId, Kind, Queue, Verdict};
use marketplace_fulfillment::functions;
use marketplace_fulfillment::functions::webhook::LAST_WORDS;
use marketplace_fulfillment::history::{Actor, Entry, Happening};
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::notice::Question;
use marketplace_fulfillment::publisher::Answer;
use marketplace_fulfillment::settings::{Connection, Settings};
use marketplace_fulfillment::subscription::{Decision, Event, Notice, OperationId, Ruling, Subscription, Terms};
use serde_json::{Value, json};
use time::Duration;

use crate::receiver::{Receiver, Says, connected, says};
use crate::webhook::{act, active, notify, told};
use crate::world::{Purchase, World};

const DECISIONS: &str = "/decisions";

/// The publisher decides.
const DECIDES: &[(&str, &str)] = &[("PUBLISHER_DECISIONS_URL", DECISIONS)];

/// The publisher decides, and its silence refuses.
const OR_REFUSES: &[(&str, &str)] =
    &[("PUBLISHER_DECISIONS_URL", DECISIONS), ("PUBLISHER_DECISIONS_DEFAULT", "refuse")];

/// How long after a question nobody who asked it can be alive.
const ASKED: Duration = Duration::seconds(8);

fn accepts() -> Says {
    says(200).json(&json!({ "decision": "accept", "reason": "Welcome to gold." }))
}

fn refuses() -> Says {
    says(200).json(&json!({ "decision": "refuse", "reason": "Gold is sold out." }))
}

async fn record(world: &World, purchase: &Purchase) -> Subscription {
    world.record(&purchase.id).await.expect("a record")
}

/// How often Microsoft was answered.
async fn answers(world: &World, purchase: &Purchase) -> u64 {
    world.calls(&purchase.id, "update-operation").await
}

fn entries(record: &Subscription, what: &Happening) -> Vec<Entry> {
    record.history.entries.iter().filter(|entry| entry.what == *what).cloned().collect()
}

/// The one answer to a change.
#[track_caller]
fn answered(record: &Subscription) -> Entry {
    let mut answered = entries(record, &Happening::Answered);
    assert_eq!(answered.len(), 1, "{record:?}");
    answered.remove(0)
}

fn gold(world: &World, purchase: &Purchase) -> (String, Value) {
    let operation = act(world, purchase, &Deed::ChangePlan("gold".to_owned()));
    let body = told(&purchase.id, &operation, "ChangePlan");
    (operation, body)
}

fn examine(operation: &str) -> DutyId {
    DutyId { kind: Kind::Examine, operation: OperationId::parse(operation) }
}

#[tokio::test]
async fn what_the_publishers_software_accepts_is_accepted() {
    connected(DECIDES, async |world, receiver| {
        receiver.answer(DECISIONS, accepts().held());
        let purchase = active(world).await;
        let (operation, body) = gold(world, &purchase);
        let meanwhile = async {
            let asked = receiver.until(DECISIONS, 1).await.remove(0);
            assert_eq!(answers(world, &purchase).await, 0, "nobody is answered before it");
            let record = record(world, &purchase).await;
            let duty = record.duty(examine(&operation)).unwrap();
            assert!(record.is_asked(&examine(&operation)), "claimed before it was asked: {record:?}");
            assert_eq!(duty.not_before, world.now() + ASKED, "and nobody else's while it is");
            receiver.release(DECISIONS);
            asked
        };
        let (answer, asked) = tokio::join!(notify(world, &body), meanwhile);
        assert_eq!(answer.status, 200, "{}", answer.code);
        world.settle().await;
        let record = record(world, &purchase).await;
        assert_eq!((record.known.plan_id.as_str(), answers(world, &purchase).await), ("gold", 1));
        let entry = answered(&record);
        assert_eq!((entry.by, entry.why.as_deref()), (Actor::Publisher, Some("Welcome to gold.")));
        let told = entry.to.unwrap();
        assert!(told.starts_with("ChangePlan: Success, after ") && told.ends_with(" ms"), "{told}");

        assert_eq!(asked.attribute("id"), format!("cmd_decide_{operation}"));
        assert_eq!(asked.header("webhook-id"), Some(asked.attribute("id")));
        assert_eq!(asked.attribute("type"), "marketplace.command.decide");
        assert_eq!(asked.attribute("dataschema"), "urn:marketplace-fulfillment:event:v1:decide");
        assert_eq!((asked.attribute("subject"), &asked.event["sequence"]), (purchase.id.as_str(), &Value::Null));
        let change = json!({
            "from": { "planId": "silver", "quantity": 5 }, "to": { "planId": "gold", "quantity": 5 },
            "by": "marketplace", "operationId": operation,
        });
        assert_eq!(asked.event["data"]["change"], change);
        assert_eq!(asked.event["data"]["subscription"]["planId"], "silver", "as it is until then");
    })
    .await;
}

#[tokio::test]
async fn what_the_publishers_software_refuses_is_refused_for_good() {
    let settings = [DECIDES, &[("PUBLISHER_EVENTS_URL", "/events")]].concat();
    connected(&settings, async |world, receiver| {
        receiver.answer_next(DECISIONS, [refuses()]);
        receiver.answer(DECISIONS, accepts());
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::ChangeQuantity(9));
        for _ in 0..3 {
            let answer = notify(world, &told(&purchase.id, &operation, "ChangeQuantity")).await;
            assert_eq!(answer.status, 400, "{}", answer.code);
        }
        world.settle().await;
        assert_eq!(notify(world, &told(&purchase.id, &operation, "ChangeQuantity")).await.status, 400);
        let record = record(world, &purchase).await;
        assert_eq!((record.known.quantity, answers(world, &purchase).await), (Some(5), 1));
        assert_eq!(receiver.received_at(DECISIONS).len(), 1, "asked once");
        let entry = answered(&record);
        assert_eq!((entry.by, entry.why.as_deref()), (Actor::Publisher, Some("Gold is sold out.")));
        let news = receiver.received_at("/events");
        let news = |kind: &str| news.iter().find(|one| one.attribute("type").ends_with(kind)).unwrap().event.clone();
        assert_eq!(news("seats_change_requested")["data"]["change"]["by"], "marketplace");
        let rejected = json!({
            "from": "5", "to": "9", "by": "publisher", "why": "Gold is sold out.", "operationId": operation,
        });
        assert_eq!(news("seats_change_rejected")["data"]["change"], rejected);
    })
    .await;
}

/// The one story that waits for the whole budget, in real time.
#[tokio::test]
async fn silence_takes_the_default_and_what_comes_late_changes_nothing() {
    connected(DECIDES, async |world, receiver| {
        receiver.answer(DECISIONS, refuses().held());
        let purchase = active(world).await;
        let (operation, body) = gold(world, &purchase);
        let begun = Instant::now();
        let all = join_all((0..10).map(|_| notify(world, &body))).await;
        let took = begun.elapsed();
        assert!(all.iter().all(|answer| answer.status == 200), "{all:?}");
        assert!(took >= DECISION_BUDGET && took < DECISION_BUDGET + LAST_WORDS, "{took:?}");
        let before = record(world, &purchase).await;
        assert!(entries(&before, &Happening::LateDecision).is_empty());
        receiver.release(DECISIONS);
        world.settle().await;
        assert_eq!(notify(world, &body).await.status, 200, "the verdict stands");
        let record = record(world, &purchase).await;
        assert_eq!((record.known.plan_id.as_str(), answers(world, &purchase).await), ("gold", 1));
        let id = OperationId::parse(&operation).unwrap();
        assert_eq!(record.answer_to(&id).unwrap().decision, Decision::Given(Verdict::Success));
        let entry = answered(&record);
        let why = "no answer of the publisher's software within 3000 ms: accepted by default";
        assert_eq!((entry.by, entry.why.as_deref()), (Actor::Program, Some(why)));
        let late = entries(&record, &Happening::LateDecision).remove(0);
        assert_eq!((late.by, late.why.as_deref()), (Actor::Publisher, Some("Gold is sold out.")));
        let told = late.to.unwrap();
        assert!(told.starts_with("ChangePlan: Failure, after 3") && told.ends_with(" ms"), "{told}");
        assert_eq!(receiver.received_at(DECISIONS).len(), 1, "ten at once ask once");
    })
    .await;
}

#[tokio::test]
async fn ten_at_once_and_ten_in_a_row_ask_once_and_hear_the_same() {
    for (answer, status, plan) in [(accepts(), 200, "gold"), (refuses(), 400, "silver")] {
        connected(OR_REFUSES, async |world, receiver| {
            receiver.answer(DECISIONS, answer.held());
            let purchase = active(world).await;
            let (_, body) = gold(world, &purchase);
            let release = async {
                receiver.until(DECISIONS, 1).await;
                receiver.release(DECISIONS);
            };
            let (all, ()) = tokio::join!(join_all((0..10).map(|_| notify(world, &body))), release);
            assert!(all.iter().all(|answer| answer.status == status), "{all:?}");
            for _ in 0..10 {
                assert_eq!(notify(world, &body).await.status, status);
            }
            world.settle().await;
            let record = record(world, &purchase).await;
            assert_eq!((record.known.plan_id.as_str(), answers(world, &purchase).await), (plan, 1));
            assert_eq!((receiver.received_at(DECISIONS).len(), answered(&record).by), (1, Actor::Publisher));
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_no_decision_is_silence_at_once() {
    let table = [
        (says(500), "answered 500"),
        (says(404).json(&json!({ "decision": "accept" })), "answered 404"),
        (says(202).json(&json!({ "decision": "accept" })), "answered 202"),
        (says(302).with("location", "/elsewhere"), "answered 302"),
        (says(200).json(&json!({ "decision": "maybe" })), "answered 200 without a decision"),
        (says(200), "answered 200 without a decision"),
    ];
    connected(OR_REFUSES, async |world, receiver| {
        let purchase = active(world).await;
        for (asked, (answer, why)) in table.into_iter().enumerate() {
            receiver.answer(DECISIONS, answer);
            let begun = Instant::now();
            let (_, body) = gold(world, &purchase);
            assert_eq!(notify(world, &body).await.status, 400, "{why}");
            assert!(begun.elapsed() < DECISION_BUDGET, "{why}: nobody waits for what was said");
            world.settle().await;
            let entry = entries(&record(world, &purchase).await, &Happening::Answered).pop().unwrap();
            assert_eq!(entry.by, Actor::Program, "{why}");
            assert_eq!(entry.why.unwrap(), format!("the publisher's software {why}: refused by default"));
            assert_eq!(receiver.received_at(DECISIONS).len(), asked + 1, "{why}: once");
        }
        assert!(receiver.received_at("/elsewhere").is_empty());
        assert_eq!(record(world, &purchase).await.known.plan_id, "silver");
    })
    .await;
    let nobody = &[("PUBLISHER_DECISIONS_URL", "http://127.0.0.1:9/decisions-secret")];
    connected(nobody, async |world, _| {
        let purchase = active(world).await;
        let (_, body) = gold(world, &purchase);
        assert_eq!(notify(world, &body).await.status, 200);
        let why = answered(&record(world, &purchase).await).why.unwrap();
        assert!(why.contains("127.0.0.1:9 cannot be reached") && why.ends_with(": accepted by default"), "{why}");
        assert!(!why.contains("secret"), "{why}");
    })
    .await;
}

#[tokio::test]
async fn who_has_nothing_to_decide_is_not_asked() {
    connected(&[DECIDES, &[("CHANGE_POLICY", r#"{"default":"refuse"}"#)]].concat(), async |world, receiver| {
        let purchase = active(world).await;
        let (_, body) = gold(world, &purchase);
        assert_eq!(notify(world, &body).await.status, 400, "policy refuses by itself");
        world.settle().await;
        assert_eq!(answered(&record(world, &purchase).await).by, Actor::Program);
        assert!(receiver.received().is_empty());
    })
    .await;
    connected(DECIDES, async |world, receiver| {
        let purchase = active(world).await;
        for (deed, action) in [
            (Deed::Suspend, "Suspend"),
            (Deed::Reinstate, "Reinstate"),
            (Deed::Renew, "Renew"),
            (Deed::Transfer, "Transfer"),
        ] {
            let operation = act(world, &purchase, &deed);
            assert_eq!(notify(world, &told(&purchase.id, &operation, action)).await.status, 200, "{action}");
            world.settle().await;
        }
        // The publisher's own order comes back as a webhook.
        world.dev.simulator.pause_webhooks(false);
        let url = world.url(&format!("/api/subscriptions/{}", purchase.id));
        let order = world.http.patch(url).json(&json!({ "planId": "gold" })).send().await.unwrap();
        assert_eq!(order.status(), 202);
        world.settle().await;
        assert_eq!(record(world, &purchase).await.known.plan_id, "gold");
        assert!(receiver.received().is_empty(), "{:?}", receiver.received());

        // What the customer takes back is as it is, and one that was refused is not asked about twice.
        receiver.answer(DECISIONS, refuses());
        world.faults(json!({ "webhooks": { "revert": true } })).await;
        act(world, &purchase, &Deed::ChangeQuantity(9));
        world.settle().await;
        let record = record(world, &purchase).await;
        assert_eq!((record.known.quantity, receiver.received_at(DECISIONS).len()), (Some(5), 1), "{record:?}");
        assert_eq!(record.answered.len(), 7, "the revert was answered: {record:?}");

        let operation = act(world, &purchase, &Deed::Unsubscribe);
        notify(world, &told(&purchase.id, &operation, "Unsubscribe")).await;
        assert_eq!(receiver.received_at(DECISIONS).len(), 1);
    })
    .await;
}

/// Microsoft cannot be asked: what the publisher's software might refuse is not waved through, and it is asked later, once.
#[tokio::test]
async fn microsofts_api_down_while_the_publisher_decides() {
    for (answer, status, plan) in [(accepts(), 200, "gold"), (refuses(), 400, "silver")] {
        for down in ["get-subscription", "get-operation"] {
            connected(DECIDES, async |world, receiver| {
                receiver.answer(DECISIONS, answer.clone());
                let purchase = active(world).await;
                let (operation, body) = gold(world, &purchase);
                world.faults(json!({ "rules": [{ "operation": down, "times": 1, "answer": "500" }] })).await;
                let first = notify(world, &body).await;
                assert_eq!((first.status, first.code.as_str()), (503, "marketplace_unavailable"), "{down}");
                assert!(receiver.received().is_empty(), "nothing is known to ask about");
                assert!(record(world, &purchase).await.duty(examine(&operation)).is_some());
                // Nobody comes again: the duty asks.
                world.settle().await;
                assert_eq!(notify(world, &body).await.status, status, "{down}: Microsoft comes again");
                world.settle().await;
                let record = record(world, &purchase).await;
                assert_eq!((record.known.plan_id.as_str(), answers(world, &purchase).await), (plan, 1), "{down}");
                assert_eq!(
                    (answered(&record).by, receiver.received_at(DECISIONS).len()),
                    (Actor::Publisher, 1),
                    "{down}"
                );
            })
            .await;
        }
    }
}

/// The duty and the repeated webhook ask side by side: one of them does.
#[tokio::test]
async fn whoever_claims_the_question_asks_it() {
    connected(DECIDES, async |world, receiver| {
        receiver.answer(DECISIONS, refuses().held());
        let purchase = active(world).await;
        let (_, body) = gold(world, &purchase);
        world.faults(json!({ "rules": [{ "operation": "get-operation", "times": 1, "answer": "500" }] })).await;
        assert_eq!(notify(world, &body).await.status, 503);
        let doorbell = Doorbell { queue: Queue::Acknowledgements, subscription: purchase.id.clone() };
        let release = async {
            receiver.until(DECISIONS, 1).await;
            receiver.release(DECISIONS);
        };
        let bell = functions::discharge(&world.dev.app, &doorbell);
        let (discharged, answer, ()) = tokio::join!(bell, notify(world, &body), release);
        discharged.unwrap();
        assert_eq!(answer.status, 400, "{}", answer.code);
        world.settle().await;
        assert_eq!((receiver.received_at(DECISIONS).len(), answers(world, &purchase).await), (1, 1));
    })
    .await;
}

/// A clock that is fast, or an operator, may settle it while the answer is under way: what stands, stands.
#[tokio::test]
async fn whoever_is_overtaken_while_asking_answers_as_it_stands() {
    connected(DECIDES, async |world, receiver| {
        receiver.answer(DECISIONS, refuses().held());
        let purchase = active(world).await;
        let (operation, body) = gold(world, &purchase);
        let meanwhile = async {
            receiver.until(DECISIONS, 1).await;
            let notice = Notice { operation: OperationId::parse(&operation), action: "ChangePlan".to_owned() };
            let wanted = Terms { plan_id: "gold".to_owned(), quantity: Some(5) };
            let ruling = Ruling::by_rule(Verdict::Success, None);
            world.dev.app.record(&purchase.id, Event::Decided { notice, wanted, ruling }, None).await.unwrap();
            receiver.release(DECISIONS);
        };
        let (answer, ()) = tokio::join!(notify(world, &body), meanwhile);
        assert_eq!(answer.status, 200, "{}", answer.code);
        world.settle().await;
        let record = record(world, &purchase).await;
        assert_eq!((answered(&record).by, record.known.plan_id.as_str()), (Actor::Program, "gold"));
        let late = entries(&record, &Happening::LateDecision).remove(0);
        assert_eq!((late.by, late.why.as_deref()), (Actor::Publisher, Some("Gold is sold out.")));
        assert_eq!(answers(world, &purchase).await, 1);
    })
    .await;
}

/// Somebody set out to ask and is not heard of again.
async fn asked_and_gone(world: &World, operation: &str, purchase: &Purchase) {
    let notice = Notice { operation: OperationId::parse(operation), action: "ChangePlan".to_owned() };
    let event = Event::Asked { notice, until: world.now() + ASKED };
    world.dev.app.record(&purchase.id, event, None).await.unwrap();
}

#[tokio::test]
async fn whoever_asked_and_died_leaves_the_default() {
    connected(OR_REFUSES, async |world, receiver| {
        let purchase = active(world).await;
        // Somebody looks again: Microsoft, or the bell.
        for comes_again in [true, false] {
            let (operation, body) = gold(world, &purchase);
            asked_and_gone(world, &operation, &purchase).await;
            if comes_again {
                let begun = Instant::now();
                let early = notify(world, &body).await;
                assert_eq!((early.status, early.code.as_str()), (503, "contended"), "they may still be alive");
                assert!(begun.elapsed() < DECISION_BUDGET + LAST_WORDS * 2, "{:?}", begun.elapsed());
                world.advance(ASKED);
                assert_eq!(notify(world, &body).await.status, 400);
            }
            world.settle().await;
            assert_eq!(notify(world, &body).await.status, 400);
            let entry = entries(&record(world, &purchase).await, &Happening::Answered).pop().unwrap();
            let why = "the publisher's software was asked, and nobody was left to hear it: refused by default";
            assert_eq!((entry.by, entry.why.as_deref()), (Actor::Program, Some(why)));
        }
        assert!(receiver.received().is_empty(), "it is not asked twice");
        assert_eq!(answers(world, &purchase).await, 2);
    })
    .await;
}

/// Whatever befalls whoever asks: asked once at most, one verdict, and Microsoft hears nothing else.
async fn at_every_operation(mishap: Mishap) {
    for after in 0..24 {
        let receiver = Receiver::start().await;
        receiver.answer(DECISIONS, refuses());
        let world = receiver.world(DECIDES).await;
        let purchase = active(&world).await;
        let (operation, body) = gold(&world, &purchase);
        let heard = std::sync::Mutex::new(Vec::new());
        world.dev.mishaps.plan(after, mishap);
        world
            .with_undertaker(async {
                for _ in 0..6 {
                    let status = notify(&world, &body).await.status;
                    heard.lock().unwrap().push(status);
                    if [200, 400].contains(&status) {
                        break;
                    }
                    world.idle().await;
                    world.advance(ASKED + Duration::SECOND);
                }
                world.settle().await;
            })
            .await;
        let (struck, told) = (world.dev.mishaps.is_over(), format!("{mishap:?} after {after}"));
        world.dev.mishaps.cancel();
        let record = record(&world, &purchase).await;
        let id = OperationId::parse(&operation).unwrap();
        let verdict = record.answer_to(&id).unwrap_or_else(|| panic!("{told}: {record:?}")).decision.verdict();
        let heard = heard.into_inner().unwrap();
        let expected = if verdict == Some(Verdict::Failure) { 400 } else { 200 };
        let others: Vec<_> = heard.iter().filter(|status| **status < 500 && **status != expected).collect();
        assert!(others.is_empty() && heard.contains(&expected), "{told}: {heard:?} to {verdict:?}");
        assert!(receiver.received_at(DECISIONS).len() <= 1, "{told}: {:?}", receiver.received());
        assert_eq!(entries(&record, &Happening::Answered).len(), 1, "{told}: {record:?}");
        world.assert_silence().await;
        if !struck {
            assert!(after > 8, "a decision takes more than {after} operations");
            return;
        }
    }
    panic!("a decision takes fewer operations");
}

#[tokio::test]
async fn a_lost_race_at_each_operation_asks_once() {
    at_every_operation(Mishap::LostRace).await;
}

#[tokio::test]
async fn a_death_after_each_operation_asks_once() {
    at_every_operation(Mishap::DiesAfter).await;
}

/// A question that is asked past the webhook, so that nobody waits for three seconds.
async fn ask(world: &World, receiver: &Receiver, purchase: &Purchase, operation: &str) -> Asking {
    let to = receiver.url(DECISIONS).parse().unwrap();
    let record = record(world, purchase).await;
    let wanted = Terms { plan_id: "gold".to_owned(), quantity: Some(5) };
    let operation = OperationId::parse(operation).unwrap();
    let question = Question { operation, action: "ChangePlan".to_owned(), wanted };
    Asking::begin(&world.dev.app, &to, &record, &question, world.now())
}

#[tokio::test]
async fn only_a_late_decision_is_remembered_as_one() {
    connected(DECIDES, async |world, receiver| {
        let (app, purchase) = (&world.dev.app, active(world).await);
        let before = record(world, &purchase).await;
        for (answer, noted) in [(says(500), 0), (says(200), 0), (accepts(), 1)] {
            receiver.answer(DECISIONS, answer.after(Patience::from_millis(50)));
            let asking = ask(world, receiver, &purchase, "op-1").await;
            let (ruling, late) = asking.within(Patience::from_millis(10), Verdict::Failure).await;
            let why = "no answer of the publisher's software within 10 ms: refused by default";
            assert_eq!((ruling.verdict, ruling.why.as_deref()), (Verdict::Failure, Some(why)));
            late.expect("somebody may listen").listen(app).await.unwrap();
            let record = record(world, &purchase).await;
            let late = entries(&record, &Happening::LateDecision);
            assert_eq!(late.len(), noted, "{record:?}");
            let mut without = record.clone();
            without.history = before.history.clone();
            assert_eq!(without, before, "it changes nothing");
        }
        receiver.answer(DECISIONS, accepts());
        let asking = ask(world, receiver, &purchase, "op-2").await;
        let (ruling, late) = asking.within(Patience::from_secs(9), Verdict::Failure).await;
        assert_eq!((ruling.verdict, ruling.by), (Verdict::Success, Actor::Publisher));
        assert!(late.is_none(), "nothing is left to listen to");
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

/// The setting goes, or comes, while something is to be examined: what is set when it is examined counts.
#[tokio::test]
async fn a_setting_that_changes_counts_from_the_next_look() {
    connected(OR_REFUSES, async |world, receiver| {
        let purchase = active(world).await;
        let doorbell = Doorbell { queue: Queue::Acknowledgements, subscription: purchase.id.clone() };
        let (operation, _) = gold(world, &purchase);
        asked_and_gone(world, &operation, &purchase).await;
        world.advance(ASKED);
        let app = app_with(world, |connection| connection.decisions = None);
        functions::discharge(&app, &doorbell).await.unwrap();
        world.settle().await;
        let gone = record(world, &purchase).await;
        assert_eq!((gone.known.plan_id.as_str(), answered(&gone).by), ("gold", Actor::Program), "policy alone decides");
        assert!(receiver.received().is_empty());
    })
    .await;
    connected(&[("PUBLISHER_EVENTS_URL", "/events")], async |world, receiver| {
        receiver.answer(DECISIONS, refuses());
        let purchase = active(world).await;
        let doorbell = Doorbell { queue: Queue::Acknowledgements, subscription: purchase.id.clone() };
        let (operation, _) = gold(world, &purchase);
        let notice = Notice { operation: OperationId::parse(&operation), action: "ChangePlan".to_owned() };
        world.dev.app.record(&purchase.id, Event::Unread(notice), None).await.unwrap();
        let app = app_with(world, |connection| connection.decisions = receiver.url(DECISIONS).parse().ok());
        functions::discharge(&app, &doorbell).await.unwrap();
        world.settle().await;
        let come = record(world, &purchase).await;
        assert_eq!((come.known.plan_id.as_str(), answered(&come).by), ("silver", Actor::Publisher));
    })
    .await;
}

#[test]
fn what_an_answer_means() {
    let said = |status, body: &str| decision(&Answer { status, retry_after: None, body: body.to_owned() });
    let known = |body: &str| said(200, body).map(|said| (said.verdict, said.why));
    assert_eq!(known(r#"{"decision":"accept"}"#), Ok((Verdict::Success, None)));
    assert_eq!(known(r#"{"decision":"refuse","reason":null,"x":1}"#), Ok((Verdict::Failure, None)));
    assert_eq!(known(r#"{"decision":"accept","reason":7}"#), Ok((Verdict::Success, None)));
    let reason = Some("two lines".to_owned());
    assert_eq!(known("{\"decision\":\"refuse\",\"reason\":\" two\\n\\u0007lines \"}"), Ok((Verdict::Failure, reason)));
    for body in ["", "accept", r#"{"decision":"Accept"}"#, r#"{"decision":true}"#, r#"["accept"]"#, r#"{"reason":"x"}"#]
    {
        assert!(said(200, body).unwrap_err().contains("without a decision"), "{body}");
    }
    for status in [201, 202, 204, 302, 400, 409, 500] {
        assert!(said(status, r#"{"decision":"accept"}"#).unwrap_err().contains(&status.to_string()));
    }
}
