//! `health`, for probes: this process answers. It looks at nothing and tells nothing, but to whoever asks for it whether
//! their own headers arrived.

use serde_json::json;

use crate::web::{Reply, Request};

/// Names headers, separated by commas. The answer names those of them that arrived, and so shows what the caller's
/// way to us takes away; nothing else, and no value.
pub const PROBE: &str = "x-fulfillment-probe";

/// The most headers that one may ask for: the doctor asks for four.
const ASKED_LIMIT: usize = 8;

/// Answers that the process is alive.
pub fn run(request: &Request) -> Reply {
    let mut alive = json!({ "status": "ok" });
    if let Some(asked) = request.header(PROBE) {
        let asked = asked.split(',').map(str::trim).take(ASKED_LIMIT);
        alive["arrived"] = asked.filter(|name| request.header(name).is_some()).collect();
    }
    Reply::json(200, &alive).with("cache-control", "no-store")
}
