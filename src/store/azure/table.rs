//! A table of Azure Table storage over the pipeline of Azure's SDK, which has no client for tables yet (request 4304 of
//! azure-sdk-for-rust): the few operations that the store needs, and nothing of what it keeps. The official client can
//! take this file's place.

use std::sync::Arc;

use azure_core::error::CheckSuccessOptions;
use azure_core::http::headers::{ACCEPT, CONTENT_TYPE, ETAG, HeaderName, Headers, IF_MATCH, PREFER, VERSION};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::storage::{Account, Patience, Refusal, Service};
use crate::store::record::COLUMN_BUDGET;

/// The version of the service whose forms this file knows. Azure keeps every version; Azurite knows this one.
const API_VERSION: &str = "2020-12-06";

/// What a token for storage must be made for, in every cloud and for every account.
const SCOPE: &str = "https://storage.azure.com/.default";

/// The most entities asked for at a time. Their answer bounds the memory of a search.
pub(super) const ENTITIES_LIMIT: usize = 101;

/// The largest answer read, in bytes: as many entities, each with two full columns, of which JSON can need six bytes for
/// one character.
const ANSWER_LIMIT: usize = ENTITIES_LIMIT * 2 * COLUMN_BUDGET * 6;

const DATA_SERVICE_VERSION: HeaderName = HeaderName::from_static("dataserviceversion");
const NEXT_PARTITION: HeaderName = HeaderName::from_static("x-ms-continuation-nextpartitionkey");
const NEXT_ROW: HeaderName = HeaderName::from_static("x-ms-continuation-nextrowkey");

/// One table. Clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Table {
    account: Account,
    name: &'static str,
    /// Two, because a search may take longer.
    calls: Pipeline,
    searches: Pipeline,
}

/// A part of what a search found.
pub(super) struct Found<T> {
    /// May be empty although there is more.
    pub(super) entities: Vec<T>,
    /// Where the search goes on; `None` at its end.
    pub(super) next: Option<Continuation>,
}

/// Where a search goes on: Azure's own words, given back as they came.
#[derive(Clone, Debug)]
pub(super) struct Continuation {
    partition: String,
    row: Option<String>,
}

/// Both keys of an entity. They hold letters, digits and dashes only.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) partition: &'a str,
    pub(super) row: &'a str,
}

#[derive(serde::Deserialize)]
struct Body<T> {
    value: Vec<T>,
}

impl Table {
    pub(super) fn new(account: &Account, name: &'static str) -> Self {
        let pipeline = |patience| {
            let options = account.options(Service::Tables, patience, ANSWER_LIMIT);
            let token = account.credential().map(|credential| -> Arc<dyn Policy> {
                Arc::new(BearerTokenAuthorizationPolicy::new(credential, [SCOPE]))
            });
            let (name, version) = (Some(env!("CARGO_PKG_NAME")), Some(env!("CARGO_PKG_VERSION")));
            Pipeline::new(name, version, options, Vec::new(), token.into_iter().collect(), None)
        };
        Self { account: account.clone(), name, calls: pipeline(Patience::CALL), searches: pipeline(Patience::SEARCH) }
    }

