//! Records in Azure tables behave as records in memory do, and nothing is lost or done twice when answers get lost.

use base64::Engine as _;
use marketplace_fulfillment::duty::{Duty, Task};
use marketplace_fulfillment::history::Actor;
use marketplace_fulfillment::person::Holder;
use marketplace_fulfillment::storage::RETRIES;
use marketplace_fulfillment::store::record::COLUMN_BUDGET;
use marketplace_fulfillment::store::{Etag, HELD_LIMIT, Kept, PAGE_LIMIT, Store, StoreError};
use marketplace_fulfillment::subscription::{Event, Subscription, SubscriptionId};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::proxy::{Before, Mischief, Proxy, refusal};
use super::{NOW, PERMISSIONS, Used, signature};
use crate::subscription::snapshot;

fn id(text: &str) -> SubscriptionId {
    SubscriptionId::parse(text).unwrap()
}

fn known(text: &str) -> Subscription {
    Subscription::discovered(id(text), snapshot("PendingFulfillmentStart"), Actor::Marketplace, NOW)
}

/// A record whose duty has been due for this long.
pub(super) fn owing(text: &str, overdue: Duration) -> Subscription {
    owing_at(text, NOW - overdue)
}

/// A record with a duty that falls due at this time.
pub(super) fn owing_at(text: &str, due: OffsetDateTime) -> Subscription {
    let mut record = known(text);
    record.duties.push(Duty::new(Task::Activate { accepted_at: None, provisioned_at: None }, due));
    record
}

async fn due(store: &Store) -> Vec<String> {
    store.due(NOW).await.unwrap().subscriptions.iter().map(|record| record.id.to_string()).collect()
}

impl Used {
    /// The address of an entity, for a person with a storage browser.
    fn entity(&self, id: &str, row: &str) -> String {
        let query = signature(&self.account, PERMISSIONS, NOW + Duration::hours(1));
        let (port, name) = (self.account.ports[2], &self.account.name);
        format!("http://127.0.0.1:{port}/{name}/subscriptions(PartitionKey='{id}',RowKey='{row}')?{query}")
    }

    /// Sets columns of an entity as another program would.
    async fn edit(&self, id: &str, row: &str, columns: &Value) {
        let request = reqwest::Client::new().patch(self.entity(id, row)).json(columns);
        let date = "Fri, 20 Nov 2026 09:00:00 GMT";
        let request = request.header("x-ms-version", "2020-12-06").header("x-ms-date", date);
        assert_eq!(request.send().await.unwrap().status(), 204);
    }

