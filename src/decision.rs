//! Puts a change that the customer asks for to the publisher's software: once, for as long as there is time, and with
//! silence taken for what the settings say.

use std::fmt;
use std::time::Duration as Patience;

use futures_util::future::BoxFuture;
use time::{Duration, OffsetDateTime};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::app::App;
use crate::cloud_event;
use crate::command::{self, Said};
use crate::duty::Verdict;
use crate::error::Fault;
use crate::history::Actor;
use crate::notice::Question;
use crate::publisher::Answer;
use crate::subscription::{Event, Ruling, Subscription, SubscriptionId};

/// How long the publisher's software may take while Microsoft waits. With the proof of the caller, one look at Microsoft
/// and the saves before and after, it fits what Microsoft's ten seconds leave (`docs/ARCHITECTURE.md` has the table).
pub const DECISION_BUDGET: Patience = Patience::from_secs(3);

/// How long it may take where nobody waits, and how long a decision that is already late is listened for: as long as for
/// an event. Afterwards it is not heard at all.
pub const DECISION_PATIENCE: Patience = Patience::from_secs(15);

/// A change that has been put to the publisher's software.
pub struct Asking {
    subscription: SubscriptionId,
    question: Question,
    begun: Instant,
    answer: BoxFuture<'static, Result<Answer, String>>,
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking")
            .field("subscription", &self.subscription)
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}

impl Asking {
    /// Asks, once somebody waits for it. Only for whoever has saved [`Event::Asked`].
    pub fn begin(app: &App, to: &Url, subscription: &Subscription, question: &Question, now: OffsetDateTime) -> Self {
        let Question { operation, wanted, .. } = question;
        let message = cloud_event::decide(&app.settings, subscription, operation, wanted, now);
        let (app, to) = (app.clone(), to.clone());
        Self {
            subscription: subscription.id.clone(),
            question: question.clone(),
            begun: Instant::now(),
            answer: Box::pin(async move { command::send(&app, &to, &message, DECISION_PATIENCE).await }),
        }
    }

    /// Waits for the decision. Where none came in time the default stands, and whoever likes can go on listening.
    pub async fn within(mut self, patience: Patience, default: Verdict) -> (Ruling, Option<Self>) {
        let Ok(answer) = timeout(patience, &mut self.answer).await else {
            let why = format!("no answer of the publisher's software within {} ms", patience.as_millis());
            return (silence(default, &why), Some(self));
        };
        let ruling = match heard(answer) {
            Ok(said) => self.ruling(said),
            Err(why) => silence(default, &why),
        };
        (ruling, None)
    }

    /// Hears what comes after all, within [`DECISION_PATIENCE`], and has it remembered. It changes nothing.
    ///
    /// # Errors
    ///
    /// Where it could not be saved.
    pub async fn listen(mut self, app: &App) -> Result<(), Fault> {
        let id = self.subscription.clone();
        match heard((&mut self.answer).await) {
            Ok(said) => {
                let ruling = self.ruling(said);
                let verdict = ruling.verdict.as_str();
                tracing::warn!(subscription_id = %id, verdict, "the publisher's software decided too late");
                app.record(&id, Event::DecidedLate { notice: self.question.notice(), ruling }, None).await.map(drop)
            }
            Err(why) => {
                tracing::warn!(subscription_id = %id, why, "the publisher's software did not decide");
                Ok(())
            }
        }
    }

    fn ruling(&self, said: Said) -> Ruling {
        let took = Duration::try_from(self.begun.elapsed()).ok();
        Ruling { verdict: said.verdict, by: Actor::Publisher, why: said.why, took }
    }
}

fn heard(answer: Result<Answer, String>) -> Result<Said, String> {
    command::decision(&answer?)
}

/// What stands where whoever asked was gone before the answer could be heard: it is not asked again.
pub fn unheard(default: Verdict) -> Ruling {
    silence(default, "the publisher's software was asked, and nobody was left to hear it")
}

/// What silence means, and why it was one.
fn silence(default: Verdict, why: &str) -> Ruling {
    let by_default = match default {
        Verdict::Success => "accepted by default",
        Verdict::Failure => "refused by default",
    };
    Ruling::by_rule(default, Some(format!("{why}: {by_default}")))
}
