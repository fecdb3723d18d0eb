//! Forms say the truth: every line that stands for others can be followed, using only what the provider still
//! gives to the model, and lines that report a failure stay as the tool printed them. In the lossless
//! profile, over whole bodies.

use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use serde_json::{Value, json};

/// The outputs of a forwarded body, decoded.
fn forwarded(api: Api, body: &str) -> Vec<String> {
    let config = Config { profile: Profile::Lossless, ..Config::default() };
    let outcome = compress(body.as_bytes(), &Request::new(api), &config, &mut Memo::new(1 << 20));
    assert_eq!(outcome.unread, None);
    let forwarded: Value = serde_json::from_slice(&outcome.body).unwrap();
    outputs(&forwarded)
}

/// The texts of all tool outputs in a body, in order.
fn outputs(value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let list = ["messages", "input"].iter().find_map(|name| value[name].as_array()).unwrap();
    for item in list {
        if item["type"] == "function_call_output" {
            out.push(item["output"].as_str().unwrap().to_owned());
        } else if item["role"] == "tool" {
            out.push(item["content"].as_str().unwrap().to_owned());
        }
        for block in item["content"].as_array().into_iter().flatten() {
            if block["type"] == "tool_result" {
                out.push(block["content"].as_str().unwrap().to_owned());
            }
            if let Some(text) = block["toolResult"]["content"][0]["text"].as_str() {
                out.push(text.to_owned());
            }
        }
    }
    out
}

/// The outputs of a fault's body, before and after.
fn fault(api: Api, body: &str) -> (Vec<String>, Vec<String>) {
    (outputs(&serde_json::from_str(body).unwrap()), forwarded(api, body))
}

fn assert_keeps_lines(shown: &str, original: &str, is: impl Fn(&str) -> bool) {
    let mut rest = shown.lines();
    for line in original.lines().filter(|line| is(line)) {
        assert!(rest.any(|shown| shown == line), "{line} is not as printed in\n{shown}");
    }
}

#[test]
fn lines_that_are_equal_only_in_a_code_are_not_called_the_same() {
    let (came, shown) =
        fault(Api::AnthropicMessages, include_str!("../fixtures/faults/ref-encoded-log.json"));
    assert!(!shown[1].contains("same as"), "{}", shown[1]);
    assert_keeps_lines(&shown[1], &came[1], |line| line.contains("status=503"));
}

#[test]
fn nothing_refers_to_outputs_that_the_provider_clears() {
    let (came, shown) =
        fault(Api::AnthropicMessages, include_str!("../fixtures/faults/ref-across-clear-tool-uses.json"));
    assert_eq!(came[0], came[came.len() - 1]);
    assert!(shown.iter().all(|shown| !shown.contains("same ")), "{shown:?}");
    assert_eq!(shown[0], shown[shown.len() - 1]);
    assert!(shown[0].len() < came[0].len());
    // No statement is made about 64 tokens to save one.
    assert_eq!(shown[1..4], came[1..4]);
}

#[test]
fn nothing_behind_a_compaction_refers_to_what_stands_before_it() {
    for (api, body) in [
        (Api::AnthropicMessages, include_str!("../fixtures/faults/ref-across-compaction-anthropic.json")),
        (Api::OpenAiResponses, include_str!("../fixtures/faults/ref-across-compaction-responses.json")),
    ] {
        let (came, shown) = fault(api, body);
        assert_eq!(came[0], came[1]);
        assert_eq!(shown[0], shown[1]);
    }
}

#[test]
fn a_reference_within_numbered_lines_names_their_numbers() {
    let (_, shown) =
        fault(Api::AnthropicMessages, include_str!("../fixtures/faults/lines-up-is-ambiguous.json"));
    for lines in ["12-21", "22-31", "32-41", "42-51"] {
        let reference = format!("\n[lines {lines}: same as lines 2-11 above]\n");
        assert!(shown[0].contains(&reference), "{reference} is not in\n{}", shown[0]);
    }
    assert!(shown[0].contains("\n[lines 52-60: same as lines 2-10 above]"), "{}", shown[0]);
}

#[test]
fn the_years_of_a_series_are_data() {
    let (came, shown) =
        fault(Api::AnthropicMessages, include_str!("../fixtures/faults/years-taken-for-line-numbers.json"));
    assert_eq!(shown, came);
}

