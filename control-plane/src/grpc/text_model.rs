//! `TextModel`: checks the envelope, passes the rest on.

use headroom_api::v1::text_model_server;
use headroom_api::v1::{DecideRequest, DecideResponse};
use tonic::{Request, Response, Status};

use super::Keys;
use super::originals::check_tenant;
use crate::decisions::Decisions;
use crate::originals::keeper::is_address;

/// Outputs of one question at most, as many as the filter sends.
pub(super) const MAX_OUTPUTS: usize = 1_024;
/// Bytes of a request's id at most; the filter's have 27.
const MAX_ID_BYTES: usize = 64;

/// Answers the filter.
pub(super) struct TextModelService {
    pub(super) decisions: Decisions,
    pub(super) keys: Keys,
}

#[tonic::async_trait]
impl text_model_server::TextModel for TextModelService {
    async fn decide(&self, request: Request<DecideRequest>) -> Result<Response<DecideResponse>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        self.keys.authorize(&mut request.tenant, &metadata)?;
        check_tenant(&request.tenant)?;
        let hashes = || request.outputs.iter().map(|output| output.hash.as_str());
        if !hashes().all(is_address) {
            return Err(Status::invalid_argument(
                "outputs: expected a hash of 24 hexadecimal digits in each",
            ));
        }
        if request.request_id.len() > MAX_ID_BYTES {
            return Err(Status::invalid_argument(format!(
                "request_id: expected at most {MAX_ID_BYTES} bytes"
            )));
        }
        let decided = self.decisions.decide(request).await.map_err(|error| {
            // the database's message may contain hosts and users, so it goes only to the log
            tracing::error!(message = "It was not decided on texts, and they stay as they are.", %error);
            Status::unavailable("the store does not answer: see the log")
        })?;
        Ok(Response::new(decided))
    }
}
