//! `reconcile`, hourly: compares the records with Microsoft's list and repairs what differs, each repair with its reason.
//!
//! A pass has two halves. The first goes through Microsoft's list page by page: an entry is a hint, and whatever it says
//! otherwise than the record is read fresh before anything is changed. The second goes through our own records: it reads
//! again those that have not been read for long, which finds what the list does not contain, and announces deadlines.
//! Where the pass stands is kept after every page, so that a run that is cut off is gone on with by the next one.

mod pass;
mod repair;
mod report;
mod tend;

use futures_util::future::join_all;
use time::{Duration, OffsetDateTime};

use self::pass::{Pass, Place};
use self::repair::{Found, Repair};
pub use self::report::{NAMED, Noted, Report};
use crate::app::App;
use crate::deadline;
use crate::ending_secrets;
use crate::error::{Code, Fault};
use crate::marketplace::{CallErrorKind, Cursor};
use crate::settings::Reconciliation;
use crate::subscription::{Event, Snapshot, Status, Subscription, SubscriptionId};

/// How long a run begins anything new. With what is then still under way (one page of the list and the tries of one
/// repair, each call at most 15 s) it ends before `functionTimeout` in `host.json`, which is five minutes and kills.
pub const RUN_BUDGET: Duration = Duration::minutes(3);

/// How many subscriptions are looked at side by side: enough that ten thousand records fit a run, and few enough that
/// Microsoft, who publishes no limit, sees no flood.
pub const AT_ONCE: usize = 8;

/// How long a record is believed without being read, where the list says nothing else: what the list leaves out is found
/// within a day, at the price of one call a day for each subscription that is not cancelled.
pub const READ_AGAIN_AFTER: Duration = Duration::days(1);

/// After so many calls in a row that Microsoft did not answer the run stops: more of them help nobody, and the pass goes
/// on from here an hour later.
pub const UNANSWERED_LIMIT: usize = 5;

/// Goes on with the pass that is under way, or begins one.
///
/// # Errors
///
/// A page of the list, or Microsoft as a whole, that cannot be read; the store's own. What was repaired by then is
/// repaired, and the next run goes on from the same page.
pub async fn run(app: &App, now: OffsetDateTime) -> Result<Report, Fault> {
    // First, and whatever becomes of the pass: an expired secret may be what ends it. Of what runs on an idle app this
    // is the least often that is often enough.
    let ending = app.secrets.watch(now).await;
    ending_secrets::tell(app, &ending, now).await;
    let observed = app.settings.reconciliation == Reconciliation::Observe;
    let pass = Pass::resume(&app.store, observed, now).await?;
    let report = Report { baseline: pass.baseline, observed, ..Report::default() };
    let mut run = Run { app, pass, begun: now, unanswered: 0, report };
    let ended = run.go().await;
    run.report.tell(ended.as_ref().err());
    ended.map(|()| run.report)
}

/// One run, with what it has found so far.
struct Run<'a> {
    app: &'a App,
    pass: Pass,
    begun: OffsetDateTime,
    /// How many calls in a row Microsoft did not answer.
    unanswered: usize,
    report: Report,
}

/// What follows a page.
enum Next {
    /// The page at this place.
    Place(Place),
    /// Nothing: the pass is finished.
    End,
    /// Nothing in this run: its time is over in the middle of the page.
    Later,
}

