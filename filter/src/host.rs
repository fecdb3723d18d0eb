//! Host calls that return their status as a value, where the crate `proxy-wasm` panics: no status can trap
//! the VM.
//!
//! The crate panics on every status that it does not expect, and Envoy returns some of those in ordinary
//! situations (reading a header after the headers have left is `BadArgument`). A panic traps the VM and fails
//! every later request on the worker. Therefore this module has its own bindings for buffers, header maps,
//! properties, metrics, shared data and the clock, and for letting a stream go on or ending it. Calls of
//! other services go through the crate, which has to know their tokens; a refusal of Envoy is an error value
//! there too.

#![allow(unsafe_code, reason = "the host is reached over a C interface")]

use std::fmt;
use std::ptr::null_mut;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, StreamType};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        size: usize,
        data: *const u8,
        data_size: usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
}

/// A call that the host did not carry out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RefusedCall {
    /// The name of the call.
    pub(crate) call: &'static str,
    /// The host's status.
    pub(crate) status: u32,
}

/// The result of every call in this module.
pub(crate) type Result<T> = std::result::Result<T, RefusedCall>;

/// Converts configured milliseconds to the nanoseconds of [`now`].
pub(crate) const NANOS_PER_MS: u64 = 1_000_000;

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> Result<u64> {
    let mut time = 0;
    // SAFETY: `time` is valid for writes during the call.
    let status = unsafe { proxy_get_current_time_nanoseconds(&mut time) };
    check("get_current_time", status).map(|()| time)
}

/// Asks for `on_tick` with this period in milliseconds.
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<()> {
    // SAFETY: takes no pointer.
    check("set_tick_period", unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// Up to `max_size` bytes from the start of a buffer.
pub(crate) fn buffer(buffer: BufferType, max_size: usize) -> Result<Vec<u8>> {
    returned("get_buffer", |data, size| {
        // SAFETY: `data` and `size` are valid for writes during the call.
        unsafe { proxy_get_buffer_bytes(buffer as u32, 0, max_size, data, size) }
    })
}

/// Replaces the first `size` bytes of a buffer; here `size` is always its whole length.
pub(crate) fn replace_buffer(buffer: BufferType, size: usize, bytes: &[u8]) -> Result<()> {
    // SAFETY: pointer and length describe `bytes`, which outlives the call.
    let status = unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) };
    check("set_buffer", status)
}

/// All headers of a map.
pub(crate) fn headers(map: MapType) -> Result<Headers> {
    returned("get_header_map_pairs", |data, size| {
        // SAFETY: `data` and `size` are valid for writes during the call.
        unsafe { proxy_get_header_map_pairs(map as u32, data, size) }
    })
    .map(Headers)
}

/// Sets a header and removes all others of that name.
pub(crate) fn set_header(map: MapType, name: &str, value: &[u8]) -> Result<()> {
    // SAFETY: pointers and lengths describe `name` and `value`, which outlive the call.
    let status = unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
    check("replace_header", status)
}

/// Removes all headers of a name.
pub(crate) fn remove_header(map: MapType, name: &[u8]) -> Result<()> {
    // SAFETY: pointer and length describe `name`, which outlives the call.
    check("remove_header", unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// A property of the stream or of the plugin. The parts of `path` are joined by zero bytes.
pub(crate) fn property(path: &str) -> Result<Vec<u8>> {
    returned("get_property", |data, size| {
        // SAFETY: pointer and length describe `path`; `data` and `size` are valid for writes.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }
    })
}

/// Sets filter state; access logs see it as `wasm.NAME`.
pub(crate) fn set_property(name: &str, value: &[u8]) -> Result<()> {
    // SAFETY: pointers and lengths describe `name` and `value`, which outlive the call.
    let status = unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    check("set_property", status)
}

/// Defines a metric; all VMs that define the same name share it.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: pointer and length describe `name`; `id` is valid for writes during the call.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) };
    check("define_metric", status).map(|()| id)
}

/// Adds to a counter. Envoy accepts only amounts above zero.
pub(crate) fn increment_metric(id: u32, offset: i64) -> Result<()> {
    // SAFETY: takes no pointer.
    check("increment_metric", unsafe { proxy_increment_metric(id, offset) })
}

/// Sets a gauge or adds a value to a histogram.
pub(crate) fn record_metric(id: u32, value: u64) -> Result<()> {
    // SAFETY: takes no pointer.
    check("record_metric", unsafe { proxy_record_metric(id, value) })
}

/// Makes the following calls apply to another context than the running one.
pub(crate) fn set_effective_context(context: u32) -> Result<()> {
    // SAFETY: takes no pointer.
    check("set_effective_context", unsafe { proxy_set_effective_context(context) })
}

/// The data that all VMs with this VM's id share under a name, and its version; `None`: it was never set.
pub(crate) fn shared(key: &str) -> Result<Option<(Vec<u8>, u32)>> {
    const NOT_FOUND: u32 = 1;
    let mut version = 0;
    let value = returned("get_shared_data", |data, size| {
        // SAFETY: pointer and length describe `key`; the others are valid for writes during the call.
        unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut version) }
    });
    match value {
        Ok(value) => Ok(Some((value, version))),
        Err(RefusedCall { status: NOT_FOUND, .. }) => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// Sets shared data if it still has this version; 0: in any case. False: it has another version.
pub(crate) fn share(key: &str, value: &[u8], version: u32) -> Result<bool> {
    const VERSION_MISMATCH: u32 = 8;
    // SAFETY: pointers and lengths describe `key` and `value`, which outlive the call.
    let status =
        unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) };
    match check("set_shared_data", status) {
        Err(RefusedCall { status: VERSION_MISMATCH, .. }) => Ok(false),
        result => result.map(|()| true),
    }
}

