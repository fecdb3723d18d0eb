//! Old outputs are rewritten only at boundaries, in the same way in every later request, and the model can get all of
//! them back.

use std::collections::BTreeSet;

use headroom_compress::{
    Api, AskedBack, BlockOutcome, CachePrice, Compressor, Config, Epochs, Memo, Outcome, Request,
    RewriteHistory, Strategy, Weights, address, compress,
};
use serde_json::{Value, json};

const STEP: u32 = 4_000;
const WINDOW: u32 = 16_000;

fn epochs() -> Epochs {
    Epochs { window_tokens: WINDOW, step_tokens: STEP, keep_turns: 2, ..Epochs::default() }
}

fn config(epochs: Epochs) -> Config {
    Config { epochs: Some(Box::new(epochs)), ..Config::default() }
}

/// Prices of a model that has no cache.
fn uncached() -> Vec<CachePrice> {
    vec![CachePrice { model: "*".to_owned(), read_percent: 100, write_percent: 100 }]
}

/// Words without a pattern that a form could shorten.
fn words(seed: usize, count: usize) -> String {
    let mut state = seed as u64 * 2_654_435_761 + 12_345;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("w{:05}", state >> 44)
    };
    let lines = (0..count / 8).map(|_| (0..8).map(|_| word()).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

struct Step {
    tool: &'static str,
    arguments: Value,
    output: String,
}

fn read(file: &str, seed: usize) -> Step {
    Step { tool: "Read", arguments: json!({"file_path": file}), output: words(seed, 320) }
}

fn edit(file: &str) -> Step {
    let arguments = json!({"file_path": file, "old_string": "a", "new_string": "b"});
    Step { tool: "Edit", arguments, output: "The file has been updated.".to_owned() }
}

fn fetch(seed: usize) -> Step {
    Step { tool: "fetch_notes", arguments: json!({"page": seed}), output: words(1_000 + seed, 320) }
}

fn body(steps: &[Step], more: Value) -> Vec<u8> {
    let mut messages = vec![
        json!({"role": "system", "content": "You are an agent."}),
        json!({"role": "user", "content": "Please mend w00001."}),
    ];
    for (turn, step) in steps.iter().enumerate() {
        let id = format!("call_{turn}");
        messages
            .push(json!({"role": "assistant", "content": format!("Step {turn}."), "tool_calls": [{"id": id,
            "type": "function", "function": {"name": step.tool, "arguments": step.arguments.to_string()}}]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": step.output}));
    }
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let mut body = json!({"model": "some-model", "messages": messages,
        "tools": [tool("Read"), tool("Edit"), tool("fetch_notes")]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

fn run<'b>(body: &'b [u8], config: &Config, memo: &mut Memo) -> Outcome<'b> {
    compress(body, &Request { reversible: true, ..Request::new(Api::OpenAiChat) }, config, memo)
}

fn rewritten(outcome: &Outcome<'_>) -> RewriteHistory {
    outcome.rewritten.clone().unwrap_or_default()
}

fn messages(body: &[u8]) -> Vec<Value> {
    serde_json::from_slice::<Value>(body).unwrap()["messages"].as_array().unwrap().clone()
}

/// Files that are read, edited and read again, among pages that nobody needs twice.
fn conversation() -> Vec<Step> {
    let mut steps = vec![read("/src/a.rs", 1), read("/src/b.rs", 2), edit("/src/a.rs"), read("/src/a.rs", 3)];
    steps.extend((0..30).map(fetch));
    steps.push(read("/src/b.rs", 4));
    steps.extend((30..50).map(fetch));
    steps
}

/// The compressors that took outputs at boundaries.
const TAKEN: [Compressor; 4] =
    [Compressor::StaleRead, Compressor::SupersededRead, Compressor::Shortened, Compressor::Dropped];

fn taken(outcome: &Outcome<'_>) -> Vec<(usize, Compressor)> {
    let blocks = outcome.blocks.iter().enumerate();
    let each = blocks.filter_map(|(at, block)| match block.outcome {
        BlockOutcome::Compressed { compressor, .. } if TAKEN.contains(&compressor) => Some((at, compressor)),
        _ => None,
    });
    each.collect()
}

/// Every request of a conversation. What is forwarded extends what was forwarded before, except in requests that say that
/// they are rewritten.
fn check(steps: &[Step], config: &Config) -> Vec<RewriteHistory> {
    let mut warm = Memo::new(8 << 20);
    let mut last: Vec<Value> = Vec::new();
    let mut all = Vec::new();
    for end in 0..=steps.len() {
        let sent = body(&steps[..end], json!({}));
        let outcome = run(&sent, config, &mut warm);
        let cold = run(&sent, config, &mut Memo::new(0));
        assert_eq!(cold.body, outcome.body, "the memo decides nothing");
        assert_eq!(cold.rewritten, outcome.rewritten);
        let forwarded = messages(&outcome.body);
        let is_extended = forwarded.starts_with(&last);
        let rewritten = rewritten(&outcome);
        assert_eq!(is_extended, !rewritten.now, "request {end}: {rewritten:?}");
        check_structure(&sent, &outcome);
        last = forwarded;
        all.push(rewritten);
    }
    all
}

/// Calls, results, order and everything that people or the model said are what the client sent, and what is left out of an
/// output is in the request under the address that stands in its place.
fn check_structure(sent: &[u8], outcome: &Outcome<'_>) {
    let blank = |mut messages: Vec<Value>| {
        for message in messages.iter_mut().filter(|message| message["role"] == "tool") {
            assert!(!message["content"].as_str().unwrap().trim().is_empty());
            message["content"] = Value::Null;
        }
        messages
    };
    assert_eq!(blank(messages(sent)), blank(messages(&outcome.body)));
    for (at, _) in taken(outcome) {
        let block = &outcome.blocks[at];
        let text: String = serde_json::from_slice(&sent[block.span.clone()]).unwrap();
        let shown: String = serde_json::from_slice(&outcome.body[block.replaced.clone().unwrap()]).unwrap();
        assert!(
            shown.ends_with(&format!(". Full text: headroom_retrieve hash={}]", address(&text))),
            "{shown}"
        );
        let original = outcome.originals.iter().find(|original| original.block == at).unwrap();
        assert_eq!((&*original.hash, original.span()), (address(&text).as_str(), block.span.clone()));
        assert!(block.tokens_after < block.tokens_before);
    }
}

#[test]
fn a_request_extends_the_last_one_unless_it_says_that_it_is_rewritten() {
    for prices in [uncached(), Vec::new()] {
        let all = check(&conversation(), &config(Epochs { prices, ..epochs() }));
        let epochs: BTreeSet<u32> = all.iter().map(|it| it.epochs).collect();
        assert_eq!(epochs, (0..=*epochs.last().unwrap()).collect(), "one rewrite at a time");
        assert!(epochs.len() > 2, "{epochs:?}");
        assert_eq!(all.iter().filter(|it| it.now).count(), epochs.len() - 1);
    }
}

/// A second computation of where boundaries are, and of what is left of the conversation behind them.
#[test]
fn boundaries_are_where_the_conversation_passes_a_step_and_it_stays_in_its_window() {
    let steps = conversation();
    let with = config(Epochs { prices: uncached(), ..epochs() });
    let mut memo = Memo::new(8 << 20);
    let tools = run(&body(&[], json!({"messages": []})), &Config::default(), &mut memo).tokens.after;
    for end in 0..=steps.len() {
        let sent = body(&steps[..end], json!({}));
        let plain = run(&sent, &Config::default(), &mut memo).tokens.after - tools;
        let outcome = run(&sent, &with, &mut memo);
        let rewritten = rewritten(&outcome);
        assert_eq!(u64::from(rewritten.boundaries), plain / u64::from(STEP), "request {end}");
        let left = outcome.tokens.after - tools;
        assert_eq!(plain - left, rewritten.saved, "request {end}");
        assert!(left <= u64::from(WINDOW) + 2_500, "request {end}: {left}");
    }
}

#[test]
fn a_decision_depends_on_nothing_behind_its_boundary() {
    let steps = conversation();
    let with = config(Epochs { prices: uncached(), ..epochs() });
    let mut memo = Memo::new(8 << 20);
    let mut decided = Vec::new();
    for end in 0..=steps.len() {
        let sent = body(&steps[..end], json!({}));
        let outcome = run(&sent, &with, &mut memo);
        if rewritten(&outcome).now {
            decided = taken(&outcome);
            assert!(decided.iter().all(|(at, _)| at + 2 <= end), "the last turns stay");
        }
        assert_eq!(taken(&outcome), decided, "request {end}");
    }
    assert!(decided.len() > 20, "{decided:?}");
    // Another ending changes nothing before it.
    let mut other = conversation();
    let end = other.len() - 1;
    other[end] = fetch(7_777);
    let (one, two) = (body(&steps[..end], json!({})), body(&other[..end], json!({})));
    assert_eq!(run(&one, &with, &mut Memo::new(0)).body, run(&two, &with, &mut Memo::new(0)).body);
}

#[test]
fn reads_that_were_edited_or_repeated_go_and_fresh_ones_stay() {
    let mut steps = vec![read("/a", 1), edit("/a"), read("/a", 2), read("/b", 3), read("/b", 4)];
    steps.push(Step { output: "Error: no such string".to_owned(), ..edit("/b") });
    steps.extend((0..8).map(fetch));
    let with = config(Epochs { intelligent_context: false, prices: uncached(), ..epochs() });
    let sent = body(&steps, json!({}));
    let outcome = run(&sent, &with, &mut Memo::new(0));
    assert_eq!(taken(&outcome), [(0, Compressor::StaleRead), (3, Compressor::SupersededRead)]);
    let rewritten = rewritten(&outcome);
    assert_eq!((rewritten.stale, rewritten.superseded, rewritten.dropped), (1, 1, 0));
    let all = check(&steps, &with);
    assert!(all.iter().any(|it| it.now));
    assert!(all.iter().filter(|it| it.now).all(|it| it.strategy == Strategy::ReadLifecycle));
    let none =
        config(Epochs { intelligent_context: false, read_lifecycle: false, prices: uncached(), ..epochs() });
    assert!(taken(&run(&sent, &none, &mut Memo::new(0))).is_empty());
}

#[test]
fn a_read_of_other_lines_supersedes_nothing() {
    let part = |offset: usize, limit: usize, seed| Step {
        arguments: json!({"file_path": "/a", "offset": offset, "limit": limit}),
        ..read("/a", seed)
    };
    let mut steps = vec![part(1, 100, 1), part(50, 100, 2), part(120, 10, 3), part(1, 400, 4)];
    steps.extend((0..8).map(fetch));
    let with = config(Epochs { intelligent_context: false, prices: uncached(), ..epochs() });
    let outcome = run(&body(&steps, json!({})), &with, &mut Memo::new(0)).rewritten.unwrap();
    assert_eq!(outcome.superseded, 3);
    let mut steps = vec![part(1, 100, 1), part(50, 100, 2), part(101, 100, 3)];
    steps.extend((0..8).map(fetch));
    let outcome = run(&body(&steps, json!({})), &with, &mut Memo::new(0)).rewritten.unwrap();
    assert_eq!(outcome.superseded, 0);
}

#[test]
fn an_edit_that_was_refused_makes_no_read_stale() {
    for refusal in [
        "<tool_use_error>String to replace not found in file.\nString: a</tool_use_error>",
        "The user doesn't want to proceed with this tool use. The tool use was rejected.",
        "<tool_use_error>File has not been read yet. Read it first before writing to it.</tool_use_error>",
        "File has been modified since read, either by the user or by a linter.",
        "No replacement was performed, old_str `a` did not appear verbatim in /a.",
        "No replacement was performed. Multiple occurrences of old_str `a` in lines [1, 2].",
        "Found 2 matches of the string to replace, but replace_all is false. No changes were made.",
    ] {
        let mut steps = vec![read("/a", 1), Step { output: refusal.to_owned(), ..edit("/a") }];
        steps.extend((0..8).map(fetch));
        let with = config(Epochs { intelligent_context: false, prices: uncached(), ..epochs() });
        let sent = body(&steps, json!({}));
        assert!(taken(&run(&sent, &with, &mut Memo::new(0))).is_empty(), "{refusal}");
    }
}

#[test]
fn a_read_that_shows_less_supersedes_nothing() {
    let stub = "File unchanged since last read. The content from the earlier Read tool_result in this conversation is still \
        current, refer to that instead of re-reading.";
    for output in [stub.to_owned(), "File does not exist.".to_owned(), words(1, 80)] {
        let mut steps = vec![read("/a", 1), Step { output, ..read("/a", 1) }];
        steps.extend((0..8).map(fetch));
        let with = config(Epochs { intelligent_context: false, prices: uncached(), ..epochs() });
        let sent = body(&steps, json!({}));
        assert!(taken(&run(&sent, &with, &mut Memo::new(0))).is_empty());
    }
}

#[test]
fn files_of_one_name_in_two_folders_are_two() {
    let cat = |command: &str, seed| Step {
        tool: "Bash",
        arguments: json!({"command": command}),
        output: words(seed, 320),
    };
    let with = config(Epochs { intelligent_context: false, prices: uncached(), ..epochs() });
    let gone = |commands: [&str; 2]| {
        let mut steps = vec![cat(commands[0], 1), cat(commands[1], 2)];
        steps.extend((0..8).map(fetch));
        taken(&run(&body(&steps, json!({})), &with, &mut Memo::new(0)))
    };
    assert!(gone(["cd /x && cat main.rs", "cd /y && cat main.rs"]).is_empty());
    assert!(gone(["cat main.rs", "cat main.rs"]).is_empty(), "the shell may stand elsewhere by then");
    assert!(gone(["cat /a.rs /b.rs", "cat /b.rs"]).is_empty());
    assert_eq!(gone(["cd /x && cat main.rs", "cat /x/main.rs"]), [(0, Compressor::SupersededRead)]);
}

#[test]
fn of_calls_that_were_made_at_once_none_is_later() {
    let result = |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
    let call = |id: &str, it: &Step| json!({"id": id, "type": "function", "function": {"name": it.tool, "arguments": it.arguments.to_string()}});
    let (one, two) = (edit("/a"), read("/a", 1));
    let mut steps = vec![fetch(90)];
    steps.extend((0..8).map(fetch));
    let mut sent: Value = serde_json::from_slice(&body(&steps, json!({}))).unwrap();
    let list = sent["messages"].as_array_mut().unwrap();
    // The read was answered first.
    list.splice(
        2..2,
        [
            json!({"role": "assistant", "content": null, "tool_calls": [call("e", &one), call("r", &two)]}),
            result("r", &two.output),
            result("e", &one.output),
        ],
    );
    let with = config(Epochs { intelligent_context: false, prices: uncached(), ..epochs() });
    assert!(taken(&run(sent.to_string().as_bytes(), &with, &mut Memo::new(0))).is_empty());
}

/// Claude Code begins its system prompt with a line that is another one in each request, and ends the last message with
/// reminders that later requests do not have; clients write the members of a body in any order.
#[test]
fn accounting_reminders_and_the_order_of_a_body_s_members_move_no_boundary() {
    let steps = conversation();
    let with = config(Epochs { prices: uncached(), ..epochs() });
    let mut messages =
        vec![json!({"role": "user", "content": [{"type": "text", "text": "Please mend w00001."}]})];
    for (turn, step) in steps.iter().enumerate() {
        let id = format!("call_{turn}");
        messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": step.tool, "input": step.arguments}]}));
        messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": step.output}]}));
    }
    let tools = r#""tools":[{"name":"Read","input_schema":{"type":"object"}}]"#;
    let mut memo = Memo::new(8 << 20);
    let mut forwarded = |system_first: bool, accounting: &str, messages: &[Value]| {
        let system = json!([{"type": "text", "text": format!("x-anthropic-billing-header: {accounting}")}, {"type": "text", "text": "You are an agent."}]);
        let messages = Value::from(messages);
        let sent = if system_first {
            format!(r#"{{"system":{system},"messages":{messages},{tools}}}"#)
        } else {
            format!(r#"{{{tools},"messages":{messages},"system":{system}}}"#)
        };
        let request = Request { reversible: true, ..Request::new(Api::AnthropicMessages) };
        let outcome = compress(sent.as_bytes(), &request, &with, &mut memo);
        let body: Value = serde_json::from_slice(&outcome.body).unwrap();
        (body["messages"].clone(), rewritten(&outcome))
    };
    let mut rewrites = 0;
    for end in (1..=messages.len()).step_by(2) {
        let (expected, told) = forwarded(true, "cc_version=1; cch=00000;", &messages[..end]);
        rewrites = rewrites.max(told.epochs);
        for more in [1, 7, 60, 900] {
            assert_eq!(forwarded(true, &"x1 ".repeat(more), &messages[..end]).0, expected, "request {end}");
            let mut reminded = messages[..end].to_vec();
            let reminder = format!("<system-reminder>{}</system-reminder>", "x1 ".repeat(more));
            let reminder = json!({"type": "text", "text": reminder});
            reminded[end - 1]["content"].as_array_mut().unwrap().push(reminder.clone());
            let (mut found, _) = forwarded(true, "", &reminded);
            assert_eq!(found[end - 1]["content"].as_array_mut().unwrap().pop(), Some(reminder));
            assert_eq!(found, expected, "request {end}");
        }
        assert_eq!(forwarded(false, "cch=1", &messages[..end]), (expected, told), "request {end}");
    }
    assert!(rewrites > 2, "{rewrites}");
}

/// What a memo knows of other configurations, and of the same conversation with thinking, decides nothing.
#[test]
fn one_memo_may_serve_requests_with_and_without() {
    let steps = conversation();
    let configs = [
        Config::default(),
        config(Epochs { prices: uncached(), ..epochs() }),
        config(Epochs { prices: uncached(), intelligent_context: false, ..epochs() }),
        config(Epochs { prices: uncached(), keep_turns: 5, step_tokens: 3_000, ..epochs() }),
    ];
    let mut memo = Memo::new(32 << 20);
    let mut rewrites = 0;
    for end in 0..=steps.len() {
        for more in [json!({}), json!({"reasoning_effort": "high"}), json!({"tools": []})] {
            let sent = body(&steps[..end], more);
            for config in &configs {
                let warm = run(&sent, config, &mut memo);
                let cold = run(&sent, config, &mut Memo::new(0));
                assert_eq!((&warm.body, &warm.rewritten), (&cold.body, &cold.rewritten), "request {end}");
                rewrites += u32::from(rewritten(&warm).now);
            }
        }
    }
    assert!(rewrites > 5, "{rewrites}");
}

/// Forms behind a boundary refer to nothing before it, but the calls before it are seen, and names count them.
#[test]
fn names_behind_a_boundary_count_the_calls_before_it() {
    let with = config(Epochs { prices: uncached(), ..epochs() });
    let mut named = 0;
    for pages in 4..40 {
        let mut steps = vec![read("/src/a.rs", 1)];
        steps.extend((0..pages).map(fetch));
        steps.push(read("/src/a.rs", 2));
        steps.push(Step { output: format!("{}\n{}", words(2, 320), words(3, 40)), ..fetch(90) });
        let sent = body(&steps, json!({}));
        let outcome = run(&sent, &with, &mut Memo::new(0));
        let Some(span) = outcome.blocks.last().unwrap().replaced.clone() else { continue };
        let shown: String = serde_json::from_slice(&outcome.body[span]).unwrap();
        if shown.contains("same as") && rewritten(&outcome).epochs > 0 {
            assert!(shown.contains("of 2nd Read src/a.rs above"), "{pages}: {shown}");
            named += 1;
        }
    }
    assert!(named > 5, "{named}");
}

#[test]
fn the_least_important_go_first() {
    let mut steps: Vec<Step> = (0..24).map(fetch).collect();
    // It is asked back often, and what is done now is about it.
    steps[1].tool = "Read";
    steps[1].arguments = json!({"file_path": "/keep/this.rs"});
    let asked_back = vec![
        AskedBack { tool: "Read".to_owned(), percent: 100 },
        AskedBack { tool: "fetch_*".to_owned(), percent: 0 },
    ];
    let with = config(Epochs { prices: uncached(), asked_back, ..epochs() });
    let sent = body(&steps, json!({}));
    let outcome = run(&sent, &with, &mut Memo::new(0));
    let gone: Vec<usize> = taken(&outcome).into_iter().map(|(at, _)| at).collect();
    assert!(gone.contains(&0) && !gone.contains(&1) && gone.contains(&2), "{gone:?}");
    let weights = Weights { retrieval_rate: 0, forward_references: 0, ..Weights::default() };
    let flat = config(Epochs { weights, ..*with.epochs.unwrap() });
    let outcome = run(&sent, &flat, &mut Memo::new(0));
    assert!(taken(&outcome).iter().any(|(at, _)| *at == 1));
}

#[test]
fn the_strategy_follows_from_how_much_is_too_much() {
    // With lines enough that the first and the last are little of an output.
    let lines = |it: Step| Step { output: it.output.replace(' ', "\n"), ..it };
    let steps: Vec<Step> = conversation().into_iter().map(lines).collect();
    let strategies = |window_tokens| -> BTreeSet<&'static str> {
        let epochs = Epochs { window_tokens, read_lifecycle: false, prices: uncached(), ..epochs() };
        let (with, mut memo) = (config(epochs), Memo::new(8 << 20));
        let ends = (0..=steps.len()).map(|end| body(&steps[..end], json!({})));
        ends.map(|sent| rewritten(&run(&sent, &with, &mut memo)).strategy.name()).collect()
    };
    assert_eq!(strategies(1_000_000), BTreeSet::from(["none"]));
    assert!(strategies(WINDOW).contains("drop_by_score"));
    // Where the room is exceeded by less than a tenth, which depends on where the outputs end.
    let close = (0..8).flat_map(|more| strategies(15_000 + 250 * more));
    assert!(close.collect::<BTreeSet<_>>().contains("compress_first"));
}

#[test]
fn what_does_not_pay_is_not_done_and_named() {
    let dear = vec![CachePrice { model: "some-*".to_owned(), read_percent: 1, write_percent: 1_000 }];
    let steps = conversation();
    let all = check(&steps, &config(Epochs { prices: dear, ..epochs() }));
    assert!(all.iter().all(|it| it.epochs == 0 && it.saved == 0));
    assert!(all.iter().any(|it| it.unpaid == Strategy::DropByScore));
    let others = vec![CachePrice { model: "other-*".to_owned(), read_percent: 1, write_percent: 1_000 }];
    assert!(check(&steps, &config(Epochs { prices: others, ..epochs() })).last().unwrap().epochs > 0);
}

#[test]
fn nothing_is_rewritten_where_reasoning_may_be_bound_or_nothing_could_be_had_back() {
    let steps = conversation();
    let with = config(Epochs { prices: uncached(), ..epochs() });
    let plain = |more: Value| {
        let sent = body(&steps, more);
        let one = run(&sent, &with, &mut Memo::new(0));
        assert_eq!(one.rewritten, None);
        assert_eq!(one.body, run(&sent, &Config::default(), &mut Memo::new(0)).body);
    };
    plain(json!({"reasoning_effort": "high"}));
    plain(json!({"thinking": {"type": "enabled"}}));
    plain(json!({"transforms": ["middle-out"]}));
    plain(json!({"tools": []}));
    let mut carried: Value = serde_json::from_slice(&body(&steps, json!({}))).unwrap();
    carried["messages"][2]["reasoning_details"] = json!([{"type": "reasoning.encrypted", "data": "x"}]);
    plain(json!({"messages": carried["messages"]}));
    let sent = body(&steps, json!({}));
    let irreversible = compress(&sent, &Request::new(Api::OpenAiChat), &with, &mut Memo::new(0));
    assert_eq!(irreversible.rewritten, None);
}

#[test]
fn an_output_to_which_another_refers_stays() {
    let shared = words(5, 240);
    let mut steps = vec![Step { output: shared.clone(), ..fetch(0) }];
    steps.extend((1..8).map(fetch));
    // Most of it stands in the first.
    steps.push(Step { output: format!("{shared}\n{}", words(6, 40)), ..fetch(8) });
    let with = config(Epochs { prices: uncached(), keep_turns: 1, window_tokens: 24_000, ..epochs() });
    let mut checked = 0;
    for more in 0..40 {
        let mut steps: Vec<Step> = steps
            .iter()
            .map(|it| Step { output: it.output.clone(), arguments: it.arguments.clone(), ..*it })
            .collect();
        steps.extend((20..20 + more).map(fetch));
        let sent = body(&steps, json!({}));
        let outcome = run(&sent, &with, &mut Memo::new(0));
        let gone: Vec<usize> = taken(&outcome).into_iter().map(|(at, _)| at).collect();
        let shown: String = match &outcome.blocks[8].replaced {
            Some(span) => serde_json::from_slice(&outcome.body[span.clone()]).unwrap(),
            None => continue,
        };
        if shown.contains("same as") && !gone.contains(&8) {
            let refers_to_first = shown.contains("of 1st fetch_notes") || shown.contains("fetch_notes \"0\"");
            assert!(refers_to_first, "{shown}");
            assert!(!gone.contains(&0), "{more}: {gone:?} {shown}");
            checked += usize::from(!gone.is_empty());
        }
    }
    assert!(checked > 0);
}

#[test]
fn a_compaction_begins_a_conversation_anew() {
    let steps = conversation();
    let mut items = vec![json!({"role": "user", "content": "go"})];
    for (turn, step) in steps.iter().enumerate() {
        let id = format!("call_{turn}");
        items.push(json!({"type": "function_call", "call_id": id, "name": step.tool, "arguments": step.arguments.to_string()}));
        items.push(json!({"type": "function_call_output", "call_id": id, "output": step.output}));
        if turn == 20 {
            items.push(json!({"type": "compaction"}));
        }
    }
    let sent = json!({"model": "m", "input": items, "store": false,
        "tools": [{"type": "function", "name": "Read", "parameters": {}}]})
    .to_string()
    .into_bytes();
    let with = config(Epochs { prices: uncached(), ..epochs() });
    let request = Request { reversible: true, ..Request::new(Api::OpenAiResponses) };
    let outcome = compress(&sent, &request, &with, &mut Memo::new(0));
    let behind: Vec<usize> = taken(&outcome).into_iter().map(|(at, _)| at).filter(|at| *at > 20).collect();
    assert!(!behind.is_empty(), "{:?}", outcome.rewritten);
}
