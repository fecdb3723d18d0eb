//! The line protocol of `headroomctl compress`, against the program itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.arg("compress").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// A conversation whose tool output is indented JSON: something to gain in every format.
fn output() -> String {
    let rows: Vec<Value> =
        (0..40).map(|i| json!({"id": i, "name": format!("item-{i}"), "state": "ready"})).collect();
    serde_json::to_string_pretty(&rows).unwrap()
}

fn openai_chat() -> Value {
    json!({"model": "gpt-4o", "messages": [
        {"role": "user", "content": "List the items."},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function",
            "function": {"name": "list_items", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": output()}]})
}

fn anthropic() -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [
        {"role": "user", "content": "List the items."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "list_items", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": output()}]}]})
}

fn gemini() -> Value {
    json!({"contents": [
        {"role": "user", "parts": [{"text": "List the items."}]},
        {"role": "model", "parts": [{"functionCall": {"name": "list_items", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "list_items", "response": {"result": output()}}}]}]})
}

fn lines(bodies: &[Value]) -> Vec<u8> {
    bodies.iter().map(|body| format!("{body}\n")).collect::<String>().into_bytes()
}

#[test]
fn each_body_comes_back_compressed_on_its_line() {
    let bodies = [openai_chat(), anthropic(), gemini()];
    let answer = run(&[], &lines(&bodies));
    assert!(answer.status.success());
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(text.lines().count(), bodies.len());
    for (line, body) in text.lines().zip(&bodies) {
        let compressed: Value = serde_json::from_str(line).unwrap();
        assert!(line.len() < body.to_string().len(), "{line}");
        assert_eq!(compressed["model"], body["model"]);
    }
}

#[test]
fn what_is_not_a_request_comes_back_byte_for_byte() {
    let input = b"\nnot json\n{\"half\":\n\xff\xfe\n[1, 2]\n{ \"a\" : 1.0 }\r\nno newline at the end";
    let answer = run(&[], input);
    assert!(answer.status.success());
    assert_eq!(answer.stdout, input);
    let answer = run(&["--envelope"], input);
    assert_eq!(answer.stdout, input);
}

#[test]
fn an_envelope_keeps_everything_but_its_body() {
    let body = anthropic();
    let line =
        format!("{{ \"id\":\"c\", \"turn\": 2,\"format\":\"anthropic\", \"body\": {body}, \"x\":[1 ,2] }}\n");
    let answer = String::from_utf8(run(&["--envelope"], line.as_bytes()).stdout).unwrap();
    let bare = String::from_utf8(run(&[], &lines(std::slice::from_ref(&body))).stdout).unwrap();
    assert_eq!(answer, line.replace(&body.to_string(), bare.trim_end()));
    assert!(answer.len() < line.len());
}

#[test]
fn an_envelope_with_a_format_that_nobody_knows_comes_back_as_it_was() {
    let line = format!("{{\"format\":\"morse\",\"body\":{}}}\n", openai_chat());
    assert_eq!(run(&["--envelope"], line.as_bytes()).stdout, line.as_bytes());
}

#[test]
fn a_format_that_is_given_is_not_guessed() {
    let input = lines(&[openai_chat()]);
    assert_eq!(run(&["--format", "gemini"], &input).stdout, input);
}

#[test]
fn each_line_is_answered_before_the_next_is_written() {
    let mut child = command(&[]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for body in [openai_chat(), anthropic()] {
        writeln!(stdin, "{body}").unwrap();
        stdin.flush().unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.ends_with("}\n"), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn conversations_that_interleave_give_what_each_gives_alone() {
    let first = openai_chat();
    let mut second = openai_chat();
    second["messages"][0]["content"] = "Other words.".into();
    let together = run(&[], &lines(&[first.clone(), second.clone(), first.clone(), second.clone()])).stdout;
    let alone = |body: &Value| run(&[], &lines(std::slice::from_ref(body))).stdout;
    assert_eq!(together, [alone(&first), alone(&second), alone(&first), alone(&second)].concat());
    assert_eq!(
        run(&["--memo", "0"], &lines(&[first.clone(), first.clone()])).stdout,
        alone(&first).repeat(2)
    );
}

#[test]
fn the_report_has_a_record_per_line_and_an_entry_per_block() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.jsonl");
    let mut input = lines(&[openai_chat(), openai_chat()]);
    input.extend_from_slice(b"nothing\n[1]\n");
    let answer = run(&["--report", file.to_str().unwrap()], &input);
    assert!(answer.status.success());
    let report = std::fs::read_to_string(file).unwrap();
    let records: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<&Value> = records.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["compressed", "compressed", "not_json", "unknown_format"]);
    let block = &records[0]["blocks"][0];
    assert_eq!((&block["tool"], &block["kind"]), (&json!("list_items"), &json!("json")));
    assert!(block["tokens_after"].as_u64() < block["tokens_before"].as_u64());
    assert_eq!(
        (&records[0]["blocks"][0]["memo"], &records[1]["blocks"][0]["memo"]),
        (&json!(false), &json!(true))
    );
    let [start, end] = [0, 1].map(|i| usize::try_from(block["span"][i].as_u64().unwrap()).unwrap());
    let body = openai_chat().to_string();
    assert_eq!(serde_json::from_str::<String>(&body[start..end]).unwrap(), output());
}

#[test]
fn explain_names_each_block_and_ends_with_the_sum() {
    let answer = run(&["--explain", "--profile", "lossless"], &lines(&[openai_chat()]));
    let text = String::from_utf8(answer.stderr).unwrap();
    assert!(text.contains("line 1  openai_chat  gpt-4o: compressed"), "{text}");
    assert!(text.contains("list_items"), "{text}");
    assert!(text.contains("tried on json "), "{text}");
    assert!(
        text.contains("taken\n        forwarded: the forms taken together, which have fewer tokens\n"),
        "{text}"
    );
    assert!(text.contains("\n1 requests: "), "{text}");
}

#[test]
fn without_a_store_the_answer_is_the_lossless_one() {
    let input = lines(&[openai_chat()]);
    let marker = b"headroom_retrieve hash=";
    let answer = run(&["--without-store", "--profile", "aggressive"], &input).stdout;
    assert!(answer.len() < input.len());
    assert!(!answer.windows(marker.len()).any(|window| window == marker));
}

#[test]
fn an_option_that_does_not_exist_ends_with_status_two() {
    assert_eq!(run(&["--formt", "gemini"], b"").status.code(), Some(2));
    assert_eq!(run(&["--report", "/nowhere/at/all"], b"").status.code(), Some(1));
}
