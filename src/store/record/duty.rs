//! The stored form of what a subscription owes, and of what was answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::super::StoreError;
use super::{beyond, read_form, tree};
use crate::duty::{Duty, Sent, Task, UnknownDuty, Verdict, Wanted};
use crate::opaque::Opaque;
use crate::subscription::{Answered, Decision, OperationId, Subscription, Terms};

/// A stored duty, read.
pub(super) enum Owed {
    /// One that this version discharges.
    Known(Duty),
    /// One that it keeps for a newer version.
    Unknown(UnknownDuty),
}

/// What every duty has, of whatever kind and version.
#[derive(Serialize, Deserialize)]
struct DutyForm {
    task: Value,
    attempts: u32,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    failed_at: Option<OffsetDateTime>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum TaskForm {
    Activate {
        #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
        accepted_at: Option<OffsetDateTime>,
        #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
        provisioned_at: Option<OffsetDateTime>,
    },
    Examine {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<String>,
        action: String,
        #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
        asked: Option<OffsetDateTime>,
    },
    Acknowledge {
        operation: String,
        verdict: VerdictForm,
    },
    Change {
        wanted: WantedForm,
        from: TermsForm,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent: Option<SentForm>,
    },
    Cancel {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent: Option<SentForm>,
    },
    Notify,
}

/// A stored identifier that can be none.
struct NoIdentifier;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerdictForm {
    Success,
    Failure,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WantedForm {
    Plan(String),
    Quantity(u32),
    Cancellation,
}

#[derive(Serialize, Deserialize)]
struct TermsForm {
    plan_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantity: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct SentForm {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

/// The verdict is a word: an operation that a newer version answered is answered, whatever the word.
#[derive(Serialize, Deserialize)]
struct AnsweredForm {
    operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

/// Every duty; those that are not understood come last, in their order and as they were.
pub(super) fn written_all(subscription: &Subscription) -> Result<Vec<Value>, StoreError> {
    let unknown = subscription.unknown_duties.iter().map(|duty| {
        let stored = duty.opaque.as_str().and_then(|text| serde_json::from_str(text).ok());
        stored.ok_or_else(|| StoreError::Unfit(format!("the unknown duty {} has no form", duty.id())))
    });
    subscription.duties.iter().map(written).chain(unknown).collect()
}

fn written(duty: &Duty) -> Result<Value, StoreError> {
    let mut written = tree(&DutyForm::of(duty)?)?;
    beyond::restore(&mut written, &duty.opaque);
    Ok(written)
}

/// Reads a duty. A kind that this version does not know, and a task that it cannot read, are a newer version's.
pub(super) fn read(at: &str, stored: &Value) -> Result<Owed, String> {
    let form: DutyForm = read_form(at, stored)?;
    let kind = form.task["kind"].as_str().ok_or_else(|| format!("{at}.task.kind"))?;
    let task = serde_json::from_value::<TaskForm>(form.task.clone()).ok().and_then(|form| form.read().ok());
    let Some(task) = task else {
        return Ok(Owed::Unknown(UnknownDuty {
            kind: kind.to_owned(),
            operation: form.task["operation"].as_str().map(str::to_owned),
            since: form.since,
            not_before: form.not_before,
            failed_at: form.failed_at,
            opaque: Opaque::new(stored.to_string()),
        }));
    };
    let mut duty = Duty {
        task,
        attempts: form.attempts,
        since: form.since,
        not_before: form.not_before,
        last_error: form.last_error,
        failed_at: form.failed_at,
        opaque: Opaque::default(),
    };
    duty.opaque = DutyForm::of(&duty).map_or_else(|_| Opaque::default(), |form| beyond::of(stored, &form));
    Ok(Owed::Known(duty))
}

pub(super) fn written_answered(answered: &Answered) -> Result<Value, StoreError> {
    let verdict = match &answered.decision {
        Decision::NotAsked => None,
        Decision::Given(verdict) => Some(word(*verdict)),
        Decision::Other(word) => Some(word.as_str()),
    };
    let (operation, action) = (answered.operation.to_string(), answered.action.clone());
    let mut written = tree(&AnsweredForm { operation, action, verdict: verdict.map(str::to_owned), at: answered.at })?;
    beyond::restore(&mut written, &answered.opaque);
    Ok(written)
}

pub(super) fn read_answered(at: &str, stored: &Value) -> Result<Answered, String> {
    let form: AnsweredForm = read_form(at, stored)?;
    let opaque = beyond::of(stored, &form);
    let operation = operation_id(&form.operation).map_err(|NoIdentifier| format!("{at}.operation"))?;
    let decision = match form.verdict {
        None => Decision::NotAsked,
        Some(text) => {
            let known = Verdict::ALL.into_iter().find(|verdict| word(*verdict) == text);
            known.map_or(Decision::Other(text), Decision::Given)
        }
    };
    Ok(Answered { operation, action: form.action, decision, at: form.at, opaque })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Success => "success",
        Verdict::Failure => "failure",
    }
}

impl DutyForm {
    fn of(duty: &Duty) -> Result<Self, StoreError> {
        Ok(Self {
            task: tree(&TaskForm::from(&duty.task))?,
            attempts: duty.attempts,
            since: duty.since,
            not_before: duty.not_before,
            last_error: duty.last_error.clone(),
            failed_at: duty.failed_at,
        })
    }
}

impl From<&Task> for TaskForm {
    fn from(task: &Task) -> Self {
        let text = |operation: &Option<OperationId>| operation.as_ref().map(ToString::to_string);
        match task {
            Task::Activate { accepted_at, provisioned_at } => {
                Self::Activate { accepted_at: *accepted_at, provisioned_at: *provisioned_at }
            }
            Task::Examine { operation, action, asked } => {
                Self::Examine { operation: text(operation), action: action.clone(), asked: *asked }
            }
            Task::Acknowledge { operation, verdict } => {
                Self::Acknowledge { operation: operation.to_string(), verdict: (*verdict).into() }
            }
            Task::Change { wanted, from, sent } => Self::Change {
                wanted: wanted.into(),
                from: TermsForm { plan_id: from.plan_id.clone(), quantity: from.quantity },
                sent: sent.as_ref().map(SentForm::from),
            },
            Task::Cancel { sent } => Self::Cancel { sent: sent.as_ref().map(SentForm::from) },
            Task::Notify => Self::Notify,
        }
    }
}

impl TaskForm {
    fn read(self) -> Result<Task, NoIdentifier> {
        Ok(match self {
            Self::Activate { accepted_at, provisioned_at } => Task::Activate { accepted_at, provisioned_at },
            Self::Examine { operation, action, asked } => {
                Task::Examine { operation: operation.as_deref().map(operation_id).transpose()?, action, asked }
            }
            Self::Acknowledge { operation, verdict } => {
                Task::Acknowledge { operation: operation_id(&operation)?, verdict: verdict.into() }
            }
            Self::Change { wanted, from, sent } => Task::Change {
                wanted: wanted.into(),
                from: Terms { plan_id: from.plan_id, quantity: from.quantity },
                sent: sent.map(SentForm::read).transpose()?,
            },
            Self::Cancel { sent } => Task::Cancel { sent: sent.map(SentForm::read).transpose()? },
            Self::Notify => Task::Notify,
        })
    }
}

impl From<&Sent> for SentForm {
    fn from(sent: &Sent) -> Self {
        let operation = sent.operation.as_ref().map(ToString::to_string);
        Self { at: sent.at, operation, location: sent.location.clone() }
    }
}

impl SentForm {
    fn read(self) -> Result<Sent, NoIdentifier> {
        let operation = self.operation.as_deref().map(operation_id).transpose()?;
        Ok(Sent { at: self.at, operation, location: self.location })
    }
}

impl From<Verdict> for VerdictForm {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Success => Self::Success,
            Verdict::Failure => Self::Failure,
        }
    }
}

impl From<VerdictForm> for Verdict {
    fn from(form: VerdictForm) -> Self {
        match form {
            VerdictForm::Success => Self::Success,
            VerdictForm::Failure => Self::Failure,
        }
    }
}

impl From<&Wanted> for WantedForm {
    fn from(wanted: &Wanted) -> Self {
        match wanted {
            Wanted::Plan(plan) => Self::Plan(plan.clone()),
            Wanted::Quantity(quantity) => Self::Quantity(*quantity),
            Wanted::Cancellation => Self::Cancellation,
        }
    }
}

impl From<WantedForm> for Wanted {
    fn from(form: WantedForm) -> Self {
        match form {
            WantedForm::Plan(plan) => Self::Plan(plan),
            WantedForm::Quantity(quantity) => Self::Quantity(quantity),
            WantedForm::Cancellation => Self::Cancellation,
        }
    }
}

fn operation_id(text: &str) -> Result<OperationId, NoIdentifier> {
    OperationId::parse(text).ok_or(NoIdentifier)
}
