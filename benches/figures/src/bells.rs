//! Activations and acknowledgements through real queues and tables, which are Azurite's: a host that receives bells,
//! posts them to the handler and deletes them. The floor makes the same storage operations by bare calls, and asks
//! nobody else.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use marketplace_fulfillment::bell::Doorbell;
use marketplace_fulfillment::bell::azure::Queues;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::simulator::Deed;
use marketplace_fulfillment::duty::{Queue, Verdict};
use marketplace_fulfillment::event::{Event, Notice, Ruling};
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::outbound;
use marketplace_fulfillment::settings::Settings;
use marketplace_fulfillment::storage::Account;
use marketplace_fulfillment::store::Store;
use marketplace_fulfillment::store::azure::Tables;
use marketplace_fulfillment::subscription::{Applied, OperationId, Subscription, SubscriptionId, Terms};
use serde_json::json;
use time::Duration;

use crate::handler::Handler;
use crate::load::{self, Question};
use crate::market::{self, Market};
use crate::spread::Pairs;
use crate::table::{Aim, Table};
use crate::{Effort, Programs};

/// How many bells the host has under way: `batchSize` and `newBatchThreshold` of `host.json` together.
const AT_ONCE: usize = 12;

/// How often floor and program take turns.
const ROUNDS: Effort = Effort { full: 8, quick: 3 };

/// Bells of a round.
const BELLS: Effort = Effort { full: 400, quick: 100 };

/// Long enough for any round.
const VISIBILITY: Duration = Duration::minutes(10);

/// The key of every account of this Azurite.
const KEY: &str = "c3Rvcnk=";

/// A running Azurite. It lives as long as its standard input.
struct Azurite {
    _child: Child,
    _leash: ChildStdin,
    /// The ports of its blob, queue and table services.
    ports: Vec<u16>,
}

impl Azurite {
    fn start(repository: &Path) -> Result<Self, String> {
        let mut command = Command::new(repository.join("tests/azurite/start"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let (leash, output) = (child.stdin.take(), child.stdout.take());
        let (Some(leash), Some(output)) = (leash, output) else { return Err("Azurite has no pipes".to_owned()) };
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let listening = lines.by_ref().filter(|line| line.contains(" is successfully listening at "));
        let ports: Vec<_> = listening.take(3).filter_map(|line| line.rsplit(':').next()?.parse().ok()).collect();
        std::thread::spawn(move || lines.count());
        if ports.len() < 3 {
            return Err("Azurite did not start: npm ci --prefix tests".to_owned());
        }
        Ok(Self { _child: child, _leash: leash, ports })
    }
}

/// The account of one kind of bell, with its clients.
struct Storage {
    connection_string: String,
    tables_url: String,
    signature: String,
    store: Store,
    queues: Queues,
}

impl Storage {
    async fn open(azurite: &Azurite, name: &str, market: &Market) -> Result<Self, String> {
        let [_, queues, tables] = azurite.ports[..] else { return Err("three ports".to_owned()) };
        let [queues_url, tables_url] = [queues, tables].map(|port| format!("http://127.0.0.1:{port}/{name}"));
        let signature = signature(name);
        let endpoints = format!("QueueEndpoint={queues_url};TableEndpoint={tables_url}");
        let connection_string = format!("AccountName={name};SharedAccessSignature={signature};{endpoints};");
        let mut settings = market.settings();
        settings.insert("AzureWebJobsStorage".to_owned(), connection_string.clone());
        let settings = Settings::read(|key| settings.get(key).cloned()).map_err(|problems| problems.to_string())?;
        let storage = settings.storage.ok_or("no storage")?;
        let account = Account::new(&storage, outbound::client(), Clock::System).map_err(|fault| fault.private)?;
        let (tables, queues) = (Tables::new(&account), Queues::new(&account));
        tables.create().await.map_err(|error| error.to_string())?;
        queues.create().await.map_err(|fault| fault.private)?;
        Ok(Self { connection_string, tables_url, signature, store: Store::Azure(tables), queues })
    }
}

/// A shared access signature for everything in the account's queues and tables, so that nobody has to sign each
/// request.
fn signature(account: &str) -> String {
    let (version, permissions, services, kinds, protocols) = ("2025-11-05", "rwdlacup", "qt", "sco", "https,http");
    let expiry = "2099-12-31T00:00:00Z";
    let fields = [account, permissions, services, kinds, "", expiry, "", protocols, version, "", ""];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).expect("base64"));
    let signature = STANDARD.encode(hmac::sign(&key, fields.join("\n").as_bytes()));
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([("sv", version), ("ss", services), ("srt", kinds), ("sp", permissions), ("se", expiry)]);
    query.extend_pairs([("spr", protocols), ("sig", &signature)]).finish()
}

