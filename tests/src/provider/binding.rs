//! Reasoning that is bound to the text before it, as providers do since autumn 2026.
//!
//! A [`Seal`] is what a provider puts into a thinking block's `signature`, a reasoning item's
//! `encrypted_content` or a call's `thoughtSignature`. It contains hashes of the model, of the tools, of
//! everything before, and of the seal before it, so that the provider needs no memory: each request is checked
//! against itself. Tools that a client appends do not break it, and a request without tools does not either.

pub(super) mod anthropic;
pub(super) mod gemini;
pub(super) mod responses;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The data that reasoning is bound to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Seal {
    /// The model that made it.
    model: [u8; 8],
    /// The text before it, without other reasoning.
    prefix: [u8; 16],
    /// The number of tools.
    tools: u16,
    /// The tools.
    listed: [u8; 8],
    /// The seal before it; zeros if it is the first.
    before: [u8; 8],
    /// The reasoning itself.
    own: [u8; 6],
}

/// Why reasoning is not given to the model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// The text before it has changed, or another provider made it.
    PrefixMismatch,
    /// Another model made it. That is not a fault.
    ModelMismatch,
}

/// Reasoning that is not given to the model.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Dropped {
    pub(super) reason: Reason,
    /// Its position in the request: `messages.3.content.0`.
    pub(super) path: String,
}

impl Dropped {
    /// An element of `input_transformations`.
    pub(super) fn transformation(&self, kind: &str) -> Value {
        let reason = match self.reason {
            Reason::PrefixMismatch => "prefix_mismatch",
            Reason::ModelMismatch => "model_mismatch",
        };
        json!({"type": kind, "reason": reason, "path": self.path})
    }
}

/// The first bytes of a hash.
fn short<const N: usize>(hash: Sha256) -> [u8; N] {
    let digest = hash.finalize();
    std::array::from_fn(|at| digest[at])
}

/// The first bytes of the hash of some bytes.
fn digest<const N: usize>(bytes: &[u8]) -> [u8; N] {
    short(Sha256::new_with_prefix(bytes))
}

impl Seal {
    fn encode(&self) -> String {
        let tools = self.tools.to_be_bytes();
        let all = [&self.model[..], &self.prefix, &tools, &self.listed, &self.before, &self.own].concat();
        STANDARD.encode(all)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; 48] = STANDARD.decode(text).ok()?.try_into().ok()?;
        Some(Self {
            model: bytes[0..8].try_into().ok()?,
            prefix: bytes[8..24].try_into().ok()?,
            tools: u16::from_be_bytes(bytes[24..26].try_into().ok()?),
            listed: bytes[26..34].try_into().ok()?,
            before: bytes[34..42].try_into().ok()?,
            own: bytes[42..48].try_into().ok()?,
        })
    }
}

/// Walks through a conversation from its beginning: hashes it, and checks and makes seals on the way.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    model: [u8; 8],
    tools: Vec<Value>,
    hash: Sha256,
    /// Of the last seal that was given to the model.
    before: [u8; 8],
}

impl Walk {
    /// Starts after the instructions.
    fn new(model: &str, instructions: &Value, tools: Vec<Value>) -> Self {
        let hash = Sha256::new_with_prefix(instructions.to_string());
        Self { model: digest(model.as_bytes()), tools, hash, before: [0; 8] }
    }

    /// Continues after a piece of the conversation.
    fn pass(&mut self, piece: &str) {
        self.hash.update(piece.len().to_be_bytes());
        self.hash.update(piece);
    }

    fn listed(&self, tools: usize) -> Option<[u8; 8]> {
        let listed = self.tools.get(..tools)?;
        let texts: String = listed.iter().map(Value::to_string).collect();
        Some(digest(texts.as_bytes()))
    }

    /// Makes the seal for reasoning at this position.
    pub(super) fn seal(&mut self, own: &str) -> String {
        let tools = self.tools.len();
        let seal = Seal {
            model: self.model,
            prefix: short(self.hash.clone()),
            tools: u16::try_from(tools).unwrap_or(u16::MAX),
            listed: self.listed(tools).unwrap_or_default(),
            before: self.before,
            own: digest(own.as_bytes()),
        }
        .encode();
        self.before = digest(seal.as_bytes());
        seal
    }

    /// Checks a seal at this position. Before the first seal of a request, earlier ones may be missing.
    fn check(&mut self, seal: &str, own: &str) -> Result<(), Reason> {
        let found = Seal::decode(seal).ok_or(Reason::PrefixMismatch)?;
        if found.model != self.model {
            return Err(Reason::ModelMismatch);
        }
        let tools_hold = self.tools.is_empty() || self.listed(found.tools.into()) == Some(found.listed);
        let follows = self.before == [0; 8] || self.before == found.before;
        let prefix: [u8; 16] = short(self.hash.clone());
        if !tools_hold || !follows || found.prefix != prefix || found.own != digest(own.as_bytes()) {
            return Err(Reason::PrefixMismatch);
        }
        self.before = digest(seal.as_bytes());
        Ok(())
    }
}

/// A value without the members of these names, at any depth, and without members that are null.
fn without(value: &Value, names: &[&str]) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, member)| !names.contains(&name.as_str()) && !member.is_null())
            .map(|(name, member)| (name.clone(), without(member, names)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| without(item, names)).collect(),
        other => other.clone(),
    }
}

/// A value without cache markers, and without Claude Code's line that changes with every request.
pub(super) fn without_markers(value: &Value) -> Value {
    let mut value = without(value, &["cache_control"]);
    drop_billing(&mut value);
    value
}

fn drop_billing(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| {
                !item["text"].as_str().is_some_and(|text| text.starts_with(anthropic::BILLING))
            });
            items.iter_mut().for_each(drop_billing);
        }
        Value::Object(members) => members.values_mut().for_each(drop_billing),
        _ => {}
    }
}

/// The tools of a request without cache markers; Gemini's declarations one by one.
pub(super) fn tools(body: &Value) -> Vec<Value> {
    let declared = |tool: &Value| list(&tool["functionDeclarations"]).to_vec();
    let tools = list(&body["tools"]).iter().flat_map(|tool| match declared(tool) {
        declared if declared.is_empty() => vec![tool.clone()],
        declared => declared,
    });
    tools.map(|tool| without(&tool, &["cache_control"])).collect()
}

/// The elements of a list; empty if it is not a list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A name of letters and digits computed from a text; two texts rarely have the same.
pub(super) fn name_of(text: &str) -> String {
    let bytes: [u8; 24] = digest(text.as_bytes());
    STANDARD.encode(bytes).replace(['+', '/', '='], "x")
}
