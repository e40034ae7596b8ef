//! `fulfillment dev`: the simulated marketplace, a stand-in for the Functions host, and the handler, in one process, in
//! memory, on loopback. Nothing here runs in Azure; only `main` and the tests know of it.

pub mod azurite;
mod connection;
pub mod host;
pub mod receiver;
pub mod simulator;
mod storage;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::app::App;
use crate::bell::Bell;
use crate::clock::Clock;
use crate::mishap::Mishaps;
use crate::serve;
use crate::settings::{Credential, EventsSecret, Settings, Source};
use crate::store::Store;
use crate::store::shaken::Shaken;

pub use connection::EVENTS_SECRET;
use connection::{EVENTS_SECRET_KEY, EVENTS_URL, connection};
use host::{Account, Event, Framing, Handler, Host, Patience};
use receiver::Sender;
use simulator::{Credentials, Simulator};
use storage::Storage;

/// What `dev` is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port of the host stand-in; 0 picks a free one.
    pub port: u16,
    /// The port of the simulator; 0 picks a free one.
    pub simulator_port: u16,
    /// Whether the host stand-in asks for a function key.
    pub enable_auth: bool,
    /// The seed of what the simulator invents.
    pub seed: u64,
    /// The folder with `host.json`; `None` looks upwards from the current one.
    pub app_root: Option<PathBuf>,
    /// Whether the host stand-in sends a `traceparent` with every invocation, as it does where Application Insights is on.
    pub traceparent: bool,
    /// The clock of everything.
    pub clock: Clock,
    /// The publisher's own software, which answers below this address; `None` connects the simulator's receiver.
    pub app: Option<Url>,
    /// Settings that replace those that fit the simulator, but for the storage account.
    pub environment: BTreeMap<String, String>,
    /// The storage account, as `AzureWebJobsStorage` names it; `None` keeps everything in memory.
    pub storage: Option<String>,
    /// The handler as a process of its own, which needs a storage account; `None` runs it in this process.
    pub program: Option<Program>,
}

/// A handler to start as a process, as the Functions host does.
#[derive(Clone, Debug)]
pub struct Program {
    /// The built program.
    pub path: PathBuf,
    /// Environment beside the settings.
    pub environment: BTreeMap<String, String>,
}

impl Program {
    fn handler(self, settings: BTreeMap<String, String>) -> Handler {
        let env = settings.into_iter().chain(self.environment).collect();
        Handler::Process { program: self.path, args: vec!["serve".to_owned()], env }
    }
}

/// The setting that names the storage account; those with more after it belong to it.
const STORAGE: &str = "AzureWebJobsStorage";

/// A running `dev`. Everything stops when it is dropped.
pub struct Dev {
    /// The host stand-in.
    pub host: Host,
    /// Where the host stand-in listens.
    pub host_url: Url,
    /// The marketplace.
    pub simulator: Simulator,
    /// Where the simulator listens.
    pub simulator_url: Url,
    /// The records, past all mishaps.
    pub store: Store,
    /// The queues.
    pub account: Account,
    /// What is about to befall the store and the bell; nothing, unless a test plans it.
    pub mishaps: Mishaps,
    /// An app over the same store and queues as the handler's, for whoever wants to look or lend a hand.
    pub app: App,
    /// The settings that the handler lives by.
    pub settings: BTreeMap<String, String>,
    /// The function key, where one is asked for.
    pub function_key: Option<String>,
    serving: JoinSet<()>,
}

/// The setting that shows that this process runs in Azure, if there is one.
pub fn azure_sign(environment: &BTreeMap<String, String>) -> Option<&'static str> {
    const SIGNS: [&str; 4] = ["WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "WEBSITE_SKU", "IDENTITY_ENDPOINT"];
    SIGNS.into_iter().find(|sign| environment.contains_key(*sign))
}

