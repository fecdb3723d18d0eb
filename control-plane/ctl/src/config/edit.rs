//! `headroomctl config edit`: opens a copy in the editor, and replaces the file if the copy is valid.

use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::keys::KEYS;
use crate::environment::Environment;

/// Edits the file.
pub(super) fn edit(path: &Path, env: Environment<'_>) -> anyhow::Result<()> {
    let folder = path.parent().context("the configuration file has no folder")?;
    headroom_private::folder(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let before = if path.exists() {
        fs::read_to_string(path).with_context(|| path.display().to_string())?
    } else {
        template()
    };
    let copy = copy_of(path);
    headroom_private::write(&copy, before.as_bytes()).with_context(|| copy.display().to_string())?;
    loop {
        open(&copy, env)?;
        match super::check(&copy, env) {
            Ok(_) => break,
            Err(error) => {
                writeln!(stderr(), "headroomctl: {error:#}")?;
                if !again()? {
                    bail!("{} is unchanged; what you wrote is in {}", path.display(), copy.display());
                }
            }
        }
    }
    let after = fs::read_to_string(&copy).with_context(|| copy.display().to_string())?;
    if after == before && path.exists() {
        fs::remove_file(&copy)?;
        writeln!(stdout(), "{} is unchanged", path.display())?;
        return Ok(());
    }
    fs::rename(&copy, path).with_context(|| format!("{} cannot be replaced", path.display()))?;
    writeln!(
        stdout(),
        "{} is written; `headroomctl restart` applies it to a running Headroom",
        path.display()
    )?;
    Ok(())
}

fn copy_of(path: &Path) -> PathBuf {
    path.with_extension("edited.toml")
}

fn open(copy: &Path, env: Environment<'_>) -> anyhow::Result<()> {
    let editor = env.get("VISUAL").or_else(|| env.get("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    // The variable may hold arguments, so a shell splits it, as git does.
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$@\""), &editor]).arg(copy).status();
    let status = status.context("sh does not start")?;
    ensure!(status.success(), "the editor, {editor}, ended with {status}: set EDITOR to another");
    Ok(())
}

/// Asks the user whether to correct it.
fn again() -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        return Ok(false);
    }
    write!(stderr(), "Edit it again? [Y/n] ")?;
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer)?;
    Ok(read > 0 && !answer.trim().to_ascii_lowercase().starts_with('n'))
}

/// Every key with its default, all of it commented out.
fn template() -> String {
    let mut text = "# What `headroomctl up` and headroomd do when neither an argument nor a variable says another thing.\n\
                    # docs/configuration.md explains each. What is commented out is the default.\n\n"
        .to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let _ = writeln!(text, "\n[{section}]");
        }
        let _ = writeln!(text, "# {} = {}", key.name, key.example());
    }
    text.push_str("\n# Keys of the filter's own configuration.\n[filter]\n# max_body_bytes = 33554432\n");
    text
}

#[cfg(test)]
mod tests {
    use super::super::ConfigFile;
    use super::*;

    #[test]
    fn the_template_says_nothing_and_is_sound_and_so_is_each_of_its_lines_that_has_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, template()).unwrap();
        assert!(KEYS.iter().all(|key| ConfigFile::read(&path).unwrap().get(key.variable).is_none()));
        let all: String = template()
            .lines()
            .filter(|line| {
                !line.contains("commented") && !line.contains("Keys of") && !line.contains("What `")
            })
            .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
            .collect();
        fs::write(&path, &all).unwrap();
        let file = ConfigFile::read(&path).unwrap();
        for key in KEYS {
            assert!(file.get(key.variable).is_some(), "{}: {all}", key.path());
        }
    }

    #[test]
    fn what_an_editor_makes_of_it_counts_only_when_it_is_sound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/config.toml");
        let home = folder.path().display().to_string();
        let with = |script: &str| {
            let editor = folder.path().join("editor.sh");
            fs::write(&editor, script).unwrap();
            let lookup = |name: &str| match name {
                "EDITOR" => Some(format!("sh {}", editor.display())),
                "HOME" => Some(home.clone()),
                _ => None,
            };
            edit(&path, Environment::new(&lookup)).map_err(|error| format!("{error:#}"))
        };
        with("echo 'port = 1234' > \"$1\"").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "port = 1234\n");
        let error = with("echo 'port = x' > \"$1\"").unwrap_err();
        assert!(error.contains("is unchanged"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "port = 1234\n");
        assert!(with("exit 3").unwrap_err().contains("EDITOR"));
        with("true").unwrap();
        assert!(!copy_of(&path).exists());
    }
}
