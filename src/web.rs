//! HTTP as plain values: what a function is asked and what it answers. No server, no client.

use bytes::Bytes;

/// A request as a function sees it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The host's id of this invocation, which a person may quote to support.
    pub invocation_id: String,
    /// The method, in capitals.
    pub method: String,
    /// The path below the function's own, as it came, without a slash in front.
    pub path: String,
    /// The query as it came, still percent-encoded; see [`Request::query`].
    pub raw_query: String,
    /// Header names in lower case, with their values as they came; a byte that is no UTF-8 is a replacement character.
    pub headers: Vec<(String, String)>,
    /// The body, within the limit of the door it came through.
    pub body: Bytes,
}

/// What a function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers in the order in which they are sent; several `set-cookie` are usual.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        pair(self.raw_query.as_bytes(), name)
    }

    /// The first value of a field of an `application/x-www-form-urlencoded` body.
    pub fn form(&self, name: &str) -> Option<String> {
        pair(&self.body, name)
    }

    /// All cookies whose name begins with `prefix`.
    pub fn cookies<'a, 'p>(&'a self, prefix: &'p str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a, 'p> {
        self.headers
            .iter()
            .filter(|(name, _)| name == "cookie")
            .flat_map(|(_, value)| value.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(move |(name, _)| name.starts_with(prefix))
    }

    /// The cookie of this name.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies(name).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

fn pair(encoded: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(encoded).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl Reply {
    /// An answer with a body of the given media type.
    pub fn new(status: u16, media_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// The caller has the answer already. The headers that say so are the function's.
    pub fn not_modified() -> Self {
        Self { status: 304, headers: Vec::new(), body: String::new() }
    }

    /// Leads the browser on with GET. `location` must be a URL or path of ours.
    pub fn see_other(location: impl Into<String>) -> Self {
        Self { status: 303, headers: vec![("location", location.into())], body: String::new() }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
