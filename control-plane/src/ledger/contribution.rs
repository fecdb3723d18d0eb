//! What a set of records adds to every sum: pure, so that the store only has to add.

mod bounds;
mod price;

use std::collections::BTreeMap;

use headroom_api::names::{is_probe, outcome_name};
use headroom_api::v1::{RequestOutcome, RequestRecord, Retrieval};

pub(crate) use self::bounds::MAX_WINDOWS;
use super::asked_back;
use super::bucket::Unit;
use super::labels::{Dimension, Labels, is_stack};
use super::sums::{BlockSums, Sums, Timing};
use crate::budget::{self, Account, Budgets, Spending};
use crate::clock::UnixMs;
use crate::models::Models;

/// What is needed to turn records into sums.
#[derive(Debug, Default)]
pub struct Accounting {
    /// The names that are counted one by one.
    pub labels: Labels,
    /// Prices.
    pub models: Models,
    /// Budgets; what they are about is counted.
    pub budgets: Budgets,
}

/// One counted request.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedRequest {
    /// Position among all requests ever counted, from 1.
    pub ordinal: i64,
    /// The VM that reported it.
    pub vm_id: String,
    /// As reported, with names tidied and figures bounded.
    pub record: RequestRecord,
    /// What it added.
    pub sums: Sums,
    /// The names under which it was counted; empty when read back from the store.
    pub counted_as: Vec<(Dimension, String)>,
    /// What each block added, and its outcome as counted; empty when read back from the store.
    pub blocks: Vec<(String, BlockSums)>,
}

/// What records add.
#[derive(Clone, Debug, Default)]
pub struct Contribution {
    /// Per dimension and value; [`Dimension::All`] has the empty value.
    pub tallies: BTreeMap<(Dimension, String), Sums>,
    /// Per bucket, dimension and value.
    pub rollups: BTreeMap<(Unit, UnixMs, Dimension, String), Sums>,
    /// Per dimension of blocks and value.
    pub blocks: BTreeMap<(Dimension, String), BlockSums>,
    /// Per stage.
    pub timings: BTreeMap<&'static str, Timing>,
    /// Per account that has a budget.
    pub spent: BTreeMap<Account, Spending>,
    /// The records, in the order given; their ordinals are still 0.
    pub requests: Vec<CountedRequest>,
    /// The newest request of `headroomctl doctor`, which is in none of the above.
    pub probe: Option<RequestRecord>,
}

impl Contribution {
    /// Everything that the records add, were they landing at `now`.
    pub fn of<'r>(
        records: impl IntoIterator<Item = (&'r str, &'r RequestRecord)>,
        accounting: &Accounting,
        now: UnixMs,
    ) -> Self {
        let mut all = Self::default();
        for (vm_id, record) in records {
            let record = bounds::bounded(record, now);
            if is_probe(&record) {
                all.probe = Some(record);
            } else {
                all.add(vm_id, record, accounting);
            }
        }
        all
    }

    /// The sums over everything.
    pub fn total(&self) -> Sums {
        self.tallies.get(&(Dimension::All, String::new())).copied().unwrap_or_default()
    }

    fn add(&mut self, vm_id: &str, record: RequestRecord, accounting: &Accounting) {
        let labels = &accounting.labels;
        let sums = price::sums(&record, &accounting.models);
        let mut counted_as = vec![
            (Dimension::Provider, labels.value(Dimension::Provider, &record.provider)),
            (Dimension::Model, labels.value(Dimension::Model, &record.model)),
            (Dimension::Api, labels.value(Dimension::Api, &record.api)),
            (Dimension::Outcome, outcome_name(record.outcome()).to_owned()),
        ];
        if is_stack(&record.stack) {
            counted_as.push((Dimension::Stack, labels.value(Dimension::Stack, &record.stack)));
        }
        if !record.project.is_empty() {
            counted_as.push((Dimension::Project, labels.value(Dimension::Project, &record.project)));
        }
        let everything = (Dimension::All, String::new());
        for (dimension, value) in counted_as.iter().chain([&everything]) {
            *self.tallies.entry((*dimension, value.clone())).or_default() += sums;
            if Dimension::ROLLED_UP.contains(dimension) {
                // minutes are for the live view, which shows everything
                let finest = if *dimension == Dimension::All { Unit::Minute } else { Unit::Hour };
                for unit in [Unit::Minute, Unit::Hour, Unit::Day].into_iter().filter(|unit| *unit >= finest) {
                    let bucket = unit.start(record.started_unix_ms);
                    *self.rollups.entry((unit, bucket, *dimension, value.clone())).or_default() += sums;
                }
            }
        }
        let mut blocks = Vec::with_capacity(record.blocks.len());
        for block in &record.blocks {
            let added = BlockSums {
                blocks: 1,
                memo: i64::from(block.memo),
                tokens_before: i64::from(block.tokens_before),
                tokens_after: i64::from(block.tokens_after),
            };
            for (dimension, name) in [
                (Dimension::BlockOutcome, &block.outcome),
                (Dimension::Tool, &block.tool),
                (Dimension::Kind, &block.kind),
            ] {
                let value = labels.value(dimension, name);
                *self.blocks.entry((dimension, value.clone())).or_default() += added;
                if dimension == Dimension::BlockOutcome {
                    blocks.push((value, added));
                }
            }
        }
        self.add_toin(&record, labels);
        for (stage, us) in stages(&record) {
            let once = Timing::once(us);
            self.timings.entry(stage).and_modify(|timing| *timing += once).or_insert(once);
        }
        let charged = budget::charge(&record, &sums);
        for account in accounting.budgets.accounts(&record) {
            *self.spent.entry(account).or_default() += charged;
        }
        let vm_id = vm_id.to_owned();
        self.requests.push(CountedRequest { ordinal: 0, vm_id, record, sums, counted_as, blocks });
    }
}

