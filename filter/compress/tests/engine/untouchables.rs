//! What is never changed (I6), with the unusual blocks and spellings that real clients send.
//!
//! `fixtures/untouchables` has one body per wire format. Each `OUTPUT` in it is the text of a tool output,
//! and each `KEEP` a text that has to stay; both are filled with text that a compressor could shorten.

use std::fs;
use std::ops::Range;
use std::path::Path;

use headroom_compress::{
    Api, BlockOutcome, Config, Memo, Outcome, Profile, Request, RetrieveTool, Skip, UnreadReason, compress,
};
use serde_json::{Value, json};

const PROFILES: [Profile; 4] =
    [Profile::Lossless, Profile::Conservative, Profile::Balanced, Profile::Aggressive];

/// The inside of a JSON string whose text has an obvious shorter form.
fn tempting(label: &str) -> String {
    let rows: Vec<_> = (1..=40).map(|id| json!({"id": id, "name": label, "active": true})).collect();
    let text = Value::from(serde_json::to_string_pretty(&rows).unwrap()).to_string();
    text[1..text.len() - 1].replace("true", "tr\\u0075e")
}

/// The body of a fixture, the ranges of its tool outputs' strings, and the number of texts that have to stay.
fn filled(template: &str) -> (String, Vec<Range<usize>>, usize) {
    let (mut body, mut outputs, mut kept) = (String::new(), Vec::new(), 0);
    let mut rest = template;
    while let Some(at) = ["KEEP", "OUTPUT"].iter().filter_map(|word| rest.find(word)).min() {
        body.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("OUTPUT") {
            let start = body.len() - 1;
            body.push_str(&tempting(&format!("output {}", outputs.len())));
            outputs.push(start..body.len() + 1);
            rest = after;
        } else {
            kept += 1;
            body.push_str(&tempting(&format!("kept {kept}")));
            rest = &rest["KEEP".len()..];
        }
    }
    body.push_str(rest);
    (body, outputs, kept)
}

/// A request of Gemini in Code Assist's format.
fn code_assist(request: &str) -> String {
    format!(
        r#"{{ "model":"gemini-2.5-pro","project":"KEEP","user_prompt_id":"KEEP","request":{request},"contents":"KEEP"}}"#
    )
}

fn fixtures() -> Vec<(Api, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/untouchables");
    let mut fixtures = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // Mistral uses OpenAI's format.
        let api = Api::ALL.into_iter().find(|api| api.name() == name).unwrap_or(Api::OpenAiChat);
        let body = fs::read_to_string(&path).unwrap();
        if api == Api::GeminiGenerateContent {
            fixtures.push((Api::GeminiCodeAssist, code_assist(&body)));
        }
        fixtures.push((api, body));
    }
    assert!(Api::ALL.iter().all(|api| fixtures.iter().any(|(of, _)| of == api)), "one for each format");
    fixtures
}

fn run<'b>(api: Api, body: &'b str, profile: Profile, retrieve_tool: RetrieveTool) -> Outcome<'b> {
    let request = Request { reversible: true, retrieve_tool, ..Request::new(api) };
    let config = Config { profile, ..Config::default() };
    compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20))
}

