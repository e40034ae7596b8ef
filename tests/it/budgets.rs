//! What an event costs at storage and at Microsoft: counted, and compared with the table in `docs/scale.md`, from
//! which the document reckons the bill. Whoever makes a step dearer changes the document with it.

use std::path::Path;

use bytes::Bytes;
use marketplace_fulfillment::bell::Doorbell;
use marketplace_fulfillment::dev::simulator::{Call, Deed, Signature};
use marketplace_fulfillment::duty::Queue;
use marketplace_fulfillment::functions::{self, Answer, Function};
use marketplace_fulfillment::store::PAGE_LIMIT;
use marketplace_fulfillment::subscription::SubscriptionId;
use marketplace_fulfillment::web::Request;
use serde_json::{Value, json};
use time::Duration;

use crate::azurite;
use crate::log::Log;
use crate::receiver::Receiver;
use crate::storage::proxy::{Before, Proxy};
use crate::webhook::{claims, told};
use crate::world::World;

/// What stands before and behind the table.
const TABLE: (&str, &str) = ("<!-- counted -->\n", "<!-- end of counted -->");

/// What one step cost: reads, writes and searches of tables, messages, calls to Microsoft's API.
type Cost = [usize; 5];

/// A world whose storage is counted.
struct Counted {
    world: World,
    tables: Proxy,
    queues: Proxy,
    rows: Vec<(String, Cost)>,
}

impl Counted {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let account = azurite::account();
        let (tables, queues) = (Proxy::new(&account, Before::Tables).await, Proxy::new(&account, Before::Queues).await);
        let [blobs, ..] = account.ports;
        let ports = [blobs, queues.ports()[Before::Queues as usize], tables.ports()[Before::Tables as usize]];
        let counted = azurite::Account { ports, ..account };
        let world = Box::pin(World::on(counted.connection_string(), settings)).await;
        world.dev.simulator.pause_webhooks(true);
        world.faults(json!({ "activationLag": "PT0S" })).await;
        Self { world, tables, queues, rows: Vec::new() }
    }

    /// What `step` costs. What the stand-in of the host asks of the queues is the host's.
    async fn cost<T>(&self, step: impl Future<Output = T>) -> (T, Cost) {
        self.world.idle().await;
        self.tables.plan([]);
        self.queues.plan([]);
        let before = self.heard();
        let done = step.await;
        self.world.idle().await;
        let (tables, queues) = (self.tables.seen(), self.queues.seen());
        let count = |lines: &[String], of: fn(&str) -> bool| lines.iter().filter(|line| of(line)).count();
        let searches = count(&tables, |line| line.starts_with("GET ") && line.contains("()?"));
        let reads = count(&tables, |line| line.starts_with("GET ")) - searches;
        let writes = count(&tables, |line| !line.starts_with("GET "));
        let messages = count(&queues, |line| line.starts_with("POST "));
        (done, [reads, writes, searches, messages, self.heard() - before])
    }

    async fn step<T>(&mut self, name: &str, step: impl AsyncFnOnce(&World) -> T) -> T {
        let (done, cost) = self.cost(Box::pin(step(&self.world))).await;
        self.rows.push((name.to_owned(), cost));
        done
    }

    /// How often Microsoft's API was called. People's sign-ins, keys and tokens are Entra's.
    fn heard(&self) -> usize {
        let entra = [Call::Token, Call::Keys, Call::OpenidConfiguration, Call::Authorize];
        self.world.dev.simulator.heard().iter().filter(|heard| !entra.contains(&heard.call)).count()
    }
}

/// A webhook, and apart from it what its answer leaves for afterwards.
async fn webhook(world: &World, body: &Value) -> (u16, Answer) {
    let token = world.dev.simulator.sign(&claims(world), Signature::Good);
    let request = Request {
        invocation_id: "budgets".to_owned(),
        method: "POST".to_owned(),
        path: String::new(),
        raw_query: String::new(),
        headers: vec![("authorization".to_owned(), format!("Bearer {token}"))],
        body: Bytes::from(body.to_string()),
    };
    let (answer, _) = Box::pin(functions::answer(&world.dev.app, Function::Webhook, &request, world.now())).await;
    (answer.reply.status, answer)
}

async fn afterwards(world: &World, answer: Answer) {
    for then in answer.then {
        Box::pin(functions::follow_up(&world.dev.app, then)).await.unwrap();
    }
}

async fn bell(world: &World, queue: Queue, id: &SubscriptionId) {
    let doorbell = Doorbell { queue, subscription: id.clone() };
    Box::pin(functions::discharge(&world.dev.app, &doorbell)).await.unwrap();
}

async fn timer(world: &World, function: Function) {
    Box::pin(functions::triggered(&world.dev.app, function, b"{\"Data\":{}}", world.now())).await.unwrap();
}

/// A customer buys and confirms, and everybody looks.
async fn purchase(counted: &mut Counted) -> SubscriptionId {
    let purchase = counted.world.silver().await;
    let buyer = counted.world.visitor();
    let link = purchase.landing_url.clone();
    let progress = counted.world.url(&format!("/api/progress?subscription={}", purchase.id));
    let page = counted.step("landing and sign-in", async |_| buyer.arrive(&link, "buyer").await).await;
    counted.step("confirmation, and the activation after its answer", async |_| buyer.confirm(&page).await).await;
    counted.step("look at the progress", async |_| buyer.goto(progress.as_str()).await).await;
    counted
        .step("bell for what is done already", async |world| bell(world, Queue::Activations, &purchase.id).await)
        .await;
    purchase.id
}

