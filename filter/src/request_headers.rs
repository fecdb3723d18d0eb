//! What the headers of a request say, and which options of Headroom they set.

use headroom_providers::path::Path;
use headroom_providers::route::{Route, Target};
use headroom_providers::{Api, anthropic, chatgpt, copilot, routing};

use crate::agent;
use crate::config::Config;
use crate::credential;
use crate::encoding::Encoding;
use crate::host::{self, Headers};
use crate::mode::Mode;
use crate::name::name;
use crate::rules::{self, Treatment};
use crate::tenant;

/// Request headers with this prefix are for Headroom. They never reach the provider (I9).
const OURS: &[u8] = b"x-headroom-";

/// Whether a header is for Headroom. Some servers turn headers into variables, where `_` replaces `-`.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    let start = name.get(..OURS.len()).unwrap_or_default();
    start.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).eq(OURS.iter().copied())
}

/// Removed one by one if the host does not show the headers.
const OUR_HEADERS: [&str; 9] = [
    "x-headroom-bypass",
    "x-headroom-cache",
    "x-headroom-mode",
    "x-headroom-stack",
    "x-headroom-project",
    "x-headroom-team",
    "x-headroom-user-id",
    "x-headroom-session-id",
    "x-headroom-api-key",
];

/// What the headers say.
#[derive(Default)]
pub(crate) struct RequestHeaders {
    /// `None`: the filter does not handle this request.
    pub(crate) route: Option<Route>,
    /// What may be done to the request.
    pub(crate) treatment: Treatment,
    /// The provider's name from a rule of the configuration.
    pub(crate) provider: Option<String>,
    pub(crate) content_length: Option<u64>,
    /// Whether it asks for a WebSocket session.
    pub(crate) websocket: bool,
    /// For such a session: host and path, without the query.
    pub(crate) target: String,
    /// Whether the client has compressed the body.
    pub(crate) is_encoded: bool,
    /// The body's encoding, if it is one that the filter reads.
    pub(crate) encoding: Option<Encoding>,
    /// The client or agent that sends it, from the header, else from `User-Agent`.
    pub(crate) stack: String,
    /// The tenant, from the source that the configuration trusts.
    pub(crate) tenant: String,
    /// Its project: from the header, else from a rule, the configuration, or the agent's own words.
    pub(crate) project: String,
    /// Whether the header names the project.
    pub(crate) names_project: bool,
    /// The name that the client program gives itself.
    pub(crate) program: String,
    /// Whether it uses the login of a subscription.
    pub(crate) is_subscription: bool,
    /// A hash of the account's id; empty where no header names it.
    pub(crate) account: String,
    /// Hashes of the credentials, the decisive one first; none without a sidecar, which counts for them.
    pub(crate) keys: Vec<String>,
    /// The path in the form that is matched.
    pub(crate) path: Path,
    /// Whether the host is a provider's own.
    pub(crate) is_providers_host: bool,
    /// The API whose SDK has sent it, if the path does not show it.
    pub(crate) sdk: Option<Api>,
    /// The team, from the configured header.
    pub(crate) team: String,
    /// Names of the headers that must not reach the provider.
    pub(crate) ours: Vec<Vec<u8>>,
}

impl RequestHeaders {
    /// For a request whose headers the host does not show: the filter does not handle it.
    pub(crate) fn unseen() -> Self {
        let ours = OUR_HEADERS.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { ours, ..Self::default() }
    }

