//! A proxy before one service of Azurite, which misbehaves as networks and storage do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::azurite;

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(crate) enum Mischief {
    /// Nothing out of the ordinary.
    None,
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
    /// It is not done, and the connection breaks.
    Broken,
    /// Nobody answers, ever.
    Silent,
    /// The service answers this in place of doing it: status, headers and body.
    Says(u16, String, String),
    /// The same, after this time.
    SaysLate(Duration, u16, String, String),
}

/// Which service the proxy stands before.
#[derive(Clone, Copy)]
pub(crate) enum Before {
    Queues = 1,
    Tables = 2,
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct Proxy {
    before: Before,
    port: u16,
    behind: [u16; 3],
    plan: Arc<Mutex<Plan>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Plan {
    next: VecDeque<Mischief>,
    /// When nothing is planned any more.
    afterwards: Option<Mischief>,
    /// The first lines of the requests.
    seen: Vec<String>,
}

/// A storage service's refusal, as Azure words it for tables and queues alike.
pub(super) fn refusal(status: u16, code: &str) -> Mischief {
    Mischief::Says(
        status,
        format!("x-ms-error-code: {code}\r\n"),
        format!("AuthenticationErrorDetail {code} sig=AbCdEf"),
    )
}

impl Proxy {
    pub(crate) async fn new(account: &azurite::Account, before: Before) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (plan, behind) = (Arc::<Mutex<Plan>>::default(), account.ports);
        let target = behind[before as usize];
        let planned = plan.clone();
        #[expect(clippy::disallowed_methods, reason = "the proxy runs beside the story")]
        let serving = tokio::spawn(async move {
            let mut exchanges = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                exchanges.spawn(exchange(client, target, planned.clone()));
            }
        });
        Self { before, port, behind, plan, serving }
    }

    /// The ports of the account's services, with the proxy's in place of the one behind it.
    pub(crate) fn ports(&self) -> [u16; 3] {
        let mut ports = self.behind;
        ports[self.before as usize] = self.port;
        ports
    }

    /// What becomes of the next requests, and nothing of those after them.
    pub(crate) fn plan(&self, next: impl IntoIterator<Item = Mischief>) {
        let mut plan = self.plan.lock().unwrap();
        (plan.next, plan.afterwards) = (next.into_iter().collect(), None);
        plan.seen.clear();
    }

    /// What becomes of every request from now on.
    pub(super) fn always(&self, mischief: Mischief) {
        self.plan([]);
        self.plan.lock().unwrap().afterwards = Some(mischief);
    }

    /// The first lines of the requests since the last plan.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.plan.lock().unwrap().seen.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One request on one connection.
async fn exchange(mut client: TcpStream, target: u16, plan: Arc<Mutex<Plan>>) {
    let Some(request) = read(&mut client).await else { return };
    let mischief = {
        let mut plan = plan.lock().unwrap();
        let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
        plan.seen.push(line);
        plan.next.pop_front().or_else(|| plan.afterwards.clone()).unwrap_or(Mischief::None)
    };
    match mischief {
        Mischief::Silent => std::future::pending().await,
        Mischief::Broken => {}
        Mischief::SaysLate(wait, status, headers, body) => {
            tokio::time::sleep(wait).await;
            say(&mut client, status, &headers, &body).await;
        }
        Mischief::Says(status, headers, body) => say(&mut client, status, &headers, &body).await,
        Mischief::None | Mischief::AnswerLost => {
            let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            server.write_all(&request).await.unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).await.unwrap();
            if matches!(mischief, Mischief::None) {
                let _ = client.write_all(&answer).await;
            }
        }
    }
}

async fn say(client: &mut TcpStream, status: u16, headers: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n");
    let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
}

/// A whole request, changed so that the connection ends with its answer.
async fn read(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let head = loop {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    while request.len() < head + 4 + length.unwrap_or(0_usize) {
        client.read_buf(&mut request).await.ok()?;
    }
    request.splice(head..head, b"\r\nconnection: close".iter().copied());
    Some(request)
}
