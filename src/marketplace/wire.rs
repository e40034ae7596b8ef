//! The marketplace's JSON, read tolerantly and turned into our values. Pure.
//!
//! What the documents, recorded sessions and samples disagree about is accepted in every form: absent, null or blank
//! values, numbers as text, padded words, dates without a zone. What cannot be read is reported by the path of its
//! field and never by its value, because the value may be personal.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use super::field::{date, flag, moment, quantity, text};
use super::operation::{Action, Operation, OperationStatus, RequestSource};
use super::{Cursor, Page, Plan, Resolved};
use crate::subscription::{Party, Snapshot, Status, SubscriptionId, Term};

/// The longest [`Snapshot::rest`], in characters. Today's unknown fields take under 300; a table column holds 32,000,
/// and the record shares it with the history.
pub const REST_LENGTH: usize = 4_000;

/// The longest identifier of an offer or a plan, and the longest word for a status, in characters. Partner Center allows
/// 50; a longer one cannot be cut, because rules compare it.
pub const ID_LENGTH: usize = 200;

/// An answer that cannot be read: the path of the field that is missing or wrong, such as `subscriptions[3].planId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The path; `.` where the whole body is not what it should be.
    pub field: String,
}

impl Unreadable {
    fn at(field: impl Into<String>) -> Self {
        Self { field: field.into() }
    }

    fn under(self, parent: &str) -> Self {
        match self.field.as_str() {
            "." => Self::at(parent),
            field => Self::at(format!("{parent}.{field}")),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "." => f.write_str("the answer's body is not the JSON that was expected"),
            field => write!(f, "the answer's field {field} is missing or cannot be read"),
        }
    }
}

/// Reads the answer to Get Subscription.
///
/// # Errors
///
/// The field that is missing or wrong.
pub fn subscription(body: &[u8]) -> Result<(SubscriptionId, Snapshot), Unreadable> {
    decode::<SubscriptionBody>(body)?.identified()
}

/// Reads the answer to Resolve: a wrapper around the subscription, which repeats some of its fields.
///
/// # Errors
///
/// The field that is missing or wrong.
pub fn resolved(body: &[u8]) -> Result<Resolved, Unreadable> {
    let ResolveBody { id, subscription_name, offer_id, plan_id, quantity, subscription } = decode(body)?;
    let mut inner = subscription.ok_or_else(|| Unreadable::at("subscription"))?;
    inner.id = id.or(inner.id);
    inner.name = inner.name.or(subscription_name);
    inner.offer_id = inner.offer_id.or(offer_id);
    inner.plan_id = inner.plan_id.or(plan_id);
    inner.quantity = inner.quantity.or(quantity);
    let (id, snapshot) = inner.identified().map_err(|error| error.under("subscription"))?;
    Ok(Resolved { id, snapshot })
}

/// Reads one page of List Subscriptions, which came from `from`. An entry that cannot be read does not hide the others.
///
/// # Errors
///
/// The field that is missing or wrong, if it is not inside one entry.
pub fn page(body: &[u8], from: &Url) -> Result<Page, Unreadable> {
    let PageBody { subscriptions, next_link } =
        if body.trim_ascii().is_empty() { PageBody::default() } else { decode(body)? };
    let mut page = Page { subscriptions: Vec::new(), unreadable: Vec::new(), next: None };
    for (index, entry) in subscriptions.unwrap_or_default().into_iter().enumerate() {
        match decode_value::<SubscriptionBody>(entry).and_then(SubscriptionBody::identified) {
            Ok(subscription) => page.subscriptions.push(subscription),
            Err(error) => page.unreadable.push(error.under(&format!("subscriptions[{index}]")).field),
        }
    }
    if let Some(link) = next_link {
        let next = from.join(&link).map_err(|_| Unreadable::at("@nextLink"))?;
        // A page that names itself as the next one would be read for ever.
        if next == *from {
            return Err(Unreadable::at("@nextLink"));
        }
        page.next = Some(Cursor::new(next));
    }
    Ok(page)
}

/// Reads the answer to List Available Plans. No body means no plans.
///
/// # Errors
///
/// The field that is missing or wrong.
pub fn plans(body: &[u8]) -> Result<Vec<Plan>, Unreadable> {
    let plans = list::<PlanBody>(body, "plans")?.into_iter().enumerate();
    plans.map(|(index, plan)| plan.read().map_err(|error| error.under(&format!("plans[{index}]")))).collect()
}