/// Webhooks of each kind, and what follows them.
async fn webhooks(counted: &mut Counted, id: &SubscriptionId) {
    // The first webhook of an instance also keeps Entra's keys for the others.
    let known = counted.world.dev.simulator.act(id.as_str(), &Deed::Renew).unwrap();
    webhook(&counted.world, &told(id, &known, "Renew")).await;
    let renewal = counted.world.dev.simulator.act(id.as_str(), &Deed::Renew).unwrap();
    let renewed = told(id, &renewal, "Renew");
    counted.step("webhook that tells", async |world| webhook(world, &renewed).await).await;
    counted.step("the same webhook again", async |world| webhook(world, &renewed).await).await;
    let change = counted.world.dev.simulator.act(id.as_str(), &Deed::ChangeQuantity(7)).unwrap();
    let asks = told(id, &change, "ChangeQuantity");
    let (_, answer) = counted.step("webhook that asks", async |world| webhook(world, &asks).await).await;
    counted.step("acknowledgement", async |world| afterwards(world, answer).await).await;
    let renewal = counted.world.dev.simulator.act(id.as_str(), &Deed::Renew).unwrap();
    counted.world.faults(json!({ "rules": [{ "times": 2, "answer": "503" }] })).await;
    let unread = told(id, &renewal, "Renew");
    let (_, answer) =
        counted.step("webhook while Microsoft cannot be read", async |world| webhook(world, &unread).await).await;
    counted.step("its examination", async |world| afterwards(world, answer).await).await;
}

/// The timers, with nothing to do.
async fn timers(counted: &mut Counted) {
    counted.step("sweep with nothing due", async |world| timer(world, Function::Sweep).await).await;
    let others = PAGE_LIMIT - counted.world.records().await.len();
    for _ in 0..others {
        counted.world.silver().await;
    }
    counted.world.faults(json!({ "partitionSize": 200 })).await;
    timer(&counted.world, Function::Reconcile).await;
    let name = format!("reconciliation of {PAGE_LIMIT} that are alike");
    counted.step(&name, async |world| timer(world, Function::Reconcile).await).await;
}

/// The rows of the document's table: the first cell, and the last five.
fn documented() -> Vec<(String, Cost)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scale.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.split(TABLE.0).nth(1).and_then(|rest| rest.split(TABLE.1).next()).expect("the table of counts");
    let rows = table.lines().skip(2).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, cost @ ..] = &cells[..] else { panic!("{line}") };
        let cost: Vec<usize> = cost.iter().map(|cell| cell.parse().unwrap_or_else(|_| panic!("{line}"))).collect();
        ((*name).to_owned(), cost.try_into().unwrap_or_else(|_| panic!("{line}")))
    });
    rows.collect()
}

#[tokio::test]
async fn every_step_costs_what_the_document_says() {
    let mut counted = Counted::new(&[("RECONCILE", "repair")]).await;
    let id = purchase(&mut counted).await;
    webhooks(&mut counted, &id).await;
    timers(&mut counted).await;

    let receiver = Receiver::start().await;
    let settings = receiver.settings(&[("PUBLISHER_EVENTS_URL", "/events")]);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut told_of = Counted::new(&settings).await;
    let bought = told_of.world.silver().await;
    told_of.world.confirmed(&bought).await;
    // The bell of the news rings, and not yet the one of the activation.
    told_of.step("delivery of news", async |world| world.advance(Duration::minutes(1))).await;
    told_of.step("sweep with nothing due, where news is told", async |world| timer(world, Function::Sweep).await).await;

    let rows: Vec<_> = counted.rows.into_iter().chain(told_of.rows).collect();
    let lines = rows.iter().map(|(name, cost)| format!("| {name} | {} |", cost.map(|n| n.to_string()).join(" | ")));
    let table = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(rows, documented(), "docs/scale.md has other counts:\n{table}");
}

/// An hourly line for each subscription would cost more than all else together, and use up the log's daily limit.
#[tokio::test]
async fn a_pass_writes_no_more_lines_for_more_subscriptions_that_are_alike() {
    let counted = Counted::new(&[("RECONCILE", "repair")]).await;
    let world = &counted.world;
    world.faults(json!({ "partitionSize": 200 })).await;
    let mut lines = Vec::new();
    for _ in 0..2 {
        for _ in 0..9 {
            world.silver().await;
        }
        timer(world, Function::Reconcile).await;
        let log = Log::default();
        let capturing = log.capture();
        timer(world, Function::Reconcile).await;
        drop(capturing);
        // The stand-in of the host asks the queues meanwhile, as often as it likes.
        let ours = log.ours().into_iter().filter(|line| line["fields"]["operation"] != "queues");
        lines
            .push(ours.filter(|line| line["level"] != "DEBUG").map(|line| line["fields"]["message"].clone()).collect());
    }
    let [few, more]: [Vec<Value>; 2] = lines.try_into().unwrap();
    assert_eq!(few, more);
    assert!(few.contains(&json!("Storage answered tables.")), "the pages are told of: {few:?}");
}
