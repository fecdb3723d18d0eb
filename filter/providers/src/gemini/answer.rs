//! Gemini: candidates with parts. A stream is a sequence of whole answers, each with some more parts.
//!
//! Requests ask for one candidate unless they set another number, and answers with several are not followed.
//! In most versions of the API calls have no ids, so a call is identified by the tool's name and its
//! position.
//!
//! Code Assist wraps the same: the request in `request`, each answer in `response`.

use crate::answer::{AnswerReader, Ending, Figures, OwnCall, WrittenCall};
use crate::json;
use crate::own_tools::{OwnTool, OwnTools};
use crate::rounds::TraceInput;
use crate::sse;

#[derive(Clone, Debug)]
pub(crate) struct Gemini {
    tools: OwnTools,
    /// This round's parts, unchanged.
    parts: Vec<String>,
    /// How many parts of this round the client has.
    passed: usize,
    /// Parts of earlier rounds that the client still has to receive.
    owed: Vec<String>,
    holding: bool,
    later_round: bool,
    several: bool,
    /// Why the round ended, as JSON; empty before that.
    reason: String,
    figures: Figures<5>,
    /// The latest answer, or piece of one.
    document: String,
    /// The object around it; empty if there is none.
    envelope: String,
    is_nested: bool,
}

impl Gemini {
    /// For an answer to a request with these tools of ours.
    pub(crate) fn new(tools: OwnTools) -> Self {
        Self {
            tools,
            parts: Vec::new(),
            passed: 0,
            owed: Vec::new(),
            holding: false,
            later_round: false,
            several: false,
            reason: String::new(),
            figures: Figures::new([
                "promptTokenCount",
                "candidatesTokenCount",
                "thoughtsTokenCount",
                "cachedContentTokenCount",
                "totalTokenCount",
            ]),
            document: String::new(),
            envelope: String::new(),
            is_nested: false,
        }
    }
}

const ENVELOPE: &str = "response";

fn call(part: &str) -> Option<&str> {
    json::path(part, &["functionCall"])
}

fn name(part: &str) -> Option<String> {
    json::path(call(part)?, &["name"]).and_then(json::string)
}

fn candidate(answer: &str) -> Option<&str> {
    json::path(answer, &["candidates"]).and_then(json::array)?.first().copied()
}

impl Gemini {
    /// For answers of Code Assist.
    pub(crate) fn nested(tools: OwnTools) -> Self {
        Self { is_nested: true, ..Self::new(tools) }
    }

    /// Our tool, if a part calls one.
    fn tool(&self, part: &str) -> Option<OwnTool> {
        self.tools.find(&name(part)?)
    }

    fn is_ours(&self, part: &str) -> bool {
        self.tool(part).is_some()
    }

