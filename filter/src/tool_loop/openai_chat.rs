//! OpenAI Chat Completions: one message per choice, streamed as chunks that add to it.
//!
//! Requests with several choices get no tool of ours, so there is one. Over several rounds the client
//! sees one completion: the texts of all rounds behind one another, the last round's calls and finish
//! reason, and the usage of all rounds. Chunks of later rounds carry the first round's id, because
//! clients join chunks by it.

use super::{Dialect, Event, Figures, TOOL, Wanted, json, sse, wanted};

/// A member of messages that OpenAI does not have. Providers that do (DeepSeek, Moonshot) want it back with
/// the results of a turn's calls.
const REASONING: &str = "reasoning_content";

#[derive(Clone, Debug)]
pub(super) struct OpenAiChat {
    /// The text of this round.
    text: String,
    /// The reasoning of this round, where the provider shows it.
    reasoning: String,
    /// The part of the text that came in a chunk that is held.
    held_text: String,
    /// The texts of earlier rounds.
    delivered: String,
    /// Text of earlier rounds that the client does not have yet.
    owed: String,
    calls: Vec<Call>,
    /// How many calls of this round have passed, at least in part.
    passed_calls: usize,
    /// The first chunk's members that are the same in all chunks: `id`, `created`, `model`, ….
    envelope: Vec<(String, String)>,
    holding: bool,
    later_round: bool,
    /// Why the round ended, as JSON; empty before that.
    reason: String,
    /// The provider sends a chunk with usage at the end.
    usage_seen: bool,
    figures: Figures<3>,
    document: String,
}

