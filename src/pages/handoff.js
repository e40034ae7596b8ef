"use strict";
(() => {
  const form = document.getElementById("handoff");
  const arrived = Date.now();

  // A token that may have ended is not sent: the page comes anew, with a fresh one, and goes on by itself.
  form.addEventListener("submit", (event) => {
    if (Date.now() - arrived < Number(form.dataset.renewedSeconds) * 1000) return;
    event.preventDefault();
    location.replace(location.href);
  });

  // Who comes back, or loads the page again, is not sent away again: there is the button.
  const [navigation] = performance.getEntriesByType("navigation");
  if (navigation?.type === "navigate") form.submit();
})();
