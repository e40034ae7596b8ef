//! Webhooks, as fast as they can be taken in: rate, the slowest of a hundred, processor time, and memory as they go
//! by.
//!
//! Each is a `Renew` of its own, known to the simulator, signed RS256: it is news, needs no answer, and nothing
//! follows it. Both sides prove the token and make the two GETs. In memory the floor keeps nothing; on tables it reads
//! the entity and writes it back, as the program does.

use std::collections::BTreeMap;

use marketplace_fulfillment::dev::simulator::Deed;

use crate::handler::Handler;
use crate::load::{self, Question};
use crate::market::{self, Market};
use crate::spread::{Pairs, number};
use crate::table::{Aim, Table, verdict};
use crate::tables::Tables;
use crate::{Effort, MEGABYTE, Programs};

/// How many webhooks are under way at a time: more than two processors can work on, fewer than a burst of Microsoft's.
const AT_ONCE: usize = 16;

/// How often floor and program take turns.
const ROUNDS: Effort = Effort { full: 10, quick: 4 };

/// Webhooks of a round in memory.
const IN_MEMORY: Effort = Effort { full: 3_000, quick: 500 };

/// Webhooks of a round on tables: 100,000 in all.
const ON_TABLES: Effort = Effort { full: 10_000, quick: 750 };

/// Subscriptions that they are about: many, so that no history grows long.
const SUBSCRIPTIONS: Effort = Effort { full: 10_000, quick: 1_000 };

/// How much of the memory after half of the webhooks the memory after all of them may be and still count as no growth.
const NO_GROWTH: f64 = 1.05;

/// What is measured of one side, round after round.
struct Side {
    handler: Handler,
    rate: Vec<f64>,
    p99: Vec<f64>,
    processor: Vec<f64>,
    memory: Vec<f64>,
}

/// Adds the rows.
pub async fn measure(programs: &Programs, quick: bool, table: &mut Table) -> Result<(), String> {
    let market = Market::start().await?;
    let ids = market.sell(SUBSCRIPTIONS.of(quick), true)?;
    let (settings, bare_settings) = (market.settings(), market.bare_settings());
    // So few that every record is there after the round that does not count.
    let few = &ids[..IN_MEMORY.of(quick).min(ids.len())];
    let load = Load { market: &market, ids: few, rounds: ROUNDS.of(quick), webhooks: IN_MEMORY.of(quick) };
    let [floor, ours] = load.run(programs, &bare_settings, &settings).await?;
    rows(table, "in memory", &floor, &ours, Aim::AtLeast(0.8), Aim::AtMost(1.5));

    let tables = Tables::start().await?;
    market::fill(&tables, market::listed(&settings).await?)?;
    let with = |mut settings: BTreeMap<String, String>, key: &str, value: String| {
        settings.insert(key.to_owned(), value);
        settings
    };
    let bare_settings = with(bare_settings, "TABLES", tables.url());
    let settings = with(settings, "AzureWebJobsStorage", tables.connection_string());
    let load = Load { market: &market, ids: &ids, rounds: ROUNDS.of(quick), webhooks: ON_TABLES.of(quick) };
    let [floor, ours] = load.run(programs, &bare_settings, &settings).await?;
    rows(table, "on tables", &floor, &ours, Aim::AtLeast(0.8), Aim::AtMost(1.5));

    let webhooks = load.rounds * load.webhooks;
    let mut after = Pairs::default();
    let last = |side: &Side| side.memory[side.memory.len() - 1];
    after.push(last(&floor), last(&ours));
    table.row(&format!("resident memory after {webhooks} webhooks"), "MB", &after, Aim::AtMost(2.0));
    let middle = ours.memory[ours.memory.len() / 2 - 1];
    let steps: Vec<_> = ours.memory.iter().map(|memory| number(*memory)).collect();
    let growth = last(&ours) / middle;
    table.fact(
        &format!("the same, after each tenth: {}", steps.join(", ")),
        "last / middle",
        growth,
        &format!("no growth: {}", verdict(growth <= NO_GROWTH)),
    );
    let logged = ours.handler.logged_bytes() as f64 / (webhooks + load.webhooks) as f64;
    table.fact("log of one webhook", "bytes", logged, "");
    Ok(())
}

fn rows(table: &mut Table, storage: &str, floor: &Side, ours: &Side, rate: Aim, p99: Aim) {
    let pairs = |of: fn(&Side) -> &Vec<f64>| Pairs { floor: of(floor).clone(), ours: of(ours).clone() };
    table.row(&format!("webhooks, {storage}"), "1/s", &pairs(|side| &side.rate), rate);
    table.row(&format!("webhooks, {storage}: 99 of 100 within"), "ms", &pairs(|side| &side.p99), p99);
    table.row(
        &format!("webhooks, {storage}: processor time of the handler"),
        "ms",
        &pairs(|side| &side.processor),
        Aim::None,
    );
}

/// What both sides are asked.
struct Load<'a> {
    market: &'a Market,
    ids: &'a [String],
    rounds: usize,
    webhooks: usize,
}

impl Load<'_> {
    async fn run(
        &self,
        programs: &Programs,
        bare_settings: &BTreeMap<String, String>,
        settings: &BTreeMap<String, String>,
    ) -> Result<[Side; 2], String> {
        let begin = |program| -> Result<Side, String> {
            let handler = Handler::ready(&program)?;
            Ok(Side { handler, rate: Vec::new(), p99: Vec::new(), processor: Vec::new(), memory: Vec::new() })
        };
        let mut sides = [begin(programs.bare(bare_settings))?, begin(programs.ours(settings))?];
        let http = load::client();
        for side in &sides {
            load::ask(&http, self.questions(&side.handler)?, AT_ONCE).await?;
        }
        for round in 0..self.rounds {
            // Whoever begins is not always the same.
            for which in [round % 2, (round + 1) % 2] {
                let side = &mut sides[which];
                let questions = self.questions(&side.handler)?;
                let (number, before) = (questions.len() as f64, side.handler.processor_seconds()?);
                let answered = load::ask(&http, questions, AT_ONCE).await?;
                side.rate.push(number / answered.seconds);
                side.p99.push(answered.p99);
                side.processor.push((side.handler.processor_seconds()? - before) * 1000.0 / number);
                side.memory.push(side.handler.resident_bytes()? as f64 / MEGABYTE);
            }
        }
        Ok(sides)
    }

    /// Renewals that nobody was told of yet.
    fn questions(&self, handler: &Handler) -> Result<Vec<Question>, String> {
        let url = handler.url("/api/webhook");
        let authorization = self.market.authorization();
        let ids = self.ids.iter().cycle().take(self.webhooks);
        ids.map(|id| {
            let operation = self.market.simulator.act(id, &Deed::Renew).map_err(|refusal| format!("{refusal:?}"))?;
            let body = self.market.simulator.webhook_body(id, &operation).to_string();
            Ok(Question { url: url.clone(), authorization: Some(authorization.clone()), body })
        })
        .collect()
    }
}
