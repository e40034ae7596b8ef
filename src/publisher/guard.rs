//! Where the publisher's URLs may lead: to servers that everybody can reach, and into no network of ours.
//!
//! Judged are addresses, never spellings: a literal of the URL before anything is sent, a name by everything that it
//! resolves to, at the moment of connecting ([`Lookup`](super::Lookup)).

use std::fmt;
use std::net::IpAddr;
use std::sync::LazyLock;

use url::{Host, Url};

/// What an address is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Everybody can reach it.
    Public,
    /// Part of somebody's own network or machine: only for hosts that `PUBLISHER_ALLOWED_HOSTS` names.
    Private,
    /// No receiver can be there: for nobody, whatever is allowed.
    Never,
}

/// Every block of addresses that is not public, and what it is; the first that fits counts.
///
/// All blocks of IANA's registries of special-purpose addresses (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>) are here, those too that can be reached from everywhere,
/// because none of them holds a web server of a publisher. Beside them: multicast, the metadata of clouds, and all of
/// IPv6 but its global unicast addresses. An address that carries an IPv4 address inside is refused as a whole.
const BLOCKS: [(&str, Ground, &str); 51] = [
    ("168.63.129.16/32", Ground::Never, "the platform's own, of Azure"),
    ("169.254.169.254/32", Ground::Never, "the metadata of the cloud"),
    ("fd00:ec2::254/128", Ground::Never, "the metadata of the cloud"),
    ("0.0.0.0/8", Ground::Never, "unspecified (RFC 791)"),
    ("10.0.0.0/8", Ground::Private, "private (RFC 1918)"),
    ("100.64.0.0/10", Ground::Private, "shared behind a carrier's NAT (RFC 6598)"),
    ("127.0.0.0/8", Ground::Private, "loopback (RFC 1122)"),
    ("169.254.0.0/16", Ground::Never, "link-local (RFC 3927)"),
    ("172.16.0.0/12", Ground::Private, "private (RFC 1918)"),
    ("192.0.0.0/24", Ground::Never, "of the IETF's protocols (RFC 6890)"),
    ("192.0.2.0/24", Ground::Never, "for documents (RFC 5737)"),
    ("192.31.196.0/24", Ground::Never, "of AS112 (RFC 7535)"),
    ("192.52.193.0/24", Ground::Never, "of AMT (RFC 7450)"),
    ("192.88.99.0/24", Ground::Never, "of 6to4 relays (RFC 7526)"),
    ("192.168.0.0/16", Ground::Private, "private (RFC 1918)"),
    ("192.175.48.0/24", Ground::Never, "of AS112 (RFC 7534)"),
    ("198.18.0.0/15", Ground::Never, "for benchmarks (RFC 2544)"),
    ("198.51.100.0/24", Ground::Never, "for documents (RFC 5737)"),
    ("203.0.113.0/24", Ground::Never, "for documents (RFC 5737)"),
    ("224.0.0.0/4", Ground::Never, "multicast (RFC 5771)"),
    ("255.255.255.255/32", Ground::Never, "broadcast (RFC 919)"),
    ("240.0.0.0/4", Ground::Never, "reserved (RFC 1112)"),
    ("::/128", Ground::Never, "unspecified (RFC 4291)"),
    ("::1/128", Ground::Private, "loopback (RFC 4291)"),
    ("::ffff:0:0/96", Ground::Never, "an IPv4 address inside, mapped (RFC 4291)"),
    ("::/96", Ground::Never, "an IPv4 address inside, compatible (RFC 4291)"),
    ("::ffff:0:0:0/96", Ground::Never, "an IPv4 address inside, translated (RFC 2765)"),
    ("64:ff9b::/96", Ground::Never, "an IPv4 address inside, NAT64 (RFC 6052)"),
    ("64:ff9b:1::/48", Ground::Never, "an IPv4 address inside, NAT64 (RFC 8215)"),
    ("100::/64", Ground::Never, "discarded (RFC 6666)"),
    ("100:0:0:1::/64", Ground::Never, "a dummy (RFC 9780)"),
    ("2001::/32", Ground::Never, "an IPv4 address inside, Teredo (RFC 4380)"),
    ("2001:2::/48", Ground::Never, "for benchmarks (RFC 5180)"),
    ("2001:3::/32", Ground::Never, "of AMT (RFC 7450)"),
    ("2001:4:112::/48", Ground::Never, "of AS112 (RFC 7535)"),
    ("2001:10::/28", Ground::Never, "no place but an identifier (RFC 4843)"),
    ("2001:20::/28", Ground::Never, "no place but an identifier (RFC 7343)"),
    ("2001:30::/28", Ground::Never, "no place but a drone's identifier (RFC 9374)"),
    ("2001::/23", Ground::Never, "of the IETF's protocols (RFC 2928)"),
    ("2001:db8::/32", Ground::Never, "for documents (RFC 3849)"),
    ("2002::/16", Ground::Never, "an IPv4 address inside, 6to4 (RFC 3056)"),
    ("2620:4f:8000::/48", Ground::Never, "of AS112 (RFC 7534)"),
    ("3fff::/20", Ground::Never, "for documents (RFC 9637)"),
    ("5f00::/16", Ground::Never, "of segment routing (RFC 9602)"),
    ("fc00::/7", Ground::Private, "private, unique local (RFC 4193)"),
    ("fe80::/10", Ground::Never, "link-local (RFC 4291)"),
    ("fec0::/10", Ground::Never, "site-local (RFC 3879)"),
    ("ff00::/8", Ground::Never, "multicast (RFC 4291)"),
    ("::/3", Ground::Never, "not global unicast (RFC 4291)"),
    ("4000::/2", Ground::Never, "not global unicast (RFC 4291)"),
    ("8000::/1", Ground::Never, "not global unicast (RFC 4291)"),
];

