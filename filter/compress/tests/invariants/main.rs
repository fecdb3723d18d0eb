//! The invariants of ARCHITECTURE.md, on generated and on recorded conversations.

mod conversation;
mod recorded;
mod sliced;

use conversation::{APIS, Spelling, Step, body, masked};
use headroom_compress::{
    Api, BlockOutcome, CachePrice, Config, Encoding, Epochs, Memo, Outcome, Profile, Request, Skip, compress,
};
use proptest::prelude::*;
use serde_json::Value;

fn request(api: Api, reversible: bool) -> Request<'static> {
    Request { reversible, ..Request::new(api) }
}

/// The end of the JSON string that starts at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut strings = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<String>();
    strings.next().unwrap().unwrap();
    at + strings.byte_offset()
}

/// Checks I2, I4, I5 and I6 of one outcome, and returns the forwarded text of each block.
fn check(api: Api, original: &[u8], outcome: &Outcome<'_>) -> Vec<Vec<u8>> {
    let body = &outcome.body[..];
    let [before, after] = [original, body].map(serde_json::from_slice::<Value>);
    match (before, after) {
        // I6: only texts of tool outputs differ.
        (Ok(before), Ok(after)) => assert_eq!(masked(api, before), masked(api, after)),
        // I1: input that is not JSON is returned unchanged.
        (Err(_), _) => assert_eq!(body, original),
        (Ok(_), Err(error)) => panic!("no JSON any more: {error}"),
    }
    // I2: every byte outside the blocks is the client's own.
    let (mut from, mut at) = (0, 0);
    let mut shown = Vec::new();
    for block in &outcome.blocks {
        let gap = &original[from..block.span.start];
        assert_eq!(&body[at..at + gap.len()], gap);
        at += gap.len();
        from = block.span.end;
        let text = &original[block.span.clone()];
        let replaced = matches!(block.outcome, BlockOutcome::Compressed { .. });
        let end = if replaced { string_end(body, at) } else { at + text.len() };
        let now = &body[at..end];
        at = end;
        shown.push(now.to_vec());
        if !replaced {
            assert_eq!(now, text);
            assert_eq!(block.tokens_before, block.tokens_after);
            continue;
        }
        // I4: fewer tokens, as the reference tokenizer counts them. Forms are chosen by one vocabulary, whatever the model.
        let [text, now] = [text, now].map(|raw| serde_json::from_slice::<String>(raw).unwrap());
        assert_eq!(block.tokens_before as usize, oracle(Encoding::O200kBase, &text));
        assert_eq!(block.tokens_after as usize, oracle(Encoding::O200kBase, &now));
        assert!(block.tokens_after < block.tokens_before);
        assert!(!now.trim().is_empty());
        // I5: what is left out can be found by the address in the marker.
        let lossy = matches!(block.outcome, BlockOutcome::Compressed { lossy: true, .. });
        assert_eq!(lossy, block.left_out.is_some());
        if lossy {
            let original = outcome.originals.iter().find(|original| original.text() == text).unwrap();
            assert!(now.contains(&format!("hash={}", original.hash)));
        }
    }
    assert_eq!(&body[at..], &original[from..]);
    shown
}

fn oracle(encoding: Encoding, text: &str) -> usize {
    match encoding {
        Encoding::O200kBase => tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len(),
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton().encode_ordinary(text).len(),
    }
}

/// Sends at most `most` requests of a growing conversation, and checks each outcome and that they fit
/// together.
fn check_conversation(
    api: Api,
    system: &str,
    steps: &[Step],
    most: usize,
    config: &Config,
    reversible: bool,
    spelling: u64,
) {
    let mut warm = Memo::new(8 << 20);
    let mut tiny = Memo::new(2000);
    let mut before: Vec<String> = Vec::new();
    let mut epochs = 0;
    let answered =
        |end: &usize| matches!(steps.get(*end), None | Some(Step::Call { .. } | Step::Assistant(_)));
    let ends: Vec<usize> = (1..=steps.len()).filter(answered).collect();
    for &end in ends.iter().rev().step_by(ends.len().div_ceil(most)).rev() {
        let mut raw = String::new();
        Spelling::new(spelling).write(&body(api, system, &steps[..end]), &mut raw);
        let request = request(api, reversible);
        let outcome = compress(raw.as_bytes(), &request, config, &mut warm);
        assert_eq!(outcome.unread, None);
        let shown = check(api, raw.as_bytes(), &outcome);
        let again = compress(raw.as_bytes(), &request, config, &mut warm);
        assert!(again.blocks.iter().all(|block| block.memo));
        // I3: the memo's state changes nothing.
        for answer in [
            again,
            compress(raw.as_bytes(), &request, config, &mut tiny),
            compress(raw.as_bytes(), &request, config, &mut Memo::new(0)),
        ] {
            assert_eq!(answer.body, outcome.body);
            assert_eq!(answer.tokens, outcome.tokens);
            assert_eq!(answer.originals.len(), outcome.originals.len());
            assert_eq!(answer.rewritten, outcome.rewritten);
        }
        sliced::check(raw.as_bytes(), &request, config, &outcome);
        // I3: what was shown stays the same. Compared as text, because each body has another spelling.
        let shown: Vec<String> = shown
            .iter()
            .map(|raw| {
                serde_json::from_slice(raw).unwrap_or_else(|_| String::from_utf8_lossy(raw).into_owned())
            })
            .collect();
        // But for old turns that were rewritten since.
        let rewritten = outcome.rewritten.as_ref().map_or(0, |rewritten| rewritten.epochs);
        if epochs != rewritten {
            assert!(rewritten > epochs, "what was rewritten stays so");
            epochs = rewritten;
            before.clear();
        }
        for (at, (now, before)) in shown.iter().zip(&before).enumerate() {
            assert!(now == before, "block {at} was shown as {before:?} and then as {now:?}");
        }
        before = shown;
    }
}

