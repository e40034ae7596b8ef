//! The stored form of what the publisher's software is told.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::super::StoreError;
use super::{beyond, column, fit, read_form, read_list, tree};
use crate::history::Actor;
use crate::outbox::{Announcement, News, Outbox};
use crate::snapshot::OperationId;
use crate::subscription::Subscription;

/// All but the announcements, which stand beside it.
#[derive(Serialize, Deserialize)]
struct OutboxForm {
    sequence: u64,
    delivered: u64,
    #[serde(default)]
    lost: u32,
    #[serde(with = "time::serde::rfc3339::option", default, skip_serializing_if = "Option::is_none")]
    deadline: Option<OffsetDateTime>,
}

#[derive(Serialize, Deserialize)]
struct AnnouncementForm {
    sequence: u64,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    news: String,
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
}

/// Writes the column. What does not fit is the oldest; what of it had not arrived counts as lost.
pub(super) fn written(subscription: &Subscription) -> Result<String, StoreError> {
    let outbox = &subscription.outbox;
    if *outbox == Outbox::begin(subscription.created_at) {
        return Ok(String::new());
    }
    let announcements: Vec<Value> = outbox.announcements.iter().map(announcement).collect::<Result<_, _>>()?;
    let mut form = OutboxForm {
        sequence: outbox.sequence,
        delivered: outbox.delivered,
        lost: outbox.lost,
        deadline: outbox.deadline,
    };
    let mut written = whole(outbox, &form)?;
    // Room for a count of losses that is longer by some digits than the one that is measured.
    let room = fit::room_beside(&written).saturating_sub(10);
    let left_out = fit::newest(&announcements, room);
    if left_out > 0 {
        let lost = outbox.announcements[..left_out].iter().filter(|one| one.sequence > outbox.delivered).count();
        form.lost = form.lost.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
        written = whole(outbox, &form)?;
    }
    written["announcements"] = announcements[left_out..].to_vec().into();
    Ok(written.to_string())
}

fn whole(outbox: &Outbox, form: &OutboxForm) -> Result<Value, StoreError> {
    let mut written = tree(form)?;
    beyond::restore(&mut written, &outbox.opaque);
    written["announcements"] = Value::Array(Vec::new());
    Ok(written)
}

/// Reads the column. Where nothing was ever told, the sequence begins with the record's creation.
pub(super) fn read(text: &str, created_at: OffsetDateTime) -> Result<Outbox, String> {
    if text.is_empty() {
        return Ok(Outbox::begin(created_at));
    }
    let mut stored: Map<String, Value> = column("outbox", text)?;
    let announcements = stored.remove("announcements").ok_or("outbox.announcements")?;
    let stored = Value::Object(stored);
    let form: OutboxForm = read_form("outbox", &stored)?;
    Ok(Outbox {
        opaque: beyond::of(&stored, &form),
        sequence: form.sequence,
        delivered: form.delivered,
        lost: form.lost,
        deadline: form.deadline,
        announcements: read_list("outbox.announcements", announcements, read_announcement)?,
    })
}

fn announcement(announcement: &Announcement) -> Result<Value, StoreError> {
    let mut written = tree(&AnnouncementForm {
        sequence: announcement.sequence,
        at: announcement.at,
        news: announcement.news.as_str().to_owned(),
        by: announcement.by.as_str().to_owned(),
        from: announcement.from.clone(),
        to: announcement.to.clone(),
        why: announcement.why.clone(),
        operation: announcement.operation.as_ref().map(ToString::to_string),
    })?;
    beyond::restore(&mut written, &announcement.opaque);
    Ok(written)
}

fn read_announcement(at: &str, stored: &Value) -> Result<Announcement, String> {
    let form: AnnouncementForm = read_form(at, stored)?;
    let opaque = beyond::of(stored, &form);
    let operation = form.operation.map(|id| OperationId::parse(&id).ok_or_else(|| format!("{at}.operation")));
    Ok(Announcement {
        sequence: form.sequence,
        at: form.at,
        news: News::parse(&form.news),
        by: Actor::parse(&form.by),
        from: form.from,
        to: form.to,
        why: form.why,
        operation: operation.transpose()?,
        opaque,
    })
}
