//! The plugin configuration: JSON, read leniently.
//!
//! An unknown key is a warning. A value that cannot be used is replaced by its default and counted. Values
//! that say what may be done to requests are stricter: where a `mode`, a `profile`, or a rule of `rules` or
//! `tools` cannot be read, the filter passes the requests that it applies to. Nothing rejects the
//! configuration: Envoy would refuse to start, or refuse the update, and requests would fail because of a
//! typing error (I1).
//!
//! | key | default | meaning |
//! |---|---|---|
//! | `mode` | `"optimize"` | `optimize`: compress; `audit`: measure what that would save, and forward the body as it was; `simulate`: the same, and report the form that each output would have got; `off`: pass everything |
//! | `rules` | `[]` | `{"host": "…", "path": "…", "route": "…", "mode": "…", "profile": "…", "breakpoints": "…", "align": "…", "cache": "…", "history": "…", "text_model": "…", "provider": "…", "project": "…"}`: globs over the request's host without its port, its path without its query, and Envoy's name of its route; the first rule whose conditions all hold decides about mode, profile, breakpoints, aligner, cache, history and text model (the configuration's own where it says nothing; `align` and `text_model` are `on` or `off`) and names the provider in reports, and the project of requests that name none |
//! | `body_mode` | `"strip"` | `strip`: forward without `content-length`; `hold`: hold the headers and forward the exact length, needs `allow_on_headers_stop_iteration: true` in Envoy's `PluginConfig` |
//! | `profile` | `"balanced"` | `lossless`, `conservative`, `balanced`, `aggressive`: how strongly tool outputs may be shortened |
//! | `code_aware` | `false` | with `reversible`: leave out bodies of functions of source files that are read as a whole (docs/code-aware.md) |
//! | `pressure` | `false` | press new tool outputs harder as the conversation passes 90,000, 180,000 and 260,000 tokens |
//! | `history` | `"append"` | `append`: what a provider was sent is only ever extended; `epochs`: with `reversible`, old tool outputs are rewritten at boundaries of a conversation where that pays, in requests without thinking or reasoning (docs/epochs.md) |
//! | `text_model.mode` | `"off"` | `on`: with `reversible`, a text model in headroomd shortens prose that no form shortens, when it is first seen, in requests without thinking or reasoning; such a request waits for it. Needs `control_plane` (docs/text-model.md) |
//! | `text_model.min_tokens` | 500 | shorter prose stays as it is |
//! | `text_model.timeout_ms` | 10000 | how long a request waits; what is not done by then stays as it is, for good |
//! | `epochs.window_tokens` | 100000 | the number of tokens that a conversation should stay below |
//! | `epochs.step_tokens` | a quarter of the window | from one boundary to the next |
//! | `epochs.keep_turns` | 4 | outputs of this many newest turns of the model stay |
//! | `epochs.read_lifecycle` | `true` | reads of files that were edited or read again later are replaced |
//! | `epochs.intelligent_context` | `true` | where the window is full, the least important outputs are shortened or dropped |
//! | `epochs.weights` | 20, 20, 25, 15, 15, 5 | what makes an output important: `recency`, `semantic_similarity`, `retrieval_rate`, `error_indicators`, `forward_references`, `token_density` |
//! | `epochs.prices` | `[]` | `{"model": "…", "read_percent": 10, "write_percent": 125}`: what a model's prompt cache costs, in percent of the price of input; the first glob that matches the model's name counts; 10 and 125 if none does; 100 and 100 where there is no cache |
//! | `epochs.asked_back` | `[]` | `{"tool": "…", "percent": 30}`: how often models fetch outputs of a tool, as `headroomctl tune` writes it |
//! | `breakpoints` | `"off"` | `5m` or `1h`: set breakpoints of Anthropic's prompt cache in requests whose client sets none, with this lifetime; `1h` only on Anthropic's own API, elsewhere it is `5m` (docs/prompt-cache.md) |
//! | `align` | `[]` | rules of the aligner, as `headroomctl cache suggest` writes them: `{"prompt": "…", "lines": [{"line": 5, "class": "date"}], "trim": false}`: in the system prompt that has the digest `prompt`, these lines move to the end (docs/prompt-cache.md) |
//! | `tools` | `[]` | rules `{"tool": "Read*", "policy": "off"\|"lossless"\|"lossy"}`; the first whose glob matches the tool's name wins |
//! | `kinds` | `{}` | `{"log": "off"\|"lossless"\|"lossy", …}`: the same by what an output contains (`json`, `json_lines`, `source`, `search`, `log`, `test_build`, `diff`, `table`, `listing`, `html`, `history`, `snapshot`, `text`); of the policies for the tool and for the kind the stricter one counts |
//! | `reversible` | `false` | leave parts of large outputs out of requests whose model can fetch them; the request itself carries them |
//! | `store_originals` | `true` for requests whose client lists `headroom_retrieve` itself, else `false` | send copies of what is left out to the sidecar, for people, MCP and sub-agents; no form depends on them |
//! | `retrieve_tool` | `"add"` | with `reversible`, how the model gets them back: `add`: the filter adds the tool `headroom_retrieve` to requests that have tools, and answers its calls; `require`: only in requests that list the tool already, as with Headroom's MCP server; `never`: the filter adds no tool and looks for none, in requests that have tools: for clients whose model can ask in another way |
//! | `own_tools` | `[]` | tools of memory that the filter adds to requests that have tools, and whose calls headroomd answers: `memory`: `memory_save`, `memory_search`, `memory_update`, `memory_delete`, `memory_list`; `memory_20250818`: Anthropic's, on Anthropic's API. Nothing is added where the client brings such a tool. Needs `control_plane` (docs/memory.md) |
//! | `memory_context` | `false` | facts of memory are put to the end of the first message of the user, in requests that neither ask for reasoning nor bring some back; decided and recorded by headroomd before the first request of a conversation is forwarded. Needs `control_plane` (docs/memory.md) |
//! | `providers` | `[]` | `{"cluster": "…", "authority": "…", "path_from": "…", "path_prefix": "…"}`: how the routes to a cluster rewrite host and path: `path_prefix` is put before the path, or replaces `path_from` if that is given; of several entries for a cluster, the first counts whose `path_from` the path begins with. Calls of the filter's own tools are answered with requests that go to the cluster directly |
//! | `max_body_bytes` | 33554432 | longer bodies are forwarded as they are |
//! | `max_block_bytes` | 8388608 | longer tool outputs are forwarded as they are |
//! | `min_block_bytes` | 64 | shorter tool outputs are forwarded as they are |
//! | `memo_bytes` | 33554432 | RAM for remembered replacements, per worker |
//! | `bodies_in_work` | 8 | a worker processes at most this many bodies at a time; others wait in order; 0: no limit |
//! | `path_prefixes` | `[]` | prefixes under which the providers' paths also match: `/anthropic` makes `/anthropic/v1/messages` match; the path of an OpenAI client's base URL is one too: `/api/paas/v4` makes `/api/paas/v4/chat/completions` match |
//! | `accept_encoding` | `"identity"` | `identity`: ask the provider for an answer that usage can be read from; `keep`: leave the client's header, except where the filter adds its tool and has to read the answer |
//! | `read_usage` | `true` | read token usage from the provider's answer |
//! | `response_headers` | `true` | tell the client in `x-headroom-*` response headers what was saved |
//! | `first_frame_timeout_ms` | 60000 | a WebSocket session is ended if the client sends nothing for this long after it was opened; 0: never |
//! | `tenant`, `project` | `""` | written into every record; originals also belong to the tenant |
//! | `tenant_from` | `"configured"` | where the tenant's name comes from: `configured`: `tenant`; `header:NAME`: a request header that a filter before this one sets; `peer`: the client's certificate, by its first URI or DNS name, else its subject; `key`: a hash of the credential; `token`: headroomd decides, by the token that the client sends; `client`: the client, in `x-headroom-user-id`, only where clients can be trusted. If this gives no name, `tenant` counts |
//! | `team_header` | `"x-headroom-team"` | the request header that names the team whose budget a request is charged to |
//! | `cache.mode` | `"off"` | the answer cache (docs/answers.md): `exact`: answers requests that are identical to an earlier one; `semantic`: also questions without history that are nearly identical, which is experimental |
//! | `cache.secret` | `$HEADROOM_CACHE_SECRET` | the secret from which the cache keys of requests are made, 16 characters or more; without it the answer cache is off. Replicas that share a sidecar need the same one |
//! | `cache.ttl_seconds` | 600 | an answer is kept for this long |
//! | `cache.timeout_ms` | 50 | how long a request waits for the sidecar's answer |
//! | `cache.wait_ms` | 10000 | how long a request waits for the answer to an identical request that is under way; 0: it goes to the provider at once |
//! | `cache.max_body_bytes` | 1048576 | longer requests and longer answers are not cached |
//! | `cache.nondeterministic` | `false` | also requests that ask for a temperature above 0, or for several choices |
//! | `cache.similarity` | 95 | with `semantic`, two questions are nearly identical from this cosine on, in percent |
//! | `control_plane.cluster` | none | the Envoy cluster of the sidecar; without it there are no reports |
//! | `control_plane.http_cluster` | none | the cluster of the sidecar's HTTP server, if requests to it go through the filter: the filter writes the tenant into their `x-headroom-user-id` and leaves their other `x-headroom-*` headers |
//! | `control_plane.timeout_ms` | 2000 | deadline of one report, and of one original or one fact that the model asks for |
//! | `control_plane.report_interval_ms` | 1000 | time between reports; with `hold` at most 1000 |
//! | `control_plane.max_backoff_ms` | 30000 | longest pause after failed reports |
//! | `control_plane.queue_records` | 2048 | records kept while the sidecar does not answer; the oldest are dropped first |
//! | `control_plane.queue_bytes` | 4194304 | the same, in bytes |
//! | `control_plane.blocks_per_record` | 128 | blocks listed in one record; the newest are kept |
//! | `control_plane.log_messages` | `false` | send the texts of requests and answers to the sidecar, for `/transformations/feed`; `headroomd` shows them with `--log-messages` only |
//! | `control_plane.log_bytes` | 16384 | at most this many bytes of the newest messages of a request, and at most this many of its answer |
//! | `control_plane.token` | `$HEADROOM_TOKEN` | sent to the sidecar as a bearer token; the variable is read in the VM, set in Envoy's `vm_config.environment_variables` |

