//! The wire formats of the providers: where the tool outputs stand in a body, and what else the model
//! reads.
//!
//! One strict pass makes a [`tape`] of the body; the reader of each format then names the values that
//! count and skips the rest. A body that a reader does not understand is not touched at all (I1), and
//! neither is any value that is not named here as the text of a tool output (I6): outputs of the
//! provider's own tools, images, documents, thinking, reasoning and encrypted items have no reader.

pub(crate) mod anthropic;
pub(crate) mod bedrock_converse;
pub(crate) mod cohere;
mod context_edits;
pub(crate) mod gemini;
pub(crate) mod openai_chat;
pub(crate) mod openai_responses;
pub(crate) mod retrieve_tool;
pub(crate) mod splice;
pub(crate) mod string;
pub(crate) mod tape;

use std::borrow::Cow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use tape::{Span, Tape, Value};

/// A provider's request format.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Api {
    /// Anthropic `POST /v1/messages`; on Vertex AI `:rawPredict` and `:streamRawPredict`.
    AnthropicMessages,
    /// Amazon Bedrock `POST /model/{model}/invoke` and `/invoke-with-response-stream`, where the body is
    /// Anthropic's.
    AnthropicBedrock,
    /// OpenAI `POST /v1/chat/completions`, and what speaks it: Mistral, Azure, vLLM, …
    OpenAiChat,
    /// OpenAI `POST /v1/responses`.
    OpenAiResponses,
    /// Gemini `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    GeminiGenerateContent,
    /// Gemini Code Assist `POST /v1internal:generateContent` and `:streamGenerateContent`: Gemini's request and
    /// answer, each one level down.
    GeminiCodeAssist,
    /// Amazon Bedrock `POST /model/{model}/converse` and `/converse-stream`.
    BedrockConverse,
    /// Cohere `POST /v2/chat`.
    CohereChat,
}

impl Api {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::AnthropicMessages,
        Self::AnthropicBedrock,
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::GeminiGenerateContent,
        Self::GeminiCodeAssist,
        Self::BedrockConverse,
        Self::CohereChat,
    ];

    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic_messages",
            Self::AnthropicBedrock => "anthropic_bedrock",
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::GeminiGenerateContent => "gemini_generate_content",
            Self::GeminiCodeAssist => "gemini_code_assist",
            Self::BedrockConverse => "bedrock_converse",
            Self::CohereChat => "cohere_chat",
        }
    }

    /// In reports and metrics, the name of the provider that made the format.
    pub fn provider(self) -> &'static str {
        match self {
            Self::AnthropicMessages => "anthropic",
            Self::OpenAiChat | Self::OpenAiResponses => "openai",
            Self::GeminiGenerateContent => "gemini",
            Self::GeminiCodeAssist => "code_assist",
            Self::AnthropicBedrock | Self::BedrockConverse => "bedrock",
            Self::CohereChat => "cohere",
        }
    }

    /// Whether the tool `headroom_retrieve` can be added to requests of this format. Whoever adds it has
    /// to answer its calls, also in streams: those of Bedrock are AWS event streams.
    pub fn takes_retrieve_tool(self) -> bool {
        retrieve_tool::definition(self).is_some()
    }
}

/// The object of a request's body in which the conversation stands.
pub(crate) fn conversation<'t, 'b>(
    api: Api,
    root: Value<'t, 'b>,
) -> Result<Option<Value<'t, 'b>>, NotUnderstood> {
    match api {
        Api::GeminiCodeAssist => Ok(root.pick(["request"])?[0]),
        _ => Ok(Some(root)),
    }
}

/// The body is not what the wire format promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotUnderstood;

/// What a walk over a body found.
#[derive(Debug)]
pub(crate) struct Walk<'b> {
    pub(crate) body: &'b str,
    pub(crate) model: Option<Cow<'b, str>>,
    pub(crate) stream: bool,
    pub(crate) has_tools: bool,
    /// Later requests do not carry again what this one does: the provider keeps the conversation.
    pub(crate) kept_by_provider: bool,
    /// Thinking of the model comes back in it.
    pub(crate) carries_thinking: bool,
    /// What the tool list says of Headroom's own tool.
    pub(crate) retrieve: retrieve_tool::Listing,
    /// What the model reads beside tool outputs, in reading order.
    pub(crate) readings: Vec<Reading>,
    /// The tool outputs, in the body's order.
    pub(crate) outputs: Vec<Output>,
    /// The number of outputs that stand before the end of the model's last message.
    pub(crate) answered: usize,
    /// The number of readings up to the end of the first user message that has a text; 0 without one.
    pub(crate) opening: usize,
    /// The number of outputs that stand before the model's last call: it was sent these while it had tools.
    pub(crate) called: usize,
    /// The number of calls of tools that are not our own.
    pub(crate) clients_calls: usize,
    /// The calls, in order.
    pub(crate) made: Vec<Call>,
    /// The request asks the provider to take tool outputs out of what the model is given.
    pub(crate) clears_outputs: bool,
    calls: HashMap<Cow<'b, str>, Call, FixedState>,
    query: Option<Span>,
    /// Where the last compaction so far ends.
    since: usize,
}

