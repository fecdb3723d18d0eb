//! A host for the filter's imports: it keeps what Envoy would keep, one stream at a time, per test thread.
//!
//! On the native target the filter's imports are plain C symbols, so defining them here is enough to run it
//! without Envoy.

#![allow(unsafe_code, reason = "the filter reaches its host over a C interface")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::slice;

use crate::exports;

/// The host's status for a call that it carries out.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;

pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// A unary gRPC call that the filter has started.
#[derive(Clone, Debug)]
pub(crate) struct GrpcCall {
    pub(crate) target: Vec<u8>,
    pub(crate) method: String,
    pub(crate) metadata: Headers,
    pub(crate) message: Vec<u8>,
    pub(crate) timeout_ms: u32,
    pub(crate) token: u32,
}

/// An HTTP call that the filter has started.
#[derive(Clone, Debug)]
pub(crate) struct HttpCall {
    pub(crate) cluster: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: u32,
    pub(crate) token: u32,
}

/// A call to refuse: its name, and the status to return.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) call: &'static str,
    pub(crate) status: u32,
    /// How many calls succeed first.
    pub(crate) after: u32,
}

#[derive(Default)]
pub(crate) struct Host {
    pub(crate) now: u64,
    /// How long each call takes. Nanoseconds.
    pub(crate) call_takes: u64,
    pub(crate) configuration: Vec<u8>,
    pub(crate) root_id: String,
    /// `None` once they have left, as in Envoy.
    pub(crate) request_headers: Option<Headers>,
    pub(crate) response_headers: Option<Headers>,
    pub(crate) request_body: Vec<u8>,
    pub(crate) response_body: Vec<u8>,
    pub(crate) grpc_message: Vec<u8>,
    /// Envoy's name of the cluster; `None`: the provider's.
    pub(crate) cluster: Option<&'static str>,
    /// The values of the client's certificate.
    pub(crate) peer: Option<&'static str>,
    /// Envoy's name of the route, if the host knows one.
    pub(crate) route_name: Option<&'static str>,
    /// Why a stream ended, as Envoy's flags.
    pub(crate) response_flags: u64,
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    /// The data that all VMs share, each with its version.
    pub(crate) shared: BTreeMap<String, (Vec<u8>, u32)>,
    pub(crate) metrics: Vec<(String, u64)>,
    pub(crate) gauges: Vec<u32>,
    pub(crate) log: Vec<String>,
    pub(crate) tick_period: u32,
    /// The token of the filter's last call.
    pub(crate) last_token: u32,
    pub(crate) grpc_calls: Vec<GrpcCall>,
    pub(crate) http_calls: Vec<HttpCall>,
    /// The answer to an HTTP call, while the filter reads it.
    pub(crate) http_answer: Option<(Headers, Vec<u8>)>,
    /// Replaces a well-formed header map.
    pub(crate) serialized_headers: Option<Vec<u8>>,
    /// The context that calls apply to after the filter has changed it.
    pub(crate) effective_context: u32,
    /// Streams that were released outside of their own callbacks.
    pub(crate) continued: Vec<u32>,
    pub(crate) continued_answers: Vec<u32>,
    /// Answers that the filter has given instead of the provider: status, headers, body.
    pub(crate) answers: Vec<(u32, Headers, Vec<u8>)>,
    /// Streams that were ended.
    pub(crate) closed: Vec<u32>,
    pub(crate) refusal: Option<Refusal>,
    /// The names of all calls that were made.
    pub(crate) calls: Vec<&'static str>,
}

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host {
        now: 1_700_000_000_000_000_000,
        call_takes: 1_000,
        ..Host::default()
    });
}

/// Reads or changes the host between two callbacks.
pub(crate) fn host<T>(look: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(look)
}

/// Runs `act` while the host refuses a call.
pub(crate) fn refusing<T>(refusal: Refusal, act: impl FnOnce() -> T) -> T {
    host(|host| host.refusal = Some(refusal));
    let done = act();
    host(|host| host.refusal = None);
    done
}