mod control_plane;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use headroom_compress::{Epochs, Kind, MemoryTools, Policy, Profile, RetrieveTool, ToolRule};
use headroom_providers::align;
use headroom_providers::cache_edits::Lifetime;

use self::control_plane::control_plane;
pub use self::control_plane::{ControlPlane, Token};
use crate::answer_cache::settings::{CacheMode, CacheSettings};
use crate::epochs;
use crate::lenient::Reader;
use crate::mode::{MODES, Mode, PROFILES};
use crate::prompt_cache::{self, BREAKPOINTS, NO_BREAKPOINTS};
use crate::rules::{self, Rule, Treatment};
use crate::structure;
use crate::tenant::TenantSource;
use crate::text_model::settings::TextModelSettings;

/// Up to this length a serialized `GrpcService` is valid UTF-8 and each of its lengths fits in one byte.
pub const MAX_CLUSTER_NAME_BYTES: usize = 125;

/// How a body is forwarded whose length has changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BodyMode {
    /// Headers leave at once, without `content-length`.
    #[default]
    Strip,
    /// Headers wait for the body and leave with its exact length.
    Hold,
}

/// What to do with the client's `accept-encoding`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AcceptEncoding {
    /// Replace it by `identity`.
    #[default]
    Identity,
    /// Leave it; usage is not read from encoded answers.
    Keep,
}

