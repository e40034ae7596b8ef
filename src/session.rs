//! What browsers carry for us: one sealed cookie for each sign-in under way, one for the signed-in person, and the
//! token that proves a form was shown to them. Nothing of it is kept on our side, so any instance can answer.
//!
//! Every cookie is `__Host-` and `Secure`, on plain http to loopback too: Chromium takes an address of this machine for
//! trustworthy. (Safari does not; develop with another browser, or behind https.)

mod wire;

use std::fmt;

use cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::error::{Code, Fault};
use crate::handoff::Purpose;
use crate::person::Person;
use crate::seal::{Seal, is_id, random_id};
use crate::subscription::SubscriptionId;
use crate::web::Request;
use wire::{AttemptWire, SessionWire};

/// How long a person may take to sign in: time to find a phone for the second factor, not time to leave the desk.
pub const ATTEMPT_LIFETIME: Duration = Duration::minutes(15);

/// How long a sign-in lasts. Activation takes minutes, and signing in again is usually one click.
pub const SESSION_LIFETIME: Duration = Duration::minutes(30);

/// Sign-ins that one browser can have under way, the newest included: a buyer with several tabs.
pub const ATTEMPTS: usize = 6;

/// What all attempts together may take of a request's headers, in bytes. Azure's front ends and common proxies refuse
/// requests with more than 16 KiB of headers, which would lock the buyer out until the cookies expire.
pub const ATTEMPTS_LENGTH: usize = 8 * 1024;

/// The longest purchase token accepted, in characters. Microsoft's have 216; a cookie over 4,096 bytes would be dropped
/// by the browser without a word, and sealing adds a third.
pub const TOKEN_LENGTH: usize = 2048;

/// The longest name that a session keeps, in bytes: it is shown, never compared, and shares the cookie's 4,096 bytes.
const NAME_LENGTH: usize = 256;

/// Cookies told to go with one answer. More are left to their expiry: an answer's headers are limited too.
const EXPIRED_AT_ONCE: usize = 20;

const ATTEMPT_COOKIE: &str = "__Host-signin-";
const SESSION_COOKIE: &str = "__Host-session";
const ATTEMPT_PURPOSE: &str = "attempt";
const SESSION_PURPOSE: &str = "session";

/// Where a person was going when we asked them to sign in.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// To the purchase that this token names. The token is a secret; it crosses the sign-in sealed.
    Token(String),
    /// To a subscription that we know.
    Subscription(SubscriptionId),
    /// Through the page of a subscription that we know, to the publisher's software.
    Handoff(SubscriptionId, Purpose),
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::Subscription(id) => f.debug_tuple("Subscription").field(id).finish(),
            Self::Handoff(id, purpose) => f.debug_tuple("Handoff").field(id).field(purpose).finish(),
        }
    }
}

/// One sign-in under way. `Debug` shows neither of its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Names the attempt in the URL to Entra, in Entra's answer and in the cookie's name.
    pub state: String,
    /// What the id token must carry.
    pub nonce: String,
    /// Where the person was going.
    pub destination: Destination,
    /// When it began, to the second.
    pub begun_at: OffsetDateTime,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Attempt");
        shown.field("destination", &self.destination).field("begun_at", &self.begun_at).finish_non_exhaustive()
    }
}

/// A signed-in person in one browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who signed in.
    pub person: Person,
    /// When it ends, to the second, whatever the browser thinks of the cookie.
    pub expires_at: OffsetDateTime,
}

/// Makes and reads what browsers carry.
#[derive(Clone, Debug)]
pub struct Sessions {
    seal: Seal,
}

impl Sessions {
    /// Sessions sealed with `seal`.
    pub fn new(seal: Seal) -> Self {
        Self { seal }
    }

