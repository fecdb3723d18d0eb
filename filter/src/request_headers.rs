//! What the headers of a request say, and what they ask of Headroom.

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

/// A request header that is for Headroom and for nobody behind it starts like this (I9).
const OURS: &[u8] = b"x-headroom-";

/// Whether a header is for Headroom. Servers that hand headers on as variables take `_` for `-`.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    let start = name.get(..OURS.len()).unwrap_or_default();
    start.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).eq(OURS.iter().copied())
}

/// Removed one by one where the host does not show the headers.
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
    /// Which client or harness it comes from, from the header, else from the client's `User-Agent`.
    pub(crate) stack: String,
    /// Whose request it is, in the word of whom the configuration trusts with that.
    pub(crate) tenant: String,
    /// The project that it belongs to, from the header, else from a rule, the configuration, or what the agent says.
    pub(crate) project: String,
    /// The header names it.
    pub(crate) names_project: bool,
    /// The program that asks, as it calls itself.
    pub(crate) program: String,
    /// Whether it is made with a subscription's login.
    pub(crate) is_subscription: bool,
    /// A hash of the account's id; empty where no header names it.
    pub(crate) account: String,
    /// Hashes of the credentials, the one that counts first; none without a sidecar to count for them.
    pub(crate) keys: Vec<String>,
    /// As it is matched.
    pub(crate) path: Path,
    /// A provider's own host is asked.
    pub(crate) is_providers_host: bool,
    /// Whose words its SDK understands, where the path does not tell.
    pub(crate) sdk: Option<Api>,
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
                    // Two headers name two encodings.
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

/// A header can ask for less than the configuration, never for more: what the operator has switched off or
/// only wants to measure stays so. What is no name of a mode asks for nothing.
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

/// The first product that a `user-agent` names, without its version: `claude-cli/2.1 (external, cli)`.
fn program(value: &[u8]) -> String {
    let product = value.split(|byte| matches!(byte, b'/' | b' ' | b'(')).next().unwrap_or_default();
    tenant::name(product).unwrap_or_default()
}

/// The name of a project: of a folder, so it may have blanks in it.
fn project(value: &[u8]) -> Option<String> {
    tenant::label(value, |byte| byte.is_ascii_graphic() || byte == b' ')
}
