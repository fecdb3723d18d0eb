//! The engine's own time, natively and in a WASM runtime alike.

use std::time::{Duration, Instant};

use headroom_compress::{Api, Config, Memo, Request, compress};
use serde::{Deserialize, Serialize};

use crate::bodies::{Exchange, body, renewed};

/// The sizes that have a target, with their names. Bytes of tool outputs.
pub const SIZES: [(&str, usize); 3] = [("10 KB", 10_000), ("100 KB", 100_000), ("1 MB", 1_000_000)];

/// The filter's default.
const MEMO_BYTES: usize = 32 << 20;

/// How long one size is measured: enough for a stable median.
const BUDGET: Duration = Duration::from_millis(1500);

/// Times for one size, in microseconds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Timing {
    /// As in [`SIZES`].
    pub size: String,
    /// Median where every block is new.
    pub new_us: f64,
    /// Median where every block was seen before.
    pub repeated_us: f64,
}

/// Anthropic requests of one size. Each has content that no other request has.
#[derive(Debug)]
pub struct Requests<'a> {
    exchanges: &'a [Exchange],
    bytes: usize,
    salt: u64,
}

impl<'a> Requests<'a> {
    /// Requests with about `bytes` bytes of tool outputs. Two series whose salts begin 2³² apart share no request.
    pub fn new(exchanges: &'a [Exchange], bytes: usize, first_salt: u64) -> Self {
        Self { exchanges, bytes, salt: first_salt }
    }
}

impl Iterator for Requests<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.salt += 1;
        Some(body(Api::AnthropicMessages, &renewed(self.exchanges, self.salt, self.bytes), 0, self.bytes))
    }
}

/// Measures every size.
pub fn timings(exchanges: &[Exchange]) -> Vec<Timing> {
    let mut memo = Memo::new(MEMO_BYTES);
    // The first use of everything costs more, once per VM.
    run(&body(Api::AnthropicMessages, exchanges, 0, 1_000), &mut memo);
    SIZES
        .iter()
        .map(|(name, bytes)| {
            let mut requests = Requests::new(exchanges, *bytes, 0);
            let repeated = requests.next().unwrap_or_default();
            let new_us = median(|| requests.next().unwrap_or_default(), &mut memo);
            run(&repeated, &mut memo);
            let repeated_us = median(|| repeated.clone(), &mut memo);
            Timing { size: (*name).to_owned(), new_us, repeated_us }
        })
        .collect()
}

fn median(mut next: impl FnMut() -> Vec<u8>, memo: &mut Memo) -> f64 {
    const FEWEST: usize = 5;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < FEWEST || start.elapsed() < BUDGET {
        let body = next();
        let begin = Instant::now();
        std::hint::black_box(run(&body, memo));
        times.push(begin.elapsed());
    }
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Runs one request as the filter does. Returns the length of the forwarded body.
fn run(body: &[u8], memo: &mut Memo) -> usize {
    compress(body, &Request::new(Api::AnthropicMessages), &Config::default(), memo).body.len()
}
