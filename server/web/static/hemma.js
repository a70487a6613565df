// The live line of the work list: says whether the list is fresh, and from when it is if it is not.
// The list itself is swapped by htmx; without script the page still works and says when it was made.
"use strict";

(() => {
  const line = document.getElementById("live");
  if (!line) {
    return;
  }
  const text = line.querySelector("[data-text]");
  // The server sends something at least every 15 seconds; twice that and a little is silence.
  const silenceMs = 35000;
  let lastHeard = 0;
  let freshAt = line.dataset.made;

  const show = (isLive) => {
    const wanted = isLive ? line.dataset.on : line.dataset.off.replace("{time}", freshAt);
    line.classList.toggle("lost", !isLive);
    // Written only when it changes: a screen reader is not told the same thing again and again.
    if (text.textContent !== wanted) {
      text.textContent = wanted;
    }
  };
  const heard = () => {
    lastHeard = Date.now();
    freshAt = new Date().toLocaleTimeString("sv-SE", {
      hour: "2-digit", minute: "2-digit", timeZone: "Europe/Stockholm",
    });
    show(true);
  };

  document.body.addEventListener("htmx:sseOpen", (event) => {
    event.detail.source.addEventListener("heartbeat", heard);
    event.detail.source.addEventListener("ended", () => window.location.reload());
    heard();
  });
  document.body.addEventListener("htmx:sseError", () => show(false));
  document.body.addEventListener("htmx:sseMessage", heard);
  window.setInterval(() => {
    if (lastHeard && Date.now() - lastHeard > silenceMs) {
      show(false);
    }
  }, 1000);
})();
