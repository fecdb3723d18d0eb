//! What each compressor saves on recorded conversations: `CORPUS=… cargo nextest run -p
//! headroom-compress --run-ignored all savings --no-capture`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::block::{Call, Context};
use crate::config::Config;
use crate::earlier::{At, Coded, Earlier, OUTPUT, Printed};
use crate::kinds::numbered::edits_by_line;
use crate::lines;
use crate::pipeline::compress_block;

/// One tool output of a recorded conversation.
pub(crate) struct Recorded {
    pub(crate) tool: String,
    pub(crate) arguments: String,
    pub(crate) query: String,
    pub(crate) text: String,
    pub(crate) edits_by_line: bool,
    /// How many requests carry it.
    pub(crate) sent: usize,
}

/// The conversations of the corpus, each with its tool outputs in order; `None`, with a message, if there is
/// no corpus.
pub(crate) fn conversations() -> Option<Vec<(String, Vec<Recorded>)>> {
    let Some(corpus) = std::env::var_os("CORPUS") else {
        eprintln!("skipped: CORPUS names no corpus");
        return None;
    };
    let mut files: Vec<_> = std::fs::read_dir(std::path::Path::new(&corpus).join("trajectories"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let source = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            out.push((source.clone(), recorded(&serde_json::from_str(line).unwrap())));
        }
    }
    Some(out)
}

fn recorded(conversation: &Value) -> Vec<Recorded> {
    let head = format!("{}{}", conversation["system"], conversation["tools"]);
    let edits_by_line = edits_by_line(head.as_bytes());
    let messages = conversation["messages"].as_array().unwrap();
    let turns = messages.iter().filter(|message| message["role"] == "assistant").count();
    let mut turn = 0;
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
                turn += 1;
                for call in message["calls"].as_array().into_iter().flatten() {
                    calls.insert(call["id"].to_string(), (call["name"].clone(), call["args"].to_string()));
                }
            }
            _ => {
                let (name, arguments) = calls[&message["id"].to_string()].clone();
                out.extend(texts.iter().map(|text| Recorded {
                    tool: name.as_str().unwrap().to_owned(),
                    arguments: arguments.clone(),
                    query: query.clone(),
                    text: (*text).to_owned(),
                    edits_by_line,
                    sent: turns - turn,
                }));
            }
        }
    }
    out
}

