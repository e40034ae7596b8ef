//! Which addresses and which spellings are judged how. Sources: IANA's registries of special-purpose addresses, and the
//! documents that each row names.

use std::net::IpAddr;

use marketplace_fulfillment::publisher::guard::{Ground, Guard, Road, ground};
use url::Url;

fn guard(allowed: &[&str]) -> Guard {
    Guard::new(&allowed.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// Addresses in networks and machines of one's own: an allowed host may be there.
const PRIVATE: [&str; 15] = [
    // RFC 1918: first, some, last.
    "10.0.0.0",
    "10.255.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.168.0.0",
    "192.168.255.255",
    // RFC 6598: carrier-grade NAT.
    "100.64.0.0",
    "100.127.255.255",
    // RFC 1122: loopback.
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    // RFC 4291: loopback.
    "::1",
    // RFC 4193: unique local.
    "fc00::",
    "fd12:3456:789a::1",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// Addresses where no receiver is, whoever allows it.
const NEVER: [&str; 71] = [
    // Azure's own: DNS, DHCP, health probes (Microsoft, "What is IP address 168.63.129.16?").
    "168.63.129.16",
    // The instance metadata of Azure, AWS and others; AWS over IPv6 (AWS, "Instance metadata").
    "169.254.169.254",
    "fd00:ec2::254",
    // RFC 3927: link-local.
    "169.254.0.0",
    "169.254.255.255",
    // RFC 791: this network; unspecified.
    "0.0.0.0",
    "0.255.255.255",
    // RFC 6890: of the IETF's protocols.
    "192.0.0.0",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.0.255",
    // RFC 5737: documents.
    "192.0.2.0",
    "192.0.2.255",
    "198.51.100.1",
    "203.0.113.255",
    // RFC 7535, 7450, 7526, 7534: AS112, AMT, 6to4 relays.
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.175.48.1",
    // RFC 2544: benchmarks.
    "198.18.0.0",
    "198.19.255.255",
    // RFC 5771: multicast.
    "224.0.0.0",
    "239.255.255.255",
    // RFC 1112: reserved; RFC 919: broadcast.
    "240.0.0.0",
    "255.255.255.254",
    "255.255.255.255",
    // RFC 4291: unspecified; IPv4-mapped; IPv4-compatible.
    "::",
    "::ffff:0.0.0.0",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:93.184.216.34",
    "::2",
    "::127.0.0.1",
    "::169.254.169.254",
    "::93.184.216.34",
    // RFC 2765: IPv4-translated.
    "::ffff:0:127.0.0.1",
    // RFC 6052, 8215: NAT64.
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::93.184.216.34",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    // RFC 6666: discarded; RFC 9780: a dummy.
    "100::1",
    "100:0:0:1::1",
    // RFC 2928: of the IETF's protocols; in it RFC 4380: Teredo; RFC 5180: benchmarks; RFC 7450: AMT; RFC 7535: AS112;
    // RFC 4843, 7343, 9374: identifiers.
    "2001::1",
    "2001:0:7f00:1::",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    // RFC 3849, 9637: documents.
    "2001:db8::1",
    "3fff::1",
    "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
    // RFC 3056: 6to4.
    "2002::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    // RFC 7534: AS112.
    "2620:4f:8000::1",
    // RFC 9602: segment routing.
    "5f00::1",
    // RFC 4291: link-local; RFC 3879: site-local; RFC 4291: multicast.
    "fe80::1",
    "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
    // RFC 4291, IANA's IPv6 address space: no global unicast addresses are outside of 2000::/3.
    "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "4000::1",
    "fbff::1",
];

/// The neighbours of what is refused.
const PUBLIC: [&str; 38] = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.197.0",
    "192.52.194.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.49.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2620:4f:8001::1",
    "2a01:111:f100:2000::1",
];

#[test]
fn every_address_has_its_ground() {
    let table = [(Ground::Private, &PRIVATE[..]), (Ground::Never, &NEVER[..]), (Ground::Public, &PUBLIC[..])];
    for (expected, addresses) in table {
        for text in addresses {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(ground(address).0, expected, "{text}: {}", ground(address).1);
        }
    }
    assert_eq!(ground("2001:0:7f00:1::".parse().unwrap()).1, "an IPv4 address inside, Teredo (RFC 4380)");
    assert_eq!(ground("255.255.255.255".parse().unwrap()).1, "broadcast (RFC 919)");
}

/// Whether the URL is admitted before its name is looked up.
fn admitted(guard: &Guard, url: &str) -> Option<Road> {
    guard.admit(&Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))).ok()
}

