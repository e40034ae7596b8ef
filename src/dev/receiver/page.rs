//! The page for people, at `/publisher`: what came, what is known by it, who was handed over, and how to answer.

use askama::Template;

use super::Sender;
use crate::web::Reply;

/// The skeleton. The script fills it from `/publisher/events` and `/publisher/answers`.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Your software</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header>
  <h1>Your software</h1>
  <p>In its place this page takes what is sent to it. <a href="/">The simulator</a></p>
  {% if let Some(elsewhere) = elsewhere %}<p id="elsewhere">Events go to <code>{{ elsewhere }}</code>: nothing of that is
    seen here, and <code>dev</code> prints each message with its answer.</p>{% endif %}
</header>
<main>
<section aria-labelledby="answers-title" class="wide">
  <h2 id="answers-title">How it answers</h2>
  <p id="problem" role="alert" hidden></p>
  <form id="answers">
    <label>To events <select name="events"></select></label>
    <label>To provision <select name="provision"></select></label>
    <label>To decisions <select name="decisions"></select></label>
  </form>
</section>
<section aria-labelledby="messages-title" class="wide">
  <h2 id="messages-title">What came</h2>
  <div id="messages"><p>Nothing yet.</p></div>
</section>
<section aria-labelledby="known-title" class="wide">
  <h2 id="known-title">What it knows by that</h2>
  <div id="known"><p>Nothing yet.</p></div>
</section>
<section aria-labelledby="handoffs-title" class="wide">
  <h2 id="handoffs-title">Who was handed over</h2>
  <div id="handoffs"><p>Nobody yet.</p></div>
</section>
</main>
<script>{{ script|safe }}</script>
</body>
</html>
"#
)]
struct Page<'a> {
    elsewhere: Option<&'a str>,
    style: &'static str,
    script: &'static str,
}

/// The answer to a hand-off that is not good.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Not let in</title><style>{{ style|safe }}</style></head>
<body>
<header>
  <h1>Not let in</h1>
  <p id="why">This hand-off was not taken: {{ why }}.</p>
  <p>Each is good once, and for two minutes. Go back to the subscription's page and open the app again.</p>
</header>
</body>
</html>
"#
)]
struct Refused<'a> {
    why: &'a str,
    style: &'static str,
}

const STYLE: &str = include_str!("../simulator/page.css");

/// The page.
pub(super) fn answer(sender: &Sender) -> Reply {
    let elsewhere = sender.elsewhere.as_ref().map(url::Url::as_str);
    html(200, &Page { elsewhere, style: STYLE, script: include_str!("page.js") })
}

/// The page for somebody who is not let in.
pub(super) fn refused(why: &str) -> Reply {
    html(403, &Refused { why, style: STYLE })
}

fn html(status: u16, page: &impl Template) -> Reply {
    let html = page.render().expect("writing to a string does not fail");
    Reply::new(status, "text/html; charset=utf-8", html).with("cache-control", "no-store")
}