/// Starts everything; returns when it is ready.
///
/// # Errors
///
/// One sentence that says what is wrong and what to do.
pub async fn start(options: Options) -> Result<Dev, String> {
    if let Some(sign) = azure_sign(&options.environment) {
        return Err(format!(
            "{sign} is set, so this is Azure; `dev` answers anybody as anybody and runs on your machine only"
        ));
    }
    let app_root = app_root(options.app_root.as_deref())?;
    let listener = bind(options.port, "--port").await?;
    let host_url = loopback("127.0.0.1", &listener);
    let Surroundings { simulator, simulator_url, environment, settings, serving } =
        Surroundings::start(&options, &host_url).await?;

    let mishaps = Mishaps::default();
    let Storage { store: records, bell, account } = match &settings.storage {
        None => Storage::memory(options.clock.clone()),
        Some(storage) => Storage::azure(storage, options.clock.clone()).await?,
    };
    let store = Store::Shaken(Shaken::new(records.clone(), mishaps.clone()));
    let bell = Bell::Shaken(Box::new(bell), mishaps.clone());
    let app = App::new(settings.clone(), options.clock.clone(), store, bell).map_err(|f| f.private)?;
    let handler = match options.program {
        Some(program) => program.handler(environment.clone()),
        None => in_process(settings, &app),
    };
    let function_key = options.enable_auth.then(|| uuid::Uuid::new_v4().simple().to_string());
    let host = Host::start(
        listener,
        host::Options {
            app_root,
            handler,
            account: account.clone(),
            clock: options.clock,
            enable_auth: function_key.clone(),
            framing: Framing::Chunked,
            traceparent: options.traceparent,
            patience: Patience::default(),
        },
    )
    .await
    .map_err(|error| error.to_string())?;
    host.until(|events| events.iter().any(|event| matches!(event, Event::Ready | Event::Stopped { .. }))).await;
    let dev = Dev {
        host,
        host_url,
        simulator,
        simulator_url,
        store: records,
        account,
        mishaps,
        app,
        settings: environment,
        function_key,
        serving,
    };
    if let Some(line) = dev.connection_line() {
        tracing::info!("{line}");
    }
    Ok(dev)
}

/// What `dev` has around a host: the marketplace, and the settings that fit it. Everything stops when it is dropped.
pub struct Surroundings {
    /// The marketplace.
    pub simulator: Simulator,
    /// Where it listens.
    pub simulator_url: Url,
    /// The settings that fit it, under those that the environment gives.
    pub environment: BTreeMap<String, String>,
    /// The same, read.
    pub settings: Settings,
    serving: JoinSet<()>,
}

impl Surroundings {
    /// Starts the marketplace for a host at `host_url`.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong and what to do.
    pub async fn start(options: &Options, host_url: &Url) -> Result<Self, String> {
        let listener = bind(options.simulator_port, "--simulator-port").await?;
        let simulator_url = loopback("127.0.0.1", &listener);
        // The second name of this machine makes sign-in really cross-site, and `@nextLink` really another host.
        let second_url = loopback("localhost", &listener);
        let environment = settings(options, host_url, &simulator_url, &second_url)?;
        let settings = Settings::read(|key| environment.get(key).cloned()).map_err(|problems| problems.to_string())?;
        let simulator = simulator(options, &settings, host_url, &simulator_url, &second_url)?;
        let mut serving = JoinSet::new();
        serving.spawn(simulator.clone().serve(listener));
        Ok(Self { simulator, simulator_url, environment, settings, serving })
    }
}

/// The marketplace, which knows who is connected to it.
fn simulator(
    options: &Options,
    settings: &Settings,
    host_url: &Url,
    base_url: &Url,
    second_base_url: &Url,
) -> Result<Simulator, String> {
    let simulator = Simulator::new(simulator::Options {
        clock: options.clock.clone(),
        seed: options.seed,
        base_url: base_url.clone(),
        second_base_url: second_base_url.clone(),
        landing_url: join(&settings.public_url, "api/landing"),
        webhook_url: join(host_url, "api/webhook"),
    });
    introduce(settings, &simulator)?;
    Ok(simulator)
}

/// Tells the simulated Entra of the application's certificate, where it has one, and the receiver of who sends to it.
fn introduce(settings: &Settings, simulator: &Simulator) -> Result<(), String> {
    let keys = match &settings.connection.events_secret {
        Some(Source::Given(EventsSecret(keys))) => keys.clone(),
        Some(Source::Vault) | None => Vec::new(),
    };
    let receives = |url: &&Url| !simulator.receiver().is_at(url);
    simulator.receiver().know(Sender {
        keys,
        fulfillment: settings.public_url.as_str().trim_end_matches('/').to_owned(),
        elsewhere: settings.connection.events.as_ref().filter(receives).cloned(),
    });
    let Credential::Certificate(Source::Given(certificate)) = &settings.marketplace.credential else { return Ok(()) };
    let credentials = Credentials { certificates: vec![certificate.public_pem()], ..Credentials::default() };
    simulator.set_credentials(credentials).map_err(|refusal| format!("MARKETPLACE_CERTIFICATE: {refusal:?}"))
}

impl Dev {
    /// The line that says that everything is ready.
    pub fn ready_line(&self) -> String {
        let base = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        let key = self.function_key.as_ref().map(|key| format!(" function key: {key}")).unwrap_or_default();
        format!("ready: {} simulator: {}{key}", base(&self.host_url), base(&self.simulator_url))
    }

    /// Where messages to the publisher's software go, and what signs them, for whoever sets that software up; nothing of it
    /// where the secret is somebody's own.
    pub fn connection_line(&self) -> Option<String> {
        let ours = self.settings.get(EVENTS_SECRET_KEY).is_some_and(|secret| secret == EVENTS_SECRET);
        let events = self.settings.get(EVENTS_URL).filter(|url| ours && !url.is_empty())?;
        Some(format!("events go to {events}, signed with {EVENTS_SECRET}"))
    }

