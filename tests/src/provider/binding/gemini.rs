//! Thought signatures of Gemini: calls of the current turn must come back with theirs.
//!
//! Its wire format cannot tell a proxy of rounds that the client has not seen, so those rounds are not part of
//! what a signature is bound to: the prefix here is the conversation without our own tool.

use serde_json::Value;

use super::{Dropped, Reason, Walk, list, tools, without};
use crate::provider::answer::Part;
use crate::provider::answer::gemini::part;
use crate::provider::transcript::is_ours;

/// A request as the provider reads it.
#[derive(Debug)]
pub(in crate::provider) struct Read {
    /// The position after its last content.
    walk: Pieces,
    /// The model thinks, which is the default: its calls have signatures.
    signs: bool,
    pub(in crate::provider) dropped: Vec<Dropped>,
    /// Why the request is refused.
    pub(in crate::provider) refusal: Option<String>,
}

/// The current position: consecutive texts are one text, because streams cut them anywhere.
#[derive(Debug)]
struct Pieces {
    walk: Walk,
    text: String,
    last_role: String,
}

impl Pieces {
    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.walk.pass(&text);
        }
    }

    fn pass(&mut self, role: &str, part: &Value) {
        let calls_ours = |kind: &str| part[kind]["name"].as_str().is_some_and(is_ours);
        if part["thought"] == true || calls_ours("functionCall") || calls_ours("functionResponse") {
            return;
        }
        if self.last_role != role {
            self.flush();
            self.walk.pass(role);
            role.clone_into(&mut self.last_role);
        }
        match part["text"].as_str() {
            Some(text) => self.text.push_str(text),
            None => {
                self.flush();
                self.walk.pass(&without(part, &["thoughtSignature"]).to_string());
            }
        }
    }

    /// The data that a signature at this position is bound to.
    fn here(&self) -> Walk {
        let text = (!self.text.is_empty()).then_some(&self.text);
        let mut here = self.walk.clone();
        text.into_iter().for_each(|text| here.pass(text));
        here
    }
}

/// Reads a request and checks its signatures.
pub(in crate::provider) fn read(body: &Value, model: &str) -> Read {
    let instructions = body.get("systemInstruction").unwrap_or(&body["system_instruction"]);
    let walk = Walk::new(model, instructions, tools(body));
    let mut walk = Pieces { walk, text: String::new(), last_role: String::new() };
    let signs = body["generationConfig"]["thinkingConfig"]["thinkingBudget"] != 0;
    let (mut dropped, mut refusal) = (Vec::new(), None);
    let contents = list(&body["contents"]);
    let asks = |content: &Value| {
        content["role"] != "model" && list(&content["parts"]).iter().any(|part| part["text"].is_string())
    };
    let turn = contents.iter().rposition(asks).unwrap_or_default();
    for (at, content) in contents.iter().enumerate() {
        let role = if content["role"] == "model" { "model" } else { "user" };
        let mut is_first_call = true;
        for (place, part) in list(&content["parts"]).iter().enumerate() {
            let path = format!("contents.{at}.parts.{place}");
            let is_call = part["functionCall"].is_object();
            // The signatures of hidden rounds are not sent back, so no signature depends on the previous one.
            let found = part["thoughtSignature"].as_str().map(|seal| walk.here().check(seal, ""));
            let problem = match found {
                Some(Ok(())) => None,
                Some(Err(reason)) => Some((reason, "Thought signature is not valid")),
                None if signs && is_call && is_first_call && at > turn => Some((
                    Reason::PrefixMismatch,
                    "Function call is missing a thought_signature in functionCall parts",
                )),
                None => None,
            };
            if let Some((reason, message)) = problem {
                if reason == Reason::PrefixMismatch && at > turn {
                    refusal.get_or_insert_with(|| format!("{message}. ({path})"));
                }
                dropped.push(Dropped { reason, path });
            }
            is_first_call &= !is_call;
            walk.pass(role, part);
        }
    }
    Read { walk, signs, dropped, refusal }
}

impl Read {
    /// Adds a signature to the first call of an answer to this request.
    pub(in crate::provider) fn seal(mut self, mut parts: Vec<Part>) -> Vec<Part> {
        for said in parts.iter_mut().filter(|_| self.signs) {
            if let Part::Call { seal, .. } = said {
                *seal = Some(self.walk.here().seal(""));
                break;
            }
            self.walk.pass("model", &part(said));
        }
        parts
    }
}
