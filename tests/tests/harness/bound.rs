//! The provider that checks what thinking is bound to: an agent without a proxy never causes a fault, and every
//! kind of change to a conversation is detected.

use anyhow::{Context as _, Result};
use headroom_e2e::Provider;
use headroom_e2e::agent::{Agent, Format, recorded, rows};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::proof::Conversations;
use headroom_e2e::provider::{Boundaries, NAME_HEADER, Plan, Way};
use serde_json::{Value, json};

const TURNS: usize = 14;

fn plan() -> Plan {
    Plan { rounds: TURNS, text_every: 5, piece_bytes: Some(41), ..Plan::default() }
}

async fn alone(format: Format, name: &str, stream: bool) -> Result<(Provider, Agent)> {
    let provider = Provider::start(0).await?;
    provider.follow(name, plan());
    let mut agent = Agent::new(format, name, stream, recorded(1)?);
    agent.say("Which deployments failed?");
    Ok((provider, agent))
}

/// A conversation of some rounds of [`Format::Messages`], and its provider.
async fn begun(rounds: usize) -> Result<(Provider, Agent)> {
    let (provider, mut agent) = alone(Format::Messages, "begun", false).await?;
    agent.rounds(provider.address(), rounds).await?;
    Ok((provider, agent))
}

/// Asks again, and returns the reason of a refusal; `None`: it is not refused.
async fn refused(provider: &Provider, agent: &mut Agent) -> Result<Option<String>> {
    let answer = agent.ask(provider.address()).await?;
    let body: Value = serde_json::from_slice(&answer.body)?;
    if answer.status == 200 {
        return Ok(None);
    }
    assert_eq!((answer.status.as_u16(), &body["type"]), (400, &json!("error")), "{body}");
    assert_eq!(body["error"]["type"], "invalid_request_error", "{body}");
    Ok(body["error"]["message"].as_str().map(str::to_owned))
}

