//! Why requests read less from the cache than they could have. Histories are played to a provider's cache, which is
//! independent of Headroom; records are the same as the filter's; and each request must get the reason that the
//! history was written for.

use headroom_api::names::miss_reason_name;
use headroom_api::v1::{CacheVerdict, RequestOutcome, RequestRecord, Usage};
use headroom_filter::prefix;
use headroom_filter::system_lines::Prompts;
use headroom_providers::Api;
use headroomd::clock::{UnixMs, now_ms};
use headroomd::ledger::bucket::Unit;
use headroomd::ledger::contribution::Accounting;
use headroomd::ledger::labels::Dimension;
use headroomd::ledger::store::{Batch, CacheRange, LedgerStore};
use headroomd::ledger::sums::CacheSums;
use headroomd::store::{Database, SqlLedger};
use serde_json::{Value, json};

use crate::prompt_cache::{PromptCache, Rules};

const SONNET: &str = "claude-sonnet-4-5";
const OPUS: &str = "claude-opus-4-8";
const GPT: &str = "gpt-5.6";
const GEMINI: &str = "gemini-2.5-pro";
const BEDROCK: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-pro-v1:0";

/// A provider, the filter before it, and headroomd.
struct Desk {
    store: SqlLedger,
    cache: PromptCache,
    prompts: Prompts,
    start: UnixMs,
    /// Seconds since it began.
    now: u64,
    sequence: u64,
    /// Whether records have no layout, as those of older filters.
    is_old: bool,
}

impl Desk {
    async fn new() -> Self {
        let start = now_ms() - 20 * 3_600_000;
        Self {
            store: SqlLedger::open(&Database::Memory, start).await.unwrap(),
            cache: PromptCache::default(),
            prompts: Prompts::default(),
            start,
            now: 0,
            sequence: 0,
            is_old: false,
        }
    }

    /// Sends one request, `after` seconds after the previous one.
    async fn send(&mut self, after: u64, body: &Value) -> CacheVerdict {
        self.forward(after, body, body).await
    }

    /// The same, if the forwarded body differs from the client's.
    async fn forward(&mut self, after: u64, body: &Value, forwarded: &Value) -> CacheVerdict {
        let record = self.record(after, body, forwarded);
        self.report(record).await
    }

    fn record(&mut self, after: u64, body: &Value, forwarded: &Value) -> RequestRecord {
        self.now += after;
        self.sequence += 1;
        let model = body["model"].as_str().unwrap();
        let (api, provider, rules) = if model.starts_with("claude") {
            (Api::AnthropicMessages, "anthropic", Rules::Anthropic { minimum: 1_024 })
        } else if model.starts_with("gemini") {
            (Api::GeminiGenerateContent, "gemini", Rules::Gemini { minimum: 2_048 })
        } else if model.contains("anthropic.") || model.starts_with("amazon.") {
            let look_back = if model.starts_with("amazon.") { 1 } else { 20 };
            (Api::BedrockConverse, "bedrock", Rules::Bedrock { minimum: 1_024, look_back })
        } else if body["input"].is_null() {
            (Api::OpenAiChat, "openai", Rules::OpenAi { lifetime: 1_800 })
        } else {
            (Api::OpenAiResponses, "openai", Rules::OpenAi { lifetime: 1_800 })
        };
        // Bodies for Gemini and Bedrock do not name the model; here they do, for the tests.
        let found = self.cache.answer(rules, model, forwarded, self.now);
        let prefix = prefix::read(api, forwarded.to_string().as_bytes(), &mut self.prompts).unwrap();
        RequestRecord {
            sequence: self.sequence,
            request_id: format!("hr_{}", self.sequence),
            started_unix_ms: self.start + 1_000 * i64::try_from(self.now).unwrap(),
            provider: provider.to_owned(),
            api: api.name().to_owned(),
            model: model.to_owned(),
            stack: "agent".to_owned(),
            project: "shop".to_owned(),
            outcome: RequestOutcome::Unchanged.into(),
            status: 200,
            usage: Some(Usage {
                input_tokens: found.input,
                cache_read_tokens: found.read,
                cache_write_tokens: found.written_5m + found.written_1h,
                cache_write_5m_tokens: found.written_5m,
                cache_write_1h_tokens: found.written_1h,
                output_tokens: 50,
                ..Usage::default()
            }),
            client_prefix: prefix::digests(api, body.to_string().as_bytes()),
            forwarded_prefix: Some(prefix.digests),
            cache_layout: (!self.is_old).then_some(prefix.layout),
            ..RequestRecord::default()
        }
    }

    async fn report(&mut self, record: RequestRecord) -> CacheVerdict {
        let batch = Batch { vm_id: "vm".to_owned(), records: vec![record], ..Batch::default() };
        self.store.append(&[batch], &Accounting::default(), now_ms()).await.unwrap();
        self.store.recent(1).await.unwrap()[0].record.cache_verdict.clone().unwrap()
    }

    async fn sums(&self) -> CacheSums {
        sums(&self.store).await
    }
}

async fn sums(store: &dyn LedgerStore) -> CacheSums {
    let range = CacheRange { unit: Unit::Hour, from_ms: 0, until_ms: i64::MAX };
    let mut total = CacheSums::default();
    for reason in store.cache_by_reason(range, Dimension::All, Some("")).await.unwrap() {
        total += reason.sums;
    }
    total
}

