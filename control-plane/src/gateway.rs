//! Compression as a service, for gateways and SDKs that hand over messages instead of a request.
//!
//! A row is compressed by itself, together with the call that made it where the request shows that: callers send
//! parts of conversations, and the same row has to come back as the same bytes whatever stands around it. So rows do
//! not refer to each other here, which the filter in the data plane, which sees whole conversations, lets them do.

mod answer;
mod asked;
mod row;
mod service;
mod sessions;

pub(crate) use self::asked::{Asked, Bad, session_id};
pub(crate) use self::service::{Caller, Service};