static TABLE: LazyLock<Vec<Block>> = LazyLock::new(|| BLOCKS.iter().map(Block::read).collect());

struct Block {
    network: IpAddr,
    prefix: u32,
    ground: Ground,
    what: &'static str,
}

impl Block {
    fn read((block, ground, what): &(&'static str, Ground, &'static str)) -> Self {
        let parts = block.split_once('/').and_then(|(network, prefix)| Some((network.parse(), prefix.parse().ok()?)));
        let Some((Ok(network), prefix)) = parts else { unreachable!("{block} is a constant, and a block") };
        Self { network, prefix, ground: *ground, what }
    }

    fn holds(&self, address: IpAddr) -> bool {
        let differ = match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros(),
            (IpAddr::V6(network), IpAddr::V6(address)) => (network.to_bits() ^ address.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= self.prefix
    }
}

/// What an address is to us, and the words for it: a kind of address, with its source.
pub fn ground(address: IpAddr) -> (Ground, &'static str) {
    TABLE
        .iter()
        .find(|block| block.holds(address))
        .map_or((Ground::Public, "public"), |block| (block.ground, block.what))
}

/// How a URL is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Over https.
    Secured,
    /// Over plain http, which never leaves this machine.
    ThisMachine,
}

/// Why a place is forbidden: one sentence without the URL's path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden(pub String);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Forbidden {}

/// Who may be called.
#[derive(Clone, Debug)]
pub struct Guard {
    allowed: Vec<Host>,
}

impl Guard {
    /// Nobody in a private network but `allowed`: names of hosts or literal addresses, in any case, without port. What
    /// [`Ground::Never`] is, stays so.
    ///
    /// # Errors
    ///
    /// The entry that is no host.
    pub fn new(allowed: &[String]) -> Result<Self, String> {
        let read = |entry: &String| {
            // A pattern would be a host of that strange name.
            let host = host(entry.trim()).filter(|_| !entry.contains('*'));
            host.ok_or_else(|| format!("{entry:?} is no host"))
        };
        Ok(Self { allowed: allowed.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// What can be said of a URL before its name is looked up: its scheme, that it carries no credentials, and its
    /// address where it is a literal.
    pub fn admit(&self, url: &Url) -> Result<Road, Forbidden> {
        let road = match url.scheme() {
            "https" => Road::Secured,
            "http" => Road::ThisMachine,
            _ => return Err(Forbidden("its scheme is not https".to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden("it holds a name or a password, which nobody would keep secret there".to_owned()));
        }
        match url.host() {
            None => return Err(Forbidden("it names no host".to_owned())),
            Some(Host::Domain(_)) => {}
            Some(Host::Ipv4(address)) => self.admit_all(&address.to_string(), &[address.into()], road)?,
            Some(Host::Ipv6(address)) => self.admit_all(&address.to_string(), &[address.into()], road)?,
        }
        Ok(road)
    }

    /// Judges every address of a host: one that is forbidden forbids all, because whoever can add an address to a name
    /// decides where we connect.
    pub fn admit_all(&self, host: &str, addresses: &[IpAddr], road: Road) -> Result<(), Forbidden> {
        let allowed = self.allows(host);
        addresses.iter().try_for_each(|address| {
            let (ground, what) = ground(*address);
            if road == Road::ThisMachine && !address.is_loopback() {
                return Err(Forbidden(format!("{host} is at {address}, and plain http is for this machine alone")));
            }
            match ground {
                Ground::Public => Ok(()),
                Ground::Private if allowed => Ok(()),
                Ground::Private => Err(Forbidden(format!(
                    "{host} is at {address}, {what}; if it is yours, name it in PUBLISHER_ALLOWED_HOSTS"
                ))),
                Ground::Never => Err(Forbidden(format!("{host} is at {address}, {what}"))),
            }
        })
    }

    fn allows(&self, name: &str) -> bool {
        host(name).is_some_and(|host| self.allowed.contains(&host))
    }
}

/// A host in the one form that all its spellings have: a name without the dot at its end, which stands for the root.
fn host(text: &str) -> Option<Host> {
    match text.parse().map(Host::Ipv6).or_else(|_| Host::parse(text)).ok()? {
        Host::Domain(name) => Some(Host::Domain(name.trim_end_matches('.').to_owned())),
        literal => Some(literal),
    }
}
