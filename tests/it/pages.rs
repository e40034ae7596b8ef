//! What buyers see: every page with its words, its headers, and nothing that it should not have.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marketplace_fulfillment::error::Code;
use marketplace_fulfillment::handoff::HANDOFF_LIFETIME;
use marketplace_fulfillment::pages::{
    Active, Confirm, Delayed, HANDOFF_RENEWED_SECONDS, Handoff, Pages, Progress, Refused, Trouble,
};
use marketplace_fulfillment::settings::Publisher;
use marketplace_fulfillment::web::Reply;
use time::macros::datetime;
use url::Url;

const SUBSCRIPTION: &str = "b8d6908b-0000-4000-8000-000000000001";

fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

fn pages() -> Pages {
    Pages::new(&Publisher {
        name: "Contoso".to_owned(),
        support_url: url("https://support.contoso.example/help"),
        app_url: url("https://app.contoso.example/"),
    })
}

fn confirm() -> Confirm {
    Confirm {
        subscription_id: SUBSCRIPTION.to_owned(),
        subscription_name: "Marketing team".to_owned(),
        offer: "contoso-offer".to_owned(),
        plan: "silver".to_owned(),
        seats: Some(25),
        term_unit: Some("P1M".to_owned()),
        buyer: Some("payer@fabrikam.example".to_owned()),
        user: Some("user@fabrikam.example".to_owned()),
        free_trial: false,
        signed_in_as: Some("clerk@fabrikam.example".to_owned()),
        form_token: "sealed.token".to_owned(),
        action: "/api/confirm".to_owned(),
        switch_account: "/api/landing?switch=1".to_owned(),
    }
}

fn progress() -> Progress {
    Progress {
        subscription_id: SUBSCRIPTION.to_owned(),
        offer: "contoso-offer".to_owned(),
        plan: "silver".to_owned(),
        since: datetime!(2025-06-30 16:05 +2),
        progress_url: "/api/progress?subscription=1&x=2".to_owned(),
        reload_url: "/api/landing?again=1&x=2".to_owned(),
        setup_url: None,
    }
}

fn delayed(given_up: bool) -> Delayed {
    Delayed {
        subscription_id: SUBSCRIPTION.to_owned(),
        offer: "contoso-offer".to_owned(),
        plan: "silver".to_owned(),
        since: datetime!(2025-06-30 14:05 UTC),
        given_up,
        form_token: "sealed.token".to_owned(),
        action: "/api/confirm".to_owned(),
        reload_url: "/api/landing?again=1".to_owned(),
        setup_url: None,
    }
}

fn refused() -> Refused {
    Refused {
        subscription_id: SUBSCRIPTION.to_owned(),
        offer: "contoso-offer".to_owned(),
        plan: "silver".to_owned(),
        since: datetime!(2025-06-30 14:05 UTC),
        reason: "Please name a billing contact first.".to_owned(),
        form_token: "sealed.token".to_owned(),
        action: "/api/confirm".to_owned(),
    }
}

fn active() -> Active {
    Active {
        subscription_id: SUBSCRIPTION.to_owned(),
        subscription_name: "Marketing team".to_owned(),
        offer: "contoso-offer".to_owned(),
        plan: "silver".to_owned(),
        seats: Some(25),
        term_unit: Some("P1Y".to_owned()),
        open_url: None,
    }
}

fn handoff(is_setup: bool) -> Handoff {
    Handoff {
        address: url("https://app.contoso.example:8443/in?a=1&b=2"),
        token: "header.claims.signature".to_owned(),
        is_setup,
        reload_url: "/api/landing?subscription=1&open".to_owned(),
    }
}

fn trouble() -> Trouble {
    Trouble { reference: "invocation-1".to_owned(), sign_in_again: Some("/api/landing?retry=1".to_owned()) }
}

