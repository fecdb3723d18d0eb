// One request: where it came from, what it cost, and what was done to each of its tool outputs.

import { change, read, to } from "./address.js";
import { cause, json } from "./api.js";
import { compare } from "./compare.js";
import { byId, el, fill, notice } from "./dom.js";
import { compact, count, dollars, duration, percent, when } from "./format.js";
import { costOf, savedOf } from "./money.js";
import { outcome } from "./recent.js";
import { blockOutcome, failureOf, missReason, requestOutcome, stackName } from "./words.js";

let shown = null;

export function start() {
  const dialog = byId("drawer");
  byId("drawer-close").addEventListener("click", () => dialog.close());
  // outside of it is the dialog itself
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    shown = null;
    if (read().query.get("request")) change({ request: "" });
  });
}

/** Shows the request that the address names, or none. */
export async function show() {
  const id = read().query.get("request");
  const dialog = byId("drawer");
  if (!id) {
    if (dialog.open) dialog.close();
    return;
  }
  if (id === shown) return;
  shown = id;
  byId("drawer-title").textContent = "Request";
  fill(byId("drawer-body"), el("p", { class: "none" }, "Reading the request …"));
  if (!dialog.open) dialog.showModal();
  try {
    const page = await json(`/transformations/feed?${new URLSearchParams({ request: id, limit: "1" })}`);
    if (id !== shown) return;
    const [request] = page.transformations;
    fill(byId("drawer-body"), request ? body(request, page.log_full_messages) : el("p", { class: "notice" }, `This request is not kept: headroomd keeps only the newest ${count(page.reach?.most ?? 10_000)} requests.`));
    if (request) byId("drawer-title").textContent = `Request at ${when(request.timestamp)}`;
  } catch (error) {
    if (id === shown) fill(byId("drawer-body"), notice(`The request could not be read: ${cause(error)}.`));
  }
}

const fact = (name, value, more) => (value === null || value === undefined || value === "" ? null : el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("span", { class: "why block" }, more) : null)));

function body(request, logged) {
  return [
    el("p", { class: "headline" }, outcome(request), failureOf(request) && request.error_class ? el("span", { class: "why" }, requestOutcome(request.outcome)) : null, el("code", { class: "id" }, request.request_id)),
    el("dl", { class: "facts" }, facts(request)),
    ...cache(request),
    el("h3", {}, "Tool outputs"),
    ...blocks(request, logged),
    ...messages(request, logged),
  ];
}

function facts(request) {
  const usage = request.usage;
  const link = (view, values, text) => el("a", { href: to(view, values) }, text);
  const name = (by, value, text = value) => (value ? link("requests", { [by]: value }, text) : null);
  return [
    fact("Model", request.model, request.answered_model && request.answered_model !== request.model ? `answered by ${request.answered_model}` : null),
    fact("Provider", request.provider, request.api),
    fact("Project", name("project", request.project)),
    fact("Stack", name("stack", request.stack, stackName(request.stack))),
    fact("Tenant", name("tenant", request.tenant)),
    fact("Team", name("team", request.team)),
    fact("Key", name("key", request.key), request.key ? "a hash of the credential" : null),
    fact("Conversation", request.conversation_id ? link("sessions", { conversation: request.conversation_id }, request.conversation_id) : null),
    fact("WebSocket session", request.session_id),
    fact("Status", request.status || "no answer", [request.error_class, request.stop_reason].filter(Boolean).join(" · ")),
    fact("Tokens", `${count(request.input_tokens_original)} → ${count(request.input_tokens_optimized)}`, `${percent(request.savings_percent)} saved, as the filter counts`),
    fact("Cost", costOf(request), request.cost_usd?.priced && !request.subscription ? `input ${dollars(request.cost_usd.input)}, output ${dollars(request.cost_usd.output)}` : null),
    fact("Saved", savedOf(request), request.cost_usd?.priced && !request.subscription ? "at the price that the tokens would have had" : null),
    usage ? fact("Usage", `${compact(usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens)} in, ${compact(usage.output_tokens)} out`, `${compact(usage.cache_read_tokens)} read from the cache, ${compact(usage.cache_write_tokens)} written to it, ${compact(usage.input_tokens)} outside of it`) : fact("Usage", "not reported"),
    fact("Time", duration(request.total_latency_ms), `Headroom added ${duration(request.optimization_latency_ms)}`),
    request.reasoning?.prefix_mismatches ? fact("Reasoning lost", count(request.reasoning.prefix_mismatches), request.reasoning.changed_by ? `changed by ${request.reasoning.changed_by}` : null) : null,
    request.reasoning?.hidden_rounds ? fact("Retrieved", `${count(request.reasoning.hidden_rounds)} times`, "originals that the model asked for") : null,
  ].filter(Boolean);
}

