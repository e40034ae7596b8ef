"use strict";
const SHOWN = 50;
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
  if (status !== "Unsubscribed") made.push(button("Unsubscribe", act("unsubscribe")));
  return made;
}

function card(subscription) {
  const { term, operations, calls } = subscription;
  const seats = subscription.quantity === undefined ? "" : `, ${subscription.quantity} ${subscription.quantity === 1 ? "seat" : "seats"}`;
  const dates = term.startDate ? `, ${term.startDate.slice(0, 10)} to ${term.endDate.slice(0, 10)}` : "";
  const counts = Object.entries(calls).map(([name, count]) => `${name} ${count}`).join(", ");
  const parties = subscription.beneficiary.emailId +
    (subscription.purchaser.emailId === subscription.beneficiary.emailId ? "" : `, paid by ${subscription.purchaser.emailId}`);
  const list = operations.slice(-5).reverse().map((operation) =>
    element("li", {}, `${operation.timeStamp.slice(11, 19)} ${operation.action}: ${operation.status} (${operation.operationRequestSource})`));
  return element("article", {},
    element("h3", {}, subscription.name, element("span", { className: `status ${subscription.saasSubscriptionStatus}` }, subscription.saasSubscriptionStatus)),
    element("p", {}, `${subscription.planId}${seats}${dates}. ${parties}`,
      element("br", {}), element("code", { className: "faint" }, subscription.id),
      element("br", {}), element("span", { className: "faint" }, counts ? `Calls: ${counts}` : "Not called for yet")),
    element("div", { className: "row" }, ...buttons(subscription)),
    element("ul", { className: "operations" }, ...list));
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
