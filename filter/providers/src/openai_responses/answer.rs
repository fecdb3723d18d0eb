//! OpenAI Responses: output items, and numbered events that build them.
//!
//! Over several rounds the client receives one response: the first round's beginning, the items of all rounds
//! with continuous indexes, events with continuous sequence numbers, and the last round's end with the output
//! and the usage of all rounds. It keeps the first round's id, because SDKs compare the end of a stream with
//! its beginning.
//!
//! The provider refuses a request with a reasoning item but without the item after it, and SDKs refuse the
//! end of a response in which an item has begun and not ended. So a reasoning item is held until the next
//! item begins: if that is a call of ours, the client receives the reasoning only if the next request puts
//! the call back.
//!
//! Requests of conversations that the provider keeps get no tool of ours, so there are no calls to answer.

use crate::answer::{AnswerReader, Ending, Figures, OwnCall, WrittenCall};
use crate::json;
use crate::openai_responses::rounds::{call, result};
use crate::own_tools::{OwnTool, OwnTools};
use crate::rounds::TraceInput;
use crate::sse;

/// Items that ask the client to do something.
const CALLS: [&str; 6] = [
    "\"function_call\"",
    "\"custom_tool_call\"",
    "\"local_shell_call\"",
    "\"shell_call\"",
    "\"apply_patch_call\"",
    "\"computer_call\"",
];

#[derive(Clone, Debug)]
pub(crate) struct OpenAiResponses {
    tools: OwnTools,
    /// The items of all rounds.
    items: Vec<Item>,
    /// The index of this round's first item.
    round_start: usize,
    later_round: bool,
    /// How many events the client has.
    sequence: u64,
    /// Events that are held until the next one that passes.
    held: u64,
    hold: EventHold,
    /// The items that have held events, by their indexes.
    held_items: Vec<usize>,
    complete: bool,
    figures: Figures<3>,
    /// The whole response, as far as it is known.
    document: String,
    /// The id of the first round's response, as JSON.
    first_id: Option<String>,
}

/// An output item.
#[derive(Clone, Debug, Default)]
struct Item {
    /// The item as far as it is known.
    raw: String,
    /// Whether it has ended.
    done: bool,
    /// Whether the client has seen its beginning.
    begun: bool,
    /// Its events that the client has not received.
    events: Vec<(String, String)>,
}

/// An item with its index.
type IndexedItem<'a> = (usize, &'a Item);

/// Whether events are held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EventHold {
    No,
    /// A reasoning item has begun, and the next item decides about it.
    UntilNextItem,
    /// A call of ours has begun.
    ToTheEnd,
}

impl OpenAiResponses {
    /// For an answer to a request with these tools of ours.
    pub(crate) fn new(tools: OwnTools) -> Self {
        Self {
            tools,
            items: Vec::new(),
            round_start: 0,
            later_round: false,
            sequence: 0,
            held: 0,
            hold: EventHold::No,
            held_items: Vec::new(),
            complete: false,
            figures: Figures::new(["input_tokens", "output_tokens", "total_tokens"]),
            document: String::new(),
            first_id: None,
        }
    }
}

fn kind(item: &str) -> &str {
    json::path(item, &["type"]).unwrap_or_default()
}

fn is_call(item: &str) -> bool {
    CALLS.contains(&kind(item))
}

fn is_reasoning(item: &str) -> bool {
    kind(item) == "\"reasoning\""
}

/// Whether `rounds` counts it as a part of the model's turn.
fn is_of_turn(item: &str) -> bool {
    let kind = json::path(item, &["type"]).and_then(json::string).unwrap_or_default();
    let role = json::path(item, &["role"]).and_then(json::string);
    kind == "reasoning" || kind.ends_with("_call") || role.as_deref() == Some("assistant")
}

fn name(item: &str) -> String {
    json::path(item, &["name"]).and_then(json::string).unwrap_or_default()
}

fn call_id(item: &str) -> String {
    json::path(item, &["call_id"]).and_then(json::string).unwrap_or_default()
}

/// The texts of a message of the model.
fn texts(item: &str) -> String {
    let parts = json::path(item, &["content"]).and_then(json::array).unwrap_or_default();
    let texts = parts.into_iter().filter_map(|part| json::path(part, &["text"]).and_then(json::string));
    texts.collect()
}

