//! The least that a custom handler written with warp can be: it answers, and does nothing.

use std::net::Ipv4Addr;

use warp::Filter as _;

#[tokio::main]
async fn main() {
    #[expect(clippy::disallowed_methods, reason = "it has no other setting, and no other file")]
    let port = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT").ok().and_then(|port| port.parse().ok());
    let port: u16 = port.expect("FUNCTIONS_CUSTOMHANDLER_PORT is a port");
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free");
    warp::serve(warp::any().map(|| "ready")).incoming(listener).run().await;
}