/// The plugin configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What happens to a matching request.
    pub mode: Mode,
    /// Rules that treat some requests differently.
    pub rules: Vec<Rule>,
    /// Breakpoints for clients that set none, and the lifetime of what they write to the cache.
    pub breakpoints: Option<Lifetime>,
    /// Lines of system prompts that move.
    pub align: Vec<align::Rule>,
    /// How a body is forwarded whose length has changed.
    pub body_mode: BodyMode,
    /// The engine's part, which says nothing of old turns.
    pub engine: headroom_compress::Config,
    /// Whether old turns are rewritten.
    pub rewrites_history: bool,
    /// How they are.
    pub epochs: Epochs,
    /// What a text model may do to prose.
    pub text_model: TextModelSettings,
    /// Whether something may be left out.
    pub reversible: bool,
    /// Whether copies of it go to the sidecar's store; `None`: only where the client lists
    /// `headroom_retrieve` itself.
    pub store_originals: Option<bool>,
    /// How the model fetches what was left out.
    pub retrieve_tool: RetrieveTool,
    /// Memory tools that are added to requests.
    pub memory_tools: MemoryTools,
    /// Whether conversations begin with facts of memory.
    pub memory_context: bool,
    /// How routes rewrite requests.
    pub providers: Vec<Provider>,
    /// Memory for remembered replacements. Bytes.
    pub memo_bytes: usize,
    /// At most this many bodies are in work at a time in a worker; 0: no limit.
    pub bodies_in_work: u32,
    /// Prefixes under which the providers' paths also match, each starting with `/` or empty.
    pub path_prefixes: Vec<String>,
    /// What to do with the client's `accept-encoding`.
    pub accept_encoding: AcceptEncoding,
    /// Whether usage is read from answers.
    pub read_usage: bool,
    /// Whether the client is told what was saved.
    pub response_headers: bool,
    /// How long a WebSocket session may stay open before the client sends its first frame; 0: without limit.
    /// Milliseconds.
    pub first_frame_timeout_ms: u32,
    /// Written into every record, unless `tenant_from` gives another name.
    pub tenant: String,
    /// Where the tenant's name comes from.
    pub tenant_from: TenantSource,
    /// The request header that names the team, in lower case.
    pub team_header: String,
    /// Written into every record.
    pub project: String,
    /// When answers are given again.
    pub cache: CacheSettings,
    /// The sidecar; `None`: no reports.
    pub control_plane: Option<ControlPlane>,
}

