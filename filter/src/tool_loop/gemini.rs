//! Gemini: candidates with parts; a stream is a row of whole answers, each with some more parts.
//!
//! Requests ask for one candidate unless they say otherwise, and answers with several are not followed.
//! Calls have no ids in most versions of the API, so a call is known by the tool's name and its place.

use super::{Dialect, Event, Figures, TOOL, Wanted, json, sse, wanted};

#[derive(Clone, Debug)]
pub(super) struct Gemini {
    /// This round's parts, as they are.
    parts: Vec<String>,
    /// Parts of this round that the client has.
    passed: usize,
    delivered: Vec<String>,
    /// Parts of earlier rounds that the client of a stream does not have yet.
    owed: Vec<String>,
    holding: bool,
    later_round: bool,
    several: bool,
    /// Why the round ended, as JSON; empty before that.
    reason: String,
    figures: Figures<5>,
    /// The latest answer, or piece of one.
    document: String,
}

impl Default for Gemini {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            passed: 0,
            delivered: Vec::new(),
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
        }
    }
}

fn call(part: &str) -> Option<&str> {
    json::path(part, &["functionCall"])
}

fn is_ours(part: &str) -> bool {
    call(part).and_then(|call| json::path(call, &["name"])).and_then(json::string).as_deref() == Some(TOOL)
}

fn candidate(answer: &str) -> Option<&str> {
    json::path(answer, &["candidates"]).and_then(json::array)?.first().copied()
}

impl Gemini {
    fn read(&mut self, answer: &str) -> Option<()> {
        let members = json::object(answer)?;
        if let Some(usage) = json::get(&members, "usageMetadata") {
            self.figures.read(usage);
        }
        let candidates = json::get(&members, "candidates").and_then(json::array).unwrap_or_default();
        self.several |= candidates.len() > 1;
        if let [candidate] = candidates.as_slice() {
            let parts = json::path(candidate, &["content", "parts"]).and_then(json::array);
            for part in parts.unwrap_or_default() {
                self.holding |= is_ours(part);
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
        Some(())
    }

    /// Parts that are held and are no calls: they came in one piece with a call of ours.
    fn held_texts(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().skip(self.passed).filter(|part| call(part).is_none())
    }

    /// The latest answer with these parts, and with a reason and the usage where it is the last.
    fn with_parts(&self, parts: impl IntoIterator<Item = String>, last: bool) -> Option<String> {
        let candidate = candidate(&self.document).unwrap_or("{}");
        let content = json::path(candidate, &["content"]).unwrap_or(r#"{"role":"model"}"#);
        let content = json::with(content, &[("parts", &json::list(parts))])?;
        let candidate = json::with(candidate, &[("content", &content)])?;
        let candidate = json::without(&candidate, "finishReason")?;
        if !last {
            return json::with(&self.document, &[("candidates", &json::list([candidate]))]);
        }
        let reason = if self.reason.is_empty() { "\"STOP\"" } else { &self.reason };
        let candidates = json::list([json::with(&candidate, &[("finishReason", reason)])?]);
        let usage = self.figures.total(json::path(&self.document, &["usageMetadata"]).unwrap_or("{}"))?;
        json::with(&self.document, &[("candidates", &candidates), ("usageMetadata", &usage)])
    }

    /// The model's turn without the client's calls, and the results of ours.
    fn messages(&self, results: &[String]) -> Option<Vec<String>> {
        let kept = self.parts.iter().filter(|part| call(part).is_none() || is_ours(part));
        let turn = json::write([("role", json::quote("model")), ("parts", json::list(kept))]);
        let answers = self.wanted().into_iter().zip(results).map(|(wanted, result)| {
            let response = json::write([("output", json::quote(result))]);
            let id = (!wanted.id.is_empty()).then(|| ("id", json::quote(&wanted.id)));
            let members = id.into_iter().chain([("name", json::quote(TOOL)), ("response", response)]);
            json::write([("functionResponse", json::write(members))])
        });
        Some(vec![turn, json::write([("role", json::quote("user")), ("parts", json::list(answers))])])
    }
}

impl Dialect for Gemini {
    fn event(&mut self, name: &str, data: &str) -> Option<Event> {
        if data.is_empty() {
            return Some(Event::Pass);
        }
        self.read(data)?;
        if !self.later_round {
            return Some(Event::Pass);
        }
        let mut out = String::new();
        if !self.holding && !self.owed.is_empty() {
            let owed = std::mem::take(&mut self.owed);
            out.push_str(&sse::write(name, &self.with_parts(owed, false)?));
        }
        match json::path(data, &["usageMetadata"]) {
            Some(usage) => {
                let usage = self.figures.total(usage)?;
                out.push_str(&sse::write(name, &json::with(data, &[("usageMetadata", &usage)])?));
            }
            None => out.push_str(&sse::write(name, data)),
        }
        Some(Event::Rewritten(out))
    }

    fn holding(&self) -> bool {
        self.holding
    }

    fn document(&mut self, answer: &str) -> Option<()> {
        json::path(answer, &["candidates"]).and_then(json::array)?;
        self.read(answer)
    }

    fn is_complete(&self) -> bool {
        !self.reason.is_empty()
    }

    fn calls(&self) -> Vec<bool> {
        if self.several {
            return Vec::new();
        }
        self.parts.iter().filter(|part| call(part).is_some()).map(|part| is_ours(part)).collect()
    }

    fn wanted(&self) -> Vec<Wanted> {
        let ours = self.parts.iter().filter(|part| is_ours(part));
        ours.map(|part| {
            let id = json::path(part, &["functionCall", "id"]).and_then(json::string);
            wanted(id.unwrap_or_default(), json::path(part, &["functionCall", "args"]).unwrap_or("{}"))
        })
        .collect()
    }

    fn continuation(&self, request: &str, results: &[String]) -> Option<String> {
        json::append(request, &json::object(request)?, "contents", &self.messages(results)?)
    }

    fn next_round(&mut self) {
        let held: Vec<String> = self.held_texts().cloned().collect();
        self.owed.extend(held);
        self.delivered.extend(self.parts.drain(..).filter(|part| call(part).is_none()));
        self.figures.next_round();
        self.passed = 0;
        self.reason.clear();
        self.holding = false;
        self.later_round = true;
    }

    fn copy(&self) -> Box<dyn Dialect> {
        Box::new(self.clone())
    }

    fn answer(&self) -> Option<String> {
        self.with_parts(self.delivered.iter().chain(&self.parts).cloned(), true)
    }

    fn close(&self, stream: bool, note: Option<&str>) -> Option<String> {
        let note = note.map(|note| json::write([("text", json::quote(note))]));
        let begun = if stream { self.passed } else { 0 };
        let kept = self.parts.iter().skip(begun).filter(|part| !is_ours(part)).cloned();
        let (texts, calls): (Vec<String>, Vec<String>) = kept.partition(|part| call(part).is_none());
        let before = if stream { &self.owed } else { &self.delivered };
        let parts = before.iter().cloned().chain(texts).chain(note).chain(calls);
        let whole = self.with_parts(parts, true)?;
        Some(if stream { sse::write("", &whole) } else { whole })
    }
}