fn reason(told: &CacheVerdict) -> &'static str {
    miss_reason_name(told.reason()).unwrap_or("none")
}

/// A system prompt of some 3,500 tokens, whose third line is this.
fn system(line: &str) -> String {
    let rest: String =
        (0..100).map(|n| format!("Rule: the {}th rule says that deployments are looked after with care, and never without it.\n", "i".repeat(n + 1))).collect();
    format!("You look after deployments.\n\n{line}\n{rest}")
}

fn tools(names: &[&str]) -> Value {
    let describe = |name: &&str| json!({"name": name, "description": "Looks at what is asked for. ".repeat(10), "input_schema": {"type": "object"}});
    names.iter().map(describe).collect()
}

fn text(turn: usize) -> String {
    format!("{turn}: {}", "what was said in this turn, in words. ".repeat(60))
}

/// This many messages with alternating roles.
fn messages(count: usize) -> Vec<Value> {
    (0..count)
        .map(|turn| {
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            json!({"role": role, "content": [{"type": "text", "text": text(turn)}]})
        })
        .collect()
}

/// Adds a breakpoint after the last block.
fn marked(mut messages: Vec<Value>, ttl: &str) -> Vec<Value> {
    let blocks = messages.last_mut().unwrap()["content"].as_array_mut().unwrap();
    blocks.last_mut().unwrap()["cache_control"] = json!({"type": "ephemeral", "ttl": ttl});
    messages
}

