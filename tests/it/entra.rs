//! Sign-in: whom we believe, and what happens when Entra cannot be asked.

use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{join, join_all};
use marketplace_fulfillment::entra::{Entra, Signin};
use marketplace_fulfillment::error::{Code, Fault, Retry};
use marketplace_fulfillment::person::{PERSONAL_TENANT, Person};
use marketplace_fulfillment::settings::EntraSettings;
use marketplace_fulfillment::subscription::{Party, Snapshot, Status, Term};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use url::Url;
use warp::Filter as _;
use warp::http::{Response, StatusCode};

pub(crate) const CLIENT: &str = "6d5e1c5a-3f0b-4c1e-9a53-0d6b1f3c7a11";
pub(crate) const TENANT: &str = "3f4e2b9c-0c8f-4a55-8b0e-6a1f8f0f2d10";
pub(crate) const OBJECT: &str = "b2b0f2cc-1e7e-4b6a-a7f8-3b1b9f6f0c77";
const NONCE: &str = "the-nonce-of-this-attempt";
/// Far from the machine's clock: a check against that one fails every story.
pub(crate) const NOW: OffsetDateTime = datetime!(2034-05-06 07:08:09 UTC);

/// Two keys for the whole binary: making one takes a while.
pub(crate) fn key(index: usize) -> &'static KeyPair {
    static KEYS: OnceLock<[KeyPair; 2]> = OnceLock::new();
    &KEYS.get_or_init(|| [(); 2].map(|()| KeyPair::generate(KeySize::Rsa2048).unwrap()))[index]
}

/// A change to what the stand-in answers.
type Spoil = Box<dyn Fn(&mut Answers)>;

/// What the stand-in for Entra answers, and how often it was asked.
pub(crate) struct Answers {
    pub(crate) discovery: Value,
    pub(crate) discovery_status: u16,
    pub(crate) keys: String,
    pub(crate) keys_status: u16,
    pub(crate) location: Option<String>,
    pub(crate) asked: usize,
}

#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) answers: Arc<Mutex<Answers>>,
    /// Answers wait for a permit, so that a story can look while a fetch is under way.
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) asked: Arc<Notify>,
}

pub(crate) const OPEN: usize = 1_000;

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Answers {
            discovery: json!({
                "issuer": format!("{url}/{{tenantid}}/v2.0"),
                "authorization_endpoint": format!("{url}/common/oauth2/v2.0/authorize?slice=1"),
                "jwks_uri": format!("{url}/keys"),
            }),
            discovery_status: 200,
            keys: key_list(&[listed("first", key(0))]),
            keys_status: 200,
            location: None,
            asked: 0,
        };
        let issuer = Self {
            url,
            answers: Arc::new(Mutex::new(answers)),
            gate: Arc::new(Semaphore::new(OPEN)),
            asked: Arc::default(),
        };
        let (discovery, keys) = (issuer.clone(), issuer.clone());
        let tenant = warp::path("common").or(warp::path(TENANT)).unify();
        let document = warp::path!("v2.0" / ".well-known" / "openid-configuration");
        let discovery = tenant.and(document).then(move || {
            let issuer = discovery.clone();
            async move { issuer.discovery().await }
        });
        let keys = warp::path!("keys").map(move || {
            let answers = keys.answers.lock().unwrap();
            reply(answers.keys_status, None, answers.keys.clone())
        });
        #[expect(clippy::disallowed_methods, reason = "the server lives as long as the story's runtime")]
        tokio::spawn(warp::serve(discovery.or(keys)).incoming(listener).run());
        issuer
    }

    async fn discovery(&self) -> Response<String> {
        self.change(|answers| answers.asked += 1);
        self.asked.notify_one();
        self.gate.acquire().await.unwrap().forget();
        let answers = self.answers.lock().unwrap();
        reply(answers.discovery_status, answers.location.clone(), answers.discovery.to_string())
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }

    pub(crate) fn times_asked(&self) -> usize {
        self.answers.lock().unwrap().asked
    }

    fn entra(&self) -> Entra {
        entra_at(&self.url)
    }

    /// The claims of a good token.
    fn claims(&self) -> Value {
        let now = NOW.unix_timestamp();
        json!({
            "iss": format!("{}/{TENANT}/v2.0", self.url), "aud": CLIENT, "tid": TENANT, "oid": OBJECT, "nonce": NONCE,
            "iat": now, "nbf": now, "exp": now + 3600, "name": "Ada Lovelace", "preferred_username": "ada@contoso.com",
        })
    }

    fn with(&self, claim: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.claims();
        claims[claim] = value.into();
        claims
    }
}