/// Reads the answer to Get Operation.
///
/// # Errors
///
/// The field that is missing or wrong.
pub fn operation(body: &[u8]) -> Result<Operation, Unreadable> {
    decode::<OperationBody>(body)?.read()
}

/// Reads the answer to List Outstanding Operations. No body means no operations.
///
/// # Errors
///
/// The field that is missing or wrong.
pub fn operations(body: &[u8]) -> Result<Vec<Operation>, Unreadable> {
    let operations = list::<OperationBody>(body, "operations")?.into_iter().enumerate();
    operations.map(|(index, entry)| entry.read().map_err(|e| e.under(&format!("operations[{index}]")))).collect()
}

/// A list under its name, as the documents have it, or bare, as Microsoft's emulator sends it.
fn list<T: DeserializeOwned>(body: &[u8], name: &str) -> Result<Vec<T>, Unreadable> {
    if body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let entries = match decode(body)? {
        Value::Object(mut fields) => fields.remove(name).unwrap_or_default(),
        other => other,
    };
    decode_value::<Option<Vec<T>>>(entries)
        .map(Option::unwrap_or_default)
        .map_err(|error| Unreadable::at(format!("{name}{}", error.field.trim_end_matches('.'))))
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        if error.inner().is_data() {
            return Unreadable::at(error.path().to_string());
        }
        // No JSON at all. The place may be below a name that nobody here knows, and that says anything.
        Unreadable::at(".")
    })
}

