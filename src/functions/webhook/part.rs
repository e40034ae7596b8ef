//! The publisher's part in a change: its software is asked by the first who claims it, and everybody else waits for what
//! that one saves.

use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use url::Url;

use super::{ANSWER_BUDGET, Answer, Conclusion, LAST_WORDS, VERDICT_POLL, answer};
use crate::app::{App, SAVE_TRIES, contended};
use crate::arrival;
use crate::decision::{self, Asking, DECISION_BUDGET};
use crate::duty::{Duty, DutyId, Kind, Queue};
use crate::error::{Code, Fault};
use crate::functions::Then;
use crate::history::Actor;
use crate::notice::{self, Question};
use crate::store::Etag;
use crate::subscription::{Applied, Event, Notice, Subscription, SubscriptionId};

/// What the publisher's software has to do with a notification.
pub(super) enum Part {
    /// This invocation asks it.
    Ask(Put),
    /// Somebody else is asking it.
    Wait,
}

/// A question on its way to the publisher's software.
pub(super) struct Put {
    question: Question,
    to: Url,
    /// From when on somebody else may take the answer for lost.
    until: OffsetDateTime,
}

impl Conclusion {
    /// The same, but for a change about which the publisher's software is asked. `in_time` says whether there is time to
    /// ask it now.
    pub(super) fn with_publisher(
        self,
        app: &App,
        subscription: &Subscription,
        in_time: bool,
        now: OffsetDateTime,
    ) -> Self {
        let Some(to) = app.settings.connection.decisions.clone() else { return self };
        let known = self.read.as_ref().unwrap_or(&subscription.known);
        let Some(question) = notice::question(&self.event, known) else { return self };
        if subscription.answer_to(&question.operation).is_some() {
            return self;
        }
        let (examine, notice) = (question.examine(), question.notice());
        if subscription.is_asked(&examine) {
            return if is_being_asked(subscription, &examine, now) {
                Self { event: Event::Unread(notice), part: Some(Part::Wait), ..self }
            } else {
                let ruling = decision::unheard(app.settings.connection.decisions_default);
                Self { event: question.decided(ruling), ..self }
            };
        }
        if !in_time || subscription.owes_unknown(&examine) {
            return Self { event: Event::Unread(notice), undecided: true, ..self };
        }
        // This invocation has answered by then, or has died.
        let until = now + ANSWER_BUDGET;
        Self { event: Event::Asked { notice, until }, part: Some(Part::Ask(Put { question, to, until })), ..self }
    }
}

impl Put {
    /// Asks, saves the decision or what silence means, and only then answers.
    pub(super) async fn ask(
        self,
        app: &App,
        mut subscription: Subscription,
        mut etag: Etag,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let Self { question, to, until } = self;
        let now = app.clock.now();
        app.ring(Queue::Acknowledgements, &subscription.id, until - now).await;
        let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(LAST_WORDS);
        let asking = Asking::begin(app, &to, &subscription, &question, now);
        let default = app.settings.connection.decisions_default;
        let (ruling, late) = asking.within(DECISION_BUDGET.min(left), default).await;
        for _ in 0..SAVE_TRIES {
            let overtaken = subscription.answer_to(&question.operation).is_some() && ruling.by == Actor::Publisher;
            let event = if overtaken {
                Event::DecidedLate { notice: question.notice(), ruling: ruling.clone() }
            } else {
                question.decided(ruling.clone())
            };
            let told = subscription.history.total();
            let rings = match subscription.apply(event, app.clock.now()) {
                Applied::Changed { rings } => rings,
                Applied::Unchanged => Vec::new(),
                Applied::Refused(refusal) => return Err(arrival::refused(&subscription.id, refusal)),
            };
            let saved = app.save(&mut subscription, Some(&etag), told, &rings).await.inspect_err(|_| {
                let (verdict, by) = (ruling.verdict.as_str(), ruling.by.as_str());
                tracing::warn!(subscription_id = %subscription.id, verdict, by, "a decision could not be saved");
            });
            if saved? {
                let mut answer = answer(&subscription, &question.notice(), true, &rings)?;
                answer.then.extend(late.map(|asking| Then::Listen(Box::new(asking))));
                return Ok(answer);
            }
            let Some(stored) = app.store.load(&subscription.id).await? else { break };
            (subscription, etag) = (stored.subscription, stored.etag);
        }
        Err(contended(&subscription.id))
    }
}

/// Waits for what somebody else is about to save, for as long as that one has time for it. `None` where that one is gone,
/// and it has to be looked at anew.
pub(super) async fn wait(
    app: &App,
    id: &SubscriptionId,
    notice: &Notice,
    deadline: Instant,
) -> Result<Option<Answer>, Fault> {
    let examine = DutyId { kind: Kind::Examine, operation: notice.operation.clone() };
    let until = deadline.min(Instant::now() + DECISION_BUDGET + LAST_WORDS);
    while Instant::now() < until {
        sleep(VERDICT_POLL).await;
        let Some(stored) = app.store.load(id).await? else { return Ok(None) };
        let subscription = stored.subscription;
        let answered = notice.operation.as_ref().and_then(|operation| subscription.answer_to(operation));
        if answered.is_some() {
            return answer(&subscription, notice, true, &[]).map(Some);
        }
        if !is_being_asked(&subscription, &examine, app.clock.now()) {
            return Ok(None);
        }
    }
    let why = format!("the publisher's software is being asked about a change of {id}, and has not decided yet");
    Err(Fault::passing(Code::Contended, why))
}

/// Whether somebody who may still be alive is asking the publisher's software.
fn is_being_asked(subscription: &Subscription, examine: &DutyId, now: OffsetDateTime) -> bool {
    let due = subscription.duty(examine.clone()).and_then(Duty::due);
    subscription.is_asked(examine) && due.is_some_and(|due| due > now)
}
