//! OpenAI Responses: output items, and numbered events that build them.
//!
//! Over several rounds the client sees one response: the first round's beginning, the items of all
//! rounds under running indexes, events under running sequence numbers, and the last round's end with
//! the output and the usage of all rounds. It carries the last round's id, so that a client which
//! continues by `previous_response_id` continues from what the provider knows last.
//!
//! The provider refuses a reasoning item in a request without the item that it led to. So a reasoning
//! item that led to a call of ours is not for the client's history: its end, which is what clients keep,
//! is held until the next item begins.
//!
//! A conversation that the provider keeps (`conversation`) has the model's turn in it already. It is
//! continued with the results alone, and the calls stay in the provider's history, answered.

use super::{Dialect, Event, Figures, TOOL, Wanted, json, sse, wanted};

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
pub(super) struct OpenAiResponses {
    /// This round's finished items.
    items: Vec<String>,
    /// How many items of this round have begun before the client's eyes.
    passed: u64,
    /// Items of earlier rounds that the client has, or gets.
    delivered: Vec<String>,
    offset: u64,
    /// The number of the next event for the client.
    sequence: u64,
    /// Events that are held and have a number already.
    held: u64,
    hold: Hold,
    later_round: bool,
    complete: bool,
    figures: Figures<3>,
    /// The response as a whole, as far as it is known.
    document: String,
}

/// Whether events are held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hold {
    No,
    /// A reasoning item has ended, and it depends on the next item.
    UntilNextItem,
    /// A call of ours has begun.
    ToTheEnd,
}

impl Default for OpenAiResponses {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            passed: 0,
            delivered: Vec::new(),
            offset: 0,
            sequence: 0,
            held: 0,
            hold: Hold::No,
            later_round: false,
            complete: false,
            figures: Figures::new(["input_tokens", "output_tokens", "total_tokens"]),
            document: String::new(),
        }
    }
}

fn kind(item: &str) -> &str {
    json::path(item, &["type"]).unwrap_or_default()
}

fn is_call(item: &str) -> bool {
    CALLS.contains(&kind(item))
}

fn is_ours(item: &str) -> bool {
    is_call(item) && json::path(item, &["name"]).and_then(json::string).as_deref() == Some(TOOL)
}

fn is_reasoning(item: &str) -> bool {
    kind(item) == "\"reasoning\""
}

impl OpenAiResponses {
    fn read_response(&mut self, response: &str) -> Option<()> {
        let members = json::object(response)?;
        if let Some(usage) = json::get(&members, "usage") {
            self.figures.read(usage);
        }
        self.document = response.to_owned();
        Some(())
    }