/// How the routes to a cluster rewrite a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Provider {
    /// The Envoy cluster.
    pub cluster: String,
    /// The host that the routes set; `None`: the client's stays.
    pub authority: Option<String>,
    /// Whole segments that are removed from the beginning of the path; empty: none.
    pub path_from: String,
    /// Put before the rest of the path; empty or starting with `/`.
    pub path_prefix: String,
}

impl Provider {
    /// The rest of a path without `path_from`; `None`: the path does not begin with it.
    pub(crate) fn rest<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let rest = path.strip_prefix(self.path_from.as_bytes())?;
        let is_whole = self.path_from.is_empty() || matches!(rest.first(), None | Some(b'/' | b'?'));
        is_whole.then_some(rest)
    }
}

/// A configuration and the problems that were found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The configuration.
    pub config: Config,
    /// For the log, one sentence each.
    pub warnings: Vec<String>,
    /// Values that were replaced by their default.
    pub errors: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            rules: Vec::new(),
            breakpoints: None,
            align: Vec::new(),
            body_mode: BodyMode::default(),
            engine: headroom_compress::Config::default(),
            rewrites_history: false,
            epochs: Epochs::default(),
            text_model: TextModelSettings::default(),
            reversible: false,
            store_originals: None,
            retrieve_tool: RetrieveTool::Add,
            memory_tools: MemoryTools::NONE,
            memory_context: false,
            providers: Vec::new(),
            memo_bytes: 32 << 20,
            bodies_in_work: 8,
            path_prefixes: Vec::new(),
            accept_encoding: AcceptEncoding::default(),
            read_usage: true,
            response_headers: true,
            first_frame_timeout_ms: 60_000,
            tenant: String::new(),
            tenant_from: TenantSource::default(),
            team_header: TEAM_HEADER.to_owned(),
            project: String::new(),
            cache: CacheSettings::default(),
            control_plane: None,
        }
    }
}

