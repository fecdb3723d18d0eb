//! `Originals`: checks the envelope, passes the rest to the keeper.

use headroom_api::v1::originals_server;
use headroom_api::v1::{AdmitRequest, AdmitResponse, RetrieveRequest, RetrieveResponse};
use headroom_compress::rounds::{RetrieveArguments, answer};
use tonic::{Request, Response, Status};

use super::Keys;
use crate::ledger::asked_back::retrieval;
use crate::ledger::writer::Ledger;
use crate::originals::keeper::{Originals, RetrieveError};
use crate::originals::writer::AdmitError;

/// Bytes of a tenant's name at most, as many as the filter sends.
const MAX_TENANT: usize = 256;

/// Answers the filter.
pub(super) struct OriginalsService {
    pub(super) originals: Originals,
    pub(super) ledger: Ledger,
    pub(super) keys: Keys,
}

#[tonic::async_trait]
impl originals_server::Originals for OriginalsService {
    async fn admit(&self, request: Request<AdmitRequest>) -> Result<Response<AdmitResponse>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        self.keys.authorize(&mut request.tenant, &metadata)?;
        check_tenant(&request.tenant)?;
        let receipt = self.originals.admit(request).await.map_err(|error| match error {
            AdmitError::Busy => Status::resource_exhausted(error.to_string()),
            AdmitError::Store | AdmitError::Stopping => Status::unavailable(error.to_string()),
        })?;
        Ok(Response::new(AdmitResponse {
            stored: receipt.stored,
            epoch: receipt.epoch,
            // rounded down: never longer than the promise
            ttl_seconds: u64::try_from(self.originals.keep().promise_ms() / 1_000).unwrap_or(0),
            // filters of 0.1 then send plain text
            encodings: Vec::new(),
        }))
    }

    async fn retrieve(
        &self,
        request: Request<RetrieveRequest>,
    ) -> Result<Response<RetrieveResponse>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        self.keys.authorize(&mut request.tenant, &metadata)?;
        let RetrieveRequest { tenant, hash, query, lines } = request;
        check_tenant(&tenant)?;
        let noted = if query.is_empty() { &lines } else { &query };
        let found = self.originals.retrieve(&tenant, &hash, noted).await.map_err(|error| match error {
            RetrieveError::Busy => Status::resource_exhausted(error.to_string()),
            RetrieveError::Store(error) => {
                // the database's message may contain hosts and users, so it goes only to the log
                tracing::error!(message = "An original could not be read.", %error);
                Status::unavailable("the store does not answer: see the log")
            }
        })?;
        let Some(found) = found else { return Ok(Response::new(RetrieveResponse::default())) };
        let length = found.text.len() as u64;
        // the search in a long text takes milliseconds and must not block other requests
        let asked = RetrieveArguments { hash, query, lines };
        self.ledger.count_retrieval(retrieval(&found.about, &asked));
        let content = tokio::task::spawn_blocking(move || {
            // with its room: a caller that leaves does not end this
            let found = found;
            answer(&found.text, &asked).text
        });
        let content =
            content.await.map_err(|_| Status::internal("the part could not be found: see the log"))?;
        Ok(Response::new(RetrieveResponse { found: true, content, length }))
    }
}

pub(super) fn check_tenant(tenant: &str) -> Result<(), Status> {
    if tenant.len() <= MAX_TENANT && !tenant.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "tenant: expected at most {MAX_TENANT} bytes without control characters, found {}",
        tenant.len()
    )))
}
