//! The providers' own SDKs, as people install them, through Envoy.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use headroom_e2e::built::workspace;
use headroom_e2e::envoy::Options;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, python};

async fn drive(script: &str) -> Result<()> {
    let python = tokio::task::spawn_blocking(|| python::with("requirements.txt")).await??;
    let stack = Stack::start(Options::default(), Kind::Down).await?;
    let mut command = Command::new(python);
    command
        .arg(workspace().join("tests/clients").join(script))
        .env("ENVOY_URL", format!("http://{}", stack.envoy.listener()))
        .env("PROVIDER_URL", format!("http://{}", stack.provider.address()));
    tokio::task::spawn_blocking(move || python::run(&mut command)).await?
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