impl Config {
    /// Reads a plugin configuration: JSON text or a `google.protobuf.Struct`. Empty bytes are the default
    /// configuration. Bytes that are neither are an error, which names the reason.
    pub fn parse(json: &[u8]) -> Result<Parsed, String> {
        let defaults = Self::default();
        if json.iter().all(u8::is_ascii_whitespace) {
            return Ok(Parsed { config: defaults, warnings: Vec::new(), errors: 0 });
        }
        let object = match serde_json::from_slice(json) {
            Ok(serde_json::Value::Object(object)) => object,
            Ok(_) => return Err("expected a JSON object".to_owned()),
            Err(error) => structure::object(json).ok_or_else(|| error.to_string())?,
        };

        let mut reader = Reader::new(object);
        let mut engine = defaults.engine;
        engine.profile = reader.guarded(
            "profile",
            PROFILES,
            engine.profile,
            (Profile::Lossless, "everything stays lossless"),
        );
        engine.code_aware = reader.flag("code_aware", engine.code_aware);
        engine.pressure = reader.flag("pressure", engine.pressure);
        engine.tools = tool_rules(&mut reader);
        engine.kinds = kind_policies(&mut reader);
        engine.max_body_bytes = reader.bytes("max_body_bytes", 1..=MAX_BODY_BYTES, engine.max_body_bytes);
        engine.max_block_bytes = reader.bytes("max_block_bytes", 1..=MAX_BODY_BYTES, engine.max_block_bytes);
        engine.min_block_bytes = reader.bytes("min_block_bytes", 0..=MAX_BODY_BYTES, engine.min_block_bytes);
        let control_plane = reader.section("control_plane").and_then(|mut section| {
            let control_plane = control_plane(&mut section);
            reader.close(section);
            control_plane
        });
        let reversible = reader.flag("reversible", defaults.reversible);
        let store_originals = reader.optional_flag("store_originals");
        if store_originals == Some(true) && control_plane.is_none() {
            reader.warn("store_originals", "needs control_plane; nothing will be stored");
        }
        let mode =
            reader.guarded("mode", MODES, defaults.mode, (Mode::Off, "every request passes untouched"));
        let breakpoints = reader.guarded("breakpoints", BREAKPOINTS, None, NO_BREAKPOINTS);
        let align = prompt_cache::align_rules(&mut reader);
        let mut cache = CacheSettings::read(&mut reader);
        let rewrites_history = reader.guarded("history", epochs::HISTORIES, false, epochs::APPEND);
        let epochs = epochs::read(&mut reader);
        let mut text_model = TextModelSettings::read(&mut reader);
        let default = Treatment {
            mode,
            profile: engine.profile,
            breakpoints,
            align: !align.is_empty(),
            cache: cache.mode,
            rewrites_history,
            text_model: text_model.is_on,
        };
        let mut rules = rules::read(&mut reader, default);
        if !reversible && (rewrites_history || rules.iter().any(|rule| rule.treatment.rewrites_history)) {
            reader.warn("history", "needs reversible; old turns stay as they are");
        }
        if !reversible || control_plane.is_none() {
            withhold_text_model(&mut reader, &mut text_model, &mut rules);
        }
        withhold_cache(&mut reader, &mut cache, &mut rules, control_plane.is_some());
        let config = Self {
            mode,
            rules,
            breakpoints,
            align,
            reversible,
            store_originals,
            retrieve_tool: reader.one_of("retrieve_tool", RETRIEVE_TOOLS, defaults.retrieve_tool),
            memory_tools: memory_tools(&mut reader, control_plane.is_some()),
            memory_context: memory_context(&mut reader, control_plane.is_some()),
            providers: providers(&mut reader),
            rewrites_history,
            epochs,
            text_model,
            body_mode: reader.one_of("body_mode", BODY_MODES, defaults.body_mode),
            engine,
            memo_bytes: reader.bytes("memo_bytes", 0..=MAX_MEMO_BYTES, defaults.memo_bytes),
            bodies_in_work: reader.number("bodies_in_work", 0..=10_000, defaults.bodies_in_work),
            path_prefixes: path_prefixes(&mut reader),
            accept_encoding: reader.one_of("accept_encoding", ACCEPT_ENCODINGS, defaults.accept_encoding),
            read_usage: reader.flag("read_usage", defaults.read_usage),
            response_headers: reader.flag("response_headers", defaults.response_headers),
            first_frame_timeout_ms: reader.number(
                "first_frame_timeout_ms",
                0..=3_600_000,
                defaults.first_frame_timeout_ms,
            ),
            tenant: reader.text("tenant"),
            tenant_from: TenantSource::read(&mut reader),
            team_header: Some(reader.text("team_header"))
                .filter(|name| !name.is_empty())
                .map_or(defaults.team_header, |name| name.to_ascii_lowercase()),
            project: reader.text("project"),
            cache,
            control_plane,
        };
        let (warnings, errors) = reader.finish();
        Ok(Parsed { config, warnings, errors })
    }

