// Asking the sidecar: with the token if one is required, and over a stream that reconnects.

import { byId } from "./dom.js";

const TOKEN = "headroom.token";
/** The sidecar sends a comment every 15 seconds: twice that without a byte means that it is gone. */
const SILENCE_MS = 35_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Why asking failed, in words. */
export const cause = (error) => (error instanceof Refused ? error.message : "Headroom does not answer");

// If storage is not available, the token lives as long as the page.
let token = null;
try {
  token = sessionStorage.getItem(TOKEN);
} catch {
  token = null;
}
// `headroomctl open` puts it after the #, which is not sent to servers; it is removed from the address.
if (location.hash.startsWith("#token=")) {
  const handed = decodeURIComponent(location.hash.slice("#token=".length));
  history.replaceState(null, "", location.pathname + location.search);
  remember(handed);
}

function remember(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(TOKEN);
    else sessionStorage.setItem(TOKEN, value);
  } catch {
    return;
  }
}

let asking = null;

/** Asks the person for the token; callers that need one at the same time wait for the same answer. */
function askForToken(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token");
    const input = byId("token-input");
    byId("token-error").textContent = wrong ? "That token was not accepted." : "";
    input.value = "";
    // there is nothing to show behind it, so Escape does not close it
    dialog.oncancel = (event) => event.preventDefault();
    dialog.addEventListener("close", () => {
      remember(input.value.trim());
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
    input.focus();
  });
  return asking;
}

/** An answer with status 200, or `Refused`. */
export async function ask(path, options = {}) {
  for (;;) {
    const shown = token;
    const headers = shown ? { authorization: `Bearer ${shown}` } : {};
    const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    if (answer.ok) return answer;
    if (answer.status === 401) {
      // another request may have got a newer token in the meantime
      if (shown === token) await askForToken(shown !== null);
      continue;
    }
    throw new Refused(answer.status, await reason(answer));
  }
}

async function reason(answer) {
  const text = await answer.text().catch(() => "");
  try {
    return JSON.parse(text).error.message;
  } catch {
    return answer.status === 503 ? "headroomd does not answer" : `the answer was ${answer.status}`;
  }
}

export const json = async (path, options) => (await ask(path, options)).json();

/** Saves the answer of a path as a file. */
export async function save(path, name) {
  const blob = await (await ask(path)).blob();
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Server-sent events, read by hand because `EventSource` cannot send a token. Reconnects by itself with growing
 * pauses; `retry()` reconnects at once. `on.event(name, data)`, `on.open()`, `on.lost(message, waitMs)`.
 */
export function listen(path, on) {
  let stop = new AbortController();
  let wake = () => {};
  let paused = false;
  let wait = FIRST_RETRY_MS;

  async function once() {
    stop = new AbortController();
    let silence = setTimeout(() => stop.abort(), SILENCE_MS);
    try {
      const answer = await ask(path, { signal: stop.signal });
      on.open();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) throw new Error("the connection was closed");
        clearTimeout(silence);
        silence = setTimeout(() => stop.abort(), SILENCE_MS);
        buffer += value;
        const events = buffer.split("\n\n");
        buffer = events.pop();
        for (const event of events) {
          const field = (name) => event.split("\n").filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)).join("\n");
          const data = field("data");
          if (data) {
            wait = FIRST_RETRY_MS;
            const name = field("event");
            // a mistake in showing figures is not a lost connection
            queueMicrotask(() => on.event(name, JSON.parse(data)));
          }
        }
      }
    } finally {
      clearTimeout(silence);
    }
  }

  (async () => {
    for (;;) {
      try {
        if (!paused) await once();
      } catch (error) {
        if (!paused) on.lost(cause(error), wait);
      }
      await new Promise((resolve) => {
        wake = resolve;
        if (!paused) setTimeout(resolve, wait);
      });
      wait = Math.min(wait * 2, LAST_RETRY_MS);
    }
  })();

  return {
    retry() {
      wait = FIRST_RETRY_MS;
      wake();
    },
    pause() {
      paused = true;
      stop.abort();
    },
    resume() {
      if (!paused) return;
      paused = false;
      this.retry();
    },
  };
}
