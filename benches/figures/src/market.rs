//! The other side: the simulator in this process, and for lists that are longer than it keeps, one that invents them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use marketplace_fulfillment::app::App;
use marketplace_fulfillment::bell::Bell;
use marketplace_fulfillment::bell::memory::Queues;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::simulator::{self, Purchase, Signature, Simulator};
use marketplace_fulfillment::settings::Settings;
use marketplace_fulfillment::store::memory::Memory;
use marketplace_fulfillment::store::{Store, record};
use marketplace_fulfillment::subscription::{Snapshot, Subscription, SubscriptionId};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;
use warp::Filter as _;

use crate::tables::Tables;

/// How many entries Microsoft puts on a page of its list.
pub const PAGE: usize = 100;

/// The table of the records, and their row.
const RECORDS: (&str, &str) = ("subscriptions", "record");

/// The simulator.
#[derive(Clone)]
pub struct Market {
    /// Itself.
    pub simulator: Simulator,
    url: Url,
}

impl Market {
    /// Listens on a port of its own, for ever. Its clock stands still, so that no operation ends by itself.
    pub async fn start() -> Result<Self, String> {
        let (listener, url) = listen().await?;
        let clock = Clock::manual(Clock::System.now());
        let simulator = Simulator::new(simulator::Options {
            clock,
            seed: 1,
            base_url: url.clone(),
            second_base_url: url.clone(),
            landing_url: url.join("landing").expect("a path"),
            webhook_url: url.join("nobody").expect("a path"),
        });
        #[expect(clippy::disallowed_methods, reason = "it serves beside what is measured")]
        tokio::spawn(simulator.clone().serve(listener));
        let market = Self { simulator, url };
        market.forget()?;
        Ok(market)
    }

    /// An empty marketplace, which activates at once and sends no webhook by itself.
    pub fn forget(&self) -> Result<(), String> {
        self.simulator.forget();
        let mut faults = self.simulator.faults();
        faults.activation_lag = time::Duration::ZERO;
        faults.webhooks.lost = 1.0;
        self.simulator.set_faults(faults).map_err(|refusal| format!("{refusal:?}"))
    }

    /// So many customers buy five seats; those who auto-activate are `Subscribed` at once.
    pub fn sell(&self, number: usize, auto_activate: bool) -> Result<Vec<String>, String> {
        let purchase = Purchase { auto_activate, ..Purchase::of("silver", Some(5)) };
        let buy = || self.simulator.purchase(&purchase).map(|bought| bought.subscription_id);
        (0..number).map(|_| buy().map_err(|refusal| format!("{refusal:?}"))).collect()
    }

    /// What stands in `Authorization` of a webhook.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.simulator.sign(&self.simulator.webhook_claims(1), Signature::Good))
    }

    /// Settings with which the program finds the simulator.
    pub fn settings(&self) -> BTreeMap<String, String> {
        settings(&self.url, &self.url)
    }

    /// Settings with which a floor finds it.
    pub fn bare_settings(&self) -> BTreeMap<String, String> {
        bare_settings(&self.url, &self.url)
    }
}

