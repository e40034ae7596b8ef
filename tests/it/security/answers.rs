//! What the world gets back: the same protection on every answer, and no place that a stranger chose.

use marketplace_fulfillment::web::Request;
use reqwest::Method;
use url::Url;

use crate::serve::handler;
use crate::visitor::{Page, Visitor};
use crate::world::World;

const PUBLIC_URL: &str = "https://landing.contoso.example";

/// Where a stranger would like to have our buyers.
const EVIL: &str = "evil.example";

/// Headers with which proxies tell what they changed. Anybody can write them.
const FORGED: [(&str, &str); 10] = [
    ("host", EVIL),
    ("forwarded", "for=1.2.3.4;host=evil.example;proto=https"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-host", EVIL),
    ("x-forwarded-proto", "https"),
    ("x-original-host", EVIL),
    ("x-original-url", "/api/subscriptions"),
    ("x-rewrite-url", "/api/subscriptions"),
    ("x-ms-client-principal", "eyJhdXRoX3R5cCI6ImFhZCJ9"),
    ("x-ms-client-principal-id", "b2b0f2cc-1e7e-4b6a-a7f8-3b1b9f6f0c77"),
];

/// Requests that are answered in every way there is: method, path, body, status.
const REQUESTS: [(&str, &str, &str, u16); 16] = [
    ("GET", "/api/health", "", 200),
    ("GET", "/api/keys", "", 200),
    ("GET", "/api/subscriptions", "", 200),
    ("GET", "/api/subscriptions/entitlements?tenantId=3f4e2b9c-0c8f-4a55-8b0e-6a1f8f0f2d10", "", 200),
    ("GET", "/api/subscriptions/no-such", "", 404),
    ("PUT", "/api/subscriptions", "", 405),
    ("GET", "/api/landing?token=abc", "", 303),
    ("GET", "/api/landing", "", 400),
    ("GET", "/api/progress", "", 400),
    ("POST", "/api/signin", "state=x", 400),
    ("POST", "/api/confirm", "subscription=x", 403),
    ("POST", "/api/webhook", "{}", 401),
    ("GET", "/api/webhook", "", 405),
    ("OPTIONS", "/api/health", "", 405),
    ("TRACE", "/api/health", "", 405),
    ("GET", "/api/nobody", "", 404),
];

async fn ask(world: &World, base: &str, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Page {
    let somebody = Visitor::new(world.http.clone(), Url::parse("http://nobody.example").unwrap());
    let url = Url::parse(&format!("{base}{path}")).unwrap();
    let form: Vec<(String, String)> =
        url::form_urlencoded::parse(body.as_bytes()).map(|(name, value)| (name.into(), value.into())).collect();
    let form = (!body.is_empty()).then_some(form.as_slice());
    somebody.send(Method::from_bytes(method.as_bytes()).unwrap(), &url, form, headers).await
}

/// The one value of a header.
#[track_caller]
fn only<'a>(page: &'a Page, name: &str) -> &'a str {
    let values: Vec<&str> =
        page.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
    assert_eq!(values.len(), 1, "{name} of {}: {values:?}", page.url);
    values[0]
}

#[tokio::test]
async fn every_answer_to_the_world_is_protected() {
    let world = World::in_memory(&[("PUBLIC_URL", PUBLIC_URL)]).await;
    let base = handler(&world).await;
    let mut answers = Vec::new();
    for (method, path, body, status) in REQUESTS {
        let page = ask(&world, &base, method, path, body, &[("origin", "https://evil.example")]).await;
        assert_eq!(page.status, status, "{method} {path}: {}", page.body);
        answers.push(page);
    }
    let large = world.http.post(format!("{base}/api/confirm")).body("x".repeat(1_000_000)).send().await.unwrap();
    assert_eq!(large.status(), 413);
    assert_eq!(large.headers()["x-content-type-options"], "nosniff");
    for page in &answers {
        assert_eq!(only(page, "strict-transport-security"), "max-age=31536000");
        assert_eq!(only(page, "x-content-type-options"), "nosniff");
        assert_eq!(only(page, "referrer-policy"), "no-referrer");
        let policy = only(page, "content-security-policy");
        for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.split("; ").any(|said| said == part), "{}: {policy}", page.url);
        }
        let cached = only(page, "cache-control");
        let lasting = ["/api/keys", "/api/subscriptions/entitlements"].contains(&page.url.path());
        assert_eq!(cached == "no-store", !lasting, "{}: {cached}", page.url);
        assert!(page.body.is_empty() || only(page, "content-type").contains('/'), "{}", page.url);
        for (name, _) in &page.headers {
            assert!(!name.starts_with("access-control-"), "{}: {name} lets other origins in", page.url);
            assert!(!["server", "x-powered-by"].contains(&name.as_str()), "{}: {name} tells what runs", page.url);
        }
    }
}

