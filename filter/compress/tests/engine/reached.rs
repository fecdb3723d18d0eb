//! Outputs that once passed unchanged: texts inside values, and kinds without a form.

use headroom_compress::{Api, Config, Memo, Outcome, Profile, Request, compress, rounds};
use serde_json::{Value, json};

fn run<'b>(api: Api, body: &'b str, profile: Profile) -> Outcome<'b> {
    let request = Request { reversible: profile != Profile::Lossless, ..Request::new(api) };
    let config = Config { profile, ..Config::default() };
    compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20))
}

fn forwarded(outcome: &Outcome<'_>) -> Value {
    serde_json::from_slice(&outcome.body).unwrap()
}

/// The tokens of the blocks before and after.
fn tokens(outcome: &Outcome<'_>) -> (u32, u32) {
    outcome
        .blocks
        .iter()
        .fold((0, 0), |(before, after), block| (before + block.tokens_before, after + block.tokens_after))
}

/// The last tool output of a request to Anthropic.
fn last_output(body: &Value) -> &str {
    let content = &body["messages"].as_array().unwrap().last().unwrap()["content"];
    let result = content.as_array().unwrap().iter().find(|part| part["type"] == "tool_result").unwrap();
    result["content"].as_str().or_else(|| result["content"][0]["text"].as_str()).unwrap()
}

#[test]
fn a_git_log_names_its_author_once() {
    let body = include_str!("../fixtures/faults/missed-git-log.json");
    let outcome = run(Api::AnthropicMessages, body, Profile::Lossless);
    let (before, after) = tokens(&outcome);
    assert!(after * 100 <= before * 78, "{before} -> {after}");
    let forwarded = forwarded(&outcome);
    let shown = last_output(&forwarded);
    assert_eq!(shown.matches("Ann Example").count(), 1, "{shown}");
    assert!(shown.contains("\n part 1: change number 1\n"), "{shown}");
}

#[test]
fn rows_with_two_orders_of_keys_are_a_table() {
    let body = include_str!("../fixtures/faults/missed-json-key-order.json");
    let outcome = run(Api::AnthropicMessages, body, Profile::Lossless);
    let forwarded = forwarded(&outcome);
    let shown = last_output(&forwarded);
    assert!(
        shown.contains("rows, @=cells as in this head, keys stood as name,size,kind: kind=file,size,name"),
        "{shown}"
    );
    let (before, after) = tokens(&outcome);
    assert!(after * 100 <= before * 45, "{before} -> {after}");
}

#[test]
fn an_array_in_the_text_of_an_mcp_result_is_a_table() {
    let body = include_str!("../fixtures/faults/missed-mcp-wrapped-json.json");
    let outcome = run(Api::OpenAiResponses, body, Profile::Lossless);
    let forwarded = forwarded(&outcome);
    let items = forwarded["input"].as_array().unwrap();
    let output = items.iter().find_map(|item| item["output"].as_str()).unwrap();
    let result: Value = serde_json::from_str(output).unwrap();
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("[30 rows: id,title=Task <id>"), "{text}");
    let (before, after) = tokens(&outcome);
    assert!(after * 100 <= before * 30, "{before} -> {after}");
}

#[test]
fn the_output_of_the_shell_tool_is_an_output() {
    let body = include_str!("../fixtures/faults/missed-shell-call-output.json");
    let outcome = run(Api::OpenAiResponses, body, Profile::Lossless);
    assert_eq!(&*outcome.blocks[0].tool, "shell_call");
    let (before, after) = tokens(&outcome);
    assert!(after * 100 <= before * 62, "{before} -> {after}");
    // Everything apart from the streams is unchanged.
    let mut expected: Value = serde_json::from_str(body).unwrap();
    let got = forwarded(&outcome);
    for (item, got) in
        expected["input"].as_array_mut().unwrap().iter_mut().zip(got["input"].as_array().unwrap())
    {
        if item["type"] == "shell_call_output" {
            for (part, got) in
                item["output"].as_array_mut().unwrap().iter_mut().zip(got["output"].as_array().unwrap())
            {
                part["stdout"] = got["stdout"].clone();
            }
        }
    }
    assert_eq!(got, expected);
}

