// Receives what marketplace-fulfillment sends to a publisher's own software: events, commands, and buyers.
// How to run it: ../README.md. What is to be replaced by your own is marked REPLACE.

import { createServer } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Webhook } from 'standardwebhooks';

const { PORT = '3000', FULFILLMENT_URL = 'http://127.0.0.1:7071', PROVISION = 'now', DECIDE = 'accept' } = process.env;
const fulfillment = FULFILLMENT_URL.replace(/\/$/, '');
// As it stands in fulfillment's setting of the same name: a hand-off for another address is not for us.
const handoffUrl = process.env.PUBLISHER_HANDOFF_URL ?? `http://127.0.0.1:${PORT}/handoff`;
// One secret, or two while one takes over from the other.
const secrets = (process.env.PUBLISHER_EVENTS_SECRET ?? '').split(',').filter(Boolean);
if (secrets.length === 0) {
  console.error('PUBLISHER_EVENTS_SECRET is missing: what fulfillment signs with; `fulfillment dev` prints its own');
  process.exit(1);
}
const webhooks = secrets.map((secret) => new Webhook(secret.trim()));

const BODY_LIMIT = 256 * 1024; // bytes; fulfillment sends 64 KiB at most
const REMEMBERED = 10_000; // ids; an event is tried for two days
const CLOCK_TOLERANCE = 60; // seconds by which two clocks may differ

// What is known. REPLACE: this is gone when the process ends, and no two processes share it. Each of these is a table
// with a unique key in your database, and `receive` is one transaction; ../python/receiver.py shows the SQL.

const events = new Set(); // webhook-id of what was taken in
const subscriptions = new Map(); // subscription id -> { sequence, type, subscription }
const provisioned = new Set(); // subscription id
const handoffs = new Map(); // jti -> { purpose, subscription, person }

function remember(collection, key, value) {
  if (collection.size >= REMEMBERED) collection.delete(collection.keys().next().value);
  collection instanceof Map ? collection.set(key, value) : collection.add(key);
}

// Events: each arrives at least once, those of one subscription in order.

function receive(id, { type, subject, sequence, data }) {
  if (events.has(id)) return; // sent again, because our answer was lost
  const known = subscriptions.get(subject);
  // Every event carries the whole subscription: the newest is all there is to know. A replay brings older ones.
  if (data.subscription && (!known || BigInt(sequence) > BigInt(known.sequence))) {
    subscriptions.set(subject, { sequence, type, subscription: data.subscription });
  }
  happened(type, data);
  remember(events, id); // last: what fails before is tried again
}

// REPLACE: once per event, whatever its order: a mail, an entry in your audit log. What holds now is in the table.
function happened(type, { subscription }) {
  console.log(type, subscription ? `${subscription.id} ${subscription.status} ${subscription.planId}` : '');
}

// Commands: somebody waits for the answer.

// REPLACE: make the account. Asked again about the same subscription, it is still one account.
function provision({ data: { subscription } }) {
  if (PROVISION === 'refuse') return json(422, { reason: 'We cannot serve your country yet' });
  const asked = provisioned.has(subscription.id);
  remember(provisioned, subscription.id);
  return PROVISION === 'later' && !asked ? json(202, {}, { 'retry-after': 5 }) : json(200, {});
}

// REPLACE: may this customer make this change? change.from and change.to have planId and quantity. Answer at once.
function decide({ data: { change } }) {
  const to = `${change.to.planId} ${change.to.quantity ?? ''}`;
  return json(200, DECIDE === 'refuse' ? { decision: 'refuse', reason: `Not to ${to}` } : { decision: 'accept' });
}

// Hand-off: a buyer's browser brings a token that says who they are and which subscription they come from.

// Kept for five minutes; an unknown key id has them fetched again, at most once a minute. All in milliseconds.
const patience = { cacheMaxAge: 300_000, cooldownDuration: 60_000, timeoutDuration: 5000 };
const keys = createRemoteJWKSet(new URL(`${fulfillment}/api/keys`), patience);

