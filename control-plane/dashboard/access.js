// Budgets, and what teams and keys have used.

import { to } from "./address.js";
import { json } from "./api.js";
import { bar, byId, el, fill, table } from "./dom.js";
import { compact, count, dollars, percent, when } from "./format.js";
import { sumOf } from "./money.js";
import { some } from "./more.js";
import { blockOutcome } from "./words.js";

const FRESH = 10_000;
const FEW = 6;

let loaded = 0;
let latest = null;

/** Asks again, unless it has just asked. */
export async function news() {
  if (Date.now() - loaded < FRESH) return;
  loaded = Date.now();
  try {
    const [budgets, recent] = await Promise.all([json("/stats-budgets"), json("/stats-recent")]);
    latest = { budgets, recent };
    draw();
  } catch {
    // the banner shows that the server does not answer; the old figures stay
  }
}

/** The newest failures, the most frequent first: `[name, how many]`. */
export function errors() {
  const groups = latest?.recent.groups.filter((group) => group.by === "error" && group.failed > 0) ?? [];
  return groups.slice(0, 3).map((group) => [group.value, group.failed]);
}

function draw() {
  const { budgets, recent } = latest;
  spent(budgets);
  users(recent);
  missed(recent);
}

function spent({ budgets, configured, left_out: left }) {
  const who = (it) => (it.per === "all" ? "everybody" : `${it.per} ${it.owner}`);
  const amount = (it) => [it.usd_limit === null ? "" : `${dollars(it.usd)} of ${dollars(it.usd_limit)}`, it.tokens_limit === null ? "" : `${compact(it.tokens)} of ${compact(it.tokens_limit)} tokens`].filter(Boolean).join(", ");
  const { shown, button } = some("budgets", budgets, FEW, draw);
  const rows = shown.map((it) => [
    el("div", { class: "named" }, el("span", { class: "name" }, who(it), it.used_up ? el("span", { class: "chip bad small-chip" }, "used up") : null), el("span", { class: "why" }, `per ${it.window}, ${amount(it)}, starts again ${when(it.until)}`), bar(Math.min(1, it.used_percent / 100), 1, it.used_percent >= 80 ? "warn" : "")),
    percent(it.used_percent),
  ]);
  fill(byId("budgets"), el("h2", {}, "Budgets"), rows.length ? table("What was used of each budget", [{ title: "Whose" }, { title: "Used", number: true }], rows) : el("p", { class: "none" }, configured ? "No budget was used yet." : "No budget is set."), button,
    left > 0 ? el("p", { class: "small" }, `${count(left)} more are not listed.`) : null);
}

function users({ groups, reach }) {
  const all = groups.filter((group) => group.by === "team" || group.by === "key");
  const { shown, button } = some("users", all, FEW, draw);
  const rows = shown.map((group) => [
    el("span", {}, el("a", { href: to("requests", { [group.by]: group.value }) }, group.value), el("span", { class: "why block" }, group.by === "key" ? "key" : "team")),
    count(group.requests), count(group.failed), sumOf(group.cost_usd, group),
  ]);
  fill(byId("users"), el("h2", {}, "Teams and keys"), rows.length ? table("What teams and keys have used", [{ title: "Name" }, { title: "Requests", number: true }, { title: "Failed", number: true }, { title: "Bill", number: true }], rows) : el("p", { class: "none" }, "No request names a team or shows a key."), button,
    rows.length ? el("p", { class: "small" }, `In the newest ${count(reach.requests)} requests. A key is a hash of the credential.`) : null);
}

function missed({ missed: all, reach }) {
  const most = Math.max(1, ...all.map((it) => it.tokens));
  const { shown, button } = some("missed", all, FEW, draw);
  const rows = shown.map((it) => {
    const { label, why } = blockOutcome(`skipped:${it.reason}`);
    return [el("div", { class: "named" }, el("span", { class: "name" }, it.tool || "unknown tool"), el("span", { class: "why", title: why }, label), bar(it.tokens / most, 0)), count(it.blocks), compact(it.tokens)];
  });
  fill(byId("missed"), el("h2", {}, "Not changed"), rows.length ? table("Tool outputs that were not changed, by tool and reason", [{ title: "Tool and reason" }, { title: "Outputs", number: true }, { title: "Tokens", number: true }], rows) : el("p", { class: "none" }, "Nothing yet."), button,
    rows.length ? el("p", { class: "small" }, `Missed savings: each output counted once, in the newest ${count(reach.requests)} requests.`) : null);
}
