//! The system from end to end: every request goes through a real Envoy with the real filter.
//!
//! They are also the conformance cases that `make test-matrix` runs with each supported version of Envoy.
//! The behaviour of Envoy that the filter depends on or works around, and its test:
//!
//! | Envoy | test |
//! |---|---|
//! | a body of another length needs the header gone, or held until the body is final; over HTTP/1.1 and HTTP/2 | `forwarding::the_engines_bytes_are_forwarded` |
//! | held headers without `allow_on_headers_stop_iteration` would hang | `configuration::hold_mode_where_…` |
//! | a body comes in hundreds of callbacks, sized by what has come so far | `forwarding::a_body_in_three_hundred_…` |
//! | the end of the stream may come only with trailers, as it does after Envoy's decompressor | `forwarding::a_stream_that_ends_with_trailers_…`, `a_request_that_envoy_decompresses_…` |
//! | no body, no body callback | `unread::a_request_without_a_body_passes` |
//! | the filter runs once, a retry sends what it made | `answers::a_retry_sends_…` |
//! | header values are bytes | `forwarding::a_header_that_is_no_text_goes_through` |
//! | 413 when a paused body outgrows the buffer | `unread::a_body_…over_the_cap…`, `forwarding::the_longest_body_…` |
//! | each worker has a VM | `forwarding::requests_at_the_same_time_…`, `delivered::a_new_module_…` |
//! | a refused configuration stops Envoy or the update | `configuration::…`, `delivered::what_is_no_configuration_…` |
//! | a trap ends the VM; `FAIL_RELOAD` makes a new one | `delivered::a_trap_costs_…` |
//! | a cluster's name may be taken for protobuf, and Envoy aborts | `configuration::a_cluster_whose_name_…` |
//! | a dead, slow or wrong cluster answers calls with status 14, late or never | `sidecar::…`, `faults::with_…` |
//! | a client that leaves cancels the current exchange | `answers::a_client_that_leaves_…`, `tool_loop::a_client_that_leaves_…` |
//! | metrics are shared by the VMs; filter state reaches the access log | `sidecar::…`, `production::…` |
//! | an upgraded stream has no end that the filter could write to | `websockets::a_silent_session_…` |
//! | only response flags show which side has left an upgraded stream | `websockets::every_way_…` |
//! | pieces of a stream come one by one, cut anywhere | `answers::each_event_…`, `answers_arrive_byte_for_byte` |
//! | a VM is destroyed with its last root, whatever `on_done` answers; shared data outlives it | `delivered::a_reload_in_the_middle_…`, `ending::…` |
//! | ECDS, long names, JSON text or protobuf as configuration, as Istio delivers them | `delivered::…` |

mod answer_cache;
mod answer_flights;
mod answers;
mod append_only;
mod bodies;
mod cache_edits;
mod canary;
mod command_line;
mod compressed_before;
mod configuration;
mod contexts;
mod copilot;
mod delivered;
mod demo;
mod encodings;
mod ending;
mod epochs;
mod faults;
mod formats;
mod forwarding;
#[path = "../../../filter/tests/filter/frames.rs"]
mod frames;
mod logging;
mod names;
mod placeholder;
#[allow(dead_code, reason = "the store's own tests use the rest")]
#[path = "../../../control-plane/tests/store/server.rs"]
mod postgres;
mod production;
mod prompt_cache;
mod recorded;
mod remembering;
mod replicas;
mod reversible;
mod sidecar;
mod signed;
mod similar_questions;
mod slices;
mod stacks;
mod text_model;
mod thinking;
mod tool_loop;
mod unread;
mod websockets;
