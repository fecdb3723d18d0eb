//! OpenAI Chat Completions: a turn is a message with a text and calls, and a round splits the text.

use crate::retrieve_tool::{NAME, is_retrieve};
use crate::rounds::{self, Editor, Outputs, Retrieval, TraceInput, quote, trace};
use crate::tape::{NotUnderstood, Value};
use crate::walk::each_text;

/// A call in a message.
struct Call<'t, 'b> {
    value: Value<'t, 'b>,
    id: Option<Value<'t, 'b>>,
    is_clients: bool,
}

pub(crate) fn restore(
    root: Value<'_, '_>,
    mut outputs: Outputs<'_>,
    editor: &mut Editor<'_>,
) -> Result<(), NotUnderstood> {
    let [messages] = root.pick(["messages"])?;
    let mut earlier_calls = 0;
    for message in messages.into_iter().flat_map(Value::elements) {
        let [role, content, reasoning, tool_calls] =
            message.pick(["role", "content", "reasoning_content", "tool_calls"])?;
        if !role.is_some_and(|role| role.is("assistant")) {
            continue;
        }
        let mut calls = Vec::new();
        for value in tool_calls.into_iter().flat_map(Value::elements).filter(|value| value.is_object()) {
            let [id, function, custom] = value.pick(["id", "function", "custom"])?;
            let is_call = [function, custom].into_iter().flatten().any(Value::is_object);
            let name = match function.filter(|function| function.is_object()) {
                Some(function) => function.pick(["name"])?[0].and_then(Value::text),
                None => None,
            };
            let is_ours = name.is_some_and(|name| is_retrieve(&name));
            calls.push(Call { value, id, is_clients: is_call && !is_ours });
        }
        let (mut text, mut texts) = (String::new(), 0);
        each_text(content, &["text"], |part| {
            text.push_str(&part.text().unwrap_or_default());
            texts += 1;
        })?;
        // Parts with more than text (a refusal, a breakpoint) cannot be divided.
        let is_plain = |part: Value<'_, '_>| part.members().all(|(key, _)| key.is("type") || key.is("text"));
        let mut parts = content.into_iter().filter(|content| content.is_array()).flat_map(Value::elements);
        let is_divisible =
            parts.clone().count() == 0 || (parts.clone().count() == texts && parts.all(is_plain));
        let reasoning = reasoning.and_then(Value::text).unwrap_or_default();
        let turn = Turn { message, text: &text, is_divisible, reasoning: &reasoning, calls: &calls };
        turn.restore(earlier_calls, &mut outputs, editor);
        earlier_calls += calls.iter().filter(|call| call.is_clients).count();
    }
    Ok(())
}

/// A message of the model.
struct Turn<'a, 't, 'b> {
    message: Value<'t, 'b>,
    text: &'a str,
    is_divisible: bool,
    reasoning: &'a str,
    calls: &'a [Call<'t, 'b>],
}