/// The strings that were replaced. Checks that every other byte of the body is unchanged.
fn replaced(original: &str, outcome: &Outcome<'_>) -> Vec<Range<usize>> {
    let body = std::str::from_utf8(&outcome.body).unwrap();
    let (mut at, mut from) = (0, 0);
    let mut replaced = Vec::new();
    for block in &outcome.blocks {
        if !matches!(block.outcome, BlockOutcome::Compressed { .. }) {
            continue;
        }
        let gap = &original[from..block.span.start];
        assert_eq!(&body[at..at + gap.len()], gap);
        at += gap.len();
        let mut values = serde_json::Deserializer::from_str(&body[at..]).into_iter::<Value>();
        values.next().unwrap().unwrap();
        // A block is a string, or a value whose strings may change.
        let value = &body[at..at + values.byte_offset()];
        let (before, after) = (strings(&original[block.span.clone()]), strings(value));
        assert_eq!(before.len(), after.len());
        let (mut gap, mut changed_gap) = (0, 0);
        for (before, after) in before.into_iter().zip(after) {
            let place = block.span.start + before.start..block.span.start + before.end;
            let beside = &original[block.span.start + gap..place.start];
            assert_eq!(beside, &value[changed_gap..after.start]);
            (gap, changed_gap) = (before.end, after.end);
            if original[place.clone()] != value[after] {
                replaced.push(place);
            }
        }
        assert_eq!(original[block.span.start + gap..block.span.end], value[changed_gap..]);
        at += value.len();
        from = block.span.end;
    }
    assert_eq!(body[at..], original[from..]);
    replaced
}

/// The strings in JSON, with their quotes.
fn strings(json: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = json[at..].find('"').map(|quote| at + quote) {
        at = start + 1;
        while json.as_bytes()[at] != b'"' {
            at += if json.as_bytes()[at] == b'\\' { 2 } else { 1 };
        }
        at += 1;
        found.push(start..at);
    }
    found
}

#[test]
fn every_tool_output_is_replaced_and_no_byte_beside_them() {
    let mut texts = 0;
    for (api, template) in fixtures() {
        let (body, outputs, kept) = filled(&template);
        for profile in PROFILES {
            let outcome = run(api, &body, profile, RetrieveTool::Assume);
            assert_eq!(outcome.unread, None, "{api:?}");
            assert_eq!(replaced(&body, &outcome), outputs, "{api:?} {profile:?}");
        }
        texts += kept;
    }
    assert!(texts > 200, "{texts} texts that have to stay");
}

#[test]
fn the_retrieve_tool_is_one_insertion_behind_the_tools() {
    for (api, template) in fixtures() {
        let (body, _, _) = filled(&template);
        let without = run(api, &body, Profile::Lossless, RetrieveTool::Assume);
        let with = run(api, &body, Profile::Lossless, RetrieveTool::Add);
        assert_eq!(with.added_tools.retrieve, api.takes_own_tools(), "{api:?}");
        let (without, with) = (&without.body[..], &with.body[..]);
        let ahead = without.iter().zip(with).take_while(|(a, b)| a == b).count();
        let added = &with[ahead..ahead + with.len() - without.len()];
        assert_eq!(with[ahead + added.len()..], without[ahead..], "{api:?}");
        assert_eq!(added.is_empty(), !api.takes_own_tools());
    }
}

#[test]
fn without_outputs_a_body_is_the_same_bytes() {
    for (api, template) in fixtures() {
        let body = filled(&template.replace("OUTPUT", "ok")).0;
        for profile in PROFILES {
            assert_eq!(&run(api, &body, profile, RetrieveTool::Assume).body[..], body.as_bytes(), "{api:?}");
        }
    }
}

