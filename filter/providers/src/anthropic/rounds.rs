//! Anthropic Messages: a turn is a message with content blocks, and a round splits it.

use crate::retrieve_tool::{NAME, is_retrieve};
use crate::rounds::{Editor, IdRules, Outputs, Retrieval, TraceInput, Turn, ends_before, quote, trace};
use crate::tape::{NotUnderstood, Value};

/// The rules for ids of calls.
pub(crate) const IDS: IdRules = IdRules { prefix: "toolu_hr", begin_anew: false, items_have_ids: false };

/// A content block of the model's turn.
struct Block<'t, 'b> {
    value: Value<'t, 'b>,
    kind: Option<Value<'t, 'b>>,
    text: Option<Value<'t, 'b>>,
    id: Option<Value<'t, 'b>>,
    name: Option<Value<'t, 'b>>,
}

impl Block<'_, '_> {
    fn is(&self, kind: &str) -> bool {
        self.kind.is_some_and(|it| it.is(kind))
    }

    /// The provider refuses a text block without text, and some clients leave it out.
    fn counts(&self) -> bool {
        !(self.is("text") && self.text.is_some_and(|text| text.is("")))
    }

    fn is_clients_call(&self) -> bool {
        let name = self.name.and_then(Value::text);
        self.is("tool_use") && !name.is_some_and(|name| is_retrieve(&name))
    }

    fn add_to(&self, before: &mut TraceInput) {
        let text =
            |value: Option<Value<'_, '_>>| value.and_then(Value::text).unwrap_or_default().into_owned();
        if self.is("text") {
            before.text(&text(self.text));
        } else if self.is("thinking") || self.is("redacted_thinking") {
            before.thinking();
        } else if self.is("tool_use") {
            before.call(&text(self.id));
        } else {
            before.other(&text(self.kind));
        }
    }
}

pub(crate) fn restore(
    root: Value<'_, '_>,
    mut outputs: Outputs<'_>,
    editor: &mut Editor<'_>,
) -> Result<(), NotUnderstood> {
    let [messages] = root.pick(["messages"])?;
    let messages: Vec<Value<'_, '_>> = messages.into_iter().flat_map(Value::elements).collect();
    let mut calls = 0;
    for (at, turn) in messages.iter().enumerate() {
        let [role, content] = turn.pick(["role", "content"])?;
        let Some(content) = content.filter(|_| role.is_some_and(|role| role.is("assistant"))) else {
            continue;
        };
        let mut blocks = Vec::new();
        for value in content.elements().filter(|value| value.is_object()) {
            let [kind, text, id, name] = value.pick(["type", "text", "id", "name"])?;
            blocks.push(Block { value, kind, text, id, name });
        }
        let next = messages.get(at + 1).copied();
        restore_turn(*turn, &blocks, next, calls, &mut outputs, editor)?;
        calls += blocks.iter().filter(|block| block.is_clients_call()).count();
    }
    Ok(())
}

fn restore_turn(
    turn: Value<'_, '_>,
    blocks: &[Block<'_, '_>],
    next: Option<Value<'_, '_>>,
    calls: usize,
    outputs: &mut Outputs<'_>,
    editor: &mut Editor<'_>,
) -> Result<(), NotUnderstood> {
    let counted = blocks.iter().filter(|block| block.counts());
    let carriers = counted.clone().enumerate().filter(|(_, block)| block.is("tool_use"));
    let ids = carriers.filter_map(|(at, block)| Some((at, block.id?.text()?)));
    let Some((carrier, id, steps)) =
        ids.filter_map(|(at, id)| trace::steps(&id).map(|steps| (at, id, steps))).next()
    else {
        return Ok(());
    };
    let last = steps.iter().map(|step| step.place as usize).max().unwrap_or_default();
    let in_order = steps.is_sorted_by_key(|step| step.place);
    if !in_order || counted.clone().count() < last || !ends_before(&steps, carrier) {
        return Ok(());
    }
    let mut before = TraceInput::default();
    counted.take(last).for_each(|block| block.add_to(&mut before));

    // Results of calls that were made together with the client's go before the client's results.
    let beside = steps.iter().rev().take_while(|step| !step.ends_round).count();
    let place_of_results = match beside {
        0 => None,
        _ => match next.map(results_of).transpose()?.flatten() {
            None => return Ok(()),
            place => place,
        },
    };
    let start = turn.span().range().start;
    let Some(retrievals) = editor.retrievals(&id, &steps, outputs, &Turn { start, calls, before: &before })
    else {
        return Ok(());
    };

    let mut messages = Vec::new();
    let (mut content, mut results) = (Vec::new(), Vec::new());
    let mut given = steps.iter().zip(&retrievals).peekable();
    let mut place = 0;
    let mut put = |place: usize, content: &mut Vec<String>| {
        while let Some((step, retrieval)) = given.next_if(|(step, _)| step.place as usize == place) {
            content.push(call(retrieval));
            results.push(result(retrieval));
            if step.ends_round {
                messages.push(message("assistant", &std::mem::take(content)));
                messages.push(message("user", &std::mem::take(&mut results)));
            }
        }
    };
    for block in blocks {
        if !block.counts() {
            continue;
        }
        put(place, &mut content);
        place += 1;
        content.push(editor.raw(block.value.span().range()));
    }
    put(place, &mut content);
    messages.push(message("assistant", &content));
    editor.edit(turn.span().range(), messages.join(","));
    if let Some(place) = place_of_results {
        let answers: Vec<String> = last_of(&retrievals, beside).map(|it| result(it) + ",").collect();
        editor.edit(place..place, answers.concat());
    }
    Ok(())
}

fn last_of(retrievals: &[Retrieval], count: usize) -> impl Iterator<Item = &Retrieval> {
    retrievals.iter().skip(retrievals.len().saturating_sub(count))
}

/// Where the results begin in a user message that has some.
fn results_of(message: Value<'_, '_>) -> Result<Option<usize>, NotUnderstood> {
    let [role, content] = message.pick(["role", "content"])?;
    let first = content.filter(|_| role.is_some_and(|role| role.is("user"))).into_iter();
    Ok(first.flat_map(Value::elements).next().map(|first| first.span().range().start))
}

/// Our call as a content block.
pub(crate) fn call(retrieval: &Retrieval) -> String {
    let (id, name, arguments) = (quote(&retrieval.id), quote(NAME), retrieval.arguments());
    format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{arguments}}}"#)
}

/// The result of our call as a content block.
pub(crate) fn result(retrieval: &Retrieval) -> String {
    let (id, result) = (quote(&retrieval.id), quote(&retrieval.result));
    format!(r#"{{"type":"tool_result","tool_use_id":{id},"content":{result}}}"#)
}

/// A message with these content blocks.
pub(crate) fn message(role: &str, content: &[String]) -> String {
    format!(r#"{{"role":"{role}","content":[{}]}}"#, content.join(","))
}
