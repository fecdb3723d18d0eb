// The history view: what was saved over time, of everything or of one project, model, provider or stack.

import { change, read } from "./address.js";
import { cause, json, save } from "./api.js";
import { Bars } from "./chart.js";
import { bar, byId, el, fill, table } from "./dom.js";
import { compact, count, dollars, percent, whole } from "./format.js";
import { tile } from "./live.js";
import { total } from "./money.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Ranges, with the lengths of bars that make sense in each; the first is the one to begin with. */
const RANGES = {
  "24h": { label: "24 hours", ms: DAY, series: ["hourly"] },
  "7d": { label: "7 days", ms: 7 * DAY, series: ["daily", "hourly"] },
  "30d": { label: "30 days", ms: 30 * DAY, series: ["daily", "hourly", "weekly"] },
  "90d": { label: "90 days", ms: 90 * DAY, series: ["daily", "weekly", "monthly"] },
  "1y": { label: "1 year", ms: 365 * DAY, series: ["weekly", "daily", "monthly"] },
  all: { label: "All", ms: null, series: ["monthly", "weekly", "daily"] },
};
const SERIES = { hourly: "hour", daily: "day", weekly: "week", monthly: "month" };
/** Columns that a phone leaves out. */
const MINOR = new Set(["Requests", "Tokens sent", "Dollars, list"]);
const DIMENSIONS = { model: "Model", project: "Project", provider: "Provider", stack: "Stack" };

const chosen = { range: "7d", series: "daily", by: "model", scope: null };
let charts;
let asked = 0;
let known = {};

export function start() {
  charts = {
    tokens: new Bars(byId("history-tokens"), { title: "Tokens over time", lines: [{ label: "sent by clients", colour: "--faded" }, { label: "forwarded", colour: "--accent" }], format: compact }),
    dollars: new Bars(byId("history-dollars"), { title: "Dollars saved over time", lines: [{ label: "at list price", colour: "--faded" }, { label: "cache-adjusted", colour: "--accent" }], format: dollars, ticks: (value) => `$${value.toLocaleString("en-US")}` }),
    requests: new Bars(byId("history-requests"), { title: "Requests over time", lines: [{ label: "requests", colour: "--accent" }], format: compact, ticks: whole }),
    percent: new Bars(byId("history-percent"), { title: "Share of tokens saved over time", lines: [{ label: "saved", colour: "--accent" }], format: percent, ticks: (value) => `${value} %` }),
  };
  choices(byId("range"), "range", Object.entries(RANGES).map(([value, { label }]) => [value, label]));
  choices(byId("series"), "series", Object.entries(SERIES).map(([value, label]) => [value, label]));
  fill(byId("by"), Object.entries(DIMENSIONS).map(([value, label]) => el("button", { type: "button", "data-by": value, on: { click: () => choose({ by: value }) } }, label)));
  byId("scope").addEventListener("change", (event) => {
    const [dimension, ...value] = event.target.value.split("=");
    choose({ scope: dimension ? { dimension, value: value.join("=") } : null });
  });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("export-csv").addEventListener("click", () => exported("csv"));
  byId("export-json").addEventListener("click", () => exported("json"));
}

function choices(place, name, values) {
  const choice = ([value, label]) => {
    const input = el("input", { type: "radio", name, value, on: { change: () => choose({ [name]: value }) } });
    return el("label", { class: "choice" }, input, el("span", {}, label));
  };
  place.append(el("div", { class: "choices" }, values.map(choice)));
}

/** Writes a choice into the address, which `show` then follows. */
function choose(choice) {
  const next = { ...chosen, ...choice };
  const { series } = RANGES[next.range];
  if (!series.includes(next.series)) next.series = series[0];
  const scope = Object.fromEntries(Object.keys(DIMENSIONS).map((name) => [name, next.scope?.dimension === name ? next.scope.value : ""]));
  change({ range: next.range, series: next.series, by: next.by, ...scope });
}

