//! What time does to subscriptions: activations arrive, operations end, terms renew or end, and whoever waits too long
//! is cancelled. Every subscription has one entry in the agenda, for the next thing that time does to it, so that all of
//! it happens in order when the clock moves, whether anybody looks or not.

use time::{Duration, OffsetDateTime};

use super::market::Market;
use super::operation::{Action, Operation, Phase, Source};
use super::subscription::{Standing, Subscription};
use super::{catalog, market};

/// How long a purchase may wait for its activation before Microsoft voids it.
const PENDING_AT_MOST: Duration = Duration::days(30);

/// How long a subscription may stay suspended before Microsoft cancels it.
const SUSPENDED_AT_MOST: Duration = Duration::days(30);

/// An operation that has ended, with what its publisher took to answer: for the log.
pub(super) struct Report {
    pub operation_id: String,
    pub action: Action,
    pub phase: Phase,
    pub acknowledged_after: Duration,
}

impl Market {
    /// Brings everything about that has come due by `now`, in order.
    pub(super) fn settle(&mut self, now: OffsetDateTime) {
        for id in std::mem::take(&mut self.touched) {
            self.schedule(&id);
        }
        while let Some((at, id)) = self.agenda.first().filter(|(at, _)| *at <= now).cloned() {
            let Self { subscriptions, rng, faults, .. } = self;
            let Some(subscription) = subscriptions.get_mut(&id) else {
                self.agenda.pop_first();
                continue;
            };
            let told = subscription.step(at, faults.webhooks.silent_void, || market::guid(rng));
            for operation in told {
                self.announce(&id, operation);
            }
            self.schedule(&id);
        }
    }

    /// Brings the agenda up to date with a subscription that may have changed.
    fn schedule(&mut self, id: &str) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let next = subscription.next_change();
        if subscription.scheduled != next {
            let earlier = std::mem::replace(&mut subscription.scheduled, next);
            if let Some(earlier) = earlier {
                self.agenda.remove(&(earlier, id.to_owned()));
            }
            self.agenda.extend(next.map(|next| (next, id.to_owned())));
        }
        for operation in subscription.operations.iter_mut().filter(|operation| !operation.reported) {
            let Some(acknowledged_after) = operation.acknowledged_after() else { continue };
            operation.reported = true;
            let (operation_id, action) = (operation.id.clone(), operation.action.clone());
            self.reports.push(Report { operation_id, action, phase: operation.phase, acknowledged_after });
        }
    }
}

impl Subscription {
    /// When time next does something to it.
    fn next_change(&self) -> Option<OffsetDateTime> {
        let own = [self.activation.as_ref().map(|activation| activation.due), self.deadline(), self.trial_ends];
        own.into_iter().flatten().chain(self.operations.iter().filter_map(Operation::next_change)).min()
    }

    /// When its present standing or term ends by itself.
    fn deadline(&self) -> Option<OffsetDateTime> {
        match self.standing {
            Standing::PendingFulfillmentStart => Some(self.since + PENDING_AT_MOST),
            // A term that ended while payments failed is followed by the next when it is paid again.
            Standing::Subscribed => self.term_ends().map(|end| end.max(self.since)),
            Standing::Suspended => Some(self.since + SUSPENDED_AT_MOST),
            Standing::Unsubscribed => None,
        }
    }

    /// Does what is due at `at`, and answers what the publisher is told of it.
    fn step(&mut self, at: OffsetDateTime, silent_void: bool, mut new_id: impl FnMut() -> String) -> Vec<Operation> {
        let mut told = Vec::new();
        if let Some(activation) = self.activation.take_if(|activation| activation.due <= at) {
            match activation.fails_as {
                None => self.begin(at),
                Some(id) => told.push(self.expire(id, at)),
            }
        }
        self.trial_ends.take_if(|end| *end <= at);
        for index in 0..self.operations.len() {
            let operation = &mut self.operations[index];
            if operation.phase == Phase::NotStarted && operation.starts_at <= at {
                operation.phase = Phase::InProgress;
            }
            if operation.is_pending() && operation.ends_at.is_some_and(|end| end <= at) {
                let because = match operation.source {
                    Source::Azure => "Nobody answered within ten seconds, which accepts it.",
                    Source::Partner => "Microsoft did what the publisher had asked for.",
                };
                self.complete(index, at, because);
            }
        }
        if self.deadline().is_some_and(|deadline| deadline <= at) {
            match self.standing {
                Standing::Subscribed if self.auto_renew => told.extend(self.renew(new_id(), at)),
                Standing::PendingFulfillmentStart if silent_void => {
                    let voided = self.expire(new_id(), at);
                    self.remember(voided);
                }
                _ => told.push(self.expire(new_id(), at)),
            }
        }
        told
    }

    fn expire(&mut self, id: String, at: OffsetDateTime) -> Operation {
        self.stand(Standing::Unsubscribed, at);
        Operation::done(self, id, Action::Unsubscribe, at)
    }

    /// The next term follows the last; `None` where there was none, and at the end of the calendar.
    pub(super) fn renew(&mut self, id: String, at: OffsetDateTime) -> Option<Operation> {
        let first = self.term_ends()?.date();
        self.start_term(first);
        Some(Operation::done(self, id, Action::Renew, at))
    }

    /// Lets a pending operation take effect, if the subscription still allows it.
    pub(super) fn complete(&mut self, index: usize, at: OffsetDateTime, because: &str) {
        let operation = &mut self.operations[index];
        let allowed = match operation.action {
            Action::ChangePlan | Action::ChangeQuantity => self.standing == Standing::Subscribed,
            Action::Reinstate => self.standing == Standing::Suspended,
            _ => true,
        };
        if !allowed {
            let error = ("BadRequest", "The subscription is not active.");
            operation.fail(error, at, "The subscription's state did not allow it any more.");
            return;
        }
        operation.end(Phase::Succeeded, at, because);
        let (plan_id, quantity) = operation.target;
        match operation.action {
            Action::ChangePlan | Action::ChangeQuantity => {
                self.plan = catalog::plan(plan_id).unwrap_or(self.plan);
                self.quantity = quantity;
            }
            Action::Reinstate => self.stand(Standing::Subscribed, at),
            Action::Unsubscribe => self.stand(Standing::Unsubscribed, at),
            _ => {}
        }
    }
}
