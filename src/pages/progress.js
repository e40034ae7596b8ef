"use strict";
(() => {
  // The waits between two questions: quick at first, because activation often takes only seconds.
  const FIRST_WAIT_MS = 1000;
  const WAIT_GROWTH = 1.5;
  const LONGEST_WAIT_MS = 10000;
  // Longer than any answer takes that is still worth having.
  const ANSWER_TIMEOUT_MS = 15000;
  // After this long the page stops asking and offers a link instead.
  const PATIENCE_MS = 15 * 60 * 1000;

  const element = (id) => document.getElementById(id);
  const { progressUrl } = element("progress").dataset;
  const began = performance.now();

  const stop = () => {
    element("waiting").hidden = true;
    element("mark").hidden = true;
    element("stopped").hidden = false;
  };

  // Only ever to a place of ours. Without one the link stays: loading this page again might only come back here.
  const follow = (place) => {
    const target = place && URL.canParse(place, location.href) ? new URL(place, location.href) : null;
    if (target?.origin !== location.origin) return stop();
    location.replace(target.href);
  };

  const ask = async () => {
    const response = await fetch(progressUrl, {
      cache: "no-store",
      credentials: "same-origin",
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    // Refused, as when the session has ended: asking again cannot help, the link can.
    if (response.status === 401 || response.status === 403) return { refused: true };
    return response.ok ? response.json() : null;
  };

  const watch = async (wait) => {
    // No connection, no answer in time, or no JSON: the next question may fare better.
    const answer = await ask().catch(() => null);
    if (answer?.state && answer.state !== "activating") return follow(answer.location);
    if (answer?.refused || performance.now() - began > PATIENCE_MS) return stop();
    const longer = Math.min(wait * WAIT_GROWTH, LONGEST_WAIT_MS);
    setTimeout(watch, longer, longer);
  };

  setTimeout(watch, FIRST_WAIT_MS, FIRST_WAIT_MS);
})();
