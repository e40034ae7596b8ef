//! Requests to every function, of strangers and of a signed-in buyer, with the records of a day: each has an answer
//! that can be sent, shows no secret of its request and opens no way elsewhere.

use std::sync::LazyLock;

use bytes::Bytes;
use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::{Bell, memory::Queues};
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::error::Fault;
use marketplace_fulfillment::functions::{Function, Trigger, answer, triggered};
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::marketplace::wire;
use marketplace_fulfillment::person::Person;
use marketplace_fulfillment::session::Session;
use marketplace_fulfillment::store::{Store, memory::Memory, record};
use marketplace_fulfillment::subscription::{Status, Subscription, SubscriptionId};
use marketplace_fulfillment::web::{Reply, Request};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::elsewhere::{ADDRESS, RUNTIME, TENANT, header, signed};
use super::{NOW, SECRET, settings, text};

/// A subscription of each known status, one after the other.
const IDS: [&str; 5] = [
    "37f9dea2-4345-438f-b0bd-03d40d28c7e1",
    "37f9dea2-4345-438f-b0bd-03d40d28c7e2",
    "37f9dea2-4345-438f-b0bd-03d40d28c7e3",
    "37f9dea2-4345-438f-b0bd-03d40d28c7e4",
    "37f9dea2-4345-438f-b0bd-03d40d28c7e5",
];

/// What an input can say of what it cannot know: a session, a form's token for each subscription, a webhook's token.
struct Words {
    session: String,
    forms: Vec<String>,
    bearer: String,
}

static APP: LazyLock<App> = LazyLock::new(|| {
    let api = format!("{}/api", *ADDRESS);
    let settings = settings::read(&[("ENTRA_AUTHORITY_URL", &ADDRESS), ("MARKETPLACE_API_URL", &api)]);
    App::open(settings.expect("good settings"), Clock::manual(NOW)).expect("an app")
});

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let sessions = RUNTIME.block_on(APP.secrets.sessions(NOW)).expect("given keys");
    let person = Person { tenant_id: TENANT.to_owned(), object_id: TENANT.to_owned(), name: None, username: None };
    let (session, cookie): (Session, String) = sessions.start(person, NOW);
    let claims = json!({
        "aud": settings::LEAST[1].1, "tid": TENANT, "ver": "2.0", "exp": NOW.unix_timestamp() + 3600,
        "iss": format!("{}/{TENANT}/v2.0", *ADDRESS), "azp": "20e940b3-4c77-4b0b-9a53-9e16a1b010a7",
    });
    Words {
        session: cookie.split(';').next().unwrap_or_default().to_owned(),
        forms: IDS.map(|id| sessions.form_token(&session, &parsed(id))).to_vec(),
        bearer: signed(&header(), claims.to_string().as_bytes()),
    }
});

/// `METHOD function/path?query`, headers, an empty line, the body. `$SESSION`, `$FORM1` to `$FORM5` and `$BEARER` stand
/// for what an input cannot know.
pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (name, path) = path.split_once('/').unwrap_or((path, ""));
    let Some(function) = Function::named(name).filter(|function| *function != Function::Doctor) else { return };
    let app = app();
    let Trigger::Http { methods, .. } = function.trigger() else {
        let _ = RUNTIME.block_on(triggered(&app, function, body.as_bytes(), NOW)).inspect_err(tellable);
        return;
    };
    let headers =
        lines.filter_map(|line| line.split_once(": ")).filter(|(_, value)| HeaderValue::from_str(value).is_ok());
    let request = Request {
        invocation_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        raw_query: said(query),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), said(value))).collect(),
        body: Bytes::from(said(body)),
    };
    // As the door does it.
    if !methods.contains(&method) {
        return;
    }
    let (answer, fault) = RUNTIME.block_on(answer(&app, function, &request, NOW));
    fault.iter().for_each(tellable);
    sendable(&answer.reply);
    judged(function, &request, &answer.reply);
    for id in IDS {
        let stored = RUNTIME.block_on(app.store.load(&parsed(id))).expect("memory");
        assert!(stored.is_some(), "{id} is gone");
    }
}

fn parsed(id: &str) -> SubscriptionId {
    SubscriptionId::parse(id).expect("a GUID")
}

/// The app of a day: its own records and queues, and everything else shared.
fn app() -> App {
    let records = Memory::default();
    for (id, status) in IDS.iter().zip(Status::ALL) {
        let body = json!({
            "id": id, "offerId": "contoso-offer", "planId": "silver", "quantity": 5,
            "saasSubscriptionStatus": status.as_str(), "allowedCustomerOperations": ["Read", "Update", "Delete"],
            "purchaser": { "tenantId": TENANT },
        });
        let (id, snapshot) = wire::subscription(body.to_string().as_bytes()).expect("a subscription");
        let made = Subscription::discovered(id.clone(), snapshot, Actor::Marketplace, NOW);
        records.put(&id, record::encode(&made).expect("a record"));
    }
    let clock = Clock::manual(NOW);
    App { store: Store::Memory(records), bell: Bell::Memory(Queues::new(clock.clone())), clock, ..APP.clone() }
}

fn said(text: &str) -> String {
    if !text.contains('$') {
        return text.to_owned();
    }
    let text = text.replace("$SESSION", &WORDS.session).replace("$BEARER", &WORDS.bearer);
    let forms = WORDS.forms.iter().zip(1..);
    forms.fold(text, |text, (form, number)| text.replace(&format!("$FORM{number}"), form))
}

/// A fault goes to the log: it holds no secret, and no person.
fn tellable(fault: &Fault) {
    super::assert_tellable(&fault.private);
}

fn sendable(reply: &Reply) {
    for (name, value) in &reply.headers {
        assert!(HeaderValue::from_str(value).is_ok(), "{name}: {value:?}");
        assert!(!value.contains(SECRET), "a secret in {name}: {value}");
    }
    assert!((200..600).contains(&reply.status), "{}", reply.status);
}

fn judged(function: Function, request: &Request, reply: &Reply) {
    let header = |name: &str| reply.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
    if let Some(location) = header("location") {
        let entra = location.starts_with(&format!("{}/common/oauth2/v2.0/authorize?", *ADDRESS));
        assert!(entra || location.starts_with("/api/"), "leads elsewhere: {location}");
    }
    let media = header("content-type").unwrap_or_default();
    if media.contains("json") {
        assert!(serde_json::from_str::<Value>(&reply.body).is_ok(), "no JSON: {}", reply.body);
    }
    if media.starts_with("text/html") {
        assert!(!reply.body.contains("<b>") && !reply.body.contains("<zq7"), "a text became markup: {}", reply.body);
        assert_eq!(header("cache-control"), Some("no-store"), "a page that may be kept");
    }
    // The publisher's software reads its own words again; nobody else does.
    assert!(function == Function::Subscriptions || !reply.body.contains(SECRET), "a secret is shown: {}", reply.body);
    let proven = request.headers.iter().any(|(name, value)| name == "authorization" && value.contains(&WORDS.bearer));
    if function == Function::Webhook && !proven {
        assert!(reply.status == 401 || reply.status == 503, "{} without proof", reply.status);
    }
}
