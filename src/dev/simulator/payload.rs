//! The body of a webhook: today's full form, the thin one of earlier years, and what else a publisher must bear.

use serde_json::{Map, Value, json};

use super::catalog::{self, PLANS};
use super::operation::{Action, Operation, Phase, Source};
use super::span::instant;
use super::subscription::{Standing, Subscription};
use super::webhooks::{Form, Webhooks};

/// What a webhook about this operation says. In the full form the top level names what was asked for, and the
/// subscription inside what was bought before.
pub(super) fn payload(
    subscription: &Subscription,
    operation: &Operation,
    webhooks: &Webhooks,
    rng: &mut fastrand::Rng,
) -> Value {
    let mut body = match webhooks.payload {
        Form::Thin => thin(subscription, operation),
        form => {
            let mut body = full(subscription, operation);
            let mut nested = nested(subscription, operation, rng);
            if form == Form::Partial {
                // As a Renew of 2021 had it.
                let kept = ["id", "publisherId", "offerId", "name"];
                nested =
                    kept.into_iter().map(|key| (key.to_owned(), nested[key].clone())).collect::<Map<_, _>>().into();
            }
            body["subscription"] = nested;
            body
        }
    };
    if webhooks.lie {
        lie(&mut body);
    }
    if webhooks.extra_fields {
        body["schemaVersion"] = "2027-01-01".into();
        body["marketplaceContext"] = json!({ "channel": "Future", "flags": [1, null, { "deep": true }] });
        if body["subscription"].is_object() {
            body["subscription"]["billingAccount"] = json!({ "kind": "Future" });
        }
    }
    body
}

/// As in 2019 to 2021. The sample of Reinstate in the documents of 2022 has another form still, without an operation.
fn thin(subscription: &Subscription, operation: &Operation) -> Value {
    if operation.action == Action::Reinstate {
        return json!({ "subscriptionId": subscription.id, "operationType": "Reinstate" });
    }
    json!({
        "id": operation.id,
        "activityId": operation.id,
        "operationRequestSource": operation.source,
        "subscriptionId": subscription.id,
        "timeStamp": instant(operation.asked_at),
        "action": operation.action.name(),
    })
}

fn full(subscription: &Subscription, operation: &Operation) -> Value {
    let (plan_id, quantity) = operation.target;
    // By the time that the publisher hears of it. A reinstatement asks even where it is done already.
    let waits = operation.action.asks();
    json!({
        "id": operation.id,
        "activityId": operation.id,
        "publisherId": catalog::PUBLISHER,
        "offerId": subscription.offer_id,
        "planId": plan_id,
        "quantity": quantity,
        "subscriptionId": subscription.id,
        "timeStamp": instant(operation.asked_at),
        "action": operation.action.name(),
        "status": if waits { Phase::InProgress } else { Phase::Succeeded },
        "operationRequestSource": operation.source,
        "purchaseToken": null,
    })
}

fn nested(subscription: &Subscription, operation: &Operation, rng: &mut fastrand::Rng) -> Value {
    let (plan_id, quantity) = operation.before;
    let standing = match operation.action {
        Action::ChangePlan | Action::ChangeQuantity | Action::Renew | Action::Subscribe => Standing::Subscribed,
        Action::Suspend | Action::Reinstate => Standing::Suspended,
        Action::Unsubscribe => Standing::Unsubscribed,
        Action::Transfer | Action::Other(_) => subscription.standing,
    };
    let mut nested = subscription.to_json(rng);
    nested["planId"] = plan_id.into();
    nested["quantity"] = quantity.into();
    nested["saasSubscriptionStatus"] = json!(standing);
    nested["term"]["chargeDuration"] = Value::Null;
    nested["lastModified"] = instant(operation.asked_at).into();
    nested
}

/// Another plan, other seats, another state than the truth; in the fields that are there.
fn lie(body: &mut Value) {
    falsify(body);
    if let Some(nested) = body.get_mut("subscription") {
        falsify(nested);
    }
}

fn falsify(part: &mut Value) {
    let other = |fields: &Map<String, Value>| PLANS.iter().find(|plan| fields["planId"] != plan.id).map(|plan| plan.id);
    let Some(fields) = part.as_object_mut() else { return };
    if fields.contains_key("planId") {
        let plan = other(fields);
        fields.insert("planId".to_owned(), plan.into());
    }
    if let Some(quantity) = fields.get_mut("quantity") {
        *quantity = (quantity.as_u64().unwrap_or_default() + 7).into();
    }
    for (key, one, another) in
        [("status", "Succeeded", "Failed"), ("saasSubscriptionStatus", "Unsubscribed", "Subscribed")]
    {
        if let Some(status) = fields.get_mut(key) {
            *status = if *status == one { another } else { one }.into();
        }
    }
    if let Some(source) = fields.get_mut("operationRequestSource") {
        *source = json!(if *source == "Azure" { Source::Partner } else { Source::Azure });
    }
}
