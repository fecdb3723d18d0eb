// The live view: what has been saved so far, and what is going on now.

import * as access from "./access.js";
import { to } from "./address.js";
import { Bars } from "./chart.js";
import { bar, byId, el, fill, table } from "./dom.js";
import { compact, count, dollars, duration, percent, whole } from "./format.js";
import { total, without } from "./money.js";
import { some } from "./more.js";
import { showRecent } from "./recent.js";
import { blockOutcome, requestOutcome } from "./words.js";
import * as toin from "./toin.js";

const MINUTE = 60_000;
const SHOWN_MINUTES = 60;
/** Minutes over which the rate is taken, so that it does not jump with every request. */
const RATE_MINUTES = 5;
/** Rows of a list before the rest is summed up. */
const ROWS = 8;

let rate;
let tokens;
let guided = false;
let latest = null;
/** Whether the explanation of the dollars is open. */
let explained = false;

export function start() {
  rate = new Bars(byId("rate-chart"), { title: "Requests per minute over the last hour", lines: [{ label: "requests", colour: "--accent" }, { label: "failed", colour: "--alarm" }], format: compact, ticks: whole, local: true });
  tokens = new Bars(byId("tokens-chart"), {
    title: "Tokens per minute over the last hour",
    lines: [{ label: "sent by clients", colour: "--faded" }, { label: "forwarded", colour: "--accent" }],
    format: compact,
    local: true,
  });
}

/** What to do first. Clients go to this page's own address when Envoy served it, else to Envoy's usual one. */
async function guide() {
  const server = await fetch("/dashboard/proxy", { credentials: "omit" }).then((answer) => answer.text(), () => "none");
  const proxy = server === "envoy" ? location.origin : "http://127.0.0.1:8787";
  fill(byId("empty-steps"),
    step("Claude Code", `ANTHROPIC_BASE_URL=${proxy} claude`),
    step("The Anthropic SDKs", `export ANTHROPIC_BASE_URL=${proxy}`),
    step("The OpenAI SDKs, and what is made with them", `export OPENAI_BASE_URL=${proxy}/v1`));
}

function step(name, command) {
  const copy = el("button", { type: "button", class: "quiet", on: { click: copied } }, "Copy");
  async function copied() {
    await navigator.clipboard?.writeText(command).then(() => { copy.textContent = "Copied"; }, () => { copy.textContent = "Not allowed"; });
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  }
  return el("li", {}, el("span", {}, name), el("code", {}, command), copy);
}

/** Shows what `/stats` answers. */
export function show(stats) {
  const nothing = !(stats.requests?.total > 0);
  byId("empty").hidden = !nothing;
  byId("figures").hidden = nothing;
  byId("live").removeAttribute("data-loading");
  if (nothing && !guided) {
    guided = true;
    guide();
  }
  if (nothing) return;
  latest = stats;
  tiles(stats);
  activity(stats);
  lists(stats);
  access.news();
  toin.news();
  showRecent(byId("recent"), stats.recent_requests ?? []);
}

function lists(stats) {
  list(byId("outcomes"), "Requests by outcome", ["Outcome", "Requests"], ranked(stats.requests.by_outcome, (n) => n).map(([name, n]) => ({ name: requestOutcome(name), size: n, cells: [count(n)] })));
  list(byId("blocks"), "Tool outputs by outcome", ["Outcome", "Tool outputs", "Tokens saved"], ranked(stats.blocks?.by_outcome, (sums) => sums.tokens_saved * 1e6 + sums.blocks).map(([name, sums]) => {
    const { label, why, skipped } = blockOutcome(name);
    return { name: label, why, size: sums.tokens_before, kept: sums.tokens_after, cells: [count(sums.blocks), skipped ? "–" : compact(sums.tokens_saved)] };
  }));
  list(byId("tools"), "Tools by tokens", ["Tool", "Tokens sent", "Saved"], ranked(stats.blocks?.by_tool, (sums) => sums.tokens_before).map(([name, sums]) => ({
    name, size: sums.tokens_before, kept: sums.tokens_after, cells: [compact(sums.tokens_before), percent(sums.tokens_before ? sums.tokens_saved / sums.tokens_before * 100 : 0)],
  })));
}

const ranked = (object, size) => Object.entries(object ?? {}).sort(([a, x], [b, y]) => size(y) - size(x) || a.localeCompare(b));

