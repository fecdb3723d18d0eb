//! The recorded conversation: what the agent sent in each turn, and what the model answered.

use anyhow::Context as _;
use serde_json::{Value, json};

/// A run of Claude Code on the repository entireio/cli, in Anthropic's format: its last request, with every turn in it.
const RECORDED: &str = include_str!("conversation.json");

/// A conversation in Anthropic's format.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    request: Value,
    messages: Vec<Value>,
}

impl Conversation {
    pub(super) fn embedded() -> anyhow::Result<Self> {
        let mut request: Value = serde_json::from_str(RECORDED).context("the recorded conversation")?;
        let messages = match request.get_mut("messages").map(Value::take) {
            Some(Value::Array(messages)) => messages,
            _ => anyhow::bail!("the recorded conversation has no messages"),
        };
        Ok(Self { request, messages })
    }

    pub(super) fn model(&self) -> &str {
        self.request["model"].as_str().unwrap_or_default()
    }

    /// The number of requests. Each ends with a message from the user's side.
    pub(super) fn turns(&self) -> usize {
        self.messages.len() / 2
    }

    /// What the agent sends in a turn, counted from 0, with the marks that make the provider cache it.
    pub(super) fn request(&self, turn: usize) -> anyhow::Result<String> {
        let mut messages = self.messages.get(..=2 * turn).context("the conversation is over")?.to_vec();
        if let Some(last) = messages.last_mut().map(|message| &mut message["content"]) {
            if let Some(text) = last.as_str() {
                *last = json!([{"type": "text", "text": text}]);
            }
            if let Some(block) = last.as_array_mut().and_then(|blocks| blocks.last_mut()) {
                block["cache_control"] = json!({"type": "ephemeral"});
            }
        }
        let mut request = self.request.clone();
        request["messages"] = Value::Array(messages);
        Ok(request.to_string())
    }

    /// What the model answers in a turn.
    pub(super) fn answer(&self, turn: usize) -> &Value {
        self.messages.get(2 * turn + 1).map_or(&Value::Null, |message| &message["content"])
    }

    /// What is new in a turn: the task, or the results of the calls in the previous turn.
    pub(super) fn news(&self, turn: usize) -> String {
        let Some(before) = turn.checked_sub(1) else { return "the task".to_owned() };
        let calls: Vec<String> = tool_calls(self.answer(before)).map(call).collect();
        match calls.as_slice() {
            [] => "what the user says next".to_owned(),
            [call] => call.clone(),
            [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
        }
    }
}

fn tool_calls(content: &Value) -> impl Iterator<Item = &Value> {
    content.as_array().into_iter().flatten().filter(|block| block["type"] == "tool_use")
}

/// A call in a few words: the tool and its most significant argument.
fn call(call: &Value) -> String {
    let name = call["name"].as_str().unwrap_or_default();
    let input = &call["input"];
    let about = input["command"].as_str().or_else(|| {
        let path = input["file_path"].as_str()?;
        path.rsplit('/').next()
    });
    format!("{name} {}", about.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_the_one_before_with_the_answer_and_its_results() {
        let conversation = Conversation::embedded().unwrap();
        assert!(
            conversation.turns() > 10 && headroom_prices::find("anthropic", conversation.model()).is_some()
        );
        let messages = |turn| {
            let body: Value = serde_json::from_str(&conversation.request(turn).unwrap()).unwrap();
            body["messages"].as_array().unwrap().clone()
        };
        for turn in 1..conversation.turns() {
            let (before, now) = (messages(turn - 1), messages(turn));
            assert_eq!(now.len(), before.len() + 2);
            assert_eq!(&now[before.len()]["content"], conversation.answer(turn - 1));
            assert_eq!(now.last().unwrap()["role"], "user");
        }
        assert!(conversation.news(1).starts_with("Bash mise run test:ci"), "{}", conversation.news(1));
        assert!(conversation.request(conversation.turns() + 1).is_err());
    }
}
