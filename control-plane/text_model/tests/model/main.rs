//! The model from outside. `oracle/` has two tiny models, and what the Python package answers with them.

use std::path::PathBuf;

mod hostile;
mod oracle;
mod service;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")
}