fn reply(status: u16, location: Option<String>, body: String) -> Response<String> {
    let builder = Response::builder().status(StatusCode::from_u16(status).unwrap());
    match location {
        Some(location) => builder.header("location", location).body(body).unwrap(),
        None => builder.body(body).unwrap(),
    }
}

fn entra_at(url: &str) -> Entra {
    let settings = EntraSettings { authority: Url::parse(url).unwrap(), client_id: CLIENT.to_owned() };
    Entra::new(&settings, reqwest::Client::builder().no_proxy().build().unwrap())
}

pub(crate) fn listed(id: &str, key: &KeyPair) -> Value {
    let components = rsa::PublicKeyComponents::<Vec<u8>>::from(key.public_key());
    json!({
        "kty": "RSA", "use": "sig", "kid": id,
        "n": URL_SAFE_NO_PAD.encode(components.n), "e": URL_SAFE_NO_PAD.encode(components.e),
    })
}

/// As Entra's list, with entries that nobody here understands.
pub(crate) fn key_list(keys: &[Value]) -> String {
    let mut keys = keys.to_vec();
    keys.insert(0, json!({ "kty": "LATTICE", "kid": "future", "x": "y" }));
    keys.insert(0, json!("not even an object"));
    json!({ "keys": keys }).to_string()
}

pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