/// Lets a paused request go on. After that its headers and its body cannot be reached.
pub(crate) fn continue_request() -> Result<()> {
    // SAFETY: takes no pointer.
    check("continue_stream", unsafe { proxy_continue_stream(StreamType::HttpRequest as u32) })
}

/// As [`continue_request`] for the answer.
pub(crate) fn continue_response() -> Result<()> {
    // SAFETY: takes no pointer.
    check("continue_stream", unsafe { proxy_continue_stream(StreamType::HttpResponse as u32) })
}

/// Ends the stream, on both sides.
pub(crate) fn close_stream() -> Result<()> {
    // SAFETY: takes no pointer.
    check("close_stream", unsafe { proxy_close_stream(StreamType::HttpRequest as u32) })
}

/// Starts a unary gRPC call; the running context receives the answer.
pub(crate) fn grpc_call(
    target: &str,
    service: &str,
    method: &str,
    metadata: Vec<(&str, &[u8])>,
    message: &[u8],
    timeout: Duration,
) -> Result<u32> {
    hostcalls::dispatch_grpc_call(target, service, method, metadata, Some(message), timeout)
        .map_err(|status| RefusedCall { call: "grpc_call", status: status as u32 })
}

/// Sends an HTTP request to a cluster; the running context receives the whole answer.
pub(crate) fn http_call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: &[u8],
    timeout: Duration,
) -> Result<u32> {
    hostcalls::dispatch_http_call(cluster, headers, Some(body), Vec::new(), timeout)
        .map_err(|status| RefusedCall { call: "http_call", status: status as u32 })
}

/// Answers instead of the provider. `details` go to the access log.
pub(crate) fn answer(status: u32, details: &str, headers: &[(&[u8], &[u8])], body: &[u8]) -> Result<()> {
    const NO_GRPC: i32 = -1;
    let headers = serialized("send_local_response", headers)?;
    // SAFETY: pointers and lengths describe the slices, which outlive the call.
    let status = unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC,
        )
    };
    check("send_local_response", status)
}

/// Makes a call that returns bytes.
fn returned(call: &'static str, run: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let mut data = null_mut();
    let mut size = 0;
    check(call, run(&mut data, &mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host got `data` from the crate's `proxy_on_memory_allocate(size)` during this call and
    // gives up its use, so it is a boxed slice of `size` initialized bytes that has no other owner.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn check(call: &'static str, status: u32) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(RefusedCall { call, status }) }
}

/// Pairs in the host's format: see [`Headers`].
fn serialized(call: &'static str, pairs: &[(&[u8], &[u8])]) -> Result<Vec<u8>> {
    // Stands for the host's own status for lengths that it cannot read.
    const SERIALIZATION_FAILURE: u32 = 3;
    let number = |size: usize| {
        let number = u32::try_from(size).map_err(|_| RefusedCall { call, status: SERIALIZATION_FAILURE })?;
        Ok::<_, RefusedCall>(number.to_le_bytes())
    };
    let mut bytes = number(pairs.len())?.to_vec();
    for (name, value) in pairs {
        bytes.extend(number(name.len())?);
        bytes.extend(number(value.len())?);
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    Ok(bytes)
}

impl fmt::Display for RefusedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.status {
            1 => "not found",
            2 => "bad argument",
            3 => "serialization failure",
            4 => "parse failure",
            5 => "bad expression",
            6 => "invalid memory access",
            7 => "empty",
            8 => "compare-and-swap mismatch",
            9 => "result mismatch",
            10 => "internal failure",
            11 => "broken connection",
            12 => "unimplemented",
            _ => "a status that this version does not know",
        };
        write!(f, "the host refused {}: {meaning} ({})", self.call, self.status)
    }
}

/// A header map as the host serializes it: the number of pairs, the lengths of all names and values,
/// then the bytes, each followed by a zero; numbers are 32 bits, little-endian.
pub(crate) struct Headers(Vec<u8>);

impl Headers {
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        Self(serialized("test", &pairs).unwrap())
    }

    /// Names, which Envoy has put into lower case, and values. Ends early if the lengths do not fit the
    /// bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = self.number(0).unwrap_or(0);
        let mut lengths = 4usize;
        let mut data = count.checked_mul(8).and_then(|size| size.checked_add(4));
        (0..count).map_while(move |_| {
            let name_size = self.number(lengths)?;
            let value_size = self.number(lengths.checked_add(4)?)?;
            lengths = lengths.checked_add(8)?;
            let name_end = data?.checked_add(name_size)?;
            let value_start = name_end.checked_add(1)?;
            let value_end = value_start.checked_add(value_size)?;
            let pair = (self.0.get(data?..name_end)?, self.0.get(value_start..value_end)?);
            data = value_end.checked_add(1);
            Some(pair)
        })
    }

    fn number(&self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    }
}
