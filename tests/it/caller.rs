//! The callers of the webhook: who is believed to be the marketplace, and what happens when the keys cannot be had.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{join, join_all};
use marketplace_fulfillment::dev::simulator::{CLIENT_ID, Signature, TENANT_ID};
use marketplace_fulfillment::error::{Code, Fault, Retry};
use marketplace_fulfillment::marketplace::caller::Caller;
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::settings::{Credential, MarketplaceSettings};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;
use url::Url;

use crate::entra::{
    CLIENT, Issuer, NOW, OBJECT, OPEN, TENANT, assert_unavailable, key, key_list, listed, signed, unsigned,
};
use crate::world::World;

const MARKETPLACE: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7";

/// Entra as it describes itself to one tenant.
async fn entra() -> Issuer {
    let issuer = Issuer::start().await;
    issuer.change(|answers| answers.discovery["issuer"] = json!(format!("{}/{TENANT}/v2.0", issuer.url)));
    issuer
}

fn caller_at(url: &str) -> Caller {
    let url = Url::parse(url).unwrap();
    let settings = MarketplaceSettings {
        api_url: url.clone(),
        api_hosts: Vec::new(),
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        credential: Credential::ManagedIdentity,
        authority: url,
    };
    Caller::new(&settings, outbound::client())
}

/// The claims that Entra puts into a token of this version, for `application` of `tenant`.
fn claims_of(version: u8, authority: &str, tenant: &str, application: &str, now: OffsetDateTime) -> Value {
    let now = now.unix_timestamp();
    let mut claims = json!({
        "aud": application, "tid": tenant, "oid": OBJECT, "sub": OBJECT,
        "iat": now, "nbf": now, "exp": now + 3600, "aio": "E2NgYBDX", "uti": "Ab0", "rh": "0.AX",
    });
    let own = match version {
        1 => json!({
            "ver": "1.0", "iss": format!("https://sts.windows.net/{tenant}/"), "appid": MARKETPLACE, "appidacr": "2",
        }),
        _ => json!({
            "ver": "2.0", "iss": format!("{authority}/{tenant}/v2.0"), "azp": MARKETPLACE, "azpacr": "2",
        }),
    };
    claims.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    claims
}

fn claims(issuer: &Issuer, version: u8) -> Value {
    claims_of(version, &issuer.url, TENANT, CLIENT, NOW)
}

fn with(mut claims: Value, claim: &str, value: impl Into<Value>) -> Value {
    claims[claim] = value.into();
    claims
}

fn bearer_by(key_id: &str, key: &KeyPair, claims: &Value) -> String {
    format!("Bearer {}", signed(&json!({ "alg": "RS256", "typ": "JWT", "kid": key_id }), claims, key))
}

fn bearer(claims: &Value) -> String {
    bearer_by("first", key(0), claims)
}

async fn refusal(caller: &Caller, authorization: &str, now: OffsetDateTime) -> Fault {
    caller.verify(Some(authorization), now).await.expect_err("this call must not pass")
}

#[track_caller]
fn assert_refused(fault: &Fault, reason: &str) {
    let expected = (Code::CallerRefused, 401, Retry::Never, reason);
    assert_eq!((fault.code, fault.code.status(), fault.retry, fault.private.as_str()), expected);
}

#[tokio::test]
async fn the_marketplace_is_believed_in_both_versions() {
    let entra = entra().await;
    let caller = caller_at(&entra.url);
    for version in [1, 2] {
        let good = claims(&entra, version);
        caller.verify(Some(&bearer(&good)), NOW).await.unwrap();
        caller.verify(Some(&bearer(&good).replace("Bearer", " bearer ")), NOW).await.unwrap();
        let upper = with(with(good, "aud", CLIENT.to_uppercase()), "tid", TENANT.to_uppercase());
        caller.verify(Some(&bearer(&upper)), NOW).await.unwrap();
    }
    assert_eq!(entra.times_asked(), 1);
}