impl Recorded {
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

#[test]
#[ignore = "a report over a corpus, no test"]
fn savings() {
    let Some(conversations) = conversations() else { return };
    let config = Config::default();
    let reversible = std::env::var_os("REVERSIBLE").is_some();
    let show = std::env::var("SHOW").ok();
    let mut rows: BTreeMap<(String, String, String), [usize; 3]> = BTreeMap::new();
    for (source, outputs) in &conversations {
        let mut earlier = Earlier::default();
        for output in outputs {
            let verdict = compress_block(&output.text, &output.context(&config, reversible), &earlier);
            let shown = verdict.replacement.as_ref().map_or(output.text.as_str(), |r| &r.text);
            let values = verdict.values;
            let printed =
                Printed { original: &output.text, shown, coded: verdict.coded, values, structured: false };
            earlier.add_with_call(printed, None, output.call());
            let name = verdict.outcome.name();
            if show.as_deref() == Some(&name) {
                eprintln!("##### {source} {} {}\n{shown}", output.tool, output.arguments);
            }
            let mut add = |source: &str, kind: &str, name: &str| {
                let row = rows.entry((source.to_owned(), kind.to_owned(), name.to_owned())).or_default();
                row[0] += 1;
                row[1] += verdict.tokens_before as usize * output.sent;
                row[2] += verdict.tokens_after as usize * output.sent;
            };
            add(source, verdict.kind.name(), &name);
            add(source, "all", "all");
            add("all", "all", "all");
        }
    }
    for ((source, kind, name), [blocks, before, after]) in &rows {
        let saved = 100.0 * (1.0 - *after as f64 / (*before).max(1) as f64);
        eprintln!("{source:28} {kind:12} {name:24} {blocks:5} blocks {before:9} -> {after:9} {saved:6.2} %");
    }
}

/// A way to put a text into a value.
type Wrap = fn(&str) -> String;

/// How harnesses and SDKs put outputs into values: mini-swe-agent 2.4 (also in Python's print), Cline 3.0,
/// LangGraph and pydantic-ai, the Vercel AI SDK, MCP.
const ENVELOPES: [(&str, Wrap); 9] = [
    ("bare", str::to_owned),
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

#[test]
#[ignore = "a report over a corpus, no test"]
fn wrapped_savings() {
    let Some(mut conversations) = conversations() else { return };
    let corpus = std::env::var_os("CORPUS").unwrap();
    let samples =
        std::fs::read_to_string(std::path::Path::new(&corpus).join("samples/outputs.jsonl")).unwrap();
    conversations.extend(samples.lines().map(|line| {
        let sample: Value = serde_json::from_str(line).unwrap();
        let text = sample["text"].as_str().or_else(|| sample["output"].as_str()).unwrap_or_default();
        let recorded = Recorded {
            tool: "run".to_owned(),
            arguments: "{}".to_owned(),
            query: String::new(),
            text: text.to_owned(),
            edits_by_line: false,
            sent: 1,
        };
        ("samples".to_owned(), vec![recorded])
    }));
    let only = ["mini_swe_agent", "tau_bench", "samples"];
    conversations.retain(|(source, _)| only.iter().any(|only| source.starts_with(only)));
    let stride: usize = std::env::var("STRIDE").ok().and_then(|stride| stride.parse().ok()).unwrap_or(1);
    let reversible = std::env::var_os("REVERSIBLE").is_some();
    let profile = if reversible { crate::Profile::Balanced } else { crate::Profile::Lossless };
    let config = Config { profile, ..Config::default() };
    let mut rows: BTreeMap<(String, usize), [usize; 3]> = BTreeMap::new();
    for (source, outputs) in conversations.iter().step_by(stride) {
        for (at, (_, wrap)) in ENVELOPES.iter().enumerate() {
            let mut earlier = Earlier::default();
            for output in outputs {
                let text = wrap(&output.text);
                let cx = output.context(&config, reversible);
                let verdict = compress_block(&text, &cx, &earlier);
                let shown = verdict.replacement.as_ref().map_or(text.as_str(), |r| &r.text);
                let (coded, values) = (verdict.coded, verdict.values);
                let printed = Printed { original: &text, shown, coded, values, structured: false };
                earlier.add_with_call(printed, None, output.call());
                let row = rows.entry((source.clone(), at)).or_default();
                row[0] += 1;
                row[1] += verdict.tokens_before as usize;
                row[2] += verdict.tokens_after as usize;
                if verdict.tokens_after > verdict.tokens_before {
                    eprintln!("longer: {source} {}", output.tool);
                }
            }
        }
    }
    for ((source, at), [blocks, before, after]) in &rows {
        let saved = 100.0 * (1.0 - *after as f64 / (*before).max(1) as f64);
        let envelope = ENVELOPES[*at].0;
        eprintln!("{source:24} {envelope:16} {blocks:5} outputs {before:9} -> {after:9} {saved:6.2} %");
    }
}

/// Difficult inputs: one long line, very many lines, all lines alike, lines with nothing in common. Each
/// about `bytes` long.
pub(crate) fn hard(bytes: usize) -> Vec<(&'static str, String)> {
    let fill = |unit: &str| unit.repeat(bytes / unit.len());
    let counted = |line: fn(usize) -> String| {
        let mut out = String::with_capacity(bytes + 64);
        let mut n = 0;
        while out.len() < bytes {
            out.push_str(&line(n));
            n += 1;
        }
        out
    };
    vec![
        ("one line", fill("x")),
        ("tiny lines", fill("a\n")),
        ("empty lines", fill("\n")),
        ("identical lines", fill("the same line as the one before it\n")),
        ("two lines in turn", fill("one of the two lines\nand this is the other\n")),
        ("lines of NUL", fill("\0\0\0\0\0\0\0\0\0\n")),
        ("numbered", counted(|n| format!("{:6}→    call_number_{n}(with, arguments);\n", n + 1))),
        ("numbers that jump", counted(|n| format!("{}:{}\n", n * 3, n % 7))),
        ("search", counted(|n| format!("src/dir_{}/file.rs:{n}:let x = {n};\n", n / 9))),
        ("context", counted(|n| format!("src/a-1-b-2/file-{}.rs-{n}-let x-{n}-y-1-2-3 = 1;\n", n / 9))),
        ("dashes", fill("-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1\n")),
        ("few distinct lines", counted(|n| format!("line of kind {}\n", (n * n) % 11))),
        ("escapes", fill("\x1b]0;")),
        ("redraws", fill("10% done\r")),
        ("overstrikes", fill("a\x08a")),
        ("marks", fill("[lines 1-2, every 10th numbered]\n1:a\n")),
    ]
}

/// Processor time of this thread in seconds, which other work on the machine does not change.
fn on_cpu() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
#[ignore = "a report, no test"]
fn speed() {
    let config = Config::default();
    let recorded = |tool: &str, text: &str| Recorded {
        tool: tool.to_owned(),
        arguments: "{}".to_owned(),
        query: String::new(),
        text: text.to_owned(),
        edits_by_line: false,
        sent: 1,
    };
    let mut inputs = hard(4 << 20);
    if let Some(conversations) = conversations() {
        let all: Vec<String> =
            conversations.into_iter().flat_map(|(_, outputs)| outputs).map(|o| o.text).collect();
        inputs.push(("corpus", all.join("\n")));
    }
    for (name, text) in inputs {
        let output = recorded("Bash", &text);
        let cx = output.context(&config, true);
        let kind = crate::outcome::Kind::Text;
        let megabytes = text.len() as f64 / 1e6;
        let mut line = format!("{name:20}");
        let mut time = |what: &str, run: &mut dyn FnMut()| {
            let best = (0..3)
                .map(|_| {
                    let start = on_cpu();
                    run();
                    on_cpu() - start
                })
                .fold(f64::MAX, f64::min);
            line.push_str(&format!("{what} {:6.0}  ", megabytes / best));
        };
        time("screen", &mut || drop(crate::clean::screen(&text, &cx)));
        time("ends", &mut || drop(crate::clean::line_ends(&text, &cx)));
        time("numbered", &mut || drop(crate::kinds::numbered::lossless(&text, &cx)));
        time("search", &mut || drop(crate::kinds::search::lossless(&text, &cx)));
        time("search lossy", &mut || drop(crate::kinds::search::lossy(&text, &cx)));
        time("fold", &mut || drop(crate::kinds::fold::lossless(&text, &lines::of(&text))));
        let mut earlier = Earlier::default();
        time("add", &mut || {
            earlier = Earlier::default();
            earlier.add_with_call(Printed::text(&text, &text, Coded::No), None, output.call());
        });
        let at = At { name: Some(OUTPUT), before: 0, cleaned: &[] };
        time("seen: new", &mut || drop(Earlier::default().replace_seen(&text, &lines::of(&text), at, kind)));
        let shifted = format!("a first line that is new\n{text}");
        time("seen: again", &mut || drop(earlier.replace_seen(&shifted, &lines::of(&shifted), at, kind)));
        eprintln!("{line}");
    }
}