/// A body of this format whose tool output is the JSON in `output`.
fn around(api: Api, output: &str) -> String {
    match api {
        Api::AnthropicMessages | Api::AnthropicBedrock => format!(
            r#"{{"anthropic_version":"v","messages":[{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a","content":{output}}}]}}]}}"#
        ),
        Api::OpenAiChat | Api::CohereChat => {
            format!(r#"{{"messages":[{{"role":"tool","tool_call_id":"a","content":{output}}}]}}"#)
        }
        Api::OpenAiResponses => {
            format!(r#"{{"input":[{{"type":"function_call_output","call_id":"a","output":{output}}}]}}"#)
        }
        Api::GeminiGenerateContent => format!(
            r#"{{"contents":[{{"parts":[{{"functionResponse":{{"name":"a","response":{{"output":{output}}}}}}}]}}]}}"#
        ),
        Api::GeminiCodeAssist => {
            format!(r#"{{"model":"m","request":{}}}"#, around(Api::GeminiGenerateContent, output))
        }
        Api::BedrockConverse => format!(
            r#"{{"messages":[{{"role":"user","content":[{{"toolResult":{{"toolUseId":"a","content":[{{"text":{output}}}]}}}}]}}]}}"#
        ),
    }
}

#[test]
fn a_member_that_is_read_and_stands_twice_makes_the_body_pass() {
    let output = format!("\"{}\"", tempting("output"));
    for api in Api::ALL {
        let body = around(api, &output);
        assert_eq!(replaced(&body, &run(api, &body, Profile::Balanced, RetrieveTool::Assume)).len(), 1);
        let mut doubled = 0;
        for member in [
            "messages", "input", "request", "contents", "role", "type", "content", "output", "response",
            "text",
        ] {
            // The same again before it, in another spelling: parsers disagree about which one counts.
            let twice = body.replacen(
                &format!("\"{member}\":"),
                &format!("\"\\u{:04x}{}\":0,\"{member}\":", member.as_bytes()[0], &member[1..]),
                1,
            );
            let is_gemini = matches!(api, Api::GeminiGenerateContent | Api::GeminiCodeAssist);
            if twice == body || (is_gemini && member == "output") {
                continue;
            }
            let outcome = run(api, &twice, Profile::Balanced, RetrieveTool::Assume);
            assert_eq!(outcome.unread, Some(UnreadReason::NotUnderstood), "{api:?} {member}");
            assert_eq!(&outcome.body[..], twice.as_bytes());
            doubled += 1;
        }
        assert!(doubled >= 2, "{api:?}");
    }
}

#[test]
fn hostile_json_passes_byte_for_byte() {
    let output = format!("\"{}\"", tempting("output"));
    for api in Api::ALL {
        let good = around(api, &output);
        let deep =
            |depth: usize| good.replace(&output, &format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        let hostile: Vec<Vec<u8>> = vec![
            format!("\u{feff}{good}").into(),
            format!("{good}{good}").into(),
            format!("{good},").into(),
            good[..good.len() - 1].into(),
            good.replace(&output, &format!("{output},")).into(),
            good.replace(&output, &output.replace("\\n", "\n")).into(),
            good.replace(&output, &output.replace("\\n", "\\x0a")).into(),
            good.replace(&output, &output.replace("\\n", "\\u00g0")).into(),
            good.replace(&output, "NaN").into(),
            good.replace(&output, "01").into(),
            good.replace(&output, "1.").into(),
            good.replace(&output, "+1").into(),
            good.replace(&output, "tru").into(),
            good.replace(&output, &format!("'{}'", tempting("x"))).into(),
            good.replace(&output, &format!("/* */{output}")).into(),
            deep(128).into(),
            deep(100_000).into(),
            [good.as_bytes(), b"\0"].concat(),
            [&good.as_bytes()[..20], b"\xff", &good.as_bytes()[20..]].concat(),
            [&good.as_bytes()[..20], b"\xed\xa0\x80", &good.as_bytes()[20..]].concat(),
        ];
        for body in hostile {
            let request = Request { reversible: true, ..Request::new(api) };
            let outcome = compress(&body, &request, &Config::default(), &mut Memo::new(1 << 20));
            assert_eq!(&outcome.body[..], &body[..], "{api:?}");
        }
    }
}

#[test]
fn a_text_that_is_no_unicode_stays_as_it_is_spelled() {
    for api in Api::ALL {
        let body = around(api, &format!("\"\\ud83d {}\"", tempting("output")));
        let outcome = run(api, &body, Profile::Aggressive, RetrieveTool::Assume);
        assert_eq!(&outcome.body[..], body.as_bytes(), "{api:?}");
        assert_eq!(outcome.blocks[0].outcome, BlockOutcome::Skipped(Skip::NotText));
    }
}
