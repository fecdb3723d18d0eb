// A bar of the parts of the input: read from the provider's cache, written to it, neither.

import { el } from "./dom.js";
import { compact } from "./format.js";

const PARTS = [["read", "cache_read_tokens", "read from the cache"], ["written", "cache_write_tokens", "written to it"], ["plain", "input_tokens", "neither"]];

/** A bar as wide as a share of its place, of `[class, size, words]`. */
export function stacked(sizes, share = 1) {
  const all = sizes.reduce((sum, [, size]) => sum + Math.max(0, size), 0);
  const bar = el("span", { class: "stack", role: "img", "aria-label": sizes.map(([, size, words]) => `${compact(size)} ${words}`).join(", ") });
  // through the object model: the page's policy refuses style attributes
  bar.style.width = `${Math.min(100, Math.max(1, share * 100)).toFixed(2)}%`;
  for (const [name, size] of sizes) {
    const part = el("span", { class: name });
    part.style.width = `${all > 0 ? (Math.max(0, size) / all * 100).toFixed(2) : 0}%`;
    bar.append(part);
  }
  return bar;
}

export const parts = {
  bar: (usage, share) => stacked(usage ? PARTS.map(([name, field, words]) => [name, usage[field] ?? 0, words]) : [["unknown", 1, "tokens without further details"]], share),
  legend: () => el("p", { class: "legend", "aria-hidden": "true" }, PARTS.map(([name, , words]) => el("span", {}, el("i", { class: `swatch ${name}` }), words))),
};
