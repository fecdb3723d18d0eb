//! Wall-clock time as the ledger counts it: milliseconds since the Unix epoch, UTC.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Milliseconds since the Unix epoch.
pub type UnixMs = i64;

/// Returns the time. Code that needs it for more than a timestamp gets a clock, so that a test can change it.
pub type Clock = Arc<dyn Fn() -> UnixMs + Send + Sync>;

/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// The time now. A clock set before 1970 counts as 1970.
pub fn now_ms() -> UnixMs {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// `2026-01-31T08:15:00.000000Z`: ISO 8601 in UTC with microseconds, as in upstream.
/// A time outside the years −9999 to 9999 is written as the epoch.
pub fn iso(at: UnixMs) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.6}")
}

/// The milliseconds of an ISO 8601 time with an offset; `None` for anything else.
pub fn parse_iso(text: &str) -> Option<UnixMs> {
    text.trim().parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_times_carry_microseconds_and_read_back() {
        assert_eq!(iso(1_769_847_300_042), "2026-01-31T08:15:00.042000Z");
        assert_eq!(parse_iso("2026-01-31T08:15:00.042000Z"), Some(1_769_847_300_042));
        assert_eq!(parse_iso("2026-01-31T08:15:00+00:00"), Some(1_769_847_300_000));
        assert_eq!(parse_iso("yesterday"), None);
    }

    #[test]
    fn a_time_that_no_calendar_holds_is_written_as_the_epoch() {
        assert_eq!(iso(i64::MAX), "1970-01-01T00:00:00.000000Z");
    }
}