    /// Begins a sign-in. The answer is the attempt and the `set-cookie` values: its own cookie first, then an expiring
    /// one for each that the browser should drop: unreadable, expired, or the oldest beyond the limits.
    ///
    /// # Errors
    ///
    /// [`Code::TokenRefused`] for a token that no marketplace makes.
    pub fn begin(
        &self,
        request: &Request,
        destination: Destination,
        now: OffsetDateTime,
    ) -> Result<(Attempt, Vec<String>), Fault> {
        if matches!(&destination, Destination::Token(token) if !is_token(token)) {
            return Err(Fault::new(
                Code::TokenRefused,
                format!("the purchase token is longer than {TOKEN_LENGTH} characters or holds unusual ones"),
            ));
        }
        let attempt = Attempt { state: random_id(), nonce: random_id(), destination, begun_at: to_the_second(now) };
        let sealed = self.seal_value(ATTEMPT_PURPOSE, &AttemptWire::from(&attempt));
        let mut cookies = vec![attempt_cookie(&attempt.state, &sealed, ATTEMPT_LIFETIME)];
        let surplus = self.surplus(request, sealed.len(), now);
        cookies.extend(surplus.into_iter().take(EXPIRED_AT_ONCE).map(expired_attempt_cookie));
        Ok((attempt, cookies))
    }

    /// The states of the attempts that must make room for a new one with a cookie of `length` bytes.
    fn surplus<'a>(&self, request: &'a Request, length: usize, now: OffsetDateTime) -> Vec<&'a str> {
        let carried = request.cookies(ATTEMPT_COOKIE).filter_map(|(name, value)| {
            let state = name.strip_prefix(ATTEMPT_COOKIE).filter(|state| is_id(state))?;
            let attempt = self.open_attempt(state, value, now);
            Some((attempt.map(|attempt| attempt.begun_at), state, name.len() + value.len()))
        });
        let mut carried: Vec<_> = carried.collect();
        // Newest first; among those of one second, browsers put the newest last. The unreadable come at the end.
        carried.reverse();
        carried.sort_by_key(|(begun_at, _, _)| std::cmp::Reverse(*begun_at));
        let (mut kept, mut total) = (1, length);
        carried.retain(|(begun_at, _, length)| {
            kept += 1;
            total += length;
            begun_at.is_none() || kept > ATTEMPTS || total > ATTEMPTS_LENGTH
        });
        carried.into_iter().map(|(_, state, _)| state).collect()
    }

    /// Finds the attempt that Entra's answer belongs to. The answer is the attempt and the `set-cookie` value that
    /// removes it from the browser, so that the same answer is not taken twice.
    ///
    /// # Errors
    ///
    /// [`Code::SigninExpired`] if this browser has no such attempt any more.
    pub fn finish(&self, request: &Request, state: &str, now: OffsetDateTime) -> Result<(Attempt, String), Fault> {
        let unknown = |reason: &str| Fault::new(Code::SigninExpired, reason);
        if !is_id(state) {
            return Err(unknown("the state is not one of ours"));
        }
        let name = format!("{ATTEMPT_COOKIE}{state}");
        let sealed = request.cookie(&name).ok_or_else(|| unknown("the browser carries no attempt of this state"))?;
        let attempt =
            self.open_attempt(state, sealed, now).ok_or_else(|| unknown("the attempt expired or is broken"))?;
        Ok((attempt, expired_attempt_cookie(state)))
    }

    fn open_attempt(&self, state: &str, sealed: &str, now: OffsetDateTime) -> Option<Attempt> {
        let attempt = self.open_value::<AttemptWire>(ATTEMPT_PURPOSE, sealed)?.into_attempt()?;
        (attempt.state == state && now < attempt.begun_at.saturating_add(ATTEMPT_LIFETIME)).then_some(attempt)
    }

    /// The session of the browser that asks, if it has one that lasts.
    pub fn open(&self, request: &Request, now: OffsetDateTime) -> Option<Session> {
        let sealed = request.cookie(SESSION_COOKIE)?;
        let session = self.open_value::<SessionWire>(SESSION_PURPOSE, sealed)?.into_session()?;
        (now < session.expires_at).then_some(session)
    }

    /// Starts a session for a person who has just signed in. The answer is the session and its `set-cookie` value.
    pub fn start(&self, person: Person, now: OffsetDateTime) -> (Session, String) {
        let shortened = |text: Option<String>| text.map(|text| shorten(&text, NAME_LENGTH));
        let person = Person { name: shortened(person.name), username: shortened(person.username), ..person };
        let session = Session { person, expires_at: to_the_second(now) + SESSION_LIFETIME };
        let sealed = self.seal_value(SESSION_PURPOSE, &SessionWire::from(&session));
        // `Lax`: the browser comes here from Entra's and the marketplace's pages, by links and redirects.
        let cookie = host_cookie(SESSION_COOKIE, &sealed, SameSite::Lax, SESSION_LIFETIME);
        (session, cookie)
    }

    /// A token for a form about this subscription, shown to this person; good for as long as the session in which it was
    /// shown. It names the person and not the session: a second tab that signs in replaces the session of the first,
    /// whose page must still work.
    pub fn form_token(&self, session: &Session, id: &SubscriptionId) -> String {
        self.seal.seal(&form_purpose(session, id), &session.expires_at.unix_timestamp().to_be_bytes())
    }

    /// Checks that a form was shown to the person of this session, about this subscription, and not too long ago.
    ///
    /// # Errors
    ///
    /// [`Code::ForgedForm`].
    pub fn check_form(
        &self,
        session: &Session,
        id: &SubscriptionId,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<(), Fault> {
        let forged = |reason: &str| Fault::new(Code::ForgedForm, reason);
        let expiry = self.seal.open(&form_purpose(session, id), token).and_then(|bytes| bytes.try_into().ok());
        let expiry = expiry.map(i64::from_be_bytes);
        match expiry {
            None => Err(forged("the form token is not of this person and subscription")),
            Some(expiry) if expiry <= now.unix_timestamp() => Err(forged("the form token has expired")),
            Some(_) => Ok(()),
        }
    }

    fn seal_value(&self, purpose: &str, value: &impl Serialize) -> String {
        let json = serde_json::to_vec(value).expect("strings and numbers always have a JSON form");
        self.seal.seal(purpose, &json)
    }

    fn open_value<T: for<'a> Deserialize<'a>>(&self, purpose: &str, sealed: &str) -> Option<T> {
        serde_json::from_slice(&self.seal.open(purpose, sealed)?).ok()
    }
}