    /// The response with this output and the usage of all rounds.
    fn whole<'i>(&self, output: impl IntoIterator<Item = &'i String>) -> Option<String> {
        let usage = json::path(&self.document, &["usage"]).unwrap_or("{}");
        let usage = self.figures.total(usage)?;
        json::with(&self.document, &[("output", &json::list(output)), ("usage", &usage)])
    }

    /// This round's items from the first that the client must not keep: a call of ours, or the reasoning
    /// that led to it.
    fn first_of_ours(&self) -> usize {
        let ours = self.items.iter().position(|item| is_ours(item)).unwrap_or(self.items.len());
        let before = self.items.get(..ours).unwrap_or_default();
        ours - before.iter().rev().take_while(|item| is_reasoning(item)).count()
    }

    /// The items that the client keeps of this round when it goes on without its calls of ours.
    fn kept(&self) -> Vec<&String> {
        let first = self.first_of_ours();
        let (before, after) = self.items.split_at(first.min(self.items.len()));
        before.iter().chain(after.iter().filter(|item| !is_ours(item) && !is_reasoning(item))).collect()
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

impl Dialect for OpenAiResponses {
    fn event(&mut self, name: &str, data: &str) -> Option<Event> {
        if data.is_empty() || data == "[DONE]" {
            return Some(Event::Pass);
        }
        let members = json::object(data)?;
        let kind = json::get(&members, "type").and_then(json::string)?;
        let item = json::get(&members, "item");
        let ended = matches!(kind.as_str(), "response.completed" | "response.incomplete" | "response.failed");
        let begins = kind == "response.output_item.added";
        match (self.hold, item) {
            (Hold::No | Hold::UntilNextItem, Some(item)) if begins && is_ours(item) => {
                self.hold = Hold::ToTheEnd;
            }
            (Hold::UntilNextItem, _) if begins || ended => self.hold = Hold::No,
            _ => {}
        }
        if begins && self.hold == Hold::No {
            self.passed += 1;
        }
        if kind == "response.output_item.done" {
            self.items.extend(item.map(str::to_owned));
            if self.hold == Hold::No && item.is_some_and(is_reasoning) {
                self.hold = Hold::UntilNextItem;
            }
        }
        // A first answer that failed is the client's business, a later one is ours.
        self.complete |= ended && !(self.later_round && kind == "response.failed");
        let response = json::get(&members, "response");
        if let Some(response) = response {
            self.read_response(response)?;
        }
        let repeated =
            matches!(kind.as_str(), "response.created" | "response.in_progress" | "response.queued");
        if self.later_round && repeated {
            return Some(Event::Drop);
        }
        let number = self.sequence + self.held;
        if self.hold == Hold::No {
            self.sequence = number + 1;
            self.held = 0;
        } else {
            self.held += 1;
        }
        if !self.later_round {
            return Some(Event::Pass);
        }
        let mut changes = vec![("sequence_number", number.to_string())];
        if let Some(index) = json::get(&members, "output_index").and_then(json::number) {
            changes.push(("output_index", (index + self.offset).to_string()));
        }
        if response.is_some() {
            changes.push(("response", self.whole(self.delivered.iter().chain(&self.items))?));
        }
        Some(Event::Rewritten(sse::write(name, &json::with(data, &json::borrowed(&changes))?)))
    }

    fn holding(&self) -> bool {
        self.hold != Hold::No
    }

    fn holds_ours(&self) -> bool {
        self.hold == Hold::ToTheEnd
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        let output = json::path(answer, &["output"]).and_then(json::array)?;
        self.items = output.into_iter().map(str::to_owned).collect();
        self.read_response(answer)
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn calls(&self) -> Vec<bool> {
        self.items.iter().filter(|item| is_call(item)).map(|item| is_ours(item)).collect()
    }

    fn wanted(&self) -> Vec<Wanted> {
        let ours = self.items.iter().filter(|item| is_ours(item));
        ours.filter_map(|item| {
            let id = json::path(item, &["call_id"]).and_then(json::string)?;
            let arguments = json::path(item, &["arguments"]).and_then(json::string).unwrap_or_default();
            Some(wanted(id, &arguments))
        })
        .collect()
    }

    fn continuation(&self, request: &str, results: &[String]) -> Option<String> {
        let members = json::object(request)?;
        let answers = self.wanted().into_iter().zip(results).map(|(wanted, result)| {
            json::write([
                ("type", json::quote("function_call_output")),
                ("call_id", json::quote(&wanted.id)),
                ("output", json::quote(result)),
            ])
        });
        let kept_by_provider = json::get(&members, "conversation").is_some_and(|it| it != "null");
        if !kept_by_provider {
            let kept = self.items.iter().filter(|item| !is_call(item) || is_ours(item)).cloned();
            return json::append(request, &members, "input", &kept.chain(answers).collect::<Vec<_>>());
        }
        // The turn is in such a conversation already, and so are the client's calls: they cannot be dropped.
        let all_ours = self.items.iter().all(|item| !is_call(item) || is_ours(item));
        all_ours.then(|| json::with(request, &[("input", &json::list(answers))])).flatten()
    }

    fn next_round(&mut self) {
        let kept: Vec<String> = self.kept().into_iter().filter(|item| !is_call(item)).cloned().collect();
        self.delivered.extend(kept);
        self.items.clear();
        self.offset += self.passed;
        self.passed = 0;
        self.held = 0;
        self.figures.next_round();
        self.hold = Hold::No;
        self.complete = false;
        self.later_round = true;
    }

    fn copy(&self) -> Box<dyn Dialect> {
        Box::new(self.clone())
    }

    fn answer(&self) -> Option<String> {
        self.whole(self.delivered.iter().chain(&self.items))
    }

    fn close(&self, stream: bool, note: Option<&str>) -> Option<String> {
        let note = note.map(Self::note);
        // The note stands before calls: what follows a call is its result.
        let (calls, others): (Vec<&String>, Vec<&String>) =
            self.kept().into_iter().partition(|item| is_call(item));
        let cut = json::path(&self.document, &["status"]) == Some("\"incomplete\"");
        let whole = |note: Option<&String>| {
            let output =
                self.delivered.iter().chain(others.iter().copied()).chain(note).chain(calls.iter().copied());
            let response = self.whole(output)?;
            if cut {
                Some(response)
            } else {
                json::with(&response, &[("status", "\"completed\""), ("error", "null")])
            }
        };
        if !stream {
            return whole(note.as_ref());
        }
        let mut out = String::new();
        let mut sequence = self.sequence;
        let mut event = |kind: &str, members: &[(&str, &str)]| {
            let head = [("type", json::quote(kind)), ("sequence_number", sequence.to_string())];
            sequence += 1;
            let head = head.iter().map(|(key, value)| (*key, value.as_str()));
            out.push_str(&sse::write(kind, &json::write(head.chain(members.iter().copied()))));
        };
        // Items have passed in their order up to the first of ours, so those behind it are missing.
        let ours = self.items.iter().position(|item| is_ours(item)).unwrap_or(self.items.len());
        let behind = self.items.get(ours..).unwrap_or_default();
        let missing = behind.iter().filter(|item| !is_ours(item) && !is_reasoning(item));
        for (item, index) in note.iter().chain(missing).zip(self.offset + self.passed..) {
            let members = [("output_index", &*index.to_string()), ("item", item.as_str())];
            event("response.output_item.added", &members);
            event("response.output_item.done", &members);
        }
        let response = whole(note.as_ref())?;
        event(if cut { "response.incomplete" } else { "response.completed" }, &[("response", &response)]);
        Some(out)
    }
}
