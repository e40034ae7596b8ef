//! Servers that are slow, endless or broken: time jumps where nothing else is to be done.

use std::time::Duration;

use marketplace_fulfillment::publisher::{ANSWER_LIMIT, Answer, Unsent, UnsentKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use url::Url;

use super::{NOW, keys, message, publisher};

/// What is said, each after a wait in seconds.
type Pieces = &'static [(u64, &'static str)];

/// What a server does once it has read something: it says its pieces, then closes or goes silent.
#[derive(Clone, Copy)]
struct Script {
    pieces: Pieces,
    closes: bool,
}

const PATIENCE: Duration = Duration::from_secs(15);

/// Posts to a server that follows the script; what came of it, and how long it took.
async fn told(script: Script) -> (Result<Answer, Unsent>, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Url::parse(&format!("http://{}/path-secret", listener.local_addr().unwrap())).unwrap();
    let server = async {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _request = connection.read(&mut [0; 8192]).await.unwrap();
            for (seconds, piece) in script.pieces {
                sleep(Duration::from_secs(*seconds)).await;
                // Nobody listens any more: the client has seen enough.
                let _heard = connection.write_all(piece.as_bytes()).await;
            }
            if !script.closes {
                std::future::pending::<()>().await;
            }
        }
    };
    let (publisher, message, keys) = (publisher(&["127.0.0.1"]), message(), keys());
    let start = Instant::now();
    let outcome = tokio::select! {
        () = server => unreachable!(),
        outcome = publisher.post(&to, &message, &keys, NOW, PATIENCE) => outcome,
    };
    (outcome, start.elapsed())
}

async fn late(pieces: Pieces) {
    let (outcome, took) = told(Script { pieces, closes: false }).await;
    let Unsent { kind, why } = outcome.unwrap_err();
    assert_eq!(kind, UnsentKind::Late, "{why}");
    assert!(why.ends_with("did not answer within 15s") && !why.contains("path-secret"), "{why}");
    assert!(took >= PATIENCE && took < PATIENCE + Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_in_time_is_late() {
    late(&[]).await;
    late(&[(5, "HTTP/1.1 200 OK\r\n"), (5, "x: y\r\n"), (6, "\r\n")]).await;
    late(&[(1, "HTTP/1.1 100 Continue\r\n\r\n")]).await;
    late(&[(16, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_answers_at_the_last_moment_has_answered() {
    let pieces = &[(14, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")];
    let (outcome, took) = told(Script { pieces, closes: false }).await;
    assert_eq!(outcome.unwrap(), Answer { status: 200, retry_after: None, body: "ok".to_owned() });
    assert!(took >= Duration::from_secs(14) && took < PATIENCE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_status_stands_whatever_becomes_of_the_body() {
    let table: [(Pieces, bool, &str); 4] = [
        // It drips for ever.
        (&[(0, "HTTP/1.1 410 Gone\r\ncontent-length: 9\r\nretry-after: 7\r\n\r\n"), (9, "a"), (9, "b")], false, "a"),
        // It stops half way.
        (&[(0, "HTTP/1.1 410 Gone\r\ncontent-length: 9\r\nretry-after: 7\r\n\r\nab")], true, "ab"),
        // It is not even a body.
        (&[(0, "HTTP/1.1 410 Gone\r\ntransfer-encoding: chunked\r\nretry-after: 7\r\n\r\nzz\r\n")], true, ""),
        (
            &[(0, "HTTP/1.1 410 Gone\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\nretry-after: 7\r\n\r\nab")],
            true,
            "ab",
        ),
    ];
    for (pieces, closes, body) in table {
        let (outcome, took) = told(Script { pieces, closes }).await;
        let retry_after = Some(time::Duration::seconds(7));
        assert_eq!(outcome.unwrap(), Answer { status: 410, retry_after, body: body.to_owned() });
        assert!(took < PATIENCE + Duration::from_secs(1), "{took:?}");
    }
}

#[tokio::test]
async fn a_body_without_an_end_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let _request = connection.read(&mut [0; 8192]).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        // Ends when the client hangs up.
        while connection.write_all(b"4\r\nmore\r\n").await.is_ok() {}
    };
    let (publisher, message, keys) = (publisher(&["127.0.0.1"]), message(), keys());
    let post = publisher.post(&to, &message, &keys, NOW, PATIENCE);
    let ((), said) = tokio::join!(server, post);
    let said = said.unwrap();
    assert_eq!((said.status, said.body.len()), (200, ANSWER_LIMIT));
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_up_cannot_be_reached() {
    let table: [Pieces; 3] = [&[], &[(1, "HTTP/1.1 200")], &[(0, "220 mail.contoso.example ESMTP\r\n")]];
    for pieces in table {
        let (outcome, took) = told(Script { pieces, closes: true }).await;
        let Unsent { kind, why } = outcome.unwrap_err();
        assert_eq!(kind, UnsentKind::Unreachable, "{why}");
        assert!(why.starts_with("127.0.0.1:") && !why.contains("path-secret"), "{why}");
        assert!(took < PATIENCE, "{took:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_said() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let unsent = super::refused(&publisher(&["127.0.0.1"]), &format!("http://{closed}/path-secret")).await;
    assert_eq!(unsent.kind, UnsentKind::Unreachable);
    assert!(unsent.why.starts_with(&format!("{closed} cannot be reached: Connection refused")), "{}", unsent.why);
}
