//! `subscriptions`, for the publisher's systems: see every record, and order what the publisher can order. The host checks
//! the function key before it calls. `docs/openapi.json` describes every route; a test keeps it equal to [`ROUTES`].

mod entitlement;
mod events;
mod input;
mod orders;
mod resync;
mod shown;

use serde_json::{Value, json};

use self::input::{Filter, Objection};
use super::{Answer, Refused, Then, problem};
use crate::app::App;
use crate::arrival::{self, serving};
use crate::duty::DutyId;
use crate::error::{Code, Fault};
use crate::marketplace::CallError;
use crate::problem::Problem;
use crate::store::{PAGE_LIMIT, StoreError};
use crate::subscription::{Refusal, Status, Subscription, SubscriptionId};
use crate::web::{Reply, Request};

/// How many pages of the store one answer looks through for what a filter asks for. It bounds the time of one call: a
/// caller whose page is short, or empty, goes on at `next`.
pub const FILTERED_PAGES: usize = 10;

/// A method and a path that this function answers.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path below the function's own; a segment in braces stands for any value.
    pub template: &'static str,
    call: Call,
}

#[derive(Clone, Copy, Debug)]
enum Call {
    List,
    Show,
    Change,
    Cancel,
    Plans,
    Operations,
    Activate,
    Resync,
    Retry,
    End,
    Reconcile,
    Events,
    EventsOf,
    TestEvent,
    Resume,
    ReplayAll,
    Replay,
    OnceMore,
    Entitlements,
    Entitlement,
    Override,
    EndOverride,
}

/// Every route.
pub const ROUTES: [Route; 22] = [
    Route { method: "GET", template: "", call: Call::List },
    Route { method: "GET", template: "entitlements", call: Call::Entitlements },
    Route { method: "GET", template: "events", call: Call::Events },
    Route { method: "GET", template: "{id}", call: Call::Show },
    Route { method: "PATCH", template: "{id}", call: Call::Change },
    Route { method: "DELETE", template: "{id}", call: Call::Cancel },
    Route { method: "GET", template: "{id}/plans", call: Call::Plans },
    Route { method: "GET", template: "{id}/operations", call: Call::Operations },
    Route { method: "POST", template: "reconcile", call: Call::Reconcile },
    Route { method: "POST", template: "{id}/activate", call: Call::Activate },
    Route { method: "POST", template: "{id}/resync", call: Call::Resync },
    Route { method: "GET", template: "{id}/entitlement", call: Call::Entitlement },
    Route { method: "PUT", template: "{id}/entitlement", call: Call::Override },
    Route { method: "DELETE", template: "{id}/entitlement", call: Call::EndOverride },
    Route { method: "POST", template: "{id}/duties/{duty}/retry", call: Call::Retry },
    Route { method: "POST", template: "{id}/duties/{duty}/end", call: Call::End },
    Route { method: "POST", template: "events/test", call: Call::TestEvent },
    Route { method: "POST", template: "events/resume", call: Call::Resume },
    Route { method: "POST", template: "events/replay", call: Call::ReplayAll },
    Route { method: "GET", template: "{id}/events", call: Call::EventsOf },
    Route { method: "POST", template: "{id}/events/replay", call: Call::Replay },
    Route { method: "POST", template: "{id}/events/{sequence}/replay", call: Call::OnceMore },
];

/// Why a request is not answered as it asks.
enum Stop {
    /// A failure like any other function's.
    Fault(Fault),
    /// The request itself is wrong, and the caller hears which part of it.
    Objection(Objection),
    /// The path answers these methods only.
    Method(String),
}

/// Answers one request; [`ROUTES`] lists what can be asked.
pub async fn run(app: &App, request: &Request) -> Result<Answer, Refused> {
    match perform(app, request).await {
        Ok(answer) => Ok(answer),
        Err(Stop::Fault(fault)) => Err(fault.into()),
        Err(Stop::Objection(Objection { code, part, detail })) => {
            tracing::warn!(%code, part, "the request is refused as it is");
            let problem = Problem { code, detail: Some(detail), reference: request.invocation_id.clone() };
            Ok(problem.reply().into())
        }
        Err(Stop::Method(allowed)) => {
            Ok(problem(Code::WrongMethod, &request.invocation_id).with("allow", allowed).into())
        }
    }
}

