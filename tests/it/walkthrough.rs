//! A purchase in a real browser, on the machine's clock, with sign-in that really crosses sites: the app is at
//! `127.0.0.1`, Entra at `localhost`.

use std::collections::BTreeMap;
use std::path::Path;

use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::simulator::{Purchase, Purchased};
use marketplace_fulfillment::dev::{self, Dev};

use crate::browser::Browser;

async fn dev() -> Dev {
    let options = dev::Options {
        port: 0,
        simulator_port: 0,
        enable_auth: false,
        seed: 3,
        app_root: Some(Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()),
        traceparent: false,
        clock: Clock::System,
        app: None,
        environment: BTreeMap::new(),
        storage: None,
        program: None,
    };
    dev::start(options).await.expect("dev starts")
}

fn silver(dev: &Dev) -> Purchased {
    dev.simulator.purchase(&Purchase::of("silver", Some(5))).unwrap()
}

fn activations(dev: &Dev, bought: &Purchased) -> serde_json::Value {
    dev.simulator.subscription(&bought.subscription_id).unwrap()["calls"]["activate"].clone()
}

#[tokio::test]
async fn a_person_buys_signs_in_confirms_and_watches_it_become_active() {
    let dev = dev().await;
    let browser = Browser::desktop().await;
    browser.goto(dev.simulator_url.as_str()).await;
    browser.press("Buy").await;
    browser.press("Configure account now").await;
    browser.press("buyer").await;
    browser.wait_for_text("buyer@fabrikam.example").await;
    assert_eq!(browser.url().await.origin(), dev.host_url.origin());
    assert!(!browser.url().await.as_str().contains("token"), "{}", browser.url().await);
    browser.press("Confirm").await;
    browser.wait_for_text("is active").await;
    assert_eq!(browser.complaints().await, [""; 0], "nothing was blocked");
}

#[tokio::test]
async fn without_scripts_the_page_moves_by_refreshing() {
    let dev = dev().await;
    let bought = silver(&dev);
    let browser = Browser::without_scripts().await;
    browser.goto(bought.landing_url.as_str()).await;
    browser.press("buyer").await;
    // Entra's page needs a button where no script submits it.
    browser.click("input[type=submit]").await;
    browser.press("Confirm").await;
    browser.wait_for_text("is active").await;
    assert_eq!(activations(&dev, &bought), 1);
}

#[tokio::test]
async fn two_tabs_and_the_back_button_give_one_activation() {
    let dev = dev().await;
    let bought = silver(&dev);
    let browser = Browser::desktop().await;
    browser.goto(bought.landing_url.as_str()).await;
    browser.wait_for_url("/entra/").await;
    let first = browser.tab().await;
    let second = browser.new_tab().await;
    browser.goto(bought.landing_url.as_str()).await;
    browser.press("buyer").await;
    browser.wait_for_text("buyer@fabrikam.example").await;
    browser.switch_to(&first).await;
    browser.press("buyer").await;
    browser.press("Confirm").await;
    browser.wait_for_text("is active").await;
    browser.switch_to(&second).await;
    browser.press("Confirm").await;
    browser.wait_for_text("is active").await;
    browser.back().await;
    browser.goto(bought.landing_url.as_str()).await;
    browser.wait_for_text("is active").await;
    assert_eq!(activations(&dev, &bought), 1);
}

#[tokio::test]
async fn on_a_phone_everything_fits() {
    let dev = dev().await;
    let bought = silver(&dev);
    let phone = Browser::phone().await;
    phone.goto(bought.landing_url.as_str()).await;
    phone.press("stranger").await;
    phone.press("Use another account").await;
    phone.press("buyer").await;
    phone.wait_for_text("buyer@fabrikam.example").await;
    let too_wide = phone.script("return document.documentElement.scrollWidth > innerWidth").await;
    assert_eq!(too_wide, false, "the page scrolls sideways");
    phone.press("Confirm").await;
    phone.wait_for_text("is active").await;
}
