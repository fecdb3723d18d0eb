// The newest requests, each with what was done to its blocks.

import { el, fill, table } from "./dom.js";
import { clock, compact, count, duration, percent } from "./format.js";
import { blockOutcome, requestOutcome } from "./words.js";

/** Requests whose blocks are shown, by id: they stay open when news comes in. */
const open = new Set();

export function showRecent(place, requests) {
  for (const id of open) if (!requests.some((request) => request.request_id === id)) open.delete(id);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.request : undefined;
  const columns = ["Time", "Model", "Outcome", "Tool outputs", "Tokens", "Saved", "Added"];
  const numbers = new Set(["Tokens", "Saved", "Added"]);
  const head = columns.map((title) => el("th", { scope: "col", class: numbers.has(title) ? "number" : null }, title));
  const rows = requests.flatMap((request, n) => lines(place, requests, request, n, columns.length));
  fill(place, el("table", {},
    el("caption", { class: "hidden" }, "The newest requests, newest first. A request's button shows its tool outputs."),
    el("thead", {}, el("tr", {}, head)),
    el("tbody", {}, rows)));
  if (focused !== undefined) {
    [...place.querySelectorAll("button[data-request]")].find((button) => button.dataset.request === focused)?.focus();
  }
}

function lines(place, requests, request, n, width) {
  const id = request.request_id;
  const blocks = request.blocks ?? [];
  const shown = open.has(id);
  const toggle = () => {
    if (!open.delete(id)) open.add(id);
    showRecent(place, requests);
  };
  const time = blocks.length === 0
    ? el("span", { class: "plain" }, clock(request.timestamp))
    : el("button", { type: "button", class: "disclose", "aria-expanded": String(shown), "aria-controls": `blocks-${n}`, "data-request": id, on: { click: toggle } }, clock(request.timestamp));
  const row = el("tr", { class: shown ? "opened" : null },
    el("th", { scope: "row" }, time),
    el("td", {}, el("div", { class: "clip", title: request.model }, request.model || "–"), el("div", { class: "why clip" }, [request.project, request.stack].filter(Boolean).join(" · "))),
    el("td", {}, el("span", { class: `chip ${request.outcome === "compressed" ? "good" : request.status >= 400 ? "bad" : ""}` }, requestOutcome(request.outcome)), request.status >= 400 ? ` ${request.status}` : null),
    el("td", { class: "summary" }, summary(blocks, request.blocks_left_out)),
    el("td", { class: "number" }, `${compact(request.input_tokens_original)} → ${compact(request.input_tokens_optimized)}`),
    el("td", { class: "number" }, percent(request.savings_percent)),
    el("td", { class: "number" }, duration(request.optimization_latency_ms)));
  if (!shown) return [row];
  return [row, el("tr", { class: "inner", id: `blocks-${n}` }, el("td", { colspan: width }, detail(request, blocks)))];
}

/** "3 compressed, 2 too small" */
function summary(blocks, leftOut) {
  const counts = new Map();
  for (const block of blocks) {
    const { label, skipped } = blockOutcome(block.outcome);
    const name = skipped ? label.toLowerCase() : "compressed";
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  if (leftOut > 0) counts.set("not listed", leftOut);
  const parts = [...counts].sort((a, b) => (b[0] === "compressed") - (a[0] === "compressed") || b[1] - a[1]);
  return parts.length ? parts.map(([name, n]) => `${n} ${name}`).join(", ") : "none";
}

function detail(request, blocks) {
  const rows = blocks.map((block) => {
    const { label, why, skipped } = blockOutcome(block.outcome);
    const saved = block.tokens_before - block.tokens_after;
    return [
      block.tool || "–",
      block.kind || "–",
      el("span", {}, el("span", { class: skipped ? "chip" : "chip good" }, label), why ? el("span", { class: "why" }, why) : null, block.pressure ? el("span", { class: "why" }, `pressed ${block.pressure} harder`) : null, block.from_memo ? el("span", { class: "why" }, "known from an earlier turn") : null),
      count(block.tokens_before),
      count(block.tokens_after),
      block.tokens_before ? percent(saved / block.tokens_before * 100) : "–",
    ];
  });
  const columns = [{ title: "Tool" }, { title: "Content" }, { title: "What became of it" }, { title: "Tokens", number: true }, { title: "Forwarded", number: true }, { title: "Saved", number: true }];
  return [table(`Tool outputs of request ${request.request_id}`, columns, rows, { shown: true, class: "blocks" })];
}
