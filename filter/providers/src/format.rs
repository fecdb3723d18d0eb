//! What a format has of its own.

use crate::answer::AnswerReader;
use crate::own_tools::OwnTools;
use crate::prompt::Prompt;
use crate::rounds::{Editor, IdRules, Outputs};
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// A format of requests to a provider, and of its answers. Each folder has one or two.
pub(crate) trait Format: Sync {
    /// The name in reports and metrics.
    fn name(&self) -> &'static str;

    /// In reports and metrics, the name of the provider that made it.
    fn provider(&self) -> &'static str;

    /// Reads the body of a request.
    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood>;

    /// The object of the body in which the conversation stands.
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

    /// The system prompt of a conversation; `None`: it has none.
    fn prompt<'t, 'b>(&self, _conversation: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        Ok(None)
    }

    /// Whether the client says with `cache_control` up to where the provider's cache is to be written.
    fn takes_breakpoints(&self) -> bool {
        false
    }

    /// What a member of the body holds, as far as reasoning is bound to it.
    fn part(&self, key: &[u8]) -> Part {
        match key {
            b"tools" => Part::Tools,
            _ if key == self.messages().as_bytes() => Part::Messages,
            _ => Part::Other,
        }
    }

    /// Whether a text alone is the same for the provider as a list of that one text.
    fn takes_text_for_list(&self) -> bool {
        false
    }

    /// The definition of our tool, with the comma that joins it to the list. `None`: it cannot be added, since its calls
    /// could not be answered.
    fn definition(&self) -> Option<&'static str> {
        None
    }

    /// The definitions of the tools of memory in the same way.
    fn memory_definitions(&self) -> Option<&'static str> {
        None
    }

    /// The same of the provider's own tool for memory, where it has one.
    fn memory_files_definition(&self) -> Option<&'static str> {
        None
    }

    /// What the ids of calls are like.
    fn ids(&self) -> IdRules {
        IdRules { prefix: "call_hr", begin_anew: false, items_have_ids: false }
    }

    /// Whether ids of calls may carry traces of hidden rounds, which [`Format::restore`] then reads.
    fn carries_traces(&self) -> bool {
        false
    }

    /// Puts rounds back that ids spell out, up to a message that is not understood.
    fn restore(
        &self,
        _root: Value<'_, '_>,
        _outputs: Outputs<'_>,
        _editor: &mut Editor<'_>,
    ) -> Result<(), NotUnderstood> {
        Ok(())
    }

    /// What reads the answers to requests with these tools of ours, for the tool loop.
    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader>;

    /// The answer to a request that is over its budget.
    fn refusal(&self, message: &str) -> Refusal;

    /// Where the credential stands.
    fn credentials(&self) -> Credentials {
        Credentials { headers: &["authorization"], query: false }
    }
}

/// What a member of a request's body holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The system prompt.
    System,
    /// The list of tools.
    Tools,
    /// The messages.
    Messages,
    /// An object with all of these in it, in the format of [`Format::conversation`].
    Request,
    /// Something else.
    Other,
}

/// An answer in the provider's place, in the words that its own SDKs understand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// A header that it has beside those of all.
    pub header: Option<(&'static str, &'static str)>,
    /// The body, JSON.
    pub body: String,
}

impl Refusal {
    /// One that is its body alone.
    pub(crate) fn of_body(body: &serde_json::Value) -> Self {
        Self { header: None, body: body.to_string() }
    }
}

/// Where a credential stands; the first that is there counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// Headers, in lower case.
    pub headers: &'static [&'static str],
    /// Google takes it as `key=` in the query too.
    pub query: bool,
}
