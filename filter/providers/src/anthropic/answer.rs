//! Anthropic Messages: content blocks, and events that name the block they belong to.
//!
//! Over several rounds the client receives one message: the first round's start, the blocks of all rounds
//! with continuous indexes, and the last round's end with the usage of all rounds. Each round adds the
//! model's turn to the request exactly as the model wrote it: with thinking, signatures and our call.

use crate::answer::{AnswerReader, Ending, Figures, OwnCall, WrittenCall};
use crate::anthropic::rounds::{call, message, result};
use crate::json;
use crate::own_tools::{OwnTool, OwnTools};
use crate::rounds::TraceInput;
use crate::sse;

#[derive(Clone, Debug)]
pub(crate) struct Anthropic {
    tools: OwnTools,
    /// The blocks of all rounds.
    blocks: Vec<Block>,
    /// The index of this round's first block.
    round_start: usize,
    round: u32,
    /// A call of ours has begun, so everything from it on is held.
    holding: bool,
    complete: bool,
    figures: Figures<4>,
    /// Why the round ended, as JSON.
    reason: String,
    /// The event that gave the reason.
    end: String,
    /// An unknown kind of delta has come, so the turn cannot be repeated to the provider.
    unknown_delta: bool,
    document: String,
}

impl Anthropic {
    /// For an answer to a request with these tools of ours.
    pub(crate) fn new(tools: OwnTools) -> Self {
        Self {
            tools,
            blocks: Vec::new(),
            round_start: 0,
            round: 0,
            holding: false,
            complete: false,
            figures: Figures::new([
                "input_tokens",
                "cache_creation_input_tokens",
                "cache_read_input_tokens",
                "output_tokens",
            ]),
            reason: String::new(),
            end: String::new(),
            unknown_delta: false,
            document: String::new(),
        }
    }
}

/// A block of the model's turn.
#[derive(Clone, Debug, Default)]
struct Block {
    kind: String,
    /// The block as it began or, in a document, the whole block.
    start: String,
    /// What deltas have added: names of members and their text.
    added: Vec<(&'static str, String)>,
    citations: Vec<String>,
    /// Our tool, if the block calls one.
    ours: Option<OwnTool>,
    round: u32,
    /// Whether the client has it already.
    passed: bool,
    /// Its held events.
    events: Vec<(String, String)>,
}

impl Block {
    fn of(start: &str, round: u32, tools: OwnTools) -> Option<Self> {
        let kind = json::path(start, &["type"]).and_then(json::string)?;
        let mut block = Self { kind, start: start.to_owned(), round, ..Self::default() };
        block.ours = if block.is_call() { tools.find(&block.name()) } else { None };
        Some(block)
    }

    fn name(&self) -> String {
        json::path(&self.start, &["name"]).and_then(json::string).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        let events = self.events.iter().map(|(name, data)| name.len() + data.len());
        let texts = self.added.iter().map(|(_, text)| text).chain(&self.citations).map(String::len);
        size_of::<Self>() + self.kind.len() + self.start.len() + texts.chain(events).sum::<usize>()
    }

    fn add(&mut self, member: &'static str, text: &str) {
        match self.added.iter_mut().find(|(name, _)| *name == member) {
            Some((_, so_far)) => so_far.push_str(text),
            None => self.added.push((member, text.to_owned())),
        }
    }

    /// A text member together with what deltas have added.
    fn text(&self, member: &str) -> String {
        let begun = json::path(&self.start, &[member]).and_then(json::string).unwrap_or_default();
        let added = self.added.iter().find(|(name, _)| *name == member);
        added.map_or(begun.clone(), |(_, text)| begun + text)
    }

    /// The whole block as JSON.
    fn whole(&self) -> Option<String> {
        let mut changes: Vec<(&str, String)> = Vec::new();
        for (member, text) in &self.added {
            let value = if *member == "input" {
                // Calls without arguments have no delta, or an empty one.
                if text.is_empty() { continue } else { json::object(text).map(|_| text.clone())? }
            } else {
                json::quote(&self.text(member))
            };
            changes.push((member, value));
        }
        if !self.citations.is_empty() {
            changes.push(("citations", json::list(&self.citations)));
        }
        json::with(&self.start, &json::borrowed(&changes))
    }

