//! The built-in table of context limits and list prices.
//!
//! USD per million tokens at the standard tier. Anthropic's from its price page, the others compared
//! with the table of LiteLLM 1.109. Cached writes are five-minute ones; where a provider does not
//! charge for writing, writes cost what input costs.

/// When the table was last checked: ISO 8601.
pub(super) const CHECKED: &str = "2026-11-22T00:00:00Z";

/// One model.
pub(super) struct Row {
    /// The beginning of its name; the longest that matches decides.
    pub(super) prefix: &'static str,
    pub(super) context: u64,
    pub(super) input: f64,
    pub(super) cached_read: f64,
    pub(super) cached_write: f64,
    pub(super) output: f64,
    /// Prompts of more than so many tokens cost so many times as much: input, then output.
    pub(super) long: Option<(u64, f64, f64)>,
}

impl Row {
    /// What an hour in the cache costs to write: at Anthropic twice what input costs; the others have one
    /// price.
    pub(super) fn cached_write_1h(&self) -> f64 {
        if self.prefix.starts_with("claude") { 2.0 * self.input } else { self.cached_write }
    }
}

const K200: u64 = 200_000;
const K272: u64 = 272_000;
const K400: u64 = 400_000;
const M1: u64 = 1_000_000;
const MIB: u64 = 1_048_576;
/// OpenAI's and Google's long prompts: twice the input, one and a half times the output.
const LONG_272: Option<(u64, f64, f64)> = Some((K272, 2.0, 1.5));
const LONG_200: Option<(u64, f64, f64)> = Some((K200, 2.0, 1.5));

const fn row(
    prefix: &'static str,
    context: u64,
    [input, cached_read, cached_write, output]: [f64; 4],
) -> Row {
    Row { prefix, context, input, cached_read, cached_write, output, long: None }
}

const fn long(row: Row, long: Option<(u64, f64, f64)>) -> Row {
    Row { long, ..row }
}

