//! Stories of the hand-off: what a buyer's browser carries to the publisher's software, who gets it, when, and how it is
//! proven there.

mod browser;
mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use marketplace_fulfillment::handoff::HANDOFF_LIFETIME;
use marketplace_fulfillment::session::SESSION_LIFETIME;
use marketplace_fulfillment::settings::Settings;
use serde_json::{Value, json};
use time::Duration;
use url::Url;

use crate::log::Log;
use crate::settings::HANDOFF_KEY;
use crate::visitor::{Page, Visitor};
use crate::world::{Purchase, START, World};

pub(crate) const HANDOFF: &str = "https://app.contoso.example/marketplace/handoff?from=a&to=b";
const SETUP: &str = "https://setup.contoso.example:8443/begin";

const HANDS_OVER: &[(&str, &str)] = &[("PUBLISHER_HANDOFF_URL", HANDOFF), ("HANDOFF_KEYS", HANDOFF_KEY)];
const ASKS_FIRST: &[(&str, &str)] = &[
    ("ACTIVATION", "publisher"),
    ("PUBLISHER_SETUP_URL", SETUP),
    ("PUBLISHER_HANDOFF_URL", HANDOFF),
    ("HANDOFF_KEYS", HANDOFF_KEY),
];

/// Another private key of P-256.
pub(crate) fn another_key() -> String {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    STANDARD.encode(key.as_ref())
}

/// The part of a JWT that is not proven: its header, or its claims.
pub(crate) fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// The claims, as a receiver proves them: by the key that the header names, for itself. Not the times, which are the
/// story's.
pub(crate) fn proven(token: &str, keys: &Value, audience: &str, issuer: &str) -> Result<Value, String> {
    let keys: JwkSet = serde_json::from_value(keys.clone()).unwrap();
    let header = part(token, 0);
    let key = keys.find(header["kid"].as_str().unwrap()).ok_or("a key that is not published")?;
    let mut expected = Validation::new(Algorithm::ES256);
    expected.set_audience(&[audience]);
    expected.set_issuer(&[issuer]);
    expected.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    expected.validate_exp = false;
    let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
    jsonwebtoken::decode::<Value>(token, &key, &expected).map(|data| data.claims).map_err(|error| error.to_string())
}

fn path(purchase: &Purchase, purpose: &str) -> String {
    format!("/api/landing?subscription={}{purpose}", purchase.id)
}

async fn goto(world: &World, visitor: &Visitor, path: &str) -> Page {
    visitor.goto(world.url(path).as_str()).await
}

async fn published(world: &World) -> Value {
    goto(world, &world.visitor(), "/api/keys").await.json()
}

/// The claims of a page that hands over, proven.
async fn claims(world: &World, page: &Page, audience: &str) -> Value {
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.attribute("<form", "action").as_deref(), Some(audience), "{}", page.text());
    let token = page.input("handoff").unwrap();
    let issuer = world.dev.host_url.as_str().trim_end_matches('/');
    proven(&token, &published(world).await, audience, issuer).unwrap()
}

/// A world with an active subscription, and its buyer.
async fn active(settings: &[(&str, &str)], person: &str) -> (World, Purchase, Visitor) {
    let world = World::new(settings).await;
    let order = json!({
        "offerId": "contoso-offer", "planId": "silver", "quantity": 5, "beneficiary": person, "purchaser": person,
    });
    let purchase = world.purchase(order).await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, person).await;
    buyer.confirm(&page).await;
    world.pass(Duration::minutes(1)).await;
    (world, purchase, buyer)
}

