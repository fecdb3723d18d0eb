use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn of(api: Api, body: &Value) -> PrefixDigests {
    let compact = digests(api, body.to_string().as_bytes()).unwrap();
    let pretty = serde_json::to_string_pretty(body).unwrap();
    assert_eq!(digests(api, pretty.as_bytes()).as_ref(), Some(&compact), "white space counts for nothing");
    compact
}

fn anthropic(body: &Value) -> PrefixDigests {
    of(Api::AnthropicMessages, body)
}

/// Whether the messages of a request are the beginning of those of a longer one.
fn is_extended(before: &PrefixDigests, after: &PrefixDigests) -> bool {
    let at = after.prefixes.len().checked_sub((after.messages - before.messages) as usize + 1);
    at.and_then(|at| after.prefixes.get(at)) == before.prefixes.last()
}

#[test]
fn a_conversation_that_was_extended_has_its_old_digests_at_the_same_places() {
    let mut messages = Vec::new();
    let mut before: Option<PrefixDigests> = None;
    for turn in 0..100 {
        messages.push(json!({"role": "user", "content": format!("question {turn}")}));
        messages.push(json!({"role": "assistant", "content": [{"type": "text", "text": "answer"}]}));
        let now = anthropic(&json!({"messages": messages, "system": "be brief", "tools": [{"name": "a"}]}));
        assert_eq!(now.messages as usize, messages.len());
        assert_eq!(now.prefixes.len(), messages.len().min(MAX_PREFIXES));
        if let Some(before) = before {
            assert!(is_extended(&before, &now));
            assert_eq!((now.system, now.tools), (before.system, before.tools));
        }
        before = Some(now);
    }
    messages[150]["content"] = json!("another question");
    messages.push(json!({"role": "user", "content": "one more"}));
    let changed = anthropic(&json!({"messages": messages}));
    assert!(!is_extended(&before.clone().unwrap(), &changed));
    assert_eq!((changed.system, changed.tools), (0, 0));
    let before = before.unwrap();
    // The newest 64 of 200 begin at 137; those before the change are equal.
    assert_eq!(before.prefixes[1..=13], changed.prefixes[..13]);
    assert_ne!(before.prefixes[14], changed.prefixes[13]);
}

