//! The stored form of what a subscription owes, and of what was answered.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::super::StoreError;
use crate::duty::{Duty, Sent, Task, Verdict, Wanted};
use crate::subscription::{Answered, OperationId, Terms};

#[derive(Serialize, Deserialize)]
pub(super) struct DutyForm {
    task: TaskForm,
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
    },
    Examine {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<String>,
        action: String,
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
}

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

#[derive(Serialize, Deserialize)]
pub(super) struct AnsweredForm {
    operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictForm>,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl From<&Duty> for DutyForm {
    fn from(duty: &Duty) -> Self {
        let text = |operation: &Option<OperationId>| operation.as_ref().map(ToString::to_string);
        let task = match &duty.task {
            Task::Activate { accepted_at } => TaskForm::Activate { accepted_at: *accepted_at },
            Task::Examine { operation, action } => {
                TaskForm::Examine { operation: text(operation), action: action.clone() }
            }
            Task::Acknowledge { operation, verdict } => {
                TaskForm::Acknowledge { operation: operation.to_string(), verdict: (*verdict).into() }
            }
            Task::Change { wanted, from, sent } => TaskForm::Change {
                wanted: wanted.into(),
                from: TermsForm { plan_id: from.plan_id.clone(), quantity: from.quantity },
                sent: sent.as_ref().map(SentForm::from),
            },
            Task::Cancel { sent } => TaskForm::Cancel { sent: sent.as_ref().map(SentForm::from) },
        };
        Self {
            task,
            attempts: duty.attempts,
            since: duty.since,
            not_before: duty.not_before,
            last_error: duty.last_error.clone(),
            failed_at: duty.failed_at,
        }
    }
}

impl DutyForm {
    pub(super) fn read(self) -> Result<Duty, StoreError> {
        let task = match self.task {
            TaskForm::Activate { accepted_at } => Task::Activate { accepted_at },
            TaskForm::Examine { operation, action } => {
                Task::Examine { operation: operation.as_deref().map(operation_id).transpose()?, action }
            }
            TaskForm::Acknowledge { operation, verdict } => {
                Task::Acknowledge { operation: operation_id(&operation)?, verdict: verdict.into() }
            }
            TaskForm::Change { wanted, from, sent } => Task::Change {
                wanted: wanted.into(),
                from: Terms { plan_id: from.plan_id, quantity: from.quantity },
                sent: sent.map(SentForm::read).transpose()?,
            },
            TaskForm::Cancel { sent } => Task::Cancel { sent: sent.map(SentForm::read).transpose()? },
        };
        Ok(Duty {
            task,
            attempts: self.attempts,
            since: self.since,
            not_before: self.not_before,
            last_error: self.last_error,
            failed_at: self.failed_at,
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
    fn read(self) -> Result<Sent, StoreError> {
        let operation = self.operation.as_deref().map(operation_id).transpose()?;
        Ok(Sent { at: self.at, operation, location: self.location })
    }
}

impl From<&Answered> for AnsweredForm {
    fn from(answered: &Answered) -> Self {
        let verdict = answered.verdict.map(VerdictForm::from);
        Self { operation: answered.operation.to_string(), verdict, at: answered.at }
    }
}

impl AnsweredForm {
    pub(super) fn read(self) -> Result<Answered, StoreError> {
        let operation = operation_id(&self.operation)?;
        Ok(Answered { operation, verdict: self.verdict.map(Verdict::from), at: self.at })
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

fn operation_id(text: &str) -> Result<OperationId, StoreError> {
    OperationId::parse(text).ok_or_else(|| StoreError::Unfit("a stored operation id is none".to_owned()))
}
