//! The log: whatever a stranger, a server or a queue says, a line stays one line, short, and ours.

use marketplace_fulfillment::marketplace::refusal::Refusal;
use reqwest::Method;
use serde_json::json;
use url::Url;

use crate::log::Log;
use crate::serve::handler;
use crate::world::World;

/// What somebody would like to see in the log: a line of its own, in red, of a level that wakes people up.
const FORGED: &str = "x\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\u{1b}[31m\u{202e}";

/// The longest line of ours, in bytes: a sentence or two beside a few ids.
const LINE_LENGTH: usize = 2_000;

#[tokio::test]
async fn nobody_writes_a_line_of_their_own() {
    let world = World::in_memory(&[]).await;
    let base = handler(&world).await;
    let log = Log::default();
    let _captured = log.capture();

    let purchase = world.silver().await;
    let visitor = world.visitor();
    let authorize = visitor.goto(&purchase.landing_url).await.location().unwrap();
    let state = authorize.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let form = [("state".to_owned(), state), ("error".to_owned(), FORGED.to_owned())];
    assert_eq!(visitor.send(Method::POST, &world.url("/api/signin"), Some(&form), &[]).await.status, 401);

    let escaped: String = url::form_urlencoded::byte_serialize(FORGED.as_bytes()).collect();
    let id = "0\"},{\"level\":\"ERROR";
    for path in [
        format!("/api/{escaped}"),
        format!("/api/landing?token={escaped}"),
        format!("/api/landing?subscription={escaped}"),
        format!("/api/subscriptions/{escaped}/duties/{escaped}/retry"),
        format!("/api/subscriptions?after={escaped}&offer={escaped}&status={escaped}"),
    ] {
        let url = Url::parse(&format!("{base}{path}")).unwrap();
        let headers = [("x-azure-functions-invocationid", id), ("user-agent", id), ("x-acting-person", id)];
        visitor.send(Method::GET, &url, None, &headers).await;
        let odd = Method::from_bytes(b"ERROR").unwrap();
        visitor.send(odd, &url, None, &headers).await;
    }
    // Who can write to the queue, and a word of theirs that is as long as they like.
    for message in [json!({ "v": FORGED, "subscription": "x" }), json!({ "v": "forged ".repeat(8_000) })] {
        let body = json!({ "Data": { "message": message } }).to_string();
        let answer = world.http.post(format!("{base}/activate")).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400);
    }

    let text = log.text();
    let ours = log.ours();
    assert!(ours.len() > 12, "{text}");
    for line in &ours {
        let length = line.to_string().len();
        assert!(length < LINE_LENGTH, "{length} bytes: {line}");
        assert!(line["level"] != "ERROR", "{line}");
        let said = line["fields"].to_string();
        assert!(!said.contains("\\u001b") && !said.contains("\\n") && !said.contains("\\r"), "{line}");
    }
    // Each line was read as JSON above; here, that none of them is the stranger's.
    assert!(!text.lines().any(|line| line.starts_with("{\"level\"")), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

/// Another server's words are cut down before they are logged, kept or shown.
#[test]
fn another_servers_words_are_one_short_line() {
    let words = "a\r\nb\u{1b}[31mc\u{0}d\u{7f}e\u{85}f\u{2028}g someone@fabrikam.example";
    let words = format!("{words} {FORGED} {}", "long ".repeat(1_000));
    for body in [json!(words), json!({ "code": words, "message": words, "target": words })] {
        let said = Refusal::read(body.to_string().as_bytes(), &["secret"]).words();
        assert!(said.chars().count() <= 200, "{said}");
        assert!(!said.chars().any(|letter| letter.is_control() || ['\u{2028}', '@'].contains(&letter)), "{said:?}");
    }
}
