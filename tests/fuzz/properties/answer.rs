//! The answers of the publisher's software: only a status and a reason decide, the reason is one bounded line for a
//! page, and whatever is no decision is none.

use marketplace_fulfillment::command::{Provisioning, decision, provisioning};
use marketplace_fulfillment::publisher::Answer;
use marketplace_fulfillment::subscription::REASON_LENGTH;

use super::assert_tellable;

pub fn holds(data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk::<2>() else { return };
    let status = 100 + u16::from_be_bytes(*status) % 500;
    // As the client reads it: what is no UTF-8 is replaced.
    let answer = Answer { status, retry_after: None, body: String::from_utf8_lossy(body).into_owned() };
    match provisioning(&answer) {
        Provisioning::Done => assert!(matches!(status, 200 | 201 | 204)),
        Provisioning::UnderWay(_) => assert_eq!(status, 202),
        Provisioning::Refused(reason) => {
            assert!((400..500).contains(&status) && ![408, 425, 429].contains(&status), "{status}");
            assert_reason(&reason);
        }
        Provisioning::Unclear { why, .. } => assert_tellable(&why),
    }
    match decision(&answer) {
        Ok(said) => {
            assert_eq!(status, 200);
            said.why.iter().for_each(|reason| assert_reason(reason));
        }
        Err(why) => assert_tellable(&why),
    }
}

fn assert_reason(reason: &str) {
    assert!((1..=REASON_LENGTH).contains(&reason.chars().count()), "{reason:?}");
    assert!(!reason.chars().any(char::is_control) && reason.trim() == reason, "{reason:?}");
}
