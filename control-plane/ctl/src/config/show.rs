//! `headroomctl config show`: every setting, its value, and the source of the value.

use std::fmt::Write as _;
use std::path::Path;

use super::keys::{FILTER, KEYS, Key, Kind};
use crate::environment::Environment;
use crate::figures::table;
use crate::up::UpArgs;

/// Shown in place of a password.
const HIDDEN: &str = "(hidden)";

/// The settings as a table.
pub(super) fn lines(args: &UpArgs, env: Environment<'_>, path: &Path) -> anyhow::Result<String> {
    let mut out = String::new();
    let there = if path.exists() { "" } else { " (not there)" };
    writeln!(out, "The configuration file is {}{there}.\n", path.display())?;
    let mut rows = table(&["setting", "value", "from"], 3);
    for key in KEYS {
        let (value, source) = found(args, env, key);
        let value = if key.kind == Kind::Secret && source != DEFAULT { HIDDEN.to_owned() } else { value };
        rows.add_row([key.path(), value, source]);
    }
    for (name, value) in env.file().map(|file| file.filter().clone()).unwrap_or_default() {
        let line = env.file().and_then(|file| file.filter_line(&name)).unwrap_or_default();
        rows.add_row([
            format!("{FILTER}.{name}"),
            value.to_string(),
            format!("{}, line {line}", super::FILE),
        ]);
    }
    if let Some(file) = &args.filter_config {
        rows.add_row([FILTER.to_owned(), file.display().to_string(), "--filter-config".to_owned()]);
    }
    writeln!(out, "{rows}")?;
    Ok(out)
}

const DEFAULT: &str = "default";

fn found(args: &UpArgs, env: Environment<'_>, key: &Key) -> (String, String) {
    if let Some(option) = key.option
        && let Some(value) = args.told(option)
    {
        return (value, option.to_owned());
    }
    if let Some(value) = env.variable(key.variable) {
        return (value, key.variable.to_owned());
    }
    let file = env.file().and_then(|file| Some((file.get(key.variable)?, file.line_of(key.variable)?)));
    match file {
        Some((value, line)) => (value.to_owned(), format!("{}, line {line}", super::FILE)),
        None => (key.default.to_owned(), DEFAULT.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ConfigFile;
    use super::*;

    #[test]
    fn each_value_is_shown_with_its_source_and_passwords_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let text = "port = 1000\nprofile = \"lossless\"\n[sidecar]\ndatabase_url = \"postgres://u:secret@h/d\"\n[filter]\nmemo_bytes = 5\n";
        std::fs::write(&path, text).unwrap();
        let file = ConfigFile::read(&path).unwrap();
        let lookup = |name: &str| (name == "HEADROOM_PROFILE").then(|| "aggressive".to_owned());
        let env = Environment::new(&lookup).with_file(&file);
        let args = UpArgs { host: Some("0.0.0.0".to_owned()), ..UpArgs::default() };
        let shown = lines(&args, env, &path).unwrap();
        let row = |name: &str| {
            let row = shown.lines().find(|line| line.split_whitespace().next() == Some(name));
            row.unwrap_or_else(|| panic!("{name}: {shown}")).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(row("host"), "host 0.0.0.0 --host");
        assert_eq!(row("profile"), "profile aggressive HEADROOM_PROFILE");
        assert_eq!(row("port"), "port 1000 config.toml, line 1");
        assert_eq!(row("mode"), "mode optimize default");
        assert_eq!(row("filter.memo_bytes"), "filter.memo_bytes 5 config.toml, line 6");
        assert!(!shown.contains("secret") && row("sidecar.database_url").contains(HIDDEN), "{shown}");
    }
}
