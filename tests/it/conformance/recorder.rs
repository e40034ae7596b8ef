//! A proxy before the simulator, which remembers what was asked and what was answered. Links that lead to the simulator
//! lead to the proxy once they have passed it, so that nobody goes around it.

use std::sync::{Arc, Mutex, OnceLock};

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;
use warp::Filter as _;
use warp::http::{HeaderMap, Response};
use warp::hyper::body::Bytes;

/// What belongs to one connection and not to the message.
const OF_THE_CONNECTION: [&str; 4] = ["host", "content-length", "connection", "transfer-encoding"];

/// A request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) asked: Said,
    pub(super) status: u16,
    pub(super) answered: Said,
}

/// One half of an exchange.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Said {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as JSON; `None` where it is none.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Listens on a port of its own until it is dropped.
pub(super) struct Recorder {
    /// Where it is reached, such as `http://127.0.0.1:7072/`.
    pub(super) url: Url,
    behind: Arc<OnceLock<Url>>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    serving: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Recorder {
    /// Listens. It answers once it knows what is behind it.
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let (behind, exchanges) = (Arc::<OnceLock<Url>>::default(), Arc::<Mutex<Vec<Exchange>>>::default());
        let relay = Relay { http: client(), own: url.clone(), behind: behind.clone(), exchanges: exchanges.clone() };
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let routes = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .then(move |method, path: warp::path::FullPath, query, headers, body: Bytes| {
                let (relay, asked) = (relay.clone(), Said { headers, body: body.to_vec() });
                async move { relay.pass(method, path.as_str().to_owned(), query, asked).await }
            });
        #[expect(clippy::disallowed_methods, reason = "the proxy runs beside the story")]
        let serving = tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { url, behind, exchanges, serving }
    }

    /// Names the simulator behind it, once.
    pub(super) fn stand_before(&self, simulator: &Url) {
        self.behind.set(simulator.clone()).expect("one simulator");
    }

    /// All that passed, in the order of the answers.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap().clone()
    }
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[derive(Clone)]
struct Relay {
    http: Client,
    own: Url,
    behind: Arc<OnceLock<Url>>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

impl Relay {
    async fn pass(&self, method: Method, path: String, query: String, asked: Said) -> Response<Vec<u8>> {
        let behind = self.behind.get().expect("it stands before a simulator");
        let mut url = behind.join(&path).unwrap();
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let request = self.http.request(method.clone(), url).headers(of_the_message(&asked.headers));
        let answer = request.body(asked.body.clone()).send().await.unwrap();
        let (status, headers) = (answer.status(), of_the_message(answer.headers()));
        let answered = Said { headers, body: answer.bytes().await.unwrap().to_vec() };
        let passed_on = self.passed_on(status, &answered, behind);
        let exchange = Exchange { method, path, query, asked, status: status.as_u16(), answered };
        self.exchanges.lock().unwrap().push(exchange);
        passed_on
    }

    /// The answer, with its links leading here.
    fn passed_on(&self, status: StatusCode, answered: &Said, behind: &Url) -> Response<Vec<u8>> {
        let second = format!("http://localhost:{}/", behind.port().unwrap());
        let led_here = |text: &[u8]| String::from_utf8_lossy(text).replace(&second, self.own.as_str()).into_bytes();
        let mut response = Response::builder().status(status);
        for (name, value) in &answered.headers {
            response = response.header(name, led_here(value.as_bytes()));
        }
        response.body(led_here(&answered.body)).unwrap()
    }
}

fn of_the_message(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
