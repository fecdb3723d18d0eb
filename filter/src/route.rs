//! Which requests are ours: method, host and path to a wire format.
//!
//! Only paths that are known in full match, so `/v1/messages/batches`, embeddings and whatever comes up later
//! pass.

use headroom_compress::Api;

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

/// The route of a request; `None`: not ours.
pub(crate) fn find(method: &[u8], host: &[u8], path: &[u8], prefixes: &[String]) -> Option<Route> {
    if method != b"POST" {
        return None;
    }
    let path = std::str::from_utf8(path).ok()?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut route = provider_path(path)
        .or_else(|| prefixes.iter().find_map(|prefix| prefixed_path(path.strip_prefix(prefix.as_str())?)))?;
    if route.provider == "openai"
        && let Some(provider) = provider_at(host)
    {
        route.provider = provider;
    }
    let array =
        path.ends_with(":streamGenerateContent") && !query.split('&').any(|parameter| parameter == "alt=sse");
    route.answer_can_be_followed = route.api.takes_retrieve_tool() && !array;
    Some(route)
}

/// The route of a request for a WebSocket session, of which OpenAI Responses has some.
pub(crate) fn find_session(host: &[u8], path: &[u8], prefixes: &[String]) -> Option<Route> {
    let route = find(b"POST", host, path, prefixes).filter(|route| route.api == Api::OpenAiResponses)?;
    Some(Route { answer_can_be_followed: false, ..route })
}

/// The provider behind a host.
fn provider_at(host: &[u8]) -> Option<&'static str> {
    let host = std::str::from_utf8(without_port(host)).ok()?;
    let known = |domain: &str| {
        let from = host.len().checked_sub(domain.len())?;
        let whole_labels = from == 0 || host.as_bytes().get(from - 1) == Some(&b'.');
        (whole_labels && host.get(from..)?.eq_ignore_ascii_case(domain)).then_some(())
    };
    HOSTS.iter().find(|(domain, _)| known(domain).is_some()).map(|(_, provider)| *provider)
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
        "v1/chat/completions" => Some(Route::of(Api::OpenAiChat)),
        "v1/responses" => Some(Route::of(Api::OpenAiResponses)),
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
        Self { api, provider, model: None, answer_can_be_followed: true, purpose: Purpose::default() }
    }

    fn only_for(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Whether ids in it may carry traces of hidden rounds.
    pub(crate) fn carries_traces(&self) -> bool {
        matches!(self.api, Api::AnthropicMessages | Api::OpenAiChat | Api::OpenAiResponses)
    }

    /// With a model as the path spells it: with its special characters encoded or not.
    fn with_model(self, segment: &str) -> Self {
        Self { model: Some(decoded(segment)), ..self }
    }
}

fn one_segment(path: &str) -> bool {
    !path.is_empty() && !path.contains('/')
}

/// Without percent encoding. What is not encoded properly stays as it is.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digits =
                std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(code.unwrap_or(*first));
        rest = after.get(if code.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8(bytes).unwrap_or_else(|_| segment.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Option<Route> {
        find(b"POST", b"127.0.0.1:8787", path.as_bytes(), &[])
    }

    fn api(method: &str, path: &str, prefixes: &[&str]) -> Option<Api> {
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        find(method.as_bytes(), b"h", path.as_bytes(), &prefixes).map(|route| route.api)
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
    fn a_model_whose_name_is_not_encoded_properly_keeps_it() {
        for (segment, name) in
            [("a%3ab", "a:b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%+1", "%+1"), ("%ff", "%ff")]
        {
            assert_eq!(decoded(segment), name);
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
            let found = find(b"POST", host.as_bytes(), b"/v1/chat/completions", &[]).unwrap();
            assert_eq!(found.provider, provider, "{host}");
        }
        let anthropic = find(b"POST", b"api.mistral.ai", b"/v1/messages", &[]).unwrap();
        assert_eq!(anthropic.provider, "anthropic");
        assert!(find(b"POST", b"\xff", b"/v1/responses", &[]).is_some());
    }

    #[test]
    fn everything_else_passes() {
        for path in [
            "/",
            "",
            "/v1/messages/",
            "/v1/messages/batches",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/batches",
            "/backend-api/codex/responses/compact",
            "/backend-api/codex/models",
            "/backend-api/wham/accounts/check",
            "/v2/messages",
            "/v2/embed",
            "/v2/chat/",
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
            "/v1internal:generateContent",
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
        assert_eq!(find(b"POST", b"h", b"/v1/\xff", &[]), None);
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
            let route = find(b"POST", b"h", path.as_bytes(), &[]).unwrap();
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
