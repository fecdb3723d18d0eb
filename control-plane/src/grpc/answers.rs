//! `Answers`: checks the envelope, passes the rest on.

use std::time::Duration;

use headroom_api::v1::answers_server;
use headroom_api::v1::{
    AnswerState, FindAnswerRequest, FindAnswerResponse, KeepAnswerRequest, KeepAnswerResponse, Question,
};
use tonic::{Request, Response, Status};

use super::Keys;
use super::originals::check_tenant;
use crate::answers::{AnswerQuery, Answers, Key, LookupOutcome, MAX_ANSWER_BYTES};

/// Bytes of a keyed hash.
const DIGEST_BYTES: usize = 32;
/// Bytes of a question at most, twice as many as the filter sends.
const MAX_QUESTION_BYTES: usize = 1_024;
/// Bytes of a content type at most.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

/// Answers the filter.
pub(super) struct AnswersService {
    pub(super) answers: Answers,
    pub(super) keys: Keys,
}

#[tonic::async_trait]
impl answers_server::Answers for AnswersService {
    async fn find(
        &self,
        request: Request<FindAnswerRequest>,
    ) -> Result<Response<FindAnswerResponse>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        self.keys.authorize(&mut request.tenant, &metadata)?;
        let FindAnswerRequest { tenant, key, max_age_ms, wait_ms, question } = request;
        check_question(question.as_ref())?;
        let wanted = AnswerQuery {
            key: key_of(tenant, &key)?,
            max_age: (max_age_ms > 0).then(|| Duration::from_millis(max_age_ms)),
            wait: Duration::from_millis(wait_ms.into()),
            question,
        };
        let mut response = FindAnswerResponse::default();
        match self.answers.find(wanted).await {
            LookupOutcome::Nothing => response.set_state(AnswerState::None),
            LookupOutcome::UnderWay => response.set_state(AnswerState::UnderWay),
            LookupOutcome::Answer { answer, age, similar } => {
                response.set_state(if similar { AnswerState::Similar } else { AnswerState::Found });
                response.answer = Some((*answer).clone());
                response.age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            }
        }
        Ok(Response::new(response))
    }

    async fn keep(
        &self,
        request: Request<KeepAnswerRequest>,
    ) -> Result<Response<KeepAnswerResponse>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        self.keys.authorize(&mut request.tenant, &metadata)?;
        let KeepAnswerRequest { tenant, key, answer, ttl_seconds, question } = request;
        check_question(question.as_ref())?;
        if let Some(answer) = &answer
            && (answer.body.len() > MAX_ANSWER_BYTES || answer.content_type.len() > MAX_CONTENT_TYPE_BYTES)
        {
            return Err(Status::invalid_argument(format!(
                "answer: expected at most {MAX_ANSWER_BYTES} bytes, and {MAX_CONTENT_TYPE_BYTES} of content type"
            )));
        }
        let key = key_of(tenant, &key)?;
        let kept = self.answers.keep(key, answer, Duration::from_secs(ttl_seconds), question).await;
        Ok(Response::new(KeepAnswerResponse { kept }))
    }
}

fn key_of(tenant: String, digest: &[u8]) -> Result<Key, Status> {
    check_tenant(&tenant)?;
    let found = digest.len();
    let digest = digest.try_into().map_err(|_| {
        Status::invalid_argument(format!("key: expected {DIGEST_BYTES} bytes, found {found}"))
    })?;
    Ok(Key { tenant, digest })
}

fn check_question(question: Option<&Question>) -> Result<(), Status> {
    let Some(question) = question else { return Ok(()) };
    if question.scope.len() == DIGEST_BYTES && question.text.len() <= MAX_QUESTION_BYTES {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "question: expected a scope of {DIGEST_BYTES} bytes and a text of at most {MAX_QUESTION_BYTES}"
    )))
}