    pub(crate) fn read(headers: &Headers, config: &Config) -> Self {
        let mut bypassed = false;
        let mut asked = &b""[..];
        let [mut method, mut host, mut path] = [&b""[..]; 3];
        let (mut account, mut is_copilot, mut is_login) = (None, false, false);
        let (mut user_agent, mut named_project, mut folder) = (&b""[..], None, None);
        let mut read = Self::default();
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
                    // Two headers that name two encodings.
                    let first = !read.is_encoded;
                    read.encoding = Encoding::from_header(value).filter(|_| first && is_encoded);
                    read.is_encoded |= is_encoded;
                }
                b"upgrade" => read.websocket = value.trim_ascii().eq_ignore_ascii_case(b"websocket"),
                b"x-headroom-bypass" => bypassed |= is_true(value),
                b"x-headroom-mode" => asked = value,
                b"x-headroom-stack" => read.stack = stack(value),
                b"x-headroom-project" => named_project = project(value).or(named_project),
                b"user-agent" => {
                    user_agent = value;
                    read.program = program(value);
                }
                agent::CODEX_METADATA => folder = agent::codex_folder(value).and_then(|name| project(&name)),
                chatgpt::ACCOUNT_HEADER => account = Some(value),
                b"authorization" => is_login |= anthropic::is_login(value),
                _ if copilot::is_header(key) => is_copilot = true,
                _ => read.sdk = Api::of_sdk_header(key).or(read.sdk),
            }
            if key == config.team_header.as_bytes() {
                read.team = tenant::name(value).unwrap_or_default();
            }
            if is_ours(key) && !read.ours.iter().any(|name| name == key) {
                read.ours.push(key.to_vec());
            }
        }
        read.websocket &= method == b"GET";
        read.path = Path::new(path);
        let target = Target { host, path: &read.path, is_copilot };
        read.route = if read.websocket {
            routing::find_session(target, &config.path_prefixes)
        } else {
            routing::find(method, target, &config.path_prefixes)
        };
        read.is_subscription =
            is_login || account.is_some() || read.route.as_ref().is_some_and(Route::is_of_subscriptions);
        read.is_providers_host = routing::is_provider(host);
        if read.websocket && read.route.is_some() {
            let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
            read.target = name(&String::from_utf8_lossy(&[host, path].concat()));
        }
        if config.control_plane.is_some() {
            read.keys = credential::keys(headers, read.path.query(), read.route.as_ref());
            if read.route.is_some() {
                read.account = account.map(credential::key_of).unwrap_or_default();
            }
        }
        read.tenant =
            config.tenant_from.tenant(headers, &read.keys, &config.tenant, |name| host::property(name).ok());
        if read.route.is_some() {
            let rule = rules::find(&config.rules, host, read.path.plain().as_bytes(), rules::route_name);
            read.treatment = rule.map_or(config.treatment(), |rule| rule.treatment);
            read.provider = rule.and_then(|rule| rule.provider.clone());
            let by_rule = rule.and_then(|rule| rule.project.clone());
            let configured = Some(&config.project).filter(|project| !project.is_empty()).cloned();
            read.names_project = named_project.is_some();
            read.project = named_project.or(by_rule).or(configured).or(folder).unwrap_or_default();
            if read.stack.is_empty() {
                read.stack = agent::stack(user_agent);
            }
            let mode = &mut read.treatment.mode;
            *mode = if bypassed { Mode::Off } else { weaker(*mode, asked) };
        }
        read
    }
}

fn is_true(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    [&b"true"[..], b"1", b"yes", b"on"].iter().any(|truth| value.eq_ignore_ascii_case(truth))
}

/// A header can only ask for less than the configuration: it cannot start what the operator has switched off,
/// nor turn `audit` into `simulate`. An unknown mode is ignored.
fn weaker(mode: Mode, asked: &[u8]) -> Mode {
    let asked = asked.trim_ascii().to_ascii_lowercase();
    match (mode, asked.as_slice()) {
        (_, b"passthrough" | b"off") => Mode::Off,
        (Mode::Optimize, b"simulate") => Mode::Simulate,
        (Mode::Optimize | Mode::Simulate, b"audit") => Mode::Audit,
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

/// The first product in a `user-agent`, without its version: `claude-cli/2.1 (external, cli)`.
fn program(value: &[u8]) -> String {
    let product = value.split(|byte| matches!(byte, b'/' | b' ' | b'(')).next().unwrap_or_default();
    tenant::name(product).unwrap_or_default()
}

/// The name of a project. It is often a folder's name, so blanks are allowed.
fn project(value: &[u8]) -> Option<String> {
    tenant::label(value, |byte| byte.is_ascii_graphic() || byte == b' ')
}