    fn is_call(&self) -> bool {
        self.kind == "tool_use"
    }

    fn is_ours(&self) -> bool {
        self.ours.is_some()
    }

    fn is_thinking(&self) -> bool {
        matches!(self.kind.as_str(), "thinking" | "redacted_thinking")
    }

    /// The provider refuses a text block without text.
    fn is_blank(&self) -> bool {
        self.kind == "text" && self.text("text").is_empty()
    }

    fn id(&self) -> String {
        json::path(&self.start, &["id"]).and_then(json::string).unwrap_or_default()
    }

    /// The block with the id that carries the trace.
    fn renamed(&self, block: String, ending: &Ending<'_>) -> Option<String> {
        match ending.carrier {
            Some((id, new)) if self.is_call() && self.id() == id => {
                json::with(&block, &[("id", &json::quote(new))])
            }
            _ => Some(block),
        }
    }
}

impl Anthropic {
    fn current(&self) -> &[Block] {
        self.blocks.get(self.round_start..).unwrap_or_default()
    }

    fn delta(&mut self, data: &str) -> Option<()> {
        let index = json::path(data, &["index"]).and_then(json::number)?;
        let delta = json::path(data, &["delta"])?;
        let members = json::object(delta)?;
        let kind = json::get(&members, "type").and_then(json::string)?;
        let block = self.block(index)?;
        let member = match kind.as_str() {
            "text_delta" => "text",
            "thinking_delta" => "thinking",
            "signature_delta" => "signature",
            "input_json_delta" => {
                let text = json::get(&members, "partial_json").and_then(json::string)?;
                block.add("input", &text);
                return Some(());
            }
            "citations_delta" => {
                block.citations.push(json::get(&members, "citation")?.to_owned());
                return Some(());
            }
            _ => {
                self.unknown_delta = true;
                return Some(());
            }
        };
        block.add(member, &json::get(&members, member).and_then(json::string)?);
        Some(())
    }

    fn block(&mut self, index: u64) -> Option<&mut Block> {
        let at = usize::try_from(index).ok()?.checked_add(self.round_start)?;
        self.blocks.get_mut(at)
    }

    /// Keeps an event of a block that is held.
    fn keep(&mut self, name: &str, data: &str) -> Option<()> {
        let index = json::path(data, &["index"]).and_then(json::number)?;
        if let Some(block) = self.block(index).filter(|block| !block.passed) {
            block.events.push((name.to_owned(), data.to_owned()));
        }
        Some(())
    }

    /// The blocks that the client has received or will receive.
    fn delivered<'a>(&'a self, ending: &Ending<'_>) -> Vec<&'a Block> {
        let ours = |from: usize| {
            let behind = self.blocks.iter().enumerate().skip(from);
            behind.filter(|(_, block)| block.is_ours()).map(|(at, _)| at).next()
        };
        // Thinking after it is bound to a round that the client does not have.
        let missing = if !ending.is_traced() {
            ours(0)
        } else if ending.drops_last {
            ours(self.round_start)
        } else {
            None
        };
        let blocks = self.blocks.iter().enumerate().filter(|(at, block)| {
            let bound = block.is_thinking() && missing.is_some_and(|missing| missing < *at);
            block.passed || !(bound || block.is_ours() || block.is_blank())
        });
        blocks.map(|(_, block)| block).collect()
    }
}

impl AnswerReader for Anthropic {
    fn bytes(&self) -> usize {
        self.document.len() + self.end.len() + self.blocks.iter().map(Block::bytes).sum::<usize>()
    }

