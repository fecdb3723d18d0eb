//! What the readers of requests find: the tool outputs in a body, and everything else that the model reads.
//!
//! One strict pass makes a [`tape`](crate::tape) of the body; the reader of each format then names the
//! relevant values and skips the rest. A body that a reader does not understand is not changed at all (I1).
//! The same holds for any value that is not named as the text of a tool output (I6): outputs of the
//! provider's own tools, images, documents, thinking, reasoning and encrypted items have no reader.

use std::borrow::Cow;
use std::hash::RandomState;

use hashbrown::HashMap;

use crate::retrieve_tool::{self, Naming};
use crate::tape::{NotUnderstood, Span, Value};

/// The findings of a walk over a body.
#[derive(Debug)]
pub struct Walk<'b> {
    /// The body.
    pub body: &'b str,
    /// The model that the body names.
    pub model: Option<Cow<'b, str>>,
    /// Whether it asks for a stream.
    pub stream: bool,
    /// Whether it lists tools.
    pub has_tools: bool,
    /// Whether the provider keeps the conversation: then later requests do not repeat this one's content.
    pub kept_by_provider: bool,
    /// Whether it carries earlier thinking of the model.
    pub carries_thinking: bool,
    /// It asks for thinking or reasoning, brings some back, or nothing in it says that it does neither.
    pub may_reason: bool,
    /// Something of the model stands in it already.
    pub is_answered: bool,
    /// What the tool list says of Headroom's own tools.
    pub own_tools: retrieve_tool::Listings,
    /// What the model reads apart from tool outputs, in reading order.
    pub readings: Vec<Reading>,
    /// The tool outputs, in the body's order.
    pub outputs: Vec<Output>,
    /// The number of outputs before the end of the model's last message.
    pub answered: usize,
    /// The number of readings up to the end of the first user message that has a text; 0 without one.
    pub opening: usize,
    /// The number of outputs before the model's last call: it read these while it had tools.
    pub called: usize,
    /// The number of calls of tools that are not our own.
    pub clients_calls: usize,
    /// The calls, in order.
    pub made: Vec<Call>,
    /// Whether the request asks the provider to remove tool outputs before the model reads it.
    pub clears_outputs: bool,
    /// Hashed at random, so that a client cannot prepare ids that crowd one place of the table. Nothing depends on the
    /// order.
    calls: HashMap<Cow<'b, str>, CallGroup, RandomState>,
    query: Option<Span>,
    /// Where the last compaction so far ends.
    since: usize,
}

/// Something that the model reads and that is never changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// Its position.
    pub span: Span,
    /// Its author.
    pub role: Role,
}

impl Reading {
    /// Whether the user or the model has written it, and not an agent by itself.
    pub fn steers(&self, body: &str) -> bool {
        match self.role {
            Role::Assistant => true,
            Role::User => !self.is_reminder(body),
            Role::Tools | Role::System => false,
        }
    }

    /// Whether an agent has put it into a user message by itself.
    pub fn is_reminder(&self, body: &str) -> bool {
        self.span.raw(body).get(1..).is_some_and(|text| text.starts_with(REMINDER))
    }
}

/// The author of a text.
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
    /// The arguments of the call.
    pub arguments: Option<Span>,
    /// Whether a program at the provider made the call; that program also reads the result.
    pub by_program: bool,
    /// The number of the call in the request, from 0. `None`: the request does not show the call.
    pub number: Option<usize>,
}

/// Calls with the same id that were made at once.
#[derive(Debug, Default)]
struct CallGroup {
    calls: Vec<Call>,
    /// How many of them have been answered.
    answered: usize,
    /// The number of outputs before them, and the user's last text.
    since: Option<(usize, Option<Span>)>,
}

/// One text of one tool output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Output {
    /// The string that holds the text. For structured data it is another value, which the model reads but
    /// which has no text to replace.
    pub span: Span,
    /// The call that it answers.
    pub call: Option<Call>,
    /// The last user text before it.
    pub query: Option<Span>,
    /// The end of the last compaction before it, 0 without one: the provider gives the model nothing from
    /// before that.
    pub since: usize,
    /// Whether it is a JSON value in which strings may change.
    pub structured: bool,
    /// How many readings come before it.
    pub readings: usize,
    /// How many calls come before it.
    pub made: usize,
}

impl Output {
    /// Whether it is the result of our own tool.
    pub fn is_retrieved(&self, body: &str) -> bool {
        self.call.is_some_and(|call| call.is_ours(body))
    }
}

/// The mark of text that agents put into a user message themselves (Claude Code): it is not a question, so it
/// does not steer.
const REMINDER: &str = "<system-reminder>";

/// A longer name is not read: it would be read for each output of its call. Providers allow 128 bytes at most.
const MAX_OUR_NAME: usize = 256;

impl<'b> Walk<'b> {
    /// For a body, before anything has been found.
    pub(crate) fn new(body: &'b str) -> Self {
        Self {
            body,
            model: None,
            stream: false,
            has_tools: false,
            kept_by_provider: false,
            carries_thinking: false,
            may_reason: true,
            is_answered: false,
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

    /// Reads the members that requests of all formats have in common.
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

    /// Notes a block or item in which the provider has summarized everything before it.
    pub(crate) fn compaction(&mut self, value: Value<'_, 'b>) {
        self.since = value.span().range().end;
    }

    /// Notes the end of a message that a user wrote.
    pub(crate) fn end_of_user_message(&mut self) {
        if self.opening == 0 && self.readings.last().is_some_and(|last| last.role == Role::User) {
            self.opening = self.readings.len();
        }
    }

    /// Notes a call that the model made. The model reads its own calls too.
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
            // Some providers reuse ids, or have only the tool's name. Calls with nothing between them were
            // made at once, and are answered in their order; otherwise an output answers the latest call
            // before it.
            if named.since != Some(since) {
                *named = CallGroup { since: Some(since), ..CallGroup::default() };
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

    /// Notes an output that is JSON. If it is an object with a single member that is a string, that string is
    /// the output's text. Anything else is structured data, in which only texts may change.
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

    /// Marks the last output as structured data.
    fn mark_structured(&mut self) {
        if let Some(output) = self.outputs.last_mut() {
            output.structured = !output.span.is_string();
        }
    }
}

impl Call {
    /// Name and arguments; empty if they are not known.
    pub fn texts<'b>(&self, body: &'b str) -> [Cow<'b, str>; 2] {
        let name = self.name.and_then(|span| span.text(body));
        let arguments = self.arguments.map(|span| span.text(body).unwrap_or(Cow::Borrowed(span.raw(body))));
        [name.unwrap_or_default(), arguments.unwrap_or_default()]
    }

    /// The position of its name, or else of its arguments.
    pub fn start(&self) -> Option<usize> {
        self.name.or(self.arguments).map(|span| span.range().start)
    }

    /// Whether it is one of our own tool.
    pub fn is_ours(&self, body: &str) -> bool {
        self.name.is_some_and(|name| {
            name.range().len() <= MAX_OUR_NAME
                && name.raw(body).ends_with("retrieve\"")
                && name.text(body).is_some_and(|name| retrieve_tool::is_retrieve(&name))
        })
    }

    /// A call of the model or, if `caller` says so, of a program at the provider.
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

/// Calls `each` with every text of a message's content: a string, or a list of parts, of which only parts of
/// these types are used.
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
