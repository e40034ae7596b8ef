//! Keys for hand-offs in the vault: they are changed without a hand-off that a receiver cannot prove, and looked for only
//! where buyers are handed over.

use marketplace_fulfillment::handoff::{HANDOFF_LIFETIME, KEYS_CACHED_FOR};
use marketplace_fulfillment::rotating::{REREAD_AFTER, TRUSTED_FOR};
use marketplace_fulfillment::secrets::Secrets;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::azure::{Azure, Mood, in_azure};
use super::keyvault::secrets;
use crate::handoff::{HANDOFF, another_key};
use crate::settings::HANDOFF_KEY;
use crate::world::{START, World};

const NAME: &str = "handoff-keys";

fn instance(azure: &Azure) -> Secrets {
    secrets(azure, &[("MARKETPLACE_CLIENT_SECRET", "unused"), ("PUBLISHER_HANDOFF_URL", HANDOFF)])
}

/// The ids of the keys that an instance publishes now, and of the one that it signs with.
async fn keys(instance: &Secrets, now: OffsetDateTime) -> (Vec<String>, String) {
    let signer = instance.handoff.as_ref().unwrap().fresh(now).await.unwrap();
    let published = signer.value.public_keys();
    let published = published["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
    (published.collect(), signer.value.key_id().to_owned())
}

/// Receivers keep what an instance published for [`KEYS_CACHED_FOR`], and any instance may sign: whenever one does, every
/// answer that somebody may still go by has its key, and so does every answer until the hand-off has ended.
#[tokio::test]
async fn whatever_is_signed_can_be_proven_by_whatever_was_published() {
    in_azure(async |azure| {
        azure.set(NAME, HANDOFF_KEY, START - Duration::days(100));
        // How often each instance is used, in minutes: what the busy one holds is young, what the others hold is old.
        let instances = [(1, instance(azure)), (9, instance(azure)), (19, instance(azure)), (33, instance(azure))];
        let [second, third] = [another_key(), another_key()];
        let changes = [(3, format!("{second},{HANDOFF_KEY}")), (90, format!("{third},{second}"))];
        let (mut published, mut signed) = (Vec::new(), Vec::new());
        for minute in 0..200 {
            let now = START + Duration::minutes(minute);
            for (_, value) in changes.iter().filter(|(at, _)| *at == minute) {
                azure.set(NAME, value, now);
                let (fresh, signs) = keys(&instance(azure), now).await;
                assert!(fresh.len() >= 2 && signs == fresh[0], "a new key is published at once: {fresh:?}");
            }
            for (_, instance) in instances.iter().filter(|(every, _)| minute % every == 0) {
                let (kids, signs) = keys(instance, now).await;
                published.push((now, kids));
                signed.push((now, signs));
            }
        }
        for (at, kid) in &signed {
            let counts = |asked: &OffsetDateTime| (*at - KEYS_CACHED_FOR..=*at + HANDOFF_LIFETIME).contains(asked);
            for (asked, kids) in published.iter().filter(|(asked, _)| counts(asked)) {
                assert!(kids.contains(kid), "signed at {at} by {kid}, and at {asked} these were published: {kids:?}");
            }
        }
        let mut order: Vec<&String> = Vec::new();
        for (_, kid) in &signed {
            if !order.contains(&kid) {
                order.push(kid);
            }
        }
        assert_eq!(order.len(), 3, "each of the keys came to sign");
        let first_by_second = signed.iter().find(|(_, kid)| kid == order[1]).unwrap().0 - START;
        let settled = Duration::minutes(3) + TRUSTED_FOR + KEYS_CACHED_FOR;
        assert!(first_by_second >= settled && first_by_second < settled + Duration::minutes(20), "{first_by_second}");
    })
    .await;
}

/// A version that holds one key, as somebody makes it by hand, counts with the version before it.
#[tokio::test]
async fn a_new_version_is_published_beside_the_one_before_it_and_no_third() {
    in_azure(async |azure| {
        let all = [HANDOFF_KEY.to_owned(), another_key(), another_key()];
        let mut kids = Vec::new();
        for (index, key) in all.iter().enumerate() {
            azure.set(NAME, key, START - Duration::days(10 - i64::try_from(index).unwrap()));
            let (published, signs) = keys(&instance(azure), START).await;
            assert_eq!(published.len(), (index + 1).min(2), "{published:?}");
            assert_eq!(signs, published[0], "the newest signs");
            assert!(!kids.contains(&signs), "it is another");
            kids.push(signs);
        }
    })
    .await;
}

#[tokio::test]
async fn keys_that_nobody_uses_are_not_looked_for() {
    in_azure(async |azure| {
        let without = secrets(azure, &[("MARKETPLACE_CLIENT_SECRET", "unused")]);
        assert!(without.handoff.is_none());
        azure.set("marketplace-client-secret", marketplace_fulfillment::dev::simulator::CLIENT_SECRET, START);
        let world = World::new(&azure.settings(&[("MARKETPLACE_CLIENT_SECRET", "")])).await;
        let answer = world.visitor().goto(world.url("/api/keys").as_str()).await;
        assert_eq!(answer.json(), serde_json::json!({ "keys": [] }));
        world.dev.app.secrets.watch(START).await;
        assert!(!azure.vault_requests().iter().any(|path| path.contains(NAME)), "{:?}", azure.vault_requests());
    })
    .await;
}

#[tokio::test]
async fn while_the_vault_is_away_nobody_hears_why() {
    in_azure(async |azure| {
        azure.set_mood(Mood::Refusing(503, Value::Null));
        let settings = azure.settings(&[("PUBLISHER_HANDOFF_URL", HANDOFF)]);
        let world = World::new(&settings).await;
        let asks = async || world.visitor().goto(world.url("/api/keys").as_str()).await;
        let answer = asks().await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("vault_unavailable")));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "nobody goes by it");
        assert!(!answer.body.contains("KEY_VAULT_URL"), "{}", answer.body);
        azure.set_mood(Mood::Open);
        azure.set(NAME, HANDOFF_KEY, START - Duration::days(1));
        assert_eq!(asks().await.json()["keys"].as_array().unwrap().len(), 1);
        azure.set_mood(Mood::Refusing(503, Value::Null));
        world.pass(TRUSTED_FOR).await;
        assert_eq!(asks().await.json()["keys"].as_array().unwrap().len(), 1, "what is held serves on");
    })
    .await;
}

