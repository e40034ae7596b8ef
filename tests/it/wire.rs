//! The marketplace's JSON: every form in which a value was seen, and what becomes of what cannot be read.

use std::path::Path;

use marketplace_fulfillment::marketplace::refusal::Refusal;
use marketplace_fulfillment::marketplace::wire::{self, ID_LENGTH, REST_LENGTH};
use marketplace_fulfillment::marketplace::{Action, OperationStatus, RequestSource};
use marketplace_fulfillment::subscription::{Snapshot, Status, Term};
use marketplace_fulfillment::words::WORDS_LENGTH;
use serde_json::{Value, json};
use time::macros::datetime;
use url::Url;

/// The body of a fixture; each says where it comes from and when.
pub(crate) fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marketplace").join(name);
    let mut fixture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(fixture["source"].is_string() && fixture["date"].is_string(), "{name} does not say where it comes from");
    fixture["body"].take()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The recorded subscription with one field (a path such as `/term/startDate`) replaced, or left out for `None`.
fn altered(path: &str, value: Option<Value>) -> Value {
    let mut body = fixture("subscription.json");
    let (parent, field) = path.rsplit_once('/').unwrap();
    let object = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(field.to_owned(), value),
        None => object.remove(field),
    };
    body
}

fn read(body: &Value) -> Snapshot {
    wire::subscription(&bytes(body)).unwrap().1
}

fn unreadable(body: &Value) -> String {
    wire::subscription(&bytes(body)).unwrap_err().field
}

#[test]
fn a_recorded_subscription_is_read_whole() {
    let (id, snapshot) = wire::subscription(&bytes(&fixture("subscription.json"))).unwrap();
    assert_eq!(id.as_str(), "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0002");
    assert_eq!(snapshot.offer_id, "contoso-offer-preview");
    assert_eq!(snapshot.plan_id, "gold");
    assert_eq!(snapshot.quantity, Some(20));
    assert_eq!(snapshot.status, Status::Subscribed);
    assert_eq!(snapshot.name, "my-sub");
    let beneficiary = snapshot.beneficiary.unwrap();
    assert_eq!(beneficiary.email.as_deref(), Some("user@contoso.example"));
    assert_eq!(beneficiary.object_id.as_deref(), Some("3f2c1f0e-6f1b-4a53-9c62-0a5a5c1d0001"));
    assert_eq!(beneficiary.tenant_id.as_deref(), Some("7d0c4f52-2f0e-4c0b-9a3e-51f6a7c50001"));
    assert_eq!(beneficiary.puid.as_deref(), Some("1003BFFD00000001"));
    assert_eq!(snapshot.purchaser.unwrap().email.as_deref(), Some("payer@contoso.example"));
    let term = Term {
        unit: Some("P1M".to_owned()),
        start: Some(datetime!(2024-01-14 00:00 UTC)),
        end: Some(datetime!(2024-02-13 00:00 UTC)),
    };
    assert_eq!(snapshot.term, term);
    assert_eq!(snapshot.auto_renew, Some(true));
    assert!(!snapshot.is_free_trial);
    assert_eq!(snapshot.allowed_operations, ["Delete", "Read", "Update"]);
    assert_eq!(snapshot.created, Some(datetime!(2023-04-14 00:07:14.962328 UTC)));
}

#[test]
fn resolve_is_a_wrapper_around_the_subscription() {
    let resolved = wire::resolved(&bytes(&fixture("resolve.json"))).unwrap();
    assert_eq!(resolved.id.as_str(), "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0001");
    assert_eq!(resolved.snapshot.quantity, None);
    assert_eq!(resolved.snapshot.plan_id, "bronze");

    let mut thin = fixture("resolve.json");
    for field in ["id", "name", "offerId", "planId"] {
        thin["subscription"].as_object_mut().unwrap().remove(field);
    }
    thin["quantity"] = json!(" 7 ");
    let resolved = wire::resolved(&bytes(&thin)).unwrap();
    assert_eq!(resolved.snapshot.name, "my-sub");
    assert_eq!(resolved.snapshot.quantity, Some(7));

    let mut broken = fixture("resolve.json");
    broken["subscription"]["saasSubscriptionStatus"] = json!(null);
    assert_eq!(wire::resolved(&bytes(&broken)).unwrap_err().field, "subscription.saasSubscriptionStatus");
    broken["subscription"] = json!(null);
    assert_eq!(wire::resolved(&bytes(&broken)).unwrap_err().field, "subscription");
}