impl Contribution {
    /// What was left out of new outputs, and what was asked back.
    fn add_toin(&mut self, record: &RequestRecord, labels: &Labels) {
        let is_sent = matches!(record.outcome(), RequestOutcome::Compressed);
        for block in record.blocks.iter().filter(|block| is_sent && block.lossy && block.new) {
            let added = BlockSums {
                blocks: 1,
                memo: 0,
                tokens_before: i64::from(block.tokens_before),
                tokens_after: i64::from(block.tokens_after),
            };
            let name = asked_back::left_out(&block.kind, &block.outcome, &block.tool);
            let value = labels.value(Dimension::LeftOut, &name);
            *self.blocks.entry((Dimension::LeftOut, value)).or_default() += added;
        }
        for retrieval in &record.retrievals {
            self.add_retrieval(retrieval, labels);
        }
    }

    /// What was asked back once.
    pub(crate) fn add_retrieval(&mut self, it: &Retrieval, labels: &Labels) {
        let name = asked_back::asked_back(&it.kind, &it.form, &it.part, &it.tool);
        let value = labels.value(Dimension::AskedBack, &name);
        *self.blocks.entry((Dimension::AskedBack, value)).or_default() +=
            BlockSums { blocks: 1, ..BlockSums::default() };
    }
}

/// The stages that a record has measured, and how long each took in microseconds.
///
/// A stage that is not part of a request's walk is left out rather than counted as zero.
pub(crate) fn stages(record: &RequestRecord) -> impl Iterator<Item = (&'static str, u32)> {
    let timings = record.timings.unwrap_or_default();
    // no provider has begun to answer it
    let is_asked = record.outcome() != RequestOutcome::Cached;
    let read = matches!(
        record.outcome(),
        RequestOutcome::Compressed
            | RequestOutcome::Unchanged
            | RequestOutcome::Extended
            | RequestOutcome::Audited
            | RequestOutcome::Simulated
    );
    [
        ("latency", timings.total_us, timings.total_us > 0),
        ("ttfb", timings.first_byte_us, is_asked && timings.first_byte_us > 0),
        ("overhead", timings.overhead_us, read),
        ("parse", timings.parse_us, timings.parse_us > 0),
        ("compress", timings.compress_us, read),
        ("body_wait", timings.body_wait_us, timings.body_wait_us > 0),
        ("memory_context", timings.memory_context_us, timings.memory_context_us > 0),
        ("text_model", timings.text_model_us, timings.text_model_us > 0),
        ("admit", timings.admit_us, timings.admit_us > 0),
    ]
    .into_iter()
    .filter_map(|(stage, us, measured)| measured.then_some((stage, us)))
}

#[cfg(test)]
mod tests {
    use headroom_api::v1::{BlockRecord, Timings, Tokens, Usage};
    use proptest::prelude::*;

    use super::bounds::MAX_CLOCK_SKEW_MS;
    use super::price::MAX_NANOUSD;
    use super::*;
    use headroom_api::names::COMPRESS_API;