#[tokio::test]
async fn callers_proven_wrong_are_refused_each_with_its_own_reason() {
    let entra = entra().await;
    let caller = caller_at(&entra.url);
    let (past, future) = (NOW.unix_timestamp() - 301, NOW.unix_timestamp() + 301);
    for (version, name, by, other_version) in [(1, "1.0", "appid", 2), (2, "2.0", "azp", 1)] {
        let good = claims(&entra, version);
        let other = claims(&entra, other_version);
        let changed = |claim: &str, value: Value| bearer(&with(good.clone(), claim, value));
        let with_header = |header: Value| format!("Bearer {}", signed(&header, &good, key(0)));
        let issuer = format!("the webhook token's issuer is not the tenant's of version {name}");
        let foreign = match version {
            1 => format!("https://sts.windows.net/{OBJECT}/"),
            _ => format!("{}/{OBJECT}/v2.0", entra.url),
        };
        let another = format!("the webhook token was given to another application than the marketplace ({by})");
        let mut cases: Vec<(String, &str)> = vec![
            (String::new(), "the webhook was called with an authorization that is not a bearer token"),
            ("Bearer ".to_owned(), "the webhook token is empty"),
            ("Bearer nonsense".to_owned(), "the webhook token is not a JWT"),
            ("Bearer non.sense".to_owned(), "the webhook token's header cannot be read"),
            (bearer_by("first", key(1), &good), "the webhook token's signature is not by the key that it names"),
            (bearer_by("unheard", key(1), &good), "the webhook token is signed with a key that Entra does not list"),
            (with_header(json!({ "alg": "RS512", "kid": "first" })), "the webhook token is not signed with RS256"),
            (with_header(json!({ "alg": "RS256" })), "the webhook token names no key"),
            (
                with_header(json!({ "alg": "RS256", "kid": "first", "crit": ["b64"] })),
                "the webhook token's header demands an extension",
            ),
            (changed("rh", json!("x".repeat(20_000))), "the webhook token is too long"),
            (changed("aud", json!(OBJECT)), "the webhook token is for another application than MARKETPLACE_CLIENT_ID"),
            (
                changed("aud", json!(format!("api://{CLIENT}"))),
                "the webhook token's aud is our application's identifier URI (api://) in place of its id",
            ),
            (
                changed("aud", json!(format!("spn:{CLIENT}"))),
                "the webhook token's aud is our application's id in an unknown form",
            ),
            (changed("aud", json!([CLIENT])), "the webhook token's aud is not a text"),
            (changed("tid", json!(OBJECT)), "the webhook token is of another tenant than MARKETPLACE_TENANT_ID"),
            (changed("iss", json!(foreign)), &issuer),
            (changed("ver", json!("3.0")), "the webhook token's ver is neither 1.0 nor 2.0"),
            (changed(by, json!(CLIENT)), &another),
            (changed("exp", json!(past)), "the webhook token has expired"),
            (changed("nbf", json!(future)), "the webhook token is not valid yet"),
            (changed("exp", json!("tomorrow")), "the webhook token's claims cannot be read"),
        ];
        let mut without_nbf = good.clone();
        without_nbf.as_object_mut().unwrap().remove("nbf");
        assert_eq!(caller.verify(Some(&bearer(&without_nbf)), NOW).await, Ok(()), "the issuer's to leave out");
        for claim in ["aud", "tid", "ver", "iss", "exp", by] {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(claim);
            cases.push((bearer(&claims), Box::leak(format!("the webhook token has no {claim}").into_boxed_str())));
        }
        for (wrong, reason) in &cases {
            assert_refused(&refusal(&caller, wrong, NOW).await, reason);
        }
        let mut reasons: Vec<_> = cases.iter().map(|(_, reason)| reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), cases.len(), "each with its own reason");

        // What one version says is worth nothing in the other.
        assert_refused(&refusal(&caller, &changed("iss", other["iss"].clone()), NOW).await, &issuer);
        let mut swapped = other.clone();
        for claim in ["ver", "iss"] {
            swapped[claim] = good[claim].clone();
        }
        let reason = format!("the webhook token has no {by}");
        assert_refused(&refusal(&caller, &bearer(&swapped), NOW).await, &reason);
    }
    let absent = caller.verify(None, NOW).await.unwrap_err();
    assert_refused(&absent, "the webhook was called without a token");
    let basic = refusal(&caller, "Basic dTpw", NOW).await;
    assert_refused(&basic, "the webhook was called with an authorization that is not a bearer token");
}

