//! What is particular to a wire format.

use crate::answer::AnswerReader;
use crate::own_tools::OwnTools;
use crate::prompt::Prompt;
use crate::rounds::{Editor, IdRules, Outputs};
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// A format of requests to a provider and of its answers. Each folder has one or two.
pub(crate) trait Format: Sync {
    /// The name in reports and metrics.
    fn name(&self) -> &'static str;

    /// The name of the provider that made the format, for reports and metrics.
    fn provider(&self) -> &'static str;

    /// Reads the body of a request.
    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood>;

    /// The object of the body that holds the conversation.
    fn conversation<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Value<'t, 'b>>, NotUnderstood> {
        Ok(Some(root))
    }

    /// The member that holds the system prompt.
    fn system(&self) -> &'static str {
        "system"
    }

    /// The member that holds the messages.
    fn messages(&self) -> &'static str {
        "messages"
    }

    /// The system prompt of a conversation; `None`: there is none.
    fn prompt<'t, 'b>(&self, _conversation: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        Ok(None)
    }

    /// Whether clients mark with `cache_control` how far the provider's cache is written.
    fn takes_breakpoints(&self) -> bool {
        false
    }

    /// The role of a member of the body, as far as reasoning is bound to it.
    fn part(&self, key: &[u8]) -> Part {
        match key {
            b"tools" => Part::Tools,
            _ if key == self.messages().as_bytes() => Part::Messages,
            _ => Part::Other,
        }
    }

    /// Whether the provider treats a plain text and a list of that one text as the same.
    fn takes_text_for_list(&self) -> bool {
        false
    }

    /// The definition of our tool, with the comma that joins it to the list. `None`: it cannot be added,
    /// because its calls could not be answered.
    fn definition(&self) -> Option<&'static str> {
        None
    }

    /// The definitions of the memory tools, in the same form.
    fn memory_definitions(&self) -> Option<&'static str> {
        None
    }

    /// The definition of the provider's own memory tool, if it has one, in the same form.
    fn memory_files_definition(&self) -> Option<&'static str> {
        None
    }

    /// The rules for ids of calls.
    fn ids(&self) -> IdRules {
        IdRules { prefix: "call_hr", begin_anew: false, items_have_ids: false }
    }

    /// Whether ids of calls may carry traces of hidden rounds, which [`Format::restore`] then reads.
    fn carries_traces(&self) -> bool {
        false
    }

    /// Puts back the rounds in the ids' traces, up to a message that is not understood.
    fn restore(
        &self,
        _root: Value<'_, '_>,
        _outputs: Outputs<'_>,
        _editor: &mut Editor<'_>,
    ) -> Result<(), NotUnderstood> {
        Ok(())
    }

    /// The reader for answers to requests with these tools of ours, for the tool loop.
    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader>;

    /// The answer to a request that is over its budget.
    fn refusal(&self, message: &str) -> Refusal;

    /// Where the credential is found.
    fn credentials(&self) -> Credentials {
        Credentials { headers: &["authorization"], query: false }
    }
}

/// The role of a member of a request's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The system prompt.
    System,
    /// The list of tools.
    Tools,
    /// The messages.
    Messages,
    /// An object that contains all of these, in the format of [`Format::conversation`].
    Request,
    /// Something else.
    Other,
}

/// An answer that the filter gives instead of the provider, in the format that the provider's SDKs
/// understand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// A header in addition to the common ones.
    pub header: Option<(&'static str, &'static str)>,
    /// The body, JSON.
    pub body: String,
}

impl Refusal {
    /// A refusal without an own header.
    pub(crate) fn of_body(body: &serde_json::Value) -> Self {
        Self { header: None, body: body.to_string() }
    }
}

/// Where a credential is found; the first one that is set counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// Headers, in lower case.
    pub headers: &'static [&'static str],
    /// Whether it may also be in the query as `key=`, as with Google.
    pub query: bool,
}
