//! Answers of Gemini's generateContent.

use serde_json::{Value, json};

use super::{Answer, Part, words};

/// A part in Gemini's format. Its calls have no ids.
pub(in crate::provider) fn part(part: &Part) -> Value {
    match part {
        Part::Thinking { text, .. } => json!({"text": text, "thought": true}),
        // Never shown.
        Part::Redacted { .. } => json!({"text": "", "thought": true}),
        Part::Text(text) => json!({"text": text}),
        Part::Call { name, arguments, seal, .. } => {
            let mut part = json!({"functionCall": {"name": name, "args": arguments}});
            if let Some(seal) = seal {
                part["thoughtSignature"] = seal.as_str().into();
            }
            part
        }
    }
}

impl Answer<'_> {
    pub(super) fn gemini_parts(&self) -> Vec<Value> {
        let shown = self.parts.iter().filter(|part| !matches!(part, Part::Redacted { .. }));
        shown.map(part).collect()
    }

    /// Words are sent one by one, all calls in the last chunk.
    pub(super) fn gemini_events(&self) -> Vec<String> {
        let (calls, said): (Vec<&Part>, Vec<&Part>) = self.parts.iter().partition(|part| part.is_call());
        let mut chunks = Vec::new();
        for said in said {
            let (text, is_thought) = match said {
                Part::Text(text) => (text.as_str(), false),
                Part::Thinking { text, .. } => (text.as_str(), true),
                Part::Redacted { .. } | Part::Call { .. } => continue,
            };
            for word in words(text) {
                let mut part = json!({"text": word});
                if is_thought {
                    part["thought"] = true.into();
                }
                chunks.push(self.gemini(vec![part], false));
            }
        }
        let last =
            if calls.is_empty() { vec![json!({"text": ""})] } else { calls.into_iter().map(part).collect() };
        chunks.push(self.gemini(last, true));
        chunks.into_iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect()
    }

    pub(super) fn gemini(&self, parts: Vec<Value>, last: bool) -> Value {
        let finish = if last { json!("STOP") } else { Value::Null };
        let (input, read) = self
            .cached
            .map_or((self.input_tokens(), self.cache_read_tokens), |cached| (cached.input, cached.read));
        let answer = json!({
            "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}],
            "usageMetadata": {
                "promptTokenCount": input + read,
                "cachedContentTokenCount": read,
                "candidatesTokenCount": self.output_tokens(),
                "totalTokenCount": input + read + self.output_tokens(),
            },
            "modelVersion": self.model,
        });
        if self.is_nested {
            json!({"response": answer, "traceId": "t", "remainingCredits": []})
        } else {
            answer
        }
    }
}
