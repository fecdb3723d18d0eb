//! The arguments of `headroomctl up`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::bootstrap::BodyMode;
use crate::profile::ProfileName;

/// Whether old tool outputs may be rewritten.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum HistoryName {
    /// Old tool outputs stay as they were sent.
    Append,
    /// Old tool outputs are rewritten at boundaries of a conversation.
    Epochs,
}

/// `mode` in the way clap wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ModeName {
    /// Compress
    Optimize,
    /// Measure what that would save, and forward everything unchanged
    Audit,
    /// The same, and record for each request what would have been done
    Simulate,
    /// Forward everything unchanged
    Off,
}

/// `breakpoints` in the way clap wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum BreakpointsName {
    /// Set none
    Off,
    /// Set breakpoints that live for five minutes
    #[value(name = "5m")]
    FiveMinutes,
    /// Set breakpoints that live for an hour on Anthropic's own API, where writing costs more, and for five minutes elsewhere
    #[value(name = "1h")]
    OneHour,
}

/// `cache.mode` in the way clap wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CacheName {
    /// Ask the provider each time
    Off,
    /// Answer an identical request from the cache, for ten minutes
    Exact,
    /// The same, and answer nearly identical questions without history; experimental
    Semantic,
}

/// Runs Envoy with the filter, and headroomd beside it, until Ctrl-C.
#[derive(Args, Clone, Debug, Default)]
pub struct UpArgs {
    /// Address that clients connect to [env: HEADROOM_HOST] [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub host: Option<String>,
    /// Port that clients connect to; 0 takes free ports for everything [env: HEADROOM_PORT] [default: 8787]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// A host name that clients may use, in addition to localhost and IP addresses; repeat it, or separate names by commas [env: HEADROOM_ALLOWED_HOSTS]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Anthropic's base URL [env: ANTHROPIC_TARGET_API_URL] [default: https://api.anthropic.com]
    #[arg(long, value_name = "URL")]
    pub anthropic_api_url: Option<String>,
    /// OpenAI's base URL [env: OPENAI_TARGET_API_URL] [default: https://api.openai.com]
    #[arg(long, value_name = "URL")]
    pub openai_api_url: Option<String>,
    /// Gemini's base URL [env: GEMINI_TARGET_API_URL] [default: https://generativelanguage.googleapis.com]
    #[arg(long, value_name = "URL")]
    pub gemini_api_url: Option<String>,
    /// What happens to requests [env: HEADROOM_MODE] [default: optimize]
    #[arg(long, value_enum)]
    pub mode: Option<ModeName>,
    /// Base URL for Codex with a ChatGPT login [env: CHATGPT_TARGET_API_URL] [default: https://chatgpt.com]
    #[arg(long, value_name = "URL")]
    pub chatgpt_api_url: Option<String>,
    /// Base URL for Gemini CLI with a Google login [env: CODE_ASSIST_TARGET_API_URL] [default: https://cloudcode-pa.googleapis.com]
    #[arg(long, value_name = "URL")]
    pub code_assist_api_url: Option<String>,
    /// Base URL for clients of GitHub Copilot [env: COPILOT_TARGET_API_URL] [default: https://api.githubcopilot.com]
    #[arg(long, value_name = "URL")]
    pub copilot_api_url: Option<String>,
    /// Serve a provider under /NAME/, such as groq; with =KEY_ENV, the key in that variable is added to its requests; `local` means the servers found on this machine. Repeat it, or separate names by commas [env: HEADROOM_PROVIDERS]
    #[arg(long, value_name = "NAME[=KEY_ENV]", value_delimiter = ',')]
    pub provider: Vec<String>,
    /// The provider for requests whose path names none: its name; `anyllm`: that of --anyllm-provider; `litellm`: LiteLLM's proxy, which `up` starts [env: HEADROOM_BACKEND] [default: the provider of the request's format]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// The provider that --backend anyllm means [env: HEADROOM_ANYLLM_PROVIDER] [default: openai]
    #[arg(long, value_name = "NAME")]
    pub anyllm_provider: Option<String>,
    /// A LiteLLM that is installed, for --backend litellm [env: HEADROOM_LITELLM] [default: one that `up` installs in the workspace]
    #[arg(long, value_name = "FILE")]
    pub litellm: Option<PathBuf>,
    /// LiteLLM's configuration, with its model_list [env: HEADROOM_LITELLM_CONFIG] [default: litellm.yaml in the configuration folder, else every model under its provider's name]
    #[arg(long, value_name = "FILE")]
    pub litellm_config: Option<PathBuf>,
    /// How strongly tool outputs may be shortened [env: HEADROOM_PROFILE] [default: balanced]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileName>,
    /// Leave out bodies of functions of source files that are read as a whole [env: HEADROOM_CODE_AWARE_ENABLED]
    #[arg(long)]
    pub code_aware: bool,
    /// Press new tool outputs harder as a conversation passes 90,000, 180,000 and 260,000 tokens [env: HEADROOM_PRESSURE]
    #[arg(long)]
    pub pressure: bool,
    /// Whether old tool outputs change: `epochs` rewrites them at boundaries of a conversation where that pays [env: HEADROOM_HISTORY] [default: append]
    #[arg(long, value_enum)]
    pub history: Option<HistoryName>,
    /// With --history epochs, the number of tokens that a conversation should stay below [env: HEADROOM_HISTORY_WINDOW] [default: 100000]
    #[arg(long, value_name = "TOKENS")]
    pub history_window: Option<u32>,
    /// With --history epochs, keep reads of files that were edited or read again later [env: HEADROOM_NO_READ_LIFECYCLE]
    #[arg(long)]
    pub no_read_lifecycle: bool,
    /// With --history epochs, drop nothing when the window is full [env: HEADROOM_NO_INTELLIGENT_CONTEXT]
    #[arg(long)]
    pub no_intelligent_context: bool,
    /// Set breakpoints of Anthropic's prompt cache in requests whose client sets none, with this lifetime [env: HEADROOM_BREAKPOINTS] [default: off]
    #[arg(long, value_enum)]
    pub breakpoints: Option<BreakpointsName>,
    /// Rules that move lines of system prompts to their ends, as `headroomctl cache suggest` writes them [env: HEADROOM_ALIGN]
    #[arg(long, value_name = "FILE")]
    pub align: Option<PathBuf>,
    /// Answer cache: which requests without tools are answered from it [env: HEADROOM_CACHE] [default: off]
    #[arg(long, value_enum)]
    pub cache: Option<CacheName>,
    /// How the filter forwards a body whose length has changed [env: HEADROOM_BODY_MODE] [default: strip]
    #[arg(long, value_enum)]
    pub body_mode: Option<BodyMode>,
    /// Write each request to FILE as a line of JSON; with --log-messages including its text [env: HEADROOM_LOG_FILE]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Show the text of requests and answers in /transformations/feed; kept in memory only [env: HEADROOM_LOG_MESSAGES]
    #[arg(long)]
    pub log_messages: bool,
    /// Begin conversations that ask for no reasoning with what memory knows about the user's first words [env: HEADROOM_MEMORY_CONTEXT]
    #[arg(long)]
    pub memory_context: bool,
    /// Learn from failing tool calls as requests pass; reads what --log-messages shows, and switches that on [env: HEADROOM_LEARN]
    #[arg(long)]
    pub learn: bool,
    /// Shorten prose with a text model, LLMLingua-2, for callers of /v1/compress who ask for it; needs a headroomd with the feature llmlingua [env: HEADROOM_LLMLINGUA]
    #[arg(long)]
    pub llmlingua: bool,
    /// Folder of the text model, or its name on the Hugging Face hub [env: HEADROOM_LLMLINGUA_MODEL] [default: llmlingua in the configuration folder]
    #[arg(long, value_name = "DIR|OWNER/NAME")]
    pub llmlingua_model: Option<String>,
    /// Where the text model runs: auto or cpu [env: HEADROOM_LLMLINGUA_DEVICE] [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub llmlingua_device: Option<String>,
    /// The share of prose that is kept: a number; or text=0.3,json=0.35,code=0.4, or auto for these [env: HEADROOM_LLMLINGUA_RATE] [default: 0.3]
    #[arg(long, value_name = "RATE")]
    pub llmlingua_rate: Option<String>,
    /// Let the text model shorten new prose in requests that ask for no reasoning, which wait for it; needs --llmlingua [env: HEADROOM_LLMLINGUA_IN_FILTER]
    #[arg(long)]
    pub llmlingua_in_filter: bool,
    /// With --llmlingua-in-filter, how long a request waits; what is not done by then stays as it is, for good [env: HEADROOM_LLMLINGUA_TIMEOUT_MS] [default: 10000]
    #[arg(long, value_name = "MS")]
    pub llmlingua_timeout_ms: Option<u32>,
    /// Bodies that a worker processes at a time; others wait in order; 0 or less: no limit [env: HEADROOM_ANTHROPIC_PRE_UPSTREAM_CONCURRENCY] [default: the number of processors, from 2 to 8]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub anthropic_pre_upstream_concurrency: Option<String>,
    /// JSON file with more of the filter's configuration; its keys win over the options above
    #[arg(long, value_name = "FILE")]
    pub filter_config: Option<PathBuf>,
    /// Envoy's worker threads [env: HEADROOM_WORKERS] [default: 2]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Folder for state and logs [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
    /// Address of headroomd's HTTP server [env: HEADROOM_HTTP] [default: 127.0.0.1, the port after --port]
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<String>,
    /// Address of headroomd's gRPC server [env: HEADROOM_GRPC] [default: 127.0.0.1, two after --port]
    #[arg(long, value_name = "IP:PORT")]
    pub grpc: Option<String>,
    /// The filter module [env: HEADROOM_MODULE] [default: where make and the image put it]
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// The sidecar's program [env: HEADROOMD] [default: next to this one, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub headroomd: Option<PathBuf>,
    /// Start it in the background, and return once it is ready
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// Run in the background in a new session, as `--detach` and `restart` start it
    #[arg(long, hide = true)]
    pub detached: bool,
    /// The same, until no wrapped agent runs, as `wrap` starts it
    #[arg(long, hide = true)]
    pub while_wrapped: bool,
    /// Envoy's program [env: ENVOY] [default: what make installed, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub envoy: Option<PathBuf>,
}

