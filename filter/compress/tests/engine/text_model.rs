//! Prose about which a text model may be asked: which outputs these are, and what may stand in their place.

use headroom_compress::{
    Api, BlockOutcome, Compressor, Config, Kind, Memo, Outcome, ParsedBody, Policy, Profile, Prose, Request,
    RetrieveTool, ToolRule, address, append_marker,
};
use serde_json::{Value, json};

/// Sentences without a pattern that a form could shorten.
fn prose(seed: usize) -> String {
    let mut state = seed as u64 * 2_654_435_761 + 12_345;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("w{:05}", state >> 44)
    };
    let lines = (0..12).map(|_| format!("{}.", (0..8).map(|_| word()).collect::<Vec<_>>().join(" ")));
    lines.collect::<Vec<_>>().join("\n")
}

fn config() -> Config {
    Config { text_model: Some(200), ..Config::default() }
}

fn request() -> Request<'static> {
    Request { reversible: true, retrieve_tool: RetrieveTool::Add, ..Request::new(Api::AnthropicMessages) }
}

/// A conversation in which a tool gives these results, one a turn.
fn body(tool: &str, results: &[Value]) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "What does the page say?"})];
    for (turn, content) in results.iter().enumerate() {
        let id = format!("t{turn}");
        messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": tool, "input": {"page": turn}}]}));
        messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": content}]}));
    }
    json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "tools": [{"name": tool, "input_schema": {"type": "object"}}], "messages": messages})
}

fn form(text: &str) -> String {
    let mut form: String = text.split(' ').take(20).collect::<Vec<_>>().join(" ");
    append_marker(&mut form, "most of it left out", &address(text));
    form
}

/// What becomes of a body when the model says this of the outputs about which it may be asked.
fn run<'b>(
    body: &'b [u8],
    request: &Request<'_>,
    config: &Config,
    memo: &mut Memo,
    says: impl Fn(&Prose, &str) -> Option<String>,
) -> (Vec<Prose>, Outcome<'b>) {
    let mut compression = ParsedBody::new(body, request.api, config).begin(request);
    while compression.step(config, memo) {}
    let asked = compression.prose();
    for prose in &asked {
        let text = compression.text(prose.block).expect("a text").into_owned();
        if let Some(form) = says(prose, &text) {
            assert!(compression.shorten(prose.block, &form, memo), "{form}");
        }
    }
    (asked, compression.finish(memo))
}

fn asked(body: &Value, request: &Request<'_>, config: &Config) -> Vec<Prose> {
    let body = body.to_string();
    run(body.as_bytes(), request, config, &mut Memo::new(1 << 20), |_, _| None).0
}

#[test]
fn a_form_stands_in_the_place_of_its_text_and_nothing_else_changes() {
    let (first, second) = (prose(1), prose(2));
    let body = body("fetch", &[json!(first), json!("short"), json!(second)]).to_string();
    let mut memo = Memo::new(1 << 20);
    let (asked, plain) = run(body.as_bytes(), &request(), &config(), &mut memo, |_, _| None);
    let expected = |block, text: &str, new| Prose { block, hash: address(text).into(), new };
    assert_eq!(asked, [expected(0, &first, false), expected(2, &second, true)]);
    for forms in [vec![0], vec![2], vec![0, 2]] {
        let says = |prose: &Prose, text: &str| forms.contains(&prose.block).then(|| form(text));
        let (again, outcome) = run(body.as_bytes(), &request(), &config(), &mut memo, says);
        assert_eq!(again, asked);
        let mut expected = String::from_utf8(plain.body.to_vec()).unwrap();
        for (block, text) in
            [(0, &first), (2, &second)].into_iter().filter(|(block, _)| forms.contains(block))
        {
            expected = expected.replacen(&json!(text).to_string(), &json!(form(text)).to_string(), 1);
            let told = &outcome.blocks[block];
            let compressor = Compressor::TextModel;
            assert_eq!(told.outcome, BlockOutcome::Compressed { compressor, lossy: true });
            assert_eq!(
                (told.outcome.name().as_str(), told.left_out.as_deref()),
                ("llmlingua", Some("most of it left out"))
            );
            assert!(u64::from(told.tokens_after) * 2 < u64::from(told.tokens_before));
            assert_eq!(
                &outcome.body[told.replaced.clone().unwrap()],
                json!(form(text)).to_string().as_bytes()
            );
        }
        assert_eq!(String::from_utf8_lossy(&outcome.body), expected);
        let addresses: Vec<&str> = outcome.originals.iter().map(|it| &*it.hash).collect();
        assert_eq!(addresses.len(), forms.len());
        assert!(outcome.originals.iter().all(|it| address(&it.text()) == *it.hash));
        let counted =
            |outcome: &Outcome<'_>| outcome.blocks.iter().map(|it| u64::from(it.tokens_after)).sum::<u64>();
        assert!(outcome.tokens.after < plain.tokens.after && counted(&outcome) < counted(&plain));
        assert_eq!(outcome.tokens.before, plain.tokens.before);
        assert_eq!(
            outcome.tokens.tool_outputs_new_after < plain.tokens.tool_outputs_new_after,
            forms.contains(&2)
        );
    }
}

