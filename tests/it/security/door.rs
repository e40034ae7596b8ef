//! What comes through the handler's one port, byte by byte: messages with two ends, paths that climb, and clients that are slow,
//! wordy or deep.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use marketplace_fulfillment::app::AFTERWARDS_LIMIT;
use marketplace_fulfillment::marketplace::notification::Notification;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::serve::handler;
use crate::world::{World, story};

/// How long an answer may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the handler answers to these very bytes, until it closes the connection.
async fn say(base: &str, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    // It may have answered and hung up before it has read everything.
    let _unread = connection.write_all(bytes).await;
    let mut answer = Vec::new();
    let _broken = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await.expect("it hangs up");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of the answers on one connection.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// A proxy in front may see another end of a message than we do; then a stranger's bytes would be the next buyer's request.
#[tokio::test]
async fn a_message_has_one_end_or_is_refused() {
    let world = World::in_memory(&[]).await;
    let base = handler(&world).await;
    let smuggled = "GET /api/subscriptions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let head = "POST /api/webhook HTTP/1.1\r\nhost: x\r\n";
    for (what, framing) in [
        ("two lengths", "content-length: 0\r\ncontent-length: 70\r\n\r\n"),
        ("two lengths in one", "content-length: 0, 70\r\n\r\n"),
        ("a length with a sign", "content-length: +0\r\n\r\n"),
        ("a length that is none", "content-length: 0x0\r\n\r\n"),
        ("chunks, and then something else", "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("an unknown coding", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("a size that is none", "transfer-encoding: chunked\r\n\r\nzz\r\n\r\n"),
        ("a size without end", "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n"),
        ("a name with a space", "content-length : 0\r\n\r\n"),
    ] {
        let answers = say(&base, format!("{head}{framing}{smuggled}").as_bytes()).await;
        assert_eq!(statuses(&answers), ["400"], "{what}: {answers}");
    }
    // Of both, the chunks count, and nothing is believed of what comes behind them (RFC 9112, section 6.3).
    let both = format!("{head}content-length: 70\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}");
    let answers = say(&base, both.as_bytes()).await;
    assert_eq!(statuses(&answers), ["401"], "{answers}");
    // The same two messages with one end each are two.
    let two = format!("{head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}");
    let answers = say(&base, two.as_bytes()).await;
    assert_eq!(statuses(&answers), ["401", "200"], "{answers}");
}

/// The host judges the key by the route that it sees; a path must not become another route behind it.
#[tokio::test]
async fn a_path_leads_to_the_function_that_it_names_and_to_no_other() {
    let world = World::in_memory(&[]).await;
    let base = handler(&world).await;
    for (path, status) in [
        ("/api/landing/../subscriptions", "400"),
        ("/api/landing/%2e%2e/subscriptions", "400"),
        ("/api/landing%2f..%2fsubscriptions", "404"),
        ("/api/landing;/subscriptions", "404"),
        ("/api/landing/..;/subscriptions", "400"),
        ("/api/health/../../activate", "200"),
        ("/api/../activate", "404"),
        ("/api/..%2factivate", "404"),
        ("/api/%73ubscriptions", "404"),
        ("/api/SUBSCRIPTIONS", "404"),
        ("/api/subscriptions/..%2f..%2factivate", "404"),
        ("/api/landing\\..\\subscriptions", "404"),
    ] {
        let answer =
            say(&base, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{path}: {answer}");
        assert!(!answer.contains("\"subscriptions\":"), "{path}: {answer}");
    }
    for path in ["/api/activate", "/api/health/../../activate", "/api/sweep", "/api/doctor/../reconcile"] {
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
        let answer = say(&base, request.as_bytes()).await;
        assert!(["404", "405"].contains(&statuses(&answer)[0]), "{path}: {answer}");
    }
}

#[tokio::test]
async fn headers_without_an_end_are_refused() {
    let world = World::in_memory(&[]).await;
    let base = handler(&world).await;
    let head = "GET /api/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    for more in [format!("a: {}\r\n\r\n", "x".repeat(2_000_000)), format!("{}\r\n", "a: x\r\n".repeat(5_000))] {
        let answer = say(&base, format!("{head}{more}").as_bytes()).await;
        assert_eq!(statuses(&answer), ["431"], "{} bytes: {answer}", more.len());
    }
    let long = format!("GET /api/health?{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "x".repeat(2_000_000));
    assert!(["414", "431"].contains(&statuses(&say(&base, long.as_bytes()).await)[0]));
    assert_eq!(statuses(&say(&base, format!("{head}\r\n").as_bytes()).await), ["200"]);
}

/// The clock jumps where nothing else is to be done, so that nobody waits ten seconds here.
#[tokio::test]
async fn a_body_that_stops_half_way_is_given_up() {
    let world = World::in_memory(&[]).await;
    let base = handler(&world).await;
    tokio::time::pause();
    for path in ["/api/webhook", "/api/signin", "/activate"] {
        let begun = tokio::time::Instant::now();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\nconnection: close\r\n\r\nhalf");
        let answer = say(&base, head.as_bytes()).await;
        assert_eq!(statuses(&answer), ["408"], "{path}: {answer}");
        let waited = begun.elapsed();
        assert!((Duration::from_secs(10)..Duration::from_secs(11)).contains(&waited), "{path}: {waited:?}");
    }
}

/// A JSON text can be deeper than any stack.
#[tokio::test]
async fn json_without_a_bottom_is_refused() {
    story(async |world| {
        let base = handler(world).await;
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        for deep in ["[".repeat(100_000), "{\"a\":".repeat(40_000)] {
            assert!(Notification::read(deep.as_bytes()).is_err());
            let put = |path: &str| world.http.post(format!("{base}{path}")).body(deep.clone()).send();
            assert_eq!(put("/activate").await.unwrap().status(), 400);
            assert_eq!(put(&format!("/api/subscriptions/{}/activate", purchase.id)).await.unwrap().status(), 400);
        }
        let alive = world.http.get(format!("{base}/api/health")).send().await.unwrap();
        assert_eq!(alive.status(), 200);
    })
    .await;
}

/// There is room for so much work after answers and for no more: what has none waits for its bell, and nobody for it.
#[tokio::test]
async fn a_busy_instance_leaves_its_work_to_the_bells() {
    story(async |world| {
        let room = u32::try_from(AFTERWARDS_LIMIT).unwrap();
        let taken = world.dev.app.afterwards.clone().acquire_many_owned(room).await.unwrap();
        let purchase = world.silver().await;
        let buyer = world.visitor();
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        assert_eq!(buyer.confirm(&page).await.status, 200);
        assert_eq!(world.calls(&purchase.id, "activate").await, 0);
        assert_eq!(world.record(&purchase.id).await.unwrap().duties[0].attempts, 0);
        drop(taken);
    })
    .await;
}

/// Whoever reaches the port is the host: it must not be reached from another machine.
#[tokio::test]
async fn the_handler_listens_to_this_machine_alone() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut command = Command::new(env!("CARGO_BIN_EXE_fulfillment"));
    command
        .arg("serve")
        .env_clear()
        .envs(crate::settings::good())
        .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
    let _child = command.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let up = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, up).await.expect("it listens");
    // The kernel's own list: address and port in hexadecimal, and 0A for a socket that listens.
    let mut found = Vec::new();
    for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let list = std::fs::read_to_string(list).unwrap_or_default();
        let sockets = list.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let here = format!(":{port:04X}");
        let listening = sockets.filter(|socket| socket[1].ends_with(&here) && socket[3] == "0A");
        found.extend(listening.map(|socket| socket[1].to_owned()));
    }
    assert_eq!(found, [format!("0100007F:{port:04X}")]);
}
