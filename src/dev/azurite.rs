//! Azurite, Azure Storage on this machine, for `fulfillment dev --storage azurite`: the one that runs already, or one that is
//! started from npm.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};

/// The setting that means Azurite on its usual ports, to us as to the Functions host.
pub const CONNECTION_STRING: &str = "UseDevelopmentStorage=true";

/// The version that is started: the one that the tests run on.
pub const VERSION: &str = "3.35.0";

/// The ports of the queue and the table service. Azurite's defaults, which [`CONNECTION_STRING`] stands for.
const PORTS: [u16; 2] = [10001, 10002];

/// How long it may take until Azurite listens: npm may have to fetch it first, some 60 MB.
const PATIENCE: Duration = Duration::from_mins(3);

/// How long between two looks whether it listens: short beside the second that Azurite takes to start.
const INTERVAL: Duration = Duration::from_millis(100);

/// What to do where that fails.
const ADVICE: &str = "start it yourself with `npx azurite --skipApiVersionCheck` (Node.js brings npx), then this again";

/// Ends Azurite when its standard input ends, and so with us, however we end.
const LEASH: &str = "data:text/javascript,process.stdin.on('end',()=>process.exit()).resume()";

/// An Azurite of ours. Ends when it is dropped.
#[derive(Debug)]
pub struct Azurite {
    _child: Child,
    _leash: Option<ChildStdin>,
}

/// Makes sure that Azurite runs. `None` where somebody else's does.
///
/// # Errors
///
/// A sentence that says what is wrong and what to do.
pub async fn ensure() -> Result<Option<Azurite>, String> {
    if listens().await {
        return Ok(None);
    }
    let script = format!(
        "exec node --import \"{LEASH}\" \"$(command -v azurite)\" \
         --silent --disableTelemetry --inMemoryPersistence --skipApiVersionCheck"
    );
    let child = Command::new("npx")
        .args(["--yes", "--package", &format!("azurite@{VERSION}"), "--", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("npx cannot be run ({error}); {ADVICE}"))?;
    // Taken out of the child, whose `wait` would close it.
    let leash = child.stdin.take();
    let started = async {
        while !listens().await {
            tokio::select! {
                ended = child.wait() => {
                    return Err(format!("Azurite ended at once ({}); {ADVICE}", ended.map_or_else(|e| e.to_string(), |s| s.to_string())));
                }
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, started).await {
        Ok(Ok(())) => Ok(Some(Azurite { _child: child, _leash: leash })),
        Ok(Err(sentence)) => Err(sentence),
        Err(_) => Err(format!("Azurite does not listen after {} seconds; {ADVICE}", PATIENCE.as_secs())),
    }
}

async fn listens() -> bool {
    for port in PORTS {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpStream::connect(address).await.is_err() {
            return false;
        }
    }
    true
}
