// Conversations, one row each; and one conversation with its requests in order.

import { change, read, to } from "./address.js";
import { cause, json } from "./api.js";
import { byId, el, fill, notice, table } from "./dom.js";
import { chosen, Filters } from "./filters.js";
import { compact, count, dollars, percent, span, when } from "./format.js";
import { sumOf } from "./money.js";
import { outcome } from "./recent.js";
import { parts } from "./stack.js";
import { failureOf, missReason, stackName } from "./words.js";

const PAGE = 50;
const FRESH = 5_000;
/** Requests of a conversation that are shown at first, the newest. */
const REQUESTS = 100;

let filters;
let limit = PAGE;
let asked = 0;
let loaded = 0;
let open = { id: "", requests: [], next: null };

export function start() {
  filters = new Filters(byId("session-filters"), { hint: "model, tool, error, id …" });
}

export function show() {
  filters.show();
  load();
}

export function news() {
  if (Date.now() - loaded > FRESH) load();
}

async function load() {
  const mine = ++asked;
  const place = byId("session-list");
  const id = read().query.get("conversation") ?? "";
  place.setAttribute("aria-busy", "true");
  byId("session-filters").hidden = id !== "";
  try {
    const page = await json(`/stats-conversations?${new URLSearchParams({ ...chosen(), limit: String(limit) })}`);
    const feed = id ? await json(`/transformations/feed?${new URLSearchParams({ conversation: id, limit: String(REQUESTS) })}`) : null;
    if (mine !== asked) return;
    loaded = Date.now();
    if (feed && open.id === id && open.requests.length > REQUESTS) open = { ...open, requests: join(feed.transformations, open.requests) };
    else open = { id, requests: feed?.transformations ?? [], next: feed?.next ?? null };
    if (id) one(id, page.conversations.find((it) => it.conversation_id === id), page.reach);
    else all(page);
    if (!id) filters.know((await json("/stats-recent")).groups);
  } catch (error) {
    if (mine === asked) fill(place, notice(`The conversations could not be read: ${cause(error)}.`));
  } finally {
    if (mine === asked) place.removeAttribute("aria-busy");
  }
}

function join(newer, older) {
  const known = new Set(newer.map((request) => request.request_id));
  return [...newer, ...older.filter((request) => !known.has(request.request_id))];
}

const reached = (reach) => (reach?.requests ? `From the newest ${count(reach.requests)} requests, back to ${when(reach.oldest)}: headroomd keeps ${count(reach.most)} requests. Earlier requests of a conversation are not in its row.` : "");

/** The share of the input that was read from the provider's cache; NaN if no answer reported it. */
function cached(sums) {
  const all = sums.cache_read_tokens + sums.cache_write_tokens + sums.uncached_input_tokens;
  return all > 0 ? sums.cache_read_tokens / all * 100 : NaN;
}

const COLUMNS = [
  { title: "Last request" }, { title: "Conversation" }, { title: "Turns", number: true, minor: true }, { title: "Requests", number: true }, { title: "Tokens", number: true, minor: true },
  { title: "Bill", number: true }, { title: "Saved", number: true, minor: true }, { title: "Cache", number: true }, { title: "Retrieved", number: true, minor: true }, { title: "Life", number: true, minor: true },
];

function all({ conversations, total, requests_of_none: none, reach }) {
  const rows = conversations.map((it) => [
    when(it.last),
    el("span", {},
      el("button", { type: "button", class: "link", on: { click: () => change({ conversation: it.conversation_id }) } }, it.project || stackName(it.stack) || it.conversation_id.slice(0, 8)),
      it.failed > 0 ? el("span", { class: "chip bad small-chip" }, `${count(it.failed)} failed`) : null,
      el("span", { class: "why clip" }, [it.project ? stackName(it.stack) : "", it.models[0], it.models.length > 1 ? `+${it.models.length - 1}` : "", it.tenant].filter(Boolean).join(" · "))),
    count(it.turns), count(it.requests), compact(it.tokens_after), sumOf(it.cost_usd, it), sumOf(it.saved_usd, it), percent(cached(it)), count(it.retrievals), span(it.lifetime_ms),
  ]);
  const left = total - conversations.length;
  const more = left > 0 ? el("button", { type: "button", class: "more", on: { click: () => { limit = Math.min(1_000, limit + Math.max(PAGE, left)); load(); } } }, `and ${count(left)} more`) : null;
  fill(byId("session-list"), el("section", { class: "card" },
    el("h2", {}, `${count(total)} ${total === 1 ? "conversation" : "conversations"}`),
    rows.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Conversations" }, table("Conversations, the one with the newest request first. A conversation's button shows its requests.", COLUMNS, rows, { class: "conversations" })) : el("p", { class: "none" }, "No kept conversation matches."),
    more,
    el("p", { class: "small" }, reached(reach), none > 0 ? ` ${count(none)} requests belong to no known conversation.` : "")));
}

