//! Cohere Chat, version 2: `POST /v2/chat`.

pub(crate) mod request;
pub(crate) mod usage;

use serde_json::json;

use crate::answer::AnswerReader;
use crate::api::Api;
use crate::format::{Format, Refusal};
use crate::openai_chat::answer::OpenAiChat;
use crate::own_tools::OwnTools;
use crate::prompt::{Prompt, TEXT_PART};
use crate::provider::Provider;
use crate::route::Route;
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// The format.
pub(crate) struct Chat;

impl Format for Chat {
    fn name(&self) -> &'static str {
        "cohere_chat"
    }

    fn provider(&self) -> &'static str {
        PROVIDER.name
    }

    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        request::read(root, walk)
    }

    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader> {
        Box::new(OpenAiChat::new(tools))
    }

    fn prompt<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        let [messages] = root.pick(["messages"])?;
        Prompt::of_first_message(messages, TEXT_PART)
    }

    fn refusal(&self, message: &str) -> Refusal {
        Refusal::of_body(&json!({"message": message}))
    }
}

/// Cohere itself.
pub(crate) const PROVIDER: Provider =
    Provider { domains: &["cohere.com"], route, ..Provider::named("cohere") };

fn route(path: &str) -> Option<Route> {
    (path == "/v2/chat").then(|| Route::new(PROVIDER.name, Api::CohereChat))
}
