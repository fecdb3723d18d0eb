//! What a provider was sent for a conversation is only ever extended (I3), and what was left out can be had back
//! (I5), whatever happens meanwhile. `headroom-proof` prints the same at length.

use anyhow::{Result, ensure};
use headroom_e2e::Stack;
use headroom_e2e::agent::{Agent, Format, recorded};
use headroom_e2e::envoy::Options;
use headroom_e2e::proof::{Conversations, Event, Row, hold};
use headroom_e2e::provider::Plan;
use headroom_e2e::sidecar::Kind;
use serde_json::json;

/// Holds conversations in which the model retrieves in every second round, in all formats.
async fn holds(event: Event) -> Result<()> {
    let rows = held(event, &Conversations::default()).await?;
    // Where the server has the conversation nothing is left out, so there is nothing to ask for.
    for row in rows.iter().filter(|row| row.format != Format::StoredResponses) {
        let asked = row.report.retrievals.len();
        ensure!(asked >= 5, "{:?}, stream: {}: {asked} retrievals", row.format, row.stream);
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

/// What putting Headroom in front of a running conversation does: it changes the prefix once, and the filter asks
/// again in the way that lets the request through.
#[tokio::test]
async fn a_conversation_that_began_without_headroom_goes_on_behind_it() -> Result<()> {
    let filter = json!({"reversible": true, "control_plane": {"cluster": "headroom"}});
    let stack = Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await?;
    for stream in [false, true] {
        let name = format!("began without {stream}");
        stack.provider.follow(&name, Plan::default());
        let mut agent = Agent::new(Format::Messages, &name, stream, recorded(1)?);
        // Another conversation for the filter, which remembers those that have needed it.
        agent.say(&format!("Which deployments failed? {name}"));
        agent.rounds(stack.provider.address(), 4).await?;
        agent.rounds(stack.envoy.listener(), 8).await?;
        agent.turn(stack.envoy.listener()).await?;
        let report = stack.provider.report(&name);
        assert_eq!(
            report.refused.len(),
            1,
            "the first request behind it is refused, and no other: {report:?}"
        );
        assert!(report.dropped.len() >= 9, "its older thinking is dropped in each: {report:?}");
    }
    Ok(())
}
