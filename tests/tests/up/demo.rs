//! `headroomctl demo`, as a new user runs it.

use std::process::Output;

use anyhow::Result;
use headroom_e2e::{built, envoy};
use tempfile::TempDir;
use tokio::process::Command;

/// The demo, with a separate folder for temporary files, and a user's settings that it must not use.
async fn demo(arguments: &[&str], temporary: &TempDir, home: &TempDir) -> Result<Output> {
    let mut command = Command::new(built::headroomctl().await?);
    command.arg("demo").args(arguments).env("TMPDIR", temporary.path()).env("HOME", home.path());
    command.env("HEADROOM_MODE", "off").env("HEADROOM_PORT", "1").env("HEADROOM_TOKEN", "secret");
    command.env("HEADROOM_STORE", home.path().join("store.db"));
    command.env_remove("ENVOY").env_remove("HEADROOM_WORKSPACE_DIR").env_remove("HEADROOM_CONFIG_DIR");
    Ok(command.output().await?)
}

/// The tokens in and out of all turns.
fn together(text: &str) -> Vec<&str> {
    let line = text.lines().find(|line| line.trim_start().starts_with("together"));
    line.map(|line| line.split_whitespace().skip(1).collect()).unwrap_or_default()
}

#[tokio::test]
async fn the_demo_goes_through_envoy_shows_what_it_saves_and_leaves_nothing() -> Result<()> {
    let (temporary, home) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let module = built::filter_module().await?.display().to_string();
    let headroomd = built::headroomd().await?.display().to_string();
    let envoy = envoy::binary().await?.display().to_string();
    let arguments = ["--module", &module, "--headroomd", &headroomd, "--envoy", &envoy];
    let output = demo(&arguments, &temporary, &home).await?;
    let (text, said) =
        (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{text}\n{said}");
    assert!(
        text.contains("goes through Envoy") && text.contains("headroomd has counted 14 requests"),
        "{text}"
    );
    assert!(text.contains("as the provider gets it") && text.contains("% less"), "{text}");

    let alone = demo(&["--no-envoy"], &temporary, &home).await?;
    let alone = String::from_utf8(alone.stdout)?;
    assert!(alone.contains("runs in this program"), "{alone}");
    let (with, without) = (together(&text), together(&alone));
    assert_eq!(with.first(), without.first(), "the same is sent");
    assert!(!with.is_empty() && with[0] != with[1], "{text}");

    for folder in [&temporary, &home] {
        let left: Vec<_> = std::fs::read_dir(folder.path())?.collect();
        assert!(left.is_empty(), "{left:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_envoy_the_demo_says_what_is_missing_and_runs_the_engine() -> Result<()> {
    let (temporary, home) = (tempfile::tempdir()?, tempfile::tempdir()?);
    // In a folder without a module and an Envoy.
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("headroomctl");
    std::fs::copy(built::headroomctl().await?, &program)?;
    let mut command = Command::new(&program);
    command
        .arg("demo")
        .env_clear()
        .env("TMPDIR", temporary.path())
        .env("HOME", home.path())
        .env("PATH", "/nowhere");
    let output = command.output().await?;
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("was not found") && text.contains("the demo runs without Envoy"), "{text}");
    assert!(text.contains("% less"), "{text}");

    let mut command = Command::new(&program);
    command.args(["demo", "--envoy", "/nowhere/envoy"]).env_clear();
    let output = command.output().await?;
    assert_eq!(output.status.code(), Some(1), "what is asked for by name is not gone on without");
    Ok(())
}
