//! The simulator's answers and our client's requests, held against Microsoft's own description of its fulfillment API.
//!
//! The description is Microsoft's and not in this project: the check runs where `MICROSOFT_OPENAPI` names a folder that has
//! it. `docs/conformance.md` says where it comes from.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::contradictions::{Difference, Side, disagreements};
use super::description::Description;
use super::life::Life;
use super::recorder::Exchange;

/// Names the folder.
const FOLDER: &str = "MICROSOFT_OPENAPI";

/// Microsoft's name for the file.
const FILE: &str = "saasapi.v2.json";

/// `None` where nobody has it.
fn description() -> Option<Description> {
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests says where Microsoft's description is")]
    let folder = std::env::var_os(FOLDER)?;
    let path = PathBuf::from(folder).join(FILE);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{FOLDER}: {}: {error}", path.display()));
    Some(Description::new(serde_json::from_slice(&text).unwrap()))
}

/// Where these exchanges differ. What the program asked counts on both sides, what the story asked only as it was answered.
fn differences(description: &Description, exchanges: &[Exchange], by_the_program: bool) -> BTreeSet<Difference> {
    let mut found = BTreeSet::new();
    for exchange in exchanges {
        let Exchange { method, path, .. } = exchange;
        let judged = description.judge(exchange).unwrap_or_else(|| panic!("{method} {path} is not described"));
        let asked = judged.asked.into_iter().filter(|_| by_the_program).map(|what| (Side::Client, what));
        let all = asked.chain(judged.answered.into_iter().map(|what| (Side::Simulator, what)));
        found.extend(all.map(|(side, what)| Difference { side, operation: judged.operation.clone(), what }));
    }
    found
}

/// Every operation was called, and answered with success.
#[track_caller]
fn assert_complete(description: &Description, exchanges: &[Exchange], who: &str) {
    let done = exchanges.iter().filter(|exchange| exchange.status < 300);
    let done: BTreeSet<_> = done.filter_map(|exchange| Some(description.judge(exchange)?.operation)).collect();
    let all: BTreeSet<_> = description.operations().map(str::to_owned).collect();
    assert_eq!(done, all, "{who}");
}

#[tokio::test]
async fn both_sides_are_as_microsoft_describes_but_for_what_is_listed() {
    let Some(description) = description() else { return };
    let mut found = BTreeSet::new();
    for profile in ["documented", "observed"] {
        let [program, story] = Life::lived(profile).await;
        assert_complete(&description, &program, "the program");
        assert_complete(&description, &story, "the story");
        found.extend(differences(&description, &program, true));
        found.extend(differences(&description, &story, false));
    }
    let told = disagreements(&found);
    assert!(told.is_empty(), "docs/conformance.md does not say what is so:\n{}", told.join("\n"));
}
