//! The guard before the publisher's URLs: what is admitted leads to the public, or to this machine where it is allowed
//! by name, however it is spelled; and whoever is refused once is refused in every spelling.

use std::net::IpAddr;

use marketplace_fulfillment::publisher::guard::{Ground, Guard, Road, ground};
use url::{Host, Url};

use super::text;

pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (allowed, address) = text.split_once('\n').unwrap_or(("", text));
    let nobody = Guard::new(&[]).expect("an empty list names no wrong host");
    if let Ok(address) = address.parse::<IpAddr>() {
        addressed(&nobody, address);
    }
    let Ok(url) = Url::parse(address) else { return };
    match url.host() {
        Some(Host::Ipv4(address)) => addressed(&nobody, address.into()),
        Some(Host::Ipv6(address)) => addressed(&nobody, address.into()),
        Some(Host::Domain(_)) | None => {}
    }
    admitted(&nobody, &url, false);
    let allowed: Vec<String> = allowed.split(',').map(str::to_owned).collect();
    match Guard::new(&allowed) {
        Ok(guard) => admitted(&guard, &url, true),
        Err(why) => assert!(allowed.iter().any(|entry| why == format!("{entry:?} is no host")), "{why}"),
    }
}

fn admitted(guard: &Guard, url: &Url, privately: bool) {
    let road = match guard.admit(url) {
        Ok(road) => road,
        Err(forbidden) => {
            // A path and a query may hold what nobody else is to read.
            assert!(!forbidden.0.contains('?') && !forbidden.0.contains('@'), "{forbidden}");
            return;
        }
    };
    assert!(url.username().is_empty() && url.password().is_none(), "{url}");
    assert_eq!(url.scheme(), if road == Road::Secured { "https" } else { "http" });
    let literal = match url.host().expect("what is admitted has a host") {
        Host::Domain(_) => return,
        Host::Ipv4(address) => IpAddr::from(address),
        Host::Ipv6(address) => IpAddr::from(address),
    };
    match ground(literal).0 {
        Ground::Public => assert_eq!(road, Road::Secured, "{url}"),
        Ground::Private => assert!(privately, "{url}"),
        Ground::Never => panic!("{url} is for nobody"),
    }
}

fn addressed(nobody: &Guard, address: IpAddr) {
    let (kind, _) = ground(address);
    let road = nobody.admit_all("host.example", &[address], Road::Secured);
    assert_eq!(road.is_ok(), kind == Ground::Public, "{address}");
    assert!(nobody.admit_all("host.example", &[address], Road::ThisMachine).is_err() || address.is_loopback());
    // The standard library's own judgement of what is not global, as far as it is stable.
    let inside = match address {
        IpAddr::V4(four) => four.is_private() || four.is_loopback() || four.is_link_local() || four.is_multicast(),
        IpAddr::V6(six) => {
            six.is_loopback() || six.is_multicast() || six.is_unique_local() || six.is_unicast_link_local()
        }
    };
    assert!(!inside || kind != Ground::Public, "{address}");
    // An address that carries another one inside is no way around what that one is.
    if let IpAddr::V4(four) = address {
        assert_eq!(ground(four.to_ipv6_mapped().into()).0, Ground::Never, "{address}");
        assert_ne!(ground(four.to_ipv6_compatible().into()).0, Ground::Public, "{address}");
    }
}