/** Shows what the address says. */
export function show() {
  const { query } = read();
  const one = (name, known, otherwise) => (Object.hasOwn(known, query.get(name)) ? query.get(name) : otherwise);
  chosen.range = one("range", RANGES, "7d");
  const { series } = RANGES[chosen.range];
  chosen.series = series.includes(query.get("series")) ? query.get("series") : series[0];
  chosen.by = one("by", DIMENSIONS, "model");
  const dimension = Object.keys(DIMENSIONS).find((name) => query.get(name));
  chosen.scope = dimension ? { dimension, value: query.get(dimension) } : null;
  load();
}

function shown() {
  for (const input of document.querySelectorAll("#controls input[type=radio]")) {
    input.checked = chosen[input.name] === input.value;
    if (input.name === "series") input.disabled = !RANGES[chosen.range].series.includes(input.value);
  }
  for (const button of byId("by").children) button.setAttribute("aria-pressed", String(button.dataset.by === chosen.by));
}

/** The values that may be chosen, most used first, as `/stats` counts them. */
function scopes() {
  const option = (dimension, value) => el("option", { value: `${dimension}=${value}`, selected: chosen.scope?.dimension === dimension && chosen.scope.value === value }, value);
  const group = ([dimension, label]) => {
    const values = Object.entries(known[`by_${dimension}`] ?? {}).sort((a, b) => b[1] - a[1]).map(([value]) => value);
    // a value in the address may not have been counted yet
    if (chosen.scope?.dimension === dimension && !values.includes(chosen.scope.value)) values.push(chosen.scope.value);
    return values.length ? el("optgroup", { label }, values.map((value) => option(dimension, value))) : null;
  };
  if (document.activeElement !== byId("scope")) fill(byId("scope"), el("option", { value: "" }, "everything"), Object.entries(DIMENSIONS).map(group));
}

/** What the sidecar counts by name, for the choice of a scope. */
export function know(stats) {
  known = stats.requests ?? {};
  scopes();
}

function query(more) {
  const { ms } = RANGES[chosen.range];
  const query = new URLSearchParams(more);
  query.set("from", String(ms === null ? 0 : startOf(Date.now() - ms, chosen.series)));
  if (chosen.scope) query.set(chosen.scope.dimension, chosen.scope.value);
  return `/stats-history?${query}`;
}

async function load() {
  shown();
  scopes();
  const mine = ++asked;
  const place = byId("history-figures");
  place.setAttribute("aria-busy", "true");
  try {
    const page = await json(query({ history_mode: "none", series: chosen.series, by: chosen.by }));
    // there is already a newer choice
    if (mine !== asked) return;
    byId("history-error").hidden = true;
    place.removeAttribute("data-loading");
    draw(page);
  } catch (error) {
    if (mine !== asked) return;
    byId("history-error").textContent = `The history could not be read: ${cause(error)}.`;
    byId("history-error").hidden = false;
  } finally {
    if (mine === asked) place.removeAttribute("aria-busy");
  }
}

function draw(page) {
  const points = page.series[chosen.series] ?? [];
  const sum = (name) => points.reduce((sum, point) => sum + (point[name] ?? 0), 0);
  const before = sum("tokens_before");
  const saved = sum("tokens_saved");
  const all = (usd) => total(usd, left(page.breakdown));
  fill(byId("history-tiles"),
    tile("Tokens saved", compact(saved), `${percent(before ? saved / before * 100 : 0)} of ${compact(before)}`, `${compact(sum("unique_tokens_saved"))} once per tool output`),
    tile("Dollars saved", all(sum("compression_savings_cache_adjusted_usd_delta")), "at the price that the tokens would have had", `${all(sum("unique_savings_cache_adjusted_usd_delta"))} once per output`, `${all(sum("compression_savings_usd_delta"))} at list price`),
    tile("Input cost", all(sum("total_input_cost_usd_delta")), "of what was forwarded"),
    tile("Requests", compact(sum("requests"))));
  const byTime = new Map(points.map((point) => [Date.parse(point.timestamp), point]));
  const times = every(points.map((point) => Date.parse(point.timestamp)));
  const of = (name) => times.map((at) => byTime.get(at)?.[name] ?? 0);
  charts.tokens.show(times, [of("tokens_before"), of("total_input_tokens_delta")], chosen.series);
  charts.dollars.show(times, [of("compression_savings_usd_delta"), of("compression_savings_cache_adjusted_usd_delta")], chosen.series);
  charts.requests.show(times, [of("requests")], chosen.series);
  const share = (point) => (point?.tokens_before ? point.tokens_saved / point.tokens_before * 100 : 0);
  charts.percent.show(times, [times.map((at) => share(byTime.get(at)))], chosen.series);
  breakdown(page.breakdown);
}

