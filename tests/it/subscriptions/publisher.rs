//! The publisher's own software, as HTTP shows it.

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::document;
use crate::world::World;

/// Calls `subscriptions`, and holds every answer against the document.
pub(crate) struct Publisher<'a> {
    world: &'a World,
    base: Url,
    person: Option<&'static str>,
    /// The etag of an answer that this caller still has.
    has: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, base: world.url("/"), person: None, has: None }
    }

    /// The same, on behalf of somebody.
    pub(crate) fn acting_for(world: &'a World, person: &'static str) -> Self {
        Self { person: Some(person), ..Self::new(world) }
    }

    /// The same, who still has the answer with this etag.
    pub(crate) fn having(world: &'a World, etag: &str) -> Self {
        Self { has: Some(etag.to_owned()), ..Self::new(world) }
    }

    /// The same, past the host stand-in: at a handler that runs, and logs, on the story's own thread.
    pub(crate) async fn at_own_handler(self) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the handler lives as long as the story's runtime")]
        tokio::spawn(marketplace_fulfillment::serve::serve(self.world.dev.app.clone(), listener));
        Self { base, ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Said {
        self.call("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str) -> Said {
        self.call("POST", path, "").await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Said {
        self.call("PATCH", path, &body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Said {
        self.call("DELETE", path, "").await
    }

    /// `path` is the one below `/api/subscriptions`, or as an answer named it.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> Said {
        let path = path.strip_prefix("/api/subscriptions").unwrap_or(path);
        let url = self.base.join(&format!("/api/subscriptions{path}")).unwrap();
        let mut request = self.world.http.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
        if let Some(person) = self.person {
            request = request.header("x-acting-person", person.as_bytes());
        }
        if let Some(etag) = &self.has {
            request = request.header("if-none-match", etag);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body: Value = match status {
            304 if text.is_empty() => Value::Null,
            _ => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}")),
        };
        let said = Said { status, headers, body };
        document::hold(method, path, &said);
        let is_looked_up = path.starts_with("/entitlements") && status < 400;
        let cached = if is_looked_up { "private, max-age=60" } else { "no-store" };
        assert_eq!(said.header("cache-control"), Some(cached), "{method} {path}: {said:?}");
        said
    }
}

impl Said {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The order is saved, and the answer says where to look for it.
    #[track_caller]
    pub(crate) fn assert_accepted(&self, duty: &str) {
        assert_eq!((self.status, self.body["duty"].as_str()), (202, Some(duty)), "{self:?}");
        let id = self.body["subscription"]["id"].as_str().unwrap();
        assert_eq!(self.header("location"), Some(format!("/api/subscriptions/{id}").as_str()), "{self:?}");
        let duties = self.body["subscription"]["duties"].as_array().unwrap();
        assert!(duties.iter().any(|owed| owed["id"] == duty), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{self:?}");
    }
}
