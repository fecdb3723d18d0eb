//! `headroomctl mcp` as a real client uses it: PyPI's `mcp`, over standard input and output and over HTTP.

use std::process::Command;

use anyhow::Result;
use headroom_e2e::built::{self, workspace};
use headroom_e2e::sidecar::{Kind, Sidecar, free_port};
use headroom_e2e::{python, skip};

#[tokio::test]
async fn the_official_client_compresses_and_gets_back_what_was_left_out() -> Result<()> {
    let found = tokio::task::spawn_blocking(|| python::with("mcp-requirements.txt")).await?;
    let Some(python) = skip::unless("packages from PyPI", found)? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
    let mut command = Command::new(python);
    command
        .arg(workspace().join("tests/clients/mcp_client.py"))
        .env("HEADROOMCTL", built::headroomctl().await?)
        .env("SIDECAR_GRPC", sidecar.grpc().to_string())
        .env("CLOSED_GRPC", free_port()?.to_string())
        .env("PLACEHOLDER", headroom_compress::rounds::PLACEHOLDER)
        .env("SIDECAR_URL", format!("http://{}", sidecar.http()))
        .env("NO_PROXY", "*");
    tokio::task::spawn_blocking(move || python::run(&mut command)).await?
}
