//! Says on every request when it was made and by whom: a signature with the account's key, of which queues and tables each
//! have their own kind, or a shared access signature. Tokens are the SDK's own work.

use std::sync::Arc;

use aws_lc_rs::hmac;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, MS_DATE};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, Url};
use azure_core::time::to_rfc7231;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Service;
use crate::clock::Clock;
use crate::error::{Code, Fault};
use crate::settings::{Secret, StorageAccess};

/// The headers that the signature of a queue request covers beside `x-ms-*`, in this order; the length comes third.
const SIGNED_BY_QUEUES: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// A policy of Azure's SDK, for each try anew: a repetition is a later request.
#[derive(Debug)]
pub(super) struct Authorization {
    service: Service,
    proof: Proof,
    clock: Clock,
}

#[derive(Debug)]
enum Proof {
    Key { account: String, key: Box<hmac::Key> },
    Signature(Secret),
    Token,
}

impl Authorization {
    pub(super) fn new(service: Service, access: &StorageAccess, clock: Clock) -> Result<Self, Fault> {
        let proof = match access {
            StorageAccess::Key { account, key } => {
                let key = STANDARD.decode(key.reveal());
                let key = key.map_err(|_| Fault::new(Code::Internal, "the storage account's key is not base64"))?;
                Proof::Key { account: account.clone(), key: Box::new(hmac::Key::new(hmac::HMAC_SHA256, &key)) }
            }
            StorageAccess::Signature(signature) => Proof::Signature(signature.clone()),
            StorageAccess::Identity { .. } => Proof::Token,
        };
        Ok(Self { service, proof, clock })
    }

    fn authorize(&self, request: &mut Request) {
        request.insert_header(MS_DATE, to_rfc7231(&self.clock.now()));
        match &self.proof {
            Proof::Key { account, key } => {
                let text = match self.service {
                    Service::Queues => queue_text(request, account),
                    Service::Tables => table_text(request, account),
                };
                let signature = STANDARD.encode(hmac::sign(key, text.as_bytes()));
                request.insert_header(AUTHORIZATION, format!("SharedKey {account}:{signature}"));
            }
            Proof::Signature(signature) => {
                let query = match request.url().query().filter(|query| !query.is_empty()) {
                    Some(query) => format!("{query}&{}", signature.reveal()),
                    None => signature.reveal().to_owned(),
                };
                request.url_mut().set_query(Some(&query));
            }
            Proof::Token => {}
        }
    }
}

#[async_trait::async_trait]
impl Policy for Authorization {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        // A copy, because the next try begins with the request as it was.
        let mut authorized = request.clone();
        self.authorize(&mut authorized);
        let (policy, rest) = next.split_first().expect("the transport comes last");
        policy.send(context, &mut authorized, rest).await
    }
}

/// What is signed for the queue service ("Shared Key authorization" of Azure's storage documents, version 2015-02-21 and
/// later).
fn queue_text(request: &Request, account: &str) -> String {
    let mut text = format!("{}\n", request.method().as_ref());
    for name in SIGNED_BY_QUEUES {
        match name {
            "content-length" => match request.body().len() {
                Some(length) if length > 0 => text.push_str(&length.to_string()),
                _ => {}
            },
            _ => text.push_str(header(request, name)),
        }
        text.push('\n');
    }
    let headers = request.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-ms-"));
    let mut headers: Vec<String> =
        headers.map(|(name, value)| format!("{}:{}\n", name.as_str(), value.as_str().trim())).collect();
    headers.sort();
    text.push_str(&headers.concat());
    text.push_str(&resource(request.url(), account));
    let mut pairs: Vec<String> =
        request.url().query_pairs().map(|(name, value)| format!("\n{}:{value}", name.to_lowercase())).collect();
    pairs.sort();
    text.push_str(&pairs.concat());
    text
}

/// What is signed for the table service: less, and of the query nothing that we ask for.
fn table_text(request: &Request, account: &str) -> String {
    let [digest, kind, date] = ["content-md5", "content-type", "x-ms-date"].map(|name| header(request, name));
    format!("{}\n{digest}\n{kind}\n{date}\n{}", request.method().as_ref(), resource(request.url(), account))
}

fn resource(url: &Url, account: &str) -> String {
    format!("/{account}{}", url.path())
}

fn header<'a>(request: &'a Request, name: &'static str) -> &'a str {
    request.headers().get_optional_str(&HeaderName::from_static(name)).unwrap_or_default()
}
