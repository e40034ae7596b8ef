//! Stories of the webhook: every row of the table of answers, and every way in which Microsoft repeats, delays or
//! garbles what it tells. The stories post by hand what Microsoft would send, so that each knows what was sent when; the
//! simulator's own webhooks are held back, or lost on their way where Microsoft must believe that it sent them.

use marketplace_fulfillment::dev::simulator::{CLIENT_ID, Deed, RESOURCE_ID, Signature, TENANT_ID};
use marketplace_fulfillment::duty::Kind;
use marketplace_fulfillment::functions::webhook::ANSWER_BUDGET;
use marketplace_fulfillment::history::Happening;
use marketplace_fulfillment::mishap::Mishap;
use marketplace_fulfillment::store::record::Row;
use marketplace_fulfillment::subscription::{Status, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::Duration;

use crate::world::{Purchase, World, story};

/// Refuses whatever it can.
const REFUSES: &str = r#"{"default":"refuse"}"#;

/// What Microsoft signs, version 1.
pub(crate) fn claims(world: &World) -> Value {
    let now = world.now().unix_timestamp();
    json!({
        "aud": CLIENT_ID, "appid": RESOURCE_ID, "tid": TENANT_ID, "ver": "1.0",
        "iss": format!("https://sts.windows.net/{TENANT_ID}/"),
        "iat": now, "nbf": now, "exp": now + 3_600,
    })
}

/// Microsoft's answer from us: status and code.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: String,
}

async fn post(world: &World, body: &Value, token: &str) -> Answer {
    let request = world.http.post(world.url("/api/webhook")).bearer_auth(token).json(body);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    Answer { status, code: body["code"].as_str().unwrap_or_default().to_owned() }
}

pub(crate) async fn notify(world: &World, body: &Value) -> Answer {
    let token = world.dev.simulator.sign(&claims(world), Signature::Good);
    post(world, body, &token).await
}

pub(crate) fn told(id: &SubscriptionId, operation: &str, action: &str) -> Value {
    json!({
        "id": operation, "activityId": operation, "subscriptionId": id.as_str(), "action": action,
        "offerId": "contoso-offer", "planId": "lies", "quantity": 999, "status": "lies",
        "subscription": { "id": id.as_str(), "saasSubscriptionStatus": "lies" },
    })
}

pub(crate) async fn active(world: &World) -> Purchase {
    world.dev.simulator.pause_webhooks(true);
    let purchase = world.silver().await;
    world.confirmed(&purchase).await;
    world.settle().await;
    purchase
}

pub(crate) fn act(world: &World, purchase: &Purchase, deed: &Deed) -> String {
    world.dev.simulator.act(purchase.id.as_str(), deed).unwrap()
}

async fn record(world: &World, purchase: &Purchase) -> Subscription {
    world.record(&purchase.id).await.expect("a record")
}

#[tokio::test]
async fn a_change_that_policy_accepts_is_answered_and_acknowledged_once() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::ChangePlan("gold".to_owned()));
        assert_eq!(notify(world, &told(&purchase.id, &operation, "ChangePlan")).await.status, 200);
        world.settle().await;
        assert_eq!(world.calls(&purchase.id, "update-operation").await, 1);
        let record = record(world, &purchase).await;
        assert_eq!(record.known.plan_id, "gold");
        assert!(record.history.entries.iter().any(|entry| entry.what == Happening::Answered), "{record:?}");
    })
    .await;
}

#[tokio::test]
async fn a_change_that_policy_refuses_is_400_and_stays_refused() {
    let world = World::new(&[("CHANGE_POLICY", REFUSES)]).await;
    let purchase = active(&world).await;
    let operation = act(&world, &purchase, &Deed::ChangeQuantity(9));
    for _ in 0..3 {
        let answer = notify(&world, &told(&purchase.id, &operation, "ChangeQuantity")).await;
        assert_eq!(answer.status, 400, "{}", answer.code);
    }
    world.settle().await;
    assert_eq!(world.calls(&purchase.id, "update-operation").await, 1);
    assert_eq!(record(&world, &purchase).await.known.quantity, Some(5));
    assert_eq!(notify(&world, &told(&purchase.id, &operation, "ChangeQuantity")).await.status, 400, "a day later too");
    world.assert_silence().await;
}

