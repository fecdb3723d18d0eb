//! Recorded conversations, and their requests.
//!
//! A file contains one conversation per line. A conversation with n assistant turns had n requests: request
//! k is everything before assistant turn k, so each request begins with the one before it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use headroom_compress::Api;
use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One recorded agent run.
#[derive(Debug, Deserialize)]
pub struct Conversation {
    /// Unique over all files.
    pub id: String,
    /// The API that the agent used: `anthropic` or `openai`.
    native: String,
    system: Option<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    #[serde(default)]
    description: String,
    parameters: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
    Tool,
}

// A struct instead of a tagged enum: serde would buffer the message to see the tag, and lose the raw JSON of
// arguments.
#[derive(Debug, Deserialize)]
struct Message {
    role: Role,
    /// What the user said or the tool answered.
    #[serde(default)]
    content: Content,
    /// What the assistant said.
    #[serde(default)]
    text: String,
    #[serde(default)]
    calls: Vec<Call>,
    /// The call that a tool answers.
    #[serde(default)]
    id: String,
    #[serde(default)]
    is_error: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    One(String),
    Many(Vec<String>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
struct Call {
    id: String,
    name: String,
    args: Box<RawValue>,
}

/// A file of conversations.
#[derive(Debug)]
pub struct Set {
    /// The file's name without its ending.
    pub name: String,
    /// In the file's order.
    pub conversations: Vec<Conversation>,
}

/// The conversations in the repository.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/conversations")
}

/// Reads the `*.jsonl` files of a folder, in the order of their names.
pub fn read_sets(folder: &Path) -> Result<Vec<Set>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("no conversations in {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "jsonl"));
    files.sort();
    files.iter().map(|file| read_set(file)).collect()
}

fn read_set(file: &Path) -> Result<Set> {
    let text = fs::read_to_string(file)?;
    let conversations = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is not a file of conversations", file.display()))?;
    let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Set { name, conversations })
}

/// The path that a client posts a body of this API to.
pub fn path(api: Api) -> &'static str {
    match api {
        Api::AnthropicMessages => "/v1/messages",
        Api::OpenAiChat => "/v1/chat/completions",
        Api::OpenAiResponses => "/v1/responses",
        Api::GeminiGenerateContent => "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
        Api::GeminiCodeAssist => "/v1internal:streamGenerateContent?alt=sse",
        Api::AnthropicBedrock => "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
        Api::BedrockConverse => "/model/amazon.nova-pro-v1%3A0/converse",
        Api::CohereChat => "/v2/chat",
    }
}

impl Conversation {
    /// The API that it was recorded from.
    pub fn api(&self) -> Api {
        if self.native == "anthropic" { Api::AnthropicMessages } else { Api::OpenAiChat }
    }

    /// Its requests in their order, as bodies of the given API. Only Anthropic Messages and
    /// OpenAI Chat are supported.
    pub fn requests(&self, api: Api) -> Vec<Vec<u8>> {
        let turns = self.messages.iter().enumerate();
        turns
            .filter(|(index, message)| *index > 0 && matches!(message.role, Role::Assistant))
            .map(|(index, _)| self.body(api, &self.messages[..index]))
            .collect()
    }

    /// The outputs of its tools, in order; texts of one output are joined.
    pub fn outputs(&self) -> Vec<String> {
        let outputs = self.messages.iter().filter(|message| matches!(message.role, Role::Tool));
        outputs.map(|message| message.content.texts().concat()).collect()
    }

    fn body(&self, api: Api, messages: &[Message]) -> Vec<u8> {
        let body = match api {
            Api::AnthropicMessages => self.anthropic(messages),
            _ => self.chat(messages),
        };
        serde_json::to_vec(&body).expect("a body is plain data")
    }

    fn anthropic(&self, messages: &[Message]) -> Object {
        let mut turns: Vec<(&str, Vec<Object>)> = Vec::new();
        for message in messages {
            let (role, blocks) = anthropic_blocks(message);
            match turns.last_mut() {
                _ if blocks.is_empty() => {}
                Some((last, existing)) if *last == role && role == "user" => existing.extend(blocks),
                _ => turns.push((role, blocks)),
            }
        }
        // Agents put a moving breakpoint on the newest block.
        if let Some(block) = turns.last_mut().and_then(|(_, blocks)| blocks.last_mut()) {
            block.set("cache_control", json!({"type": "ephemeral"}));
        }
        let mut body = Object::default().with("model", "claude-sonnet-4-5").with("max_tokens", 8192);
        if let Some(system) = &self.system {
            let block = text_block(system).with("cache_control", json!({"type": "ephemeral"}));
            body.set("system", vec![block]);
        }
        if !self.tools.is_empty() {
            let tools: Vec<Object> = self.tools.iter().map(|tool| tool.named("input_schema")).collect();
            body.set("tools", tools);
        }
        let turns: Vec<Object> = turns
            .into_iter()
            .map(|(role, blocks)| Object::default().with("role", role).with("content", blocks))
            .collect();
        body.with("messages", turns).with("stream", true)
    }

    fn chat(&self, messages: &[Message]) -> Object {
        let system = self
            .system
            .iter()
            .map(|text| Object::default().with("role", "system").with("content", text.as_str()));
        let messages: Vec<Object> = system.chain(messages.iter().map(chat_message)).collect();
        let mut body = Object::default().with("model", "gpt-4.1").with("messages", messages);
        if !self.tools.is_empty() {
            let function = |tool: &Tool| {
                Object::default().with("type", "function").with("function", tool.named("parameters"))
            };
            body.set("tools", self.tools.iter().map(function).collect::<Vec<_>>());
        }
        body.with("stream", true)
    }
}

