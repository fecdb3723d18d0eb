//! GitHub Copilot: OpenAI's paths without their version, and Anthropic's.

use crate::provider::{self, Provider};

/// GitHub Copilot.
pub(crate) const PROVIDER: Provider = Provider {
    domains: &["githubcopilot.com"],
    serves: &["openai", "anthropic"],
    is_of_subscriptions: true,
    ..Provider::named("copilot")
};

/// Whether it is one of its hosts. Companies have their own at `copilot-api.NAME.ghe.com`.
pub(crate) fn is_host(host: &[u8]) -> bool {
    const COMPANY: &[u8] = b"copilot-api.";
    let is_company = host.get(..COMPANY.len()).is_some_and(|start| start.eq_ignore_ascii_case(COMPANY));
    PROVIDER.has_host(host) || is_company && provider::is_below(host, "ghe.com")
}

/// Whether only clients of GitHub Copilot send a header of this name.
pub fn is_header(name: &[u8]) -> bool {
    matches!(name, b"copilot-integration-id" | b"openai-intent")
}