    fn event(&mut self, name: &str, data: &str) -> Option<()> {
        if data.is_empty() {
            return Some(());
        }
        let kind = json::path(data, &["type"]).and_then(json::string)?;
        match kind.as_str() {
            "message_start" => {
                if let Some(usage) = json::path(data, &["message", "usage"]) {
                    self.figures.read(usage);
                }
            }
            "content_block_start" => {
                let index = json::path(data, &["index"]).and_then(json::number)?;
                if usize::try_from(index).ok()? != self.current().len() {
                    return None;
                }
                let mut block = Block::of(json::path(data, &["content_block"])?, self.round, self.tools)?;
                self.holding |= block.is_ours();
                block.passed = !self.holding && self.round == 0;
                self.blocks.push(block);
                self.keep(name, data)?;
            }
            "content_block_delta" => {
                self.delta(data)?;
                self.keep(name, data)?;
            }
            "content_block_stop" => self.keep(name, data)?,
            "message_delta" => {
                if let Some(usage) = json::path(data, &["usage"]) {
                    self.figures.read(usage);
                }
                if let Some(reason) = json::path(data, &["delta", "stop_reason"]) {
                    reason.clone_into(&mut self.reason);
                }
                data.clone_into(&mut self.end);
            }
            "message_stop" => self.complete = true,
            _ => {}
        }
        Some(())
    }

    fn holding(&self) -> bool {
        self.holding
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        let members = json::object(answer)?;
        let content = json::array(json::get(&members, "content")?)?;
        let blocks = content.into_iter().map(|block| Block::of(block, self.round, self.tools));
        self.blocks.extend(blocks.collect::<Option<Vec<_>>>()?);
        if let Some(usage) = json::get(&members, "usage") {
            self.figures.read(usage);
        }
        json::get(&members, "stop_reason").unwrap_or_default().clone_into(&mut self.reason);
        self.document = answer.to_owned();
        Some(())
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn calls(&self) -> Vec<bool> {
        self.current().iter().filter(|block| block.is_call()).map(Block::is_ours).collect()
    }

    fn wanted(&self) -> Vec<OwnCall> {
        let mut place = 0;
        let mut wanted = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            let Some(tool) = block.ours else {
                place += u32::from(!block.is_blank());
                continue;
            };
            if at >= self.round_start
                && let Some(whole) = block.whole()
            {
                let arguments = json::path(&whole, &["input"]).unwrap_or("{}").to_owned();
                let (id, name) = (block.id(), block.name());
                wanted.push(OwnCall { id, tool, name, arguments, place, reasoning: 0 });
            }
        }
        wanted
    }

    fn carrier(&self) -> Option<String> {
        let theirs = self.current().iter().filter(|block| block.is_call() && !block.is_ours());
        theirs.filter(|block| !block.passed).map(Block::id).find(|id| !id.is_empty())
    }

    fn before(&self, place: u32, _reasoning: u32) -> TraceInput {
        let mut before = TraceInput::default();
        let counted = self.blocks.iter().filter(|block| !block.is_ours() && !block.is_blank());
        for block in counted.take(place as usize) {
            if block.kind == "text" {
                before.text(&block.text("text"));
            } else if block.is_thinking() {
                before.thinking();
            } else if block.is_call() {
                before.call(&block.id());
            } else {
                before.other(&block.kind);
            }
        }
        before
    }

