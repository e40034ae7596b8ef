//! The calls that Azure's SDK makes for us, as spans: its pipelines end in a transport, and a transport sees every request.

use std::sync::Arc;

use azure_core::http::headers::{AUTHORIZATION, HeaderName};
use azure_core::http::{AsyncRawResponse, HttpClient, Request};

use crate::span::{Call, Failed};

/// Statuses with which storage tells how things are: there is no such record, there is one already, it was changed
/// meanwhile.
const EXPECTED: [u16; 3] = [404, 409, 412];

/// The header in which Azure's services name a request in their own logs.
const SERVICE_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// The transport `inner`, with a span for every request that it sends, repetitions included, and the trace's headers on
/// it. `whom` and `operation` are those of [`Call`].
pub fn traced(inner: Arc<dyn HttpClient>, whom: &'static str, operation: &'static str) -> Arc<dyn HttpClient> {
    Arc::new(Traced { inner, whom, operation })
}

#[derive(Debug)]
struct Traced {
    inner: Arc<dyn HttpClient>,
    whom: &'static str,
    operation: &'static str,
}

#[async_trait::async_trait]
impl HttpClient for Traced {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut call = Call::new(self.whom, self.operation, request.method().as_str(), request.url()).begin();
        let mut request = request.clone();
        for (name, value) in call.headers() {
            request.insert_header(name, value);
        }
        let answer = self.inner.execute_request(&request).await;
        let Ok(response) = &answer else {
            call.end(Err(Failed { kind: "unreachable", ..Failed::default() }));
            return answer;
        };
        let status = u16::from(response.status());
        call.answered(status, response.headers().get_optional_str(&SERVICE_REQUEST_ID));
        // Key Vault is asked without a token first, and answers which one it wants.
        let is_challenge = status == 401 && request.headers().get_optional_str(&AUTHORIZATION).is_none();
        let (kind, expected) = (status.to_string(), EXPECTED.contains(&status) || is_challenge);
        call.end(if status < 400 { Ok(()) } else { Err(Failed { kind: &kind, code: None, expected }) });
        answer
    }
}
