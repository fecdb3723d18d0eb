//! Replays recorded conversations through a stack and checks every property that can be checked.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use headroom_compress::{Api, Config, Memo, Request, compress};

use crate::client::{Call, Connection, Protocol};
use crate::conversation::{self, Conversation, Set};
use crate::latency::Latencies;
use crate::provider::NAME_HEADER;
use crate::reading::{TokenCounter, messages, without_outputs};
use crate::stack::Stack;

/// The result of one set of conversations.
#[derive(Debug)]
pub struct Row {
    /// The set's name.
    pub set: String,
    /// The format that its requests were sent in.
    pub api: Api,
    /// How many conversations.
    pub conversations: usize,
    /// How many requests.
    pub requests: usize,
    /// o200k tokens of all requests as the clients sent them.
    pub tokens_before: usize,
    /// o200k tokens of all requests as received by the provider.
    pub tokens_after: usize,
    /// With the filter at work and with `x-headroom-bypass`, one after the other.
    pub latencies: Latencies,
    /// Faults, one sentence each.
    pub faults: Vec<String>,
}

impl Row {
    /// The share of tokens that did not have to be sent, in percent.
    pub fn saved_percent(&self) -> f64 {
        100.0 - 100.0 * self.tokens_after as f64 / self.tokens_before.max(1) as f64
    }
}

/// Sends every request of a set twice, with the filter and without it, and compares what arrived.
pub async fn replay(stack: &Stack, set: &Set, config: &Config) -> Result<Row> {
    let api = set.conversations.first().map_or(Api::AnthropicMessages, Conversation::api);
    let mut replay = Replay {
        stack,
        config,
        filtered: stack.connect(Protocol::Http1).await?,
        passed: stack.connect(Protocol::Http1).await?,
        memo: Memo::new(64 << 20),
        counter: TokenCounter::default(),
        row: Row {
            set: set.name.clone(),
            api,
            conversations: set.conversations.len(),
            requests: 0,
            tokens_before: 0,
            tokens_after: 0,
            latencies: Latencies::default(),
            faults: Vec::new(),
        },
    };
    for conversation in &set.conversations {
        replay.conversation(conversation).await?;
    }
    Ok(replay.row)
}

struct Replay<'a> {
    stack: &'a Stack,
    config: &'a Config,
    filtered: Connection,
    passed: Connection,
    memo: Memo,
    counter: TokenCounter,
    row: Row,
}

impl Replay<'_> {
    async fn conversation(&mut self, conversation: &Conversation) -> Result<()> {
        let mut earlier = Vec::new();
        for (turn, body) in conversation.requests(self.row.api).into_iter().enumerate() {
            let name = format!("{} turn {turn}", conversation.id);
            let forwarded = self.exchange(&name, &body).await?;
            self.row.requests += 1;
            self.row.tokens_before += self.counter.request(&body)?;
            self.row.tokens_after += self.counter.request(&forwarded).with_context(|| name.clone())?;
            self.check(&name, &body, &forwarded)?;

            let now = messages(&forwarded)?;
            if !now.starts_with(&earlier) {
                self.row.faults.push(format!("{name}: what was sent before is sent differently now"));
            }
            earlier = now;
        }
        Ok(())
    }

    /// Sends a request both ways and returns the body that the provider got from the filter.
    async fn exchange(&mut self, name: &str, body: &[u8]) -> Result<Vec<u8>> {
        let call = Call::post(conversation::path(self.row.api), body.to_vec());
        let filtered_name = format!("{name}, filtered");
        let passed_name = format!("{name}, passed");
        let filtered = call.clone().header(NAME_HEADER, &filtered_name);
        let passed = call.header(NAME_HEADER, &passed_name).header("x-headroom-bypass", "true");
        // The second one may find a warmer machine, so they take turns.
        let (with, without) = if self.row.requests.is_multiple_of(2) {
            let with = timed(&mut self.filtered, filtered).await?;
            (with, timed(&mut self.passed, passed).await?)
        } else {
            let without = timed(&mut self.passed, passed).await?;
            (timed(&mut self.filtered, filtered).await?, without)
        };
        self.row.latencies.add(with, without);

        let passed = self.stack.provider.take(&passed_name);
        if passed.iter().map(|got| &got.body[..]).ne([body]) {
            self.row.faults.push(format!("{passed_name}: arrived differently"));
        }
        let mut filtered = self.stack.provider.take(&filtered_name);
        let got = filtered.pop().with_context(|| format!("{filtered_name} did not reach the provider"))?;
        if !filtered.is_empty() || !got.complete {
            self.row.faults.push(format!("{filtered_name}: arrived more than once or cut off"));
        }
        Ok(got.body.to_vec())
    }

    fn check(&mut self, name: &str, body: &[u8], forwarded: &[u8]) -> Result<()> {
        if without_outputs(self.row.api, body)? != without_outputs(self.row.api, forwarded)? {
            self.row.faults.push(format!("{name}: more than the text of tool outputs was changed"));
        }
        let expected = compress(body, &Request::new(self.row.api), self.config, &mut self.memo).body;
        if *expected != *forwarded {
            self.row.faults.push(format!("{name}: the filter forwarded other bytes than the engine gives"));
        }
        Ok(())
    }
}

async fn timed(connection: &mut Connection, call: Call) -> Result<Duration> {
    let start = Instant::now();
    let answer = connection.stream(call).await?;
    let elapsed = start.elapsed();
    let answer = answer.finish().await?;
    anyhow::ensure!(answer.status == 200, "a scripted answer came with status {}", answer.status);
    Ok(elapsed)
}
