//! Everything that a block's replacement depends on, as one number; and the length of the conversation before
//! it.

use std::hash::Hash as _;

use headroom_providers::tape::Span;
use headroom_providers::walk::{Output, Role};

use super::counts::{FORMS, count_span};
use super::run::{Run, is_seen};
use crate::memo::Memo;
use crate::working_directory::is_accounting;

/// The keys of a request's blocks, in order.
#[derive(Debug)]
pub(super) struct Keys {
    chain: u128,
    query: LastText,
    /// Of the last call that the request does not show.
    name: LastText,
    arguments: LastText,
    since: usize,
    /// The numbers of readings and calls before the last block.
    said: usize,
    made: usize,
}

impl Keys {
    pub(super) fn new(run: &Run<'_, '_>, memo: &Memo) -> Self {
        let mut hash = memo.hasher();
        run.config.hash(&mut hash);
        run.edits_by_line.hash(&mut hash);
        run.walk.clears_outputs.hash(&mut hash);
        run.text_model.hash(&mut hash);
        Self {
            chain: hash.digest128(),
            query: LastText::default(),
            name: LastText::default(),
            arguments: LastText::default(),
            since: 0,
            said: 0,
            made: 0,
        }
    }

    /// The key of the next block. It covers everything that may steer the block's replacement: the configuration, the
    /// steps of pressure, what was rewritten before it, and of this block and every one before it the bytes, the calls so far, whether its own had an
    /// output already, and the last user text before it; where files may be cut, everything that was said and called before it.
    pub(super) fn next(
        &mut self,
        run: &Run<'_, '_>,
        block: usize,
        output: &Output,
        (steps, rewritten): (u8, u64),
        memo: &Memo,
    ) -> u128 {
        let body = run.walk.body;
        let of = |span: Option<Span>| span.map_or(0, |span| memo.fingerprint(span.raw(body)));
        if run.files.is_some() {
            let new = run.walk.readings.get(self.said..output.readings).unwrap_or_default();
            for reading in new.iter().filter(|reading| reading.steers(body)) {
                self.chain = chain([self.chain, of(Some(reading.span))], memo);
            }
            self.said = output.readings;
        }
        // References number calls, so all calls count, even those without a text as result.
        let made = run.walk.made.get(self.made..output.made).unwrap_or_default();
        for call in made {
            let seen = u128::from(is_seen(call, output));
            self.chain = chain([self.chain, of(call.name), of(call.arguments), seen], memo);
        }
        self.made = self.made.max(output.made);
        let call = output.call;
        // All others are in the chain, and have a number.
        let hidden = call.filter(|call| call.number.is_none());
        let behind_compaction = output.since != self.since;
        self.since = output.since;
        self.chain = chain(
            [
                self.chain,
                of(Some(output.span)),
                self.name.key(hidden.and_then(|call| call.name), of),
                self.arguments.key(hidden.and_then(|call| call.arguments), of),
                self.query.key(output.query, of),
                u128::from(call.is_some_and(|call| call.by_program))
                    | u128::from(block < run.lossy_blocks) << 1
                    | u128::from(behind_compaction) << 2
                    | u128::from(call.is_some_and(|call| !is_seen(&call, output))) << 3
                    | u128::from(output.structured) << 4
                    | u128::from(run.is_further_part(output, block)) << 5
                    | u128::from(run.source(output, block).several) << 6
                    | u128::from(steps) << 8
                    | call.and_then(|call| call.number).map_or(0, |number| number as u128 + 1) << 16,
                u128::from(rewritten),
            ],
            memo,
        );
        self.chain
    }
}

/// The key of the last text that was asked for. Blocks behind one another have texts in common.
#[derive(Debug, Default)]
struct LastText(Option<Span>, u128);

impl LastText {
    fn key(&mut self, span: Option<Span>, of: impl Fn(Option<Span>) -> u128) -> u128 {
        if self.0 != span {
            *self = Self(span, of(span));
        }
        self.1
    }
}

fn chain<const N: usize>(parts: [u128; N], memo: &Memo) -> u128 {
    let mut hash = memo.hasher();
    parts.iter().for_each(|part| hash.update(&part.to_le_bytes()));
    hash.digest128()
}

/// The tokens of a conversation before each of its outputs, as it is forwarded. After a compaction the
/// provider gives the model nothing from before it. Definitions of tools do not count: a client may add tools
/// later, and that must not change anything earlier.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    tokens: u64,
    readings: usize,
    since: usize,
}

impl Prefix {
    /// The tokens before an output. Outputs must be asked for in order.
    pub(super) fn before(&mut self, run: &Run<'_, '_>, output: &Output, memo: &mut Memo) -> u64 {
        if self.since != output.since {
            (self.since, self.tokens) = (output.since, 0);
        }
        let new = run.walk.readings.get(self.readings..output.readings).unwrap_or_default();
        let kept = |span: Span| span.range().start >= self.since;
        let said = new.iter().filter(|reading| reading.role != Role::Tools && kept(reading.span));
        for reading in said.filter(|reading| !is_accounting(reading, run.walk.body)) {
            self.tokens += u64::from(count_span(reading.span, run.walk.body, FORMS, memo));
        }
        self.readings = output.readings;
        self.tokens
    }

    /// Adds the tokens of a forwarded output.
    pub(super) fn add(&mut self, tokens: u32) {
        self.tokens += u64::from(tokens);
    }
}
