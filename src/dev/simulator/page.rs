//! The page for people, at `/`: buy, watch subscriptions, press the buttons that customers and Microsoft press.

use askama::Template;

use super::Options;
use super::catalog::{OFFER, PLANS, Plan};
use super::claims::authority;
use super::people::{PEOPLE, Person};
use crate::web::Reply;

/// The skeleton. The script fills the list from `/simulator/subscriptions`.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Marketplace simulator</title>
<style>{{ style|safe }}</style>
</head>
<body>
<header>
  <h1>Marketplace simulator</h1>
  <p>Offer <code id="offer">{{ offer }}</code>. Nothing here costs anything; all is forgotten when the program ends.</p>
  <p class="faint">MARKETPLACE_API_URL <code>{{ api }}</code>, ENTRA_AUTHORITY_URL <code>{{ authority }}</code>,
    webhooks to <code>{{ webhook }}</code></p>
  <p><a id="publisher" href="/publisher">Your software: what it is sent, and how it answers</a></p>
</header>
<main>
<section aria-labelledby="buy-title">
  <h2 id="buy-title">Buy</h2>
  <form id="buy">
    <label>Plan
      <select name="planId">{% for plan in plans %}
        <option value="{{ plan.id }}" data-seats="{{ plan.seats.is_some() }}">{{ plan.name }}: ${{ plan.price }} a month
          {%- if plan.seats.is_some() %} per seat{% endif %}</option>{% endfor %}
      </select></label>
    <label id="seats">Seats <input name="quantity" type="number" min="1" max="1000" value="5"></label>
    <label>Who uses it
      <select name="beneficiary">{% for person in people %}
        <option value="{{ person.key }}">{{ person.key }}: {{ person.name }}</option>{% endfor %}
      </select></label>
    <label>Who pays
      <select name="purchaser"><option value="">the same</option>{% for person in people %}
        <option value="{{ person.key }}">{{ person.key }}: {{ person.name }}</option>{% endfor %}
      </select></label>
    <fieldset>
      <label><input type="checkbox" name="autoActivate"> Active at once</label>
      <label><input type="checkbox" name="autoRenew" checked> Renews by itself</label>
      <label><input type="checkbox" name="freeTrial"> First month free</label>
    </fieldset>
    <button class="main">Buy</button>
  </form>
  <p id="bought" hidden>Bought. <a id="landing" href="/">Configure account now</a></p>
</section>
<section aria-labelledby="clock-title">
  <h2 id="clock-title">Clock</h2>
  <p><time id="now"></time> <span id="ahead"></span></p>
  <p class="row">
    <button data-advance="PT10S">+ 10 seconds</button>
    <button data-advance="PT1M">+ 1 minute</button>
    <button data-advance="PT24H">+ 1 day</button>
    <button data-advance="P30D">+ 30 days</button>
  </p>
</section>
<section aria-labelledby="list-title" class="wide">
  <h2 id="list-title">Subscriptions <span id="count"></span></h2>
  <p id="problem" role="alert" hidden></p>
  <div id="list"><p>Nothing has been bought yet.</p></div>
</section>
</main>
<script>{{ script|safe }}</script>
</body>
</html>
"#
)]
struct Page<'a> {
    offer: &'static str,
    api: String,
    authority: String,
    webhook: &'a str,
    plans: &'static [Plan],
    people: &'static [Person],
    style: &'static str,
    script: &'static str,
}

/// The page.
pub(super) fn answer(options: &Options) -> Reply {
    let page = Page {
        offer: OFFER,
        api: format!("{}/api", options.base_url.as_str().trim_end_matches('/')),
        authority: authority(options),
        webhook: options.webhook_url.as_str(),
        plans: &PLANS,
        people: &PEOPLE,
        style: include_str!("page.css"),
        script: include_str!("page.js"),
    };
    let html = page.render().expect("writing to a string does not fail");
    Reply::new(200, "text/html; charset=utf-8", html).with("cache-control", "no-store")
}
