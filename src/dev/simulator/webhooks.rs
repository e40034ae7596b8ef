//! How webhooks are sent, and what befalls them on the way.

use serde::{Deserialize, Serialize};
use time::Duration;

use super::refusal::Refusal;
use super::span;

/// How many names of invented actions there may be.
const ACTIONS: usize = 10;

/// The longest name of an invented action, in bytes; Microsoft's own have at most 14.
const LONGEST_ACTION: usize = 64;

/// The form of a webhook's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// As documented today.
    #[default]
    Full,
    /// As in 2019 to 2021: ids and the action.
    Thin,
    /// Full, but the subscription inside has only its ids and name.
    Partial,
}

/// How webhooks are sent. As JSON every field may be left out. Probabilities are from 0 to 1, drawn from the seed for each
/// webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "switches that do not depend on one another")]
pub struct Webhooks {
    /// The form of the body.
    pub payload: Form,
    /// 1 or 2: the version of Entra's tokens that the publisher's application is registered for.
    pub token_version: u8,
    /// Fields that nobody knows yet.
    pub extra_fields: bool,
    /// The body is wrong about the plan, the seats, the states, and who asked.
    pub lie: bool,
    /// How likely a webhook never arrives, while Microsoft believes that it did.
    pub lost: f64,
    /// How likely a webhook is sent twice, at once.
    pub doubled: f64,
    /// How likely a webhook is sent after the next one of its subscription; ten minutes late where none follows.
    pub reordered: f64,
    /// How long all webhooks take, on the simulator's clock.
    #[serde(with = "span")]
    pub late: Duration,
    /// After a refusal the customer's side takes its change back: one more webhook, whose target is what is bought.
    pub revert: bool,
    /// How far apart attempts are, on the simulator's clock; `None` as Microsoft does it.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub retry_every: Option<Duration>,
    /// A purchase that is voided after 30 days is told to nobody. What Microsoft does is not documented.
    pub silent_void: bool,
    /// Actions that nobody knows yet: each event is followed by one webhook for each.
    pub actions: Vec<String>,
}

impl Default for Webhooks {
    /// As Microsoft sends them to an application with its default registration.
    fn default() -> Self {
        Self {
            payload: Form::Full,
            token_version: 1,
            extra_fields: false,
            lie: false,
            lost: 0.0,
            doubled: 0.0,
            reordered: 0.0,
            late: Duration::ZERO,
            revert: false,
            retry_every: None,
            silent_void: false,
            actions: Vec::new(),
        }
    }
}

impl Webhooks {
    /// Whether this can be applied.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let refuse = |message: String| Err(Refusal::bad_request("InvalidFaults", "webhooks", message));
        if [self.lost, self.doubled, self.reordered].iter().any(|probability| !(0.0..=1.0).contains(probability)) {
            return refuse("webhooks: lost, doubled and reordered are numbers from 0 to 1".to_owned());
        }
        if !(1..=2).contains(&self.token_version) {
            return refuse("webhooks: tokenVersion is 1 or 2".to_owned());
        }
        if self.retry_every.is_some_and(|every| every < Duration::SECOND) {
            return refuse("webhooks: retryEvery is at least PT1S".to_owned());
        }
        let named = |name: &String| (1..=LONGEST_ACTION).contains(&name.len());
        if self.actions.len() > ACTIONS || !self.actions.iter().all(named) {
            return refuse(format!("webhooks: at most {ACTIONS} actions of 1 to {LONGEST_ACTION} bytes each"));
        }
        Ok(())
    }
}
