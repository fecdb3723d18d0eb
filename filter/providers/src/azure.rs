//! Azure OpenAI, with the deployment in the path or with OpenAI's own paths.

use crate::api::Api;
use crate::format::Credentials;
use crate::provider::Provider;
use crate::route::Route;

/// Azure.
pub(crate) const PROVIDER: Provider = Provider {
    domains: &["openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"],
    serves: &["openai"],
    route,
    credentials: |_| Some(CREDENTIALS),
    ..Provider::named("azure")
};

/// Azure has its own header for the key.
pub(crate) const CREDENTIALS: Credentials =
    Credentials { headers: &["api-key", "authorization"], query: false };

fn route(path: &str) -> Option<Route> {
    match path.strip_prefix("/openai/")? {
        // Other providers have `/v1` below `/openai` as well.
        "v1/chat/completions" => Some(Route::new("openai", Api::OpenAiChat).with_credentials(CREDENTIALS)),
        "v1/responses" => Some(Route::new("openai", Api::OpenAiResponses).with_credentials(CREDENTIALS)),
        "responses" => Some(Route::new(PROVIDER.name, Api::OpenAiResponses)),
        path => {
            let deployment = path.strip_prefix("deployments/")?.strip_suffix("/chat/completions")?;
            let is_one = !deployment.is_empty() && !deployment.contains('/');
            is_one.then(|| Route::new(PROVIDER.name, Api::OpenAiChat).with_model(deployment))
        }
    }
}