/// Something that the model reads and that stays as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reading {
    pub(crate) span: Span,
    pub(crate) role: Role,
}

impl Reading {
    /// Whether an agent has put it into a message of the user by itself.
    pub(crate) fn is_reminder(&self, body: &str) -> bool {
        self.span.raw(body).get(1..).is_some_and(|text| text.starts_with(REMINDER))
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Tools,
    System,
    User,
    Assistant,
}

/// The call of a tool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: Option<Span>,
    pub(crate) arguments: Option<Span>,
    /// Made by a program that the provider runs, which also reads the result.
    pub(crate) by_program: bool,
}

/// One text of one tool output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Output {
    /// The string that holds the text; another value where the output is structured data, which is
    /// read by the model but has no text to replace.
    pub(crate) span: Span,
    pub(crate) call: Option<Call>,
    /// The last user text before it.
    pub(crate) query: Option<Span>,
    /// Where in the body the last compaction before it ends, 0 without one: the provider gives the model
    /// nothing of what stands before.
    pub(crate) since: usize,
    /// It is a JSON value, and the strings in it may change.
    pub(crate) structured: bool,
    /// How many readings and calls stand before it.
    pub(crate) readings: usize,
    pub(crate) made: usize,
}

impl Output {
    /// Whether our own tool has given it.
    pub(crate) fn is_retrieved(&self, body: &str) -> bool {
        self.call.is_some_and(|call| call.is_ours(body))
    }
}

/// How agents mark text that they put into a user message themselves: it is no question, so it does
/// not steer (Claude Code).
const REMINDER: &str = "<system-reminder>";

/// Reads a body.
pub(crate) fn walk(api: Api, body: &[u8]) -> Result<Walk<'_>, NotUnderstood> {
    let (walk, understood) = walk_as_far(api, body)?;
    understood.map(|()| walk)
}

/// Reads a body as far as it is understood, and says whether that is all of it.
pub(crate) fn walk_as_far(
    api: Api,
    body: &[u8],
) -> Result<(Walk<'_>, Result<(), NotUnderstood>), NotUnderstood> {
    let tape = Tape::of(body)?;
    let mut walk = Walk {
        body: tape.body(),
        model: None,
        stream: false,
        has_tools: false,
        kept_by_provider: false,
        carries_thinking: false,
        retrieve: retrieve_tool::Listing::default(),
        readings: Vec::new(),
        outputs: Vec::new(),
        answered: 0,
        opening: 0,
        called: 0,
        clients_calls: 0,
        made: Vec::new(),
        clears_outputs: false,
        calls: HashMap::default(),
        query: None,
        since: 0,
    };
    let understood = match api {
        Api::AnthropicMessages => anthropic::read(tape.root(), &mut walk),
        Api::AnthropicBedrock => anthropic::read_bedrock(tape.root(), &mut walk),
        Api::OpenAiChat => openai_chat::read(tape.root(), &mut walk),
        Api::OpenAiResponses => openai_responses::read(tape.root(), &mut walk),
        Api::GeminiGenerateContent => gemini::read(tape.root(), &mut walk),
        Api::GeminiCodeAssist => gemini::read_code_assist(tape.root(), &mut walk),
        Api::BedrockConverse => bedrock_converse::read(tape.root(), &mut walk),
        Api::CohereChat => cohere::read(tape.root(), &mut walk),
    };
    Ok((walk, understood))
}

impl<'b> Walk<'b> {
    /// The members that requests of all formats have in common.
    fn envelope(
        &mut self,
        api: Api,
        model: Option<Value<'_, 'b>>,
        stream: Option<Value<'_, 'b>>,
        tools: Option<Value<'_, 'b>>,
    ) -> Result<(), NotUnderstood> {
        self.model = model.and_then(Value::text);
        self.stream = stream.is_some_and(Value::is_true);
        if let Some(tools) = tools
            && tools.elements().next().is_some()
        {
            self.has_tools = true;
            self.retrieve = retrieve_tool::listing(api, tools)?;
            self.reading(Role::Tools, tools);
        }
        Ok(())
    }

