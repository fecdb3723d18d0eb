//! The pictures of the dashboard in the documentation: agents that do what costs them their provider's cache, through
//! Envoy and the filter to the scripted provider, which keeps a cache by its API's rules; then a browser.
//!
//! ```text
//! cargo run -p headroom-e2e --example pictures [FOLDER]
//! ```
//!
//! The pictures go to `docs/images`, or to the folder that is named: of the pages *Cache* and *Live* at 1440 and 390
//! pixels, light and dark. `docs/images` gets those at 1440 pixels in light alone.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::agent::recorded;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::SCRIPT_HEADER;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack, built, python};
use serde_json::{Value, json};

/// What an agent does to its cache, once every few turns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Habit {
    /// Nothing.
    Grows,
    /// Line 15 of its system prompt has the date and the time of day.
    Dates,
    /// Its tools come in another order.
    ShufflesTools,
    /// It takes back what it has sent.
    EditsHistory,
    /// It asks for no cache.
    SetsNoBreakpoint,
    /// It goes to another model.
    ChangesModel,
}

/// Who sends requests.
struct Team {
    user_agent: &'static str,
    project: &'static str,
    tenant: &'static str,
    model: &'static str,
    habit: Habit,
    conversations: usize,
    turns: usize,
}

const TEAMS: [Team; 6] = [
    Team {
        user_agent: "claude-cli/2.1.32 (external, cli)",
        project: "checkout",
        tenant: "payments",
        model: "claude-opus-4-8",
        habit: Habit::Dates,
        conversations: 3,
        turns: 16,
    },
    Team {
        user_agent: "codex_cli_rs/0.63.0",
        project: "search",
        tenant: "search",
        model: "gpt-5.6",
        habit: Habit::ShufflesTools,
        conversations: 3,
        turns: 12,
    },
    Team {
        user_agent: "OpenHands/1.0",
        project: "billing",
        tenant: "payments",
        model: "claude-sonnet-4-5",
        habit: Habit::EditsHistory,
        conversations: 3,
        turns: 12,
    },
    Team {
        user_agent: "Anthropic/Python 0.75.0",
        project: "reports",
        tenant: "data",
        model: "claude-sonnet-4-5",
        habit: Habit::SetsNoBreakpoint,
        conversations: 2,
        turns: 8,
    },
    Team {
        user_agent: "opencode/1.0.110",
        project: "search",
        tenant: "search",
        model: "claude-sonnet-4-5",
        habit: Habit::ChangesModel,
        conversations: 1,
        turns: 9,
    },
    Team {
        user_agent: "cline/3.38.0",
        project: "mobile",
        tenant: "apps",
        model: "claude-haiku-4-5",
        habit: Habit::Grows,
        conversations: 2,
        turns: 14,
    },
];

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    let filter = json!({"control_plane": {"cluster": "headroom", "report_interval_ms": 200}, "reversible": true,
        "tenant_from": "client"});
    let stack = Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await?;
    let requests = talk(&stack).await?;
    until("headroomd has counted every request", || async {
        (stack.sidecar.counted_requests().await.ok()? >= requests).then_some(())
    })
    .await?;
    take(&format!("http://{}", stack.sidecar.http()), folder)
}

/// All teams take turns.
async fn talk(stack: &Stack) -> Result<u64> {
    let mut requests = 0;
    let most = TEAMS.iter().map(|team| team.turns).max().unwrap_or(0);
    for turn in 0..most {
        for (number, team) in TEAMS.iter().enumerate().filter(|(_, team)| turn < team.turns) {
            for conversation in 0..team.conversations {
                let seed = 10 * number + conversation;
                let is_missed = team.habit == Habit::Grows && turn == 9;
                send(stack, team, &team.request(seed, turn)?, is_missed).await?;
                requests += 1;
            }
        }
    }
    Ok(requests)
}

async fn send(stack: &Stack, team: &Team, body: &Value, is_missed: bool) -> Result<()> {
    let path = if team.is_claude() { "/v1/messages" } else { "/v1/chat/completions" };
    let script = Script { prompt_cache: true, forget_cache: is_missed, ..Script::default() };
    let call = Call::post(path, body.to_string())
        .header(SCRIPT_HEADER, &script.header())
        .header("user-agent", team.user_agent)
        .header("x-headroom-project", team.project)
        .header("x-headroom-user-id", team.tenant);
    let (answer, _) = stack.exchange(team.project, Protocol::Http1, call).await?;
    ensure!(answer.status == 200, "{}: {}", team.user_agent, answer.status);
    Ok(())
}

