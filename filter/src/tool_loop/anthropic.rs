//! Anthropic Messages: content blocks, and events that name the block they belong to.
//!
//! Over several rounds the client sees one message: the first round's start, the blocks of all rounds
//! under running indexes, and the last round's end with the usage of all rounds. What a round adds to
//! the request is the model's turn as it wrote it, thinking and signatures included, without the
//! client's calls.

use super::{Dialect, Event, Figures, TOOL, Wanted, json, sse, wanted};

#[derive(Clone, Debug)]
pub(super) struct Anthropic {
    /// This round's blocks, by the index that the provider gives them.
    blocks: Vec<Block>,
    /// Blocks of earlier rounds that the client has, or gets.
    delivered: Vec<String>,
    /// How many blocks an event's index is to be raised by.
    offset: u64,
    /// A call of ours has begun: what follows is held.
    holding: bool,
    later_round: bool,
    complete: bool,
    figures: Figures<4>,
    /// Why the round ended, as JSON.
    reason: String,
    /// A delta that we cannot join: the turn cannot be repeated to the provider.
    unknown_delta: bool,
    document: String,
}

impl Default for Anthropic {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            delivered: Vec::new(),
            offset: 0,
            holding: false,
            later_round: false,
            complete: false,
            figures: Figures::new([
                "input_tokens",
                "cache_creation_input_tokens",
                "cache_read_input_tokens",
                "output_tokens",
            ]),
            reason: String::new(),
            unknown_delta: false,
            document: String::new(),
        }
    }
}

/// A block of the model's turn.
#[derive(Clone, Debug, Default)]
struct Block {
    kind: String,
    /// As it began, or, in a document, as it is.
    start: String,
    /// What deltas have added: members and their text.
    added: Vec<(&'static str, String)>,
    citations: Vec<String>,
}

impl Block {
    fn of(start: &str) -> Option<Self> {
        let kind = json::path(start, &["type"]).and_then(json::string)?;
        Some(Self { kind, start: start.to_owned(), ..Self::default() })
    }

    fn add(&mut self, member: &'static str, text: &str) {
        match self.added.iter_mut().find(|(name, _)| *name == member) {
            Some((_, so_far)) => so_far.push_str(text),
            None => self.added.push((member, text.to_owned())),
        }
    }