#[test]
fn a_snapshot_of_a_page_has_short_marks() {
    let body = include_str!("../fixtures/faults/missed-snapshot-lossless.json");
    let outcome = run(Api::AnthropicMessages, body, Profile::Lossless);
    let (before, after) = tokens(&outcome);
    assert!(after * 100 <= before * 77, "{before} -> {after}");
    let forwarded = forwarded(&outcome);
    let shown = last_output(&forwarded);
    assert!(
        shown.contains(
            "\n  link \"Story number 0 about topic 0\" @e11 ^ -> https://example.org/s/0\n  button"
        ),
        "{shown}"
    );
}

/// A log, as a tool prints it.
fn log(lines: usize) -> String {
    (0..lines)
        .map(|n| {
            let (minute, second) = (n / 60, n % 60);
            format!("2026-10-01T12:{minute:02}:{second:02}Z INFO gateway-a GET /v1/items/{n} status=200 in {}ms\n", n * 3)
        })
        .collect()
}

fn anthropic(outputs: &[String]) -> String {
    let messages: Vec<Value> = outputs
        .iter()
        .enumerate()
        .flat_map(|(n, output)| {
            let id = format!("toolu_{n}");
            [
                json!({"role": "assistant", "content": [
                    {"type": "tool_use", "id": id, "name": "run", "input": {"command": format!("step {n}")}}]}),
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": id, "content": output}]}),
            ]
        })
        .collect();
    let mut all = vec![json!({"role": "user", "content": "go"})];
    all.extend(messages);
    json!({"model": "claude-sonnet-4-5", "max_tokens": 1, "tools": [{"name": "run", "input_schema": {"type": "object"}}],
        "messages": all})
    .to_string()
}

/// How callers of models put a text into values.
fn envelopes(text: &str) -> Vec<(&'static str, String)> {
    let python = {
        let escaped = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t");
        if text.contains('\'') && !text.contains('"') {
            format!("\"{escaped}\"")
        } else {
            format!("'{}'", escaped.replace('\'', "\\'"))
        }
    };
    vec![
        ("string", Value::from(text).to_string()),
        ("shell", json!({"stdout": text, "stderr": "", "exitCode": 0}).to_string()),
        ("pretty", serde_json::to_string_pretty(&json!({"returncode": 0, "output": text})).unwrap()),
        ("mcp", json!({"content": [{"type": "text", "text": text}], "isError": false}).to_string()),
        ("cline", json!([{"query": "make", "result": text, "success": true}]).to_string()),
        ("nested", json!({"result": json!({"output": text}).to_string()}).to_string()),
        ("python", format!("{{'output': {python}, 'returncode': 0}}")),
        ("mcp in python", format!("[TextContent(type='text', text={python}, annotations=None)]")),
    ]
}

#[test]
fn a_text_in_a_value_saves_what_it_saves_alone() {
    let text = log(60);
    let bare = anthropic(std::slice::from_ref(&text));
    let alone = run(Api::AnthropicMessages, &bare, Profile::Lossless);
    let (before, after) = tokens(&alone);
    let saved = |before: u32, after: u32| f64::from(before - after) / f64::from(before);
    assert!(saved(before, after) > 0.3);
    for (name, wrapped) in envelopes(&text) {
        let body = anthropic(&[wrapped]);
        let outcome = run(Api::AnthropicMessages, &body, Profile::Lossless);
        let (before_wrapped, after_wrapped) = tokens(&outcome);
        assert!(
            saved(before_wrapped, after_wrapped) >= 0.9 * saved(before, after),
            "{name}: {before_wrapped} -> {after_wrapped}, alone {before} -> {after}"
        );
    }
}

