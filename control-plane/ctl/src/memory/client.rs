//! headroomd's memory, over HTTP.

use anyhow::{Context as _, anyhow, bail, ensure};
use headroom_api::memory::Caller;
use reqwest::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::misuse::Misuse;
use crate::running::Running;

/// Sends requests for one caller.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    running: Running,
    tenant: String,
    pub(crate) caller: Caller,
}

impl Client {
    pub(crate) fn new(running: Running, tenant: String, caller: Caller) -> anyhow::Result<Self> {
        if !tenant.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Misuse::of(anyhow!("--tenant: expected visible ASCII characters, found {tenant:?}")));
        }
        Ok(Self { running, tenant, caller })
    }

    /// The answer of `/v1/memory/NAME`.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        name: &str,
        asked: &impl Serialize,
    ) -> anyhow::Result<T> {
        let path = format!("/v1/memory/{name}");
        let mut request = self.running.posting(&path, asked);
        if !self.tenant.is_empty() {
            request = request.header("x-headroom-user-id", &self.tenant);
        }
        let (status, body) = self.running.answer(&path, request).await?;
        let url = self.running.url(&path);
        if status != StatusCode::OK {
            ensure!(status != StatusCode::UNAUTHORIZED, "{url} asks for a token: put it into HEADROOM_TOKEN");
            let said: Value = serde_json::from_str(&body).unwrap_or_default();
            match said.pointer("/error/message").and_then(Value::as_str) {
                Some(message) => bail!("{message}"),
                None => bail!("{url} answered {status}: is it headroomd's address? {body}"),
            }
        }
        serde_json::from_str(&body).with_context(|| format!("{url} gave an answer of another kind"))
    }
}
