//! A running Headroom: its address, and requests to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use headroom_retry::Retry;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::environment::Environment;
use crate::misuse::Misuse;
use crate::token;

/// headroomd has the answers ready, so a slow one means that something is wrong.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The distance of headroomd's HTTP port from Envoy's port.
const HTTP_AFTER_PORT: u16 = 1;

/// Which Headroom a command asks.
#[derive(Args, Clone, Debug, Default)]
pub struct SidecarArgs {
    /// Where Headroom listens [default: http://127.0.0.1 and HEADROOM_PORT, or 8787]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

impl SidecarArgs {
    /// The Headroom of these options and this process's variables.
    pub fn running(&self) -> anyhow::Result<Running> {
        self.running_in(None)
    }

    /// headroomd itself, at the port that this machine's `headroomctl up` uses, unless a URL is given. This bypasses
    /// Envoy, which would replace the given tenant with the one in its configuration.
    pub fn sidecar(&self) -> anyhow::Result<Running> {
        self.sidecar_in(None)
    }

    /// Whether an address is given, and not the one of this machine's `headroomctl up` taken.
    pub fn names_url(&self) -> bool {
        self.named().is_some()
    }

    fn named(&self) -> Option<&str> {
        self.url.as_ref().map(|url| url.trim()).filter(|url| !url.is_empty())
    }

    /// The same, with this workspace folder.
    pub fn sidecar_in(&self, workspace: Option<&Path>) -> anyhow::Result<Running> {
        let env = Environment::of_process();
        let workspace = workspace.map(Path::to_owned);
        let url = match self.named() {
            Some(url) => url.to_owned(),
            None => sidecar_url(env, workspace.as_ref()).map_err(Misuse::of)?,
        };
        Running::at(Some(&url), env, workspace.as_ref()).map_err(Misuse::of)
    }

    /// The same, with this workspace folder.
    pub fn running_in(&self, workspace: Option<&PathBuf>) -> anyhow::Result<Running> {
        Running::at(self.url.as_ref(), Environment::of_process(), workspace).map_err(Misuse::of)
    }
}

/// The HTTP address of a running Headroom.
#[derive(Clone, Debug)]
pub struct Running {
    base: String,
    client: reqwest::Client,
    token: Option<String>,
}

impl Running {
    /// At a URL, or on this machine at the port in `HEADROOM_PORT`. The token comes from `HEADROOM_TOKEN`, the
    /// file in `HEADROOM_TOKEN_FILE`, or, on this machine, from the workspace.
    fn at(url: Option<&String>, env: Environment<'_>, workspace: Option<&PathBuf>) -> anyhow::Result<Self> {
        let told = url.map(|url| url.trim()).filter(|url| !url.is_empty()).map(str::to_owned);
        let base = match told {
            Some(url) => address(&url)?,
            None => format!("http://127.0.0.1:{}", env.port(None)?),
        };
        let token = if is_local(&base) { token::local(env, workspace)? } else { token::configured(env)? };
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), client, token })
    }

    /// The token that is sent, if there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether a path requires a token.
    pub(crate) async fn asks_for_token(&self, path: &str) -> anyhow::Result<bool> {
        let (status, _) = self.answer(path, self.client.get(self.url(path))).await?;
        Ok(status == StatusCode::UNAUTHORIZED)
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request for a path.
    pub fn get(&self, path: &str) -> RequestBuilder {
        let request = self.client.get(self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A request that posts a JSON document to a path.
    pub fn posting(&self, path: &str, body: &impl Serialize) -> RequestBuilder {
        let request = self.client.post(self.url(path)).json(body);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Posts a JSON document to a path. Returns the status and the body of the answer.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<(StatusCode, String)> {
        self.answer(path, self.posting(path, body)).await
    }

    /// The answer of a path with figures.
    pub async fn text(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<String> {
        let (status, body) = self.answer(path, self.get(path).query(query)).await?;
        self.figures(path, status, body)
    }

    /// The body of an answer with figures; an error if it is something else.
    pub(crate) fn figures(&self, path: &str, status: StatusCode, body: String) -> anyhow::Result<String> {
        if !status.is_success() {
            let url = self.url(path);
            if status == StatusCode::BAD_REQUEST
                && let Some(reason) = reason(&body)
            {
                bail!("{reason}");
            }
            if status == StatusCode::UNAUTHORIZED {
                bail!("{url} asks for a token: put it into HEADROOM_TOKEN");
            }
            bail!("{url} answered {status} instead of figures: is headroomd running? {body}");
        }
        Ok(body)
    }

    /// The answer of a path with figures, parsed as its page.
    pub async fn page<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<T> {
        let body = self.text(path, query).await?;
        serde_json::from_str(&body)
            .with_context(|| format!("{} answered something other than its page", self.url(path)))
    }

    /// Sends a request. Returns the status and the body of the answer.
    pub async fn answer(&self, path: &str, request: RequestBuilder) -> anyhow::Result<(StatusCode, String)> {
        let url = self.url(path);
        let answer = Retry::NEAR.send(request).await.map_err(reqwest::Error::without_url);
        let answer = answer.with_context(|| {
            format!(
                "{url} does not answer: start Headroom with `headroomctl up`, or say where it is with --url"
            )
        })?;
        let status = answer.status();
        let body = answer.text().await.map_err(reqwest::Error::without_url);
        let body = body.with_context(|| format!("{url} broke off its answer"))?;
        Ok((status, body))
    }
}

/// The address that headroomd has written to its file, else the default address.
fn sidecar_url(env: Environment<'_>, workspace: Option<&PathBuf>) -> anyhow::Result<String> {
    let file = env.workspace_dir(workspace).map(|workspace| workspace.join("run/headroomd.json"));
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let ready: Value = serde_json::from_str(&text).unwrap_or_default();
    match ready["http"].as_str() {
        Some(address) => Ok(format!("http://{address}")),
        None => Ok(format!("http://127.0.0.1:{}", env.port(None)?.saturating_add(HTTP_AFTER_PORT))),
    }
}

/// Parses a URL; `http://` is optional.
fn address(text: &str) -> anyhow::Result<String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&whole).with_context(|| format!("--url: {text:?} is not a URL"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "--url: expected one like http://127.0.0.1:8787, found {text:?}"
    );
    Ok(whole)
}

/// The workspace's token is sent only to this machine.
pub(crate) fn is_local(base: &str) -> bool {
    let url = Url::parse(base).ok();
    match url.as_ref().and_then(Url::host_str) {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback()),
        None => false,
    }
}

/// headroomd's reason for refusing a query.
fn reason(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body.pointer("/error/message")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_scheme_and_has_no_strange_one() {
        assert_eq!(address("127.0.0.1:8787").unwrap(), "http://127.0.0.1:8787");
        assert_eq!(address("localhost").unwrap(), "http://localhost");
        assert_eq!(address("https://headroom.internal/x").unwrap(), "https://headroom.internal/x");
        assert!(is_local("http://localhost:1") && is_local("http://[::1]:1") && is_local("http://127.0.0.2"));
        assert!(!is_local("http://10.0.0.1") && !is_local("http://localhost.example") && !is_local("x"));
        for strange in ["ftp://x", "file:///etc", "http://", "a b", "://"] {
            assert!(address(strange).unwrap_err().to_string().starts_with("--url"), "{strange}");
        }
    }
}
