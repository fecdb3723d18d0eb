//! Tests that need a program that a machine may not have.

use anyhow::{Result, ensure};

/// Returns what a test needs. Without it the test is skipped with a message; in CI this is an error.
pub fn unless<T>(what: &str, found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(problem) => {
            ensure!(std::env::var_os("CI").is_none(), "CI must have {what}: {problem:#}");
            #[allow(clippy::print_stderr, reason = "nobody is to take it for a test that ran")]
            {
                eprintln!("SKIPPED: there are no {what} to test with: {problem:#}");
            }
            Ok(None)
        }
    }
}
