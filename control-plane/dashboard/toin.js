// What models ask back of what forms leave out.

import { json } from "./api.js";
import { byId, el, fill, table } from "./dom.js";
import { compact, count, percent } from "./format.js";
import { some } from "./more.js";

const FRESH = 10_000;
const FEW = 6;

let loaded = 0;
let latest = null;

/** Asks again, unless that was just done. */
export async function news() {
  if (Date.now() - loaded < FRESH) return;
  loaded = Date.now();
  try {
    latest = await json("/v1/toin/stats");
    draw();
  } catch {
    // the banner says that nothing answers; what was shown stays
  }
}

function draw() {
  const { shown, button } = some("asked-back", latest.patterns, FEW, draw);
  const rows = shown.map((it) => [
    el("span", {}, it.tool, el("span", { class: "why block" }, `${it.kind.replaceAll("_", " ")}, ${it.form.replaceAll("_", " ")}`)),
    count(it.outputs), `${compact(it.tokens_before)} → ${compact(it.tokens_after)}`,
    el("span", {}, count(it.retrievals), el("span", { class: "why block" }, Object.entries(it.parts).map(([part, times]) => `${part} ${count(times)}`).join(", "))),
    typeof it.retrieval_rate === "number" ? el("span", { class: it.recommendation === "lossless" ? "chip bad" : "" }, percent(it.retrieval_rate * 100)) : "",
  ]);
  const columns = [{ title: "Tool" }, { title: "Outputs", number: true }, { title: "Tokens", number: true }, { title: "Asked back", number: true }, { title: "Rate", number: true }];
  fill(byId("asked-back"), el("h2", {}, "Asked back"), rows.length ? table("What models fetched of what was left out", columns, rows) : el("p", { class: "none" }, "Nothing was left out of any output so far."), button);
}