function one(id, it, reach) {
  const back = el("p", { class: "back" }, el("a", { href: to("sessions") }, "← All conversations"));
  if (!it) {
    fill(byId("session-list"), back, el("p", { class: "notice" }, "No request of this conversation is kept any more."));
    return;
  }
  const tile = (name, value, note) => el("div", { class: "tile" }, el("h2", {}, name), el("p", { class: "value" }, value), note ? el("p", { class: "note" }, note) : null);
  const requests = [...open.requests].reverse();
  const more = open.next === null ? null : el("button", { type: "button", class: "more", on: { click: earlier } }, `and ${count(it.requests - requests.length)} earlier`);
  fill(byId("session-list"), back,
    el("section", { class: "tiles", "aria-label": "Of this conversation" },
      tile("Bill", sumOf(it.cost_usd, it), `${sumOf(it.saved_usd, it)} saved`),
      tile("Requests", count(it.requests), `${count(it.turns)} turns, ${count(it.failed)} failed`),
      tile("From the cache", percent(cached(it)), `${compact(it.cache_read_tokens)} read, ${compact(it.cache_write_tokens)} written`),
      tile("Life", span(it.lifetime_ms), `${when(it.started)} to ${when(it.last)}, ${count(it.retrievals)} retrievals`)),
    el("section", { class: "card" },
      el("h2", {}, [it.project, stackName(it.stack), ...it.models].filter(Boolean).join(" · ") || id),
      parts.legend(),
      more,
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Requests of this conversation" }, steps(requests)),
      el("p", { class: "small" }, reached(reach))));
}

/** The requests in order, each with its input: read from the cache, written to it, neither. */
function steps(requests) {
  const size = ({ usage: u, input_tokens_optimized: tokens }) => (u ? u.input_tokens + u.cache_read_tokens + u.cache_write_tokens : tokens);
  const most = Math.max(1, ...requests.map(size));
  const rows = requests.map((request) => {
    const missed = request.cache_reason && request.cache_reason !== "first_request" ? missReason(request.cache_reason).label : "";
    const lost = typeof request.cache_lost_usd === "number" && request.cache_lost_usd > 0 ? ` ${dollars(request.cache_lost_usd)}` : "";
    return [
      el("button", { type: "button", class: "link", "aria-haspopup": "dialog", "data-request": request.request_id, on: { click: () => change({ request: request.request_id }) } }, when(request.timestamp)),
      el("span", {}, parts.bar(request.usage, size(request) / most), missed ? el("span", { class: "chip warn" }, `${missed}${lost}`) : null),
      compact(size(request)),
      percent(request.savings_percent),
      failureOf(request) || request.outcome !== "compressed" ? outcome(request) : el("span", { class: "chip good" }, "Compressed"),
    ];
  });
  return table("Its requests in order, the oldest first", [{ title: "Time" }, { title: "What was sent" }, { title: "Tokens", number: true }, { title: "Saved", number: true, minor: true }, { title: "Outcome" }], rows, { class: "steps" });
}

async function earlier() {
  const { id, requests, next } = open;
  let failed = null;
  try {
    const page = await json(`/transformations/feed?${new URLSearchParams({ conversation: id, limit: String(REQUESTS), before: String(next) })}`);
    // another one may have been opened meanwhile, and news may have come
    if (open.id === id) open = { id, requests: join(open.requests, [...requests, ...page.transformations]), next: page.next ?? null };
  } catch (error) {
    failed = error;
  }
  await load();
  if (failed && open.id === id) byId("session-list").append(notice(`The earlier requests could not be read: ${cause(failed)}.`));
}
