//! What browsers carry: nothing that we did not seal is believed, what we sealed comes back as it was, and what is sent
//! to the browser fits it and shows nothing.

use std::sync::LazyLock;

use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::seal::{Seal, is_id};
use marketplace_fulfillment::session::{ATTEMPTS_LENGTH, Destination, Sessions};
use marketplace_fulfillment::settings::CookieKey;
use marketplace_fulfillment::subscription::SubscriptionId;
use marketplace_fulfillment::web::Request;

use super::{NOW, assert_segment, assert_tellable, text};

/// The largest cookie that browsers keep, in bytes: name, value and attributes.
const COOKIE: usize = 4096;

/// The most `set-cookie` values of one answer: one new cookie and the expiring ones.
const COOKIES: usize = 21;

static SEAL: LazyLock<Seal> = LazyLock::new(|| Seal::new(&[CookieKey([7; 32]), CookieKey([8; 32])]));

/// The first line is the header `cookie`, the second the state of a sign-in, the third where a person goes.
pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (cookies, state, destination) = (line(), line(), line());
    let sessions = Sessions::new(SEAL.clone());
    let request = carrying(cookies);
    assert_eq!(sessions.open(&request, NOW), None, "nobody sealed this");
    let fault = sessions.finish(&request, state, NOW).expect_err("nobody sealed this");
    assert_eq!(fault.code, Code::SigninExpired);
    assert_tellable(&fault.private);
    sealed_by_us(cookies, destination);
    let destination = match SubscriptionId::parse(destination) {
        Some(id) => Destination::Subscription(id),
        None => Destination::Token(destination.to_owned()),
    };
    let (attempt, set) = match sessions.begin(&request, destination.clone(), NOW) {
        Ok(begun) => begun,
        Err(fault) => return assert_tellable(&fault.private),
    };
    assert!(set.len() <= COOKIES && is_id(&attempt.state) && is_id(&attempt.nonce));
    for cookie in &set {
        assert!(cookie.len() <= COOKIE && cookie.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{cookie}");
        assert!(
            cookie.starts_with("__Host-signin-") && cookie.contains("; HttpOnly; ") && cookie.contains("; Secure; ")
        );
    }
    if let Destination::Token(token) = &destination {
        assert!(token.len() < 16 || !set[0].contains(token.as_str()), "the token can be read in the cookie");
    }
    let pair = set[0].split(';').next().unwrap_or_default();
    assert!(pair.len() <= ATTEMPTS_LENGTH, "an attempt alone must fit");
    let (found, _) = sessions.finish(&carrying(pair), &attempt.state, NOW).expect("the browser carries it");
    assert_eq!(found, attempt);
}

/// Under the seal is only what we wrote, in this version or another: what it says is held to its form all the same.
fn sealed_by_us(attempt: &str, session: &str) {
    let sessions = Sessions::new(SEAL.clone());
    let session = SEAL.seal("session", session.as_bytes());
    if let Some(open) = sessions.open(&carrying(&format!("__Host-session={session}")), NOW) {
        assert!(open.expires_at > NOW);
    }
    let state = "AAAAAAAAAAAAAAAAAAAAAA";
    let attempt = SEAL.seal("attempt", attempt.as_bytes());
    let request = carrying(&format!("__Host-signin-{state}={attempt}"));
    if let Ok((attempt, _)) = sessions.finish(&request, state, NOW) {
        assert_eq!(attempt.state, state);
        if let Destination::Subscription(id) | Destination::Handoff(id, _) = attempt.destination {
            assert_segment(id.as_str());
        }
    }
}

fn carrying(cookies: &str) -> Request {
    Request { headers: vec![("cookie".to_owned(), cookies.to_owned())], ..Request::default() }
}