#[test]
fn what_providers_leave_out_of_a_prefix_is_left_out() {
    let cached = json!({"type": "ephemeral", "ttl": "1h"});
    let plain = json!({
        "system": [{"type": "text", "text": "be brief"}],
        "tools": [{"name": "a", "input_schema": {"type": "object"}}, {"name": "b"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]}],
    });
    let mut marked = plain.clone();
    marked["system"][0]["cache_control"] = cached.clone();
    marked["tools"][1]["cache_control"] = cached.clone();
    marked["messages"][0]["content"][1]["cache_control"] = cached;
    assert_eq!(anthropic(&plain), anthropic(&marked));
    // As the first, the only and a middle member, whatever its value.
    for (with, without) in [
        (r#"{"cache_control":{"a":[1,"}"]},"type":"text","text":"x"}"#, r#"{"type":"text","text":"x"}"#),
        (r#"{"cache_control":null}"#, "{}"),
        (r#"{"type":"text", "cache_control" : 1 ,"text":"x"}"#, r#"{"type":"text","text":"x"}"#),
    ] {
        let body = |block: &str| format!(r#"{{"messages":[{{"role":"user","content":[{block}]}}]}}"#);
        let digests = |block| digests(Api::AnthropicMessages, body(block).as_bytes()).unwrap();
        assert_eq!(digests(with), digests(without), "{with}");
    }
    let quoted = r#"{"messages":[{"role":"user","content":"\"cache_control\": 1"}]}"#;
    let other = r#"{"messages":[{"role":"user","content":"\"cache_control\": 2"}]}"#;
    assert_ne!(
        digests(Api::AnthropicMessages, quoted.as_bytes()),
        digests(Api::AnthropicMessages, other.as_bytes()),
        "the words inside a text are text"
    );
}

#[test]
fn a_text_alone_is_a_list_of_that_text() {
    let alone = json!({"system": "s", "messages": [{"role": "user", "content": "hi"}]});
    let listed = json!({
        "system": [{"type": "text", "text": "s"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    });
    // `json!` sorts the members of an object; clients write the type first.
    let listed = listed.to_string().replace(r#""text":"s","type":"text""#, r#""type":"text","text":"s""#);
    let listed = listed.replace(r#""text":"hi","type":"text""#, r#""type":"text","text":"hi""#);
    let alone = alone.to_string();
    let both = |api| [&alone, &listed].map(|body| digests(api, body.as_bytes()).unwrap());
    let [first, second] = both(Api::AnthropicMessages);
    // The members of the message stand in the order that `json!` gives both.
    assert_eq!(first, second);
    let [first, second] = both(Api::OpenAiChat);
    assert_ne!(first, second, "elsewhere nobody says so");
}

#[test]
fn what_claude_code_says_of_billing_is_left_out() {
    let body = |line: &str| {
        json!({
            "system": [{"type": "text", "text": format!("x-anthropic-billing-header: cc_version=2; cch={line};")},
                       {"type": "text", "text": "you are an agent"}],
            "messages": [],
        })
    };
    assert_eq!(anthropic(&body("a1b2")), anthropic(&body("ffff00")));
    let body =
        |line: &str, rest: &str| json!({"system": format!("x-anthropic-billing-header: {line}\n{rest}")});
    assert_eq!(anthropic(&body("a", "rest")), anthropic(&body("bb", "rest")));
    assert_ne!(anthropic(&body("a", "rest")), anthropic(&body("a", "other")));
    let said = |line: &str| json!({"messages": [{"role": "user", "content": format!("x-anthropic-billing-header: {line}")}]});
    assert_ne!(anthropic(&said("a")), anthropic(&said("b")), "in a message it is what the user says");
}

#[test]
fn each_format_has_its_names() {
    let messages = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
    for (api, body) in [
        (Api::AnthropicMessages, json!({"system": "s", "tools": [1], "messages": messages})),
        (Api::AnthropicBedrock, json!({"system": "s", "tools": [1], "messages": messages})),
        (Api::OpenAiResponses, json!({"instructions": "s", "tools": [1], "input": messages})),
        (Api::GeminiGenerateContent, json!({"systemInstruction": {}, "tools": [1], "contents": messages})),
        (
            Api::GeminiCodeAssist,
            json!({"model": "m", "request": {"systemInstruction": {}, "tools": [1], "contents": messages}}),
        ),
        (Api::BedrockConverse, json!({"system": [], "toolConfig": {"tools": []}, "messages": messages})),
    ] {
        let found = of(api, &body);
        assert!(found.system > 0 && found.tools > 0 && found.messages == 2, "{api:?}: {found:?}");
        let other = of(api, &json!({"model": "m", "max_tokens": 3, "other": [{"tools": 1}]}));
        assert_eq!(other, PrefixDigests::default(), "{api:?}");
    }
    for api in [Api::OpenAiChat, Api::CohereChat] {
        let found = of(api, &json!({"tools": [1], "messages": messages}));
        assert!(found.tools > 0 && found.messages == 2, "{api:?}");
    }
    assert_eq!(of(Api::OpenAiResponses, &json!({"input": "a text alone"})).messages, 1);
    assert_eq!(of(Api::OpenAiResponses, &json!({"input": []})).messages, 0);
}

#[test]
fn what_is_no_object_has_no_digests() {
    let deep = |depth: usize| format!(r#"{{"messages":[{}{}]}}"#, "[".repeat(depth), "]".repeat(depth));
    for bad in [
        "",
        "[]",
        "1",
        "{",
        r#"{"messages""#,
        r#"{"messages":}"#,
        r#"{"messages":["a"}"#,
        r#"{"messages":[1,]}"#,
        r#"{"messages":[{"a"}]}"#,
        r#"{"messages":[{"a":}]}"#,
        r#"{"messages":[{1:2}]}"#,
        r#"{"messages":[}]}"#,
        r#"{"a":"\"#,
        &deep(200),
        &deep(127)[..100],
    ] {
        assert_eq!(digests(Api::AnthropicMessages, bad.as_bytes()), None, "{bad}");
    }
    assert!(digests(Api::AnthropicMessages, deep(126).as_bytes()).is_some());
    assert_eq!(digests(Api::OpenAiChat, b" { } "), Some(PrefixDigests::default()));
}

/// A number with a fraction. Without minus zero, which equals zero and is another text, so that its digest is another.
fn any_number() -> impl Strategy<Value = serde_json::Number> {
    any::<f32>().prop_filter_map("finite", |n| {
        let n = if n == 0.0 { 0.0 } else { f64::from(n) };
        serde_json::Number::from_f64(n)
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any_number().prop_map(Value::Number),
        "[a-z\"\\\\\n,{}\\[\\]: é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-z]{0,6}", inner), 0..6)
                .prop_map(|members| { Value::Object(members.into_iter().collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn different_values_have_different_digests_and_their_spelling_counts_for_nothing(a in any_json(), b in any_json()) {
        let [first, second] = [&a, &b].map(|value| of(Api::OpenAiChat, &json!({"messages": [value]})));
        prop_assert_eq!(first == second, a == b);
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..80)) {
        for api in Api::ALL {
            let framed = [br#"{"messages":["#, &body[..], b"]}"].concat();
            for bytes in [body.as_slice(), framed.as_slice()] {
                let read = digests(api, bytes);
                prop_assert!(read.is_none_or(|it| it.prefixes.len() <= bytes.len() && it.prefixes.len() <= 64));
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_is_refused(value in any_json(), at: prop::sample::Index) {
        let body = json!({"messages": [value, 1], "tools": value}).to_string();
        let cut = &body.as_bytes()[..at.index(body.len())];
        prop_assert_eq!(digests(Api::OpenAiChat, cut), None);
    }
}

fn layout(api: Api, body: &Value) -> CacheLayout {
    read(api, body.to_string().as_bytes(), &mut Prompts::default()).unwrap().layout
}

fn points(layout: &CacheLayout) -> Vec<(BreakpointPlace, u32, u32, u32)> {
    let points = layout.breakpoints.iter();
    points.map(|point| (point.place(), point.message, point.block, point.lifetime_seconds)).collect()
}

#[test]
fn breakpoints_are_found_with_the_blocks_before_them() {
    use BreakpointPlace::{Automatic, Messages, System, Tools};
    let mark = |ttl: &str| json!({"type": "ephemeral", "ttl": ttl});
    let text = |text: &str| json!({"type": "text", "text": text});
    let mut body = json!({
        "messages": [
            {"role": "user", "content": "one block"},
            {"role": "assistant", "content": [text("a"), {"type": "tool_use", "id": "1", "input": {"content": [1, 2]}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [text("a"), text("b")]}, text("c")]},
        ],
        "system": [text("a"), text("b")],
        "tools": [{"name": "a"}, {"name": "b", "input_schema": {"enum": [1, 2, 3]}}],
    });
    assert_eq!(layout(Api::AnthropicMessages, &body).blocks, 2 + 2 + 5);
    assert!(points(&layout(Api::AnthropicMessages, &body)).is_empty());
    body["tools"][1]["cache_control"] = mark("1h");
    body["system"][0]["cache_control"] = json!({"type": "ephemeral"});
    body["messages"][2]["content"][0]["content"][1]["cache_control"] = mark("5m");
    body["messages"][2]["content"][1]["cache_control"] = Value::Null;
    body["cache_control"] = mark("1h");
    let found = layout(Api::AnthropicMessages, &body);
    // Breakpoints are listed in the order of the prompt, not in the order in which `json!` sorts the members.
    let expected = [(Tools, 0, 2, 3_600), (System, 0, 3, 0), (Messages, 3, 8, 300), (Automatic, 3, 9, 3_600)];
    assert_eq!(points(&found), expected);
    assert!(found.tools_bytes > 0 && found.system_bytes > 0 && found.prefix_bytes.len() == 3);
    assert_eq!(found.prefix_bytes.last(), Some(&found.messages_bytes));

    let cached = |content: Value| json!({"messages": [{"role": "user", "content": content}], "system": [{"text": "s"}]});
    let plain = cached(json!([{"text": "a"}, {"text": "b"}]));
    let marked =
        cached(json!([{"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "b"}]));
    assert_eq!(
        of(Api::BedrockConverse, &plain),
        of(Api::BedrockConverse, &marked),
        "a breakpoint is no text"
    );
    assert_eq!(points(&layout(Api::BedrockConverse, &marked)), [(Messages, 1, 2, 3_600)]);
    let many: Vec<Value> =
        (0..100).map(|_| json!({"type": "text", "text": "a", "cache_control": {}})).collect();
    assert_eq!(layout(Api::AnthropicMessages, &cached(json!(many))).breakpoints.len(), MAX_BREAKPOINTS);
}

#[test]
fn messages_with_which_a_chat_is_instructed_are_its_system_prompt() {
    let chat = |system: &str, messages: &[Value]| {
        let mut all =
            vec![json!({"role": "system", "content": system}), json!({"role": "developer", "content": "d"})];
        all.extend_from_slice(messages);
        json!({"messages": all, "tools": [{"type": "function"}]})
    };
    let said =
        [json!({"role": "user", "content": "a"}), json!({"role": "system", "content": "in the middle"})];
    let (one, other) = (of(Api::OpenAiChat, &chat("a\nb", &said)), of(Api::OpenAiChat, &chat("a\nc", &said)));
    assert_eq!((one.messages, one.prefixes.len()), (2, 2));
    assert_eq!(one.prefixes, other.prefixes);
    assert_ne!(one.system, other.system);
    let found = layout(Api::OpenAiChat, &chat("a\nb", &said));
    assert_eq!((found.system_lines.len(), found.blocks), (3, 1 + 2 + 2));
    let alone = layout(Api::OpenAiChat, &json!({"messages": said}));
    assert_eq!((alone.first_message, alone.first_line), (found.first_message, 0));
    let input = json!({"instructions": "i", "input": [{"role": "developer", "content": "d"}, said[0]]});
    let found = of(Api::OpenAiResponses, &input);
    assert_eq!(found.messages, 1);
    let other = json!({"instructions": "i", "input": [said[0]]});
    assert_ne!(found.system, of(Api::OpenAiResponses, &other).system);
}

#[test]
fn what_else_a_request_asks_of_the_cache_is_read() {
    let ask = |key: &str, value: Value| layout(Api::OpenAiResponses, &json!({"input": "hi", key: value}));
    assert_eq!(ask("prompt_cache_retention", json!("24h")).lifetime_seconds, 86_400);
    let options = ask("prompt_cache_options", json!({"mode": "explicit", "ttl": "30m"}));
    assert_eq!((options.explicit_only, options.lifetime_seconds), (true, 1_800));
    assert!(ask("previous_response_id", json!("resp_1")).continues);
    assert!(!ask("previous_response_id", Value::Null).continues);
    let parameters = |body: Value| layout(Api::AnthropicMessages, &body).parameters;
    let thinking = json!({"thinking": {"type": "enabled"}, "tool_choice": {"type": "any"}});
    let turned = json!({"thinking": {"type": "any"}, "tool_choice": {"type": "enabled"}});
    assert_eq!(parameters(json!({"max_tokens": 1})), 0);
    assert!(parameters(thinking.clone()) != 0 && parameters(thinking) != parameters(turned));
    // The choice of a tool is not a tool.
    let converse =
        |config: Value| layout(Api::BedrockConverse, &json!({"messages": [], "toolConfig": config}));
    let tools = json!([{"toolSpec": {"name": "a", "toolChoice": 1}}]);
    let plain = json!({"messages": [], "toolConfig": {"tools": tools}});
    for choice in [json!({"any": {}}), json!({"tool": {"name": "a"}}), json!(null)] {
        let chosen = json!({"toolChoice": choice, "tools": tools});
        let body = json!({"messages": [], "toolConfig": chosen});
        assert_eq!(of(Api::BedrockConverse, &body).tools, of(Api::BedrockConverse, &plain).tools);
        assert_ne!(converse(chosen).parameters, 0, "{choice}");
    }
    assert_eq!(converse(json!({"tools": tools})).parameters, 0);
}

#[test]
fn members_that_are_there_many_times_take_no_more_room_and_little_time() {
    let many = |member: &str| {
        let members = format!("{member},").repeat(300_000);
        format!(r#"{{{members}"system":"the last","messages":[{{"role":"user","content":"hi"}}]}}"#)
    };
    let mut prompts = Prompts::default();
    for member in [r#""system":"a\nb""#, r#""cache_control":1"#, r#""thinking":1"#] {
        let found = read(Api::AnthropicMessages, many(member).as_bytes(), &mut prompts).unwrap();
        assert_eq!(found.layout.system_lines.len(), 1, "{member}");
        assert!(found.layout.breakpoints.len() <= MAX_BREAKPOINTS);
    }
}
