//! `headroomctl service`: a unit of systemd for this user.

use std::fs;
use std::io::{ErrorKind, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::{Args, FromArgMatches as _, Subcommand};

use crate::background::{SUPERVISOR, SYSTEMD};
use crate::environment::{Environment, WORKSPACE_DIR};
use crate::misuse::Misuse;
use crate::up::{Settings, UpArgs};

/// The unit's name.
const UNIT: &str = "headroom.service";

/// Has systemd run Headroom for this user, or no longer.
#[derive(Args, Clone, Debug)]
pub struct ServiceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ServiceCommand,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum ServiceCommand {
    /// Write the unit, and have systemd start it now and at every login
    Install {
        /// Print the unit and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Write the unit, and leave it to you to start it
        #[arg(long)]
        no_start: bool,
        /// Options of `headroomctl up`
        #[arg(last = true, value_name = "OPTIONS")]
        options: Vec<String>,
    },
    /// Stop it, and remove the unit
    Uninstall,
}

/// Runs the subcommand.
pub fn service(args: &ServiceArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let file = unit_file(env)?;
    let mut out = stdout().lock();
    match &args.command {
        ServiceCommand::Install { dry_run, no_start, options } => {
            check(options, env).map_err(Misuse::of)?;
            let program = std::env::current_exe().context("this program's own path is not known")?;
            let unit = unit(&program, options, env)?;
            if *dry_run {
                return Ok(out.write_all(unit.as_bytes())?);
            }
            let folder = file.parent().context("the unit's file has no folder")?;
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
            fs::write(&file, unit).with_context(|| format!("{} cannot be written", file.display()))?;
            writeln!(out, "{} is written", file.display())?;
            if *no_start {
                writeln!(
                    out,
                    "It starts with: systemctl --user daemon-reload && systemctl --user enable --now {UNIT}"
                )?;
                return Ok(());
            }
            systemctl(&["daemon-reload"])?;
            // A running service must use the new unit.
            systemctl(&["enable", UNIT])?;
            systemctl(&["restart", UNIT])?;
            writeln!(
                out,
                "systemd runs it now and at every login: `headroomctl status`, `headroomctl logs`. `loginctl \
                 enable-linger` has it run before you log in as well"
            )?;
        }
        ServiceCommand::Uninstall => {
            if !file.exists() {
                writeln!(out, "{} does not exist: nothing to do", file.display())?;
                return Ok(());
            }
            let stopped = systemctl(&["disable", "--now", UNIT]);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{} cannot be removed", file.display()));
                }
                _ => writeln!(out, "{} is removed", file.display())?,
            }
            stopped?;
            systemctl(&["daemon-reload"])?;
        }
    }
    Ok(())
}

/// Reads the options as `up` would, so that mistakes are reported now and not in the journal.
fn check(options: &[String], env: Environment<'_>) -> anyhow::Result<()> {
    let command = UpArgs::augment_args(clap::Command::new("up").no_binary_name(true));
    let matches = command.try_get_matches_from(options)?;
    let args = UpArgs::from_arg_matches(&matches)?;
    if args.detach {
        bail!("--detach is not for a service: systemd runs it in the background");
    }
    Settings::resolve(&args, env).map(|_| ())
}

fn unit_file(env: Environment<'_>) -> anyhow::Result<PathBuf> {
    let folder = env.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| env.get("HOME").map(|home| PathBuf::from(home).join(".config")));
    let folder = folder.context("HOME is not set, so there is no folder for units of systemd")?;
    Ok(folder.join("systemd/user").join(UNIT))
}

