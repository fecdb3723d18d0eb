//! The stacks that several tests share: each start makes V8 compile the module.

use anyhow::Result;
use headroom_e2e::client::Protocol;
use headroom_e2e::envoy::Options;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Provider, Stack};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The filter's cap in the shared stacks. Small, so that a body over it is cheap.
pub(crate) const MAX_BODY_BYTES: usize = 256 << 10;

/// The two ways in which the filter handles the length of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Strip,
    Hold,
}

pub(crate) const MODES: [Mode; 2] = [Mode::Strip, Mode::Hold];

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Strip => "strip",
            Self::Hold => "hold",
        }
    }
}

/// The plugin configuration of the shared stacks.
pub(crate) fn plugin(mode: Mode) -> Value {
    json!({
        "body_mode": mode.name(),
        "max_body_bytes": MAX_BODY_BYTES,
        "control_plane": {"cluster": "headroom", "report_interval_ms": 50, "max_backoff_ms": 200},
    })
}

pub(crate) fn options(mode: Mode) -> Options {
    Options {
        filter: Some(plugin(mode)),
        hold: mode == Mode::Hold,
        max_body_bytes: MAX_BODY_BYTES as u32,
        ..Options::default()
    }
}

/// A stack in the given mode, speaking the given protocol with the provider.
pub(crate) async fn shared(mode: Mode, upstream: Protocol) -> Result<&'static Stack> {
    static STRIP_1: OnceCell<Stack> = OnceCell::const_new();
    static STRIP_2: OnceCell<Stack> = OnceCell::const_new();
    static HOLD_1: OnceCell<Stack> = OnceCell::const_new();
    static HOLD_2: OnceCell<Stack> = OnceCell::const_new();
    let cell = match (mode, upstream) {
        (Mode::Strip, Protocol::Http1) => &STRIP_1,
        (Mode::Strip, Protocol::Http2) => &STRIP_2,
        (Mode::Hold, Protocol::Http1) => &HOLD_1,
        (Mode::Hold, Protocol::Http2) => &HOLD_2,
    };
    cell.get_or_try_init(|| Stack::start(Options { upstream, ..options(mode) }, Kind::Down)).await
}

/// A stack with Envoy's decompressor in front of the filter.
pub(crate) async fn decompressing(mode: Mode) -> Result<&'static Stack> {
    static STRIP: OnceCell<Stack> = OnceCell::const_new();
    static HOLD: OnceCell<Stack> = OnceCell::const_new();
    let cell = match mode {
        Mode::Strip => &STRIP,
        Mode::Hold => &HOLD,
    };
    let options = Options { decompress: true, ..options(mode) };
    cell.get_or_try_init(|| Stack::start(options, Kind::Down)).await
}

/// Asserts that exactly one request of this name reached the provider, complete and without Headroom's
/// headers, and returns it.
pub(crate) fn forwarded(provider: &Provider, name: &str) -> headroom_e2e::provider::RecordedRequest {
    let mut requests = provider.requests(name);
    assert_eq!(requests.len(), 1, "requests of the name {name} at the provider");
    let request = requests.remove(0);
    assert!(request.complete, "{name} arrived whole");
    for header in request.headers.keys() {
        assert!(!header.as_str().starts_with("x-headroom-"), "{name}: {header} reached the provider");
    }
    request
}

/// Asserts that no VM was lost.
pub(crate) async fn assert_no_trap(stack: &Stack) -> Result<()> {
    for outcome in ["success", "backoff", "failure"] {
        assert_eq!(
            stack.envoy.stat(&format!("wasm.headroom.vm_reload_{outcome}")).await?,
            0,
            "VM reloads: {outcome}"
        );
    }
    Ok(())
}
