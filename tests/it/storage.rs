//! Store and bell in a real storage account, which is Azurite's, and in one that misbehaves.

mod bell;
mod identity;
pub(crate) mod proxy;
mod refusals;
mod settings;
mod store;

use marketplace_fulfillment::bell::azure::Queues;
use marketplace_fulfillment::clock::{Clock, Manual};
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::storage::Account;
use marketplace_fulfillment::store::Store;
use marketplace_fulfillment::store::azure::Tables;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::azurite;

const NOW: OffsetDateTime = datetime!(2026-11-20 09:00:00.123_456_789 UTC);

/// A storage account as this program uses it, on a clock that only the story moves.
struct Used {
    account: azurite::Account,
    store: Store,
    queues: Queues,
    hands: Manual,
    clock: Clock,
}

impl Used {
    /// A fresh account with its tables and queues.
    async fn new() -> Self {
        let used = Self::bare();
        let Store::Azure(tables) = &used.store else { unreachable!("made so") };
        tables.create().await.unwrap();
        used.queues.create().await.unwrap();
        used
    }

    /// A fresh account without any table or queue.
    fn bare() -> Self {
        let (account, clock) = (azurite::account(), Clock::manual(NOW));
        let Clock::Manual(hands) = clock.clone() else { unreachable!("made as a manual clock") };
        let (store, queues) = open(&account.connection_string(), &clock);
        Self { account, store, queues, hands, clock }
    }

    /// The same account through a proxy before one of its services.
    fn through(&self, proxy: &proxy::Proxy) -> (Store, Queues) {
        let account = azurite::Account { ports: proxy.ports(), ..self.account.clone() };
        open(&account.connection_string(), &self.clock)
    }
}

/// Store and bell on the account that `AzureWebJobsStorage` names so.
fn open(connection_string: &str, clock: &Clock) -> (Store, Queues) {
    let settings = crate::settings::with([("AzureWebJobsStorage", connection_string)]).unwrap();
    let account = Account::new(&settings.storage.unwrap(), outbound::client(), clock.clone()).unwrap();
    (Store::Azure(Tables::new(&account)), Queues::new(&account))
}

/// A shared access signature for everything in the account's queues and tables ("Create an account SAS" of Azure's storage
/// documents).
fn signature(account: &azurite::Account, permissions: &str, expiry: OffsetDateTime) -> String {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (version, services, kinds, protocols) = ("2025-11-05", "qt", "sco", "https,http");
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let expiry = expiry.format(format).unwrap();
    let fields = [&account.name, permissions, services, kinds, "", &expiry, "", protocols, version, "", ""];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(azurite::KEY).unwrap());
    let signature = STANDARD.encode(hmac::sign(&key, fields.join("\n").as_bytes()));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([("sv", version), ("ss", services), ("srt", kinds), ("sp", permissions), ("se", &expiry)]);
    query.extend_pairs([("spr", protocols), ("sig", &signature)]).finish()
}

/// A connection string with a signature in place of the key.
fn signed(account: &azurite::Account, permissions: &str, expiry: OffsetDateTime) -> String {
    let keyed = account.connection_string();
    let key = format!("AccountKey={}", azurite::KEY);
    keyed.replace(&key, &format!("SharedAccessSignature={}", signature(account, permissions, expiry)))
}

/// Everything that this program does.
const PERMISSIONS: &str = "rwdlacup";

#[tokio::test]
async fn a_shared_access_signature_opens_both_services() {
    let account = azurite::account();
    let clock = Clock::manual(NOW);
    let (store, queues) = open(&signed(&account, PERMISSIONS, NOW + Duration::hours(1)), &clock);
    let Store::Azure(tables) = &store else { unreachable!("made so") };
    tables.create().await.unwrap();
    queues.create().await.unwrap();
    let record = store::owing("one", Duration::ZERO);
    store.save(&record, None).await.unwrap();
    assert_eq!(store.due(NOW).await.unwrap().subscriptions, [record]);
    queues.put("activations", b"x".to_vec(), Duration::ZERO).await.unwrap();
    let received = queues.receive("activations", 1, Duration::minutes(1)).await.unwrap().remove(0);
    assert!(queues.postpone("activations", &received.id, &received.receipt, Duration::ZERO).await.unwrap());
}