#[test]
fn a_constant_names_its_column_and_the_header_fits_the_rows() {
    let (came, shown) =
        fault(Api::AnthropicMessages, include_str!("../fixtures/faults/table-constant-without-name.json"));
    assert!(shown[0].len() * 4 < came[0].len() * 3);
    let lines: Vec<&str> = shown[0].lines().collect();
    assert!(!shown[0].contains("root is root") && !shown[0].contains("0.0 is 0.0"), "{}", lines[0]);
    let stated = lines[0].split_once("the same in every row: ").expect("a constant").1;
    assert!(stated.starts_with("USER=root"), "{stated}");
    // The header has a title for every cell of a row; only the last cell may contain blanks.
    let separator = lines[1].chars().find(|c| !c.is_alphanumeric() && *c != '%').unwrap();
    let width = lines[1].split(separator).count();
    assert!(lines[2..].iter().all(|row| row.split(separator).count() >= width), "{}", lines[1]);
}

#[test]
fn lines_of_tests_that_failed_stay_as_printed_with_their_place() {
    let (came, shown) =
        fault(Api::AnthropicMessages, include_str!("../fixtures/faults/go-test-fail-lines-templated.json"));
    let fails =
        |line: &str| line.starts_with("--- FAIL") || line.starts_with("FAIL") || line.contains("got ");
    assert_keeps_lines(&shown[0], &came[0], fails);
    assert!(shown[0].contains("\nA: === RUN   *\n") || !shown[0].contains("=== RUN   *"), "{}", shown[0]);
    assert!(!shown[0].contains(" lines up"));
}

/// A log that has a form of its own.
fn log() -> String {
    let line =
        |i| format!("2026-10-01T12:00:{i:02}Z INFO gw-{} GET /v1/items/{} in {}ms\n", i % 8, i * 37, i * 3);
    (0..60).map(line).collect()
}

/// An Anthropic conversation of these blocks, each with a call or a compaction.
fn anthropic(blocks: &[&str], parameters: Value) -> String {
    let mut messages = vec![json!({"role": "user", "content": "go"})];
    for (at, text) in blocks.iter().enumerate() {
        let id = format!("t{at}");
        if *text == COMPACTION {
            messages.push(
                json!({"role": "assistant", "content": [{"type": "compaction", "content": "We looked."}]}),
            );
            continue;
        }
        messages.push(json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": id, "name": "Bash", "input": {"command": "cat a.log"}}]}));
        messages.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": text}]}));
    }
    let mut body = json!({"model": "claude-opus-4-6", "messages": messages});
    for (name, value) in parameters.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

const COMPACTION: &str = "<compaction>";

#[test]
fn a_compaction_changes_nothing_before_it_and_starts_what_can_be_referred_to_anew() {
    let log = log();
    let again = format!("{log}2026-10-01T12:01:00Z INFO gw-1 stopped\n");
    let show = |blocks: &[&str]| forwarded(Api::AnthropicMessages, &anthropic(blocks, json!({})));
    let before = show(&[&log, &log, &again]);
    assert_eq!(before[1], "[same output as Bash \"cat a.log\" above]");
    assert!(before[2].starts_with("[60 lines: same as output lines 1-60 of 1st Bash"), "{}", before[2]);
    // The longer conversation contains everything that the shorter one has sent (I3).
    let behind = show(&[&log, &log, &again, COMPACTION, &log, &log, COMPACTION, COMPACTION, &again, &log]);
    assert_eq!(behind[..3], before[..]);
    assert_eq!(behind[3], before[0]);
    assert_eq!(behind[4], before[1]);
    assert!(!behind[5].contains("same "), "{}", behind[5]);
    assert!(behind[6].contains("same as output lines 1-60 of Bash \"cat a.log\" above"), "{}", behind[6]);
    // Turn by turn, with one memo and with none.
    let blocks = [&log[..], &log, &again, COMPACTION, &log, &log, COMPACTION, COMPACTION, &again, &log];
    let (mut memo, config) =
        (Memo::new(16 << 20), Config { profile: Profile::Lossless, ..Config::default() });
    for turns in 1..=blocks.len() {
        let body = anthropic(&blocks[..turns], json!({}));
        let request = Request::new(Api::AnthropicMessages);
        let outcome = compress(body.as_bytes(), &request, &config, &mut memo);
        let shown = outputs(&serde_json::from_slice(&outcome.body).unwrap());
        assert_eq!(shown, behind[..shown.len()], "after {turns} blocks");
    }
}

#[test]
fn what_the_model_wrote_before_a_compaction_is_gone_too() {
    let written: String = (0..30).map(|i| format!("    value_{i} = compute(input, {i})\n")).collect();
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "w", "name": "Write",
        "input": {"file_path": "/a/x.py", "content": written}}]});
    let result =
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "w", "content": written}]});
    let compaction = json!({"role": "assistant", "content": [{"type": "compaction", "content": "Written."}]});
    let show = |messages: Vec<&Value>| {
        let body = json!({"model": "claude-opus-4-6", "messages": messages}).to_string();
        forwarded(Api::AnthropicMessages, &body)
    };
    let before = &show(vec![&call, &result])[0];
    let quote = "from \"value_0 = compute(input, 0)\"";
    assert_eq!(before, &format!("[30 lines: same as content lines 1-30 of Write a/x.py above, {quote}]\n"));
    assert_eq!(show(vec![&call, &compaction, &result])[0], written);
}

