//! A handler as a process, started and asked as the Functions host does it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Program;

/// How long a handler may take for its first answer before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait between two attempts to connect: far below what is measured.
const PAUSE: Duration = Duration::from_micros(50);

/// A running handler; dropping it kills it.
pub struct Handler {
    child: Child,
    port: u16,
    started: Instant,
}

impl Handler {
    /// Starts the program on a free port, with nothing in its environment but its settings.
    pub fn start(program: &Program) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        drop(listener);
        let mut command = Command::new(&program.path);
        command.args(&program.arguments).env_clear().envs(program.environment.iter().cloned());
        command.env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let started = Instant::now();
        let child = command.spawn().map_err(|error| format!("{}: {error}", program.path.display()))?;
        Ok(Self { child, port, started })
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

    /// Its memory that is in RAM, as Linux counts it.
    pub fn resident_bytes(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes =
            line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse::<u64>().ok());
        kibibytes.map(|kibibytes| kibibytes * 1024).ok_or_else(|| format!("{path} has no VmRSS"))
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