/// Claude with breakpoints on the system prompt and the last message.
fn claude(system: &str, messages: Vec<Value>) -> Value {
    let system = json!([{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]);
    json!({"model": SONNET, "system": system, "tools": tools(&["read", "write"]), "messages": marked(messages, "5m")})
}

fn chat(system: &str, messages: Vec<Value>) -> Value {
    let system = json!({"role": "system", "content": system});
    let messages: Vec<Value> = std::iter::once(system).chain(messages).collect();
    json!({"model": GPT, "tools": tools(&["read", "write"]), "messages": messages})
}

fn gemini(system: &str, messages: Vec<Value>) -> Value {
    let content = |message: Value| {
        let role = if message["role"] == "assistant" { "model" } else { "user" };
        let parts = message["content"].as_array().into_iter().flatten();
        json!({"role": role, "parts": parts.map(|block| json!({"text": block["text"]})).collect::<Vec<_>>()})
    };
    with_tools(
        json!({"model": GEMINI, "systemInstruction": {"parts": [{"text": system}]},
            "contents": messages.into_iter().map(content).collect::<Vec<_>>()}),
        &["read", "write"],
    )
}

/// Claude on Bedrock, with cache points behind the system prompt and the last message.
fn converse(system: &str, messages: Vec<Value>) -> Value {
    let point = || json!({"cachePoint": {"type": "default"}});
    let turn = |message: Value| {
        let blocks = message["content"].as_array().into_iter().flatten();
        let blocks: Vec<Value> = blocks.map(|block| json!({"text": block["text"]})).collect();
        json!({"role": message["role"], "content": blocks})
    };
    let mut messages: Vec<Value> = messages.into_iter().map(turn).collect();
    messages.last_mut().unwrap()["content"].as_array_mut().unwrap().push(point());
    with_tools(
        json!({"model": BEDROCK, "system": [{"text": system}, point()], "messages": messages}),
        &["read", "write"],
    )
}

/// Every kind of provider.
fn all(system: &str, messages: Vec<Value>) -> [Value; 4] {
    [claude, chat, gemini, converse].map(|body| body(system, messages.clone()))
}

/// A request to the provider of another one.
fn like(body: &Value, system: &str, messages: Vec<Value>) -> Value {
    let name = body["model"].as_str().unwrap();
    let of = match name {
        _ if name.starts_with("claude") => claude,
        _ if name.starts_with("gemini") => gemini,
        _ if name.contains("anthropic.") => converse,
        _ => chat,
    };
    of(system, messages)
}

fn with_tools(mut body: Value, names: &[&str]) -> Value {
    let all = tools(names);
    let each = || all.as_array().unwrap().iter();
    if body["contents"].is_array() {
        let declared = each().map(|tool| {
            json!({"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]})
        });
        body["tools"] = json!([{"functionDeclarations": declared.collect::<Vec<_>>()}]);
    } else if body["model"].as_str().unwrap().contains("anthropic.") {
        let described = each().map(|tool| {
            json!({"toolSpec": {"name": tool["name"], "description": tool["description"],
                "inputSchema": {"json": tool["input_schema"]}}})
        });
        body["toolConfig"] = json!({"tools": described.collect::<Vec<_>>()});
    } else {
        body["tools"] = all;
    }
    body
}

/// The first message of another conversation.
fn hello() -> Vec<Value> {
    vec![json!({"role": "user", "content": [{"type": "text", "text": "Hello."}]})]
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[tokio::test]
async fn a_conversation_that_only_grows_misses_nothing() {
    for first in all(&system("Be brief."), messages(1)) {
        let mut desk = Desk::new().await;
        assert_eq!(reason(&desk.send(0, &first).await), "first_request");
        for turn in 1..12 {
            let body = like(&first, &system("Be brief."), messages(2 * turn + 1));
            let told = desk.send(60, &body).await;
            assert_eq!((reason(&told), told.lost_tokens), ("none", 0), "turn {turn}: {told:?}");
        }
        // The client asks again, goes back, and continues from there: nothing has changed.
        for (count, last) in [(23, None), (11, None), (11, Some("another question")), (13, None)] {
            let mut asked = messages(count);
            if let Some(last) = last {
                asked[count - 1]["content"][0]["text"] = json!(text(90) + last);
            }
            let body = like(&first, &system("Be brief."), asked);
            let told = desk.send(20, &body).await;
            assert_eq!((reason(&told), told.lost_tokens), ("none", 0), "{count} {last:?}: {told:?}");
        }
        let sums = desk.sums().await;
        assert_eq!((sums.requests, sums.missed_requests, sums.lost_nanousd), (16, 0, 0));
    }
}

#[tokio::test]
async fn an_answer_that_is_given_again_has_read_and_written_nothing() {
    for body in all(&system("Be brief."), messages(1)) {
        let mut desk = Desk::new().await;
        desk.send(0, &body).await;
        let first = desk.sums().await;
        for _ in 0..3 {
            let mut again = desk.record(200, &body, &body);
            again.set_outcome(RequestOutcome::Cached);
            let batch = Batch { vm_id: "vm".to_owned(), records: vec![again], ..Batch::default() };
            desk.store.append(&[batch], &Accounting::default(), now_ms()).await.unwrap();
            assert_eq!(desk.store.recent(1).await.unwrap()[0].record.cache_verdict, None);
        }
        assert_eq!(desk.sums().await, first);
    }
}

#[tokio::test]
async fn first_requests_have_nothing_to_read() {
    for body in all(&system("Be brief."), messages(1)) {
        let mut desk = Desk::new().await;
        let told = desk.send(0, &body).await;
        assert_eq!((reason(&told), told.readable_tokens, told.lost_tokens), ("first_request", 0, 0));
        // Another agent, with another prompt.
        let other =
            format!("You write poems.\n{}", "Each line is to rhyme with the one before it.\n".repeat(120));
        let body = with_tools(like(&body, &other, messages(1)), &["rhyme"]);
        let told = desk.send(5, &body).await;
        assert_eq!((reason(&told), told.lost_tokens), ("first_request", 0), "{told:?}");
    }
    // The entries of another conversation with the same prompt are read, and nothing is missed.
    let mut desk = Desk::new().await;
    desk.send(0, &claude(&system("Be brief."), messages(1))).await;
    let mut other = messages(1);
    other[0]["content"][0]["text"] = json!("Hello.");
    let told = desk.send(5, &claude(&system("Be brief."), other)).await;
    assert_eq!((reason(&told), told.lost_tokens), ("none", 0), "{told:?}");
    assert!(told.readable_tokens > 1_000);
}

#[tokio::test]
async fn what_has_lived_its_time_has_lapsed() {
    let system = &system("Be brief.");
    let gaps = [[299, 302], [1_790, 1_900], [3_590, 3_700], [299, 302]];
    for (gaps, body) in gaps.into_iter().zip(all(system, messages(1))) {
        let mut desk = Desk::new().await;
        desk.send(0, &body).await;
        let longer = |count| like(&body, system, messages(count));
        assert_eq!(reason(&desk.send(gaps[0], &longer(3)).await), "none");
        let told = desk.send(gaps[1], &longer(5)).await;
        assert_eq!((reason(&told), told.idle_ms), ("lifetime_lapsed", gaps[1] * 1_000), "{told:?}");
        assert!(told.lost_tokens > 2_000);
        // And a new conversation with the same prompt, as late.
        let other = like(&body, system, hello());
        assert_eq!(reason(&desk.send(gaps[1], &other).await), "lifetime_lapsed");
    }
    // An hour, if the request asks for it.
    let mut desk = Desk::new().await;
    let hour = |count| {
        let mut body = claude(system, messages(count));
        body["system"][0]["cache_control"]["ttl"] = json!("1h");
        body["messages"] = json!(marked(messages(count), "1h"));
        body
    };
    desk.send(0, &hour(1)).await;
    assert_eq!(reason(&desk.send(3_500, &hour(3)).await), "none");
    let told = desk.send(3_700, &hour(5)).await;
    assert_eq!(reason(&told), "lifetime_lapsed");
    assert_eq!(told.rewritten_tokens, told.lost_tokens);
}

#[tokio::test]
async fn another_model_has_another_cache() {
    let others = [
        [OPUS, "claude-sonnet-5"],
        ["gpt-5.6-mini", "gpt-5.6-max"],
        ["gemini-2.5-flash", "gemini-2.5-flash-lite"],
        ["us.anthropic.claude-opus-4-8-v1:0", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"],
    ];
    for (body, [other, third]) in all(&system("Be brief."), messages(3)).into_iter().zip(others) {
        let mut desk = Desk::new().await;
        desk.send(0, &body).await;
        let told = desk.send(10, &with(body.clone(), "model", json!(other))).await;
        assert_eq!(reason(&told), "model_changed", "{told:?}");
        assert_eq!(reason(&desk.send(10, &with(body.clone(), "model", json!(other))).await), "none");
        // A new conversation with the same prompt on a third one.
        let hello = like(&body, &system("Be brief."), hello());
        assert_eq!(reason(&desk.send(10, &with(hello, "model", json!(third))).await), "model_changed");
    }
}

#[tokio::test]
async fn other_tools_are_told_from_other_prompts() {
    for body in all(&system("Be brief."), messages(7)) {
        let mut desk = Desk::new().await;
        desk.send(0, &body).await;
        for names in [&["write", "read"][..], &["search", "write", "read"]] {
            let told = desk.send(10, &with_tools(body.clone(), names)).await;
            assert_eq!(reason(&told), "tools_changed", "{names:?}: {told:?}");
        }
    }
    // In a new conversation.
    let mut desk = Desk::new().await;
    desk.send(0, &claude(&system("Be brief."), messages(1))).await;
    let mut other = messages(1);
    other[0]["content"][0]["text"] = json!("Hello.");
    let other = with(claude(&system("Be brief."), other), "tools", tools(&["a", "b", "c"]));
    assert_eq!(reason(&desk.send(10, &other).await), "tools_changed");
}

#[tokio::test]
async fn the_line_of_a_system_prompt_that_changed_is_told() {
    for (before, after, class) in [
        ("Today is 2026-11-28.", "Today is 2026-11-29.", "date"),
        ("It is 14:03:01 now.", "It is 14:03:09 now.", "time"),
        (
            "Session 0b9c2e4a-2d1f-4c53-9e43-0e3f0a7c9f11",
            "Session 1b9c2e4a-2d1f-4c53-9e43-0e3f0a7c9f12",
            "uuid",
        ),
        ("This is turn 17.", "This is turn 18.", "number"),
        ("- src/main.rs", "- src/lib.rs", "listing"),
    ] {
        for (first, second) in
            all(&system(before), messages(1)).into_iter().zip(all(&system(after), messages(3)))
        {
            let mut desk = Desk::new().await;
            desk.send(0, &first).await;
            let told = desk.send(10, &second).await;
            assert_eq!((reason(&told), told.line), ("system_changed", 3), "{before}: {told:?}");
            let classes: Vec<_> =
                told.classes().filter_map(headroom_api::names::volatile_class_name).collect();
            assert_eq!(classes, [class], "{after}");
        }
        // In a separate conversation: nothing reads the entries of the previous one.
        let mut desk = Desk::new().await;
        desk.send(0, &claude(&system(before), messages(1))).await;
        let mut other = messages(1);
        other[0]["content"][0]["text"] = json!("Hello.");
        let told = desk.send(10, &claude(&system(after), other)).await;
        assert_eq!((reason(&told), told.line), ("system_changed", 3), "{before}: {told:?}");
        assert!(told.lost_tokens > 500, "{told:?}");
    }
    // Claude Code's billing line is not part of it.
    let mut desk = Desk::new().await;
    let billed = |said: &str, count| {
        let mut body = claude(&system("Be brief."), messages(count));
        let billing = json!({"type": "text", "text": format!("x-anthropic-billing-header: cch={said};")});
        body["system"].as_array_mut().unwrap().insert(0, billing);
        body
    };
    desk.send(0, &billed("a1", 1)).await;
    assert_eq!(reason(&desk.send(10, &billed("b2", 3)).await), "none");
}

#[tokio::test]
async fn whoever_edits_history_is_told_with_the_message() {
    for body in all(&system("Be brief."), messages(9)) {
        let longer = |edit: &dyn Fn(&mut Vec<Value>)| {
            let mut longer = messages(11);
            edit(&mut longer);
            like(&body, &system("Be brief."), longer)
        };
        let changed = longer(&|messages| messages[2]["content"][0]["text"] = json!("forgotten"));
        let gone = longer(&|messages| drop(messages.drain(3..5)));
        for (edited, message) in [(&changed, 3), (&gone, 4)] {
            let mut desk = Desk::new().await;
            desk.send(0, &body).await;
            let told = desk.send(10, edited).await;
            assert_eq!((reason(&told), told.message), ("history_edited_by_client", message), "{told:?}");
            assert!(told.lost_tokens > 1_000);
        }
        // The same if only the forwarded body differs.
        let same = longer(&|_| {});
        for edited in [&changed, &gone] {
            let mut desk = Desk::new().await;
            desk.send(0, &body).await;
            let told = desk.forward(10, &same, edited).await;
            assert_eq!(reason(&told), "history_edited_by_headroom", "{told:?}");
        }
        let mut desk = Desk::new().await;
        desk.send(0, &body).await;
        let tools = with_tools(same.clone(), &["headroom_retrieve", "read", "write"]);
        assert_eq!(reason(&desk.forward(10, &same, &tools).await), "history_edited_by_headroom");
    }
}

#[tokio::test]
async fn what_is_too_short_is_not_cached() {
    let short = |count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({"role": if n % 2 == 0 { "user" } else { "assistant" }, "content": [{"type": "text", "text": "A short question. ".repeat(60)}]})).collect()
    };
    let claude =
        |count| json!({"model": SONNET, "system": "Be brief.", "messages": marked(short(count), "5m")});
    let chat = |count| json!({"model": GPT, "messages": short(count)});
    // A minimum that is twice as high.
    let gemini = |count| {
        let mut body = self::gemini("Be brief.", short(count));
        body["contents"][0]["parts"][0]["text"] = json!("A short question. ".repeat(180));
        body
    };
    let converse = |count| {
        let mut body = self::converse("Be brief.", short(count));
        body.as_object_mut().unwrap().remove("toolConfig");
        body
    };
    let three = |body: &dyn Fn(usize) -> Value| [1, 3, 5].map(body);
    for bodies in [three(&claude), three(&chat), three(&gemini), three(&converse)] {
        let mut desk = Desk::new().await;
        assert_eq!(reason(&desk.send(0, &bodies[0]).await), "first_request");
        let told = desk.send(10, &bodies[1]).await;
        assert_eq!((reason(&told), told.rewritten_tokens), ("below_minimum", 0), "{told:?}");
        let told = desk.send(10, &bodies[2]).await;
        assert_eq!(reason(&told), "below_minimum", "{told:?}");
    }
    // Opus 4.5 has a higher minimum than other models.
    let mut desk = Desk::new().await;
    let opus = |count| with(self::claude("Be brief.", messages(count)), "model", json!("claude-opus-4-5"));
    desk.send(0, &opus(3)).await;
    desk.cache.forget();
    let mut record = desk.record(10, &opus(5), &opus(5));
    record.usage = Some(Usage { input_tokens: 3_900, output_tokens: 1, ..Usage::default() });
    assert_eq!(reason(&desk.report(record).await), "below_minimum");
}

#[tokio::test]
async fn without_a_breakpoint_nothing_is_kept() {
    let bare = |count| json!({"model": SONNET, "system": system("Be brief."), "tools": tools(&["read"]), "messages": messages(count)});
    let mut desk = Desk::new().await;
    assert_eq!(reason(&desk.send(0, &bare(1)).await), "first_request");
    let told = desk.send(10, &bare(3)).await;
    assert_eq!((reason(&told), told.rewritten_tokens), ("no_breakpoint", 0), "{told:?}");
    assert!(told.lost_tokens > 1_500);
    // A new conversation with that prompt.
    let hello = with(bare(1), "messages", json!([{"role": "user", "content": "Hello."}]));
    assert_eq!(reason(&desk.send(10, &hello).await), "no_breakpoint");
    // A breakpoint on the system prompt does not cover the messages.
    let mut desk = Desk::new().await;
    let half = |count| {
        let mut body = claude(&system("Be brief."), messages(count));
        body["messages"] = json!(messages(count));
        body
    };
    desk.send(0, &half(5)).await;
    let told = desk.send(10, &half(7)).await;
    assert_eq!(reason(&told), "no_breakpoint", "{told:?}");
    assert!(told.readable_tokens > told.lost_tokens && told.lost_tokens > 1_000, "{told:?}");
    // On Bedrock, for models of both makers.
    for model in [BEDROCK, NOVA] {
        let mut desk = Desk::new().await;
        let bare = |count| {
            let mut body = with(converse(&system("Be brief."), messages(count)), "model", json!(model));
            for blocks in ["/system".to_owned(), format!("/messages/{}/content", count - 1)] {
                body.pointer_mut(&blocks).unwrap().as_array_mut().unwrap().pop();
            }
            body
        };
        assert_eq!(reason(&desk.send(0, &bare(1)).await), "first_request");
        for count in [3, 5] {
            let told = desk.send(10, &bare(count)).await;
            assert_eq!((reason(&told), told.rewritten_tokens), ("no_breakpoint", 0), "{told:?}");
        }
    }
    // At the top level is enough.
    let mut desk = Desk::new().await;
    let automatic = |count| with(bare(count), "cache_control", json!({"type": "ephemeral"}));
    desk.send(0, &automatic(1)).await;
    assert_eq!(reason(&desk.send(10, &automatic(3)).await), "none");
}

#[tokio::test]
async fn where_somebody_else_sets_the_breakpoints_none_is_missed() {
    let bare = |count| json!({"model": SONNET, "system": system("Be brief."), "messages": messages(count)});
    let mut desk = Desk::new().await;
    let mut before = 0;
    for count in [1, 3, 5, 7] {
        let mut record = desk.record(10, &bare(count), &bare(count));
        let usage = record.usage.as_mut().unwrap();
        // A gateway, which leaves the newest message out.
        let kept = usage.input_tokens - 500;
        (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) =
            (500, before, kept - before);
        before = kept;
        let told = desk.report(record).await;
        assert_eq!((told.lost_tokens, reason(&told) == "no_breakpoint"), (0, false), "{count}: {told:?}");
    }
    assert_eq!(desk.sums().await.breakpoints_requests, 0);
}

#[tokio::test]
async fn a_breakpoint_looks_back_over_twenty_blocks() {
    let blocks = |count: usize| {
        let blocks: Vec<Value> = (0..count).map(|n| json!({"type": "text", "text": text(n)})).collect();
        json!({"role": "user", "content": blocks})
    };
    for (count, expected) in [(18, "none"), (19, "look_back_missed"), (40, "look_back_missed")] {
        // One block before, an answer, and then this many blocks.
        let mut desk = Desk::new().await;
        desk.send(0, &claude(&system("Be brief."), messages(1))).await;
        let mut longer = messages(2);
        longer.push(blocks(count));
        let told = desk.send(10, &claude(&system("Be brief."), longer)).await;
        assert_eq!(reason(&told), expected, "{count}: {told:?}");
    }
    // On Bedrock with Claude; with Amazon's own models the point itself has to stand there again.
    for (model, counts) in [(BEDROCK, [19, 45, 71]), (NOVA, [3, 5, 7])] {
        let mut desk = Desk::new().await;
        let body = |count| with(converse(&system("Be brief."), messages(count)), "model", json!(model));
        desk.send(0, &body(1)).await;
        let expected = if model == NOVA { "look_back_missed" } else { "none" };
        assert_eq!(reason(&desk.send(10, &body(counts[0])).await), expected);
        assert_eq!(reason(&desk.send(10, &body(counts[1])).await), "look_back_missed");
        assert_eq!(reason(&desk.send(10, &body(counts[2])).await), "look_back_missed");
        let mut mended = body(counts[2] + 2);
        let before = mended["messages"][counts[2] - 1]["content"].as_array_mut().unwrap();
        before.push(json!({"cachePoint": {"type": "default"}}));
        assert_eq!(reason(&desk.send(10, &mended).await), "none");
    }
    // The same in many small messages, and one more breakpoint on the way mends it.
    let mut desk = Desk::new().await;
    desk.send(0, &claude(&system("Be brief."), messages(3))).await;
    assert_eq!(reason(&desk.send(10, &claude(&system("Be brief."), messages(31))).await), "look_back_missed");
    let mut mended = claude(&system("Be brief."), messages(61));
    mended["messages"][40]["content"][0]["cache_control"] = json!({"type": "ephemeral"});
    assert_eq!(reason(&desk.send(10, &mended).await), "none");
}

#[tokio::test]
async fn a_provider_that_forgets_is_told_from_what_was_changed() {
    for bodies in
        all(&system("Be brief."), messages(3)).into_iter().zip(all(&system("Be brief."), messages(5)))
    {
        let mut desk = Desk::new().await;
        desk.send(0, &bodies.0).await;
        desk.cache.forget();
        let told = desk.send(10, &bodies.1).await;
        assert_eq!(reason(&told), "provider_missed", "{told:?}");
        assert!(told.lost_tokens > 2_000);
        // A new conversation with the same prompt.
        desk.cache.forget();
        let hello = like(&bodies.0, &system("Be brief."), hello());
        assert_eq!(reason(&desk.send(10, &hello).await), "provider_missed");
    }
}

#[tokio::test]
async fn other_parameters_are_told() {
    let body = |count| claude(&system("Be brief."), messages(count));
    for (key, value) in [
        ("thinking", json!({"type": "enabled", "budget_tokens": 4_000})),
        ("tool_choice", json!({"type": "any"})),
    ] {
        let mut desk = Desk::new().await;
        desk.send(0, &body(3)).await;
        let told = desk.send(10, &with(body(5), key, value)).await;
        assert_eq!(reason(&told), "parameters_changed", "{key}: {told:?}");
        assert!(told.lost_tokens > 500);
    }
    let body = |count| converse(&system("Be brief."), messages(count));
    let mut thinking = body(5);
    thinking["additionalModelRequestFields"] =
        json!({"thinking": {"type": "enabled", "budget_tokens": 4_000}});
    let mut choosing = body(5);
    choosing["toolConfig"]["toolChoice"] = json!({"any": {}});
    for changed in [thinking, choosing] {
        let mut desk = Desk::new().await;
        desk.send(0, &body(3)).await;
        let told = desk.send(10, &changed).await;
        assert_eq!(reason(&told), "parameters_changed", "{told:?}");
    }
}

#[tokio::test]
async fn of_what_no_record_is_kept_nothing_is_claimed() {
    for body in all(&system("Be brief."), messages(3)) {
        let mut desk = Desk::new().await;
        desk.is_old = true;
        let told = desk.send(0, &body).await;
        assert_eq!((reason(&told), told.lost_tokens), ("unknown", 0));
        desk.is_old = false;
        assert_eq!(reason(&desk.send(4_000, &body).await), "first_request");
    }
}

#[tokio::test]
async fn what_is_lost_costs_what_writing_costs_more_than_reading() {
    let mut desk = Desk::new().await;
    desk.send(0, &claude(&system("Be brief."), messages(3))).await;
    let told = desk.send(400, &claude(&system("Be brief."), messages(5))).await;
    assert_eq!((reason(&told), told.rewritten_tokens), ("lifetime_lapsed", told.lost_tokens));
    // Sonnet 4.5: 3.75 to write and 0.30 to read, per million.
    let expected = i64::try_from(told.lost_tokens).unwrap() * (3_750 - 300);
    assert_eq!(told.lost_nanousd, expected);
    let sums = desk.sums().await;
    assert_eq!((sums.lost_nanousd, sums.missed_requests), (expected, 1));
    // A lifetime of an hour would have avoided it, at an hour's price for everything that was written for the first
    // time.
    let written = sums.written_tokens - sums.rewritten_tokens;
    assert_eq!((sums.hour_requests, sums.hour_nanousd), (1, expected - written * (6_000 - 3_750)));
    assert_eq!(sums.keep_alive_requests, 1);
}

#[tokio::test]
async fn a_long_prompt_is_priced_as_one_throughout() {
    let mut desk = Desk::new().await;
    let body =
        |count| with(claude(&system("Be brief."), messages(count)), "model", json!("claude-haiku-5-5"));
    let written = |tokens| Usage {
        input_tokens: 10,
        cache_write_tokens: tokens,
        cache_write_5m_tokens: tokens,
        ..Usage::default()
    };
    for (after, count, tokens) in [(0, 3, 90_000), (400, 5, 130_000)] {
        let mut record = desk.record(after, &body(count), &body(count));
        record.usage = Some(written(tokens));
        desk.report(record).await;
    }
    // Haiku 5.5 beyond 100,000 tokens: 0.50 plain, 0.625 to write and 0.05 to read, per million; up to them a fifth.
    let sums = desk.sums().await;
    assert_eq!((sums.lost_tokens, sums.lost_nanousd), (90_000, 90_000 * (625 - 50)));
    let expected = 90_000 * 125 + 10 * 100 + 130_000 * 625 + 10 * 500;
    assert_eq!(sums.write_nanousd + sums.input_nanousd, expected);
}

#[tokio::test]
async fn a_model_of_others_costs_what_its_provider_takes() {
    let mut desk = Desk::new().await;
    let mut record = desk.record(0, &chat("Be brief.", messages(3)), &chat("Be brief.", messages(3)));
    (record.provider, record.model) = ("groq".to_owned(), "gpt-oss-120b".to_owned());
    desk.report(record.clone()).await;
    let sums = desk.sums().await;
    assert!(sums.unpriced_requests == 0 && sums.input_nanousd > 0, "{sums:?}");
    // On a machine of one's own it has no price.
    record.sequence += 1;
    record.provider = "vllm".to_owned();
    desk.report(record).await;
    assert_eq!(desk.sums().await.unpriced_requests, 1);
}

#[tokio::test]
async fn an_answer_that_was_given_again_is_on_no_bill() {
    let mut desk = Desk::new().await;
    let body = claude(&system("Be brief."), messages(1));
    desk.send(0, &body).await;
    let before = desk.sums().await;
    let mut record = desk.record(200, &body, &body);
    record.set_outcome(RequestOutcome::Cached);
    let batch = Batch { vm_id: "vm".to_owned(), records: vec![record], ..Batch::default() };
    desk.store.append(&[batch], &Accounting::default(), now_ms()).await.unwrap();
    assert_eq!(desk.store.recent(1).await.unwrap()[0].record.cache_verdict, None);
    assert_eq!(desk.sums().await, before);
    // It has not kept anything alive at the provider either.
    desk.cache.forget();
    let told = desk.send(200, &claude(&system("Be brief."), messages(3))).await;
    assert_eq!((reason(&told), told.idle_ms), ("lifetime_lapsed", 400_000));
}

#[tokio::test]
async fn conversations_that_begin_with_the_same_question_are_kept_apart() {
    // As many runs of one task at the same time do: the first message is the same, what follows is not.
    let run = |run: usize, count: usize| {
        let mut all = messages(count);
        for (at, message) in all.iter_mut().enumerate().skip(1) {
            message["content"][0]["text"] = json!(format!("run {run}, {}", text(at)));
        }
        all
    };
    for body in all(&system("Be brief."), messages(1)) {
        for runs in [2, 12] {
            let mut desk = Desk::new().await;
            for turn in 0..6 {
                for number in 0..runs {
                    // The first is far ahead of the others.
                    let ahead = if number == 0 { 8 } else { 0 };
                    let count = if turn == 0 { 1 } else { 2 * (turn + ahead) + 1 };
                    let told = desk.send(3, &like(&body, &system("Be brief."), run(number, count))).await;
                    assert_eq!(told.lost_tokens, 0, "{runs} runs, turn {turn} of {number}: {told:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn whoever_goes_far_back_has_changed_nothing() {
    let other = |count: usize| {
        let mut all = messages(count);
        for message in all.iter_mut().skip(5) {
            message["content"][0]["text"] = json!(format!("in another way, {}", text(7)));
        }
        all
    };
    for body in all(&system("Be brief."), messages(1)) {
        let mut desk = Desk::new().await;
        for count in (1..90).step_by(2) {
            desk.send(3, &like(&body, &system("Be brief."), messages(count))).await;
        }
        for count in (5..17).step_by(2) {
            let told = desk.send(3, &like(&body, &system("Be brief."), other(count))).await;
            assert_eq!(told.lost_tokens, 0, "{count}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_hides_what_is_true_for_no_longer_than_it_was() {
    let mut desk = Desk::new().await;
    let prompt = |turn: u64| system(&format!("It is 14:03:{:02} now.", turn % 60));
    // Each with a prompt of its own, two days ahead.
    for turn in 0..8 {
        let body = claude(&prompt(turn), hello());
        let mut record = desk.record(1, &body, &body);
        record.started_unix_ms += 2 * 86_400_000;
        desk.report(record).await;
    }
    let told = desk.send(5, &claude(&prompt(20), hello())).await;
    assert_eq!((reason(&told), told.lost_tokens), ("first_request", 0), "{told:?}");
    for turn in 21..24 {
        let mut asked = hello();
        asked[0]["content"][0]["text"] = json!(format!("Question {turn}"));
        let told = desk.send(5, &claude(&prompt(turn), asked)).await;
        assert_eq!((reason(&told), told.line), ("system_changed", 3), "{told:?}");
    }
}

#[tokio::test]
async fn a_longer_lifetime_of_the_system_prompt_is_its_own() {
    let body = |messages| {
        let mut body = claude(&system("Be brief."), messages);
        body["system"][0]["cache_control"]["ttl"] = json!("1h");
        body
    };
    let asked = |question: &str| {
        let mut asked = hello();
        asked[0]["content"][0]["text"] = json!(question);
        asked
    };
    let mut desk = Desk::new().await;
    desk.send(0, &body(messages(3))).await;
    let told = desk.send(600, &body(asked("The prompt is still there."))).await;
    assert_eq!((reason(&told), told.lost_tokens), ("none", 0), "{told:?}");
    // In its own conversation what stands behind the prompt has lapsed.
    let told = desk.send(10, &body(messages(5))).await;
    assert_eq!(reason(&told), "lifetime_lapsed");
    assert!(told.lost_tokens < 2_500, "the messages alone: {told:?}");
    desk.cache.forget();
    assert_eq!(reason(&desk.send(600, &body(asked("Where is it?"))).await), "provider_missed");
    assert_eq!(reason(&desk.send(3_700, &body(asked("And now?"))).await), "lifetime_lapsed");
}

#[tokio::test]
async fn a_first_question_in_another_script_makes_no_miss_of_a_hit() {
    // Tokens of the head are estimated by bytes: English has 4.5 a token, Chinese 2.5.
    let mut desk = Desk::new().await;
    desk.send(0, &claude(&system("Be brief."), messages(1))).await;
    let mut asked = hello();
    asked[0]["content"][0]["text"] = json!("请看一下这个部署为什么失败了。".repeat(300));
    let body = claude(&system("Be brief."), asked);
    let mut record = desk.record(10, &body, &body);
    let usage = record.usage.as_mut().unwrap();
    usage.cache_write_tokens += usage.cache_write_tokens * 4 / 5;
    let told = desk.report(record).await;
    assert_eq!((reason(&told), told.lost_tokens), ("none", 0), "{told:?}");
}

#[tokio::test]
async fn of_a_long_prompt_the_lines_that_are_known_are_told() {
    let long = |at: usize, line: &str| {
        let mut lines: Vec<String> = (0..300).map(|n| format!("Rule {} is a rule.", "i".repeat(n))).collect();
        lines[at] = line.to_owned();
        lines.join("\n")
    };
    for (at, line) in [(250, 251), (290, 0)] {
        let mut desk = Desk::new().await;
        desk.send(0, &claude(&long(at, "Today is 2026-11-28."), messages(1))).await;
        let told = desk.send(10, &claude(&long(at, "Today is 2026-11-29."), messages(3))).await;
        assert_eq!((reason(&told), told.line), ("system_changed", line), "{told:?}");
    }
    // One line of a megabyte.
    let megabyte = |date: &str| format!("{}{date}", "All of it in one line. ".repeat(45_000));
    let mut desk = Desk::new().await;
    desk.send(0, &claude(&megabyte("2026-11-28"), messages(1))).await;
    let told = desk.send(10, &claude(&megabyte("2026-11-29"), messages(3))).await;
    // Prompts are distinguished by their first lines, and this is the first.
    assert_eq!((reason(&told), told.line), ("system_changed", 0), "{told:?}");
}

/// A report that comes twice, and a replica that goes on where another has stopped.
pub(crate) async fn what_was_lost_is_counted_once_whoever_hears_of_it(
    store: &dyn LedgerStore,
    other: &dyn LedgerStore,
) {
    let mut desk = Desk::new().await;
    let records: Vec<RequestRecord> = (0..6)
        .map(|turn| {
            let after = if turn == 3 { 400 } else { 20 };
            let body = claude(&system(&format!("This is turn {turn}.")), messages(2 * turn + 1));
            desk.record(after, &body, &body)
        })
        .collect();
    let batch = |records: &[RequestRecord]| Batch {
        vm_id: "cache".to_owned(),
        records: records.to_vec(),
        ..Batch::default()
    };
    let accounting = Accounting::default();
    for (at, record) in records.iter().enumerate() {
        let (first, second) = if at % 2 == 0 { (store, other) } else { (other, store) };
        first.append(&[batch(std::slice::from_ref(record))], &accounting, now_ms()).await.unwrap();
        second.append(&[batch(&records[..=at])], &accounting, now_ms()).await.unwrap();
    }
    let alone = Desk::new().await;
    alone.store.append(&[batch(&records)], &accounting, now_ms()).await.unwrap();
    let (once, twice) = (sums(&alone.store).await, sums(store).await);
    assert_eq!(once, twice);
    assert_eq!((once.requests, once.missed_requests), (6, 5));
    let range = CacheRange { unit: Unit::Hour, from_ms: 0, until_ms: i64::MAX };
    for dimension in Dimension::OF_CACHE {
        let mut by = CacheSums::default();
        for reason in other.cache_by_reason(range, dimension, None).await.unwrap() {
            by += reason.sums;
        }
        assert_eq!(by, once, "{dimension:?}");
    }
    let lines = store.cache_lines(range, 10).await.unwrap();
    assert_eq!((lines.len(), lines[0].line, lines[0].requests), (1, 3, 4), "{lines:?}");
    assert_eq!(lines[0].stack, "agent");
}
