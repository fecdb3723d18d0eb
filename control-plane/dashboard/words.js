// The meanings of names in reports.

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
  code: "Bodies of functions left out",
  llmlingua: "Prose shortened by a text model",
  stale_read: "Read of a file that was edited later",
  superseded_read: "Read of a file that was read again",
  shortened: "Old output shortened",
  dropped: "Old output left out",
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
  cached: "Answered from the cache",
  bypassed: "Bypassed",
  audited: "Measured only",
  simulated: "Planned only",
  too_large: "Body too large",
  encoded: "Body compressed by the client",
  not_understood: "Not understood",
  host_error: "Envoy refused a call",
  empty: "No body",
  aborted: "Client left",
  over_budget: "Budget used up",
  unspecified: "Unknown",
};

const MISSES = {
  first_request: ["First request", "nothing had been written before"],
  lifetime_lapsed: ["Lifetime lapsed", "what had been written had expired"],
  model_changed: ["Model changed", "another model, or another route to it"],
  tools_changed: ["Tools changed", "the tool list was different"],
  system_changed: ["System prompt changed", "the system prompt was different"],
  history_edited_by_client: ["History edited by the client", "the client had changed an earlier message"],
  history_edited_by_headroom: ["History edited by Headroom", "Headroom had changed an earlier message"],
  below_minimum: ["Too short", "shorter than the provider caches"],
  no_breakpoint: ["No breakpoint", "none was set where the provider wants one"],
  look_back_missed: ["Look-back missed", "the last breakpoint that was written lay further back than the provider looks"],
  provider_missed: ["Provider missed", "nothing had changed, but the provider did not find it"],
  unknown: ["Unknown", "no record of what was written is kept"],
  parameters_changed: ["Parameters changed", "thinking, the choice of a tool, or the format of the answer was different"],
};

const WHAT_IF = { one_hour_lifetime: "A lifetime of an hour", breakpoints: "Breakpoints set for clients that set none", keep_alive: "Keeping the cache alive" };

const STACKS = {
  claude_code: "Claude Code",
  claude: "Claude Code",
  codex: "Codex",
  gemini_cli: "Gemini CLI",
  gemini: "Gemini CLI",
  qwen_code: "Qwen Code",
  qwen: "Qwen Code",
  opencode: "OpenCode",
  cline: "Cline",
  roo_code: "Roo Code",
  kilo_code: "Kilo Code",
  aider: "Aider",
  goose: "Goose",
  copilot: "Copilot",
  openhands: "OpenHands",
  zed: "Zed",
  anthropic_sdk: "Anthropic SDK",
  openai_sdk: "OpenAI SDK",
  google_genai_sdk: "Google GenAI SDK",
  mistral_sdk: "Mistral SDK",
  aws_sdk: "AWS SDK",
  litellm: "LiteLLM",
  ai_sdk: "AI SDK",
  langchain: "LangChain",
  curl: "curl",
};

const ATTRIBUTES = { model: "Model", provider: "Provider", project: "Project", stack: "Stack", tenant: "Tenant", team: "Team", key: "Key", outcome: "Outcome", status: "Status", conversation: "Conversation" };

/** An agent's name; says if `headroomctl wrap` started it. */
export function stackName(stack) {
  if (!stack) return "";
  const wrapped = stack.startsWith("wrap_") ? stack.slice("wrap_".length) : null;
  const name = own(STACKS, wrapped ?? stack);
  if (wrapped !== null) return `${name ?? wrapped} (wrapped)`;
  return name ?? stack;
}

/** The name of an attribute, or, with a value, the name of the value. */
export function attribute(name, value) {
  if (value === undefined) return own(ATTRIBUTES, name) ?? name;
  if (name === "stack") return stackName(value);
  return name === "outcome" ? requestOutcome(value) : value;
}

/** Why less was read from the cache than could have been. */
export function missReason(name) {
  const [label, why] = own(MISSES, name) ?? [name ?? "", ""];
  return { label, why };
}

export const whatIf = (name) => own(WHAT_IF, name) ?? name;

/** Why a request failed; empty if it did not. The provider's answer decides, regardless of what was done to the body. */
export function failureOf({ status, outcome, api, error_class: error }) {
  if (status >= 400) return `Failed ${status}`;
  // a call of the compression service has no answer of a provider
  if (outcome === "aborted" || (status === 0 && api !== "compress")) return "Client left";
  return error ? "Failed midway" : "";
}

/** A block's outcome: `{label, why, skipped}`. An unknown name of a newer filter is shown as it is. */
export function blockOutcome(name) {
  const reason = String(name).startsWith("skipped:") ? String(name).slice("skipped:".length) : null;
  if (reason === null) return { label: own(COMPRESSORS, name) ?? name, why: "", skipped: false };
  const [label, why] = own(SKIPPED, reason) ?? [reason, ""];
  return { label, why, skipped: true };
}

export const requestOutcome = (name) => own(REQUESTS, name) ?? name;

// a tool may be called "constructor"
const own = (words, name) => (Object.hasOwn(words, name) ? words[name] : undefined);
