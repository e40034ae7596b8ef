//! What browsers carry: sealed values, attempts to sign in, sessions, and the tokens in forms.

use std::collections::BTreeMap;

use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::person::Person;
use marketplace_fulfillment::seal::{Seal, is_id, random_id};
use marketplace_fulfillment::session::{
    ATTEMPT_LIFETIME, ATTEMPTS, ATTEMPTS_LENGTH, Destination, SESSION_LIFETIME, Sessions, TOKEN_LENGTH, same_origin,
};
use marketplace_fulfillment::settings::CookieKey;
use marketplace_fulfillment::subscription::SubscriptionId;
use marketplace_fulfillment::web::Request;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use url::Url;

const NOW: OffsetDateTime = datetime!(2034-05-06 07:08:09.123 UTC);
/// Browsers drop what is larger, name, value and attributes together (RFC 6265 section 6.1), without a word.
const COOKIE_LIMIT: usize = 4096;

fn seal(keys: &[u8]) -> Seal {
    let keys: Vec<_> = keys.iter().map(|byte| CookieKey([*byte; 32])).collect();
    Seal::new(&keys)
}

fn sessions() -> Sessions {
    Sessions::new(seal(&[1]))
}

fn token(text: &str) -> Destination {
    Destination::Token(text.to_owned())
}

fn subscription(id: &str) -> SubscriptionId {
    SubscriptionId::parse(id).unwrap()
}

fn ada() -> Person {
    Person {
        tenant_id: "3f4e2b9c-0c8f-4a55-8b0e-6a1f8f0f2d10".to_owned(),
        object_id: "b2b0f2cc-1e7e-4b6a-a7f8-3b1b9f6f0c77".to_owned(),
        name: Some("Ada Lovelace".to_owned()),
        username: Some("ada@contoso.com".to_owned()),
    }
}

