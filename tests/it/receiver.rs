//! The publisher's own software, as a story plays it: it takes what is posted, looks at the signature, keeps everything,
//! and answers as it was told to.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marketplace_fulfillment::publisher::{Answer, Lookup, MEDIA_TYPE, Message, Publisher, UnsentKind, signature};
use marketplace_fulfillment::settings::EventsSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use url::Url;
use warp::Filter as _;
use warp::http::{HeaderMap, Response};
use warp::hyper::body::Bytes;

use crate::events::breach;
use crate::world::{START, World};

/// The key that both sides know, as `PUBLISHER_EVENTS_SECRET` has it.
pub(crate) const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long a story waits, in real time, for something to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// The body to the byte.
    pub(crate) text: String,
    /// The body as JSON.
    pub(crate) event: Value,
    /// What is wrong with signature or envelope, if anything.
    pub(crate) wrong: Option<String>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A member of the event: `id`, `type`, `subject`, `sequence`, ...
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.event[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.event))
    }
}

/// How the publisher's software answers.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    when: When,
}

#[derive(Clone, Copy, Debug)]
enum When {
    AtOnce,
    /// After this, in real time.
    Later(Duration),
    /// When the story lets go.
    Released,
    Never,
}

/// An answer without a body.
pub(crate) fn says(status: u16) -> Says {
    Says { status, headers: Vec::new(), body: String::new(), when: When::AtOnce }
}

/// No answer at all, on a connection that stays open.
pub(crate) fn silence() -> Says {
    Says { when: When::Never, ..says(200) }
}

impl Says {
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(crate) fn text(self, body: &str) -> Self {
        Self { body: body.to_owned(), ..self }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(&body.to_string()).with("content-type", "application/json")
    }

    /// The same, after this much real time.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { when: When::Later(wait), ..self }
    }

    /// The same, once the story calls [`Receiver::release`].
    pub(crate) fn held(self) -> Self {
        Self { when: When::Released, ..self }
    }
}

/// Answers 204 to everything, until it is told otherwise.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    received: Mutex<Vec<Received>>,
    arrived: Notify,
    released: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    answers: Mutex<BTreeMap<String, Answers>>,
}

/// What is said at one path.
#[derive(Default)]
struct Answers {
    next: VecDeque<Says>,
    then: Option<Says>,
}

