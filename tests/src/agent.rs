//! A small agent: it asks a model, runs the tools that the model calls, and asks again.
//!
//! It keeps every answer unchanged, thinking and ids included, and returns recorded outputs for its tools. Its
//! requests depend only on the answers, so two agents with the same answers send the same bytes.

mod anthropic;
mod gemini;
mod openai_chat;
mod openai_responses;
mod outputs;

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use headroom_compress::Api;
use serde_json::{Map, Value, json};

use crate::client::{Answer, Call, Connection, Protocol};
use crate::provider::NAME_HEADER;

pub use outputs::{recorded, rows, source_files};

/// The format of an agent's requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Anthropic Messages, with thinking.
    Messages,
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses: the whole conversation is sent each time, with encrypted reasoning.
    Responses,
    /// OpenAI Responses: the server keeps the conversation.
    StoredResponses,
    /// Gemini's generateContent.
    Gemini,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Messages, Self::Chat, Self::Responses, Self::StoredResponses, Self::Gemini];

    /// Its API.
    pub fn api(self) -> Api {
        match self {
            Self::Messages => Api::AnthropicMessages,
            Self::Chat => Api::OpenAiChat,
            Self::Responses | Self::StoredResponses => Api::OpenAiResponses,
            Self::Gemini => Api::GeminiGenerateContent,
        }
    }

    /// The model that an agent uses first.
    pub fn model(self) -> &'static str {
        match self {
            Self::Messages => "claude-opus-5-5",
            Self::Chat => "gpt-4.1",
            Self::Responses | Self::StoredResponses => "gpt-5",
            Self::Gemini => "gemini-3-pro",
        }
    }

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "Messages",
            Self::Chat => "Chat",
            Self::Responses => "Responses",
            Self::StoredResponses => "Responses, stored",
            Self::Gemini => "Gemini",
        }
    }
}

/// The settings of an agent's conversation. A change takes effect with the next request.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model's name in requests.
    pub model: String,
    /// Whether answers are streams.
    pub stream: bool,
    /// The names of its tools.
    pub tools: Vec<String>,
    /// In the format's own form; `Null`: not set.
    pub tool_choice: Value,
    /// Anthropic: whether thinking that does not fit is dropped.
    pub drop_block: bool,
    /// The model is asked to think, in formats that have a word for it.
    pub thinks: bool,
}

/// An agent in the middle of its conversation.
#[derive(Debug)]
pub struct Agent {
    format: Format,
    /// The name of its requests at the provider.
    name: String,
    /// The settings of the next request.
    pub settings: Settings,
    /// The conversation, in the format's own form.
    history: Vec<Value>,
    /// With [`Format::StoredResponses`]: the last response, and how much of the history it contains.
    stored: Option<(String, usize)>,
    outputs: Vec<String>,
    given: usize,
    connection: Option<(SocketAddr, Connection)>,
}

/// A call in an answer.
#[derive(Clone, Debug)]
struct ToolUse {
    id: Value,
    name: String,
}

/// The result of a request.
#[derive(Debug)]
pub struct Turn {
    /// How many calls the model made.
    pub calls: usize,
    /// The dropped parts of the request, as listed in the answer.
    pub transformations: Vec<Value>,
    /// The filter's saving in the request, if reported.
    pub tokens_saved: Option<i64>,
}

impl Agent {
    /// An agent whose tools return these outputs, one after the other, and then from the first again.
    pub fn new(format: Format, name: &str, stream: bool, outputs: Vec<String>) -> Self {
        let settings = Settings {
            model: format.model().to_owned(),
            stream,
            tools: vec!["list".to_owned(), "read_file".to_owned()],
            tool_choice: Value::Null,
            drop_block: false,
            thinks: true,
        };
        let (name, history) = (name.to_owned(), Vec::new());
        Self { format, name, settings, history, stored: None, outputs, given: 0, connection: None }
    }

    /// Adds a message of the user.
    pub fn say(&mut self, text: &str) {
        self.history.push(match self.format {
            Format::Messages | Format::Chat => json!({"role": "user", "content": text}),
            Format::Responses | Format::StoredResponses => {
                json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
            }
            Format::Gemini => json!({"role": "user", "parts": [{"text": text}]}),
        });
    }

    /// The conversation so far, in the format's own form.
    pub fn history(&self) -> &[Value] {
        &self.history
    }

    /// For tests that change the conversation.
    pub fn history_mut(&mut self) -> &mut Vec<Value> {
        &mut self.history
    }

    /// All outputs of its tools so far.
    pub fn given(&self) -> Vec<String> {
        self.outputs.iter().cycle().take(self.given).cloned().collect()
    }

    /// Sends the next request to an address, and runs the tools that the answer calls.
    pub async fn turn(&mut self, to: SocketAddr) -> Result<Turn> {
        let answer = self.ask(to).await?;
        ensure!(answer.status == 200, "{}: {}: {}", self.name, answer.status, answer.text());
        let said = self.read(&answer).with_context(|| format!("{}: {}", self.name, answer.text()))?;
        let calls = self.take(&said)?;
        for call in &calls {
            let output = self.outputs[self.given % self.outputs.len()].clone();
            self.given += 1;
            self.give(call, &output);
        }
        let transformations = said["input_transformations"].as_array().cloned().unwrap_or_default();
        let tokens_saved = answer.header("x-headroom-tokens-saved").map(str::parse).transpose()?;
        Ok(Turn { calls: calls.len(), transformations, tokens_saved })
    }

