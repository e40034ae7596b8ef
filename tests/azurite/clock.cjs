// Loaded into Azurite before it starts (node --require): while it answers a request, the time is the one that the request
// names in `x-ms-date`. So each story has a clock of its own, and nobody waits for a message to become visible.

'use strict';

const { AsyncLocalStorage } = require('node:async_hooks');
const http = require('node:http');

const Machine = Date;
const times = new AsyncLocalStorage();
const now = () => times.getStore() ?? Machine.now();

globalThis.Date = new Proxy(Machine, {
  construct: (target, given) => (given.length === 0 ? new target(now()) : new target(...given)),
  get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
});

const { emit } = http.Server.prototype;
http.Server.prototype.emit = function (event, ...given) {
  const time = event === 'request' ? Machine.parse(given[0].headers['x-ms-date']) : NaN;
  const handle = () => emit.call(this, event, ...given);
  return Number.isNaN(time) ? handle() : times.run(time, handle);
};