/// Every page there is, by name.
pub(crate) fn every_page() -> Vec<(String, Reply)> {
    let pages = pages();
    let mut all = vec![
        ("confirm".to_owned(), pages.confirm(&confirm())),
        ("trial".to_owned(), pages.confirm(&Confirm { free_trial: true, ..confirm() })),
        ("progress".to_owned(), pages.progress(&progress())),
        ("delayed".to_owned(), pages.delayed(&delayed(false))),
        ("given up".to_owned(), pages.delayed(&delayed(true))),
        ("refused".to_owned(), pages.refused(&refused())),
        ("done".to_owned(), pages.done(&active())),
        ("manage".to_owned(), pages.manage(&active())),
        (
            "handed over".to_owned(),
            pages.manage(&Active { open_url: Some("/api/landing?open".to_owned()), ..active() }),
        ),
        (
            "to set up".to_owned(),
            pages.delayed(&Delayed { setup_url: Some("/api/setup".to_owned()), ..delayed(false) }),
        ),
        ("handoff".to_owned(), pages.handoff(&handoff(false))),
        ("setup".to_owned(), pages.handoff(&handoff(true))),
    ];
    all.extend(Code::ALL.map(|code| (code.to_string(), pages.fault(code, &trouble()))));
    all
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let mut values = reply.headers.iter().filter(|(key, _)| *key == name);
    let (_, value) = values.next().unwrap_or_else(|| panic!("no header {name}"));
    assert!(values.next().is_none(), "{name} is there twice");
    value
}

/// What stands between `open` and `close`, for each time that they occur.
pub(crate) fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split(close).next()).collect()
}

pub(crate) fn the_only<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let found = between(text, open, close);
    assert_eq!(found.len(), 1, "{open} in {text}");
    found[0]
}

/// The value beside a label in the list of details.
fn detail<'a>(body: &'a str, label: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<dt>{label}</dt><dd><bdi>"))?;
    rest.split("</bdi>").next()
}

#[test]
fn every_page_has_a_title_a_heading_and_the_publisher() {
    for (name, reply) in every_page() {
        let heading = the_only(&reply.body, "<h1>", "</h1>");
        assert!(heading.contains(' '), "{name}: {heading}");
        assert_eq!(the_only(&reply.body, "<title>", "</title>"), format!("{heading} | Contoso"), "{name}");
        assert!(reply.body.starts_with("<!DOCTYPE html>\n<html lang=\"en\""), "{name}");
        assert!(reply.body.contains("<meta name=\"viewport\""), "{name}");
        assert_eq!(between(&reply.body, "<main>", "</main>").len(), 1, "{name}");
        assert!(reply.body.contains("href=\"https://support.contoso.example/help\""), "{name}");
    }
}

#[test]
fn every_page_is_private_and_cannot_be_framed() {
    for (name, reply) in every_page() {
        assert_eq!(header(&reply, "content-type"), "text/html; charset=utf-8", "{name}");
        assert_eq!(header(&reply, "cache-control"), "no-store", "{name}");
        assert_eq!(header(&reply, "referrer-policy"), "no-referrer", "{name}");
        assert_eq!(header(&reply, "x-content-type-options"), "nosniff", "{name}");
        assert_eq!(header(&reply, "x-frame-options"), "DENY", "{name}");
        let policy = header(&reply, "content-security-policy");
        for part in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.split("; ").any(|found| found == part), "{name}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{name}: {policy}");
    }
}

#[test]
fn a_page_may_do_what_it_needs_and_no_more() {
    for (name, reply) in every_page() {
        let policy = header(&reply, "content-security-policy");
        let has = |tag: &str| reply.body.contains(tag);
        let hands_over = ["handoff", "setup"].contains(&name.as_str());
        let forms = match (has("<form"), hands_over) {
            (true, true) => "form-action https://app.contoso.example:8443;",
            (true, false) => "form-action 'self';",
            (false, _) => "form-action 'none';",
        };
        assert!(policy.contains(forms) && policy.matches("form-action").count() == 1, "{name}: {policy}");
        assert_eq!(policy.contains("script-src"), has("<script"), "{name}: {policy}");
        assert_eq!(policy.contains("connect-src 'self'"), name == "progress", "{name}: {policy}");
        assert_eq!(has("<script"), name == "progress" || hands_over, "{name}");
        assert!(!has(" style=") && !has(" onclick=") && !has("javascript:"), "{name}");
    }
}

#[test]
fn the_policy_admits_exactly_the_style_and_script_in_the_page() {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())));
    for (name, reply) in every_page() {
        let policy = header(&reply, "content-security-policy");
        let style = hash(the_only(&reply.body, "<style>", "</style>"));
        assert!(policy.contains(&format!("style-src {style};")), "{name}: {policy}");
        for script in between(&reply.body, "<script>", "</script>") {
            assert!(policy.contains(&format!("script-src {};", hash(script))), "{name}: {policy}");
        }
    }
}

