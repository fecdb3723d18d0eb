//! Which requests are ours: method, host and path to a wire format.
//!
//! Only paths that are known in full match, so `/v1/messages/batches`, embeddings and whatever comes up later
//! pass.

use headroom_compress::Api;

use crate::path;

/// A request that the engine can read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    pub(crate) api: Api,
    /// Who answers, in reports and metrics.
    pub(crate) provider: &'static str,
    /// Where the path names the model and the body does not.
    pub(crate) model: Option<String>,
    /// Whether a call of `headroom_retrieve` in the answer could be answered by the filter. Gemini
    /// streams a JSON array unless it is asked for events. Such an array would have to be cut at its
    /// elements on the way, for a form that no SDK asks for, so it passes as it comes.
    pub(crate) answer_can_be_followed: bool,
    pub(crate) purpose: Purpose,
    /// The path may be Azure's form of OpenAI's, which has a header of its own for the key.
    pub(crate) is_azures: bool,
}

/// What a request is for. Its body is rewritten in the same way for each: the counts have to be those of what is
/// sent, and the conversation that is compacted has to be the one that the provider knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// An answer of the model.
    #[default]
    Answer,
    /// To know how many tokens it has.
    Count,
    /// A shorter conversation.
    Compact,
}

/// The hosts of GitHub Copilot, but for those that companies have below `ghe.com`.
const COPILOT: &str = "githubcopilot.com";

/// Who speaks OpenAI's formats, by the end of the host's name. Behind Envoy's own name every host is the
/// same: a rule of the configuration can say who it is.
const HOSTS: [(&str, &str); 13] = [
    ("mistral.ai", "mistral"),
    ("groq.com", "groq"),
    ("openrouter.ai", "openrouter"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "xai"),
    ("together.xyz", "together"),
    ("fireworks.ai", "fireworks"),
    ("cerebras.ai", "cerebras"),
    ("perplexity.ai", "perplexity"),
    ("amazonaws.com", "bedrock"),
];

/// Where a request goes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target<'h> {
    pub(crate) host: &'h [u8],
    pub(crate) path: &'h [u8],
    /// Headers say that it is for GitHub Copilot, which behind Envoy's own name no host does.
    pub(crate) is_copilot: bool,
}

/// The route of a request; `None`: not ours. A path is known in all the spellings that lead to the same place: with
/// everything encoded that may be, and in capitals.
pub(crate) fn find(method: &[u8], target: Target<'_>, prefixes: &[String]) -> Option<Route> {
    if method != b"POST" {
        return None;
    }
    let Target { host, path, is_copilot } = target;
    let is_copilot = is_copilot || is_copilots(host);
    let raw = String::from_utf8_lossy(path);
    let plain = path::plain(&raw);
    let spelled = |path: String| matched(&path, is_copilot, prefixes).map(|route| (route, path));
    let (mut route, path) = spelled(plain.clone())
        .or_else(|| spelled(path::plain(&path::decoded(&plain, |_| true))))
        .or_else(|| spelled(plain.to_ascii_lowercase()))?;
    if is_copilot && matches!(route.provider, "openai" | "anthropic") {
        route.provider = "copilot";
    }
    if route.provider == "openai"
        && let Some(provider) = provider_at(host)
    {
        route.provider = provider;
    }
    let array = path.ends_with(":streamGenerateContent")
        && !path::query(&raw).split('&').any(|parameter| parameter == "alt=sse");
    route.answer_can_be_followed = route.api.takes_retrieve_tool() && !array;
    Some(route)
}

fn matched(path: &str, is_copilot: bool, prefixes: &[String]) -> Option<Route> {
    // Copilot has OpenAI's paths without their version.
    let own = if is_copilot { prefixed_path(path) } else { provider_path(path) };
    own.or_else(|| prefixes.iter().find_map(|prefix| prefixed_path(path.strip_prefix(prefix.as_str())?)))
}

/// Whether a provider's own host is asked, behind whatever path.
pub(crate) fn is_provider(host: &[u8]) -> bool {
    match provider_at(host) {
        // Amazon has more than models below its domain.
        Some("bedrock") => host.starts_with(b"bedrock"),
        Some(_) => true,
        None => OWN_HOSTS.iter().any(|domain| is_below(host, domain)),
    }
}

