//! A provider's conversation is only ever extended (I3), and the model can retrieve what was left out (I5), during
//! every event. `headroom-proof` prints the same in detail.

use anyhow::{Context as _, Result, bail, ensure};
use headroom_compress::Api;
use headroom_e2e::agent::{Agent, Format, recorded};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::proof::{Conversations, Event, Row, hold};
use headroom_e2e::provider::{Plan, SCRIPT_HEADER, Script, Way};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, built};
use serde_json::{Value, json};

use crate::reversible::{ROWS, body, reversible, rows};
use crate::stacks::{MODES, Mode, assert_no_trap};

/// Holds conversations in which the model retrieves in every second round, in all formats.
async fn holds(event: Event) -> Result<()> {
    let rows = held(event, &Conversations::default()).await?;
    // If the server has the conversation, nothing is left out, so there is nothing to retrieve.
    for row in rows.iter().filter(|row| row.format != Format::StoredResponses) {
        let asked = row.report.retrievals.len();
        ensure!(asked >= Way::ALL.len(), "{:?}, stream: {}: {asked} retrievals", row.format, row.stream);
    }
    Ok(())
}

async fn held(event: Event, conversations: &Conversations) -> Result<Vec<Row>> {
    let rows = hold(event, conversations).await?;
    let problems: Vec<String> = rows.iter().flat_map(Row::problems).collect();
    ensure!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    ensure!(rows.len() == 2 * Format::ALL.len());
    for row in &rows {
        ensure!(row.report.later_requests >= row.conversations * conversations.rounds, "{row:?}");
    }
    Ok(rows)
}

#[tokio::test]
async fn without_headroom_no_conversation_is_at_fault() -> Result<()> {
    let rows = held(Event::WithoutHeadroom, &Conversations::default()).await?;
    assert!(rows.iter().all(|row| row.report.retrievals.is_empty()), "there are no markers: {rows:?}");
    Ok(())
}

#[tokio::test]
async fn conversations_without_retrievals_are_append_only() -> Result<()> {
    held(Event::Nothing, &Conversations { retrieve_every: 0, ..Conversations::default() }).await?;
    Ok(())
}

#[tokio::test]
async fn conversations_with_retrievals_in_every_second_round_are_append_only() -> Result<()> {
    holds(Event::Nothing).await
}

#[tokio::test]
async fn conversations_about_source_files_are_append_only_while_the_filter_presses_harder() -> Result<()> {
    let rows = held(Event::Nothing, &Conversations { sources: true, ..Conversations::default() }).await?;
    for row in rows.iter().filter(|row| row.format != Format::StoredResponses) {
        // Parts of a file are left out, so there is something to retrieve.
        ensure!(row.report.retrievals.len() >= 3, "{row:?}");
    }
    Ok(())
}

#[tokio::test]
async fn conversations_are_append_only_when_headroomd_is_killed() -> Result<()> {
    holds(Event::Killed).await
}

#[tokio::test]
async fn conversations_are_append_only_while_headroomd_is_stopped() -> Result<()> {
    holds(Event::Stopped).await
}

#[tokio::test]
async fn conversations_are_append_only_while_headroomd_starts_again_and_again() -> Result<()> {
    holds(Event::Restarted).await
}

#[tokio::test]
async fn conversations_are_append_only_while_the_disk_is_full() -> Result<()> {
    holds(Event::DiskFull).await
}

#[tokio::test]
async fn conversations_are_append_only_when_envoy_starts_again_between_rounds() -> Result<()> {
    holds(Event::EnvoyRestarted).await
}

#[tokio::test]
async fn conversations_are_append_only_through_two_envoys_in_turn() -> Result<()> {
    holds(Event::TwoEnvoys).await
}

#[tokio::test]
async fn conversations_are_append_only_without_a_memo() -> Result<()> {
    holds(Event::NoMemo).await
}