pub(crate) fn signed(header: &Value, claims: &Value, key: &KeyPair) -> String {
    let message = unsigned(header, claims);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token as Entra signs it, with its first key.
fn token(claims: &Value) -> String {
    signed(&json!({ "alg": "RS256", "typ": "JWT", "kid": "first" }), claims, key(0))
}

async fn refusal(entra: &Entra, token: &str, now: OffsetDateTime) -> Fault {
    entra.verify(token, NONCE, now).await.expect_err("this token must not pass")
}

pub(crate) fn assert_unavailable(fault: &Fault) {
    assert_eq!((fault.code, fault.code.status(), fault.retry), (Code::EntraUnavailable, 503, Retry::Later(None)));
}

#[tokio::test]
async fn a_good_token_names_the_person() {
    let issuer = Issuer::start().await;
    let person = issuer.entra().verify(&token(&issuer.claims()), NONCE, NOW).await.unwrap();
    let expected = Person {
        tenant_id: TENANT.to_owned(),
        object_id: OBJECT.to_owned(),
        name: Some("Ada Lovelace".to_owned()),
        username: Some("ada@contoso.com".to_owned()),
    };
    assert_eq!(person, expected);
    assert_eq!(format!("{person:?}"), format!("Person {{ tenant_id: {TENANT:?}, .. }}"), "no personal data in logs");
}

#[tokio::test]
async fn the_browser_is_sent_to_the_endpoint_that_entra_names() {
    let issuer = Issuer::start().await;
    let redirect_uri = "https://landing.contoso.com/api/signin";
    let signin = Signin { state: "s t", nonce: "n&n", redirect_uri, choose_account: false };
    let url = issuer.entra().authorize_url(&signin, NOW).await.unwrap();
    assert_eq!(url.path(), "/common/oauth2/v2.0/authorize");
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let expected = [
        ("slice", "1"),
        ("client_id", CLIENT),
        ("response_type", "id_token"),
        ("response_mode", "form_post"),
        ("scope", "openid profile"),
        ("redirect_uri", redirect_uri),
        ("state", "s t"),
        ("nonce", "n&n"),
    ];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let choosing = issuer.entra().authorize_url(&Signin { choose_account: true, ..signin }, NOW).await.unwrap();
    assert_eq!(choosing.query_pairs().last().unwrap(), ("prompt".into(), "select_account".into()));
}

#[tokio::test]
async fn tokens_proven_wrong_are_refused_each_with_its_own_reason() {
    let issuer = Issuer::start().await;
    let entra = issuer.entra();
    let good = issuer.claims();
    let header = json!({ "alg": "RS256", "kid": "first" });
    let with_header = |header: Value| signed(&header, &good, key(0));
    let (past, future) = (NOW.unix_timestamp() - 301, NOW.unix_timestamp() + 301);
    let foreign_issuer = format!("{}/{OBJECT}/v2.0", issuer.url);
    let mut cases = vec![
        (signed(&header, &good, key(1)), "the id token's signature is not by the key that it names"),
        (token(&issuer.with("exp", past)), "the id token has expired"),
        (token(&issuer.with("nbf", future)), "the id token is not valid yet"),
        (token(&issuer.with("aud", TENANT)), "the id token is for another application"),
        (token(&issuer.with("nonce", "another")), "the id token answers another sign-in"),
        (token(&issuer.with("tid", "contoso.com")), "the id token's tid is not a GUID"),
        (token(&issuer.with("oid", "ada")), "the id token's oid is not a GUID"),
        (token(&issuer.with("iss", foreign_issuer)), "the id token's issuer is not Entra for its tenant"),
        (token(&issuer.with("exp", "tomorrow")), "the id token's claims cannot be read"),
        (with_header(json!({ "alg": "RS512", "kid": "first" })), "the id token is not signed with RS256"),
        (with_header(json!({ "alg": "RS256" })), "the id token names no key"),
        (
            with_header(json!({ "alg": "RS256", "kid": "first", "crit": ["b64"] })),
            "the id token's header demands an extension",
        ),
        (with_header(json!({ "kid": "first" })), "the id token's header cannot be read"),
        ("nonsense".to_owned(), "the id token is not a JWT"),
        (token(&issuer.with("name", "x".repeat(20_000))), "the id token is too long"),
        (
            signed(&json!({ "alg": "RS256", "kid": "unheard" }), &good, key(0)),
            "the id token is signed with a key that Entra does not list",
        ),
    ];
    for claim in ["iss", "aud", "tid", "oid", "nonce", "exp", "nbf", "iat"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(claim);
        cases.push((token(&claims), Box::leak(format!("the id token has no {claim}").into_boxed_str())));
    }
    for (wrong, reason) in &cases {
        let fault = refusal(&entra, wrong, NOW).await;
        assert_eq!((fault.code, fault.private.as_str(), fault.retry), (Code::SigninFailed, *reason, Retry::Never));
    }
    let mut reasons: Vec<_> = cases.iter().map(|(_, reason)| reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), cases.len(), "each with its own reason");
}

#[tokio::test]
async fn only_entras_own_signature_counts() {
    let issuer = Issuer::start().await;
    let entra = issuer.entra();
    let good = issuer.claims();
    // Unsigned, or its signature cut off.
    let (signed_part, _) = token(&good).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let none = unsigned(&json!({ "alg": "none", "kid": "first" }), &good);
    for unsigned in [format!("{none}."), none, format!("{signed_part}."), signed_part] {
        assert_eq!(refusal(&entra, &unsigned, NOW).await.code, Code::SigninFailed);
    }
    // The public key, which everybody has, taken for the secret of a symmetric signature.
    let message = unsigned(&json!({ "alg": "HS256", "kid": "first" }), &good);
    let public: PublicKeyX509Der<'_> = key(0).public_key().as_der().unwrap();
    for secret in [public.as_ref(), key(0).public_key().as_ref()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        let confused = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(refusal(&entra, &confused, NOW).await.private, "the id token is not signed with RS256");
    }
}

