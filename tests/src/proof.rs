//! Whole conversations through the stack during an event: each must stay append-only for the provider, none may
//! fail, and the model must get every original that it asks for.

mod event;
mod row;
mod setting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use headroom_compress::{CachePrice, Epochs};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Provider;
use crate::agent::{Agent, Format, recorded, source_files};
use crate::provider::{Boundaries, Plan, ToolCall, Way};

pub use event::Event;
pub use row::Row;
use setting::Setting;

/// Rounds of tool calls: enough that a model that retrieves before every second one does so in each [`Way`] with
/// calls of the client's tools.
pub const ROUNDS: usize = 2 * Way::ALL.len() + 1;

/// Which conversations are held.
#[derive(Clone, Debug)]
pub struct Conversations {
    /// In these formats, each as JSON and as streams.
    pub formats: Vec<Format>,
    /// How many of each.
    pub each: usize,
    /// Rounds of tool calls, before the user's last question.
    pub rounds: usize,
    /// The model calls `headroom_retrieve` before each round whose number is divisible by this; 0: never.
    pub retrieve_every: usize,
    /// The ways of these calls.
    pub ways: Vec<Way>,
    /// The model uses memory in each round whose number is divisible by this; 0: never.
    pub remember_every: usize,
    /// Whether the agents read source files whose function bodies are left out, until the filter's pressure
    /// increases.
    pub sources: bool,
    /// The agents ask for thinking.
    pub thinks: bool,
    /// What memory holds before they begin, in everybody's team.
    pub facts: Vec<String>,
    /// Old turns are rewritten, and the provider knows where. Only in [`Conversations::CAN_REWRITE`], without
    /// thinking.
    pub epochs: Option<Epochs>,
    /// More of the filter's configuration: a JSON object.
    pub plugin: Value,
}

/// Maximum number of source files before an agent reads the first one again.
const FILES: usize = 64;

impl Default for Conversations {
    fn default() -> Self {
        let formats = Format::ALL.to_vec();
        let (ways, plugin) = (Way::ALL.to_vec(), json!({}));
        Self {
            formats,
            each: 1,
            rounds: ROUNDS,
            retrieve_every: 2,
            ways,
            remember_every: 0,
            sources: false,
            thinks: true,
            facts: Vec::new(),
            epochs: None,
            plugin,
        }
    }
}

/// One conversation, and its result.
#[derive(Debug)]
struct HeldConversation {
    agent: Agent,
    format: Format,
    stream: bool,
    name: String,
    /// Why it was given up.
    failed: Option<String>,
}

impl Conversations {
    /// Formats in which the provider knows where old turns may be rewritten.
    pub const CAN_REWRITE: [Format; 2] = [Format::Messages, Format::Chat];

    /// How old turns are rewritten in a window, at the prices of a model without a cache.
    pub fn rewritten_in(window_tokens: u32) -> Epochs {
        let price = CachePrice { model: "*".to_owned(), read_percent: 100, write_percent: 100 };
        let step_tokens = (window_tokens / 4).max(500);
        Epochs { window_tokens, step_tokens, keep_turns: 2, prices: vec![price], ..Epochs::default() }
    }

    fn plan(&self) -> Plan {
        let file = |number| {
            let read = json!({"path": format!("src/file_{number}.go")});
            let calls = [("read_file", read), ("list", json!({}))];
            calls.map(|(name, arguments)| ToolCall { name: name.to_owned(), arguments })
        };
        let calls = if self.sources { (0..FILES).flat_map(file).collect() } else { Plan::default().calls };
        Plan {
            calls,
            rounds: self.rounds,
            text_every: 5,
            retrieve_every: self.retrieve_every,
            ways: self.ways.clone(),
            remember_every: self.remember_every,
            piece_bytes: Some(97),
            ..Plan::default()
        }
    }

