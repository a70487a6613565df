// The work list while it is looked at: whether it is fresh, what is new, and where the keyboard is.
// The list itself is swapped by htmx; without script the page still works and says when it was made.
"use strict";

(() => {
  const line = document.getElementById("live");
  const list = document.getElementById("lista");
  const news = document.getElementById("nytt");
  if (!line || !list || !news) {
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

  // An alert is announced once, when it appears or becomes worse, and politely: nothing is
  // interrupted and the focus stays where it is.
  const shown = () => [...list.querySelectorAll("[data-alert]")];
  const known = new Set(shown().map((one) => one.dataset.alert));
  const words = (one) => [
    one.closest(".card").querySelector("h3"), one.querySelector(".level"), one.querySelector(".what"),
  ].map((part) => part.textContent.trim()).join(". ");
  const announce = () => {
    const added = shown().filter((one) => !known.has(one.dataset.alert));
    added.forEach((one) => known.add(one.dataset.alert));
    if (added.length) {
      const phrase = added.length > 1 ? news.dataset.many : news.dataset.one;
      news.textContent = phrase.replace("{count}", added.length).replace("{alert}", words(added[0]));
    }
  };

  // A list that is as it was is not swapped: whoever is reading or tabbing in it stays there.
  let last = "";
  let place = null;
  document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (event.detail.data === last) {
      heard();
      event.preventDefault();
      return;
    }
    last = event.detail.data;
    const active = document.activeElement;
    const card = active && list.contains(active) ? active.closest(".card") : null;
    place = card ? { active: active.id, card: card.id } : null;
  });
  // htmx gives the focus back to an element of the same id. Where that is gone (somebody else took
  // the alert), the person's name in the same card has it, else the top of the list.
  const settle = () => {
    if (place && document.activeElement === document.body) {
      const card = document.getElementById(place.card);
      const next = document.getElementById(place.active) || (card && card.querySelector("a, button"));
      (next || document.getElementById("innehall")).focus({ preventScroll: true });
    }
    place = null;
  };

  document.body.addEventListener("htmx:sseOpen", (event) => {
    event.detail.source.addEventListener("heartbeat", heard);
    event.detail.source.addEventListener("ended", () => window.location.reload());
    heard();
  });
  document.body.addEventListener("htmx:sseError", () => show(false));
  document.body.addEventListener("htmx:sseMessage", () => {
    heard();
    announce();
    settle();
  });
  window.setInterval(() => {
    if (lastHeard && Date.now() - lastHeard > silenceMs) {
      show(false);
    }
  }, 1000);
})();
