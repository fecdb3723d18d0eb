// The part of the address behind "#": which view is shown and how, so that a link shows the same to someone else.
// It never leaves the browser.

const VIEWS = ["live", "cache", "sessions", "requests", "history"];
const listeners = new Set();

/** The view and its values. */
export function read() {
  const [name, query] = split(location.hash.slice(1));
  return { view: VIEWS.includes(name) ? name : "live", query: new URLSearchParams(query) };
}

function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** The address of a view with these values; what is empty is left out. */
export function to(view, values = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== null && value !== undefined && value !== "") query.set(name, value);
  const text = query.toString();
  return `#${view}${text ? `?${text}` : ""}`;
}

/** The same view with some values changed. `quiet`: going back skips it, as for what is typed. */
export function change(values, { quiet = false } = {}) {
  const { view, query } = read();
  go(to(view, { ...Object.fromEntries(query), ...values }), quiet);
}

/** Goes to an address that `to` has made. */
export function go(address, quiet = false) {
  if (address === (location.hash || "#")) return;
  history[quiet ? "replaceState" : "pushState"](null, "", address);
  tell();
}

/** Calls `listener` at every change. */
export function onChange(listener) {
  listeners.add(listener);
}

function tell() {
  for (const listener of listeners) listener();
}

addEventListener("popstate", tell);
