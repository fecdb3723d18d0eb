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

fn file(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(answer: &Output) -> String {
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    String::from_utf8(answer.stdout.clone()).unwrap()
}

#[test]
fn files_give_what_standard_input_gives_and_a_body_may_stand_on_several_lines() {
    let folder = tempfile::tempdir().unwrap();
    let bodies = [openai_chat(), anthropic()];
    let lined = file(&folder, "bodies.jsonl", lines(&bodies));
    let pretty = serde_json::to_string_pretty(&gemini()).unwrap();
    let whole = file(&folder, "body.json", &pretty);
    let from_files = text(&run(&[&lined, &whole, "-"], &lines(&bodies)));
    let from_stdin = text(&run(&[], &lines(&bodies)));
    let of_the_pretty_one = from_files.strip_prefix(&from_stdin).unwrap().strip_suffix(&from_stdin).unwrap();
    assert!(of_the_pretty_one.len() < pretty.len(), "{of_the_pretty_one}");
    let head = pretty.find("functionResponse").unwrap();
    assert!(of_the_pretty_one.starts_with(&pretty[..head]), "the client's own white space stays");
    let half = "{\"messages\":\n[1,\nnot json\n";
    assert_eq!(text(&run(&[&file(&folder, "half", half)], b"")), half, "what is no body comes back");
}

#[test]
fn files_that_cannot_be_read_are_named_before_anything_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good.jsonl", lines(&[openai_chat()]));
    let binary = file(&folder, "binary", b"\x7fELF\0\0");
    let sparse = folder.path().join("huge");
    std::fs::write(&sparse, vec![b'a'; 34 << 20]).unwrap();
    let huge = sparse.to_str().unwrap();
    let latin = file(&folder, "latin", b"gr\xfc\xdfe");
    let missing = folder.path().join("missing");
    for (arguments, says) in [
        (vec![good.as_str(), missing.to_str().unwrap()], "missing: No such file"),
        (vec![&good, &binary], "binary: expected text, found binary data"),
        (vec![&good, folder.path().to_str().unwrap()], "expected a file, found a folder"),
        (vec!["--text", &binary], "expected text, found binary data"),
        (vec!["--text", huge], "huge: a text may have at most 32 MiB"),
        (vec!["--text", &latin], "latin: expected UTF-8, found other bytes at 2"),
    ] {
        let answer = run(&arguments, b"");
        let error = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert_eq!((answer.status.code(), answer.stdout.as_slice()), (Some(1), &b""[..]), "{error}");
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(run(&["-", "-"], b"").status.code(), Some(2));
    assert_eq!(run(&["--text", &good, &good], b"").status.code(), Some(2));
    assert_eq!(run(&["--simulate", "--diff"], b"").status.code(), Some(2));
}

#[test]
fn a_text_becomes_what_it_would_become_as_a_tool_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "items.json", output());
    let short = text(&run(&["--text", &path, "--profile", "lossless"], b""));
    let request = text(&run(&["--profile", "lossless"], &lines(&[openai_chat()])));
    let request: Value = serde_json::from_str(&request).unwrap();
    assert_eq!(short, request["messages"][2]["content"].as_str().unwrap());
    assert_eq!(text(&run(&["--text", "-", "--profile", "lossless"], output().as_bytes())), short);
    assert_eq!(text(&run(&["--text", &file(&folder, "empty", "")], b"")), "");
}

#[test]
fn a_plan_has_the_words_of_the_service_and_leaves_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let content = lines(&[openai_chat(), json!({"messages": [{"role": "user", "content": "hi"}]})]);
    let path = file(&folder, "bodies.jsonl", &content);
    let answer = text(&run(&["--simulate", &path], b""));
    assert_eq!(std::fs::read(&path).unwrap(), content);
    let plans: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [plan, nothing] = plans.as_slice() else { panic!("{answer}") };
    assert_eq!((&plan["simulated"], &plan["line"], &plan["file"]), (&json!(true), &json!(1), &json!(path)));
    let tokens = |name: &str| plan[name].as_u64().unwrap();
    assert_eq!(tokens("tokens_before") - tokens("tokens_after"), tokens("tokens_saved"));
    assert!(plan["compression_ratio"].as_f64().unwrap() < 1.0);
    let block = &plan["plan"]["blocks"][0];
    assert_eq!((&block["message"], &block["tool"]), (&json!(2), &json!("list_items")));
    let form = format!("headroom:{}", block["outcome"].as_str().unwrap());
    assert_eq!(plan["transforms_summary"][form], json!(1));
    assert!(block["diff"].as_str().unwrap().starts_with("--- before\n+++ after\n@@ -1,"), "{block}");
    assert_eq!((&nothing["tokens_saved"], &nothing["plan"]["blocks"]), (&json!(0), &json!([])));
}

#[test]
fn a_diff_leads_from_each_tool_output_to_its_form() {
    let folder = tempfile::tempdir().unwrap();
    let mut body = openai_chat();
    body["messages"][1]["tool_calls"][0]["function"]["name"] = json!("list\n+++ items\u{1b}[2J");
    body["tools"] = json!([{"type": "function", "function": {"name": "a"}}]);
    let input = lines(&[body]);
    let arguments = ["--profile", "lossless", "--retrieve-tool", "add"];
    let diff = text(&run(&[&arguments[..], &["--diff"]].concat(), &input));
    let headers: Vec<&str> = diff.lines().take(2).collect();
    assert!(headers[0].starts_with("--- -:1 message 2 list\u{FFFD}+++ items\u{FFFD}[2J ("), "{diff}");
    assert!(headers[1].starts_with("+++ -:1 message 2 "), "{diff}");
    let patched = folder.path().join("patched");
    std::fs::write(&patched, output()).unwrap();
    let mut patch = Command::new("patch").arg(&patched).stdin(Stdio::piped()).spawn().unwrap();
    patch.stdin.take().unwrap().write_all(diff.as_bytes()).unwrap();
    assert!(patch.wait().unwrap().success());
    let compressed: Value = serde_json::from_str(&text(&run(&arguments, &input))).unwrap();
    assert_eq!(
        std::fs::read_to_string(patched).unwrap(),
        compressed["messages"][2]["content"].as_str().unwrap()
    );
}
