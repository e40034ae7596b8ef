//! How the publisher's own software is connected: where events and questions go, and where buyers are handed over.

use url::{Host, Url};

use super::credential::EVENTS_SECRET;
use super::reader::Reader;
use super::{EventsSecret, HANDOFF_KEYS, HandoffKeys, Source, is_loopback};
use crate::duty::Verdict;

pub(super) const ACTIVATION: &str = "ACTIVATION";
pub(super) const EVENTS_URL: &str = "PUBLISHER_EVENTS_URL";
pub(super) const PROVISION_URL: &str = "PUBLISHER_PROVISION_URL";
pub(super) const DECISIONS_URL: &str = "PUBLISHER_DECISIONS_URL";
pub(super) const DECISIONS_DEFAULT: &str = "PUBLISHER_DECISIONS_DEFAULT";
pub(super) const HANDOFF_URL: &str = "PUBLISHER_HANDOFF_URL";
pub(super) const SETUP_URL: &str = "PUBLISHER_SETUP_URL";
pub(super) const ALLOWED_HOSTS: &str = "PUBLISHER_ALLOWED_HOSTS";

/// The publisher's software, as far as it is connected.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who says that a confirmed purchase may be activated. `ACTIVATION`.
    pub activation: Activation,
    /// Where events are sent. `PUBLISHER_EVENTS_URL`.
    pub events: Option<Url>,
    /// Who is asked to provision before the activation. `PUBLISHER_PROVISION_URL`.
    pub provision: Option<Url>,
    /// Who is asked about changes of plan and seats that policy allows. `PUBLISHER_DECISIONS_URL`.
    pub decisions: Option<Url>,
    /// What silence of that one means. `PUBLISHER_DECISIONS_DEFAULT`.
    pub decisions_default: Verdict,
    /// Where the buyer of an active subscription is handed over. `PUBLISHER_HANDOFF_URL`.
    pub handoff: Option<Url>,
    /// Where the buyer is handed over after confirming and before the activation. `PUBLISHER_SETUP_URL`.
    pub setup: Option<Url>,
    /// The hosts that may be inside a private network. `PUBLISHER_ALLOWED_HOSTS`.
    pub allowed_hosts: Vec<String>,
    /// Signs events and questions; needed where any of them is sent. `PUBLISHER_EVENTS_SECRET`.
    pub events_secret: Option<Source<EventsSecret>>,
    /// Signs what a buyer carries over; needed where one is handed over. `HANDOFF_KEYS`.
    pub handoff_keys: Option<Source<HandoffKeys>>,
}

/// Who says that a confirmed purchase may be activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The buyer's confirmation is enough.
    Automatic,
    /// The publisher's software provisions first.
    Publisher,
}

impl Connection {
    /// Whether buyers are handed over at all.
    pub fn hands_over(&self) -> bool {
        self.handoff.is_some() || self.setup.is_some()
    }
}

impl Reader<'_> {
    pub(super) fn connection(&mut self, vault: bool) -> Connection {
        let allowed_hosts = self.allowed_hosts();
        let [events, provision, decisions] =
            [EVENTS_URL, PROVISION_URL, DECISIONS_URL].map(|key| self.publisher_url(key, &allowed_hosts));
        let [handoff, setup] = [HANDOFF_URL, SETUP_URL].map(|key| self.optional(key).map(|_| self.url(key, None)));
        let signs = [&events, &provision, &decisions].into_iter().any(Option::is_some);
        let hands_over = handoff.is_some() || setup.is_some();
        let activation = self.activation();
        let connection = Connection {
            activation: activation.unwrap_or(Activation::Publisher),
            decisions_default: self.decisions_default(),
            events_secret: self.optional_source(&EVENTS_SECRET, signs, vault),
            handoff_keys: self.optional_source(&HANDOFF_KEYS, hands_over, vault),
            events,
            provision,
            decisions,
            handoff,
            setup,
            allowed_hosts,
        };
        if activation.is_some() {
            self.somebody_activates(&connection);
        }
        connection
    }

    /// The address of a server of the publisher's that this program calls. Plain http is for this machine, and what is
    /// on this machine must be allowed like every other address inside.
    fn publisher_url(&mut self, key: &str, allowed_hosts: &[String]) -> Option<Url> {
        self.optional(key)?;
        let url = self.url(key, None);
        let is_allowed = |host: &str| allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        if is_loopback(&url) && !url.host_str().is_some_and(is_allowed) {
            self.problems.push(format!(
                "{key} is an address of this machine itself; name its host in {ALLOWED_HOSTS} if that is meant."
            ));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            self.problems.push(format!(
                "{key} has a user name, a password or a fragment; what is sent there is signed, and needs none."
            ));
        }
        Some(url)
    }

    fn activation(&mut self) -> Option<Activation> {
        match self.optional(ACTIVATION).as_deref() {
            None | Some("automatic") => Some(Activation::Automatic),
            Some("publisher") => Some(Activation::Publisher),
            Some(other) => {
                self.problems.push(format!("{ACTIVATION} is \"{other}\"; it is \"automatic\" or \"publisher\"."));
                None
            }
        }
    }

    fn decisions_default(&mut self) -> Verdict {
        match self.optional(DECISIONS_DEFAULT).as_deref() {
            None | Some("accept") => Verdict::Success,
            Some("refuse") => Verdict::Failure,
            Some(other) => {
                self.problems.push(format!("{DECISIONS_DEFAULT} is \"{other}\"; it is \"accept\" or \"refuse\"."));
                Verdict::Failure
            }
        }
    }

    /// Names and addresses of hosts, without ports: what may be inside is a machine.
    fn allowed_hosts(&mut self) -> Vec<String> {
        let list = self.optional(ALLOWED_HOSTS).unwrap_or_default();
        let mut hosts = Vec::new();
        for host in list.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            // A pattern would be a host of that strange name.
            match Host::parse(host).ok().filter(|_| !host.contains('*')) {
                Some(host) => hosts.push(host.to_string()),
                None => self.problems.push(format!(
                    "{ALLOWED_HOSTS} names \"{host}\", which is not a host; it is a list of names or addresses without \
                     ports, separated by commas, for example app.internal.contoso.com."
                )),
            }
        }
        hosts
    }

    /// With `ACTIVATION` `publisher` somebody must hear of a purchase, or none would ever become active; and nobody is
    /// asked where it is not.
    fn somebody_activates(&mut self, connection: &Connection) {
        let Connection { activation, events, provision, setup, .. } = connection;
        match activation {
            Activation::Publisher if [events, provision, setup].into_iter().all(Option::is_none) => {
                self.problems.push(format!(
                    "{ACTIVATION} is \"publisher\", and nobody is told of a purchase; set {PROVISION_URL}, {SETUP_URL} or \
                     {EVENTS_URL}."
                ));
            }
            Activation::Automatic => {
                for (key, _) in [(PROVISION_URL, provision), (SETUP_URL, setup)].iter().filter(|(_, url)| url.is_some())
                {
                    self.problems.push(format!(
                        "{key} is set, and {ACTIVATION} is \"automatic\"; with it nobody is asked before the activation."
                    ));
                }
            }
            Activation::Publisher => {}
        }
    }
}