    /// The whole block as JSON.
    fn whole(&self) -> Option<String> {
        let mut changes: Vec<(&str, String)> = Vec::new();
        for (member, text) in &self.added {
            let value = if *member == "input" {
                // A tool without arguments gets no delta, or an empty one.
                if text.is_empty() { continue } else { json::object(text).map(|_| text.clone())? }
            } else {
                let begun = json::path(&self.start, &[member]).and_then(json::string).unwrap_or_default();
                json::quote(&(begun + text))
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
        self.is_call() && json::path(&self.start, &["name"]).and_then(json::string).as_deref() == Some(TOOL)
    }
}

impl Anthropic {
    fn delta(&mut self, data: &str) -> Option<()> {
        let index = json::path(data, &["index"]).and_then(json::number)?;
        let delta = json::path(data, &["delta"])?;
        let members = json::object(delta)?;
        let kind = json::get(&members, "type").and_then(json::string)?;
        let block = self.blocks.get_mut(usize::try_from(index).ok()?)?;
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

    /// The blocks of a stream that were not held: those before the first call of ours.
    fn passed(&self) -> usize {
        self.blocks.iter().take_while(|block| !block.is_ours()).count()
    }

    /// An event of a block, under the index that the client knows.
    fn renumbered(&self, name: &str, data: &str) -> Option<Event> {
        if !self.later_round {
            return Some(Event::Pass);
        }
        let index = json::path(data, &["index"]).and_then(json::number)? + self.offset;
        Some(Event::Rewritten(sse::write(name, &json::with(data, &[("index", &index.to_string())])?)))
    }

    /// The model's turn without the client's calls, and the results of ours.
    fn messages(&self, results: &[String]) -> Option<Vec<String>> {
        if self.unknown_delta {
            return None;
        }
        let kept = self.blocks.iter().filter(|block| !block.is_call() || block.is_ours());
        // The provider refuses a text block without text.
        let turn = kept.map(Block::whole).collect::<Option<Vec<_>>>()?;
        let turn = turn.into_iter().filter(|block| json::path(block, &["text"]) != Some("\"\""));
        let answers = self.wanted().into_iter().zip(results).map(|(wanted, result)| {
            json::write([
                ("type", json::quote("tool_result")),
                ("tool_use_id", json::quote(&wanted.id)),
                ("content", json::quote(result)),
            ])
        });
        let message =
            |role, content: String| json::write([("role", json::quote(role)), ("content", content)]);
        Some(vec![message("assistant", json::list(turn)), message("user", json::list(answers))])
    }
}

impl Dialect for Anthropic {
    fn event(&mut self, name: &str, data: &str) -> Option<Event> {
        if data.is_empty() {
            return Some(Event::Pass);
        }
        let kind = json::path(data, &["type"]).and_then(json::string)?;
        match kind.as_str() {
            "message_start" => {
                if let Some(usage) = json::path(data, &["message", "usage"]) {
                    self.figures.read(usage);
                }
                Some(if self.later_round { Event::Drop } else { Event::Pass })
            }
            "content_block_start" => {
                let index = json::path(data, &["index"]).and_then(json::number)?;
                let block = Block::of(json::path(data, &["content_block"])?)?;
                if usize::try_from(index).ok()? != self.blocks.len() {
                    return None;
                }
                self.holding |= block.is_ours();
                self.blocks.push(block);
                self.renumbered(name, data)
            }
            "content_block_delta" => {
                self.delta(data)?;
                self.renumbered(name, data)
            }
            "content_block_stop" => self.renumbered(name, data),
            "message_delta" => {
                let usage = json::path(data, &["usage"]);
                if let Some(usage) = usage {
                    self.figures.read(usage);
                }
                if let Some(reason) = json::path(data, &["delta", "stop_reason"]) {
                    reason.clone_into(&mut self.reason);
                }
                if !self.later_round {
                    return Some(Event::Pass);
                }
                let total = self.figures.total(usage.unwrap_or("{}"))?;
                Some(Event::Rewritten(sse::write(name, &json::with(data, &[("usage", &total)])?)))
            }
            "message_stop" => {
                self.complete = true;
                Some(Event::Pass)
            }
            _ => Some(Event::Pass),
        }
    }

    fn holding(&self) -> bool {
        self.holding
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        let members = json::object(answer)?;
        let content = json::array(json::get(&members, "content")?)?;
        self.blocks = content.into_iter().map(Block::of).collect::<Option<_>>()?;
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
        self.blocks.iter().filter(|block| block.is_call()).map(Block::is_ours).collect()
    }

    fn wanted(&self) -> Vec<Wanted> {
        let ours = self.blocks.iter().filter(|block| block.is_ours());
        ours.filter_map(|block| {
            let whole = block.whole()?;
            let id = json::path(&whole, &["id"]).and_then(json::string)?;
            Some(wanted(id, json::path(&whole, &["input"]).unwrap_or("{}")))
        })
        .collect()
    }

    fn continuation(&self, request: &str, results: &[String]) -> Option<String> {
        json::append(request, &json::object(request)?, "messages", &self.messages(results)?)
    }

    fn next_round(&mut self) {
        for block in self.blocks.iter().filter(|block| !block.is_call()) {
            self.delivered.extend(block.whole());
        }
        self.offset += self.passed() as u64;
        self.figures.next_round();
        self.blocks.clear();
        self.holding = false;
        self.complete = false;
        self.later_round = true;
    }

    fn copy(&self) -> Box<dyn Dialect> {
        Box::new(self.clone())
    }

    fn answer(&self) -> Option<String> {
        let own = json::path(&self.document, &["content"]).and_then(json::array)?;
        let content = json::list(self.delivered.iter().map(String::as_str).chain(own));
        let usage = self.figures.total(json::path(&self.document, &["usage"]).unwrap_or("{}"))?;
        json::with(&self.document, &[("content", &content), ("usage", &usage)])
    }

    fn close(&self, stream: bool, note: Option<&str>) -> Option<String> {
        let note = note.map(|note| json::write([("type", json::quote("text")), ("text", json::quote(note))]));
        let calls = self.blocks.iter().any(|block| block.is_call() && !block.is_ours());
        let reason = match self.reason.as_str() {
            _ if calls => "\"tool_use\"",
            "" | "\"tool_use\"" => "\"end_turn\"",
            other => other,
        };
        let passed = if stream { self.passed() } else { 0 };
        let kept = self.blocks.iter().skip(passed).filter(|block| !block.is_ours());
        // The note stands before calls: what follows a call is its result.
        let (calls, others): (Vec<&Block>, Vec<&Block>) = kept.partition(|block| block.is_call());
        let blocks = |blocks: &[&Block]| blocks.iter().filter_map(|block| block.whole()).collect::<Vec<_>>();
        let rest: Vec<String> = blocks(&others).into_iter().chain(note).chain(blocks(&calls)).collect();
        if !stream {
            let usage = self.figures.total(json::path(&self.document, &["usage"]).unwrap_or("{}"))?;
            let content = json::list(self.delivered.iter().chain(&rest));
            let changes = [("content", content.as_str()), ("stop_reason", reason), ("usage", &usage)];
            return json::with(&self.document, &changes);
        }
        let mut out = String::new();
        let mut index = self.offset + passed as u64;
        // Blocks of another kind than text and calls cannot be spelled as events; none follows a call.
        for events in rest.iter().filter_map(|block| {
            let events = events_of(block, index);
            index += u64::from(events.is_some());
            events
        }) {
            out.push_str(&events);
        }
        let delta = json::write([("stop_reason", reason), ("stop_sequence", "null")]);
        let usage = self.figures.total("{}")?;
        let end = [("type", "\"message_delta\""), ("delta", delta.as_str()), ("usage", &usage)];
        out.push_str(&sse::write("message_delta", &json::write(end)));
        out.push_str(&sse::write("message_stop", r#"{"type":"message_stop"}"#));
        Some(out)
    }
}

/// The events of a whole text block or call.
fn events_of(block: &str, index: u64) -> Option<String> {
    let index = index.to_string();
    let (member, kind, key, text) = match json::path(block, &["input"]) {
        Some(input) => (("input", "{}"), "input_json_delta", "partial_json", input.to_owned()),
        None => {
            let text = json::path(block, &["text"]).and_then(json::string)?;
            (("text", "\"\""), "text_delta", "text", text)
        }
    };
    let begun = json::with(block, &[member])?;
    let delta = json::write([("type", json::quote(kind)), (key, json::quote(&text))]);
    let event = |kind: &str, member: Option<(&str, &str)>| {
        let quoted = json::quote(kind);
        let members = [("type", quoted.as_str()), ("index", &index)].into_iter().chain(member);
        sse::write(kind, &json::write(members))
    };
    Some(
        [
            event("content_block_start", Some(("content_block", &begun))),
            event("content_block_delta", Some(("delta", &delta))),
            event("content_block_stop", None),
        ]
        .concat(),
    )
}
