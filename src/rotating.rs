//! A secret in use: given once, or kept from the Key Vault and read again, so that a change there is picked up without a
//! restart.
//!
//! Whoever needs it gets what is held and waits for nothing but the very first read. Reading again is done by whoever
//! has just answered ([`Rotating::is_due`]), by whoever was refused with the held value, and by who may not use one that
//! is older than [`TRUSTED_FOR`]. While the vault cannot be had, the last good value serves on.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration as Patience;

use time::{Duration, OffsetDateTime};
use tokio::time::timeout;

use crate::error::{Code, Fault};
use crate::settings::vault_name;
use crate::vault::{READ_PATIENCE, Vault, Version, Wanted};

/// The age at which a value is read again after an answer. A change in the vault counts everywhere that is not idle
/// within this and one request; it is one call each ten minutes, of the millions a vault answers for a dollar or two.
pub const REREAD_AFTER: Duration = Duration::minutes(10);

/// The age at which nobody uses a value that others may have replaced without trying to read it first.
pub const TRUSTED_FOR: Duration = Duration::minutes(20);

/// The least time between two reads while a value is held: an Entra that refuses every call must not make each of them
/// a call to the vault as well.
pub const REREAD_FLOOR: Duration = Duration::seconds(60);

/// How long somebody who could go on with the held value waits for a newer one: ten times what a vault needs.
pub const REREAD_PATIENCE: Patience = Patience::from_secs(2);

/// A value and what its owner says of it.
#[derive(Debug)]
pub struct Current<T> {
    /// The value.
    pub value: T,
    /// When it ends, where that is known.
    pub expires_at: Option<OffsetDateTime>,
    /// Which versions of the secret it was made of; empty for a given value.
    pub version: String,
}

/// How a secret stands.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Its name in the Key Vault, or the setting's key where it is given.
    pub name: String,
    /// When it ends, where that is known; or why it cannot be had.
    pub expires_at: Result<Option<OffsetDateTime>, Fault>,
}

/// Makes a value of the versions in the vault, the newest of which comes first. The error is one sentence.
type Make<T> = Box<dyn Fn(&[Version], OffsetDateTime) -> Result<(T, Option<OffsetDateTime>), String> + Send + Sync>;

/// A secret in use. Clones share it.
pub struct Rotating<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Rotating<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Rotating<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rotating").field(&self.shared.key).finish()
    }
}

struct Shared<T> {
    key: &'static str,
    origin: Origin<T>,
}

enum Origin<T> {
    Given(Arc<Current<T>>),
    Vault(Kept<T>),
}

struct Kept<T> {
    vault: Vault,
    name: String,
    wanted: Wanted,
    make: Make<T>,
    state: Mutex<State<T>>,
    /// Held by the one who reads; the others wait for the outcome, or go on with what is held.
    reading: tokio::sync::Mutex<()>,
}

struct State<T> {
    held: Option<Held<T>>,
    tried_at: Option<OffsetDateTime>,
    /// Why the last read failed; none if it succeeded.
    failure: Option<Fault>,
    /// How many reads have ended, well or badly.
    rounds: u64,
}

struct Held<T> {
    current: Arc<Current<T>>,
    read_at: OffsetDateTime,
}

impl<T> Rotating<T> {
    /// A value that the setting `key` gives, and that stays.
    pub fn given(key: &'static str, value: T, expires_at: Option<OffsetDateTime>) -> Self {
        let current = Arc::new(Current { value, expires_at, version: String::new() });
        Self { shared: Arc::new(Shared { key, origin: Origin::Given(current) }) }
    }

    /// What `make` makes of the secret in `vault` that stands for the setting `key`. Nothing is read until somebody asks.
    pub(crate) fn kept(
        key: &'static str,
        vault: Vault,
        wanted: Wanted,
        make: impl Fn(&[Version], OffsetDateTime) -> Result<(T, Option<OffsetDateTime>), String> + Send + Sync + 'static,
    ) -> Self {
        let state = Mutex::new(State { held: None, tried_at: None, failure: None, rounds: 0 });
        let (name, make, reading) = (vault_name(key), Box::new(make), tokio::sync::Mutex::default());
        let kept = Kept { vault, name, wanted, make, state, reading };
        Self { shared: Arc::new(Shared { key, origin: Origin::Vault(kept) }) }
    }

    /// Whether it comes from the Key Vault.
    pub fn is_kept(&self) -> bool {
        matches!(self.shared.origin, Origin::Vault(_))
    }

    /// Its name for logs: the secret's in the vault, or the setting's.
    pub fn name(&self) -> &str {
        match &self.shared.origin {
            Origin::Given(_) => self.shared.key,
            Origin::Vault(kept) => &kept.name,
        }
    }

    /// Where an operator finds it, for sentences.
    pub fn place(&self) -> String {
        match &self.shared.origin {
            Origin::Given(_) => self.shared.key.to_owned(),
            Origin::Vault(kept) => format!("{} (the secret {} in the Key Vault)", self.shared.key, kept.name),
        }
    }

    /// The value, however long it has been held. One that has expired is first read again.
    ///
    /// # Errors
    ///
    /// `Code::VaultUnavailable` where none was ever read, in one sentence that names the setting and the fix.
    pub async fn current(&self, now: OffsetDateTime) -> Result<Arc<Current<T>>, Fault> {
        self.held(now, |held| held.current.expires_at.is_none_or(|until| now < until)).await
    }

