use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::prompt::{Class, line_digest};

const CONTROL: &str = r#","cache_control":{"type":"ephemeral"}"#;

fn breakpoints() -> CacheEdits<'static> {
    CacheEdits { align: &[], breakpoints: Some(Lifetime::FiveMinutes) }
}

fn marked(body: &Value) -> Option<Value> {
    let edited = breakpoints().apply(body.to_string().as_bytes(), Api::AnthropicMessages)?;
    Some(serde_json::from_slice(&edited.body).unwrap())
}

/// The blocks that the model reads, each with its role, and whether it has a breakpoint.
fn blocks(body: &Value) -> Vec<(String, bool)> {
    let mut blocks = Vec::new();
    let mut push = |who: &str, block: &Value| {
        let mut block = block.clone();
        let control = block.as_object_mut().and_then(|members| members.remove("cache_control"));
        blocks.push((format!("{who}: {block}"), control.is_some()));
    };
    let list = |content: &Value| match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        content => content.as_array().cloned().unwrap_or_default(),
    };
    list(&body["tools"]).iter().for_each(|tool| push("tools", tool));
    list(&body["system"]).iter().for_each(|block| push("system", block));
    for message in list(&body["messages"]) {
        let role = message["role"].as_str().unwrap();
        list(&message["content"]).iter().for_each(|block| push(role, block));
    }
    blocks
}

/// The provider's cache: an entry that was written at a breakpoint is found from a later breakpoint at most
/// 19 blocks further on.
#[derive(Default)]
struct Cache {
    written: HashSet<Vec<String>>,
}

impl Cache {
    /// How many blocks of a request are read from the cache, and how many can be read later.
    fn ask(&mut self, body: &Value) -> (usize, usize) {
        let blocks = blocks(body);
        let texts: Vec<String> = blocks.iter().map(|(text, _)| text.clone()).collect();
        let points: Vec<usize> = (1..=blocks.len()).filter(|at| blocks[at - 1].1).collect();
        assert!(points.len() <= 4, "{points:?}");
        let found = points
            .iter()
            .flat_map(|point| (point.saturating_sub(19).max(1)..=*point).rev())
            .filter(|at| self.written.contains(&texts[..*at]))
            .max();
        self.written.extend(points.iter().map(|at| texts[..*at].to_vec()));
        (found.unwrap_or(0), points.last().copied().unwrap_or(0))
    }
}

/// A conversation: system prompt, tools, and the user's turns with the model's answers.
fn conversation() -> impl Strategy<Value = (Value, Value, Vec<Value>)> {
    let text = "[a-z\u{e9}\" \n]{0,6}x";
    let string = text.prop_map(Value::from);
    let part = text.prop_map(|text| json!({"type": "text", "text": text}));
    let result = (text, any::<bool>()).prop_map(|(text, lists)| {
        let content = if lists { json!([{"type": "text", "text": text}]) } else { json!(text) };
        json!({"type": "tool_result", "tool_use_id": "t", "content": content})
    });
    let call = Just(json!({"type": "tool_use", "id": "t", "name": "f", "input": {}}));
    let thinking = Just(json!({"type": "thinking", "thinking": "hm", "signature": "s"}));
    let blank = Just(json!({"type": "text", "text": " \n"}));
    let users = proptest::collection::vec(prop_oneof![4 => result, 2 => part.clone(), 1 => blank], 0..40)
        .prop_map(|mut content| {
            content.insert(0, json!({"type": "text", "text": "so"}));
            json!({"role": "user", "content": content})
        });
    let user = prop_oneof![
        1 => string.clone().prop_map(|text| json!({"role": "user", "content": text})),
        3 => users,
    ];
    let models = proptest::collection::vec(prop_oneof![call, thinking, part.clone()], 1..40)
        .prop_map(|content| json!({"role": "assistant", "content": content}));
    let system = prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        string,
        proptest::collection::vec(part, 0..3).prop_map(Value::from),
    ];
    let tools = (0..4usize).prop_map(|count| {
        (0..count).map(|at| json!({"name": format!("t{at}"), "input_schema": {}})).collect::<Value>()
    });
    let turns = proptest::collection::vec((proptest::collection::vec(user, 1..3), models), 1..6);
    (system, tools, turns).prop_map(|(system, tools, turns)| {
        let messages = turns.into_iter().flat_map(|(users, model)| users.into_iter().chain([model]));
        (system, tools, messages.collect())
    })
}

