//! Keeping the handler alive by the host's rules: wait until it answers, start it again when it dies, give up in time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};

use super::Handler;
use super::journal::{Ended, Event, Journal};
use super::launch::{Running, launch};
use crate::clock::Clock;

/// How often the host asks a started handler whether it is ready.
const READY_INTERVAL: Duration = Duration::from_millis(25);
/// After this many deaths the host gives up: the first start and two more.
const DEATHS_MAX: usize = 3;
/// A death counts for this long; a longer quiet forgives all before it.
const DEATHS_COUNT_FOR: time::Duration = time::Duration::minutes(30);
/// An invocation waits for the handler this many initialization timeouts; then the host stops (`WorkerFunctionInvoker`).
const WAITS_FOR: u32 = 4;
/// A handler that exits with this is started again at once and without counting (`WorkerConstants.cs`).
const EXIT_FOR_RESTART: i32 = 200;
/// Orders that wait for the supervisor; further ones wait with their sender.
const ORDERS_MAX: usize = 8;

/// The handler as invocations see it.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    state: watch::Receiver<State>,
    orders: mpsc::Sender<Order>,
    patience: Duration,
}

/// Why an invocation found no handler.
#[derive(Debug)]
pub(super) struct Unavailable;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Initializing,
    /// Also after the handler left with exit code 0: the host believes that it is there.
    Serving(u16),
    Stopped,
}

#[derive(Debug)]
enum Order {
    /// Kill the handler (only if it is the one on this port) and start another.
    Kill { port: Option<u16>, done: oneshot::Sender<()> },
    /// Kill the handler and serve nothing any more.
    Stop { reason: &'static str, done: oneshot::Sender<()> },
}

/// What the supervisor needs to start handlers.
pub(super) struct Supervisor {
    pub(super) handler: Handler,
    pub(super) root: PathBuf,
    /// Where the host itself is reached, as `host:port`.
    pub(super) site: String,
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    pub(super) client: reqwest::Client,
    pub(super) initialization: Duration,
}

impl Worker {
    /// The port of the handler, as soon as it is ready. If it never is, the host stops.
    pub(super) async fn port(&self) -> Result<u16, Unavailable> {
        let mut state = self.state.clone();
        let ready = async { state.wait_for(|state| *state != State::Initializing).await.map(|state| *state) };
        match tokio::time::timeout(self.patience, ready).await {
            Ok(Ok(State::Serving(port))) => Ok(port),
            Ok(_) => Err(Unavailable),
            Err(_) => {
                self.stop("the handler did not become ready while an invocation waited for it").await;
                Err(Unavailable)
            }
        }
    }

    /// Kills the handler that listens on `port` (whichever it is, if `None`), and returns when it is gone.
    pub(super) async fn kill(&self, port: Option<u16>) {
        let (done, gone) = oneshot::channel();
        if self.orders.send(Order::Kill { port, done }).await.is_ok() {
            // An error means that the host stopped meanwhile, and the handler with it.
            let _ = gone.await;
        }
    }

    /// Kills the handler and stops the host.
    pub(super) async fn stop(&self, reason: &'static str) {
        let (done, gone) = oneshot::channel();
        if self.orders.send(Order::Stop { reason, done }).await.is_ok() {
            let _ = gone.await;
        }
    }

    /// Whether the host gave up, or is gone.
    pub(super) fn is_stopped(&self) -> bool {
        *self.state.borrow() == State::Stopped || self.state.has_changed().is_err()
    }

    /// Resolves when the host gives up.
    pub(super) async fn stopped(&self) {
        // An error means that the supervisor is gone, which is the same.
        let _ = self.state.clone().wait_for(|state| *state == State::Stopped).await;
    }
}

/// Why the supervisor turned from a handler.
enum End {
    Itself(Ended),
    NeverReady,
    Killed(oneshot::Sender<()>),
    Stopped { reason: &'static str, done: Option<oneshot::Sender<()>> },
}

impl Supervisor {
    /// Starts the handler. The future keeps it alive, and ends when the host gives up; dropping it kills the handler.
    pub(super) fn start(self) -> std::io::Result<(Worker, impl Future<Output = ()> + Send)> {
        let first = self.launch()?;
        let (state, seen) = watch::channel(State::Initializing);
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let worker = Worker { state: seen, orders, patience: self.initialization * WAITS_FOR };
        Ok((worker, Arc::new(self).run(first, state, received)))
    }

