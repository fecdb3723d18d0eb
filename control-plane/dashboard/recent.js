// A table of requests. A request's button opens its drawer.

import { change, to } from "./address.js";
import { el, fill, table } from "./dom.js";
import { clock, compact, duration, percent, when } from "./format.js";
import { costOf } from "./money.js";
import { some } from "./more.js";
import { blockOutcome, failureOf, requestOutcome, stackName } from "./words.js";

/** Rows of the live view before the rest opens. */
const FEW = 6;

export function showRecent(place, requests) {
  const { shown, button } = some("recent", requests, FEW, () => showRecent(place, requests));
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.request : undefined;
  fill(place, requestTable(shown, "The newest requests, newest first. A request's button shows what was done to it."), button, el("p", { class: "small" }, el("a", { href: to("requests") }, "All requests that are kept, with search and filters")));
  if (focused !== undefined) [...place.querySelectorAll("button[data-request]")].find((it) => it.dataset.request === focused)?.focus();
}

/** `dated`: with the day. */
export function requestTable(requests, caption, { dated = false } = {}) {
  const columns = [
    { title: "Time" }, { title: "Model" }, { title: "Outcome" }, { title: "Tool outputs", minor: true }, { title: "Tokens", number: true, minor: true },
    { title: "Saved", number: true }, { title: "Cost", number: true, minor: true }, { title: "Added", number: true, minor: true },
  ];
  return table(caption, columns, requests.map((request) => cells(request, dated)), { class: "requests" });
}

function cells(request, dated) {
  const id = request.request_id;
  const [minute, second] = [clock(request.timestamp).slice(0, 5), clock(request.timestamp).slice(5)];
  const time = dated ? when(request.timestamp) : [minute, el("span", { class: "minor" }, second)];
  const names = [request.project, stackName(request.stack), request.tenant].filter(Boolean).join(" · ");
  return [
    el("button", { type: "button", class: "link", "aria-haspopup": "dialog", "data-request": id, on: { click: () => change({ request: id }) } }, time),
    el("span", {}, el("span", { class: "clip", title: request.model }, request.model || "–"), names ? el("span", { class: "why clip", title: names }, names) : null),
    outcome(request),
    summary(request.blocks ?? [], request.blocks_left_out),
    `${compact(request.input_tokens_original)} → ${compact(request.input_tokens_optimized)}`,
    percent(request.savings_percent),
    costOf(request),
    duration(request.optimization_latency_ms),
  ];
}

/** The outcome of a request: a failure has priority over what was done to the body. */
export function outcome(request) {
  const failure = failureOf(request);
  if (failure) return el("span", {}, el("span", { class: "chip bad" }, failure), el("span", { class: "why block" }, request.error_class || requestOutcome(request.outcome)));
  return el("span", { class: `chip ${request.outcome === "compressed" ? "good" : ""}` }, requestOutcome(request.outcome));
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