/// Where requests end: after each user message that the model answers.
fn requests(messages: &[Value]) -> Vec<usize> {
    (1..messages.len()).filter(|at| messages[*at]["role"] == "assistant").collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_reads_all_that_the_one_before_has_written((system, tools, messages) in conversation()) {
        let mut cache = Cache::default();
        let (mut written, mut said) = (0, String::new());
        for end in requests(&messages) {
            let mut body = json!({"model": "m", "tools": tools, "messages": messages[..end]});
            if !system.is_null() {
                body["system"] = system.clone();
            }
            // With the messages last, the conversation so far is the body without its end.
            let tail = json!(messages[..end]).to_string();
            body.as_object_mut().unwrap().remove("messages");
            let head = body.to_string();
            let body = format!("{},\"messages\":{tail}}}", &head[..head.len() - 1]);
            let edited = breakpoints().apply(body.as_bytes(), Api::AnthropicMessages).unwrap();
            let text = String::from_utf8(edited.body).unwrap();
            let forwarded: Value = serde_json::from_str(&text).unwrap();

            let (read, last) = cache.ask(&forwarded);
            prop_assert!(read >= written, "{read} of {written} blocks: {forwarded}");
            written = last;
            prop_assert_eq!(text.matches(CONTROL).count(), edited.breakpoints as usize);

            // Apart from breakpoints, a request continues where the one before has ended, byte for byte.
            let without = text.replace(CONTROL, "");
            prop_assert!(without.starts_with(&said), "{said}\n{without}");
            said = without[..without.len() - 2].to_owned();

            // The model reads exactly what the client has written.
            let client: Value = serde_json::from_str(&body).unwrap();
            let texts = |body: &Value| blocks(body).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
            prop_assert_eq!(texts(&forwarded), texts(&client));
        }
    }

    #[test]
    fn of_a_damaged_request_comes_json_or_nothing(at in 0..2_000usize, byte: u8, cut: bool) {
        let content = json!([{"type": "tool_result", "tool_use_id": "t", "content": "x"}]);
        let body = json!({"tools": [{"name": "a"}], "system": PROMPT, "instructions": PROMPT, "input": "x", "messages": [
            {"role": "system", "content": PROMPT}, {"role": "user", "content": content},
            {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]});
        let mut bytes = body.to_string().into_bytes();
        let at = at % bytes.len();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        let rules = dated();
        for api in Api::ALL {
            if let Some(edited) = (CacheEdits { align: &rules, ..breakpoints() }).apply(&bytes, api) {
                prop_assert!(serde_json::from_slice::<Value>(&edited.body).is_ok(), "{api:?}");
            }
        }
    }

    #[test]
    fn what_is_no_request_stays_as_it_is(bytes: Vec<u8>) {
        let rules = [rule("x", &[(1, Class::Number)])];
        let edits = CacheEdits { align: &rules, ..breakpoints() };
        prop_assert!(Api::ALL.into_iter().all(|api| edits.apply(&bytes, api).is_none()));
    }
}

#[test]
fn breakpoints_stand_on_tools_system_and_the_ends_of_the_newest_runs() {
    let body = r#"{ "tools":[{"name":"a"},{"name":"b" },{"name":"c","defer_loading":true},{"type":"web_search_20250305","name":"w"}],
        "system":"S", "messages":[ {"role":"user","content":"1"},{"role":"assistant","content":"2"},
        {"role":"user","content":[{"type":"text","text":"3"},{"type":"text","text":""}]},{"role":"assistant","content":"4"},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"5"}]},{"role":"user","content":"6"} ]}"#;
    let edited = breakpoints().apply(body.as_bytes(), Api::AnthropicMessages).unwrap();
    assert_eq!((edited.breakpoints, edited.aligned_lines, edited.added.as_str()), (4, 0, ""));
    let expected = r#"{ "tools":[{"name":"a"},{"name":"b" ,"cache_control":{"type":"ephemeral"}},{"name":"c","defer_loading":true},{"type":"web_search_20250305","name":"w"}],
        "system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}], "messages":[ {"role":"user","content":[{"type":"text","text":"1"}]},{"role":"assistant","content":"2"},
        {"role":"user","content":[{"type":"text","text":"3","cache_control":{"type":"ephemeral"}},{"type":"text","text":""}]},{"role":"assistant","content":"4"},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"5"}]},{"role":"user","content":[{"type":"text","text":"6","cache_control":{"type":"ephemeral"}}]} ]}"#;
    assert_eq!(String::from_utf8(edited.body).unwrap(), expected);
}