    /// Waits until something that must not end has ended, and says what.
    pub async fn ended(mut self) -> String {
        let stopped = self.host.until(|events| events.iter().any(|event| matches!(event, Event::Stopped { .. })));
        tokio::select! {
            _ = self.serving.join_next() => "the simulator ended".to_owned(),
            () = stopped => "the Functions host stand-in gave up; the log above says why".to_owned(),
        }
    }
}

/// The handler in this process: a new app for every start, over the store and the queues of `app`, whose room for work
/// after answers it shares, so that whoever looks at `app` sees that work.
fn in_process(settings: Settings, app: &App) -> Handler {
    let app = app.clone();
    let new_app = move || {
        let (clock, store, bell) = (app.clock.clone(), app.store.clone(), app.bell.clone());
        let new = App::new(settings.clone(), clock, store, bell)?;
        let publisher = new.publisher.clone().witnessed(connection::witness());
        Ok(App { afterwards: app.afterwards.clone(), publisher, ..new })
    };
    Handler::InProcess(Arc::new(move |listener| Box::pin(handle(new_app.clone(), listener))))
}

/// The handler, as the host stand-in starts it: a fresh app each time, over the same store and queues.
async fn handle(new_app: impl Fn() -> Result<App, crate::error::Fault>, listener: std::net::TcpListener) {
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    match (new_app(), listener) {
        (Ok(app), Ok(listener)) => serve::serve(app, listener).await,
        (Err(fault), _) => tracing::error!(%fault, "the handler cannot start"),
        (_, Err(error)) => tracing::error!(%error, "the handler cannot listen"),
    }
}

/// The settings that fit the simulator, under those that the environment gives.
///
/// # Errors
///
/// The address of the publisher's software is none.
fn settings(
    options: &Options,
    host_url: &Url,
    simulator_url: &Url,
    second_url: &Url,
) -> Result<BTreeMap<String, String>, String> {
    let api_hosts = [simulator_url, second_url].map(crate::settings::host_and_port).join(",");
    // Without a key of its own, a run's cookies end with it.
    let mut cookie_key = [0; 32];
    aws_lc_rs::rand::fill(&mut cookie_key).expect("the machine has randomness");
    let fitting = [
        ("MARKETPLACE_API_URL", join(simulator_url, "api").to_string()),
        ("MARKETPLACE_API_HOSTS", api_hosts),
        ("MARKETPLACE_TENANT_ID", simulator::TENANT_ID.to_owned()),
        ("MARKETPLACE_CLIENT_ID", simulator::CLIENT_ID.to_owned()),
        ("MARKETPLACE_CREDENTIAL", "secret".to_owned()),
        ("MARKETPLACE_CLIENT_SECRET", simulator::CLIENT_SECRET.to_owned()),
        ("ENTRA_AUTHORITY_URL", join(second_url, "entra").to_string()),
        ("SIGNIN_CLIENT_ID", simulator::SIGNIN_CLIENT_ID.to_owned()),
        ("OFFERS", "contoso-offer".to_owned()),
        ("PUBLIC_URL", host_url.to_string()),
        ("PUBLISHER_NAME", "Contoso".to_owned()),
        ("PUBLISHER_SUPPORT_URL", "mailto:support@contoso.example".to_owned()),
        ("PUBLISHER_APP_URL", simulator_url.to_string()),
        ("COOKIE_KEYS", STANDARD.encode(cookie_key)),
    ];
    let mut settings: BTreeMap<String, String> =
        fitting.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    settings.extend(connection(options, simulator_url)?);
    let given = options.environment.iter().filter(|(key, _)| !key.starts_with(STORAGE));
    settings.extend(given.map(|(key, value)| (key.clone(), value.clone())));
    // Never an account that merely happens to be in the environment: what `dev` writes is invented.
    settings.extend(options.storage.iter().map(|account| (STORAGE.to_owned(), account.clone())));
    Ok(settings)
}

fn app_root(given: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let here = std::env::current_dir().map_err(|error| format!("the current folder cannot be read: {error}"))?;
    let found = here.ancestors().find(|folder| folder.join("host.json").is_file());
    let sentence = || format!("no host.json in {} or above it; name its folder with --app-root", here.display());
    found.map(Path::to_owned).ok_or_else(sentence)
}

async fn bind(port: u16, option: &str) -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        format!("cannot listen on 127.0.0.1:{port}: {error}; name another port with {option}, or 0 for any free one")
    })
}

fn loopback(name: &str, listener: &TcpListener) -> Url {
    let port = listener.local_addr().map(|address| address.port()).unwrap_or_default();
    Url::parse(&format!("http://{name}:{port}/")).expect("a name and a port make a URL")
}

fn join(base: &Url, path: &str) -> Url {
    base.join(path).expect("a relative path joins any base")
}
