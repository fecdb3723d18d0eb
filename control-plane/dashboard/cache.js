// The page about the provider's prompt cache: how much was read of what could have been read, what the rest cost,
// and why.

import { change, read } from "./address.js";
import { cause, json, Refused } from "./api.js";
import { Bars } from "./chart.js";
import { bar, byId, el, fill, table } from "./dom.js";
import { compact, count, dollars, percent } from "./format.js";
import { NO_PRICE } from "./money.js";
import { some } from "./more.js";
import { stacked } from "./stack.js";
import { attribute, missReason, stackName, whatIf } from "./words.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const RANGES = { "24h": ["24 hours", DAY], "7d": ["7 days", 7 * DAY], "30d": ["30 days", 30 * DAY] };
const BY = ["model", "project", "stack", "tenant"];
/** Longer ranges are shown by day. */
const HOURLY = 3 * DAY;
const FEW = 8;
const FRESH = 15_000;

let charts;
let asked = 0;
let loaded = 0;
let page = null;

export function start() {
  charts = {
    money: new Bars(byId("cache-money"), { title: "What requests cost over time", lines: [{ label: "bill", colour: "--faded" }, { label: "lost to misses", colour: "--written" }], format: dollars, ticks: (value) => `$${value.toLocaleString("en-US")}` }),
    tokens: new Bars(byId("cache-tokens"), { title: "Tokens from the cache over time", lines: [{ label: "could have been read", colour: "--faded" }, { label: "were read", colour: "--accent" }], format: compact }),
  };
  const choice = ([value, [label]]) => el("label", { class: "choice" }, el("input", { type: "radio", name: "cache-range", value, on: { change: () => change({ range: value }) } }), el("span", {}, label));
  byId("cache-range").append(el("div", { class: "choices" }, Object.entries(RANGES).map(choice)));
  fill(byId("cache-by"), BY.map((by) => el("button", { type: "button", "data-by": by, on: { click: () => change({ by }) } }, attribute(by))));
  byId("cache-controls").addEventListener("submit", (event) => event.preventDefault());
}

const range = () => (Object.hasOwn(RANGES, read().query.get("range")) ? read().query.get("range") : "7d");
const by = () => (BY.includes(read().query.get("by")) ? read().query.get("by") : "model");

/** The attribute of which one value is shown; null for everything. */
function scope() {
  const { query } = read();
  const name = BY.find((it) => query.get(it));
  return name ? [name, query.get(name)] : null;
}

export function show() {
  for (const input of byId("cache-controls").querySelectorAll("input[type=radio]")) input.checked = input.value === range();
  const of = scope();
  fill(byId("cache-scope"), of ? el("button", { type: "button", class: "quiet", on: { click: () => change({ [of[0]]: "" }) } }, `${attribute(of[0])}: ${attribute(of[0], of[1])} ✕`) : null);
  if (page) groups();
  load();
}

export function news() {
  if (Date.now() - loaded > FRESH) load();
}

async function load() {
  const mine = ++asked;
  const place = byId("cache-figures");
  const note = byId("cache-note");
  place.setAttribute("aria-busy", "true");
  try {
    const of = scope();
    const query = new URLSearchParams({ since: String(Math.floor((Date.now() - RANGES[range()][1]) / HOUR) * HOUR), ...(of ? { by: of[0], value: of[1] } : {}) });
    const answer = await json(`/stats-cache?${query}`);
    if (mine !== asked) return;
    loaded = Date.now();
    page = answer;
    note.hidden = true;
    place.hidden = false;
    draw();
  } catch (error) {
    if (mine !== asked) return;
    const missing = error instanceof Refused && error.status === 404;
    loaded = Date.now();
    place.hidden = missing || page === null;
    note.className = missing ? "card" : "notice";
    fill(note, missing
      ? [el("h2", {}, "This headroomd has no page about the cache"), el("p", {}, "It has a different version from this dashboard. A newer one counts what could have been read from the provider's cache, and what was.")]
      : el("p", {}, `The page could not be read: ${cause(error)}.`));
    note.hidden = false;
  } finally {
    if (mine === asked) place.removeAttribute("aria-busy");
  }
}

function draw() {
  const { totals } = page;
  const nothing = !(totals.requests > 0);
  byId("cache-empty").hidden = !nothing;
  byId("cache-some").hidden = nothing;
  if (nothing) return;
  tiles();
  causes();
  losses();
  hours();
  groups();
  lines();
  whatIfs();
}

