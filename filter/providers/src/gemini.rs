//! Gemini `generateContent`, and Code Assist, which wraps the same in another object.

pub(crate) mod answer;
pub(crate) mod request;
pub(crate) mod usage;

use serde_json::json;

use crate::answer::AnswerReader;
use crate::api::Api;
use crate::format::{Credentials, Format, Part, Refusal};
use crate::memory_tools::memory_definitions;
use crate::own_tools::OwnTools;
use crate::prompt::Prompt;
use crate::provider::Provider;
use crate::retrieve_tool::{about, parameters};
use crate::route::Route;
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// The format.
pub(crate) struct GenerateContent;

/// Code Assist's variant: `POST /v1internal:generateContent`, with the request in `request` and each answer
/// in `response`.
pub(crate) struct CodeAssist;

const DEFINITION: &str = concat!("{", about!(), ",\"parameters\":", parameters!(), "},");
const MEMORY_DEFINITIONS: &str = memory_definitions!("{", ",\"parameters\":", "},");

impl Format for GenerateContent {
    fn name(&self) -> &'static str {
        "gemini_generate_content"
    }

    fn provider(&self) -> &'static str {
        PROVIDER.name
    }

    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        request::read(root, walk)
    }

    fn system(&self) -> &'static str {
        "systemInstruction"
    }

    fn messages(&self) -> &'static str {
        "contents"
    }

    fn prompt<'t, 'b>(&self, conversation: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        request::prompt(conversation)
    }

    fn part(&self, key: &[u8]) -> Part {
        match key {
            b"systemInstruction" | b"system_instruction" => Part::System,
            b"tools" => Part::Tools,
            b"contents" => Part::Messages,
            _ => Part::Other,
        }
    }

    fn definition(&self) -> Option<&'static str> {
        Some(DEFINITION)
    }

    fn memory_definitions(&self) -> Option<&'static str> {
        Some(MEMORY_DEFINITIONS)
    }

    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader> {
        Box::new(answer::Gemini::new(tools))
    }

    fn refusal(&self, message: &str) -> Refusal {
        refusal(message)
    }

    fn credentials(&self) -> Credentials {
        CREDENTIALS
    }
}

impl Format for CodeAssist {
    fn name(&self) -> &'static str {
        "gemini_code_assist"
    }

    fn provider(&self) -> &'static str {
        CODE_ASSIST.name
    }

    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        request::read(self.conversation(root)?.ok_or(NotUnderstood)?, walk)?;
        // The model is named next to the request.
        let [model] = root.pick(["model"])?;
        walk.model = model.and_then(Value::text);
        Ok(())
    }

    fn conversation<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Value<'t, 'b>>, NotUnderstood> {
        Ok(root.pick(["request"])?[0])
    }

    fn system(&self) -> &'static str {
        GenerateContent.system()
    }

    fn messages(&self) -> &'static str {
        GenerateContent.messages()
    }

    fn prompt<'t, 'b>(&self, conversation: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        request::prompt(conversation)
    }

    fn part(&self, key: &[u8]) -> Part {
        if key == b"request" { Part::Request } else { Part::Other }
    }

    fn definition(&self) -> Option<&'static str> {
        Some(DEFINITION)
    }

    fn memory_definitions(&self) -> Option<&'static str> {
        Some(MEMORY_DEFINITIONS)
    }

    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader> {
        Box::new(answer::Gemini::nested(tools))
    }

    fn refusal(&self, message: &str) -> Refusal {
        refusal(message)
    }

    fn credentials(&self) -> Credentials {
        CREDENTIALS
    }
}

const CREDENTIALS: Credentials = Credentials { headers: &["x-goog-api-key", "authorization"], query: true };

/// Google's other APIs prefer a token to a key.
pub(crate) const CREDENTIALS_OF_OTHERS: Credentials =
    Credentials { headers: &["authorization", "x-goog-api-key"], query: true };

fn refusal(message: &str) -> Refusal {
    Refusal::of_body(&json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}}))
}

/// Gemini, for users with a key.
pub(crate) const PROVIDER: Provider = Provider {
    domains: &["generativelanguage.googleapis.com"],
    route,
    credentials: |api| (api == Api::OpenAiChat).then_some(CREDENTIALS_OF_OTHERS),
    ..Provider::named("gemini")
};

fn route(path: &str) -> Option<Route> {
    if path == "/v1beta/openai/chat/completions" {
        return Some(Route::new(PROVIDER.name, Api::OpenAiChat));
    }
    let resource = Resource::at(path).filter(|resource| !resource.is_on_vertex())?;
    resource
        .is_gemini()
        .then(|| Route::new(PROVIDER.name, Api::GeminiGenerateContent).with_model(resource.model))
}

/// Gemini CLI with a Google login.
pub(crate) const CODE_ASSIST: Provider = Provider {
    domains: &["cloudcode-pa.googleapis.com"],
    route: route_to_code_assist,
    is_of_subscriptions: true,
    ..Provider::named("code_assist")
};

fn route_to_code_assist(path: &str) -> Option<Route> {
    let known = matches!(path, "/v1internal:generateContent" | "/v1internal:streamGenerateContent");
    known.then(|| Route::new(CODE_ASSIST.name, Api::GeminiCodeAssist))
}

/// A path of Google's: `/v1beta/models/M:generateContent`,
/// `/v1/projects/P/locations/L/publishers/google/models/M:generateContent`,
/// `…/publishers/anthropic/models/M:rawPredict`.
pub(crate) struct Resource<'p> {
    /// The path before the model's name.
    pub(crate) parent: &'p str,
    pub(crate) model: &'p str,
    pub(crate) method: &'p str,
}

impl<'p> Resource<'p> {
    pub(crate) fn at(path: &'p str) -> Option<Self> {
        let (resource, method) = path.strip_prefix("/v1").and(Some(path))?.rsplit_once(':')?;
        let (parent, model) = resource.rsplit_once('/')?;
        (!model.is_empty()).then_some(Self { parent, model, method })
    }

    pub(crate) fn is_on_vertex(&self) -> bool {
        ["/projects/", "/publishers/"].iter().any(|part| self.parent.contains(part))
    }

    pub(crate) fn is_gemini(&self) -> bool {
        matches!(self.method, "generateContent" | "streamGenerateContent")
            && ["/models", "/tunedModels", "/endpoints"].iter().any(|end| self.parent.ends_with(end))
    }
}

/// Gemini streams a JSON array unless it is asked for events. No SDK asks for the array, and it would have to
/// be cut at its elements on the way, so it passes as it comes.
pub(crate) fn streams_array(path: &str, query: &str) -> bool {
    path.ends_with(":streamGenerateContent") && !query.split('&').any(|parameter| parameter == "alt=sse")
}

/// Whether this is a header that only the SDKs send.
pub(crate) fn is_sdk_header(name: &[u8]) -> bool {
    matches!(name, b"x-goog-api-key" | b"x-goog-api-client")
}