/// The unit. It gets the current values of the variables for folders.
fn unit(program: &Path, options: &[String], env: Environment<'_>) -> anyhow::Result<String> {
    let program = program.to_str().context("the path of this program cannot be written into a unit")?;
    let words = [program, "up"].into_iter().chain(options.iter().map(String::as_str));
    let command = words.map(|word| quoted(word, true)).collect::<anyhow::Result<Vec<_>>>()?.join(" ");
    let mut variables = format!("Environment={SUPERVISOR}={SYSTEMD}\n");
    for name in [WORKSPACE_DIR, "HEADROOM_CONFIG_DIR", "SSL_CERT_FILE"] {
        if let Some(value) = env.variable(name) {
            variables.push_str(&format!("Environment={}\n", quoted(&format!("{name}={value}"), false)?));
        }
    }
    Ok(format!(
        "# Written by `headroomctl service install`, and removed by `headroomctl service uninstall`.
[Unit]
Description=Headroom: fewer input tokens for AI agents
After=network-online.target

[Service]
Type=exec
ExecStart={command}
{variables}# It stops Envoy and headroomd in order; what is left after that is killed.
KillMode=mixed
TimeoutStopSec=40
Restart=on-failure
RestartSec=2
# Only the owner can read what it writes.
UMask=0077
NoNewPrivileges=yes
# Envoy keeps a descriptor for each connection.
LimitNOFILE=65536

[Install]
WantedBy=default.target
"
    ))
}

/// A word in systemd's syntax: in quotation marks where needed, with `%` doubled. A dollar is special only in a
/// command.
fn quoted(word: &str, in_command: bool) -> anyhow::Result<String> {
    if word.chars().any(char::is_control) {
        bail!("{word:?} cannot stand in a unit of systemd: it has a control character");
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let escaped = if in_command { escaped.replace('$', "$$") } else { escaped };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-=:,".contains(&byte);
    Ok(if !escaped.is_empty() && word.bytes().all(plain) { escaped } else { format!("\"{escaped}\"") })
}

fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let command = format!("systemctl --user {}", arguments.join(" "));
    let output = Command::new("systemctl").arg("--user").args(arguments).output();
    let output = output.with_context(|| format!("`{command}`: is there a systemd on this machine?"))?;
    if !output.status.success() {
        bail!("`{command}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reaches_the_program_as_it_was_given() {
        for (word, expected) in [
            ("--port", "--port"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("50%", "\"50%%\""),
            ("$HOME", "\"$$HOME\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("ä", "\"ä\""),
        ] {
            assert_eq!(quoted(word, true).unwrap(), expected);
        }
        assert_eq!(quoted("A=$x", false).unwrap(), "\"A=$x\"");
        assert!(quoted("a\nExecStart=/bin/evil", true).is_err());
    }

    #[test]
    fn options_that_up_would_refuse_are_refused_before_anything_is_written() {
        let lookup = |name: &str| (name == "HOME").then(|| "/home/me".to_owned());
        let env = Environment::new(&lookup);
        let check = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|it| (*it).to_owned()).collect();
            super::check(&options, env).map_err(|error| format!("{error:#}"))
        };
        check(&[]).unwrap();
        check(&["--port", "9000", "--profile=lossless"]).unwrap();
        assert!(check(&["--prot", "9000"]).unwrap_err().contains("--prot"));
        assert!(check(&["--port", "http"]).unwrap_err().contains("--port"));
        assert!(check(&["--detach"]).unwrap_err().contains("--detach"));
    }

    #[test]
    fn systemd_itself_finds_nothing_wrong_with_the_unit() {
        let lookup = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            WORKSPACE_DIR => Some("/home/me/50% of it".to_owned()),
            _ => None,
        };
        let env = Environment::new(&lookup);
        assert_eq!(unit_file(env).unwrap(), PathBuf::from("/home/me/.config/systemd/user/headroom.service"));
        let options = ["--allow-host", "a,b", "--filter-config", "/a b/$c"].map(str::to_owned);
        let text = unit(Path::new("/bin/true"), &options, env).unwrap();
        assert!(
            text.contains("\nExecStart=/bin/true up --allow-host a,b --filter-config \"/a b/$$c\"\n"),
            "{text}"
        );
        assert!(text.contains("Environment=\"HEADROOM_WORKSPACE_DIR=/home/me/50%% of it\"\n"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(UNIT);
        fs::write(&file, &text).unwrap();
        let verify = |file: &Path| {
            Command::new("systemd-analyze")
                .args(["verify", "--user", "--recursive-errors=no"])
                .arg(file)
                .env("XDG_RUNTIME_DIR", folder.path())
                .output()
        };
        let Ok(output) = verify(&file) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains(UNIT), "{said}");
        fs::write(&file, text.replace("Restart=on-failure", "Restart=perhaps")).unwrap();
        let said = verify(&file).unwrap().stderr;
        assert!(String::from_utf8_lossy(&said).contains(UNIT), "it finds what is wrong");
    }
}