fn output() -> impl Strategy<Value = String> {
    let rows = prop::collection::vec(("[a-z]{1,8}", any::<i32>(), any::<bool>()), 1..20).prop_map(|rows| {
        let rows: Vec<Value> = rows
            .into_iter()
            .map(|(name, number, flag)| serde_json::json!({"name": name, "number": number, "flag": flag}))
            .collect();
        serde_json::to_string_pretty(&rows).unwrap()
    });
    let numbered = prop::collection::vec("[ a-z(){};]{0,30}", 1..60).prop_map(|lines| {
        let lines = lines.iter().enumerate();
        lines.map(|(at, line)| format!("{:>6}\u{2192}{line}\n", at + 1)).collect::<String>()
    });
    let log = prop::collection::vec(("INFO|WARN|ERROR", "[a-z ]{5,20}", 0..99u32), 1..80).prop_map(|lines| {
        let lines = lines.iter();
        lines
            .map(|(level, text, n)| format!("2026-01-02T03:04:{n:02} {level} {text} took {n} ms\n"))
            .collect::<String>()
    });
    let search = prop::collection::vec(("[a-c]", 1..500u32, "[a-z ]{0,30}"), 1..40).prop_map(|lines| {
        let lines = lines.iter();
        lines
            .map(|(file, line, text)| format!("src/some/folder/{file}.rs:{line}:{text}\n"))
            .collect::<String>()
    });
    prop_oneof![
        rows,
        numbered,
        log,
        search,
        any::<String>(),
        "([a-z]{1,8} ){10,60}",
        "[\\x00-\\x7f]{0,200}",
        "(<\\|endoftext\\|>|\\[headroom: |hash=[0-9a-f]{24}\\]|\r\n|\x1b\\[3[0-9]m|  +|x){10,60}",
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tool = prop::sample::select(vec![
        "Read",
        "bash",
        "search",
        "mcp__x__get",
        "headroom_retrieve",
        "mcp__h__headroom_retrieve",
    ]);
    let turn = (
        prop::option::weighted(0.3, "[a-z ]{0,40}"),
        tool,
        "[a-z/.]{0,20}",
        prop::collection::vec(output(), 1..3),
        prop::option::weighted(0.3, any::<prop::sample::Index>()),
    );
    prop::collection::vec(turn, 1..6).prop_map(|turns| {
        let mut steps = vec![Step::User("What is there?".to_owned())];
        let mut outputs: Vec<Vec<String>> = Vec::new();
        for (at, (user, name, argument, texts, repeat)) in turns.into_iter().enumerate() {
            if let Some(text) = user {
                steps.push(Step::Assistant("Go on.".to_owned()));
                steps.push(Step::User(text));
            }
            let texts = match repeat {
                Some(index) if !outputs.is_empty() => index.get(&outputs).clone(),
                _ => texts,
            };
            outputs.push(texts.clone());
            let (id, name) = (format!("call_{at}"), name.to_owned());
            let arguments = serde_json::json!({"path": argument});
            steps.push(Step::Call { id: id.clone(), name: name.clone(), arguments });
            steps.push(Step::Output { id, name, texts });
        }
        steps
    })
}

/// Old turns are rewritten at every so many tokens, in a window of four times as many, without a cache.
fn epochs(step_tokens: u32, keep_turns: u32) -> Option<Box<Epochs>> {
    let prices = vec![CachePrice { model: "*".to_owned(), read_percent: 100, write_percent: 100 }];
    let window_tokens = 4 * step_tokens;
    Some(Box::new(Epochs { window_tokens, step_tokens, keep_turns, prices, ..Epochs::default() }))
}

fn config() -> impl Strategy<Value = Config> {
    let profile = prop::sample::select(vec![
        Profile::Lossless,
        Profile::Conservative,
        Profile::Balanced,
        Profile::Aggressive,
    ]);
    let epochs =
        prop_oneof![Just(None), (200..2_000u32, 0..3u32).prop_map(|(step, keep)| epochs(step, keep)),];
    (profile, prop::sample::select(vec![0, 64]), epochs).prop_map(|(profile, min_block_bytes, epochs)| {
        Config { profile, min_block_bytes, epochs, ..Config::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_conversation_keeps_every_invariant_on_every_turn(
        steps in steps(), config in config(), api in prop::sample::select(APIS.to_vec()), reversible: bool, spelling: u64,
    ) {
        check_conversation(api, "You are a test.", &steps, usize::MAX, &config, reversible, spelling);
    }

    #[test]
    fn a_damaged_body_is_forwarded_or_still_read_safely(
        steps in steps(), api in prop::sample::select(APIS.to_vec()), at: prop::sample::Index, byte: u8, cut: bool,
    ) {
        let mut raw = body(api, "You are a test.", &steps).to_string().into_bytes();
        let at = at.index(raw.len());
        if cut { raw.truncate(at) } else { raw[at] = byte }
        let outcome = compress(&raw, &request(api, true), &Config::default(), &mut Memo::new(1 << 20));
        check(api, &raw, &outcome);
    }

    #[test]
    fn what_no_one_sends_changes_nothing(body: Vec<u8>, api in prop::sample::select(APIS.to_vec())) {
        let outcome = compress(&body, &request(api, true), &Config::default(), &mut Memo::new(1 << 20));
        prop_assert_eq!(&outcome.body[..], &body[..]);
    }
}

#[test]
fn output_of_headrooms_own_retrieval_is_never_compressed() {
    let rows: Vec<Value> = (0..50).map(|n| serde_json::json!({"id": n, "name": "same"})).collect();
    let text = serde_json::to_string_pretty(&rows).unwrap();
    for name in ["headroom_retrieve", "mcp__headroom__headroom_retrieve"] {
        let steps = [
            Step::User("Get it.".to_owned()),
            Step::Call { id: "c".to_owned(), name: name.to_owned(), arguments: serde_json::json!({}) },
            Step::Output {
                id: "c".to_owned(),
                name: name.to_owned(),
                texts: vec![text.clone(), text.clone()],
            },
        ];
        for api in APIS {
            let raw = body(api, "s", &steps).to_string();
            let outcome =
                compress(raw.as_bytes(), &request(api, true), &Config::default(), &mut Memo::new(1 << 20));
            assert_eq!(outcome.blocks.len(), 2);
            for block in &outcome.blocks {
                assert_eq!(block.outcome, BlockOutcome::Skipped(Skip::Retrieved), "{}", api.name());
            }
        }
    }
}

#[test]
fn a_body_over_the_limit_is_not_read() {
    let raw = body(Api::OpenAiChat, "s", &[]).to_string();
    let config = Config { max_body_bytes: raw.len() - 1, ..Config::default() };
    let outcome = compress(raw.as_bytes(), &request(Api::OpenAiChat, true), &config, &mut Memo::new(0));
    assert_eq!(outcome.unread, Some(headroom_compress::UnreadReason::TooLarge));
    assert_eq!(&outcome.body[..], raw.as_bytes());
}

#[test]
fn a_conversation_keeps_its_id_from_turn_to_turn_and_shares_it_with_no_other() {
    let step = |text: &str| Step::User(text.to_owned());
    let id = |system: &str, steps: &[Step], api| {
        let raw = body(api, system, steps).to_string();
        let outcome = compress(raw.as_bytes(), &request(api, false), &Config::default(), &mut Memo::new(0));
        outcome.conversation_id
    };
    for api in APIS {
        let first = id("s", &[step("a")], api);
        assert_eq!(first.as_ref().map(String::len), Some(16));
        assert_eq!(id("s", &[step("a"), Step::Assistant("x".to_owned()), step("b")], api), first);
        assert_ne!(id("s", &[step("b")], api), first);
        assert_ne!(id("t", &[step("a")], api), first);
        assert_eq!(id("s", &[], api), None);
    }
}

#[test]
fn the_request_is_described_by_what_it_says() {
    let raw = body(Api::AnthropicMessages, "s", &[Step::User("hello world".to_owned())]).to_string();
    let outcome = compress(
        raw.as_bytes(),
        &Request::new(Api::AnthropicMessages),
        &Config::default(),
        &mut Memo::new(0),
    );
    assert_eq!(outcome.model.as_deref(), Some("claude-sonnet-4-5"));
    assert!(outcome.stream && outcome.has_tools && outcome.tokens.estimate);
    let texts = ["s", "hello world", r#"[{"input_schema":{"type":"object"},"name":"run"}]"#];
    let counted: usize = texts.map(|text| oracle(Encoding::O200kBase, text)).iter().sum();
    assert!(outcome.tokens.before >= counted as u64 && outcome.tokens.before < 2 * counted as u64);

    let raw = body(Api::GeminiGenerateContent, "s", &[Step::User("hello world".to_owned())]).to_string();
    let request = Request { model: Some("gemini-2.5-pro"), ..Request::new(Api::GeminiGenerateContent) };
    let outcome = compress(raw.as_bytes(), &request, &Config::default(), &mut Memo::new(0));
    assert_eq!(outcome.model.as_deref(), Some("gemini-2.5-pro"));
    assert_eq!(outcome.tokens.before, 3);
}
