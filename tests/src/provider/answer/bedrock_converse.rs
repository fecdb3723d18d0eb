//! Answers of Amazon Bedrock's Converse.

use serde_json::{Value, json};

use super::{Answer, Part};

/// A part as a content block.
fn block(part: &Part) -> Value {
    match part {
        Part::Thinking { text, seal } => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": seal}}})
        }
        Part::Redacted { seal } => json!({"reasoningContent": {"redactedContent": seal}}),
        Part::Text(text) => json!({"text": text}),
        Part::Call { id, name, arguments, .. } => {
            json!({"toolUse": {"toolUseId": id, "name": name, "input": arguments}})
        }
    }
}

impl Answer<'_> {
    pub(super) fn converse(&self) -> Value {
        let output = self.output_tokens();
        let usage = match self.cached {
            None => json!({"inputTokens": self.input_tokens(), "outputTokens": output,
                "totalTokens": self.input_tokens() + self.cache_read_tokens + output,
                "cacheReadInputTokens": self.cache_read_tokens}),
            Some(cached) => {
                let written = [("5m", cached.written_5m), ("1h", cached.written_1h)];
                let details = written.iter().filter(|(_, tokens)| *tokens > 0);
                let details: Vec<Value> =
                    details.map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens})).collect();
                let written = cached.written_5m + cached.written_1h;
                json!({"inputTokens": cached.input, "outputTokens": output,
                    "totalTokens": cached.input + cached.read + written + output,
                    "cacheReadInputTokens": cached.read, "cacheWriteInputTokens": written,
                    "cacheDetails": details})
            }
        };
        let content: Vec<Value> = self.parts.iter().map(block).collect();
        let stop = if self.has_calls() { "tool_use" } else { "end_turn" };
        json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
            "usage": usage, "metrics": {"latencyMs": 1}})
    }
}