impl Team {
    fn is_claude(&self) -> bool {
        self.model.starts_with("claude")
    }

    /// The request of a turn: everything before it, and one more output.
    fn request(&self, seed: usize, turn: usize) -> Result<Value> {
        // How often it has happened up to this turn.
        let times = turn / 3;
        let moment = if self.habit == Habit::Dates { times } else { 0 };
        let system = self.system(seed, moment);
        let mut tools: Vec<Value> = (0..14).map(tool).collect();
        if self.habit == Habit::ShufflesTools {
            tools.rotate_left(times % 14);
        }
        let mut turns = vec![
            json!({"role": "user", "content": format!("Task {seed}: find out why the deployment failed.")}),
        ];
        for (at, output) in recorded(seed)?.into_iter().cycle().take(turn + 1).enumerate() {
            let output = if self.habit == Habit::EditsHistory && at < 3 * times && at + 3 >= 3 * times {
                "[this output was cleared]".to_owned()
            } else {
                output
            };
            turns.extend(self.turn(at, output));
        }
        let is_other = self.habit == Habit::ChangesModel && times % 2 == 1;
        let model = if is_other { "claude-opus-4-8" } else { self.model };
        if !self.is_claude() {
            turns.insert(0, json!({"role": "system", "content": system}));
            let tools: Vec<Value> = tools.into_iter().map(|tool| json!({"type": "function",
                "function": {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}})).collect();
            return Ok(json!({"model": model, "tools": tools, "messages": turns}));
        }
        let mut body = json!({"model": model, "max_tokens": 1_000, "tools": tools, "messages": turns,
            "system": [{"type": "text", "text": system}]});
        if self.habit != Habit::SetsNoBreakpoint {
            body["system"][0]["cache_control"] = json!({"type": "ephemeral"});
            body["cache_control"] = json!({"type": "ephemeral"});
        }
        Ok(body)
    }

    /// Some 8,000 tokens.
    fn system(&self, seed: usize, moment: usize) -> String {
        let agent = self.user_agent.split('/').next().unwrap_or_default();
        let mut lines: Vec<String> = (0..220)
            .map(|n| format!("{n}. An agent such as {agent} says what it has done, what it has found, and what is left of the task; then it goes on to the next."))
            .collect();
        if self.habit == Habit::Dates {
            lines[13] =
                format!("It is 2026-11-29 14:{:02}:{:02} now.", 10 + moment * 3, (seed * 7 + moment) % 60);
        }
        format!("You are {agent}.\n{}", lines.join("\n"))
    }

    fn turn(&self, at: usize, output: String) -> [Value; 2] {
        let (id, name) = (format!("call_{at}"), format!("tool_{}", at % 14));
        if self.is_claude() {
            [
                json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": name, "input": {"path": "."}}]}),
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": output}]}),
            ]
        } else {
            [
                json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function",
                    "function": {"name": name, "arguments": "{\"path\":\".\"}"}}]}),
                json!({"role": "tool", "tool_call_id": id, "content": output}),
            ]
        }
    }
}

fn tool(number: usize) -> Value {
    json!({"name": format!("tool_{number}"), "description": "Looks at what is asked for, and says what it has found. ".repeat(6),
        "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}})
}

/// Takes the pictures in a browser.
fn take(url: &str, folder: Option<PathBuf>) -> Result<()> {
    let scripts = built::workspace().join("control-plane/tests/browser");
    let python = built::target_folder()?.join("browser-venv/bin/python");
    ensure!(
        python.exists(),
        "first run `cargo test -p headroomd --test sidecar dashboard`, which installs what drives a browser"
    );
    let chromium = Command::new(scripts.join("chromium.sh"))
        .env("CARGO_TARGET_DIR", built::target_folder()?)
        .output()
        .context("bash does not start")?;
    ensure!(chromium.status.success(), "{}", String::from_utf8_lossy(&chromium.stderr));
    let chromium = String::from_utf8(chromium.stdout)?;
    let mut command = Command::new(python);
    command.arg(scripts.join("pictures.py")).args([url, chromium.trim()]);
    match folder {
        Some(folder) => {
            std::fs::create_dir_all(&folder)?;
            command.arg(folder).arg("all")
        }
        None => command.arg(built::workspace().join("docs/images")).arg("documentation"),
    };
    python::run(&mut command)
}