    async fn columns(&self, id: &str) -> Value {
        let request =
            reqwest::Client::new().get(self.entity(id, "record")).header("accept", "application/json;odata=nometadata");
        let date = "Fri, 20 Nov 2026 09:00:00 GMT";
        request.header("x-ms-date", date).send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn a_record_comes_back_as_it_was_saved() {
    let used = Used::new().await;
    let mut record = owing("full", Duration::minutes(1));
    record.known.name = "Fabrikam \"O'Neill\" \\ 😀\u{7f}\n".to_owned();
    record.known.status = marketplace_fulfillment::subscription::Status::Other("Hibernating & more".to_owned());
    let etag = used.store.save(&record, None).await.unwrap();
    let stored = used.store.load(&record.id).await.unwrap().unwrap();
    assert_eq!((&stored.subscription, &stored.etag), (&record, &etag));
    assert!(used.store.load(&id("nobody")).await.unwrap().is_none());
    let columns = used.columns("full").await;
    assert_eq!(
        (&columns["status"], &columns["due"]),
        (&json!("Hibernating & more"), &json!("2026-11-20T08:59:00.123456789Z"))
    );
}

#[tokio::test]
async fn two_writers_one_wins() {
    let used = Used::new().await;
    let record = owing("one", Duration::ZERO);
    let first = used.store.save(&record, None).await.unwrap();
    assert_eq!(used.store.save(&record, None).await, Err(StoreError::Conflict), "it exists already");
    let second = used.store.save(&record, Some(&first)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(used.store.save(&record, Some(&first)).await, Err(StoreError::Conflict), "somebody was faster");
    assert_eq!(used.store.save(&known("nobody"), Some(&second)).await, Err(StoreError::Conflict), "it was deleted");
    // Two claims of the same moment are equal in every word.
    let claims = tokio::join!(used.store.save(&record, Some(&second)), used.store.save(&record, Some(&second)));
    let won = [&claims.0, &claims.1].into_iter().filter(|claim| claim.is_ok()).count();
    assert_eq!(won, 1, "{claims:?}");
    let newcomer = known("two");
    let inserts = tokio::join!(used.store.save(&newcomer, None), used.store.save(&newcomer, None));
    assert_eq!([&inserts.0, &inserts.1].into_iter().filter(|insert| insert.is_ok()).count(), 1, "{inserts:?}");
}

#[tokio::test]
async fn all_records_page_by_page_in_the_order_of_their_ids() {
    let used = Used::new().await;
    let count = PAGE_LIMIT * 2 + 50;
    // Not in the order of their ids, and with another kind of row among them, as a newer release may write it.
    for n in (0..count).rev() {
        used.store.save(&known(&format!("s-{n:04}")), None).await.unwrap();
    }
    let columns = used.columns("s-0001").await;
    let row = json!({ "record": columns["record"], "history": columns["history"], "due": "2026-01-01" });
    used.edit("s-0001", "event", &row).await;
    assert!(used.store.due(NOW).await.unwrap().is_empty());
    let mut seen = Vec::new();
    let mut after = None;
    for size in [PAGE_LIMIT, PAGE_LIMIT, 50] {
        let page = used.store.page(after.as_ref()).await.unwrap();
        assert_eq!(page.subscriptions.len(), size);
        seen.extend(page.subscriptions.into_iter().map(|record| record.id.to_string()));
        after = page.next;
    }
    assert_eq!(after, None);
    assert_eq!(seen, (0..count).map(|n| format!("s-{n:04}")).collect::<Vec<_>>());
    let last = used.store.page(Some(&id(&format!("s-{:04}", count - PAGE_LIMIT - 1)))).await.unwrap();
    assert_eq!((last.subscriptions.len(), last.next), (PAGE_LIMIT, None), "exactly one page is the last one");
}

#[tokio::test]
async fn what_is_due_comes_with_the_longest_overdue_first() {
    let used = Used::new().await;
    let nanosecond = Duration::nanoseconds(1);
    for (id, overdue) in [("now", Duration::ZERO), ("soon", -nanosecond), ("a", nanosecond), ("z", Duration::days(400))]
    {
        used.store.save(&owing(id, overdue), None).await.unwrap();
    }
    used.store.save(&known("idle"), None).await.unwrap();
    assert_eq!(due(&used.store).await, ["z", "a", "now"]);
    // Not only the first page that Azure finds is looked at, and no more than a page comes back.
    for n in 0..PAGE_LIMIT + 30 {
        used.store.save(&owing(&format!("m-{n:04}"), Duration::hours(1)), None).await.unwrap();
    }
    let found = due(&used.store).await;
    assert_eq!((found.len(), found[0].as_str(), found[1].as_str()), (PAGE_LIMIT, "z", "m-0000"));

    let stored = used.store.load(&id("z")).await.unwrap().unwrap();
    let mut record = stored.subscription;
    record.duties.clear();
    used.store.save(&record, Some(&stored.etag)).await.unwrap();
    assert!(!due(&used.store).await.contains(&"z".to_owned()), "nothing is owed any more");
}

/// Whose a record may be stands in the same table, in a partition of its own, and no other search sees it.
#[tokio::test]
async fn a_holders_subscriptions_are_found_without_looking_at_anybody_elses() {
    let used = Used::new().await;
    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&proxy);
    let organisation = |id: &str| Holder::Organisation(id.to_owned());
    let holder = organisation("5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911");
    assert_eq!(store.held_by(&holder).await.unwrap(), []);
    for text in ["b", "a", "b"] {
        store.index(&holder, &id(text)).await.unwrap();
        store.index(&organisation("another"), &id(&format!("{text}-2"))).await.unwrap();
        store.index(&Holder::Person("5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911".to_owned()), &id("c")).await.unwrap();
    }
    proxy.plan([]);
    assert_eq!(store.held_by(&holder).await.unwrap(), [id("a"), id("b")]);
    let seen = proxy.seen();
    let asked = "PartitionKey%20eq%20%27tenant-5f0bc2a1-8a52-4c0e-9d51-2a40f3b7c911%27";
    assert!(seen.len() == 1 && seen[0].contains(asked) && seen[0].contains("RowKey"), "{seen:?}");
    assert!(store.page(None).await.unwrap().is_empty() && store.due(NOW).await.unwrap().is_empty());
    assert!(store.load(&id("a")).await.unwrap().is_none(), "a hint is no record");
    used.store.save(&owing("a", Duration::ZERO), None).await.unwrap();
    assert_eq!(store.page(None).await.unwrap().subscriptions.len(), 1);
    assert_eq!(due(&store).await, ["a"]);
    for number in 0..=HELD_LIMIT / 5 {
        store.index(&organisation("many"), &id(&format!("m-{number:04}"))).await.unwrap();
    }
    assert_eq!(
        store.held_by(&organisation("many")).await.unwrap().len(),
        HELD_LIMIT / 5 + 1,
        "more than Azure answers at a time"
    );
}

/// Azure may end its part of a search before it has found anything, and says where to go on.
#[tokio::test]
async fn a_search_goes_on_where_azure_stopped() {
    let used = Used::new().await;
    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&proxy);
    for id in ["a", "b", "c"] {
        used.store.save(&owing(id, Duration::ZERO), None).await.unwrap();
    }
    // Azurite's own words for a place are base64.
    let empty = |from: &str| {
        let [from, record] = [from, "record"].map(|word| base64::engine::general_purpose::STANDARD.encode(word));
        let word = "x-ms-continuation-Next";
        let headers =
            format!("{word}PartitionKey: {from}\r\n{word}RowKey: {record}\r\ncontent-type: application/json\r\n");
        Mischief::Says(200, headers, "{\"value\":[]}".to_owned())
    };
    proxy.plan([empty("a"), empty("b")]);
    let page = store.page(None).await.unwrap();
    assert_eq!(page.subscriptions.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert!(proxy.seen()[2].contains("NextPartitionKey=Yg%3D%3D&NextRowKey=cmVjb3Jk"), "{:?}", proxy.seen());
    proxy.plan([empty("a")]);
    assert_eq!(due(&store).await, ["a", "b", "c"]);
    assert!(proxy.seen()[0].contains("due%20le%20"), "Azure searches: {:?}", proxy.seen());
}

/// The SDK asks again after a lost answer. Its second request meets the work of the first, which is no lost race.
#[tokio::test]
async fn a_save_whose_answer_was_lost_is_no_lost_race() {
    let used = Used::new().await;
    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&proxy);
    let mut record = owing("one", Duration::ZERO);
    let mut etag = None;
    for (attempt, mischief) in [Mischief::AnswerLost, Mischief::Broken, Mischief::AnswerLost].into_iter().enumerate() {
        proxy.plan([mischief]);
        record.apply(Event::Confirmed(Actor::Buyer), NOW);
        let saved = store.save(&record, etag.as_ref()).await;
        assert!(proxy.seen().len() >= 2, "tried again: {:?}", proxy.seen());
        etag = Some(saved.unwrap_or_else(|error| panic!("{attempt}: {error}")));
        let stored = used.store.load(&record.id).await.unwrap().unwrap();
        assert_eq!((Some(&stored.etag), &stored.subscription), (etag.as_ref(), &record), "{attempt}");
    }
    // Done, not answered, and overtaken before it is asked again: whoever overtook it counts.
    proxy.plan([Mischief::AnswerLost, refusal(503, "ServerBusy"), refusal(503, "ServerBusy")]);
    let unknown = store.save(&record, etag.as_ref()).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Unavailable(_)), "{unknown}");
    let stored = used.store.load(&record.id).await.unwrap().unwrap();
    assert_ne!(Some(&stored.etag), etag.as_ref(), "it was done all the same");
    assert_eq!(
        store.save(&record, etag.as_ref()).await,
        Err(StoreError::Conflict),
        "and another save's work is no own"
    );
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_not_for_ever() {
    let used = Used::new().await;
    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&proxy);
    let record = owing("one", Duration::ZERO);
    proxy.plan([refusal(503, "ServerBusy"), refusal(500, "OperationTimedOut")]);
    let etag = store.save(&record, None).await.unwrap();
    assert_eq!(proxy.seen().len(), 3);
    proxy.always(refusal(503, "ServerBusy"));
    for error in [
        store.save(&record, Some(&etag)).await.unwrap_err(),
        store.load(&record.id).await.map(drop).unwrap_err(),
        store.due(NOW).await.map(drop).unwrap_err(),
        store.page(None).await.map(drop).unwrap_err(),
        store.kept(Kept::CallerKeys).await.map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(&error, StoreError::Unavailable(why) if why.contains("busy or failing (503 ServerBusy)")),
            "{error}"
        );
    }
    assert_eq!(proxy.seen().len(), 5 * (1 + RETRIES as usize));
}