fn decode_value<T: DeserializeOwned>(value: Value) -> Result<T, Unreadable> {
    serde_path_to_error::deserialize(value).map_err(|error| Unreadable::at(error.path().to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResolveBody {
    #[serde(default, deserialize_with = "text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    subscription_name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    offer_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    plan_id: Option<String>,
    #[serde(default, deserialize_with = "quantity")]
    quantity: Option<u32>,
    subscription: Option<SubscriptionBody>,
}

#[derive(Default, Deserialize)]
struct PageBody {
    subscriptions: Option<Vec<Value>>,
    #[serde(default, rename = "@nextLink", deserialize_with = "text")]
    next_link: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionBody {
    #[serde(default, deserialize_with = "text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    offer_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    plan_id: Option<String>,
    #[serde(default, deserialize_with = "quantity")]
    quantity: Option<u32>,
    #[serde(default, deserialize_with = "text")]
    saas_subscription_status: Option<String>,
    beneficiary: Option<PartyBody>,
    purchaser: Option<PartyBody>,
    term: Option<TermBody>,
    #[serde(default, deserialize_with = "flag")]
    auto_renew: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    is_free_trial: Option<bool>,
    allowed_customer_operations: Option<Vec<String>>,
    created: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartyBody {
    #[serde(default, deserialize_with = "text")]
    email_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    object_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    tenant_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    puid: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TermBody {
    #[serde(default, deserialize_with = "text")]
    term_unit: Option<String>,
    start_date: Option<Value>,
    end_date: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl SubscriptionBody {
    fn identified(self) -> Result<(SubscriptionId, Snapshot), Unreadable> {
        let id = self.id.as_deref().and_then(SubscriptionId::parse).ok_or_else(|| Unreadable::at("id"))?;
        let mut rest = self.rest;
        let mut allowed_operations = self.allowed_customer_operations.unwrap_or_default();
        // The order varies from answer to answer and means nothing.
        allowed_operations.sort();
        let snapshot = Snapshot {
            offer_id: required(self.offer_id, "offerId")?,
            plan_id: required(self.plan_id, "planId")?,
            quantity: self.quantity,
            status: Status::parse(&required(self.saas_subscription_status, "saasSubscriptionStatus")?),
            name: self.name.unwrap_or_default(),
            beneficiary: self.beneficiary.and_then(|party| party.read("beneficiary", &mut rest)),
            purchaser: self.purchaser.and_then(|party| party.read("purchaser", &mut rest)),
            term: self.term.map(|term| term.read(&mut rest)).unwrap_or_default(),
            auto_renew: self.auto_renew,
            is_free_trial: self.is_free_trial.unwrap_or_default(),
            allowed_operations,
            created: moment("created", self.created, &mut rest),
            rest: rest_text(&rest, &id),
        };
        Ok((id, snapshot))
    }
}

impl PartyBody {
    fn read(self, field: &str, rest: &mut Map<String, Value>) -> Option<Party> {
        keep(field, self.rest, rest);
        let party =
            Party { email: self.email_id, object_id: self.object_id, tenant_id: self.tenant_id, puid: self.puid };
        (party != Party::default()).then_some(party)
    }
}

impl TermBody {
    fn read(self, rest: &mut Map<String, Value>) -> Term {
        let mut unread = self.rest;
        let term = Term {
            unit: self.term_unit,
            start: moment("startDate", self.start_date, &mut unread),
            end: moment("endDate", self.end_date, &mut unread),
        };
        keep("term", unread, rest);
        term
    }
}

fn required(value: Option<String>, field: &str) -> Result<String, Unreadable> {
    let sound = |value: &String| value.chars().count() <= ID_LENGTH && !value.chars().any(char::is_control);
    value.filter(sound).ok_or_else(|| Unreadable::at(field))
}

/// Keeps what was not understood of an inner object, where there is anything.
fn keep(field: &str, unread: Map<String, Value>, rest: &mut Map<String, Value>) {
    if !unread.is_empty() {
        rest.insert(field.to_owned(), Value::Object(unread));
    }
}

fn rest_text(rest: &Map<String, Value>, id: &SubscriptionId) -> Option<String> {
    if rest.is_empty() {
        return None;
    }
    let text = serde_json::to_string(rest).expect("JSON with text keys can be written");
    if text.chars().count() > REST_LENGTH {
        tracing::warn!(
            subscription_id = %id,
            unknown_fields = rest.len(),
            "The marketplace sent more unknown fields than a record can keep; they were left out."
        );
        return None;
    }
    Some(text)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlanBody {
    #[serde(default, deserialize_with = "text")]
    plan_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    display_name: Option<String>,
    #[serde(default, deserialize_with = "text")]
    description: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    is_private: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    is_price_per_seat: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    is_stop_sell: Option<bool>,
    #[serde(default, deserialize_with = "flag")]
    has_free_trials: Option<bool>,
    #[serde(default, deserialize_with = "quantity")]
    min_quantity: Option<u32>,
    #[serde(default, deserialize_with = "quantity")]
    max_quantity: Option<u32>,
    #[serde(default, deserialize_with = "text")]
    market: Option<String>,
}

impl PlanBody {
    fn read(self) -> Result<Plan, Unreadable> {
        let id = required(self.plan_id, "planId")?;
        Ok(Plan {
            name: self.display_name.unwrap_or_else(|| id.clone()),
            id,
            description: self.description,
            is_private: self.is_private.unwrap_or_default(),
            is_per_seat: self.is_price_per_seat.unwrap_or_default(),
            is_stop_sell: self.is_stop_sell.unwrap_or_default(),
            has_free_trials: self.has_free_trials.unwrap_or_default(),
            min_quantity: self.min_quantity,
            max_quantity: self.max_quantity,
            market: self.market,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperationBody {
    #[serde(default, deserialize_with = "text")]
    id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    subscription_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    offer_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    plan_id: Option<String>,
    #[serde(default, deserialize_with = "quantity")]
    quantity: Option<u32>,
    #[serde(default, deserialize_with = "text")]
    action: Option<String>,
    #[serde(default, deserialize_with = "text")]
    status: Option<String>,
    // Microsoft's emulator misspells the key.
    #[serde(default, alias = "operationRequestedSource", deserialize_with = "text")]
    operation_request_source: Option<String>,
    time_stamp: Option<Value>,
    #[serde(default, deserialize_with = "text")]
    error_status_code: Option<String>,
    #[serde(default, deserialize_with = "text")]
    error_message: Option<String>,
}

impl OperationBody {
    fn read(self) -> Result<Operation, Unreadable> {
        Ok(Operation {
            id: required(self.id, "id")?,
            subscription_id: self.subscription_id.as_deref().and_then(SubscriptionId::parse),
            offer_id: self.offer_id,
            plan_id: self.plan_id,
            quantity: self.quantity,
            action: Action::parse(&required(self.action, "action")?),
            status: OperationStatus::parse(&required(self.status, "status")?),
            source: self.operation_request_source.as_deref().map(RequestSource::parse),
            at: self.time_stamp.as_ref().and_then(Value::as_str).and_then(date),
            error_code: self.error_status_code,
            error_message: self.error_message,
        })
    }
}