/// The statuses with which the host refuses a call. Calls of other services go through the crate, which
/// handles those that Envoy returns.
pub(crate) fn statuses(call: &str) -> Vec<u32> {
    const PARSE_FAILURE: u32 = 4;
    const INTERNAL_FAILURE: u32 = 10;
    match call {
        "http_call" => vec![BAD_ARGUMENT, INTERNAL_FAILURE],
        "grpc_call" => vec![PARSE_FAILURE, INTERNAL_FAILURE],
        // Those of proxy-wasm, and two undefined ones.
        _ => (1..=14).collect(),
    }
}

/// Keeps log messages, as the host would.
struct HostLog;

impl log::Log for HostLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        host(|host| host.log.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// Starts to keep log messages. Safe to repeat.
pub(crate) fn keep_log() {
    // An error means that they are kept already.
    let _ = log::set_logger(&HostLog);
    log::set_max_level(log::LevelFilter::Info);
}

/// A metric's value; 0 if nothing was counted.
pub(crate) fn metric(name: &str) -> u64 {
    host(|host| host.metrics.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value))
}

/// Makes a call. It has a name, so that it can be refused.
fn call(name: &'static str, run: impl FnOnce(&mut Host) -> u32) -> u32 {
    host(|host| {
        host.calls.push(name);
        // The clock moves while a callback runs.
        host.now += host.call_takes;
        match &mut host.refusal {
            Some(refusal) if refusal.call == name => {
                if refusal.after == 0 {
                    return refusal.status;
                }
                refusal.after -= 1;
                run(host)
            }
            _ => run(host),
        }
    })
}

fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    // SAFETY: the filter passes a pointer and a length that describe a slice that outlives the call.
    if size == 0 { &[] } else { unsafe { slice::from_raw_parts(data, size) } }
}

fn text(data: *const u8, size: usize) -> String {
    String::from_utf8(bytes(data, size).to_vec()).unwrap()
}

/// Header pairs as a module serializes them for the host.
fn pairs(bytes: &[u8]) -> Headers {
    if bytes.is_empty() {
        return Headers::new();
    }
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut data = 4 + 8 * number(0);
    let mut take = |size: usize| {
        let value = bytes[data..data + size].to_vec();
        assert_eq!(bytes[data + size], 0, "each ends with a zero");
        data += size + 1;
        value
    };
    let read = (0..number(0)).map(|pair| {
        let name = take(number(4 + 8 * pair));
        (String::from_utf8(name).unwrap(), take(number(8 + 8 * pair)))
    });
    let read = read.collect();
    assert_eq!(data, bytes.len());
    read
}

/// Passes bytes to the module, as a host does: in memory that it asks the module for.
fn hand_over(bytes: &[u8], data: *mut *mut u8, size: *mut usize) -> u32 {
    let memory = exports::proxy_on_memory_allocate(bytes.len());
    // SAFETY: `memory` has room for the bytes; `data` and `size` are the filter's to write to.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory, bytes.len());
        data.write(memory);
        size.write(bytes.len());
    }
    OK
}

fn write<T>(to: *mut T, value: T) {
    // SAFETY: the filter passes pointers that are valid for writes during the call.
    unsafe { to.write(value) }
}

fn headers(host: &mut Host, map: u32) -> Option<&mut Headers> {
    match map {
        0 => host.request_headers.as_mut(),
        2 => host.response_headers.as_mut(),
        6 => host.http_answer.as_mut().map(|(headers, _)| headers),
        other => panic!("the filter asked for header map {other}"),
    }
}

