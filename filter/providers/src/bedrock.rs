//! Amazon Bedrock: Converse for all models, and Anthropic's own API.

pub(crate) mod converse;
pub(crate) mod usage;

use serde_json::json;

use crate::answer::AnswerReader;
use crate::anthropic::answer::Anthropic;
use crate::anthropic::breakpoints;
use crate::anthropic::request;
use crate::anthropic::rounds::IDS;
use crate::api::Api;
use crate::format::{Format, Part, Refusal};
use crate::openai_chat::answer::OpenAiChat;
use crate::own_tools::OwnTools;
use crate::prompt::Prompt;
use crate::provider::Provider;
use crate::rounds::IdRules;
use crate::route::Route;
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// `POST /model/{model}/converse` and `/converse-stream`.
pub(crate) struct Converse;

/// `POST /model/{model}/invoke` and `/invoke-with-response-stream`, where the body is Anthropic's.
pub(crate) struct Invoke;

impl Format for Converse {
    fn name(&self) -> &'static str {
        "bedrock_converse"
    }

    fn provider(&self) -> &'static str {
        PROVIDER.name
    }

    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        converse::read(root, walk)
    }

    fn prompt<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        let [system] = root.pick(["system"])?;
        Ok(system.map(|value| Prompt { value, part: r#"{"text":"# }))
    }

    fn part(&self, key: &[u8]) -> Part {
        match key {
            b"system" => Part::System,
            b"toolConfig" => Part::Tools,
            b"messages" => Part::Messages,
            _ => Part::Other,
        }
    }

    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader> {
        Box::new(OpenAiChat::new(tools))
    }

    fn refusal(&self, message: &str) -> Refusal {
        refusal(message)
    }
}

impl Format for Invoke {
    fn name(&self) -> &'static str {
        "anthropic_bedrock"
    }

    fn provider(&self) -> &'static str {
        PROVIDER.name
    }

    /// The path may name a model only by an opaque ARN, which can stand for any family of models. Only bodies
    /// for Anthropic's models name a version of its API.
    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        let [version] = root.pick(["anthropic_version"])?;
        version.filter(|version| version.is_string()).ok_or(NotUnderstood)?;
        request::read(root, walk)
    }

    fn part(&self, key: &[u8]) -> Part {
        request::part(key)
    }

    fn prompt<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        breakpoints::prompt(root)
    }

    fn takes_breakpoints(&self) -> bool {
        true
    }

    fn takes_text_for_list(&self) -> bool {
        true
    }

    fn ids(&self) -> IdRules {
        IDS
    }

    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader> {
        Box::new(Anthropic::new(tools))
    }

    fn refusal(&self, message: &str) -> Refusal {
        refusal(message)
    }
}

fn refusal(message: &str) -> Refusal {
    let header = Some((ERROR_HEADER, "ThrottlingException"));
    Refusal { header, ..Refusal::of_body(&json!({"message": message})) }
}

/// The header that names the class of an error: `ThrottlingException:http://…`. The body does not name it.
pub const ERROR_HEADER: &str = "x-amzn-errortype";

/// The class of an error in [`ERROR_HEADER`].
pub fn error_class(header: &[u8]) -> &[u8] {
    header.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii()
}

/// Bedrock. Amazon's domain also has many other services.
pub(crate) const PROVIDER: Provider = Provider {
    domains: &["amazonaws.com"],
    hosts_begin: b"bedrock",
    serves: &["openai"],
    route,
    ..Provider::named("bedrock")
};

fn route(path: &str) -> Option<Route> {
    let (model, method) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    if model.is_empty() {
        return None;
    }
    let to = |api| Route::new(PROVIDER.name, api).with_model(model);
    match method {
        "converse" | "converse-stream" => Some(to(Api::BedrockConverse)),
        "invoke" | "invoke-with-response-stream" => Some(to(Api::AnthropicBedrock))
            .filter(|route| route.model.as_deref().is_some_and(may_be_anthropics)),
        _ => None,
    }
}

/// Resources whose names do not show which model they use. The body does.
const OPAQUE: [&str; 3] =
    ["application-inference-profile/", "provisioned-model/", "custom-model-deployment/"];

/// Whether a model may be Anthropic's: `us.anthropic.claude-…`, also at the end of an ARN, or an opaque ARN.
fn may_be_anthropics(model: &str) -> bool {
    let name = model.rsplit_once('/').map_or(model, |(_, name)| name);
    name.split('.').rev().skip(1).any(|part| part == "anthropic")
        || model.starts_with("arn:") && OPAQUE.iter().any(|resource| model.contains(resource))
}