    /// Takes turns until tools have been called in this many rounds. If the model ends its turn before that,
    /// the user asks it to go on, at most once per round.
    pub async fn rounds(&mut self, to: SocketAddr, rounds: usize) -> Result<()> {
        let (mut done, mut asked) = (0, 0);
        while done < rounds {
            if self.turn(to).await?.calls > 0 {
                done += 1;
                continue;
            }
            asked += 1;
            ensure!(asked <= rounds, "{}: the model has ended its turn {asked} times", self.name);
            self.say("Go on.");
        }
        Ok(())
    }

    /// Sends the next request and returns any answer.
    pub async fn ask(&mut self, to: SocketAddr) -> Result<Answer> {
        let body = self.body();
        let mut call = Call::post(&self.path(), body.to_string()).header(NAME_HEADER, &self.name);
        if self.settings.drop_block {
            call = call.header("anthropic-beta", "thinking-binding-controls-2026-08-01");
        }
        // A kept connection may have been closed, by an Envoy that was restarted.
        if let Some((known, mut connection)) = self.connection.take()
            && known == to
            && let Ok(answer) = connection.send(call.clone()).await
        {
            self.connection = Some((known, connection));
            return Ok(answer);
        }
        let mut connection = Connection::open(to, Protocol::Http1).await?;
        let answer = connection.send(call).await?;
        self.connection = Some((to, connection));
        Ok(answer)
    }

    fn path(&self) -> String {
        match self.format {
            Format::Messages => "/v1/messages".to_owned(),
            Format::Chat => "/v1/chat/completions".to_owned(),
            Format::Responses | Format::StoredResponses => "/v1/responses".to_owned(),
            Format::Gemini if self.settings.stream => {
                format!("/v1beta/models/{}:streamGenerateContent?alt=sse", self.settings.model)
            }
            Format::Gemini => format!("/v1beta/models/{}:generateContent", self.settings.model),
        }
    }

    /// The next request's body.
    fn body(&self) -> Value {
        let settings = &self.settings;
        let mut body = match self.format {
            Format::Messages => anthropic::body(settings, &self.history),
            Format::Chat => openai_chat::body(settings, &self.history),
            Format::Responses => openai_responses::stateless(settings, &self.history),
            Format::StoredResponses => {
                openai_responses::stored(settings, &self.history, self.stored.as_ref())
            }
            Format::Gemini => gemini::body(settings, &self.history),
        };
        if !settings.tool_choice.is_null() {
            let key = if self.format == Format::Gemini { "toolConfig" } else { "tool_choice" };
            body[key] = settings.tool_choice.clone();
        }
        body
    }

    /// An answer in the form without a stream.
    fn read(&self, answer: &Answer) -> Result<Value> {
        if !self.settings.stream {
            return Ok(serde_json::from_slice(&answer.body)?);
        }
        let text = answer.text();
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = events
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).with_context(|| data.to_owned()))
            .collect::<Result<_>>()?;
        match self.format {
            Format::Messages => anthropic::assemble(&events),
            Format::Chat => openai_chat::assemble(&events),
            Format::Responses | Format::StoredResponses => openai_responses::assemble(&events),
            Format::Gemini => gemini::assemble(&events),
        }
    }

    /// Adds an answer to the conversation, and returns its calls.
    fn take(&mut self, said: &Value) -> Result<Vec<ToolUse>> {
        let (entries, calls) = match self.format {
            Format::Messages => anthropic::said(said)?,
            Format::Chat => openai_chat::said(said)?,
            Format::Responses | Format::StoredResponses => openai_responses::said(said)?,
            Format::Gemini => gemini::said(said)?,
        };
        self.history.extend(entries);
        if self.format == Format::StoredResponses {
            let id = said["id"].as_str().context("a response has an id")?;
            self.stored = Some((id.to_owned(), self.history.len()));
        }
        let known = &self.settings.tools;
        let unknown = calls.iter().find(|call| !known.contains(&call.name));
        ensure!(unknown.is_none(), "a tool was called that the client does not have: {unknown:?}");
        Ok(calls)
    }

    /// Adds the result of a call: the results of one answer are grouped if the format requires it.
    fn give(&mut self, call: &ToolUse, output: &str) {
        let id = &call.id;
        let (list, result) = match self.format {
            Format::Messages => {
                ("content", json!({"type": "tool_result", "tool_use_id": id, "content": output}))
            }
            Format::Chat => {
                return self.history.push(json!({"role": "tool", "tool_call_id": id, "content": output}));
            }
            Format::Responses | Format::StoredResponses => {
                let item = json!({"type": "function_call_output", "call_id": id, "output": output});
                return self.history.push(item);
            }
            Format::Gemini => {
                ("parts", json!({"functionResponse": {"name": call.name, "response": {"output": output}}}))
            }
        };
        match self.history.last_mut() {
            Some(last) if last["role"] == "user" => {
                if let Some(results) = last[list].as_array_mut() {
                    results.push(result);
                }
            }
            _ => self.history.push(json!({"role": "user", list: [result]})),
        }
    }
}

/// A schema that accepts anything.
fn schema() -> Value {
    json!({"type": "object", "properties": {"path": {"type": "string"}}})
}

/// Appends a text to the value of a member.
fn append(members: &mut Map<String, Value>, name: &str, more: &str) {
    let text = members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned() + more;
    members.insert(name.to_owned(), text.into());
}

fn name_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