/// The item with the id that carries the trace.
fn renamed(item: &str, ending: &Ending<'_>) -> Option<String> {
    match ending.carrier {
        Some((id, new)) if is_call(item) && call_id(item) == id => {
            json::with(item, &[("call_id", &json::quote(new))])
        }
        _ => Some(item.to_owned()),
    }
}

impl OpenAiResponses {
    /// Our tool, if an item calls one.
    fn tool(&self, item: &str) -> Option<OwnTool> {
        // Codex names the MCP server of a call beside it: such a call is the client's.
        let server = json::path(item, &["namespace"]).and_then(json::string).unwrap_or_default();
        if is_call(item) && server.is_empty() { self.tools.find(&name(item)) } else { None }
    }

    fn is_ours(&self, item: &str) -> bool {
        self.tool(item).is_some()
    }

    fn read_response(&mut self, response: &str) -> Option<()> {
        let members = json::object(response)?;
        if let Some(usage) = json::get(&members, "usage") {
            self.figures.read(usage);
        }
        if self.first_id.is_none() {
            self.first_id = json::get(&members, "id").map(str::to_owned);
        }
        self.document = response.to_owned();
        Some(())
    }

    fn current(&self) -> &[Item] {
        self.items.get(self.round_start..).unwrap_or_default()
    }

    /// The response with this output and the usage of all rounds.
    fn whole(&self, output: &[String]) -> Option<String> {
        let usage = json::path(&self.document, &["usage"]).unwrap_or("{}");
        let usage = self.figures.total(usage)?;
        json::with(&self.document, &[("output", &json::list(output)), ("usage", &usage)])
    }

    /// Which items the client has received or will receive.
    fn delivered(&self, ending: &Ending<'_>) -> Vec<bool> {
        let ours = |from: usize| {
            let first = self.items.iter().skip(from).position(|item| self.is_ours(&item.raw))?;
            let before = self.items.get(..from + first).unwrap_or_default();
            // The reasoning directly before the call goes with it.
            Some(from + first - before.iter().rev().take_while(|item| is_reasoning(&item.raw)).count())
        };
        let missing = if !ending.is_traced() {
            ours(0)
        } else if ending.drops_last {
            ours(self.round_start)
        } else {
            None
        };
        let items = self.items.iter().enumerate();
        items
            .map(|(at, item)| {
                let bound = is_reasoning(&item.raw) && missing.is_some_and(|missing| missing <= at);
                !bound && !self.is_ours(&item.raw)
            })
            .collect()
    }

    /// A note as an output item.
    fn note(note: &str) -> String {
        let part = json::write([
            ("type", json::quote("output_text")),
            ("text", json::quote(note)),
            ("annotations", "[]".to_owned()),
        ]);
        json::write([
            ("type", json::quote("message")),
            ("id", json::quote("msg_headroom")),
            ("status", json::quote("completed")),
            ("role", json::quote("assistant")),
            ("content", json::list([part])),
        ])
    }
}

impl AnswerReader for OpenAiResponses {
    fn bytes(&self) -> usize {
        let events = self.items.iter().flat_map(|item| &item.events);
        let items = self.items.iter().map(|item| size_of::<Item>() + item.raw.len());
        self.document.len() + items.chain(events.map(|(name, data)| name.len() + data.len())).sum::<usize>()
    }

