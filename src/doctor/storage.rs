//! Whether records are kept and bells ring.

use super::Finding;
use crate::app::App;

const TABLES: &str = "tables";
const QUEUES: &str = "queues";
const POISON: &str = "poison queues";

pub(super) async fn tables(app: &App) -> Vec<Finding> {
    vec![match app.store.probe().await {
        Ok(()) => Finding::good(TABLES, "there, written, read, and a save of an old version is refused"),
        Err(error) => Finding::bad(TABLES, error.to_string()),
    }]
}

pub(super) async fn queues(app: &App) -> Vec<Finding> {
    let poisoned = match app.bell.probe().await {
        Ok(poisoned) => poisoned,
        Err(fault) => return vec![Finding::bad(QUEUES, fault.private)],
    };
    let poisoned: Vec<String> = poisoned
        .into_iter()
        .filter(|(_, messages)| *messages > 0)
        .map(|(queue, messages)| format!("{queue} holds {messages}"))
        .collect();
    let poison = if poisoned.is_empty() {
        Finding::good(POISON, "empty")
    } else {
        let held = poisoned.join(", ");
        Finding::notice(
            POISON,
            format!("{held}: messages that the app failed on five times; docs/operations.md says what to do"),
        )
    };
    vec![Finding::good(QUEUES, "there, and a message is put, received and deleted"), poison]
}