#[tokio::test]
async fn only_entras_own_signature_counts() {
    let entra = entra().await;
    let caller = caller_at(&entra.url);
    let good = claims(&entra, 2);
    let none = unsigned(&json!({ "alg": "none", "kid": "first" }), &good);
    for token in [format!("{none}."), none] {
        let fault = refusal(&caller, &format!("Bearer {token}"), NOW).await;
        assert_refused(&fault, "the webhook token is not signed with RS256");
    }
    let whole = bearer(&good);
    let (cut, signature) = whole.rsplit_once('.').unwrap();
    let lied = unsigned(&json!({ "alg": "RS256", "kid": "first" }), &with(good.clone(), "exp", i64::MAX));
    for token in [cut.to_owned(), format!("{cut}."), format!("Bearer {lied}.{signature}"), format!("{whole}.x")] {
        assert_eq!(refusal(&caller, &token, NOW).await.code, Code::CallerRefused, "{token}");
    }
    // The public key, which everybody has, taken for the secret of a symmetric signature.
    let message = unsigned(&json!({ "alg": "HS256", "kid": "first" }), &good);
    let public: PublicKeyX509Der<'_> = key(0).public_key().as_der().unwrap();
    for secret in [public.as_ref(), key(0).public_key().as_ref()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        let confused = format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_refused(&refusal(&caller, &confused, NOW).await, "the webhook token is not signed with RS256");
    }
}

/// A list that Entra would never publish: 1,024 bits, which somebody with money can break. The token was signed with it once,
/// and the private key is gone.
#[tokio::test]
async fn a_key_that_is_too_short_proves_nothing() {
    let entra = entra().await;
    let modulus = "u1JrcZePbcazYMECUAWoOSL4GGs4T_I6EXN19iZQZC1wkBcXVIeS1VM_-TbxBFFoaHpp-mtNbDwRCqTm61mwbDKgvHez1KyMuov-lWhM\
                   3q-tS_8PtwlDdUCiVvzTpKiWo4K_jcmZ1l2JmEJ_bbb3W-Saa1dTC2iz3dpM18eJqTc";
    let weak = json!({ "kty": "RSA", "use": "sig", "kid": "weak", "n": modulus, "e": "AQAB" });
    entra.change(|answers| answers.keys = key_list(&[weak, listed("first", key(0))]));
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IndlYWsifQ.eyJhdWQiOiJub2JvZHkifQ.sKQTlz-cuIvwgBdw0HAnXKJO0g889njzn0QiwOWAPzTQ3xO\
                 ti3DpMl2FCqehBU7IIbez7fE5wsS6Qtt4ntIDtdA2mjmotBbp6lnodpVtucoFrFPpC6er6mnm-gRfRqileTqaU7EV3Msa18YWGDieqf91aI5QcTp\
                 e27aN3fOB4gE";
    let fault = refusal(&caller_at(&entra.url), &format!("Bearer {token}"), NOW).await;
    assert_refused(&fault, "the webhook token's signature is not by the key that it names");
}

#[tokio::test]
async fn a_key_of_another_issuer_does_not_sign_for_the_marketplace() {
    for (owner, passes) in [
        (json!(null), true),
        (json!("{url}/{tenantid}/v2.0"), true),
        (json!(format!("{{url}}/{TENANT}/v2.0")), true),
        (json!("https://sts.windows.net/{tenantid}/"), true),
        (json!(format!("{{url}}/{OBJECT}/v2.0")), false),
        (json!("https://issuer.example/{tenantid}/v2.0"), false),
    ] {
        let entra = entra().await;
        let mut only = listed("first", key(0));
        only["issuer"] = owner.as_str().map_or(Value::Null, |owner| json!(owner.replace("{url}", &entra.url)));
        entra.change(|answers| answers.keys = key_list(&[only]));
        let caller = caller_at(&entra.url);
        for version in [1, 2] {
            let outcome = caller.verify(Some(&bearer(&claims(&entra, version))), NOW).await;
            assert_eq!(outcome.is_ok(), passes, "{owner}, version {version}");
            if let Err(fault) = outcome {
                assert_refused(&fault, "the webhook token is signed with another issuer's key");
            }
        }
    }
}

