//! The storage account, on which store and bell stand: where it is, how we prove who we are, how long we wait for it, and
//! what it means when it refuses.
//!
//! Azure's SDK sends, tries again and fetches tokens. What it lacks is here: the two kinds of signature that are made
//! with an account's key or with a shared access signature, and bounds that fit a caller who has ten seconds.

mod authorization;
mod refusal;

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use url::Url;

use crate::clock::Clock;
use crate::error::{Code, Fault};
use crate::identity;
use crate::outbound::{Bounded, traced};
use crate::settings::{StorageAccess, StorageSettings};

use authorization::Authorization;
pub(crate) use refusal::Refusal;

/// How long one exchange about one entity or message may take. It takes some ten milliseconds; where it takes this long,
/// the answer is lost and asking again is faster.
pub const EXCHANGE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a call about one entity or message may take with its repetitions. The webhook has eight seconds for a load
/// and a save beside three at Microsoft: whoever waited this long for one of them answers 503, and Microsoft comes again.
pub const CALL_PATIENCE: Duration = Duration::from_secs(4);

/// How long one exchange of a search through a table may take: Azure ends its own part after five seconds and says where
/// to go on.
pub const SEARCH_EXCHANGE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a search through a table may take with all its parts: half of what a function has that nobody waits for.
pub const SEARCH_PATIENCE: Duration = Duration::from_secs(30);

/// How often an exchange is repeated that failed in passing. The SDK's own default, 8 times within a minute, would use up
/// the time of every caller; the duty behind the call repeats anyway.
pub const RETRIES: u32 = 2;

/// The wait before the first repetition; the second waits about twice as long. Storage's own partitions move within a
/// fraction of a second.
pub const RETRY_DELAY: Duration = Duration::from_millis(150);

/// The storage account that the settings name. Clones share its connections and its identity.
#[derive(Clone, Debug)]
pub struct Account(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    queues: Url,
    tables: Url,
    access: StorageAccess,
    credential: Option<Arc<dyn TokenCredential>>,
    authorization: [Arc<Authorization>; 2],
    http: reqwest::Client,
}

/// The services of an account that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Queue storage.
    Queues,
    /// Table storage.
    Tables,
}

/// How long we wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For one exchange.
    exchange: Duration,
    /// For the call with its repetitions, or for a search with its parts.
    call: Duration,
}

impl Patience {
    /// For a call about one entity or message.
    pub(crate) const CALL: Self = Self { exchange: EXCHANGE_PATIENCE, call: CALL_PATIENCE };
    /// For a search through a table.
    pub(crate) const SEARCH: Self = Self { exchange: SEARCH_EXCHANGE_PATIENCE, call: SEARCH_PATIENCE };
}

impl Account {
    /// The account, reached through `http`. Every request says when it was made by `clock`.
    ///
    /// # Errors
    ///
    /// A key that is not base64, an identity that Azure's SDK does not know, or one with an address without https.
    pub fn new(settings: &StorageSettings, http: reqwest::Client, clock: Clock) -> Result<Self, Fault> {
        let credential = match &settings.access {
            StorageAccess::Identity { client_id } => Some(identity::credential(client_id.as_deref(), http.clone())?),
            StorageAccess::Key { .. } | StorageAccess::Signature(_) => None,
        };
        let plain = [&settings.queues, &settings.tables].into_iter().find(|url| url.scheme() != "https");
        if let (Some(plain), Some(_)) = (plain, &credential) {
            return Err(Fault::new(Code::Internal, format!("a token is not sent in the clear, as {plain} wants it")));
        }
        let authorization = |service, clock| Authorization::new(service, &settings.access, clock).map(Arc::new);
        Ok(Self(Arc::new(Opened {
            queues: settings.queues.clone(),
            tables: settings.tables.clone(),
            access: settings.access.clone(),
            credential,
            authorization: [authorization(Service::Queues, clock.clone())?, authorization(Service::Tables, clock)?],
            http,
        })))
    }

    /// The address of a service.
    pub(crate) fn endpoint(&self, service: Service) -> &Url {
        match service {
            Service::Queues => &self.0.queues,
            Service::Tables => &self.0.tables,
        }
    }

    /// Whose tokens prove who we are, where tokens do.
    pub(crate) fn credential(&self) -> Option<Arc<dyn TokenCredential>> {
        self.0.credential.clone()
    }

    /// What a client of Azure's SDK needs for this service. `limit` bounds an answer, in bytes.
    pub(crate) fn options(&self, service: Service, patience: Patience, limit: usize) -> ClientOptions {
        let retry = ExponentialRetryOptions {
            initial_delay: RETRY_DELAY.try_into().expect("a fraction of a second"),
            max_retries: RETRIES,
            max_total_elapsed: patience.call.try_into().expect("a few seconds"),
            ..ExponentialRetryOptions::default()
        };
        let transport = Bounded::new(self.0.http.clone(), patience.exchange, limit);
        let [queues, tables] = &self.0.authorization;
        let (authorization, operation) = match service {
            Service::Queues => (queues, "queues"),
            Service::Tables => (tables, "tables"),
        };
        ClientOptions {
            per_try_policies: vec![authorization.clone()],
            retry: RetryOptions::exponential(retry),
            transport: Some(Transport::new(traced(Arc::new(transport), "Storage", operation))),
            ..ClientOptions::default()
        }
    }

    /// Waits for a call or a search. `what` names the table or queue that it is about.
    pub(crate) async fn wait<T>(
        &self,
        service: Service,
        what: &str,
        patience: Patience,
        call: impl Future<Output = azure_core::Result<T>>,
    ) -> Result<T, Refusal> {
        let host = self.endpoint(service).host_str().unwrap_or_default();
        match tokio::time::timeout(patience.call, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Refusal::new(&error, &self.0.access, host, what)),
            Err(_) => Err(Refusal::late(host, patience.call)),
        }
    }
}
