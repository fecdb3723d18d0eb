//! What the headers of a request say, and what they ask of Headroom.

use crate::config::{Config, Mode};
use crate::encoding::Encoding;
use crate::host::Headers;
use crate::limits;
use crate::request::name;
use crate::route::{self, Route};
use crate::rules::{self, Treatment};

/// A request header that is for Headroom and for nobody behind it starts like this (I9).
const OURS: &[u8] = b"x-headroom-";
/// Removed one by one where the host does not show the headers.
const OUR_HEADERS: [&str; 7] = [
    "x-headroom-bypass",
    "x-headroom-mode",
    "x-headroom-stack",
    "x-headroom-team",
    "x-headroom-user-id",
    "x-headroom-session-id",
    "x-headroom-api-key",
];
/// As long as names of models, tenants and stacks get.
pub(crate) const MAX_NAME_BYTES: usize = 128;

/// What the headers say.
#[derive(Default)]
pub(crate) struct RequestHeaders {
    /// `None`: not ours.
    pub(crate) route: Option<Route>,
    /// What may be done to this request.
    pub(crate) treatment: Treatment,
    /// Who answers it, where a rule of the configuration says so.
    pub(crate) provider: Option<String>,
    pub(crate) content_length: Option<u64>,
    /// It asks for a WebSocket session.
    pub(crate) websocket: bool,
    /// Of such a session: its host and path, without the query.
    pub(crate) target: String,
    /// The client has compressed the body.
    pub(crate) is_encoded: bool,
    /// In an encoding that is read.
    pub(crate) encoding: Option<Encoding>,
    /// Which client or harness it comes from.
    pub(crate) stack: String,
    /// From the header, else from the configuration.
    pub(crate) tenant: String,
    /// A hash of the credential; empty without one, or without a sidecar to count for it.
    pub(crate) key: String,
    /// As the configured header names it.
    pub(crate) team: String,
    /// Names of the headers that must not reach the provider.
    pub(crate) ours: Vec<Vec<u8>>,
}

impl RequestHeaders {
    /// Of a request whose headers the host does not show: not ours, whatever it is.
    pub(crate) fn unseen() -> Self {
        let ours = OUR_HEADERS.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { ours, ..Self::default() }
    }

    pub(crate) fn read(headers: &Headers, config: &Config) -> Self {
        let mut bypassed = false;
        let mut asked = &b""[..];
        let [mut method, mut host, mut path] = [&b""[..]; 3];
        let mut read = Self { tenant: config.tenant.clone(), ..Self::default() };
        for (key, value) in headers.iter() {
            match key {
                b":method" => method = value,
                b":authority" => host = value,
                b":path" => path = value,
                b"content-length" => {
                    read.content_length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                }
                b"content-encoding" => {
                    let value = value.trim_ascii();
                    let is_encoded = !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
                    // Two headers name two encodings.
                    let first = !read.is_encoded;
                    read.encoding = Encoding::from_header(value).filter(|_| first && is_encoded);
                    read.is_encoded |= is_encoded;
                }
                b"upgrade" => read.websocket = value.trim_ascii().eq_ignore_ascii_case(b"websocket"),
                b"x-headroom-bypass" => bypassed |= is_true(value),
                b"x-headroom-mode" => asked = value,
                b"x-headroom-stack" => read.stack = stack(value),
                b"x-headroom-user-id" => {
                    if let Some(tenant) = tenant(value) {
                        read.tenant = tenant;
                    }
                }
                _ => {}
            }
            if key == config.team_header.as_bytes() {
                read.team = tenant(value).unwrap_or_default();
            }
            if key.starts_with(OURS) && !read.ours.iter().any(|name| name == key) {
                read.ours.push(key.to_vec());
            }
        }
        read.websocket &= method == b"GET";
        read.route = if read.websocket {
            route::find_session(host, path, &config.path_prefixes)
        } else {
            route::find(method, host, path, &config.path_prefixes)
        };
        if read.websocket && read.route.is_some() {
            let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
            read.target = name(&String::from_utf8_lossy(&[host, path].concat()));
        }
        if read.route.is_some() {
            let rule = rules::find(&config.rules, host, path, rules::route_name);
            read.treatment = rule.map_or(config.treatment(), |rule| rule.treatment);
            read.provider = rule.and_then(|rule| rule.provider.clone());
            if config.control_plane.is_some() {
                read.key = credential(headers, path).map(limits::key_of).unwrap_or_default();
            }
            let mode = &mut read.treatment.mode;
            *mode = if bypassed { Mode::Off } else { weaker(*mode, asked) };
        }
        read
    }
}

/// Where the credential stands, in the order in which providers look.
const CREDENTIALS: [&[u8]; 4] = [b"x-api-key", b"api-key", b"x-goog-api-key", b"authorization"];

fn credential<'h>(headers: &'h Headers, path: &'h [u8]) -> Option<&'h [u8]> {
    let of = |name: &[u8]| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    CREDENTIALS.into_iter().find_map(of).or_else(|| {
        // Gemini takes it in the query too.
        let query = path.splitn(2, |byte| *byte == b'?').nth(1)?;
        query.split(|byte| *byte == b'&').find_map(|parameter| parameter.strip_prefix(b"key="))
    })
}

fn is_true(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    [&b"true"[..], b"1", b"yes", b"on"].iter().any(|truth| value.eq_ignore_ascii_case(truth))
}

/// A header can ask for less than the configuration, never for more: what the operator has switched off or
/// only wants to measure stays so. What is no name of a mode asks for nothing.
fn weaker(mode: Mode, asked: &[u8]) -> Mode {
    let asked = asked.trim_ascii().to_ascii_lowercase();
    match (mode, asked.as_slice()) {
        (_, b"passthrough" | b"off") => Mode::Off,
        (Mode::Optimize, b"audit") => Mode::Audit,
        _ => mode,
    }
}

/// `^[a-z][a-z0-9_]{0,63}$` after trimming and lower-casing; anything else counts as absent.
fn stack(value: &[u8]) -> String {
    let slug = String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase();
    let valid = slug.len() <= 64
        && slug.starts_with(|c: char| c.is_ascii_lowercase())
        && slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if valid { slug } else { String::new() }
}

/// A name for a person or a team. What looks like an API key is none (I9).
fn tenant(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let plain = text.len() <= MAX_NAME_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    let credential = ["sk-", "sk_", "Bearer", "AIza", "eyJ"].iter().any(|start| text.starts_with(start));
    (plain && !credential && !text.is_empty()).then(|| text.to_owned())
}