/// On plain http, which is this machine's own, browsers would not believe it, and `localhost` is everybody's.
#[tokio::test]
async fn nothing_is_promised_over_plain_http() {
    let world = World::in_memory(&[]).await;
    let page = ask(&world, &handler(&world).await, "GET", "/api/health", "", &[]).await;
    assert_eq!((page.status, page.header("strict-transport-security")), (200, None));
    assert_eq!(only(&page, "x-content-type-options"), "nosniff");
}

/// Neither a header nor a parameter that a stranger writes says where we are, where people go, or who they are.
#[tokio::test]
async fn nobody_else_says_where_people_go() {
    let world = World::in_memory(&[]).await;
    let base = handler(&world).await;
    let entra = Url::parse(&world.dev.settings["ENTRA_AUTHORITY_URL"]).unwrap().origin();
    let wishes = "redirect_uri=https%3A%2F%2Fevil.example&return=%2F%2Fevil.example&next=https%3A%2F%2Fevil.example";
    for path in [format!("/api/landing?token=abc&{wishes}"), format!("/api/landing?{wishes}&token=abc")] {
        let page = ask(&world, &base, "GET", &path, "", &FORGED).await;
        let to = page.location().expect("a way to sign in");
        assert_eq!(to.origin(), entra, "{to}");
        let back = to.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
        assert_eq!(back, world.url("/api/signin").as_str());
        assert!(!to.as_str().contains(EVIL), "{to}");
    }

    let purchase = world.silver().await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
    let cookies: Vec<String> = buyer.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cookies = cookies.join("; ");
    let with_cookies = [&FORGED[..], &[("cookie", cookies.as_str())]].concat();
    let token: String = url::form_urlencoded::byte_serialize(purchase.token.as_bytes()).collect();
    let again = ask(&world, &base, "GET", &format!("/api/landing?token={token}&{wishes}"), "", &with_cookies).await;
    assert_eq!(again.header("location"), Some(format!("/api/landing?subscription={}", purchase.id).as_str()));
    let form = format!("subscription={}&form_token={}&{wishes}", purchase.id, page.input("form_token").unwrap());
    let confirmed = ask(&world, &base, "POST", "/api/confirm", &form, &with_cookies).await;
    assert_eq!(confirmed.header("location"), Some(format!("/api/landing?subscription={}", purchase.id).as_str()));

    for subscription in ["//evil.example", "https://evil.example", "..", "%2F%2Fevil.example", "a%0d%0alocation:x"] {
        let path = format!("/api/landing?subscription={subscription}");
        let page = ask(&world, &base, "GET", &path, "", &with_cookies).await;
        assert_eq!((page.status, page.header("location")), (404, None), "{subscription}");
    }
    // The platform's own sign-in is none of ours, and its headers count for nothing.
    let progress = format!("/api/progress?subscription={}", purchase.id);
    assert_eq!(ask(&world, &base, "GET", &progress, "", &FORGED).await.status, 401);
    assert_eq!(ask(&world, &base, "GET", &progress, "", &with_cookies).await.status, 200);
}

/// Whoever says something twice is heard once, and everybody here hears the same: what was judged is what is done.
#[test]
fn of_what_is_said_twice_the_first_counts() {
    let header = |value: &str| ("cookie".to_owned(), value.to_owned());
    let request = Request {
        raw_query: "token=one&token=two&TOKEN=three".to_owned(),
        headers: vec![header("a=one; a=two"), header("a=three; b=four=five"), header("ab=six")],
        body: "token=one&token=two&%74oken=three".into(),
        ..Request::default()
    };
    assert_eq!((request.query("token").as_deref(), request.form("token").as_deref()), (Some("one"), Some("one")));
    assert_eq!((request.cookie("a"), request.cookie("b")), (Some("one"), Some("four=five")));
}