impl Turn<'_, '_, '_> {
    fn restore(&self, earlier_calls: usize, outputs: &mut Outputs<'_>, editor: &mut Editor<'_>) {
        let ids = self.calls.iter().filter_map(|call| call.id?.text());
        let Some((id, steps)) = ids.filter_map(|id| trace::steps(&id).map(|steps| (id, steps))).next() else {
            return;
        };
        let (mut text, mut reasoning) = (RemainingText::of(self.text), RemainingText::of(self.reasoning));
        let last = steps.last().map_or((0, 0), |step| (step.place, step.reasoning));
        let (Some(said), Some(thought)) = (text.to(last.0), reasoning.to(last.1)) else { return };
        let ended = steps.iter().rposition(|step| step.ends_round).and_then(|last| steps.get(last));
        if !self.is_divisible && ended.is_some_and(|step| step.place > 0) {
            return;
        }
        let mut before = TraceInput::default();
        before.text(said);
        before.text(thought);
        let start = self.message.span().range().start;
        let Some(retrievals) = editor.retrievals(
            &id,
            &steps,
            outputs,
            &rounds::Turn { start, calls: earlier_calls, before: &before },
        ) else {
            return;
        };

        (text, reasoning) = (RemainingText::of(self.text), RemainingText::of(self.reasoning));
        let mut messages = Vec::new();
        let (mut calls, mut results) = (Vec::new(), Vec::new());
        for (step, retrieval) in steps.iter().zip(&retrievals) {
            calls.push(call(retrieval));
            results.push(result(retrieval));
            if step.ends_round {
                let (Some(said), Some(thought)) = (text.to(step.place), reasoning.to(step.reasoning)) else {
                    return;
                };
                messages.push(message(said, thought, &std::mem::take(&mut calls)));
                messages.append(&mut results);
            }
        }
        messages.push(self.last_message(text.rest(), reasoning.rest(), calls, editor));
        messages.append(&mut results);
        editor.edit(self.message.span().range(), messages.join(","));
    }

    /// The client's message with the rest of its text, and with our calls before its own.
    fn last_message(&self, text: &str, reasoning: &str, ours: Vec<String>, editor: &Editor<'_>) -> String {
        let mut members = Vec::new();
        for (key, value) in self.message.members() {
            let written = match key.text().as_deref() {
                // Its whole text belongs to this round.
                Some("content") if text.len() == self.text.len() && !text.is_empty() => {
                    value.raw().to_owned()
                }
                Some("content") if text.is_empty() => "null".to_owned(),
                Some("content") => quote(text),
                Some("reasoning_content") if reasoning.is_empty() => continue,
                Some("reasoning_content") => quote(reasoning),
                Some("tool_calls") => {
                    let theirs = self.calls.iter().map(|call| editor.raw(call.value.span().range()));
                    format!("[{}]", ours.iter().cloned().chain(theirs).collect::<Vec<_>>().join(","))
                }
                _ => value.raw().to_owned(),
            };
            members.push(format!("{}:{written}", key.raw()));
        }
        format!("{{{}}}", members.join(","))
    }
}

/// A text from whose start parts are taken.
struct RemainingText<'a> {
    text: &'a str,
    taken_bytes: usize,
    taken: u32,
}

impl<'a> RemainingText<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, taken_bytes: 0, taken: 0 }
    }

    /// The text from the end of the last part to the character `place`; `None`: the text is shorter.
    fn to(&mut self, place: u32) -> Option<&'a str> {
        let rest = self.text.get(self.taken_bytes..)?;
        let count = usize::try_from(place.checked_sub(self.taken)?).ok()?;
        let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
        let part = rest.get(..ends.nth(count)?)?;
        self.taken_bytes += part.len();
        self.taken = place;
        Some(part)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.taken_bytes..).unwrap_or_default()
    }
}

/// Our call as an element of `tool_calls`.
pub(crate) fn call(retrieval: &Retrieval) -> String {
    let (id, name, arguments) = (quote(&retrieval.id), quote(NAME), quote(&retrieval.arguments()));
    format!(r#"{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#)
}

/// The result of our call as a message.
pub(crate) fn result(retrieval: &Retrieval) -> String {
    let (id, result) = (quote(&retrieval.id), quote(&retrieval.result));
    format!(r#"{{"role":"tool","tool_call_id":{id},"content":{result}}}"#)
}

/// A message of the model that calls only our tool.
pub(crate) fn message(text: &str, reasoning: &str, calls: &[String]) -> String {
    let content = if text.is_empty() { "null".to_owned() } else { quote(text) };
    let calls = calls.join(",");
    // DeepSeek and Moonshot require it in the request that returns the results of a turn's calls.
    let reasoning = match reasoning {
        "" => String::new(),
        reasoning => format!(r#","reasoning_content":{}"#, quote(reasoning)),
    };
    format!(r#"{{"role":"assistant","content":{content},"tool_calls":[{calls}]{reasoning}}}"#)
}
