//! Conversations with thinking models, held during the load of other tests. The provider checks that everything
//! that their reasoning is bound to stays the same, and the model retrieves what is left out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use headroom_e2e::Provider;
use headroom_e2e::agent::{Agent, Format, recorded};
use headroom_e2e::provider::{Plan, Way};

/// Rounds of tool calls in a conversation; the model retrieves after every second.
const ROUNDS: usize = 8;
/// The minimum number of retrievals in a conversation.
const RETRIEVALS: usize = 3;
/// In a client's load, one of this many requests is a turn of a conversation: such a turn takes a test several
/// times as long as another request.
const TURN_EVERY: usize = 5;
/// The formats in which models think, and whether answers come as streams: one conversation each, in turn.
const KINDS: [(Format, bool); 6] = [
    (Format::Messages, true),
    (Format::Responses, true),
    (Format::Messages, false),
    (Format::Gemini, false),
    (Format::Responses, false),
    (Format::Gemini, true),
];

/// Conversations shared by any number of clients.
#[derive(Debug)]
pub(crate) struct Thinking {
    provider: Provider,
    /// The conversations without a turn in progress.
    waiting: Mutex<VecDeque<Conversation>>,
    begun: AtomicUsize,
    turns: AtomicUsize,
    tally: Mutex<Tally>,
}

/// The results of finished conversations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) conversations: usize,
    /// The clients' requests. The filter sends more, to answer retrievals.
    pub(crate) requests: usize,
    /// Retrievals, each answered with the exact text.
    pub(crate) retrievals: usize,
    /// From the answers.
    pub(crate) tokens_saved: i64,
}

#[derive(Debug)]
struct Conversation {
    agent: Agent,
    name: String,
    rounds: usize,
    tally: Tally,
}

impl Thinking {
    pub(crate) fn with(provider: &Provider) -> Self {
        Self {
            provider: provider.clone(),
            waiting: Mutex::default(),
            begun: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
            tally: Mutex::default(),
        }
    }

    /// Takes one turn, which is one request of a client: of the conversation that has waited longest, or the first
    /// turn of a new one. A finished conversation is checked.
    pub(crate) async fn turn(&self, to: SocketAddr) -> Result<()> {
        let waiting = lock(&self.waiting).pop_front();
        let mut conversation = match waiting {
            Some(conversation) => conversation,
            None => self.begin()?,
        };
        let is_over = conversation.turn(to).await?;
        self.turns.fetch_add(1, Ordering::Relaxed);
        if is_over {
            let tally = conversation.check(&self.provider)?;
            lock(&self.tally).add(&tally);
        } else {
            lock(&self.waiting).push_back(conversation);
        }
        Ok(())
    }

    /// Takes a turn if one is due: `number` counts the requests of a client.
    pub(crate) async fn turn_beside(&self, number: usize, to: SocketAddr) -> Result<()> {
        if number.is_multiple_of(TURN_EVERY) { self.turn(to).await } else { Ok(()) }
    }

    /// How many turns have been taken.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    /// Finishes all conversations, and returns their results.
    pub(crate) async fn end(&self, to: SocketAddr) -> Result<Tally> {
        while !lock(&self.waiting).is_empty() {
            self.turn(to).await?;
        }
        let tally = lock(&self.tally).clone();
        ensure!(tally.conversations == self.begun.load(Ordering::Relaxed), "not all are over: {tally:?}");
        ensure!(tally.conversations > 0, "no model has thought");
        Ok(tally)
    }

    fn begin(&self) -> Result<Conversation> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let (format, stream) = KINDS[number % KINDS.len()];
        let name = format!("thinks {number}");
        let mut ways = Way::ALL.to_vec();
        ways.rotate_left(number % Way::ALL.len());
        let plan = Plan {
            rounds: ROUNDS,
            text_every: 5,
            retrieve_every: 2,
            ways,
            piece_bytes: Some(97),
            ..Plan::default()
        };
        self.provider.follow(&name, plan);
        let mut agent = Agent::new(format, &name, stream, recorded(number + 1)?);
        agent.say("Which deployments failed, and why?");
        Ok(Conversation { agent, name, rounds: 0, tally: Tally::default() })
    }
}

impl Conversation {
    /// Takes a turn. Returns whether the conversation is over.
    async fn turn(&mut self, to: SocketAddr) -> Result<bool> {
        let turn = self.agent.turn(to).await?;
        self.tally.requests += 1;
        self.tally.tokens_saved += turn.tokens_saved.unwrap_or_default();
        if turn.calls > 0 {
            self.rounds += 1;
        } else if self.rounds < ROUNDS {
            self.agent.say("Go on.");
        } else {
            return Ok(true);
        }
        ensure!(self.tally.requests <= 2 * ROUNDS, "{}: the model does not come to an end", self.name);
        Ok(false)
    }

    /// Checks that nothing was refused, dropped or rewritten, and that each retrieval got the exact text.
    fn check(mut self, provider: &Provider) -> Result<Tally> {
        let report = provider.report(&self.name);
        let problems = report.problems();
        ensure!(problems.is_empty(), "{}: {}", self.name, problems.join("\n"));
        ensure!(report.respelled == 0, "{}: {} requests are spelled anew", self.name, report.respelled);
        ensure!(report.of_other_models == 0, "{}: there is one model: {report:?}", self.name);
        let (given, asked) = (self.agent.given(), report.retrievals.len());
        let inexact: Vec<_> =
            report.retrievals.iter().filter(|retrieval| !retrieval.is_exact(&given)).collect();
        ensure!(inexact.is_empty(), "{}: {} of {asked} retrievals: {inexact:?}", self.name, inexact.len());
        ensure!(asked >= RETRIEVALS, "{}: {asked} retrievals", self.name);
        ensure!(report.later_requests >= ROUNDS, "{}: {report:?}", self.name);
        let arrived = provider.take(&self.name).len();
        ensure!(arrived == report.requests, "{}: {arrived} of {} were checked", self.name, report.requests);
        // Only the filter's own rounds can explain more requests.
        ensure!(arrived > self.tally.requests, "{}: the filter has sent nothing by itself", self.name);
        self.tally.conversations = 1;
        self.tally.retrievals = asked;
        Ok(self.tally)
    }
}

impl Tally {
    fn add(&mut self, more: &Self) {
        self.conversations += more.conversations;
        self.requests += more.requests;
        self.retrievals += more.retrievals;
        self.tokens_saved += more.tokens_saved;
    }

    /// The result as a line for a test's output.
    pub(crate) fn line(&self) -> String {
        let Self { conversations, requests, retrievals, .. } = self;
        format!(
            "{conversations} thinking conversations in {requests} requests: 0 refused, 0 dropped, \
             {retrievals} of {retrievals} retrievals exact"
        )
    }
}

/// A test that fails elsewhere is no reason to fail here as well.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