#[tokio::test]
async fn the_clocks_may_differ_by_five_minutes_and_no_more() {
    let issuer = Issuer::start().await;
    let entra = issuer.entra();
    let token = token(&issuer.claims());
    let (starts, ends) = (NOW, NOW + Duration::hours(1));
    for (now, passes) in [
        (starts - Duration::seconds(301), false),
        (starts - Duration::seconds(300), true),
        (ends + Duration::seconds(299), true),
        (ends + Duration::seconds(300), false),
    ] {
        assert_eq!(entra.verify(&token, NONCE, now).await.is_ok(), passes, "{now}");
    }
}

#[tokio::test]
async fn a_key_of_one_issuer_does_not_sign_for_another() {
    let issuer = Issuer::start().await;
    let mut personal = listed("first", key(0));
    personal["issuer"] = json!(format!("{}/{PERSONAL_TENANT}/v2.0", issuer.url));
    issuer.change(|answers| answers.keys = key_list(std::slice::from_ref(&personal)));
    let fault = refusal(&issuer.entra(), &token(&issuer.claims()), NOW).await;
    assert_eq!(fault.private, "the id token is signed with another issuer's key");

    // Listed once more for every organisation: now it may.
    let mut everybody = personal.clone();
    everybody["issuer"] = json!(format!("{}/{{tenantid}}/v2.0", issuer.url));
    issuer.change(|answers| answers.keys = key_list(&[personal, everybody]));
    issuer.entra().verify(&token(&issuer.claims()), NONCE, NOW).await.unwrap();
}

#[tokio::test]
async fn a_new_key_is_fetched_but_made_up_ones_do_not_make_us_ask_again_and_again() {
    let issuer = Issuer::start().await;
    let entra = issuer.entra();
    let old = token(&issuer.claims());
    let new = signed(&json!({ "alg": "RS256", "kid": "second" }), &issuer.claims(), key(1));
    entra.verify(&old, NONCE, NOW).await.unwrap();
    issuer.change(|answers| answers.keys = key_list(&[listed("second", key(1))]));

    entra.verify(&new, NONCE, NOW + Duration::seconds(1)).await.unwrap();
    assert_eq!(issuer.times_asked(), 2, "at once");
    for asked in 3..=5 {
        let withdrawn = refusal(&entra, &old, NOW + Duration::seconds(2)).await;
        assert_eq!((withdrawn.code, issuer.times_asked()), (Code::SigninFailed, asked), "it went with the old list");
    }
    assert_unavailable(&refusal(&entra, &old, NOW + Duration::seconds(59)).await);
    assert_eq!(issuer.times_asked(), 5, "five in a minute");
}

#[tokio::test]
async fn the_last_good_keys_serve_on_while_entra_is_away() {
    let issuer = Issuer::start().await;
    let entra = issuer.entra();
    let later = NOW + Duration::hours(24);
    let mut claims = issuer.claims();
    claims["exp"] = json!(later.unix_timestamp() + 3600);
    entra.verify(&token(&claims), NONCE, NOW).await.unwrap();
    entra.verify(&token(&claims), NONCE, later - Duration::seconds(1)).await.unwrap();
    assert_eq!(issuer.times_asked(), 1, "asked once a day");

    issuer.change(|answers| answers.keys_status = 500);
    entra.verify(&token(&claims), NONCE, later).await.unwrap();
    entra.verify(&token(&claims), NONCE, later + Duration::seconds(59)).await.unwrap();
    assert_eq!(issuer.times_asked(), 2, "tried once, then left in peace for a minute");
    let unknown = signed(&json!({ "alg": "RS256", "kid": "second" }), &claims, key(1));
    assert_unavailable(&refusal(&entra, &unknown, later + Duration::seconds(59)).await);

    issuer.change(|answers| answers.keys_status = 200);
    let proven = refusal(&entra, &unknown, later + Duration::seconds(60)).await;
    assert_eq!((proven.code, issuer.times_asked()), (Code::SigninFailed, 3), "back: now it is proven");
}

