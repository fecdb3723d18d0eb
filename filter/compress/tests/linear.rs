//! Time is proportional to the input, whatever the input is (I7). Sixteen times the input may take at most
//! four times sixteen times the time; a quadratic algorithm takes sixteen times sixteen times.
//!
//! The factor of four allows for effects outside the algorithm: the larger input no longer fits into a cache
//! of the processor, or its memory comes from the system page by page. Such effects occur once and not at
//! every doubling, so the two sizes are far apart.
//!
//! The CPU time of the thread is measured, as the kernel counts it, so other programs do not matter. A
//! measurement over the limit is repeated; code that is worse than linear fails every time. If the kernel
//! does not give the time, nothing is measured, and the test says so.

use std::{fs, hint};

use headroom_compress::{Api, Config, Memo, Original, Profile, Request, compress};
use serde_json::{Value, json};

/// How many times larger the second input is.
const GROWTH: usize = 16;
/// The limit, as a multiple of the proportional time.
const MOST: f64 = 4.0;
/// Bytes of the smaller input.
const SIZE: usize = 40_000;
const ATTEMPTS: usize = 6;
/// Nanoseconds.
const ENOUGH: u64 = 60_000_000;

/// Nanoseconds that this thread has run.
fn cpu_time() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Nanoseconds for one run. The kernel counts in ticks of some milliseconds, so the run is repeated until
/// there are enough of them.
fn cost(run: impl Fn()) -> Option<f64> {
    let start = cpu_time()?;
    for answers in 1.. {
        run();
        let taken = cpu_time()? - start;
        if taken >= ENOUGH {
            return Some(taken as f64 / f64::from(answers));
        }
    }
    None
}

fn assert_linear(name: &str, api: Api, config: &Config, body: impl Fn(usize) -> Vec<u8>) {
    // The vocabulary is built on the first count.
    compress(&body(100), &Request::new(api), config, &mut Memo::new(0));
    let request = Request { reversible: true, ..Request::new(api) };
    assert_proportional(name, [body(SIZE), body(GROWTH * SIZE)], |body| {
        let outcome = compress(body, &request, config, &mut Memo::new(64 << 20));
        assert!(outcome.body.len() <= 2 * body.len() + 100);
    });
}

fn assert_proportional<I>(name: &str, [small, large]: [I; 2], run: impl Fn(&I)) {
    let mut ratios = Vec::new();
    for _ in 0..ATTEMPTS {
        let (Some(small_cost), Some(large_cost)) = (cost(|| run(&small)), cost(|| run(&large))) else {
            eprintln!("SKIPPED: no CPU time for {name}");
            return;
        };
        let ratio = large_cost / small_cost / GROWTH as f64;
        if ratio <= MOST {
            let rate = (GROWTH * SIZE) as f64 / large_cost * 1e3;
            eprintln!("{name}: {ratio:.2} times the time in proportion, {rate:.0} MB/s");
            return;
        }
        ratios.push(format!("{ratio:.2} ({small_cost:.0} ns, {large_cost:.0} ns)"));
    }
    panic!("{name}: {}", ratios.join(", "));
}