export function tile(name, value, ...notes) {
  return el("div", { class: "tile" }, el("h2", {}, name), el("p", { class: "value" }, value), notes.filter(Boolean).map((note) => (typeof note === "string" ? el("p", { class: "note" }, note) : note)));
}

/** Summed over requests, an output in a history counts in each of them; `once` counts it in the first alone. */
function saved(tokens, session, once, audit) {
  const outputs = tokens.tool_outputs ?? {};
  const before = tokens.total_before_compression;
  const saved = tile("Tokens saved", [percent(tokens.savings_percent), el("small", {}, `${compact(tokens.saved)}, ${compact(session?.tokens_saved)} of them this session`)],
    bar(1, before ? tokens.input / before : 0),
    `${compact(before)} sent by clients, ${compact(tokens.input)} forwarded`,
    `once per tool output: ${compact(once?.tokens_not_sent)}, ${percent(once?.tool_outputs?.savings_percent)} of them`,
    `of tool outputs alone: ${percent(outputs.savings_percent)}; JSON minification would be ${percent(outputs.json_minification_alone_percent)}`,
    ...(audit?.requests > 0 ? [`measured or planned requests: ${compact(audit.would_have_saved)} would have been saved, ${percent(audit.would_have_saved_percent)} of their tokens`] : []));
  saved.classList.add("wide");
  return saved;
}

/** Blocks that providers did not use because something before them had changed. Must be 0. */
function reasoningTile(reasoning) {
  const { prefix_mismatches: lost = 0, by_headroom: ours = 0, by_client: theirs = 0, unseen = 0, recovered_requests: recovered = 0 } = reasoning?.totals ?? {};
  return tile("Reasoning lost", lost ? count(lost) : "none", lost ? "blocks dropped for a changed prefix" : "every conversation was only added to",
    ...(lost ? [`${count(ours)} by Headroom, ${count(theirs)} by clients, ${count(unseen)} unseen`] : []),
    ...(recovered ? [`${count(recovered)} requests recovered`] : []));
}

/** What was answered without a provider; null where no route asks for that. */
function answersTile(answers, cost) {
  const { found = 0, missed = 0 } = answers ?? {};
  if (found + missed === 0) return null;
  return tile("Answers again", percent(answers.hit_rate), `${count(found)} of ${count(found + missed)} requests that could be`, `${dollars(cost?.breakdown?.answers_savings_usd)} saved by it, included in no other figure`);
}

/** How much of a subscription's allowance is used; null where there is none. */
function allowanceTile({ accounts = [] } = {}) {
  const [account] = accounts;
  if (!account) return null;
  const length = ({ minutes, window }) => (!minutes ? window : minutes % 1440 === 0 ? `${minutes / 1440} days` : minutes % 60 === 0 ? `${minutes / 60} hours` : `${minutes} min`);
  const day = (at) => new Date(at).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" });
  const line = (window) => (window.has_begun_anew ? `${length(window)}: has started again` : `${length(window)}: ${percent(window.used_percent)} used${window.resets_at ? `, starts again ${day(window.resets_at)}` : ""}`);
  const [first] = account.windows;
  return tile("Subscription", first ? percent(first.used_percent) : "–", account.provider, ...account.windows.map(line),
    ...(accounts.length > 1 ? [`and ${accounts.length - 1} more accounts`] : []), "counted in tokens, not in dollars");
}

/** How many requests were answered well: in the last hour, and of all. */
function answered(requests, activity) {
  const sum = (name) => activity.reduce((sum, minute) => sum + (minute[name] ?? 0), 0);
  const [hour, failed] = [sum("requests"), sum("failed")];
  const share = (failed, all) => (all > 0 ? (all - failed) / all * 100 : NaN);
  const made = tile("Answered well", percent(hour > 0 ? share(failed, hour) : share(requests.failed, requests.total)),
    hour > 0 ? `${count(failed)} of ${count(hour)} failed in the last hour` : "none in the last hour",
    `${count(requests.failed)} of ${count(requests.total)} in all, ${count(requests.rate_limited)} rate-limited`,
    access.errors().length ? `most: ${access.errors().map(([name, n]) => `${name} (${count(n)})`).join(", ")}` : null,
    requests.failed > 0 ? el("p", { class: "note" }, el("a", { href: to("requests", { status: "failed" }) }, "Show those that failed")) : null);
  if (hour > 0 && share(failed, hour) < 99) made.classList.add("alarm");
  return made;
}

