//! Which requests the filter handles: from method, host and path to a format.
//!
//! Only complete known paths match, so `/v1/messages/batches`, embeddings and future paths pass.

use crate::api::Api;
use crate::provider::Provider;
use crate::route::{Route, Target};
use crate::table::PROVIDERS;
use crate::{copilot, gemini, openai};

/// The route of a request; `None`: the filter does not handle it. A path is recognized in all spellings with
/// the same target: percent-encoded, and in capitals.
pub fn find(method: &[u8], target: Target<'_>, prefixes: &[String]) -> Option<Route> {
    if method != b"POST" {
        return None;
    }
    let Target { host, path, is_copilot } = target;
    let is_copilot = is_copilot || copilot::is_host(host);
    let at_host = PROVIDERS.iter().find(|provider| provider.has_host(host));
    let spelled = |path: String| matched(&path, at_host, is_copilot, prefixes).map(|route| (route, path));
    let plain = path.plain();
    let (mut route, matched) = spelled(plain.to_owned())
        .or_else(|| spelled(path.decoded()))
        .or_else(|| spelled(plain.to_ascii_lowercase()))?;
    let server = if is_copilot { Some(&copilot::PROVIDER) } else { at_host };
    if let Some(server) = server.filter(|server| server.serves.contains(&route.provider)) {
        route.provider = server.name;
    }
    route.answer_can_be_followed =
        route.api.takes_own_tools() && !gemini::streams_array(&matched, path.query());
    Some(route)
}

fn matched(path: &str, at_host: Option<&Provider>, is_copilot: bool, prefixes: &[String]) -> Option<Route> {
    // Copilot has OpenAI's paths without their version.
    let own = if is_copilot { route_behind_prefix(path) } else { route(path) };
    own.or_else(|| (at_host?.route_at_host)(path)).or_else(|| {
        prefixes.iter().find_map(|prefix| route_behind_prefix(path.strip_prefix(prefix.as_str())?))
    })
}

/// A path at a provider's own host.
fn route(path: &str) -> Option<Route> {
    PROVIDERS.iter().find_map(|provider| (provider.route)(path))
}

/// A path after a configured prefix: a provider's own, or one that OpenAI clients append to a base URL.
fn route_behind_prefix(path: &str) -> Option<Route> {
    openai::route_without_version(path).or_else(|| route(path))
}

/// The route of a request for a WebSocket session. Only OpenAI Responses has them.
pub fn find_session(target: Target<'_>, prefixes: &[String]) -> Option<Route> {
    let route = find(b"POST", target, prefixes).filter(|route| route.api == Api::OpenAiResponses)?;
    Some(Route { answer_can_be_followed: false, ..route })
}

/// Whether the request goes to a provider's own host, with any path.
pub fn is_provider(host: &[u8]) -> bool {
    PROVIDERS.iter().any(|provider| provider.has_host(host) && host.starts_with(provider.hosts_begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Path;
    use crate::route::Purpose;

    /// As [`super::find`], with a path as it comes.
    fn find(method: &[u8], (host, path): (&[u8], &[u8]), prefixes: &[String]) -> Option<Route> {
        super::find(method, Target { host, path: &Path::new(path), is_copilot: false }, prefixes)
    }

    fn at<'h>(host: &'h [u8], path: &'h [u8]) -> (&'h [u8], &'h [u8]) {
        (host, path)
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
            let path = Path::new(path.as_bytes());
            let target = Target { host: host.as_bytes(), path: &path, is_copilot };
            super::find(b"POST", target, &[]).map(|route| (route.api, route.provider))
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

    #[test]
    fn deepseek_serves_two_formats_at_its_host() {
        let at_host = |host: &str, path: &str| {
            find(b"POST", at(host.as_bytes(), path.as_bytes()), &[]).map(|route| (route.api, route.provider))
        };
        let messages = Some((Api::AnthropicMessages, "deepseek"));
        for path in ["/anthropic/v1/messages", "/anthropic/v1/messages?beta=true", "//Anthropic/v1/messages/"]
        {
            assert_eq!(at_host("api.deepseek.com:443", path), messages, "{path}");
        }
        assert_eq!(at_host("api.deepseek.com", "/v1/chat/completions"), Some((Api::OpenAiChat, "deepseek")));
        for (host, path) in [
            ("api.deepseek.com", "/anthropic/v1/models"),
            ("api.deepseek.com", "/anthropic/v1/messages/batches"),
            ("api.deepseek.com.evil.example", "/anthropic/v1/messages"),
            ("127.0.0.1:8787", "/anthropic/v1/messages"),
        ] {
            assert_eq!(at_host(host, path), None, "{host} {path}");
        }
        let route = find(b"POST", at(b"api.deepseek.com", b"/anthropic/v1/messages"), &[]).unwrap();
        assert_eq!(route.credentials().headers, ["x-api-key", "authorization"]);
        assert!(route.answer_can_be_followed && !route.is_recoverable());
    }
}
