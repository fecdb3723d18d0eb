//! `headroom.v1` over gRPC: a thin layer; the ledger and the keeper of originals decide everything.

mod answers;
mod bounds;
mod memory;
mod originals;
mod report;
mod text_model;

use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{self, Next};
use axum::response::Response;
use headroom_api::v1::answers_server::AnswersServer;
use headroom_api::v1::control_plane_server::ControlPlaneServer;
use headroom_api::v1::memory_server::MemoryServer;
use headroom_api::v1::originals_server::OriginalsServer;
use headroom_api::v1::text_model_server::TextModelServer;
use tokio_stream::StreamExt as _;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;

use self::answers::AnswersService;
use self::bounds::PartCounter;
use self::memory::MemoryService;
use self::originals::OriginalsService;
pub(crate) use self::report::FilterState;
use self::report::ReportService;
use self::text_model::TextModelService;
use crate::answers::{Answers, MAX_ANSWER_BYTES};
use crate::decisions::Decisions;
use crate::learn::Learner;
use crate::ledger::writer::Ledger;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::messages::Messages;
use crate::originals::keeper::Originals;
use crate::tenants::Tenants;
use crate::token::Token;

/// Bytes of one report at most: 10,000 records without blocks, or a thousand with fifty each.
const MAX_REPORT_BYTES: usize = 4 << 20;
/// Bytes of one admission at most: the longest body that a filter reads by default, and the metadata.
const MAX_ADMIT_BYTES: usize = 33 << 20;
/// Bytes of one call of memory at most: twice what the filter forwards of a model's arguments.
const MAX_CALL_BYTES: usize = 2 << 20;

/// Bytes of a question about texts at most: twice what the filter sends.
const MAX_DECIDE_BYTES: usize = 1 << 20;

/// Bytes of a stored answer at most, and the metadata.
const MAX_KEEP_BYTES: usize = MAX_ANSWER_BYTES + (16 << 10);

/// The parts that the services use.
pub(crate) struct Parts {
    pub(crate) ledger: Ledger,
    pub(crate) limits: Limits,
    pub(crate) originals: Originals,
    pub(crate) memory: Memory,
    pub(crate) answers: Answers,
    pub(crate) decisions: Decisions,
    pub(crate) messages: Arc<Messages>,
    pub(crate) learner: Learner,
    pub(crate) watched: FilterState,
    pub(crate) keys: Keys,
}

/// The services, each with a limit on the size of a message.
pub(crate) fn routes(parts: Parts) -> Routes {
    let Parts { ledger, limits, originals, memory, answers, decisions, messages, learner, watched, keys } =
        parts;
    let report = ReportService {
        ledger: ledger.clone(),
        limits,
        originals: originals.clone(),
        messages,
        learner,
        watched,
    };
    let report = ControlPlaneServer::new(report).max_decoding_message_size(MAX_REPORT_BYTES);
    let originals = OriginalsServer::new(OriginalsService { originals, ledger, keys: keys.clone() });
    let memory = MemoryServer::new(MemoryService { memory, keys: keys.clone() });
    let answers = AnswersServer::new(AnswersService { answers, keys: keys.clone() });
    let text_model = TextModelServer::new(TextModelService { decisions, keys: keys.clone() });
    let routes = Routes::new(report)
        .add_service(originals.max_decoding_message_size(MAX_ADMIT_BYTES))
        .add_service(memory.max_decoding_message_size(MAX_CALL_BYTES))
        .add_service(answers.max_decoding_message_size(MAX_KEEP_BYTES))
        .add_service(text_model.max_decoding_message_size(MAX_DECIDE_BYTES));
    routes.into_axum_router().layer(middleware::from_fn_with_state(keys, admit)).into()
}

/// Refuses a call before its message is read if its caller shows no valid token, and while it is read if it has too many
/// parts.
async fn admit(State(keys): State<Keys>, request: Request, next: Next) -> Response {
    if let Err(status) = keys.admit(request.uri().path(), request.headers()) {
        return status.into_http();
    }
    let Some(mut counter) = PartCounter::of(request.uri().path()) else { return next.run(request).await };
    let counted = request.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |data| {
            let data = data.map_err(BoxError::from)?;
            counter.read(&data)?;
            Ok::<_, BoxError>(data)
        }))
    });
    next.run(counted).await
}

/// The tokens that callers send.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) token: Option<Token>,
    pub(crate) tenants: Tenants,
}

impl Keys {
    /// Whether a caller may call a method at all.
    fn admit(&self, method: &str, headers: &HeaderMap) -> Result<(), Status> {
        let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let has_tenants = !method.starts_with("/headroom.v1.ControlPlane/");
        if has_tenants && self.tenants.shown_by(shown).is_some() {
            return Ok(());
        }
        authorize(self.token.as_ref(), shown)
    }

    /// Whether a caller may access the data of `tenant`. A caller with a tenant's token may leave the tenant's name
    /// empty.
    fn authorize(&self, tenant: &mut String, metadata: &MetadataMap) -> Result<(), Status> {
        let own = self.tenants.shown_by(shown(metadata));
        match own {
            None => authorize(self.token.as_ref(), shown(metadata)),
            Some(_) if self.token.as_ref().is_some_and(|token| token.is_shown_by(shown(metadata))) => Ok(()),
            Some(own) if tenant.is_empty() || tenant == own => {
                own.clone_into(tenant);
                Ok(())
            }
            Some(_) => {
                Err(Status::permission_denied("this token opens its own tenant's data, and nothing else"))
            }
        }
    }
}

fn shown(metadata: &MetadataMap) -> &str {
    metadata.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn authorize(token: Option<&Token>, shown: &str) -> Result<(), Status> {
    let Some(token) = token else { return Ok(()) };
    if token.is_shown_by(shown) {
        return Ok(());
    }
    Err(Status::unauthenticated(
        "expected the metadata \"authorization: Bearer …\" with the token in HEADROOM_TOKEN",
    ))
}
