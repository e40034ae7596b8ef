//! What the publisher's systems may say in a query, a header and a body. Whatever is not understood is refused by name:
//! an order that is half understood would be another order.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use crate::duty::Wanted;
use crate::entitlement::{OVERRIDE_LIMIT, Override};
use crate::error::Code;
use crate::history::PERSON_LENGTH;
use crate::person::Holder;
use crate::snapshot::live_offer;
use crate::subscription::{Status, Subscription, SubscriptionId};
use crate::web::Request;

/// The longest reason taken, in characters: a sentence or two, and forty of them fit the column of the history.
const REASON_LENGTH: usize = 300;

/// The longest plan id taken, in characters. Partner Center allows 50.
const PLAN_LENGTH: usize = 100;

/// The longest name of an unknown field that is repeated to the caller, in characters: enough to find a slip of the pen.
const FIELD_LENGTH: usize = 40;

/// The header that names the person on whose behalf the caller acts.
const PERSON: &str = "x-acting-person";

/// A request that is refused for what it says.
#[derive(Clone, Debug)]
pub(super) struct Objection {
    pub(super) code: Code,
    /// The field, parameter or header, for the log.
    pub(super) part: &'static str,
    /// What is wrong with it, for the caller alone.
    pub(super) detail: String,
}

impl Objection {
    fn new(part: &'static str, detail: impl Into<String>) -> Self {
        Self { code: Code::BadRequest, part, detail: detail.into() }
    }
}

/// Which subscriptions a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Those behind this one.
    pub(super) after: Option<SubscriptionId>,
    status: Option<Status>,
    /// Without the suffix of a preview.
    offer: Option<String>,
}

impl Filter {
    pub(super) fn fits(&self, subscription: &Subscription) -> bool {
        let known = &subscription.known;
        self.status.as_ref().is_none_or(|status| known.status == *status)
            && self.offer.as_ref().is_none_or(|offer| live_offer(&known.offer_id).eq_ignore_ascii_case(offer))
    }

    /// The address of the page behind `after`.
    pub(super) fn link(&self, after: &SubscriptionId) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("after", after.as_str());
        let pairs = [("status", self.status.as_ref().map(Status::as_str)), ("offer", self.offer.as_deref())];
        query.extend_pairs(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))));
        format!("/api/subscriptions?{}", query.finish())
    }
}

/// Reads `after`, `status` and `offer`. Other parameters are the host's and the gateway's, such as the function key.
pub(super) fn filter(request: &Request) -> Result<Filter, Objection> {
    let after = request.query("after").map(|after| {
        SubscriptionId::parse(&after)
            .ok_or_else(|| Objection::new("after", "The parameter after is not a subscription's id."))
    });
    let status = request.query("status").map(|word| {
        let known = Status::ALL.into_iter().find(|status| status.as_str() == word);
        known.ok_or_else(|| {
            let words: Vec<String> = Status::ALL.iter().map(|status| status.as_str().to_owned()).collect();
            Objection::new("status", format!("The parameter status is one of {}.", words.join(", ")))
        })
    });
    Ok(Filter { after: after.transpose()?, status: status.transpose()?, offer: offer(request, "offer")? })
}

/// An offer's id, without the suffix of a preview.
fn offer(request: &Request, name: &'static str) -> Result<Option<String>, Objection> {
    let offer = request.query(name).map(|offer| match live_offer(offer.trim()) {
        "" => Err(Objection::new(name, format!("The parameter {name} is empty; it is an offer's id."))),
        offer => Ok(offer.to_owned()),
    });
    offer.transpose()
}

/// The person on whose behalf the caller acts. Personal data: for the history of the record, and for no log.
pub(super) fn person(request: &Request) -> Result<Option<String>, Objection> {
    let Some(person) = request.header(PERSON).map(str::trim).filter(|person| !person.is_empty()) else {
        return Ok(None);
    };
    if person.chars().count() > PERSON_LENGTH || !person.chars().all(|character| (' '..='~').contains(&character)) {
        let detail = format!("The header {PERSON} has at most {PERSON_LENGTH} characters, visible ASCII and spaces.");
        return Err(Objection::new(PERSON, detail));
    }
    Ok(Some(person.to_owned()))
}

/// Refuses a body where none is wanted: what it says would not be done.
pub(super) fn nothing(request: &Request) -> Result<(), Objection> {
    if request.body.trim_ascii().is_empty() { Ok(()) } else { object(request, &[]).map(|_| ()) }
}

