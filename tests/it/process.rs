//! Stories of the built program as a process: started as people and as the Functions host start it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use marketplace_fulfillment::bell::memory::Queues;
use marketplace_fulfillment::clock::Clock;
use marketplace_fulfillment::dev::EVENTS_SECRET;
use marketplace_fulfillment::dev::host::{self, Account, Event, Framing, Handler, Host, Patience};
use marketplace_fulfillment::dev::simulator::{self, Call, Purchase, Simulator};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use url::Url;
use warp::Filter as _;

use crate::visitor::Visitor;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fulfillment");

/// How long a process may take for what it does in a second.
const PATIENCE: Duration = Duration::from_mins(1);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program with these arguments, and nothing in its environment but what is given.
fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(root());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = program(arguments, environment).output();
    tokio::time::timeout(PATIENCE, output).await.expect("the program ends").unwrap()
}

/// A running `fulfillment dev`.
pub(crate) struct Running {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    read: Vec<String>,
    pub(crate) host: String,
    pub(crate) simulator: String,
    /// The function key, where one is asked for.
    pub(crate) key: Option<String>,
}

impl Running {
    /// What it writes from now on, for somebody who reads it beside the story.
    pub(crate) fn take_log(&mut self) -> Lines<BufReader<ChildStdout>> {
        self.lines.take().expect("nobody else reads the log")
    }

    /// Waits for a line. It is kept for [`Running::log`] with those before it.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) {
        let lines = self.lines.as_mut().expect("nobody else reads the log");
        let found = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the program runs");
                let found = serde_json::from_str(&line).is_ok_and(|line| wanted(&line));
                self.read.push(line);
                if found {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the line is logged in time");
    }

    /// Ends the program. Everything that it wrote to stdout, as text and line by line.
    async fn log(&mut self) -> (String, Vec<Value>) {
        self.child.start_kill().unwrap();
        let (mut log, mut lines) = (std::mem::take(&mut self.read), self.take_log());
        while let Some(line) = lines.next_line().await.unwrap() {
            log.push(line);
        }
        let lines = log.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
        (log.join("\n"), lines)
    }
}

pub(crate) async fn dev(arguments: &[&str]) -> Running {
    let arguments = [&["dev", "--port", "0", "--simulator-port", "0"], arguments].concat();
    let mut child = program(&arguments, &[]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read = Vec::new();
    let ready = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the program gets ready");
            if let Some(ready) = line.strip_prefix("ready: ") {
                return ready.to_owned();
            }
            read.push(line);
        }
    };
    let ready = tokio::time::timeout(PATIENCE, ready).await.expect("the program gets ready in time");
    let mut words = ready.split(' ');
    let host = words.next().unwrap().to_owned();
    assert_eq!(words.next(), Some("simulator:"), "{ready}");
    let simulator = words.next().unwrap().to_owned();
    let key = ready.split_once(" function key: ").map(|(_, key)| key.to_owned());
    Running { child, lines: Some(lines), read, host, simulator, key }
}