#[tokio::test]
async fn nothing_is_proven_while_the_keys_cannot_be_had() {
    let issuer = Issuer::start().await;
    let token = token(&issuer.claims());
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let fault = refusal(&entra_at(&nobody), &token, NOW).await;
    assert_unavailable(&fault);
    assert_eq!(fault.private, "OpenID configuration: no connection");

    let good = |answers: &mut Answers| {
        answers.discovery_status = 200;
        answers.keys_status = 200;
        answers.location = None;
    };
    let keys = issuer.answers.lock().unwrap().keys.clone();
    let elsewhere = format!("{}/keys", issuer.url);
    let cases: [(&str, Spoil); 7] = [
        ("OpenID configuration: Entra answers 503", Box::new(|answers| answers.discovery_status = 503)),
        ("key list: Entra answers 404", Box::new(|answers| answers.keys_status = 404)),
        ("key list: not the expected JSON: line 1, column 20", Box::new(|answers| answers.keys.truncate(20))),
        (
            "key list: not the expected JSON: line 1, column ",
            Box::new(|answers| answers.keys = json!({ "keys": "word ".repeat(1_000) }).to_string()),
        ),
        ("key list: larger than 262144 bytes", Box::new(|answers| answers.keys.push_str(&" ".repeat(256 * 1024)))),
        ("the key list holds no RSA key for signatures", Box::new(|answers| answers.keys = key_list(&[]))),
        (
            "OpenID configuration: Entra answers with a redirect",
            Box::new(move |answers| {
                answers.discovery_status = 302;
                answers.location = Some(elsewhere.clone());
            }),
        ),
    ];
    for (reason, spoil) in cases {
        let entra = issuer.entra();
        issuer.change(|answers| spoil(answers));
        let fault = refusal(&entra, &token, NOW).await;
        assert_unavailable(&fault);
        assert!(fault.private.starts_with(reason), "{} is not {reason}", fault.private);
        assert!(fault.private.len() < 80, "{} repeats what Entra said", fault.private);
        issuer.change(good);
        issuer.change(|answers| answers.keys.clone_from(&keys));
        entra.verify(&token, NONCE, NOW).await.expect("without any key, the next person's try is a try");
    }
}

#[tokio::test]
async fn what_entra_names_must_be_https_or_on_this_machine_as_entra_itself() {
    for (name, value, reason) in [
        ("jwks_uri", "http://keys.example/", "the OpenID configuration's jwks_uri is not https"),
        ("jwks_uri", "keys", "the OpenID configuration's jwks_uri is not a URL: relative URL without a base"),
        (
            "authorization_endpoint",
            "http://a.example/",
            "the OpenID configuration's authorization_endpoint is not https",
        ),
        ("issuer", "http://127.0.0.1/fixed", "the OpenID configuration's issuer has no place for the tenant"),
    ] {
        let issuer = Issuer::start().await;
        issuer.change(|answers| answers.discovery[name] = json!(value));
        let fault = refusal(&issuer.entra(), &token(&issuer.claims()), NOW).await;
        assert_unavailable(&fault);
        assert_eq!(fault.private, reason);
    }
}

