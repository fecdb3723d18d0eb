//! The built-in table of context limits and list prices.
//!
//! USD per million tokens, from the providers' public price pages. Cached writes are Anthropic's
//! five-minute ones; where a provider does not charge for writing, writes cost what input costs.

/// When the table was last checked against the price pages.
pub(super) const CHECKED: &str = "2026-01-15";

/// One model: prefix of its name, provider, context window, input, cached read, cached write, output.
pub(super) type Row = (&'static str, &'static str, u64, f64, f64, f64, f64);

/// A name is looked up by its longest matching prefix, so a dated release finds its family.
pub(super) const TABLE: &[Row] = &[
    ("claude-opus-4-6", "anthropic", 200_000, 5.0, 0.5, 6.25, 25.0),
    ("claude-opus-4-5", "anthropic", 200_000, 5.0, 0.5, 6.25, 25.0),
    ("claude-opus-4", "anthropic", 200_000, 15.0, 1.5, 18.75, 75.0),
    ("claude-sonnet-4", "anthropic", 200_000, 3.0, 0.3, 3.75, 15.0),
    ("claude-haiku-4-5", "anthropic", 200_000, 1.0, 0.1, 1.25, 5.0),
    ("claude-3-7-sonnet", "anthropic", 200_000, 3.0, 0.3, 3.75, 15.0),
    ("claude-3-5-sonnet", "anthropic", 200_000, 3.0, 0.3, 3.75, 15.0),
    ("claude-3-5-haiku", "anthropic", 200_000, 0.8, 0.08, 1.0, 4.0),
    ("claude-3-opus", "anthropic", 200_000, 15.0, 1.5, 18.75, 75.0),
    ("claude-3-haiku", "anthropic", 200_000, 0.25, 0.03, 0.3, 1.25),
    ("gpt-5.2", "openai", 400_000, 1.75, 0.175, 1.75, 14.0),
    ("gpt-5.1", "openai", 400_000, 1.25, 0.125, 1.25, 10.0),
    ("gpt-5-mini", "openai", 400_000, 0.25, 0.025, 0.25, 2.0),
    ("gpt-5-nano", "openai", 400_000, 0.05, 0.005, 0.05, 0.4),
    ("gpt-5-pro", "openai", 400_000, 15.0, 15.0, 15.0, 120.0),
    ("gpt-5", "openai", 400_000, 1.25, 0.125, 1.25, 10.0),
    ("gpt-4.1-mini", "openai", 1_047_576, 0.4, 0.1, 0.4, 1.6),
    ("gpt-4.1-nano", "openai", 1_047_576, 0.1, 0.025, 0.1, 0.4),
    ("gpt-4.1", "openai", 1_047_576, 2.0, 0.5, 2.0, 8.0),
    ("gpt-4o-mini", "openai", 128_000, 0.15, 0.075, 0.15, 0.6),
    ("gpt-4o", "openai", 128_000, 2.5, 1.25, 2.5, 10.0),
    ("gpt-4-turbo", "openai", 128_000, 10.0, 10.0, 10.0, 30.0),
    ("o3-mini", "openai", 200_000, 1.1, 0.55, 1.1, 4.4),
    ("o3", "openai", 200_000, 2.0, 0.5, 2.0, 8.0),
    ("o4-mini", "openai", 200_000, 1.1, 0.275, 1.1, 4.4),
    ("codex-mini", "openai", 200_000, 1.5, 0.375, 1.5, 6.0),
    ("gemini-3-pro", "gemini", 1_048_576, 2.0, 0.2, 2.0, 12.0),
    ("gemini-3-flash", "gemini", 1_048_576, 0.5, 0.05, 0.5, 3.0),
    ("gemini-2.5-pro", "gemini", 1_048_576, 1.25, 0.125, 1.25, 10.0),
    ("gemini-2.5-flash-lite", "gemini", 1_048_576, 0.1, 0.01, 0.1, 0.4),
    ("gemini-2.5-flash", "gemini", 1_048_576, 0.3, 0.03, 0.3, 2.5),
    ("gemini-2.0-flash", "gemini", 1_048_576, 0.1, 0.025, 0.1, 0.4),
];