#[tokio::test]
async fn a_purchase_by_curl_alone_and_a_log_without_personal_data() {
    let mut dev = dev(&[]).await;
    let mut script = Command::new("bash");
    script.arg(root().join("docs/purchase.sh")).args([&dev.host, &dev.simulator]).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, script.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("here: Subscribed, at the marketplace: Subscribed"), "{said}");
    let subscription = said.split("subscription ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();

    let suspend = format!("{}/simulator/subscriptions/{subscription}/suspend", dev.simulator);
    let asked = reqwest::Client::new().post(suspend).json(&serde_json::json!({})).send().await.unwrap();
    assert_eq!(asked.status(), 202);
    let theirs = format!("{}/simulator/subscriptions/{subscription}", dev.simulator);
    let answered = async {
        while reqwest::get(&theirs).await.unwrap().json::<Value>().await.unwrap()["deliveries"][0]["status"] != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("the webhook is answered");

    // Microsoft's list has links with continuation tokens, and the queue's bell would ring much later.
    let http = reqwest::Client::new();
    let bell = serde_json::json!({ "v": 1, "subscription": subscription }).to_string();
    for (function, input) in [("reconcile", String::new()), ("activate", bell)] {
        let url = format!("{}/admin/functions/{function}", dev.host);
        let asked = http.post(url).json(&serde_json::json!({ "input": input })).send().await.unwrap();
        assert_eq!(asked.status(), 202);
        dev.until(|line| line["faas.name"] == function && line["kind"] != Value::Null).await;
    }

    let (text, lines) = dev.log().await;
    for secret in ["fabrikam.example", "Bea", "Baker", "eyJ", "__Host-", "simulator-secret", "Bearer", "token="] {
        assert!(!text.contains(secret), "{secret} is in the log:\n{text}");
    }
    for query in ["api-version", "continuation", "code=", "state=", "nonce="] {
        assert!(!text.contains(query), "{query} is in the log:\n{text}");
    }
    spans_make_traces(&lines);
    for function in ["landing", "signin", "confirm", "progress", "activate"] {
        let told = lines.iter().find(|line| line["span"]["function"] == function && line["duration_ms"].is_u64());
        let told = told.unwrap_or_else(|| panic!("no line of {function} in:\n{text}"));
        assert!(told["span"]["invocation_id"].as_str().is_some_and(|id| id.len() == 36), "{told}");
    }
    for function in ["confirm", "webhook"] {
        let told = lines.iter().find(|line| line["span"]["function"] == function && line["message"] == "answered");
        assert_eq!(told.unwrap()["span"]["subscription_id"], subscription.as_str(), "{function}");
    }
    let call = lines.iter().find(|line| line["operation"] == "activate").expect("the call to Microsoft is logged");
    assert!(call["request_id"].is_string() && call["correlation_id"] == call["span"]["invocation_id"], "{call}");
}

/// Whoever connects their software sees what it is sent, and where it should be.
#[tokio::test]
async fn dev_tells_where_messages_go_and_what_becomes_of_each() {
    for (arguments, events, answer) in [
        (&[] as &[&str], "/publisher/events", "200"),
        (&["--app", "http://127.0.0.1:1"], "http://127.0.0.1:1/events", "unreachable"),
    ] {
        let mut dev = dev(arguments).await;
        let mut script = Command::new("bash");
        script.arg(root().join("docs/purchase.sh")).args([&dev.host, &dev.simulator]).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, script.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let sent = |line: &Value| line["message"] == "sent to the publisher's software";
        let purchased = |line: &Value| sent(line) && line["type"] == "marketplace.subscription.purchased";
        dev.until(|line| purchased(line)).await;

        let (_, lines) = dev.log().await;
        let told = lines.iter().find_map(|line| line["message"].as_str()?.strip_prefix("events go to ")).unwrap();
        let (to, secret) = told.split_once(", signed with ").unwrap();
        assert!(to.ends_with(events), "{told}");
        assert_eq!(secret, EVENTS_SECRET);
        let line = lines.iter().find(|line| purchased(line)).unwrap();
        assert_eq!(line["answer"], answer, "{line}");
        assert_eq!(line["subject"].as_str().map(str::len), Some(36), "{line}");
        assert_eq!(line["sequence"].as_str().map(str::len), Some(13), "{line}");
    }
}

/// What `dev` logs under a host that traces: every span is one line, in the host's trace, under the span that began it.
fn spans_make_traces(lines: &[Value]) {
    let spans: Vec<&Value> = lines.iter().filter(|line| !line["kind"].is_null()).collect();
    let ids: BTreeSet<&str> = spans.iter().map(|line| line["span_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), spans.len(), "each span has its own id, and one line");
    let (calls, invocations): (Vec<_>, Vec<_>) = spans.into_iter().partition(|line| line["kind"] == "CLIENT");
    for invocation in &invocations {
        let id = invocation["faas.invocation_id"].as_str().unwrap();
        assert_eq!(invocation["trace_id"], id.replace('-', ""), "the host stand-in's trace goes on: {invocation}");
        assert_eq!(invocation["parent_span_id"].as_str().map(str::len), Some(16), "{invocation}");
        assert_eq!(invocation["span"]["span_id"], invocation["span_id"], "{invocation}");
    }
    for call in &calls {
        let of = |line: &&&Value| line["span_id"] == call["parent_span_id"] && line["trace_id"] == call["trace_id"];
        let parent = invocations.iter().find(of).unwrap_or_else(|| panic!("nobody made the call {call}"));
        assert_eq!(call["span"]["function"], parent["faas.name"], "{call}");
        assert!(call["duration_ms"].is_u64() && call["server.port"].is_u64(), "{call}");
    }
    let made = |whom: &str, operation: &str| {
        let made = calls.iter().filter(|call| call["operation"] == operation);
        made.filter(|call| call["message"].as_str().unwrap().starts_with(whom)).count()
    };
    assert_eq!(made("Entra", "token"), 1);
    assert!(made("Entra", "openid_configuration") > 0 && made("Entra", "key_list") > 0);
    assert!(made("The marketplace", "resolve") > 0 && made("The marketplace", "list_subscriptions") > 0);
    for trigger in ["http", "pubsub", "timer"] {
        assert!(invocations.iter().any(|line| line["faas.trigger"] == trigger), "no span by {trigger}");
    }
}

/// What a browser or a stranger does wrong, and the code under which the log tells why.
#[tokio::test]
async fn the_log_says_why_somebody_was_refused_and_nothing_of_who_it_was() {
    let mut dev = dev(&[]).await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let url = |path: &str| Url::parse(&format!("{}{path}", dev.host)).unwrap();
    let visitor = || Visitor::new(http.clone(), url("/"));
    let order = serde_json::json!({ "offerId": "contoso-offer", "planId": "silver", "quantity": 5 });
    let bought = http.post(format!("{}/simulator/purchases", dev.simulator)).json(&order).send().await.unwrap();
    let bought: Value = bought.json().await.unwrap();
    let landing = bought["landingUrl"].as_str().unwrap();

    let stranger = visitor().arrive(landing, "stranger").await;
    assert_eq!(stranger.status, 403);
    let broken = visitor().arrive(url("/api/landing?token=bm90IGEgdG9rZW4=").as_str(), "buyer").await;
    assert_eq!(broken.status, 400);
    let forger = visitor();
    let authorize = forger.goto(landing).await.location().unwrap();
    let mut answer = forger.sign_in(&authorize, "buyer").await;
    answer.fields[0].1.push('x');
    assert_eq!(forger.post_answer(&answer).await.status, 401);
    let buyer = visitor();
    let page = buyer.arrive(landing, "buyer").await;
    assert_eq!(buyer.confirm_with(&page, &[("sec-fetch-site", "cross-site")]).await.status, 403);
    let large = http.post(url("/api/confirm")).body("x".repeat(10_000_000)).send().await.unwrap();
    assert_eq!(large.status(), 413);
    let unsigned =
        http.post(url("/api/webhook")).bearer_auth("eyJhbGciOiJub25lIn0.e30.").body("{}").send().await.unwrap();
    assert_eq!(unsigned.status(), 401);

    let (log, lines) = dev.log().await;
    for code in ["wrong_person", "token_refused", "signin_failed", "forged_form", "body_too_large", "caller_refused"] {
        let told = lines.iter().find(|line| line["code"] == code);
        let message = told.unwrap_or_else(|| panic!("no line with {code} in:\n{log}"))["message"].as_str().unwrap();
        assert!(message.starts_with("refused: ") && message.len() > 30, "{code}: {message}");
    }
    let token = bought["token"].as_str().unwrap();
    for secret in ["fabrikam", "northwind", "Bea", "Sam", "eyJ", "__Host-", token, "bm90IGEgdG9rZW4", "token="] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn a_function_key_is_asked_for_where_it_is_wanted() {
    let dev = dev(&["--enable-auth"]).await;
    let refused = reqwest::get(format!("{}/api/subscriptions", dev.host)).await.unwrap();
    assert_eq!(refused.status(), 401);
    let health = reqwest::get(format!("{}/api/health", dev.host)).await.unwrap();
    assert_eq!(health.status(), 200);
}

/// Arguments, environment, and what the one sentence on stderr must say.
type Start<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// The exit code is never 0: the Functions host
/// does not start a handler again that exited with 0.
#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let in_azure = [("FUNCTIONS_CUSTOMHANDLER_PORT", "0"), ("WEBSITE_INSTANCE_ID", "x")];
    let in_azure: Vec<_> = in_azure.into_iter().chain(crate::settings::good()).collect();
    let table: &[Start<'_>] = &[
        (&["serve"], &[], "FUNCTIONS_CUSTOMHANDLER_PORT"),
        (&["serve"], &[("FUNCTIONS_CUSTOMHANDLER_PORT", "x")], "FUNCTIONS_CUSTOMHANDLER_PORT"),
        (&["serve"], &[("FUNCTIONS_CUSTOMHANDLER_PORT", &port)], "cannot listen"),
        (&["serve"], &[("FUNCTIONS_CUSTOMHANDLER_PORT", "0")], "MARKETPLACE_TENANT_ID"),
        (&["serve"], &in_azure, "AzureWebJobsStorage is not set, and WEBSITE_INSTANCE_ID says that this is Azure"),
        (&["dev"], &[("WEBSITE_INSTANCE_ID", "x")], "WEBSITE_INSTANCE_ID"),
        (&["dev", "--port", &port], &[], "--port"),
        (&["dev", "--port", "0", "--simulator-port", &port], &[], "--simulator-port"),
        (&["dev", "--port", "0", "--simulator-port", "0", "--app-root", "/"], &[], "host.json"),
        (&["dev", "--port", "0", "--simulator-port", "0"], &[("OFFERS", ",")], "OFFERS"),
        (&["unheard-of"], &[], "unheard-of"),
        (&[], &[], "Usage"),
    ];
    for (arguments, environment, says) in table {
        let output = run(arguments, environment).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{arguments:?} {environment:?}");
        assert!(stderr.contains(says), "{arguments:?} {environment:?}: {stderr}");
    }
}

/// The Functions host stand-in around the built program, before a simulated marketplace; all on the machine's clock.
struct Deployed {
    host: Host,
    simulator: Simulator,
    visitor: Visitor,
    serving: tokio::task::JoinHandle<()>,
    /// Holds the handler's process id, in the file `pid`.
    folder: tempfile::TempDir,
}

impl Drop for Deployed {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn deployed(framing: Framing) -> Deployed {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public_url = format!("http://{}/", listener.local_addr().unwrap());
    let port = simulator_listener.local_addr().unwrap().port();
    let base_url = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let second_base_url = Url::parse(&format!("http://localhost:{port}")).unwrap();
    let simulator = Simulator::new(simulator::Options {
        clock: Clock::System,
        seed: 1,
        base_url: base_url.clone(),
        second_base_url: second_base_url.clone(),
        landing_url: Url::parse(&format!("{public_url}api/landing")).unwrap(),
        webhook_url: Url::parse(&format!("{public_url}api/webhook")).unwrap(),
    });
    #[expect(clippy::disallowed_methods, reason = "the simulator runs beside the story")]
    let serving = tokio::spawn(simulator.clone().serve(simulator_listener));
    let folder = tempfile::tempdir().unwrap();
    let env = [
        ("MARKETPLACE_API_URL", format!("{base_url}api")),
        ("MARKETPLACE_API_HOSTS", format!("127.0.0.1:{port},localhost:{port}")),
        ("MARKETPLACE_TENANT_ID", simulator::TENANT_ID.to_owned()),
        ("MARKETPLACE_CLIENT_ID", simulator::CLIENT_ID.to_owned()),
        ("MARKETPLACE_CLIENT_SECRET", simulator::CLIENT_SECRET.to_owned()),
        ("ENTRA_AUTHORITY_URL", format!("{second_base_url}entra")),
        ("SIGNIN_CLIENT_ID", simulator::SIGNIN_CLIENT_ID.to_owned()),
        ("OFFERS", "contoso-offer".to_owned()),
        ("PUBLIC_URL", public_url.clone()),
        ("PUBLISHER_NAME", "Contoso".to_owned()),
        ("PUBLISHER_SUPPORT_URL", "https://contoso.example/help".to_owned()),
        ("PUBLISHER_APP_URL", "https://contoso.example/app".to_owned()),
        ("COOKIE_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()),
        ("PID_FILE", folder.path().join("pid").to_str().unwrap().to_owned()),
    ];
    let options = host::Options {
        app_root: root().to_owned(),
        handler: Handler::Process {
            // The shell becomes the program, after it has told its process id.
            program: PathBuf::from("/bin/sh"),
            args: ["-c", "echo $$ >\"$PID_FILE\"; exec \"$0\" serve", PROGRAM].map(str::to_owned).to_vec(),
            env: env.map(|(key, value)| (key.to_owned(), value)).to_vec(),
        },
        account: Account::Memory(Queues::new(Clock::System)),
        clock: Clock::System,
        enable_auth: None,
        framing,
        traceparent: true,
        patience: Patience::default(),
    };
    let host = Host::start(listener, options).await.unwrap();
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let visitor = Visitor::new(http, Url::parse(&public_url).unwrap());
    Deployed { host, simulator, visitor, serving, folder }
}

#[tokio::test]
async fn the_built_program_serves_a_purchase_behind_the_host() {
    let deployed = deployed(Framing::Chunked).await;
    let bought = deployed.simulator.purchase(&Purchase::of("silver", Some(5))).unwrap();
    let page = deployed.visitor.arrive(bought.landing_url.as_str(), "buyer").await;
    headers_are_as_logged(&deployed).await;
    let page = deployed.visitor.confirm(&page).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let progress = deployed.host.url().join(&format!("/api/progress?subscription={}", bought.subscription_id)).unwrap();
    let active = async {
        while deployed.visitor.goto(progress.as_str()).await.json()["state"] != "active" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, active).await.expect("active in the end, by a bell that nobody else hears");
    let theirs = deployed.simulator.subscription(&bought.subscription_id).unwrap();
    assert_eq!((&theirs["saasSubscriptionStatus"], &theirs["calls"]["activate"]), (&"Subscribed".into(), &1.into()));
}

/// What the log calls a span is what the header told the other side.
async fn headers_are_as_logged(deployed: &Deployed) {
    let heard: Vec<_> = deployed.simulator.heard().into_iter().filter(|heard| heard.call != Call::Authorize).collect();
    assert!(heard.len() > 3, "{heard:?}");
    let told = |events: &[Event], header: &str| {
        let lines = events.iter().filter_map(|event| match event {
            Event::Said { line, .. } => serde_json::from_str::<Value>(line).ok(),
            _ => None,
        });
        let header = header.rsplit_once('-').unwrap().0;
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        lines
            .filter(|line| line["kind"] == "CLIENT")
            .any(|line| format!("00-{}-{}", text(&line, "trace_id"), text(&line, "span_id")) == header)
    };
    for call in heard {
        let header = call.traceparent.clone().unwrap_or_else(|| panic!("no traceparent: {call:?}"));
        let until = deployed.host.until(|events| told(events, &header));
        tokio::time::timeout(PATIENCE, until).await.unwrap_or_else(|_| panic!("no line tells of {call:?}"));
    }
}

/// A signal that asks for an end is not answered with exit code 0, after which the host would not start it again.
#[tokio::test]
async fn a_terminated_handler_is_started_again() {
    let deployed = deployed(Framing::Sized).await;
    let ready = |events: &[Event]| events.iter().filter(|event| **event == Event::Ready).count();
    tokio::time::timeout(PATIENCE, deployed.host.until(|events| ready(events) == 1)).await.expect("ready");
    let handler = std::fs::read_to_string(deployed.folder.path().join("pid")).unwrap();
    assert!(Command::new("kill").args(["-TERM", handler.trim()]).status().await.unwrap().success());
    tokio::time::timeout(PATIENCE, deployed.host.until(|events| ready(events) == 2)).await.expect("ready again");
    assert_eq!(deployed.visitor.goto(deployed.host.url().join("/api/health").unwrap().as_str()).await.status, 200);
}

/// Another implementation of the fulfillment API takes the simulator's place; what it posts without a token is signed on
/// its way.
#[tokio::test]
async fn another_marketplace_can_take_the_simulators_place() {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked.clone();
    let other = warp::any().and(warp::path::full()).and(warp::header::optional("authorization")).map(
        move |path: warp::path::FullPath, authorization: Option<String>| {
            let bearer = authorization.is_some_and(|value| value.starts_with("Bearer "));
            seen.lock().unwrap().push((path.as_str().to_owned(), bearer));
            warp::reply::with_status("\"no such thing\"", warp::http::StatusCode::NOT_FOUND)
        },
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the other marketplace runs beside the story")]
    let serving = tokio::spawn(warp::serve(other).incoming(listener).run());
    let dev = dev(&["--marketplace-url", &url]).await;
    let id = "0f0c0d6e-0000-4000-8000-000000000001";
    let body = serde_json::json!({ "id": id, "subscriptionId": id, "action": "Suspend" });
    let relay = format!("{}/simulator/relay", dev.simulator);
    let answer = reqwest::Client::new().post(relay).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "nobody knows the subscription, and the caller is believed");
    let asked = asked.lock().unwrap().clone();
    assert!(asked.contains(&(format!("/api/saas/subscriptions/{id}"), true)), "{asked:?}");
    serving.abort();
}