#[tokio::test]
async fn many_people_at_once_make_one_fetch() {
    let issuer = Issuer::start().await;
    let entra = issuer.entra();
    let token = token(&issuer.claims());
    for (round, status, succeed) in [(1, 503, false), (2, 200, true)] {
        issuer.change(|answers| answers.discovery_status = status);
        issuer.gate.forget_permits(OPEN);
        let people = join_all((0..8).map(|_| entra.verify(&token, NONCE, NOW)));
        // All eight are asking before the first is answered.
        let opened = async {
            issuer.asked.notified().await;
            issuer.gate.add_permits(OPEN);
        };
        let (outcomes, ()) = join(people, opened).await;
        assert!(outcomes.iter().all(|outcome| outcome.is_ok() == succeed), "round {round}");
        assert_eq!(issuer.times_asked(), round, "one fetch for all, whether it fails or not");
    }
}

#[test]
fn a_person_may_act_for_what_their_organisation_bought_or_uses() {
    let person = |tenant: &str, object: &str| Person {
        tenant_id: tenant.to_owned(),
        object_id: object.to_owned(),
        name: None,
        username: None,
    };
    let party = |tenant: &str, object: &str, puid: &str| {
        let present = |text: &str| (text != "-").then(|| text.to_owned());
        Some(Party { email: None, tenant_id: present(tenant), object_id: present(object), puid: present(puid) })
    };
    let member = person(TENANT, OBJECT);
    let personal = person(PERSONAL_TENANT, "00000000-0000-0000-0003-BFFD2A4C91E0");
    let (own, puid) = ("00000000-0000-0000-0003-bffd2a4c91e0", "0003bffd2a4c91e0");
    let upper = TENANT.to_ascii_uppercase();
    let cases = [
        (&member, party(TENANT, "-", "-"), None, true, "uses it"),
        (&member, None, party(TENANT, "-", "-"), true, "pays for it"),
        (&member, party(OBJECT, "-", "-"), party(&upper, "-", "-"), true, "in either case"),
        (&member, None, None, false, "nobody is named"),
        (&member, party("-", OBJECT, "-"), None, false, "an object id alone is no organisation"),
        (&member, party(CLIENT, OBJECT, "-"), None, false, "another organisation"),
        (&member, party(PERSONAL_TENANT, OBJECT, "-"), None, false, "bought by a personal account"),
        (&person("", OBJECT), party("", OBJECT, "-"), None, false, "no tenant is not a tenant"),
        (&personal, party(PERSONAL_TENANT, own, "-"), None, true, "the very person"),
        (&personal, None, party("-", own, "-"), true, "the very person, tenant not said"),
        (&personal, party("", own, "-"), None, true, "the very person, tenant left empty"),
        (&personal, party(PERSONAL_TENANT, "-", puid), None, true, "by puid"),
        (&personal, party(PERSONAL_TENANT, OBJECT, "0003BFFD2A4C91E0"), None, true, "by puid in capitals"),
        (&personal, party(PERSONAL_TENANT, "-", "-"), None, false, "all personal accounts share this tenant"),
        (&personal, party(PERSONAL_TENANT, OBJECT, "0003bffd2a4c91e1"), None, false, "another personal account"),
        (&personal, party(TENANT, own, puid), None, false, "a guest of an organisation is not that organisation"),
        (&personal, party(PERSONAL_TENANT, "", ""), None, false, "nothing equals nothing"),
        (&person(PERSONAL_TENANT, ""), party(PERSONAL_TENANT, "", ""), None, false, "nor for nobody"),
        (&personal, None, None, false, "nobody is named"),
    ];
    for (person, beneficiary, purchaser, may, why) in cases {
        let known = Snapshot {
            offer_id: "contoso-offer".to_owned(),
            plan_id: "silver".to_owned(),
            quantity: None,
            status: Status::PendingFulfillmentStart,
            name: String::new(),
            beneficiary,
            purchaser,
            term: Term::default(),
            auto_renew: None,
            is_free_trial: false,
            allowed_operations: Vec::new(),
            created: None,
            rest: None,
        };
        assert_eq!(person.may_act_for(&known), may, "{why}");
    }
}
