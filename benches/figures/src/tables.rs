//! A stand-in for Table storage: entities in the order of their keys, in memory. Azurite looks through all entities
//! for each answer, so that a hundred thousand of them would measure Azurite; Azure looks no further than the keys
//! that are asked for, and neither does this. It checks no signature, and knows no searches but the program's.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::TcpListener;
use warp::Filter as _;
use warp::http::{HeaderMap, Method, Response};

/// Both keys of an entity.
type Key = (String, String);

/// An entity: its columns as JSON, and its version.
#[derive(Clone)]
struct Entity {
    columns: Bytes,
    version: u64,
}

/// What was asked of it.
#[derive(Clone, Copy, Default)]
pub struct Asked {
    /// Requests.
    pub requests: u64,
    /// Entities that searches looked at.
    pub examined: u64,
}

#[derive(Default)]
struct State {
    entities: HashMap<String, BTreeMap<Key, Entity>>,
    versions: u64,
    asked: Asked,
}

/// The tables of one account; clones are the same ones.
#[derive(Clone)]
pub struct Tables {
    state: Arc<Mutex<State>>,
    port: u16,
}

impl Tables {
    /// Listens on a port of its own, for ever.
    pub async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let tables = Self { state: Arc::default(), port };
        let serving = tables.clone();
        let routes = warp::method()
            .and(warp::path::full())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map(move |method: Method, path: warp::path::FullPath, query: String, headers: HeaderMap, body: Bytes| {
                serving.answer(&method, path.as_str(), &query, &headers, body)
            });
        #[expect(clippy::disallowed_methods, reason = "it serves beside what is measured")]
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Ok(tables)
    }

    /// The address of the account's tables.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/account", self.port)
    }

    /// The value of `AzureWebJobsStorage` that means it. There are no queues.
    pub fn connection_string(&self) -> String {
        let tables = self.url();
        let queues = "http://127.0.0.1:9/account";
        format!("AccountName=account;AccountKey=c3Rvcnk=;QueueEndpoint={queues};TableEndpoint={tables};")
    }

    /// Puts an entity there.
    pub fn put(&self, table: &str, partition: &str, row: &str, columns: String) {
        let key = (partition.to_owned(), row.to_owned());
        self.state().save(table, key, columns.into());
    }

    /// The columns of an entity.
    pub fn columns(&self, table: &str, partition: &str, row: &str) -> Option<Bytes> {
        let key = (partition.to_owned(), row.to_owned());
        self.state().entities.get(table)?.get(&key).map(|entity| entity.columns.clone())
    }

    /// What was asked so far.
    pub fn asked(&self) -> Asked {
        self.state().asked
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, method: &Method, path: &str, query: &str, headers: &HeaderMap, body: Bytes) -> Response<Bytes> {
        let mut state = self.state();
        state.asked.requests += 1;
        let last = path.rsplit('/').next().unwrap_or_default();
        let (table, keys) = last.split_once('(').unwrap_or((last, ""));
        let quoted: Vec<&str> = keys.split('\'').skip(1).step_by(2).collect();
        match (method.as_str(), &quoted[..]) {
            ("GET", []) => state.search(table, query),
            ("GET", [partition, row]) => {
                let key = ((*partition).to_owned(), (*row).to_owned());
                let found = state.entities.get(table).and_then(|table| table.get(&key)).cloned();
                found.map_or_else(
                    || refusal(404, "ResourceNotFound"),
                    |entity| written(200, entity.version, entity.columns),
                )
            }
            ("PATCH", [partition, row]) => {
                let key = ((*partition).to_owned(), (*row).to_owned());
                let stored =
                    state.entities.get(table).and_then(|table| table.get(&key)).map(|entity| etag(entity.version));
                if headers
                    .get("if-match")
                    .is_some_and(|wanted| stored.as_deref().map(str::as_bytes) != Some(wanted.as_bytes()))
                {
                    return refusal(412, "UpdateConditionNotSatisfied");
                }
                // Whoever saves here sets every column that there is, so that a merge leaves nothing of what was
                // there.
                written(204, state.save(table, key, body), Bytes::new())
            }
            ("POST", []) => {
                let Some(key) = keys_of(&body) else { return refusal(400, "InvalidInput") };
                if state.entities.get(table).is_some_and(|table| table.contains_key(&key)) {
                    return refusal(409, "EntityAlreadyExists");
                }
                written(204, state.save(table, key, body), Bytes::new())
            }
            _ => refusal(501, "NotImplemented"),
        }
    }
}

impl State {
    fn save(&mut self, table: &str, key: Key, columns: Bytes) -> u64 {
        self.versions += 1;
        let version = self.versions;
        if !self.entities.contains_key(table) {
            self.entities.insert(table.to_owned(), BTreeMap::new());
        }
        let table = self.entities.get_mut(table).expect("put there");
        table.insert(key, Entity { columns, version });
        version
    }

    /// The records after a key, up to as many as are asked for.
    fn search(&mut self, table: &str, query: &str) -> Response<Bytes> {
        let parameters: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
        let filter = parameter("$filter");
        let quoted_after = |word: &str| filter.split(word).nth(1).and_then(|rest| rest.split('\'').nth(1));
        let (row, due) = (quoted_after("RowKey eq"), quoted_after("due le"));
        let Some(row) = row else { return refusal(501, "NotImplemented") };
        let top = parameter("$top").parse().unwrap_or(1_000);
        let from = match (parameter("NextPartitionKey"), quoted_after("PartitionKey gt")) {
            ("", None) => Bound::Unbounded,
            ("", Some(after)) => Bound::Excluded((after.to_owned(), "\u{10ffff}".to_owned())),
            (partition, _) => Bound::Included((partition.to_owned(), parameter("NextRowKey").to_owned())),
        };
        let (mut found, mut next, mut examined) = (Vec::new(), None, 0);
        let all = self.entities.get(table).into_iter().flat_map(|table| table.range((from.clone(), Bound::Unbounded)));
        for (key, entity) in all {
            examined += 1;
            let is_due = due.is_none_or(|now| column(&entity.columns, "due").is_some_and(|due| due.as_str() <= now));
            if key.1 != row || !is_due {
                continue;
            }
            if found.len() == top {
                next = Some(key.clone());
                break;
            }
            found.push(entity.columns.clone());
        }
        self.asked.examined += examined;
        let mut body = b"{\"value\":[".to_vec();
        body.extend(found.join(&b","[..]));
        body.extend(b"]}");
        let mut answer = written(200, 0, body.into());
        if let Some((partition, row)) = next {
            let text = |text: String| text.parse().expect("letters, digits and dashes");
            answer.headers_mut().insert("x-ms-continuation-nextpartitionkey", text(partition));
            answer.headers_mut().insert("x-ms-continuation-nextrowkey", text(row));
        }
        answer
    }
}

fn keys_of(body: &[u8]) -> Option<Key> {
    Some((column(body, "PartitionKey")?, column(body, "RowKey")?))
}

fn column(columns: &[u8], name: &str) -> Option<String> {
    let columns: serde_json::Value = serde_json::from_slice(columns).ok()?;
    Some(columns[name].as_str()?.to_owned())
}

fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

fn written(status: u16, version: u64, body: Bytes) -> Response<Bytes> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.header("etag", etag(version)).body(body).expect("a whole answer")
}

fn refusal(status: u16, code: &'static str) -> Response<Bytes> {
    let answer = Response::builder().status(status).header("x-ms-error-code", code);
    answer.body(Bytes::new()).expect("a whole answer")
}
