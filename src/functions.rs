//! The functions: which there are, how the host knows them, and the one `match` that leads to each.

pub mod activate;
pub mod confirm;
pub mod health;
pub mod landing;
pub mod progress;
pub mod signin;
pub mod subscriptions;
pub mod sweep;

use time::OffsetDateTime;

use crate::app::App;
use crate::arrival::SigninStart;
use crate::bell::Doorbell;
use crate::duty::Kind;
use crate::error::{Code, Fault};
use crate::host::Envelope;
use crate::pages::Trouble;
use crate::web::{Reply, Request};

/// The name of the binding in every queue function's `function.json`.
const QUEUE_BINDING: &str = "message";

/// A function of this app. Its name is the name of its folder, of its file, and of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is documented in its file")]
pub enum Function {
    Activate,
    Confirm,
    Health,
    Landing,
    Progress,
    Signin,
    Subscriptions,
    Sweep,
}

/// What starts a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A request with this method.
    Http {
        /// The method.
        method: &'static str,
        /// Whether people look at the answer; programs get JSON.
        for_people: bool,
    },
    /// A bell for this kind of duty.
    Queue(Kind),
    /// The clock.
    Timer,
}

/// What an HTTP function answers, and what its instance tries at once after the answer is sent.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer.
    pub reply: Reply,
    /// Duties that the function has just added. Their bells ring later in any case.
    pub then: Vec<Doorbell>,
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
    pub const ALL: [Self; 8] = [
        Self::Activate,
        Self::Confirm,
        Self::Health,
        Self::Landing,
        Self::Progress,
        Self::Signin,
        Self::Subscriptions,
        Self::Sweep,
    ];

    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// The function's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Confirm => "confirm",
            Self::Health => "health",
            Self::Landing => "landing",
            Self::Progress => "progress",
            Self::Signin => "signin",
            Self::Subscriptions => "subscriptions",
            Self::Sweep => "sweep",
        }
    }

    /// What starts it.
    pub fn trigger(self) -> Trigger {
        match self {
            Self::Landing => Trigger::Http { method: "GET", for_people: true },
            Self::Signin | Self::Confirm => Trigger::Http { method: "POST", for_people: true },
            Self::Health | Self::Progress | Self::Subscriptions => Trigger::Http { method: "GET", for_people: false },
            Self::Activate => Trigger::Queue(Kind::Activate),
            Self::Sweep => Trigger::Timer,
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
        Function::Subscriptions => subscriptions::run(app, request).await.map(Answer::from),
        Function::Health => Ok(health::run().into()),
        Function::Activate | Function::Sweep => {
            Err(Fault::new(Code::UnknownFunction, format!("{} is not an HTTP function", function.name())).into())
        }
    };
    match result {
        Ok(answer) => (answer, None),
        Err(refused) => {
            let fault = refused.fault.clone();
            (refuse(app, function, &request.invocation_id, refused).into(), Some(fault))
        }
    }
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
        Trigger::Queue(kind) => discharge(app, &Doorbell::decode(kind, &envelope.message(QUEUE_BINDING)?)?).await,
        Trigger::Timer => sweep::run(app, now).await,
        Trigger::Http { .. } => Err(Fault::new(Code::UnknownFunction, "an HTTP function was invoked like a trigger")),
    }
}

/// Does what a bell asks for.
pub async fn discharge(app: &App, doorbell: &Doorbell) -> Result<(), Fault> {
    match doorbell.kind {
        Kind::Activate => activate::run(app, &doorbell.subscription).await,
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

/// A refusal as JSON.
pub fn problem(code: Code, reference: &str) -> Reply {
    let body = serde_json::json!({ "code": code.as_str(), "message": code.public(), "reference": reference });
    Reply::json(code.status(), &body).with("cache-control", "no-store")
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
