// Elements made by hand: every text goes in as text, so no name from a request can become markup.

/** An element. `options`: attributes, and `on` with listeners; children are elements, texts, or nothing. */
export function el(name, options = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value === true) {
      element.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, String(value));
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** What went wrong; a screen reader reads it out. */
export const notice = (text) => el("p", { class: "notice", role: "alert" }, text);

export const byId = (id) => document.getElementById(id);

/** Replaces what a place holds, unless it holds the same already: then focus and selection stay. */
export function fill(place, ...children) {
  const next = children.flat().filter(Boolean);
  const same = place.childNodes.length === next.length && next.every((node, i) => node.isEqualNode(place.childNodes[i]));
  if (!same) place.replaceChildren(...next);
}

/**
 * A table with a caption. Columns: `{title, number?, minor?}`, of which the minor ones are not shown on a phone; rows:
 * arrays of texts or elements, the first of which heads its row.
 */
export function table(caption, columns, rows, options = {}) {
  const shape = ({ number, minor }) => [number ? "number" : "", minor ? "minor" : ""].filter(Boolean).join(" ") || null;
  const head = columns.map((column) => el("th", { scope: "col", class: shape(column) }, column.title));
  const line = (cells) => el("tr", {}, cells.map((cell, i) => {
    return i === 0 ? el("th", { scope: "row", class: shape(columns[i]) }, cell) : el("td", { class: shape(columns[i]) }, cell);
  }));
  return el("table", { class: options.class },
    el("caption", { class: options.shown ? null : "hidden" }, caption),
    el("thead", {}, el("tr", {}, head)),
    el("tbody", {}, rows.map(line)));
}

/** A bar of a width between 0 and 1, drawn by the browser and skipped by screen readers. */
export function bar(share, kept = 0, kind = "") {
  const bar = el("span", { class: `bar ${kind}`, "aria-hidden": "true" });
  const whole = el("span", { class: "whole" });
  const inner = el("span", { class: "kept" });
  // through the object model: the page's policy refuses style attributes
  whole.style.width = `${Math.min(100, Math.max(0, share * 100)).toFixed(2)}%`;
  inner.style.width = `${Math.min(100, Math.max(0, kept * 100)).toFixed(2)}%`;
  whole.append(inner);
  bar.append(whole);
  return bar;
}