/** A sum, unless no request has a price. */
function money(usd) {
  const { totals, bill } = page;
  return totals.requests > bill.unpriced_requests + bill.subscription_requests ? dollars(usd) : NO_PRICE;
}

const optional = (usd) => (typeof usd === "number" ? dollars(usd) : NO_PRICE);

function tiles() {
  const { totals, bill } = page;
  const tile = (name, value, ...notes) => el("div", { class: "tile" }, el("h2", {}, name), el("p", { class: "value" }, value), notes.flat().filter(Boolean).map((note) => (typeof note === "string" ? el("p", { class: "note" }, note) : note)));
  const parts = [["read", bill.read_usd, "read from the cache"], ["written", bill.write_usd, "written to it"], ["plain", bill.input_usd, "other input"], ["output", bill.output_usd, "output"]];
  const words = parts.map(([name, usd, words]) => el("span", {}, el("i", { class: `swatch ${name}` }), `${words} `, el("b", {}, dollars(usd))));
  const lost = bill.total_usd - bill.perfect_cache_usd;
  const left = [bill.unpriced_requests > 0 ? `${count(bill.unpriced_requests)} without a known price` : "", bill.subscription_requests > 0 ? `${count(bill.subscription_requests)} paid by subscriptions` : ""].filter(Boolean).join(", ");
  const whole = tile("Bill", money(bill.total_usd), stacked(parts.map(([name, usd, words]) => [name, usd * 100, `cents ${words}`])), el("p", { class: "legend" }, words), versus(), left ? `not included: ${left}` : null);
  whole.classList.add("wide");
  const share = totals.readable_tokens > 0 ? totals.read_tokens / totals.readable_tokens * 100 : NaN;
  fill(byId("cache-tiles"), whole,
    tile("Lost to misses", money(lost), `${percent(bill.total_usd > 0 ? lost / bill.total_usd * 100 : 0)} of the bill`, `${count(totals.missed_requests)} of ${count(totals.requests)} requests read less than they could have`, totals.rewritten_tokens > 0 ? `${compact(totals.rewritten_tokens)} of ${compact(totals.written_tokens)} tokens written had been written before` : null),
    tile("Read of what could be", percent(share), bar(1, totals.readable_tokens > 0 ? totals.read_tokens / totals.readable_tokens : 0), `${compact(totals.read_tokens)} of ${compact(totals.readable_tokens)} tokens`, "readable is what an earlier request had written within its lifetime"));
}

/** The bill, and what it could have been. */
function versus() {
  const { bill } = page;
  const rows = [["without Headroom", bill.without_headroom_usd, ""], ["as it was", bill.total_usd, ""], ["with a perfect cache", bill.perfect_cache_usd, ""]];
  const most = Math.max(1e-12, ...rows.map(([, usd]) => usd));
  return [
    el("dl", { class: "versus" }, rows.flatMap(([name, usd]) => [el("dt", {}, name), bar(usd / most, name === "as it was" ? 1 : 0), el("dd", {}, money(usd))])),
    `Headroom saved ${money(bill.saved_usd)}, less what its own tool costs`,
  ];
}

function causes() {
  const all = page.causes.map((cause, n) => el("li", { class: "cause" },
    el("span", { class: "rank", "aria-hidden": "true" }, String(n + 1)),
    el("div", {}, el("p", { class: "what" }, cause.what), el("p", { class: "advice" }, cause.advice)),
    el("p", { class: "lost" }, el("b", {}, optional(cause.lost_usd)), el("span", { class: "why block" }, `${count(cause.requests)} requests`))));
  fill(byId("cache-causes"), el("h2", {}, "What costs most, and what to do"), all.length ? el("ol", {}, all) : el("p", { class: "none" }, "Nothing was lost in this range."));
}

function losses() {
  const size = (loss) => loss.lost_usd ?? 0;
  const most = Math.max(1e-12, ...page.losses.map(size));
  const tokens = Math.max(1, ...page.losses.map((loss) => loss.tokens));
  const priced = page.losses.some((loss) => size(loss) > 0);
  const rows = page.losses.map((loss) => {
    const { label, why } = missReason(loss.reason);
    return [el("div", { class: "named" }, el("span", { class: "name" }, label), el("span", { class: "why" }, why), bar(priced ? size(loss) / most : loss.tokens / tokens, 1, "warn")), count(loss.requests), compact(loss.tokens), loss.tokens > 0 ? optional(loss.lost_usd) : "–"];
  });
  fill(byId("cache-losses"), el("h2", {}, "Lost, by reason"), rows.length
    ? table("What was lost to each reason, the most expensive first", [{ title: "Reason" }, { title: "Requests", number: true }, { title: "Tokens", number: true, minor: true }, { title: "Lost", number: true }], rows)
    : el("p", { class: "none" }, "Everything that could have been read was read."));
}

