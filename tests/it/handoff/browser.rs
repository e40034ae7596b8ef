//! The hand-off in a real browser, to a server of the story's on another site: the app is at `127.0.0.1`, the publisher's
//! software at `localhost`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::simulator::Purchase;
use marketplace_fulfillment::dev::{self, Dev};
use tokio::net::TcpListener;
use url::Url;
use warp::Filter as _;
use warp::http::StatusCode;

use super::proven;
use crate::browser::Browser;
use crate::settings::HANDOFF_KEY;

/// A hand-off: its form fields, and the `origin` header.
type Received = (BTreeMap<String, String>, String);

/// The publisher's software, as far as it takes people in.
#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Vec<Received>>>,
    /// The paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Listens; `leads_on` is where a hand-off is led to.
    async fn start(leads_on: impl Fn(u16) -> String) -> (Self, Url) {
        let receiver = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (it, on) = (receiver.clone(), leads_on(port));
        let takes = warp::post().and(warp::path("handoff")).and(warp::body::form()).and(warp::header("origin")).map(
            move |form: BTreeMap<String, String>, origin: String| {
                it.received.lock().unwrap().push((form, origin));
                warp::reply::with_header(StatusCode::SEE_OTHER, "location", on.clone())
            },
        );
        let it = receiver.clone();
        let get = warp::get().and(warp::path::full()).map(move |path: warp::path::FullPath| {
            it.asked.lock().unwrap().push(path.as_str().to_owned());
            warp::reply::html("<h1>Welcome to Contoso</h1>")
        });
        #[expect(clippy::disallowed_methods, reason = "it listens as long as the story's runtime")]
        tokio::spawn(warp::serve(takes.or(get)).incoming(listener).run());
        (receiver, Url::parse(&format!("http://localhost:{port}/handoff")).unwrap())
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn dev(settings: &[(&str, &str)]) -> Dev {
    let environment = settings.iter().chain(&[("HANDOFF_KEYS", HANDOFF_KEY)]);
    let options = dev::Options {
        port: 0,
        simulator_port: 0,
        enable_auth: false,
        seed: 3,
        app_root: Some(Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()),
        traceparent: false,
        clock: Clock::System,
        environment: environment.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        storage: None,
        app: None,
        program: None,
    };
    dev::start(options).await.expect("dev starts")
}

/// Buys, signs in and confirms.
async fn confirm(dev: &Dev, browser: &Browser) {
    let bought = dev.simulator.purchase(&Purchase::of("silver", Some(5))).unwrap();
    browser.goto(bought.landing_url.as_str()).await;
    browser.press("buyer").await;
    browser.press("Confirm").await;
}

/// Holds a hand-off to what a receiver must.
async fn assert_taken(dev: &Dev, receiver: &Receiver, address: &Url, purpose: &str) -> serde_json::Value {
    let all = receiver.received();
    let (form, origin) = all.last().expect("a hand-off");
    assert_eq!(form.keys().collect::<Vec<_>>(), ["handoff"], "one field");
    assert_eq!(origin, "null", "the browser names no origin, because the page forbids referrers");
    let keys = reqwest::get(dev.host_url.join("api/keys").unwrap()).await.unwrap().json().await.unwrap();
    let issuer = dev.host_url.as_str().trim_end_matches('/');
    let claims = proven(&form["handoff"], &keys, address.as_str(), issuer).unwrap();
    let now = Clock::System.now().unix_timestamp();
    assert!(claims["nbf"].as_i64().unwrap() <= now && now < claims["exp"].as_i64().unwrap(), "{claims}");
    assert_eq!(claims["purpose"], purpose);
    let asked = receiver.asked.lock().unwrap().join(" ");
    assert!(!asked.contains("eyJ"), "no token in an address: {asked}");
    claims
}

#[tokio::test]
async fn a_buyer_is_in_the_publishers_app_with_one_click_and_can_come_back() {
    let (receiver, address) = Receiver::start(|_| "/welcome".to_owned()).await;
    let dev = dev(&[("PUBLISHER_HANDOFF_URL", address.as_str())]).await;
    let browser = Browser::desktop().await;
    confirm(&dev, &browser).await;
    browser.wait_for_text("is active").await;
    browser.press("Open Contoso").await;
    browser.wait_for_text("Welcome to Contoso").await;
    assert_eq!(browser.url().await.path(), "/welcome");
    let first = assert_taken(&dev, &receiver, &address, "open").await;
    assert_eq!(browser.complaints().await, [""; 0], "nothing was blocked");

    // The page that handed over is not in the history; opened again, it hands over again, with another token.
    browser.back().await;
    browser.wait_for_text("is active").await;
    assert!(!browser.url().await.as_str().contains("open"), "{}", browser.url().await);
    browser.press("Open Contoso").await;
    browser.wait_for_text("Welcome to Contoso").await;
    let second = assert_taken(&dev, &receiver, &address, "open").await;
    assert_ne!(first["jti"], second["jti"]);
    assert_eq!(receiver.received().len(), 2, "once each");
}

#[tokio::test]
async fn without_scripts_there_is_a_button() {
    let (receiver, address) = Receiver::start(|_| "/welcome".to_owned()).await;
    let dev = dev(&[("PUBLISHER_HANDOFF_URL", address.as_str())]).await;
    let browser = Browser::without_scripts().await;
    let bought = dev.simulator.purchase(&Purchase::of("silver", Some(5))).unwrap();
    browser.goto(bought.landing_url.as_str()).await;
    browser.press("buyer").await;
    browser.click("input[type=submit]").await;
    browser.press("Confirm").await;
    browser.wait_for_text("is active").await;
    browser.press("Open Contoso").await;
    browser.wait_for_text("Opening Contoso").await;
    assert_eq!(receiver.received().len(), 0);
    browser.press("Continue to Contoso").await;
    browser.wait_for_text("Welcome to Contoso").await;
    assert_taken(&dev, &receiver, &address, "open").await;
}

/// Whoever loads the page again stays on it; a button pressed late sends no token that may have ended.
#[tokio::test]
async fn a_page_that_was_left_open_comes_anew_before_it_hands_over() {
    let (receiver, address) = Receiver::start(|_| "/welcome".to_owned()).await;
    let dev = dev(&[("PUBLISHER_HANDOFF_URL", address.as_str())]).await;
    let browser = Browser::desktop().await;
    confirm(&dev, &browser).await;
    browser.wait_for_text("is active").await;
    let done = browser.url().await;
    // The script of the page is kept from submitting: the browser says that the page was loaded again.
    browser.goto(format!("{done}&nothing")).await;
    browser
        .script(&format!("history.replaceState(null, '', '{done}&open'); setTimeout(() => location.reload())"))
        .await;
    browser.wait_for_text("Opening Contoso").await;
    assert_eq!(receiver.received().len(), 0, "not sent away");
    let shown = browser.script("return document.querySelector('input').value").await;
    browser.script("document.getElementById('handoff').dataset.renewedSeconds = 0").await;
    browser.press("Continue to Contoso").await;
    browser.wait_for_text("Welcome to Contoso").await;
    assert_taken(&dev, &receiver, &address, "open").await;
    let all = receiver.received();
    assert!(all.len() == 1 && all[0].0["handoff"] != shown.as_str().unwrap(), "another token than was shown");
}

/// Chromium holds redirects to the page's policy as well: what `docs/handoff.md` tells publishers.
#[tokio::test]
async fn a_hand_off_is_led_on_within_its_own_origin_only() {
    let (receiver, address) = Receiver::start(|port| format!("http://127.0.0.1:{port}/welcome")).await;
    let dev = dev(&[("PUBLISHER_HANDOFF_URL", address.as_str())]).await;
    let browser = Browser::desktop().await;
    confirm(&dev, &browser).await;
    browser.wait_for_text("is active").await;
    browser.press("Open Contoso").await;
    browser.wait_for_text("Opening Contoso").await;
    let complaints = browser.complaints().await.join(" ");
    assert!(complaints.contains("form-action"), "{complaints}");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_buyer_is_asked_first_where_the_publisher_must_ask() {
    let (receiver, address) = Receiver::start(|_| "/welcome".to_owned()).await;
    let settings = [("ACTIVATION", "publisher"), ("PUBLISHER_SETUP_URL", address.as_str())];
    let dev = dev(&settings).await;
    let slow = serde_json::from_value(serde_json::json!({ "activationLag": "PT1H" })).unwrap();
    dev.simulator.set_faults(slow).unwrap();
    let phone = Browser::phone().await;
    confirm(&dev, &phone).await;
    phone.wait_for_text("Welcome to Contoso").await;
    let first = assert_taken(&dev, &receiver, &address, "setup").await;
    let page = format!("api/landing?subscription={}", first["subscription"]["id"].as_str().unwrap());
    phone.goto(dev.host_url.join(&page).unwrap().as_str()).await;
    phone.wait_for_text("Activating your subscription").await;
    phone.press("Set up Contoso").await;
    phone.wait_for_text("Welcome to Contoso").await;
    let second = assert_taken(&dev, &receiver, &address, "setup").await;
    assert_ne!(first["jti"], second["jti"]);
    assert_eq!(phone.complaints().await, [""; 0], "nothing was blocked");
}
