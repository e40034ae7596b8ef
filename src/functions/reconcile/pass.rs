//! Where a pass stands, kept in the store between its pages: any instance goes on with it.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::error::Fault;
use crate::marketplace::Cursor;
use crate::store::{Kept, Store};
use crate::subscription::SubscriptionId;

/// How old a pass may become before it is begun anew: a page that can never be read must not hide those before it for
/// ever, and a run goes through tens of thousands of subscriptions, so that a day is enough for any publisher.
pub(super) const PASS_AGE: Duration = Duration::days(1);

/// A pass through Microsoft's list and our records.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// When it began.
    pub(super) began: OffsetDateTime,
    /// The first one on an empty store: it adopts what there is.
    pub(super) baseline: bool,
    /// It changes nothing.
    pub(super) observed: bool,
    /// The page that comes next.
    pub(super) place: Place,
}

/// A page.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Of Microsoft's list; `None` is the first.
    List(Option<Cursor>),
    /// Of our records, after this one.
    Records(Option<SubscriptionId>),
}

/// The kept form.
#[derive(Serialize, Deserialize)]
struct PassForm {
    #[serde(with = "time::serde::rfc3339")]
    began: OffsetDateTime,
    baseline: bool,
    observed: bool,
    place: PlaceForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PlaceForm {
    List(Option<String>),
    Records(Option<String>),
}

impl Pass {
    /// The pass that is under way, or a new one. One that has become too old, or was made in another mode, begins anew; a
    /// baseline remains one until it has been finished.
    pub(super) async fn resume(store: &Store, observed: bool, now: OffsetDateTime) -> Result<Self, Fault> {
        let kept = store.kept(Kept::ReconcileCursor).await?.filter(|text| !text.is_empty());
        let Some(text) = kept else {
            let baseline = store.page(None).await?.is_empty();
            return Ok(Self::new(baseline, observed, now));
        };
        let Some(pass) = Self::read(&text) else {
            tracing::warn!("the kept place of the reconciliation cannot be read; it begins anew");
            return Ok(Self::new(false, observed, now));
        };
        let goes_on = pass.observed == observed && now - pass.began < PASS_AGE;
        Ok(if goes_on { pass } else { Self::new(pass.baseline, observed, now) })
    }

    fn new(baseline: bool, observed: bool, now: OffsetDateTime) -> Self {
        Self { began: now, baseline, observed, place: Place::List(None) }
    }

    /// Keeps the place.
    pub(super) async fn keep(&self, store: &Store) -> Result<(), Fault> {
        Ok(store.keep(Kept::ReconcileCursor, &self.written()).await?)
    }

    /// Nothing is left to go on with. Only a baseline that adopted nothing is still to be made.
    pub(super) async fn end(&self, store: &Store, now: OffsetDateTime) -> Result<(), Fault> {
        if self.baseline && self.observed {
            return Self::new(true, true, now).keep(store).await;
        }
        Ok(store.keep(Kept::ReconcileCursor, "").await?)
    }

    fn read(text: &str) -> Option<Self> {
        let form: PassForm = serde_json::from_str(text).ok()?;
        let place = match form.place {
            PlaceForm::List(None) => Place::List(None),
            PlaceForm::List(Some(cursor)) => Place::List(Some(Cursor::parse(&cursor)?)),
            PlaceForm::Records(None) => Place::Records(None),
            PlaceForm::Records(Some(id)) => Place::Records(Some(SubscriptionId::parse(&id)?)),
        };
        Some(Self { began: form.began, baseline: form.baseline, observed: form.observed, place })
    }

    fn written(&self) -> String {
        let place = match &self.place {
            Place::List(cursor) => PlaceForm::List(cursor.as_ref().map(|cursor| cursor.as_str().to_owned())),
            Place::Records(after) => PlaceForm::Records(after.as_ref().map(|id| id.as_str().to_owned())),
        };
        let form = PassForm { began: self.began, baseline: self.baseline, observed: self.observed, place };
        serde_json::to_string(&form).expect("texts, flags and a time are always JSON")
    }
}
