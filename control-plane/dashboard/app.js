// Wires the page: which view is shown, the stream of figures, the theme.

import { onChange, read } from "./address.js";
import { listen } from "./api.js";
import * as cache from "./cache.js";
import { repaint } from "./chart.js";
import { byId } from "./dom.js";
import * as drawer from "./drawer.js";
import { clock, count } from "./format.js";
import * as history from "./history.js";
import * as live from "./live.js";
import * as requests from "./requests.js";
import * as sessions from "./sessions.js";

/** After this time a hidden page frees its place among the sidecar's listeners. */
const HIDDEN_MS = 60_000;
const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

/** The views other than the live one, which gets all news. */
const VIEWS = { cache, sessions, requests, history };
const TITLES = { live: "Headroom", cache: "Cache · Headroom", sessions: "Sessions · Headroom", requests: "Requests · Headroom", history: "History · Headroom" };

live.start();
drawer.start();
for (const view of Object.values(VIEWS)) view.start();
views();
themes();
stream();

function views() {
  let shown = null;
  const show = () => {
    const { view, query } = read();
    query.delete("request");
    const what = `${view}?${query}`;
    // a drawer that opens or closes changes nothing behind it
    if (what !== shown) {
      shown = what;
      for (const name of Object.keys(TITLES)) byId(name).hidden = name !== view;
      for (const link of document.querySelectorAll("nav a")) {
        if (link.dataset.view === view) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      document.title = TITLES[view];
      VIEWS[view]?.show();
    }
    drawer.show();
  };
  onChange(show);
  // the address of the main part is not that of a view
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  show();
}

function themes() {
  const button = byId("theme");
  const names = Object.keys(THEMES);
  const current = () => document.documentElement.dataset.theme ?? "auto";
  const tell = () => {
    const [sign, words] = THEMES[current()];
    button.firstElementChild.textContent = sign;
    button.setAttribute("aria-label", `Theme: ${words}`);
    button.title = `Theme: ${words}`;
  };
  button.addEventListener("click", () => {
    const next = names[(names.indexOf(current()) + 1) % names.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("headroom.theme", next);
    } catch {
      // then it lasts only until the page is closed
    }
    tell();
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  tell();
}

function stream() {
  let seen = null;
  let countdown;
  const state = (name, text) => {
    byId("state").dataset.state = name;
    // a screen reader reads it only when it changes
    if (byId("state-text").textContent !== text) byId("state-text").textContent = text;
  };
  const stream = listen("/events", {
    open() {
      clearInterval(countdown);
      byId("banner").hidden = true;
      state("live", "Live");
    },
    event(name, stats) {
      if (name !== "stats") return;
      seen = Date.now();
      live.show(stats);
      history.know(stats);
      VIEWS[read().view]?.news?.();
      const free = stats.subscriptions?.requests ?? 0;
      byId("footer").textContent = `Tokens are counted by the filter; dollars are estimates at list prices${free ? `, without the ${count(free)} requests made with subscriptions, which are counted in tokens alone` : ""}. Store: ${stats.persistent_savings?.storage_path ?? "unknown"}`;
    },
    lost(message, wait) {
      clearInterval(countdown);
      state("lost", "Disconnected");
      const until = Date.now() + wait;
      const figures = seen === null ? "There are no figures yet." : `The figures are from ${clock(seen)}.`;
      const say = () => {
        const seconds = Math.max(0, Math.round((until - Date.now()) / 1000));
        byId("banner-retry").textContent = seconds > 0 ? `Try now (${seconds} s)` : "Trying …";
      };
      byId("banner-text").textContent = `${message[0].toUpperCase()}${message.slice(1)}. ${figures}`;
      byId("banner").hidden = false;
      say();
      countdown = setInterval(say, 1000);
    },
  });
  byId("banner-retry").addEventListener("click", () => stream.retry());
  let leaving;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) leaving = setTimeout(() => stream.pause(), HIDDEN_MS);
    else stream.resume();
  });
}