    fn event(&mut self, name: &str, data: &str) -> Option<()> {
        if data.is_empty() || data == "[DONE]" {
            return Some(());
        }
        let members = json::object(data)?;
        let kind = json::get(&members, "type").and_then(json::string)?;
        let item = json::get(&members, "item");
        let ended = matches!(kind.as_str(), "response.completed" | "response.incomplete" | "response.failed");
        let begins = kind == "response.output_item.added";
        match (self.hold, item) {
            (EventHold::No | EventHold::UntilNextItem, Some(item)) if begins && self.is_ours(item) => {
                self.hold = EventHold::ToTheEnd;
            }
            // All of the reasoning belongs to the next item.
            (EventHold::No | EventHold::UntilNextItem, Some(item)) if begins && is_reasoning(item) => {
                self.hold = EventHold::UntilNextItem;
            }
            (EventHold::UntilNextItem, _) if begins || ended => {
                self.hold = EventHold::No;
                // The held events pass now.
                for at in self.held_items.drain(..) {
                    if let Some(item) = self.items.get_mut(at) {
                        item.begun = true;
                        item.events.clear();
                    }
                }
            }
            _ => {}
        }
        let index = json::get(&members, "output_index").and_then(json::number);
        let at = index.and_then(|index| usize::try_from(index).ok()?.checked_add(self.round_start));
        if begins {
            if at != Some(self.items.len()) {
                return None;
            }
            self.items.push(Item { begun: self.hold == EventHold::No, ..Item::default() });
        }
        if let Some((at, known)) = at.and_then(|at| Some((at, self.items.get_mut(at)?))) {
            if let Some(item) = item {
                item.clone_into(&mut known.raw);
                known.done |= kind == "response.output_item.done";
            }
            if self.hold != EventHold::No {
                if known.events.is_empty() {
                    self.held_items.push(at);
                }
                known.events.push((name.to_owned(), data.to_owned()));
            }
        }
        // If the first answer has failed, the client sees that; if a later one has failed, the filter handles
        // it.
        self.complete |= ended && !(self.later_round && kind == "response.failed");
        if let Some(response) = json::get(&members, "response") {
            self.read_response(response)?;
        }
        if self.hold == EventHold::No {
            self.sequence += self.held + 1;
            self.held = 0;
        } else {
            self.held += 1;
        }
        Some(())
    }

    fn holding(&self) -> bool {
        self.hold != EventHold::No
    }

