//! Recorded conversations for the tests of the modules: those that the benches use, or all of a corpus.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::block::Context;
use crate::call::Call;
use crate::config::{Config, Profile};
use crate::earlier::{Earlier, ShownOutput};
use crate::kinds::numbered::edits_by_line;
use crate::pipeline::compress_block;

/// One tool output of a recorded conversation.
pub(crate) struct RecordedOutput {
    pub(crate) tool: String,
    pub(crate) arguments: String,
    pub(crate) query: String,
    pub(crate) text: String,
    pub(crate) edits_by_line: bool,
}

/// Conversations, each with its source and its tool outputs in order.
pub(crate) fn conversations() -> Vec<(String, Vec<RecordedOutput>)> {
    let folder = match std::env::var_os("CORPUS") {
        Some(corpus) => Path::new(&corpus).join("trajectories"),
        None => {
            eprintln!("SKIPPED: set CORPUS to the folder of a corpus to run this on all of it");
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/conversations")
        }
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let source = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            out.push((source.clone(), recorded(&serde_json::from_str(line).unwrap())));
        }
    }
    out
}

fn recorded(conversation: &Value) -> Vec<RecordedOutput> {
    let head = format!("{}{}", conversation["system"], conversation["tools"]);
    let edits_by_line = edits_by_line(head.as_bytes());
    let messages = conversation["messages"].as_array().unwrap();
    let mut calls = BTreeMap::new();
    let mut query = String::new();
    let mut out = Vec::new();
    for message in messages {
        let texts: Vec<&str> = match &message["content"] {
            Value::String(text) => vec![text],
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        match message["role"].as_str().unwrap() {
            "user" => query = texts.join("\n"),
            "assistant" => {
                for call in message["calls"].as_array().into_iter().flatten() {
                    calls.insert(call["id"].to_string(), (call["name"].clone(), call["args"].to_string()));
                }
            }
            _ => {
                let (name, arguments) = calls[&message["id"].to_string()].clone();
                out.extend(texts.iter().map(|text| RecordedOutput {
                    tool: name.as_str().unwrap().to_owned(),
                    arguments: arguments.clone(),
                    query: query.clone(),
                    text: (*text).to_owned(),
                    edits_by_line,
                }));
            }
        }
    }
    out
}

impl RecordedOutput {
    pub(crate) fn call(&self) -> Call<'_> {
        Call { name: &self.tool, arguments: &self.arguments }
    }

    pub(crate) fn context<'a>(&'a self, config: &'a Config, reversible: bool) -> Context<'a> {
        Context {
            call: self.call(),
            query: &self.query,
            reversible,
            edits_by_line: self.edits_by_line,
            ..Context::of(config)
        }
    }
}

/// A way to put a text into a value.
type Wrap = fn(&str) -> String;

/// How harnesses and SDKs put outputs into values: mini-swe-agent 2.4 (also as Python prints it), Cline 3.0,
/// LangGraph and pydantic-ai, the Vercel AI SDK, MCP.
const ENVELOPES: [(&str, Wrap); 8] = [
    ("mini-swe-agent", |text| {
        let output = serde_json::json!(text).to_string();
        let output = output
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\'', "\\u0027");
        format!("{{\n  \"returncode\": 0,\n  \"output\": {output}\n}}")
    }),
    ("mini-swe repr", |text| format!("{{'output': {}, 'returncode': 0, 'exception_info': ''}}", repr(text))),
    ("cline", |text| serde_json::json!([{"query": "command", "result": text, "success": true}]).to_string()),
    ("langgraph", |text| format!("content={} name='run' tool_call_id='call_1'", repr(text))),
    ("pydantic-ai", |text| serde_json::json!({"return_value": text, "exit_code": 0}).to_string()),
    ("vercel", |text| serde_json::json!({"stdout": text, "stderr": "", "exitCode": 0}).to_string()),
    ("mcp", |text| {
        serde_json::json!({"content": [{"type": "text", "text": text}], "isError": false}).to_string()
    }),
    ("mcp repr", |text| {
        format!("[TextContent(type='text', text={}, annotations=None, meta=None)]", repr(text))
    }),
];

/// A text as Python prints it.
fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r");
    let escaped = if quote == '\'' { escaped.replace('\'', "\\'") } else { escaped };
    let escaped: String = escaped
        .chars()
        .map(|c| if c < ' ' || c == '\x7f' { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() })
        .collect();
    format!("{quote}{escaped}{quote}")
}

/// Tokens of the outputs of a source before and after, each put into an envelope.
fn tokens(
    conversations: &[(String, Vec<RecordedOutput>)],
    source: &str,
    wrap: Wrap,
    config: &Config,
) -> [u64; 2] {
    let mut sums = [0; 2];
    for (_, outputs) in conversations.iter().filter(|(name, _)| name == source) {
        let mut earlier = Earlier::default();
        for output in outputs {
            let text = wrap(&output.text);
            let cx = output.context(config, config.profile == Profile::Balanced);
            let verdict = compress_block(&text, &cx, &earlier);
            assert!(verdict.tokens_after <= verdict.tokens_before, "{source}: {text}");
            let shown = verdict.replacement.as_ref().map_or(text.as_str(), |r| &r.text);
            let (coded, values) = (verdict.coded, verdict.values);
            let printed = ShownOutput { original: &text, shown, coded, values, structured: false };
            earlier.add_with_call(printed, None, output.call());
            sums[0] += u64::from(verdict.tokens_before);
            sums[1] += u64::from(verdict.tokens_after);
        }
    }
    sums
}

#[test]
fn outputs_in_an_envelope_save_what_they_save_bare() {
    let conversations = conversations();
    for profile in [Profile::Lossless, Profile::Balanced] {
        let config = Config { profile, ..Config::default() };
        for source in ["mini_swe_agent", "tau_bench_airline", "tau_bench_retail"] {
            let [before, after] = tokens(&conversations, source, str::to_owned, &config);
            let bare = before - after;
            assert!(bare * 20 > before, "{source} bare: {before} -> {after}");
            for (envelope, wrap) in ENVELOPES {
                let [before, after] = tokens(&conversations, source, wrap, &config);
                let saved = before - after;
                eprintln!("{profile:?} {source} {envelope}: {before} -> {after}, {saved} saved, bare {bare}");
                assert!(
                    saved * 10 >= bare * 9,
                    "{profile:?} {source} {envelope}: {saved} saved, {bare} bare"
                );
            }
        }
    }
}
