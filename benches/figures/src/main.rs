//! Prints the table of figures: the program beside its floor, measured in turn, in the same run.
//!
//! A figure is a row of [`ROWS`]: a name, a unit, how often, and a function from a program to a number. To add one, write
//! that function and the row.

mod handler;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use handler::Handler;

/// Something to measure: a program and how it is started.
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it is told.
    pub arguments: Vec<String>,
    /// The settings that it needs.
    pub environment: Vec<(String, String)>,
}

struct Row {
    name: &'static str,
    unit: &'static str,
    /// How often it is measured; once where it cannot vary.
    runs: usize,
    measure: fn(&Program) -> Result<f64, String>,
}

const ROWS: [Row; 4] = [
    Row { name: "size of the binary", unit: "MB", runs: 1, measure: size },
    Row { name: "exec to the first answer, GET /", unit: "ms", runs: 40, measure: |p| first_answer(p, "/") },
    Row {
        name: "exec to the first answer, GET /api/health",
        unit: "ms",
        runs: 40,
        measure: |p| first_answer(p, "/api/health"),
    },
    Row { name: "resident memory, idle", unit: "MB", runs: 10, measure: idle_memory },
];

/// How long a handler is left alone before its memory is read.
const IDLE: Duration = Duration::from_millis(500);

const MEGABYTE: f64 = 1_000_000.0;

fn size(program: &Program) -> Result<f64, String> {
    let length =
        std::fs::metadata(&program.path).map_err(|error| format!("{}: {error}", program.path.display()))?.len();
    Ok(length as f64 / MEGABYTE)
}

fn first_answer(program: &Program, path: &str) -> Result<f64, String> {
    let mut handler = Handler::start(program)?;
    let answered = handler.first_answer(path)?;
    Ok(answered.as_secs_f64() * 1000.0)
}

fn idle_memory(program: &Program) -> Result<f64, String> {
    let mut handler = Handler::start(program)?;
    handler.first_answer("/api/health")?;
    std::thread::sleep(IDLE);
    Ok(handler.resident_bytes()? as f64 / MEGABYTE)
}

/// The smallest, the middle and the largest of some measurements.
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { min: values[0], median: values[values.len() / 2], max: values[values.len() - 1] }
    }

    fn show(&self) -> String {
        if self.min == self.max {
            return format!("{:.1}", self.median);
        }
        format!("{:.1} / {:.1} / {:.1}", self.min, self.median, self.max)
    }
}

fn row(row: &Row, floor: &Program, program: &Program) -> Result<String, String> {
    let (mut low, mut ours) = (Vec::new(), Vec::new());
    // In turn, so that a machine that slows down slows both down.
    for _ in 0..row.runs {
        low.push((row.measure)(floor)?);
        ours.push((row.measure)(program)?);
    }
    let (low, ours) = (Spread::of(low), Spread::of(ours));
    let ratio = ours.median / low.median;
    Ok(format!("| {} | {} | {} | {} | {ratio:.1} |", row.name, row.unit, low.show(), ours.show()))
}

fn table(floor: &Program, program: &Program) -> Result<String, String> {
    let mut table = "| figure | unit | floor | fulfillment | ratio |\n|---|---|--:|--:|--:|\n".to_owned();
    for figure in &ROWS {
        let line = row(figure, floor, program).map_err(|problem| format!("{}: {problem}", figure.name))?;
        writeln!(table, "{line}").expect("a String takes everything");
    }
    Ok(table)
}

/// Settings with which the program starts and finds nobody: nothing listens at that port of this machine.
fn settings() -> Vec<(String, String)> {
    let nowhere = "http://127.0.0.1:9";
    let settings = [
        ("AzureWebJobsStorage", "UseDevelopmentStorage=true"),
        ("COOKIE_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("ENTRA_AUTHORITY_URL", nowhere),
        ("MARKETPLACE_API_HOSTS", "127.0.0.1:9"),
        ("MARKETPLACE_API_URL", nowhere),
        ("MARKETPLACE_CLIENT_ID", "0f0c0d6e-0000-4000-8000-000000000002"),
        ("MARKETPLACE_CLIENT_SECRET", "nobody asks for it"),
        ("MARKETPLACE_CREDENTIAL", "secret"),
        ("MARKETPLACE_TENANT_ID", "0f0c0d6e-0000-4000-8000-000000000001"),
        ("OFFERS", "contoso-offer"),
        ("PUBLIC_URL", "http://127.0.0.1:9"),
        ("PUBLISHER_APP_URL", "https://contoso.example/app"),
        ("PUBLISHER_NAME", "Contoso"),
        ("PUBLISHER_SUPPORT_URL", "https://contoso.example/help"),
        ("SIGNIN_CLIENT_ID", "0f0c0d6e-0000-4000-8000-000000000003"),
    ];
    settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [floor, program] = &arguments[..] else {
        eprintln!("figures FLOOR PROGRAM; benches/run calls it");
        return ExitCode::FAILURE;
    };
    let floor = Program { path: Path::new(floor).to_owned(), arguments: Vec::new(), environment: Vec::new() };
    let program =
        Program { path: Path::new(program).to_owned(), arguments: vec!["serve".to_owned()], environment: settings() };
    match table(&floor, &program) {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("figures: {problem}");
            ExitCode::FAILURE
        }
    }
}
