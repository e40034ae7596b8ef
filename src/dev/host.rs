//! A stand-in for the Azure Functions host, for this machine and for tests.
//!
//! It reads the same `host.json` and `function.json` files, starts the handler as the host does, and behaves towards it
//! as the host's source says (host 4.1037 to 4.105x, queue extension 5.x), including what is unpleasant: chunked bodies,
//! texts that are encoded twice, SIGKILL without a warning, and invocations that hang when the answer is empty. What it
//! does not do it refuses at the start. Differences: queues in memory are not polled ([`Account`]);
//! there is no Easy Auth, only its protection against forged headers; and no scale-out, for which one starts another
//! host over the same queues.

mod account;
mod answer;
mod config;
mod door;
mod envelope;
mod function;
mod invocation;
mod journal;
mod launch;
mod listener;
mod proxy;
mod route;
mod said;
mod schedule;
mod timer;
mod worker;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

pub use account::Account;
pub use journal::{EVENTS_MAX, Ended, Event, Invocation, Level, Outcome};

use crate::clock::Clock;
use config::Config;
use function::Trigger;
use invocation::Invoker;
use journal::Journal;
use worker::{Supervisor, Worker};

/// The version that the host claims in `X-Azure-Functions-HostVersion`.
pub const HOST_VERSION: &str = "4.1052.200.0";
/// How long a proxied request or answer may stand still before it is given up (YARP's activity timeout).
pub const ACTIVITY_TIMEOUT: Duration = Duration::from_mins(4);

/// A handler that lives in this process: given a listening loopback socket, it serves for ever.
pub type InProcess = Arc<dyn Fn(TcpListener) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What the host starts.
#[derive(Clone)]
pub enum Handler {
    /// A program, run in the app's folder with the environment that the host gives.
    Process {
        /// The program; `host.json`'s own `defaultExecutablePath` is not looked at.
        program: PathBuf,
        /// Its arguments.
        args: Vec<String>,
        /// Environment on top of ours and the host's.
        env: Vec<(String, String)>,
    },
    /// Called for every start, on a runtime of its own that is torn down where a process would be killed. Where its
    /// future ends, that is exit code 0; a panic is 101.
    InProcess(InProcess),
}

/// How the body of an invocation is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, as in Azure.
    #[default]
    Chunked,
    /// `Content-Length`, as under `func start`.
    Sized,
}

/// How long the host waits, on the machine's clock: network and handler live in real time.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a started handler to answer; `None` takes what `host.json` says, or 30 seconds.
    pub initialization: Option<Duration>,
    /// For a function to end; `None` takes what `host.json` says.
    pub function: Option<Duration>,
    /// For a proxied request or answer that stands still.
    pub activity: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { initialization: None, function: None, activity: ACTIVITY_TIMEOUT }
    }
}

/// How a host is set up.
#[derive(Clone)]
pub struct Options {
    /// The folder with `host.json`.
    pub app_root: PathBuf,
    /// What it starts.
    pub handler: Handler,
    /// The storage account's queues.
    pub account: Account,
    /// The clock of timers and message visibility.
    pub clock: Clock,
    /// The function key to ask for; `None` asks for none, as `func start` does.
    pub enable_auth: Option<String>,
    /// How invocations are framed.
    pub framing: Framing,
    /// Whether the handler gets a `traceparent`, as it does where Application Insights is on.
    pub traceparent: bool,
    /// How long the host waits.
    pub patience: Patience,
}

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or folder of the app cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file says something that the host, or this stand-in, does not accept.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// A sentence.
        reason: String,
    },
    /// Without a function, the host does not start a handler.
    #[error("there is no function below {}: neither functions/<name>/function.json nor <name>/function.json", .0.display())]
    NoFunctions(PathBuf),
    /// The handler cannot be started. The real host would say nothing and let the first invocation wait for two minutes.
    #[error("the handler cannot be started: {0}")]
    Handler(std::io::Error),
    /// The socket or the client to the handler cannot be used.
    #[error("the host cannot serve: {0}")]
    Network(String),
}

/// A running host. Dropping it takes everything away at once: handler, listeners, door.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    worker: Worker,
    journal: Journal,
    account: Account,
    queue_names: Vec<String>,
    clock: Clock,
    due: Vec<watch::Receiver<OffsetDateTime>>,
    tasks: JoinSet<()>,
    supervisor: JoinSet<()>,
}

