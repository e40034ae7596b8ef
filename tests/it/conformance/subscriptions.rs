//! schemathesis makes requests of `docs/openapi.json`, good ones and bad ones, and judges what the running program answers.
//!
//! `tests/conformance/schemathesis.toml` says which; this story starts the program and fills it, so that there is something
//! to ask for in every state.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::{self, Running};
use crate::reference;

/// How long schemathesis may take for what it does in half a minute: less than what this story may take in all
/// (`.config/nextest.toml`), so that it is heard out.
const PATIENCE: Duration = Duration::from_mins(8);

/// How many subscriptions there are: enough that some are still active after others were cancelled.
const SUBSCRIPTIONS: usize = 60;

/// How many are suspended, and how many cancelled.
const DEEDS: usize = 3;

/// How many have an order that does not come to its end.
const ORDERS: usize = 10;

/// The fewest requests that are worth the name; there are about 1,400.
const REQUESTS: u64 = 1_000;

/// What is left behind in the folder.
const REPORT: &str = "report.json";

/// Somebody who may call the program and its simulator.
struct Caller<'a> {
    http: Client,
    dev: &'a Running,
    key: String,
}

impl Caller<'_> {
    async fn call(&self, method: Method, url: &str, body: &Value) -> Value {
        let request = self.http.request(method.clone(), url).header("x-functions-key", &self.key);
        let request = if method == Method::GET { request } else { request.json(body) };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {url}: {answer:?}");
        answer.json().await.unwrap()
    }

    async fn ours(&self, path: &str) -> Value {
        self.call(Method::GET, &format!("{}/api/subscriptions{path}", self.dev.host), &Value::Null).await
    }

    async fn simulator(&self, method: Method, path: &str, body: Value) -> Value {
        self.call(method, &format!("{}/simulator/{path}", self.dev.simulator), &body).await
    }

    /// Purchases in every status, each with its record; half of them wait for their activation. Answers their ids.
    async fn fill(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for number in 0..SUBSCRIPTIONS {
            let (plan, seats) = [("bronze", None), ("silver", Some(5)), ("silver", Some(7))][number % 3];
            let offer = if number == 1 { "contoso-offer-preview" } else { "contoso-offer" };
            let mut order = json!({ "offerId": offer, "planId": plan, "autoActivate": !number.is_multiple_of(2) });
            if let Some(seats) = seats {
                order["quantity"] = json!(seats);
            }
            let made = self.simulator(Method::POST, "purchases", order).await;
            ids.push(made["subscriptionId"].as_str().unwrap().to_owned());
        }
        self.call(Method::POST, &format!("{}/api/subscriptions/reconcile", self.dev.host), &json!({})).await;
        for (some, deed) in [(&active(&ids)[..DEEDS], "suspend"), (&active(&ids)[DEEDS..2 * DEEDS], "unsubscribe")] {
            for id in some {
                self.simulator(Method::POST, &format!("subscriptions/{id}/{deed}"), json!({})).await;
            }
        }
        self.until_all_are_known().await;
        // From now on some orders stay what they are: duties that can be tried again, or ended.
        let spoil =
            |call: &str, probability: f64| json!({ "operation": call, "probability": probability, "answer": "503" });
        let rules = json!([spoil("change-plan", 1.0), spoil("change-quantity", 0.5), spoil("cancel", 0.5)]);
        self.simulator(Method::PUT, "faults", json!({ "rules": rules })).await;
        for id in &active(&ids)[2 * DEEDS..][..ORDERS] {
            let url = format!("{}/api/subscriptions/{id}", self.dev.host);
            self.call(Method::PATCH, &url, &json!({ "planId": "gold" })).await;
        }
        ids
    }

    /// Waits until every subscription has a record that shows what was done to it.
    async fn until_all_are_known(&self) {
        let known = async {
            for (query, count) in [("", SUBSCRIPTIONS), ("?status=Suspended", DEEDS), ("?status=Unsubscribed", DEEDS)] {
                while self.ours(query).await["subscriptions"].as_array().unwrap().len() < count {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, known).await.expect("the records are there in time");
    }

    /// What there is to ask for, where schemathesis looks for it: ids, in the form of a fuzzer's dictionary, and for the
    /// operations whose path names two things those that belong together.
    async fn describe(&self, ids: &[String], folder: &Path) {
        std::fs::write(folder.join("subscriptions"), format!("\"{}\"\n", ids.join("\"\n\""))).unwrap();
        let mut told = Vec::new();
        for id in ids {
            let events = self.ours(&format!("/{id}/events")).await;
            let events = events["events"].as_array().unwrap().iter();
            told.extend(events.map(|event| json!({ "id": id, "sequence": event["sequence"] })));
        }
        let active = active(ids);
        let owed: Vec<_> =
            active[2 * DEEDS..][..ORDERS].iter().map(|id| json!({ "id": id, "duty": "change" })).collect();
        let known = json!({
            "POST /subscriptions/{id}/events/{sequence}/replay": told,
            "POST /subscriptions/{id}/duties/{duty}/retry": owed,
            "POST /subscriptions/{id}/duties/{duty}/end": owed,
        });
        std::fs::write(folder.join("known.json"), known.to_string()).unwrap();
    }
}

/// Those that were active from the beginning.
fn active(ids: &[String]) -> Vec<&String> {
    ids.iter().skip(1).step_by(2).collect()
}

/// Runs schemathesis in `folder`. Answers its report; fails with all that it said where it found something.
async fn schemathesis(host: &str, key: &str, folder: &Path) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["schemathesis.toml", "hooks.py"] {
        std::fs::copy(root.join("tests/conformance").join(name), folder.join(name)).unwrap();
    }
    let mut command = Command::new(reference::python().with_file_name("schemathesis"));
    command.args(["--config-file", "schemathesis.toml", "run"]).arg(root.join("docs/openapi.json"));
    command.args(["--url", &format!("{host}/api"), "--header", &format!("x-functions-key: {key}")]);
    command.args(["--report", "json", "--report-json-path", REPORT, "--no-color"]);
    command.current_dir(folder).env("NO_PROXY", "127.0.0.1").kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("schemathesis ends").unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&std::fs::read(folder.join(REPORT)).unwrap()).unwrap()
}

