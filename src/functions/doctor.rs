//! `doctor`, for an administrator: the examination of [`crate::doctor`], run where the app runs.

use crate::app::App;
use crate::doctor;
use crate::web::Reply;

/// Answers what was found: 200 if everything works, else 503.
pub async fn run(app: &App) -> Reply {
    let report = doctor::examine(app).await;
    let status = if report.works() { 200 } else { 503 };
    Reply::json(status, &report.to_json()).with("cache-control", "no-store")
}
