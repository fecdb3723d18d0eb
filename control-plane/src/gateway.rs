//! Compression as a service, for gateways and SDKs that send messages instead of a request.
//!
//! Each row is compressed separately, together with the call that produced it if the request shows the call. Callers
//! send parts of conversations, and the same row must become the same bytes in every context. So rows do not refer
//! to each other here, and only for a caller that names a scorer what the user has said before a row counts. The filter, which sees whole conversations, does use such references.

mod answer;
mod focus;
mod request;
mod row;
mod service;
mod sessions;

pub(crate) use self::request::{CompressRequest, InvalidRequest, session_id};
pub(crate) use self::service::{Caller, Service};