    fn continuation(&self, request: &str, written: &[WrittenCall<'_>]) -> Option<String> {
        if self.unknown_delta {
            return None;
        }
        let (mut turn, mut answers) = (Vec::new(), Vec::new());
        let mut written = written.iter();
        for block in self.current().iter().filter(|block| !block.is_blank()) {
            if !block.is_ours() {
                turn.push(block.whole()?);
                continue;
            }
            let WrittenCall { retrieval, text, is_error } = written.next()?;
            turn.push(match retrieval {
                Some(retrieval) => call(retrieval),
                None => block.whole()?,
            });
            answers.push(match retrieval {
                Some(retrieval) => result(retrieval),
                None => {
                    let members = [
                        ("type", json::quote("tool_result")),
                        ("tool_use_id", json::quote(&block.id())),
                        ("content", json::quote(text)),
                    ];
                    let error = is_error.then(|| ("is_error", "true".to_owned()));
                    json::write(members.into_iter().chain(error))
                }
            });
        }
        let messages = [message("assistant", &turn), message("user", &answers)];
        json::append(request, &json::object(request)?, "messages", &messages)
    }

    fn next_round(&mut self) {
        self.figures.next_round();
        self.round_start = self.blocks.len();
        self.round += 1;
        self.holding = true;
        self.complete = false;
    }

    fn copy(&self) -> Box<dyn AnswerReader> {
        Box::new(self.clone())
    }

    fn finish(&self, stream: bool, ending: &Ending<'_>) -> Option<String> {
        let note = ending.note;
        let delivered = self.delivered(ending);
        let calls = delivered.iter().any(|block| block.is_call() && block.round == self.round);
        let reason = match self.reason.as_str() {
            _ if calls => "\"tool_use\"",
            "" | "\"tool_use\"" => "\"end_turn\"",
            other => other,
        };
        // The note is put before calls, because the result of a call has to follow it directly.
        let missing = delivered.iter().copied().filter(|block| !block.passed);
        let (calls, others): (Vec<&Block>, Vec<&Block>) = match note {
            Some(_) => missing.partition(|block| block.is_call()),
            None => (Vec::new(), missing.collect()),
        };
        if !stream {
            let note =
                note.map(|note| json::write([("type", json::quote("text")), ("text", json::quote(note))]));
            let whole = |blocks: &[&Block]| {
                let blocks = blocks.iter().filter_map(|block| block.renamed(block.whole()?, ending));
                blocks.collect::<Vec<_>>()
            };
            let content = json::list(whole(&others).into_iter().chain(note).chain(whole(&calls)));
            let usage = self.figures.total(json::path(&self.document, &["usage"]).unwrap_or("{}"))?;
            let changes = [("content", content.as_str()), ("stop_reason", reason), ("usage", &usage)];
            return json::with(&self.document, &changes);
        }
        let mut out = String::new();
        let mut index = self.blocks.iter().filter(|block| block.passed).count();
        let mut put = |blocks: &[&Block], index: &mut usize| {
            for block in blocks {
                for (name, data) in &block.events {
                    let data = json::with(data, &[("index", &index.to_string())])?;
                    let data = match json::path(&data, &["content_block"]) {
                        Some(start) => {
                            let start = block.renamed(start.to_owned(), ending)?;
                            json::with(&data, &[("content_block", &start)])?
                        }
                        None => data,
                    };
                    out.push_str(&sse::write(name, &data));
                }
                *index += 1;
            }
            Some(())
        };
        put(&others, &mut index)?;
        if let Some(note) = note {
            let block = Block { events: note_events(note), ..Block::default() };
            put(&[&block], &mut index)?;
        }
        put(&calls, &mut index)?;
        let usage = self.figures.total(json::path(&self.end, &["usage"]).unwrap_or("{}"))?;
        let end = if self.end.is_empty() { r#"{"type":"message_delta","delta":{}}"# } else { &self.end };
        let mut delta = vec![("stop_reason", reason)];
        if self.end.is_empty() {
            delta.push(("stop_sequence", "null"));
        }
        let delta = json::with(json::path(end, &["delta"]).unwrap_or("{}"), &delta)?;
        let end = json::with(end, &[("delta", &delta), ("usage", &usage)])?;
        out.push_str(&sse::write("message_delta", &end));
        out.push_str(&sse::write("message_stop", r#"{"type":"message_stop"}"#));
        Some(out)
    }
}

/// The events of a text block that the filter adds.
fn note_events(note: &str) -> Vec<(String, String)> {
    let delta = json::write([("type", json::quote("text_delta")), ("text", json::quote(note))]);
    let event = |kind: &str, member: Option<(&str, &str)>| {
        let quoted = json::quote(kind);
        let members = [("type", quoted.as_str()), ("index", "0")].into_iter().chain(member);
        (kind.to_owned(), json::write(members))
    };
    vec![
        event("content_block_start", Some(("content_block", r#"{"type":"text","text":""}"#))),
        event("content_block_delta", Some(("delta", &delta))),
        event("content_block_stop", None),
    ]
}
