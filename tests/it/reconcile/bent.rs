//! The simulator behind a mirror that bends the list of subscriptions and nothing else: a list that lags, or holds what
//! nobody can read.

use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;
use warp::Filter as _;
use warp::http::{HeaderMap, Response};
use warp::hyper::body::Bytes;

use crate::world::World;

type Bend = Box<dyn Fn(&mut Value) + Send>;

/// The world, and its mirror.
pub(super) struct Bent {
    pub(super) world: World,
    bend: Arc<Mutex<Bend>>,
}

impl Bent {
    /// A mirror that bends nothing yet.
    pub(super) async fn new() -> Self {
        let bend: Arc<Mutex<Bend>> = Arc::new(Mutex::new(Box::new(|_| {})));
        let simulator: Arc<OnceLock<Url>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mirror = {
            let (bend, simulator) = (bend.clone(), simulator.clone());
            let request = warp::method().and(warp::path::full()).and(warp::query::raw());
            request.and(warp::header::headers_cloned()).and(warp::body::bytes()).then(
                move |method, path: warp::path::FullPath, query: String, mut headers: HeaderMap, body: Bytes| {
                    let (bend, simulator, http) = (bend.clone(), simulator.clone(), http.clone());
                    async move {
                        let mut url = simulator.get().unwrap().join(path.as_str()).unwrap();
                        url.set_query(Some(&query));
                        for name in ["host", "content-length", "accept-encoding"] {
                            headers.remove(name);
                        }
                        let answer = http.request(method, url).headers(headers).body(body).send().await.unwrap();
                        let (status, text) = (answer.status(), answer.text().await.unwrap());
                        let changed = serde_json::from_str(&text).map(|mut body: Value| {
                            if body["subscriptions"].is_array() {
                                bend.lock().unwrap()(&mut body["subscriptions"]);
                            }
                            body.to_string()
                        });
                        Response::builder().status(status.as_u16()).body(changed.unwrap_or(text)).unwrap()
                    }
                },
            )
        };
        #[expect(clippy::disallowed_methods, reason = "the mirror lives beside its story and ends with its runtime")]
        tokio::spawn(warp::serve(mirror).incoming(listener).run());
        let world = World::new(&[("RECONCILE", "repair"), ("MARKETPLACE_API_URL", &url)]).await;
        world.faults(serde_json::json!({ "webhooks": { "lost": 1.0 } })).await;
        simulator.set(world.dev.simulator_url.clone()).unwrap();
        Self { world, bend }
    }

    /// How the entries of the list are bent from now on.
    pub(super) fn bend(&self, bend: impl Fn(&mut Value) + Send + 'static) {
        *self.bend.lock().unwrap() = Box::new(bend);
    }
}