#[test]
fn what_a_text_in_a_value_leaves_out_is_had_back_by_its_own_address() {
    let text = log(600);
    for (name, wrapped) in envelopes(&text) {
        let body = anthropic(&[wrapped]);
        let outcome = run(Api::AnthropicMessages, &body, Profile::Aggressive);
        let [original] = &outcome.originals[..] else { panic!("{name}: {:?}", outcome.blocks) };
        assert_eq!(original.text(), text, "{name}");
        let found = rounds::find(body.as_bytes(), original.span(), &original.hash).unwrap();
        assert_eq!((found.text.as_str(), found.whole), (text.as_str(), false), "{name}");
        assert!(rounds::find(body.as_bytes(), original.span(), "another").is_none());
        let forwarded = forwarded(&outcome);
        let shown = last_output(&forwarded);
        assert!(shown.contains(&format!("headroom_retrieve hash={}", original.hash)), "{name}: {shown}");
        assert_eq!(*original.hash, headroom_compress::address(&text));
    }
}

#[test]
fn a_reference_names_the_place_of_a_text_in_a_value() {
    let lines: String = (0..40).map(|n| format!("    let value_{n} = compute(input_{n}, {n});\n")).collect();
    let first = json!({"stdout": lines, "exitCode": 0}).to_string();
    let second = json!({"stdout": format!("// another\n{lines}"), "exitCode": 0}).to_string();
    let body = anthropic(&[first, second]);
    let outcome = run(Api::AnthropicMessages, &body, Profile::Lossless);
    let forwarded = forwarded(&outcome);
    let shown = last_output(&forwarded);
    let value: Value = serde_json::from_str(shown).unwrap();
    assert_eq!(value["exitCode"], 0);
    let stdout = value["stdout"].as_str().unwrap();
    assert!(stdout.contains("same as output.stdout lines 1-4"), "{stdout}");
    // The result from the memo is the same as the first one.
    let request = Request::new(Api::AnthropicMessages);
    let config = Config { profile: Profile::Lossless, ..Config::default() };
    let mut memo = Memo::new(1 << 20);
    let parsed: Value = serde_json::from_str(&body).unwrap();
    let mut start = parsed.clone();
    start["messages"].as_array_mut().unwrap().truncate(3);
    let start = start.to_string();
    let early = compress(start.as_bytes(), &request, &config, &mut memo);
    assert!(early.blocks.len() == 1);
    assert_eq!(compress(body.as_bytes(), &request, &config, &mut memo).body, outcome.body);
}

#[test]
fn a_value_with_a_reference_in_it_is_not_shown_whole() {
    let lines: String = (0..40).map(|n| format!("    let value_{n} = compute(input_{n}, {n});\n")).collect();
    let first = json!({"stdout": lines, "exitCode": 0}).to_string();
    let second = json!({"stdout": format!("// another\n{lines}"), "exitCode": 0}).to_string();
    let body = anthropic(&[first.clone(), second.clone(), second, first]);
    let outcome = run(Api::AnthropicMessages, &body, Profile::Lossless);
    let forwarded = forwarded(&outcome);
    let messages = forwarded["messages"].as_array().unwrap();
    let shown = |at: usize| messages[at]["content"][0]["content"].as_str().unwrap();
    assert!(
        shown(6).starts_with('{') && shown(6).contains("same as output.stdout lines 1-4"),
        "{}",
        shown(6)
    );
    assert!(shown(8).starts_with("[same output as run"), "{}", shown(8));
}

#[test]
fn kinds_can_be_kept_as_they_are() {
    use headroom_compress::{Kind, Policy};
    let body = anthropic(&[json!({"stdout": log(60)}).to_string(), log(60)]);
    let request = Request { reversible: true, ..Request::new(Api::AnthropicMessages) };
    let with = |policy| {
        let config =
            Config { kinds: vec![(Kind::Log, policy)], profile: Profile::Aggressive, ..Config::default() };
        let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20));
        (outcome.body.into_owned(), outcome.originals.len())
    };
    assert_eq!(with(Policy::Off), (body.clone().into_bytes(), 0));
    let (lossless, originals) = with(Policy::Lossless);
    assert!(lossless.len() < body.len() && originals == 0);
}