/// What a newer release has written beside our columns is there when it comes back.
#[tokio::test]
async fn columns_that_we_do_not_know_survive_a_save() {
    let used = Used::new().await;
    let record = owing("one", Duration::ZERO);
    used.store.save(&record, None).await.unwrap();
    used.edit("one", "record", &json!({ "ledger": "[1,2]" })).await;
    let stored = used.store.load(&record.id).await.unwrap().unwrap();
    used.store.save(&Subscription { duties: Vec::new(), ..record }, Some(&stored.etag)).await.unwrap();
    let columns = used.columns("one").await;
    assert_eq!((&columns["ledger"], &columns["due"]), (&json!("[1,2]"), &json!("never")));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_hides_no_other() {
    let used = Used::new().await;
    for id in ["a", "b", "c"] {
        used.store.save(&owing(id, Duration::ZERO), None).await.unwrap();
    }
    used.edit("b", "record", &json!({ "record": "not JSON" })).await;
    assert_eq!(due(&used.store).await, ["a", "c"]);
    assert_eq!(used.store.page(None).await.unwrap().subscriptions.len(), 2);
    let error = used.store.load(&id("b")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unreadable(why) if why.contains("record of b")), "{error}");
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let used = Used::new().await;
    let mut large = owing("large", Duration::ZERO);
    // The largest columns that we write, in characters that need the most bytes.
    large.known.name = "ż".repeat(COLUMN_BUDGET);
    used.store.save(&large, None).await.unwrap();
    let kept = used.store.load(&large.id).await.unwrap().unwrap().subscription.known.name;
    assert!(kept.starts_with("żż") && kept.ends_with('…'), "{kept}");

    let kept = |length| "k".repeat(length);
    used.store.keep(Kept::CallerKeys, &kept(COLUMN_BUDGET)).await.unwrap();
    let error = used.store.keep(Kept::CallerKeys, &kept(COLUMN_BUDGET + 1)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unfit(why) if why.contains("caller-keys")), "{error}");

    let proxy = Proxy::new(&used.account, Before::Tables).await;
    let (store, _) = used.through(&proxy);
    for (status, code) in [(413, "RequestBodyTooLarge"), (400, "PropertyValueTooLarge"), (400, "EntityTooLarge")] {
        proxy.plan([refusal(status, code)]);
        let error = store.save(&known("other"), None).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unfit(why) if why.contains(code)), "{error}");
        assert_eq!(proxy.seen().len(), 1, "asking again does not help");
    }
}

