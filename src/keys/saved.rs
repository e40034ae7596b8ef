//! What was fetched, as text that outlives the instance: for the next one, in case it starts while Entra is away.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::provider::{Provider, Source, unavailable, unexpected};
use crate::error::Fault;

/// The longest text, in bytes: a column of the store holds 32,000 characters. Entra's list of some eight keys takes 5,000.
const SAVED_LENGTH: usize = 30_000;

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Saved {
    /// Where it was fetched: keys of another tenant, or of a simulator, prove nothing here.
    source: String,
    /// Seconds since 1970.
    fetched_at: i64,
    issuer: String,
    authorization_endpoint: String,
    keys: Vec<serde_json::Value>,
}

impl Saved {
    /// What `provider` said at `fetched_at`.
    pub(super) fn new(source: &Source, provider: &Provider, fetched_at: OffsetDateTime) -> Self {
        let entry = |listed| serde_json::to_value(listed).expect("texts can be written as JSON");
        Self {
            source: source.address(),
            fetched_at: fetched_at.unix_timestamp(),
            issuer: provider.issuer.as_str().to_owned(),
            authorization_endpoint: provider.authorization_endpoint.to_string(),
            keys: provider.keys.iter().map(|key| entry(&key.listed)).collect(),
        }
    }

    /// The text; `None` where it is too long to be kept.
    pub(super) fn write(&self) -> Option<String> {
        let text = serde_json::to_string(self).expect("texts and numbers can be written as JSON");
        if text.len() > SAVED_LENGTH {
            tracing::warn!(bytes = text.len(), "Entra's keys are too many to be kept for other instances");
            return None;
        }
        Some(text)
    }

    /// What a text says that was written for the same source, held to the same rules as what Entra answers.
    pub(super) fn read(text: &str, source: &Source) -> Result<(Provider, OffsetDateTime), Fault> {
        let saved: Self = serde_json::from_str(text).map_err(|error| unexpected("saved keys", &error))?;
        if saved.source != source.address() {
            return Err(unavailable("saved keys: fetched from another address"));
        }
        let fetched_at = OffsetDateTime::from_unix_timestamp(saved.fetched_at)
            .map_err(|_| unavailable("saved keys: fetched at no time"))?;
        let provider = Provider::read(source, saved.issuer, &saved.authorization_endpoint)?.with(saved.keys)?;
        Ok((provider, fetched_at))
    }
}