/// The positions of the thinking blocks in the conversation.
fn thinking(agent: &Agent) -> Vec<(usize, usize)> {
    let blocks = |content: &Value| content.as_array().cloned().unwrap_or_default();
    let is_thinking = |block: &Value| block["type"].as_str().is_some_and(|kind| kind.contains("thinking"));
    let messages = agent.history().iter().enumerate();
    messages
        .flat_map(|(at, message)| {
            let blocks = blocks(&message["content"]).into_iter().enumerate();
            blocks
                .filter(|(_, block)| is_thinking(block))
                .map(move |(place, _)| (at, place))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn take_block(agent: &mut Agent, (message, block): (usize, usize)) -> Result<Value> {
    let content = agent.history_mut()[message]["content"].as_array_mut().context("a list of blocks")?;
    Ok(content.remove(block))
}

const MESSAGE: &str =
    "Invalid `signature` in `thinking` block. The block is bound to a different conversation";

#[tokio::test]
async fn an_agent_alone_with_the_provider_is_never_at_fault() -> Result<()> {
    for format in Format::ALL {
        for stream in [false, true] {
            let name = format!("alone {format:?} {stream}");
            let (provider, mut agent) = alone(format, &name, stream).await?;
            agent.rounds(provider.address(), 4).await?;
            agent.settings.tools.push("later".to_owned());
            agent.rounds(provider.address(), 2).await?;
            let own = std::mem::replace(&mut agent.settings.model, "another-model".to_owned());
            agent.rounds(provider.address(), 2).await?;
            agent.settings.model = own;
            if format != Format::Gemini {
                agent.settings.tool_choice = json!("auto");
            }
            agent.rounds(provider.address(), TURNS - 8).await?;
            agent.settings.tools.clear();
            agent.settings.tool_choice = Value::Null;
            agent.say("Is that all?");
            assert_eq!(agent.turn(provider.address()).await?.calls, 0, "{name}");

            let report = provider.report(&name);
            assert_eq!(report.problems(), Vec::<String>::new(), "{name}");
            assert_eq!((report.respelled, report.retrievals.len()), (0, 0), "{name}");
            assert!(report.requests > TURNS && report.later_requests + 1 == report.requests, "{report:?}");
            let is_bound = !matches!(format, Format::Chat | Format::StoredResponses);
            assert_eq!(report.of_other_models > 0, is_bound, "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_says_what_is_said_without_one() -> Result<()> {
    for format in Format::ALL {
        let mut histories = Vec::new();
        for stream in [false, true] {
            let (provider, mut agent) = alone(format, "same", stream).await?;
            agent.rounds(provider.address(), TURNS).await?;
            agent.turn(provider.address()).await?;
            histories.push(agent.history().to_vec());
        }
        assert_eq!(histories[0], histories[1], "{format:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_prefix_is_refused_in_the_documented_words() -> Result<()> {
    let (provider, mut agent) = begun(4).await?;
    let later = thinking(&agent).into_iter().find(|(message, _)| *message > 2).context("there is more")?;
    agent.history_mut()[2]["content"][0]["content"] = "shorter".into();
    let why = refused(&provider, &mut agent).await?.context("it is refused")?;
    assert_eq!(why, format!("messages.{}.content.{}: {MESSAGE}", later.0, later.1));
    let report = provider.report("begun");
    assert_eq!((report.refused.len(), report.rewritten.len()), (1, 1), "{report:?}");
    Ok(())
}

/// A change of a conversation with thinking at these positions.
type Change = fn(&mut Agent, &[(usize, usize)]) -> Result<()>;

#[tokio::test]
async fn thinking_that_is_gone_moved_or_changed_is_refused() -> Result<()> {
    let changes: [(&str, Change); 4] = [
        ("gone", |agent, at| take_block(agent, at[2]).map(drop)),
        ("moved", |agent, at| {
            let block = take_block(agent, at[2])?;
            let content = agent.history_mut()[at[3].0]["content"].as_array_mut().context("blocks")?;
            content.insert(0, block);
            Ok(())
        }),
        ("changed", |agent, at| {
            agent.history_mut()[at[2].0]["content"][at[2].1]["thinking"] = "I never thought so".into();
            Ok(())
        }),
        ("signed by nobody", |agent, at| {
            agent.history_mut()[at[2].0]["content"][at[2].1]["signature"] = "bm9ib2R5".into();
            Ok(())
        }),
    ];
    for (what, change) in changes {
        let (provider, mut agent) = begun(6).await?;
        let at = thinking(&agent);
        assert!(at.len() > 4, "{at:?}");
        change(&mut agent, &at)?;
        let why = refused(&provider, &mut agent).await?;
        assert!(why.as_ref().is_some_and(|why| why.ends_with(MESSAGE)), "{what}: {why:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_first_and_the_last_thinking_may_go() -> Result<()> {
    for at in [0, usize::MAX] {
        let (provider, mut agent) = begun(4).await?;
        let found = thinking(&agent);
        take_block(&mut agent, found[at.min(found.len() - 1)])?;
        assert_eq!(refused(&provider, &mut agent).await?, None, "block {at}");
    }
    Ok(())
}

#[tokio::test]
async fn with_drop_block_the_request_goes_through_and_the_answer_lists_what_was_dropped() -> Result<()> {
    for stream in [false, true] {
        let (provider, mut agent) = alone(Format::Messages, "drops", stream).await?;
        agent.rounds(provider.address(), 4).await?;
        let later = thinking(&agent).into_iter().filter(|(message, _)| *message > 2).count();
        agent.history_mut()[2]["content"][0]["content"] = "shorter".into();
        agent.settings.drop_block = true;
        let turn = agent.turn(provider.address()).await?;
        assert_eq!(turn.transformations.len(), later, "{:?}", turn.transformations);
        let first = &turn.transformations[0];
        assert_eq!(
            (&first["type"], &first["reason"]),
            (&json!("thinking_block_dropped"), &json!("prefix_mismatch"))
        );
        assert_eq!(first["path"], "messages.3.content.0");
        let report = provider.report("drops");
        assert_eq!((report.refused.len(), report.dropped.len()), (0, later), "{report:?}");
        // New thinking is bound to the current conversation.
        let before = agent.history().len();
        agent.rounds(provider.address(), 2).await?;
        assert!(agent.history().len() > before);
        let report = provider.report("drops");
        assert_eq!(report.dropped.len(), (report.requests - 4) * later, "{report:?}");
    }
    Ok(())
}

#[tokio::test]
async fn cache_markers_and_the_billing_line_bind_nothing() -> Result<()> {
    let (provider, mut agent) = begun(2).await?;
    for marked in 2..6 {
        for message in agent.history_mut().iter_mut() {
            for block in message["content"].as_array_mut().into_iter().flatten() {
                block.as_object_mut().context("a block")?.remove("cache_control");
            }
        }
        let last = agent.history_mut().last_mut().context("a message")?;
        last["content"][0]["cache_control"] = json!({"type": "ephemeral"});
        agent.rounds(provider.address(), 1).await.with_context(|| format!("round {marked}"))?;
    }
    let report = provider.report("begun");
    assert_eq!(report.problems(), Vec::<String>::new());
    assert!(report.respelled > 0, "{report:?}");

    // Each request of this agent has a different billing line before its system prompt.
    let provider = Provider::start(0).await?;
    provider.follow("billed", plan());
    let mut history = vec![json!({"role": "user", "content": "Which deployments failed?"})];
    for (request, prompt) in ["Be brief.", "Be brief.", "Be brief.", "Be verbose."].into_iter().enumerate() {
        let line = format!("x-anthropic-billing-header: cc_version=2.1; cch={request};");
        let body = json!({"model": "claude-opus-5-5", "thinking": {"type": "adaptive"}, "messages": history,
            "system": [{"type": "text", "text": line}, {"type": "text", "text": prompt}], "tools": [{"name": "list"}]});
        let call = Call::post("/v1/messages", body.to_string()).header(NAME_HEADER, "billed");
        let answer = Connection::open(provider.address(), Protocol::Http1).await?.send(call).await?;
        assert_eq!(answer.status == 200, prompt == "Be brief.", "request {request}: {}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body)?;
        let results: Vec<Value> = said["content"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|block| block["type"] == "tool_use")
            .map(|call| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "nothing"}))
            .collect();
        history.push(json!({"role": "assistant", "content": said["content"]}));
        history.push(json!({"role": "user", "content": results}));
    }
    let report = provider.report("billed");
    assert_eq!((report.refused.len(), report.rewritten.len()), (1, 1), "{report:?}");
    Ok(())
}

#[tokio::test]
async fn reasoning_items_behind_a_changed_item_are_dropped_and_listed() -> Result<()> {
    for stream in [false, true] {
        let (provider, mut agent) = alone(Format::Responses, "items", stream).await?;
        agent.rounds(provider.address(), 3).await?;
        let output = agent.history_mut().iter_mut().find(|item| item["type"] == "function_call_output");
        output.context("tools have answered")?["output"] = "shorter".into();
        let turn = agent.turn(provider.address()).await?;
        let reasons: Vec<&Value> = turn.transformations.iter().map(|it| &it["reason"]).collect();
        assert!(
            !reasons.is_empty() && reasons.iter().all(|reason| **reason == "prefix_mismatch"),
            "{turn:?}"
        );
        let report = provider.report("items");
        assert_eq!((report.dropped.len(), report.rewritten.len()), (reasons.len(), 1), "{report:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stored_response_holds_the_conversation_with_its_ids() -> Result<()> {
    let (provider, mut agent) = alone(Format::StoredResponses, "stored", false).await?;
    agent.rounds(provider.address(), 2).await?;
    let last = agent.history_mut().last_mut().context("an output")?;
    last["call_id"] = "call_of_nobody".into();
    let answer = agent.ask(provider.address()).await?;
    assert!(answer.status == 400 && answer.text().contains("call_of_nobody"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn gemini_refuses_a_call_without_its_signature_and_a_changed_prefix() -> Result<()> {
    for (what, expected) in [("missing", "missing a thought_signature"), ("changed", "not valid")] {
        let (provider, mut agent) = alone(Format::Gemini, "signed", true).await?;
        agent.rounds(provider.address(), 3).await?;
        if what == "missing" {
            let content = agent.history_mut().iter_mut().rfind(|content| content["role"] == "model");
            let parts =
                content.context("the model has answered")?["parts"].as_array_mut().context("parts")?;
            let signed =
                parts.iter_mut().find(|part| part["thoughtSignature"].is_string()).context("signed")?;
            signed.as_object_mut().context("a part")?.remove("thoughtSignature");
        } else {
            agent.history_mut()[2]["parts"][0]["functionResponse"]["response"]["output"] = "shorter".into();
        }
        let answer = agent.ask(provider.address()).await?;
        assert!(answer.status == 400 && answer.text().contains(expected), "{what}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_chat_that_does_not_begin_as_before_is_counted() -> Result<()> {
    let (provider, mut agent) = alone(Format::Chat, "chat", false).await?;
    agent.rounds(provider.address(), 3).await?;
    agent.history_mut()[2]["content"] = "shorter".into();
    agent.rounds(provider.address(), 1).await?;
    let report = provider.report("chat");
    assert_eq!(report.rewritten, ["request 4: message 3 of 7 is another"], "{report:?}");
    Ok(())
}

/// Lines that no form shortens.
fn page(number: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64 + number as u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("w{:06x}", state & 0xff_ffff)
    };
    let lines = (0..16).map(|_| (0..6).map(|_| word()).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn where_old_turns_are_rewritten_they_have_to_be_at_boundaries_and_may_not_be_elsewhere() -> Result<()>
{
    for format in Conversations::CAN_REWRITE {
        let provider = Provider::start(0).await?;
        let pages: Vec<String> = (0..40).map(page).collect();
        let begin = |name: &str| {
            provider.follow(name, plan());
            provider.rewrites(name, Boundaries::new(Conversations::rewritten_in(4_000), pages.clone()));
            let mut agent = Agent::new(format, name, false, pages.clone());
            agent.settings.thinks = false;
            agent.settings.tools.push("headroom_retrieve".to_owned());
            agent.say("Which deployments failed?");
            agent
        };
        let mut agent = begin("never rewritten");
        agent.rounds(provider.address(), TURNS).await?;
        let report = provider.report("never rewritten");
        assert_eq!((report.at_boundaries, report.rewritten.len()), (0, 0), "{report:?}");
        let (unexpected, requests) = (report.unexpected.len(), report.requests);
        assert!(
            (1..requests).contains(&unexpected),
            "there is a boundary, and something before it: {report:?}"
        );

        let mut agent = begin("rewritten elsewhere");
        agent.rounds(provider.address(), 3).await?;
        let result = if format == Format::Chat { "/2/content" } else { "/2/content/0/content" };
        let mut history = Value::from(agent.history());
        *history.pointer_mut(result).context("a result")? = "shorter".into();
        *agent.history_mut() = history.as_array().context("a list")?.clone();
        agent.rounds(provider.address(), 1).await?;
        let report = provider.report("rewritten elsewhere");
        let found = (report.at_boundaries, report.rewritten.len(), report.unexpected.len());
        assert_eq!(found, (0, 1, 1), "{report:?}");
    }
    Ok(())
}

/// Without the filter, the agent itself has our tool, under the same name.
#[tokio::test]
async fn the_model_asks_for_originals_by_their_markers_and_what_it_gets_is_held_against_them() -> Result<()> {
    let original = rows(60, 1);
    let marker = format!(
        "[headroom: 59 rows left out. Full text: headroom_retrieve hash={}]",
        headroom_compress::address(&original)
    );
    for (gives, exact) in [(original.clone(), 3), ("something else".to_owned(), 0)] {
        for format in [Format::Messages, Format::Chat, Format::Responses, Format::Gemini] {
            let provider = Provider::start(0).await?;
            let ways = vec![Way::Alone, Way::AfterText];
            provider.follow(
                "asks",
                Plan { rounds: 4, retrieve_every: 1, ways, parallel_every: 0, ..Plan::default() },
            );
            let outputs = vec![marker.clone(), gives.clone()];
            let mut agent = Agent::new(format, "asks", false, outputs);
            agent.settings.tools.push("headroom_retrieve".to_owned());
            agent.say("Which deployments failed?");
            agent.rounds(provider.address(), 7).await?;
            let report = provider.report("asks");
            assert_eq!(report.retrievals.len(), 3, "{format:?}: {report:?}");
            assert_eq!(report.exact(std::slice::from_ref(&original)), exact, "{format:?}");
            assert_eq!(report.exact(&[]), 0);
        }
    }
    Ok(())
}
