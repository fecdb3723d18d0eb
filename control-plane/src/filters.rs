//! The filters' reports about their own configuration: how many of its values they cannot use.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A filter that cannot use values reports that every minute. One that has been silent for this long is gone.
const GONE_AFTER: Duration = Duration::from_secs(150);
/// Maximum number of remembered filters: far more than report to one sidecar.
const MAX_FILTERS: usize = 10_000;

/// The filters whose configuration has values that cannot be used, by the VM that they run in.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<HashMap<String, (u64, Instant)>>);

impl Filters {
    /// Takes the count from a report.
    pub(crate) fn heard(&self, vm_id: &str, config_errors: u64) {
        self.heard_at(vm_id, config_errors, Instant::now());
    }

    fn heard_at(&self, vm_id: &str, config_errors: u64, now: Instant) {
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if config_errors == 0 {
            filters.remove(vm_id);
        } else if filters.len() < MAX_FILTERS || filters.contains_key(vm_id) {
            filters.insert(vm_id.to_owned(), (config_errors, now));
        }
    }

    /// The problem, in a sentence; `None` if there is none.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble_at(Instant::now())
    }

    fn trouble_at(&self, now: Instant) -> Option<String> {
        let mut filters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        filters.retain(|_, (_, heard)| now.saturating_duration_since(*heard) < GONE_AFTER);
        let errors = filters.values().map(|(errors, _)| *errors).max()?;
        let values = if errors == 1 { "a value".to_owned() } else { format!("{errors} values") };
        Some(format!(
            "the filter cannot read {values} of its configuration: requests that an unreadable mode or rule is \
             for pass untouched; Envoy's log names them"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_until_it_is_mended_or_its_filter_is_gone() {
        let (filters, start) = (Filters::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(filters.trouble_at(start), None);
        filters.heard_at("a", 2, start);
        filters.heard_at("b", 1, after(100));
        assert!(filters.trouble_at(after(100)).unwrap().contains("2 values"));
        assert!(filters.trouble_at(after(151)).unwrap().contains("a value"), "the first is gone");
        filters.heard_at("b", 0, after(152));
        assert_eq!(filters.trouble_at(after(152)), None);
    }

    #[test]
    fn there_is_a_bound_to_what_is_remembered() {
        let (filters, now) = (Filters::default(), Instant::now());
        for number in 0..MAX_FILTERS * 2 {
            filters.heard_at(&number.to_string(), 1, now);
        }
        assert_eq!(filters.0.lock().unwrap().len(), MAX_FILTERS);
    }
}
