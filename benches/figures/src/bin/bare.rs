//! What `fulfillment` does to the outside, and nothing of what it does it for: the same requests to the same servers
//! by bare calls, without rules, without a log, without a second try. It proves a caller, asks, writes back what it
//! has read.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use warp::Filter as _;

/// Nothing is mended here: whatever goes wrong ends the measurement.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How many entities are read side by side, as `fulfillment` does it.
const AT_ONCE: usize = 8;

struct Bare {
    http: reqwest::Client,
    api: String,
    audience: String,
    keys: HashMap<String, DecodingKey>,
    authorization: String,
    /// Where the tables are; `None` keeps nothing.
    tables: Option<String>,
    /// What is appended to each of their addresses: a shared access signature.
    signature: String,
}

/// An entity as it was read.
struct Read {
    version: String,
    columns: Bytes,
}

impl Bare {
    async fn open() -> Result<Self, Failed> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let keys: Value = http.get(setting("KEYS")?).send().await?.json().await?;
        let known = keys["keys"].as_array().into_iter().flatten().filter(|key| key["kty"] == "RSA");
        let set: JwkSet = serde_json::from_value(json!({ "keys": known.collect::<Vec<_>>() }))?;
        let mut keys = HashMap::new();
        for key in &set.keys {
            keys.insert(key.common.key_id.clone().unwrap_or_default(), DecodingKey::from_jwk(key)?);
        }
        let audience = setting("AUDIENCE")?;
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &audience),
            ("client_secret", &setting("CLIENT_SECRET")?),
            ("scope", &setting("SCOPE")?),
        ];
        let token: Value = http.post(setting("TOKEN")?).form(&form).send().await?.error_for_status()?.json().await?;
        let authorization = format!("Bearer {}", token["access_token"].as_str().ok_or("no access_token")?);
        let (tables, signature) = (setting("TABLES").ok(), setting("SIGNATURE").unwrap_or_default());
        Ok(Self { http, api: setting("API")?, audience, keys, authorization, tables, signature })
    }

    async fn webhook(&self, authorization: &str, body: &[u8]) -> Result<(), Failed> {
        let token = authorization.strip_prefix("Bearer ").ok_or("no token")?;
        let header = jsonwebtoken::decode_header(token)?;
        let key = header.kid.and_then(|id| self.keys.get(&id)).ok_or("an unknown key")?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[&self.audience]);
        jsonwebtoken::decode::<Value>(token, key, &validation)?;
        let notification: Value = serde_json::from_slice(body)?;
        let subscription = notification["subscriptionId"].as_str().ok_or("no subscriptionId")?;
        let operation = notification["id"].as_str().ok_or("no id")?;
        let read = self.load(subscription).await?;
        let paths = [subscription.to_owned(), format!("{subscription}/operations/{operation}")];
        for answer in join_all(paths.map(|path| self.ask(format!("{}/{path}?api-version=2018-08-31", self.api)))).await
        {
            answer?["id"].as_str().ok_or("no id")?;
        }
        self.save(subscription, read).await.map(drop)
    }

    /// As many loads and saves as a duty takes that is discharged at the first attempt.
    async fn discharge(&self, body: &[u8], loads_after: usize) -> Result<(), Failed> {
        let subscription = rung_for(body)?;
        let claimed = self.save(&subscription, self.load(&subscription).await?).await?;
        self.save(&subscription, claimed).await?;
        for _ in 0..loads_after {
            self.load(&subscription).await?;
        }
        Ok(())
    }

    async fn reconcile(&self) -> Result<(), Failed> {
        let mut next = Some(format!("{}?api-version=2018-08-31", self.api));
        self.keep("list").await?;
        while let Some(url) = next {
            let page = self.ask(url).await?;
            let ids: Vec<_> = page["subscriptions"].as_array().into_iter().flatten().map(|one| &one["id"]).collect();
            for some in ids.chunks(AT_ONCE) {
                for read in join_all(some.iter().map(|id| self.load(id.as_str().unwrap_or_default()))).await {
                    let read = read?.ok_or("no tables")?;
                    serde_json::from_slice::<Value>(&read.columns)?;
                }
            }
            next = page["@nextLink"].as_str().map(str::to_owned);
            self.keep("list").await?;
        }
        let mut after = String::new();
        loop {
            let filter = format!("RowKey eq 'record'{after}");
            let url = self.table("subscriptions()", &format!("$top=101&$filter={}&", filter.replace(' ', "%20")))?;
            let page: Value = serde_json::from_slice(&self.fetch(url).await?.columns)?;
            let found = page["value"].as_array().map(Vec::as_slice).unwrap_or_default();
            self.keep("records").await?;
            let Some(last) = found.get(99).filter(|_| found.len() > 100) else { return Ok(()) };
            after = format!(" and PartitionKey gt '{}'", last["PartitionKey"].as_str().unwrap_or_default());
        }
    }

    async fn ask(&self, url: String) -> Result<Value, Failed> {
        let answer = self.http.get(url).header("authorization", &self.authorization).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn load(&self, subscription: &str) -> Result<Option<Read>, Failed> {
        if self.tables.is_none() {
            return Ok(None);
        }
        let url = self.table(&format!("subscriptions(PartitionKey='{subscription}',RowKey='record')"), "")?;
        self.fetch(url).await.map(Some)
    }

    async fn fetch(&self, url: String) -> Result<Read, Failed> {
        let request = self.http.get(url).header("accept", "application/json;odata=nometadata");
        let answer = request.header("x-ms-version", "2020-12-06").send().await?.error_for_status()?;
        let version = answer.headers().get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Read { version, columns: answer.bytes().await? })
    }

    async fn save(&self, subscription: &str, read: Option<Read>) -> Result<Option<Read>, Failed> {
        let Some(read) = read else { return Ok(None) };
        let url = self.table(&format!("subscriptions(PartitionKey='{subscription}',RowKey='record')"), "")?;
        self.patch(url, Some(&read.version), read.columns).await.map(Some)
    }

    async fn keep(&self, place: &str) -> Result<(), Failed> {
        let url = self.table("system(PartitionKey='kept',RowKey='reconcile-cursor')", "")?;
        self.patch(url, None, json!({ "text": place }).to_string().into()).await.map(drop)
    }

    async fn patch(&self, url: String, version: Option<&str>, columns: Bytes) -> Result<Read, Failed> {
        let request =
            self.http.patch(url).header("content-type", "application/json").header("x-ms-version", "2020-12-06");
        let request = version.into_iter().fold(request, |request, version| request.header("if-match", version));
        let answer = request.body(columns.clone()).send().await?.error_for_status()?;
        let version = answer.headers().get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Read { version, columns })
    }

    fn table(&self, path: &str, query: &str) -> Result<String, Failed> {
        let tables = self.tables.as_ref().ok_or("no tables")?;
        Ok(format!("{tables}/{path}?{query}{}", self.signature))
    }
}

