//! OpenAI: what its two formats have in common.

use serde_json::json;

use crate::api::Api;
use crate::format::Refusal;
use crate::provider::Provider;
use crate::route::{Purpose, Route};

/// OpenAI itself.
pub(crate) const PROVIDER: Provider =
    Provider { domains: &["openai.com"], route, ..Provider::named("openai") };

fn route(path: &str) -> Option<Route> {
    let [chat, responses] = [Api::OpenAiChat, Api::OpenAiResponses].map(|api| Route::new(PROVIDER.name, api));
    match path {
        "/v1/chat/completions" => Some(chat),
        "/v1/responses" => Some(responses),
        "/v1/responses/input_tokens" => Some(responses.only_for(Purpose::Count)),
        "/v1/responses/compact" => Some(responses.only_for(Purpose::Compact)),
        _ => None,
    }
}

/// Routes for paths that clients append to a base URL without `/v1`.
pub(crate) fn route_without_version(path: &str) -> Option<Route> {
    match path {
        "/chat/completions" => Some(Route::new(PROVIDER.name, Api::OpenAiChat)),
        "/responses" => Some(Route::new(PROVIDER.name, Api::OpenAiResponses)),
        _ => None,
    }
}

/// A refusal in the format of OpenAI's SDKs.
pub(crate) fn refusal(message: &str) -> Refusal {
    Refusal::of_body(&json!({"error": {
        "message": message, "type": "insufficient_quota", "param": null, "code": "budget_exceeded"}}))
}