impl Default for OpenAiChat {
    fn default() -> Self {
        Self {
            text: String::new(),
            reasoning: String::new(),
            held_text: String::new(),
            delivered: String::new(),
            owed: String::new(),
            calls: Vec::new(),
            passed_calls: 0,
            envelope: Vec::new(),
            holding: false,
            later_round: false,
            reason: String::new(),
            usage_seen: false,
            figures: Figures::new(["prompt_tokens", "completion_tokens", "total_tokens"]),
            document: String::new(),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    /// As its first delta said: what has passed cannot become ours later.
    ours: bool,
    /// In a document, the call as it is; kept because providers put members of their own into it.
    whole: Option<String>,
}

impl Call {
    fn json(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let function =
            json::write([("name", json::quote(&self.name)), ("arguments", json::quote(&self.arguments))]);
        json::write([
            ("id", json::quote(&self.id)),
            ("type", json::quote("function")),
            ("function", function),
        ])
    }
}

impl OpenAiChat {
    fn call_delta(&mut self, delta: &str) -> Option<()> {
        let members = json::object(delta)?;
        let function = json::get(&members, "function").and_then(json::object).unwrap_or_default();
        let text = |key| json::get(&function, key).and_then(json::string).unwrap_or_default();
        let (name, arguments) = (text("name"), text("arguments"));
        let index = json::get(&members, "index").and_then(json::number).unwrap_or(0);
        let index = usize::try_from(index).ok()?;
        if index == self.calls.len() {
            let ours = name == TOOL;
            self.holding |= ours;
            self.calls.push(Call { ours, ..Call::default() });
        }
        let call = self.calls.get_mut(index)?;
        if let Some(id) = json::get(&members, "id").and_then(json::string).filter(|id| !id.is_empty()) {
            call.id = id;
        }
        call.name.push_str(&name);
        call.arguments.push_str(&arguments);
        Some(())
    }

    /// A chunk that says `delta`, or only why the answer ends.
    fn chunk(&self, delta: &str, finish_reason: &str) -> String {
        let choice = json::write([("index", "0"), ("delta", delta), ("finish_reason", finish_reason)]);
        let choices = json::list([choice]);
        let envelope = self.envelope.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        sse::write("", &json::write(envelope.chain([("choices", choices.as_str())])))
    }

    fn text_chunk(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        self.chunk(&json::write([("content", json::quote(text))]), "null")
    }

    /// The client's calls, each with its place among them and whether it has passed.
    fn clients_calls(&self) -> impl Iterator<Item = (usize, bool, &Call)> {
        let calls = self.calls.iter().enumerate().filter(|(_, call)| !call.ours);
        calls.enumerate().map(|(place, (at, call))| (place, at < self.passed_calls, call))
    }

    /// The message of a document with other texts and calls.
    fn message(&self, choice: &str, text: &str, calls: &[String]) -> Option<String> {
        let message = json::path(choice, &["message"])?;
        let content =
            if text.is_empty() && !calls.is_empty() { "null".to_owned() } else { json::quote(text) };
        if calls.is_empty() {
            return json::with(&json::without(message, "tool_calls")?, &[("content", &content)]);
        }
        json::with(message, &[("content", &content), ("tool_calls", &json::list(calls))])
    }

    /// The model's turn without the client's calls, and the results of ours.
    fn messages(&self, results: &[String]) -> Option<Vec<String>> {
        let ours: Vec<&Call> = self.calls.iter().filter(|call| call.ours).collect();
        let text = if self.text.is_empty() { "null".to_owned() } else { json::quote(&self.text) };
        let reasoning = (!self.reasoning.is_empty()).then(|| (REASONING, json::quote(&self.reasoning)));
        let turn = [
            ("role", json::quote("assistant")),
            ("content", text),
            ("tool_calls", json::list(ours.iter().map(|call| call.json()))),
        ];
        let turn = json::write(turn.into_iter().chain(reasoning));
        let answers = ours.iter().zip(results).map(|(call, result)| {
            json::write([
                ("role", json::quote("tool")),
                ("tool_call_id", json::quote(&call.id)),
                ("content", json::quote(result)),
            ])
        });
        Some([turn].into_iter().chain(answers).collect())
    }
}

impl Dialect for OpenAiChat {
    fn event(&mut self, _name: &str, data: &str) -> Option<Event> {
        if data.is_empty() || data == "[DONE]" {
            return Some(Event::Pass);
        }
        let members = json::object(data)?;
        if self.envelope.is_empty() {
            let same = members.iter().filter(|(key, _)| key != "choices" && key != "usage");
            self.envelope = same.map(|(key, value)| (key.clone(), (*value).to_owned())).collect();
        }
        if let Some(usage) = json::get(&members, "usage").filter(|usage| *usage != "null") {
            self.usage_seen = true;
            self.figures.read(usage);
        }
        for choice in json::get(&members, "choices").and_then(json::array).unwrap_or_default() {
            if let Some(reason) = json::path(choice, &["finish_reason"]).filter(|reason| *reason != "null") {
                reason.clone_into(&mut self.reason);
            }
            let Some(delta) = json::path(choice, &["delta"]).and_then(json::object) else { continue };
            for call in json::get(&delta, "tool_calls").and_then(json::array).unwrap_or_default() {
                self.call_delta(call)?;
            }
            if let Some(text) = json::get(&delta, REASONING).and_then(json::string) {
                self.reasoning.push_str(&text);
            }
            if let Some(text) = json::get(&delta, "content").and_then(json::string) {
                self.text.push_str(&text);
                if self.holding {
                    self.held_text.push_str(&text);
                }
            }
        }
        if !self.holding {
            self.passed_calls = self.calls.len();
        }
        if !self.later_round {
            return Some(Event::Pass);
        }
        let mut changes: Vec<(&str, String)> = Vec::new();
        if let Some((_, id)) = self.envelope.iter().find(|(key, _)| key == "id") {
            changes.push(("id", id.clone()));
        }
        if let Some(usage) = json::get(&members, "usage").filter(|usage| *usage != "null") {
            changes.push(("usage", self.figures.total(usage)?));
        }
        let mut out = String::new();
        if !self.holding {
            let owed = std::mem::take(&mut self.owed);
            out.push_str(&self.text_chunk(&owed));
        }
        out.push_str(&sse::write("", &json::with(data, &json::borrowed(&changes))?));
        Some(Event::Rewritten(out))
    }

    fn holding(&self) -> bool {
        self.holding
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        let members = json::object(answer)?;
        let choices = json::get(&members, "choices").and_then(json::array)?;
        let [choice] = choices.as_slice() else { return None };
        let message = json::path(choice, &["message"]).and_then(json::object)?;
        self.text = json::get(&message, "content").and_then(json::string).unwrap_or_default();
        self.reasoning = json::get(&message, REASONING).and_then(json::string).unwrap_or_default();
        for call in json::get(&message, "tool_calls").and_then(json::array).unwrap_or_default() {
            let text = |keys: &[&str]| json::path(call, keys).and_then(json::string).unwrap_or_default();
            let name = text(&["function", "name"]);
            self.calls.push(Call {
                id: text(&["id"]),
                ours: name == TOOL,
                name,
                arguments: text(&["function", "arguments"]),
                whole: Some(call.to_owned()),
            });
        }
        json::path(choice, &["finish_reason"]).unwrap_or_default().clone_into(&mut self.reason);
        if let Some(usage) = json::get(&members, "usage") {
            self.figures.read(usage);
        }
        self.document = answer.to_owned();
        Some(())
    }

    fn is_complete(&self) -> bool {
        !self.reason.is_empty()
    }

    fn calls(&self) -> Vec<bool> {
        self.calls.iter().map(|call| call.ours).collect()
    }

    fn wanted(&self) -> Vec<Wanted> {
        let ours = self.calls.iter().filter(|call| call.ours);
        ours.map(|call| wanted(call.id.clone(), &call.arguments)).collect()
    }

    fn continuation(&self, request: &str, results: &[String]) -> Option<String> {
        json::append(request, &json::object(request)?, "messages", &self.messages(results)?)
    }

    fn next_round(&mut self) {
        self.delivered.push_str(&self.text);
        self.owed.push_str(&self.held_text);
        self.text.clear();
        self.reasoning.clear();
        self.held_text.clear();
        self.calls.clear();
        self.passed_calls = 0;
        self.reason.clear();
        self.figures.next_round();
        self.holding = false;
        self.later_round = true;
    }

    fn copy(&self) -> Box<dyn Dialect> {
        Box::new(self.clone())
    }

    fn answer(&self) -> Option<String> {
        let choices = json::path(&self.document, &["choices"]).and_then(json::array)?;
        let [choice] = choices.as_slice() else { return None };
        let text = [self.delivered.as_str(), &self.text].concat();
        let calls: Vec<String> = self.calls.iter().map(Call::json).collect();
        let message = self.message(choice, &text, &calls)?;
        let choices = json::list([json::with(choice, &[("message", &message)])?]);
        let usage = self.figures.total(json::path(&self.document, &["usage"]).unwrap_or("{}"))?;
        json::with(&self.document, &[("choices", &choices), ("usage", &usage)])
    }

    fn close(&self, stream: bool, note: Option<&str>) -> Option<String> {
        let note = note.unwrap_or_default();
        let calls: Vec<String> = self.clients_calls().map(|(_, _, call)| call.json()).collect();
        let reason = match self.reason.as_str() {
            _ if !calls.is_empty() => "\"tool_calls\"",
            "" | "\"tool_calls\"" => "\"stop\"",
            other => other,
        };
        if !stream {
            let choices = json::path(&self.document, &["choices"]).and_then(json::array)?;
            let choice = choices.first()?;
            let text = [self.delivered.as_str(), &self.text, note].concat();
            let message = self.message(choice, &text, &calls)?;
            let choice = json::with(choice, &[("message", &message), ("finish_reason", reason)])?;
            let usage = self.figures.total(json::path(&self.document, &["usage"]).unwrap_or("{}"))?;
            let choices = json::list([choice]);
            return json::with(&self.document, &[("choices", &choices), ("usage", &usage)]);
        }
        let mut out = self.text_chunk(&[self.owed.as_str(), &self.held_text, note].concat());
        for (place, _, call) in self.clients_calls().filter(|(_, passed, _)| !passed) {
            let call = json::with(&call.json(), &[("index", &place.to_string())])?;
            out.push_str(&self.chunk(&json::write([("tool_calls", json::list([call]))]), "null"));
        }
        out.push_str(&self.chunk("{}", reason));
        if self.usage_seen {
            let envelope = self.envelope.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let usage = self.figures.total("{}")?;
            out.push_str(&sse::write(
                "",
                &json::write(envelope.chain([("choices", "[]"), ("usage", usage.as_str())])),
            ));
        }
        out.push_str("data: [DONE]\n\n");
        Some(out)
    }
}
