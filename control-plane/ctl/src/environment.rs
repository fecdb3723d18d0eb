//! Environment variables and the folders they name.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context as _;
use headroom_api::names::yes_or_no;

use crate::config::file::ConfigFile;

/// Names with the same meaning in the sidecar.
pub const WORKSPACE_DIR: &str = "HEADROOM_WORKSPACE_DIR";
/// The folder of files that people write; headroomd reads its files there.
const CONFIG_DIR: &str = "HEADROOM_CONFIG_DIR";
/// Whether bodies of functions are left out of source files; the sidecar shows it.
pub const CODE_AWARE: &str = "HEADROOM_CODE_AWARE_ENABLED";
/// Envoy's port.
const PORT: &str = "HEADROOM_PORT";
/// Envoy's default port: the same as upstream's.
const DEFAULT_PORT: u16 = 8787;

/// This process's configuration file, after it was read.
static FILE: OnceLock<ConfigFile> = OnceLock::new();

/// The source of variables: the process, or a test's own list; and the configuration file as a fallback.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    file: Option<&'a ConfigFile>,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

impl<'a> Environment<'a> {
    /// Reads through `lookup`.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, file: None }
    }

    /// The process's own, with the file from [`Environment::fall_back_to`] as a fallback.
    pub fn of_process() -> Environment<'static> {
        Environment { lookup: &|name| std::env::var(name).ok(), file: FILE.get() }
    }

    /// From now on this process uses the file's value if a variable is not set. Works once.
    pub fn fall_back_to(file: ConfigFile) {
        FILE.get_or_init(|| file);
    }

    /// The same, with a file as a fallback.
    pub fn with_file(self, file: &'a ConfigFile) -> Self {
        Self { file: Some(file), ..self }
    }

    /// The fallback file.
    pub fn file(&self) -> Option<&'a ConfigFile> {
        self.file
    }

    /// A variable's value, trimmed, else the configuration file's value. A variable that contains only blanks
    /// counts as unset.
    pub fn get(&self, name: &str) -> Option<String> {
        self.variable(name).or_else(|| self.file?.get(name).map(str::to_owned))
    }

    /// A variable's value, trimmed, without the file.
    pub fn variable(&self, name: &str) -> Option<String> {
        let value = (self.lookup)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// An explicit value, else the variable's.
    pub fn or(&self, explicit: Option<&String>, name: &str) -> Option<String> {
        let explicit = explicit.map(|value| value.trim()).filter(|value| !value.is_empty());
        explicit.map(str::to_owned).or_else(|| self.get(name))
    }

    /// Whether a variable is set to yes.
    pub fn flag(&self, name: &str) -> anyhow::Result<bool> {
        let Some(text) = self.get(name) else { return Ok(false) };
        yes_or_no(&text).with_context(|| {
            format!("{name}: expected 1, true, on, yes, 0, false, off or no, found {text:?}")
        })
    }

    /// Envoy's port: explicit, else `HEADROOM_PORT`, else 8787.
    pub fn port(&self, explicit: Option<&String>) -> anyhow::Result<u16> {
        let Some(text) = self.or(explicit, PORT) else { return Ok(DEFAULT_PORT) };
        text.parse()
            .with_context(|| format!("--port or {PORT}: {text:?} is not a port, a number from 0 to 65535"))
    }

    /// The folder for state: explicit, else `HEADROOM_WORKSPACE_DIR`, else `~/.headroom`. `None` if there
    /// is no home folder either.
    pub fn workspace_dir(&self, explicit: Option<&PathBuf>) -> Option<PathBuf> {
        explicit
            .filter(|path| !path.as_os_str().is_empty())
            .cloned()
            .or_else(|| self.get(WORKSPACE_DIR).map(PathBuf::from))
            .or_else(|| self.get("HOME").map(|home| PathBuf::from(home).join(".headroom")))
    }

    /// The folder of files that people write, which headroomd also reads: `HEADROOM_CONFIG_DIR`, else
    /// `~/.headroom/config`.
    pub fn config_dir(&self) -> Option<PathBuf> {
        let told = self.variable(CONFIG_DIR).map(PathBuf::from);
        told.or_else(|| self.variable("HOME").map(|home| PathBuf::from(home).join(".headroom/config")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SET" => Some(" value ".to_owned()),
            "BLANK" => Some("  ".to_owned()),
            "HOME" => Some("/home/me".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_blank_variable_or_argument_counts_as_unset() {
        let env = Environment::new(&lookup);
        assert_eq!(env.get("SET").as_deref(), Some("value"));
        assert_eq!(env.get("BLANK"), None);
        assert_eq!(env.or(Some(&" ".to_owned()), "SET").as_deref(), Some("value"));
        assert_eq!(env.or(Some(&"mine".to_owned()), "SET").as_deref(), Some("mine"));
    }

    #[test]
    fn the_workspace_is_the_argument_then_the_variable_then_under_home() {
        let env = Environment::new(&lookup);
        assert_eq!(env.workspace_dir(Some(&"/w".into())), Some("/w".into()));
        assert_eq!(env.workspace_dir(None), Some("/home/me/.headroom".into()));
        let with = |name: &str| (name == WORKSPACE_DIR).then(|| "/from-variable".to_owned());
        assert_eq!(Environment::new(&with).workspace_dir(None), Some("/from-variable".into()));
        let nothing = |_: &str| None;
        assert_eq!(Environment::new(&nothing).workspace_dir(None), None);
    }
}