impl Host {
    /// Starts the host behind `listener`. The handler may still be starting when this returns; requests wait for it.
    ///
    /// # Errors
    ///
    /// Where the configuration is not one that this host can honour, or the handler cannot be started.
    pub async fn start(listener: tokio::net::TcpListener, options: Options) -> Result<Self, StartError> {
        let root = options.app_root.clone();
        let config = tokio::task::spawn_blocking(move || Config::read(&root));
        let config = config.await.map_err(|error| StartError::Network(error.to_string()))??;
        let address = listener.local_addr().map_err(|error| StartError::Network(error.to_string()))?;
        let client = client().map_err(|error| StartError::Network(error.to_string()))?;
        let journal = Journal::default();
        let (worker, supervise) = Supervisor {
            handler: options.handler.clone(),
            root: options.app_root.clone(),
            site: address.to_string(),
            journal: journal.clone(),
            clock: options.clock.clone(),
            client: client.clone(),
            initialization: options.patience.initialization.unwrap_or(config.initialization_timeout),
        }
        .start()
        .map_err(StartError::Handler)?;
        let mut supervisor = JoinSet::new();
        supervisor.spawn(supervise);
        let mut host = Self {
            address,
            worker: worker.clone(),
            journal: journal.clone(),
            account: options.account.clone(),
            queue_names: config.queue_names().map(str::to_owned).collect(),
            clock: options.clock.clone(),
            due: Vec::new(),
            tasks: JoinSet::new(),
            supervisor,
        };
        let invoker = Invoker {
            client,
            worker,
            journal,
            framing: options.framing,
            traceparent: options.traceparent,
            function_timeout: options.patience.function.unwrap_or(config.function_timeout),
        };
        host.listen(&config, &invoker);
        host.open(listener, options, config, invoker);
        Ok(host)
    }

    /// Starts the listeners of queue and timer functions.
    fn listen(&mut self, config: &Config, invoker: &Invoker) {
        for function in &config.functions {
            let (name, clock, invoker) = (function.name.clone(), self.clock.clone(), invoker.clone());
            match function.trigger.clone() {
                Trigger::Http(_) => {}
                Trigger::Queue(trigger) => {
                    let (account, rules) = (self.account.clone(), config.queues);
                    let listener = listener::Listener { function: name, trigger, rules, account, clock, invoker };
                    self.tasks.spawn(listener.run());
                }
                Trigger::Timer(trigger) => {
                    let (next, due) = watch::channel(trigger.schedule.next(clock.now()));
                    self.due.push(due);
                    self.tasks.spawn(timer::Timer { function: name, trigger, clock, invoker, next }.run());
                }
            }
        }
    }

    fn open(&mut self, listener: tokio::net::TcpListener, options: Options, config: Config, invoker: Invoker) {
        let door = door::Door {
            key: options.enable_auth,
            functions: config.functions,
            proxy: proxy::Proxy {
                client: invoker.client.clone(),
                worker: invoker.worker.clone(),
                function_timeout: invoker.function_timeout,
                activity: options.patience.activity,
                traceparent: options.traceparent,
            },
            invoker,
            clock: options.clock,
            started: Mutex::default(),
        };
        self.tasks.spawn(Arc::new(door).serve(listener));
    }

    /// Where the host is reached, without a path.
    pub fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).expect("a socket address makes a URL")
    }

    /// Kills the handler at whatever point it is, as SIGKILL does, and returns when it is gone. Another one is started at
    /// once: like a kill by the platform, and unlike a handler that dies by itself, it does not count towards the three
    /// deaths after which the host gives up.
    pub async fn kill_handler(&self) {
        self.worker.kill(None).await;
    }

    /// Takes the whole instance away, as scale-in or a crash of the machine does, and returns when it is gone. Messages
    /// that were being processed come back when their ten minutes of invisibility are over.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.worker.stop("the instance was taken away").await;
        self.supervisor.shutdown().await;
    }

    /// How many invocations are under way. An HTTP invocation ends with the last byte of its answer.
    pub fn in_flight(&self) -> usize {
        self.journal.in_flight()
    }

    /// Resolves when no invocation is under way, no message is visible and no timer is due; at once where the host gave
    /// up, because then nothing will ever change.
    pub async fn idle(&self) {
        let queues: Vec<&str> = self.queue_names.iter().map(String::as_str).collect();
        let mut journal = self.journal.watch();
        while !self.worker.is_stopped() {
            let changed = self.account.changed();
            journal.mark_unchanged();
            // Looked at in this order: what begins after the first look shows as a difference in the last.
            let begun = self.journal.begun();
            let quiet =
                self.journal.in_flight() == 0 && !self.rings() && self.account.any_visible(&queues).await == Ok(false);
            if quiet && self.journal.begun() == begun && self.journal.in_flight() == 0 {
                return;
            }
            tokio::select! {
                () = changed => {}
                _ = journal.changed() => {}
            }
        }
    }

    /// The latest events, the oldest first; at most [`EVENTS_MAX`].
    pub fn events(&self) -> Vec<Event> {
        self.journal.events()
    }

    /// Resolves when `wanted` holds for the events so far.
    pub async fn until(&self, wanted: impl Fn(&[Event]) -> bool) {
        let mut journal = self.journal.watch();
        loop {
            journal.mark_unchanged();
            if wanted(&self.journal.events()) {
                return;
            }
            // The journal itself cannot go away, because we hold it.
            let _ = journal.changed().await;
        }
    }

    fn rings(&self) -> bool {
        let now = self.clock.now();
        self.due.iter().any(|next| *next.borrow() <= now)
    }
}

/// The client that talks to the handler: plain HTTP/1.1, nothing followed, unpacked or proxied.
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().no_gzip().http1_only().build()
}
