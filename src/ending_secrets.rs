//! The publisher's software is told once of each secret that ends soon, and once that it has ended. It is about no
//! subscription, so no record owes it: what was told is kept beside them, and who cannot be told now is told an hour later.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use crate::app::App;
use crate::cloud_event;
use crate::endpoint::EVENT_PATIENCE;
use crate::publisher::Message;
use crate::secrets::Ending;
use crate::store::Kept;

/// Tells of what was not told. Whatever goes wrong is in the log, and holds up nothing.
pub async fn tell(app: &App, ending: &[Ending], now: OffsetDateTime) {
    let (Some(url), Some(keys)) = (&app.settings.connection.events, &app.secrets.events) else { return };
    if ending.is_empty() {
        return;
    }
    let told: BTreeSet<String> = match app.store.kept(Kept::EndingSecrets).await {
        Ok(kept) => kept.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "of which secrets was told cannot be read");
            return;
        }
    };
    let keys = match keys.fresh(now).await {
        Ok(current) => current.value.clone(),
        Err(fault) => {
            tracing::warn!(%fault, "nobody can be told of secrets that end");
            return;
        }
    };
    // What is not about to end any more is forgotten, so that this does not grow.
    let mut known = BTreeSet::new();
    for Ending { secret, expires_at } in ending {
        let message = cloud_event::secret_expiring(&app.settings, secret, *expires_at, now);
        let Message { id, .. } = &message;
        if !told.contains(id) {
            let sent = app.publisher.post(url, &message, &keys, now, EVENT_PATIENCE).await;
            if !sent.is_ok_and(|answer| (200..300).contains(&answer.status)) {
                tracing::warn!(secret, "the publisher's software could not be told that a secret ends");
                continue;
            }
        }
        known.insert(id.clone());
    }
    if known == told {
        return;
    }
    let text = serde_json::to_string(&known).expect("texts are always JSON");
    if let Err(error) = app.store.keep(Kept::EndingSecrets, &text).await {
        tracing::warn!(%error, "of which secrets was told cannot be kept");
    }
}
