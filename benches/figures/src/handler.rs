//! A handler as a process, started and asked as the Functions host does it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a handler may take for its first answer before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait between two attempts to connect: far below what is measured.
const PAUSE: Duration = Duration::from_micros(50);

/// How much of the log is read at a time, in bytes.
const LOG_PART: usize = 64 * 1024;

/// Linux tells the time of a process in hundredths of a second.
const TICKS: f64 = 100.0;

/// Something to measure: a program and how it is started.
#[derive(Clone)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it is told.
    pub arguments: Vec<String>,
    /// The settings that it needs.
    pub environment: Vec<(String, String)>,
}

/// A running handler; dropping it kills it.
pub struct Handler {
    child: Child,
    port: u16,
    started: Instant,
    logged: Arc<AtomicU64>,
}

impl Handler {
    /// Starts the program on a free port, with nothing in its environment but its settings. Its log is read, as the
    /// host reads it.
    pub fn start(program: &Program) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        drop(listener);
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).env_clear().envs(program.environment.iter().cloned());
        command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let started = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.path.display()))?;
        let logged = Arc::<AtomicU64>::default();
        if let Some(mut log) = child.stdout.take() {
            let logged = logged.clone();
            std::thread::spawn(move || {
                let mut part = vec![0; LOG_PART];
                while let Ok(length @ 1..) = log.read(&mut part) {
                    logged.fetch_add(length as u64, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { child, port, started, logged })
    }

    /// Starts the program and waits until it answers.
    pub fn ready(program: &Program) -> Result<Self, String> {
        let mut handler = Self::start(program)?;
        handler.first_answer("/")?;
        Ok(handler)
    }

    /// The time from the start of the process to the first byte of its answer.
    pub fn first_answer(&mut self, path: &str) -> Result<Duration, String> {
        let mut connection = self.connect()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let mut status = [0; 12];
        let asked = connection
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| connection.write_all(request.as_bytes()))
            .and_then(|()| connection.read_exact(&mut status));
        let answered = self.started.elapsed();
        asked.map_err(|error| format!("GET {path}: {error}"))?;
        if status != *b"HTTP/1.1 200" {
            return Err(format!("GET {path}: {}", String::from_utf8_lossy(&status)));
        }
        Ok(answered)
    }

    fn connect(&mut self) -> Result<TcpStream, String> {
        while self.started.elapsed() < PATIENCE {
            if let Ok(connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                return Ok(connection);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the handler ended with {status}"));
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("the handler did not listen within {PATIENCE:?}"))
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How much it has logged so far, in bytes.
    pub fn logged_bytes(&self) -> u64 {
        self.logged.load(Ordering::Relaxed)
    }

    /// Its memory that is in RAM, as Linux counts it.
    pub fn resident_bytes(&self) -> Result<u64, String> {
        self.memory("VmRSS:")
    }

    /// The most that it ever had in RAM.
    pub fn peak_bytes(&self) -> Result<u64, String> {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> Result<u64, String> {
        let status = self.about("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let kibibytes =
            line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse::<u64>().ok());
        kibibytes.map(|kibibytes| kibibytes * 1024).ok_or_else(|| format!("no {what}"))
    }

    /// The time that processors have worked for it so far, in seconds.
    pub fn processor_seconds(&self) -> Result<f64, String> {
        let stat = self.about("stat")?;
        // The second field is a name in brackets, which may hold anything.
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap_or_default());
        Ok(ticks.sum::<f64>() / TICKS)
    }

    fn about(&self, file: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
