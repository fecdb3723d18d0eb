//! DeepSeek: OpenAI's Chat Completions, and Anthropic's Messages below `https://api.deepseek.com/anthropic`.
//!
//! Its Messages know nothing of thinking that is bound to a prefix, so a refusal is never sent once more.

use crate::api::Api;
use crate::provider::Provider;
use crate::route::Route;

/// DeepSeek.
pub(crate) const PROVIDER: Provider =
    Provider { route_at_host, ..Provider::like_openai("deepseek", &["deepseek.com"]) };

/// Its clients set the base URL, so nothing of it stands for another provider at another host: there it is a prefix that
/// the configuration names.
fn route_at_host(path: &str) -> Option<Route> {
    (path == "/anthropic/v1/messages").then(|| Route::new(PROVIDER.name, Api::AnthropicMessages))
}