    /// Creates the table, unless it exists.
    pub(super) async fn create(&self) -> Result<(), Refusal> {
        let mut request = Request::new(self.url("Tables"), Method::Post);
        json(&mut request, &serde_json::json!({ "TableName": self.name }));
        request.insert_header(PREFER, "return-no-content");
        match self.call(request, &[201, 204]).await {
            Err(refusal) if refusal.code == "TableAlreadyExists" => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Reads an entity, with its version. `None` where there is none.
    pub(super) async fn get<T: DeserializeOwned>(&self, key: Key<'_>) -> Result<Option<(T, String)>, Refusal> {
        match self.call(Request::new(self.entity(key), Method::Get), &[200]).await {
            Ok(answer) => Ok(Some((self.read(&answer)?, self.etag(answer.headers())?))),
            Err(refusal) if refusal.code == "ResourceNotFound" => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Adds an entity, which must hold its keys. Answers its version.
    pub(super) async fn insert(&self, entity: &impl Serialize) -> Result<String, Refusal> {
        let mut request = Request::new(self.url(self.name), Method::Post);
        json(&mut request, entity);
        request.insert_header(PREFER, "return-no-content");
        self.etag(self.call(request, &[204]).await?.headers())
    }

    /// Sets columns of an entity and leaves its others as they are. With a version, only if the entity is at it; without
    /// one, whether it exists or not. Answers its new version.
    pub(super) async fn merge(
        &self,
        key: Key<'_>,
        entity: &impl Serialize,
        version: Option<&str>,
    ) -> Result<String, Refusal> {
        let mut request = Request::new(self.entity(key), Method::Patch);
        json(&mut request, entity);
        if let Some(version) = version {
            request.insert_header(IF_MATCH, version.to_owned());
        }
        self.etag(self.call(request, &[204]).await?.headers())
    }

    /// Searches for entities, in the order of their keys, and answers these columns of what it found first. Azure may
    /// answer fewer than it was asked for, and none, before the end.
    pub(super) async fn search<T: DeserializeOwned>(
        &self,
        filter: &str,
        columns: &str,
        from: Option<&Continuation>,
    ) -> Result<Found<T>, Refusal> {
        let mut url = self.url(&format!("{}()", self.name));
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("$filter", filter).append_pair("$select", columns);
            query.append_pair("$top", &ENTITIES_LIMIT.to_string());
            if let Some(Continuation { partition, row }) = from {
                query.append_pair("NextPartitionKey", partition);
                query.extend_pairs(row.iter().map(|row| ("NextRowKey", row)));
            }
        }
        // Azure does not take a plus sign for a space.
        let query = url.query().unwrap_or_default().replace('+', "%20");
        url.set_query(Some(&query));
        let answer = self.send(&self.searches, Patience::SEARCH, Request::new(url, Method::Get), &[200]).await?;
        let next = answer
            .headers()
            .get_optional_string(&NEXT_PARTITION)
            .map(|partition| Continuation { partition, row: answer.headers().get_optional_string(&NEXT_ROW) });
        Ok(Found { entities: self.read::<Body<T>>(&answer)?.value, next })
    }

    async fn call(&self, request: Request, good: &'static [u16]) -> Result<RawResponse, Refusal> {
        self.send(&self.calls, Patience::CALL, request, good).await
    }

    async fn send(
        &self,
        pipeline: &Pipeline,
        patience: Patience,
        mut request: Request,
        good: &'static [u16],
    ) -> Result<RawResponse, Refusal> {
        request.insert_header(VERSION, API_VERSION);
        request.insert_header(DATA_SERVICE_VERSION, "3.0;NetFx");
        request.insert_header(ACCEPT, "application/json;odata=nometadata");
        let check_success = CheckSuccessOptions { success_codes: good };
        let options = PipelineSendOptions { check_success, ..PipelineSendOptions::default() };
        let context = Context::new();
        let call = Box::pin(pipeline.send(&context, &mut request, Some(options)));
        self.account.wait(Service::Tables, &self.what(), patience, call).await
    }

    fn read<T: DeserializeOwned>(&self, answer: &RawResponse) -> Result<T, Refusal> {
        serde_json::from_slice(answer.body()).map_err(|_| Refusal::unreadable(&self.what()))
    }

    fn etag(&self, headers: &Headers) -> Result<String, Refusal> {
        headers.get_optional_string(&ETAG).ok_or_else(|| Refusal::unreadable(&self.what()))
    }

    /// The table, for sentences.
    fn what(&self) -> String {
        format!("the table {}", self.name)
    }

    fn entity(&self, key: Key<'_>) -> Url {
        self.url(&format!("{}(PartitionKey='{}',RowKey='{}')", self.name, key.partition, key.row))
    }

    fn url(&self, last: &str) -> Url {
        let mut url = self.account.endpoint(Service::Tables).clone();
        url.path_segments_mut().expect("an http address").pop_if_empty().push(last);
        url
    }
}

fn json(request: &mut Request, value: &impl Serialize) {
    request.insert_header(CONTENT_TYPE, "application/json");
    request.set_body(serde_json::to_vec(value).expect("texts can be written as JSON"));
}
