// The form to search for requests and conversations. The choice is in the address.

import { change, read } from "./address.js";
import { el, fill } from "./dom.js";
import { attribute } from "./words.js";

const ATTRIBUTES = ["model", "project", "stack", "tenant", "outcome", "status"];
/** The keys of an address and of a query to headroomd, in addition to the text. */
const ALL = [...ATTRIBUTES, "team", "key", "provider", "conversation"];
/** After the last key, in milliseconds. */
const PATIENCE = 300;

/** The values that were chosen, for a query to headroomd. */
export function chosen() {
  const { query } = read();
  return Object.fromEntries(["q", ...ALL].map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value));
}

export class Filters {
  constructor(place, { hint }) {
    this.place = place;
    this.text = el("input", { type: "search", placeholder: hint, "aria-label": "Search", autocomplete: "off", maxlength: 256, on: { input: () => this.typed() } });
    this.selects = new Map(ATTRIBUTES.map((name) => [name, el("select", { "aria-label": attribute(name), on: { change: (event) => change({ [name]: event.target.value }) } })]));
    this.extra = el("span", { class: "chips" });
    this.clear = el("button", { type: "button", class: "quiet", on: { click: () => this.empty() } }, "Clear");
    const search = el("label", { class: "grow" }, "Search", this.text);
    const labels = [...this.selects].map(([name, select]) => el("label", {}, attribute(name), select));
    place.replaceChildren(search, el("details", { class: "more-filters" }, el("summary", {}, "Filters"), el("div", { class: "selects" }, labels)), this.extra, this.clear);
    this.details = place.querySelector("details");
    // on a phone they are collapsed
    this.details.open = !matchMedia("(max-width: 640px)").matches;
    place.addEventListener("submit", (event) => event.preventDefault());
    this.groups = [];
    this.show();
  }

  typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => change({ q: this.text.value.trim() }, { quiet: true }), PATIENCE);
  }

  empty() {
    change(Object.fromEntries(["q", ...ALL].map((name) => [name, ""])));
  }

  /** Takes the existing values from the groups of `/stats-recent`. */
  know(groups) {
    this.groups = groups;
    this.show();
  }

  show() {
    const values = chosen();
    if (document.activeElement !== this.text) this.text.value = values.q ?? "";
    for (const [name, select] of this.selects) this.options(name, select, values[name] ?? "");
    const others = ALL.filter((name) => !ATTRIBUTES.includes(name) && values[name]);
    fill(this.extra, others.map((name) => el("button", { type: "button", class: "quiet", on: { click: () => change({ [name]: "" }) } }, `${attribute(name)}: ${values[name]} ✕`)));
    this.clear.hidden = Object.keys(values).length === 0;
  }

  options(name, select, value) {
    const known = this.groups.filter((group) => group.by === name).map((group) => group.value);
    const fixed = name === "status" ? [["ok", "answered well"], ["failed", "failed"]] : [];
    const all = [["", "any"], ...fixed, ...known.map((it) => [it, attribute(name, it)])];
    if (value && !all.some(([it]) => it === value)) all.push([value, attribute(name, value)]);
    if (document.activeElement !== select) fill(select, all.map(([it, label]) => el("option", { value: it, selected: it === value }, label)));
    select.value = value;
    select.parentElement?.classList.toggle("set", value !== "");
  }
}