fn buffer(host: &mut Host, kind: u32) -> &mut Vec<u8> {
    match kind {
        0 => &mut host.request_body,
        1 => &mut host.response_body,
        4 => &mut host.http_answer.as_mut().expect("asked for while there is one").1,
        5 => &mut host.grpc_message,
        7 => &mut host.configuration,
        other => panic!("the filter asked for buffer {other}"),
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_log(_level: u32, message: *const u8, size: usize) -> u32 {
    call("log", |host| {
        host.log.push(text(message, size));
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32 {
    call("get_current_time", |host| {
        write(time, host.now);
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> u32 {
    call("set_tick_period", |host| {
        host.tick_period = period;
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_buffer_bytes(
    kind: u32,
    start: usize,
    max_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    call("get_buffer", |host| {
        let bytes = buffer(host, kind).clone();
        let end = start.saturating_add(max_size).min(bytes.len());
        hand_over(&bytes[start..end], data, size)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_buffer_bytes(
    kind: u32,
    start: usize,
    size: usize,
    data: *const u8,
    data_size: usize,
) -> u32 {
    call("set_buffer", |host| {
        let buffer = buffer(host, kind);
        let data = bytes(data, data_size);
        match (start, size) {
            (0, 0) => drop(buffer.splice(0..0, data.iter().copied())),
            (0, size) if size >= buffer.len() => *buffer = data.to_vec(),
            _ => return BAD_ARGUMENT,
        }
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    call("get_header_map_pairs", |host| {
        if let Some(serialized) = &host.serialized_headers {
            return hand_over(serialized, data, size);
        }
        let Some(headers) = headers(host, map) else { return BAD_ARGUMENT };
        let mut serialized = (headers.len() as u32).to_le_bytes().to_vec();
        for (name, value) in headers.iter() {
            serialized.extend((name.len() as u32).to_le_bytes());
            serialized.extend((value.len() as u32).to_le_bytes());
        }
        for (name, value) in headers.iter() {
            serialized.extend_from_slice(name.as_bytes());
            serialized.push(0);
            serialized.extend_from_slice(value);
            serialized.push(0);
        }
        hand_over(&serialized, data, size)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_replace_header_map_value(
    map: u32,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    call("replace_header", |host| {
        let Some(headers) = headers(host, map) else { return BAD_ARGUMENT };
        let name = text(name, name_size);
        headers.retain(|(of, _)| *of != name);
        headers.push((name, bytes(value, value_size).to_vec()));
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32 {
    call("remove_header", |host| {
        let Some(headers) = headers(host, map) else { return BAD_ARGUMENT };
        let name = text(name, name_size);
        headers.retain(|(of, _)| *of != name);
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    call("get_property", |host| match text(path, path_size).as_str() {
        "cluster_name" => hand_over(host.cluster.unwrap_or("the provider's").as_bytes(), data, size),
        "connection\0dns_san_peer_certificate" if host.peer.is_some() => {
            hand_over(host.peer.unwrap_or_default().as_bytes(), data, size)
        }
        "connection\0sha256_peer_certificate_digest" if host.peer.is_some() => {
            hand_over(host.peer.unwrap_or_default().as_bytes(), data, size)
        }
        "xds\0route_name" if host.route_name.is_some() => {
            hand_over(host.route_name.unwrap_or_default().as_bytes(), data, size)
        }
        "response\0flags" => hand_over(&host.response_flags.to_le_bytes(), data, size),
        "source\0address" => hand_over(b"127.0.0.1:4711", data, size),
        "plugin_root_id" => hand_over(host.root_id.clone().as_bytes(), data, size),
        _ => NOT_FOUND,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    call("set_property", |host| {
        host.properties.insert(text(path, path_size), bytes(value, value_size).to_vec());
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32 {
    call("define_metric", |host| {
        let name = text(name, name_size);
        let known = host.metrics.iter().position(|(of, _)| *of == name);
        let index = known.unwrap_or_else(|| {
            host.metrics.push((name, 0));
            host.metrics.len() - 1
        });
        const GAUGE: u32 = 1;
        if kind == GAUGE {
            host.gauges.push(index as u32);
        }
        write(id, index as u32);
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> u32 {
    call("increment_metric", |host| {
        // Counters only grow.
        if offset <= 0 && !host.gauges.contains(&id) {
            return BAD_ARGUMENT;
        }
        let value = &mut host.metrics[id as usize].1;
        *value = value.checked_add_signed(offset).expect("no gauge is below zero");
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, value: u64) -> u32 {
    call("record_metric", |host| {
        host.metrics[id as usize].1 = value;
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_effective_context(context: u32) -> u32 {
    call("set_effective_context", |host| {
        host.effective_context = context;
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
    version: *mut u32,
) -> u32 {
    call("get_shared_data", |host| {
        let Some((value, of)) = host.shared.get(&text(key, key_size)) else { return NOT_FOUND };
        write(version, *of);
        hand_over(&value.clone(), data, size)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
    version: u32,
) -> u32 {
    const CAS_MISMATCH: u32 = 8;
    call("set_shared_data", |host| {
        let known = host.shared.get(&text(key, key_size)).map(|(_, of)| *of);
        if known.is_some_and(|of| version != 0 && of != version) {
            return CAS_MISMATCH;
        }
        let value = bytes(value, value_size).to_vec();
        host.shared.insert(text(key, key_size), (value, known.unwrap_or(0) + 1));
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_continue_stream(stream: u32) -> u32 {
    call("continue_stream", |host| {
        let continued = if stream == 0 { &mut host.continued } else { &mut host.continued_answers };
        continued.push(host.effective_context);
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_send_local_response(
    status: u32,
    _details: *const u8,
    _details_size: usize,
    body: *const u8,
    body_size: usize,
    headers: *const u8,
    headers_size: usize,
    grpc_status: i32,
) -> u32 {
    call("send_local_response", |host| {
        assert_eq!(grpc_status, -1, "the filter answers HTTP");
        let headers = pairs(bytes(headers, headers_size));
        host.answers.push((status, headers, bytes(body, body_size).to_vec()));
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_close_stream(_stream: u32) -> u32 {
    call("close_stream", |host| {
        host.closed.push(host.effective_context);
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_grpc_call(
    target: *const u8,
    target_size: usize,
    service: *const u8,
    service_size: usize,
    method: *const u8,
    method_size: usize,
    metadata: *const u8,
    metadata_size: usize,
    message: *const u8,
    message_size: usize,
    timeout_ms: u32,
    token: *mut u32,
) -> u32 {
    call("grpc_call", |host| {
        host.last_token += 1;
        let number = host.last_token;
        host.grpc_calls.push(GrpcCall {
            target: bytes(target, target_size).to_vec(),
            method: format!("{}/{}", text(service, service_size), text(method, method_size)),
            metadata: pairs(bytes(metadata, metadata_size)),
            message: bytes(message, message_size).to_vec(),
            timeout_ms,
            token: number,
        });
        write(token, number);
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_http_call(
    cluster: *const u8,
    cluster_size: usize,
    headers: *const u8,
    headers_size: usize,
    body: *const u8,
    body_size: usize,
    trailers: *const u8,
    trailers_size: usize,
    timeout_ms: u32,
    token: *mut u32,
) -> u32 {
    call("http_call", |host| {
        assert_eq!(pairs(bytes(trailers, trailers_size)), Headers::new());
        // The tokens of both kinds of calls come from one sequence, as in Envoy.
        host.last_token += 1;
        let number = host.last_token;
        host.http_calls.push(HttpCall {
            cluster: text(cluster, cluster_size),
            headers: pairs(bytes(headers, headers_size)),
            body: bytes(body, body_size).to_vec(),
            timeout_ms,
            token: number,
        });
        write(token, number);
        OK
    })
}

/// Host functions that the crate can call and the filter does not use.
macro_rules! unused {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> u32 {
                panic!(concat!("the filter called ", stringify!($name)))
            }
        )*
    };
}

unused! {
    proxy_add_header_map_value
    proxy_call_foreign_function
    proxy_dequeue_shared_queue
    proxy_done
    proxy_enqueue_shared_queue
    proxy_get_header_map_value
    proxy_get_status
    proxy_grpc_cancel
    proxy_grpc_close
    proxy_grpc_send
    proxy_grpc_stream
    proxy_register_shared_queue
    proxy_resolve_shared_queue
    proxy_set_header_map_pairs
}
