//! The arms of the test: what a reader sees of a document.

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::document::{Document, Question};

/// How outputs are shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// As the tool printed them.
    Original,
    /// In forms from which the original can be derived.
    Lossless,
    /// As the default profile forwards them, where the model can ask for what was left out.
    Default,
    /// The same with `code_aware`: source files without the long bodies of functions. It has source files alone.
    CodeAware,
}

impl Arm {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Original, Self::Lossless, Self::Default, Self::CodeAware];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Lossless => "lossless",
            Self::Default => "default",
            Self::CodeAware => "code-aware",
        }
    }

    /// Whether its readers get a document.
    pub fn has(self, document: &Document) -> bool {
        self != Self::CodeAware || document.kind == CODE_AWARE
    }

    /// Whether something may be left out.
    pub fn is_lossy(self) -> bool {
        matches!(self, Self::Default | Self::CodeAware)
    }
}

/// The kind of the documents that are whole source files.
pub const CODE_AWARE: &str = "code-aware";

/// A document in an arm.
pub struct ShownDocument {
    /// The text in place of each output.
    pub outputs: Vec<String>,
    /// The parts that were left out: address and original of each marker.
    pub left_out: Vec<(String, String)>,
    /// Tokens of the outputs before and after.
    pub tokens: (u64, u64),
}

impl ShownDocument {
    /// Whether the reader gets this question: one about a marker needs a marker.
    pub fn asks(&self, question: &Question) -> bool {
        !question.of_marker || !self.left_out.is_empty()
    }
}

/// The document in the form in which an agent's request is forwarded.
pub fn shown(document: &Document, arm: Arm) -> Result<ShownDocument> {
    let mut messages = vec![json!({"role": "user", "content": "Have a look."})];
    for (at, output) in document.original.outputs().iter().enumerate() {
        let id = format!("call_{at}");
        messages.push(json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function",
            "function": {"name": output.tool(), "arguments": output.arguments()}}]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": output.text()}));
    }
    let body = json!({"model": "gpt-4o", "messages": messages,
        "tools": [{"type": "function", "function": {"name": "Bash"}}]})
    .to_string();
    let profile = if arm.is_lossy() { Profile::default() } else { Profile::Lossless };
    let config = Config { profile, code_aware: arm == Arm::CodeAware, ..Config::default() };
    let request = Request { reversible: arm.is_lossy(), ..Request::new(Api::OpenAiChat) };
    let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(0));
    ensure!(outcome.unread.is_none(), "{}: the request was not read", document.name);
    let before = outcome.blocks.iter().map(|block| u64::from(block.tokens_before)).sum();
    if arm == Arm::Original {
        let outputs = document.original.outputs().iter().map(|output| output.text().to_owned()).collect();
        return Ok(ShownDocument { outputs, left_out: Vec::new(), tokens: (before, before) });
    }
    let forwarded: Value = serde_json::from_slice(&outcome.body)?;
    let messages = forwarded["messages"].as_array().context("no messages")?;
    let outputs = messages.iter().filter(|message| message["role"] == "tool");
    let outputs: Option<Vec<String>> =
        outputs.map(|message| message["content"].as_str().map(str::to_owned)).collect();
    let left_out = outcome.originals.iter();
    Ok(ShownDocument {
        outputs: outputs.context("an output that is no text")?,
        left_out: left_out
            .map(|original| (original.hash.to_string(), original.text().into_owned()))
            .collect(),
        tokens: (before, outcome.blocks.iter().map(|block| u64::from(block.tokens_after)).sum()),
    })
}
