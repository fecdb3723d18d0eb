// The requests that are kept individually: search, filters, and more pages on demand.

import { cause, json } from "./api.js";
import { byId, el, fill, notice } from "./dom.js";
import { chosen, Filters } from "./filters.js";
import { count } from "./format.js";
import { requestTable } from "./recent.js";

const PAGE = 50;
/** A new request is shown within this many milliseconds. */
const FRESH = 5_000;

let filters;
let asked = 0;
let loaded = 0;
/** An older page has been asked for and is not here yet. */
let older = false;
let requests = [];
let next = null;

export function start() {
  filters = new Filters(byId("request-filters"), { hint: "model, tool, error, id …" });
}

/** Shows what the address says. */
export function show() {
  filters.show();
  load();
}

/** New requests have been counted. */
export function news() {
  // if older pages are shown, the list does not jump to the start
  if (!older && requests.length <= PAGE && Date.now() - loaded > FRESH) load();
}

async function load(before = null) {
  const mine = ++asked;
  older = before !== null;
  const place = byId("request-list");
  place.setAttribute("aria-busy", "true");
  try {
    const values = chosen();
    const query = new URLSearchParams({ ...values, limit: String(PAGE), ...(before === null ? {} : { before: String(before) }) });
    const feed = json(`/transformations/feed?${query}`);
    const groups = before === null ? json("/stats-recent").catch(() => null) : null;
    const page = await feed;
    if (mine !== asked) return;
    loaded = Date.now();
    requests = before === null ? page.transformations : [...requests, ...page.transformations];
    next = page.next ?? null;
    draw(page.reach);
    filters.know((await groups)?.groups ?? filters.groups);
  } catch (error) {
    if (mine === asked) fill(place, notice(`The requests could not be read: ${cause(error)}.`));
  } finally {
    if (mine === asked) {
      older = false;
      place.removeAttribute("aria-busy");
    }
  }
}

function draw(reach) {
  const more = next === null ? null : el("button", { type: "button", class: "more", on: { click: () => load(next) } }, `and ${PAGE} more`);
  const most = count(reach?.most ?? 10_000);
  const looked = `${Object.keys(chosen()).length && reach ? `Searched the newest ${count(reach.requests)} requests. ` : ""}headroomd keeps the newest ${most} requests. Sums over everything are in Live and History.`;
  fill(byId("request-list"),
    requests.length ? requestTable(requests, "Requests, newest first. A request's button shows what was done to it.", { dated: true }) : el("p", { class: "none" }, Object.keys(chosen()).length ? "No kept request matches." : "No request yet."),
    more,
    el("p", { class: "small" }, looked));
}
