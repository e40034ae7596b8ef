//! The answer of a sign-in: with a good signature over any claims, only claims that answer this very question name a
//! person.

use std::sync::LazyLock;

use marketplace_fulfillment::entra::Entra;
use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::outbound;
use serde_json::Value;

use super::elsewhere::{self, ADDRESS, RUNTIME, header, signed};
use super::{NOW, assert_segment, assert_tellable, settings, text};

const NONCE: &str = "the-nonce-of-this-attempt";

static ENTRA: LazyLock<Entra> = LazyLock::new(|| {
    let settings = settings::read(&[("ENTRA_AUTHORITY_URL", &ADDRESS)]).expect("good settings");
    Entra::new(&settings.entra, outbound::client())
});

/// What follows on a `c` is the claims of a token that is signed as it should be; anything else is the token, as it
/// comes.
pub fn holds(data: &[u8]) {
    let claims = data.strip_prefix(b"c").map(elsewhere::claims);
    let token = match (&claims, text(data)) {
        (Some(claims), _) => signed(&header(), claims),
        (None, Some(text)) => text.to_owned(),
        (None, None) => return,
    };
    let person = match RUNTIME.block_on(ENTRA.verify(&token, NONCE, NOW)) {
        Ok(person) => person,
        Err(fault) => {
            assert_eq!(fault.code, Code::SigninFailed, "{fault}");
            return assert_tellable(&fault.private);
        }
    };
    let claims: Value = serde_json::from_slice(&claims.expect("nobody signed the others")).expect("JSON");
    assert_eq!((&claims["aud"], &claims["nonce"]), (&settings::LEAST[3].1.into(), &NONCE.into()));
    assert_eq!(claims["iss"], format!("{}/{}/v2.0", *ADDRESS, person.tenant_id));
    assert!(claims["exp"].as_i64().is_some_and(|exp| exp.saturating_add(300) > NOW.unix_timestamp()), "{claims}");
    // They become part of addresses and keys.
    assert_segment(&person.tenant_id.to_ascii_lowercase());
    assert_segment(&person.object_id.to_ascii_lowercase());
    let shown = format!("{person:?}");
    assert!(person.username.is_none_or(|name| name.len() < 8 || !shown.contains(&name)), "{shown}");
}