impl UpArgs {
    /// The value of an option, as text.
    pub(crate) fn told(&self, option: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flag = |is_set: bool| is_set.then(|| "true".to_owned());
        fn name<T: ValueEnum>(choice: Option<T>) -> Option<String> {
            Some(choice?.to_possible_value()?.get_name().to_owned())
        }
        match option {
            "--host" => self.host.clone(),
            "--port" => self.port.clone(),
            "--allow-host" => Some(self.allow_host.join(",")).filter(|names| !names.is_empty()),
            "--provider" => Some(self.provider.join(",")).filter(|names| !names.is_empty()),
            "--backend" => self.backend.clone(),
            "--litellm" => path(&self.litellm),
            "--litellm-config" => path(&self.litellm_config),
            "--anyllm-provider" => self.anyllm_provider.clone(),
            "--mode" => name(self.mode),
            "--profile" => name(self.profile),
            "--cache" => name(self.cache),
            "--body-mode" => name(self.body_mode),
            "--breakpoints" => name(self.breakpoints),
            "--align" => path(&self.align),
            "--code-aware" => flag(self.code_aware),
            "--pressure" => flag(self.pressure),
            "--history" => name(self.history),
            "--history-window" => self.history_window.map(|tokens| tokens.to_string()),
            "--no-read-lifecycle" => flag(self.no_read_lifecycle),
            "--no-intelligent-context" => flag(self.no_intelligent_context),
            "--log-messages" => flag(self.log_messages),
            "--memory-context" => flag(self.memory_context),
            "--learn" => flag(self.learn),
            "--llmlingua" => flag(self.llmlingua),
            "--llmlingua-model" => self.llmlingua_model.clone(),
            "--llmlingua-device" => self.llmlingua_device.clone(),
            "--llmlingua-rate" => self.llmlingua_rate.clone(),
            "--llmlingua-in-filter" => flag(self.llmlingua_in_filter),
            "--llmlingua-timeout-ms" => self.llmlingua_timeout_ms.map(|ms| ms.to_string()),
            "--workers" => self.workers.map(|workers| workers.to_string()),
            "--anthropic-pre-upstream-concurrency" => self.anthropic_pre_upstream_concurrency.clone(),
            "--workspace-dir" => path(&self.workspace_dir),
            "--module" => path(&self.module),
            "--headroomd" => path(&self.headroomd),
            "--envoy" => path(&self.envoy),
            "--anthropic-api-url" => self.anthropic_api_url.clone(),
            "--openai-api-url" => self.openai_api_url.clone(),
            "--gemini-api-url" => self.gemini_api_url.clone(),
            "--chatgpt-api-url" => self.chatgpt_api_url.clone(),
            "--code-assist-api-url" => self.code_assist_api_url.clone(),
            "--copilot-api-url" => self.copilot_api_url.clone(),
            "--http" => self.http.clone(),
            "--grpc" => self.grpc.clone(),
            _ => None,
        }
    }
}