/** Why less was read from the provider's cache than could have been, if headroomd knows. */
function cache(request) {
  const reason = request.cache_reason;
  const readable = request.cache_readable_tokens;
  if (!reason && typeof readable !== "number") return [];
  const { label, why } = missReason(reason);
  const lost = request.cache_lost_usd > 0 ? `, which cost ${dollars(request.cache_lost_usd)} more` : "";
  const read = typeof readable === "number" ? `${compact(request.usage?.cache_read_tokens ?? 0)} of ${compact(readable)} tokens that could have been read from the cache were${lost}.` : "";
  return [el("h3", {}, "Provider's cache"), el("p", {}, reason ? el("span", { class: "chip warn" }, label) : null, reason ? ` ${why}. ` : "", read)];
}

function blocks(request, logged) {
  const all = request.blocks ?? [];
  if (all.length === 0) return [el("p", { class: "none" }, "There are none in this request.")];
  const texts = new Map((request.logged_blocks ?? []).map((block) => [block.index, block]));
  const notes = [];
  if (texts.size === 0) {
    notes.push(el("p", { class: "small" }, logged
      ? "The text is not here: this request was not logged, or its text was removed to make room for newer ones."
      : ["The text is not shown, because message logging is off. ", el("code", {}, "headroomctl up --log-messages"), " switches it on for new requests; texts are kept in memory only."]));
  }
  if (request.blocks_left_out > 0) notes.push(el("p", { class: "small" }, `The ${count(request.blocks_left_out)} oldest are not listed.`));
  if (request.history?.epochs > 0) notes.push(el("p", { class: "small" }, rewritten(request.history)));
  return [...notes, el("ol", { class: "outputs" }, all.map((block, index) => el("li", {}, blockHead(block), texts.has(index) ? compare(texts.get(index), block) : null)).reverse())];
}

function rewritten(history) {
  const parts = [["stale", "stale reads"], ["superseded", "superseded reads"], ["shortened", "shortened"], ["dropped", "dropped"]];
  const what = parts.filter(([key]) => history[key] > 0).map(([key, name]) => `${count(history[key])} ${name}`).join(", ");
  return `Old outputs were rewritten ${history.epochs === 1 ? "once" : `${count(history.epochs)} times`}${history.now ? ", here for the first time" : ""} (${history.strategy.replaceAll("_", " ")}): ${what}; ${compact(history.tokens_saved)} tokens fewer.`;
}

function blockHead(block) {
  const { label, why, skipped } = blockOutcome(block.outcome);
  const saved = block.tokens_before - block.tokens_after;
  return el("div", { class: "tool-output" },
    el("b", {}, block.tool || "unknown tool"), el("span", { class: "why" }, block.kind),
    el("span", { class: skipped ? "chip" : "chip good" }, label),
    el("span", { class: "why" }, [why, block.pressure ? `pressed ${block.pressure} harder` : "", block.from_memo ? "known from an earlier turn" : "", block.lossy ? "leaves something out" : ""].filter(Boolean).join(" · ")),
    el("span", { class: "amount" }, skipped ? count(block.tokens_before) : `${count(block.tokens_before)} → ${count(block.tokens_after)}`, skipped ? null : ` (${percent(block.tokens_before ? saved / block.tokens_before * 100 : 0)})`));
}

function messages(request, logged) {
  if (!logged || !request.request_messages) return [];
  const text = (message) => (typeof message === "string" ? message : JSON.stringify(message, null, 2));
  const left = request.request_messages_left_out ? `${count(request.request_messages_left_out)} earlier ones are not here` : null;
  return [
    el("details", { class: "text" }, el("summary", {}, `Messages as the client sent them (${count(request.request_messages.length)})`), left ? el("p", { class: "small" }, left) : null, request.request_messages.map((message, n) => pre(text(message), `Message ${n + 1}`))),
    el("details", { class: "text" }, el("summary", {}, "Answer"), pre(request.response_content || "nothing", "Answer"), request.response_content_cut ? el("p", { class: "small" }, "It is longer than that.") : null),
  ];
}

const pre = (text, label) => el("pre", { tabindex: 0, role: "region", "aria-label": label }, text);
