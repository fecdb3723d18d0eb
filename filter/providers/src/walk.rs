//! What the readers of requests find: where the tool outputs stand in a body, and what else the model reads.
//!
//! One strict pass makes a [`tape`](crate::tape) of the body; the reader of each format then names the values that
//! count and skips the rest. A body that a reader does not understand is not touched at all (I1), and
//! neither is any value that is not named there as the text of a tool output (I6): outputs of the
//! provider's own tools, images, documents, thinking, reasoning and encrypted items have no reader.

use std::borrow::Cow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::retrieve_tool::{self, Naming};
use crate::tape::{NotUnderstood, Span, Value};

/// What a walk over a body found.
#[derive(Debug)]
pub struct Walk<'b> {
    /// The body.
    pub body: &'b str,
    /// The model that it names.
    pub model: Option<Cow<'b, str>>,
    /// It asks for a stream.
    pub stream: bool,
    /// It lists tools.
    pub has_tools: bool,
    /// Later requests do not carry again what this one does: the provider keeps the conversation.
    pub kept_by_provider: bool,
    /// Thinking of the model comes back in it.
    pub carries_thinking: bool,
    /// It asks for thinking or reasoning, or carries thoughts or signatures: what stands before them may be bound to
    /// them.
    pub binds_reasoning: bool,
    /// What the tool list says of Headroom's own tools.
    pub own_tools: retrieve_tool::Listings,
    /// What the model reads beside tool outputs, in reading order.
    pub readings: Vec<Reading>,
    /// The tool outputs, in the body's order.
    pub outputs: Vec<Output>,
    /// The number of outputs that stand before the end of the model's last message.
    pub answered: usize,
    /// The number of readings up to the end of the first user message that has a text; 0 without one.
    pub opening: usize,
    /// The number of outputs that stand before the model's last call: it was sent these while it had tools.
    pub called: usize,
    /// The number of calls of tools that are not our own.
    pub clients_calls: usize,
    /// The calls, in order.
    pub made: Vec<Call>,
    /// The request asks the provider to take tool outputs out of what the model is given.
    pub clears_outputs: bool,
    calls: HashMap<Cow<'b, str>, Named, FixedState>,
    query: Option<Span>,
    /// Where the last compaction so far ends.
    since: usize,
}

/// Something that the model reads and that stays as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// Where it stands.
    pub span: Span,
    /// Who speaks.
    pub role: Role,
}

impl Reading {
    /// Whether it is something that the user or the model has written, and no text that an agent puts in by itself.
    pub fn steers(&self, body: &str) -> bool {
        match self.role {
            Role::Assistant => true,
            Role::User => !self.is_reminder(body),
            Role::Tools | Role::System => false,
        }
    }

    /// Whether an agent has put it into a message of the user by itself.
    pub fn is_reminder(&self, body: &str) -> bool {
        self.span.raw(body).get(1..).is_some_and(|text| text.starts_with(REMINDER))
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The list of tools.
    Tools,
    /// The system prompt, or a developer.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// The call of a tool.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Call {
    /// The name of the tool.
    pub name: Option<Span>,
    /// What the tool is given.
    pub arguments: Option<Span>,
    /// Made by a program that the provider runs, which also reads the result.
    pub by_program: bool,
    /// Which of the request's calls it is, from 0. `None` where the request does not show it.
    pub number: Option<usize>,
}

/// Calls of one id that were made at once.
#[derive(Debug, Default)]
struct Named {
    calls: Vec<Call>,
    /// How many of them have been answered.
    answered: usize,
    /// How many outputs stood before them, and what the user had said last.
    since: Option<(usize, Option<Span>)>,
}

/// One text of one tool output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Output {
    /// The string that holds the text; another value where the output is structured data, which is
    /// read by the model but has no text to replace.
    pub span: Span,
    /// The call that it answers.
    pub call: Option<Call>,
    /// The last user text before it.
    pub query: Option<Span>,
    /// Where in the body the last compaction before it ends, 0 without one: the provider gives the model
    /// nothing of what stands before.
    pub since: usize,
    /// It is a JSON value, and the strings in it may change.
    pub structured: bool,
    /// How many readings stand before it.
    pub readings: usize,
    /// How many calls do.
    pub made: usize,
}

impl Output {
    /// Whether our own tool has given it.
    pub fn is_retrieved(&self, body: &str) -> bool {
        self.call.is_some_and(|call| call.is_ours(body))
    }
}

