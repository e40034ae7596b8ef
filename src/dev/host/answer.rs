//! What the host makes of a handler's answer to a queue or timer call.

use serde_json::{Map, Value};

/// The host's judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The function succeeded and wants these lines logged.
    Succeeded { logs: Vec<String> },
    /// The function failed, for this reason.
    Failed(String),
    /// The host waits for ever: a success without a result never completes the invocation.
    Hangs,
}

/// Judges an answer as `DefaultHttpWorkerService` does: a 2xx, a JSON media type, and a body that is not `null`. Bodies
/// of failures are not looked at.
pub(super) fn judge(status: u16, media_type: Option<&str>, body: &[u8]) -> Verdict {
    if !(200..300).contains(&status) {
        return Verdict::Failed(format!("the handler answered {status}"));
    }
    if body.is_empty() {
        return Verdict::Hangs;
    }
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/json" && essence != "text/json" {
        return Verdict::Failed(format!("the answer's media type is \"{essence}\", not JSON"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Null) => Verdict::Hangs,
        Ok(Value::Object(result)) => succeeded(&result),
        Ok(_) => Verdict::Failed("the answer is not a JSON object".to_owned()),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Verdict::Failed(format!("the answer is not JSON: see line {line}, column {column} of it"))
        }
    }
}

/// Reads what an answer may hold: keys in any case, unknown ones ignored. Outputs are not used, since no function that
/// this stand-in accepts has an output binding, but their shape must be right.
fn succeeded(result: &Map<String, Value>) -> Verdict {
    let get = |name: &str| result.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    if !matches!(get("Outputs"), None | Some(Value::Null | Value::Object(_))) {
        return Verdict::Failed("\"Outputs\" in the answer is not an object".to_owned());
    }
    match get("Logs") {
        None | Some(Value::Null) => Verdict::Succeeded { logs: Vec::new() },
        Some(Value::Array(logs)) => Verdict::Succeeded { logs: logs.iter().map(line).collect() },
        Some(_) => Verdict::Failed("\"Logs\" in the answer is not a list".to_owned()),
    }
}

fn line(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