#[tokio::test]
async fn the_program_keeps_what_its_document_promises() {
    let mut dev = process::dev(&["--enable-auth", "--seed", "11"]).await;
    let mut lines = dev.take_log();
    let folder = tempfile::tempdir().unwrap();
    let work = async {
        let key = dev.key.clone().expect("the function key is shown");
        let http = Client::builder().no_proxy().build().unwrap();
        let caller = Caller { http, dev: &dev, key };
        let ids = caller.fill().await;
        caller.describe(&ids, folder.path()).await;
        schemathesis(&dev.host, &caller.key, folder.path()).await
    };
    // Whoever does not read what a program writes stops it.
    let reading = async { while lines.next_line().await.unwrap().is_some() {} };
    let report = tokio::select! {
        report = work => report,
        () = reading => panic!("the program ended"),
    };
    assert_eq!((&report["complete"], &report["operations"]["errored"]), (&json!(true), &json!(0)), "{report:#}");
    assert!(report["test_cases"]["generated"].as_u64().unwrap() > REQUESTS, "{report:#}");
    let rates = report["valid_rates"].as_object().unwrap();
    assert_eq!(rates.len(), marketplace_fulfillment::functions::subscriptions::ROUTES.len(), "{report:#}");
    for (operation, phases) in rates {
        let accepted: u64 = phases.as_object().unwrap().values().map(|phase| phase["accepted"].as_u64().unwrap()).sum();
        assert!(accepted > 0, "nothing that was asked of {operation} was answered with success: {phases}");
    }
}