pub(super) const TABLE: &[Row] = &[
    row("claude-fable-5-1", M1, [10.0, 0.25, 12.5, 50.0]),
    row("claude-mythos-5-1", M1, [10.0, 0.25, 12.5, 50.0]),
    row("claude-fable-5", M1, [10.0, 1.0, 12.5, 50.0]),
    row("claude-mythos", M1, [10.0, 1.0, 12.5, 50.0]),
    row("claude-opus-5-5", M1, [4.0, 0.2, 5.0, 20.0]),
    row("claude-opus-5", M1, [5.0, 0.5, 6.25, 25.0]),
    row("claude-opus-4-8", M1, [5.0, 0.5, 6.25, 25.0]),
    row("claude-opus-4-7", M1, [5.0, 0.5, 6.25, 25.0]),
    row("claude-opus-4-6", M1, [5.0, 0.5, 6.25, 25.0]),
    row("claude-opus-4-5", K200, [5.0, 0.5, 6.25, 25.0]),
    row("claude-opus-4-1", K200, [15.0, 1.5, 18.75, 75.0]),
    row("claude-opus-4", K200, [15.0, 1.5, 18.75, 75.0]),
    row("claude-3-opus", K200, [15.0, 1.5, 18.75, 75.0]),
    row("claude-sonnet-5-5", M1, [2.0, 0.1, 2.5, 10.0]),
    row("claude-sonnet-5", M1, [2.0, 0.2, 2.5, 10.0]),
    row("claude-sonnet-4-6", M1, [3.0, 0.3, 3.75, 15.0]),
    row("claude-sonnet-4-5", K200, [3.0, 0.3, 3.75, 15.0]),
    row("claude-sonnet-4", K200, [3.0, 0.3, 3.75, 15.0]),
    row("claude-3-7-sonnet", K200, [3.0, 0.3, 3.75, 15.0]),
    row("claude-3-5-sonnet", K200, [3.0, 0.3, 3.75, 15.0]),
    long(row("claude-haiku-5-5", M1, [0.1, 0.01, 0.125, 0.5]), Some((100_000, 5.0, 5.0))),
    row("claude-haiku-4-5", K200, [1.0, 0.1, 1.25, 5.0]),
    row("claude-3-5-haiku", K200, [0.8, 0.08, 1.0, 4.0]),
    row("claude-3-haiku", K200, [0.25, 0.03, 0.3, 1.25]),
    long(row("gpt-5.6-terra", 922_000, [2.0, 0.2, 2.5, 12.0]), LONG_272),
    long(row("gpt-5.6-luna", 922_000, [0.2, 0.02, 0.25, 1.2]), LONG_272),
    long(row("gpt-5.6-sol", 922_000, [4.0, 0.4, 5.0, 20.0]), LONG_272),
    long(row("gpt-5.6", 922_000, [4.0, 0.4, 5.0, 20.0]), LONG_272),
    long(row("gpt-5.5-pro", 1_050_000, [30.0, 30.0, 30.0, 180.0]), LONG_272),
    long(row("gpt-5.5", 1_050_000, [5.0, 0.5, 5.0, 30.0]), LONG_272),
    long(row("gpt-5.4-pro", 1_050_000, [30.0, 30.0, 30.0, 180.0]), LONG_272),
    row("gpt-5.4-mini", K272, [0.75, 0.075, 0.75, 4.5]),
    row("gpt-5.4-nano", K272, [0.2, 0.02, 0.2, 1.25]),
    long(row("gpt-5.4", 1_050_000, [2.5, 0.25, 2.5, 15.0]), LONG_272),
    row("gpt-5.3", K272, [1.75, 0.175, 1.75, 14.0]),
    row("gpt-5.2-pro", K272, [21.0, 21.0, 21.0, 168.0]),
    row("gpt-5.2", K272, [1.75, 0.175, 1.75, 14.0]),
    row("gpt-5.1-codex-mini", K400, [0.25, 0.025, 0.25, 2.0]),
    row("gpt-5.1-codex", K400, [1.25, 0.125, 1.25, 10.0]),
    row("gpt-5.1", K272, [1.25, 0.125, 1.25, 10.0]),
    row("gpt-5-pro", K400, [15.0, 15.0, 15.0, 120.0]),
    row("gpt-5-mini", K272, [0.25, 0.025, 0.25, 2.0]),
    row("gpt-5-nano", K272, [0.05, 0.005, 0.05, 0.4]),
    row("gpt-5-codex", K272, [1.25, 0.125, 1.25, 10.0]),
    row("gpt-5", K272, [1.25, 0.125, 1.25, 10.0]),
    row("gpt-4.1-mini", 1_047_576, [0.4, 0.1, 0.4, 1.6]),
    row("gpt-4.1-nano", 1_047_576, [0.1, 0.025, 0.1, 0.4]),
    row("gpt-4.1", 1_047_576, [2.0, 0.5, 2.0, 8.0]),
    row("gpt-4o-mini", 128_000, [0.15, 0.075, 0.15, 0.6]),
    row("gpt-4o", 128_000, [2.5, 1.25, 2.5, 10.0]),
    row("gpt-4-turbo", 128_000, [10.0, 10.0, 10.0, 30.0]),
    row("o1", K200, [15.0, 7.5, 15.0, 60.0]),
    row("o3-mini", K200, [1.1, 0.55, 1.1, 4.4]),
    row("o3-pro", K200, [20.0, 20.0, 20.0, 80.0]),
    row("o3", K200, [2.0, 0.5, 2.0, 8.0]),
    row("o4-mini", K200, [1.1, 0.275, 1.1, 4.4]),
    row("gemini-3.8-flash", MIB, [0.75, 0.075, 0.75, 3.75]),
    row("gemini-3.7-flash", MIB, [0.75, 0.075, 0.75, 3.75]),
    row("gemini-3.6-flash", MIB, [0.75, 0.075, 0.75, 3.75]),
    row("gemini-3.5-flash-lite", MIB, [0.3, 0.03, 0.3, 2.5]),
    row("gemini-3.5-flash", MIB, [1.5, 0.15, 1.5, 9.0]),
    long(row("gemini-3.1-pro", MIB, [2.0, 0.2, 2.0, 12.0]), LONG_200),
    row("gemini-3.1-flash-lite", MIB, [0.25, 0.025, 0.25, 1.5]),
    row("gemini-3-flash", MIB, [0.5, 0.05, 0.5, 3.0]),
    long(row("gemini-2.5-pro", MIB, [1.25, 0.125, 1.25, 10.0]), LONG_200),
    row("gemini-2.5-flash-lite", MIB, [0.1, 0.01, 0.1, 0.4]),
    row("gemini-2.5-flash", MIB, [0.3, 0.03, 0.3, 2.5]),
];