#[tokio::test]
async fn keys_are_read_again_by_who_has_just_answered_and_by_who_holds_old_ones() {
    in_azure(async |azure| {
        azure.set(NAME, HANDOFF_KEY, START - Duration::days(100));
        let world = World::new(&azure.settings(&[("PUBLISHER_HANDOFF_URL", HANDOFF)])).await;
        // The hourly look at what expires, at 17 minutes past, is not meant.
        world.pass(Duration::minutes(18)).await;
        let visitor = world.visitor();
        let published = async || {
            let keys = visitor.goto(world.url("/api/keys").as_str()).await.json();
            world.idle().await;
            keys["keys"].as_array().unwrap().len()
        };
        let reads = || azure.vault_requests().iter().filter(|path| **path == format!("/secrets/{NAME}/")).count() - 1;
        assert_eq!(reads(), 0);
        world.pass(REREAD_AFTER).await;
        assert_eq!((published().await, reads()), (1, 1));
        world.pass(REREAD_AFTER).await;
        visitor.goto(world.url("/api/health").as_str()).await;
        world.idle().await;
        assert_eq!(reads(), 2, "nobody waited for it");
        azure.set(NAME, &another_key(), world.now());
        assert_eq!((published().await, reads()), (1, 2), "what is held is young");
        world.pass(TRUSTED_FOR).await;
        assert_eq!((published().await, reads()), (2, 3), "who asks waits for what others may sign with");
    })
    .await;
}
