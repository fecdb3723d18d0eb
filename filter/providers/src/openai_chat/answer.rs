//! OpenAI Chat Completions: one message per choice, streamed as chunks that add to it.
//!
//! Requests with several choices get no tool of ours, so there is only one. Over several rounds the client
//! receives one completion: the texts of all rounds in order, the last round's calls and finish reason, and
//! the usage of all rounds. Chunks of later rounds carry the first round's id, because clients join chunks by
//! it.

use crate::answer::{AnswerReader, Ending, Figures, OwnCall, WrittenCall, characters};
use crate::json;
use crate::openai_chat::rounds::{call as written_call, message, result};
use crate::own_tools::{OwnTool, OwnTools};
use crate::rounds::TraceInput;
use crate::sse;

/// A member of messages that OpenAI does not have. Providers with it (DeepSeek, Moonshot) require it in the
/// request that returns the results of a turn's calls.
const REASONING: &str = "reasoning_content";

/// Signed reasoning of OpenRouter. It is one member of the message and cannot be divided.
const DETAILS: &str = "reasoning_details";

/// The most calls in one round, far more than models make.
const MAX_CALLS: usize = 4_096;

/// The most members that a provider adds to one call. Real ones add one.
const MAX_ADDED: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct OpenAiChat {
    tools: OwnTools,
    /// The content of the rounds before this one.
    earlier: Vec<RoundContent>,
    this: RoundContent,
    /// How much of the first round's text and reasoning the client has. Bytes.
    passed: [usize; 2],
    /// How many of the first round's calls the client has.
    passed_calls: usize,
    /// The members that every chunk of the answer repeats.
    envelope: Vec<(String, String)>,
    holding: bool,
    /// Why the round ended, as JSON; empty before that.
    reason: String,
    /// Whether the provider sends a chunk with usage at the end.
    usage_seen: bool,
    signed: bool,
    figures: Figures<3>,
    document: String,
}

/// The content of one round.
#[derive(Clone, Debug, Default)]
struct RoundContent {
    text: String,
    reasoning: String,
    calls: Vec<Call>,
    /// In a document, the signed reasoning, unchanged.
    details: Option<String>,
}

impl RoundContent {
    fn bytes(&self) -> usize {
        let calls = self.calls.iter().map(|call| {
            let whole = call.whole.as_ref().map_or(0, String::len);
            let added: usize = call.added.iter().map(|(key, value)| key.len() + value.len()).sum();
            size_of::<Call>() + call.id.len() + call.name.len() + call.arguments.len() + whole + added
        });
        let details = self.details.as_ref().map_or(0, String::len);
        self.text.len() + self.reasoning.len() + details + calls.sum::<usize>()
    }
}

