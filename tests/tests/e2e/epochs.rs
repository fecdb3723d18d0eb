//! Old turns are rewritten at boundaries alone, as the engine computes it once more here, and never where reasoning may be
//! bound; the model gets back what is gone.

use anyhow::{Context as _, Result, ensure};
use headroom_compress::{
    Api, CachePrice, Config, Epochs, Memo, Request, RetrieveTool, RewriteHistory, compress,
};
use headroom_e2e::Stack;
use headroom_e2e::agent::Format;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::proof::{Conversations, Event, Row, hold};
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, Script};
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

use crate::reversible::{large_bodies, path};
use crate::stacks::{MODES, Mode, assert_no_trap};
use crate::tool_loop::ours;

const WINDOW: u32 = 8_000;
const STEP: u32 = 2_000;
const TURNS: usize = 24;

fn settings() -> Value {
    json!({"window_tokens": WINDOW, "step_tokens": STEP, "keep_turns": 2,
        "prices": [{"model": "*", "read_percent": 100, "write_percent": 100}]})
}

fn epochs() -> Epochs {
    Epochs {
        window_tokens: WINDOW,
        step_tokens: STEP,
        keep_turns: 2,
        prices: vec![CachePrice { model: "*".to_owned(), read_percent: 100, write_percent: 100 }],
        ..Epochs::default()
    }
}

fn options(mode: Mode) -> Options {
    let mut options = large_bodies(mode);
    let plugin = options.filter.as_mut().expect("the filter is on");
    plugin["history"] = "epochs".into();
    plugin["epochs"] = settings();
    options
}

/// Lines that no form shortens.
pub(crate) fn page(turn: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64 + turn as u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("w{:06x}", state & 0xff_ffff)
    };
    let lines = (0..16).map(|_| (0..6).map(|_| word()).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// A file is read, edited and read again; then pages follow.
fn call(turn: usize) -> (&'static str, Value) {
    match turn {
        0 | 2 => ("Read", json!({"file_path": "/src/main.rs"})),
        1 => ("Edit", json!({"file_path": "/src/main.rs", "old_string": "a", "new_string": "b"})),
        turn => ("fetch", json!({"page": turn})),
    }
}

fn body(turns: usize) -> Vec<u8> {
    let mut messages = vec![json!({"role": "user", "content": "Mend it."})];
    for turn in 0..turns {
        let (name, arguments) = call(turn);
        let id = format!("call_{turn}");
        messages.push(
            json!({"role": "assistant", "content": "On.", "tool_calls": [{"id": id, "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()}}]}),
        );
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": page(turn)}));
    }
    let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
    json!({"model": "gpt-4.1", "messages": messages, "tools": [tool("Read"), tool("Edit"), tool("fetch")]})
        .to_string()
        .into_bytes()
}

/// What the engine makes of it, without a memo.
fn engine(body: &[u8]) -> (Vec<u8>, RewriteHistory, Vec<(String, usize)>) {
    let config = Config { epochs: Some(Box::new(epochs())), ..Config::default() };
    let request =
        Request { reversible: true, retrieve_tool: RetrieveTool::Add, ..Request::new(Api::OpenAiChat) };
    let outcome = compress(body, &request, &config, &mut Memo::new(0));
    let originals = outcome.originals.iter().map(|it| (it.hash.to_string(), it.block)).collect();
    (outcome.body.into_owned(), outcome.rewritten.unwrap_or_default(), originals)
}

fn messages(body: &[u8]) -> Result<Vec<Value>> {
    let body: Value = serde_json::from_slice(body)?;
    Ok(body["messages"].as_array().context("no messages")?.clone())
}

#[tokio::test]
async fn a_conversation_is_extended_between_boundaries_and_rewritten_there_as_the_engine_says() -> Result<()>
{
    for mode in MODES {
        let stack = Stack::start(options(mode), Kind::Real).await?;
        let mut connection = stack.connect(Protocol::Http1).await?;
        let (mut last, mut mismatches, mut rewrites) = (Vec::new(), 0, 0);
        for turns in 0..=TURNS {
            let sent = body(turns);
            let name = format!("epochs {turns}");
            let call = Call::post(&path(Api::OpenAiChat, false), sent.clone()).header(NAME_HEADER, &name);
            assert_eq!(connection.send(call).await?.status, 200);
            let arrived = stack.provider.take(&name).pop().context("nothing arrived")?.body;
            let (expected, rewritten, _) = engine(&sent);
            assert_eq!(arrived, expected, "request {turns}");
            let messages = messages(&arrived)?;
            if rewritten.now {
                rewrites += 1;
                assert!(!messages.starts_with(&last), "request {turns} is rewritten");
            } else {
                mismatches += usize::from(!messages.starts_with(&last));
            }
            last = messages;
        }
        assert_eq!(mismatches, 0);
        assert!(rewrites >= 2, "{rewrites}");
        // The record says what was done.
        let recent = until("the last record is there", || async {
            let stats = stack.sidecar.json("/stats").await.ok()?;
            let requests = stats["recent_requests"].as_array()?.clone();
            requests.iter().find(|it| it["history"]["epochs"].as_u64() == Some(rewrites)).cloned()
        })
        .await?;
        assert!(recent["history"]["dropped"].as_u64() > Some(0), "{recent}");
        assert_eq!(recent["history"]["stale"], 1, "{recent}");
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_model_gets_back_an_output_that_was_dropped_and_that_is_counted() -> Result<()> {
    let stack = Stack::start(options(Mode::Hold), Kind::Real).await?;
    let sent = body(TURNS);
    let (_, rewritten, originals) = engine(&sent);
    assert!(rewritten.dropped > 0);
    let (hash, block) =
        originals.iter().find(|(_, block)| *block > 2).context("nothing was dropped")?.clone();
    let script = Script {
        tool_call: Some(ours(&hash)),
        then: vec![Script { text: Some("I see.".to_owned()), ..Script::default() }],
        ..Script::default()
    };
    let call = Call::post(&path(Api::OpenAiChat, false), sent).header(SCRIPT_HEADER, &script.header());
    let (answer, _) = stack.exchange("dropped", Protocol::Http1, call).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("I see."), "{}", answer.text());
    let arrived = stack.provider.take("dropped");
    let continued = messages(&arrived.last().context("nothing arrived")?.body)?;
    assert_eq!(continued.last().context("no messages")?["content"], page(block));
    let page = until("the retrieval is counted", || async {
        let page = stack.sidecar.json("/v1/toin/stats").await.ok()?;
        (page["total_retrievals"] == 1).then_some(page)
    })
    .await?;
    assert_eq!(page["patterns"][0]["form"], "dropped");
    assert_eq!(page["patterns"][0]["parts"], json!({"whole": 1}));
    Ok(())
}

#[tokio::test]
async fn conversations_whose_reasoning_may_be_bound_are_never_rewritten() -> Result<()> {
    let formats = vec![Format::Messages, Format::Responses, Format::StoredResponses];
    let plugin = json!({"history": "epochs", "epochs": settings()});
    let rows = hold(Event::Nothing, &Conversations { formats, plugin, ..Conversations::default() }).await?;
    let problems: Vec<String> = rows.iter().flat_map(Row::problems).collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(rows.len(), 6);
    Ok(())
}