#[test]
fn no_page_names_another_site_than_the_publishers() {
    for (name, reply) in every_page() {
        for scheme in ["https://", "http://", "\"//", "url("] {
            for rest in between(&reply.body, scheme, "\"") {
                let known = ["support.contoso.example/", "app.contoso.example/", "app.contoso.example:8443/"]
                    .into_iter()
                    .any(|known| rest.starts_with(known));
                assert!(known, "{name}: {scheme}{rest}");
            }
        }
    }
}

#[test]
fn every_code_has_its_status_a_way_on_and_a_reference() {
    for code in Code::ALL {
        let reply = pages().fault(code, &trouble());
        assert_eq!(reply.status, code.status(), "{code}");
        assert!(reply.body.contains("<code>invocation-1</code>"), "{code}");
        assert!(reply.body.contains(&format!("<code>{code}</code>")), "{code}");
        assert!(reply.body.contains("class=\"button\" href=\"/api/landing?retry=1\""), "{code}");
        let paragraphs = between(the_only(&reply.body, "<main>", "</main>"), "<p", "</p>");
        assert!(paragraphs.len() >= 3 && paragraphs[..2].iter().all(|text| text.len() > 30), "{code}: {paragraphs:?}");
        let bare = pages().fault(code, &Trouble { reference: String::new(), sign_in_again: None });
        assert!(!bare.body.contains("class=\"button\"") && !bare.body.contains("Reference"), "{code}");
    }
}

#[test]
fn the_way_on_says_where_it_leads() {
    let cases = [
        (Code::SigninRequired, "Sign in"),
        (Code::SigninExpired, "Sign in again"),
        (Code::SigninFailed, "Sign in again"),
        (Code::WrongPerson, "Use another account"),
        (Code::StoreUnavailable, "Try again"),
    ];
    for (code, words) in cases {
        let reply = pages().fault(code, &trouble());
        assert_eq!(
            the_only(&reply.body, "<a class=\"button\" href=\"/api/landing?retry=1\">", "</a>"),
            words,
            "{code}"
        );
    }
}

#[test]
fn what_others_named_is_text_and_never_markup() {
    const HOSTILE: &str = "</style><script>alert('1')</script>\"><img src=x onerror=\"alert(1)\">{$publisher}";
    let hostile = || HOSTILE.to_owned();
    let pages = Pages::new(&Publisher {
        name: hostile(),
        support_url: url("https://support.contoso.example/?a=%22'&b=<script>"),
        app_url: url("https://app.contoso.example/"),
    });
    let replies = [
        pages.confirm(&Confirm {
            subscription_id: hostile(),
            subscription_name: hostile(),
            offer: hostile(),
            plan: hostile(),
            seats: Some(1),
            term_unit: Some(hostile()),
            buyer: Some(hostile()),
            user: Some(hostile()),
            free_trial: false,
            signed_in_as: Some(hostile()),
            form_token: hostile(),
            action: hostile(),
            switch_account: hostile(),
        }),
        pages.progress(&Progress {
            subscription_id: hostile(),
            offer: hostile(),
            plan: hostile(),
            progress_url: hostile(),
            reload_url: hostile(),
            setup_url: Some(hostile()),
            ..progress()
        }),
        pages.delayed(&Delayed {
            subscription_id: hostile(),
            offer: hostile(),
            plan: hostile(),
            form_token: hostile(),
            action: hostile(),
            ..delayed(true)
        }),
        pages.delayed(&Delayed { reload_url: hostile(), ..delayed(false) }),
        pages.refused(&Refused { reason: hostile(), ..refused() }),
        pages.refused(&Refused {
            subscription_id: hostile(),
            offer: hostile(),
            plan: hostile(),
            form_token: hostile(),
            action: hostile(),
            ..refused()
        }),
        pages.done(&Active {
            subscription_id: hostile(),
            subscription_name: hostile(),
            offer: hostile(),
            plan: hostile(),
            seats: None,
            term_unit: Some(hostile()),
            open_url: Some(hostile()),
        }),
        pages.handoff(&Handoff {
            address: url("https://app.contoso.example/?a=%22'&b=<script>alert('1')</script>"),
            token: hostile(),
            is_setup: false,
            reload_url: hostile(),
        }),
        pages.fault(Code::Internal, &Trouble { reference: hostile(), sign_in_again: Some(hostile()) }),
    ];
    for reply in replies {
        assert!(!reply.body.contains("<script>alert"), "{}", reply.body);
        assert!(!reply.body.contains("<img"), "{}", reply.body);
        assert_eq!(reply.body.matches("</style>").count(), 1, "{}", reply.body);
        assert!(reply.body.contains("&#60;script&#62;"), "{}", reply.body);
        assert!(!reply.body.contains("onerror=\""), "{}", reply.body);
    }
}