    const NOW: UnixMs = 1_790_000_000_000;

    fn compressed(model: &str) -> RequestRecord {
        RequestRecord {
            sequence: 1,
            model: model.to_owned(),
            provider: "anthropic".to_owned(),
            started_unix_ms: NOW,
            outcome: RequestOutcome::Compressed.into(),
            status: 200,
            tokens: Some(Tokens {
                before: 10_000,
                after: 9_000,
                tool_outputs_before: 4_000,
                tool_outputs_after: 3_000,
                ..Tokens::default()
            }),
            ..RequestRecord::default()
        }
    }

    fn one(record: &RequestRecord) -> Contribution {
        Contribution::of([("vm", record)], &Accounting::default(), NOW)
    }

    #[test]
    fn a_call_of_the_service_saves_and_costs_nothing() {
        let mut record = compressed("claude-sonnet-4-5");
        (record.api, record.status) = (COMPRESS_API.to_owned(), 0);
        let total = one(&record).total();
        assert_eq!((total.tokens_saved, total.saved_nanousd), (1_000, 3_000_000));
        assert_eq!((total.input_nanousd, budget::charge(&record, &total)), (0, Spending::default()));
    }

    #[test]
    fn saved_tokens_cost_what_the_rest_of_the_prompt_cost() {
        let mut record = compressed("claude-sonnet-4-5");
        record.usage = Some(Usage {
            input_tokens: 1_000,
            cache_read_tokens: 8_000,
            cache_write_tokens: 0,
            output_tokens: 100,
            ..Usage::default()
        });
        let sums = one(&record).total();
        assert_eq!(sums.tokens_saved, 1_000);
        assert_eq!(sums.saved_nanousd, 3_000_000);
        // (1000 × 3.00 + 8000 × 0.30) / 9000 per million
        assert_eq!(sums.input_nanousd, 5_400_000);
        assert_eq!(sums.saved_cached_nanousd, 600_000);
        assert_eq!(sums.cache_nanousd, 21_600_000);
        assert_eq!(sums.output_nanousd, 1_500_000);
    }

    #[test]
    fn what_an_added_tool_costs_is_taken_from_what_is_saved() {
        let mut record = compressed("claude-sonnet-4-5");
        record.set_outcome(RequestOutcome::Unchanged);
        record.tokens = Some(Tokens { before: 18, after: 105, ..Tokens::default() });
        let sums = one(&record).total();
        assert_eq!((sums.tokens_saved, sums.tokens_before - sums.tokens_after), (-87, -87));
        assert!(sums.saved_nanousd < 0 && sums.saved_cached_nanousd < 0);
    }

    #[test]
    fn blocks_are_counted_in_the_tokens_of_their_request() {
        let block = BlockRecord { tokens_before: 1_000, tokens_after: 100, ..BlockRecord::default() };
        for (model, expected) in [("claude-sonnet-4-5", (1_210, 121)), ("gpt-5", (1_000, 100))] {
            let record = RequestRecord { blocks: vec![block.clone()], ..compressed(model) };
            let blocks = one(&record).requests[0].blocks.clone();
            assert_eq!((blocks[0].1.tokens_before, blocks[0].1.tokens_after), expected, "{model}");
        }
    }

    #[test]
    fn a_new_output_saves_what_was_not_read_and_an_old_one_mostly_the_price_of_reading() {
        let mut record = compressed("claude-sonnet-4-5");
        record.tokens = Some(Tokens {
            tool_outputs_new_before: 1_000,
            tool_outputs_new_after: 600,
            tool_outputs_minified: 3_900,
            tool_outputs_new_minified: 950,
            ..record.tokens.unwrap()
        });
        record.usage = Some(Usage {
            input_tokens: 200,
            cache_read_tokens: 8_000,
            cache_write_tokens: 800,
            cache_write_1h_tokens: 300,
            ..Usage::default()
        });
        let sums = one(&record).total();
        assert_eq!((sums.tokens_saved, sums.unique_tokens_saved), (1_000, 400));
        // 200 at 3.00, 500 at 3.75 and 300 at 6.00 per million, over 1000
        let fresh = (200.0 * 3_000.0 + 500.0 * 3_750.0 + 300.0 * 6_000.0) / 1_000.0;
        assert_eq!(sums.unique_saved_nanousd, (400.0 * fresh) as i64);
        // 9000 less the 600 new ones; 8000 of them were read
        let share = 8_000.0 / 8_400.0;
        let repeats: f64 = 600.0 * (share * 300.0 + (1.0 - share) * fresh);
        assert_eq!(sums.saved_cached_nanousd, (400.0 * fresh + repeats).round() as i64);
        assert_eq!(
            (sums.tool_tokens_minified, sums.new_tool_tokens_minified, sums.unminified),
            (3_900, 950, 0)
        );
    }

