//! The events during conversations.

use serde_json::{Value, json};

use crate::agent::{Agent, Format};

/// An event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The agents talk directly to the provider: then a fault is the harness's own.
    WithoutHeadroom,
    /// Nothing.
    Nothing,
    /// headroomd is killed and stays dead.
    Killed,
    /// headroomd is stopped for half of the rounds: it accepts calls and answers none.
    Stopped,
    /// headroomd is killed and restarted, every third round.
    Restarted,
    /// headroomd's disk is full for half of the rounds.
    DiskFull,
    /// Envoy ends and is restarted, every fourth round.
    EnvoyRestarted,
    /// Two Envoys take the requests in turn.
    TwoEnvoys,
    /// The filter remembers no replacement.
    NoMemo,
    /// The conversations are held at the same time, on a busy machine.
    Crowd,
    /// The filter gets another configuration, and with it new VMs, every fourth round.
    Reloaded,
    /// The agents switch the model, and back.
    ModelSwitched,
    /// The agents change `tool_choice`.
    ToolChoice,
    /// The agents get another tool.
    ToolsAppended,
    /// The last request lists no tools.
    LastWithoutTools,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::WithoutHeadroom,
        Self::Nothing,
        Self::Killed,
        Self::Stopped,
        Self::Restarted,
        Self::DiskFull,
        Self::EnvoyRestarted,
        Self::TwoEnvoys,
        Self::NoMemo,
        Self::Crowd,
        Self::Reloaded,
        Self::ModelSwitched,
        Self::ToolChoice,
        Self::ToolsAppended,
        Self::LastWithoutTools,
    ];

    /// For tables and arguments.
    pub fn name(self) -> &'static str {
        match self {
            Self::WithoutHeadroom => "without-headroom",
            Self::Nothing => "nothing",
            Self::Killed => "headroomd-killed",
            Self::Stopped => "headroomd-stopped",
            Self::Restarted => "headroomd-restarted",
            Self::DiskFull => "disk-full",
            Self::EnvoyRestarted => "envoy-restarted",
            Self::TwoEnvoys => "two-envoys",
            Self::NoMemo => "no-memo",
            Self::Crowd => "crowd",
            Self::Reloaded => "reloaded",
            Self::ModelSwitched => "model-switched",
            Self::ToolChoice => "tool-choice",
            Self::ToolsAppended => "tools-appended",
            Self::LastWithoutTools => "last-without-tools",
        }
    }

    /// The agent's own change before a round; the last round is its last question.
    pub(super) fn change(self, agent: &mut Agent, format: Format, round: usize, rounds: usize) {
        let settings = &mut agent.settings;
        match self {
            Self::ModelSwitched if round == rounds / 3 => settings.model = another_model(format).to_owned(),
            Self::ModelSwitched if round == 2 * rounds / 3 => format.model().clone_into(&mut settings.model),
            Self::ToolChoice if round == rounds / 3 => settings.tool_choice = must_call(format),
            Self::ToolChoice if round == rounds => settings.tool_choice = Value::Null,
            Self::ToolsAppended if round == rounds / 2 => settings.tools.push("later".to_owned()),
            Self::LastWithoutTools if round == rounds => settings.tools.clear(),
            _ => {}
        }
    }
}

fn another_model(format: Format) -> &'static str {
    match format {
        Format::Messages => "claude-haiku-5-5",
        Format::Chat => "gpt-3.5-turbo",
        Format::Responses | Format::StoredResponses => "gpt-5-mini",
        Format::Gemini => "gemini-3-flash",
    }
}

fn must_call(format: Format) -> Value {
    match format {
        Format::Messages => json!({"type": "any"}),
        Format::Chat | Format::Responses | Format::StoredResponses => json!("required"),
        Format::Gemini => json!({"functionCallingConfig": {"mode": "ANY"}}),
    }
}
