// Whether the reference libraries of Standard Webhooks and CloudEvents for JavaScript accept what we send.
// tests/it/reference.rs says what goes in and what comes out.

const assert = require("node:assert/strict");
const { createInterface } = require("node:readline");
const { HTTP } = require("cloudevents");
const { Webhook } = require("standardwebhooks");

function check({ at, headers, body, secret }) {
  // The library has no other way to be told the time.
  Date.now = () => at * 1000;
  new Webhook(secret).verify(body, headers);
  const event = HTTP.toEvent({ headers, body });
  if (!event.validate()) throw new Error(`version ${event.specversion} is not validated`);
  // The library makes up what is missing, and leaves out what is empty.
  const sent = JSON.parse(body);
  const read = { ...event, time: Date.parse(event.time) === Date.parse(sent.time) ? sent.time : null };
  assert.deepEqual(JSON.parse(JSON.stringify(read)), sent);
  assert.equal(sent.id, headers["webhook-id"]);
}

createInterface({ input: process.stdin }).on("line", (line) => {
  let verdict = { accepted: true };
  try {
    check(JSON.parse(line));
  } catch (error) {
    verdict = { accepted: false, why: `${error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(verdict));
});
