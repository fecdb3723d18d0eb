//! Breakpoints of Anthropic's prompt cache for clients that set none.
//!
//! A request may have four. One is set on the last tool, one at the end of the system prompt, and the others
//! at the ends of the newest runs of user messages: this request writes the cache at the newest one, and the
//! request before has written it at the one before. The provider looks back at most 20 blocks from a
//! breakpoint, and a turn may have more blocks. From the end of the previous run it always finds what was
//! written, because the end of a run never changes once the model has answered it. If there are no tools or
//! no system prompt, more runs get one.
//!
//! They are set on blocks and not at the top of the request: Bedrock and Vertex AI refuse a `cache_control`
//! there, and the path does not show which provider answers. A plain text of the user is written as a list of
//! one block, which means the same, in every message: so a breakpoint that moves on changes nothing but
//! `cache_control`.

use crate::prompt::{self, Prompt, TEXT_PART};
use crate::splice::Edits;
use crate::tape::{NotUnderstood, Value};

/// The most that a request may have.
const MAX_BREAKPOINTS: usize = 4;

/// How long a cache entry lives after it was last read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Lifetime {
    /// `5m`, which every model with a cache supports.
    FiveMinutes,
    /// `1h`. Writing costs twice the price of input.
    OneHour,
}

impl Lifetime {
    /// Each with its name.
    pub const NAMES: [(&'static str, Self); 2] = [("5m", Self::FiveMinutes), ("1h", Self::OneHour)];

    fn control(self) -> &'static str {
        match self {
            Self::FiveMinutes => r#"{"type":"ephemeral"}"#,
            Self::OneHour => r#"{"type":"ephemeral","ttl":"1h"}"#,
        }
    }
}

/// The breakpoints that were set.
#[derive(Debug)]
pub(crate) struct PlacedBreakpoints {
    pub(crate) count: u32,
    /// The system prompt was a text and becomes a list, which [`PlacedBreakpoints::finish_system`] closes.
    pub(crate) wraps_system: bool,
    system_end: usize,
}

impl PlacedBreakpoints {
    /// Closes the list that the system prompt has become.
    pub(crate) fn finish_system(&self, edits: &mut Edits) {
        if self.wraps_system {
            edits.insert(self.system_end, "]");
        }
    }
}

/// The system prompt.
pub(crate) fn prompt<'t, 'b>(root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
    let [system] = root.pick(["system"])?;
    Ok(system.map(|value| Prompt { value, part: TEXT_PART }))
}

/// Sets breakpoints. `None`: the client has set one itself, or there is nothing to set one on.
pub(crate) fn place(
    root: Value<'_, '_>,
    lifetime: Lifetime,
    edits: &mut Edits,
) -> Result<Option<PlacedBreakpoints>, NotUnderstood> {
    let [own, tools, system, messages, thread] =
        root.pick(["cache_control", "tools", "system", "messages", "thread"])?;
    let is_kept = thread.is_some_and(|thread| !thread.is_null());
    if is_kept || own.is_some_and(|own| !own.is_null()) {
        return Ok(None);
    }
    let Some(tool) = last_tool(tools)? else { return Ok(None) };
    let Some((system_block, wraps_system)) = last_of_system(system)? else { return Ok(None) };
    let Some((mut ends, texts)) = run_ends(messages)? else { return Ok(None) };

    let control = lifetime.control();
    let mut count = 0_usize;
    for block in [tool, system_block].into_iter().flatten() {
        mark(block, control, edits)?;
        count = count.saturating_add(1);
    }
    let mut system_end = 0;
    if let Some(text) = system.filter(|_| wraps_system) {
        let range = text.span().range();
        system_end = range.end;
        edits.insert(range.start, format!("[{TEXT_PART}"));
        edits.insert(range.end, marked_end(control));
        count = count.saturating_add(1);
    }
    ends.reverse();
    ends.truncate(MAX_BREAKPOINTS.saturating_sub(count));
    for block in &ends {
        if !block.is_string() {
            mark(*block, control, edits)?;
        }
        count = count.saturating_add(1);
    }
    for text in texts {
        let range = text.span().range();
        let is_end = ends.iter().any(|end| end.span().range() == range);
        edits.insert(range.start, format!("[{TEXT_PART}"));
        edits.insert(range.end, if is_end { marked_end(control) + "]" } else { "}]".to_owned() });
    }
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok((count > 0).then_some(PlacedBreakpoints { count, wraps_system, system_end }))
}

fn marked_end(control: &str) -> String {
    format!(",\"cache_control\":{control}}}")
}

/// Sets a breakpoint on an object. A `cache_control` of null counts as none.
fn mark(block: Value<'_, '_>, control: &str, edits: &mut Edits) -> Result<(), NotUnderstood> {
    let [there] = block.pick(["cache_control"])?;
    match there {
        Some(null) => edits.replace(null.span().range(), control),
        None => {
            let end = block.span().range().end.saturating_sub(1);
            edits.insert(end, format!(",\"cache_control\":{control}"));
        }
    }
    Ok(())
}

/// `None` means that the client sets breakpoints itself.
type Unless<T> = Option<T>;

fn is_set(control: Option<Value<'_, '_>>) -> bool {
    control.is_some_and(|control| !control.is_null())
}

/// The last tool on which a breakpoint is allowed: not on the provider's own tools, which some providers
/// refuse, nor on those that are loaded only when they are searched for.
fn last_tool<'t, 'b>(tools: Option<Value<'t, 'b>>) -> Result<Unless<Option<Value<'t, 'b>>>, NotUnderstood> {
    let mut last = None;
    for tool in tools.into_iter().flat_map(Value::elements).filter(|tool| tool.is_object()) {
        let [own, kind, name, deferred] = tool.pick(["cache_control", "type", "name", "defer_loading"])?;
        if is_set(own) {
            return Ok(None);
        }
        let is_clients = kind.is_none_or(|kind| kind.is_null() || kind.is("custom"));
        if is_clients && name.is_some() && !deferred.is_some_and(Value::is_true) {
            last = Some(tool);
        }
    }
    Ok(Some(last))
}

/// The last block of the system prompt with a text; `true`: the prompt is a plain text without blocks.
fn last_of_system<'t, 'b>(
    system: Option<Value<'t, 'b>>,
) -> Result<Unless<(Option<Value<'t, 'b>>, bool)>, NotUnderstood> {
    let Some(system) = system else { return Ok(Some((None, false))) };
    if system.is_string() {
        return Ok(Some((None, !is_blank(system))));
    }
    let mut last = None;
    for block in system.elements().filter(|block| block.is_object()) {
        let [own, kind, text] = block.pick(["cache_control", "type", "text"])?;
        if is_set(own) {
            return Ok(None);
        }
        let is_text = kind.is_some_and(|kind| kind.is("text"));
        if is_text && text.is_some_and(|text| text.is_string() && !is_blank(text)) {
            last = Some(block);
        }
    }
    Ok(Some((last, false)))
}

/// The end of each run of user messages, oldest first: a block that may have a breakpoint, or a plain text.
/// And all such plain texts.
type Runs<'t, 'b> = (Vec<Value<'t, 'b>>, Vec<Value<'t, 'b>>);

fn run_ends<'t, 'b>(messages: Option<Value<'t, 'b>>) -> Result<Unless<Runs<'t, 'b>>, NotUnderstood> {
    let messages = messages.filter(|messages| messages.is_array()).ok_or(NotUnderstood)?;
    let (mut ends, mut texts, mut end) = (Vec::new(), Vec::new(), None);
    for message in messages.elements() {
        let [role, content] = message.pick(["role", "content"])?;
        let (Some(role), Some(content)) = (role, content) else { continue };
        let is_user = role.is("user");
        if !is_user {
            ends.extend(end.take());
        }
        if content.is_string() {
            if is_user && !is_blank(content) {
                texts.push(content);
                end = Some(content);
            }
            continue;
        }
        for block in content.elements().filter(|block| block.is_object()) {
            let [own, kind, text, inside] = block.pick(["cache_control", "type", "text", "content"])?;
            if is_set(own) {
                return Ok(None);
            }
            for part in inside.into_iter().flat_map(Value::elements).filter(|part| part.is_object()) {
                let [own] = part.pick(["cache_control"])?;
                if is_set(own) {
                    return Ok(None);
                }
            }
            if is_user && kind.is_some_and(|kind| takes_breakpoint(kind, text)) {
                end = Some(block);
            }
        }
    }
    ends.extend(end);
    Ok(Some((ends, texts)))
}

/// Whether a user's block may have a breakpoint. The provider refuses one on an empty text.
fn takes_breakpoint(kind: Value<'_, '_>, text: Option<Value<'_, '_>>) -> bool {
    if kind.is("text") {
        return text.is_some_and(|text| text.is_string() && !is_blank(text));
    }
    ["tool_result", "image", "document"].iter().any(|name| kind.is(name))
}

fn is_blank(text: Value<'_, '_>) -> bool {
    prompt::is_blank(text.raw())
}