fn literal(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

#[test]
fn every_forbidden_address_is_refused_in_a_url() {
    let nobody = guard(&[]);
    for address in PRIVATE.iter().chain(&NEVER) {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{}:8443/events", literal(address));
            assert_eq!(admitted(&nobody, &url), None, "{url}");
        }
    }
    for address in PUBLIC {
        assert_eq!(
            admitted(&nobody, &format!("https://{}/events", literal(address))),
            Some(Road::Secured),
            "{address}"
        );
        assert_eq!(admitted(&nobody, &format!("http://{}/events", literal(address))), None, "{address}");
    }
}

#[test]
fn an_allowed_address_may_be_private_and_no_more() {
    for address in PRIVATE {
        let allowing = guard(&[address]);
        let url = format!("https://{}/events", literal(address));
        assert_eq!(admitted(&allowing, &url), Some(Road::Secured), "{url}");
        assert_eq!(admitted(&guard(&["10.1.2.3", "fd00::1", "localhost"]), &url), None, "{url} is not allowed");
        let plain = url.replace("https", "http");
        let loopback = address.parse::<IpAddr>().unwrap().is_loopback();
        assert_eq!(admitted(&allowing, &plain), loopback.then_some(Road::ThisMachine), "{plain}");
    }
    for address in NEVER {
        let allowing = guard(&[&literal(address)]);
        assert_eq!(admitted(&allowing, &format!("https://{}/", literal(address))), None, "{address} allowed");
    }
}

#[test]
fn an_odd_spelling_of_an_address_is_that_address() {
    let spellings = [
        // The WHATWG URL standard, "IPv4 parser".
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://①②⑦.⓪.⓪.①/",
        "https://%31%32%37.0.0.1/",
        "https://127。0。0。1/",
        "https://0xa9fea9fe/",
        "https://0/",
        "https://0xA83F8110/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::FFFF:169.254.169.254]/",
        "https:127.0.0.1/",
        "https:\\\\127.0.0.1\\events",
        // RFC 3986, 3.2.1: what stands before the @ is not the host.
        "https://app.contoso.example@127.0.0.1/",
        "https://app.contoso.example:443@169.254.169.254/",
    ];
    for url in spellings {
        assert_eq!(admitted(&guard(&[]), url), None, "{url}");
    }
    let localhost = guard(&["127.0.0.1"]);
    for url in ["https://2130706433/", "https://127.1:8443/", "https://127.0.0.1./"] {
        assert_eq!(admitted(&localhost, url), Some(Road::Secured), "{url}");
    }
}

#[test]
fn schemes_and_credentials() {
    let any = guard(&["app.contoso.example"]);
    assert_eq!(admitted(&any, "https://app.contoso.example/events?code=1"), Some(Road::Secured));
    for url in [
        "ftp://app.contoso.example/",
        "ws://app.contoso.example/",
        "file:///etc/passwd",
        "data:,x",
        "unix:/run/docker.sock",
        "https://name@app.contoso.example/",
        "https://:password@app.contoso.example/",
    ] {
        assert_eq!(admitted(&any, url), None, "{url}");
    }
}

#[test]
fn an_allowed_name_is_one_name_in_any_spelling() {
    let addresses: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "2a01:111:f100:2000::1".parse().unwrap()];
    let guard = guard(&["App.Intern.Example", " bücher.example. ", "[FD00::1]"]);
    let allows = |host: &str| guard.admit_all(host, &addresses, Road::Secured).is_ok();
    for host in ["app.intern.example", "app.intern.example.", "APP.INTERN.EXAMPLE", "xn--bcher-kva.example", "fd00::1"]
    {
        assert!(allows(host), "{host}");
    }
    for host in
        ["intern.example", "a.app.intern.example", "app.intern.example.evil", "xapp.intern.example", "", "fd00::2"]
    {
        assert!(!allows(host), "{host}");
    }
}

#[test]
fn a_refusal_says_what_to_do_and_no_secret() {
    let guard = guard(&[]);
    let why = |url: &str| guard.admit(&Url::parse(url).unwrap()).unwrap_err().to_string();
    assert_eq!(
        why("https://10.0.0.1/path-secret?code=query-secret"),
        "10.0.0.1 is at 10.0.0.1, private (RFC 1918); if it is yours, name it in PUBLISHER_ALLOWED_HOSTS"
    );
    assert_eq!(
        why("https://169.254.169.254/path-secret"),
        "169.254.169.254 is at 169.254.169.254, the metadata of the cloud"
    );
    assert!(!why("https://me:user-secret@10.0.0.1/").contains("user-secret"));
}
