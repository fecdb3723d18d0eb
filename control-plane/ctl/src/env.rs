//! `headroomctl env`: the exports that send clients through Headroom, for `eval`.

use std::io::{Write as _, stdout};

use clap::{Args, ValueEnum};

use crate::agents::{Launch, export};
use crate::environment::Environment;
use crate::misuse::Misuse;
use crate::wrap::{agent_called, say, setting};

/// Which shell reads the lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ShellKind {
    /// bash, zsh and other shells that know `export`
    #[default]
    Posix,
    /// fish
    Fish,
}

/// Prints the exports that send clients through Headroom.
#[derive(Args, Clone, Debug, Default)]
pub struct EnvArgs {
    /// Only what this agent needs
    pub agent: Option<String>,
    /// For which shell [default: as SHELL says]
    #[arg(long, value_enum)]
    pub shell: Option<ShellKind>,
    /// Unset the variables instead
    #[arg(long)]
    pub unset: bool,
    /// Where Headroom listens [default: http://127.0.0.1 and --port]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Headroom's port [env: HEADROOM_PORT] [default: 8787]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
}

/// Prints them.
pub fn env(args: &EnvArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let url = match args.url.as_ref().map(|url| url.trim()).filter(|url| !url.is_empty()) {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://127.0.0.1:{}", env.port(args.port.as_ref()).map_err(Misuse::of)?),
    };
    let variables = match &args.agent {
        None => vec![
            ("ANTHROPIC_BASE_URL", url.clone()),
            ("OPENAI_BASE_URL", format!("{url}/v1")),
            ("OPENAI_API_BASE", format!("{url}/v1")),
            ("GOOGLE_GEMINI_BASE_URL", url),
        ],
        Some(name) => {
            let agent = agent_called(name)?;
            let launch = agent.launch(&setting(url, env)?, &[])?;
            launch.remarks.iter().try_for_each(|remark| say(remark))?;
            if launch.variables.is_empty() {
                say(&format!(
                    "{} takes no address from a variable: use `headroomctl wrap {}`",
                    agent.title(),
                    agent.name()
                ))?;
            }
            // A shell cannot use variables that need a file of one run.
            launch.variables.into_iter().filter(|(_, value)| value != Launch::FILE).collect()
        }
    };
    let is_fish = match args.shell {
        Some(shell) => shell == ShellKind::Fish,
        None => env.get("SHELL").is_some_and(|shell| shell.ends_with("fish")),
    };
    let mut out = stdout().lock();
    for (name, value) in &variables {
        match (args.unset, is_fish) {
            (true, true) => writeln!(out, "set -e {name}")?,
            (true, false) => writeln!(out, "unset {name}")?,
            (false, _) => writeln!(out, "{}", export(name, value, is_fish))?,
        }
    }
    Ok(out.flush()?)
}