    #[test]
    fn over_a_conversation_each_output_is_unique_once() {
        // Three turns, each with one more output of which half is left out.
        let turns = (1..=3).map(|turn: u64| {
            let mut record = compressed("claude-sonnet-4-5");
            record.tokens = Some(Tokens {
                before: 1_000 * turn,
                after: 500 * turn,
                tool_outputs_before: 1_000 * turn,
                tool_outputs_after: 500 * turn,
                tool_outputs_new_before: 1_000,
                tool_outputs_new_after: 500,
                ..Tokens::default()
            });
            record
        });
        let records: Vec<_> = turns.collect();
        let total =
            Contribution::of(records.iter().map(|record| ("vm", record)), &Accounting::default(), NOW)
                .total();
        assert_eq!((total.tokens_saved, total.unique_tokens_saved), (500 + 1_000 + 1_500, 1_500));
        assert_eq!(total.unminified, 3, "nobody has counted what minification leaves");
    }

    #[test]
    fn without_usage_the_adjusted_saving_is_the_least_it_can_be() {
        let sums = one(&compressed("claude-sonnet-4-5")).total();
        assert_eq!((sums.saved_nanousd, sums.saved_cached_nanousd), (3_000_000, 300_000));
    }

    #[test]
    fn a_refused_or_merely_measured_request_saves_nothing() {
        let mut refused = compressed("claude-sonnet-4-5");
        refused.status = 529;
        let sums = one(&refused).total();
        assert_eq!((sums.failed, sums.tokens_saved, sums.input_nanousd), (1, 0, 0));
        for outcome in [RequestOutcome::Audited, RequestOutcome::Simulated] {
            let mut measured = compressed("claude-sonnet-4-5");
            measured.outcome = outcome.into();
            let sums = one(&measured).total();
            assert_eq!((sums.tokens_saved, sums.tokens_after), (0, sums.tokens_before));
        }
    }

    #[test]
    fn an_unknown_model_counts_as_unpriced_and_costs_nothing() {
        let sums = one(&compressed("acme-9")).total();
        assert_eq!((sums.unpriced, sums.saved_nanousd, sums.tokens_saved), (1, 0, 1_000));
    }

    #[test]
    fn an_answer_that_was_given_again_saves_what_it_cost_the_first_time_and_nothing_else() {
        let mut record = compressed("claude-sonnet-4-5");
        record.usage = Some(Usage {
            input_tokens: 1_000,
            cache_read_tokens: 8_000,
            output_tokens: 100,
            ..Usage::default()
        });
        let first = one(&record).total();
        record.set_outcome(RequestOutcome::Cached);
        record.blocks = vec![BlockRecord { tokens_before: 9, tokens_after: 1, ..BlockRecord::default() }];
        let contribution = one(&record);
        let again = contribution.total();
        assert_eq!(again.answers_saved_nanousd, first.input_nanousd + first.output_nanousd);
        assert_eq!((again.answers_input_tokens, again.answers_output_tokens), (9_000, 100));
        let others = Sums {
            requests: 1,
            answers_found: 1,
            answers_input_tokens: again.answers_input_tokens,
            answers_output_tokens: again.answers_output_tokens,
            answers_saved_nanousd: again.answers_saved_nanousd,
            ..Sums::default()
        };
        assert_eq!(again, others, "it is in no other sum");
        assert!(contribution.blocks.is_empty());
        assert_eq!(budget::charge(&record, &again), Spending::default());
        record.subscription = true;
        assert_eq!(one(&record).total().answers_saved_nanousd, 0);
    }

    #[test]
    fn a_subscription_saves_tokens_and_no_dollars() {
        for model in ["claude-sonnet-4-5", "acme-9"] {
            let mut record = compressed(model);
            record.usage = Some(Usage { input_tokens: 1_000, output_tokens: 10, ..Usage::default() });
            record.subscription = true;
            let sums = one(&record).total();
            let money =
                [sums.saved_nanousd, sums.saved_cached_nanousd, sums.cache_nanousd, sums.input_nanousd];
            assert_eq!((money, sums.output_nanousd, sums.unique_saved_nanousd), ([0; 4], 0, 0));
            assert_eq!((sums.unpriced, sums.tokens_saved, sums.subscription_tokens_saved), (0, 1_000, 1_000));
            assert_eq!(sums.subscription_requests, 1);
        }
    }