#[tokio::test]
async fn the_clocks_may_differ_by_five_minutes_and_no_more() {
    let entra = entra().await;
    let caller = caller_at(&entra.url);
    let (starts, ends) = (NOW, NOW + Duration::hours(1));
    for version in [1, 2] {
        let good = bearer(&claims(&entra, version));
        for (now, passes) in [
            (starts - Duration::seconds(301), false),
            (starts - Duration::seconds(300), true),
            (ends + Duration::seconds(299), true),
            (ends + Duration::seconds(300), false),
        ] {
            assert_eq!(caller.verify(Some(&good), now).await.is_ok(), passes, "{now}");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_nothing_of_the_token() {
    let entra = entra().await;
    let caller = caller_at(&entra.url);
    let secret = "s3cret-or-personal";
    for claim in ["aud", "tid", "ver", "iss", "azp", "nbf", "exp"] {
        let token = bearer(&with(claims(&entra, 2), claim, secret));
        let fault = refusal(&caller, &token, NOW).await;
        assert!(!fault.to_string().contains(secret) && !fault.to_string().contains(&token[20..40]), "{fault}");
    }
    let header = json!({ "alg": secret, "kid": secret });
    let fault = refusal(&caller, &format!("Bearer {}", signed(&header, &claims(&entra, 2), key(0))), NOW).await;
    assert!(!fault.to_string().contains(secret), "{fault}");
    let fault = refusal(&caller, &bearer_by(secret, key(0), &claims(&entra, 2)), NOW).await;
    assert!(!fault.to_string().contains(secret), "{fault}");
}

#[tokio::test]
async fn nothing_is_proven_while_the_keys_cannot_be_had() {
    let entra = entra().await;
    let good = bearer(&claims(&entra, 2));
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    // A forged token is not proven wrong either.
    for token in [&good, &bearer_by("first", key(1), &claims(&entra, 2))] {
        assert_unavailable(&refusal(&caller_at(&nobody), token, NOW).await);
    }
    // What can be told without keys is told.
    assert_eq!(refusal(&caller_at(&nobody), "Bearer nonsense", NOW).await.code, Code::CallerRefused);

    let caller = caller_at(&entra.url);
    entra.change(|answers| answers.keys_status = 500);
    assert_unavailable(&refusal(&caller, &good, NOW).await);
    entra.change(|answers| {
        answers.keys_status = 200;
        answers.discovery["issuer"] = json!("https://login.example/another-tenant/v2.0");
    });
    let fault = refusal(&caller, &good, NOW).await;
    assert_unavailable(&fault);
    assert_eq!(fault.private, "the OpenID configuration's issuer is not the tenant's");
    entra.change(|answers| answers.discovery["issuer"] = json!(format!("{}/{TENANT}/v2.0", entra.url)));
    caller.verify(Some(&good), NOW).await.expect("without any key, the next call is a try");
}

#[tokio::test]
async fn made_up_keys_do_not_make_us_ask_again_and_again() {
    let entra = entra().await;
    let caller = caller_at(&entra.url);
    let good = bearer(&claims(&entra, 2));
    let new = bearer_by("second", key(1), &claims(&entra, 2));
    let unlisted = "the webhook token is signed with a key that Entra does not list";
    caller.verify(Some(&good), NOW).await.unwrap();
    for _ in 0..4 {
        assert_refused(&refusal(&caller, &new, NOW).await, unlisted);
    }
    for _ in 0..5 {
        // Entra may list it by now: nothing is proven before somebody has looked.
        assert_unavailable(&refusal(&caller, &new, NOW + Duration::seconds(59)).await);
    }
    assert_eq!(entra.times_asked(), 5, "five in a minute");

    entra.change(|answers| answers.keys_status = 503);
    assert_unavailable(&refusal(&caller, &new, NOW + Duration::seconds(60)).await);
    assert_unavailable(&refusal(&caller, &new, NOW + Duration::seconds(61)).await);
    caller.verify(Some(&good), NOW + Duration::seconds(61)).await.expect("what is held serves on");
    assert_eq!(entra.times_asked(), 6, "one in a minute where it failed");

    entra.change(|answers| {
        answers.keys_status = 200;
        answers.keys = key_list(&[listed("second", key(1))]);
    });
    caller.verify(Some(&new), NOW + Duration::seconds(120)).await.expect("rolled over");
    assert_refused(&refusal(&caller, &good, NOW + Duration::seconds(121)).await, unlisted);
    assert_eq!(entra.times_asked(), 8);
}

#[tokio::test]
async fn a_cold_instance_works_with_kept_keys_while_entra_is_away() {
    let entra = entra().await;
    let good = bearer(&claims(&entra, 1));
    let unknown = bearer_by("second", key(1), &claims(&entra, 1));
    let warm = caller_at(&entra.url);
    assert_eq!(warm.fetched(), None);
    warm.verify(Some(&good), NOW).await.unwrap();
    let kept = warm.fetched().expect("a new fetch");
    assert_eq!(warm.clone().fetched(), None, "once for each fetch");

    entra.change(|answers| answers.discovery_status = 503);
    let later = NOW + Duration::minutes(10);
    let cold = caller_at(&entra.url);
    assert_unavailable(&refusal(&cold, &good, later).await);
    cold.adopt(&kept, later);
    cold.verify(Some(&good), later).await.expect("kept keys prove it");
    assert_refused(
        &refusal(&cold, &bearer_by("first", key(1), &claims(&entra, 1)), later).await,
        "the webhook token's signature is not by the key that it names",
    );
    assert_unavailable(&refusal(&cold, &unknown, later).await);
    assert_eq!(entra.times_asked(), 2, "the floor counts from the try before");
    assert_eq!(cold.fetched(), None, "what was adopted is kept already");

    // Entra is back, and has withdrawn the kept key meanwhile.
    entra.change(|answers| {
        answers.discovery_status = 200;
        answers.keys = key_list(&[listed("second", key(1))]);
    });
    let back = later + Duration::seconds(60);
    let withdrawn = refusal(&cold, &good, back).await;
    assert_refused(&withdrawn, "the webhook token is signed with a key that Entra does not list");
    cold.verify(Some(&unknown), back).await.unwrap();
    assert_eq!(entra.times_asked(), 3);
    assert!(cold.fetched().is_some());
}

#[tokio::test]
async fn adopted_keys_are_stale_however_young_they_are() {
    let entra = entra().await;
    let good = bearer(&claims(&entra, 2));
    let warm = caller_at(&entra.url);
    warm.verify(Some(&good), NOW).await.unwrap();
    let cold = caller_at(&entra.url);
    cold.adopt(&warm.fetched().unwrap(), NOW);
    cold.verify(Some(&good), NOW).await.unwrap();
    cold.verify(Some(&good), NOW).await.unwrap();
    assert_eq!(entra.times_asked(), 2, "asked once more, and once only");
}

#[tokio::test]
async fn only_newer_keys_of_the_same_source_are_adopted() {
    let entra = entra().await;
    let old = bearer(&claims(&entra, 2));
    let new = bearer_by("second", key(1), &claims(&entra, 2));
    let fetch = async |token: &str, now: OffsetDateTime| {
        let caller = caller_at(&entra.url);
        caller.verify(Some(token), now).await.unwrap();
        (caller.fetched().unwrap(), caller)
    };
    let (older, holds_old) = fetch(&old, NOW).await;
    entra.change(|answers| answers.keys = key_list(&[listed("second", key(1))]));
    let (newer, holds_new) = fetch(&new, NOW + Duration::minutes(1)).await;
    let (ahead, _) = fetch(&new, NOW + Duration::minutes(9)).await;
    entra.change(|answers| answers.keys_status = 500);

    let now = NOW + Duration::minutes(2);
    holds_new.adopt(&older, now);
    holds_new.verify(Some(&new), now).await.expect("older keys change nothing");
    holds_old.adopt(&newer, now);
    holds_old.verify(Some(&new), now).await.expect("newer keys replace what is held");

    // Written by an instance whose clock was ahead: taken for as new as can be, not newer.
    let cold = caller_at(&entra.url);
    cold.adopt(&ahead, NOW);
    cold.adopt(&newer, now);
    let mut other = serde_json::from_str::<Value>(&newer).unwrap();
    other["keys"][0]["kid"] = json!("third");
    other["fetchedAt"] = json!((NOW + Duration::minutes(1)).unix_timestamp() + 1);
    cold.adopt(&other.to_string(), now);
    cold.verify(Some(&bearer_by("third", key(1), &claims(&entra, 2))), now).await.expect("the newest");

    let elsewhere = caller_at(&format!("{}/elsewhere", entra.url));
    elsewhere.adopt(&newer, now);
    assert_unavailable(&refusal(&elsewhere, &new, now).await);
    for useless in ["", "{}", "nonsense", &newer.replace("RSA", "EC"), &newer.replace(&entra.url, "http://a.example")] {
        let cold = caller_at(&entra.url);
        cold.adopt(useless, now);
        assert_unavailable(&refusal(&cold, &new, now).await);
    }
}

/// The marketplace counts ten seconds: Entra that does not answer must not use them up for a token that can be judged.
#[tokio::test]
async fn a_slow_entra_does_not_hold_up_callers_whose_key_is_at_hand() {
    let entra = entra().await;
    let good = bearer(&claims(&entra, 2));
    let warm = caller_at(&entra.url);
    warm.verify(Some(&good), NOW).await.unwrap();
    let cold = caller_at(&entra.url);
    cold.adopt(&warm.fetched().unwrap(), NOW);
    entra.gate.forget_permits(OPEN);
    let calls = join_all((0..4).map(|_| cold.verify(Some(&good), NOW)));
    let outcomes =
        tokio::time::timeout(std::time::Duration::from_secs(6), calls).await.expect("within the ten seconds");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(entra.times_asked(), 2, "one try for all");
    let unknown = refusal(&cold, &bearer_by("second", key(1), &claims(&entra, 2)), NOW).await;
    assert_unavailable(&unknown);
    assert_eq!(unknown.private, "Entra's keys do not come in time", "given up before the connection's own limit");
}

#[tokio::test]
async fn many_calls_at_once_make_one_fetch() {
    let entra = entra().await;
    let caller = caller_at(&entra.url);
    let good = bearer(&claims(&entra, 2));
    entra.gate.forget_permits(OPEN);
    let calls = join_all((0..8).map(|_| caller.verify(Some(&good), NOW)));
    let opened = async {
        entra.asked.notified().await;
        entra.gate.add_permits(OPEN);
    };
    let (outcomes, ()) = join(calls, opened).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(entra.times_asked(), 1);
}

#[tokio::test]
async fn the_simulators_entra_signs_what_is_believed_and_what_is_not() {
    let world = World::new(&[]).await;
    let settings = &world.dev.app.settings.marketplace;
    let caller = Caller::new(settings, outbound::client());
    let authority = settings.authority.as_str().trim_end_matches('/');
    for version in [1, 2] {
        let claims = claims_of(version, authority, TENANT_ID, CLIENT_ID, world.now());
        let call = async |signature| {
            let token = world.dev.simulator.sign(&claims, signature);
            caller.verify(Some(&format!("Bearer {token}")), world.now()).await
        };
        call(Signature::Good).await.unwrap();
        for (signature, reason) in [
            (Signature::ForeignKey, "the webhook token's signature is not by the key that it names"),
            (Signature::UnpublishedKey, "the webhook token is signed with a key that Entra does not list"),
            (Signature::None, "the webhook token is not signed with RS256"),
            (Signature::HmacWithPublicKey, "the webhook token is not signed with RS256"),
        ] {
            assert_refused(&call(signature).await.unwrap_err(), reason);
        }
    }
}
