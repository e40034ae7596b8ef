//! Whether the world reaches us at `PUBLIC_URL`, and whether what stands in front of the app lets everything through.

use std::time::Duration;

use serde_json::Value;

use super::Finding;
use crate::app::App;
use crate::functions::health::PROBE;

const PUBLIC_URL: &str = "PUBLIC_URL";
const HEADERS: &str = "headers";

/// How long our own address may take to answer: a cold start behind a front door.
const PATIENCE: Duration = Duration::from_secs(20);

/// The largest answer read, in bytes. Ours has under a hundred.
const ANSWER_LIMIT: usize = 4 * 1024;

/// What the app cannot do without: Microsoft's token, the buyer's cookies, and where a form was posted from.
const NEEDED: [(&str, &str); 4] = [
    ("authorization", "Bearer doctor"),
    ("cookie", "doctor=1"),
    ("origin", "https://doctor.invalid"),
    ("sec-fetch-site", "none"),
];

pub(super) async fn front_door(app: &App, http: &reqwest::Client) -> Vec<Finding> {
    let url = app.settings.function_url("health");
    let mut request = http.get(&url).timeout(PATIENCE).header(PROBE, NEEDED.map(|(name, _)| name).join(", "));
    for (name, value) in NEEDED {
        request = request.header(name, value);
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return vec![Finding::bad(PUBLIC_URL, unreachable(&url, &error))],
    };
    let status = answer.status().as_u16();
    if status != 200 {
        return vec![Finding::bad(PUBLIC_URL, refused(&url, status))];
    }
    let said: Option<Value> = read(answer).await.and_then(|body| serde_json::from_slice(&body).ok());
    let Some(arrived) = said.as_ref().filter(|said| said["status"] == "ok").map(|said| &said["arrived"]) else {
        let says =
            format!("{url} is answered by something else than this app: set PUBLIC_URL to where browsers reach it");
        return vec![Finding::bad(PUBLIC_URL, says)];
    };
    let arrived: Vec<&str> = arrived.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let lost: Vec<&str> = NEEDED.iter().map(|(name, _)| *name).filter(|name| !arrived.contains(name)).collect();
    let headers = if lost.is_empty() {
        Finding::good(HEADERS, "those that the app needs come through")
    } else {
        let lost = lost.join(", ");
        Finding::bad(
            HEADERS,
            format!("what stands in front of {url} takes away: {lost}. Let it pass them on unchanged"),
        )
    };
    vec![Finding::good(PUBLIC_URL, format!("{url} is answered by this app")), headers]
}

/// The body, unless it is longer than [`ANSWER_LIMIT`], whatever length it announces and however it is packed.
async fn read(mut answer: reqwest::Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn unreachable(url: &str, error: &reqwest::Error) -> String {
    let why = if error.is_timeout() {
        "does not answer in time"
    } else if error.is_connect() {
        "cannot be connected to: is its name in DNS, its certificate right, and its network open to this app?"
    } else {
        "breaks off its answer"
    };
    format!("{url} {why}")
}

fn refused(url: &str, status: u16) -> String {
    let advice = match status {
        300..=399 => {
            "it redirects, perhaps to a sign-in or to another name: turn App Service authentication off, which \
                      Microsoft's webhook cannot pass, and set PUBLIC_URL to the address itself"
        }
        401 | 403 => {
            "something in front of the app wants to know who comes: App Service authentication, access \
                      restrictions or a firewall, which neither buyers nor Microsoft can pass"
        }
        404 => "no such function there: set PUBLIC_URL to this app, or deploy it",
        500.. => "the app does not run, or its front door does not reach it",
        _ => "that is not this app",
    };
    format!("{url} answers {status}: {advice}")
}
