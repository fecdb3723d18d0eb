//! OpenAI Chat Completions, `POST /v1/chat/completions`, also from Mistral, Azure, vLLM, …

pub(crate) mod answer;
pub(crate) mod request;
pub(crate) mod rounds;
pub(crate) mod usage;

use crate::answer::AnswerReader;
use crate::format::{Format, Refusal};
use crate::memory_tools::memory_definitions;
use crate::openai::{self, PROVIDER};
use crate::own_tools::OwnTools;
use crate::prompt::{Prompt, TEXT_PART};
use crate::retrieve_tool::{about, parameters};
use crate::rounds::{Editor, IdRules, Outputs};
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// The format.
pub(crate) struct ChatCompletions;

impl Format for ChatCompletions {
    fn name(&self) -> &'static str {
        "openai_chat"
    }

    fn provider(&self) -> &'static str {
        PROVIDER.name
    }

    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        request::read(root, walk)
    }

    fn prompt<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        let [messages] = root.pick(["messages"])?;
        Prompt::of_first_message(messages, TEXT_PART)
    }

    fn definition(&self) -> Option<&'static str> {
        Some(concat!(
            "{\"type\":\"function\",\"function\":{",
            about!(),
            ",\"parameters\":",
            parameters!(),
            "}},"
        ))
    }

    fn memory_definitions(&self) -> Option<&'static str> {
        Some(memory_definitions!("{\"type\":\"function\",\"function\":{", ",\"parameters\":", "}},"))
    }

    fn ids(&self) -> IdRules {
        IdRules { prefix: "call_hr", begin_anew: true, items_have_ids: false }
    }

    fn carries_traces(&self) -> bool {
        true
    }

    fn restore(
        &self,
        root: Value<'_, '_>,
        outputs: Outputs<'_>,
        editor: &mut Editor<'_>,
    ) -> Result<(), NotUnderstood> {
        rounds::restore(root, outputs, editor)
    }

    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader> {
        Box::new(answer::OpenAiChat::new(tools))
    }

    fn refusal(&self, message: &str) -> Refusal {
        openai::refusal(message)
    }
}