    /// What is done to requests that match no rule.
    pub fn treatment(&self) -> Treatment {
        Treatment {
            mode: self.mode,
            profile: self.engine.profile,
            breakpoints: self.breakpoints,
            align: !self.align.is_empty(),
            cache: self.cache.mode,
            rewrites_history: self.rewrites_history,
            text_model: self.text_model.is_on,
        }
    }

    /// Whether something can be left out at all.
    pub fn is_reversible(&self, profile: Profile) -> bool {
        self.reversible && profile != Profile::Lossless
    }

    /// The engine's part for requests that are treated so.
    pub fn engine(&self, treatment: Treatment) -> Cow<'_, headroom_compress::Config> {
        let Treatment { mode, profile, rewrites_history, text_model, .. } = treatment;
        // Whoever only measures asks nobody.
        let text_model = (text_model && mode == Mode::Optimize).then_some(self.text_model.min_tokens);
        if profile == self.engine.profile && !rewrites_history && text_model.is_none() {
            return Cow::Borrowed(&self.engine);
        }
        let epochs = rewrites_history.then(|| Box::new(self.epochs.clone()));
        Cow::Owned(headroom_compress::Config { profile, epochs, text_model, ..self.engine.clone() })
    }

    /// Whether ids in answers may carry traces of hidden rounds.
    pub fn gives_traces(&self) -> bool {
        self.reversible && self.retrieve_tool == RetrieveTool::Add
    }

    /// The configuration that is used when the given one cannot be read at all: every request passes.
    pub fn passthrough() -> Self {
        Self { mode: Mode::Off, ..Self::default() }
    }
}

/// V8 gives a VM 1 GiB; a body exists in it at most about four times at once (the host's copy, the
/// engine's working set, the result).
const MAX_BODY_BYTES: usize = 128 << 20;
/// Leaves room for bodies in the VM's 1 GiB.
const MAX_MEMO_BYTES: usize = 512 << 20;

/// Removed before the request leaves, like all of Headroom's own headers.
const TEAM_HEADER: &str = "x-headroom-team";

const BODY_MODES: &[(&str, BodyMode)] = &[("strip", BodyMode::Strip), ("hold", BodyMode::Hold)];
const ACCEPT_ENCODINGS: &[(&str, AcceptEncoding)] =
    &[("identity", AcceptEncoding::Identity), ("keep", AcceptEncoding::Keep)];
const RETRIEVE_TOOLS: &[(&str, RetrieveTool)] =
    &[("add", RetrieveTool::Add), ("require", RetrieveTool::Require), ("never", RetrieveTool::Assume)];
/// Anthropic's name for the type of its tool.
const MEMORY_FILES: &str = headroom_providers::memory_tools::FILES_TYPE;

fn memory_tools(reader: &mut Reader, has_sidecar: bool) -> MemoryTools {
    let mut tools = MemoryTools::NONE;
    for name in reader.texts("own_tools") {
        match name.as_str() {
            "memory" => tools.facts = true,
            MEMORY_FILES => tools.files = true,
            _ => reader.refuse("own_tools", "expected memory or memory_20250818", "the tool is left out"),
        }
    }
    if tools.any() && !has_sidecar {
        reader.warn("own_tools", "needs control_plane; no tool will be added");
        return MemoryTools::NONE;
    }
    tools
}

fn memory_context(reader: &mut Reader, has_sidecar: bool) -> bool {
    let is_wanted = reader.flag("memory_context", false);
    if is_wanted && !has_sidecar {
        reader.warn("memory_context", "needs control_plane; nothing will be added");
    }
    is_wanted && has_sidecar
}

const POLICIES: &[(&str, Policy)] =
    &[("off", Policy::Off), ("lossless", Policy::Lossless), ("lossy", Policy::Lossy)];

/// What happens where a rule for tools cannot be read.
const UNTOUCHED: &str = "outputs of its tools stay untouched";

