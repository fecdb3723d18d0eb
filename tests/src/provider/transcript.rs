//! A conversation as its steps, read from a request of any API.

use serde_json::Value;

use super::answer::Api;
use super::binding::tools;

/// The conversation, as far as a request contains it.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    pub(super) steps: Vec<Step>,
    /// The names of the listed tools.
    pub(super) tools: Vec<String>,
    /// Whether it forbids calls of tools.
    pub(super) forbids_calls: bool,
}

/// A step of a conversation.
#[derive(Debug)]
pub(super) enum Step {
    /// A message of the user.
    Asked,
    /// An answer of the model.
    Said(Vec<Call>),
    /// Results of tools.
    Results(Vec<ToolResult>),
}

/// A call that the model has made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Call {
    /// Empty with Gemini.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Value,
}

/// The result of a tool.
#[derive(Clone, Debug)]
pub(super) struct ToolResult {
    /// With Gemini the tool's name.
    pub(super) id: String,
    pub(super) text: String,
}

/// The tool that returns what was left out.
pub(super) const RETRIEVE: &str = "headroom_retrieve";

/// Whether a tool is one that the filter adds. The tool of an MCP client has a prefix, and counts
/// as the client's.
pub(super) fn is_ours(name: &str) -> bool {
    name == RETRIEVE || is_memory(name)
}

/// Whether it is a tool of memory.
pub(super) fn is_memory(name: &str) -> bool {
    name.starts_with("memory_")
}

impl Step {
    /// Whether the model calls only the filter's own tools.
    fn calls_only_ours(&self) -> bool {
        matches!(self, Self::Said(calls) if !calls.is_empty() && calls.iter().all(|call| is_ours(&call.name)))
    }

    /// Whether the model calls one of the client's tools.
    fn calls_clients(&self) -> bool {
        matches!(self, Self::Said(calls) if calls.iter().any(|call| !is_ours(&call.name)))
    }
}

impl Transcript {
    /// Reads a body. `items` are those of the whole conversation with OpenAI Responses.
    pub(super) fn read(api: Api, body: &Value, items: &[Value]) -> Self {
        let mut read = Self::default();
        let names = tools(body).into_iter().map(|tool| {
            let name = tool.get("name").unwrap_or(&tool["function"]["name"]);
            name.as_str().unwrap_or_default().to_owned()
        });
        read.tools.extend(names);
        let choice = &body["tool_choice"];
        let mode = &body["toolConfig"]["functionCallingConfig"]["mode"];
        read.forbids_calls = choice == "none" || choice["type"] == "none" || mode == "NONE";
        let messages = |key: &str| body[key].as_array().map(Vec::as_slice).unwrap_or_default();
        match api {
            Api::Anthropic => messages("messages").iter().for_each(|message| read.anthropic(message)),
            Api::OpenAiChat => messages("messages").iter().for_each(|message| read.chat(message)),
            Api::OpenAiResponses => items.iter().for_each(|item| read.item(item)),
            // No plan is followed in it.
            Api::BedrockConverse => {}
            Api::Gemini => messages("contents").iter().for_each(|content| read.content(content)),
        }
        read
    }

    /// How often the model has called the client's tools.
    pub(super) fn rounds(&self) -> usize {
        self.steps.iter().filter(|step| step.calls_clients()).count()
    }

    /// The same since the user's last message.
    pub(super) fn rounds_since_asked(&self) -> usize {
        let since = self.steps.iter().rev().take_while(|step| !matches!(step, Step::Asked));
        since.filter(|step| step.calls_clients()).count()
    }

    /// How often the model has called only our tools since anything else happened.
    pub(super) fn own_rounds(&self) -> usize {
        let since = self.steps.iter().rev();
        let since = since.take_while(|step| !matches!(step, Step::Asked) && !step.calls_clients());
        since.filter(|step| step.calls_only_ours()).count()
    }