/// Hosts of providers with paths of their own.
const OWN_HOSTS: [&str; 8] = [
    COPILOT,
    "anthropic.com",
    "openai.com",
    "chatgpt.com",
    "generativelanguage.googleapis.com",
    "cloudcode-pa.googleapis.com",
    VERTEX,
    "cohere.com",
];
const VERTEX: &str = "aiplatform.googleapis.com";

/// The route of a request for a WebSocket session, of which OpenAI Responses has some.
pub(crate) fn find_session(target: Target<'_>, prefixes: &[String]) -> Option<Route> {
    let route = find(b"POST", target, prefixes).filter(|route| route.api == Api::OpenAiResponses)?;
    Some(Route { answer_can_be_followed: false, ..route })
}

/// The provider behind a host.
fn provider_at(host: &[u8]) -> Option<&'static str> {
    HOSTS.iter().find(|(domain, _)| is_below(host, domain)).map(|(_, provider)| *provider)
}

/// Whether it is a host of GitHub Copilot's. Companies have theirs at `copilot-api.NAME.ghe.com`.
fn is_copilots(host: &[u8]) -> bool {
    const COMPANY: &[u8] = b"copilot-api.";
    let is_company = host.get(..COMPANY.len()).is_some_and(|start| start.eq_ignore_ascii_case(COMPANY));
    is_below(host, COPILOT) || is_company && is_below(host, "ghe.com")
}

/// Whether a host is this domain or one below it.
fn is_below(host: &[u8], domain: &str) -> bool {
    let host = without_port(host);
    let Some((before, end)) = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at))
    else {
        return false;
    };
    // Vertex AI has a host for each region: `us-central1-aiplatform.googleapis.com`.
    let whole = before.is_empty() || before.ends_with(b".") || (before.ends_with(b"-") && domain == VERTEX);
    whole && end.eq_ignore_ascii_case(domain.as_bytes())
}

/// A host as it stands in `:authority`, without its port.
pub(crate) fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (name, _) = host.split_at(host.len() - digits);
    match name.strip_suffix(b":") {
        Some(name) if digits > 0 => name,
        _ => host,
    }
}

/// A path at a provider's own host.
fn provider_path(path: &str) -> Option<Route> {
    match path {
        "/v1/messages" => Some(Route::of(Api::AnthropicMessages)),
        "/v1/messages/count_tokens" => Some(Route::of(Api::AnthropicMessages).only_for(Purpose::Count)),
        "/v1/chat/completions" => Some(Route::of(Api::OpenAiChat)),
        "/v1/responses" => Some(Route::of(Api::OpenAiResponses)),
        "/v1/responses/input_tokens" => Some(Route::of(Api::OpenAiResponses).only_for(Purpose::Count)),
        "/v1/responses/compact" => Some(Route::of(Api::OpenAiResponses).only_for(Purpose::Compact)),
        "/v2/chat" => Some(Route::of(Api::CohereChat)),
        "/v1beta/openai/chat/completions" => Some(Route::by("gemini", Api::OpenAiChat)),
        // Codex with a ChatGPT login.
        "/backend-api/codex/responses" => Some(Route::by("chatgpt", Api::OpenAiResponses)),
        // Gemini CLI with a Google login.
        "/v1internal:generateContent" | "/v1internal:streamGenerateContent" => {
            Some(Route::of(Api::GeminiCodeAssist))
        }
        _ => azure(path).or_else(|| bedrock(path)).or_else(|| google(path)),
    }
}

/// A path behind a configured prefix: a provider's own, or what a client of OpenAI adds to a base URL that
/// does not end with `/v1`.
fn prefixed_path(path: &str) -> Option<Route> {
    match path {
        "/chat/completions" => Some(Route::of(Api::OpenAiChat)),
        "/responses" => Some(Route::of(Api::OpenAiResponses)),
        _ => provider_path(path),
    }
}

/// Azure OpenAI, with the deployment in the path or as OpenAI has it. Others have their `/v1` below `/openai`
/// as well.
fn azure(path: &str) -> Option<Route> {
    match path.strip_prefix("/openai/")? {
        "v1/chat/completions" => Some(Route { is_azures: true, ..Route::of(Api::OpenAiChat) }),
        "v1/responses" => Some(Route { is_azures: true, ..Route::of(Api::OpenAiResponses) }),
        "responses" => Some(Route::by("azure", Api::OpenAiResponses)),
        path => {
            let deployment = path.strip_prefix("deployments/")?.strip_suffix("/chat/completions")?;
            one_segment(deployment).then(|| Route::by("azure", Api::OpenAiChat).with_model(deployment))
        }
    }
}