    fn launch(&self) -> std::io::Result<Running> {
        let running = launch(&self.handler, &self.root, &self.site, &self.journal)?;
        self.journal.record(Event::Started { port: running.port });
        Ok(running)
    }

    async fn run(
        self: Arc<Self>,
        mut running: Running,
        state: watch::Sender<State>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let mut deaths = Deaths::default();
        let (reason, done) = loop {
            let port = running.port;
            let end = self.attend(&mut running, &state, &mut orders).await;
            running.kill().await;
            let end = match end {
                // The host takes 0 for a wish, starts nothing, and goes on as if the handler were there.
                End::Itself(Ended::Exited(0)) => {
                    self.journal.record(Event::Ended(Ended::Exited(0)));
                    state.send_replace(State::Serving(port));
                    order(&mut orders, None).await
                }
                other => other,
            };
            let give_up = match end {
                End::Stopped { reason, done } => break (reason, done),
                End::Killed(done) => {
                    state.send_replace(State::Initializing);
                    self.journal.record(Event::Ended(Ended::Killed));
                    // Nobody waits any more where the invocation that asked for it was dropped.
                    let _ = done.send(());
                    false
                }
                End::NeverReady => self.buried(Ended::NeverReady, &mut deaths),
                End::Itself(ended) => self.buried(ended, &mut deaths),
            };
            if give_up {
                break ("the handler died too often: exceeded the restart retry count", None);
            }
            state.send_replace(State::Initializing);
            running = match self.launch() {
                Ok(running) => running,
                Err(error) => {
                    tracing::error!(%error, "the handler cannot be started again; invocations wait for it in vain");
                    match order(&mut orders, None).await {
                        End::Stopped { reason, done } => break (reason, done),
                        _ => break ("the handler cannot be started again", None),
                    }
                }
            };
        };
        tracing::error!(reason, "the host stops");
        state.send_replace(State::Stopped);
        self.journal.record(Event::Stopped { reason: reason.to_owned() });
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    /// Notes a death; true where it was one too many.
    fn buried(&self, ended: Ended, deaths: &mut Deaths) -> bool {
        self.journal.record(Event::Ended(ended));
        ended != Ended::Exited(EXIT_FOR_RESTART) && deaths.count(self.clock.now())
    }

    /// Waits until something happens to the handler that ends it.
    async fn attend(
        &self,
        running: &mut Running,
        state: &watch::Sender<State>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> End {
        let port = running.port;
        let mut ready = std::pin::pin!(tokio::time::timeout(self.initialization, self.ready(port)));
        let mut serving = false;
        loop {
            tokio::select! {
                end = order(orders, Some(port)) => return end,
                ended = running.exited() => return End::Itself(ended),
                answered = &mut ready, if !serving => {
                    if answered.is_err() {
                        return End::NeverReady;
                    }
                    serving = true;
                    self.journal.record(Event::Ready);
                    state.send_replace(State::Serving(port));
                }
            }
        }
    }

    /// Asks `GET /` until it is answered, whatever the answer. Only a refused connection means "not yet".
    async fn ready(&self, port: u16) {
        while self.client.get(format!("http://127.0.0.1:{port}/")).send().await.is_err_and(|error| error.is_connect()) {
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }
}

/// The next order that concerns the handler on `port`. An order for a handler that is gone already is done.
async fn order(orders: &mut mpsc::Receiver<Order>, port: Option<u16>) -> End {
    loop {
        match orders.recv().await {
            Some(Order::Kill { port: wanted @ Some(_), done }) if wanted != port => {
                let _ = done.send(());
            }
            Some(Order::Kill { done, .. }) => return End::Killed(done),
            Some(Order::Stop { reason, done }) => return End::Stopped { reason, done: Some(done) },
            None => return End::Stopped { reason: "nobody needs the host any more", done: None },
        }
    }
}

/// When the handler died lately.
#[derive(Debug, Default)]
struct Deaths(Vec<OffsetDateTime>);

impl Deaths {
    /// Counts one more; true where the host gives up.
    fn count(&mut self, now: OffsetDateTime) -> bool {
        if self.0.last().is_some_and(|last| now - *last >= DEATHS_COUNT_FOR) {
            self.0.clear();
        }
        self.0.push(now);
        self.0.len() >= DEATHS_MAX
    }
}
