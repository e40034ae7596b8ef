//! Attempts and sessions as they stand in their cookies, under the seal.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Attempt, Destination, Session};
use crate::handoff::Purpose;
use crate::person::Person;
use crate::subscription::SubscriptionId;

/// The form of [`Attempt`] in its cookie; short names, because cookies are small.
#[derive(Serialize, Deserialize)]
pub(super) struct AttemptWire {
    s: String,
    n: String,
    b: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<String>,
}

impl From<&Attempt> for AttemptWire {
    fn from(attempt: &Attempt) -> Self {
        let (t, i, p) = match &attempt.destination {
            Destination::Token(token) => (Some(token.clone()), None, None),
            Destination::Subscription(id) => (None, Some(id.to_string()), None),
            Destination::Handoff(id, purpose) => (None, Some(id.to_string()), Some(purpose.as_str().to_owned())),
        };
        Self { s: attempt.state.clone(), n: attempt.nonce.clone(), b: attempt.begun_at.unix_timestamp(), t, i, p }
    }
}

impl AttemptWire {
    pub(super) fn into_attempt(self) -> Option<Attempt> {
        let destination = match (self.t, self.i) {
            (Some(token), None) => Destination::Token(token),
            (None, Some(id)) => {
                let id = SubscriptionId::parse(&id)?;
                match self.p.as_deref().and_then(Purpose::parse) {
                    Some(purpose) => Destination::Handoff(id, purpose),
                    None => Destination::Subscription(id),
                }
            }
            _ => return None,
        };
        let begun_at = OffsetDateTime::from_unix_timestamp(self.b).ok()?;
        Some(Attempt { state: self.s, nonce: self.n, destination, begun_at })
    }
}

/// The form of [`Session`] in its cookie.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionWire {
    t: String,
    o: String,
    e: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<String>,
}

impl From<&Session> for SessionWire {
    fn from(session: &Session) -> Self {
        let person = session.person.clone();
        Self {
            t: person.tenant_id,
            o: person.object_id,
            e: session.expires_at.unix_timestamp(),
            n: person.name,
            u: person.username,
        }
    }
}

impl SessionWire {
    pub(super) fn into_session(self) -> Option<Session> {
        let person = Person { tenant_id: self.t, object_id: self.o, name: self.n, username: self.u };
        let expires_at = OffsetDateTime::from_unix_timestamp(self.e).ok()?;
        Some(Session { person, expires_at })
    }
}