/// Runs a story whose app is connected to a receiver, and looks at what it leaves behind. In the settings a value that
/// begins with a slash is a path of the receiver's.
pub(crate) async fn connected(settings: &[(&str, &str)], script: impl AsyncFnOnce(&World, &Receiver)) {
    let receiver = Receiver::start().await;
    let world = receiver.world(settings).await;
    script(&world, &receiver).await;
    world.assert_silence().await;
    let _all_is_well = receiver.received();
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let state = Arc::clone(&inner);
        let routes =
            warp::post().and(warp::path::full()).and(warp::header::headers_cloned()).and(warp::body::bytes()).then(
                move |path: warp::path::FullPath, headers, body: Bytes| {
                    let state = Arc::clone(&state);
                    async move { state.take(path.as_str(), headers, &body).await }
                },
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the server lives beside its test and ends with its runtime")]
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self { address, inner }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A world whose app knows this receiver. A value that begins with a slash is a path of the receiver's.
    pub(crate) async fn world(&self, settings: &[(&str, &str)]) -> World {
        let settings = self.settings(settings);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        World::new(&settings).await
    }

    /// Settings that lead here, and these.
    pub(crate) fn settings(&self, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let ours = [("PUBLISHER_ALLOWED_HOSTS", "127.0.0.1"), ("PUBLISHER_EVENTS_SECRET", SECRET)];
        let here = |value: &str| if value.starts_with('/') { self.url(value) } else { value.to_owned() };
        ours.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), here(value))).collect()
    }

    /// What is said at this path from now on.
    pub(crate) fn answer(&self, path: &str, says: Says) {
        self.inner.answers.lock().unwrap().entry(path.to_owned()).or_default().then = Some(says);
    }

    /// What is said at this path first, one after the other.
    pub(crate) fn answer_next(&self, path: &str, says: impl IntoIterator<Item = Says>) {
        self.inner.answers.lock().unwrap().entry(path.to_owned()).or_default().next.extend(says);
    }

    /// Lets what is held at this path go, now and from now on.
    pub(crate) fn release(&self, path: &str) {
        self.inner.gate(path).add_permits(1);
    }

    /// Everything that arrived, each of it well formed and signed.
    #[track_caller]
    pub(crate) fn received(&self) -> Vec<Received> {
        let received = self.inner.received.lock().unwrap().clone();
        for one in &received {
            assert_eq!(one.wrong, None, "{one:?}");
        }
        received
    }

    /// What arrived at this path.
    #[track_caller]
    pub(crate) fn received_at(&self, path: &str) -> Vec<Received> {
        self.received().into_iter().filter(|one| one.path == path).collect()
    }

    /// Waits, in real time, until so many messages have arrived at this path.
    pub(crate) async fn until(&self, path: &str, count: usize) -> Vec<Received> {
        let enough = async {
            loop {
                let mut arrived = std::pin::pin!(self.inner.arrived.notified());
                // Listened for before it is looked at, so that an arrival in between is not missed.
                arrived.as_mut().enable();
                let received = self.received_at(path);
                if received.len() >= count {
                    return received;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.unwrap_or_else(|_| panic!("fewer than {count} at {path}"))
    }
}

impl Inner {
    async fn take(&self, path: &str, headers: HeaderMap, body: &[u8]) -> Response<String> {
        let text = String::from_utf8_lossy(body).into_owned();
        let event = serde_json::from_str(&text).unwrap_or_default();
        let wrong = wrong(&headers, &text, &event);
        let refused = wrong.clone().map(|why| says(401).json(&json!({ "wrong": why })));
        let says = refused.unwrap_or_else(|| self.next(path));
        self.received.lock().unwrap().push(Received { path: path.to_owned(), headers, text, event, wrong });
        self.arrived.notify_waiters();
        match says.when {
            When::AtOnce => {}
            When::Later(wait) => tokio::time::sleep(wait).await,
            When::Released => drop(self.gate(path).acquire().await.unwrap()),
            When::Never => pending().await,
        }
        let mut response = Response::builder().status(says.status);
        for (name, value) in says.headers {
            response = response.header(name, value);
        }
        response.body(says.body).unwrap()
    }

    fn next(&self, path: &str) -> Says {
        let mut answers = self.answers.lock().unwrap();
        let Some(answers) = answers.get_mut(path) else { return says(204) };
        answers.next.pop_front().or_else(|| answers.then.clone()).unwrap_or_else(|| says(204))
    }

    fn gate(&self, path: &str) -> Arc<Semaphore> {
        let mut released = self.released.lock().unwrap();
        Arc::clone(released.entry(path.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }
}

/// What is wrong with a message, if anything. The age of its timestamp is not looked at: a story has its own time.
fn wrong(headers: &HeaderMap, text: &str, event: &Value) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header(signature::ID).to_owned();
    let Ok(timestamp) = header(signature::TIMESTAMP).parse() else {
        return Some(format!("{} is no number", signature::TIMESTAMP));
    };
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let expected =
        signature::sign(&Message { id: id.clone(), body: text.to_owned() }, timestamp, &EventsSecret(vec![key]));
    if header(signature::SIGNATURE) != expected {
        return Some(format!("signed {:?}, expected {expected:?}", header(signature::SIGNATURE)));
    }
    if header("content-type") != MEDIA_TYPE {
        return Some(format!("content-type {:?}", header("content-type")));
    }
    if event["id"] != id || event["specversion"] != "1.0" || id.contains('.') {
        return Some(format!("the event of {id:?} does not fit: {text}"));
    }
    // What the stories of this harness itself send names no form.
    if event["dataschema"].is_null() { None } else { breach(event) }
}

/// Posts something, signed with `key`, as the app does.
async fn post(to: &str, key: &[u8]) -> Result<Answer, UnsentKind> {
    let publisher = Publisher::new(&["127.0.0.1".to_owned()], Lookup::System).unwrap();
    let message = Message { id: "evt_1".to_owned(), body: r#"{"specversion":"1.0","id":"evt_1"}"#.to_owned() };
    let (to, keys) = (Url::parse(to).unwrap(), EventsSecret(vec![key.to_vec()]));
    publisher.post(&to, &message, &keys, START, Duration::from_millis(500)).await.map_err(|unsent| unsent.kind)
}

#[tokio::test]
async fn it_answers_as_it_was_told_and_keeps_everything() {
    let receiver = Receiver::start().await;
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    receiver
        .answer_next("/a", [says(500).text("no"), says(202).with("retry-after", "7").after(Duration::from_millis(9))]);
    receiver.answer("/a", says(200).json(&json!({ "decision": "accept" })));
    receiver.answer("/silent", silence());
    receiver.answer("/held", says(201).held());
    let a = receiver.url("/a");
    let said = async |to: &str| post(to, &key).await.map(|said| (said.status, said.body));
    assert_eq!(said(&a).await, Ok((500, "no".to_owned())));
    let later = post(&a, &key).await.unwrap();
    assert_eq!((later.status, later.retry_after), (202, Some(time::Duration::seconds(7))));
    for _ in 0..2 {
        assert_eq!(said(&a).await, Ok((200, r#"{"decision":"accept"}"#.to_owned())));
    }
    assert_eq!(said(&receiver.url("/else")).await, Ok((204, String::new())));
    assert_eq!(said(&receiver.url("/silent")).await, Err(UnsentKind::Late));
    assert_eq!(said(&receiver.url("/held")).await, Err(UnsentKind::Late));
    receiver.release("/held");
    assert_eq!(said(&receiver.url("/held")).await, Ok((201, String::new())));
    assert_eq!(receiver.until("/a", 4).await.len(), 4);
    let (all, of_a) = (receiver.received(), receiver.received_at("/a"));
    assert_eq!((all.len(), of_a.len(), of_a[0].text.len()), (8, 4, 34));
    assert_eq!((of_a[0].header("webhook-id"), of_a[0].attribute("id")), (Some("evt_1"), "evt_1"));

    assert_eq!(post(&a, &[9; 32]).await.unwrap().status, 401, "another key");
    let unsigned = std::panic::catch_unwind(|| receiver.received());
    assert!(unsigned.is_err(), "what is not signed is no message");
}

#[tokio::test]
async fn an_app_can_be_connected_to_it() {
    connected(&[("PUBLISHER_EVENTS_URL", "/events")], async |world, receiver| {
        let purchase = world.silver().await;
        world.confirmed(&purchase).await;
        world.settle().await;
        let types: Vec<_> = receiver.received_at("/events");
        let types: Vec<_> = types.iter().map(|one| one.attribute("type").rsplit('.').next().unwrap()).collect();
        assert_eq!(types, ["purchased", "confirmed", "activated"]);
    })
    .await;
}