    fn reading(&mut self, role: Role, value: Value<'_, 'b>) {
        if role == Role::Assistant {
            self.answered = self.outputs.len();
        }
        let reading = Reading { span: value.span(), role };
        self.readings.push(reading);
        if role == Role::User && !reading.is_reminder(self.body) {
            self.query = Some(value.span());
        }
    }

    /// A block or item in which the provider has summed up all that stands before it.
    fn compaction(&mut self, value: Value<'_, 'b>) {
        self.since = value.span().range().end;
    }

    /// The end of a message that a user wrote.
    fn end_of_user_message(&mut self) {
        if self.opening == 0 && self.readings.last().is_some_and(|last| last.role == Role::User) {
            self.opening = self.readings.len();
        }
    }

    /// A call that the model made. It counts as something that it reads.
    fn call(&mut self, id: Option<Value<'_, 'b>>, call: Call) {
        self.answered = self.outputs.len();
        self.called = self.outputs.len();
        self.made.push(call);
        self.clients_calls += usize::from(!call.is_ours(self.body));
        for span in [call.name, call.arguments].into_iter().flatten() {
            self.readings.push(Reading { span, role: Role::Assistant });
        }
        if let Some(id) = id.and_then(Value::text) {
            // Some providers reuse ids: the latest call before an output is the one it answers.
            self.calls.insert(id, call);
        }
    }

    /// The call that an output names.
    fn call_of(&self, id: Option<Value<'_, 'b>>) -> Option<Call> {
        self.calls.get(&id?.text()?).copied()
    }

    fn output(&mut self, call: Option<Call>, value: Value<'_, 'b>) {
        let (span, query, since) = (value.span(), self.query, self.since);
        let (readings, made) = (self.readings.len(), self.made.len());
        self.outputs.push(Output { span, call, query, since, structured: false, readings, made });
    }

    /// An output that is JSON. Where it is an object of exactly one member and that is a string, that
    /// string is the output's text; anything else is structured data, which stays but for the texts in it.
    fn structured_output(&mut self, call: Option<Call>, value: Value<'_, 'b>) {
        if !value.is_object() {
            self.output(call, value);
            return self.mark_structured();
        }
        let mut members = value.members();
        match (members.next(), members.next()) {
            (Some((_, text)), None) if text.is_string() => self.output(call, text),
            (Some(_), _) => {
                self.output(call, value);
                self.mark_structured();
            }
            (None, _) => {}
        }
    }

    /// The last output is structured data.
    fn mark_structured(&mut self) {
        if let Some(output) = self.outputs.last_mut() {
            output.structured = !output.span.is_string();
        }
    }
}

impl Call {
    /// Whether it is one of our own tool.
    pub(crate) fn is_ours(&self, body: &str) -> bool {
        self.name.is_some_and(|name| {
            name.raw(body).ends_with("retrieve\"")
                && name.text(body).is_some_and(|name| retrieve_tool::is_retrieve(&name))
        })
    }

    /// A call made by the model, or, where `caller` says so, by a program that the provider runs.
    fn new(
        name: Option<Value<'_, '_>>,
        arguments: Option<Value<'_, '_>>,
        caller: Option<Value<'_, '_>>,
    ) -> Result<Self, NotUnderstood> {
        let by_program = match caller {
            Some(caller) if caller.is_object() => {
                let [kind] = caller.pick(["type"])?;
                !kind.is_some_and(|kind| kind.is("direct"))
            }
            _ => false,
        };
        Ok(Self { name: name.map(Value::span), arguments: arguments.map(Value::span), by_program })
    }
}

/// Calls `each` with every text of a message's content: a string, or a list of parts of which those
/// of one of these types count. Nothing else is a content.
pub(crate) fn each_text<'t, 'b>(
    content: Option<Value<'t, 'b>>,
    types: &[&str],
    mut each: impl FnMut(Value<'t, 'b>),
) -> Result<(), NotUnderstood> {
    let Some(content) = content else { return Ok(()) };
    if content.is_string() {
        each(content);
    } else if content.is_array() {
        for part in content.elements() {
            if !part.is_object() {
                continue;
            }
            let [kind, text] = part.pick(["type", "text"])?;
            if let (Some(kind), Some(text)) = (kind, text)
                && text.is_string()
                && types.iter().any(|expected| kind.is(expected))
            {
                each(text);
            }
        }
    } else if !content.is_null() {
        return Err(NotUnderstood);
    }
    Ok(())
}
