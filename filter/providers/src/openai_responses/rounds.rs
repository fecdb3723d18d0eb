//! OpenAI Responses: a turn is a sequence of items, and a round is put between two of them.

use crate::retrieve_tool::{NAME, is_retrieve};
use crate::rounds::{Editor, Outputs, Retrieval, TraceInput, Turn, ends_before, quote, trace};
use crate::tape::{NotUnderstood, Value};

/// An item of the conversation.
struct Item<'t, 'b> {
    value: Value<'t, 'b>,
    kind: Option<Value<'t, 'b>>,
    role: Option<Value<'t, 'b>>,
    id: Option<Value<'t, 'b>>,
    name: Option<Value<'t, 'b>>,
    content: Option<Value<'t, 'b>>,
}

impl Item<'_, '_> {
    fn kind(&self) -> String {
        self.kind.and_then(Value::text).unwrap_or_default().into_owned()
    }

    /// Whether the model made it.
    fn is_models(&self) -> bool {
        let kind = self.kind();
        kind == "reasoning" || kind.ends_with("_call") || self.role.is_some_and(|role| role.is("assistant"))
    }

    /// Whether the walk counts it as a call of the client's.
    fn is_clients_call(&self) -> bool {
        let name = self.name.and_then(Value::text);
        matches!(&*self.kind(), "function_call" | "custom_tool_call" | "local_shell_call")
            && !name.is_some_and(|name| is_retrieve(&name))
    }

    fn start(&self) -> usize {
        self.value.span().range().start
    }

    fn add_to(&self, before: &mut TraceInput) {
        let kind = self.kind();
        if kind == "reasoning" {
            before.thinking();
        } else if let Some(id) = self.id.and_then(Value::text).filter(|_| kind.ends_with("_call")) {
            before.call(&id);
        } else if self.role.is_some() {
            before.text(&texts(self.content));
        } else {
            before.other(&kind);
        }
    }
}

/// The texts of a message.
fn texts(content: Option<Value<'_, '_>>) -> String {
    let Some(content) = content else { return String::new() };
    if let Some(text) = content.text() {
        return text.into_owned();
    }
    let parts = content.elements().filter_map(|part| part.pick(["text"]).ok()?[0]?.text());
    parts.map(std::borrow::Cow::into_owned).collect()
}

pub(crate) fn restore(
    root: Value<'_, '_>,
    mut outputs: Outputs<'_>,
    editor: &mut Editor<'_>,
) -> Result<(), NotUnderstood> {
    let [input] = root.pick(["input"])?;
    let mut items = Vec::new();
    for value in input.into_iter().flat_map(Value::elements).filter(|value| value.is_object()) {
        let Ok([kind, role, id, name, content]) = value.pick(["type", "role", "call_id", "name", "content"])
        else {
            break;
        };
        items.push(Item { value, kind, role, id, name, content });
    }
    let mut calls = 0;
    let mut rest = items.as_slice();
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|item| item.is_models()).count();
        let (turn, after) = rest.split_at(length.max(1).min(rest.len()));
        if first.is_models() {
            let next = after.first().filter(|item| item.kind().ends_with("_output")).map(Item::start);
            restore_turn(turn, next, calls, &mut outputs, editor);
            calls += turn.iter().filter(|item| item.is_clients_call()).count();
        }
        rest = after;
    }
    Ok(())
}

fn restore_turn(
    turn: &[Item<'_, '_>],
    next: Option<usize>,
    calls: usize,
    outputs: &mut Outputs<'_>,
    editor: &mut Editor<'_>,
) {
    let carriers = turn.iter().enumerate().filter(|(_, item)| item.kind().ends_with("_call"));
    let ids = carriers.filter_map(|(at, item)| Some((at, item.id?.text()?)));
    let Some((carrier, id, steps)) =
        ids.filter_map(|(at, id)| trace::steps(&id).map(|steps| (at, id, steps))).next()
    else {
        return;
    };
    let last = steps.iter().map(|step| step.place as usize).max().unwrap_or_default();
    let beside = steps.last().is_some_and(|step| !step.ends_round);
    let in_order = steps.is_sorted_by_key(|step| step.place) && ends_before(&steps, carrier);
    if !in_order || turn.len() < last || (beside && next.is_none()) {
        return;
    }
    let mut before = TraceInput::default();
    turn.iter().take(last).for_each(|item| item.add_to(&mut before));
    let Some(start) = turn.first().map(Item::start) else { return };
    let Some(retrievals) = editor.retrievals(&id, &steps, outputs, &Turn { start, calls, before: &before })
    else {
        return;
    };

    let mut results = String::new();
    for (step, retrieval) in steps.iter().zip(&retrievals) {
        let Some(at) = turn.get(step.place as usize).map(Item::start).or(next) else { return };
        results.push_str(&result(retrieval));
        results.push(',');
        let results = if step.ends_round { std::mem::take(&mut results) } else { String::new() };
        editor.edit(at..at, call(retrieval) + "," + &results);
    }
    if let Some(next) = next.filter(|_| !results.is_empty()) {
        editor.edit(next..next, results);
    }
}

/// Our call as an item.
pub(crate) fn call(retrieval: &Retrieval) -> String {
    let (id, name, arguments) = (quote(&retrieval.id), quote(NAME), quote(&retrieval.arguments()));
    format!(r#"{{"type":"function_call","call_id":{id},"name":{name},"arguments":{arguments}}}"#)
}

/// The result of our call as an item.
pub(crate) fn result(retrieval: &Retrieval) -> String {
    let (id, result) = (quote(&retrieval.id), quote(&retrieval.result));
    format!(r#"{{"type":"function_call_output","call_id":{id},"output":{result}}}"#)
}
