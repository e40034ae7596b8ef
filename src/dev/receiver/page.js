"use strict";
const REFRESH_MS = 2000;
const ANSWER_WITHIN_MS = 8000;
const find = (id) => document.getElementById(id);

const DOWN = [
  ["500", { answer: "500" }],
  ["503, come again in a minute", { answer: "503", retryAfter: 60 }],
  ["after 20 seconds", { late: "PT20S" }],
  ["nothing", { answer: "nothing" }],
];
const CHOICES = {
  events: [["200", {}], ...DOWN, ["410, never again", { answer: "410" }]],
  provision: [
    ["200, go on", {}],
    ["202, ask me later", { answer: "202", retryAfter: 30 }],
    ["422, refused", { answer: "422", reason: "We cannot serve your country yet." }],
    ...DOWN,
  ],
  decisions: [
    ["accept", {}],
    ["refuse", { decision: "refuse", reason: "Your contract does not allow this." }],
    ...DOWN,
  ],
};

async function call(method, path, body) {
  const response = await fetch("/publisher/" + path, {
    method,
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

function element(tag, attributes, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

const clock = (instant) => instant.slice(11, 19);
const seats = (quantity) => quantity == null ? "" : `, ${quantity} ${quantity === 1 ? "seat" : "seats"}`;
const fill = (id, items, otherwise) => find(id).replaceChildren(...(items.length ? items : [element("p", {}, otherwise)]));

function messageLine({ at, endpoint, problem, repeated, answer, body }) {
  const said = problem ? `401: ${problem}` : `${answer}${repeated ? ", which it had before" : ""}`;
  const what = [clock(at), body.type ?? `to ${endpoint}`, body.subject, body.sequence].filter(Boolean).join(" ");
  return element("li", { className: !problem && answer.startsWith("2") ? "Succeeded" : "Failed" },
    element("details", {}, element("summary", {}, `${what}: ${said}`), element("pre", {}, JSON.stringify(body, null, 2))));
}

function knownLine([id, { sequence, type, subscription }]) {
  return element("article", {},
    element("h3", {}, subscription.name || id, element("span", { className: `status ${subscription.status}` }, subscription.status)),
    element("p", {}, `${subscription.planId}${seats(subscription.quantity)}`, element("br", {}),
      element("code", { className: "faint" }, `${id} ${type} ${sequence}`)));
}

function handoffLine({ at, purpose, subscription, person }) {
  const who = person.name ?? person.username ?? `${person.tenantId}:${person.objectId}`;
  return element("p", {}, `${clock(at)} ${who} to ${purpose} ${subscription.name || subscription.id}`);
}

let shown = "";
async function refresh() {
  const [came, answers] = await Promise.all([call("GET", "events"), call("GET", "answers")]);
  for (const [endpoint, choices] of Object.entries(CHOICES)) choose(endpoint, choices, answers[endpoint]);
  const text = JSON.stringify(came);
  if (text === shown) return;
  shown = text;
  const lines = came.messages.reverse().map(messageLine);
  fill("messages", lines.length ? [element("ul", { className: "log" }, ...lines)] : [], "Nothing yet.");
  fill("known", Object.entries(came.subscriptions).map(knownLine), "Nothing yet.");
  fill("handoffs", came.handoffs.reverse().map(handoffLine), "Nobody yet.");
}

const NORMAL = { answer: "200", decision: "accept", late: "PT0S" };
const same = (one, other) => JSON.stringify(Object.entries({ ...NORMAL, ...one }).sort()) === JSON.stringify(Object.entries(other).sort());

function choose(endpoint, choices, current) {
  const select = find("answers")[endpoint];
  if (document.activeElement === select) return;
  const index = choices.findIndex(([, answer]) => same(answer, current));
  // What a script has set shows as its own line.
  const options = choices.map(([label]) => label).concat(index < 0 ? [JSON.stringify(current)] : []);
  select.replaceChildren(...options.map((label) => element("option", {}, label)));
  select.selectedIndex = index < 0 ? choices.length : index;
}

find("answers").addEventListener("change", async ({ target }) => {
  try {
    const chosen = CHOICES[target.name][target.selectedIndex]?.[1];
    if (chosen) await call("PUT", "answers", { ...(await call("GET", "answers")), [target.name]: chosen });
    find("problem").hidden = true;
  } catch (error) {
    find("problem").textContent = error.message;
    find("problem").hidden = false;
  }
  target.blur();
});

async function watch() {
  if (!document.hidden) {
    try { await refresh(); } catch { fill("messages", [], "The simulator does not answer."); }
  }
  setTimeout(watch, REFRESH_MS);
}
watch();
