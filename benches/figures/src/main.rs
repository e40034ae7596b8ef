//! Prints the table of figures: the program beside its floors, measured in turn, in the same run.
//!
//! Each file measures one kind of thing and adds its rows to the [`Table`]. To add a figure, write its function there.

mod bells;
mod handler;
mod intake;
mod load;
mod market;
mod passes;
mod spread;
mod start;
mod table;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use handler::Program;
use table::Table;

/// Memory and files are told in these.
pub const MEGABYTE: f64 = 1_000_000.0;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// For the table.
    pub full: usize,
    /// For a look.
    pub quick: usize,
}

impl Effort {
    /// As much as is wanted.
    pub fn of(self, quick: bool) -> usize {
        if quick { self.quick } else { self.full }
    }
}

/// What is measured, and against what.
pub struct Programs {
    /// A warp server that does nothing.
    pub hello: Program,
    bare: PathBuf,
    program: PathBuf,
    /// Where Azurite is installed.
    pub repository: PathBuf,
}

impl Programs {
    /// The program with these settings.
    pub fn ours(&self, settings: &BTreeMap<String, String>) -> Program {
        let environment = settings.clone().into_iter().collect();
        Program { path: self.program.clone(), arguments: vec!["serve".to_owned()], environment }
    }

    /// The floor that does the same by bare calls.
    pub fn bare(&self, settings: &BTreeMap<String, String>) -> Program {
        let environment = settings.clone().into_iter().collect();
        Program { path: self.bare.clone(), arguments: Vec::new(), environment }
    }
}

async fn measure(programs: &Programs, quick: bool, wanted: &[String]) -> Result<Table, String> {
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut table = Table::new();
    if wants("start") {
        start::measure(programs, quick, &mut table)?;
    }
    if wants("intake") {
        intake::measure(programs, quick, &mut table).await?;
    }
    if wants("bells") {
        bells::measure(programs, quick, &mut table).await?;
    }
    if wants("passes") {
        passes::measure(programs, quick, &mut table).await?;
    }
    Ok(table)
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    arguments.retain(|argument| argument != "--quick");
    let [repository, floors, program, wanted @ ..] = &arguments[..] else {
        eprintln!("figures REPOSITORY FLOORS PROGRAM [--quick] [start|intake|bells|passes]...; benches/run calls it");
        return ExitCode::FAILURE;
    };
    let floors = Path::new(floors);
    let hello = Program { path: floors.join("floor"), arguments: Vec::new(), environment: Vec::new() };
    let (bare, program, repository) = (floors.join("bare"), PathBuf::from(program), PathBuf::from(repository));
    let programs = Programs { hello, bare, program, repository };
    match measure(&programs, quick, wanted).await {
        Ok(table) => {
            print!("{}", table.text());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("figures: {problem}");
            ExitCode::FAILURE
        }
    }
}