/// After going back to this version: what a newer one decided in a word of its own is neither decided again nor told.
#[tokio::test]
async fn an_answer_of_a_newer_version_is_that_versions_to_repeat() {
    let world = World::in_memory(&[]).await;
    let purchase = active(&world).await;
    let operation = act(&world, &purchase, &Deed::ChangePlan("gold".to_owned()));
    let body = told(&purchase.id, &operation, "ChangePlan");
    assert_eq!(notify(&world, &body).await.status, 200);
    world.settle().await;
    let row = world.rows().row(&purchase.id).unwrap();
    let newer = row.record.replace(r#""verdict":"success""#, r#""verdict":"deferred""#);
    assert_ne!(newer, row.record);
    world.rows().put(&purchase.id, Row { record: newer, ..row });
    let before = record(&world, &purchase).await;
    let answer = notify(&world, &body).await;
    assert_eq!((answer.status, answer.code.as_str()), (503, "record_newer"));
    assert_eq!(record(&world, &purchase).await, before, "nothing is decided again");
    assert_eq!(world.calls(&purchase.id, "update-operation").await, 1);
}

#[tokio::test]
async fn what_needs_no_answer_is_recorded_from_microsofts_api() {
    for (deed, action, status) in [
        (Deed::Suspend, "Suspend", Status::Suspended),
        (Deed::Unsubscribe, "Unsubscribe", Status::Unsubscribed),
        (Deed::Renew, "Renew", Status::Subscribed),
    ] {
        story(async |world| {
            let purchase = active(world).await;
            let ends = record(world, &purchase).await.known.term.end;
            let operation = act(world, &purchase, &deed);
            assert_eq!(notify(world, &told(&purchase.id, &operation, action)).await.status, 200);
            let record = record(world, &purchase).await;
            assert_eq!(record.known.status, status, "{action}");
            assert_eq!(record.known.term.end != ends, action == "Renew");
            assert_eq!(world.calls(&purchase.id, "update-operation").await, 0, "{action}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_thin_reinstate_without_an_operation_is_enough() {
    story(async |world| {
        let purchase = active(world).await;
        let suspended = act(world, &purchase, &Deed::Suspend);
        notify(world, &told(&purchase.id, &suspended, "Suspend")).await;
        assert_eq!(record(world, &purchase).await.known.status, Status::Suspended);
        act(world, &purchase, &Deed::Reinstate);
        let thin = json!({ "subscriptionId": purchase.id.as_str(), "operationType": "Reinstate" });
        assert_eq!(notify(world, &thin).await.status, 200);
        world.settle().await;
        world.simulator("POST", "/simulator/clock", &json!({ "advance": "PT1M" })).await;
        assert_eq!(notify(world, &thin).await.status, 200);
        assert_eq!(record(world, &purchase).await.known.status, Status::Subscribed);
    })
    .await;
}

#[tokio::test]
async fn ten_at_once_and_ten_in_a_row_give_one_answer_to_microsoft() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::ChangePlan("gold".to_owned()));
        let body = told(&purchase.id, &operation, "ChangePlan");
        let answers = futures_util::future::join_all((0..10).map(|_| notify(world, &body))).await;
        assert!(answers.iter().all(|answer| [200, 503].contains(&answer.status)), "{:?}", answers[0].code);
        assert!(answers.iter().any(|answer| answer.status == 200));
        world.settle().await;
        for _ in 0..10 {
            assert_eq!(notify(world, &body).await.status, 200);
        }
        world.settle().await;
        assert_eq!(world.calls(&purchase.id, "update-operation").await, 1);
        let answered = record(world, &purchase).await;
        let answered = answered.history.entries.iter().filter(|entry| entry.what == Happening::Answered).count();
        assert_eq!(answered, 1);
    })
    .await;
}

#[tokio::test]
async fn before_its_predecessor_and_a_day_late() {
    story(async |world| {
        let purchase = active(world).await;
        let suspended = act(world, &purchase, &Deed::Suspend);
        let cancelled = act(world, &purchase, &Deed::Unsubscribe);
        assert_eq!(notify(world, &told(&purchase.id, &cancelled, "Unsubscribe")).await.status, 200);
        world.pass(Duration::days(1)).await;
        assert_eq!(notify(world, &told(&purchase.id, &suspended, "Suspend")).await.status, 200);
        assert_eq!(record(world, &purchase).await.known.status, Status::Unsubscribed);
    })
    .await;
}

#[tokio::test]
async fn an_unheard_of_action_is_kept_and_answered_with_200() {
    story(async |world| {
        let purchase = active(world).await;
        let body = told(&purchase.id, "6f0c0d6e-0000-4000-8000-000000000001", "Transfer");
        assert_eq!(notify(world, &body).await.status, 200);
        world.settle().await;
        let record = record(world, &purchase).await;
        assert!(record.history.entries.iter().any(|entry| entry.to.as_deref() == Some("Transfer")), "{record:?}");
    })
    .await;
}

#[tokio::test]
async fn the_first_we_hear_of_a_subscription_makes_its_record() {
    story(async |world| {
        world.dev.simulator.pause_webhooks(true);
        let purchase =
            world.purchase(json!({ "offerId": "contoso-offer", "planId": "bronze", "autoActivate": true })).await;
        let operations = world.simulated(&purchase.id).await["operations"].clone();
        let operation = operations[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(notify(world, &told(&purchase.id, &operation, "Subscribe")).await.status, 200);
        let record = record(world, &purchase).await;
        assert_eq!(record.known.status, Status::Subscribed);
        assert!(record.activated_at.is_some(), "born active");
        let page = world.visitor().arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(page.status, 200);
        assert!(page.input("form_token").is_none(), "nothing to confirm");
        assert_eq!(world.calls(&purchase.id, "activate").await, 0);
    })
    .await;
}

#[tokio::test]
async fn another_offer_is_left_alone() {
    let world = World::new(&[("OFFERS", "another-offer")]).await;
    world.dev.simulator.pause_webhooks(true);
    let purchase = world.silver().await;
    let body = told(&purchase.id, "6f0c0d6e-0000-4000-8000-000000000002", "Unsubscribe");
    assert_eq!(notify(&world, &body).await.status, 200);
    assert!(world.records().await.is_empty());
    let unknown = SubscriptionId::parse("00000000-0000-0000-0000-000000000000").unwrap();
    assert_eq!(notify(&world, &told(&unknown, "op", "Suspend")).await.status, 200, "nobody knows it");
}

/// Microsoft's API down at the moment of the webhook: what is answered depends on whether policy might refuse.
#[tokio::test]
async fn microsofts_api_down_while_policy_accepts_everything() {
    for down in ["get-subscription", "get-operation"] {
        story(async |world| {
            let purchase = active(world).await;
            let operation = act(world, &purchase, &Deed::ChangePlan("gold".to_owned()));
            world.faults(json!({ "rules": [{ "operation": down, "times": 3, "answer": "503" }] })).await;
            let answer = notify(world, &told(&purchase.id, &operation, "ChangePlan")).await;
            assert_eq!(answer.status, 200, "{down}: {}", answer.code);
            world.settle().await;
            let record = record(world, &purchase).await;
            assert_eq!(record.known.plan_id, "gold", "{down}: {record:?}");
        })
        .await;
    }
}

/// Engineers saw operations appear with a delay (MicrosoftDocs/azure-docs 41979). What one does then would be missed.
#[tokio::test]
async fn an_operation_that_microsoft_does_not_know_yet_is_examined_later() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::ChangeQuantity(13));
        world.faults(json!({ "rules": [{ "operation": "get-operation", "times": 1, "answer": "404" }] })).await;
        assert_eq!(notify(world, &told(&purchase.id, &operation, "ChangeQuantity")).await.status, 200);
        world.settle().await;
        assert_eq!(record(world, &purchase).await.known.quantity, Some(13));
        assert_eq!(
            world.calls(&purchase.id, "update-operation").await,
            1,
            "answered, and not left to Microsoft's clock"
        );
    })
    .await;
}

