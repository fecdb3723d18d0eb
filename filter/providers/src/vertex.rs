//! Vertex AI: Gemini, and the models of Anthropic and Mistral there.

use crate::api::Api;
use crate::gemini::{CREDENTIALS_OF_OTHERS, Resource};
use crate::provider::Provider;
use crate::route::Route;

/// Vertex AI has a host for each region: `us-central1-aiplatform.googleapis.com`.
pub(crate) const PROVIDER: Provider = Provider {
    domains: &["aiplatform.googleapis.com"],
    has_hosts_by_dash: true,
    route,
    credentials: |_| Some(CREDENTIALS_OF_OTHERS),
    ..Provider::named("vertex")
};

fn route(path: &str) -> Option<Route> {
    if let Some(resource) = path.strip_suffix("/chat/completions").filter(|_| path.starts_with("/v1")) {
        let (parent, endpoint) = resource.rsplit_once('/')?;
        let is_known = path.contains("/projects/") && parent.ends_with("/endpoints") && !endpoint.is_empty();
        return is_known.then(|| Route::new(PROVIDER.name, Api::OpenAiChat));
    }
    let resource = Resource::at(path)?;
    let api = match resource.method {
        // `count-tokens` takes the place of a model's name, and is not a model.
        "rawPredict" | "streamRawPredict" if resource.model != "count-tokens" => {
            if resource.parent.ends_with("/publishers/anthropic/models") {
                Api::AnthropicMessages
            } else if resource.parent.ends_with("/publishers/mistralai/models") {
                Api::OpenAiChat
            } else {
                return None;
            }
        }
        _ if resource.is_gemini() && resource.is_on_vertex() => Api::GeminiGenerateContent,
        _ => return None,
    };
    Some(Route::new(PROVIDER.name, api).with_model(resource.model))
}
