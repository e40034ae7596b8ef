//! What the publisher's software is sent, as CloudEvents 1.0 in structured JSON
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>). `docs/events/` holds the schema
//! of each form; a form never changes but by members more, and another one gets another version.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::history::Actor;
use crate::outbox::Announcement;
use crate::publisher::Message;
use crate::settings::Settings;
use crate::shown;
use crate::subscription::{OperationId, Subscription, Terms};

/// The word in front of every type of event about a subscription.
pub const SUBSCRIPTION: &str = "marketplace.subscription.";

/// The type of the event that an operator asks for to see whether events arrive.
pub const TEST: &str = "marketplace.test";

/// The type of the event about a secret that is about to end.
pub const SECRET_EXPIRING: &str = "marketplace.secret.expiring";

/// The type of the question whether a confirmed purchase is provisioned.
pub const PROVISION: &str = "marketplace.command.provision";

/// The type of the question whether a change of plan or seats may be.
pub const DECIDE: &str = "marketplace.command.decide";

/// What the data of an event looks like: the last word of its `dataschema`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A change, and the subscription as it now is.
    Subscription,
    /// A secret, and when it ends.
    Secret,
    /// A sentence.
    Test,
    /// A purchase to provision.
    Provision,
    /// A change to decide about.
    Decide,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 5] = [Self::Subscription, Self::Secret, Self::Test, Self::Provision, Self::Decide];

    /// The word in `dataschema`, which is also the schema's name in `docs/events/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Secret => "secret",
            Self::Test => "test",
            Self::Provision => "provision",
            Self::Decide => "decide",
        }
    }
}

/// An event on its way.
struct Event<'a> {
    id: String,
    kind: String,
    at: OffsetDateTime,
    form: Form,
    /// The subscription, where it is about one.
    subject: Option<&'a str>,
    /// The number of what is told of it. A question has none: it is not told in the order of what happened.
    sequence: Option<u64>,
    data: Value,
}

/// What is told of a subscription, with the subscription as it is when this is sent.
pub fn announcement(
    settings: &Settings,
    subscription: &Subscription,
    told: &Announcement,
    now: OffsetDateTime,
) -> Message {
    let id = subscription.id.as_str();
    Event {
        id: format!("evt_{id}_{}", told.sequence),
        kind: format!("{SUBSCRIPTION}{}", told.news.as_str()),
        at: told.at,
        form: Form::Subscription,
        subject: Some(id),
        sequence: Some(told.sequence),
        data: json!({ "change": change(told), "subscription": shown::facts(subscription, now) }),
    }
    .message(settings)
}

/// The question whether a purchase is provisioned, which a buyer has confirmed. The same confirmation asks with the same
/// id, however often.
pub fn provision(settings: &Settings, subscription: &Subscription, now: OffsetDateTime) -> Message {
    let id = subscription.id.as_str();
    let confirmed_at = subscription.confirmed_at.unwrap_or(subscription.created_at);
    Event {
        id: format!("cmd_provision_{id}_{}", confirmed_at.unix_timestamp_nanos() / 1_000_000),
        kind: PROVISION.to_owned(),
        at: confirmed_at,
        form: Form::Provision,
        subject: Some(id),
        sequence: None,
        // Whom the publisher orders to activate, nobody is asked about.
        data: json!({ "change": { "by": Actor::Buyer.as_str() }, "subscription": shown::facts(subscription, now) }),
    }
    .message(settings)
}

/// The question whether the customer's change to `wanted` may be.
pub fn decide(
    settings: &Settings,
    subscription: &Subscription,
    operation: &OperationId,
    wanted: &Terms,
    now: OffsetDateTime,
) -> Message {
    let terms = |terms: &Terms| json!({ "planId": terms.plan_id, "quantity": terms.quantity });
    let change = json!({
        "from": terms(&subscription.known.terms()),
        "to": terms(wanted),
        "by": Actor::Marketplace.as_str(),
        "operationId": operation.as_str(),
    });
    Event {
        id: format!("cmd_decide_{operation}"),
        kind: DECIDE.to_owned(),
        at: now,
        form: Form::Decide,
        subject: Some(subscription.id.as_str()),
        sequence: None,
        data: json!({ "change": change, "subscription": shown::facts(subscription, now) }),
    }
    .message(settings)
}

/// An event that says that events arrive.
pub fn test(settings: &Settings, now: OffsetDateTime) -> Message {
    Event {
        id: format!("evt_test_{}", uuid::Uuid::new_v4().simple()),
        kind: TEST.to_owned(),
        at: now,
        form: Form::Test,
        subject: None,
        sequence: None,
        data: json!({ "message": "If you can read this and the signature is good, events arrive." }),
    }
    .message(settings)
}

/// An event about a secret that is about to end, or has ended. Either is one event for the same secret with the same end.
pub fn secret_expiring(settings: &Settings, secret: &str, expires_at: OffsetDateTime, now: OffsetDateTime) -> Message {
    Event {
        id: format!(
            "evt_{secret}_{}_{}",
            expires_at.unix_timestamp(),
            if expires_at <= now { "ended" } else { "ends" }
        ),
        kind: SECRET_EXPIRING.to_owned(),
        at: now,
        form: Form::Secret,
        subject: None,
        sequence: None,
        data: json!({ "secret": secret, "expiresAt": shown::moment(expires_at) }),
    }
    .message(settings)
}

/// What changed. What there is nothing to say of is left out.
fn change(told: &Announcement) -> Value {
    let operation = told.operation.as_ref().map(ToString::to_string);
    let members = [
        ("from", told.from.clone()),
        ("to", told.to.clone()),
        ("by", Some(told.by.as_str().to_owned())),
        ("why", told.why.clone()),
        ("operationId", operation),
    ];
    let said = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    Value::Object(said.collect::<Map<_, _>>())
}

impl Event<'_> {
    fn message(self, settings: &Settings) -> Message {
        let mut event = json!({
            "specversion": "1.0",
            "id": self.id,
            "source": settings.function_url("subscriptions"),
            "type": self.kind,
            "time": shown::moment(self.at),
            "datacontenttype": "application/json",
            "dataschema": format!("urn:marketplace-fulfillment:event:v1:{}", self.form.as_str()),
            "data": self.data,
        });
        if let Some(subject) = self.subject {
            event["subject"] = subject.into();
        }
        if let Some(sequence) = self.sequence {
            // Text, as the extension has it: so many digits that the order of texts is the order of numbers.
            event["sequence"] = sequence.to_string().into();
        }
        Message { id: self.id, body: event.to_string() }
    }
}