async function handOff(form) {
  const { payload } = await jwtVerify(form.get('handoff') ?? '', keys, {
    algorithms: ['ES256'],
    issuer: fulfillment,
    audience: handoffUrl,
    clockTolerance: CLOCK_TOLERANCE,
    requiredClaims: ['exp', 'jti', 'sub'],
  });
  if (handoffs.has(payload.jti)) throw new Error('used before');
  const { purpose, subscription, person } = payload;
  remember(handoffs, payload.jti, { purpose, subscription, person });
  // REPLACE: sign the person in with a session of your own. `setup` comes before billing starts, `open` after.
  return { status: 303, headers: { location: '/' } };
}

// HTTP. The address is this machine's only: `/` and `/state` show names to whoever asks.

const answer = (status, type, body, headers) => ({ status, body, headers: { 'content-type': type, ...headers } });
const json = (status, body, headers) => answer(status, 'application/json', JSON.stringify(body), headers);
const html = (status, body) => answer(status, 'text/html; charset=utf-8', `<!doctype html>${body}`);
const escaped = (text) => String(text ?? '').replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
const row = (...cells) => `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`;

function page() {
  const known = [...subscriptions.values()].map(({ sequence, type, subscription: { id, planId, quantity, status } }) =>
    row(id, planId, quantity, status, type, sequence));
  const people = [...handoffs.values()].map(({ purpose, subscription, person }) =>
    row(purpose, person?.name ?? person?.username, subscription?.id));
  return html(200, `<title>Receiver</title>
    <h1>Subscriptions</h1><table>${row('id', 'plan', 'seats', 'status', 'event', 'sequence')}${known.join('')}</table>
    <h1>Handed over</h1><table>${row('to', 'who', 'subscription')}${people.join('')}</table>`);
}

function state() {
  const [known, people] = [Object.fromEntries(subscriptions), [...handoffs.values()]];
  return json(200, { events: events.size, subscriptions: known, provisioned: [...provisioned], handoffs: people });
}

// The message, if one of our secrets signed these very bytes within the last five minutes.
function verified(headers, bytes) {
  let wrong;
  for (const webhook of webhooks) {
    try {
      return webhook.verify(bytes, headers);
    } catch (error) {
      wrong = error.message;
    }
  }
  console.error(`${headers['webhook-id']}: ${wrong}`);
}

async function post(path, headers, bytes) {
  if (path === '/handoff') {
    return handOff(new URLSearchParams(bytes.toString())).catch((error) => {
      console.error(`hand-off: ${error.message}`);
      return html(403, '<p>This way in works once, and not for long. Please go back and open the app again.</p>');
    });
  }
  const message = verified(headers, bytes);
  if (!message) return json(401, { reason: 'no signature of yours' });
  if (path === '/provision') return provision(message);
  if (path === '/decisions') return decide(message);
  receive(headers['webhook-id'], message);
  return json(200, {});
}

async function serve(request) {
  const { method, headers } = request;
  const route = `${method} ${request.url.split('?')[0]}`;
  if (route === 'GET /') return page();
  if (route === 'GET /state') return state();
  if (!/^POST \/(events|provision|decisions|handoff)$/.test(route)) return json(404, { reason: 'not found' });
  // Fulfillment and browsers name the length; without one a body could go on for ever.
  const bounded = Number(headers['content-length']) <= BODY_LIMIT;
  if (!bounded) return json(413, { reason: 'too large' }, { connection: 'close' });
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return post(route.slice('POST '.length), headers, Buffer.concat(chunks));
}

const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, async (request, response) => {
  const { status, headers, body } = await serve(request).catch((error) => {
    console.error(error);
    return json(500, { reason: 'our fault: try again' });
  });
  response.writeHead(status, headers).end(body);
});

server.listen(Number(PORT), '127.0.0.1', () => console.log(`receiver: http://127.0.0.1:${PORT}`));