function hours() {
  const unit = RANGES[range()][1] > HOURLY ? DAY : HOUR;
  const sums = new Map();
  for (const hour of page.hours) {
    const at = Math.floor(Date.parse(hour.start) / unit) * unit;
    const sum = sums.get(at) ?? { bill: 0, lost: 0, readable: 0, read: 0 };
    sums.set(at, { bill: sum.bill + hour.total_usd, lost: sum.lost + hour.lost_usd, readable: sum.readable + hour.totals.readable_tokens, read: sum.read + hour.totals.read_tokens });
  }
  const from = Math.floor(Date.parse(page.since) / unit) * unit;
  const to = Math.max(Date.parse(page.until) - 1, ...sums.keys());
  const times = [];
  for (let at = from; at <= to && times.length < 1_000; at += unit) times.push(at);
  const of = (name) => times.map((at) => sums.get(at)?.[name] ?? 0);
  const series = unit === DAY ? "daily" : "hourly";
  charts.money.show(times, [of("bill"), of("lost")], series);
  charts.tokens.show(times, [of("readable"), of("read")], series);
}

function groups() {
  for (const button of byId("cache-by").children) button.setAttribute("aria-pressed", String(button.dataset.by === by()));
  const all = page.groups.filter((group) => group.by === by());
  const { shown, button } = some(`cache-${by()}`, all, FEW, groups);
  const rows = shown.map((group) => {
    const { totals } = group;
    return [
      el("button", { type: "button", class: "link name", on: { click: () => change({ [group.by]: group.value }) } }, attribute(group.by, group.value)),
      count(totals.requests),
      percent(totals.readable_tokens > 0 ? totals.read_tokens / totals.readable_tokens * 100 : NaN),
      optional(group.total_usd), optional(group.lost_usd),
      group.worst_reason ? missReason(group.worst_reason).label : "–",
    ];
  });
  const columns = [{ title: attribute(by()) }, { title: "Requests", number: true, minor: true }, { title: "Read of what could be", number: true }, { title: "Bill", number: true, minor: true }, { title: "Lost", number: true }, { title: "Most to", minor: true }];
  fill(byId("cache-groups"), rows.length ? table(`What was lost, by ${attribute(by()).toLowerCase()}. A name's button shows its own page.`, columns, rows) : el("p", { class: "none" }, "No request in this range names one."), button);
}

function lines() {
  const { shown, button } = some("cache-lines", page.volatile_lines, FEW, lines);
  const rows = shown.map((line) => [el("span", {}, `line ${count(line.line)}`, el("span", { class: "why block" }, line.stack ? stackName(line.stack) : "unknown stack")), line.classes.map((name) => el("span", { class: "chip" }, name)), el("code", {}, line.prompt), count(line.requests), optional(line.lost_usd)]);
  fill(byId("cache-lines"), el("h2", {}, "Lines of system prompts that change"),
    rows.length ? table("Lines that were not the same in every request", [{ title: "Line" }, { title: "What changes" }, { title: "Prompt", minor: true }, { title: "Changed in", number: true, minor: true }, { title: "Lost", number: true }], rows) : el("p", { class: "none" }, "None."),
    button,
    el("p", { class: "small" }, "Headroom keeps digests of lines and the kind of what changes in them, never their text. A prompt is named by the digest of its first line."));
}

function whatIfs() {
  const rows = page.what_if.map((it) => [el("span", {}, whatIf(it.name), el("span", { class: "why block" }, it.about)), count(it.requests), el("span", { class: it.saved_usd < 0 ? "loss" : "" }, money(it.saved_usd))]);
  fill(byId("cache-what-if"), el("h2", {}, "What else would have saved"),
    rows.length ? table("Simulated from the same requests", [{ title: "With" }, { title: "Requests", number: true }, { title: "Saved", number: true }], rows) : el("p", { class: "none" }, "Nothing was simulated."),
    el("p", { class: "small" }, "Simulated from these requests. Nothing is switched on by itself. A number below zero would have cost more."));
}
