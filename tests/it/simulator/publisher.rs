//! A publisher who does nothing but answer webhooks, and remembers them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use url::Url;
use warp::Filter as _;

/// In place of a status: the connection is closed without an answer.
pub(super) const DROP: u16 = 0;

#[derive(Clone)]
pub(super) struct Publisher {
    pub(super) url: Url,
    state: Arc<Mutex<State>>,
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<u16>,
    usual: u16,
    heard: Vec<Heard>,
}

/// A webhook as it came.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) token: String,
    pub(super) body: Value,
}

impl Heard {
    pub(super) fn action(&self) -> &str {
        self.body["action"].as_str().unwrap_or_default()
    }
}

impl Publisher {
    /// One who answers 200.
    pub(super) async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/webhook", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(Mutex::new(State { usual: 200, ..State::default() }));
        let publisher = Self { url, state, open: watch::Sender::new(true) };
        let hears = publisher.clone();
        let routes = warp::path!("api" / "webhook")
            .and(warp::post())
            .and(warp::header::optional("authorization"))
            .and(warp::header::exact("content-type", "application/json"))
            .and(warp::body::bytes())
            .then(move |token: Option<String>, body: Bytes| {
                let publisher = hears.clone();
                async move { publisher.hear(token.unwrap_or_default(), &body).await }
            });
        #[expect(clippy::disallowed_methods, reason = "the server of this test, which ends with the test's runtime")]
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        publisher
    }

    async fn hear(&self, token: String, body: &[u8]) -> impl warp::Reply + use<> {
        let status = {
            let mut state = self.state.lock().unwrap();
            let token = token.strip_prefix("Bearer ").unwrap_or_default().to_owned();
            state.heard.push(Heard { token, body: serde_json::from_slice(body).unwrap() });
            let usual = state.usual;
            state.answers.pop_front().unwrap_or(usual)
        };
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        if status == DROP {
            std::panic::resume_unwind(Box::new("the connection is dropped"));
        }
        warp::reply::with_status("said", status.try_into().unwrap())
    }

    /// Answers these in turn, and then the usual again.
    pub(super) fn will_answer(&self, answers: &[u16]) {
        self.state.lock().unwrap().answers.extend(answers);
    }

    /// Answers this from now on.
    pub(super) fn usually_answers(&self, status: u16) {
        self.state.lock().unwrap().usual = status;
    }

    /// Keeps everybody waiting, or lets all go.
    pub(super) fn keep_waiting(&self, waiting: bool) {
        self.open.send_replace(!waiting);
    }

    /// What came, and forgets it.
    pub(super) fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.state.lock().unwrap().heard)
    }

    /// The actions of what came, and forgets it.
    pub(super) fn actions(&self) -> Vec<String> {
        self.heard().iter().map(|heard| heard.action().to_owned()).collect()
    }

    /// What came: one webhook.
    #[track_caller]
    pub(super) fn one(&self) -> Heard {
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:#?}");
        heard.remove(0)
    }
}
