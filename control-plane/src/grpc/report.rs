//! `ControlPlane/Report`: checks the envelope, passes the records to the ledger, and returns which budgets
//! are used up, as `ControlPlane/Limits` does.

use std::sync::Arc;

use headroom_api::v1::control_plane_server::ControlPlane;
use headroom_api::v1::{LimitsRequest, LimitsResponse, ReportRequest, ReportResponse};
use tonic::{Request, Response, Status};

use crate::filters::Filters;
use crate::http::Metrics;
use crate::learn::Learner;
use crate::ledger::store::Batch;
use crate::ledger::writer::{Ledger, ReportError};
use crate::limits::Limits;
use crate::messages::Messages;
use crate::originals::keeper::Originals;
use crate::sessions::Sessions;

/// Records in one report at most.
pub(super) const MAX_RECORDS: usize = 10_000;
/// Characters of a VM's id at most.
const MAX_VM_ID: usize = 64;

/// The state of the filters in memory, and the counter of ended sessions.
pub(crate) struct FilterState {
    pub(crate) filters: Arc<Filters>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Answers the filter.
pub(super) struct ReportService {
    pub(super) ledger: Ledger,
    pub(super) limits: Limits,
    pub(super) originals: Originals,
    pub(super) messages: Arc<Messages>,
    pub(super) learner: Learner,
    pub(super) watched: FilterState,
}

#[tonic::async_trait]
impl ControlPlane for ReportService {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let mut request = request.into_inner();
        let messages = std::mem::take(&mut request.logged_messages);
        let sessions = std::mem::take(&mut request.websocket_sessions);
        let batch = checked(request)?;
        self.watched.filters.heard(&batch.vm_id, batch.config_errors);
        self.learner.offer(&batch.records, &messages);
        // before the records, so that a visible record always has its messages
        self.messages.keep(messages);
        let acknowledged_sequence = self.ledger.report(batch).await.map_err(|error| match error {
            ReportError::Busy => Status::resource_exhausted(error.to_string()),
            ReportError::Store | ReportError::Stopping => Status::unavailable(error.to_string()),
        })?;
        self.watched.metrics.sessions_ended(&self.watched.sessions.heard(sessions));
        // Empty if it cannot be read. Then nothing is assumed to be stored, and the records are counted
        // anyway.
        let epoch = self.originals.epoch().await.unwrap_or_default();
        Ok(Response::new(ReportResponse { acknowledged_sequence, epoch, limits: self.limits.now().await }))
    }

    async fn limits(&self, _: Request<LimitsRequest>) -> Result<Response<LimitsResponse>, Status> {
        Ok(Response::new(self.limits.now().await.unwrap_or_default()))
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
        return Err(Status::invalid_argument(format!(
            "records: expected at most {MAX_RECORDS} in one message, found {}: send them in parts",
            request.records.len()
        )));
    }
    if request.records.iter().any(|record| record.sequence == 0) {
        return Err(Status::invalid_argument("records: a sequence is 0; sequences count from 1"));
    }
    Ok(Batch {
        vm_id: request.vm_id,
        filter_version: request.filter_version,
        records: request.records,
        retrievals: Vec::new(),
        dropped_records: request.dropped_records,
        config_errors: request.config_errors,
        dropped_originals: request.dropped_originals,
        begun_records: request.begun_records,
        report_interval_ms: request.report_interval_ms,
    })
}
