//! What a cold start costs: the size that is fetched, the time to the first answer, the memory before anything
//! happened.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use crate::handler::{Handler, Program};
use crate::spread::Pairs;
use crate::table::{Aim, Table};
use crate::{Effort, MEGABYTE, Programs, market};

/// How long a handler is left alone before its memory is read.
const IDLE: Duration = Duration::from_millis(500);

/// How often what is measured in milliseconds is measured.
const STARTS: Effort = Effort { full: 100, quick: 30 };

/// How often the memory at rest is measured.
const RESTS: Effort = Effort { full: 10, quick: 4 };

/// Adds the rows.
pub fn measure(programs: &Programs, quick: bool, table: &mut Table) -> Result<(), String> {
    let (floor, ours) = (&programs.hello, programs.ours(&nowhere()));
    let pair = |runs: usize, measure: &dyn Fn(&Program) -> Result<f64, String>| -> Result<Pairs, String> {
        let mut pairs = Pairs::default();
        for _ in 0..runs {
            pairs.push(measure(floor)?, measure(&ours)?);
        }
        Ok(pairs)
    };
    table.row("size of the binary", "MB", &pair(1, &size)?, Aim::None);
    for path in ["/", "/api/health"] {
        let first = |program: &Program| {
            Handler::start(program)?.first_answer(path).map(|answered| answered.as_secs_f64() * 1000.0)
        };
        table.row(
            &format!("exec to the first answer, `GET {path}`"),
            "ms",
            &pair(STARTS.of(quick), &first)?,
            Aim::AtMost(2.0),
        );
    }
    table.row("resident memory, idle", "MB", &pair(RESTS.of(quick), &at_rest)?, Aim::AtMost(2.0));
    Ok(())
}

/// Settings with which the program starts and finds nobody: nothing listens at that port of this machine.
fn nowhere() -> BTreeMap<String, String> {
    let nowhere = Url::parse("http://127.0.0.1:9").expect("an address");
    let mut settings = market::settings(&nowhere, &nowhere);
    settings.insert("AzureWebJobsStorage".to_owned(), "UseDevelopmentStorage=true".to_owned());
    settings
}

fn size(program: &Program) -> Result<f64, String> {
    let file = std::fs::metadata(&program.path).map_err(|error| format!("{}: {error}", program.path.display()))?;
    Ok(file.len() as f64 / MEGABYTE)
}

fn at_rest(program: &Program) -> Result<f64, String> {
    let mut handler = Handler::start(program)?;
    handler.first_answer("/api/health")?;
    std::thread::sleep(IDLE);
    Ok(handler.resident_bytes()? as f64 / MEGABYTE)
}