#[test]
fn seats_come_in_many_forms() {
    let forms = [
        (None, None),
        (Some(json!(null)), None),
        (Some(json!("")), None),
        (Some(json!("  ")), None),
        (Some(json!("20")), Some(20)),
        (Some(json!(" 20 ")), Some(20)),
        (Some(json!(20)), Some(20)),
        (Some(json!(0)), Some(0)),
        (Some(json!(u32::MAX)), Some(u32::MAX)),
    ];
    for (form, seats) in forms {
        assert_eq!(read(&altered("/quantity", form.clone())).quantity, seats, "{form:?}");
    }
    for form in [json!("many"), json!(-1), json!(1.5), json!(u64::from(u32::MAX) + 1), json!([]), json!(true)] {
        assert_eq!(unreadable(&altered("/quantity", Some(form.clone()))), "quantity", "{form}");
    }
}

#[test]
fn statuses_are_trimmed_and_unknown_ones_kept() {
    let words = [
        ("Subscribed", Status::Subscribed),
        (" Subscribed ", Status::Subscribed),
        ("PendingFulfillmentStart", Status::PendingFulfillmentStart),
        ("Suspended\n", Status::Suspended),
        ("Unsubscribed", Status::Unsubscribed),
        ("NotStarted", Status::NotStarted),
        (" Provisioning ", Status::Other("Provisioning".to_owned())),
    ];
    for (word, status) in words {
        assert_eq!(read(&altered("/saasSubscriptionStatus", Some(json!(word)))).status, status);
    }
}

#[test]
fn what_a_record_cannot_do_without_is_named_when_it_is_missing() {
    for field in ["id", "offerId", "planId", "saasSubscriptionStatus"] {
        let path = format!("/{field}");
        for form in [None, Some(json!(null)), Some(json!(" ")), Some(json!([]))] {
            assert_eq!(unreadable(&altered(&path, form.clone())), field, "{field}: {form:?}");
        }
    }
    assert_eq!(unreadable(&altered("/id", Some(json!("../other")))), "id");
    assert_eq!(unreadable(&altered("/beneficiary/emailId", Some(json!({})))), "beneficiary.emailId");
    assert_eq!(unreadable(&altered("/term", Some(json!("P1M")))), "term");
    assert_eq!(wire::subscription(b"<html>").unwrap_err().field, ".");
    assert_eq!(wire::subscription(b"").unwrap_err().field, ".");
}

#[test]
fn an_unreadable_answer_is_explained_without_its_values() {
    let personal = altered("/beneficiary/emailId", Some(json!(["user@contoso.example"])));
    let error = wire::subscription(&bytes(&personal)).unwrap_err();
    assert_eq!(error.to_string(), "the answer's field beneficiary.emailId is missing or cannot be read");
}

#[test]
fn parties_may_be_missing_null_or_blank() {
    let blank = json!({ "emailId": "", "objectId": null, "tenantId": " " });
    for form in [None, Some(json!(null)), Some(json!({})), Some(blank)] {
        assert_eq!(read(&altered("/beneficiary", form)).beneficiary, None);
    }
    let tenant_only = read(&altered("/purchaser", Some(json!({ "tenantId": "t" })))).purchaser.unwrap();
    assert_eq!(tenant_only.tenant_id.as_deref(), Some("t"));
    assert_eq!(tenant_only.email, None);
}

#[test]
fn dates_come_in_many_forms() {
    let forms = [
        (json!("2024-01-14T00:00:00Z"), Some(datetime!(2024-01-14 00:00 UTC))),
        (json!("2024-01-14T00:00:00"), Some(datetime!(2024-01-14 00:00 UTC))),
        (json!(" 2024-01-14 "), Some(datetime!(2024-01-14 00:00 UTC))),
        (json!("2024-01-14T02:30:00+02:30"), Some(datetime!(2024-01-14 00:00 UTC))),
        (json!("2024-01-14T00:00:00.1234567Z"), Some(datetime!(2024-01-14 00:00:00.1234567 UTC))),
        (json!(null), None),
        (json!("0001-01-01T00:00:00"), None),
        (json!("9999-12-31T23:59:59-10:00"), None),
        (json!("next Monday"), None),
        (json!(1_705_190_400), None),
    ];
    for (form, date) in forms {
        assert_eq!(read(&altered("/term/startDate", Some(form.clone()))).term.start, date, "{form}");
    }
}

