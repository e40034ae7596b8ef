//! A subscription as the publisher's software reads it, in an answer and in an event: Microsoft's field names where
//! Microsoft has one.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::entitlement::Override;
use crate::history::cut;
use crate::snapshot::live_offer;
use crate::subscription::{Party, Subscription};

/// The longest text of Microsoft's or a customer's that is shown, in characters. Real ones are far shorter; a subscription
/// with all of them at their longest still fits an event.
const TEXT_LENGTH: usize = 500;

/// The most words of a list that are shown. Three are known.
const WORDS: usize = 20;

/// What is known of a subscription, without what is owed and what happened. Who may use it is told as of `at`.
pub fn facts(subscription: &Subscription, at: OffsetDateTime) -> Value {
    let known = &subscription.known;
    let entitlement = subscription.entitlement(at);
    let operations = known.allowed_operations.iter().take(WORDS);
    json!({
        "id": subscription.id.as_str(),
        "name": text(&known.name),
        "offerId": text(&known.offer_id),
        "isPreview": live_offer(&known.offer_id) != known.offer_id,
        "planId": text(&known.plan_id),
        "quantity": known.quantity,
        "status": text(known.status.as_str()),
        "beneficiary": known.beneficiary.as_ref().map(party),
        "purchaser": known.purchaser.as_ref().map(party),
        "term": {
            "termUnit": known.term.unit.as_deref().map(text),
            "startDate": known.term.start.map(moment),
            "endDate": known.term.end.map(moment),
        },
        "autoRenew": known.auto_renew,
        "isFreeTrial": known.is_free_trial,
        "allowedCustomerOperations": operations.map(|word| text(word)).collect::<Vec<_>>(),
        "createdAt": moment(subscription.created_at),
        "confirmedAt": subscription.confirmed_at.map(moment),
        "activatedAt": subscription.activated_at.map(moment),
        "entitlement": {
            "entitled": entitlement.entitled,
            "until": entitlement.until.map(moment),
            "override": subscription.overriding(at).map(overriding),
        },
    })
}

/// What an operator decided for a time.
pub fn overriding(decided: &Override) -> Value {
    json!({
        "entitled": decided.entitled,
        "until": moment(decided.until),
        "reason": decided.reason,
        "at": moment(decided.at),
        "person": decided.person,
    })
}

/// A moment, as every document of ours writes it.
pub fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a time of this era has an RFC 3339 form")
}

fn party(party: &Party) -> Value {
    json!({
        "emailId": party.email.as_deref().map(text),
        "objectId": party.object_id.as_deref().map(text),
        "tenantId": party.tenant_id.as_deref().map(text),
        "puid": party.puid.as_deref().map(text),
    })
}

fn text(value: &str) -> String {
    let mut value = value.to_owned();
    cut(&mut value, TEXT_LENGTH);
    value
}
