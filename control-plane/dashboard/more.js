// Lists whose rest opens: "and 50 more".

import { el } from "./dom.js";

const opened = new Set();

/** The rows that are shown of a list, and the button that shows all; `name` identifies the list, `again` draws it again. */
export function some(name, rows, few, again) {
  if (rows.length <= few + 1) return { shown: rows, button: null };
  const all = opened.has(name);
  const toggle = () => {
    if (!opened.delete(name)) opened.add(name);
    again();
  };
  const text = all ? "show fewer" : `and ${rows.length - few} more`;
  return { shown: all ? rows : rows.slice(0, few), button: el("button", { type: "button", class: "more", "aria-expanded": String(all), on: { click: toggle } }, text) };
}
