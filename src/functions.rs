//! The functions: which there are, how the host knows them, and the one `match` that leads to each.

pub mod acknowledge;
pub mod activate;
pub mod change;
pub mod confirm;
pub mod doctor;
pub mod health;
pub mod keys;
pub mod landing;
pub mod notify;
pub mod progress;
pub mod reconcile;
pub mod signin;
pub mod subscriptions;
pub mod sweep;
pub mod webhook;

use time::OffsetDateTime;

use crate::app::App;
use crate::arrival::SigninStart;
use crate::bell::Doorbell;
use crate::decision::Asking;
use crate::duty::Queue;
use crate::error::{Code, Fault};
use crate::host::Envelope;
use crate::pages::Trouble;
use crate::problem::Problem;
use crate::resumption;
use crate::subscription::SubscriptionId;
use crate::web::{Reply, Request};

/// The name of the binding in every queue function's `function.json`.
const QUEUE_BINDING: &str = "message";

/// A function of this app. Its name is the name of its folder, of its file, and of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented in its file")]
pub enum Function {
    Acknowledge,
    Activate,
    Change,
    Confirm,
    Doctor,
    Health,
    Keys,
    Landing,
    Notify,
    Progress,
    Reconcile,
    Signin,
    Subscriptions,
    Sweep,
    Webhook,
}

/// What starts a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A request with one of these methods.
    Http {
        /// The methods.
        methods: &'static [&'static str],
        /// Whether people look at the answer; programs get JSON.
        for_people: bool,
    },
    /// A bell of this queue.
    Queue(Queue),
    /// The clock.
    Timer,
}

/// What an HTTP function answers, and what its instance does at once after the answer is sent.
#[derive(Debug)]
pub struct Answer {
    /// The answer.
    pub reply: Reply,
    /// The work after it.
    pub then: Vec<Then>,
}

/// Work after an answer. Nothing depends on it: a duty's bell rings, and the timer comes, in any case.
#[derive(Debug)]
pub enum Then {
    /// A duty that the function has just added.
    Discharge(Doorbell),
    /// A reconciliation, which somebody asked for before its hour.
    Reconcile,
    /// News that was given up is taken up again.
    Resume,
    /// The publisher's software was asked and has not answered in time: what it says after all is remembered.
    Listen(Box<Asking>),
    /// Secrets that this instance has held for a while are read again, so that nobody waits for it.
    RereadSecrets,
}

/// An HTTP function could not do what it was asked.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub fault: Fault,
    /// A sign-in, ready to begin, that leads back to the same purchase.
    pub again: Option<SigninStart>,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 15] = [
        Self::Acknowledge,
        Self::Activate,
        Self::Change,
        Self::Confirm,
        Self::Doctor,
        Self::Health,
        Self::Keys,
        Self::Landing,
        Self::Notify,
        Self::Progress,
        Self::Reconcile,
        Self::Signin,
        Self::Subscriptions,
        Self::Sweep,
        Self::Webhook,
    ];

    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Activate => "activate",
            Self::Change => "change",
            Self::Confirm => "confirm",
            Self::Doctor => "doctor",
            Self::Health => "health",
            Self::Keys => "keys",
            Self::Landing => "landing",
            Self::Notify => "notify",
            Self::Progress => "progress",
            Self::Reconcile => "reconcile",
            Self::Signin => "signin",
            Self::Subscriptions => "subscriptions",
            Self::Sweep => "sweep",
            Self::Webhook => "webhook",
        }
    }

    /// What starts it.
    pub fn trigger(self) -> Trigger {
        match self {
            Self::Landing => Trigger::Http { methods: &["GET"], for_people: true },
            Self::Signin | Self::Confirm => Trigger::Http { methods: &["POST"], for_people: true },
            Self::Doctor | Self::Health | Self::Keys | Self::Progress => {
                Trigger::Http { methods: &["GET"], for_people: false }
            }
            Self::Subscriptions => {
                Trigger::Http { methods: &["GET", "POST", "PUT", "PATCH", "DELETE"], for_people: false }
            }
            Self::Webhook => Trigger::Http { methods: &["POST"], for_people: false },
            Self::Activate => Trigger::Queue(Queue::Activations),
            Self::Acknowledge => Trigger::Queue(Queue::Acknowledgements),
            Self::Change => Trigger::Queue(Queue::Changes),
            Self::Notify => Trigger::Queue(Queue::Notifications),
            Self::Reconcile | Self::Sweep => Trigger::Timer,
        }
    }

    /// The route under which browsers and programs reach it, as `function.json` has it; `None` where only the host can.
    pub fn route(self) -> Option<&'static str> {
        match self {
            Self::Confirm => Some("/api/confirm"),
            Self::Doctor => Some("/api/doctor"),
            Self::Health => Some("/api/health"),
            Self::Keys => Some("/api/keys"),
            Self::Landing => Some("/api/landing"),
            Self::Progress => Some("/api/progress"),
            Self::Signin => Some("/api/signin"),
            Self::Subscriptions => Some("/api/subscriptions/{*path}"),
            Self::Webhook => Some("/api/webhook"),
            Self::Acknowledge | Self::Activate | Self::Change | Self::Notify | Self::Reconcile | Self::Sweep => None,
        }
    }
}

