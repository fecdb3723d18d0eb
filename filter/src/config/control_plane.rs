//! The section `control_plane`: the sidecar, and what it is sent.

use std::fmt;

use super::MAX_CLUSTER_NAME_BYTES;
use crate::lenient::Reader;

/// How to reach the sidecar, and how long to wait for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControlPlane {
    /// The Envoy cluster.
    pub cluster: String,
    /// The cluster of its HTTP server; empty if requests to it do not go through the filter.
    pub http_cluster: String,
    /// Deadline of one report, and of one original or fact that the model asks for. Milliseconds.
    pub timeout_ms: u32,
    /// Time between reports. Milliseconds.
    pub report_interval_ms: u32,
    /// Longest pause after failed reports. Milliseconds.
    pub max_backoff_ms: u32,
    /// Records kept while the sidecar does not answer.
    pub queue_records: usize,
    /// The same, in encoded bytes.
    pub queue_bytes: usize,
    /// Blocks listed in one record.
    pub blocks_per_record: usize,
    /// Whether the texts of requests and answers are sent along.
    pub log_messages: bool,
    /// How much of the messages of a request, and of its answer, is sent. Bytes each.
    pub log_bytes: usize,
    /// Sent with every call.
    pub token: Token,
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self {
            cluster: String::new(),
            http_cluster: String::new(),
            timeout_ms: 2_000,
            report_interval_ms: 1_000,
            max_backoff_ms: 30_000,
            queue_records: 2_048,
            queue_bytes: 4 << 20,
            blocks_per_record: 128,
            log_messages: false,
            log_bytes: 16 << 10,
            token: Token::default(),
        }
    }
}

/// A bearer token, or none. Its value is never logged.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Token(String);

impl Token {
    /// A token that an HTTP header can carry: printable ASCII without blanks.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        text.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Self(text.to_owned()))
    }

    /// The value of the `authorization` header; `None` without a token.
    pub fn bearer(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("Bearer {}", self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Token(none)" } else { "Token(…)" })
    }
}

/// A request and its answer take twice as much; a report has room for several of them.
const MAX_LOG_BYTES: usize = 256 << 10;

pub(super) fn control_plane(section: &mut Reader) -> Option<ControlPlane> {
    let defaults = ControlPlane::default();
    let control_plane = ControlPlane {
        cluster: section.text("cluster"),
        http_cluster: section.text("http_cluster"),
        timeout_ms: section.number("timeout_ms", 1..=60_000, defaults.timeout_ms),
        report_interval_ms: section.number("report_interval_ms", 10..=3_600_000, defaults.report_interval_ms),
        max_backoff_ms: section.number("max_backoff_ms", 10..=3_600_000, defaults.max_backoff_ms),
        queue_records: section.bytes("queue_records", 1..=1 << 20, defaults.queue_records),
        queue_bytes: section.bytes("queue_bytes", 1 << 10..=256 << 20, defaults.queue_bytes),
        blocks_per_record: section.bytes("blocks_per_record", 0..=10_000, defaults.blocks_per_record),
        log_messages: section.flag("log_messages", defaults.log_messages),
        log_bytes: section.bytes("log_bytes", 1..=MAX_LOG_BYTES, defaults.log_bytes),
        token: token(section),
    };
    if control_plane.cluster.is_empty() {
        section.warn("cluster", "names no cluster: there will be no reports");
        return None;
    }
    if control_plane.cluster.len() > MAX_CLUSTER_NAME_BYTES {
        section.refuse("cluster", "expected at most 125 bytes", "there will be no reports");
        return None;
    }
    Some(control_plane)
}

/// The sidecar reads the same environment variable.
const TOKEN_VARIABLE: &str = "HEADROOM_TOKEN";

fn token(section: &mut Reader) -> Token {
    let configured = section.text("token");
    let text =
        if configured.is_empty() { std::env::var(TOKEN_VARIABLE).unwrap_or_default() } else { configured };
    Token::new(&text).unwrap_or_else(|| {
        section.refuse("token", "expected printable ASCII without blanks", "no token is sent");
        Token::default()
    })
}
