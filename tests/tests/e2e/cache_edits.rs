//! Changes that are made only for the provider's prompt cache: breakpoints for clients that set none, and lines of a
//! system prompt that move to its end. Neither rewrites a conversation (I3).

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::Stack;
use headroom_e2e::agent::{Agent, Format, recorded};
use headroom_e2e::anthropic_cache::{AnthropicCache, InputTokens};
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{Plan, Way};
use headroom_e2e::sidecar::Kind;
use headroom_providers::prompt::{digest_name, line_digest};
use serde_json::{Value, json};

use crate::reversible::large_bodies;
use crate::stacks::{MODES, Mode, assert_no_trap, options};

fn with(mut options: Options, key: &str, value: Value) -> Result<Options> {
    options.filter.as_mut().context("the filter is on")?[key] = value;
    Ok(options)
}

#[tokio::test]
async fn a_client_that_sets_no_breakpoints_reads_what_was_written_before_and_keeps_its_reasoning()
-> Result<()> {
    for mode in MODES {
        let stack = Stack::start(with(large_bodies(mode), "breakpoints", json!("5m"))?, Kind::Down).await?;
        for stream in [false, true] {
            let name = format!("breakpoints {mode:?} {stream}");
            let plan = Plan {
                rounds: 12,
                text_every: 5,
                retrieve_every: 2,
                ways: Way::ALL.to_vec(),
                ..Plan::default()
            };
            stack.provider.follow(&name, plan);
            let mut agent = Agent::new(Format::Messages, &name, stream, recorded(1)?);
            agent.say(&format!("Which deployments failed? {name}"));
            agent.rounds(stack.envoy.listener(), 12).await?;

            let report = stack.provider.report(&name);
            ensure!(report.problems().is_empty(), "{name}: {:?}", report.problems());
            ensure!(report.retrievals.len() >= 4, "{name}: hidden rounds are put back: {report:?}");
            let (mut cache, mut cached, mut sum) = (AnthropicCache::default(), 0, InputTokens::default());
            for request in stack.provider.requests(&name) {
                let tokens = cache.ask(&request.body)?;
                ensure!(tokens.read >= cached, "{name}: {tokens:?} after {cached}");
                cached = tokens.read + tokens.written;
                sum.add(tokens);
            }
            headroom_e2e::say(&format!("{name}: {sum:?}, cost {:.0} of {}", sum.cost(), sum.total()));
            ensure!(sum.read > sum.total() / 2, "{name}: {sum:?}");
        }
        let set = stack.envoy.stat("wasmcustom.headroom.breakpoints_added").await?;
        ensure!(set > 4, "{set}");
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_with_a_breakpoint_of_its_own_gets_none() -> Result<()> {
    let stack = Stack::start(with(options(Mode::Strip), "breakpoints", json!("5m"))?, Kind::Down).await?;
    let asked = |system: Value| {
        let messages = json!([{"role": "user", "content": "Hi."}]);
        json!({"model": "claude-opus-5-5", "system": [system], "messages": messages}).to_string()
    };
    let own = asked(json!({"type": "text", "text": "Look.", "cache_control": {"type": "ephemeral"}}));
    let (_, requests) =
        stack.exchange("own", Protocol::Http1, Call::post("/v1/messages", own.clone())).await?;
    assert_eq!(requests[0].body, own);
    // A request for a token count is not changed either.
    let plain = asked(json!({"type": "text", "text": "Look."}));
    let call = Call::post("/v1/messages/count_tokens", plain.clone());
    let (_, requests) = stack.exchange("count", Protocol::Http1, call).await?;
    assert_eq!(requests[0].body, plain);
    let (_, requests) = stack.exchange("none", Protocol::Http1, Call::post("/v1/messages", plain)).await?;
    let forwarded: Value = serde_json::from_slice(&requests[0].body)?;
    assert_eq!(forwarded["system"][0]["cache_control"], json!({"type": "ephemeral"}));
    Ok(())
}

/// The first line of the prompt that the rule names.
const FIRST: &str = "You look after deployments.";

fn prompt(date: &str) -> String {
    format!("{FIRST}\nToday is {date}.\nBe brief.")
}

fn body(date: &str) -> Value {
    json!({"model": "claude-opus-5-5", "system": prompt(date), "messages": [{"role": "user", "content": "Hi."}]})
}

#[tokio::test]
async fn a_line_with_a_date_moves_to_the_end_of_its_prompt_and_of_no_other() -> Result<()> {
    let digest = digest_name(line_digest(FIRST.as_bytes()));
    let rule = json!([{"prompt": digest, "lines": [{"line": 2, "class": "date"}]}]);
    let stack = Stack::start(with(options(Mode::Hold), "align", rule)?, Kind::Real).await?;
    let mut stable = Vec::new();
    for date in ["2026-11-29", "2026-11-30"] {
        let call = Call::post("/v1/messages", body(date).to_string());
        let (answer, requests) = stack.exchange(date, Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200);
        let forwarded: Value = serde_json::from_slice(&requests[0].body)?;
        let system = &forwarded["system"];
        assert_eq!(system.as_array().map(Vec::len), Some(2), "{system}");
        let moved = format!(
            "Lines that were moved here from further up in this prompt:\nmoved line 1: Today is {date}."
        );
        assert_eq!(system[1], json!({"type": "text", "text": moved}));
        stable.push(system[0].clone());
    }
    assert_eq!(stable[0], stable[1], "what stands before is the same on both days");

    let unchanged = [
        (
            "another prompt",
            json!({"system": "You look after tests.\nToday is 2026-11-29.", "messages": []}),
            None,
        ),
        ("no date any more", body("Sunday"), None),
        ("a subscription", body("2026-11-29"), Some("Bearer sk-ant-oat01-x")),
        (
            "Claude Code's",
            json!({"system": [{"type": "text", "text": "x-anthropic-billing-header: cc=1"},
                {"type": "text", "text": prompt("2026-11-29")}], "messages": []}),
            None,
        ),
    ];
    for (name, body, login) in unchanged {
        let body = body.to_string();
        let mut call = Call::post("/v1/messages", body.clone());
        if let Some(login) = login {
            call = call.header("authorization", login);
        }
        let (_, requests) = stack.exchange(name, Protocol::Http1, call).await?;
        assert_eq!(requests[0].body, body, "{name}");
    }

    let recent = until("headroomd has the records", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        let recent = stats["recent_requests"].as_array()?.clone();
        (recent.len() == 6).then_some(recent)
    })
    .await?;
    let aligned = recent.iter().filter(|request| request["aligned_lines"] == 1);
    let (mut count, mut saved) = (0, 0);
    for request in aligned {
        count += 1;
        saved += request["tokens_saved"].as_i64().unwrap_or_default();
    }
    assert_eq!(count, 2, "{recent:?}");
    assert!(saved < 0, "the note costs tokens, and nothing counts as saved: {saved}");
    assert_no_trap(&stack).await
}
