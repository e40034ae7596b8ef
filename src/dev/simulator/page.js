"use strict";
const SHOWN = 50;
const LINES = 6;
const REFRESH_MS = 2000;
const ANSWER_WITHIN_MS = 8000;
const find = (id) => document.getElementById(id);

async function call(method, path, body) {
  const response = await fetch("/simulator/" + path, {
    method,
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

function element(tag, attributes, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

async function attempt(work) {
  try {
    await work();
    find("problem").hidden = true;
  } catch (error) {
    find("problem").textContent = error.message;
    find("problem").hidden = false;
  }
}

const button = (label, onclick) => element("button", { type: "button", onclick: () => attempt(async () => { await onclick(); await refresh(); }) }, label);

function buttons(subscription) {
  const act = (name, body) => () => call("POST", `subscriptions/${subscription.id}/${name}`, body);
  const status = subscription.saasSubscriptionStatus;
  const made = [button(status === "PendingFulfillmentStart" ? "Configure account now" : "Manage account", async () => {
    location.href = (await act("token")()).landingUrl;
  })];
  if (status === "Subscribed") {
    for (const option of document.querySelectorAll("#buy [name=planId] option")) {
      if (option.value !== subscription.planId) {
        made.push(button(`To ${option.value}`, act("change-plan", { planId: option.value })));
      }
    }
    if (subscription.quantity !== undefined) {
      made.push(button("One seat more", act("change-quantity", { quantity: subscription.quantity + 1 })));
      if (subscription.quantity > 1) made.push(button("One seat fewer", act("change-quantity", { quantity: subscription.quantity - 1 })));
    }
    made.push(button("Renew", act("renew")), button("Suspend", act("suspend")));
  }
  if (status === "Suspended") made.push(button("Reinstate", act("reinstate")));
  if (status !== "Unsubscribed") made.push(button("Transfer", act("transfer")), button("Unsubscribe", act("unsubscribe")));
  return made;
}

const clock = (instant) => instant.slice(11, 19);
const took = (ms) => ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
const seats = (quantity) => quantity == null ? "" : `, ${quantity} ${quantity === 1 ? "seat" : "seats"}`;
const list = (title, items) => items.length === 0 ? [] : [
  element("h4", {}, title),
  element("ul", { className: "log" }, ...items.map((item) => element("li", { className: item.className }, item.text))),
];

function operationLine({ timeStamp, action, planId, quantity, status, operationRequestSource, acknowledgedAfter, endedBecause }) {
  const target = action.startsWith("Change") ? ` to ${planId}${seats(quantity)}` : "";
  const answered = acknowledgedAfter === undefined ? "" : ` after ${took(acknowledgedAfter)}`;
  return {
    className: status,
    text: `${clock(timeStamp)} ${action}${target}, asked by ${operationRequestSource}: ${status}${answered}. ${endedBecause ?? "Waits for the publisher."}`,
  };
}

function deliveryLine({ at, action, attempt, status, error, answeredAfter, acknowledgedAfter }) {
  const acknowledged = acknowledgedAfter === undefined ? "" : `, acknowledged after ${took(acknowledgedAfter)}`;
  return {
    className: status >= 200 && status < 300 ? "Succeeded" : "Failed",
    text: `${clock(at)} ${action}${attempt > 1 ? `, try ${attempt}` : ""}: ${error ?? status} in ${took(answeredAfter)}${acknowledged}`,
  };
}

function card(subscription) {
  const { term, operations, deliveries, calls } = subscription;
  const dates = term.startDate ? `, ${term.startDate.slice(0, 10)} to ${term.endDate.slice(0, 10)}` : "";
  const terms = (subscription.autoRenew ? "" : ", does not renew") + (subscription.isFreeTrial ? ", free trial" : "");
  const counts = Object.entries(calls).map(([name, count]) => `${name} ${count}`).join(", ");
  const parties = subscription.beneficiary.emailId +
    (subscription.purchaser.emailId === subscription.beneficiary.emailId ? "" : `, paid by ${subscription.purchaser.emailId}`);
  return element("article", {},
    element("h3", {}, subscription.name, element("span", { className: `status ${subscription.saasSubscriptionStatus}` }, subscription.saasSubscriptionStatus)),
    element("p", {}, `${subscription.planId}${seats(subscription.quantity)}${dates}${terms}. ${parties}`,
      element("br", {}), element("code", { className: "faint" }, subscription.id),
      element("br", {}), element("span", { className: "faint" }, counts ? `Calls: ${counts}` : "Not called for yet")),
    element("div", { className: "row" }, ...buttons(subscription)),
    ...list("Operations", operations.slice(-LINES).reverse().map(operationLine)),
    ...list("Webhooks", deliveries.slice(-LINES).reverse().map(deliveryLine)));
}

let shown = "";
async function refresh() {
  const [{ subscriptions }, clock] = await Promise.all([call("GET", `subscriptions?last=${SHOWN}`), call("GET", "clock")]);
  find("now").textContent = clock.now.slice(0, 19).replace("T", " ") + " UTC";
  find("ahead").textContent = clock.ahead === "PT0S" ? "" : `(${clock.ahead} ahead)`;
  // The order of allowedCustomerOperations changes with every answer and is not shown.
  const text = JSON.stringify(subscriptions, (key, value) => key === "allowedCustomerOperations" ? undefined : value);
  if (text === shown) return;
  shown = text;
  find("count").textContent = subscriptions.length < SHOWN ? "" : `(the newest ${SHOWN})`;
  const cards = subscriptions.reverse().map(card);
  find("list").replaceChildren(...(cards.length ? cards : [element("p", {}, "Nothing has been bought yet.")]));
}

function offerSeats() {
  const perSeat = find("buy").planId.selectedOptions[0].dataset.seats === "true";
  find("seats").hidden = !perSeat;
  find("seats").style.display = perSeat ? "" : "none";
}

find("buy").planId.addEventListener("change", offerSeats);
find("buy").addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = event.target;
  const perSeat = fields.planId.selectedOptions[0].dataset.seats === "true";
  attempt(async () => {
    const bought = await call("POST", "purchases", {
      offerId: find("offer").textContent,
      planId: fields.planId.value,
      ...(perSeat ? { quantity: Number(fields.quantity.value) } : {}),
      beneficiary: fields.beneficiary.value,
      purchaser: fields.purchaser.value || fields.beneficiary.value,
      autoActivate: fields.autoActivate.checked,
      autoRenew: fields.autoRenew.checked,
      ...(fields.freeTrial.checked ? { freeTrial: "P1M" } : {}),
    });
    find("landing").href = bought.landingUrl;
    find("bought").hidden = false;
    await refresh();
  });
});
for (const advance of document.querySelectorAll("[data-advance]")) {
  advance.addEventListener("click", () => attempt(async () => {
    await call("POST", "clock", { advance: advance.dataset.advance });
    await refresh();
  }));
}

async function watch() {
  if (!document.hidden) {
    try { await refresh(); } catch { find("now").textContent = "The simulator does not answer."; }
  }
  setTimeout(watch, REFRESH_MS);
}
offerSeats();
watch();