/// Amazon Bedrock.
fn bedrock(path: &str) -> Option<Route> {
    let (model, method) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    if model.is_empty() {
        return None;
    }
    let route = match method {
        "converse" | "converse-stream" => Route::of(Api::BedrockConverse).with_model(model),
        "invoke" | "invoke-with-response-stream" => Route::of(Api::AnthropicBedrock).with_model(model),
        _ => return None,
    };
    let foreign =
        route.api == Api::AnthropicBedrock && !route.model.as_deref().is_some_and(may_be_anthropics);
    (!foreign).then_some(route)
}

/// Resources of Bedrock whose names do not say what model is behind them. The body does.
const OPAQUE: [&str; 3] =
    ["application-inference-profile/", "provisioned-model/", "custom-model-deployment/"];

/// Whether a model of Bedrock is Anthropic's: `us.anthropic.claude-…`, also at the end of an ARN, or an ARN
/// that does not tell.
fn may_be_anthropics(model: &str) -> bool {
    let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
    name.split('.').rev().skip(1).any(|part| part == "anthropic")
        || model.starts_with("arn:") && OPAQUE.iter().any(|resource| model.contains(resource))
}

/// Gemini, and on Vertex AI also what Anthropic and Mistral have there.
///
/// `/v1beta/models/M:generateContent`, `/v1/projects/P/locations/L/publishers/google/models/M:generateContent`,
/// `…/publishers/anthropic/models/M:rawPredict`.
fn google(path: &str) -> Option<Route> {
    if !path.starts_with("/v1") {
        return None;
    }
    if let Some(resource) = path.strip_suffix("/chat/completions") {
        let (parent, endpoint) = resource.rsplit_once('/')?;
        let on_vertex = path.contains("/projects/") && parent.ends_with("/endpoints");
        return (on_vertex && !endpoint.is_empty()).then(|| Route::by("vertex", Api::OpenAiChat));
    }
    let (resource, method) = path.rsplit_once(':')?;
    let (parent, model) = resource.rsplit_once('/')?;
    if model.is_empty() {
        return None;
    }
    let on_vertex = ["/projects/", "/publishers/"].iter().any(|part| parent.contains(part));
    let (provider, api) = match method {
        "generateContent" | "streamGenerateContent" => {
            let google = ["/models", "/tunedModels", "/endpoints"].iter().any(|end| parent.ends_with(end));
            let provider = if on_vertex { "vertex" } else { "gemini" };
            google.then_some((provider, Api::GeminiGenerateContent))?
        }
        // `count-tokens` stands where a model's name would, and is not a model.
        "rawPredict" | "streamRawPredict" if model != "count-tokens" => {
            if parent.ends_with("/publishers/anthropic/models") {
                ("vertex", Api::AnthropicMessages)
            } else if parent.ends_with("/publishers/mistralai/models") {
                ("vertex", Api::OpenAiChat)
            } else {
                return None;
            }
        }
        _ => return None,
    };
    Some(Route::by(provider, api).with_model(model))
}

impl Route {
    fn of(api: Api) -> Self {
        Self::by(api.provider(), api)
    }

    fn by(provider: &'static str, api: Api) -> Self {
        Self {
            api,
            provider,
            model: None,
            answer_can_be_followed: true,
            purpose: Purpose::default(),
            is_azures: false,
        }
    }