async fn perform(app: &App, request: &Request) -> Result<Answer, Stop> {
    let (call, parameters) = routed(request)?;
    match parameters.split_first() {
        None => perform_on_all(app, request, call).await,
        Some((id, rest)) => {
            let id = SubscriptionId::parse(id)
                .ok_or_else(|| Fault::new(Code::UnknownSubscription, "the path names no subscription"))?;
            perform_on_one(app, request, call, &id, rest.first().copied().unwrap_or_default()).await
        }
    }
}

async fn perform_on_all(app: &App, request: &Request, call: Call) -> Result<Answer, Stop> {
    match call {
        Call::Reconcile => {
            input::nothing(request)?;
            input::person(request)?;
            let reply = Reply::json(202, &json!({ "status": "reconciling" })).with("cache-control", "no-store");
            Ok(Answer { reply, then: vec![Then::Reconcile] })
        }
        Call::Entitlements => entitlement::look_up(app, request).await.map(Answer::from),
        Call::Events => events::list(app, request).await.map(Answer::from),
        Call::TestEvent => events::test(app, request).await.map(Answer::from),
        Call::Resume => events::resume(app, request).await,
        Call::ReplayAll => events::replay_all(app, request).await,
        _ => list(app, &input::filter(request)?).await.map(Answer::from),
    }
}

/// `part` is what stands in the path for the second segment in braces, if there is one.
async fn perform_on_one(
    app: &App,
    request: &Request,
    call: Call,
    id: &SubscriptionId,
    part: &str,
) -> Result<Answer, Stop> {
    match call {
        Call::Entitlement => entitlement::show(app, id).await.map(Answer::from),
        Call::Override => entitlement::decide(app, id, request).await.map(Answer::from),
        Call::EndOverride => entitlement::end(app, id, request).await.map(Answer::from),
        Call::EventsOf => events::of(app, id).await.map(Answer::from),
        Call::Replay => events::replay(app, id, request).await,
        Call::OnceMore => events::once_more(app, id, part, request).await,
        Call::Plans => plans(app, id).await.map(Answer::from),
        Call::Operations => operations(app, id).await.map(Answer::from),
        Call::Change => orders::order(app, id, input::wanted(request)?, input::person(request)?).await,
        Call::Cancel => {
            input::nothing(request)?;
            orders::cancel(app, id, input::person(request)?).await
        }
        Call::Activate => {
            input::nothing(request)?;
            orders::activate(app, id, input::person(request)?).await
        }
        Call::Resync => {
            input::nothing(request)?;
            resync::run(app, id, input::person(request)?).await.map(Answer::from)
        }
        Call::Retry => {
            input::nothing(request)?;
            orders::retry(app, id, duty_id(app, id, part).await?, input::person(request)?).await
        }
        Call::End => {
            let (why, person) = (input::reason(request)?, input::person(request)?);
            orders::end(app, id, duty_id(app, id, part).await?, why, person).await.map(Answer::from)
        }
        _ => Ok(answer(&shown::subscription(&app.subscription(id).await?, app.clock.now())).into()),
    }
}

/// The call that a request makes, and what stands in its path for the segments in braces.
fn routed(request: &Request) -> Result<(Call, Vec<&str>), Stop> {
    let fitting: Vec<_> = ROUTES.iter().filter_map(|route| Some((route, route.parameters(&request.path)?))).collect();
    if let Some((route, parameters)) = fitting.iter().find(|(route, _)| route.method == request.method) {
        return Ok((route.call, parameters.clone()));
    }
    if fitting.is_empty() {
        return Err(Fault::new(Code::UnknownFunction, "the path is none of this function's").into());
    }
    Err(Stop::Method(fitting.iter().map(|(route, _)| route.method).collect::<Vec<_>>().join(", ")))
}