    /// Every call, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        let calls = self.steps.iter().map(|step| match step {
            Step::Said(calls) => calls.as_slice(),
            Step::Asked | Step::Results(_) => &[],
        });
        calls.flatten()
    }

    /// The calls of the retrieve tool from a step on, each with its result.
    pub(super) fn retrievals(&self, from: usize) -> Vec<(&Call, Option<&str>)> {
        self.answered(from, |name| name == RETRIEVE)
    }

    /// The results of the tools of memory in the request's last step.
    pub(super) fn remembered(&self) -> Vec<String> {
        let found = self.answered(self.last_answer(), is_memory);
        found.into_iter().filter_map(|(_, text)| text.map(str::to_owned)).collect()
    }

    fn answered(&self, from: usize, is_meant: impl Fn(&str) -> bool) -> Vec<(&Call, Option<&str>)> {
        let mut found: Vec<(&Call, Option<&str>)> = Vec::new();
        for step in self.steps.iter().skip(from) {
            match step {
                Step::Said(calls) => {
                    found.extend(calls.iter().filter(|call| is_meant(&call.name)).map(|call| (call, None)));
                }
                Step::Results(results) => {
                    for result in results {
                        // Gemini's calls have no ids: the first one without a result.
                        let call = found.iter_mut().find(|(call, got)| {
                            let is_its = if call.id.is_empty() { &call.name } else { &call.id };
                            got.is_none() && *is_its == result.id
                        });
                        if let Some((_, got)) = call {
                            *got = Some(&result.text);
                        }
                    }
                }
                Step::Asked => {}
            }
        }
        found
    }

    /// The errors that a provider refuses: a call without its result, or a result without its call.
    pub(super) fn unpaired(&self) -> Option<String> {
        let mut open: Vec<&str> = Vec::new();
        for step in &self.steps {
            match step {
                Step::Said(calls) => open.extend(calls.iter().map(|call| call.id.as_str())),
                Step::Results(results) => {
                    // Gemini's calls have no ids.
                    let has_ids = !open.contains(&"");
                    for result in results.iter().filter(|_| has_ids) {
                        let at = open.iter().position(|id| *id == result.id);
                        let Some(at) = at else {
                            return Some(format!(
                                "a tool result has the id {}, which no call has",
                                result.id
                            ));
                        };
                        open.remove(at);
                    }
                    open.retain(|id| !id.is_empty());
                }
                Step::Asked => {}
            }
        }
        open.retain(|id| !id.is_empty());
        open.first().map(|id| format!("the call {id} has no result"))
    }

    /// The index of the model's last answer; the end if there is none.
    pub(super) fn last_answer(&self) -> usize {
        let is_said = |step: &Step| matches!(step, Step::Said(_));
        self.steps.iter().rposition(is_said).unwrap_or(self.steps.len())
    }

    /// Whether the request ends with results of only our tools: then the filter has sent it.
    pub(super) fn is_continuation(&self) -> bool {
        match self.steps.as_slice() {
            [.., said, Step::Results(_)] => said.calls_only_ours(),
            _ => false,
        }
    }

    /// The hashes of all markers in the client's tool outputs, the newest last.
    pub(super) fn markers(&self) -> Vec<String> {
        const MARK: &str = "hash=";
        const LENGTH: usize = 24;
        let ours: Vec<&str> = self.retrievals(0).into_iter().filter_map(|(_, text)| text).collect();
        let mut hashes = Vec::new();
        for step in &self.steps {
            let Step::Results(results) = step else { continue };
            // A result of our own tool is an original: hashes in it are content.
            for result in results.iter().filter(|result| !ours.contains(&result.text.as_str())) {
                for (at, _) in result.text.match_indices(MARK) {
                    let hash = result.text.get(at + MARK.len()..at + MARK.len() + LENGTH);
                    let hash = hash.filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
                    hashes.extend(hash.map(str::to_owned));
                }
            }
        }
        hashes
    }

    /// Adds calls to the model's answer, which may be in pieces.
    fn say(&mut self, calls: Vec<Call>) {
        match self.steps.last_mut() {
            Some(Step::Said(said)) => said.extend(calls),
            _ => self.steps.push(Step::Said(calls)),
        }
    }

    fn give(&mut self, results: Vec<ToolResult>) {
        match self.steps.last_mut() {
            _ if results.is_empty() => {}
            Some(Step::Results(given)) => given.extend(results),
            _ => self.steps.push(Step::Results(results)),
        }
    }

    fn anthropic(&mut self, message: &Value) {
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_type = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
        if message["role"] == "assistant" {
            let calls = of_type("tool_use");
            return self.say(calls.map(|it| call(&it["id"], &it["name"], it["input"].clone())).collect());
        }
        let results: Vec<_> =
            of_type("tool_result").map(|it| result(&it["tool_use_id"], &it["content"])).collect();
        if results.is_empty() {
            self.steps.push(Step::Asked);
        }
        self.give(results);
    }

    fn chat(&mut self, message: &Value) {
        match message["role"].as_str() {
            Some("assistant") => {
                let calls = message["tool_calls"].as_array().into_iter().flatten();
                let calls = calls
                    .map(|it| call(&it["id"], &it["function"]["name"], parsed(&it["function"]["arguments"])));
                let calls = calls.collect();
                self.say(calls);
            }
            Some("tool") => self.give(vec![result(&message["tool_call_id"], &message["content"])]),
            Some("user") => self.steps.push(Step::Asked),
            _ => {}
        }
    }

    fn item(&mut self, item: &Value) {
        let kind = item["type"].as_str().unwrap_or("message");
        match kind {
            "function_call" => {
                self.say(vec![call(&item["call_id"], &item["name"], parsed(&item["arguments"]))]);
            }
            "custom_tool_call" => {
                self.say(vec![call(&item["call_id"], &item["name"], item["input"].clone())])
            }
            "message" if item["role"] == "assistant" => self.say(Vec::new()),
            "message" if item["role"] == "user" => self.steps.push(Step::Asked),
            _ if kind.ends_with("_call_output") => {
                self.give(vec![result(&item["call_id"], &item["output"])]);
            }
            _ => {}
        }
    }

    fn content(&mut self, content: &Value) {
        let parts = content["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
        if content["role"] == "model" {
            let calls = parts.iter().map(|part| &part["functionCall"]).filter(|call| call.is_object());
            let none = Value::Null;
            return self.say(calls.map(|it| call(&none, &it["name"], it["args"].clone())).collect());
        }
        let responses = parts.iter().map(|part| &part["functionResponse"]).filter(|it| it.is_object());
        let results: Vec<_> = responses
            .map(|it| {
                let text = it["response"].as_object().and_then(|response| response.values().next());
                result(&it["name"], text.unwrap_or(&Value::Null))
            })
            .collect();
        if results.is_empty() {
            self.steps.push(Step::Asked);
        }
        self.give(results);
    }
}

fn call(id: &Value, name: &Value, arguments: Value) -> Call {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Call { id: text(id), name: text(name), arguments }
}

/// The arguments of a call, which OpenAI sends as text.
fn parsed(arguments: &Value) -> Value {
    serde_json::from_str(arguments.as_str().unwrap_or_default()).unwrap_or_default()
}

/// A result whose content is a text or a list of texts.
fn result(id: &Value, content: &Value) -> ToolResult {
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    };
    ToolResult { id: id.as_str().unwrap_or_default().to_owned(), text }
}