/** One number, and what it means. */
function dollarsSaved(cost, requests, once) {
  const left = { requests: requests.total, unpriced: cost?.unpriced_requests ?? 0, subscription: cost?.subscription_requests ?? 0 };
  const all = (usd) => total(usd, left);
  const definition = el("details", { class: "definition", open: explained, on: { toggle: (event) => { explained = event.target.open; } } },
    el("summary", {}, "What this counts"),
    el("p", {}, "Each token that was not sent, at the price that it would have had: the price of reading from the provider's cache if it would have been read, else the price of writing or of input. What Headroom's own tool adds is subtracted. Requests that failed save nothing."),
    el("ul", {},
      el("li", {}, `${all(cost?.breakdown?.compression_savings_list_usd)} with every token at the list price of input`),
      el("li", {}, `${all(once?.cache_adjusted_usd)} with each tool output counted once, not in every later request that repeats it`)),
    el("p", {}, el("a", { href: to("history") }, "Over time, and by project, model, provider and stack")));
  return tile("Dollars saved", all(cost?.breakdown?.compression_savings_usd), without(left, count), definition);
}

function tiles({ tokens, savings, audit, requests, cost, overhead, reasoning, subscriptions, answers, prefix_cache: cache, activity = [], display_session: session }) {
  const once = savings?.side_by_side?.unique;
  const since = Date.now() - RATE_MINUTES * MINUTE;
  const perMinute = activity.filter((it) => Date.parse(it.timestamp) > since).reduce((sum, it) => sum + it.requests, 0) / RATE_MINUTES;
  fill(byId("tiles"),
    answered(requests, activity),
    dollarsSaved(cost, requests, once),
    saved(tokens, session, once, audit),
    tile("Requests per minute", perMinute >= 10 ? count(perMinute) : perMinute.toFixed(1), `${compact(requests.total)} in all, ${compact(requests.compressed)} compressed`),
    tile("Added latency", duration(overhead?.p50_ms), "at the median", `${duration(overhead?.p99_ms)} at p99`),
    reasoningTile(reasoning),
    ...[allowanceTile(subscriptions), answersTile(answers, cost)].filter(Boolean),
    tile("Provider's cache", percent(cache?.totals?.hit_rate), "of requests read from it", `${dollars(cost?.breakdown?.cache_savings_usd)} saved by it`, el("p", { class: "note" }, el("a", { href: to("cache") }, "What it missed, and why"))));
}

function activity({ activity = [], generated_at: now }) {
  const minute = (at) => Math.floor(at / MINUTE) * MINUTE;
  const end = minute(Date.parse(now));
  const byMinute = new Map(activity.map((it) => [minute(Date.parse(it.timestamp)), it]));
  const times = Array.from({ length: SHOWN_MINUTES }, (_, n) => end - (SHOWN_MINUTES - 1 - n) * MINUTE);
  const of = (name) => times.map((at) => byMinute.get(at)?.[name] ?? 0);
  rate.show(times, [of("requests"), of("failed")], "minute");
  tokens.show(times, [of("tokens_before"), of("tokens_after")], "minute");
}

const key = () => el("p", { class: "legend", "aria-hidden": "true" }, el("span", {}, el("i", { class: "swatch dark" }), "forwarded"), el("span", {}, el("i", { class: "swatch light" }), "saved"));

/** A table whose names have bars below them: the size, and how much of it was kept. */
function list(place, title, [first, ...rest], rows) {
  const most = Math.max(1, ...rows.map((row) => row.size));
  const name = (row) => el("div", { class: "named" }, el("span", { class: "name", title: row.why || row.name }, row.name, row.why ? el("span", { class: "why" }, row.why) : null),
    bar(row.size / most, row.kept === undefined ? 1 : row.size ? row.kept / row.size : 0));
  const { shown, button } = some(title, rows, ROWS, () => lists(latest));
  const lines = shown.map((row) => [name(row), ...row.cells]);
  fill(place,
    el("div", { class: "row" }, el("h2", {}, title), rows.some((row) => row.kept !== undefined) ? key() : null),
    rows.length ? table(title, [{ title: first }, ...rest.map((title) => ({ title, number: true }))], lines) : el("p", { class: "none" }, "Nothing yet."),
    button);
}