    /// More of the filter's configuration.
    fn configuration(&self) -> Value {
        let mut plugin = self.plugin.clone();
        if let Some(plugin) = plugin.as_object_mut().filter(|_| self.sources) {
            for key in ["code_aware", "pressure"] {
                plugin.entry(key).or_insert(Value::Bool(true));
            }
        }
        if let Some(epochs) = &self.epochs {
            let price = |price: &CachePrice| {
                let CachePrice { model, read_percent, write_percent } = price;
                json!({"model": model, "read_percent": read_percent, "write_percent": write_percent})
            };
            plugin["history"] = "epochs".into();
            plugin["epochs"] = json!({
                "window_tokens": epochs.window_tokens, "step_tokens": epochs.step_tokens, "keep_turns": epochs.keep_turns,
                "prices": epochs.prices.iter().map(price).collect::<Vec<_>>(),
            });
        }
        plugin
    }

    /// Agents with their first message, and a provider that expects them.
    fn begin(&self, event: Event, provider: &Provider) -> Result<Vec<HeldConversation>> {
        let mut all = Vec::new();
        for &format in &self.formats {
            for stream in [false, true] {
                for number in 0..self.each {
                    let name = format!("{format:?} {stream} {number}");
                    provider.follow(&name, self.plan());
                    let seed = all.len() + 1;
                    let outputs = if self.sources { source_files(seed, FILES) } else { recorded(seed)? };
                    if let Some(epochs) = self.epochs.as_ref().filter(|_| event != Event::WithoutHeadroom) {
                        provider.rewrites(&name, Boundaries::new(epochs.clone(), outputs.clone()));
                    }
                    let mut agent = Agent::new(format, &name, stream, outputs);
                    agent.settings.thinks = self.thinks;
                    agent.say("Which deployments failed, and why?");
                    all.push(HeldConversation { agent, format, stream, name, failed: None });
                }
            }
        }
        Ok(all)
    }
}

/// Holds conversations during an event. They take their rounds together; in a crowd, each at its own speed.
pub async fn hold(event: Event, conversations: &Conversations) -> Result<Vec<Row>> {
    let mut setting = Setting::start(event, &conversations.configuration()).await?;
    setting.remember(&conversations.facts).await?;
    let mut all = conversations.begin(event, setting.provider())?;
    let busy = (event == Event::Crowd).then(Busy::start);
    if event == Event::Crowd {
        all = together(all, |_| setting.listener(0), conversations.rounds).await?;
    } else {
        for round in 0..conversations.rounds {
            setting.before(round, conversations.rounds).await?;
            for held in &mut all {
                event.change(&mut held.agent, held.format, round, conversations.rounds);
            }
            all = together(all, |_| setting.listener(round), 1).await?;
        }
    }
    for held in &mut all {
        held.agent.say("Is that all?");
        event.change(&mut held.agent, held.format, conversations.rounds, conversations.rounds);
    }
    all = together(all, |_| setting.listener(conversations.rounds), 0).await?;
    drop(busy);
    setting.assert_no_trap().await?;
    Ok(row::rows(event, setting.provider(), &all))
}

/// Takes this many rounds in all conversations at the same time; 0: asks once, and expects an answer without calls.
async fn together(
    all: Vec<HeldConversation>,
    to: impl Fn(usize) -> SocketAddr,
    rounds: usize,
) -> Result<Vec<HeldConversation>> {
    let mut running = JoinSet::new();
    let count = all.len();
    for (number, mut held) in all.into_iter().enumerate() {
        let to = to(number);
        running.spawn(async move {
            if held.failed.is_none() {
                let done = if rounds > 0 {
                    held.agent.rounds(to, rounds).await
                } else {
                    last(&mut held.agent, to).await
                };
                held.failed = done.err().map(|error| format!("{error:#}"));
            }
            (number, held)
        });
    }
    let mut done: Vec<Option<HeldConversation>> = (0..count).map(|_| None).collect();
    while let Some(joined) = running.join_next().await {
        let (number, held) = joined?;
        done[number] = Some(held);
    }
    Ok(done.into_iter().flatten().collect())
}

async fn last(agent: &mut Agent, to: SocketAddr) -> Result<()> {
    let calls = agent.turn(to).await?.calls;
    ensure!(calls == 0, "the model was expected to be done, and has made {calls} calls");
    Ok(())
}

/// Threads that take the processor's time until this is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..thread::available_parallelism().map_or(2, |cores| cores.get() * 2) {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(over)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