#[tokio::test]
async fn thirty_conversations_at_once_on_a_busy_machine_are_append_only() -> Result<()> {
    held(Event::Crowd, &Conversations { each: 3, ..Conversations::default() }).await?;
    Ok(())
}

#[tokio::test]
async fn conversations_are_append_only_when_the_configuration_is_delivered_anew() -> Result<()> {
    holds(Event::Reloaded).await
}

#[tokio::test]
async fn conversations_are_append_only_when_the_model_is_switched() -> Result<()> {
    holds(Event::ModelSwitched).await
}

#[tokio::test]
async fn conversations_are_append_only_when_the_choice_of_tools_changes() -> Result<()> {
    holds(Event::ToolChoice).await
}

#[tokio::test]
async fn conversations_are_append_only_when_tools_are_appended() -> Result<()> {
    holds(Event::ToolsAppended).await
}

#[tokio::test]
async fn conversations_are_append_only_when_the_last_request_has_no_tools() -> Result<()> {
    holds(Event::LastWithoutTools).await
}

/// Old turns are rewritten at boundaries alone, to what the engine makes of the conversation without having seen another
/// request of it.
async fn rewrites(event: Event) -> Result<()> {
    let conversations = Conversations {
        formats: Conversations::CAN_REWRITE.to_vec(),
        thinks: false,
        epochs: Some(Conversations::rewritten_in(4_000)),
        ..Conversations::default()
    };
    let rows = hold(event, &conversations).await?;
    let problems: Vec<String> = rows.iter().flat_map(Row::problems).collect();
    ensure!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    ensure!(rows.len() == 4);
    for row in rows {
        ensure!(
            row.report.at_boundaries >= 1 && row.report.later_requests > row.report.at_boundaries,
            "{row:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn old_turns_are_rewritten_at_boundaries_alone() -> Result<()> {
    rewrites(Event::Nothing).await
}

#[tokio::test]
async fn old_turns_are_rewritten_at_boundaries_alone_whichever_process_is_asked() -> Result<()> {
    for event in [Event::TwoEnvoys, Event::NoMemo, Event::EnvoyRestarted] {
        rewrites(event).await?;
    }
    Ok(())
}

/// The effect of Headroom in front of a running conversation: it changes the prefix once, and the filter sends
/// the request again in a way that succeeds. The client sees only that answer.
#[tokio::test]
async fn a_conversation_that_began_without_headroom_goes_on_behind_it() -> Result<()> {
    for mode in MODES {
        let stack = Stack::start(reversible(mode), Kind::Real).await?;
        for stream in [false, true] {
            let name = format!("began without {mode:?} {stream}");
            stack.provider.follow(&name, Plan::default());
            let mut agent = Agent::new(Format::Messages, &name, stream, recorded(1)?);
            // A new conversation for the filter, which remembers the ones that needed recovery.
            agent.say(&format!("Which deployments failed? {name}"));
            agent.rounds(stack.provider.address(), 4).await?;
            let without = stack.provider.requests(&name).len();

            let answer = agent.ask(stack.envoy.listener()).await?;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            let kind = if stream { "text/event-stream" } else { "application/json" };
            assert!(
                answer.header("content-type").is_some_and(|it| it.starts_with(kind)),
                "{name}: {answer:?}"
            );
            let length = answer.header("content-length").map(str::to_owned);
            assert!(
                length.is_none_or(|length| length == answer.body.len().to_string()),
                "{name}: {answer:?}"
            );
            let [refused, again] = &stack.provider.requests(&name)[without..] else {
                bail!("{name}: the refused request is sent once more, and nothing else is");
            };
            let [refused, again] = [refused, again].map(|it| serde_json::from_slice::<Value>(&it.body));
            let (refused, mut again) = (refused?, again?);
            let asked = json!({"prefix_mismatch_behavior": "drop_block"});
            let thinking = again["thinking"].as_object_mut().context("the request asks for thinking")?;
            assert_eq!(thinking.remove("block_binding"), Some(asked), "{name}");
            assert_eq!(refused, again, "{name}: nothing else is different");

            agent.rounds(stack.envoy.listener(), 8).await?;
            agent.turn(stack.envoy.listener()).await?;
            let report = stack.provider.report(&name);
            assert!(report.refused.len() <= 2, "each VM needs one refusal to know: {report:?}");
            assert!(report.dropped.len() >= 9, "its older thinking is dropped in each: {report:?}");
        }
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

/// If the second request is refused too, the client gets the provider's refusal, byte for byte.
#[tokio::test]
async fn a_refusal_that_is_not_about_the_prefix_reaches_the_client_as_it_came() -> Result<()> {
    let script = Script { status: Some(400), ..Script::default() }.header();
    for mode in MODES {
        let stack = Stack::start(reversible(mode), Kind::Down).await?;
        for stream in [false, true] {
            let name = format!("refused {mode:?} {stream}");
            let body = body(Api::AnthropicMessages, stream, &[rows(ROWS, 1)]);
            let mut body: Value = serde_json::from_slice(&body)?;
            body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
            let said = body["messages"][1]["content"].as_array_mut().context("the model's turn")?;
            said.insert(0, json!({"type": "thinking", "thinking": "Hm.", "signature": "c2VhbA=="}));
            let call = || Call::post("/v1/messages", body.to_string()).header(SCRIPT_HEADER, &script);
            let mut direct = Connection::open(stack.provider.address(), Protocol::Http1).await?;
            let expected = direct.send(call()).await?;
            let (answer, requests) = stack.exchange(&name, Protocol::Http1, call()).await?;
            assert_eq!((answer.status, &answer.body), (expected.status, &expected.body), "{name}");
            assert_eq!(answer.header("content-type"), expected.header("content-type"), "{name}");
            assert_eq!(requests.len(), 2, "{name}: it was tried once more");
        }
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

/// The instance next to the client decides: the conversation has its tool, its forms and its traces. If it
/// changes nothing, the traces of the second instance pass through it, and either instance restores their rounds.
#[tokio::test]
async fn two_headrooms_in_a_row_keep_a_conversation_append_only() -> Result<()> {
    let stack = Stack::start(reversible(Mode::Strip), Kind::Real).await?;
    for outer_mode in ["optimize", "audit", "off"] {
        let folder = tempfile::tempdir()?;
        let mut options = reversible(Mode::Strip);
        options.filter.as_mut().context("the filter is on")?["mode"] = outer_mode.into();
        let outer = behind(&stack, &options, folder.path()).await?;
        for (format, stream) in [
            (Format::Messages, false),
            (Format::Messages, true),
            (Format::Chat, true),
            (Format::Responses, true),
        ] {
            let name = format!("in a row {outer_mode} {format:?} {stream}");
            let plan = Plan { rounds: 9, retrieve_every: 2, ways: Way::ALL.to_vec(), ..Plan::default() };
            stack.provider.follow(&name, plan);
            let mut agent = Agent::new(format, &name, stream, recorded(3)?);
            agent.say(&format!("Which deployments failed? {name}"));
            agent.rounds(outer.listener(), 9).await?;
            let report = stack.provider.report(&name);
            let problems = report.problems();
            ensure!(problems.is_empty(), "{name}: {problems:?}");
            let (asked, exact) = (report.retrievals.len(), report.exact(&agent.given()));
            ensure!(asked >= 4 && exact == asked, "{name}: {exact} of {asked}: {:?}", report.retrievals);
        }
    }
    assert_no_trap(&stack).await
}

/// Another Envoy whose provider is a stack's.
async fn behind(stack: &Stack, options: &Options, folder: &std::path::Path) -> Result<Envoy> {
    let neighbours = Neighbours {
        provider: stack.envoy.listener(),
        sidecar_grpc: stack.sidecar.grpc(),
        sidecar_http: stack.sidecar.http(),
    };
    Envoy::start(options, neighbours, &built::filter_module().await?, folder).await
}