#[tokio::test]
async fn a_key_that_entra_begins_to_sign_with_is_believed_at_once() {
    story(async |world| {
        let purchase = active(world).await;
        assert_eq!(notify(world, &told(&purchase.id, "unheard-of", "Renew")).await.status, 200, "the keys are here");
        world.dev.simulator.rotate_keys();
        let operation = act(world, &purchase, &Deed::ChangeQuantity(6));
        assert_eq!(notify(world, &told(&purchase.id, &operation, "ChangeQuantity")).await.status, 200);
        world.settle().await;
        assert_eq!(record(world, &purchase).await.known.quantity, Some(6));
    })
    .await;
}

#[tokio::test]
async fn microsofts_api_down_while_policy_might_refuse() {
    let world = World::new(&[("CHANGE_POLICY", REFUSES)]).await;
    let purchase = active(&world).await;
    let operation = act(&world, &purchase, &Deed::ChangePlan("gold".to_owned()));
    let body = told(&purchase.id, &operation, "ChangePlan");
    world.faults(json!({ "rules": [{ "operation": "get-operation", "times": 2, "answer": "500" }] })).await;
    let answer = notify(&world, &body).await;
    assert_eq!((answer.status, answer.code.as_str()), (503, "marketplace_unavailable"));
    world.idle().await;
    let examined = record(&world, &purchase).await;
    assert!(examined.duties.iter().any(|duty| duty.task.id().kind == Kind::Examine), "{examined:?}");
    world.faults(json!({})).await;
    assert_eq!(notify(&world, &body).await.status, 400, "Microsoft comes again, and hears the verdict");
    world.settle().await;
    assert_eq!(record(&world, &purchase).await.known.plan_id, "silver");
    world.assert_silence().await;
}

