//! What all instances know of the publisher's events endpoint: the circuit, kept in the store and, for a moment, here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as Patience;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::circuit::{Circuit, Failure, Gate};
use crate::store::{Kept, Store, StoreError};
use crate::subscription::SubscriptionId;

/// How long the publisher's software may take for one event (Standard Webhooks advises 15 to 30 seconds).
pub const EVENT_PATIENCE: Patience = Patience::from_secs(15);

/// How long an instance goes by what it has read. Another one's failures, and an operator's call to resume, count here
/// within this time; until then the one try more or less harms nobody.
pub const TRUSTED_FOR: Duration = Duration::seconds(15);

/// The endpoint, as this instance sees it. Clones share it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    store: Store,
    /// The hash of its URL: what is known of another one does not count.
    name: String,
    seen: Arc<Mutex<Option<(OffsetDateTime, State)>>>,
}

/// What is kept of the endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The circuit.
    pub circuit: Circuit,
    /// Set while subscriptions whose news was given up are taken up again: those up to this one are.
    pub resuming: Option<Resuming>,
}

/// How far a resumption has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resuming {
    /// The last subscription that was looked at; `None` before the first.
    pub after: Option<SubscriptionId>,
    /// What is taken up.
    pub wanted: Wanted,
}

/// What a resumption takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// What was given up.
    GivenUp,
    /// Every subscription, also those of which everything has arrived.
    Everything,
}

#[derive(Serialize, Deserialize)]
struct Form {
    endpoint: String,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    failing: Vec<String>,
    #[serde(default)]
    opened: u32,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    open_until: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    parked_at: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resuming_after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resuming: Option<Wanted>,
}

impl Endpoint {
    /// The endpoint at `url`.
    pub fn new(store: Store, url: Option<&Url>) -> Self {
        // Products that take webhooks put their secret into the path, so that no store needs to hold it once more.
        let name = url.map(|url| STANDARD.encode(digest(&SHA256, url.as_str().as_bytes()))).unwrap_or_default();
        Self { store, name, seen: Arc::default() }
    }

    /// Whether to try now. Where the store does not say, what this instance saw last counts.
    pub async fn gate(&self, now: OffsetDateTime) -> Gate {
        let seen = self.seen();
        if let Some((at, state)) = &seen
            && now - *at < TRUSTED_FOR
        {
            return state.circuit.gate(now);
        }
        match self.read(now).await {
            Ok(state) => state.circuit.gate(now),
            Err(error) => {
                tracing::warn!(%error, "what is known of the events endpoint cannot be read");
                seen.map_or(Gate::Try, |(_, state)| state.circuit.gate(now))
            }
        }
    }

    /// What the store holds now.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn read(&self, now: OffsetDateTime) -> Result<State, StoreError> {
        let kept = self.store.kept(Kept::EventsEndpoint).await?;
        let state = kept.and_then(|text| self.decode(&text)).unwrap_or_default();
        self.see(now, &state);
        Ok(state)
    }

    /// Something arrived.
    pub async fn succeeded(&self, now: OffsetDateTime) {
        let seen = self.seen().map(|(_, state)| state);
        if seen.as_ref().is_none_or(|state| state.circuit != Circuit::default()) {
            self.change(now, Circuit::succeeded).await;
        }
    }

    /// A try failed. Answers whether the endpoint is parked now and was not before.
    pub async fn failed(&self, subscription: &SubscriptionId, failure: &Failure, now: OffsetDateTime) -> bool {
        let (before, after) = self.change(now, |circuit| circuit.failed(subscription, failure, now)).await;
        before.parked_at.is_none() && after.parked_at.is_some()
    }

    /// Keeps how far a resumption has come; `None` where it is done.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn keep_resuming(&self, resuming: Option<Resuming>, now: OffsetDateTime) -> Result<(), StoreError> {
        let state = State { resuming, ..self.read(now).await? };
        self.keep(&state, now).await
    }

    /// Lets everything through again, and begins to take up what is wanted.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn resume(&self, wanted: Wanted, now: OffsetDateTime) -> Result<(), StoreError> {
        let state = State { circuit: Circuit::default(), resuming: Some(Resuming { after: None, wanted }) };
        self.keep(&state, now).await
    }

    /// The last writer wins: what is lost so is one failure more or less.
    async fn change(&self, now: OffsetDateTime, change: impl FnOnce(&Circuit) -> Circuit) -> (Circuit, Circuit) {
        let state = match self.read(now).await {
            Ok(state) => state,
            Err(_) => self.seen().map(|(_, state)| state).unwrap_or_default(),
        };
        let after = change(&state.circuit);
        let changed = State { circuit: after.clone(), ..state.clone() };
        if changed != state
            && let Err(error) = self.keep(&changed, now).await
        {
            tracing::warn!(%error, "what is known of the events endpoint cannot be kept");
            self.see(now, &changed);
        }
        (state.circuit, after)
    }

    async fn keep(&self, state: &State, now: OffsetDateTime) -> Result<(), StoreError> {
        self.store.keep(Kept::EventsEndpoint, &self.encode(state)).await?;
        self.see(now, state);
        Ok(())
    }

    fn encode(&self, state: &State) -> String {
        let circuit = state.circuit.clone();
        let form = Form {
            endpoint: self.name.clone(),
            failing_since: circuit.failing_since,
            failing: circuit.failing.iter().map(ToString::to_string).collect(),
            opened: circuit.opened,
            open_until: circuit.open_until,
            parked_at: circuit.parked_at,
            why: circuit.why,
            resuming_after: state.resuming.as_ref().and_then(|resuming| Some(resuming.after.as_ref()?.to_string())),
            resuming: state.resuming.as_ref().map(|resuming| resuming.wanted),
        };
        serde_json::to_string(&form).expect("texts, numbers and times are always JSON")
    }

    /// What cannot be read, and what is known of another endpoint, counts as nothing known. What was given up with the
    /// other one is taken up again.
    fn decode(&self, text: &str) -> Option<State> {
        let form: Form = serde_json::from_str(text).ok()?;
        if form.endpoint != self.name {
            let given_up = form.parked_at.is_some() || form.resuming.is_some();
            let resuming = given_up.then_some(Resuming { after: None, wanted: Wanted::GivenUp });
            return Some(State { resuming, ..State::default() });
        }
        let circuit = Circuit {
            failing_since: form.failing_since,
            failing: form.failing.iter().filter_map(|id| SubscriptionId::parse(id)).collect(),
            opened: form.opened,
            open_until: form.open_until,
            parked_at: form.parked_at,
            why: form.why,
        };
        let after = form.resuming_after.as_deref().and_then(SubscriptionId::parse);
        let resuming = form.resuming.map(|wanted| Resuming { after, wanted });
        Some(State { circuit, resuming })
    }

    fn seen(&self) -> Option<(OffsetDateTime, State)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn see(&self, now: OffsetDateTime, state: &State) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, state.clone()));
    }
}
