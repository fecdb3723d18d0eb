//! Reads request bodies without the engine, as an independent check of structure and size.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use headroom_compress::{Api, Encoding};
use serde_json::Value;

/// A body as a JSON value in which every tool output is the empty string. Two bodies that are equal in
/// this form differ only in the text of tool outputs.
pub fn without_outputs(api: Api, body: &[u8]) -> Result<Value> {
    let mut value: Value = serde_json::from_slice(body).context("the body is no JSON")?;
    for output in outputs(api, &mut value) {
        *output = Value::from("");
    }
    Ok(value)
}

/// The messages of a body as JSON values, without the cache markers that agents move from turn to turn.
pub fn messages(body: &[u8]) -> Result<Vec<Value>> {
    let value: Value = serde_json::from_slice(body).context("the body is no JSON")?;
    let mut messages = value["messages"].as_array().context("the body has no messages")?.clone();
    messages.iter_mut().for_each(unmark);
    Ok(messages)
}

fn unmark(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.remove("cache_control");
            object.values_mut().for_each(unmark);
        }
        Value::Array(items) => items.iter_mut().for_each(unmark),
        _ => {}
    }
}

/// The texts of the tool outputs in a body, in order.
pub fn output_texts(api: Api, body: &[u8]) -> Result<Vec<String>> {
    let mut value: Value = serde_json::from_slice(body).context("the body is no JSON")?;
    let texts = outputs(api, &mut value).into_iter();
    Ok(texts.filter_map(|output| output.as_str().map(str::to_owned)).collect())
}

/// The strings in a body that are the text of tool outputs.
fn outputs(api: Api, body: &mut Value) -> Vec<&mut Value> {
    let key = match api {
        Api::OpenAiResponses => "input",
        Api::GeminiGenerateContent => "contents",
        _ => "messages",
    };
    let messages = body.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten();
    match api {
        Api::AnthropicMessages => messages
            .filter_map(|message| message.get_mut("content")?.as_array_mut())
            .flatten()
            .filter(|block| block["type"] == "tool_result")
            .filter_map(|block| block.get_mut("content"))
            .flat_map(strings)
            .collect(),
        Api::OpenAiResponses => messages
            .filter(|item| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output")))
            .filter_map(|item| item.get_mut("output"))
            .flat_map(strings)
            .collect(),
        Api::GeminiGenerateContent => messages
            .filter_map(|content| content.get_mut("parts")?.as_array_mut())
            .flatten()
            .filter_map(|part| part.get_mut("functionResponse")?.get_mut("response")?.as_object_mut())
            .flat_map(serde_json::Map::values_mut)
            .flat_map(strings)
            .collect(),
        _ => messages
            .filter(|message| message["role"] == "tool")
            .filter_map(|message| message.get_mut("content"))
            .flat_map(strings)
            .collect(),
    }
}

/// A text, or the texts of a list of text blocks.
fn strings(content: &mut Value) -> Vec<&mut Value> {
    match content {
        Value::String(_) => vec![content],
        Value::Array(blocks) => blocks
            .iter_mut()
            .filter(|block| block["type"] == "text" || block["type"] == "input_text")
            .filter_map(|b| b.get_mut("text"))
            .collect(),
        _ => Vec::new(),
    }
}

/// Counts the tokens of whole requests. Every turn repeats the history, so counts of texts are cached.
#[derive(Debug, Default)]
pub struct TokenCounter {
    known: HashMap<String, usize>,
}

impl TokenCounter {
    /// The o200k tokens of the text that a model reads in a body: system prompt, tool definitions as
    /// compact JSON, texts, arguments of calls, outputs.
    pub fn request(&mut self, body: &[u8]) -> Result<usize> {
        let value: Value = serde_json::from_slice(body).context("the body is no JSON")?;
        let tools = value.get("tools").map_or(0, |tools| self.text(&tools.to_string()));
        Ok(tools + self.read(&value["system"]) + self.read(&value["messages"]))
    }

    fn read(&mut self, value: &Value) -> usize {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().map(|item| self.read(item)).sum(),
            Value::Object(object) => object
                .iter()
                .map(|(key, value)| match key.as_str() {
                    "content" | "text" | "tool_calls" | "function" | "arguments" | "name" => self.read(value),
                    "input" => self.text(&value.to_string()),
                    _ => 0,
                })
                .sum(),
            _ => 0,
        }
    }

    fn text(&mut self, text: &str) -> usize {
        if let Some(count) = self.known.get(text) {
            return *count;
        }
        let count = Encoding::O200kBase.count(text);
        self.known.insert(text.to_owned(), count);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANTHROPIC: &str = r#"{"system":"s","messages":[{"role":"user","content":[
        {"type":"text","text":"keep"},
        {"type":"tool_result","tool_use_id":"t","content":"A","cache_control":{"type":"ephemeral"}},
        {"type":"tool_result","tool_use_id":"u","content":[{"type":"text","text":"B"},{"type":"image","text":"C"}]}]}]}"#;

    fn blank(body: &str) -> Value {
        without_outputs(Api::AnthropicMessages, body.as_bytes()).unwrap()
    }

    #[test]
    fn only_the_text_of_outputs_is_blanked() {
        assert_eq!(blank(ANTHROPIC), blank(&ANTHROPIC.replace("\"A\"", "\"x\"").replace("\"B\"", "\"y\"")));
        for (from, to) in
            [("keep", "kept"), ("\"C\"", "\"D\""), ("ephemeral", "e"), ("\"t\"", "\"v\""), ("\"s\"", "\"\"")]
        {
            assert_ne!(blank(ANTHROPIC), blank(&ANTHROPIC.replace(from, to)), "{from}");
        }
    }

    #[test]
    fn a_chat_output_is_blanked_and_the_assistants_text_is_not() {
        let body = r#"{"messages":[{"role":"assistant","content":"a"},{"role":"tool","content":"b"}]}"#;
        let value = without_outputs(Api::OpenAiChat, body.as_bytes()).unwrap();
        assert_eq!(value.to_string().matches("\"\"").count(), 1);
        assert!(value.to_string().contains("\"a\""));
    }

    #[test]
    fn outputs_are_read_in_the_words_of_responses_and_of_gemini() {
        let responses = r#"{"input":[{"type":"message","content":"keep"},
            {"type":"function_call_output","output":"a"},
            {"type":"custom_tool_call_output","output":[{"type":"input_text","text":"b"}]}]}"#;
        let gemini = r#"{"contents":[{"parts":[{"text":"keep"},
            {"functionResponse":{"name":"keep","response":{"output":"a","error":"b"}}}]}]}"#;
        for (api, body) in [(Api::OpenAiResponses, responses), (Api::GeminiGenerateContent, gemini)] {
            let mut texts = output_texts(api, body.as_bytes()).unwrap();
            texts.sort();
            assert_eq!(texts, ["a", "b"], "{body}");
        }
    }

    #[test]
    fn tokens_are_those_of_everything_that_is_read() {
        let mut counter = TokenCounter::default();
        let count = |text: &str| Encoding::O200kBase.count(text);
        assert_eq!(
            counter.request(ANTHROPIC.as_bytes()).unwrap(),
            count("s") + count("keep") + 3 * count("A")
        );
    }
}
