//! `ControlPlane/Report`: checks the envelope, hands the records to the ledger.

use headroom_api::v1::control_plane_server::ControlPlane;
use headroom_api::v1::{ReportRequest, ReportResponse};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::ledger::writer::{Ledger, NotCounted};
use crate::store::Batch;
use crate::token::Token;

/// Records in one report at most.
const MAX_RECORDS: usize = 10_000;
/// Characters of a VM's id at most.
const MAX_VM_ID: usize = 64;

/// Answers the filter.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) ledger: Ledger,
    pub(crate) epoch: String,
    pub(crate) token: Option<Token>,
}

#[tonic::async_trait]
impl ControlPlane for Service {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        self.authorize(request.metadata())?;
        let batch = checked(request.into_inner())?;
        let acknowledged_sequence = self.ledger.report(batch).await.map_err(|error| match error {
            NotCounted::Busy => Status::resource_exhausted(error.to_string()),
            NotCounted::Store | NotCounted::Stopping => Status::unavailable(error.to_string()),
        })?;
        Ok(Response::new(ReportResponse { acknowledged_sequence, epoch: self.epoch.clone() }))
    }
}

impl Service {
    fn authorize(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = metadata.get("authorization").and_then(|value| value.to_str().ok());
        if shown.is_some_and(|shown| token.is_shown_by(shown)) {
            return Ok(());
        }
        Err(Status::unauthenticated(
            "expected the metadata \"authorization: Bearer …\" with the token in HEADROOM_TOKEN",
        ))
    }
}

fn checked(request: ReportRequest) -> Result<Batch, Status> {
    let id = &request.vm_id;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() || id.len() > MAX_VM_ID || !id.bytes().all(plain) {
        return Err(Status::invalid_argument(format!(
            "vm_id: expected 1 to {MAX_VM_ID} letters, digits, - or _; found {} bytes of something else",
            id.len()
        )));
    }
    if request.records.len() > MAX_RECORDS {
        let found = request.records.len();
        return Err(Status::invalid_argument(format!(
            "records: expected at most {MAX_RECORDS} in one report, found {found}: send them in parts"
        )));
    }
    if request.records.iter().any(|record| record.sequence == 0) {
        return Err(Status::invalid_argument("records: a sequence is 0; sequences count from 1"));
    }
    Ok(Batch {
        vm_id: request.vm_id,
        filter_version: request.filter_version,
        records: request.records,
        dropped_records: request.dropped_records,
        config_errors: request.config_errors,
    })
}