/// Adds the rows.
pub async fn measure(programs: &Programs, quick: bool, table: &mut Table) -> Result<(), String> {
    for (queue, name) in [(Queue::Activations, "activations"), (Queue::Acknowledgements, "acknowledgements")] {
        let (azurite, market) = (Azurite::start(&programs.repository)?, Market::start().await?);
        let storage = Storage::open(&azurite, name, &market).await?;
        let mut settings = market.settings();
        settings.insert("AzureWebJobsStorage".to_owned(), storage.connection_string.clone());
        let mut bare_settings = market.bare_settings();
        bare_settings.insert("TABLES".to_owned(), storage.tables_url.clone());
        bare_settings.insert("SIGNATURE".to_owned(), storage.signature.clone());
        let handlers = [Handler::ready(&programs.bare(&bare_settings))?, Handler::ready(&programs.ours(&settings))?];
        let mut rates = Pairs::default();
        // The first round of each only warms it up.
        for round in 0..=ROUNDS.of(quick) {
            let mut rate = [0.0; 2];
            for which in [round % 2, (round + 1) % 2] {
                let ids = owe(&market, &storage, queue, BELLS.of(quick)).await?;
                rate[which] = ring_all(&storage, queue, &handlers[which], ids.len()).await?;
                if which == 1 {
                    are_discharged(&storage, &ids).await?;
                }
            }
            if round > 0 {
                rates.push(rate[0], rate[1]);
            }
        }
        table.row(&format!("{name} through Azurite's queues and tables"), "1/s", &rates, Aim::AtLeast(0.7));
    }
    Ok(())
}

/// So many subscriptions each owe one duty of this queue, and a bell has rung for each.
async fn owe(market: &Market, storage: &Storage, queue: Queue, number: usize) -> Result<Vec<SubscriptionId>, String> {
    let is_change = queue == Queue::Acknowledgements;
    market.forget()?;
    market.sell(number, is_change)?;
    let now = Clock::System.now() - Duration::minutes(2);
    let mut ids = Vec::new();
    for (id, known) in market::listed(&market.settings()).await? {
        let mut record = Subscription::discovered(id.clone(), known, Actor::Marketplace, now);
        record.indexed_under = record.holder().map(|holder| holder.key());
        let event = if is_change { decided(market, &record)? } else { Event::Confirmed(Actor::Buyer) };
        if !matches!(record.apply(event, now), Applied::Changed { .. }) {
            return Err(format!("{record:?} owes nothing"));
        }
        storage.store.save(&record, None).await.map_err(|error| error.to_string())?;
        let bell = Doorbell { queue, subscription: id.clone() }.encode();
        storage.queues.put(queue.name(), bell, Duration::ZERO).await.map_err(|fault| fault.private)?;
        ids.push(id);
    }
    Ok(ids)
}

/// The customer wants two seats more, and may have them.
fn decided(market: &Market, record: &Subscription) -> Result<Event, String> {
    let deed = Deed::ChangeQuantity(7);
    let operation = market.simulator.act(record.id.as_str(), &deed).map_err(|refusal| format!("{refusal:?}"))?;
    let notice = Notice { operation: OperationId::parse(&operation), action: "ChangeQuantity".to_owned() };
    let wanted = Terms { plan_id: record.known.plan_id.clone(), quantity: Some(7) };
    Ok(Event::Decided { notice, wanted, ruling: Ruling::by_rule(Verdict::Success, None) })
}

/// What the host does until the queue is empty. Answers bells per second.
async fn ring_all(storage: &Storage, queue: Queue, handler: &Handler, expected: usize) -> Result<f64, String> {
    let (http, url) = (load::client(), handler.url(&format!("/{}", function(queue))));
    let mut heard = 0;
    let begun = Instant::now();
    loop {
        let received = storage.queues.receive(queue.name(), 32, VISIBILITY).await.map_err(|fault| fault.private)?;
        if received.is_empty() {
            break;
        }
        heard += received.len();
        let answered = iter(received).map(|message| {
            let body = json!({ "Data": { "message": STANDARD.encode(&message.body) }, "Metadata": {} }).to_string();
            let question = Question { url: url.clone(), authorization: None, body };
            let http = &http;
            async move {
                load::post(http, &question).await?;
                let deleted = storage.queues.delete(queue.name(), &message.id, &message.receipt).await;
                deleted.map(drop).map_err(|fault| fault.private)
            }
        });
        answered.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    if heard != expected {
        return Err(format!("{heard} bells of {expected}"));
    }
    Ok(heard as f64 / begun.elapsed().as_secs_f64())
}

fn function(queue: Queue) -> &'static str {
    if queue == Queue::Activations { "activate" } else { "acknowledge" }
}

/// A figure of work that was not done would be worth nothing.
async fn are_discharged(storage: &Storage, ids: &[SubscriptionId]) -> Result<(), String> {
    for id in ids {
        let stored = storage.store.load(id).await.map_err(|error| error.to_string())?.ok_or("a record is gone")?;
        if !stored.subscription.duties.is_empty() {
            return Err(format!("still owed: {:?}", stored.subscription.duties));
        }
    }
    Ok(())
}