const priced = (sums) => ({ requests: sums.requests, unpriced: sums.unpriced_requests ?? 0, subscription: sums.subscription_requests ?? 0 });

/** How many requests of what is shown have no price, according to the breakdown. */
function left(page) {
  const values = page?.values ?? {};
  const { scope } = chosen;
  const counted = scope ? [page?.by === scope.dimension && Object.hasOwn(values, scope.value) ? values[scope.value] : {}] : Object.values(values);
  const none = { requests: 0, unpriced: 0, subscription: 0 };
  return counted.map(priced).reduce((sum, one) => ({ requests: sum.requests + (one.requests ?? 0), unpriced: sum.unpriced + one.unpriced, subscription: sum.subscription + one.subscription }), none);
}

function breakdown(page) {
  const values = Object.entries(page?.values ?? {}).sort(([a, x], [b, y]) => y.tokens_saved - x.tokens_saved || a.localeCompare(b));
  const label = DIMENSIONS[page?.by] ?? "";
  const most = Math.max(1, ...values.map(([, sums]) => sums.tokens_before));
  const rows = values.map(([value, sums]) => [
    el("div", { class: "named" }, el("button", { type: "button", class: "link name", title: value, on: { click: () => choose({ scope: { dimension: page.by, value } }) } }, value), bar(sums.tokens_before / most, sums.tokens_before ? sums.tokens_after / sums.tokens_before : 0)),
    count(sums.requests), compact(sums.tokens_before), compact(sums.tokens_saved), percent(sums.savings_percent),
    total(sums.compression_savings_usd, priced(sums)), total(sums.compression_savings_cache_adjusted_usd, priced(sums)),
  ]);
  const columns = ["Requests", "Tokens sent", "Saved", "Saving", "Dollars, list", "cache-adjusted"].map((title) => ({ title, number: true, minor: MINOR.has(title) }));
  fill(byId("breakdown"), rows.length
    ? table(`What was saved in the range, by ${label.toLowerCase()}. A name's button shows its own charts.`, [{ title: label }, ...columns], rows)
    : el("p", { class: "none" }, "No request in this range names one."));
}

/** Where the bucket of a time begins, in UTC. */
function startOf(ms, series) {
  const at = new Date(ms);
  if (series === "hourly") return Math.floor(ms / HOUR) * HOUR;
  if (series === "monthly") return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
  const day = Math.floor(ms / DAY) * DAY;
  return series === "weekly" ? day - ((at.getUTCDay() + 6) % 7) * DAY : day;
}

/** Every bucket of the range, those without figures too: from its beginning, or from the first figure. */
function every(found) {
  const { ms } = RANGES[chosen.range];
  const now = startOf(Date.now(), chosen.series);
  const first = ms === null ? found[0] ?? now : startOf(Date.now() - ms, chosen.series);
  const times = [];
  // the first of a month and 31 days are always in the next month
  const step = { hourly: HOUR, daily: DAY, weekly: 7 * DAY, monthly: 31 * DAY }[chosen.series];
  for (let at = first; at <= now && times.length < 10_000; at = startOf(at + step, chosen.series)) times.push(at);
  return times;
}

async function exported(format) {
  const name = `headroom-${chosen.scope ? "filtered-" : ""}${chosen.series}-${chosen.range}.${format}`;
  const button = byId(`export-${format}`);
  button.disabled = true;
  try {
    await save(query({ format, series: chosen.series, ...(format === "json" ? { by: chosen.by, history_mode: "compact" } : {}) }), name);
  } catch (error) {
    byId("history-error").textContent = `The export failed: ${cause(error)}.`;
    byId("history-error").hidden = false;
  } finally {
    button.disabled = false;
  }
}