#[tokio::test]
async fn texts_are_kept_by_name_and_the_last_one_counts() {
    let used = Used::new().await;
    assert_eq!(used.store.kept(Kept::ReconcileCursor).await, Ok(None));
    for text in ["first", "second", ""] {
        used.store.keep(Kept::ReconcileCursor, text).await.unwrap();
        assert_eq!(used.store.kept(Kept::ReconcileCursor).await, Ok(Some(text.to_owned())));
    }
    assert_eq!(used.store.kept(Kept::CallerKeys).await, Ok(None));
}

#[tokio::test]
async fn a_deleted_table_is_not_an_empty_one() {
    let used = Used::bare();
    let record = known("one");
    for error in [
        used.store.load(&record.id).await.map(drop).unwrap_err(),
        used.store.save(&record, None).await.map(drop).unwrap_err(),
        used.store.save(&record, Some(&Etag("W/\"x\"".to_owned()))).await.map(drop).unwrap_err(),
        used.store.due(NOW).await.map(drop).unwrap_err(),
        used.store.page(None).await.map(drop).unwrap_err(),
        used.store.kept(Kept::CallerKeys).await.map(drop).unwrap_err(),
        used.store.keep(Kept::CallerKeys, "x").await.unwrap_err(),
    ] {
        let StoreError::Unavailable(why) = error else { panic!("{error}") };
        assert!(why.contains("the table s") && why.contains("`fulfillment doctor` creates it"), "{why}");
    }
    let Store::Azure(tables) = &used.store else { unreachable!("made so") };
    tables.create().await.unwrap();
    tables.create().await.unwrap();
    used.store.save(&record, None).await.unwrap();
}
