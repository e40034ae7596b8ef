//! Starting a handler and ending it, as a process or on a runtime of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::journal::{Ended, Journal};
use super::{Handler, InProcess, said};

/// How long the host waits for a killed handler to be gone.
const GRACE: Duration = Duration::from_secs(1);
/// Threads of an in-process handler: two, so that it is as parallel as on the smallest instance, and not more.
const THREADS: usize = 2;
/// What a Rust program exits with when its main thread panics.
const PANICKED: i32 = 101;

/// A handler that was started; dropping it kills it.
pub(super) struct Running {
    pub(super) port: u16,
    body: Body,
}

enum Body {
    Process {
        child: Child,
        lines: JoinSet<()>,
    },
    /// The exit code comes when the runtime is down. Dropping `stop` takes it down.
    Thread {
        stop: Option<oneshot::Sender<()>>,
        exit: Option<oneshot::Receiver<i32>>,
    },
}

/// Starts the handler on a free port. `site` is where the host itself is reached, as `host:port`.
pub(super) fn launch(handler: &Handler, root: &Path, site: &str, journal: &Journal) -> std::io::Result<Running> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let body = match handler {
        Handler::Process { program, args, env } => {
            // The host, too, only looks for a port that is free at this moment.
            drop(listener);
            let mut command = Command::new(program);
            command.args(args).current_dir(root).envs(environment(root, site, port)).envs(env.iter().cloned());
            let mut child = command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let mut lines = JoinSet::new();
            if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
                lines.spawn(said::forward(stdout, said::grade_stdout, journal.clone()));
                lines.spawn(said::forward(stderr, said::grade_stderr, journal.clone()));
            }
            Body::Process { child, lines }
        }
        Handler::InProcess(serve) => thread(InProcess::clone(serve), listener)?,
    };
    Ok(Running { port, body })
}

/// What the host, and `func start` locally, put into the handler's environment on top of their own.
fn environment(root: &Path, site: &str, port: u16) -> Vec<(&'static str, String)> {
    let (port, id, root) = (port.to_string(), Uuid::new_v4().to_string(), root.display().to_string());
    vec![
        ("FUNCTIONS_CUSTOMHANDLER_PORT", port.clone()),
        ("FUNCTIONS_HTTPWORKER_PORT", port),
        ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", id.clone()),
        ("FUNCTIONS_HTTPWORKER_ID", id),
        ("FUNCTIONS_APP_ROOT_PATH", root.clone()),
        ("AzureWebJobsScriptRoot", root),
        ("AZURE_FUNCTIONS_ENVIRONMENT", "Development".to_owned()),
        ("FUNCTIONS_WORKER_RUNTIME", "custom".to_owned()),
        ("WEBSITE_HOSTNAME", site.to_owned()),
    ]
}

/// A runtime and a thread for the handler alone: taking the runtime down drops all that it does, at whatever point it
/// is, which is what SIGKILL does to a process.
fn thread(serve: InProcess, listener: TcpListener) -> std::io::Result<Body> {
    listener.set_nonblocking(true)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let (exited, exit) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("handler")
        .enable_all()
        .build()?;
    std::thread::Builder::new().name("handler-main".to_owned()).spawn(move || {
        let code = runtime.block_on(async move {
            let mut main = JoinSet::new();
            main.spawn(async move { serve(listener).await });
            tokio::select! {
                ended = main.join_next() => if matches!(ended, Some(Ok(()))) { 0 } else { PANICKED },
                _ = stopped => PANICKED,
            }
        });
        runtime.shutdown_timeout(GRACE);
        // Nobody listens where the host itself is gone.
        let _ = exited.send(code);
    })?;
    Ok(Body::Thread { stop: Some(stop), exit: Some(exit) })
}

impl Running {
    /// Resolves when the handler has ended by itself. Cancelling this loses nothing.
    pub(super) async fn exited(&mut self) -> Ended {
        match &mut self.body {
            Body::Process { child, lines } => {
                let status = child.wait().await;
                // What it wrote last may still be on its way; whoever inherited its pipes must not hold us up.
                let _ = tokio::time::timeout(GRACE, async { while lines.join_next().await.is_some() {} }).await;
                match status.ok().as_ref().and_then(ExitStatus::code) {
                    Some(code) => Ended::Exited(code),
                    None => Ended::Signalled,
                }
            }
            Body::Thread { exit, .. } => match exit {
                Some(receiver) => {
                    let code = receiver.await.unwrap_or(PANICKED);
                    *exit = None;
                    Ended::Exited(code)
                }
                None => std::future::pending().await,
            },
        }
    }

    /// Ends the handler as SIGKILL does, and returns when it is gone.
    pub(super) async fn kill(mut self) {
        match &mut self.body {
            Body::Process { child, .. } => {
                // An error means that it had ended already.
                let _ = tokio::time::timeout(GRACE, child.kill()).await;
            }
            Body::Thread { stop, exit } => {
                stop.take();
                if let Some(exit) = exit.take() {
                    let _ = tokio::time::timeout(GRACE * 2, exit).await;
                }
            }
        }
    }
}