    fn holds_ours(&self) -> bool {
        self.hold == EventHold::ToTheEnd
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        let output = json::path(answer, &["output"]).and_then(json::array)?;
        let items = output.into_iter();
        self.items.extend(items.map(|raw| Item { raw: raw.to_owned(), done: true, ..Item::default() }));
        self.read_response(answer)
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn calls(&self) -> Vec<bool> {
        self.current().iter().filter(|item| is_call(&item.raw)).map(|item| self.is_ours(&item.raw)).collect()
    }

    fn wanted(&self) -> Vec<OwnCall> {
        let (mut wanted, mut place) = (Vec::new(), 0);
        for (at, Item { raw, done, .. }) in self.items.iter().enumerate() {
            let Some(tool) = self.tool(raw) else {
                place += 1;
                continue;
            };
            if at >= self.round_start && *done {
                let arguments = json::path(raw, &["arguments"]).and_then(json::string).unwrap_or_default();
                let (id, name) = (call_id(raw), name(raw));
                wanted.push(OwnCall { id, tool, name, arguments, place, reasoning: 0 });
            }
        }
        wanted
    }

    fn carrier(&self) -> Option<String> {
        // Between items of other kinds the next request does not show where the model's turn begins and ends.
        if self.items.iter().any(|item| !is_of_turn(&item.raw)) {
            return None;
        }
        let theirs = self.current().iter().filter(|item| is_call(&item.raw) && !self.is_ours(&item.raw));
        theirs.filter(|item| !item.begun).map(|item| call_id(&item.raw)).find(|id| !id.is_empty())
    }

    fn before(&self, place: u32, _reasoning: u32) -> TraceInput {
        let mut before = TraceInput::default();
        let items = self.items.iter().map(|item| item.raw.as_str()).filter(|item| !self.is_ours(item));
        for item in items.take(place as usize) {
            let kind = json::path(item, &["type"]).and_then(json::string).unwrap_or_default();
            if is_reasoning(item) {
                before.thinking();
            } else if kind.ends_with("_call") && json::path(item, &["call_id"]).is_some() {
                before.call(&call_id(item));
            } else if json::path(item, &["role"]).is_some() {
                before.text(&texts(item));
            } else {
                before.other(&kind);
            }
        }
        before
    }

    fn continuation(&self, request: &str, written: &[WrittenCall<'_>]) -> Option<String> {
        let (mut turn, mut answers) = (Vec::new(), Vec::new());
        let mut written = written.iter();
        for item in self.current().iter().map(|item| &item.raw) {
            if !self.is_ours(item) {
                turn.push(item.clone());
                continue;
            }
            let WrittenCall { retrieval, text, .. } = written.next()?;
            match retrieval {
                Some(retrieval) => {
                    turn.push(call(retrieval));
                    answers.push(result(retrieval));
                }
                None => {
                    turn.push(item.clone());
                    answers.push(json::write([
                        ("type", json::quote("function_call_output")),
                        ("call_id", json::quote(&call_id(item))),
                        ("output", json::quote(text)),
                    ]));
                }
            }
        }
        let items: Vec<String> = turn.into_iter().chain(answers).collect();
        json::append(request, &json::object(request)?, "input", &items)
    }

    fn next_round(&mut self) {
        self.round_start = self.items.len();
        self.held = 0;
        self.figures.next_round();
        self.hold = EventHold::ToTheEnd;
        self.complete = false;
        self.later_round = true;
    }

    fn copy(&self) -> Box<dyn AnswerReader> {
        Box::new(self.clone())
    }

    fn finish(&self, stream: bool, ending: &Ending<'_>) -> Option<String> {
        let delivered = self.delivered(ending);
        let items = self.items.iter().enumerate().zip(&delivered);
        let kept: Vec<IndexedItem<'_>> =
            items.filter(|((_, item), kept)| **kept && item.done).map(|(item, _)| item).collect();
        let note = ending.note.map(Self::note);
        // The note is put before calls, because the result of a call has to follow it directly.
        let (calls, others) = match note {
            Some(_) => kept.into_iter().partition(|(_, item)| is_call(&item.raw) && !item.begun),
            None => (Vec::new(), kept),
        };
        let raw = |items: &[IndexedItem<'_>]| {
            items.iter().map(|(_, item)| renamed(&item.raw, ending)).collect::<Option<Vec<String>>>()
        };
        let output: Vec<String> = raw(&others)?.into_iter().chain(note.clone()).chain(raw(&calls)?).collect();
        let cut = json::path(&self.document, &["status"]) == Some("\"incomplete\"");
        let response = self.whole(&output)?;
        let response = if cut {
            response
        } else {
            json::with(&response, &[("status", "\"completed\""), ("error", "null")])?
        };
        let response = match &self.first_id {
            Some(id) => json::with(&response, &[("id", id)])?,
            None => response,
        };
        if !stream {
            return Some(response);
        }
        let mut out = String::new();
        let mut sequence = self.sequence;
        let mut number = || {
            sequence += 1;
            (sequence - 1).to_string()
        };
        let mut index = self.items.iter().filter(|item| item.begun).count();
        let note = note.map(|raw| {
            let event = |kind: &str| {
                let members = [("type", json::quote(kind)), ("item", raw.clone())];
                (kind.to_owned(), json::write(members))
            };
            let events = vec![event("response.output_item.added"), event("response.output_item.done")];
            Item { raw: raw.clone(), events, ..Item::default() }
        });
        // The note has not begun: its place is the next, whatever its index.
        let note = note.iter().map(|item| (0, item));
        for (at, item) in others.into_iter().chain(note).chain(calls) {
            let place = if item.begun { at } else { index };
            index += usize::from(!item.begun);
            for (name, data) in &item.events {
                let mut changes = vec![("sequence_number", number()), ("output_index", place.to_string())];
                if let Some(raw) = json::path(data, &["item"]) {
                    changes.push(("item", renamed(raw, ending)?));
                }
                out.push_str(&sse::write(name, &json::with(data, &json::borrowed(&changes))?));
            }
        }
        let kind = if cut { "response.incomplete" } else { "response.completed" };
        let end = [("type", json::quote(kind)), ("sequence_number", number()), ("response", response)];
        out.push_str(&sse::write(kind, &json::write(end)));
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_items_with_held_events_are_touched_when_a_reasoning_item_is_released() {
        let mut reader = OpenAiResponses::new(OwnTools::default());
        let mut begin = |at: usize, kind: &str| {
            let data = format!(
                r#"{{"type":"response.output_item.added","output_index":{at},"item":{{"type":"{kind}"}}}}"#
            );
            reader.event("response.output_item.added", &data).unwrap();
            (reader.held_items.clone(), reader.items.iter().filter(|item| item.begun).count())
        };
        assert_eq!(begin(0, "message"), (vec![], 1));
        assert_eq!(begin(1, "message"), (vec![], 2));
        assert_eq!(begin(2, "reasoning"), (vec![2], 2));
        assert_eq!(begin(3, "reasoning"), (vec![2, 3], 2));
        assert_eq!(begin(4, "message"), (vec![], 5));
    }
}
