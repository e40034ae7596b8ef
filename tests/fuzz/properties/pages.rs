//! Pages: whatever stands in their fields, they show it as text, and it opens no element and no attribute.

use std::sync::LazyLock;

use marketplace_fulfillment::pages::{Active, Confirm, Pages, Refused};
use marketplace_fulfillment::web::Reply;

use super::{NOW, settings, text};

static PAGES: LazyLock<Pages> = LazyLock::new(|| Pages::new(&settings::read(&[]).expect("good settings").publisher));

type Headers = Vec<(&'static str, String)>;

/// Each line fills one field.
pub fn holds(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let empty = elements(&pages(""));
    assert_eq!(elements(&pages(text)), empty, "the fields changed the page");
}

fn pages(text: &str) -> [Reply; 3] {
    let mut lines = text.split('\n').map(str::to_owned);
    // A field that is shown only where it is filled is always filled.
    let mut field = || lines.next().filter(|line| !line.trim().is_empty()).unwrap_or_else(|| "-".to_owned());
    let [name, offer, plan, unit, buyer, user, person, reason] = [(); 8].map(|()| field());
    let id = "37f9dea2-4345-438f-b0bd-03d40d28c7e0".to_owned();
    let confirm = Confirm {
        subscription_id: id.clone(),
        subscription_name: name.clone(),
        offer: offer.clone(),
        plan: plan.clone(),
        seats: Some(5),
        term_unit: Some(unit.clone()),
        buyer: Some(buyer),
        user: Some(user),
        free_trial: false,
        signed_in_as: Some(person),
        form_token: "token".to_owned(),
        action: "/api/confirm".to_owned(),
        switch_account: "/api/landing".to_owned(),
    };
    let active = Active {
        subscription_id: id.clone(),
        subscription_name: name,
        offer: offer.clone(),
        plan: plan.clone(),
        seats: None,
        term_unit: Some(unit),
        open_url: None,
    };
    let refused = Refused {
        subscription_id: id,
        offer,
        plan,
        since: NOW,
        reason,
        form_token: "token".to_owned(),
        action: "/api/confirm".to_owned(),
    };
    [PAGES.confirm(&confirm), PAGES.manage(&active), PAGES.refused(&refused)]
}

/// What makes the structure of a page: where elements begin and end, and quotes inside of them.
fn elements(replies: &[Reply; 3]) -> Vec<(Vec<String>, Headers)> {
    let of = |reply: &Reply| {
        let opened = reply.body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default().to_owned());
        (opened.collect(), reply.headers.clone())
    };
    replies.iter().map(of).collect()
}
