//! The webhook's body: ids and the action, whatever the rest is.

use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::marketplace::Action;
use marketplace_fulfillment::marketplace::notification::{ACTION_LENGTH, Notification};
use serde_json::{Value, json};

use crate::wire::fixture;

const SUBSCRIPTION: &str = "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0002";
const OPERATION: &str = "74dfb4db-c193-4891-827d-eb05fbdc64b0";

fn read(body: &Value) -> Notification {
    Notification::read(body.to_string().as_bytes()).unwrap()
}

#[test]
fn every_form_that_was_ever_seen_is_read() {
    for (name, action, operation_id) in [
        ("webhook-2018.json", Action::Subscribe, Some(OPERATION)),
        ("webhook-2019.json", Action::ChangeQuantity, Some(OPERATION)),
        ("webhook-thin-subscribe.json", Action::Subscribe, Some(OPERATION)),
        ("webhook-thin-reinstate.json", Action::Reinstate, None),
        ("webhook-partial.json", Action::Renew, Some(OPERATION)),
        ("webhook-full.json", Action::ChangePlan, Some(OPERATION)),
    ] {
        let notification = read(&fixture(name));
        assert_eq!(notification.action, action, "{name}");
        assert_eq!(notification.operation_id.as_deref(), operation_id, "{name}");
        assert_eq!(notification.subscription_id.as_str(), SUBSCRIPTION, "{name}");
    }
}

#[test]
fn no_other_field_matters_whatever_it_is() {
    let wanted = read(&fixture("webhook-full.json"));
    for wrong in [Value::Null, json!(true), json!(-1.5), json!(""), json!("x".repeat(10_000)), json!([{}]), json!({})] {
        let mut body = fixture("webhook-full.json");
        for (field, value) in body.as_object_mut().unwrap() {
            if !["id", "subscriptionId", "action"].contains(&field.as_str()) {
                *value = wrong.clone();
            }
        }
        body["purchaseToken"] = wrong.clone();
        body["aFieldOfTomorrow"] = wrong.clone();
        assert_eq!(read(&body), wanted, "{wrong}");
    }
}

#[test]
fn ids_become_parts_of_urls_and_keys_and_are_held_to_that() {
    for (operation, read_as) in [
        (json!(format!(" {} ", OPERATION.to_uppercase())), Some(OPERATION)),
        (json!("../../other"), None),
        (json!("a?b=c"), None),
        (json!("x".repeat(65)), None),
        (json!(""), None),
        (json!(7), None),
        (Value::Null, None),
    ] {
        let body = json!({ "id": operation, "subscriptionId": SUBSCRIPTION.to_uppercase(), "action": "Renew" });
        let notification = read(&body);
        assert_eq!(notification.operation_id.as_deref(), read_as, "{operation}");
        assert_eq!(notification.subscription_id.as_str(), SUBSCRIPTION);
    }
    // The top level goes before the inner object, as long as it can be an id.
    for (top, id) in [(json!("other-one"), "other-one"), (json!("a/b"), SUBSCRIPTION), (json!(7), SUBSCRIPTION)] {
        let body = json!({ "subscriptionId": top, "subscription": { "id": SUBSCRIPTION }, "action": "Renew" });
        assert_eq!(read(&body).subscription_id.as_str(), id);
    }
}

#[test]
fn an_unknown_action_is_kept_as_it_came_within_bounds() {
    let action = |fields: Value| {
        let mut body = fields;
        body["subscriptionId"] = json!(SUBSCRIPTION);
        read(&body).action
    };
    let other = |word: &str| Action::Other(word.to_owned());
    assert_eq!(action(json!({ "action": " Transfer " })), other("Transfer"));
    assert_eq!(action(json!({ "action": " Suspend" })), Action::Suspend);
    assert_eq!(action(json!({ "action": "", "operationType": "Renew" })), Action::Renew);
    assert_eq!(action(json!({ "action": "Renew", "operationType": "Suspend" })), Action::Renew);
    assert_eq!(action(json!({ "action": 5 })), other(""));
    assert_eq!(action(json!({})), other(""));
    assert_eq!(action(json!({ "action": "line\nof\u{1b}[31mlog" })), other("lineof[31mlog"));
    assert_eq!(action(json!({ "action": "\u{e4}".repeat(1_000) })), other(&"\u{e4}".repeat(ACTION_LENGTH)));
}

#[test]
fn a_body_that_names_no_subscription_is_refused_with_the_field_and_without_its_words() {
    let no_subscription = "the webhook's body has no subscriptionId, nor a subscription.id, that can be read";
    for (body, reason) in [
        ("", "the webhook's body is not JSON (line 1, column 0)"),
        ("{\"subscriptionId\": \"secret\"", "the webhook's body is not JSON (line 1, column 27)"),
        ("[]", "the webhook's body is not a JSON object"),
        ("\"secret\"", "the webhook's body is not a JSON object"),
        ("{}", no_subscription),
        ("{\"subscriptionId\": \"secret word\"}", no_subscription),
        ("{\"subscriptionId\": null, \"subscription\": \"secret\"}", no_subscription),
    ] {
        let fault = Notification::read(body.as_bytes()).unwrap_err();
        assert_eq!((fault.code, fault.private.as_str()), (Code::BadRequest, reason), "{body}");
    }
    let deep = format!("{{\"subscriptionId\": {}", "[".repeat(100_000));
    assert_eq!(Notification::read(deep.as_bytes()).unwrap_err().code, Code::BadRequest);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_json() {
    let body = format!("\u{feff}{}", fixture("webhook-full.json"));
    assert_eq!(Notification::read(body.as_bytes()).unwrap(), read(&fixture("webhook-full.json")));
}
