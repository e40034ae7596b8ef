//! The command line: read it, read the settings, run.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::{self, Bell};
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::settings::{self, Settings};
use marketplace_fulfillment::store::{self, Store};
use marketplace_fulfillment::{dev, doctor, log, serve};
use tokio::net::TcpListener;
use url::Url;

/// The publisher's side of Microsoft's SaaS fulfillment API, as an Azure Functions custom handler.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run as the custom handler of a Functions host (host.json starts this)
    Serve,
    /// Check the settings and everything that they name, and say what to fix
    Doctor(Doctor),
    /// Run everything on this machine: simulated marketplace, Functions host stand-in and handler
    Dev(Dev),
}

#[derive(clap::Args)]
struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Dev {
    /// Port of the Functions host stand-in; 0 picks a free one
    #[arg(long, default_value_t = 7071)]
    port: u16,
    /// Port of the simulated marketplace; 0 picks a free one
    #[arg(long, default_value_t = 7072)]
    simulator_port: u16,
    /// Ask for a function key where Azure would
    #[arg(long)]
    enable_auth: bool,
    /// Seed of everything that the simulator invents
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Another implementation of the fulfillment API in place of the simulator's; sign-in and tokens stay the simulator's,
    /// and its webhooks go to /simulator/relay, which signs them
    #[arg(long, value_name = "URL")]
    marketplace_url: Option<String>,
    /// Your own software, in place of the simulator's receiver: events, questions and buyers go to /events, /provision,
    /// /decisions and /handoff below this address
    #[arg(long, value_name = "URL")]
    app: Option<Url>,
    /// Where records and queues are kept: azurite is the Azurite that runs on this machine, or one that npx starts
    #[arg(long, value_enum, default_value_t = Storage::Memory)]
    storage: Storage,
    /// The folder with host.json and functions/; by default this folder or the nearest above it
    #[arg(long)]
    app_root: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Storage {
    Memory,
    Azurite,
}

/// Exit code of a run that could not start or go on. Never 0: the host does not restart a handler that exits with 0.
const FAILED: u8 = 1;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let filter = environment.get("RUST_LOG").map(String::as_str);
    let ended = match arguments.command {
        Command::Serve => {
            log::start(filter);
            Box::pin(run_serve(&environment)).await
        }
        Command::Doctor(options) => return run_doctor(&options, &environment).await,
        Command::Dev(options) => {
            log::start(filter);
            run_dev(options, environment).await
        }
    };
    let Err(sentence) = ended;
    #[expect(clippy::print_stderr, reason = "what stopped the program is an error; the host keeps these lines")]
    {
        eprintln!("fulfillment: {sentence}");
    }
    ExitCode::from(FAILED)
}

async fn run_serve(environment: &BTreeMap<String, String>) -> Result<std::convert::Infallible, String> {
    let port = environment.get("FUNCTIONS_CUSTOMHANDLER_PORT").and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or("FUNCTIONS_CUSTOMHANDLER_PORT is not set to a port; the Functions host sets it")?;
    // The socket first: the host asks for it every 25 ms, and everything else can wait the few milliseconds it takes.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let settings = Settings::read(|key| settings::find(environment, key)).map_err(|problems| problems.to_string())?;
    if settings.storage.is_none() {
        return Box::pin(serve_from_memory(environment, settings, listener)).await;
    }
    let app = App::open(settings, Clock::System).map_err(|fault| fault.private)?;
    serve::serve(app, listener).await;
    Err("the server ended".to_owned())
}

/// Without a storage account, as a developer may run it for a moment: the queues are this process's own business.
async fn serve_from_memory(
    environment: &BTreeMap<String, String>,
    settings: Settings,
    listener: TcpListener,
) -> Result<std::convert::Infallible, String> {
    if let Some(sign) = dev::azure_sign(environment) {
        return Err(format!(
            "AzureWebJobsStorage is not set, and {sign} says that this is Azure: without a storage account every record \
             would be lost with the instance. Set it, or AzureWebJobsStorage__accountName."
        ));
    }
    let clock = Clock::System;
    let queues = bell::memory::Queues::new(clock.clone());
    let (store, bell) = (Store::Memory(store::memory::Memory::default()), Bell::Memory(queues.clone()));
    let app = App::new(settings, clock, store, bell).map_err(|fault| fault.private)?;
    tracing::warn!("AzureWebJobsStorage is not set: records are kept in memory, and lost when this process ends");
    tokio::join!(serve::serve(app.clone(), listener), serve::hear(app, queues));
    Err("the server ended".to_owned())
}

/// What is found is the answer; a log beside it would say the same again.
async fn run_doctor(options: &Doctor, environment: &BTreeMap<String, String>) -> ExitCode {
    let report = doctor::examine_settings(|key| settings::find(environment, key), Clock::System).await;
    #[expect(clippy::print_stdout, reason = "the report is what the command is for")]
    {
        if options.json {
            println!("{:#}", report.to_json());
        } else {
            println!("{report}");
        }
    }
    if report.works() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

async fn run_dev(options: Dev, mut environment: BTreeMap<String, String>) -> Result<std::convert::Infallible, String> {
    environment.extend(options.marketplace_url.map(|url| ("MARKETPLACE_API_URL".to_owned(), url)));
    let azurite = options.storage == Storage::Azurite;
    // Held to the end: where we started it, it ends with us.
    let _azurite = if azurite { dev::azurite::ensure().await? } else { None };
    let dev = dev::start(dev::Options {
        port: options.port,
        simulator_port: options.simulator_port,
        enable_auth: options.enable_auth,
        seed: options.seed,
        app_root: options.app_root,
        traceparent: true,
        clock: Clock::System,
        app: options.app,
        environment,
        storage: azurite.then(|| dev::azurite::CONNECTION_STRING.to_owned()),
        program: None,
    })
    .await?;
    #[expect(clippy::print_stdout, reason = "the line that scripts wait for")]
    {
        println!("{}", dev.ready_line());
    }
    Err(dev.ended().await)
}
