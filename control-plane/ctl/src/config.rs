//! The configuration file, and `headroomctl config`, which shows, checks and edits it.

mod edit;
pub(crate) mod file;
mod keys;
mod show;
pub(crate) mod sidecar;

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};

pub use self::file::{BadFile, ConfigFile};
use crate::environment::Environment;
use crate::misuse::Misuse;
use crate::up::{Settings, UpArgs};

/// Its name in the configuration folder.
const FILE: &str = "config.toml";

/// The configuration file: what it says, whether it is sound, and an editor for it.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with it.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting of `up` with these options, and where its value comes from
    Show(Box<UpArgs>),
    /// Read the file as `up` would, and say what is wrong with it
    Check,
    /// Edit a copy in VISUAL or EDITOR, and save it only if it has no error
    Edit,
}

/// The path of the file, which may not exist: in `HEADROOM_CONFIG_DIR`, or in `~/.headroom/config`.
pub fn path(env: Environment<'_>) -> anyhow::Result<PathBuf> {
    env.config_dir()
        .map(|folder| folder.join(FILE))
        .context("there is no folder for the configuration: set HEADROOM_CONFIG_DIR or HOME")
}

/// Reads the file for this process: its values apply if neither an argument nor a variable sets them.
pub fn load() -> anyhow::Result<()> {
    let Ok(path) = path(Environment::of_process()) else { return Ok(()) };
    let file = ConfigFile::read(&path).map_err(|error| Misuse::of(error.into()))?;
    Environment::fall_back_to(file);
    Ok(())
}

/// Runs the subcommand.
pub fn config(args: &ConfigArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let path = path(env)?;
    match &args.command {
        ConfigCommand::Check => {
            let sentence = check(&path, env)?;
            writeln!(stdout(), "{sentence}")?;
            Ok(())
        }
        ConfigCommand::Edit => edit::edit(&path, env),
        ConfigCommand::Show(args) => {
            let file = ConfigFile::read(&path).map_err(|error| Misuse::of(error.into()))?;
            stdout().write_all(show::lines(args, env.with_file(&file), &path)?.as_bytes())?;
            Ok(())
        }
    }
}

/// The report on a valid file.
fn check(path: &std::path::Path, env: Environment<'_>) -> anyhow::Result<String> {
    if !path.exists() {
        return Ok(format!("{} does not exist: every setting has its default", path.display()));
    }
    let file = ConfigFile::read(path)?;
    // Checks that need more than one value: names of hosts, and files that are named but do not exist.
    Settings::resolve(&UpArgs::default(), env.with_file(&file))
        .with_context(|| format!("{}, or a variable", path.display()))?;
    Ok(format!("{} has no error", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_wins_over_a_variable_that_over_the_file_and_that_over_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(
            &path,
            "port = 1000\nprofile = \"lossless\"\nworkers = 3\n[sidecar]\nlog = \"debug\"\n[filter]\nmax_body_bytes = \
             2048\nreversible = false\n",
        )
        .unwrap();
        let file = ConfigFile::read(&path).unwrap();
        let resolve = |args: &UpArgs, variables: &[(&str, &str)]| {
            let lookup = |name: &str| {
                let value = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
                value.or((name == "HOME").then_some("/home/me")).map(str::to_owned)
            };
            Settings::resolve(args, Environment::new(&lookup).with_file(&file)).unwrap()
        };
        let plain = resolve(&UpArgs::default(), &[]);
        assert_eq!((plain.listen.port, plain.http.port(), plain.workers), (1000, 1001, 3));
        assert_eq!(plain.plugin_config["profile"], "lossless");
        assert_eq!(plain.plugin_config["max_body_bytes"], 2048);
        assert_eq!(plain.plugin_config["reversible"], false);
        assert_eq!(plain.sidecar_variables, [("HEADROOM_LOG", "debug".to_owned())]);
        let variable = [("HEADROOM_PORT", "2000"), ("HEADROOM_PROFILE", "aggressive")];
        let by_variable = resolve(&UpArgs::default(), &variable);
        assert_eq!(by_variable.listen.port, 2000);
        assert_eq!(by_variable.plugin_config["profile"], "aggressive");
        let args = UpArgs { port: Some("3000".to_owned()), ..UpArgs::default() };
        assert_eq!(resolve(&args, &variable).listen.port, 3000);

        let filter = folder.path().join("filter.json");
        std::fs::write(&filter, r#"{"max_body_bytes": 4096}"#).unwrap();
        let args = UpArgs { filter_config: Some(filter), ..UpArgs::default() };
        let settings = resolve(&args, &[]);
        assert_eq!(settings.plugin_config["max_body_bytes"], 4096);
        assert_eq!(
            settings.plugin_config["reversible"], false,
            "what the argument's file leaves stays the file's"
        );
    }

    #[test]
    fn a_file_whose_values_do_not_go_together_is_not_sound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let home = folder.path().display().to_string();
        let lookup = |name: &str| (name == "HOME").then(|| home.clone());
        let env = Environment::new(&lookup);
        assert!(check(&path, env).unwrap().contains("does not exist"));
        std::fs::write(&path, "allow_hosts = [\"a:80\"]\n").unwrap();
        assert!(format!("{:#}", check(&path, env).unwrap_err()).contains("a:80"));
        std::fs::write(&path, "port = 1\n").unwrap();
        assert!(check(&path, env).unwrap().contains("no error"));
        std::fs::write(&path, "port = \n").unwrap();
        assert!(check(&path, env).unwrap_err().to_string().contains("line 1"));
    }
}
