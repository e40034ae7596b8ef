//! The people who buy, use and sign in. All invented; their ids never change, so that tests can rely on them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The Entra tenant that all personal Microsoft accounts share.
pub const PERSONAL_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// The longest value of a field of a party, in bytes: an e-mail address has at most 254.
const LONGEST_FIELD: usize = 256;

/// Somebody with an account.
#[derive(Debug, PartialEq, Eq)]
pub struct Person {
    /// How requests and buttons name them.
    pub key: &'static str,
    /// Their name.
    pub name: &'static str,
    /// Their sign-in name and e-mail address.
    pub email: &'static str,
    /// Their Entra tenant.
    pub tenant_id: &'static str,
    /// Their object id; for personal accounts it is made of the puid.
    pub object_id: &'static str,
    /// 16 hexadecimal digits.
    pub puid: &'static str,
}

/// Everybody: the buyer, somebody of the same company, somebody of another, and somebody with a personal account.
pub static PEOPLE: [Person; 4] = [
    Person {
        key: "buyer",
        name: "Bea Baker",
        email: "buyer@fabrikam.example",
        tenant_id: "5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911",
        object_id: "c1a4d7e2-93b5-4f68-8f1d-70d2b6a9e301",
        puid: "1003200158a9c311",
    },
    Person {
        key: "colleague",
        name: "Cem Cooper",
        email: "colleague@fabrikam.example",
        tenant_id: "5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911",
        object_id: "d92e6b30-1c47-4a8b-b5e6-48f1a07c5502",
        puid: "1003200158a9c312",
    },
    Person {
        key: "stranger",
        name: "Sam Stone",
        email: "stranger@northwind.example",
        tenant_id: "a7d3e914-26fb-4d7c-8b39-6e15c8f2d022",
        object_id: "e07b5c91-4d2a-4e93-a6c8-95b3d1f84603",
        puid: "1003200274b1d413",
    },
    Person {
        key: "personal",
        name: "Pia Porter",
        email: "personal@outlook.example",
        tenant_id: PERSONAL_TENANT,
        object_id: "00000000-0000-0000-0003-4001c7d2e5f6",
        puid: "00034001c7d2e5f6",
    },
];

/// The person with this key.
pub fn person(key: &str) -> Option<&'static Person> {
    PEOPLE.iter().find(|person| person.key == key)
}

/// Who uses or pays for a subscription, in Microsoft's field names. Personal data, if only invented: not for logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "Microsoft's names, explained in its API reference")]
pub struct Party {
    #[serde(default)]
    pub email_id: Option<String>,
    #[serde(default)]
    pub object_id: Option<String>,
    #[serde(default)]
    pub tenant_id: Option<String>,
    #[serde(default)]
    pub puid: Option<String>,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Party").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

impl From<&Person> for Party {
    fn from(person: &Person) -> Self {
        Self {
            email_id: Some(person.email.to_owned()),
            object_id: Some(person.object_id.to_owned()),
            tenant_id: Some(person.tenant_id.to_owned()),
            puid: Some(person.puid.to_owned()),
        }
    }
}

/// How a purchase names a party: by a person's key, or by their particulars.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub struct Who(pub Party);

impl Who {
    /// One of [`PEOPLE`]; `None` where nobody has this key.
    pub fn named(key: &str) -> Option<Self> {
        person(key).map(|person| Self(person.into()))
    }
}

/// Who buys and who uses where a purchase does not say.
impl Default for Who {
    fn default() -> Self {
        Self((&PEOPLE[0]).into())
    }
}

impl TryFrom<Value> for Who {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if let Value::String(key) = &value {
            return Self::named(key).ok_or_else(|| {
                let keys: Vec<_> = PEOPLE.iter().map(|person| person.key).collect();
                format!(
                    "nobody is called \"{}\"; there are {}",
                    key.chars().take(40).collect::<String>(),
                    keys.join(", ")
                )
            });
        }
        let party: Party = serde_json::from_value(value)
            .map_err(|error| format!("a party is a person's key or emailId, objectId, tenantId and puid: {error}"))?;
        let fields = [&party.email_id, &party.object_id, &party.tenant_id, &party.puid];
        if fields.into_iter().flatten().any(|field| field.len() > LONGEST_FIELD) {
            return Err(format!("a field of a party has at most {LONGEST_FIELD} bytes"));
        }
        Ok(Self(party))
    }
}