/// The subscription that a bell names, out of the host's envelope.
fn rung_for(body: &[u8]) -> Result<String, Failed> {
    use base64::Engine as _;
    let envelope: Value = serde_json::from_slice(body)?;
    let message = envelope["Data"]["message"].as_str().ok_or("no message")?;
    let bell: Value = serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(message)?)?;
    Ok(bell["subscription"].as_str().ok_or("no subscription")?.to_owned())
}

fn setting(key: &str) -> Result<String, Failed> {
    #[expect(clippy::disallowed_methods, reason = "it has no other settings, and no other file")]
    std::env::var(key).map_err(|_| format!("{key} is not set").into())
}

fn answer(done: Result<(), Failed>) -> warp::http::Response<String> {
    let (status, body) = done.map_or_else(|error| (500, format!("{error:?}")), |()| (200, "{}".to_owned()));
    let answer = warp::http::Response::builder().status(status).header("content-type", "application/json");
    answer.body(body).expect("a whole answer")
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let port: u16 = setting("FUNCTIONS_CUSTOMHANDLER_PORT")?.parse()?;
    let bare = Arc::new(Bare::open().await?);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let with = move || {
        let bare = bare.clone();
        warp::any().map(move || bare.clone())
    };
    let ready = warp::path::end().and(warp::get()).map(|| answer(Ok(())));
    let webhook = warp::path!("api" / "webhook")
        .and(with())
        .and(warp::header("authorization"))
        .and(warp::body::bytes())
        .then(async |bare: Arc<Bare>, token: String, body: Bytes| answer(bare.webhook(&token, &body).await));
    let activate = warp::path!("activate").and(with()).and(warp::body::bytes());
    let activate = activate.then(async |bare: Arc<Bare>, body: Bytes| answer(bare.discharge(&body, 0).await));
    let acknowledge = warp::path!("acknowledge").and(with()).and(warp::body::bytes());
    let acknowledge = acknowledge.then(async |bare: Arc<Bare>, body: Bytes| answer(bare.discharge(&body, 1).await));
    let reconcile = warp::path!("reconcile").and(with());
    let reconcile = reconcile.then(async |bare: Arc<Bare>| answer(bare.reconcile().await));
    let routes = ready.or(webhook).unify().or(activate).unify().or(acknowledge).unify().or(reconcile).unify();
    warp::serve(routes).incoming(listener).run().await;
    Ok(())
}