/// `{"planId": "..."}` or `{"quantity": 5}`.
pub(super) fn wanted(request: &Request) -> Result<Wanted, Objection> {
    let fields = object(request, &["planId", "quantity"])?;
    match (fields.get("planId"), fields.get("quantity")) {
        (Some(plan), None) => {
            let sound = |plan: &&str| {
                (1..=PLAN_LENGTH).contains(&plan.len()) && plan.bytes().all(|byte| byte.is_ascii_graphic())
            };
            let plan = plan.as_str().filter(sound);
            let detail = || format!("The field planId is a plan's id: 1 to {PLAN_LENGTH} visible characters.");
            plan.map(|plan| Wanted::Plan(plan.to_owned())).ok_or_else(|| Objection::new("planId", detail()))
        }
        (None, Some(quantity)) => {
            let quantity = whole(quantity).filter(|quantity| *quantity > 0);
            let detail = "The field quantity is a whole number of seats, at least 1.";
            quantity.map(Wanted::Quantity).ok_or_else(|| Objection::new("quantity", detail))
        }
        _ => Err(Objection::new(
            "body",
            "The body names exactly one of planId and quantity: Microsoft changes one at a time.",
        )),
    }
}

/// A whole number. JSON has one kind of number: some languages write five as `5.0`.
fn whole(value: &Value) -> Option<u32> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
    format!("{number:.0}").parse().ok()
}

/// `{"reason": "..."}`.
pub(super) fn reason(request: &Request) -> Result<String, Objection> {
    reason_of(&object(request, &["reason"])?)
}

fn reason_of(fields: &Map<String, Value>) -> Result<String, Objection> {
    let reason = fields.get("reason").and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if !(1..=REASON_LENGTH).contains(&reason.chars().count()) || reason.chars().any(char::is_control) {
        let detail = format!("The field reason is a text of 1 to {REASON_LENGTH} characters on one line.");
        return Err(Objection::new("reason", detail));
    }
    Ok(reason.to_owned())
}

/// Nothing, or `{"from": "1763629200124"}`: the number of an event.
pub(super) fn sequence(request: &Request) -> Result<Option<u64>, Objection> {
    if request.body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let fields = object(request, &["from"])?;
    let Some(from) = fields.get("from") else { return Ok(None) };
    let number = from.as_str().and_then(|text| text.parse().ok());
    let detail = "The field from is the sequence of an event, as text.";
    number.map(Some).ok_or_else(|| Objection::new("from", detail))
}

/// `{"entitled": true, "until": "2026-12-24T18:00:00Z", "reason": "..."}`.
pub(super) fn decision(request: &Request, now: OffsetDateTime) -> Result<Override, Objection> {
    let fields = object(request, &["entitled", "until", "reason"])?;
    let Some(entitled) = fields.get("entitled").and_then(Value::as_bool) else {
        return Err(Objection::new("entitled", "The field entitled is true or false."));
    };
    let until = fields.get("until").and_then(Value::as_str);
    let until = until.and_then(|until| OffsetDateTime::parse(until, &Rfc3339).ok());
    let until = until.filter(|until| now < *until && *until <= now + OVERRIDE_LIMIT).ok_or_else(|| {
        let days = OVERRIDE_LIMIT.whole_days();
        Objection::new("until", format!("The field until is a time (RFC 3339) ahead, at most {days} days."))
    })?;
    let until = until.to_offset(UtcOffset::UTC);
    Ok(Override { entitled, until, reason: reason_of(&fields)?, at: now, person: person(request)? })
}

/// Whom a look-up is about: `tenantId`, for a personal account `objectId`; and `offerId`, without the suffix of a preview.
pub(super) fn held(request: &Request) -> Result<(Holder, Option<String>), Objection> {
    let guid = |name: &'static str| {
        let given = request.query(name);
        let guid = given.map(|given| Uuid::try_parse(given.trim()).map(|guid| guid.hyphenated().to_string()));
        guid.transpose().map_err(|_| Objection::new(name, format!("The parameter {name} is not a GUID.")))
    };
    let (tenant, object) = (guid("tenantId")?, guid("objectId")?);
    let holder = Holder::named(tenant.as_deref(), object.as_deref()).ok_or_else(|| {
        let detail = if tenant.is_some() {
            "All personal accounts share this tenantId; name the person by objectId as well."
        } else if object.is_some() {
            "Only a personal account is found by objectId alone; name the organisation by tenantId."
        } else {
            "The query names nobody: tenantId is an organisation, objectId a personal account."
        };
        Objection::new("tenantId", detail)
    })?;
    Ok((holder, offer(request, "offerId")?))
}

/// The body as a JSON object with no other fields than these.
fn object(request: &Request, known: &[&str]) -> Result<Map<String, Value>, Objection> {
    let body = serde_json::from_slice(&request.body).map_err(|error| {
        let detail = format!("The body is not JSON: line {}, column {}.", error.line(), error.column());
        Objection::new("body", detail)
    })?;
    let Value::Object(fields) = body else {
        return Err(Objection::new("body", "The body is not a JSON object."));
    };
    let Some(unknown) = fields.keys().find(|field| !known.contains(&field.as_str())) else {
        return Ok(fields);
    };
    let plain =
        unknown.len() <= FIELD_LENGTH && unknown.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let unknown = if plain { format!("the field {unknown}") } else { "a field".to_owned() };
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(Objection::new("body", format!("The body has {unknown}, which is not known here; known here: {known}.")))
}
