//! A receiver as a process on a port of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::message::{Message, SECRET};
use crate::reference::python;

/// How long a receiver may take for a start that takes a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a build of the receiver in C# may take: the first one downloads its packages.
const BUILD_PATIENCE: Duration = Duration::from_mins(3);

/// Ports that no system hands out by itself, so that nobody takes one between two looks.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// What it writes to stderr, in its folder.
const COMPLAINTS: &str = "stderr";

/// How often a start may find that its port is taken.
pub(crate) const STARTS: usize = 10;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    Node,
    Python,
    Rust,
    Dotnet,
}

/// A running receiver. It ends when it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    http: reqwest::Client,
    printed: watch::Receiver<Vec<String>>,
    _child: Child,
    folder: TempDir,
}

impl Runtime {
    /// How the receiver is started; `None` where its runtime is not on this machine.
    pub(crate) async fn command(self) -> Option<Command> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/receivers");
        let (program, arguments) = match self {
            Self::Node => {
                let folder = folder.join("node");
                let installed = folder.join("node_modules/jose").exists();
                assert!(
                    installed,
                    "its packages are not installed: npm ci --prefix {} (tests/run does it)",
                    folder.display()
                );
                // What Node 18, which Debian 12 has, calls an experiment.
                let older = output("node", &["--version"]).await.is_some_and(|version| version.starts_with("v18."));
                let flag = older.then(|| "--experimental-global-webcrypto".into());
                (PathBuf::from("node"), flag.into_iter().chain([folder.join("receiver.js")]).collect())
            }
            Self::Python => (python(), vec![folder.join("python/receiver.py")]),
            Self::Rust => (example(), vec![]),
            Self::Dotnet => {
                // tests/run says that it is left out.
                output("dotnet", &["--version"]).await?;
                (PathBuf::from("dotnet"), vec![built(&folder.join("csharp")).await])
            }
        };
        let mut command = Command::new(program);
        command.args(arguments);
        Some(command)
    }
}

/// A port that is probably free.
pub(crate) fn port() -> u16 {
    fastrand::u16(PORTS)
}

/// What a program prints; `None` where there is no such program.
async fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().await.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The receiver in Rust, which cargo builds beside the tests: it is one of the package's examples.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let example = tests.ancestors().nth(2).unwrap().join("examples/receiver");
    assert!(example.exists(), "{} is missing: cargo build --example receiver", example.display());
    example
}

/// The receiver in C#, built outside of its folder.
async fn built(folder: &Path) -> PathBuf {
    let artifacts = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dotnet");
    let build = Command::new("dotnet").arg("build").arg(folder).arg("--artifacts-path").arg(&artifacts).output();
    let output = tokio::time::timeout(BUILD_PATIENCE, build).await.expect("dotnet ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    artifacts.join("bin/receiver/debug/receiver.dll")
}

impl Receiver {
    /// Starts it on a port that is free, with [`SECRET`] and these settings; `None` where its runtime is not on this machine.
    pub(crate) async fn start(runtime: Runtime, fulfillment: &str, settings: &[(&str, &str)]) -> Option<Self> {
        for _ in 0..STARTS {
            let started = Self::start_on(runtime.command().await?, port(), fulfillment, settings).await;
            if started.is_some() {
                return started;
            }
        }
        panic!("{runtime:?} ends before it is ready");
    }

    /// The same with this command on this port; `None` where the port is taken.
    pub(crate) async fn start_on(
        command: Command,
        port: u16,
        fulfillment: &str,
        settings: &[(&str, &str)],
    ) -> Option<Self> {
        let started = Self::begin(command, port, fulfillment, settings);
        tokio::time::timeout(PATIENCE, started).await.expect("the receiver starts")
    }

    async fn begin(mut command: Command, port: u16, fulfillment: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        command
            .env("PORT", port.to_string())
            .env("FULFILLMENT_URL", fulfillment)
            .env("PUBLISHER_EVENTS_SECRET", SECRET)
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .envs(settings.iter().copied())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join(COMPLAINTS)).unwrap())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            if let Some(url) = lines.next_line().await.unwrap()?.strip_prefix("receiver: ") {
                break url.to_owned();
            }
        };
        assert_eq!(url, format!("http://127.0.0.1:{port}"));
        let (print, printed) = watch::channel(vec![]);
        // Read on to the end, so that it is never stuck on a full pipe.
        #[expect(clippy::disallowed_methods, reason = "ends with the story's runtime")]
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                print.send_modify(|printed| printed.push(line));
            }
        });
        // A connection for each request: one that the receiver is about to close is not used again.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let http = http.timeout(PATIENCE).pool_max_idle_per_host(0);
        Some(Self { url, http: http.build().unwrap(), printed, _child: child, folder })
    }

    /// Sends these very bytes, and waits until it hangs up.
    pub(crate) async fn send_raw(&self, bytes: &str) {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let hangs_up = connection.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, hangs_up).await.expect("it hangs up").unwrap();
    }

    /// What it complained of up to now, as it was written.
    pub(crate) fn complaints(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(COMPLAINTS)).unwrap()
    }

    pub(crate) async fn post(&self, path: &str, message: &Message) -> Response {
        self.try_post(path, message).await.unwrap()
    }

    /// The same where the connection may break.
    pub(crate) async fn try_post(&self, path: &str, message: &Message) -> reqwest::Result<Response> {
        let mut request = self.http.post(format!("{}{path}", self.url)).body(message.body.clone());
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        request.send().await
    }

    /// Posts what must be taken.
    pub(crate) async fn takes(&self, path: &str, message: &Message) {
        let answer = self.post(path, message).await;
        assert!(answer.status().is_success(), "{path}: {answer:?} to {message:#?}");
    }

    /// Posts as the buyer's browser does.
    pub(crate) async fn hand_over(&self, token: &str) -> Response {
        self.http.post(self.handoff_url()).form(&[("handoff", token)]).send().await.unwrap()
    }

    /// Where buyers are handed over to it.
    pub(crate) fn handoff_url(&self) -> String {
        format!("{}/handoff", self.url)
    }

    /// What it knows.
    pub(crate) async fn state(&self) -> Value {
        self.get("/state").await.json().await.unwrap()
    }

    /// What it printed up to the first line that begins so: a line for each event that it acted upon.
    pub(crate) async fn printed_until(&self, last: &str) -> Vec<String> {
        let mut printed = self.printed.clone();
        let is_last = |line: &String| line.starts_with(last);
        let found = printed.wait_for(|printed| printed.iter().any(is_last));
        let printed = tokio::time::timeout(PATIENCE, found).await.expect("it is printed").unwrap().clone();
        let end = printed.iter().position(is_last).unwrap();
        printed[..end].to_vec()
    }

    /// The same for people.
    pub(crate) async fn page(&self) -> String {
        self.get("/").await.text().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer
    }
}