impl Run<'_> {
    async fn go(&mut self) -> Result<(), Fault> {
        // Before the first page: whoever comes after a run that died there must know of the baseline.
        self.pass.keep(&self.app.store).await?;
        loop {
            let next = match self.pass.place.clone() {
                Place::List(cursor) => self.page_of_list(cursor).await?,
                Place::Records(after) => self.page_of_records(after.as_ref()).await?,
            };
            match next {
                Next::Later => return Ok(()),
                Next::Place(place) => self.pass.place = place,
                Next::End => {
                    self.pass.end(&self.app.store, self.begun).await?;
                    self.report.finished = true;
                    return Ok(());
                }
            }
            self.pass.keep(&self.app.store).await?;
            if self.is_out_of_time() {
                return Ok(());
            }
        }
    }

    async fn page_of_list(&mut self, cursor: Option<Cursor>) -> Result<Next, Fault> {
        let page = match self.app.marketplace.list_subscriptions(cursor.as_ref()).await {
            Ok(page) => page,
            Err(error) => {
                if cursor.is_some() && is_refusal(error.kind) {
                    tracing::warn!(%error, "Microsoft does not take the kept cursor; the next run begins the list anew");
                    self.pass.place = Place::List(None);
                    self.pass.keep(&self.app.store).await?;
                }
                return Err(error.into());
            }
        };
        self.report.pages += 1;
        self.report.listed += page.subscriptions.len() + page.unreadable.len();
        for field in page.unreadable {
            tracing::warn!(field, "an entry of Microsoft's list cannot be read and is left out");
            self.report.unreadable.note(field);
        }
        let entries: Vec<_> = page.subscriptions.into_iter().map(|(id, hint)| (id, Some(hint))).collect();
        if !self.go_through(&entries).await? {
            return Ok(Next::Later);
        }
        Ok(Next::Place(page.next.map_or(Place::Records(None), |next| Place::List(Some(next)))))
    }

    async fn page_of_records(&mut self, after: Option<&SubscriptionId>) -> Result<Next, Fault> {
        let page = self.app.store.page(after).await?;
        let ours: Vec<_> =
            page.subscriptions.iter().filter(|record| self.app.settings.serves(&record.known.offer_id)).collect();
        self.report.records += ours.len();
        self.report.unknown_duties += ours.iter().map(|record| record.unknown_duties.len()).sum::<usize>();
        for record in &page.unreadable {
            self.report.broken.note(record.id.clone());
        }
        for record in &ours {
            self.announce(record).await?;
        }
        if !self.tend(&ours).await? {
            return Ok(Next::Later);
        }
        let stale = |record: &&&Subscription| {
            record.known.status != Status::Unsubscribed && self.pass.began - record.read_at >= READ_AGAIN_AFTER
        };
        let entries: Vec<_> = ours.iter().filter(stale).map(|record| (record.id.clone(), None)).collect();
        if !self.go_through(&entries).await? {
            return Ok(Next::Later);
        }
        Ok(page.next.map_or(Next::End, |next| Next::Place(Place::Records(Some(next)))))
    }

    /// Tends records, a few at a time. `false` where the time is over before all of them.
    async fn tend(&self, records: &[&Subscription]) -> Result<bool, Fault> {
        let now = self.app.clock.now();
        let needy: Vec<_> = records.iter().filter(|record| tend::is_needed(record, now)).collect();
        for (index, some) in needy.chunks(AT_ONCE).enumerate() {
            if index > 0 && self.is_out_of_time() {
                return Ok(false);
            }
            for tended in join_all(some.iter().map(|record| tend::tend(self.app, record, now))).await {
                match tended {
                    Err(fault) if repair::is_about_this_record(fault.code) => {
                        tracing::warn!(%fault, "a record is left as it is until the next pass");
                    }
                    tended => tended?,
                }
            }
        }
        Ok(true)
    }

    /// Looks at subscriptions, a few at a time. `false` where the time is over before all of them.
    async fn go_through(&mut self, entries: &[(SubscriptionId, Option<Snapshot>)]) -> Result<bool, Fault> {
        let repair = Repair { app: self.app, baseline: self.pass.baseline, observed: self.pass.observed };
        for (index, some) in entries.chunks(AT_ONCE).enumerate() {
            if index > 0 && self.is_out_of_time() {
                return Ok(false);
            }
            let found = join_all(some.iter().map(|(id, hint)| repair.look_at(id, hint.as_ref()))).await;
            let mut ended = Ok(true);
            for ((id, _), found) in some.iter().zip(found) {
                let counted = found.and_then(|found| self.count(id, found));
                ended = ended.and_then(|_| counted.map(|()| true));
            }
            ended?;
        }
        Ok(true)
    }

    /// Counts what was found. Too many failures in a row, with none in between that Microsoft answered, end the run.
    fn count(&mut self, id: &SubscriptionId, found: Found) -> Result<(), Fault> {
        match &found {
            // Microsoft was not asked.
            Found::Alike | Found::Foreign => {}
            Found::Unread(fault) if is_silence(fault.code) => self.unanswered += 1,
            _ => self.unanswered = 0,
        }
        let fault = if let Found::Unread(fault) = &found { Some(fault.clone()) } else { None };
        self.report.count(id, found);
        fault.filter(|_| self.unanswered >= UNANSWERED_LIMIT).map_or(Ok(()), Err)
    }

    async fn announce(&mut self, record: &Subscription) -> Result<(), Fault> {
        if let Some(deadline) = deadline::near(record, self.begun) {
            let (wanted, at) = (deadline.wanted.as_str(), deadline.at);
            tracing::warn!(subscription_id = %record.id, wanted, %at, "Microsoft ends this subscription on that day");
            self.report.deadlines.note((record.id.clone(), deadline));
            if !self.pass.observed && record.outbox.deadline != Some(at) {
                self.app.record(&record.id, Event::DeadlineNear { wanted, at }, None).await?;
            }
        }
        Ok(())
    }

    fn is_out_of_time(&self) -> bool {
        self.app.clock.now() - self.begun >= RUN_BUDGET
    }
}

/// Whether Microsoft refuses the address itself, and not the moment: a cursor that it has forgotten would be refused for
/// ever.
fn is_refusal(kind: CallErrorKind) -> bool {
    matches!(
        kind,
        CallErrorKind::BadRequest | CallErrorKind::NotFound | CallErrorKind::Conflict | CallErrorKind::UntrustedHost
    )
}

/// Whether Microsoft as a whole does not answer us, and not for one subscription.
fn is_silence(code: Code) -> bool {
    matches!(code, Code::MarketplaceUnavailable | Code::MarketplaceIdentity)
}
