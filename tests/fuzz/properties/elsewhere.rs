//! The servers of others, as far as a property needs them: Entra's description, keys and tokens, and a marketplace that
//! shows every subscription alike. One thread on this machine; a key that is made anew in each process, so that none is
//! kept.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// The publisher's tenant, where the buyers are as well.
pub const TENANT: &str = "3e6a0e0c-7f4d-4a55-9c1b-0f8d2b7c6a10";

/// The name of the one key that is listed.
pub const KEY_ID: &str = "first";

/// Stands in an input for [`ADDRESS`], whose port is another one in each process.
const HERE: &str = "$HERE";

/// The longest request that is read, in bytes: ours are short.
const REQUEST: usize = 64 * 1024;

static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("a key"));

/// Where the servers are.
pub static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    address
});

/// Where futures run: on the thread of whoever asks, so that a failure is that one's.
pub static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

/// The key as Entra lists it.
pub fn listed() -> Value {
    let components = PublicKeyComponents::<Vec<u8>>::from(KEY.public_key());
    let (n, e) = (URL_SAFE_NO_PAD.encode(components.n), URL_SAFE_NO_PAD.encode(components.e));
    json!({ "kty": "RSA", "use": "sig", "kid": KEY_ID, "n": n, "e": e })
}

/// The claims of an input, in which [`HERE`] stands for where the servers are.
pub fn claims(input: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(input) {
        Ok(text) => text.replace(HERE, &ADDRESS).into_bytes(),
        Err(_) => input.to_vec(),
    }
}

/// A JWT of this header and these claims, whatever they are, with a good signature.
pub fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; KEY.public_modulus_len()];
    KEY.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The header of a JWT by the listed key.
pub fn header() -> Vec<u8> {
    json!({ "alg": "RS256", "typ": "JWT", "kid": KEY_ID }).to_string().into_bytes()
}

/// Answers one request on one connection. Whoever hangs up is gone.
fn serve(stream: TcpStream) {
    let mut reader = BufReader::new(stream.take(REQUEST as u64));
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let Some(path) = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)) else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let length = headers
        .iter()
        .filter_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let length: u64 = length.max().unwrap_or_default();
    let _ = std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink());
    let (status, body) = answer(&path).map_or((404, String::new()), |body| (200, body.to_string()));
    let mut stream = reader.into_inner().into_inner();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn answer(path: &str) -> Option<Value> {
    let path = path.split('?').next().unwrap_or_default();
    if let Some(issuer) = path.strip_suffix("/v2.0/.well-known/openid-configuration") {
        let issuer = if issuer == "/common" { "/{tenantid}" } else { issuer };
        let at = |path: &str| format!("{}{path}", *ADDRESS);
        return Some(json!({
            "issuer": at(&format!("{issuer}/v2.0")),
            "authorization_endpoint": at("/common/oauth2/v2.0/authorize"),
            "jwks_uri": at("/keys"),
        }));
    }
    if path == "/keys" {
        return Some(json!({ "keys": [listed()] }));
    }
    if path.ends_with("/oauth2/v2.0/token") {
        return Some(json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": "for-the-marketplace" }));
    }
    let (id, rest) = path
        .strip_prefix("/api/saas/subscriptions/")?
        .split_once('/')
        .map_or_else(|| (path.rsplit('/').next().unwrap_or_default(), ""), |(id, rest)| (id, rest));
    match (id, rest.strip_prefix("operations/")) {
        ("resolve", _) => {
            let subscription = subscription("37f9dea2-4345-438f-b0bd-03d40d28c7e0");
            Some(json!({ "id": subscription["id"], "subscription": subscription }))
        }
        (id, Some(operation)) => Some(json!({
            "id": operation, "subscriptionId": id, "offerId": "contoso-offer", "planId": "gold", "quantity": 7,
            "action": "ChangePlan", "status": "InProgress", "operationRequestSource": "Azure",
        })),
        (id, None) if rest.is_empty() => Some(subscription(id)),
        _ => None,
    }
}

fn subscription(id: &str) -> Value {
    json!({
        "id": id, "name": "Fabrikam <b>", "offerId": "contoso-offer", "planId": "silver", "quantity": 5,
        "saasSubscriptionStatus": "PendingFulfillmentStart", "autoRenew": true, "isFreeTrial": false,
        "allowedCustomerOperations": ["Read", "Update", "Delete"],
        "beneficiary": { "emailId": "ada@fabrikam.example", "tenantId": TENANT },
        "purchaser": { "emailId": "ada@fabrikam.example", "tenantId": TENANT },
        "term": { "termUnit": "P1M" },
    })
}