    /// The answer in a document. Code Assist also sends documents without one.
    fn answer<'a>(&self, document: &'a str) -> Option<&'a str> {
        if !self.is_nested {
            return Some(document);
        }
        Some(json::get(&json::object(document)?, ENVELOPE).unwrap_or("{}"))
    }

    fn read(&mut self, document: &str) -> Option<()> {
        let answer = self.answer(document)?;
        let members = json::object(answer)?;
        if let Some(usage) = json::get(&members, "usageMetadata") {
            self.figures.read(usage);
        }
        let candidates = json::get(&members, "candidates").and_then(json::array).unwrap_or_default();
        self.several |= candidates.len() > 1;
        if let [candidate] = candidates.as_slice() {
            let parts = json::path(candidate, &["content", "parts"]).and_then(json::array);
            for part in parts.unwrap_or_default() {
                self.holding |= self.is_ours(part);
                self.parts.push(part.to_owned());
            }
            if let Some(reason) = json::path(candidate, &["finishReason"]).filter(|it| *it != "null") {
                reason.clone_into(&mut self.reason);
            }
        }
        if !self.holding {
            self.passed = self.parts.len();
        }
        self.document = answer.to_owned();
        if self.is_nested {
            document.clone_into(&mut self.envelope);
        }
        Some(())
    }

    /// The parts of this round that the client still has to receive. A summary of a later round's thinking is
    /// left out; a part with a signature never is.
    fn missing(&self) -> impl Iterator<Item = &String> {
        let hidden = |part: &str| {
            let thought = json::path(part, &["thought"]) == Some("true");
            self.later_round && thought && json::path(part, &["thoughtSignature"]).is_none()
        };
        self.parts.iter().skip(self.passed).filter(move |part| !self.is_ours(part) && !hidden(part))
    }

    /// The latest answer, with these parts, the reason and the usage.
    fn with_parts(&self, parts: impl IntoIterator<Item = String>) -> Option<String> {
        let candidate = candidate(&self.document).unwrap_or("{}");
        let content = json::path(candidate, &["content"]).unwrap_or(r#"{"role":"model"}"#);
        let content = json::with(content, &[("parts", &json::list(parts))])?;
        let candidate = json::with(candidate, &[("content", &content)])?;
        let reason = if self.reason.is_empty() { "\"STOP\"" } else { &self.reason };
        let candidates = json::list([json::with(&candidate, &[("finishReason", reason)])?]);
        let usage = self.figures.total(json::path(&self.document, &["usageMetadata"]).unwrap_or("{}"))?;
        let answer = json::with(&self.document, &[("candidates", &candidates), ("usageMetadata", &usage)])?;
        if self.is_nested { json::with(&self.envelope, &[(ENVELOPE, &answer)]) } else { Some(answer) }
    }

    /// The model's turn without the client's calls, and the results of ours.
    fn messages(&self, written: &[WrittenCall<'_>]) -> Vec<String> {
        let kept = self.parts.iter().filter(|part| call(part).is_none() || self.is_ours(part));
        let turn = json::write([("role", json::quote("model")), ("parts", json::list(kept))]);
        let answers = self.wanted().into_iter().zip(written).map(|(wanted, written)| {
            let key = if written.is_error { "error" } else { "output" };
            let response = json::write([(key, json::quote(written.text))]);
            let id = (!wanted.id.is_empty()).then(|| ("id", json::quote(&wanted.id)));
            let members = id.into_iter().chain([("name", json::quote(&wanted.name)), ("response", response)]);
            json::write([("functionResponse", json::write(members))])
        });
        vec![turn, json::write([("role", json::quote("user")), ("parts", json::list(answers))])]
    }
}

impl AnswerReader for Gemini {
    fn bytes(&self) -> usize {
        let parts = self.parts.iter().chain(&self.owed);
        self.document.len() + parts.map(|part| size_of::<String>() + part.len()).sum::<usize>()
    }

    fn event(&mut self, _name: &str, data: &str) -> Option<()> {
        if data.is_empty() { Some(()) } else { self.read(data) }
    }

    fn holding(&self) -> bool {
        self.holding
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        json::path(self.answer(answer)?, &["candidates"]).and_then(json::array)?;
        self.holding = true;
        self.read(answer)
    }

    fn is_complete(&self) -> bool {
        !self.reason.is_empty()
    }

    fn calls(&self) -> Vec<bool> {
        if self.several {
            return Vec::new();
        }
        self.parts.iter().filter(|part| call(part).is_some()).map(|part| self.is_ours(part)).collect()
    }

    fn wanted(&self) -> Vec<OwnCall> {
        let ours = self.parts.iter().filter_map(|part| {
            let id = json::path(part, &["functionCall", "id"]).and_then(json::string);
            Some(OwnCall {
                id: id.unwrap_or_default(),
                tool: self.tool(part)?,
                name: name(part)?,
                arguments: json::path(part, &["functionCall", "args"]).unwrap_or("{}").to_owned(),
                ..OwnCall::default()
            })
        });
        ours.collect()
    }

    /// Calls have no lasting ids.
    fn carrier(&self) -> Option<String> {
        None
    }

    fn before(&self, _place: u32, _reasoning: u32) -> TraceInput {
        TraceInput::default()
    }

    fn continuation(&self, request: &str, written: &[WrittenCall<'_>]) -> Option<String> {
        let conversation = if self.is_nested { json::path(request, &["request"])? } else { request };
        json::append(request, &json::object(conversation)?, "contents", &self.messages(written))
    }

    fn next_round(&mut self) {
        let owed: Vec<String> = self.missing().filter(|part| call(part).is_none()).cloned().collect();
        self.owed.extend(owed);
        self.parts.clear();
        self.figures.next_round();
        self.passed = 0;
        self.reason.clear();
        self.holding = true;
        self.later_round = true;
    }

    fn copy(&self) -> Box<dyn AnswerReader> {
        Box::new(self.clone())
    }

    fn finish(&self, stream: bool, ending: &Ending<'_>) -> Option<String> {
        let note = ending.note.map(|note| json::write([("text", json::quote(note))]));
        let missing = self.missing().cloned();
        let (texts, calls): (Vec<String>, Vec<String>) = match note {
            Some(_) => missing.partition(|part| call(part).is_none()),
            None => (missing.collect(), Vec::new()),
        };
        let parts = self.owed.iter().cloned().chain(texts).chain(note).chain(calls);
        let whole = self.with_parts(parts)?;
        Some(if stream { sse::write("", &whole) } else { whole })
    }
}
