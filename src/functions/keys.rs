//! `keys`, for whoever has to prove a hand-off of ours: the public keys, as a JSON Web Key Set.

use time::OffsetDateTime;

use super::Refused;
use crate::app::App;
use crate::handoff::{self, KEYS_CACHED_FOR};
use crate::web::Reply;

/// Answers the keys in use; none where nobody is handed over.
pub async fn run(app: &App, now: OffsetDateTime) -> Result<Reply, Refused> {
    let keys = match &app.secrets.handoff {
        // As fresh as the key that signs: what another instance signs with by now must be among them.
        Some(signer) => signer.fresh(now).await?.value.public_keys(),
        None => handoff::no_public_keys(),
    };
    let cached = format!("public, max-age={}", KEYS_CACHED_FOR.whole_seconds());
    Ok(Reply::json(200, &keys).with("cache-control", cached))
}