impl Route {
    /// The values of the segments in braces, where `path` is of this form.
    fn parameters<'a>(&self, path: &'a str) -> Option<Vec<&'a str>> {
        let (form, path): (Vec<_>, Vec<_>) = (self.template.split('/').collect(), path.split('/').collect());
        let is_parameter = |segment: &str| segment.starts_with('{');
        let fits = form.len() == path.len()
            && form
                .iter()
                .zip(&path)
                .all(|(form, given)| if is_parameter(form) { !given.is_empty() } else { form == given });
        fits.then(|| form.iter().zip(path).filter(|(form, _)| is_parameter(form)).map(|(_, given)| given).collect())
    }
}

/// The duty that a segment of the path names. Some clients encode its colon.
///
/// # Errors
///
/// [`Code::RecordNewer`] for a duty that is owed and not understood: whether it may end, or be tried, is not known here.
async fn duty_id(app: &App, id: &SubscriptionId, segment: &str) -> Result<DutyId, Fault> {
    let plain = segment.replace("%3A", ":").replace("%3a", ":");
    let owed = app.subscription(id).await?.unknown_duties;
    if owed.iter().any(|duty| duty.id() == plain) {
        return Err(Fault::new(
            Code::RecordNewer,
            format!("{id} owes the duty {plain}, which this version does not know"),
        ));
    }
    DutyId::parse(&plain).ok_or_else(|| arrival::refused(id, Refusal::NoSuchDuty))
}

async fn list(app: &App, filter: &Filter) -> Result<Reply, Stop> {
    let (mut found, mut next): (Vec<Subscription>, _) = (Vec::new(), filter.after.clone());
    let mut unreadable = Vec::new();
    for _ in 0..FILTERED_PAGES {
        let page = app.store.page(next.as_ref()).await?;
        next = page.next;
        unreadable.extend(page.unreadable);
        let mut fitting = page.subscriptions.into_iter().filter(|subscription| filter.fits(subscription));
        found.extend(fitting.by_ref().take(PAGE_LIMIT - found.len()));
        let left_over = fitting.next().is_some();
        if left_over {
            next = found.last().map(|last| last.id.clone());
        }
        if next.is_none() || found.len() == PAGE_LIMIT {
            break;
        }
    }
    let now = app.clock.now();
    let subscriptions: Vec<Value> = found.iter().map(|record| shown::subscription(record, now)).collect();
    // Whether it would pass a filter cannot be told, so it always does; what is behind the page is on the next one.
    unreadable.retain(|record| next.as_ref().is_none_or(|next| record.id <= *next));
    let unreadable: Vec<Value> = unreadable.iter().map(shown::unreadable).collect();
    let next = next.map(|id| filter.link(&id));
    Ok(answer(&json!({ "subscriptions": subscriptions, "unreadable": unreadable, "next": next })))
}

async fn plans(app: &App, id: &SubscriptionId) -> Result<Reply, Stop> {
    let known = app.subscription(id).await?.known;
    serving(app, id, &known.offer_id)?;
    if known.status == Status::Unsubscribed {
        // Microsoft refuses to list the plans of a cancelled subscription, in the words of a wrong identity.
        return Err(arrival::refused(id, Refusal::Cancelled).into());
    }
    let plans = app.marketplace.list_available_plans(id, None).await?;
    let plans: Vec<Value> = plans.iter().map(|plan| shown::plan(plan, &known.plan_id)).collect();
    Ok(answer(&json!({ "plans": plans })))
}

async fn operations(app: &App, id: &SubscriptionId) -> Result<Reply, Stop> {
    let subscription = app.subscription(id).await?;
    serving(app, id, &subscription.known.offer_id)?;
    let outstanding = app.marketplace.list_operations(id).await?;
    let outstanding: Vec<Value> = outstanding.iter().map(shown::operation).collect();
    let answered: Vec<Value> = subscription.answered.iter().map(shown::answered).collect();
    Ok(answer(&json!({ "outstanding": outstanding, "answered": answered })))
}

fn answer(body: &Value) -> Reply {
    Reply::json(200, body).with("cache-control", "no-store")
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Objection> for Stop {
    fn from(objection: Objection) -> Self {
        Self::Objection(objection)
    }
}
