// What the names in reports mean, in words.

const COMPRESSORS = {
  json_minify: "JSON layout removed",
  json_table: "JSON as a table",
  json_crush: "JSON items left out",
  line_numbers: "Line numbers thinned",
  seen: "Shown before",
  clean: "White space and escapes",
  fold: "Repeated lines folded",
  search: "Search results shortened",
  log: "Log shortened",
  test_build: "Test output shortened",
  diff: "Diff shortened",
  table: "Table shortened",
  listing: "Listing shortened",
  html: "HTML as text",
  history: "Git history shortened",
  snapshot: "Page snapshot shortened",
  text: "Text shortened",
};

const SKIPPED = {
  too_small: ["Too small", "shorter than the configured minimum"],
  too_large: ["Too large", "longer than the configured maximum"],
  policy_off: ["Switched off", "the configuration says so for this tool or kind of content"],
  retrieved: ["Retrieved", "output of Headroom's own retrieval is never compressed again"],
  not_text: ["Not text", "structured data, or a string that cannot be replaced safely"],
  program: ["For a program", "read by a program at the provider, not by the model"],
  no_gain: ["No gain", "no form of it saves enough tokens"],
  too_costly: ["Too costly", "takes more work than its size allows"],
};

const REQUESTS = {
  compressed: "Compressed",
  unchanged: "Nothing to gain",
  extended: "Nothing to gain; our tool was added",
  bypassed: "Bypassed",
  audited: "Measured only",
  simulated: "Planned only",
  too_large: "Body too large",
  encoded: "Body compressed by the client",
  not_understood: "Not understood",
  host_error: "Envoy refused a call",
  empty: "No body",
  aborted: "Client left",
  unspecified: "Unknown",
};

/** A block's outcome: `{label, why, skipped}`. A name of a newer filter stands for itself. */
export function blockOutcome(name) {
  const reason = String(name).startsWith("skipped:") ? String(name).slice("skipped:".length) : null;
  if (reason === null) return { label: own(COMPRESSORS, name) ?? name, why: "", skipped: false };
  const [label, why] = own(SKIPPED, reason) ?? [reason, ""];
  return { label, why, skipped: true };
}

export const requestOutcome = (name) => own(REQUESTS, name) ?? name;

// a tool may be called "constructor"
const own = (words, name) => (Object.hasOwn(words, name) ? words[name] : undefined);