#[test]
fn nobody_is_asked_where_words_must_not_go() {
    let page = body("fetch", &[json!(prose(1))]);
    assert_eq!(asked(&page, &request(), &config()).len(), 1);
    let with = |key: &str, value: Value| {
        let mut body = page.clone();
        body[key] = value;
        body
    };
    let mut thought = page.clone();
    let block = json!({"type": "thinking", "thinking": "x", "signature": "s"});
    thought["messages"][1]["content"].as_array_mut().unwrap().insert(0, block);
    let clears = json!({"edits": [{"type": "clear_tool_uses_20250919"}]});
    for body in [
        with("thinking", json!({"type": "enabled", "budget_tokens": 1024})),
        with("context_management", clears),
        with("tools", json!([])),
        thought,
        body("Read", &[json!(prose(1))]),
        body("fetch", &[json!(prose(1).replace('w', "")[..300].to_owned())]),
        body("fetch", &[json!([{"type": "image", "source": {}}])]),
        body("headroom_retrieve", &[json!(prose(1))]),
    ] {
        assert_eq!(
            asked(&body, &Request { retrieve_tool: RetrieveTool::Assume, ..request() }, &config()),
            [],
            "{body}"
        );
    }
    let rule = |policy| Config { tools: vec![ToolRule { pattern: "fet*".to_owned(), policy }], ..config() };
    let kind = |policy| Config { kinds: vec![(Kind::Text, policy)], ..config() };
    for config in [
        Config::default(),
        Config { text_model: Some(100_000), ..config() },
        Config { profile: Profile::Lossless, ..config() },
        rule(Policy::Off),
        rule(Policy::Lossless),
        kind(Policy::Off),
        kind(Policy::Lossless),
    ] {
        assert_eq!(asked(&page, &request(), &config), [], "{config:?}");
    }
    assert_eq!(asked(&page, &Request { reversible: false, ..request() }, &config()), []);
    let kept = json!({"model": "gpt-4.1", "store": true, "tools": [{"type": "function", "name": "fetch"}], "input": [
        {"type": "function_call", "call_id": "a", "name": "fetch", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": prose(1)}]});
    let responses = Request { reversible: true, ..Request::new(Api::OpenAiResponses) };
    assert_eq!(asked(&kept, &responses, &config()), []);
    let mut own = kept;
    own["store"] = false.into();
    assert_eq!(asked(&own, &responses, &config()).len(), 1);
}

#[test]
fn no_later_output_refers_to_prose_that_may_have_gone() {
    let page = prose(1);
    let log: String =
        (0..30).map(|n| format!("[{n}] worker {} took {} jobs\n", n * 7919 % 31, n * 104_729 % 97)).collect();
    let parts = json!([{"type": "text", "text": page}, {"type": "text", "text": log}]);
    let body = body("fetch", &[parts, json!(page), json!(log)]).to_string();
    let mut memo = Memo::new(1 << 20);
    let off = Config::default();
    let (_, referring) = run(body.as_bytes(), &request(), &off, &mut memo, |_, _| None);
    assert!(matches!(
        referring.blocks[2].outcome,
        BlockOutcome::Compressed { compressor: Compressor::Seen, .. }
    ));
    let text = |outcome: &Outcome<'_>, block: usize| {
        let place = outcome.blocks[block].replaced.clone().expect("it is replaced");
        serde_json::from_slice::<String>(&outcome.body[place]).unwrap()
    };
    let reference = text(&referring, 3);
    assert!(reference.contains("text 2"), "{reference}");
    // Whatever the memo knows, and whatever the model says.
    for memo in [&mut memo, &mut Memo::new(1 << 20)] {
        for says_something in [false, true] {
            let says = |_: &Prose, text: &str| says_something.then(|| form(text));
            let (asked, outcome) = run(body.as_bytes(), &request(), &config(), memo, says);
            assert_eq!(asked.iter().map(|it| it.block).collect::<Vec<_>>(), [0, 2]);
            assert_eq!(asked[0].hash, asked[1].hash);
            assert_eq!(text(&outcome, 3), reference, "other texts have the names that they had");
        }
    }
    // A conversation that begins to think is the one that it would be without the model.
    let mut thinks: Value = serde_json::from_str(&body).unwrap();
    thinks["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    let thinks = thinks.to_string();
    let bodies = [config(), off].map(|config| {
        let (_, outcome) = run(thinks.as_bytes(), &request(), &config, &mut memo, |_, _| None);
        outcome.body.into_owned()
    });
    assert_eq!(bodies[0], bodies[1]);
}

#[test]
fn the_original_takes_the_place_of_the_placeholder_here_too() {
    let page = prose(1);
    let mut body =
        body("mcp__headroom__headroom_retrieve", &[json!(""), json!(headroom_compress::rounds::PLACEHOLDER)]);
    let (messages, tools) = (
        body["messages"].as_array_mut().unwrap(),
        json!([{"name": "fetch"}, {"name": "mcp__headroom__headroom_retrieve"}]),
    );
    messages[1]["content"][0]["name"] = "fetch".into();
    messages[2]["content"][0]["content"] = page.as_str().into();
    messages[3]["content"][0]["input"] = json!({"hash": address(&page)});
    body["tools"] = tools;
    let body = body.to_string();
    let request = Request { retrieve_tool: RetrieveTool::Require, ..request() };
    let says = |_: &Prose, text: &str| Some(form(text));
    let (asked, outcome) = run(body.as_bytes(), &request, &config(), &mut Memo::new(1 << 20), says);
    assert_eq!(asked.len(), 1);
    let forwarded: Value = serde_json::from_slice(&outcome.body).unwrap();
    let result = |message: usize| forwarded["messages"][message]["content"][0]["content"].as_str().unwrap();
    assert_eq!(result(2), form(&page));
    assert!(result(4).contains(&page), "{}", result(4));
}

#[test]
fn what_is_no_form_of_a_text_cannot_stand_for_it() {
    let page = prose(1);
    let body = body("fetch", &[json!(page), json!("short")]).to_string();
    let (config, mut memo) = (config(), Memo::new(1 << 20));
    let mut compression = ParsedBody::new(body.as_bytes(), Api::AnthropicMessages, &config).begin(&request());
    assert!(!compression.shorten(0, &form(&page), &mut memo), "nothing is known yet");
    while compression.step(&config, &mut memo) {}
    let marked = |text: &str, hash: &str| {
        let mut text = text.to_owned();
        append_marker(&mut text, "something", hash);
        text
    };
    for wrong in [
        String::new(),
        "a few words".to_owned(),
        marked("of another text", &address("another")),
        marked(&page, &address(&page)),
        marked(&page.repeat(100), &address(&page)),
        form(&page) + "\n",
        form(&page).replace("[headroom: ", "[headroom "),
    ] {
        assert!(!compression.shorten(0, &wrong, &mut memo), "{wrong}");
    }
    for block in [1, 2, usize::MAX] {
        assert!(!compression.shorten(block, &form(&page), &mut memo), "nobody was asked about {block}");
        assert!(compression.text(block).is_none_or(|text| text == "short"));
    }
    let outcome = compression.finish(&mut memo);
    assert!(String::from_utf8_lossy(&outcome.body).contains(&json!(page).to_string()));
    for garbage in ["", "{", "[]", "null"] {
        let compression =
            ParsedBody::new(garbage.as_bytes(), Api::AnthropicMessages, &config).begin(&request());
        assert_eq!((compression.prose(), compression.text(0)), (Vec::new(), None));
    }
}