#[test]
fn what_is_not_understood_survives() {
    let mut body = altered("/term/endDate", Some(json!("next Monday")));
    body["futureField"] = json!({ "a": [1, 2] });
    body["term"]["chargeDuration"] = json!("P1M");
    body["beneficiary"]["futureId"] = json!("x");
    body["created"] = json!("long ago");
    let snapshot = read(&body);
    let rest: Value = serde_json::from_str(&snapshot.rest.unwrap()).unwrap();
    let expected = json!({
        "publisherId": "contoso", "isTest": false, "sandboxType": "None", "sessionMode": "None",
        "lastModified": "0001-01-01T00:00:00", "created": "long ago", "futureField": { "a": [1, 2] },
        "term": { "chargeDuration": "P1M", "endDate": "next Monday" }, "beneficiary": { "futureId": "x" },
    });
    assert_eq!(rest, expected);
    assert_eq!((snapshot.term.end, snapshot.created), (None, None));
}

/// An identifier cannot be cut like a name, because rules compare it; and an endless one would fill the record.
#[test]
fn an_endless_identifier_is_none() {
    for field in ["offerId", "planId", "saasSubscriptionStatus"] {
        let with = |value: String| altered(&format!("/{field}"), Some(value.into()));
        assert!(wire::subscription(&bytes(&with("ä".repeat(ID_LENGTH)))).is_ok(), "{field}");
        assert_eq!(unreadable(&with("ä".repeat(ID_LENGTH + 1))), field);
        assert_eq!(unreadable(&with("a\u{7}b".to_owned())), field);
    }
}