#[tokio::test]
async fn the_button_of_an_active_subscription_leads_to_a_signed_form() {
    let (world, purchase, buyer) = active(HANDS_OVER, "buyer").await;
    let page = goto(&world, &buyer, &path(&purchase, "")).await;
    let button = page.attribute("<a class=\"button\"", "href").unwrap();
    assert_eq!(button, path(&purchase, "&open"), "a URL of ours that lets nobody in");
    assert!(page.input("handoff").is_none());

    let page = goto(&world, &buyer, &button).await;
    let record = world.record(&purchase.id).await.unwrap();
    let (begins, ends) = (world.now().unix_timestamp(), (world.now() + Duration::minutes(2)).unix_timestamp());
    let mut claims = claims(&world, &page, HANDOFF).await;
    let id = claims["jti"].take();
    let expected = json!({
        "iss": world.dev.host_url.as_str().trim_end_matches('/'),
        "aud": HANDOFF,
        "iat": begins, "nbf": begins, "exp": ends,
        "jti": null,
        "sub": "5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911:c1a4d7e2-93b5-4f68-8f1d-70d2b6a9e301",
        "purpose": "open",
        "subscription": {
            "id": purchase.id.to_string(), "name": record.known.name, "offerId": "contoso-offer", "planId": "silver",
            "quantity": 5, "status": "Subscribed",
        },
        "person": {
            "tenantId": "5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911", "objectId": "c1a4d7e2-93b5-4f68-8f1d-70d2b6a9e301",
            "username": "buyer@fabrikam.example", "name": "Bea Baker",
        },
    });
    assert_eq!(claims, expected);
    assert_eq!(uuid::Uuid::parse_str(id.as_str().unwrap()).unwrap().get_version_num(), 4);

    let token = page.input("handoff").unwrap();
    let form = page.body.split("<form").nth(1).unwrap();
    assert_eq!((form.matches("<input").count(), page.body.matches("<form").count()), (1, 1), "one field: {form}");
    assert!(form.contains("<button type=\"submit\">"), "where scripts are off: {form}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("; form-action https://app.contoso.example; "), "{policy}");
    assert!(!page.url.as_str().contains(&token) && page.headers.iter().all(|(_, value)| !value.contains(&token)));
    world.assert_silence().await;
}

#[tokio::test]
async fn the_log_tells_of_a_hand_off_and_not_what_it_carries() {
    let (world, purchase, buyer) = active(HANDS_OVER, "buyer").await;
    // A handler on the story's own thread, whose log the story can read.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the handler lives as long as the story's runtime")]
    tokio::spawn(marketplace_fulfillment::serve::serve(world.dev.app.clone(), listener));
    let cookies: Vec<String> = buyer.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cookies = cookies.join("; ");
    let log = Log::default();
    let captured = log.capture();
    let url = base.join(&path(&purchase, "&open")).unwrap();
    let page = world.visitor().send(reqwest::Method::GET, &url, None, &[("cookie", &cookies)]).await;
    drop(captured);
    let claims = claims(&world, &page, HANDOFF).await;
    let (text, token) = (log.text(), page.input("handoff").unwrap());
    for told in [claims["jti"].as_str().unwrap(), "a buyer is handed over", purchase.id.as_str()] {
        assert!(text.contains(told), "{told} is not in the log: {text}");
    }
    let [header, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    for secret in [header, body, signature, HANDOFF_KEY, "buyer@fabrikam", "Bea Baker", &cookies] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn a_personal_account_is_told_as_it_signed_in() {
    let (world, purchase, person) = active(HANDS_OVER, "personal").await;
    let page = goto(&world, &person, &path(&purchase, "&open")).await;
    let claims = claims(&world, &page, HANDOFF).await;
    let tenant = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let object = "00000000-0000-0000-0003-4001c7d2e5f6";
    assert_eq!(claims["sub"], format!("{tenant}:{object}"));
    let person = json!({
        "tenantId": tenant, "objectId": object, "username": "personal@outlook.example", "name": "Pia Porter",
    });
    assert_eq!(claims["person"], person);
}

/// A plan without seats has none in the claims, and says so.
#[tokio::test]
async fn what_is_not_known_is_null_or_absent() {
    let world = World::new(HANDS_OVER).await;
    let purchase = world.purchase(json!({ "offerId": "contoso-offer", "planId": "bronze" })).await;
    let buyer = world.confirmed(&purchase).await;
    world.pass(Duration::minutes(1)).await;
    let page = goto(&world, &buyer, &path(&purchase, "&open")).await;
    assert_eq!(claims(&world, &page, HANDOFF).await["subscription"]["quantity"], Value::Null);

    let settings = Settings::read(|key| world.dev.settings.get(key).cloned()).unwrap();
    let person = marketplace_fulfillment::person::Person {
        tenant_id: "t".to_owned(),
        object_id: "o".to_owned(),
        name: None,
        username: None,
    };
    let handoff = marketplace_fulfillment::handoff::Handoff {
        issuer: "https://landing.contoso.example",
        audience: settings.connection.handoff.as_ref().unwrap(),
        purpose: marketplace_fulfillment::handoff::Purpose::Open,
        subscription: &world.record(&purchase.id).await.unwrap(),
        person: &person,
    };
    let signer = world.dev.app.secrets.handoff.as_ref().unwrap().current(START).await.unwrap();
    let token = signer.value.sign(&handoff, START).unwrap().token;
    assert_eq!(part(&token, 1)["person"], json!({ "tenantId": "t", "objectId": "o" }));
}

#[tokio::test]
async fn nobody_else_is_handed_over() {
    let (world, purchase, _) = active(HANDS_OVER, "buyer").await;
    let open = world.url(&path(&purchase, "&open"));

    // No session: sign-in first, which leads back to where the person was going.
    let colleague = world.visitor();
    let first = colleague.goto(open.as_str()).await;
    let authorize = first.location().expect("to sign in");
    assert!(first.input("handoff").is_none());
    let page = colleague.post_answer(&colleague.sign_in(&authorize, "colleague").await).await;
    let claims = claims(&world, &page, HANDOFF).await;
    assert_eq!(claims["person"]["username"], "colleague@fabrikam.example");

    // A session of somebody else, who may sign in as somebody who may.
    for stranger in ["stranger", "personal"] {
        let visitor = world.visitor();
        let own = world.purchase(json!({
            "offerId": "contoso-offer", "planId": "bronze", "beneficiary": stranger, "purchaser": stranger,
        }));
        visitor.arrive(&own.await.landing_url, stranger).await;
        let page = visitor.goto(open.as_str()).await;
        assert_eq!(page.status, 403, "{stranger}: {}", page.text());
        assert!(page.input("handoff").is_none(), "{stranger}");
        let again = Url::parse(&page.attribute("<a class=\"button\"", "href").unwrap()).unwrap();
        let page = visitor.post_answer(&visitor.sign_in(&again, "buyer").await).await;
        assert_eq!(page.url.query(), Some(format!("subscription={}&open", purchase.id).as_str()));
        assert!(page.input("handoff").is_some(), "{}", page.text());
    }

    // A session that has ended.
    world.pass(SESSION_LIFETIME).await;
    let page = colleague.goto(open.as_str()).await;
    assert!(page.location().is_some() && page.input("handoff").is_none(), "{}", page.text());

    let elsewhere = format!("/api/landing?subscription={}&open", "00000000-0000-0000-0000-000000000000");
    let page = world.visitor().arrive(world.url(&elsewhere).as_str(), "buyer").await;
    assert_eq!(page.status, 404, "{}", page.text());
}

#[tokio::test]
async fn no_two_hand_offs_are_the_same() {
    let (world, purchase, buyer) = active(HANDS_OVER, "buyer").await;
    let other = world.silver().await;
    let page = buyer.goto(&other.landing_url).await;
    buyer.confirm(&page).await;
    world.pass(Duration::minutes(1)).await;
    let mut seen = Vec::new();
    for purchase in [&purchase, &other, &purchase] {
        let page = goto(&world, &buyer, &path(purchase, "&open")).await;
        let claims = claims(&world, &page, HANDOFF).await;
        assert_eq!(claims["subscription"]["id"], purchase.id.to_string());
        assert!(!seen.contains(&claims["jti"]), "{claims}");
        seen.push(claims["jti"].clone());
    }
}

/// A token that has ended is a receiver's to refuse; a page that was left open gets a fresh one.
#[tokio::test]
async fn a_hand_off_ends_after_two_minutes_and_the_page_gives_a_new_one() {
    let (world, purchase, buyer) = active(HANDS_OVER, "buyer").await;
    let first = claims(&world, &goto(&world, &buyer, &path(&purchase, "&open")).await, HANDOFF).await;
    world.pass(HANDOFF_LIFETIME).await;
    let now = world.now().unix_timestamp();
    let second = claims(&world, &goto(&world, &buyer, &path(&purchase, "&open")).await, HANDOFF).await;
    assert!(first["exp"] == now && second["exp"] == now + 120, "{first} {second}");
}

#[tokio::test]
async fn only_an_active_subscription_is_handed_over() {
    let world = World::new(HANDS_OVER).await;
    let purchase = world.silver().await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
    let unconfirmed = goto(&world, &buyer, &path(&purchase, "&open")).await;
    assert!(unconfirmed.input("form_token").is_some() && unconfirmed.input("handoff").is_none());
    world.faults(json!({ "activationLag": "PT1M" })).await;
    buyer.confirm(&page).await;
    world.idle().await;
    let activating = goto(&world, &buyer, &path(&purchase, "&open")).await;
    assert!(activating.text().contains("Activating") && activating.input("handoff").is_none());
    assert!(!activating.body.contains("&#38;setup") && !activating.body.contains("&setup"), "nobody asks anything");
    world.pass(Duration::minutes(5)).await;
    assert!(goto(&world, &buyer, &path(&purchase, "&open")).await.input("handoff").is_some());
    for (deed, word) in [("suspend", "suspended"), ("unsubscribe", "cancelled")] {
        world.simulator("POST", &format!("/simulator/subscriptions/{}/{deed}", purchase.id), &json!({})).await;
        world.idle().await;
        let page = goto(&world, &buyer, &path(&purchase, "&open")).await;
        assert_eq!(page.status, 409, "{}", page.text());
        assert!(page.text().contains(word) && page.input("handoff").is_none(), "{}", page.text());
    }
}

#[tokio::test]
async fn without_an_address_to_hand_over_to_the_page_has_a_plain_link() {
    let (world, purchase, buyer) = active(&[("HANDOFF_KEYS", HANDOFF_KEY)], "buyer").await;
    for purpose in ["", "&open", "&setup"] {
        let page = goto(&world, &buyer, &path(&purchase, purpose)).await;
        let link = page.attribute("<a class=\"button\"", "href");
        assert_eq!(link.as_deref(), Some(world.dev.simulator_url.as_str()), "{purpose}");
        assert!(page.input("handoff").is_none(), "{purpose}");
    }
}

#[tokio::test]
async fn a_publisher_who_must_ask_first_gets_the_buyer_right_after_the_confirmation() {
    let world = World::new(ASKS_FIRST).await;
    world.faults(json!({ "activationLag": "PT1H" })).await;
    let purchase = world.silver().await;
    let buyer = world.visitor();
    let page = buyer.arrive(&purchase.landing_url, "buyer").await;
    let early = goto(&world, &buyer, &path(&purchase, "&setup")).await;
    assert!(early.input("form_token").is_some() && early.input("handoff").is_none(), "first they confirm");

    let page = buyer.confirm(&page).await;
    assert_eq!(page.url.query(), Some(format!("subscription={}&setup", purchase.id).as_str()));
    let claims = claims(&world, &page, SETUP).await;
    assert_eq!((&claims["purpose"], &claims["aud"]), (&json!("setup"), &json!(SETUP)));
    assert_eq!(claims["subscription"]["status"], "PendingFulfillmentStart");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("; form-action https://setup.contoso.example:8443; "), "{policy}");

    // Who comes back finds the way, also when it takes long.
    for (after, words) in [(0, "Activating"), (15, "longer than usual")] {
        world.pass(Duration::minutes(after)).await;
        let page = goto(&world, &buyer, &path(&purchase, "")).await;
        assert!(page.text().contains(words) && page.text().contains("Set up Contoso"), "{}", page.text());
        assert_eq!(page.attribute("<section class=\"note\" aria-labelledby=\"setup\">", "href"), None);
        let note = page.body.split("aria-labelledby=\"setup\"").nth(1).unwrap();
        assert!(note.contains(&format!("subscription={}&#38;setup", purchase.id)), "{note}");
        let open = goto(&world, &buyer, &path(&purchase, "&open")).await;
        assert!(open.input("handoff").is_none(), "it is not active yet");
        assert!(goto(&world, &buyer, &path(&purchase, "&setup")).await.input("handoff").is_some());
    }
}

/// Whether or not the publisher had to be asked: an active subscription is opened, and not set up.
#[tokio::test]
async fn what_is_active_is_not_set_up_any_more() {
    let (world, purchase, buyer) = active(HANDS_OVER, "buyer").await;
    let page = goto(&world, &buyer, &path(&purchase, "&setup")).await;
    assert!(page.text().contains("active") && page.input("handoff").is_none(), "{}", page.text());
}
