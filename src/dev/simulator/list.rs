//! The pages of List Subscriptions. As on Microsoft's database they are ranges of ids: their sizes vary, some may be
//! empty, and only a missing link says that there are no more.

use serde::Deserialize;
use serde_json::{Value, json};

use super::market::Market;
use super::refusal::Refusal;

/// Ids are placed by their first 14 hexadecimal digits; this is one past the last place.
const END: u64 = 1 << 56;

/// A page of subscriptions, and the continuation token of the next page unless this is the last.
pub(super) struct Page {
    /// As the API shows them.
    pub subscriptions: Vec<Value>,
    /// Opaque to callers.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Continuation {
    range: Range,
}

#[derive(Deserialize)]
struct Range {
    min: String,
    max: String,
}

impl Market {
    /// One page. Without a token the first; a token names its range, so purchases in between do no harm.
    pub(super) fn page(&mut self, continuation: Option<&str>) -> Result<Page, Refusal> {
        let (min, max) = match continuation {
            None => {
                let partitions = self.subscriptions.len() as u64 / u64::from(self.faults.partition_size) + 1;
                (0, END / partitions)
            }
            Some(text) => read(text).ok_or_else(|| {
                Refusal::bad_request("BadRequest", "continuationToken", "The continuation token is not valid")
            })?,
        };
        let width = max - min;
        // The rest of a division is not worth a page of its own.
        let max = if END - max < width { END } else { max };
        let first = bound(min);
        let rng = &mut self.rng;
        let subscriptions = self
            .subscriptions
            .range(first..)
            .take_while(|(id, _)| place(id) < max)
            .map(|(_, subscription)| subscription.to_json(rng))
            .collect();
        let next = (max < END).then(|| write(max, max + width));
        Ok(Page { subscriptions, next })
    }
}

/// The place of a subscription among all. Ids are GUIDs of our own making.
fn place(id: &str) -> u64 {
    let digits: String = id.chars().filter(|digit| *digit != '-').take(14).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// The least id with this place, as ids are written.
fn bound(place: u64) -> String {
    let digits = format!("{place:014x}");
    format!("{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..])
}

fn write(min: u64, max: u64) -> String {
    json!([{ "token": null, "range": { "min": format!("{min:014X}"), "max": format!("{max:014X}") } }]).to_string()
}

fn read(text: &str) -> Option<(u64, u64)> {
    let [continuation] = serde_json::from_str::<[Continuation; 1]>(text).ok()?;
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok().filter(|place| *place <= END);
    let (min, max) = (number(&continuation.range.min)?, number(&continuation.range.max)?);
    (min < max).then_some((min, max))
}
