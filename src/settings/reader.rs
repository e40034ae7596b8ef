//! Takes the environment apart, key by key, and collects what is wrong with it.

use url::Url;

use super::{MarketplaceSettings, Reconciliation, change_policy, host_and_port, is_loopback};
use crate::policy::Policy;
use crate::snapshot::live_offer;

/// The one address that need not be a page.
pub(super) const SUPPORT_URL: &str = "PUBLISHER_SUPPORT_URL";

/// The host name that the platform gave this app.
const HOSTNAME: &str = "WEBSITE_HOSTNAME";

const MICROSOFT_API: &str = "https://marketplaceapi.microsoft.com/api";
/// Both hosts appear in production: the second in `@nextLink` and `Operation-Location` (recorded sessions of 2021).
const MICROSOFT_HOSTS: [&str; 2] = ["marketplaceapi.microsoft.com", "main.prod.marketplaceapi.azure.com"];
pub(super) const MICROSOFT_AUTHORITY: &str = "https://login.microsoftonline.com";

/// Answers values, and keeps a sentence for each one that cannot be used, with something in its place: the problems come
/// all at once, and nobody sees the placeholders.
pub(super) struct Reader<'a> {
    pub(super) get: &'a dyn Fn(&str) -> Option<String>,
    pub(super) problems: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn optional(&self, key: &str) -> Option<String> {
        (self.get)(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, key: &str, meaning: &str) -> String {
        self.optional(key).unwrap_or_else(|| {
            self.problems.push(format!("{key} is not set; it is {meaning}."));
            String::new()
        })
    }

    pub(super) fn guid(&mut self, key: &str, meaning: &str) -> String {
        let value = self.required(key, meaning);
        // In the one form that tokens carry, however it was typed.
        if let Ok(guid) = uuid::Uuid::try_parse(&value) {
            return guid.to_string();
        }
        if !value.is_empty() {
            self.problems.push(format!("{key} is not a GUID; it is {meaning}."));
        }
        value
    }

    pub(super) fn url(&mut self, key: &str, default: Option<&str>) -> Url {
        let value = match (self.optional(key), default) {
            (Some(value), _) => value,
            (None, Some(default)) => default.to_owned(),
            (None, None) => self.required(key, "a URL beginning with https://"),
        };
        self.read_url(key, &value)
    }

    /// The URL that `value` is, which `key` set.
    fn read_url(&mut self, key: &str, value: &str) -> Url {
        match Url::parse(value) {
            Ok(url) if is_acceptable(&url) || (url.scheme() == "mailto" && key == SUPPORT_URL) => return url,
            _ if value.is_empty() => {}
            Ok(_) => self.problems.push(format!(
                "{key} must begin with https:// (http:// is accepted for addresses of this machine only)."
            )),
            Err(error) => self.problems.push(format!("{key} is not a URL: {error}.")),
        }
        nowhere()
    }

    pub(super) fn marketplace(
        &mut self,
        authority: &Url,
        azure_client_id: Option<&str>,
        vault: bool,
    ) -> MarketplaceSettings {
        let api_url = self.url("MARKETPLACE_API_URL", Some(MICROSOFT_API));
        let own = host_and_port(&api_url);
        let mut api_hosts: Vec<String> = match self.optional("MARKETPLACE_API_HOSTS") {
            Some(list) => list.split(',').map(|host| host.trim().to_ascii_lowercase()).collect(),
            None if MICROSOFT_HOSTS.contains(&own.as_str()) => MICROSOFT_HOSTS.map(str::to_owned).to_vec(),
            None => Vec::new(),
        };
        if !api_hosts.contains(&own) {
            api_hosts.push(own);
        }
        let tenant_id = self.guid(
            "MARKETPLACE_TENANT_ID",
            "the \"Microsoft Entra tenant ID\" on the offer's Technical configuration page in Partner Center",
        );
        let client_id = self.guid(
            "MARKETPLACE_CLIENT_ID",
            "the \"Microsoft Entra application ID\" on the offer's Technical configuration page in Partner Center",
        );
        let credential = self.credential(&client_id, azure_client_id, vault);
        MarketplaceSettings { api_url, api_hosts, tenant_id, client_id, credential, authority: authority.clone() }
    }

    pub(super) fn offers(&mut self) -> Vec<String> {
        const MEANING: &str = "the offer ids that this installation serves, separated by commas";
        let list = self.required("OFFERS", MEANING);
        let offers = list.split(',').map(str::trim).map(live_offer);
        let offers: Vec<String> = offers.filter(|offer| !offer.is_empty()).map(str::to_owned).collect();
        if offers.is_empty() && !list.is_empty() {
            self.problems.push(format!("OFFERS names no offer; it is {MEANING}."));
        }
        offers
    }

    pub(super) fn change_policy(&mut self) -> Policy {
        change_policy::read(self.optional(change_policy::KEY).as_deref()).unwrap_or_else(|problems| {
            self.problems.extend(problems);
            Policy::accept_all()
        })
    }

    pub(super) fn reconciliation(&mut self) -> Reconciliation {
        match self.optional("RECONCILE").as_deref() {
            None | Some("repair") => Reconciliation::Repair,
            Some("observe") => Reconciliation::Observe,
            Some(other) => {
                self.problems.push(format!("RECONCILE is \"{other}\"; it is \"repair\" or \"observe\"."));
                Reconciliation::Observe
            }
        }
    }

    pub(super) fn public_url(&mut self) -> Url {
        const KEY: &str = "PUBLIC_URL";
        if self.optional(KEY).is_some() {
            let url = self.url(KEY, None);
            return self.base(KEY, url);
        }
        let Some(host) = self.optional(HOSTNAME) else {
            self.problems.push(format!(
                "{KEY} is not set and the platform names no host ({HOSTNAME}); it is where browsers reach this app, for \
                 example https://landing.contoso.com."
            ));
            return nowhere();
        };
        // `func start` sets a loopback host with its port; Azure sets the app's default host name.
        let local = host.starts_with("localhost") || host.starts_with("127.");
        let url = self.read_url(HOSTNAME, &format!("{}://{host}", if local { "http" } else { "https" }));
        self.base(HOSTNAME, url)
    }

    /// An address behind which the paths of our functions are put.
    fn base(&mut self, key: &str, url: Url) -> Url {
        if url.query().is_some() || url.fragment().is_some() {
            self.problems.push(format!("{key} must be an address without a query and without a fragment."));
        }
        url
    }
}

fn is_acceptable(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Stands for a URL that could not be read, while the other problems are collected.
fn nowhere() -> Url {
    Url::parse("https://unset.invalid").expect("a constant URL")
}