#[test]
fn confirm_shows_the_purchase_and_says_that_billing_begins() {
    let body = pages().confirm(&confirm()).body;
    assert_eq!(detail(&body, "Subscription"), Some("Marketing team"));
    assert_eq!(detail(&body, "Offer"), Some("contoso-offer"));
    assert_eq!(detail(&body, "Plan"), Some("silver"));
    assert_eq!(detail(&body, "Seats"), Some("25 seats"));
    assert_eq!(detail(&body, "Billing term"), Some("1 month"));
    assert_eq!(detail(&body, "Paid for by"), Some("payer@fabrikam.example"));
    assert_eq!(detail(&body, "Used by"), Some("user@fabrikam.example"));
    assert!(body.contains("clerk@fabrikam.example"));
    assert!(body.contains("<a href=\"/api/landing?switch=1\">Not you? Use another account</a>"));
    assert!(body.contains("Billing starts when you confirm"));
    let form = the_only(&body, "<form method=\"post\" action=\"/api/confirm\">", "</form>");
    assert!(form.contains(&format!("name=\"subscription\" value=\"{SUBSCRIPTION}\"")), "{form}");
    assert!(form.contains("name=\"form_token\" value=\"sealed.token\""), "{form}");
    assert_eq!(the_only(form, "<button type=\"submit\">", "</button>"), "Confirm and activate");
}

#[test]
fn a_trial_is_not_said_to_be_billed() {
    let body = pages().confirm(&Confirm { free_trial: true, ..confirm() }).body;
    assert!(body.contains("Your free trial starts when you confirm"));
    assert!(!body.contains("Billing starts when you confirm"));
}

#[test]
fn what_is_not_known_has_no_row() {
    let bare = Confirm {
        subscription_name: " ".to_owned(),
        seats: None,
        term_unit: None,
        buyer: None,
        user: None,
        signed_in_as: None,
        ..confirm()
    };
    let body = pages().confirm(&bare).body;
    let labels = between(&body, "<dt>", "</dt>");
    assert_eq!(labels, ["Offer", "Plan", "Your account"]);
    assert!(body.contains("Not you? Use another account"));
}

#[test]
fn seats_and_terms_are_sentences() {
    for (seats, words) in [(0, "0 seats"), (1, "1 seat"), (2, "2 seats"), (1_000_000, "1000000 seats")] {
        let body = pages().manage(&Active { seats: Some(seats), ..active() }).body;
        assert_eq!(detail(&body, "Seats"), Some(words));
    }
    let terms = [
        ("P1M", "1 month"),
        ("P6M", "6 months"),
        ("P1Y", "1 year"),
        ("P3Y", "3 years"),
        (" P5Y ", "5 years"),
        // Shown as they came: nothing is guessed about what Microsoft may add.
        ("P7D", "P7D"),
        ("P1Y6M", "P1Y6M"),
        ("P0M", "P0M"),
        ("P+1M", "P+1M"),
        ("PM", "PM"),
        ("P99999999999Y", "P99999999999Y"),
        ("quarter", "quarter"),
    ];
    for (unit, words) in terms {
        let body = pages().manage(&Active { term_unit: Some(unit.to_owned()), ..active() }).body;
        assert_eq!(detail(&body, "Billing term"), Some(words), "{unit}");
    }
}