/// Keeps cookies as a browser does, as far as these stories need it.
#[derive(Default)]
struct Browser {
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn take(&mut self, set_cookies: &[String]) {
        for cookie in set_cookies {
            assert!(cookie.len() <= COOKIE_LIMIT, "a cookie of {} bytes", cookie.len());
            let (name, rest) = cookie.split_once('=').unwrap();
            let (value, attributes) = rest.split_once("; ").unwrap();
            self.cookies.retain(|(kept, _)| kept != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn request(&self) -> Request {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Request { headers: vec![("cookie".to_owned(), pairs.join("; "))], ..Request::default() }
    }

    fn begin(&mut self, sessions: &Sessions, destination: Destination, now: OffsetDateTime) -> String {
        let (attempt, cookies) = sessions.begin(&self.request(), destination, now).unwrap();
        self.take(&cookies);
        attempt.state
    }
}

/// The attributes of a `set-cookie` value.
fn attributes(cookie: &str) -> BTreeMap<&str, &str> {
    cookie.split("; ").skip(1).map(|part| part.split_once('=').unwrap_or((part, ""))).collect()
}

#[test]
fn a_sealed_value_opens_for_its_purpose_only_and_unchanged_only() {
    let seal = seal(&[1]);
    let sealed = seal.seal("attempt", b"value");
    assert_eq!(seal.open("attempt", &sealed).as_deref(), Some(b"value".as_slice()));
    assert_eq!(seal.open("session", &sealed), None);
    assert_ne!(seal.seal("attempt", b"value"), sealed, "equal values do not look equal");
    assert!(!sealed.contains(['+', '/', '=', ';', '"']), "fit for cookies, forms and URLs");

    for index in 0..sealed.len() {
        let mut tampered = sealed.clone().into_bytes();
        tampered[index] = if tampered[index] == b'A' { b'B' } else { b'A' };
        assert_eq!(seal.open("attempt", std::str::from_utf8(&tampered).unwrap()), None, "character {index}");
        assert_eq!(seal.open("attempt", &sealed[..index]), None, "cut at {index}");
    }
    assert_eq!(seal.open("attempt", "not base64!"), None);
    assert_eq!(format!("{seal:?}"), "Seal");
}

#[test]
fn keys_are_rotated_without_signing_anybody_out() {
    let (old, both, new) = (seal(&[1]), seal(&[2, 1]), seal(&[2]));
    let before = old.seal("p", b"v");
    assert!(both.open("p", &before).is_some(), "the old key still opens");
    let during = both.seal("p", b"v");
    assert!(new.open("p", &during).is_some(), "the first key seals");
    assert!(old.open("p", &during).is_none());
    assert!(new.open("p", &before).is_none(), "a key taken away opens nothing");

    // Every key id is one byte: among these some keys must share one, and still all open.
    let many: Vec<u8> = (0..=u8::MAX).collect();
    let all = seal(&many);
    assert!(many.iter().all(|key| all.open("p", &seal(&[*key]).seal("p", b"v")).is_some()));
}

#[test]
fn ids_are_long_and_never_the_same() {
    let (one, other) = (random_id(), random_id());
    assert!(is_id(&one) && is_id(&other) && one != other);
    for foreign in ["", "short", "has a space in it, yes", "has;semicolon;in;it;yes", "more-than-twenty-two-characters"]
    {
        assert!(!is_id(foreign), "{foreign}");
    }
}

#[test]
fn two_tabs_sign_in_side_by_side() {
    let (sessions, mut browser) = (sessions(), Browser::default());
    let first = browser.begin(&sessions, token("first+/token=="), NOW);
    let id = subscription("37f9dea2-4345-438f-b0bd-03d40d28c7e0");
    let second = browser.begin(&sessions, Destination::Subscription(id.clone()), NOW + Duration::minutes(1));

    let (attempt, gone) = sessions.finish(&browser.request(), &first, NOW + Duration::minutes(2)).unwrap();
    assert_eq!((attempt.state.as_str(), &attempt.destination), (first.as_str(), &token("first+/token==")));
    browser.take(&[gone]);
    let (other, gone) = sessions.finish(&browser.request(), &second, NOW + Duration::minutes(3)).unwrap();
    assert_eq!(other.destination, Destination::Subscription(id));
    assert_ne!(attempt.nonce, other.nonce);
    browser.take(&[gone]);

    let again = sessions.finish(&browser.request(), &first, NOW + Duration::minutes(3)).unwrap_err();
    assert_eq!((again.code, browser.cookies.len()), (Code::SigninExpired, 0), "each attempt serves once");
    assert!(!format!("{attempt:?}").contains("token=="), "the purchase token stays out of logs");
}

#[test]
fn cookies_reach_this_host_only_and_no_script() {
    let sessions = sessions();
    let (attempt, cookies) = sessions.begin(&Request::default(), token("t"), NOW).unwrap();
    let name = format!("__Host-signin-{}=", attempt.state);
    assert!(cookies.len() == 1 && cookies[0].starts_with(&name), "{cookies:?}");
    let expected = |same_site, seconds| {
        BTreeMap::from([("HttpOnly", ""), ("SameSite", same_site), ("Secure", ""), ("Path", "/"), ("Max-Age", seconds)])
    };
    assert_eq!(attributes(&cookies[0]), expected("None", "900"));

    let mut browser = Browser::default();
    browser.take(&cookies);
    let (_, gone) = sessions.finish(&browser.request(), &attempt.state, NOW).unwrap();
    assert_eq!((gone.starts_with(&name), attributes(&gone)), (true, expected("None", "0")));

    let (_, session) = sessions.start(ada(), NOW);
    assert!(session.starts_with("__Host-session="), "{session}");
    assert_eq!(attributes(&session), expected("Lax", "1800"));
    assert!(!session.contains("Ada") && !cookies[0].contains("=t;"), "sealed");
}

#[test]
fn an_attempt_ends_by_time_by_tampering_and_by_coming_from_elsewhere() {
    let (sessions, mut browser) = (sessions(), Browser::default());
    let state = browser.begin(&sessions, token("t"), NOW);
    let ends = NOW.replace_nanosecond(0).unwrap() + ATTEMPT_LIFETIME;
    let refused = |request: &Request, state: &str, now| match sessions.finish(request, state, now) {
        Ok(_) => false,
        Err(fault) => fault.code == Code::SigninExpired,
    };
    assert!(!refused(&browser.request(), &state, ends - Duration::seconds(1)));
    assert!(refused(&browser.request(), &state, ends));
    assert!(refused(&Request::default(), &state, NOW), "another browser");
    assert!(refused(&browser.request(), &random_id(), NOW), "another state");
    assert!(refused(&browser.request(), "", NOW));

    // The cookie of one attempt under the name of another, and a session's in place of an attempt's.
    let other = random_id();
    let moved = Browser { cookies: vec![(format!("__Host-signin-{other}"), browser.cookies[0].1.clone())] };
    assert!(refused(&moved.request(), &other, NOW));
    let (_, session) = sessions.start(ada(), NOW);
    let sealed = session.split(['=', ';']).nth(1).unwrap().to_owned();
    let swapped = Browser { cookies: vec![(format!("__Host-signin-{other}"), sealed)] };
    assert!(refused(&swapped.request(), &other, NOW));
}

#[test]
fn many_attempts_push_the_oldest_out() {
    let (sessions, mut browser) = (sessions(), Browser::default());
    let states: Vec<String> = (0..ATTEMPTS + 3).map(|_| browser.begin(&sessions, token("t"), NOW)).collect();
    assert_eq!(browser.cookies.len(), ATTEMPTS);
    let alive: Vec<bool> = states.iter().map(|state| sessions.finish(&browser.request(), state, NOW).is_ok()).collect();
    let expected: Vec<bool> = (0..states.len()).map(|index| index >= 3).collect();
    assert_eq!(alive, expected, "the newest stay, even of one second");
}

#[test]
fn long_tokens_never_fill_the_request_headers() {
    let (sessions, mut browser) = (sessions(), Browser::default());
    let longest = "x".repeat(TOKEN_LENGTH);
    let mut states = Vec::new();
    for second in 0..10 {
        states.push(browser.begin(&sessions, token(&longest), NOW + Duration::seconds(second)));
        let carried = browser.request().header("cookie").unwrap().len();
        assert!(carried <= ATTEMPTS_LENGTH + 100, "{carried} bytes of cookies");
    }
    assert!(browser.cookies.len() > 1, "two tabs work with the longest tokens too");
    let (attempt, _) = sessions.finish(&browser.request(), states.last().unwrap(), NOW).unwrap();
    assert_eq!(attempt.destination, token(&longest));
}

#[test]
fn cookies_of_no_more_use_are_cleared_away() {
    let (sessions, mut browser) = (sessions(), Browser::default());
    browser.begin(&sessions, token("expired"), NOW - ATTEMPT_LIFETIME);
    let alive = browser.begin(&sessions, token("alive"), NOW - ATTEMPT_LIFETIME + Duration::seconds(1));
    browser.take(&Sessions::new(seal(&[9])).begin(&Request::default(), token("unreadable"), NOW).unwrap().1);
    assert_eq!(browser.cookies.len(), 3);
    // Nothing that a stranger chose gets into a header of ours.
    browser.cookies.push(("__Host-signin-<script>".to_owned(), "x".to_owned()));
    let (attempt, cookies) = sessions.begin(&browser.request(), token("t"), NOW).unwrap();
    browser.take(&cookies);
    let names: Vec<_> = browser.cookies.iter().map(|(name, _)| name.trim_start_matches("__Host-signin-")).collect();
    assert_eq!(names, [alive.as_str(), "<script>", attempt.state.as_str()]);
}

#[test]
fn tokens_that_no_marketplace_makes_are_refused_before_they_travel() {
    let sessions = sessions();
    let refused = |text: &str| match sessions.begin(&Request::default(), token(text), NOW) {
        Ok(_) => false,
        Err(fault) => fault.code == Code::TokenRefused,
    };
    assert!(!refused(&"+".repeat(TOKEN_LENGTH)));
    assert!(refused(&"+".repeat(TOKEN_LENGTH + 1)), "too long");
    assert!(refused(&"\u{1}".repeat(TOKEN_LENGTH)) && refused("\"") && refused("t\u{f6}ken"), "not base64");
}

#[test]
fn a_session_lasts_half_an_hour_whatever_the_browser_thinks() {
    let sessions = sessions();
    let (session, cookie) = sessions.start(ada(), NOW);
    let mut browser = Browser::default();
    browser.take(&[cookie]);
    let request = browser.request();
    assert_eq!(session.expires_at, datetime!(2034-05-06 07:38:09 UTC));
    assert_eq!(sessions.open(&request, session.expires_at - Duration::seconds(1)), Some(session.clone()));
    assert_eq!(sessions.open(&request, session.expires_at), None);
    assert_eq!(sessions.open(&Request::default(), NOW), None);
    assert_eq!(Sessions::new(seal(&[9])).open(&request, NOW), None);
    assert!(!format!("{session:?}").contains("Ada"));
}

#[test]
fn the_longest_names_still_fit_into_a_cookie() {
    let sessions = sessions();
    for (name, shown) in
        [("\u{1f600}".repeat(500), "\u{1f600}".repeat(64)), ("\u{1}a\"\\".repeat(500), "a\"\\".repeat(85) + "a")]
    {
        let person = Person { name: Some(name.clone()), username: Some(name), ..ada() };
        let (session, cookie) = sessions.start(person, NOW);
        assert_eq!(session.person.name, Some(shown));
        let mut browser = Browser::default();
        browser.take(&[cookie]);
        assert_eq!(sessions.open(&browser.request(), NOW), Some(session));
    }
}

#[test]
fn a_form_counts_for_the_person_and_subscription_it_was_shown_to() {
    let sessions = sessions();
    let (mine, _) = sessions.start(ada(), NOW);
    let (again, _) = sessions.start(ada(), NOW + Duration::minutes(1));
    let colleague = Person { object_id: "5f0e9d0c-91d2-4f0c-8a8e-0f8a1c9d7b55".to_owned(), ..ada() };
    let (theirs, _) = sessions.start(colleague, NOW);
    let (id, other) = (subscription("37f9dea2"), subscription("37f9dea3"));
    let form = sessions.form_token(&mine, &id);
    let last = NOW.replace_nanosecond(0).unwrap() + SESSION_LIFETIME - Duration::seconds(1);
    for (session, id, token, now, sound, why) in [
        (&mine, &id, form.as_str(), NOW, true, "as shown"),
        (&mine, &id, &form, last, true, "to the last second"),
        (&mine, &id, &form, last + Duration::seconds(1), false, "too old"),
        (&again, &id, &form, NOW, true, "the same person, who signed in again in another tab"),
        (&again, &id, &form, last + Duration::seconds(1), false, "too old, in a session that is not"),
        (&theirs, &id, &form, NOW, false, "another person of the same company"),
        (&mine, &other, &form, NOW, false, "another subscription"),
        (&mine, &id, "", NOW, false, "no token"),
        (&mine, &id, &form[1..], NOW, false, "a broken token"),
    ] {
        let outcome = sessions.check_form(session, id, token, now).map_err(|fault| fault.code);
        assert_eq!(outcome, if sound { Ok(()) } else { Err(Code::ForgedForm) }, "{why}");
    }
}

#[test]
fn forms_come_from_our_own_pages() {
    let ours = Url::parse("https://landing.contoso.com").unwrap();
    let own = Some("https://landing.contoso.com");
    for (origin, site, passes, why) in [
        (None, None, true, "a browser that tells nothing: the form token decides"),
        (own, Some("same-origin"), true, "our page"),
        (own, None, true, "our page in an older browser"),
        (Some("null"), Some("same-origin"), true, "our page, which forbids referrers"),
        (Some("null"), None, true, "the same in an older browser: the form token decides"),
        (None, Some("none"), true, "typed or reloaded"),
        (Some("null"), Some("cross-site"), false, "a sandboxed frame"),
        (own, Some("cross-site"), false, "contradicts itself"),
        (None, Some("same-site"), false, "a neighbour under the same domain"),
        (Some("https://evil.example"), None, false, "another site"),
        (Some("http://landing.contoso.com"), None, false, "our name without TLS"),
        (Some("https://landing.contoso.com:8443"), None, false, "another port"),
        (Some("https://landing.contoso.com.evil.example"), None, false, "a name that begins like ours"),
    ] {
        let headers = [("origin", origin), ("sec-fetch-site", site)];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let request = Request { headers: headers.collect(), ..Request::default() };
        let outcome = same_origin(&request, &ours).map_err(|fault| fault.code);
        assert_eq!(outcome, if passes { Ok(()) } else { Err(Code::ForgedForm) }, "{why}");
    }
    let local = Url::parse("http://127.0.0.1:7071").unwrap();
    let request =
        Request { headers: vec![("origin".to_owned(), "http://127.0.0.1:7071".to_owned())], ..Request::default() };
    assert!(same_origin(&request, &local).is_ok());
}
