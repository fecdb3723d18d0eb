//! Error answers: `{"error":{"type","message"}}`.

use std::borrow::Cow;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::memory::MemoryError;
use crate::originals::keeper::RetrieveError;
use crate::trouble::StoreError;

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: Cow<'static, str>,
}

impl Refusal {
    pub(crate) const NOT_FOUND: Self =
        Self::fixed(StatusCode::NOT_FOUND, "not_found", "there is nothing under this path");
    pub(crate) const METHOD: Self = Self::fixed(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the path exists, but not for this method",
    );

    pub(crate) const INTERNAL: Self =
        Self::fixed(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this went wrong here: see the log");

    pub(crate) const TOKEN: Self = Self::fixed(
        StatusCode::UNAUTHORIZED,
        "token",
        "expected the header \"Authorization: Bearer …\" with the token in HEADROOM_TOKEN",
    );
    pub(crate) const TENANT: Self = Self::fixed(
        StatusCode::FORBIDDEN,
        "tenant",
        "this token opens its own tenant's originals and memory, and nothing else",
    );
    pub(crate) const HOST: Self = Self::fixed(
        StatusCode::FORBIDDEN,
        "host",
        "expected localhost or an address in Host: put other names into HEADROOM_ALLOWED_HOSTS",
    );
    pub(crate) const REMOTE: Self = Self::fixed(
        StatusCode::FORBIDDEN,
        "remote",
        "this request came from another machine, so headroomd needs a token: set HEADROOM_TOKEN for headroomd",
    );
    pub(crate) const RATE: Self =
        Self::fixed(StatusCode::TOO_MANY_REQUESTS, "rate", "too many requests: try again in a second");
    pub(crate) const LISTENERS: Self = Self::fixed(
        StatusCode::SERVICE_UNAVAILABLE,
        "listeners",
        "too many clients listen already: try again later",
    );

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// An invalid query; the message says what was expected.
    pub(crate) fn query(message: String) -> Self {
        Self::told(StatusCode::BAD_REQUEST, "bad_query", message)
    }

    /// A refusal with its own message.
    pub(crate) fn told(status: StatusCode, kind: &'static str, message: String) -> Self {
        Self { status, kind, message: Cow::Owned(message) }
    }

    pub(crate) const fn fixed(status: StatusCode, kind: &'static str, message: &'static str) -> Self {
        Self { status, kind, message: Cow::Borrowed(message) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"type": self.kind, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        if matches!(self.kind, "rate" | "busy") {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        // the database's message may contain hosts and users, so it goes only to the log
        tracing::error!(message = "A page could not be read from the store.", %error);
        Self::fixed(StatusCode::SERVICE_UNAVAILABLE, "store", "the store does not answer: see the log")
    }
}

impl From<RetrieveError> for Refusal {
    fn from(error: RetrieveError) -> Self {
        match error {
            RetrieveError::Store(error) => error.into(),
            RetrieveError::Busy => Self::told(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string()),
        }
    }
}

impl From<MemoryError> for Refusal {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Store(error) => error.into(),
            MemoryError::NotLoaded(_) | MemoryError::Embed(_) => {
                Self::told(StatusCode::SERVICE_UNAVAILABLE, "memory", error.to_string())
            }
            MemoryError::Invalid(message) => Self::query(message),
            MemoryError::NotFound(_) => Self::told(StatusCode::NOT_FOUND, "not_found", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_to_come_back_is_told_when() {
        let later = |refusal: Refusal| refusal.into_response().headers().contains_key(RETRY_AFTER);
        assert!(later(Refusal::RATE) && later(RetrieveError::Busy.into()));
        assert!(!later(Refusal::NOT_FOUND));
    }
}