    #[test]
    fn a_request_of_the_doctor_counts_nowhere() {
        let mut probe = compressed("claude-sonnet-4-5");
        probe.stack = "headroom_doctor".to_owned();
        let contribution = one(&probe);
        assert!(contribution.tallies.is_empty() && contribution.rollups.is_empty());
        assert!(contribution.timings.is_empty() && contribution.requests.is_empty());
        assert_eq!(contribution.probe.unwrap().tokens.unwrap().before, 10_000);
        probe.key = "k".to_owned();
        assert_eq!(one(&probe).total().requests, 1, "whoever has a key is counted");
    }

    #[test]
    fn a_time_that_cannot_be_is_replaced_by_the_time_of_arrival() {
        for started in [0, -5, i64::MIN, i64::MAX, NOW + MAX_CLOCK_SKEW_MS + 1] {
            let record = RequestRecord { started_unix_ms: started, ..RequestRecord::default() };
            assert_eq!(one(&record).requests[0].record.started_unix_ms, NOW);
        }
    }

    prop_compose! {
        fn any_record()(
            (before, after, tools, minified, new, new_after) in any::<(u64, u64, u64, u64, u64, u64)>(),
            (input, read, write, output) in any::<(u64, u64, u64, u64)>(),
            (outcome, status, started) in (any::<i32>(), any::<u32>(), any::<i64>()),
            names in prop::collection::vec("\\PC{0,120}", 8),
            (times, blocks) in (any::<[u32; 6]>(), 0usize..3),
        ) -> RequestRecord {
            let [body_wait_us, compress_us, overhead_us, first_byte_us, total_us, admit_us] = times;
            RequestRecord {
                sequence: 1,
                request_id: names[0].clone(),
                started_unix_ms: started,
                provider: names[1].clone(),
                api: names[2].clone(),
                model: names[3].clone(),
                stack: names[4].clone(),
                project: names[5].clone(),
                outcome,
                status,
                tokens: Some(Tokens {
                    before, after, tool_outputs_before: tools, tool_outputs_minified: minified,
                    tool_outputs_new_before: new, tool_outputs_new_after: new_after,
                    ..Tokens::default()
                }),
                usage: Some(Usage {
                    input_tokens: input, output_tokens: output,
                    cache_read_tokens: read, cache_write_tokens: write, ..Usage::default()
                }),
                timings: Some(Timings {
                    body_wait_us, compress_us, overhead_us, first_byte_us, total_us, admit_us,
                    ..Timings::default()
                }),
                blocks: (0..blocks).map(|_| BlockRecord {
                    tool: names[6].clone(), outcome: names[7].clone(),
                    tokens_before: before as u32, tokens_after: after as u32,
                    ..BlockRecord::default()
                }).collect(),
                ..RequestRecord::default()
            }
        }
    }

    proptest! {
        #[test]
        fn any_record_adds_bounded_figures_to_every_breakdown(record in any_record()) {
            let contribution = one(&record);
            let total = contribution.total();
            prop_assert_eq!(total.requests, 1);
            prop_assert!(total.values().iter().all(|value| value.abs() <= MAX_NANOUSD as i64));
            prop_assert!(total.tokens_saved <= total.tokens_before);
            prop_assert!(total.unique_tokens_saved <= total.tokens_saved.max(0));
            for dimension in [Dimension::Provider, Dimension::Model, Dimension::Api, Dimension::Outcome] {
                let over: i64 = contribution.tallies.iter()
                    .filter(|((found, _), _)| *found == dimension)
                    .map(|(_, sums)| sums.requests)
                    .sum();
                prop_assert_eq!(over, 1);
            }
        }

        #[test]
        fn records_add_up_the_same_together_and_apart(records in prop::collection::vec(any_record(), 0..6)) {
            let accounting = Accounting::default();
            let together = Contribution::of(records.iter().map(|record| ("vm", record)), &accounting, NOW);
            let mut apart = Sums::default();
            for record in &records {
                apart += Contribution::of([("vm", record)], &accounting, NOW).total();
            }
            prop_assert_eq!(together.total(), apart);
        }
    }
}
