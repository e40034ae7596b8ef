//! From a name to the addresses that are connected to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{Guard, Road};

/// Who knows the addresses of a name.
#[derive(Clone)]
pub enum Lookup {
    /// The machine, as for every other program on it.
    System,
    /// A function, asked at every look-up: stories let a name move. No address means that there is no such name.
    Fixed(FixedLookup),
}

/// Answers a name with its addresses.
pub type FixedLookup = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::System) { "System" } else { "Fixed" })
    }
}

impl Lookup {
    pub(super) async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses: Vec<IpAddr> = match self {
            Self::System => tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect(),
            Self::Fixed(answer) => answer(name),
        };
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        if addresses.is_empty() { Err(none()) } else { Ok(addresses) }
    }
}

/// Looks names up for the HTTP client. What it answers has been judged and is what the client connects to: nobody looks
/// up again in between, so that a name cannot move from a good address to a bad one after it was checked.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub(super) guard: Arc<Guard>,
    pub(super) lookup: Lookup,
    pub(super) road: Road,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { guard, lookup, road } = self.clone();
        Box::pin(async move {
            let addresses = lookup.addresses(name.as_str()).await?;
            guard.admit_all(name.as_str(), &addresses, road)?;
            // The client puts the URL's port in place of 0.
            let sockets: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(sockets)
        })
    }
}
