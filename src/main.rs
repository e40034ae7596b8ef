//! The command line: read it, read the settings, run.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::{self, Bell};
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::settings::Settings;
use marketplace_fulfillment::store::{self, Store};
use marketplace_fulfillment::{dev, log, serve};
use tokio::net::TcpListener;

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
    /// Run everything on this machine: simulated marketplace, Functions host stand-in and handler
    Dev(Dev),
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
    /// The folder with host.json and functions/; by default this folder or the nearest above it
    #[arg(long)]
    app_root: Option<PathBuf>,
}

/// Exit code of a run that could not start or go on. Never 0: the host does not restart a handler that exits with 0.
const FAILED: u8 = 1;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    log::start(environment.get("RUST_LOG").map(String::as_str));
    let ended = match arguments.command {
        Command::Serve => run_serve(&environment).await,
        Command::Dev(options) => run_dev(options, environment).await,
    };
    let Err(sentence) = ended;
    #[expect(clippy::print_stderr, reason = "what stopped the program is an error; the host keeps these lines")]
    {
        eprintln!("fulfillment: {sentence}");
    }
    ExitCode::from(FAILED)
}

async fn run_serve(environment: &BTreeMap<String, String>) -> Result<std::convert::Infallible, String> {
    if let Some(sign) = dev::azure_sign(environment) {
        return Err(format!(
            "{sign} is set, so this is Azure, and this version keeps records in memory only: they would be lost with the \
             instance. Run it on your own machine."
        ));
    }
    let port = environment.get("FUNCTIONS_CUSTOMHANDLER_PORT").and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or("FUNCTIONS_CUSTOMHANDLER_PORT is not set to a port; the Functions host sets it")?;
    // The socket first: the host asks for it every 25 ms, and everything else can wait the few milliseconds it takes.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let settings = Settings::read(|key| environment.get(key).cloned()).map_err(|problems| problems.to_string())?;
    let clock = Clock::System;
    let queues = bell::memory::Queues::new(clock.clone());
    let bell = Bell::Memory(queues.clone());
    let store = Store::Memory(store::memory::Memory::default());
    let app = App::new(settings, clock, store, bell).map_err(|fault| fault.private)?;
    tracing::warn!("records are kept in memory, and lost when this process ends");
    tokio::join!(serve::serve(app.clone(), listener), serve::hear(app, queues));
    Err("the server ended".to_owned())
}

async fn run_dev(options: Dev, mut environment: BTreeMap<String, String>) -> Result<std::convert::Infallible, String> {
    environment.extend(options.marketplace_url.map(|url| ("MARKETPLACE_API_URL".to_owned(), url)));
    let dev = dev::start(dev::Options {
        port: options.port,
        simulator_port: options.simulator_port,
        enable_auth: options.enable_auth,
        seed: options.seed,
        app_root: options.app_root,
        traceparent: true,
        clock: Clock::System,
        environment,
    })
    .await?;
    #[expect(clippy::print_stdout, reason = "the line that scripts wait for")]
    {
        println!("{}", dev.ready_line());
    }
    Err(dev.ended().await)
}