/// Answers an HTTP request to `function`. A refusal is answered too, as a page or as JSON, and returned for the log.
pub async fn answer(app: &App, function: Function, request: &Request, now: OffsetDateTime) -> (Answer, Option<Fault>) {
    let result = match function {
        Function::Landing => landing::run(app, request, now).await.map(Answer::from),
        Function::Signin => signin::run(app, request, now).await.map(Answer::from),
        Function::Confirm => confirm::run(app, request, now).await,
        Function::Progress => progress::run(app, request, now).await.map(Answer::from),
        Function::Subscriptions => subscriptions::run(app, request).await,
        // Boxed: it asks everybody at once, and every other answer would carry the room for that.
        Function::Doctor => Ok(Box::pin(doctor::run(app)).await.into()),
        Function::Health => Ok(health::run(request).into()),
        Function::Keys => keys::run(app, now).await.map(Answer::from),
        Function::Webhook => webhook::run(app, request, now).await,
        Function::Acknowledge
        | Function::Activate
        | Function::Change
        | Function::Notify
        | Function::Reconcile
        | Function::Sweep => {
            Err(Fault::new(Code::UnknownFunction, format!("{} is not an HTTP function", function.name())).into())
        }
    };
    let (mut answer, fault) = match result {
        Ok(answer) => (answer, None),
        Err(refused) => {
            let fault = refused.fault.clone();
            (refuse(app, function, &request.invocation_id, refused).into(), Some(fault))
        }
    };
    answer.then.extend(app.secrets.are_due(now).then_some(Then::RereadSecrets));
    (answer, fault)
}

/// Runs a function that the host's queue or timer triggered.
///
/// # Errors
///
/// Only what makes the host deliver the message again: what is merely not done yet is on the record, with a bell of its
/// own.
pub async fn triggered(app: &App, function: Function, body: &[u8], now: OffsetDateTime) -> Result<(), Fault> {
    let envelope = Envelope::parse(body)?;
    match function.trigger() {
        Trigger::Queue(queue) => {
            let discharged = discharge(app, &Doorbell::decode(queue, &envelope.message(QUEUE_BINDING)?)?).await;
            app.secrets.reread(now).await;
            discharged
        }
        Trigger::Timer if function == Function::Reconcile => reconcile::run(app, now).await.map(drop),
        Trigger::Timer => sweep::run(app, now).await,
        Trigger::Http { .. } => Err(Fault::new(Code::UnknownFunction, "an HTTP function was invoked like a trigger")),
    }
}

/// Does what an answer left for afterwards.
pub async fn follow_up(app: &App, then: Then) -> Result<(), Fault> {
    match then {
        Then::Discharge(doorbell) => discharge(app, &doorbell).await,
        Then::Listen(asking) => asking.listen(app).await,
        Then::Reconcile => reconcile::run(app, app.clock.now()).await.map(drop),
        Then::Resume => resumption::go_on(app, app.clock.now()).await,
        Then::RereadSecrets => {
            app.secrets.reread(app.clock.now()).await;
            Ok(())
        }
    }
}

/// Does what a bell asks for.
pub async fn discharge(app: &App, doorbell: &Doorbell) -> Result<(), Fault> {
    let id = &doorbell.subscription;
    match doorbell.queue {
        // Boxed: these carry records to and fro, and whoever waits for any bell would carry the room for that.
        Queue::Activations => Box::pin(activate::run(app, id)).await,
        Queue::Acknowledgements => Box::pin(acknowledge::run(app, id)).await,
        Queue::Changes => change::run(app, id).await,
        Queue::Notifications => notify::run(app, id).await,
    }
}

/// The answer to a request that was refused: a page for people, JSON for programs.
pub fn refuse(app: &App, function: Function, invocation_id: &str, refused: Refused) -> Reply {
    let Refused { fault, again } = refused;
    let for_people = matches!(function.trigger(), Trigger::Http { for_people: true, .. });
    if !for_people {
        return problem(fault.code, invocation_id);
    }
    let sign_in_again = again.as_ref().map(|start| start.url.to_string());
    let reply = app.pages.fault(fault.code, &Trouble { reference: invocation_id.to_owned(), sign_in_again });
    again.into_iter().flat_map(|start| start.cookies).fold(reply, |reply, cookie| reply.with("set-cookie", cookie))
}

/// A refusal as JSON, in the code's own words.
pub fn problem(code: Code, reference: &str) -> Reply {
    Problem { code, detail: None, reference: reference.to_owned() }.reply()
}

impl Answer {
    /// An answer, and after it an attempt at the duties for which the subscription's bells `rings` are set.
    pub fn and_discharge(reply: Reply, id: &SubscriptionId, rings: &[Queue]) -> Self {
        let doorbells = rings.iter().map(|queue| Doorbell { queue: *queue, subscription: id.clone() });
        Self { reply, then: doorbells.map(Then::Discharge).collect() }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, then: Vec::new() }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault, again: None }
    }
}