#[test]
fn progress_moves_on_with_and_without_scripts() {
    let body = pages().progress(&progress()).body;
    assert!(body.contains("data-progress-url=\"/api/progress?subscription=1&#38;x=2\""), "{body}");
    let refresh = the_only(&body, "<noscript>", "</noscript>");
    assert_eq!(refresh, "<meta http-equiv=\"refresh\" content=\"5; url=/api/landing?again=1&#38;x=2\">");
    assert!(the_only(&body, "<div id=\"progress\"", ">").contains("aria-live=\"polite\""));
    assert!(
        the_only(&body, "<p class=\"lead\" id=\"stopped\"", "</p>").contains("href=\"/api/landing?again=1&#38;x=2\"")
    );
    assert_eq!(detail(&body, "Confirmed"), Some("2025-06-30 14:05 UTC"));
    let script = the_only(&body, "<script>", "</script>");
    for id in between(script, "element(\"", "\")") {
        assert_eq!(body.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn a_delay_offers_a_form_only_when_nobody_tries_any_more() {
    let waiting = pages().delayed(&delayed(false)).body;
    assert!(!waiting.contains("<form") && !waiting.contains("sealed.token"));
    assert!(waiting.contains("class=\"button\" href=\"/api/landing?again=1\""));
    let given_up = pages().delayed(&delayed(true)).body;
    let form = the_only(&given_up, "<form method=\"post\" action=\"/api/confirm\">", "</form>");
    assert!(form.contains("name=\"form_token\" value=\"sealed.token\""));
    assert!(form.contains(&format!("name=\"subscription\" value=\"{SUBSCRIPTION}\"")));
    assert!(given_up.contains(SUBSCRIPTION) && waiting.contains(SUBSCRIPTION));
}

#[test]
fn a_refusal_shows_whose_words_they_are_and_offers_to_ask_again() {
    let page = pages().refused(&refused());
    assert_eq!(page.status, 200);
    let note = the_only(&page.body, "<section class=\"note\"", "</section>");
    assert!(note.contains("Contoso says") && note.contains("Please name a billing contact first."), "{note}");
    let form = the_only(&page.body, "<form method=\"post\" action=\"/api/confirm\">", "</form>");
    assert!(form.contains("name=\"form_token\" value=\"sealed.token\"") && form.contains("Ask again"), "{form}");
    assert!(form.contains(&format!("name=\"subscription\" value=\"{SUBSCRIPTION}\"")));
    assert!(header(&page, "content-security-policy").contains("form-action 'self'"));
}

#[test]
fn an_active_subscription_leads_on_to_the_app() {
    let (done, manage) = (pages().done(&active()), pages().manage(&active()));
    assert!(done.body.contains("<h1>Your subscription is active</h1>"));
    assert!(manage.body.contains("<h1>Your subscription</h1>"));
    for reply in [done, manage] {
        assert_eq!(reply.status, 200);
        let link = "<a class=\"button\" href=\"https://app.contoso.example/\">";
        assert_eq!(the_only(&reply.body, link, "</a>"), "Open Contoso");
    }
}

#[test]
fn a_buyer_who_is_handed_over_goes_by_a_page_of_ours() {
    let open_url = Some("/api/landing?subscription=1&open".to_owned());
    let body = pages().done(&Active { open_url, ..active() }).body;
    let link = "<a class=\"button\" href=\"/api/landing?subscription=1&#38;open\">";
    assert_eq!(the_only(&body, link, "</a>"), "Open Contoso");
    assert!(!body.contains("https://app.contoso.example/"), "{body}");
}

#[test]
fn the_page_that_hands_over_posts_one_field_with_and_without_scripts() {
    for is_setup in [false, true] {
        let body = pages().handoff(&handoff(is_setup)).body;
        let form = "<form method=\"post\" action=\"https://app.contoso.example:8443/in?a=1&#38;b=2\" id=\"handoff\"";
        let form = the_only(&body, form, "</form>");
        assert_eq!(
            the_only(form, "<input type=\"hidden\" ", ">"),
            "name=\"handoff\" value=\"header.claims.signature\""
        );
        assert_eq!(the_only(form, "<button type=\"submit\">", "</button>"), "Continue to Contoso");
        assert_eq!(body.matches("header.claims.signature").count(), 1, "and nowhere else");
        let seconds = i64::from(HANDOFF_RENEWED_SECONDS);
        assert!(seconds * 2 <= HANDOFF_LIFETIME.whole_seconds(), "what is sent is good for as long again");
        assert!(form.contains(&format!("data-renewed-seconds=\"{seconds}\"")), "{form}");
        let refresh = the_only(&body, "<noscript>", "</noscript>");
        let content = format!("{seconds}; url=/api/landing?subscription=1&#38;open");
        assert_eq!(refresh, format!("<meta http-equiv=\"refresh\" content=\"{content}\">"));
    }
}

#[test]
fn what_must_still_be_set_up_is_linked_from_the_pages_that_wait() {
    let setup_url = Some("/api/landing?subscription=1&setup".to_owned());
    let waiting = [
        pages().progress(&Progress { setup_url: setup_url.clone(), ..progress() }),
        pages().delayed(&Delayed { setup_url: setup_url.clone(), ..delayed(false) }),
        pages().delayed(&Delayed { setup_url, ..delayed(true) }),
    ];
    for reply in waiting {
        let link = "<a href=\"/api/landing?subscription=1&#38;setup\">";
        assert_eq!(the_only(&reply.body, link, "</a>"), "Set up Contoso");
    }
    assert!(!pages().progress(&progress()).body.contains("Set up"));
}