impl Tool {
    fn named(&self, schema: &'static str) -> Object {
        Object::default()
            .with("name", self.name.as_str())
            .with("description", self.description.as_str())
            .with(schema, &*self.parameters)
    }
}

impl Content {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    fn blocks(&self) -> Vec<Object> {
        self.texts().iter().map(|text| text_block(text)).collect()
    }

    /// As a plain string if it was recorded as one.
    fn recorded(&self) -> Item {
        match self {
            Self::One(text) => text.as_str().into(),
            Self::Many(_) => self.blocks().into(),
        }
    }
}

fn text_block(text: &str) -> Object {
    Object::default().with("type", "text").with("text", text)
}

fn anthropic_blocks(message: &Message) -> (&'static str, Vec<Object>) {
    match message.role {
        Role::User => ("user", message.content.blocks()),
        Role::Tool => {
            let mut block = Object::default()
                .with("type", "tool_result")
                .with("tool_use_id", message.id.as_str())
                .with("content", message.content.recorded());
            if message.is_error {
                block.set("is_error", true);
            }
            ("user", vec![block])
        }
        Role::Assistant => {
            let text = (!message.text.trim().is_empty()).then(|| text_block(&message.text));
            let calls = message.calls.iter().map(|call| {
                Object::default()
                    .with("type", "tool_use")
                    .with("id", call.id.as_str())
                    .with("name", call.name.as_str())
                    .with("input", &*call.args)
            });
            ("assistant", text.into_iter().chain(calls).collect())
        }
    }
}

fn chat_message(message: &Message) -> Object {
    match message.role {
        Role::User => {
            let content: Item = match message.content.texts() {
                [text] => text.as_str().into(),
                _ => message.content.blocks().into(),
            };
            Object::default().with("role", "user").with("content", content)
        }
        Role::Tool => Object::default()
            .with("role", "tool")
            .with("tool_call_id", message.id.as_str())
            .with("content", message.content.recorded()),
        Role::Assistant => {
            let text = message.text.as_str();
            let content: Item = if text.is_empty() { Value::Null.into() } else { text.into() };
            let mut object = Object::default().with("role", "assistant").with("content", content);
            if !message.calls.is_empty() {
                let calls: Vec<Object> = message.calls.iter().map(chat_call).collect();
                object.set("tool_calls", calls);
            }
            object
        }
    }
}

fn chat_call(call: &Call) -> Object {
    let function = Object::default().with("name", call.name.as_str()).with("arguments", call.args.get());
    Object::default().with("id", call.id.as_str()).with("type", "function").with("function", function)
}

/// A JSON object that keeps its order, as the clients' own do.
#[derive(Debug, Default)]
struct Object(Vec<(&'static str, Item)>);

#[derive(Debug)]
enum Item {
    Value(Value),
    Raw(Box<RawValue>),
    Object(Object),
    List(Vec<Object>),
}

impl Object {
    fn set(&mut self, key: &'static str, item: impl Into<Item>) {
        self.0.push((key, item.into()));
    }

    fn with(mut self, key: &'static str, item: impl Into<Item>) -> Self {
        self.set(key, item);
        self
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, item) in &self.0 {
            map.serialize_entry(key, item)?;
        }
        map.end()
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Raw(raw) => raw.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Self::Value(text.into())
    }
}

impl From<bool> for Item {
    fn from(value: bool) -> Self {
        Self::Value(value.into())
    }
}

impl From<i32> for Item {
    fn from(value: i32) -> Self {
        Self::Value(value.into())
    }
}

impl From<&RawValue> for Item {
    fn from(raw: &RawValue) -> Self {
        Self::Raw(raw.to_owned())
    }
}

impl From<Object> for Item {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<Vec<Object>> for Item {
    fn from(list: Vec<Object>) -> Self {
        Self::List(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":"c","native":"anthropic","system":"S","tools":[{"name":"t","description":"d",
        "parameters":{"type":"object", "z":1,"a":1.0}}],"messages":[{"role":"user","content":"u"},
        {"role":"assistant","text":"","calls":[{"id":"1","name":"t","args":{"z":1e3, "a":2}}]},
        {"role":"tool","id":"1","name":"t","content":"o","is_error":true},{"role":"assistant","text":"end"}]}"#;

    fn requests(api: Api) -> Vec<String> {
        let conversation: Conversation = serde_json::from_str(&LINE.replace('\n', "")).unwrap();
        conversation.requests(api).into_iter().map(|body| String::from_utf8(body).unwrap()).collect()
    }

    #[test]
    fn each_assistant_turn_was_a_request_with_everything_before_it() {
        let requests = requests(Api::AnthropicMessages);
        assert_eq!(requests.len(), 2);
        assert!(requests[1].contains(r#"{"type":"tool_use","id":"1","name":"t","input":{"z":1e3, "a":2}}"#));
        assert!(requests[1].ends_with(
            r#""content":"o","is_error":true,"cache_control":{"type":"ephemeral"}}]}],"stream":true}"#
        ));
    }

    #[test]
    fn arguments_and_schemas_keep_their_spelling_in_chat_too() {
        let requests = requests(Api::OpenAiChat);
        assert!(requests[0].contains(r#""parameters":{"type":"object", "z":1,"a":1.0}"#), "{}", requests[0]);
        assert!(requests[1].contains(r#""arguments":"{\"z\":1e3, \"a\":2}""#), "{}", requests[1]);
        assert!(requests[1].contains(r#"{"role":"tool","tool_call_id":"1","content":"o"}"#));
    }
}
