//! The person who signed in, and whether a subscription is theirs to act for. Pure.

use std::fmt;

use crate::subscription::{Party, Snapshot};

/// The tenant that all personal Microsoft accounts share. Its number says nothing about who somebody is.
pub const PERSONAL_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// A personal account's id (puid), in hexadecimal digits.
const PUID_LENGTH: usize = 16;

/// How the object id of a personal account begins: what follows is its puid.
const PERSONAL_PREFIX: &str = "00000000-0000-0000-";

/// The longest id of a tenant or a person that is looked up, in characters: GUIDs have 36.
const ID_LENGTH: usize = 40;

/// Who uses a subscription, as a look-up names them: an organisation, or, because all personal accounts share one tenant,
/// the very person. In small letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A tenant.
    Organisation(String),
    /// A personal account, by its object id.
    Person(String),
}

impl Holder {
    /// Who a party is; `None` where what Microsoft says of it names nobody.
    pub fn of(party: &Party) -> Option<Self> {
        match party.tenant_id.as_deref().filter(|tenant| !tenant.is_empty()) {
            Some(tenant) if !same(tenant, PERSONAL_TENANT) => identifier(tenant).map(Self::Organisation),
            tenant => {
                let by_puid = party.puid.as_deref().and_then(object_id_of);
                let object_id = party.object_id.as_deref().filter(|id| tenant.is_some() || is_personal(id));
                by_puid.or_else(|| object_id.and_then(identifier)).map(Self::Person)
            }
        }
    }

    /// Whom a caller names; `None` where that is nobody whom a look-up can find: a personal account without its object id,
    /// or the object id of an organisation's person without the organisation.
    pub fn named(tenant_id: Option<&str>, object_id: Option<&str>) -> Option<Self> {
        match (tenant_id, object_id) {
            (Some(tenant), _) if !same(tenant, PERSONAL_TENANT) => identifier(tenant).map(Self::Organisation),
            (tenant, Some(id)) if tenant.is_some() || is_personal(id) => identifier(id).map(Self::Person),
            _ => None,
        }
    }

    /// The holder as one text: letters, digits and dashes.
    pub fn key(&self) -> String {
        match self {
            Self::Organisation(id) => format!("tenant-{id}"),
            Self::Person(id) => format!("person-{id}"),
        }
    }
}

/// Whether an object id is a personal account's.
fn is_personal(object_id: &str) -> bool {
    object_id.starts_with(PERSONAL_PREFIX)
}

/// The object id of the personal account with this puid.
fn object_id_of(puid: &str) -> Option<String> {
    let sound = puid.len() == PUID_LENGTH && puid.bytes().all(|digit| digit.is_ascii_hexdigit());
    sound.then(|| format!("{PERSONAL_PREFIX}{}-{}", &puid[..4], &puid[4..]).to_ascii_lowercase())
}

fn identifier(text: &str) -> Option<String> {
    let sound =
        (1..=ID_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    sound.then(|| text.to_ascii_lowercase())
}

/// A signed-in person. Personal data: `Debug` shows the tenant only.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The person's home tenant (`tid`): a GUID, or [`PERSONAL_TENANT`].
    pub tenant_id: String,
    /// The person's object id in that tenant (`oid`): a GUID, the same in every application.
    pub object_id: String,
    /// The display name, to show the person who they are signed in as. Never a proof of anything.
    pub name: Option<String>,
    /// The sign-in name, to show. It can be changed and reused, so no rule reads it.
    pub username: Option<String>,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

impl Person {
    /// Whether this person may act for the subscription: they belong to the organisation that uses it or pays for it.
    /// Personal accounts share one tenant, so of them only the very person does.
    pub fn may_act_for(&self, known: &Snapshot) -> bool {
        [&known.beneficiary, &known.purchaser].into_iter().flatten().any(|party| self.belongs_to(party))
    }

    fn belongs_to(&self, party: &Party) -> bool {
        let party_tenant = party.tenant_id.as_deref().filter(|tenant| !tenant.is_empty());
        if same(&self.tenant_id, PERSONAL_TENANT) {
            return party_tenant.is_none_or(|tenant| same(tenant, PERSONAL_TENANT)) && self.is(party);
        }
        party_tenant.is_some_and(|tenant| same(tenant, &self.tenant_id))
    }

    fn is(&self, party: &Party) -> bool {
        let by_object_id = party.object_id.as_deref().is_some_and(|id| !id.is_empty() && same(id, &self.object_id));
        let by_puid = party.puid.as_deref().is_some_and(|puid| self.puid().is_some_and(|own| same(&own, puid)));
        by_object_id || by_puid
    }

    /// A personal account's object id is its puid, written as a GUID with zeros in front.
    fn puid(&self) -> Option<String> {
        let digits: String = self.object_id.chars().filter(|digit| *digit != '-').collect();
        let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let start = digits.len().checked_sub(PUID_LENGTH)?;
        hexadecimal.then(|| digits[start..].to_owned())
    }
}

/// GUIDs and puids are the same number in either case.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
