//! The keys that prove a hand-off: what is published, and how they are changed without a hand-off that nobody can prove.

use marketplace_fulfillment::handoff::KEYS_CACHED_FOR;
use marketplace_fulfillment::rotating::TRUSTED_FOR;
use serde_json::{Value, json};

use super::{HANDS_OVER, active, another_key, part, path, proven, published};
use crate::settings::HANDOFF_KEY;
use crate::world::World;

/// The public part of [`HANDOFF_KEY`], worked out by another program, and its thumbprint by RFC 7638.
const X: &str = "HXrpL2C-ZTi0N8z6hVS9fXy2S2cc4gT7JJPwmv_CzXQ";
const Y: &str = "fxfoZ7rjSlrKz2-Rx9qR8yuP8zO_dfLg42Wsoa6TKaw";
const KID: &str = "Mt_zf6C8xAcynK6YiiIdN8eUrEXFA8iM4_CIWXlFl5I";

#[tokio::test]
async fn the_public_parts_are_published_and_nothing_else() {
    let second = another_key();
    let both = format!("{HANDOFF_KEY},{second}");
    let (world, purchase, buyer) = active(&[HANDS_OVER, &[("HANDOFF_KEYS", &both)]].concat(), "buyer").await;
    let answer = world.http.get(world.url("/api/keys")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("cache-control"), "public, max-age=300");
    let keys: Value = answer.json().await.unwrap();
    let [first, other] = keys["keys"].as_array().unwrap().as_slice() else { panic!("{keys}") };
    let expected = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KID, "x": X, "y": Y });
    assert_eq!(*first, expected);
    assert_ne!(other["kid"], first["kid"]);

    // The first one signs.
    let token = buyer.goto(world.url(&path(&purchase, "&open")).as_str()).await.input("handoff").unwrap();
    assert_eq!(part(&token, 0), json!({ "typ": "JWT", "alg": "ES256", "kid": KID }));
    let issuer = world.dev.host_url.as_str().trim_end_matches('/');
    assert!(proven(&token, &keys, super::HANDOFF, issuer).is_ok());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}{signature}", if signature.starts_with('A') { 'B' } else { 'A' });
    let forged = &forged[..token.len()];
    assert!(proven(forged, &keys, super::HANDOFF, issuer).is_err());
    assert!(proven(&token, &keys, "https://elsewhere.example/", issuer).is_err());
    assert!(KEYS_CACHED_FOR < TRUSTED_FOR, "a new key is in every answer before it signs");
}

#[tokio::test]
async fn where_nobody_is_handed_over_there_are_no_keys() {
    let world = World::new(&[]).await;
    assert_eq!(published(&world).await, json!({ "keys": [] }));
}
