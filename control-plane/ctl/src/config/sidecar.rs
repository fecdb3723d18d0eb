//! The values for headroomd in the configuration file.

use super::keys::{KEYS, SIDECAR};
use crate::environment::Environment;

/// The variables for headroomd with their values: from the process, else from the file.
pub(crate) fn variables(env: Environment<'_>) -> Vec<(&'static str, String)> {
    let keys = KEYS.iter().filter(|key| key.section == SIDECAR && key.option.is_none());
    keys.filter_map(|key| Some((key.variable, env.get(key.variable)?))).collect()
}
