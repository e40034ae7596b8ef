//! The token of whoever calls the webhook: with a good signature over any claims, only claims that all name us and the
//! marketplace pass; without it nothing does, and a refusal says nothing of the token.

use std::sync::LazyLock;

use marketplace_fulfillment::error::{Code, Fault};
use marketplace_fulfillment::marketplace::caller::Caller;
use marketplace_fulfillment::outbound;
use serde_json::Value;

use super::elsewhere::{ADDRESS, RUNTIME, TENANT, claims, header, signed};
use super::{NOW, assert_tellable, settings, text};

/// The marketplace, as an application of Entra.
const MARKETPLACE: &str = "20e940b3-4c77-4b0b-9a53-9e16a1b010a7";

/// By how much clocks may differ, in seconds.
const SKEW: i64 = 300;

static CALLER: LazyLock<Caller> = LazyLock::new(|| {
    let settings = settings::read(&[("ENTRA_AUTHORITY_URL", &ADDRESS)]).expect("good settings");
    Caller::new(&settings.marketplace, outbound::client())
});

/// What follows on the first letter: `c` the claims, `h` a header and, on the next line, the claims, of a token that is
/// signed as it should be; anything else the header of the request, as it comes.
pub fn holds(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let (header, said) = match mode {
        b'c' => (header(), rest),
        b'h' => {
            let mut lines = rest.splitn(2, |byte| *byte == b'\n');
            let mut line = || lines.next().unwrap_or_default();
            (line().to_vec(), line())
        }
        _ => {
            let Some(authorization) = text(data) else { return };
            let fault = verify(authorization).expect_err("nobody signed this");
            assert_eq!(fault.code, Code::CallerRefused, "{fault}");
            return assert_tellable(&fault.private);
        }
    };
    let claims = claims(said);
    match verify(&format!("Bearer {}", signed(&header, &claims))) {
        Ok(()) => assert_ours(&claims),
        Err(fault) => {
            assert_eq!(fault.code, Code::CallerRefused, "{fault}");
            assert_tellable(&fault.private);
        }
    }
}

fn verify(authorization: &str) -> Result<(), Fault> {
    RUNTIME.block_on(CALLER.verify(Some(authorization), NOW))
}

/// Each claim once more, by hand.
fn assert_ours(claims: &[u8]) {
    let claims: Value = serde_json::from_slice(claims).expect("what passes is JSON");
    let is = |name: &str, expected: &str| claims[name].as_str().is_some_and(|it| it.eq_ignore_ascii_case(expected));
    assert!(is("aud", settings::LEAST[1].1) && is("tid", TENANT), "{claims}");
    let (first, second) = (format!("https://sts.windows.net/{TENANT}/"), format!("{}/{TENANT}/v2.0", *ADDRESS));
    let (issuer, by) = if is("ver", "1.0") { (first, "appid") } else { (second, "azp") };
    assert!(claims["iss"] == *issuer && is(by, MARKETPLACE) && (is("ver", "1.0") || is("ver", "2.0")), "{claims}");
    let now = NOW.unix_timestamp();
    assert!(claims["exp"].as_i64().is_some_and(|exp| exp.saturating_add(SKEW) > now), "{claims}");
    assert!(claims["nbf"].as_i64().is_none_or(|nbf| nbf.saturating_sub(SKEW) <= now), "{claims}");
}
