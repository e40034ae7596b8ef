//! What goes wrong on purpose: how the marketplace behaves, and rules that spoil the answers to calls.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use time::Duration;

use super::call::Call;
use super::refusal::Refusal;
use super::span;
use super::webhooks::Webhooks;

/// How many rules there may be at once.
pub(super) const RULES: usize = 100;

/// The longest `Retry-After` that a rule may ask for, in seconds.
pub(super) const LONGEST_RETRY_AFTER: u32 = 3_600;

/// How the simulator behaves. As JSON every field may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// How long after Activate a subscription becomes `Subscribed`, on the simulator's clock.
    #[serde(with = "span")]
    pub activation_lag: Duration,
    /// Activations are received and then fail: the subscription ends as `Unsubscribed`.
    pub activation_fails: bool,
    /// 401 in place of 403 where the publisher's token is not good.
    #[serde(rename = "denied401")]
    pub denied_401: bool,
    /// The publisher's client secret has expired.
    pub secret_expired: bool,
    /// Which of Microsoft's two behaviours is shown where the documents and the wire differ.
    pub profile: Profile,
    /// How many subscriptions make a page of the list, on average: pages are ranges of ids, so their sizes vary.
    pub partition_size: u32,
    /// How webhooks are sent, and what befalls them.
    pub webhooks: Webhooks,
    /// What spoils answers. The first rule that fits a call is applied.
    pub rules: Vec<Rule>,
}

/// Where the documents say one thing and publishers saw another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Profile {
    /// As the documents have it: a reinstatement waits for the publisher.
    Documented,
    /// As seen: 400 for unknown operations, 500 to an answer that our own operation does not need, nothing pending for
    /// subscriptions that do not exist, reinstated before the publisher is asked.
    #[default]
    Observed,
}

/// Spoils the answers to one kind of call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Which calls; `None` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Call>,
    /// How often it still applies; `None` means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// How likely it applies to a call, 0 to 1; drawn from the seed. `None` means always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// What the caller gets.
    pub answer: Answer,
    /// Whether the call takes effect all the same.
    #[serde(default)]
    pub effect: Effect,
    /// The `Retry-After` of the answer, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// What a caller gets in place of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status of 400 to 599 with an error body.
    Status(u16),
    /// The connection is closed without an answer.
    Drop,
    /// Nothing for a minute, then 504.
    Hang,
    /// 200 with a body that breaks off.
    Garbage,
}

/// Whether a spoilt call does what it was made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It does, and only the answer is lost.
    Done,
    /// It does not.
    #[default]
    None,
}

impl Default for Faults {
    /// Nothing goes wrong. Pages hold 78 on average, as recorded (66 to 89).
    fn default() -> Self {
        Self {
            activation_lag: Duration::seconds(2),
            activation_fails: false,
            denied_401: false,
            secret_expired: false,
            profile: Profile::Observed,
            partition_size: 78,
            webhooks: Webhooks::default(),
            rules: Vec::new(),
        }
    }
}

impl Faults {
    /// Whether this can be applied.
    pub fn check(&self) -> Result<(), Refusal> {
        let refuse = |target, message: String| Err(Refusal::bad_request("InvalidFaults", target, message));
        if self.rules.len() > RULES {
            return refuse("rules", format!("rules: at most {RULES} rules"));
        }
        if self.partition_size == 0 {
            return refuse("partitionSize", "partitionSize: at least 1".to_owned());
        }
        self.webhooks.check()?;
        for rule in &self.rules {
            if rule.probability.is_some_and(|probability| !(0.0..=1.0).contains(&probability)) {
                return refuse("rules", "probability: a number from 0 to 1".to_owned());
            }
            if rule.retry_after.is_some_and(|seconds| seconds > LONGEST_RETRY_AFTER) {
                return refuse("rules", format!("retryAfter: at most {LONGEST_RETRY_AFTER} seconds"));
            }
        }
        Ok(())
    }

    /// The rule that spoils this call, if any; it is used up by one.
    pub fn strike(&mut self, call: Call, rng: &mut fastrand::Rng) -> Option<Rule> {
        let rule = self.rules.iter_mut().find(|rule| {
            rule.operation.is_none_or(|operation| operation == call)
                && rule.times != Some(0)
                && rule.probability.is_none_or(|probability| rng.f64() < probability)
        })?;
        rule.times = rule.times.map(|times| times - 1);
        Some(rule.clone())
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(status) => serializer.serialize_str(&status.to_string()),
            Self::Drop => serializer.serialize_str("drop"),
            Self::Hang => serializer.serialize_str("hang"),
            Self::Garbage => serializer.serialize_str("garbage"),
        }
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = match Value::deserialize(deserializer)? {
            Value::String(word) => word,
            other => other.to_string(),
        };
        match (word.as_str(), word.parse()) {
            ("drop", _) => Ok(Self::Drop),
            ("hang", _) => Ok(Self::Hang),
            ("garbage", _) => Ok(Self::Garbage),
            (_, Ok(status @ 400..=599)) => Ok(Self::Status(status)),
            _ => Err(de::Error::custom("answer: a status from 400 to 599, \"drop\", \"hang\" or \"garbage\"")),
        }
    }
}