#[test]
fn unknown_fields_are_kept_up_to_a_limit() {
    let filled = |length: usize| {
        let mut body = json!({ "id": "a", "offerId": "o", "planId": "p", "saasSubscriptionStatus": "Subscribed" });
        body["x"] = json!("é".repeat(length - r#"{"x":""}"#.len()));
        read(&body).rest
    };
    assert_eq!(filled(REST_LENGTH).unwrap().chars().count(), REST_LENGTH);
    assert_eq!(filled(REST_LENGTH + 1), None);
    let bare = json!({ "id": "a", "offerId": "o", "planId": "p", "saasSubscriptionStatus": "Subscribed" });
    assert_eq!(read(&bare).rest, None);
}

#[test]
fn the_order_of_allowed_operations_means_nothing() {
    let one = read(&altered("/allowedCustomerOperations", Some(json!(["Read", "Update", "Delete"]))));
    let other = read(&altered("/allowedCustomerOperations", Some(json!(["Update", "Delete", "Read"]))));
    assert_eq!(one, other);
    assert!(read(&altered("/allowedCustomerOperations", Some(json!(null)))).allowed_operations.is_empty());
}

#[test]
fn a_page_shows_what_it_can_and_names_the_rest() {
    let from = Url::parse("https://marketplaceapi.microsoft.com/api/saas/subscriptions").unwrap();
    let mut body = fixture("page.json");
    let link = body["@nextLink"].as_str().unwrap().to_owned();
    body["subscriptions"].as_array_mut().unwrap().insert(1, json!({ "id": "b", "quantity": "many" }));
    body["subscriptions"].as_array_mut().unwrap().push(json!({ "id": "c", "offerId": "o" }));
    let page = wire::page(&bytes(&body), &from).unwrap();
    let ids: Vec<&str> = page.subscriptions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0002", "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0003"]);
    assert_eq!(page.subscriptions[1].1.status, Status::PendingFulfillmentStart);
    assert_eq!(page.subscriptions[1].1.term, Term { unit: Some("P1M".to_owned()), start: None, end: None });
    assert_eq!(page.unreadable, ["subscriptions[1].quantity", "subscriptions[3].planId"]);
    assert_eq!(page.next.unwrap().as_str(), link, "the link is used as it came, escapes included");
}

#[test]
fn the_last_page_has_no_next_link() {
    let from = Url::parse("https://host/api/saas/subscriptions?page=2").unwrap();
    for body in ["", "  \r\n", "{}", r#"{"subscriptions":null}"#, r#"{"subscriptions":[],"@nextLink":""}"#] {
        let page = wire::page(body.as_bytes(), &from).unwrap();
        assert!(page.subscriptions.is_empty() && page.unreadable.is_empty() && page.next.is_none(), "{body}");
    }
    let relative = wire::page(br#"{"@nextLink":"?page=3"}"#, &from).unwrap();
    assert_eq!(relative.next.unwrap().as_str(), "https://host/api/saas/subscriptions?page=3");
    let circle = format!(r#"{{"@nextLink":"{from}"}}"#);
    assert_eq!(wire::page(circle.as_bytes(), &from).unwrap_err().field, "@nextLink");
}

#[test]
fn plans_are_read_with_their_limits() {
    let plans = wire::plans(&bytes(&fixture("plans.json"))).unwrap();
    assert_eq!(plans.len(), 2);
    assert_eq!((plans[0].id.as_str(), plans[0].name.as_str()), ("silver", "Silver"));
    assert!(plans[0].is_stop_sell && !plans[0].is_per_seat && plans[0].max_quantity.is_none());
    assert!(plans[1].is_per_seat && plans[1].is_private && plans[1].has_free_trials);
    assert_eq!((plans[1].min_quantity, plans[1].max_quantity), (Some(1), Some(1000)));
    assert_eq!(plans[1].description, None);
    for nothing in ["", "{}", "[]", r#"{"plans":null}"#] {
        assert!(wire::plans(nothing.as_bytes()).unwrap().is_empty(), "{nothing}");
    }
    assert_eq!(wire::plans(br#"{"plans":[{"planId":"a"},{}]}"#).unwrap_err().field, "plans[1].planId");
    assert_eq!(
        wire::plans(br#"{"plans":[{"planId":"a","minQuantity":[]}]}"#).unwrap_err().field,
        "plans[0].minQuantity"
    );
    assert_eq!(wire::plans(br#"{"plans":7}"#).unwrap_err().field, "plans");
}

#[test]
fn operations_are_read_in_all_their_vocabularies() {
    let operation = wire::operation(&bytes(&fixture("operation.json"))).unwrap();
    assert_eq!(operation.id, "38db241d-1777-43b5-ab7d-4bfbcd390001");
    assert_eq!(operation.subscription_id.unwrap().as_str(), "b8d6908b-1d2c-4e0f-8a4b-0c6f1a2b0002");
    assert_eq!(operation.plan_id.as_deref(), Some("gold"));
    assert_eq!(operation.quantity, None);
    assert_eq!(operation.action, Action::ChangePlan);
    assert_eq!(operation.status, OperationStatus::NotStarted);
    assert_eq!(operation.source, Some(RequestSource::Partner));
    assert_eq!(operation.at, Some(datetime!(2021-03-15 23:06:06.9852975 UTC)));
    assert_eq!((operation.error_code, operation.error_message), (None, None));

    let documented = wire::operations(&bytes(&fixture("operations.json"))).unwrap();
    assert_eq!(documented[0].quantity, Some(20));
    assert_eq!(documented[0].status, OperationStatus::InProgress);
    assert_eq!(documented[0].at, Some(datetime!(2018-12-01 00:00 UTC)));
    let bare = fixture("operations.json")["operations"].take();
    assert_eq!(wire::operations(&bytes(&bare)).unwrap(), documented, "the emulator sends the list alone");
    for nothing in ["", "{}", "[]"] {
        assert!(wire::operations(nothing.as_bytes()).unwrap().is_empty());
    }

    for (word, status, ended) in [
        ("Succeeded", OperationStatus::Succeeded, true),
        ("Succeed", OperationStatus::Succeeded, true),
        (" Success ", OperationStatus::Succeeded, true),
        ("Failed", OperationStatus::Failed, true),
        ("Failure", OperationStatus::Failed, true),
        ("Conflict", OperationStatus::Conflict, true),
        ("InProgress", OperationStatus::InProgress, false),
        ("Paused", OperationStatus::Other("Paused".to_owned()), false),
    ] {
        let mut body = fixture("operation.json");
        body["status"] = json!(word);
        let read = wire::operation(&bytes(&body)).unwrap().status;
        assert_eq!((read.is_ended(), read), (ended, status));
    }
    let mut body = fixture("operation.json");
    body["action"] = json!("Transfer");
    body["errorStatusCode"] = json!(500);
    body.as_object_mut().unwrap().remove("operationRequestSource");
    body["operationRequestedSource"] = json!("Azure");
    let odd = wire::operation(&bytes(&body)).unwrap();
    assert_eq!(odd.action, Action::Other("Transfer".to_owned()));
    assert_eq!(odd.source, Some(RequestSource::Azure), "the emulator misspells the key");
    assert_eq!(odd.error_code.as_deref(), Some("500"));
    body.as_object_mut().unwrap().remove("status");
    assert_eq!(wire::operation(&bytes(&body)).unwrap_err().field, "status");
}

/// Names of fields are Microsoft's to choose, too: one that nobody here knows may be somebody's address.
#[test]
fn what_is_no_json_is_told_without_a_name_from_it() {
    for body in [
        r#"{"id":"a","ada@contoso.example":"#,
        r#"{"ada@contoso.example":[1,}]}"#,
        r#"{"x":{"ada@contoso.example":01}}"#,
    ] {
        let error = wire::subscription(body.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "the answer's body is not the JSON that was expected", "{body}");
    }
}

#[test]
fn every_action_keeps_its_word() {
    let words = ["ChangePlan", "ChangeQuantity", "Suspend", "Reinstate", "Renew", "Unsubscribe", "Subscribe", "New"];
    for word in words {
        assert_eq!(Action::parse(&format!(" {word} ")).as_str(), word);
        assert_eq!(matches!(Action::parse(word), Action::Other(_)), word == "New");
    }
}

#[test]
fn refusals_are_read_in_all_four_shapes() {
    let shapes = fixture("refusals.json");
    let words: Vec<String> =
        shapes.as_array().unwrap().iter().map(|shape| Refusal::read(&bytes(shape), &[]).words()).collect();
    assert_eq!(words[0], "UnexpectedError An unexpected error has occurred.");
    assert_eq!(words[1], "HeaderNotPresent (x-ms-marketplace-token) Mandatory header missing");
    assert_eq!(words[2], "ApiVersionUnspecified An API version is required, but was not specified.");
    assert!(words[3].starts_with("The authorization token is invalid, expired"), "{}", words[3]);
    for silent in ["", "<html>500</html>", "[]", "null", "7", "{}", r#"{"error":null}"#, r#"{"code":null}"#] {
        assert_eq!(Refusal::read(silent.as_bytes(), &[]), Refusal::default(), "{silent}");
    }
}

#[test]
fn a_refusal_repeats_no_secret_and_is_short() {
    let echo = json!({ "code": "Invalid", "message": "token pt+1/x== of user@contoso.example\r\nforged line" });
    let words = Refusal::read(&bytes(&echo), &["pt+1/x=="]).words();
    assert_eq!(words, "Invalid token [...] of [...] forged line");
    let unknown = json!(format!("bad bearer {}", "a".repeat(300)));
    assert_eq!(Refusal::read(&bytes(&unknown), &[]).words(), "bad bearer [...]");
    let long = json!("word ".repeat(200));
    assert_eq!(Refusal::read(&bytes(&long), &[]).words().chars().count(), WORDS_LENGTH);
}

#[test]
fn a_lock_is_known_by_its_words() {
    let emulator = json!({ "code": "Failed", "target": "update",
        "message": "Patch cannot be completed because the subscription is locked due to pending operations" });
    assert!(Refusal::read(&bytes(&emulator), &[]).says_locked());
    assert!(Refusal::read(br#"{"code":"SubscriptionLocked"}"#, &[]).says_locked());
    assert!(!Refusal::read(br#"{"code":"BadRequest","message":"same plan"}"#, &[]).says_locked());
}
