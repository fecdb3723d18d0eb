//! DeepSeek: OpenAI's Chat Completions, and Anthropic's Messages below `https://api.deepseek.com/anthropic`.
//!
//! Its Messages do not bind thinking to a prefix, so a refusal is never sent once more.

use crate::api::Api;
use crate::provider::Provider;
use crate::route::Route;

/// DeepSeek.
pub(crate) const PROVIDER: Provider =
    Provider { route_at_host, ..Provider::like_openai("deepseek", &["deepseek.com"]) };

/// Clients set this path in the base URL. At another host the same path may belong to another provider, so
/// there it counts only as a prefix that the configuration names.
fn route_at_host(path: &str) -> Option<Route> {
    (path == "/anthropic/v1/messages").then(|| Route::new(PROVIDER.name, Api::AnthropicMessages))
}