/// A request whose only tool output is this text.
fn with_output(text: &str) -> Vec<u8> {
    json!({"model": "gpt-4.1", "tools": [{"type": "function", "function": {"name": "run"}}], "messages": [
        {"role": "user", "content": "What failed, and where is item 4711?"},
        {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "run", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": text}]})
    .to_string()
    .into_bytes()
}

/// Lines that `line` makes from their numbers, until there are `bytes`.
fn lines(bytes: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        if text.len() >= bytes {
            break;
        }
        text += &line(at);
        text.push('\n');
    }
    text
}

/// A number that looks random but depends only on `at`.
fn scrambled(at: usize) -> usize {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn rows(bytes: usize, row: impl Fn(usize) -> Value) -> String {
    let mut rows = Vec::new();
    let mut held = 0;
    while held < bytes {
        let row = row(rows.len());
        held += row.to_string().len() + 2;
        rows.push(row);
    }
    serde_json::to_string_pretty(&rows).unwrap()
}

#[test]
fn any_output_takes_time_in_proportion_to_its_length() {
    let repeated = |unit: &'static str| move |bytes: usize| unit.repeat(bytes / unit.len());
    type Make = Box<dyn Fn(usize) -> String>;
    let mut inputs: Vec<(&str, Make)> = vec![
        ("one line of letters", Box::new(repeated("a"))),
        ("one line of words", Box::new(repeated("word "))),
        ("one line of digits", Box::new(repeated("1234567890"))),
        ("blanks", Box::new(repeated(" "))),
        ("tiny lines", Box::new(repeated("x\n"))),
        ("empty lines", Box::new(repeated("\n"))),
        ("carriage returns", Box::new(repeated("50%\r"))),
        ("escape sequences", Box::new(repeated("\u{1b}[31m"))),
        ("unfinished escape sequences", Box::new(repeated("\u{1b}["))),
        ("identical lines", Box::new(repeated("the same line as before, every time\n"))),
        ("opening brackets", Box::new(repeated("["))),
        ("opening braces", Box::new(repeated("{\"a\":"))),
        ("closed brackets", Box::new(|bytes| "[".repeat(bytes / 2) + &"]".repeat(bytes / 2))),
        ("unbalanced quotes", Box::new(repeated("\"a\\\" "))),
        ("nothing but quotes", Box::new(repeated("\""))),
        ("backslashes", Box::new(repeated("\\"))),
        ("fences", Box::new(repeated("```\n"))),
        ("one line of fences", Box::new(repeated("a ``` b ~~~ "))),
        ("one line of comments", Box::new(repeated("a # "))),
        ("tags", Box::new(repeated("<a><b>"))),
        ("unclosed tags", Box::new(repeated("<a "))),
        ("null characters", Box::new(repeated("\0"))),
        ("ideographs", Box::new(repeated("\u{4e2d}\u{6587}"))),
        ("combining marks", Box::new(repeated("e\u{301}"))),
        ("special tokens", Box::new(repeated("<|endoftext|>"))),
        ("markers", Box::new(repeated("[headroom: hash=0123456789abcdef01234567]\n"))),
        ("diff lines", Box::new(repeated("+added\n-removed\n"))),
        ("diff headers", Box::new(repeated("--- a\n+++ b\n@@ -1 +1 @@\n"))),
        ("pipes", Box::new(repeated("| "))),
        ("commas", Box::new(repeated(","))),
        ("slashes", Box::new(repeated("/"))),
        ("colons", Box::new(repeated("a:1:\n"))),
    ];
    inputs
        .push(("numbered lines", Box::new(|bytes| lines(bytes, |at| format!("{at:>6}\t{}", scrambled(at))))));
    inputs.push(("different lines", Box::new(|bytes| lines(bytes, |at| scrambled(at).to_string()))));
    inputs.push((
        "a log",
        Box::new(|bytes| {
            lines(bytes, |at| {
                format!("2026-01-02 03:04:05,{:03} WARN worker-{} took {at} ms", at % 1000, at % 7)
            })
        }),
    ));
    inputs.push((
        "a log without a template",
        Box::new(|bytes| {
            lines(bytes, |at| format!("2026-01-02T03:04:05Z ERROR {0:x} {0:o} {0:b}", scrambled(at)))
        }),
    ));
    inputs.push((
        "search results",
        Box::new(|bytes| {
            lines(bytes, |at| format!("src/dir{}/file{}.rs:{at}: let x = {at};", at % 9, at / 20))
        }),
    ));
    inputs.push((
        "search results in as many files",
        Box::new(|bytes| lines(bytes, |at| format!("src/{:x}.rs:1:x", scrambled(at)))),
    ));
    inputs.push((
        "a listing",
        Box::new(|bytes| lines(bytes, |at| format!("./a/b{}/c{}/d{at}.txt", at / 99, at / 9))),
    ));
    inputs.push((
        "a table",
        Box::new(|bytes| lines(bytes, |at| format!("{at:<8} {:<20} Running   0", scrambled(at)))),
    ));
    inputs.push((
        "values separated by commas",
        Box::new(|bytes| lines(bytes, |at| format!("{at},a{at},{},x", at % 3))),
    ));
    inputs.push((
        "a stack trace",
        Box::new(|bytes| {
            lines(bytes, |at| format!("    at com.example.Type{}.method(Type.java:{at})", at % 50))
        }),
    ));
    inputs.push((
        "compiler messages",
        Box::new(|bytes| lines(bytes, |at| format!("src/a.rs:{at}:5: error[E0308]: mismatched types {at}"))),
    ));
    inputs.push((
        "lines of JSON",
        Box::new(|bytes| lines(bytes, |at| json!({"id": at, "ok": true}).to_string())),
    ));
    inputs.push((
        "rows of JSON",
        Box::new(|bytes| rows(bytes, |at| json!({"id": at, "name": format!("n{}", at % 9), "error": null}))),
    ));
    inputs.push((
        "rows of JSON with nested rows",
        Box::new(|bytes| rows(bytes, |at| json!({"id": at, "in": [{"a": {"b": [at, at]}}, {"a": {}}]}))),
    ));
    inputs.push((
        "rows of JSON that share no key",
        Box::new(|bytes| {
            rows(bytes, |at| Value::Object([(format!("k{at}"), json!(at))].into_iter().collect()))
        }),
    ));
    inputs.push((
        "rows of JSON strings",
        Box::new(|bytes| rows(bytes, |at| json!(format!("/a/b/{}", scrambled(at))))),
    ));
    inputs.push(("rows of numbers", Box::new(|bytes| rows(bytes, |at| json!(scrambled(at) % 1000)))));
    inputs.push((
        "one JSON object with many keys",
        Box::new(|bytes| {
            let members = (0..bytes / 24).map(|at| (format!("key{at}"), json!(at))).collect();
            serde_json::to_string_pretty(&Value::Object(members)).unwrap()
        }),
    ));
    inputs.push((
        "a JSON key above as many numbers",
        Box::new(|bytes| {
            let (key, numbers) = ("k".repeat(bytes / 2), "1,".repeat(bytes / 5));
            format!("[{{\"{key}\":[{numbers}1]}}{}]", ",1".repeat(45))
        }),
    ));
    inputs.push((
        "a commit by an author with a long name",
        Box::new(|bytes| {
            let entry = |author: &str, more: &str| {
                format!("commit abcdef1\nAuthor: {author}\nAuthorDate: x\n{more}CommitDate: x\n\n    m\n")
            };
            let other = entry("b", "Commit: b\n");
            entry(&"A".repeat(bytes / 2), &lines(bytes / 2, |at| format!("h{at}"))) + &other + &other
        }),
    ));
    inputs.push((
        "JSON in JSON in JSON",
        Box::new(|bytes| {
            let inner = rows(bytes / 2, |at| json!({"id": at}));
            json!({"result": json!({"text": inner}).to_string()}).to_string()
        }),
    ));
    let config = Config { profile: Profile::Aggressive, ..Config::default() };
    for (name, make) in &inputs {
        assert_linear(name, Api::OpenAiChat, &config, |bytes| with_output(&make(bytes)));
    }
}

#[test]
fn what_comes_before_a_read_takes_time_in_proportion_to_its_length() {
    let call = |at: usize, name: &str, arguments: Value| {
        json!({"role": "assistant", "content": null, "tool_calls": [{"id": format!("c{at}"), "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()}}]})
    };
    let result =
        |at: usize| json!({"role": "tool", "tool_call_id": format!("c{at}"), "content": "fn main() {}"});
    let body = |messages: Vec<Value>| {
        json!({"model": "gpt-4.1", "messages": messages, "tools": [
            {"type": "function", "function": {"name": "Read"}}, {"type": "function", "function": {"name": "Bash"}}]})
        .to_string()
        .into_bytes()
    };
    let config = Config { code_aware: true, ..Config::default() };
    assert_linear("one long text before many reads", Api::OpenAiChat, &config, |bytes| {
        let count = bytes / 400;
        let mut messages: Vec<Value> =
            (0..count).map(|at| call(at, "Read", json!({"file_path": format!("a{at}.rs")}))).collect();
        messages.push(json!({"role": "assistant", "content": "a\n".repeat(bytes / 6)}));
        messages.extend((0..count).map(result));
        body(messages)
    });
    assert_linear("a run of redirections", Api::OpenAiChat, &config, |bytes| {
        let command = json!({"command": format!("{}&1", ">".repeat(bytes))});
        let read = call(1, "Read", json!({"file_path": "a.rs"}));
        body(vec![call(0, "Bash", command), result(0), read, result(1)])
    });
}

#[test]
fn any_body_takes_time_in_proportion_to_its_length() {
    let config = Config::default();
    let message = |at: usize| {
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": format!("t{}", at % 100),
            "content": format!("{} was the answer to question {at}, as it happens to be", scrambled(at))}]})
    };
    let call = |at: usize| {
        json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": format!("t{at}"), "name": "n", "input": {"at": at}}]})
    };
    type Make<'a> = Box<dyn Fn(usize) -> String + 'a>;
    let inputs: Vec<(&str, Make<'_>)> = vec![
        ("values", Box::new(|bytes| format!("{{\"messages\":[{}]}}", "1,".repeat(bytes / 2) + "1"))),
        (
            "messages",
            Box::new(|bytes| json!({"messages": vec![json!({"role": "user"}); bytes / 16]}).to_string()),
        ),
        (
            "results",
            Box::new(|bytes| {
                json!({"messages": (0..bytes / 150).map(message).collect::<Vec<_>>()}).to_string()
            }),
        ),
        (
            "calls and results",
            Box::new(|bytes| {
                let messages = (0..bytes / 250).flat_map(|at| [call(at), message(at)]);
                json!({"messages": messages.collect::<Vec<_>>()}).to_string()
            }),
        ),
        (
            "texts of one result",
            Box::new(|bytes| {
                let texts = vec![
                    json!({"type": "text", "text": "the same text in each of the blocks that there are"});
                    bytes / 70
                ];
                json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": texts}]}]}).to_string()
            }),
        ),
        (
            "members",
            Box::new(|bytes| {
                let members: serde_json::Map<_, _> =
                    (0..bytes / 12).map(|at| (format!("k{at}"), json!(at))).collect();
                json!({"messages": [{"role": "user", "content": [members]}]}).to_string()
            }),
        ),
        (
            "escaped keys",
            Box::new(|bytes| {
                format!("{{\"messages\":[{{{}\"role\":\"user\"}}]}}", "\"\\u0041b\":1,".repeat(bytes / 12))
            }),
        ),
        ("white space", Box::new(|bytes| format!("{{\"messages\":{}[]}}", " \n".repeat(bytes / 2)))),
        (
            "lone surrogates",
            Box::new(|bytes| {
                format!(
                    r#"{{"messages":[{{"role":"user","content":[{{"type":"tool_result","content":"{}"}}]}}]}}"#,
                    "\\ud800".repeat(bytes / 6)
                )
            }),
        ),
        (
            "escapes",
            Box::new(|bytes| {
                format!(
                    r#"{{"messages":[{{"role":"user","content":[{{"type":"tool_result","content":"{}"}}]}}]}}"#,
                    "\\u0061\\n".repeat(bytes / 8)
                )
            }),
        ),
        ("an unfinished string", Box::new(|bytes| format!("{{\"messages\":[\"{}", "\\\"".repeat(bytes / 2)))),
    ];
    for (name, make) in &inputs {
        assert_linear(name, Api::AnthropicMessages, &config, |bytes| make(bytes).into_bytes());
    }
}

#[test]
fn the_originals_of_one_block_are_read_in_time_in_proportion_to_it() {
    // Structured data with many members, of each of which something is left out.
    let body = |bytes: usize| {
        let table = |at: usize| {
            rows(3_600, |row| json!({"id": scrambled(31 * at + row), "name": format!("job-{at}-{row}")}))
        };
        let members = (0..bytes / 3_600).map(|at| (format!("m{at}"), table(at).into()));
        let response: serde_json::Map<String, Value> = members.collect();
        json!({"tools": [{"functionDeclarations": [{"name": "run"}]}], "contents": [
            {"role": "user", "parts": [{"text": "What failed?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "run", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "run", "response": response}}]}]})
        .to_string()
        .into_bytes()
    };
    let bodies = [body(SIZE), body(GROWTH * SIZE)];
    let request = Request { reversible: true, ..Request::new(Api::GeminiGenerateContent) };
    let config = Config { profile: Profile::Aggressive, ..Config::default() };
    let outcomes = bodies.each_ref().map(|body| compress(body, &request, &config, &mut Memo::new(0)));
    let originals = outcomes.each_ref().map(|it| it.originals.iter().collect::<Vec<_>>());
    let [few, many] = originals.each_ref().map(Vec::len);
    assert!(few >= SIZE / 7_200 && many >= GROWTH * SIZE / 7_200, "{few} {many}");
    assert_proportional("the originals of one block", originals, |originals| {
        let missing = Original::each_text(originals, |original, text| {
            hint::black_box((original, text));
        });
        assert_eq!(missing, 0);
    });
}

/// A request with one call of a tool, whose result has these contents.
fn with_call(name: &str, arguments: &Value, question: &str, contents: &Value) -> Vec<u8> {
    json!({"model": "claude-sonnet-4-5", "tools": [{"name": "run", "input_schema": {}}], "messages": [
        {"role": "user", "content": question},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": name, "input": arguments}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": contents}]}]})
    .to_string()
    .into_bytes()
}

#[test]
fn what_many_outputs_or_texts_have_in_common_is_read_once() {
    let parts = |bytes: usize| json!(vec![json!({"type": "text", "text": "x"}); bytes / 60]);
    let texts = |bytes: usize| {
        json!((0..bytes / 140).map(|at| format!("{:064}\n", scrambled(at))).collect::<Vec<_>>()).to_string()
    };
    let lists = |bytes: usize| {
        let ones = json!(vec![1; 600]);
        let members = (0..bytes / 2500)
            .flat_map(|at| [(format!("a{at}"), ones.clone()), (format!("b{at}"), json!("b"))]);
        json!(members.collect::<serde_json::Map<_, _>>()).to_string()
    };
    type Make<'a> = Box<dyn Fn(usize) -> Vec<u8> + 'a>;
    let inputs: Vec<(&str, Make<'_>)> = vec![
        (
            "the name of a call",
            Box::new(|bytes| with_call(&"n".repeat(bytes / 2), &json!({}), "", &parts(bytes))),
        ),
        (
            "the arguments of a call",
            Box::new(|bytes| with_call("run", &json!({"a": "a".repeat(bytes / 2)}), "", &parts(bytes))),
        ),
        (
            "a question",
            Box::new(|bytes| with_call("run", &json!({}), &"\n".repeat(bytes / 4), &parts(bytes))),
        ),
        (
            "a command of many searches",
            Box::new(|bytes| {
                let command = "rg ".repeat(bytes / 2000);
                let regions = "1:\n2:\n3:\n4:\n5:\n6:\n7:\n8:\n".repeat(bytes / 32);
                with_call("Bash", &json!({"command": command}), "", &json!(regions))
            }),
        ),
        (
            "arguments that may show a file",
            Box::new(|bytes| {
                with_call("fetch", &json!({"q": "a".repeat(bytes / 2)}), "", &json!(texts(bytes)))
            }),
        ),
        (
            "a question of few words",
            Box::new(|bytes| with_call("run", &json!({}), &"abc ".repeat(bytes / 8), &json!(lists(bytes)))),
        ),
    ];
    for (name, make) in &inputs {
        assert_linear(name, Api::AnthropicMessages, &Config::default(), make);
    }
}
