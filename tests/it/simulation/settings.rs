//! How the publisher of a world has set things up, drawn from its seed.

use fastrand::Rng;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::{Options, Surroundings};
use url::Url;

/// The marketplace, and settings that fit it.
pub(super) async fn surroundings(seed: u64, rng: &mut Rng, clock: &Clock, app_url: &Url) -> Surroundings {
    let mut environment = vec![("RECONCILE", "repair".to_owned())];
    if rng.u8(..4) == 0 {
        environment.push(("ACTIVATION", "publisher".to_owned()));
    }
    if rng.bool() {
        let limits = r#"{"seatLimits":[{"plan":"silver","max":20},{"plan":"gold","max":10}]}"#;
        environment.push(("CHANGE_POLICY", limits.to_owned()));
    }
    if rng.u8(..5) == 0 {
        environment.push(("PUBLISHER_EVENTS_URL", String::new()));
    }
    let options = Options {
        port: 0,
        simulator_port: 0,
        enable_auth: false,
        seed,
        app_root: None,
        traceparent: false,
        clock: clock.clone(),
        app: None,
        environment: environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        storage: None,
        program: None,
    };
    Surroundings::start(&options, app_url).await.unwrap()
}