/// How agents mark text that they put into a user message themselves: it is no question, so it does
/// not steer (Claude Code).
const REMINDER: &str = "<system-reminder>";

impl<'b> Walk<'b> {
    /// Of a body in which nothing has been found yet.
    pub(crate) fn new(body: &'b str) -> Self {
        Self {
            body,
            model: None,
            stream: false,
            has_tools: false,
            kept_by_provider: false,
            carries_thinking: false,
            binds_reasoning: false,
            own_tools: retrieve_tool::Listings::default(),
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
        }
    }

    /// The members that requests of all formats have in common.
    pub(crate) fn envelope(
        &mut self,
        naming: Naming,
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
            self.own_tools = retrieve_tool::listings(naming, tools)?;
            self.reading(Role::Tools, tools);
        }
        Ok(())
    }

    pub(crate) fn reading(&mut self, role: Role, value: Value<'_, 'b>) {
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
    pub(crate) fn compaction(&mut self, value: Value<'_, 'b>) {
        self.since = value.span().range().end;
    }

    /// The end of a message that a user wrote.
    pub(crate) fn end_of_user_message(&mut self) {
        if self.opening == 0 && self.readings.last().is_some_and(|last| last.role == Role::User) {
            self.opening = self.readings.len();
        }
    }

    /// A call that the model made. It counts as something that it reads.
    pub(crate) fn call(&mut self, id: Option<Value<'_, 'b>>, mut call: Call) {
        call.number = Some(self.made.len());
        self.answered = self.outputs.len();
        self.called = self.outputs.len();
        self.made.push(call);
        self.clients_calls += usize::from(!call.is_ours(self.body));
        for span in [call.name, call.arguments].into_iter().flatten() {
            self.readings.push(Reading { span, role: Role::Assistant });
        }
        if let Some(id) = id.and_then(Value::text) {
            let since = (self.outputs.len(), self.query);
            let named = self.calls.entry(id).or_default();
            // Some providers reuse ids, or have none but the tool's name. Calls between which nothing was said are made
            // at once, and are answered in their order; else an output answers the latest call before it.
            if named.since != Some(since) {
                *named = Named { since: Some(since), ..Named::default() };
            }
            named.calls.push(call);
        }
    }

    /// The call that an output names.
    pub(crate) fn call_of(&mut self, id: Option<Value<'_, 'b>>) -> Option<Call> {
        let named = self.calls.get_mut(&id?.text()?)?;
        let call = named.calls.get(named.answered).or(named.calls.last()).copied();
        named.answered += 1;
        call
    }

    pub(crate) fn output(&mut self, call: Option<Call>, value: Value<'_, 'b>) {
        let (span, query, since) = (value.span(), self.query, self.since);
        let (readings, made) = (self.readings.len(), self.made.len());
        self.outputs.push(Output { span, call, query, since, structured: false, readings, made });
    }

    /// An output that is JSON. Where it is an object of exactly one member and that is a string, that
    /// string is the output's text; anything else is structured data, which stays but for the texts in it.
    pub(crate) fn structured_output(&mut self, call: Option<Call>, value: Value<'_, 'b>) {
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
    /// Name and arguments; empty where they are not known.
    pub fn texts<'b>(&self, body: &'b str) -> [Cow<'b, str>; 2] {
        let name = self.name.and_then(|span| span.text(body));
        let arguments = self.arguments.map(|span| span.text(body).unwrap_or(Cow::Borrowed(span.raw(body))));
        [name.unwrap_or_default(), arguments.unwrap_or_default()]
    }

    /// Where it stands in the body: its name, or else its arguments.
    pub fn start(&self) -> Option<usize> {
        self.name.or(self.arguments).map(|span| span.range().start)
    }

    /// Whether it is one of our own tool.
    pub fn is_ours(&self, body: &str) -> bool {
        self.name.is_some_and(|name| {
            name.raw(body).ends_with("retrieve\"")
                && name.text(body).is_some_and(|name| retrieve_tool::is_retrieve(&name))
        })
    }

    /// A call made by the model, or, where `caller` says so, by a program that the provider runs.
    pub(crate) fn new(
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
        Ok(Self {
            name: name.map(Value::span),
            arguments: arguments.map(Value::span),
            by_program,
            number: None,
        })
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
