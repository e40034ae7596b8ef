//! What every answer to the world tells a browser, whoever made the answer: to take it for what it says it is, to show it
//! nowhere else, to keep nothing of it, and to come back over TLS alone. A page says some of it in stricter words of its own.

use crate::web::Reply;

/// A year, the least that the OWASP ASVS asks for. Names below ours are left out: `PUBLIC_URL` may be the publisher's own
/// domain, whose other servers are not ours to speak for, and no cookie of ours can be set from them (`__Host-`).
const TLS_ALONE: (&str, &str) = ("strict-transport-security", "max-age=31536000");

/// For what says nothing else. An answer that is no page needs nothing at all from a browser.
const UNLESS_SAID: [(&str, &str); 4] = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// The answer with all of it. `over_tls` says whether browsers reach us so; a promise over plain http counts for nothing.
pub(super) fn protect(reply: Reply, over_tls: bool) -> Reply {
    let promised = over_tls.then_some(TLS_ALONE);
    UNLESS_SAID.into_iter().chain(promised).fold(reply, |reply, (name, value)| {
        let said = reply.headers.iter().any(|(given, _)| *given == name);
        if said { reply } else { reply.with(name, value) }
    })
}