#[test]
fn rounds_that_are_put_back_between_two_requests_do_not_hide_what_was_written() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let user = |content: Value| json!({"role": "user", "content": content});
    let model = |content: Value| json!({"role": "assistant", "content": content});
    let mut messages = vec![user(json!("go"))];
    let mut cache = Cache::default();
    cache.ask(&marked(&json!({"messages": messages})).unwrap());
    let busy: Value = (0..14).map(|at| text(&at.to_string())).collect();
    messages.extend([
        model(busy.clone()),
        user(json!([text("page")])),
        model(busy),
        user(json!([text("next")])),
    ]);
    let body = json!({"system": "S", "tools": [{"name": "a"}], "messages": messages});
    let first = json!({"system": "S", "tools": [{"name": "a"}], "messages": messages[..1]});
    let mut cache = Cache::default();
    let (_, written) = cache.ask(&marked(&first).unwrap());
    assert_eq!(cache.ask(&marked(&body).unwrap()).0, written);
}

#[test]
fn where_the_client_sets_a_breakpoint_itself_none_is_set() {
    let set = json!({"type": "ephemeral"});
    let own = |pointer: &str, block: &str| {
        let mut body = json!({"tools": [{"name": "a"}], "system": [{"type": "text", "text": "s"}], "messages": [
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "x"}]}]},
            {"role": "assistant", "content": [{"type": "text", "text": "x"}]}]});
        body.pointer_mut(pointer).unwrap()["cache_control"] =
            if block == "null" { Value::Null } else { set.clone() };
        marked(&body)
    };
    for pointer in [
        "",
        "/tools/0",
        "/system/0",
        "/messages/0/content/0",
        "/messages/0/content/0/content/0",
        "/messages/1/content/0",
    ] {
        assert_eq!(own(pointer, "set"), None, "{pointer}");
        assert!(own(pointer, "null").is_some(), "{pointer}");
    }
    // A text that only mentions it sets none.
    let talk = json!({"messages": [{"role": "user", "content": "\"cache_control\":"},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {"cache_control": set}}]}]});
    assert!(marked(&talk).is_some());
}

