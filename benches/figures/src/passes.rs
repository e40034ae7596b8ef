//! `reconcile` over ever more subscriptions that are as Microsoft has them: time, requests, and the most memory. The
//! floor makes the same requests with a bare client: the pages of the list, the entity of each entry, the pages of our
//! records.

use std::time::Instant;

use crate::handler::Handler;
use crate::load::{self, Question};
use crate::market::{self, List, Market};
use crate::spread::{Pairs, number};
use crate::table::{Aim, Table};
use crate::tables::Tables;
use crate::{Effort, MEGABYTE, Programs};

/// How many subscriptions, and how often floor and program take turns with them.
const SIZES: [(usize, Effort); 3] = [
    (1_000, Effort { full: 5, quick: 3 }),
    (10_000, Effort { full: 3, quick: 1 }),
    (100_000, Effort { full: 2, quick: 0 }),
];

/// The most runs of one pass: each does three minutes' work.
const RUNS: usize = 10;

/// One pass.
struct Passed {
    seconds: f64,
    requests: f64,
    examined: f64,
    peak: f64,
    processor: f64,
    logged: f64,
}

/// Adds the rows.
pub async fn measure(programs: &Programs, quick: bool, table: &mut Table) -> Result<(), String> {
    let market = Market::start().await?;
    let mut last: Option<(f64, f64)> = None;
    for (size, turns) in SIZES {
        let turns = turns.of(quick);
        if turns == 0 {
            continue;
        }
        let (list, tables) = (List::start(&market, size).await?, Tables::start().await?);
        market::fill(&tables, market::listed(&list.settings()).await?)?;
        let mut bare_settings = list.bare_settings();
        bare_settings.insert("TABLES".to_owned(), tables.url());
        let mut settings = list.settings();
        settings.insert("AzureWebJobsStorage".to_owned(), tables.connection_string());
        let [mut seconds, mut requests, mut peak, mut processor] = [(); 4].map(|()| Pairs::default());
        let (mut examined, mut logged) = (0.0, 0.0);
        for _ in 0..turns {
            let floor = pass(Handler::ready(&programs.bare(&bare_settings))?, &tables).await?;
            let ours = pass(Handler::ready(&programs.ours(&settings))?, &tables).await?;
            seconds.push(floor.seconds, ours.seconds);
            requests.push(floor.requests, ours.requests);
            peak.push(floor.peak, ours.peak);
            processor.push(floor.processor, ours.processor);
            (examined, logged) = (ours.examined, ours.logged);
        }
        let name = format!("`reconcile` over {size}");
        table.row(&name, "s", &seconds, Aim::AtMost(1.5));
        table.row(&format!("{name}: requests to tables"), "", &requests, Aim::None);
        table.row(&format!("{name}: processor time of the handler"), "s", &processor, Aim::None);
        table.row(&format!("{name}: most memory"), "MB", &peak, Aim::None);
        table.fact(
            &format!("{name}: entities that searches look at, of each subscription"),
            "",
            examined / size as f64,
            "",
        );
        table.fact(&format!("{name}: log of each subscription"), "bytes", logged / size as f64, "");
        let now = (ours_median(&seconds) / size as f64, ours_median(&peak));
        if let Some((each, memory)) = last {
            let judged = format!(
                "{} times the time, {} times the memory of a tenth",
                number(10.0 * now.0 / each),
                number(now.1 / memory)
            );
            table.fact(&format!("{name}: each subscription"), "ms", now.0 * 1000.0, &judged);
        }
        last = Some(now);
    }
    Ok(())
}

fn ours_median(pairs: &Pairs) -> f64 {
    crate::spread::Spread::of(&pairs.ours).median()
}

/// A whole pass, with as many runs as it takes.
async fn pass(handler: Handler, tables: &Tables) -> Result<Passed, String> {
    let http = load::long_client();
    let (before, logged, processor) = (tables.asked(), handler.logged_bytes(), handler.processor_seconds()?);
    let begun = Instant::now();
    for run in 1.. {
        let body = "{\"Data\":{\"timer\":{}},\"Metadata\":{}}".to_owned();
        load::post(&http, &Question { url: handler.url("/reconcile"), authorization: None, body }).await?;
        // The program forgets the place of a pass that is finished; the floor keeps its last one, and needs one run.
        let kept = tables.columns("system", "kept", "reconcile-cursor").unwrap_or_default();
        if [&b"{\"text\":\"\"}"[..], b"{\"text\":\"records\"}"].contains(&&kept[..]) {
            break;
        }
        if run == RUNS {
            return Err(format!("a pass is not finished after {RUNS} runs"));
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    tables.put("system", "kept", "reconcile-cursor", "{\"text\":\"\"}".to_owned());
    let after = tables.asked();
    Ok(Passed {
        seconds,
        requests: (after.requests - before.requests) as f64,
        examined: (after.examined - before.examined) as f64,
        peak: handler.peak_bytes()? as f64 / MEGABYTE,
        processor: handler.processor_seconds()? - processor,
        logged: (handler.logged_bytes() - logged) as f64,
    })
}