impl OpenAiChat {
    /// For an answer to a request with these tools of ours.
    pub(crate) fn new(tools: OwnTools) -> Self {
        Self {
            tools,
            earlier: Vec::new(),
            this: RoundContent::default(),
            passed: [0; 2],
            passed_calls: 0,
            envelope: Vec::new(),
            holding: false,
            reason: String::new(),
            usage_seen: false,
            signed: false,
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
    /// In a stream, the number that its deltas use for it.
    index: u64,
    /// Members that providers add, such as Gemini's signature, without which the call is refused.
    added: Vec<(String, String)>,
    /// Our tool, if its first delta named one: a call that has passed cannot become ours later.
    ours: Option<OwnTool>,
    /// In a document, the whole call, because providers add their own members to it.
    whole: Option<String>,
}

impl Call {
    fn json(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let function =
            json::write([("name", json::quote(&self.name)), ("arguments", json::quote(&self.arguments))]);
        let own = [("id", json::quote(&self.id)), ("type", json::quote("function")), ("function", function)];
        let added = self.added.iter().map(|(key, value)| (key.as_str(), value.clone()));
        json::write(own.into_iter().chain(added))
    }

    /// Whether it has more members than name and arguments: then it can only be repeated unchanged.
    fn has_more(&self) -> bool {
        let members = self.whole.as_deref().and_then(json::object).unwrap_or_default();
        !self.added.is_empty() || members.iter().any(|(key, value)| is_added(key, value))
    }

    /// The call with the id that carries the trace.
    fn renamed(&self, ending: &Ending<'_>) -> Option<String> {
        match ending.carrier {
            Some((id, new)) if self.id == id => json::with(&self.json(), &[("id", &json::quote(new))]),
            _ => Some(self.json()),
        }
    }
}

fn is_added(key: &str, value: &str) -> bool {
    !matches!(key, "index" | "id" | "type" | "function") && value != "null"
}

impl OpenAiChat {
    fn call_delta(&mut self, delta: &str) -> Option<()> {
        let members = json::object(delta)?;
        let function = json::get(&members, "function").and_then(json::object).unwrap_or_default();
        let text = |key| json::get(&function, key).and_then(json::string).unwrap_or_default();
        let (name, arguments) = (text("name"), text("arguments"));
        let id = json::get(&members, "id").and_then(json::string).unwrap_or_default();
        let index = json::get(&members, "index").and_then(json::number);
        let is_numbered = index.is_some();
        let index = index.or(self.this.calls.last().map(|call| call.index)).unwrap_or(0);
        // Numbers may begin anywhere. Some servers send no numbers, or the same for each call, with one whole
        // call per chunk.
        let goes_on = |call: &Call| {
            let other = if id.is_empty() { !is_numbered } else { id != call.id };
            let begins = !name.is_empty() && !call.name.is_empty() && other;
            call.index == index && !begins
        };
        let at = match self.this.calls.iter().rposition(goes_on) {
            Some(at) => at,
            None if self.this.calls.len() >= MAX_CALLS => return None,
            None => {
                let ours = self.tools.find(&name);
                self.holding |= ours.is_some();
                self.this.calls.push(Call { index, ours, ..Call::default() });
                self.this.calls.len() - 1
            }
        };
        let call = self.this.calls.get_mut(at)?;
        for (key, value) in members.iter().filter(|(key, value)| is_added(key, value)) {
            let is_full = call.added.len() >= MAX_ADDED;
            match call.added.iter_mut().find(|(known, _)| known == key) {
                Some((_, so_far)) => (*value).clone_into(so_far),
                None if is_full => return None,
                None => call.added.push((key.clone(), (*value).to_owned())),
            }
        }
        if !id.is_empty() {
            call.id = id;
        }
        call.name.push_str(&name);
        call.arguments.push_str(&arguments);
        Some(())
    }

    /// A chunk with `delta`, or only with the finish reason.
    fn chunk(&self, delta: &str, finish_reason: &str) -> String {
        let choice = json::write([("index", "0"), ("delta", delta), ("finish_reason", finish_reason)]);
        let choices = json::list([choice]);
        let envelope = self.envelope.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        sse::write("", &json::write(envelope.chain([("choices", choices.as_str())])))
    }

    fn text_chunk(&self, member: &str, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        self.chunk(&json::write([(member, json::quote(text))]), "null")
    }

    fn rounds(&self) -> impl Iterator<Item = &RoundContent> {
        self.earlier.iter().chain([&self.this])
    }

    fn text(&self) -> String {
        self.rounds().map(|round| round.text.as_str()).collect()
    }

    /// The reasoning for the client: that of later rounds only if the next request can put it back.
    fn reasoning(&self, ending: &Ending<'_>) -> String {
        let rounds = if ending.is_traced() { usize::MAX } else { 1 };
        self.rounds().take(rounds).map(|round| round.reasoning.as_str()).collect()
    }

    /// The client's calls of the last round, each with its position and whether it has passed.
    fn clients_calls(&self) -> impl Iterator<Item = (usize, bool, &Call)> {
        let calls = self.this.calls.iter().enumerate().filter(|(_, call)| call.ours.is_none());
        calls
            .enumerate()
            .map(|(place, (at, call))| (place, self.earlier.is_empty() && at < self.passed_calls, call))
    }

    /// The message of a document with other texts and calls.
    fn message(&self, choice: &str, text: &str, reasoning: &str, calls: &[String]) -> Option<String> {
        let message = json::path(choice, &["message"])?;
        let content =
            if text.is_empty() && !calls.is_empty() { "null".to_owned() } else { json::quote(text) };
        let mut message = json::with(message, &[("content", &content)])?;
        message = match reasoning {
            "" => json::without(&message, REASONING)?,
            reasoning => json::with(&message, &[(REASONING, &json::quote(reasoning))])?,
        };
        // What later rounds have signed is bound to rounds that the client does not have.
        let first = self.rounds().next().and_then(|round| round.details.as_deref());
        message = match first {
            Some(details) => json::with(&message, &[(DETAILS, details)])?,
            None => json::without(&message, DETAILS)?,
        };
        match calls {
            [] => json::without(&message, "tool_calls"),
            calls => json::with(&message, &[("tool_calls", &json::list(calls))]),
        }
    }
}

impl AnswerReader for OpenAiChat {
    fn bytes(&self) -> usize {
        self.document.len() + self.rounds().map(RoundContent::bytes).sum::<usize>()
    }

    fn event(&mut self, _name: &str, data: &str) -> Option<()> {
        if data.is_empty() || data == "[DONE]" {
            return Some(());
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
            self.signed |= json::get(&delta, DETAILS).is_some_and(|details| details != "null");
            if let Some(text) = json::get(&delta, REASONING).and_then(json::string) {
                self.this.reasoning.push_str(&text);
            }
            if let Some(text) = json::get(&delta, "content").and_then(json::string) {
                self.this.text.push_str(&text);
            }
        }
        if !self.holding {
            self.passed = [self.this.text.len(), self.this.reasoning.len()];
            self.passed_calls = self.this.calls.len();
        }
        Some(())
    }

    fn holding(&self) -> bool {
        self.holding
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        let members = json::object(answer)?;
        let choices = json::get(&members, "choices").and_then(json::array)?;
        let [choice] = choices.as_slice() else { return None };
        let message = json::path(choice, &["message"]).and_then(json::object)?;
        let details = json::get(&message, DETAILS).filter(|details| *details != "null");
        self.signed |= details.is_some();
        self.this.details = details.map(str::to_owned);
        self.this.text = json::get(&message, "content").and_then(json::string).unwrap_or_default();
        self.this.reasoning = json::get(&message, REASONING).and_then(json::string).unwrap_or_default();
        for call in json::get(&message, "tool_calls").and_then(json::array).unwrap_or_default() {
            let text = |keys: &[&str]| json::path(call, keys).and_then(json::string).unwrap_or_default();
            let name = text(&["function", "name"]);
            self.this.calls.push(Call {
                id: text(&["id"]),
                ours: self.tools.find(&name),
                name,
                arguments: text(&["function", "arguments"]),
                whole: Some(call.to_owned()),
                ..Call::default()
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
        self.this.calls.iter().map(|call| call.ours.is_some()).collect()
    }

    fn signs_ours(&self) -> bool {
        self.this.calls.first().is_some_and(|call| call.ours.is_some() && call.has_more())
    }

    fn wanted(&self) -> Vec<OwnCall> {
        let place = characters(self.rounds().map(|round| round.text.as_str()));
        let reasoning = characters(self.rounds().map(|round| round.reasoning.as_str()));
        let ours = self.this.calls.iter().filter_map(|call| {
            json::object(&call.arguments)?;
            Some(OwnCall {
                id: call.id.clone(),
                tool: call.ours?,
                name: call.name.clone(),
                arguments: call.arguments.clone(),
                place,
                reasoning,
            })
        });
        ours.collect()
    }

    fn carrier(&self) -> Option<String> {
        // Signed reasoning, and signatures on calls of ours, cannot be written again.
        let mut calls = self.rounds().flat_map(|round| &round.calls);
        if self.signed || calls.any(|call| call.ours.is_some() && call.has_more()) {
            return None;
        }
        let mut missing = self.clients_calls().filter(|(_, passed, _)| !passed).map(|(_, _, call)| &call.id);
        missing.find(|id| !id.is_empty()).cloned()
    }

    fn before(&self, place: u32, reasoning: u32) -> TraceInput {
        let start = |texts: String, count: u32| texts.chars().take(count as usize).collect::<String>();
        let mut before = TraceInput::default();
        before.text(&start(self.text(), place));
        before.text(&start(self.rounds().map(|round| round.reasoning.as_str()).collect(), reasoning));
        before
    }

    fn continuation(&self, request: &str, written: &[WrittenCall<'_>]) -> Option<String> {
        let (mut calls, mut answers) = (Vec::new(), Vec::new());
        for (call, WrittenCall { retrieval, text, .. }) in
            self.this.calls.iter().filter(|call| call.ours.is_some()).zip(written)
        {
            let retrieval = retrieval.as_ref().filter(|_| !call.has_more());
            calls.push(retrieval.map_or_else(|| call.json(), written_call));
            answers.push(match retrieval {
                Some(retrieval) => result(retrieval),
                None => json::write([
                    ("role", json::quote("tool")),
                    ("tool_call_id", json::quote(&call.id)),
                    ("content", json::quote(text)),
                ]),
            });
        }
        let turn = message(&self.this.text, &self.this.reasoning, &calls);
        let messages: Vec<String> = [turn].into_iter().chain(answers).collect();
        json::append(request, &json::object(request)?, "messages", &messages)
    }

    fn next_round(&mut self) {
        self.earlier.push(std::mem::take(&mut self.this));
        self.reason.clear();
        self.figures.next_round();
        self.holding = true;
    }

    fn copy(&self) -> Box<dyn AnswerReader> {
        Box::new(self.clone())
    }

    fn finish(&self, stream: bool, ending: &Ending<'_>) -> Option<String> {
        let note = ending.note.unwrap_or_default();
        let calls: Vec<String> =
            self.clients_calls().map(|(_, _, call)| call.renamed(ending)).collect::<Option<_>>()?;
        let reason = match self.reason.as_str() {
            _ if !calls.is_empty() => "\"tool_calls\"",
            "" | "\"tool_calls\"" => "\"stop\"",
            other => other,
        };
        let (text, reasoning) = (self.text() + note, self.reasoning(ending));
        if !stream {
            let choices = json::path(&self.document, &["choices"]).and_then(json::array)?;
            let choice = choices.first()?;
            let message = self.message(choice, &text, &reasoning, &calls)?;
            let choice = json::with(choice, &[("message", &message), ("finish_reason", reason)])?;
            let usage = self.figures.total(json::path(&self.document, &["usage"]).unwrap_or("{}"))?;
            let choices = json::list([choice]);
            return json::with(&self.document, &[("choices", &choices), ("usage", &usage)]);
        }
        let [passed_text, passed_reasoning] = self.passed;
        let mut out = self.text_chunk(REASONING, reasoning.get(passed_reasoning..).unwrap_or_default());
        out.push_str(&self.text_chunk("content", text.get(passed_text..).unwrap_or_default()));
        // After the numbers that the client has seen.
        let seen = self.clients_calls().filter(|(_, passed, _)| *passed).map(|(_, _, call)| call.index);
        let seen: Vec<u64> = seen.collect();
        let free = seen.iter().max().map_or(0, |last| last.saturating_add(1));
        for ((place, passed, _), call) in self.clients_calls().zip(&calls) {
            if !passed {
                let index = free.saturating_add(place.saturating_sub(seen.len()) as u64);
                let call = json::with(call, &[("index", &index.to_string())])?;
                out.push_str(&self.chunk(&json::write([("tool_calls", json::list([call]))]), "null"));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_a_provider_adds_to_a_call_are_bounded() {
        for (members, is_read) in [(1, true), (MAX_ADDED, true), (MAX_ADDED + 1, false)] {
            let added: Vec<String> = (0..members).map(|at| format!(r#""m{at}":1"#)).collect();
            let delta = format!(r#"{{"index":0,"id":"c",{}}}"#, added.join(","));
            let mut reader = OpenAiChat::new(OwnTools::default());
            assert_eq!(reader.call_delta(&delta).is_some(), is_read, "{members}");
        }
    }
}
