//! OpenAI Responses: `POST /v1/responses`, and its WebSocket sessions.

pub(crate) mod answer;
pub(crate) mod request;
pub(crate) mod rounds;
pub mod session;
pub(crate) mod usage;

use crate::answer::AnswerReader;
use crate::format::{Format, Part, Refusal};
use crate::memory_tools::memory_definitions;
use crate::openai::{self, PROVIDER};
use crate::own_tools::OwnTools;
use crate::prompt::Prompt;
use crate::retrieve_tool::{about, parameters};
use crate::rounds::{Editor, IdRules, Outputs};
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// The format.
pub(crate) struct Responses;

impl Format for Responses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }

    fn provider(&self) -> &'static str {
        PROVIDER.name
    }

    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        request::read(root, walk)
    }

    fn system(&self) -> &'static str {
        "instructions"
    }

    fn prompt<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        const PART: &str = r#"{"type":"input_text","text":"#;
        let [instructions, input] = root.pick(["instructions", "input"])?;
        match instructions.filter(|instructions| !instructions.is_null()) {
            Some(value) => Ok(Some(Prompt { value, part: PART })),
            None => Prompt::of_first_message(input, PART),
        }
    }

    fn messages(&self) -> &'static str {
        "input"
    }

    fn part(&self, key: &[u8]) -> Part {
        match key {
            b"instructions" => Part::System,
            b"tools" => Part::Tools,
            b"input" => Part::Messages,
            _ => Part::Other,
        }
    }

    fn definition(&self) -> Option<&'static str> {
        Some(concat!(
            "{\"type\":\"function\",",
            about!(),
            ",\"parameters\":",
            parameters!(),
            ",\"strict\":false},"
        ))
    }

    fn memory_definitions(&self) -> Option<&'static str> {
        Some(memory_definitions!("{\"type\":\"function\",", ",\"parameters\":", ",\"strict\":false},"))
    }

    fn ids(&self) -> IdRules {
        IdRules { prefix: "call_hr", begin_anew: false, items_have_ids: true }
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
        Box::new(answer::OpenAiResponses::new(tools))
    }

    fn refusal(&self, message: &str) -> Refusal {
        openai::refusal(message)
    }
}