    /// The value, not older than [`TRUSTED_FOR`] unless the vault cannot be had.
    ///
    /// # Errors
    ///
    /// As [`Rotating::current`].
    pub async fn fresh(&self, now: OffsetDateTime) -> Result<Arc<Current<T>>, Fault> {
        self.held(now, |held| held.age(now) < TRUSTED_FOR).await
    }

    /// The value after the other side has refused `refused`: another one, if somebody has changed it since it was read.
    ///
    /// # Errors
    ///
    /// As [`Rotating::current`].
    pub async fn after_refusal(&self, refused: &Current<T>, now: OffsetDateTime) -> Result<Arc<Current<T>>, Fault> {
        self.held(now, |held| held.current.version != refused.version).await
    }

    /// Whether it is time to read again, and nobody does.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        let Origin::Vault(kept) = &self.shared.origin else { return false };
        let state = kept.state();
        let old = state.held.as_ref().is_some_and(|held| held.age(now) >= REREAD_AFTER);
        old && state.may_read(now) && kept.reading.try_lock().is_ok()
    }

    /// The value, not older than [`REREAD_AFTER`] unless the vault cannot be had: for whoever keeps nobody waiting.
    ///
    /// # Errors
    ///
    /// As [`Rotating::current`].
    pub async fn reread(&self, now: OffsetDateTime) -> Result<Arc<Current<T>>, Fault> {
        self.held(now, |held| held.age(now) < REREAD_AFTER).await
    }

    /// How it stands now; one that is held for long is read again.
    pub async fn inspect(&self, now: OffsetDateTime) -> Inspected {
        let expires_at = self.reread(now).await.map(|current| current.expires_at);
        Inspected { name: self.name().to_owned(), expires_at }
    }

    /// What is held, if it `serves`; else what a read brings; else what is held all the same.
    async fn held(&self, now: OffsetDateTime, serves: impl Fn(&Held<T>) -> bool) -> Result<Arc<Current<T>>, Fault> {
        let kept = match &self.shared.origin {
            Origin::Given(current) => return Ok(Arc::clone(current)),
            Origin::Vault(kept) => kept,
        };
        let (rounds, patience) = {
            let state = kept.state();
            if let Some(held) = state.held.as_ref().filter(|held| serves(held)) {
                return Ok(Arc::clone(&held.current));
            }
            (state.rounds, if state.held.is_some() { REREAD_PATIENCE } else { READ_PATIENCE })
        };
        // Boxed, because hardly any call needs it: the futures of all functions would be as large otherwise.
        Box::pin(kept.read(rounds, patience, now)).await;
        kept.state().answer()
    }
}

impl<T> Kept<T> {
    /// Reads, unless somebody has just done so, waiting at most `patience` for the turn and as long for the vault.
    async fn read(&self, rounds: u64, patience: Patience, now: OffsetDateTime) {
        let Ok(_turn) = timeout(patience, self.reading.lock()).await else { return };
        if self.state().rounds != rounds || !self.state().may_read(now) {
            return;
        }
        let read = self.vault.read(&self.name, self.wanted, patience, now).await;
        let made = read.and_then(|versions| self.make(&versions, now));
        self.record(made, now);
    }

    fn make(&self, versions: &[Version], now: OffsetDateTime) -> Result<Current<T>, Fault> {
        let unusable = |sentence| Fault::new(Code::VaultUnavailable, sentence);
        let (value, expires_at) = (self.make)(versions, now).map_err(unusable)?;
        let ids: Vec<&str> = versions.iter().map(|version| version.id.as_str()).collect();
        Ok(Current { value, expires_at, version: ids.join(" ") })
    }

    fn record(&self, outcome: Result<Current<T>, Fault>, now: OffsetDateTime) {
        let secret = self.name.as_str();
        let mut state = self.state();
        state.rounds += 1;
        state.tried_at = Some(now);
        match outcome {
            Ok(current) => {
                let before = state.held.as_ref().map(|held| held.current.version.as_str());
                if before.is_some_and(|version| version != current.version) {
                    tracing::info!(secret, "a secret has changed in the Key Vault; the new one is used");
                }
                state.held = Some(Held { current: Arc::new(current), read_at: now });
                state.failure = None;
            }
            Err(fault) => {
                let held = state.held.is_some();
                tracing::warn!(secret, held, reason = fault.private, "a secret cannot be read from the Key Vault");
                state.failure = Some(fault);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn may_read(&self, now: OffsetDateTime) -> bool {
        self.held.is_none() || self.tried_at.is_none_or(|at| (now - at).abs() >= REREAD_FLOOR)
    }

    /// The best that can be said after a read, or without one because the last was a moment ago.
    fn answer(&self) -> Result<Arc<Current<T>>, Fault> {
        let never = || Fault::passing(Code::VaultUnavailable, "the secret was never read from the Key Vault");
        let failure = || self.failure.clone().unwrap_or_else(never);
        self.held.as_ref().map(|held| Arc::clone(&held.current)).ok_or_else(failure)
    }
}

impl<T> Held<T> {
    /// Absolute, so that a clock put back does not keep a value for as long as it was ahead.
    fn age(&self, now: OffsetDateTime) -> Duration {
        (now - self.read_at).abs()
    }
}
