//! Callers who ask the next question as soon as they have their answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// How long one answer may take before the measurement is void.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same where a timer's work is awaited: `functionTimeout` in `host.json`.
const LONG_PATIENCE: Duration = Duration::from_secs(300);

/// A request, ready to be sent.
pub struct Question {
    /// Where to.
    pub url: String,
    /// What stands in `Authorization`.
    pub authorization: Option<String>,
    /// The body, JSON.
    pub body: String,
}

/// What a load came to.
pub struct Answered {
    /// From the first question to the last answer, in seconds.
    pub seconds: f64,
    /// How long 99 of 100 waited at most, in milliseconds.
    pub p99: f64,
}

/// A client that keeps its connections.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("no setting that can be wrong")
}

/// One that waits for as long as a function may run.
pub fn long_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(LONG_PATIENCE).build().expect("no setting that can be wrong")
}

/// Asks all of it, `at_once` side by side. Each answer must be 200.
pub async fn ask(http: &reqwest::Client, questions: Vec<Question>, at_once: usize) -> Result<Answered, String> {
    let (questions, next) = (Arc::new(questions), Arc::new(AtomicUsize::new(0)));
    let waited = Arc::new(Mutex::new(Vec::with_capacity(questions.len())));
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..at_once {
        let (http, questions, next, waited) = (http.clone(), questions.clone(), next.clone(), waited.clone());
        callers.spawn(async move {
            let mut mine = Vec::new();
            while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                post(&http, question).await?;
                mine.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
            waited.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
            Ok::<(), String>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(|error| error.to_string())??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut waited = waited.lock().unwrap_or_else(PoisonError::into_inner);
    waited.sort_by(f64::total_cmp);
    Ok(Answered { seconds, p99: waited[waited.len() * 99 / 100] })
}

/// Asks once. The answer must be 200.
pub async fn post(http: &reqwest::Client, question: &Question) -> Result<(), String> {
    let mut request = http.post(&question.url).header("content-type", "application/json");
    if let Some(authorization) = &question.authorization {
        request = request.header("authorization", authorization);
    }
    let answer = request.body(question.body.clone()).send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| format!("{error:?}"))?;
    if status == 200 { Ok(()) } else { Err(format!("POST {}: {status} {body}", question.url)) }
}
