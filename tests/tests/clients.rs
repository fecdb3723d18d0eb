//! The providers' own SDKs, as people install them, through Envoy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::Stack;
use headroom_e2e::built::{target_folder, workspace};
use headroom_e2e::envoy::Options;
use headroom_e2e::sidecar::Kind;
use tokio::sync::OnceCell;

/// A virtual environment under `target/` with what `clients/requirements.txt` pins.
async fn python() -> Result<&'static PathBuf> {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    PYTHON.get_or_try_init(|| async { tokio::task::spawn_blocking(install).await? }).await
}

fn install() -> Result<PathBuf> {
    let requirements = workspace().join("tests/clients/requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    let environment = target_folder()?.join("clients-venv");
    let python = environment.join("bin/python");
    let marker = environment.join("installed-requirements.txt");
    // Each test may be a process of its own: the second waits for what the first installs.
    let lock = fs::File::create(environment.with_extension("lock"))?;
    lock.lock()?;
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let missing = "the tests of the SDKs need python3 (3.9 or later) with its venv module: install both";
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment)).context(missing)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(&requirements))?;
    fs::write(&marker, wanted)?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "{command:?} failed with {}:\n{text}", output.status);
    Ok(())
}

async fn drive(script: &str) -> Result<()> {
    let python = python().await?;
    let stack = Stack::start(Options::default(), Kind::Down).await?;
    let mut command = Command::new(python);
    command
        .arg(workspace().join("tests/clients").join(script))
        .env("ENVOY_URL", format!("http://{}", stack.envoy.listener()))
        .env("PROVIDER_URL", format!("http://{}", stack.provider.address()));
    tokio::task::spawn_blocking(move || run(&mut command)).await?
}

#[tokio::test]
async fn the_anthropic_sdk_runs_a_tool_loop_streaming_and_not() -> Result<()> {
    drive("anthropic_sdk.py").await
}

#[tokio::test]
async fn the_openai_sdk_runs_a_tool_loop_streaming_and_not() -> Result<()> {
    drive("openai_sdk.py").await
}

#[test]
fn each_client_script_is_run_here() -> Result<()> {
    let source = include_str!("clients.rs");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        assert!(
            !name.ends_with("_sdk.py") || source.contains(&format!("drive(\"{name}\")")),
            "{name} is run by no test"
        );
    }
    Ok(())
}
