//! Originals in the sidecar, over gRPC.

use std::time::Duration;

use anyhow::Context;
use headroom_api::v1::originals_client::OriginalsClient;
use headroom_api::v1::{AdmitRequest, ContentEncoding, Original, RetrieveRequest, RetrieveResponse};
use headroom_retry::Retry;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How long the sidecar may take. Only the caller of a tool waits for it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The conversation of originals that MCP stores, because MCP has no name for one.
const CONVERSATION: &str = "mcp";

/// Why the sidecar did not do it, for the caller of the tool.
#[derive(Debug, thiserror::Error)]
#[error("headroomd at {address} {problem}")]
pub(super) struct SidecarError {
    address: String,
    problem: String,
}

/// The sidecar's originals.
#[derive(Debug)]
pub(super) struct Originals {
    address: String,
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    tenant: String,
}

impl Originals {
    /// At `ip:port` or `unix:/path`. Connects on the first call, and again after the connection was lost.
    pub(super) fn at(address: &str, token: Option<String>, tenant: String) -> anyhow::Result<Self> {
        let uri = match address.starts_with("unix:") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        let endpoint = Endpoint::from_shared(uri).with_context(|| {
            format!("--grpc or HEADROOM_GRPC: {address:?} is neither ip:port nor unix:/path")
        })?;
        let channel = endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT).connect_lazy();
        let authorization = token.map(|token| MetadataValue::try_from(format!("Bearer {token}")));
        let authorization = authorization.transpose().context("HEADROOM_TOKEN: no header can carry it")?;
        Ok(Self { address: address.to_owned(), channel, authorization, tenant })
    }

    /// Whether the text is stored under its hash now.
    pub(super) async fn admit(&self, original: StoredText<'_>) -> Result<bool, SidecarError> {
        let hash = headroom_compress::address(original.text);
        let original = Original {
            hash: hash.clone(),
            content: original.text.as_bytes().to_vec(),
            encoding: ContentEncoding::Identity.into(),
            length: original.text.len() as u64,
            tool: original.tool.to_owned(),
            kind: original.kind.to_owned(),
            form: original.form.to_owned(),
            tokens_before: original.tokens_before,
            tokens_after: original.tokens_after,
        };
        let request = AdmitRequest {
            tenant: self.tenant.clone(),
            conversation_id: CONVERSATION.to_owned(),
            originals: vec![original],
        };
        let ask =
            async || OriginalsClient::new(self.channel.clone()).admit(self.request(request.clone())).await;
        let answer = Retry::NEAR.run(ask, may_help).await;
        let answer = answer.map_err(|status| self.unanswered(&status))?.into_inner();
        Ok(answer.stored.contains(&hash))
    }

    /// A page of an original; `found` is false if it is not stored.
    pub(super) async fn retrieve(
        &self,
        hash: &str,
        query: &str,
        lines: &str,
    ) -> Result<RetrieveResponse, SidecarError> {
        let request = RetrieveRequest {
            tenant: self.tenant.clone(),
            hash: hash.to_owned(),
            query: query.to_owned(),
            lines: lines.to_owned(),
        };
        let ask =
            async || OriginalsClient::new(self.channel.clone()).retrieve(self.request(request.clone())).await;
        let answer = Retry::NEAR.run(ask, may_help).await;
        Ok(answer.map_err(|status| self.unanswered(&status))?.into_inner())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    fn unanswered(&self, status: &Status) -> SidecarError {
        let problem = match status.code() {
            Code::Unavailable => "does not answer: start Headroom with `headroomctl up`".to_owned(),
            Code::Unauthenticated => "wants a token: set HEADROOM_TOKEN".to_owned(),
            code => format!("answered {code}: {}", status.message()),
        };
        SidecarError { address: self.address.clone(), problem }
    }
}

/// Whether another attempt may have a different result.
fn may_help<T>(answer: &Result<T, Status>) -> bool {
    matches!(answer, Err(status) if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted))
}

/// A text to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredText<'a> {
    pub(super) text: &'a str,
    pub(super) tool: &'a str,
    pub(super) kind: &'a str,
    pub(super) form: &'a str,
    pub(super) tokens_before: u32,
    pub(super) tokens_after: u32,
}