    fn only_for(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Whether only subscriptions are served there.
    pub(crate) fn is_of_subscriptions(&self) -> bool {
        matches!(self.provider, "chatgpt" | "code_assist" | "copilot")
    }

    /// Whether ids in it may carry traces of hidden rounds.
    pub(crate) fn carries_traces(&self) -> bool {
        matches!(self.api, Api::AnthropicMessages | Api::OpenAiChat | Api::OpenAiResponses)
    }

    /// With a model as the path spells it: with its special characters encoded or not.
    fn with_model(self, segment: &str) -> Self {
        Self { model: Some(path::decoded(segment, |_| true)), ..self }
    }
}

fn one_segment(path: &str) -> bool {
    !path.is_empty() && !path.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'h>(host: &'h [u8], path: &'h [u8]) -> Target<'h> {
        Target { host, path, is_copilot: false }
    }

    fn route(path: &str) -> Option<Route> {
        find(b"POST", at(b"127.0.0.1:8787", path.as_bytes()), &[])
    }

    fn api(method: &str, path: &str, prefixes: &[&str]) -> Option<Api> {
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        find(method.as_bytes(), at(b"h", path.as_bytes()), &prefixes).map(|route| route.api)
    }

    #[test]
    fn the_providers_paths_match() {
        for (path, api, provider) in [
            ("/v1/messages", Api::AnthropicMessages, "anthropic"),
            ("/v1/messages?beta=true", Api::AnthropicMessages, "anthropic"),
            ("/v1/chat/completions", Api::OpenAiChat, "openai"),
            ("/v1/responses", Api::OpenAiResponses, "openai"),
            ("/v2/chat", Api::CohereChat, "cohere"),
            ("/openai/v1/chat/completions", Api::OpenAiChat, "openai"),
            ("/openai/v1/responses?api-version=preview", Api::OpenAiResponses, "openai"),
            ("/openai/responses?api-version=2025-04-01-preview", Api::OpenAiResponses, "azure"),
            ("/v1beta/openai/chat/completions", Api::OpenAiChat, "gemini"),
            ("/backend-api/codex/responses", Api::OpenAiResponses, "chatgpt"),
            ("/v1internal:generateContent", Api::GeminiCodeAssist, "code_assist"),
            ("/v1internal:streamGenerateContent?alt=sse", Api::GeminiCodeAssist, "code_assist"),
            ("/v1/projects/p/locations/l/endpoints/openapi/chat/completions", Api::OpenAiChat, "vertex"),
        ] {
            let found = route(path).unwrap();
            assert_eq!((found.api, found.provider, found.model), (api, provider, None), "{path}");
        }
    }

    #[test]
    fn the_model_comes_from_the_path_where_it_stands_there() {
        const VERTEX: &str = "/v1/projects/p/locations/l/publishers";
        for (path, api, provider, model) in [
            (
                "/v1beta/models/gemini-2.5-pro:generateContent",
                "gemini_generate_content",
                "gemini",
                "gemini-2.5-pro",
            ),
            (
                "/v1/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
                "gemini_generate_content",
                "gemini",
                "gemini-2.5-pro",
            ),
            ("/v1beta/tunedModels/mine:generateContent", "gemini_generate_content", "gemini", "mine"),
            (
                &format!("{VERTEX}/google/models/gemini-2.5-pro:generateContent"),
                "gemini_generate_content",
                "vertex",
                "gemini-2.5-pro",
            ),
            (
                "/v1/projects/p/locations/l/endpoints/42:streamGenerateContent",
                "gemini_generate_content",
                "vertex",
                "42",
            ),
            ("/v1beta1/publishers/google/models/g:generateContent", "gemini_generate_content", "vertex", "g"),
            (
                &format!("{VERTEX}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict"),
                "anthropic_messages",
                "vertex",
                "claude-sonnet-4-5@20250929",
            ),
            (
                &format!("{VERTEX}/anthropic/models/claude-opus-4%4020250514:streamRawPredict"),
                "anthropic_messages",
                "vertex",
                "claude-opus-4@20250514",
            ),
            (
                &format!("{VERTEX}/mistralai/models/mistral-medium-3:rawPredict"),
                "openai_chat",
                "vertex",
                "mistral-medium-3",
            ),
            (
                "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
                "openai_chat",
                "azure",
                "my-gpt",
            ),
            (
                "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
                "anthropic_bedrock",
                "bedrock",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            (
                "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream",
                "anthropic_bedrock",
                "bedrock",
                "anthropic.claude-3-haiku-20240307-v1:0",
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-x/invoke",
                "anthropic_bedrock",
                "bedrock",
                "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-x",
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fq9/invoke",
                "anthropic_bedrock",
                "bedrock",
                "arn:aws:bedrock:us-east-1:1:application-inference-profile/q9",
            ),
            ("/model/amazon.nova-pro-v1%3A0/converse", "bedrock_converse", "bedrock", "amazon.nova-pro-v1:0"),
            ("/model/meta.llama3/converse-stream", "bedrock_converse", "bedrock", "meta.llama3"),
        ] {
            let found = route(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.api.name(), found.provider), (api, provider), "{path}");
            assert_eq!(found.model.as_deref(), Some(model), "{path}");
        }
    }

    #[test]
    fn other_spellings_of_a_path_are_the_same_route() {
        for path in [
            "/v1/messages/",
            "//v1/messages",
            "/v1/messages;x",
            "/v1/message%73?beta=true",
            "/v1%2Fmessages",
            "/v1/x/../messages",
            "/V1/Messages",
        ] {
            assert_eq!(route(path).map(|route| route.api), Some(Api::AnthropicMessages), "{path}");
        }
        let azure = route("/OpenAI/Deployments/D/Chat/Completions").unwrap();
        assert_eq!((azure.provider, azure.model.as_deref()), ("azure", Some("d")));
        let stream = route("/v1beta/models//g:streamGenerateContent?alt=sse").unwrap();
        assert!(stream.answer_can_be_followed);
        assert_eq!(api("POST", "//anthropic//v1/messages/", &["/anthropic"]), Some(Api::AnthropicMessages));
    }

    #[test]
    fn hosts_of_providers_are_known_behind_any_path() {
        for host in [
            "api.anthropic.com",
            "API.OpenAI.com:443",
            "us-east1-aiplatform.googleapis.com",
            "api.groq.com",
            "bedrock-runtime.us-east-1.amazonaws.com",
        ] {
            assert!(is_provider(host.as_bytes()), "{host}");
        }
        let others = ["notopenai.com", "not-openai.com", "openai.com.evil.example", "s3.amazonaws.com"];
        for host in others.into_iter().chain(["", "127.0.0.1:8787"]) {
            assert!(!is_provider(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn an_answer_in_pieces_can_be_followed_only_as_events() {
        let followed = |path: &str| route(path).unwrap().answer_can_be_followed;
        assert!(followed("/v1/messages?beta=true"));
        assert!(followed("/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict"));
        assert!(followed("/v1beta/models/g:generateContent"));
        assert!(followed("/v1beta/models/g:streamGenerateContent?key=k&alt=sse"));
        assert!(!followed("/v1beta/models/g:streamGenerateContent?key=k"));
        assert!(!followed("/v1beta/models/g:streamGenerateContent"));
        assert!(followed("/v1internal:streamGenerateContent?alt=sse"));
        assert!(!followed("/v1internal:streamGenerateContent"));
        for path in ["/model/anthropic.claude/invoke", "/model/m/converse-stream", "/v2/chat"] {
            assert!(!followed(path), "{path}");
        }
    }

    #[test]
    fn the_host_says_who_speaks_openais_formats() {
        for (host, provider) in [
            ("api.mistral.ai", "mistral"),
            ("API.Groq.com:443", "groq"),
            ("example.openai.azure.com", "azure"),
            ("api.openai.com", "openai"),
            ("notgroq.com", "openai"),
            ("groq.com.evil.example", "openai"),
            ("[::1]:8787", "openai"),
            ("", "openai"),
        ] {
            let found = find(b"POST", at(host.as_bytes(), b"/v1/chat/completions"), &[]).unwrap();
            assert_eq!(found.provider, provider, "{host}");
        }
        let anthropic = find(b"POST", at(b"api.mistral.ai", b"/v1/messages"), &[]).unwrap();
        assert_eq!(anthropic.provider, "anthropic");
        assert!(find(b"POST", at(b"\xff", b"/v1/responses"), &[]).is_some());
    }

    #[test]
    fn copilots_paths_match_where_host_or_headers_say_that_they_are() {
        let found = |host: &str, path: &str, is_copilot| {
            let target = Target { host: host.as_bytes(), path: path.as_bytes(), is_copilot };
            find(b"POST", target, &[]).map(|route| (route.api, route.provider))
        };
        for (host, is_copilot) in [
            ("api.githubcopilot.com", false),
            ("api.business.GitHubCopilot.com:443", false),
            ("copilot-api.acme.ghe.com", false),
            ("127.0.0.1:8787", true),
        ] {
            for (path, api) in [
                ("/chat/completions", Api::OpenAiChat),
                ("/responses", Api::OpenAiResponses),
                ("/v1/messages", Api::AnthropicMessages),
                ("/v1/messages/count_tokens", Api::AnthropicMessages),
            ] {
                assert_eq!(found(host, path, is_copilot), Some((api, "copilot")), "{host} {path}");
            }
            for path in ["/models", "/embeddings", "/agents", "/v1/engines/x/completions"] {
                assert_eq!(found(host, path, is_copilot), None, "{host} {path}");
            }
        }
        for host in ["acme.ghe.com", "copilot-api.ghe.com.evil.example", "githubcopilot.com.evil.example"] {
            assert_eq!(found(host, "/chat/completions", false), None, "{host}");
        }
    }

    #[test]
    fn everything_else_passes() {
        for path in [
            "/",
            "",
            "/v1/messages/batches",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/batches",
            "/backend-api/codex/responses/compact",
            "/backend-api/codex/models",
            "/backend-api/wham/accounts/check",
            "/v2/messages",
            "/v2/embed",
            "/v1/chat",
            "/v1/fim/completions",
            "/v1/agents/completions",
            "/chat/completions",
            "/responses",
            "/api/chat",
            "/anthropic/v1/messages",
            "/openai/deployments/d/embeddings",
            "/openai/deployments//chat/completions",
            "/openai/deployments/a/b/chat/completions",
            "/openai/responses/resp_1",
            "/v1beta/models/gemini:countTokens",
            "/v1beta/models/gemini:batchGenerateContent",
            "/v1beta/models/:generateContent",
            "/v1beta/gemini:generateContent",
            "/v1internal:countTokens",
            "/v1internal:loadCodeAssist",
            "/v1internal/operations/x",
            "/v1internal:generateContent/x",
            "/v1internal:streamgenerateContent",
            "/other/models/x:generateContent",
            "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            "/v1/projects/p/locations/l/publishers/meta/models/m:rawPredict",
            "/v1/projects/p/locations/l/publishers/anthropic/models/m:predict",
            "/v1/endpoints/openapi/chat/completions",
            "/model/amazon.titan-text/invoke",
            "/model/mistral.anthropic/invoke",
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aimported-model%2Fq9/invoke",
            "/model/anthropic.claude/count-tokens",
            "/model//invoke",
            "/model/invoke",
        ] {
            assert_eq!(api("POST", path, &[]), None, "{path}");
        }
        assert_eq!(find(b"POST", at(b"h", b"/v1/\xff"), &[]), None);
        for method in ["GET", "OPTIONS", "HEAD", "PUT", "post"] {
            assert_eq!(api(method, "/v1/messages", &[]), None);
        }
    }

    #[test]
    fn questions_about_a_request_are_rewritten_as_it_is() {
        for (path, purpose) in [
            ("/v1/messages", Purpose::Answer),
            ("/v1/messages/count_tokens", Purpose::Count),
            ("/v1/responses/input_tokens", Purpose::Count),
            ("/v1/responses/compact", Purpose::Compact),
        ] {
            let route = find(b"POST", at(b"h", path.as_bytes()), &[]).unwrap();
            assert_eq!(route.purpose, purpose, "{path}");
            assert!(route.answer_can_be_followed, "forms are those of the request itself");
        }
    }

    #[test]
    fn a_configured_prefix_is_taken_off() {
        let prefixes = ["/anthropic", "/llm/openai"];
        assert_eq!(api("POST", "/anthropic/v1/messages?x=1", &prefixes), Some(Api::AnthropicMessages));
        assert_eq!(api("POST", "/llm/openai/v1/chat/completions", &prefixes), Some(Api::OpenAiChat));
        assert_eq!(api("POST", "/v1/messages", &prefixes), Some(Api::AnthropicMessages));
        assert_eq!(api("POST", "/anthropicv1/messages", &prefixes), None);
        assert_eq!(api("POST", "/anthropic/anthropic/v1/messages", &prefixes), None);
    }

    #[test]
    fn a_prefix_may_be_the_base_url_of_an_openai_client() {
        let prefixes = ["/api/paas/v4", "/api/v1"];
        assert_eq!(api("POST", "/api/paas/v4/chat/completions", &prefixes), Some(Api::OpenAiChat));
        assert_eq!(api("POST", "/api/v1/responses", &prefixes), Some(Api::OpenAiResponses));
        assert_eq!(api("POST", "/api/v1/responses/compact", &prefixes), None);
        assert_eq!(api("POST", "/chat/completions", &[""]), Some(Api::OpenAiChat));
    }
}
