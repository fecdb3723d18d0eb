//! Which requests are ours: method and path to a wire format.

use headroom_compress::Api;

/// A request that the engine can read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    pub(crate) api: Api,
    /// Where the path names the model and the body does not.
    pub(crate) model: Option<String>,
    /// Whether a call of `headroom_retrieve` in the answer could be answered by the filter. Gemini
    /// streams a JSON array unless it is asked for events. Such an array would have to be cut at its
    /// elements on the way, for a form that no SDK asks for, so it passes as it comes.
    pub(crate) answer_can_be_followed: bool,
}

/// The route of a request; `None`: not ours.
///
/// Only exact paths match, so `/v1/messages/count_tokens`, `/v1/messages/batches` and the like pass.
pub(crate) fn find(method: &[u8], path: &[u8], prefixes: &[String]) -> Option<Route> {
    if method != b"POST" {
        return None;
    }
    let mut parts = path.splitn(2, |byte| *byte == b'?');
    let (path, query) = (parts.next().unwrap_or(path), parts.next().unwrap_or_default());
    let mut route = provider_path(path).or_else(|| {
        prefixes.iter().find_map(|prefix| provider_path(path.strip_prefix(prefix.as_bytes())?))
    })?;
    let array = path.ends_with(b":streamGenerateContent")
        && !query.split(|byte| *byte == b'&').any(|part| part == b"alt=sse");
    route.answer_can_be_followed = !array;
    Some(route)
}

fn provider_path(path: &[u8]) -> Option<Route> {
    let of = |api| Route { api, model: None, answer_can_be_followed: true };
    match path {
        b"/v1/messages" => Some(of(Api::AnthropicMessages)),
        b"/v1/chat/completions" => Some(of(Api::OpenAiChat)),
        b"/v1/responses" => Some(of(Api::OpenAiResponses)),
        _ => gemini(path),
    }
}

/// `/v1beta/models/gemini-2.5-pro:generateContent`, and Vertex AI's longer paths to the same.
fn gemini(path: &[u8]) -> Option<Route> {
    let path = std::str::from_utf8(path).ok()?;
    let (resource, verb) = path.rsplit_once(':')?;
    if !matches!(verb, "generateContent" | "streamGenerateContent") || !path.starts_with("/v1") {
        return None;
    }
    let (parent, model) = resource.rsplit_once('/')?;
    let named = parent.ends_with("/models") && !model.is_empty();
    named.then(|| Route {
        api: Api::GeminiGenerateContent,
        model: Some(model.to_owned()),
        answer_can_be_followed: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(method: &str, path: &str, prefixes: &[&str]) -> Option<Api> {
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        find(method.as_bytes(), path.as_bytes(), &prefixes).map(|route| route.api)
    }

    #[test]
    fn the_providers_paths_match() {
        assert_eq!(api("POST", "/v1/messages", &[]), Some(Api::AnthropicMessages));
        assert_eq!(api("POST", "/v1/messages?beta=true", &[]), Some(Api::AnthropicMessages));
        assert_eq!(api("POST", "/v1/chat/completions", &[]), Some(Api::OpenAiChat));
        assert_eq!(api("POST", "/v1/responses", &[]), Some(Api::OpenAiResponses));
    }

    #[test]
    fn the_model_comes_from_geminis_path() {
        for path in [
            "/v1beta/models/gemini-2.5-pro:generateContent",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
        ] {
            let route = find(b"POST", path.as_bytes(), &[]).unwrap();
            assert_eq!(route.api, Api::GeminiGenerateContent);
            assert_eq!(route.model.as_deref(), Some("gemini-2.5-pro"), "{path}");
        }
    }

    #[test]
    fn an_answer_in_pieces_can_be_followed_only_as_events() {
        let followed = |path: &str| find(b"POST", path.as_bytes(), &[]).unwrap().answer_can_be_followed;
        assert!(followed("/v1/messages?beta=true"));
        assert!(followed("/v1beta/models/g:generateContent"));
        assert!(followed("/v1beta/models/g:streamGenerateContent?key=k&alt=sse"));
        assert!(!followed("/v1beta/models/g:streamGenerateContent?key=k"));
        assert!(!followed("/v1beta/models/g:streamGenerateContent"));
    }

    #[test]
    fn everything_else_passes() {
        for path in [
            "/",
            "",
            "/v1/messages/",
            "/v1/messages/count_tokens",
            "/v1/messages/batches",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/responses/compact",
            "/v2/messages",
            "/anthropic/v1/messages",
            "/v1beta/models/gemini:countTokens",
            "/v1beta/models/:generateContent",
            "/v1beta/gemini:generateContent",
            "/other/models/x:generateContent",
        ] {
            assert_eq!(api("POST", path, &[]), None, "{path}");
        }
        assert_eq!(find(b"POST", b"/v1/\xff", &[]), None);
        for method in ["GET", "OPTIONS", "HEAD", "PUT", "post"] {
            assert_eq!(api(method, "/v1/messages", &[]), None);
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
}