/// Refuses a request that a browser says another site's page made. Says nothing about callers that tell neither
/// `Origin` nor `Sec-Fetch-Site`: there the form token decides.
///
/// # Errors
///
/// [`Code::ForgedForm`].
pub fn same_origin(request: &Request, public_url: &Url) -> Result<(), Fault> {
    // `null` means withheld: our pages forbid referrers, and browsers then withhold the origin of their forms as well.
    let origin = request.header("origin").filter(|origin| *origin != "null");
    if origin.is_some_and(|origin| origin != public_url.origin().ascii_serialization()) {
        return Err(Fault::new(Code::ForgedForm, "the form was sent from another origin"));
    }
    match request.header("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(Fault::new(Code::ForgedForm, "the form was sent from another site's page")),
    }
}

/// `None`, because Entra's answer is a post from another site.
fn attempt_cookie(state: &str, sealed: &str, lifetime: Duration) -> String {
    host_cookie(&format!("{ATTEMPT_COOKIE}{state}"), sealed, SameSite::None, lifetime)
}

fn expired_attempt_cookie(state: &str) -> String {
    attempt_cookie(state, "", Duration::ZERO)
}

/// A cookie that only this very host can set and gets, over TLS or loopback, and that no script can read.
fn host_cookie(name: &str, value: &str, same_site: SameSite, lifetime: Duration) -> String {
    Cookie::build((name, value))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(same_site)
        .max_age(lifetime)
        .to_string()
}

fn form_purpose(session: &Session, id: &SubscriptionId) -> String {
    let Person { tenant_id, object_id, .. } = &session.person;
    format!("form {tenant_id} {object_id} {id}")
}

/// Purchase tokens are base64. Other visible characters pass, but for the two that JSON would lengthen.
fn is_token(token: &str) -> bool {
    token.len() <= TOKEN_LENGTH
        && token.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
}

/// What fits into `length` bytes, without the control characters that JSON would lengthen sixfold.
fn shorten(text: &str, length: usize) -> String {
    let mut left = length;
    let fits = text.chars().filter(|character| !character.is_control()).take_while(|character| {
        let fits = character.len_utf8() <= left;
        left = left.saturating_sub(character.len_utf8());
        fits
    });
    fits.collect()
}

/// Cookies carry whole seconds; what is handed out is what will be read back.
fn to_the_second(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}
