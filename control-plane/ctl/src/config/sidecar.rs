//! What the configuration file says to headroomd.

use super::keys::{KEYS, SIDECAR};
use crate::environment::Environment;

/// The variables that headroomd is to have, with what they say: those of the process, else the file's.
pub(crate) fn variables(env: Environment<'_>) -> Vec<(&'static str, String)> {
    let keys = KEYS.iter().filter(|key| key.section == SIDECAR && key.option.is_none());
    keys.filter_map(|key| Some((key.variable, env.get(key.variable)?))).collect()
}