#[test]
fn every_parameter_by_which_a_provider_drops_outputs_ends_references_and_no_other() {
    let log = log();
    let chat = |parameters: Value| {
        let call = |id: &str| {
            json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function",
                "function": {"name": "exec", "arguments": "{\"command\":\"cat a.log\"}"}}]})
        };
        let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": log});
        let mut body =
            json!({"model": "gpt-5", "messages": [call("a"), result("a"), call("b"), result("b")]});
        body.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        forwarded(Api::OpenAiChat, &body.to_string())
    };
    let responses = |parameters: Value| {
        let call =
            |id: &str| json!({"type": "function_call", "call_id": id, "name": "exec", "arguments": "{}"});
        let result = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": log});
        let mut body = json!({"model": "gpt-5", "input": [call("a"), result("a"), call("b"), result("b")]});
        body.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        forwarded(Api::OpenAiResponses, &body.to_string())
    };
    let converse = |parameters: Value| {
        let call = |id: &str| json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": id, "name": "exec", "input": {}}}]});
        let result = |id: &str| json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": [{"text": log}]}}]});
        let mut body = json!({"messages": [call("a"), result("a"), call("b"), result("b")]});
        body.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
        forwarded(Api::BedrockConverse, &body.to_string())
    };
    let messages =
        |parameters: Value| forwarded(Api::AnthropicMessages, &anthropic(&[&log, &log], parameters));
    let clears = json!({"edits": [{"type": "clear_tool_uses_20250919"}]});
    for dropped in [
        messages(json!({"context_management": clears})),
        messages(
            json!({"context_management": {"edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]}}),
        ),
        messages(json!({"context_management": {"edits": [{"type": "clear_something_20270101"}]}})),
        responses(json!({"truncation": "auto"})),
        responses(json!({"context_management": [{"type": "prune"}]})),
        chat(json!({"transforms": ["middle-out"]})),
        chat(json!({"truncate_prompt_tokens": 4096})),
        chat(json!({"truncation": "auto"})),
        converse(json!({"additionalModelRequestFields": {"context_management": clears}})),
    ] {
        assert_eq!(dropped[0], dropped[1]);
    }
    for kept in [
        messages(json!({})),
        messages(
            json!({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}),
        ),
        messages(json!({"context_management": {"edits": [{"type": "compact_20260112"}]}})),
        responses(json!({"truncation": "disabled"})),
        responses(json!({"truncation": null, "context_management": [{"type": "compaction"}]})),
        chat(json!({"transforms": [], "truncate_prompt_tokens": null})),
        converse(json!({"additionalModelRequestFields": {"thinking": {"type": "enabled"}}})),
    ] {
        assert!(kept[1].starts_with("[same output as "), "{}", kept[1]);
    }
}

/// Failures as test runners and compilers print them, among lines of one wording.
#[test]
fn what_reports_a_failure_stays_as_printed_whatever_prints_it() {
    let failures: [fn(usize) -> String; 14] = [
        |i| format!("--- FAIL: TestCase{i} (0.0{}s)", i % 7),
        |i| format!("test module::case_{i} ... FAILED"),
        |i| format!("tests/test_a.py::test_case_{i} FAILED [ {i}%]"),
        |i| format!("not ok {i} - the case with number {i} was not right"),
        |i| format!("  ✕ renders the part with number {i} ({i} ms)"),
        |i| format!("  ✖ the part with number {i} was not right ({i} ms)"),
        |i| format!("FAIL src/part{i}/index.test.ts ({i}.2 s)"),
        |i| format!("src/part{i}.c:{i}:7: error: expected ';' before number {i}"),
        |i| format!("E       assert {i} == {} in the case with this number", i + 1),
        |i| format!("tests/test_part{i}.py ..F....... [ {i}%]"),
        |i| format!("curl: (6) Could not resolve host: part{i}.example.com after {i} ms"),
        |i| format!("worker {i} was killed by signal 9 after {i} seconds of work"),
        |i| format!("[ERROR] Tests run: {i}, Failures: 1, Errors: 0 in the part {i}"),
        |i| format!("2026-10-01T12:00:{:02}Z ERROR part {i} answered 503 after {i} ms", i % 60),
    ];
    for failure in failures {
        let mut text = String::new();
        for i in 10..40 {
            text += &format!("=== RUN   TestCase{i}\n--- PASS: TestCase{i} (0.0{}s)\n", i % 7);
            if i % 3 == 0 {
                text += &format!("=== RUN   TestFailing{i}\n{}\n", failure(i));
            }
        }
        let shown = forwarded(Api::AnthropicMessages, &anthropic(&[&text], json!({})));
        assert!(shown[0].len() < text.len(), "{}", failure(10));
        let failing: Vec<String> = (10..40).map(failure).collect();
        assert_keeps_lines(&shown[0], &text, |line| failing.iter().any(|failing| failing == line));
    }
}

/// Kinds whose code shows two different outputs in the same way.
#[test]
fn outputs_that_only_look_alike_in_a_code_are_told_apart() {
    let listing = |date: &str| -> String {
        let row = |i| format!("-rw-r--r--  1 root root {:>6} {date} file_{i}.txt\n", 100 + i);
        "total 96\n".to_owned() + &(0..24).map(row).collect::<String>()
    };
    let hits = |directory: &str| -> String {
        (0..24)
            .map(|i| format!("{directory}/lib.rs:{}:    let value_{i} = compute(input, {i});\n", i * 3 + 1))
            .collect()
    };
    let paths = |directory: &str| -> String {
        (0..120).map(|i| format!("./{directory}/part{}/file_number_{i}.rs\n", i / 30)).collect()
    };
    let pods = |namespace: &str| -> String {
        let row = |i| format!("{namespace}   web-{i:<6} 1/1     Running   {i}d\n");
        "NAMESPACE   NAME       READY   STATUS    AGE\n".to_owned() + &(0..24).map(row).collect::<String>()
    };
    let tests = |package: &str| -> String {
        (0..24)
            .map(|i| format!("=== RUN   {package}/TestCase{i}\n--- PASS: {package}/TestCase{i} (0.00s)\n"))
            .collect()
    };
    let lines = |day: &str| -> String {
        (0..40)
            .map(|i| format!("{day} 10:00:{i:02} INFO gateway served the request {i} in {}ms\n", i * 3))
            .collect()
    };
    for (one, other) in [
        (listing("Nov 22 11:13"), listing("Nov 23 11:13")),
        (hits("src/one"), hits("src/two")),
        (paths("one"), paths("two")),
        (pods("blue-team"), pods("red-team ")),
        (tests("shop"), tests("cart")),
        (lines("2026-10-01"), lines("2026-10-02")),
    ] {
        let shown = forwarded(Api::AnthropicMessages, &anthropic(&[&one, &other], json!({})));
        assert!(shown[0].len() < one.len(), "{}", shown[0]);
        assert!(!shown[1].contains("same as"), "{}", shown[1]);
        // Equal outputs are called equal.
        let shown = forwarded(Api::AnthropicMessages, &anthropic(&[&one, &one], json!({})));
        assert!(shown[1].starts_with("[same output as Bash"), "{}", shown[1]);
    }
}

#[test]
fn a_form_that_saves_next_to_nothing_is_not_used() {
    let words: Vec<String> = (0..60).map(|i| format!("word{}", i * 7919 % 1000)).collect();
    let text = format!("{}  \nand so on", words.join(" "));
    let shown = forwarded(Api::AnthropicMessages, &anthropic(&[&text], json!({})));
    assert_eq!(shown[0], text);
}
