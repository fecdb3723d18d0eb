//! `headroomctl open`: the dashboard, in the browser.

use std::io::{Write as _, stderr, stdout};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::StatusCode;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::environment::Environment;
use crate::running::{Running, SidecarArgs};

/// Opens the dashboard in the browser.
#[derive(Args, Clone, Debug, Default)]
pub struct OpenArgs {
    /// Print only the address, and open nothing
    #[arg(long)]
    pub print: bool,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// The program that opens an address in the user's browser.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
/// An opener that has not failed by then has found a browser. Some openers run until the browser closes.
const OPENED: Duration = Duration::from_secs(3);
/// How long the file with the token is kept for the browser to read it.
const READ: Duration = Duration::from_secs(5);
const PAGE: &str = "/dashboard";

/// Prints the dashboard's address and opens it.
pub async fn open(args: &OpenArgs) -> anyhow::Result<()> {
    let running = args.at.running()?;
    let address = running.url(PAGE);
    check(&running).await?;
    writeln!(stdout(), "{address}")?;
    let token = match running.token() {
        Some(token) if running.asks_for_token("/stats").await? => Some(token),
        _ => None,
    };
    if args.print {
        return Ok(());
    }
    match token {
        None => run(&address).await,
        Some(token) => open_with(&address, token).await,
    }
}

async fn check(running: &Running) -> anyhow::Result<()> {
    let (status, _) = running.answer(PAGE, running.get(PAGE)).await?;
    match status {
        StatusCode::NOT_FOUND => {
            bail!("{} is not there: this headroomd was built without a dashboard", running.url(PAGE))
        }
        status if status.is_success() => Ok(()),
        status => bail!("{} answered {status}: see `headroomctl status`", running.url(PAGE)),
    }
}

/// Passes the token in a page that only this user can read, because every user could read an argument of the opener.
/// The dashboard removes the token from the address.
async fn open_with(address: &str, token: &str) -> anyhow::Result<()> {
    let folder = match Environment::of_process().workspace_dir(None) {
        Some(workspace) => workspace.join("run"),
        None => std::env::temp_dir(),
    };
    headroom_private::folder(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let page = tempfile::Builder::new().prefix("open-").suffix(".html").tempfile_in(&folder)?;
    std::fs::write(page.path(), forwarding(address, token))?;
    run(&page.path().display().to_string()).await?;
    sleep(READ).await;
    Ok(())
}

/// A page that redirects to the dashboard. The token is after the `#`, which browsers do not send.
fn forwarding(address: &str, token: &str) -> String {
    let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
    // After a `#`, a `+` would be a plus sign and not a blank.
    let target =
        format!("{address}#token={}", token.replace('+', "%20")).replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={target}\"><title>Headroom</title><a href=\"{target}\">Headroom</a>\n"
    )
}

/// Runs the opener. Without an opener or a browser, the user has the printed address.
async fn run(what: &str) -> anyhow::Result<()> {
    let mut command = Command::new(OPENER);
    command.arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let failed = match command.spawn() {
        Err(error) => Some(format!("{OPENER} does not start ({error})")),
        Ok(mut opener) => match timeout(OPENED, opener.wait()).await {
            Ok(Ok(status)) if status.success() => None,
            Ok(Ok(status)) => Some(format!("{OPENER} found no browser ({status})")),
            Ok(Err(error)) => Some(format!("{OPENER} is lost ({error})")),
            // It runs as long as the browser does.
            Err(_) => None,
        },
    };
    if let Some(failed) = failed {
        writeln!(stderr(), "{failed}: open the address yourself.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_leads_to_the_dashboard_and_its_token_cannot_leave_the_address() {
        let page = forwarding("http://127.0.0.1:8787/dashboard", "a\"><script>&+ b");
        assert!(
            page.contains("url=http://127.0.0.1:8787/dashboard#token=a%22%3E%3Cscript%3E%26%2B%20b\""),
            "{page}"
        );
        assert!(!page.contains("<script"), "{page}");
    }
}