#[tokio::test]
async fn what_cannot_be_saved_is_503_and_heard_again() {
    for mishap in [Mishap::Refused, Mishap::Unanswered] {
        story(async |world| {
            let purchase = active(world).await;
            let operation = act(world, &purchase, &Deed::ChangeQuantity(7));
            let body = told(&purchase.id, &operation, "ChangeQuantity");
            assert_eq!(
                notify(world, &told(&purchase.id, "unheard-of", "Renew")).await.status,
                200,
                "the keys are here"
            );
            world.idle().await;
            world.dev.mishaps.plan(1, mishap);
            let answer = notify(world, &body).await;
            assert_eq!((answer.status, answer.code.as_str()), (503, "store_unavailable"), "{mishap:?}");
            assert_eq!(notify(world, &body).await.status, 200);
            world.settle().await;
            assert_eq!(record(world, &purchase).await.known.quantity, Some(7));
            assert_eq!(world.calls(&purchase.id, "update-operation").await, 1, "{mishap:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_503_and_kept_keys_serve_a_cold_instance() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::Suspend);
        let body = told(&purchase.id, &operation, "Suspend");
        let down = json!({ "rules": [
            { "operation": "keys", "answer": "503" }, { "operation": "openid-configuration", "answer": "503" },
        ] });
        world.faults(down.clone()).await;
        let answer = notify(world, &body).await;
        assert_eq!((answer.status, answer.code.as_str()), (503, "entra_unavailable"));

        world.faults(json!({})).await;
        assert_eq!(notify(world, &body).await.status, 200);
        world.faults(down).await;
        world.dev.host.kill_handler().await;
        assert_eq!(notify(world, &body).await.status, 200, "another instance kept the keys in the store");
        world.faults(json!({})).await;
    })
    .await;
}

#[tokio::test]
async fn no_forged_call_reaches_a_record() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::Unsubscribe);
        let body = told(&purchase.id, &operation, "Unsubscribe");
        let before = record(world, &purchase).await;
        let good = claims(world);
        let with = |key: &str, value: Value| {
            let mut claims = good.clone();
            claims[key] = value;
            claims
        };
        let now = world.now().unix_timestamp();
        let forgeries = [
            (good.clone(), Signature::ForeignKey),
            (good.clone(), Signature::UnpublishedKey),
            (good.clone(), Signature::None),
            (good.clone(), Signature::HmacWithPublicKey),
            (with("aud", json!("11111111-1111-1111-1111-111111111111")), Signature::Good),
            (with("appid", json!(CLIENT_ID)), Signature::Good),
            (with("tid", json!("11111111-1111-1111-1111-111111111111")), Signature::Good),
            (with("iss", json!("https://sts.windows.net/other/")), Signature::Good),
            (with("exp", json!(now - 3_600)), Signature::Good),
            (with("nbf", json!(now + 3_600)), Signature::Good),
            (with("exp", Value::Null), Signature::Good),
        ];
        for (claims, signature) in forgeries {
            let token = world.dev.simulator.sign(&claims, signature);
            let answer = post(world, &body, &token).await;
            assert_eq!((answer.status, answer.code.as_str()), (401, "caller_refused"), "{signature:?} {claims}");
        }
        let bare = world.http.post(world.url("/api/webhook")).json(&body).send().await.unwrap();
        assert_eq!(bare.status(), 401, "no token at all");
        assert_eq!(record(world, &purchase).await, before);
        assert_eq!(notify(world, &body).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_400() {
    story(async |world| {
        world.dev.simulator.pause_webhooks(true);
        for body in [json!([]), json!({}), json!({ "action": "Suspend" }), json!({ "subscriptionId": "../x" })] {
            assert_eq!(notify(world, &body).await.status, 400, "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_was_taken_and_whose_receipt_was_lost_is_not_given_twice() {
    /// Load, save and ring are the webhook's; then the instance that answered it loads to claim.
    const CLAIMS: usize = 3;
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::ChangePlan("gold".to_owned()));
        assert_eq!(notify(world, &told(&purchase.id, "unheard-of", "Renew")).await.status, 200, "the keys are here");
        world.idle().await;
        world.dev.mishaps.plan(CLAIMS, Mishap::Refused);
        assert_eq!(notify(world, &told(&purchase.id, &operation, "ChangePlan")).await.status, 200);
        world.idle().await;
        assert_eq!(world.calls(&purchase.id, "update-operation").await, 0, "left to the bell");
        let rules = json!([
            { "operation": "update-operation", "times": 1, "answer": "drop", "effect": "done" },
            { "operation": "get-operation", "times": 1, "answer": "503" },
        ]);
        world.faults(json!({ "rules": rules })).await;
        world.settle().await;
        assert_eq!(world.calls(&purchase.id, "update-operation").await, 1);
        assert_eq!(record(world, &purchase).await.known.plan_id, "gold");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_that_came_too_late_is_overtaken_and_both_ends_agree() {
    let world = World::new(&[("CHANGE_POLICY", REFUSES)]).await;
    let purchase = active(&world).await;
    let lost = json!({ "lost": 1.0 });
    let rule = json!({ "operation": "update-operation", "times": 2, "answer": "503" });
    world.faults(json!({ "webhooks": lost, "rules": [rule] })).await;
    world.dev.simulator.pause_webhooks(false);
    let operation = act(&world, &purchase, &Deed::ChangePlan("gold".to_owned()));
    world.idle().await;
    assert_eq!(notify(&world, &told(&purchase.id, &operation, "ChangePlan")).await.status, 400);
    world.idle().await;
    // Silence is consent: the answer did not reach Microsoft within its ten seconds.
    world.simulator("POST", "/simulator/clock", &json!({ "advance": "PT30S" })).await;
    world.settle().await;
    let record = record(&world, &purchase).await;
    assert_eq!(record.known.plan_id, "gold");
    assert!(record.history.entries.iter().any(|entry| entry.what == Happening::Overtaken), "{record:?}");
    world.assert_silence().await;
}

#[tokio::test]
async fn a_notice_that_comes_after_the_ten_seconds_finds_the_change_made() {
    story(async |world| {
        let purchase = active(world).await;
        world.faults(json!({ "webhooks": { "lost": 1.0 } })).await;
        world.dev.simulator.pause_webhooks(false);
        let operation = act(world, &purchase, &Deed::ChangeQuantity(8));
        world.idle().await;
        world.simulator("POST", "/simulator/clock", &json!({ "advance": "PT1M" })).await;
        assert_eq!(notify(world, &told(&purchase.id, &operation, "ChangeQuantity")).await.status, 200);
        assert_eq!(record(world, &purchase).await.known.quantity, Some(8), "read at once");
        assert_eq!(world.calls(&purchase.id, "update-operation").await, 0, "too late to answer");
    })
    .await;
}

#[tokio::test]
async fn a_subscription_that_we_never_saw_cannot_be_saved_unread() {
    story(async |world| {
        world.dev.simulator.pause_webhooks(true);
        let purchase =
            world.purchase(json!({ "offerId": "contoso-offer", "planId": "bronze", "autoActivate": true })).await;
        let body = told(&purchase.id, "6f0c0d6e-0000-4000-8000-000000000003", "Subscribe");
        world.faults(json!({ "rules": [{ "operation": "get-subscription", "times": 1, "answer": "503" }] })).await;
        let answer = notify(world, &body).await;
        assert_eq!((answer.status, answer.code.as_str()), (503, "marketplace_unavailable"));
        assert!(world.records().await.is_empty());
        assert_eq!(notify(world, &body).await.status, 200, "Microsoft comes again");
        assert_eq!(record(world, &purchase).await.known.status, Status::Subscribed);
    })
    .await;
}

/// Microsoft's API slow: the reading is given up in time for Microsoft's ten seconds, and made up for later.
#[tokio::test]
async fn microsofts_api_slow_is_like_microsofts_api_down() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::ChangePlan("gold".to_owned()));
        world.faults(json!({ "rules": [{ "operation": "get-operation", "times": 1, "answer": "hang" }] })).await;
        let begun = std::time::Instant::now();
        let answer = notify(world, &told(&purchase.id, &operation, "ChangePlan")).await;
        assert_eq!(answer.status, 200, "{}", answer.code);
        assert!(begun.elapsed() < ANSWER_BUDGET, "{:?}", begun.elapsed());
        world.settle().await;
        assert_eq!(record(world, &purchase).await.known.plan_id, "gold");
    })
    .await;
}

#[tokio::test]
async fn a_slow_key_server_is_503_and_forgotten_when_it_is_back() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::Suspend);
        let body = told(&purchase.id, &operation, "Suspend");
        world.faults(json!({ "rules": [{ "operation": "openid-configuration", "times": 1, "answer": "hang" }] })).await;
        let begun = std::time::Instant::now();
        let answer = notify(world, &body).await;
        assert_eq!((answer.status, answer.code.as_str()), (503, "entra_unavailable"));
        assert!(begun.elapsed() < ANSWER_BUDGET, "{:?}", begun.elapsed());
        assert_eq!(notify(world, &body).await.status, 200);
        assert_eq!(record(world, &purchase).await.known.status, Status::Suspended);
    })
    .await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_503_in_time() {
    story(async |world| {
        let purchase = active(world).await;
        let operation = act(world, &purchase, &Deed::Suspend);
        let body = told(&purchase.id, &operation, "Suspend");
        assert_eq!(notify(world, &told(&purchase.id, "unheard-of", "Renew")).await.status, 200, "the keys are here");
        world.idle().await;
        world.dev.mishaps.plan(0, Mishap::DiesBefore);
        let begun = std::time::Instant::now();
        let answer = notify(world, &body).await;
        assert_eq!((answer.status, answer.code.as_str()), (503, "store_unavailable"));
        assert!(begun.elapsed() < Duration::seconds(10), "{:?}", begun.elapsed());
        assert_eq!(notify(world, &body).await.status, 200);
        assert_eq!(record(world, &purchase).await.known.status, Status::Suspended);
    })
    .await;
}
