//! `health`, for probes: this process answers. It looks at nothing and tells nothing.

use crate::web::Reply;

/// Answers that the process is alive.
pub fn run() -> Reply {
    Reply::json(200, &serde_json::json!({ "status": "ok" })).with("cache-control", "no-store")
}
