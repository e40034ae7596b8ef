//! Cookie keys in the vault: nobody is signed out by a change, whichever instance answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marketplace_fulfillment::person::Person;
use marketplace_fulfillment::rotating::{REREAD_AFTER, TRUSTED_FOR};
use marketplace_fulfillment::secrets::Secrets;
use marketplace_fulfillment::subscription::Status;
use marketplace_fulfillment::web::Request;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::azure::{Mood, in_azure};
use super::keyvault::secrets;
use crate::world::{START, World};

const NAME: &str = "cookie-keys";
const GIVEN: &[(&str, &str)] = &[("MARKETPLACE_CLIENT_SECRET", "unused")];

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

/// The cookie of somebody who signs in now, at one instance.
async fn sign_in(instance: &Secrets, now: OffsetDateTime) -> Request {
    let person = Person {
        tenant_id: "3e6a0e0c-7f4d-4a55-9c1b-0f8d2b7c6a10".to_owned(),
        object_id: "5f0e9d0c-91d2-4f0c-8a8e-0f8a1c9d7b55".to_owned(),
        name: None,
        username: None,
    };
    let (_, cookie) = instance.sessions(now).await.unwrap().start(person, now);
    let value = cookie.split(';').next().unwrap().to_owned();
    Request { headers: vec![("cookie".to_owned(), value)], ..Request::default() }
}

async fn knows(instance: &Secrets, request: &Request, now: OffsetDateTime) -> bool {
    instance.sessions(now).await.unwrap().open(request, now).is_some()
}

#[tokio::test]
async fn a_new_version_signs_nobody_out_at_any_instance() {
    in_azure(async |azure| {
        azure.set(NAME, &key(1), START - Duration::days(100));
        let (busy, quiet, fresh) = (secrets(azure, GIVEN), secrets(azure, GIVEN), secrets(azure, GIVEN));
        let before = sign_in(&busy, START).await;
        assert!(knows(&quiet, &before, START).await);

        let changed = START + Duration::minutes(1);
        azure.set(NAME, &key(2), changed);
        // One instance has read the new key, the other has not: what either seals, both open.
        let early = START + REREAD_AFTER;
        busy.reread(early).await;
        let during = sign_in(&busy, early).await;
        assert!(knows(&quiet, &during, early).await && knows(&busy, &before, early).await);
        assert!(knows(&fresh, &during, early).await && knows(&fresh, &before, early).await);

        // By now nobody uses the keys of before the change: the new one seals.
        let late = changed + TRUSTED_FOR;
        busy.reread(late).await;
        let after = sign_in(&busy, late).await;
        azure.change(NAME, 0, |old| old.enabled = false);
        let only_new = secrets(azure, GIVEN);
        assert!(knows(&only_new, &after, late).await && !knows(&only_new, &during, late).await);
        assert!(knows(&quiet, &after, late).await, "it has read again, because its keys were too old to be trusted");
    })
    .await;
}

#[tokio::test]
async fn two_keys_in_one_version_count_as_in_the_setting() {
    in_azure(async |azure| {
        azure.set(NAME, &key(1), START - Duration::days(100));
        let old = sign_in(&secrets(azure, GIVEN), START).await;
        azure.forget(NAME);
        azure.set(NAME, &format!("{},{}", key(2), key(1)), START - Duration::days(1));
        let both = secrets(azure, GIVEN);
        assert!(knows(&both, &old, START).await);
        let new = sign_in(&both, START).await;
        azure.forget(NAME);
        azure.set(NAME, &key(2), START - Duration::days(1));
        assert!(knows(&secrets(azure, GIVEN), &new, START).await, "the first one seals");

        // A version with a slip in it is left out, and said.
        azure.set(NAME, "c2hvcnQ=", START);
        assert!(knows(&secrets(azure, GIVEN), &new, START).await);
    })
    .await;
}

#[tokio::test]
async fn a_buyer_stays_signed_in_while_the_keys_change() {
    in_azure(async |azure| {
        azure.set(NAME, &key(1), START - Duration::days(100));
        let world = World::new(&azure.settings(&[("COOKIE_KEYS", "")])).await;
        let (buyer, purchase) = (world.visitor(), world.silver().await);
        let page = buyer.arrive(&purchase.landing_url, "buyer").await;
        azure.set(NAME, &key(2), world.now());
        world.pass(TRUSTED_FOR + Duration::minutes(1)).await;
        let again = buyer.goto(page.url.as_str()).await;
        assert!(again.status == 200 && again.url == page.url, "{}", again.text());
        let done = buyer.confirm(&page).await;
        assert_eq!(done.status, 200, "the form of before the change counts: {}", done.text());
        world.assert_silence().await;
        assert_eq!(world.record(&purchase.id).await.unwrap().known.status, Status::Subscribed);
    })
    .await;
}

/// Neither the start nor health nor a webhook has any use for the vault, whatever state it is in.
#[tokio::test]
async fn nobody_waits_for_cookie_keys_that_needs_none() {
    in_azure(async |azure| {
        azure.set_mood(Mood::Silent);
        let world = World::new(&azure.settings(&[("COOKIE_KEYS", "")])).await;
        assert_eq!(world.visitor().goto(world.url("/api/health").as_str()).await.status, 200);
        let order = json!({ "offerId": "contoso-offer", "planId": "silver", "quantity": 5, "autoActivate": true });
        let purchase = world.purchase(order).await;
        world.settle().await;
        let suspend = format!("/simulator/subscriptions/{}/suspend", purchase.id);
        world.simulator("POST", &suspend, &json!({})).await;
        world.settle().await;
        let deliveries = &world.simulated(&purchase.id).await["deliveries"];
        assert!(deliveries.as_array().unwrap().iter().all(|delivery| delivery["status"] == 200), "{deliveries}");
        assert!(azure.vault_requests().is_empty() && azure.identity_requests().is_empty());
    })
    .await;
}
