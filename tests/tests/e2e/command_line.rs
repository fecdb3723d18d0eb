//! `headroomctl compress` gives the same bytes as the filter.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use headroom_e2e::built;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::conversation::{self, fixtures, read_sets};
use headroom_e2e::provider::NAME_HEADER;

use crate::stacks::{MAX_BODY_BYTES, Mode, forwarded, shared};

#[tokio::test]
async fn the_command_line_compresses_recorded_requests_as_the_filter_does() -> Result<()> {
    let stack = shared(Mode::Hold, Protocol::Http1).await?;
    let mut connection = stack.connect(Protocol::Http2).await?;
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for set in read_sets(&fixtures())? {
        let Some(recorded) = set.conversations.first() else { continue };
        let api = recorded.api();
        for (turn, body) in recorded.requests(api).into_iter().enumerate() {
            // The shared stacks have a smaller cap than the command line.
            if body.len() > MAX_BODY_BYTES {
                continue;
            }
            let name = format!("line {} {turn}", recorded.id);
            let call = Call::post(conversation::path(api), body.clone()).header(NAME_HEADER, &name);
            assert_eq!(connection.send(call).await?.status, 200);
            expected.extend_from_slice(&forwarded(&stack.provider, &name).body);
            expected.push(b'\n');
            lines.extend_from_slice(&body);
            lines.push(b'\n');
        }
    }
    assert_ne!(expected, lines, "something is compressed");
    assert!(
        run(lines, &["--without-store"]).await? == expected,
        "headroomctl and the filter give the same bytes"
    );
    Ok(())
}

/// The output of `headroomctl compress` for lines.
pub(crate) async fn run(lines: Vec<u8>, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(built::headroomctl().await?);
    command.arg("compress").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn()?;
        let mut input = child.stdin.take();
        let writer = std::thread::spawn(move || input.as_mut().map(|input| input.write_all(&lines)));
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "headroomctl compress failed: {}", output.status);
        if let Ok(Some(Err(error))) = writer.join() {
            return Err(error.into());
        }
        Ok(output.stdout)
    })
    .await?
}