/// A rule that cannot be read leaves the outputs of its tools untouched: a guess could change more than was
/// asked for.
fn tool_rules(reader: &mut Reader) -> Vec<ToolRule> {
    let every_tool = || "*".to_owned();
    let mut rules = Vec::new();
    for section in reader.guarded_sections("tools", "outputs of tools without an earlier rule stay untouched")
    {
        let Some(mut section) = section else {
            rules.push(ToolRule { pattern: every_tool(), policy: Policy::Off });
            continue;
        };
        let tool = section.pattern("tool", UNTOUCHED);
        if tool == Ok(None) {
            section.refuse("tool", "expected the name of a tool or a glob, found none", UNTOUCHED);
        }
        let policy = section.required_one_of("policy", POLICIES, UNTOUCHED);
        let misspelt = section.refuse_unknown_keys(UNTOUCHED);
        rules.push(match (tool, policy) {
            (Ok(Some(pattern)), Some(policy)) if !misspelt => ToolRule { pattern, policy },
            (tool, _) => {
                let pattern = tool.ok().flatten().unwrap_or_else(every_tool);
                ToolRule { pattern, policy: Policy::Off }
            }
        });
        reader.close(section);
    }
    rules
}

/// What may be done to content of each kind. A policy that cannot be read counts as the strictest one.
fn kind_policies(reader: &mut Reader) -> Vec<(Kind, Policy)> {
    let Some(mut section) = reader.section("kinds") else { return Vec::new() };
    let careful = (Policy::Off, "content of this kind stays as it is");
    let policies = Kind::ALL
        .into_iter()
        .map(|kind| (kind, section.guarded(kind.name(), POLICIES, Policy::Lossy, careful)))
        .filter(|(_, policy)| *policy != Policy::Lossy)
        .collect();
    reader.close(section);
    policies
}

/// Switches the text model off, for lack of something that it needs.
fn withhold_text_model(reader: &mut Reader, settings: &mut TextModelSettings, rules: &mut [Rule]) {
    if settings.is_on || rules.iter().any(|rule| rule.treatment.text_model) {
        reader.warn("text_model", "needs reversible and control_plane; prose stays as it is");
        settings.is_on = false;
        for rule in rules {
            rule.treatment.text_model = false;
        }
    }
}

/// Switches the cache off if something is missing that it needs.
fn withhold_cache(reader: &mut Reader, cache: &mut CacheSettings, rules: &mut [Rule], has_sidecar: bool) {
    let wanted = cache.mode != CacheMode::Off || rules.iter().any(|it| it.treatment.cache != CacheMode::Off);
    if let Some(lack) = cache.lacks(has_sidecar).filter(|_| wanted) {
        reader.refuse("cache", lack, "the answer cache stays off");
        cache.mode = CacheMode::Off;
        for rule in rules {
            rule.treatment.cache = CacheMode::Off;
        }
    }
}

fn providers(reader: &mut Reader) -> Vec<Provider> {
    let mut providers = Vec::new();
    for mut section in reader.sections("providers") {
        let [cluster, authority, from, prefix] =
            ["cluster", "authority", "path_from", "path_prefix"].map(|key| section.text(key));
        let [path_from, path_prefix] = [from, prefix].map(|path| path.trim_end_matches('/').to_owned());
        let is_path = |path: &str| path.is_empty() || path.starts_with('/');
        if cluster.is_empty() {
            section.refuse("cluster", "expected the name of a cluster", "the provider is left out");
        } else if let Some((key, _)) = [("path_from", &path_from), ("path_prefix", &path_prefix)]
            .into_iter()
            .find(|(_, path)| !is_path(path))
        {
            section.refuse(key, "expected a path that starts with /", "the provider is left out");
        } else {
            let authority = (!authority.is_empty()).then_some(authority);
            providers.push(Provider { cluster, authority, path_from, path_prefix });
        }
        reader.close(section);
    }
    providers
}

fn path_prefixes(reader: &mut Reader) -> Vec<String> {
    let mut prefixes = Vec::new();
    for prefix in reader.texts("path_prefixes") {
        let trimmed = prefix.trim_end_matches('/');
        if prefix.starts_with('/') {
            prefixes.push(trimmed.to_owned());
        } else {
            reader.refuse("path_prefixes", "expected a path that starts with /", "the prefix is left out");
        }
    }
    prefixes
}
