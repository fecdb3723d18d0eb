//! The providers that Headroom knows by name: a table, the user's own additions, and the providers that are
//! served.

mod command;
mod local;
mod served;
mod table;

pub use self::command::{ProvidersArgs, providers};
pub(crate) use self::local::{LOCAL, find_local};
pub use self::served::{Key, Rewrite, ServedProvider};
pub use self::table::{Format, Limit, Row, Table, TableError};

use crate::environment::Environment;

/// Its name in the configuration folder.
pub(crate) const FILE: &str = "providers.toml";

/// The table, with the additions of the user's own file.
pub(crate) fn table(env: Environment<'_>) -> Result<Table, TableError> {
    let mut table = Table::built_in();
    if let Some(folder) = env.config_dir() {
        table.add_file(&folder.join(FILE))?;
    }
    Ok(table)
}
