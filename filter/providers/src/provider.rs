//! The providers that answer requests.

use crate::api::Api;
use crate::format::Credentials;
use crate::route::Route;

/// A provider: its hosts, and the paths that are its own.
pub(crate) struct Provider {
    /// The name in reports and metrics.
    pub(crate) name: &'static str,
    /// Its hosts are these domains and everything below them.
    pub(crate) domains: &'static [&'static str],
    /// Whether it also has hosts like `REGION-DOMAIN`.
    pub(crate) has_hosts_by_dash: bool,
    /// Hosts below its domains that begin like this serve only models.
    pub(crate) hosts_begin: &'static [u8],
    /// The providers whose formats it serves at their paths. If requests arrive under Envoy's own host name,
    /// a rule of the configuration can name the provider.
    pub(crate) serves: &'static [&'static str],
    /// Finds the route of a path at any host.
    pub(crate) route: fn(&str) -> Option<Route>,
    /// Finds the route of a path that counts only at one of its hosts.
    pub(crate) route_at_host: fn(&str) -> Option<Route>,
    /// Where it reads the credential, if it differs from the format.
    pub(crate) credentials: fn(Api) -> Option<Credentials>,
    /// Whether it serves only subscriptions.
    pub(crate) is_of_subscriptions: bool,
}

impl Provider {
    /// A provider without hosts and paths so far.
    pub(crate) const fn named(name: &'static str) -> Self {
        Self {
            name,
            domains: &[],
            has_hosts_by_dash: false,
            hosts_begin: b"",
            serves: &[],
            route: |_| None,
            route_at_host: |_| None,
            credentials: |_| None,
            is_of_subscriptions: false,
        }
    }

    /// A provider that serves OpenAI's formats at its own domain.
    pub(crate) const fn like_openai(name: &'static str, domains: &'static [&'static str]) -> Self {
        Self { domains, serves: &["openai"], ..Self::named(name) }
    }

    /// Whether a host is one of its domains or below one.
    pub(crate) fn has_host(&self, host: &[u8]) -> bool {
        self.domains.iter().any(|domain| is_at(host, domain, self.has_hosts_by_dash))
    }
}

/// Whether a host is this domain or one below it.
pub(crate) fn is_below(host: &[u8], domain: &str) -> bool {
    is_at(host, domain, false)
}

fn is_at(host: &[u8], domain: &str, by_dash: bool) -> bool {
    let host = without_port(host);
    let Some((before, end)) = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at))
    else {
        return false;
    };
    let is_whole = before.is_empty() || before.ends_with(b".") || by_dash && before.ends_with(b"-");
    is_whole && end.eq_ignore_ascii_case(domain.as_bytes())
}

/// A host from `:authority`, without its port.
pub fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (name, _) = host.split_at(host.len() - digits);
    match name.strip_suffix(b":") {
        Some(name) if digits > 0 => name,
        _ => host,
    }
}