/// Settings with which the program starts, and finds these two.
pub fn settings(api: &Url, entra: &Url) -> BTreeMap<String, String> {
    let hosts = [api, entra].map(|url| format!("127.0.0.1:{}", url.port().unwrap_or_default())).join(",");
    let [api, entra] = [api.join("api"), entra.join("entra")].map(|url| url.expect("a path"));
    let settings = [
        ("COOKIE_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("ENTRA_AUTHORITY_URL", entra.as_str()),
        ("MARKETPLACE_API_HOSTS", &hosts),
        ("MARKETPLACE_API_URL", api.as_str()),
        ("MARKETPLACE_CLIENT_ID", simulator::CLIENT_ID),
        ("MARKETPLACE_CLIENT_SECRET", simulator::CLIENT_SECRET),
        ("MARKETPLACE_CREDENTIAL", "secret"),
        ("MARKETPLACE_TENANT_ID", simulator::TENANT_ID),
        ("OFFERS", simulator::OFFER),
        ("PUBLIC_URL", "http://127.0.0.1:9"),
        ("PUBLISHER_APP_URL", "https://contoso.example/app"),
        ("PUBLISHER_NAME", "Contoso"),
        ("PUBLISHER_SUPPORT_URL", "https://contoso.example/help"),
        ("SIGNIN_CLIENT_ID", simulator::SIGNIN_CLIENT_ID),
    ];
    settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn bare_settings(api: &Url, entra: &Url) -> BTreeMap<String, String> {
    let tenant = simulator::TENANT_ID;
    let settings = [
        ("API", format!("{api}api/saas/subscriptions")),
        ("AUDIENCE", simulator::CLIENT_ID.to_owned()),
        ("CLIENT_SECRET", simulator::CLIENT_SECRET.to_owned()),
        ("KEYS", format!("{entra}entra/{tenant}/discovery/keys")),
        ("SCOPE", format!("{}/.default", simulator::RESOURCE_ID)),
        ("TOKEN", format!("{entra}entra/{tenant}/oauth2/v2.0/token")),
    ];
    settings.map(|(key, value)| (key.to_owned(), value)).into()
}

/// A list of so many subscriptions, all alike but for their ids. Tokens come from the simulator.
pub struct List {
    url: Url,
    entra: Url,
}

impl List {
    /// Listens on a port of its own, for ever.
    pub async fn start(market: &Market, length: usize) -> Result<Self, String> {
        let (listener, url) = listen().await?;
        let base = url.clone();
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let routes =
            warp::path!("api" / "saas" / "subscriptions").and(warp::get()).and(query).map(move |query: String| {
                let from = query.split("continuationToken=").nth(1).and_then(|from| from.parse().ok()).unwrap_or(0);
                let end = length.min(from + PAGE);
                let mut page = json!({ "subscriptions": (from..end).map(entry).collect::<Vec<_>>() });
                if end < length {
                    let next = format!("{base}api/saas/subscriptions?api-version=2018-08-31&continuationToken={end}");
                    page["@nextLink"] = next.into();
                }
                warp::reply::json(&page)
            });
        #[expect(clippy::disallowed_methods, reason = "it serves beside what is measured")]
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Ok(Self { url, entra: market.url.clone() })
    }

    /// Settings with which the program finds it.
    pub fn settings(&self) -> BTreeMap<String, String> {
        settings(&self.url, &self.entra)
    }

    /// Settings with which a floor finds it.
    pub fn bare_settings(&self) -> BTreeMap<String, String> {
        bare_settings(&self.url, &self.entra)
    }
}

/// Spread over all ids, as Microsoft's are.
fn entry(number: usize) -> Value {
    let spread = (number as u32).wrapping_mul(2_654_435_769);
    let party = |who: &str| {
        let [object, tenant] = ["7a51", "8a52"].map(|group| format!("{spread:08x}-{group}-4c0e-9d51-2a40f3b7c911"));
        json!({ "emailId": format!("{who}@fabrikam.example"), "objectId": object, "tenantId": tenant,
                "puid": "10032000A1B2C3D4" })
    };
    json!({
        "id": format!("{spread:08x}-0000-4000-8000-{number:012x}"),
        "publisherId": "contoso", "offerId": simulator::OFFER,
        "name": format!("fabrikam-{number}"), "saasSubscriptionStatus": "Subscribed", "planId": "silver", "quantity": 5,
        "beneficiary": party("user"), "purchaser": party("buyer"),
        "term": { "termUnit": "P1Y", "startDate": "2026-01-01T00:00:00Z", "endDate": "2099-12-31T00:00:00Z" },
        "autoRenew": true, "isTest": false, "isFreeTrial": false,
        "allowedCustomerOperations": ["Read", "Update", "Delete"],
        "sandboxType": "None", "created": "2026-01-01T09:00:00Z", "lastModified": "0001-01-01T00:00:00",
        "sessionMode": "None",
    })
}

async fn listen() -> Result<(TcpListener, Url), String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    Ok((listener, Url::parse(&format!("http://127.0.0.1:{port}/")).expect("a port makes a URL")))
}

/// The program's own view of the other side, in this process: what it would record of everything that is listed.
pub async fn listed(settings: &BTreeMap<String, String>) -> Result<Vec<(SubscriptionId, Snapshot)>, String> {
    let settings = Settings::read(|key| settings.get(key).cloned()).map_err(|problems| problems.to_string())?;
    let (store, bell) = (Store::Memory(Memory::default()), Bell::Memory(Queues::new(Clock::System)));
    let app = App::new(settings, Clock::System, store, bell).map_err(|fault| fault.private)?;
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = app.marketplace.list_subscriptions(cursor.as_ref()).await.map_err(|error| error.to_string())?;
        all.extend(page.subscriptions);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// Puts the records there that the program would have made of these subscriptions.
pub fn fill(tables: &Tables, listed: Vec<(SubscriptionId, Snapshot)>) -> Result<(), String> {
    let now = Clock::System.now();
    for (id, known) in listed {
        let mut record = Subscription::adopted(id, known, now);
        if let Some(holder) = record.holder() {
            let (holder, id) = (holder.key(), record.id.as_str());
            tables.put(RECORDS.0, &holder, id, json!({ "PartitionKey": holder, "RowKey": id }).to_string());
            record.indexed_under = Some(holder);
        }
        let row = record::encode(&record).map_err(|error| error.to_string())?;
        let columns = json!({
            "PartitionKey": record.id.as_str(), "RowKey": RECORDS.1, "record": row.record, "history": row.history,
            "outbox": row.outbox, "status": row.status, "due": "never", "mark": "figures",
        });
        tables.put(RECORDS.0, record.id.as_str(), RECORDS.1, columns.to_string());
    }
    Ok(())
}