#[test]
fn a_breakpoint_of_null_becomes_one_and_a_kept_conversation_gets_none() {
    let body = br#"{"tools":[{"name":"a","cache_control": null}],"messages":[]}"#;
    let edited = breakpoints().apply(body, Api::AnthropicMessages).unwrap();
    assert_eq!(
        edited.body,
        br#"{"tools":[{"name":"a","cache_control": {"type":"ephemeral"}}],"messages":[]}"#
    );
    let hour = CacheEdits { breakpoints: Some(Lifetime::OneHour), ..CacheEdits::default() };
    let edited = String::from_utf8(hour.apply(body, Api::AnthropicBedrock).unwrap().body).unwrap();
    assert!(edited.contains(r#""cache_control": {"type":"ephemeral","ttl":"1h"}"#), "{edited}");
    for other in [
        r#"{"thread":"t","messages":[{"role":"user","content":"a"}]}"#,
        r#"{"messages":[{"role":"user","content":" \n"}]}"#,
        r#"{"messages":[{"role":"user","role":"user","content":"a"}]}"#,
        r#"{"tools":[{"name":"a","name":"b"}],"messages":[]}"#,
        r#"{"messages":{}}"#,
        "{}",
        "[]",
    ] {
        assert_eq!(breakpoints().apply(other.as_bytes(), Api::AnthropicMessages), None, "{other}");
    }
    let body = br#"{"messages":[{"role":"user","content":"a"}]}"#;
    let takes = Api::ALL.into_iter().filter(|api| breakpoints().apply(body, *api).is_some());
    assert_eq!(takes.collect::<Vec<_>>(), [Api::AnthropicMessages, Api::AnthropicBedrock]);
}

fn rule(first: &str, lines: &[(u32, Class)]) -> Rule {
    let spelled = json!(first).to_string();
    Rule { prompt: line_digest(spelled.trim_matches('"').as_bytes()), lines: lines.to_vec(), trim: false }
}

const PROMPT: &str =
    "\n  You are a bot. \"é\".\n\n<env>\n  Today's date: 2026-11-29\n</env>\nRequest 17 of many\nBe brief.";

fn dated() -> [Rule; 1] {
    [rule(
        "  You are a bot. \"é\".",
        &[(5, Class::Date), (7, Class::Number), (8, Class::Date), (99, Class::Date)],
    )]
}

const STABLE: &str = "\n  You are a bot. \"é\".\n\n<env>\n  [moved line 1: see the end of this prompt]\n</env>\n\
    [moved line 2: see the end of this prompt]\nBe brief.";
const TAIL: &str = "Lines that were moved here from further up in this prompt:\nmoved line 1: Today's date: 2026-11-29\n\
    moved line 2: Request 17 of many";

fn aligned(body: &Value, api: Api, rules: &[Rule]) -> Option<(Value, u32)> {
    let edits = CacheEdits { align: rules, breakpoints: None };
    let edited = edits.apply(body.to_string().as_bytes(), api)?;
    Some((serde_json::from_slice(&edited.body).unwrap(), edited.aligned_lines))
}

#[test]
fn lines_move_to_the_end_of_the_prompt_in_every_format() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let input = |text: &str| json!({"type": "input_text", "text": text});
    let plain = |text: &str| json!({"text": text});
    let both = format!("{STABLE}\n\n{TAIL}");
    let cases = [
        (Api::AnthropicMessages, json!({"system": PROMPT}), json!({"system": [text(STABLE), text(TAIL)]})),
        (
            Api::AnthropicBedrock,
            json!({"system": [text(PROMPT), text("More.")]}),
            json!({"system": [text(STABLE), text("More."), text(TAIL)]}),
        ),
        (
            Api::OpenAiChat,
            json!({"messages": [{"role": "developer", "content": PROMPT}]}),
            json!({"messages": [{"role": "developer", "content": both}]}),
        ),
        (
            Api::CohereChat,
            json!({"messages": [{"role": "system", "content": [text(PROMPT)]}]}),
            json!({"messages": [{"role": "system", "content": [text(STABLE), text(TAIL)]}]}),
        ),
        (Api::OpenAiResponses, json!({"instructions": PROMPT}), json!({"instructions": both})),
        (
            Api::OpenAiResponses,
            json!({"instructions": null, "input": [{"role": "developer", "content": [input(PROMPT)]}]}),
            json!({"instructions": null, "input": [{"role": "developer", "content": [input(STABLE), input(TAIL)]}]}),
        ),
        (
            Api::GeminiGenerateContent,
            json!({"system_instruction": {"parts": [plain(PROMPT)]}}),
            json!({"system_instruction": {"parts": [plain(STABLE), plain(TAIL)]}}),
        ),
        (
            Api::GeminiCodeAssist,
            json!({"request": {"systemInstruction": {"parts": [plain(PROMPT)]}}}),
            json!({"request": {"systemInstruction": {"parts": [plain(STABLE), plain(TAIL)]}}}),
        ),
        (
            Api::BedrockConverse,
            json!({"system": [plain(PROMPT), {"cachePoint": {"type": "default"}}]}),
            json!({"system": [plain(STABLE), {"cachePoint": {"type": "default"}}, plain(TAIL)]}),
        ),
    ];
    for (api, body, expected) in cases {
        assert_eq!(aligned(&body, api, &dated()), Some((expected, 2)), "{api:?}");
    }
}

#[test]
fn a_prompt_that_no_rule_names_or_that_has_the_accounting_line_stays() {
    let body = |prompt: &str| json!({"system": prompt, "messages": []});
    let of = |prompt: &str| aligned(&body(prompt), Api::AnthropicMessages, &dated());
    assert!(of(PROMPT).is_some());
    assert_eq!(of(&PROMPT.replace("bot", "cat")), None);
    assert_eq!(of(""), None);
    assert_eq!(of(&format!("{PROMPT}\n x-anthropic-billing-header: cc_version=2; cch=1")), None);
    let blocks = json!({"system": [{"type": "text", "text": "x-anthropic-billing-header: cch=1"},
        {"type": "text", "text": PROMPT}]});
    let billed = [Rule { prompt: line_digest(b"x-anthropic-billing-header: cch=1"), ..dated()[0].clone() }];
    assert_eq!(aligned(&blocks, Api::AnthropicMessages, &billed), None);
    // The line no longer holds what the rule names.
    let without = of(&PROMPT.replace("2026-11-29", "unknown").replace("17", "one")).map(|(_, lines)| lines);
    assert_eq!(without, None);
    // A text in a user message is not a system prompt.
    let user = json!({"messages": [{"role": "user", "content": PROMPT}]});
    assert_eq!(aligned(&user, Api::OpenAiChat, &dated()), None);
}

#[test]
fn blanks_and_line_ends_go_only_where_the_rule_says_so_and_in_the_prompt_alone() {
    let body = json!({"system": "One. \r\n  two\t\r\nC:\\r\n", "messages": [{"role": "user", "content": "a \r\nb"}]});
    let trims = Rule { trim: true, ..rule("One. \r", &[]) };
    let mut expected = body.clone();
    expected["system"] = json!("One.\n  two\nC:\\r\n");
    assert_eq!(aligned(&body, Api::AnthropicMessages, &[trims]), Some((expected, 2)));
    assert_eq!(aligned(&body, Api::AnthropicMessages, &[rule("One. \r", &[])]), None);
}

#[test]
fn with_both_the_breakpoint_stands_before_the_lines_that_change() {
    let rules = dated();
    let edits = CacheEdits { align: &rules, ..breakpoints() };
    let control = json!({"type": "ephemeral"});
    let expected =
        json!([{"type": "text", "text": STABLE, "cache_control": control}, {"type": "text", "text": TAIL}]);
    for system in [json!(PROMPT), json!([{"type": "text", "text": PROMPT}])] {
        let body = json!({"system": system, "messages": [{"role": "user", "content": "a"}]});
        let edited = edits.apply(body.to_string().as_bytes(), Api::AnthropicMessages).unwrap();
        assert_eq!((edited.breakpoints, edited.aligned_lines), (2, 2));
        let forwarded: Value = serde_json::from_slice(&edited.body).unwrap();
        assert_eq!(forwarded["system"], expected);
    }
    // So what one request writes is read by the next one, although the date has changed.
    let mut cache = Cache::default();
    let mut ask = |prompt: &str| {
        let body = json!({"system": prompt, "tools": [{"name": "a"}], "messages": [{"role": "user", "content": "a"}]});
        let edited = edits.apply(body.to_string().as_bytes(), Api::AnthropicMessages).unwrap();
        cache.ask(&serde_json::from_slice(&edited.body).unwrap()).0
    };
    assert_eq!((ask(PROMPT), ask(&PROMPT.replace("2026-11-29", "2026-11-30"))), (0, 2));
}

proptest! {
    #[test]
    fn an_aligned_prompt_has_every_line_of_the_clients(
        lines in proptest::collection::vec("[a-z \t\"\\\\\u{e9}]{0,8}|2026-1[0-2]-[12][0-9]| at 1[0-9]:05|x[0-9]{1,3}\r", 1..12),
        rules in proptest::collection::vec((1..14u32, 0..4usize), 0..6),
        lists: bool,
    ) {
        let prompt = format!("First.\n{}", lines.join("\n"));
        let moves: Vec<(u32, Class)> = rules.iter().map(|(line, class)| (*line, Class::NAMES[*class].1)).collect();
        let system = if lists { json!([{"type": "text", "text": prompt}]) } else { json!(prompt) };
        let body = json!({"system": system, "messages": []});
        let Some((forwarded, count)) = aligned(&body, Api::AnthropicMessages, &[rule("First.", &moves)]) else {
            return Ok(());
        };
        let [stable, tail] = [0, 1].map(|at| forwarded["system"][at]["text"].as_str().unwrap());
        let mut restored = stable.to_owned();
        for (number, line) in (1..).zip(tail.split('\n').skip(1)) {
            let said = line.strip_prefix(&format!("moved line {number}: ")).unwrap();
            let place = format!("[moved line {number}: see the end of this prompt]");
            prop_assert!(restored.contains(&place));
            restored = restored.replace(&place, said);
        }
        prop_assert_eq!(restored, prompt);
        prop_assert_eq!(count as usize, tail.split('\n').count() - 1);
    }
}
