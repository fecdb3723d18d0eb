//! What a header says about a subscription's allowance.

/// Twice the length of the longest known names of windows and states.
const MAX_NAME_BYTES: usize = 32;
/// Seconds since the Unix epoch, in the year 2286; later times are ignored.
const MAX_SECONDS: u64 = 9_999_999_999;

/// How much of an allowance is used, and when its window is reset.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RateLimit {
    /// The window's name.
    pub window: String,
    /// Hundredths of a percent.
    pub used: u32,
    /// Milliseconds since the Unix epoch; 0: unknown.
    pub resets_unix_ms: i64,
    /// The window's length; 0: unknown.
    pub minutes: u32,
    /// The state as the provider spells it; may be empty.
    pub status: String,
}

/// What a header says about a window.
pub(crate) enum Fact<'h> {
    Used(f64),
    ResetsAt(u64),
    ResetsAfter(u64),
    Minutes(u32),
    Status(&'h str),
}

pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

pub(crate) fn seconds(text: &str) -> Option<u64> {
    text.parse().ok().filter(|seconds| *seconds <= MAX_SECONDS)
}

pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.bytes().all(plain)
}
