//! Names: every address that a name has is judged, at each look-up, and the judged address is the one that is used.

use std::sync::atomic::Ordering;

use marketplace_fulfillment::publisher::{Lookup, POOL_IDLE, UnsentKind};

use super::{looking_up, moving, post, publisher, refused};
use crate::marketplace::server::{Server, answer, with};

/// One of each kind of forbidden address.
const FORBIDDEN: [&str; 12] = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "127.0.0.1",
    "169.254.1.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.64.0.1",
    "::1",
    "fd00::1",
    "fe80::1",
    "::ffff:127.0.0.1",
];

/// Public by its form, and in a part of the address space that IANA keeps back (`2d00::/8`), so that nobody is there.
const NOBODY: &str = "2d00::1";

/// A server that closes each connection after its answer, and the name under which it is reached.
async fn closing() -> (Server, String) {
    let server = Server::start_whole(|_| with(answer(200, ""), "connection", "close")).await;
    let to = format!("http://app.contoso.example:{}/events", server.address.port());
    (server, to)
}

#[tokio::test]
async fn a_name_that_resolves_to_a_forbidden_address_is_refused() {
    for address in FORBIDDEN {
        let (lookup, asked) = moving(&[&[address]]);
        let unsent = refused(&looking_up(&[], lookup), "https://app.contoso.example/events?code=secret").await;
        assert_eq!(unsent.kind, UnsentKind::Forbidden, "{address}: {}", unsent.why);
        assert!(unsent.why.contains(&format!("app.contoso.example is at {address}, ")), "{}", unsent.why);
        assert!(!unsent.why.contains("secret"), "{}", unsent.why);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn one_forbidden_address_forbids_the_name() {
    for forbidden in FORBIDDEN {
        for addresses in [[NOBODY, forbidden], [forbidden, NOBODY]] {
            let (lookup, _) = moving(&[&addresses]);
            let unsent = refused(&looking_up(&[], lookup), "https://app.contoso.example/").await;
            assert_eq!(unsent.kind, UnsentKind::Forbidden, "{addresses:?}: {}", unsent.why);
        }
    }
    // What is forbidden to everybody is forbidden beside what is allowed, too.
    let (server, to) = closing().await;
    for addresses in [["127.0.0.1", "169.254.169.254"], ["168.63.129.16", "127.0.0.1"]] {
        let (lookup, _) = moving(&[&addresses]);
        let unsent = refused(&looking_up(&["app.contoso.example"], lookup), &to.replace("http:", "https:")).await;
        assert_eq!(unsent.kind, UnsentKind::Forbidden, "{addresses:?}: {}", unsent.why);
    }
    assert!(server.arrived.lock().unwrap().is_empty());
}

/// DNS rebinding: the name is good when somebody looks, and bad when it counts.
#[tokio::test(start_paused = true)]
async fn a_name_that_moves_to_a_forbidden_address_is_refused_then() {
    for address in FORBIDDEN {
        let (lookup, asked) = moving(&[&[NOBODY], &[address]]);
        let publisher = looking_up(&[], lookup);
        let unsent = refused(&publisher, "https://app.contoso.example/").await;
        assert_ne!(unsent.kind, UnsentKind::Forbidden, "nobody is there, and we may look: {}", unsent.why);
        let unsent = refused(&publisher, "https://app.contoso.example/").await;
        assert_eq!(unsent.kind, UnsentKind::Forbidden, "{address}: {}", unsent.why);
        assert_eq!(asked.load(Ordering::Relaxed), 2, "one look-up for each attempt");
    }
}

#[tokio::test]
async fn a_name_that_has_answered_is_refused_when_it_moves() {
    for address in ["10.0.0.1", "169.254.169.254", "168.63.129.16", NOBODY] {
        let (server, to) = closing().await;
        let (lookup, asked) = moving(&[&["127.0.0.1"], &[address]]);
        let publisher = looking_up(&["app.contoso.example"], lookup);
        assert_eq!(post(&publisher, &to).await.unwrap().status, 200);
        let unsent = refused(&publisher, &to).await;
        assert_eq!(unsent.kind, UnsentKind::Forbidden, "plain http leaves this machine for nobody: {}", unsent.why);
        assert_eq!((server.arrived.lock().unwrap().len(), asked.load(Ordering::Relaxed)), (1, 2));
    }
}

/// Nobody looks the name up again between the check and the connection, where it could have moved.
#[tokio::test]
async fn the_address_that_was_judged_is_connected_to() {
    let (server, to) = closing().await;
    // Nothing listens at the second address.
    let (lookup, asked) = moving(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let publisher = looking_up(&["app.contoso.example"], lookup);
    assert_eq!(post(&publisher, &to).await.unwrap().status, 200);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "one look-up in one exchange");
    let arrived = server.arrived.lock().unwrap().pop().unwrap();
    assert_eq!(arrived.header("host"), Some(to[7..].trim_end_matches("/events")), "the name is the server's to see");
    assert_eq!(refused(&publisher, &to).await.kind, UnsentKind::Unreachable);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_connection_serves_as_long_as_it_is_used_and_not_much_longer() {
    let server = Server::start_whole(|_| answer(200, "")).await;
    let to = format!("http://app.contoso.example:{}/", server.address.port());
    let (lookup, asked) = moving(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let publisher = looking_up(&["app.contoso.example"], lookup);
    for _ in 0..3 {
        assert_eq!(post(&publisher, &to).await.unwrap().status, 200);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "its address was judged when it was made");
    tokio::time::pause();
    tokio::time::advance(POOL_IDLE + std::time::Duration::from_secs(1)).await;
    tokio::time::resume();
    assert_eq!(refused(&publisher, &to).await.kind, UnsentKind::Forbidden);
}

#[tokio::test]
async fn the_machines_own_look_up_is_judged_as_well() {
    let server = Server::start_whole(|_| answer(200, "")).await;
    let to = |scheme: &str, host: &str| format!("{scheme}://{host}:{}/", server.address.port());
    for host in ["localhost", "LOCALHOST"] {
        let unsent = refused(&publisher(&[]), &to("https", host)).await;
        assert_eq!(unsent.kind, UnsentKind::Forbidden, "{host}: {}", unsent.why);
        let unsent = refused(&publisher(&["127.0.0.1"]), &to("http", host)).await;
        assert_eq!(unsent.kind, UnsentKind::Forbidden, "{host} is not 127.0.0.1 to us: {}", unsent.why);
        assert_eq!(post(&publisher(&["localhost"]), &to("http", host)).await.unwrap().status, 200, "{host}");
    }
    assert_eq!(server.arrived.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_name_without_an_address_cannot_be_reached() {
    for lookup in [moving(&[&[]]).0, Lookup::System] {
        // RFC 6761: no name ends so.
        let unsent = refused(&looking_up(&[], lookup), "https://app.contoso.invalid/path-secret").await;
        assert_eq!(unsent.kind, UnsentKind::Unreachable, "{}", unsent.why);
        assert!(unsent.why.starts_with("app.contoso.invalid cannot be reached: "), "{}", unsent.why);
    }
}
